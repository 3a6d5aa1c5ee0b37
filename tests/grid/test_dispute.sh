#!/usr/bin/env bash
# Liars whose results fit themselves: two replicas differ, and the dispute is narrowed down over the wire to the one
# step at which they part. The referee computes that step and no unit; whoever lied is retired with a proof that
# anybody can check, and the model is the one that a single process trains.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

no_unit_recomputed() {
	! grep -q 'recomputing it' "$work/serve.log"
}

coordinator_start
peer_start honest
for liar in poisoner lazy; do
	text_project "$liar" 2 4 24
	sed -i 's|quorum: 2}|quorum: 2, trace_every: 7}|' "$work/$liar.yaml"
	peer_start "$liar" --misbehave "$liar"
	wait_for 30 peers_connected 2 || give_up "the $liar connects"
	submit "$liar" "$work/$liar.yaml"
	claim "the $liar is retired" wait_for 60 is_retired "$liar"
	claim "a file proves one step of the $liar wrong" fault_proven "$liar" 'step [0-9]+ of 24'
	peer_stop "$liar"
	peer_start "after-$liar"
	claim "the project with a $liar is finished" finished "$liar" 60
	claim "a $liar does not change a bit of the model" \
		same "$(local_model "$work/$liar.yaml")" "$(field "$liar" model_digest)"
	peer_stop "after-$liar"
done
# What erred, was mended, and passes the self-test: its owner vouches for it, once.
"$talkoot" -C "$home" readmit "$(peer_id poisoner)" >"$work/readmit.log" || give_up "a retired peer can be let back"
claim "whom the owner lets back is not retired any more" wait_for 30 not_retired poisoner
text_project again 1 4
peer_start poisoner
submit again "$work/again.yaml"
claim "a project with a mended peer is finished" finished again 60
claim "its results are valid again" peer_shows poisoner '"units_valid":[1-9]'
claim "the referee has computed steps and no unit" no_unit_recomputed
claim "the honest peer is not retired" not_retired honest
finish
