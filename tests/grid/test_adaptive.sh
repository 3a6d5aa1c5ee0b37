#!/usr/bin/env bash
# A project under verify.policy adaptive, from real processes: peers prove themselves and then compute units alone, one
# who lies is found, the coordinator is killed, and the model is that of one process. What was computed twice is said.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

audit() {
	"$talkoot" audit "$work/text.ledger" --recompute all --data "$work/offline" >"$work/audit.log" 2>&1 </dev/null
}

rounds_merged() { # PROJECT COUNT
	[ "$(field "$1" round)" -ge "$2" ]
}

# Most are some 40 of 120: all until two peers are established, then fewer and fewer. A busy computer adds to them, as a
# peer whose results suddenly come much faster than before is trusted no more than at first. How many replicas there
# were says less: newcomers repeat what is settled, and whoever is slow has a second one beside it.
some_were_recomputed() { # AT-MOST
	local n
	n=$(sed -nE 's/.*policy adaptive: ([0-9]+) of 120 merged units computed more than once.*/\1/p' "$work/status.log")
	[ "${n:-0}" -gt 0 ] && [ "$n" -le "$1" ]
}

text_project text 10 12
sed -i 's/policy: full/policy: adaptive, audit_floor: 0.05/' "$work/text.yaml"
expected=$(local_model "$work/text.yaml")
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
peer_start 4 --misbehave poisoner
peers_take_part 1 2 3 4
submit text "$work/text.yaml"
wait_for 60 rounds_merged text 3
coordinator_kill
coordinator_start
claim "a project under policy adaptive is trained to its end over kill -9 of its coordinator" finished text 180
claim "its model is that of one process" same "$(field text model_digest)" "$expected"
claim "who poisons a newcomer's units is retired" is_retired 4
claim "and nobody else is" not_retired 1
"$talkoot" -C "$home" status text >"$work/status.log" 2>&1
claim "status says how many units were computed twice" some_were_recomputed 120
claim "far from all were" some_were_recomputed 100
"$talkoot" -C "$home" export text -o "$work/text.safetensors" >"$work/export.log" 2>&1
claim "and so does the saved model" grep -qa "policy adaptive: " "$work/text.safetensors"
"$talkoot" -C "$home" ledger text -o "$work/text.ledger" >"$work/ledger.log" 2>&1
mkdir "$work/offline" && cp "$work/text.txt" "$work/offline" && cp "$work/text.yaml" "$work/offline/project.yaml"
claim "its ledger is whole, and all of it is right when it is computed again" audit
claim "the audit knows what the draw's floor hit" says "$work/audit.log" "the floor of 5 % drew [0-9]+"
finish
