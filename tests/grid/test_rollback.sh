#!/usr/bin/env bash
# Under verify.policy adaptive, from real processes: an esteemed peer poisons its units, which nobody draws, and rounds
# are merged with them. Then it is caught at something else. Its units are computed again, the rounds are taken back, the
# coordinator is killed on the way, and the model is that of one process.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

command -v python3 >/dev/null || {
	skip "python3 is not here, and only years of good work would make a peer esteemed"
	finish
}

# Everybody whom the coordinator knows is esteemed now: what such a peer hands in is drawn once in 1,000 times, and its audits may wait.
esteem() {
	python3 - "$home/store.sqlite" <<-'PYTHON'
		import sqlite3, sys
		with sqlite3.connect(sys.argv[1], timeout=10) as store:
		    store.execute("UPDATE peer SET trust = 1000000, credit_flops = 1000000000000000")
	PYTHON
}

rounds_merged() { # PROJECT COUNT
	[ "$(field "$1" round)" -ge "$2" ]
}

audit() {
	"$talkoot" audit "$work/text.ledger" --recompute all --data "$work/offline" >"$work/audit.log" 2>&1 </dev/null
}

known() { # NUMBER: the coordinator has a row of it
	peer_shows "$1" '"state":"(connected|away)"'
}

valid() { # NUMBER
	"$talkoot" -C "$home" status --json | grep -o "{\"id\":\"$(peer_id "$1")\"[^}]*}" |
		sed -n 's/.*"units_valid":\([0-9]*\).*/\1/p'
}

# The peer has more units accepted than COUNT, and more rounds are merged than ROUNDS; or it was found out.
merged_more_than() { # NUMBER COUNT ROUNDS
	is_retired "$1" || { [ "$(valid "$1")" -gt "$2" ] && [ "$(field text round)" -gt "$3" ]; }
}

# The peer is poisoner from now on, until a round is merged with its units. Fails when somebody happened to compute one of
# them, too, and it was found out before.
poison() { # NUMBER
	local before count
	peer_stop "$1"
	before=$(field text round) count=$(valid "$1")
	peer_start "$1" --misbehave poisoner # it has all data: nobody takes it for slow, and its units for himself
	wait_for 60 merged_more_than "$1" $((count + 2)) $((before + 1)) || return 1
	peer_stop "$1"
	echo "# peer $1: rounds merged: $before, then $(field text round) with a poisoner"
	not_retired "$1"
}

text_project text 18 6 600
sed -i 's/policy: full/policy: adaptive, audit_floor: 0.001, settle_rounds: 8/' "$work/text.yaml"
expected=$(local_model "$work/text.yaml")
coordinator_start
for i in 1 2 3 4; do
	peer_start "$i"
	wait_for 30 known "$i" || give_up "the coordinator knows peer $i"
done
coordinator_kill
esteem
coordinator_start
wait_for 30 peers_connected 4
submit text "$work/text.yaml"
wait_for 60 rounds_merged text 1
liar=3
poison 3 || { liar=4 && poison 4; }
peer_start "$liar" --misbehave equivocator
claim "the poisoner is caught, if not at this, at something else" wait_for 60 is_retired "$liar"
claim "what it had merged proves wrong, and the rounds are taken back" \
	wait_for 60 says "$work/serve.log" "rolled back to round [0-9]+ because unit [0-9]+ of peer [0-9a-f]+ proved wrong"
coordinator_kill
coordinator_start
claim "the project is trained to its end over kill -9 of its coordinator" finished text 240
claim "its model is that of one process" same "$(field text model_digest)" "$expected"
claim "nobody else is retired" not_retired 1
"$talkoot" -C "$home" status text >"$work/status.log" 2>&1
claim "status says what was taken back, and why" \
	says "$work/status.log" "rolled back to round [0-9]+ because unit [0-9]+ of peer $(peer_id "$liar") proved wrong"
unit=$(sed -nE 's/.*rolled back to round ([0-9]+) because unit ([0-9]+) of.*/\1.\2/p' "$work/status.log" | tail -n 1)
"$talkoot" -C "$home" explain text "$unit" >"$work/explain.log" 2>&1
claim "the unit's story says so, too" says "$work/explain.log" "which proved wrong: its round was taken back"
"$talkoot" -C "$home" ledger text -o "$work/text.ledger" >"$work/ledger.log" 2>&1
mkdir "$work/offline" && cp "$work/text.txt" "$work/offline" && cp "$work/text.yaml" "$work/offline/project.yaml"
claim "its ledger is whole, and all that stands is right when it is computed again" audit
claim "the audit tells of the rollbacks" says "$work/audit.log" "[0-9]+ rollbacks took [0-9]+ merges back"
finish
