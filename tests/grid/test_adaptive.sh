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

fewer_than_twice_as_many() { # PROJECT
	[ "$(field "$1" replicas)" -lt $((2 * $(field "$1" units_accepted) - 20)) ]
}

some_were_recomputed() {
	local n
	n=$(sed -nE 's/.*policy adaptive: ([0-9]+) of 120 merged units computed more than once.*/\1/p' "$work/status.log")
	[ "${n:-0}" -gt 0 ] && [ "$n" -lt 120 ]
}

text_project text 10 12
sed -i 's/policy: full/policy: adaptive, audit_floor: 0.05/' "$work/text.yaml"
expected=$(local_model "$work/text.yaml")
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
peer_start 4 --misbehave poisoner
submit text "$work/text.yaml"
wait_for 60 rounds_merged text 3
coordinator_kill
coordinator_start
claim "a project under policy adaptive is trained to its end over kill -9 of its coordinator" finished text 180
claim "its model is that of one process" same "$(field text model_digest)" "$expected"
claim "who poisons a newcomer's units is retired" is_retired 4
claim "and nobody else is" not_retired 1
claim "far from all units were computed twice" fewer_than_twice_as_many text
"$talkoot" -C "$home" status text >"$work/status.log" 2>&1
claim "status says how many were" some_were_recomputed
"$talkoot" -C "$home" export text -o "$work/text.safetensors" >"$work/export.log" 2>&1
claim "and so does the saved model" grep -qa "policy adaptive: " "$work/text.safetensors"
"$talkoot" -C "$home" ledger text -o "$work/text.ledger" >"$work/ledger.log" 2>&1
mkdir "$work/offline" && cp "$work/text.txt" "$work/offline" && cp "$work/text.yaml" "$work/offline/project.yaml"
claim "its ledger is whole, and all of it is right when it is computed again" audit
claim "the audit knows what the draw's floor hit" says "$work/audit.log" "the floor of 5 % drew [0-9]+"
finish
