#!/usr/bin/env bash
# The owner's and the volunteer's commands against a running grid: what they print, what they write, how they fail.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

# Fails with status 1 and a sentence, and does not print a model.
refuses() { # PATTERN COMMAND...
	local pattern=$1 status=0
	shift
	timeout $((60 * patience)) "$@" >"$work/refused.log" 2>&1 </dev/null || status=$?
	[ "$status" = 1 ] && says "$work/refused.log" "$pattern"
}

is_usage_error() { # COMMAND...
	local status=0
	timeout $((60 * patience)) "$@" >"$work/refused.log" 2>&1 </dev/null || status=$?
	[ "$status" = 2 ]
}

prints() { # PATTERN COMMAND...
	local pattern=$1
	shift
	timeout $((120 * patience)) "$@" >"$work/printed.log" 2>&1 </dev/null && says "$work/printed.log" "$pattern"
}

valid_json() { # FILE
	python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$1"
}

# Whether the model that one process trains says which digest it has: 1 or 0 times.
wrote_digest() { # TIMES PROJECT [OPTION...]
	local times=$1 project=$2
	shift 2
	"$talkoot" train "$work/$project.yaml" -o "$work/one.safetensors" "$@" >"$work/one.log" 2>&1 </dev/null &&
		[ "$(grep -c '"talkoot.model_digest":"[0-9a-f]\{64\}"' -a "$work/one.safetensors")" = "$times" ] &&
		grep -q '"talkoot.rounds"' -a "$work/one.safetensors"
}

text_project first 3
text_project second 400
coordinator_start
peer_start 1 --cache-gb 0.5 --team otaniemi
peer_start 2 --team otaniemi
peer_start 3

claim "an invitation is a link that names the port" prints "^talkoot://[^@]+@127\.0\.0\.1:[1-9][0-9]*$" "$talkoot" invite "$home"
claim "an invitation names the hosts that it is told" prints "@one\.example:1,\[::1\]:2,three\.example:3$" \
	"$talkoot" invite "$home" --host 'one.example:1,[::1]:2,three.example:3'
claim "and refuses those that are none" refuses 'is no address' "$talkoot" invite "$home" --host one.example:1,
claim "or too many" refuses 'at most 8 hosts' "$talkoot" invite "$home" --host a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8,i:9
claim "a home is served once at a time" refuses 'serv' "$talkoot" serve "$home" --listen 127.0.0.1:0
claim "a home is made once" refuses 'already' "$talkoot" init "$home"
claim "without projects list says how to submit one" prints 'submit' "$talkoot" -C "$home" list
claim "a link that is none is refused" refuses 'link' "$talkoot_peer" join talkoot://nonsense --yes --home "$work/peer-x"
claim "an unknown command is a mistake in use" is_usage_error "$talkoot" trian
claim "an unknown option is a mistake in use" is_usage_error "$talkoot" -C "$home" status --jsn
for command in init serve invite check submit list status watch stop resume export sample train; do
	claim "talkoot $command --help explains $command" prints "^Usage: talkoot .*$command" "$talkoot" "$command" --help
done
for command in join run status; do
	claim "talkoot-peer $command --help explains" prints "^Usage: talkoot-peer" "$talkoot_peer" "$command" --help
done
claim "train refuses a folder that is not there before it trains" refuses 'nowhere' \
	"$talkoot" train "$work/first.yaml" -o "$work/nowhere/model"
claim "it has not trained" bash -c "! grep -q round '$work/refused.log'"
claim "train --numerics blas trains and shows no digest" prints '^no digest: ' "$talkoot" train "$work/first.yaml" --numerics blas
claim "and no model digest" bash -c "! grep -q '^model' '$work/printed.log'"
claim "a model whose bits are one computer's carries no digest" wrote_digest 0 first --numerics blas
claim "any other does" wrote_digest 1 first
claim "an engine that does not exist is refused with OpenBLAS, too" refuses 'no engine "none" on this computer' \
	env TALKOOT_ENGINE=none "$talkoot" train "$work/first.yaml" --numerics blas
text_project loose 1
sed -i 's/train:   {/&numerics: blas, /' "$work/loose.yaml"
claim "a project may ask for OpenBLAS, and check says what that means" prints '^verify +nothing: .*.talkoot train. takes this' \
	"$talkoot" check "$work/loose.yaml"
claim "train then shows no digest" prints '^no digest: ' "$talkoot" train "$work/loose.yaml"
claim "nor writes one" wrote_digest 0 loose
claim "the option decides against the project" prints '^model ' "$talkoot" train "$work/loose.yaml" --numerics canonical
claim "submit says that a grid cannot compare it" refuses 'loose.yaml:4:11: train.numerics: .*remove the key' \
	"$talkoot" -C "$home" submit "$work/loose.yaml"
claim "another arithmetic is a mistake in use" is_usage_error "$talkoot" train "$work/first.yaml" --numerics fast
claim "a missing home is said" refuses '.' "$talkoot" -C "$work/nowhere" list
claim "a project that is not there is said" refuses 'none' "$talkoot" -C "$home" status none

claim "submit --watch follows to the end" prints '^model  [0-9a-f]{64}$' \
	"$talkoot" -C "$home" submit "$work/first.yaml" --watch
claim "without a terminal each round is a line" prints 'round 3/3' "$talkoot" -C "$home" watch first
claim "a name is given once" refuses 'first' "$talkoot" -C "$home" submit "$work/first.yaml"
claim "list shows the project" prints '^first .*done' "$talkoot" -C "$home" list
for key in state round rounds loss validation_loss validation_accuracy peers units_accepted units_rejected model_digest; do
	claim "status --json has $key" prints "\"$key\":" "$talkoot" -C "$home" status first --json
done
claim "the state is done" same "done" "$(field first state)"
claim "all rounds are counted" same 3 "$(field first round)"
claim "all units are counted" same 18 "$(field first units_accepted)"
"$talkoot" train "$work/first.yaml" -o "$work/local.safetensors" >"$work/train.log" 2>&1
claim "status and train print the same line" prints "^$(grep '^model ' "$work/train.log")$" "$talkoot" -C "$home" status first
claim "export writes the model" "$talkoot" -C "$home" export first -o "$work/grid.safetensors"
claim "both files hold the same tensors" same \
	"$(tail -c 4000 "$work/local.safetensors" | cksum)" "$(tail -c 4000 "$work/grid.safetensors" | cksum)"
claim "a text is drawn from the model" prints '....' "$talkoot" -C "$home" sample first --length 80
claim "the same seed draws the same text" same "$("$talkoot" -C "$home" sample first --seed 5)" \
	"$("$talkoot" -C "$home" sample first --seed 5)"
claim "export to a folder that is not there is said" refuses 'nowhere' "$talkoot" -C "$home" export first -o "$work/nowhere/model"

submit second "$work/second.yaml"
begun() {
	[ "$(field second units_accepted)" -gt 0 ]
}
claim "the second project begins" wait_for 60 begun
claim "stop says when it will end" prints 'round .* complete, or at once' "$talkoot" -C "$home" stop second
claim "the project stops at a round's end" wait_for 60 is_over second
claim "its state is stopped" same stopped "$(field second state)"
claim "a round is merged whole or not at all" same $(($(field second round) * 6)) "$(field second units_accepted)"
claim "what it has so far can be exported" prints 'after' "$talkoot" -C "$home" export second -o "$work/part.safetensors"
claim "stopping twice is no harm" prints 'nothing to stop' "$talkoot" -C "$home" stop second
claim "what is over is not resumed" prints 'nothing to resume' "$talkoot" -C "$home" resume second

claim "the agent says what it does" prints '.' "$talkoot_peer" status --home "$work/peer-1"
claim "and what it keeps, and how others find it" prints '^network: [0-9]+ neighbours, port [0-9]+; others reach' \
	"$talkoot_peer" status --home "$work/peer-1"
claim "it was told how much disk it may take" prints '"cache_bytes_max": 536870912,' \
	"$talkoot_peer" status --home "$work/peer-1" --json
claim "another takes the usual" prints ' of 16.0 GB for data$' "$talkoot_peer" status --home "$work/peer-2"
for key in cache_bytes neighbours port reached; do
	claim "the agent's status --json has $key" prints "\"$key\":" "$talkoot_peer" status --home "$work/peer-1" --json
done
for size in lots -1 0 1e9 5GB ''; do
	claim "a disk of \"$size\" is a mistake in use" is_usage_error \
		"$talkoot_peer" run --home "$work/peer-1" --cache-gb "$size"
done
for team in Otaniemi 'two words' -x "$(printf '%033d' 0)"; do
	claim "a team \"$team\" is a mistake in use" is_usage_error "$talkoot_peer" run --home "$work/peer-1" --team="$team"
done
claim "the agent's team is in its status" prints '^team: otaniemi$' "$talkoot_peer" status --home "$work/peer-1"
claim "who has none is told of none" bash -c "! '$talkoot_peer' status --home '$work/peer-3' | grep -q ^team"
claim "the owner sees what a team's members have done" prints '^otaniemi +2 +[1-9][0-9]* +[0-9.e+-]+ GFLOP$' "$talkoot" -C "$home" status
claim "and so does the page" prints '"teams":\[\{"name":"otaniemi","members":2,"units_valid":[1-9]' "$talkoot" -C "$home" status --json
claim "list is of projects alone" bash -c "! '$talkoot' -C '$home' list | grep -q otaniemi"
members() { # TEAM COUNT
	"$talkoot" -C "$home" status --json | grep -q "\"name\":\"$1\",\"members\":$2,"
}
claim "another process in the same home does not change the team" refuses 'runs in' \
	"$talkoot_peer" run --home "$work/peer-1" --team kallio
peer_stop 1
peer_stop 2
rm "$work/peer-1/status.json"
peer_start 1
team_is_kept() {
	[ -f "$work/peer-1/status.json" ] && says "$work/peer-1/status.json" '"team": "otaniemi"'
}
claim "a later run keeps the team" wait_for 30 team_is_kept
peer_start 2 --team kallio
claim "who changes the team takes the credit along" wait_for 30 members kallio 1
claim "the others stay" members otaniemi 1
peer_stop 2
peer_start 2 --team ''
no_kallio() {
	! "$talkoot" -C "$home" status --json | grep -q kallio
}
claim "who leaves it leaves nothing" wait_for 30 no_kallio

claim "the page is beside its data" test -f "$home/web/index.html"
page_shows_both() {
	grep -q '"name":"first"' "$home/web/status.json" && grep -q '"state":"stopped"' "$home/web/status.json"
}
claim "the page's data follow" wait_for 30 page_shows_both
claim "status.js holds what status.json holds" test \
	"$(sed 's/^talkootStatus(//;s/);$//' "$home/web/status.js" | tr -d '\n' | sed 's/"generated_at":[0-9]*//' | cksum)" = \
	"$(tr -d '\n' <"$home/web/status.json" | sed 's/"generated_at":[0-9]*//' | cksum)"
if command -v python3 >/dev/null; then
	"$talkoot" -C "$home" status first --json >"$work/first.json"
	"$talkoot" -C "$home" status --json >"$work/all.json"
	"$talkoot_peer" status --home "$work/peer-1" --json >"$work/peer.json"
	for file in "$work/first.json" "$work/all.json" "$work/peer.json" "$home/web/status.json"; do
		claim "${file##*/} is JSON" valid_json "$file"
	done
else
	skip "python3 is not installed: JSON was not parsed"
fi
coordinator_stop
claim "after an orderly end the page says so" grep -q '"serving":false' "$home/web/status.json"
claim "status works while nothing serves" prints 'first: done' "$talkoot" -C "$home" status first
finish
