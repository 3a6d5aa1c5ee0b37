#!/usr/bin/env bash
# The status page in a real browser: each case copies web/ into a temporary directory, writes status.js beside it as
# the coordinator does, loads index.html from file:// (once from http) in a headless Chromium and reads the resulting
# document. Prints TAP; what needs a tool that is not installed is skipped with the reason. Leaves nothing behind.
set -u

here=$(cd "$(dirname "$0")" && pwd)
web=$here/../../web
work=$(mktemp -d)
server=
count=0
failed=0

cleanup() {
	[ -n "$server" ] && kill "$server" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT

# claim TEXT COMMAND...: one TAP line; the command's success is the claim's.
claim() {
	local text=$1
	shift
	count=$((count + 1))
	if "$@"; then
		echo "ok $count - $text"
	else
		echo "not ok $count - $text"
		echo "# failed: $*"
		failed=1
	fi
}

skip() {
	count=$((count + 1))
	echo "ok $count # SKIP $1"
}

finish() {
	echo "1..$count"
	exit $failed
}

# The document after loading, its markup as the browser serialises it; complaints of the page go to console.
browse() { # URL CASE
	chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
		--disable-component-update --disable-sync --user-data-dir="$work/profile-$2" --window-size=1000,900 \
		--enable-logging=stderr --virtual-time-budget=3000 --dump-dom "$1" >"$work/$2.html" 2>"$work/$2.log"
	grep 'CONSOLE' "$work/$2.log" >"$work/$2.console"
}

# A directory with the page and a status file written AGE seconds ago. A negative age is a clock ahead of ours, which
# the page takes for now; so no claim depends on how fast this machine is.
place() { # CASE SAMPLE AGE
	mkdir -p "$work/$1"
	cp "$web"/*.html "$web"/*.css "$web"/*.js "$work/$1"
	sed "s/\"generated_at\": *[0-9]*/\"generated_at\": $(($(date +%s) - $3))/" "$here/$2" >"$work/$1/status.json"
	{ printf 'talkootStatus('; cat "$work/$1/status.json"; printf ');\n'; } >"$work/$1/status.js"
}

# Everything but the templates, which hold words of their own.
shown() { sed '/<template/,/<\/template>/d' "$work/$1.html"; }
says() { shown "$1" | grep -qF -- "$2"; }
silent() { ! shown "$1" | grep -qF -- "$2"; }
no_complaint() { [ ! -s "$work/$1.console" ] || { sed 's/^/# /' "$work/$1.console"; return 1; }; }
nowhere() { ! grep -nE "$1" "$web"/*.js "$web"/*.html; }
# The opening tag of the element with this id.
tag_says() { shown "$1" | grep -oE "<[a-z]+[^>]* id=\"$2\"[^>]*>" | grep -qE -- "$3"; }
tag_silent() { ! tag_says "$@"; }
short_files() { local f; for f in "$web"/*.js; do [ "$(wc -l <"$f")" -le 500 ] || return 1; done; }

claim "no string ever becomes markup or code" \
	nowhere 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|DOMParser|srcdoc'
claim "nothing is loaded from another host" nowhere '(src|href)="?(https?:)?//'
claim "no style or handler is inline, so the content policy needs no exception" nowhere 'unsafe-|style="|<style| on[a-z]+="'
claim "without JavaScript a sentence says where the facts are" grep -q '<noscript>' "$web/index.html"
claim "each script stays within 500 lines" short_files

if ! command -v chromium >/dev/null; then
	skip "chromium is not installed: the page was not loaded"
	finish
fi

place fresh sample.json -60
# What a viewer with a keyboard does, after the page has drawn itself.
cat >>"$work/fresh/status.js" <<'JS'
setTimeout(() => {
	const plot = document.querySelector('.plot');
	for (const key of ['Home', 'ArrowRight'])
		plot.dispatchEvent(new KeyboardEvent('keydown', { key }));
}, 500);
JS
browse "file://$work/fresh/index.html" fresh
claim "from file:// the page loads without a complaint" no_complaint fresh
claim "the network's name is the title" says fresh '<title>Kumpula neighbours · Talkoot</title>'
claim "a project is shown by name" says fresh '>licences</h3>'
claim "its round is counted from one" says fresh '>Round 14 of 20<'
claim "the units of this round are shown" says fresh '>5 of 8 units in this round<'
claim "a queued project says why it waits" says fresh '>waits for licences, which was submitted first<'
claim "a failed project says why" says fresh 'is corrupt on disk; submit the project again<'
claim "the model digest is shown whole" says fresh '>3f9c2b7d18e04a5566c1f2ab90de7834c5b6a79881726354f0e1d2c3b4a59687<'
claim "a finished model's digest is said to be that of talkoot train" says fresh 'data-slot="digest-check">'
claim "a digest on the way is not, which talkoot train does not print" says fresh 'data-slot="digest-check" hidden'
claim "validation accuracy is shown as a percentage" says fresh '>95.7 %<'
claim "both curves are drawn" says fresh 'class="curve valid" d="M'
claim "arrow keys read out a round" says fresh 'aria-valuenow="2"'
claim "a project that is checked by samples says how many units were computed again" says fresh 'only once; 41 units more than once so far. With 95 % confidence at most 9.5 % of the others are wrong.'
claim "who was caught is shown with the reason" says fresh '<code>58b0c6f3</code> <span class="why">its payload ended too early<'
claim "a retired peer's row says why" says fresh '<span class="badge">retired</span> <span class="why">its result differs'
claim "a team is shown with its members and its credit" says fresh 'data-label="team">otaniemi</td><td class="n" role="cell" data-label="members">3</td><td class="n" role="cell" data-label="valid">524</td><td class="n" role="cell" data-label="credit">8.12 EFLOP</td>'
claim "credit keeps three digits" says fresh '>1,000 MFLOP<'
claim "teams that are not shown are counted" says fresh '>and 5 teams with less credit<'
claim "a fresh file raises no alarm" tag_says fresh alarm ' hidden'
claim "a fresh file is said to be fresh" tag_says fresh liveness 'data-level="fresh"'

place stale sample.json 12600
browse "file://$work/stale/index.html" stale
claim "an old file is said to be old" says stale 'The coordinator has not written for 3 hours.'
claim "an old file still shows its projects" says stale '>licences</h3>'
claim "an old file's alarm is visible" tag_silent stale alarm ' hidden'

place ended sample.json 12600
sed -i 's/"serving": true/"serving": false/' "$work/ended/status.js"
browse "file://$work/ended/index.html" ended
claim "an orderly stop is no silence" says ended 'The coordinator has been stopped.'

place empty empty.json -60
browse "file://$work/empty/index.html" empty
claim "a network without projects says how to submit one" tag_silent empty no-project ' hidden'
claim "a network without teams shows no table of them" tag_says empty teams ' hidden'
claim "a network without peers says how to join" tag_silent empty no-peer ' hidden'

place hostile hostile.json -60
browse "file://$work/hostile/index.html" hostile
claim "hostile data breaks nothing" no_complaint hostile
claim "markup in a project's name is text" says hostile '&lt;img src=x onerror='
claim "no element came out of the data" silent hostile '<img'
claim "no script in the data ran" silent hostile '<title>pwned'
claim "a direction override in a name is replaced" says hostile '�evil�'
claim "two projects of one name are both shown" \
	test "$(shown hostile | grep -oF '>twin</h3>' | wc -l)" = 2
claim "a hostile team is text" says hostile 'data-label="team">�meat</td>'
claim "a state that does not exist is unknown" silent hostile '"constructor"'
claim "everything after hostile projects is still shown" says hostile '�0987fedc'

place missing sample.json -60
rm "$work/missing/status.js"
browse "file://$work/missing/index.html" missing
claim "a missing status file is said to be missing" says missing 'There is no status.js beside this page yet.'

place half sample.json -60
head -c 900 "$work/half/status.js" >"$work/half/cut" && mv "$work/half/cut" "$work/half/status.js"
browse "file://$work/half/index.html" half
claim "a damaged status file is said to be damaged" says half 'holds no status.'

place newer empty.json -60
sed -i 's/"version": 1/"version": 2/' "$work/newer/status.js"
browse "file://$work/newer/index.html" newer
claim "another version of the file is refused with a remedy" says newer 'it reads version 1. Take the page from'

if ! command -v python3 >/dev/null; then
	skip "python3 is not installed: the page was not served over http"
	finish
fi
place served sample.json -60
rm "$work/served/status.js"
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/served" >"$work/server.log" 2>/dev/null &
server=$!
port=
for _ in $(seq 200); do
	port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/server.log")
	[ -n "$port" ] || ! kill -0 "$server" 2>/dev/null && break
	sleep 0.05
done
browse "http://127.0.0.1:$port/index.html" served
claim "over http the page reads status.json" says served '>licences</h3>'
finish
