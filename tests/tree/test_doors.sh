#!/usr/bin/env bash
# The shape of the tree, read from the sources: which file may include what, which layer may know which, how long a
# file may be, what lies in the top folder. Prints TAP.
set -uo pipefail
shopt -s lastpipe # a claim at a pipe's end counts here
cd "$(dirname "$0")/../.." || exit 1
build=${TALKOOT_BUILD:-build}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
claims=0 failures=0

# claim TEXT: one TAP line; it holds when nothing comes in on stdin, and what comes in is what breaks it.
claim_nothing() {
	claims=$((claims + 1))
	cat >"$work/found"
	if [ -s "$work/found" ]; then
		echo "not ok $claims - $1"
		sed 's/^/# /' "$work/found"
		failures=$((failures + 1))
	else
		echo "ok $claims - $1"
	fi
}

sources() {
	find coordinator peer tasks tests -name '*.[ch]' | LC_ALL=C sort
}

includes() { # HEADER-PATTERN: file:line of each #include <…> that matches
	sources | xargs grep -nHE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($1)[>\"]"
}

# Each third-party header, and the ending of the files that may know it.
door() { # LIBRARY HEADER-PATTERN ENDING
	includes "$2" | grep -vE "^[^:]*_$3\.c:" | claim_nothing "only *_$3.c includes $1"
}
door libsodium 'sodium(/.*)?\.h|sodium/.*' sodium
door libuv 'uv(/.*)?\.h|uv/.*' uv
door SQLite 'sqlite3(ext)?\.h' sqlite
door libyaml 'yaml\.h' yaml
door jansson 'jansson(_.*)?\.h' jansson
door OpenBLAS 'cblas(_.*)?\.h|openblas.*' blas
door msgpack-c 'msgpack(/.*)?\.h|msgpack/.*|msgpack\.h' msgpack
door libnatpmp 'natpmp(_.*)?\.h' natpmp
door miniupnpc 'miniupnpc(/.*)?\.h|miniupnpc/.*' upnp

# What else stands in <…> must be C17, POSIX or Linux; in tests, cmocka.
allowed='assert|ctype|errno|fenv|float|inttypes|limits|locale|math|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef'
allowed+='|stdint|stdio|stdlib|stdnoreturn|string|time|immintrin|xmmintrin|cpuid|arm_neon'
allowed+='|dirent|dlfcn|fcntl|ftw|getopt|glob|grp|ifaddrs|langinfo|libgen|netdb|poll|pthread|pwd|sched|spawn|strings|syslog|termios|unistd'
allowed+='|arpa/inet|net/if|netinet/in|netinet/tcp|sys/[a-z_]+|linux/[a-z_]+'
doors='sodium|uv|sqlite3|yaml|jansson|msgpack|cblas|natpmp|miniupnpc'
includes '[^">]*' | grep -E '<' | grep -vE "<($allowed)\.h>" | grep -vE "<($doors)(/.*)?\.h>" |
	grep -vE '^tests/[^:]*:.*<cmocka\.h>' | claim_nothing "no file includes a library that has no door"
sources | grep '\.h$' | grep -v '^tests/' | xargs grep -nHE "include[[:space:]]*<($doors)(/.*)?\.h>" |
	claim_nothing "no header lets a library out of its door"

# Arrows point down only: coordinator → peer → tasks.
arrow() { # FROM TO-PATTERN
	find "$1" -name '*.[ch]' -print0 | xargs -0 grep -nHE "#[[:space:]]*include[[:space:]]*\"($2)/" |
		claim_nothing "$1/ does not know $(tr '|' ' ' <<<"$2")"
}
arrow tasks 'peer|coordinator|tests|web'
arrow peer 'coordinator|tests|web'
arrow coordinator 'tests|web'
sources | xargs grep -nHE '#[[:space:]]*include[[:space:]]*"' | grep -vE '"(coordinator|peer|tasks|tests)/[^."]+\.h"' |
	claim_nothing "every path of our own starts at the root"

sources | xargs grep -nHE '(^|[^_[:alnum:]])_?exit\(' | grep -v '^tests/' | grep -vE '/main\.c:|worker' |
	grep -vE ':[[:space:]]*(/?\*|//)' | claim_nothing "nothing but main ends the program"
sources | xargs grep -nHE '(^|[^_[:alnum:]])(malloc|calloc|realloc|strdup|strndup|alloca)\(' | grep -v '^tests/' |
	grep -v '^tasks/base/mem.c:' | grep -vE ':[[:space:]]*(/?\*|//)' |
	claim_nothing "memory comes through one seam"
sources | grep -E '^(tasks|peer/overlay/node\.c|coordinator/(core|plan|lease|judge|commit|dispute|peers|upload))' |
	xargs grep -nHE '(^|[^_[:alnum:]])(time|clock_gettime|gettimeofday|random_bytes|nanosleep|usleep|sleep|rand)\(' |
	grep -vE '^tasks/base/(key|digest)|:[[:space:]]*(/?\*|//)' | claim_nothing "cores have no clock and no dice"
sources | while IFS= read -r file; do
	lines=$(wc -l <"$file")
	[ "$lines" -le 600 ] || echo "$file has $lines lines"
done | claim_nothing "no file is longer than 600 lines"
sources | xargs awk 'FNR == 1 && !/^\/\*/ {print FILENAME}' | claim_nothing "every file opens with what it is"
sources | xargs grep -nHE '\<(TODO|FIXME|XXX|HACK)\>' | claim_nothing "nothing is left to be done in a comment"

# A fuzzer that only prints what undefined behaviour it meets goes on, and ends as if there had been none.
grep -nE '(MODE|ASAN).*=.*-fsanitize=[a-z,-]*undefined' Makefile | grep -v -e -fno-sanitize-recover=all |
	claim_nothing "undefined behaviour ends a checked program"

# `make fuzz` runs what has a share of its inputs, and nothing else.
grep -oE '^	\{"[a-z_]+", [a-z]' tests/lib/fuzz_targets.c | grep -oE '[a-z_]+"' | tr -d '"' | while read -r target; do
	grep -qE "^		$target fuzz(_clear)? [0-9.]+\$" scripts/fuzz || echo "$target"
done | claim_nothing "every reader of foreign bytes has its share in scripts/fuzz"

if [ -d .git ] && command -v git >/dev/null; then
	git ls-files | sed 's,/.*,/,' | sort -u |
		grep -vxE '(coordinator|peer|tasks|web|scripts|tests|\.ci)/|Makefile|README\.md|CHANGELOG\.md|LICENSE|\.(gitignore|clang-format|clang-tidy)' |
		claim_nothing "the top folder holds only what its map names"
	git ls-files | grep -E '\.(o|a|so|safetensors|db|log|pyc)$' | claim_nothing "nothing that is built is committed"
else
	claims=$((claims + 1))
	echo "ok $claims # SKIP this is no git checkout: the list of committed files is not known"
fi

# A volunteer computes nothing with OpenBLAS.
if [ -x "$build/talkoot-peer" ]; then
	ldd "$build/talkoot-peer" | grep -i blas | claim_nothing "talkoot-peer does not load OpenBLAS"
fi

# `talkoot train` links from its own objects and tasks/ alone, and loads neither libuv nor SQLite.
if [ -x "$build/tests/tree/train_only" ]; then
	ldd "$build/tests/tree/train_only" | grep -E 'libuv|sqlite' | claim_nothing "talkoot train loads neither libuv nor SQLite"
	nm -u "$build/tests/tree/train_only" | grep -E ' (uv_|sqlite3_)' | claim_nothing "talkoot train calls neither libuv nor SQLite"
	mkdir "$work/project"
	seq -f 'line %g of a text that is read twice' 400 >"$work/project/text.txt"
	cat >"$work/project/project.yaml" <<-YAML
		project: {name: alone}
		model: {type: char-mlp, context: 4, embedding: 4, hidden: [8]}
		data: {path: text.txt}
		train: {rounds: 2, units_per_round: 2, inner_steps: 3}
	YAML
	"$build/tests/tree/train_only" "$work/project/project.yaml" >"$work/alone" 2>&1
	"$build/talkoot" train "$work/project/project.yaml" >"$work/whole" 2>&1
	{
		grep -q '^model  ' "$work/alone" || cat "$work/alone"
		diff <(grep '^model  ' "$work/alone") <(grep '^model  ' "$work/whole")
	} | claim_nothing "talkoot train alone gives the digest of the whole program"
else
	echo "$build/tests/tree/train_only is not built" | claim_nothing "talkoot train links alone"
fi
echo "1..$claims"
[ "$failures" = 0 ]
