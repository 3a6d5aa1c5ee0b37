# What demo, bench and prove share: where things are, the demo's project, waiting and cleaning up. Sourced.
# shellcheck shell=bash disable=SC2034 # its readers are elsewhere

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${TALKOOT_BUILD:-$root/build}
talkoot=$build/talkoot
talkoot_peer=$build/talkoot-peer

say() {
	printf '%s\n' "$*"
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Now, in milliseconds: only differences mean anything.
now_ms() {
	local t=${EPOCHREALTIME/[.,]/}
	echo "${t%???}"
}

# "12.3 s" since MS.
seconds_since() { # MS
	local passed=$(($(now_ms) - $1))
	echo "$((passed / 1000)).$((passed % 1000 / 100)) s"
}

# Ends what we started, by its id: first politely, and after three seconds, or as many as ENDING_S says, for good.
end_processes() { # PID...
	local pid tries
	[ $# != 0 ] || return 0
	for pid in "$@"; do
		kill "$pid" 2>/dev/null || true
	done
	for ((tries = 0; tries < ${ENDING_S:-3} * 10; tries++)); do
		[ "$tries" = 0 ] || sleep 0.1
		for pid in "$@"; do
			kill -0 "$pid" 2>/dev/null && continue 2
		done
		break
	done
	for pid in "$@"; do
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}

# One field of `talkoot status NAME --json`, bare; empty when it is null or missing.
project_field() { # HOME NAME FIELD
	"$talkoot" -C "$1" status "$2" --json 2>/dev/null |
		sed -n "s/^ *\"$3\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" | sed '/^null$/d'
}

# One number of `talkoot-peer status --json`; empty when it is missing.
peer_field() { # HOME FIELD
	"$talkoot_peer" status --home "$1" --json 2>/dev/null | sed -nE "s/^ *\"$2\": ([0-9]+),?\$/\1/p"
}

# The digest in the line "model  <digest>" of `talkoot train` or `talkoot status`.
digest_in() { # FILE
	sed -n 's/^model  *\([0-9a-f]\{64\}\)$/\1/p' "$1" | tail -n 1
}

# The licence texts that every Debian has, each once: names that are links to another are left out.
licence_texts() {
	local folder=/usr/share/common-licenses file
	[ -d "$folder" ] || return 1
	while IFS= read -r file; do
		iconv -f UTF-8 -t UTF-8 -c "$file"
	done < <(find "$folder" -maxdepth 1 -type f | LC_ALL=C sort)
}

# The demo's project.yaml. Its train section is the design's default recipe.
write_demo_project() { # FILE NAME ROUNDS
	cat >"$1" <<YAML
project: {name: $2, seed: 1337}
model:   {type: gpt, layers: 2, heads: 2, width: 64, context: 64}
data:    {path: corpus.txt, format: text, validation_fraction: 0.1}
train:   {optimizer: adamw, learning_rate: 4.0e-3, batch_size: 12, rounds: $3, units_per_round: 8, inner_steps: 20,
          outer: {optimizer: nesterov, learning_rate: 1.0, momentum: 0.5}}
verify:  {policy: full, quorum: 2}
YAML
}

# A whole number between two others, or an error that names the option.
whole_number() { # OPTION VALUE MIN MAX
	if ! [[ $2 =~ ^[0-9]{1,7}$ ]] || [ "$2" -lt "$3" ] || [ "$2" -gt "$4" ]; then
		die "$1 wants a whole number from $3 to $4, not \"$2\""
	fi
}
