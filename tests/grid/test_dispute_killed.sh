#!/usr/bin/env bash
# In the middle of a dispute the honest side is killed, then the coordinator: both come back and go on from what is on
# disk, the liar is retired all the same, and nobody else.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

disputed() { # PROJECT
	says "$work/serve.log" "of $1 is disputed"
}

coordinator_start
peer_start honest
for killed in peer coordinator; do
	liar=$killed-poisoner
	text_project "$killed" 1 2 1200
	sed -i 's|quorum: 2}|quorum: 2, trace_every: 100}|' "$work/$killed.yaml"
	peer_start "$liar" --misbehave poisoner
	wait_for 30 peers_connected 2 || give_up "the liar connects"
	submit "$killed" "$work/$killed.yaml"
	wait_for 60 disputed "$killed" || give_up "a dispute begins"
	if [ "$killed" = peer ]; then
		peer_kill honest
		peer_start honest
	else
		coordinator_kill
		coordinator_start
	fi
	claim "a dispute goes on after a $killed was killed: the liar is retired" wait_for 150 is_retired "$liar"
	claim "and a file proves one step wrong" fault_proven "$liar" 'step 1200 of 1200'
	peer_stop "$liar"
	peer_start "after-$killed"
	claim "the project is finished" finished "$killed" 100
	claim "with the model that a single process trains" \
		same "$(local_model "$work/$killed.yaml")" "$(field "$killed" model_digest)"
	peer_stop "after-$killed"
done
claim "the honest peer is not retired" not_retired honest
finish
