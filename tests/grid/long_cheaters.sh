#!/usr/bin/env bash
# Two honest peers among one of each kind of cheater: garbage, lazy, plagiarist, poisoner, withholder, equivocator. The
# project is finished with the very model that a single process trains; everybody who returned something wrong is
# retired with a proof that anybody can check, the withholder only waits, no honest peer is touched, and the ledger stands
# when all of it is computed again. Takes a minute.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

liars="garbage lazy plagiarist poisoner withholder equivocator"

coordinator_start
text_project cheaters 4 12 24
sed -i 's/quorum: 2}/quorum: 2, trace_every: 7}/' "$work/cheaters.yaml"
peer_start 1
peer_start 2
for liar in $liars; do
	peer_start "$liar" --misbehave "$liar"
done
wait_for 60 peers_connected 8 || give_up "all eight connect"
submit cheaters "$work/cheaters.yaml"
claim "the project is finished" finished cheaters 300
claim "six of eight who cheat do not change a bit of the model" \
	same "$(local_model "$work/cheaters.yaml")" "$(field cheaters model_digest)"
for liar in garbage lazy plagiarist poisoner; do
	claim "the $liar is retired" is_retired "$liar"
done
# Mostly a step; who was late is judged by the whole unit.
for liar in garbage lazy plagiarist poisoner; do
	claim "a file proves the $liar wrong" fault_proven "$liar" '(step|packing|the result)'
done
claim "disputes are settled by steps" grep -q 'one step computed' "$work/serve.log"
claim "the equivocator is retired" is_retired equivocator
claim "a file proves that the equivocator committed twice" fault_proven equivocator '.*commit'
claim "the withholder has nothing that is valid" peer_shows withholder '"units_valid":0,'
"$talkoot" -C "$home" ledger cheaters -o "$work/cheaters.ledger" >"$work/ledger.log" 2>&1 || give_up "a ledger can be written"
claim "another engine gets all units of the ledger again" \
	env TALKOOT_ENGINE=scalar "$talkoot" audit "$work/cheaters.ledger" --recompute all --data "$home"
claim "the first honest peer is not retired" not_retired 1
claim "nor is the second" not_retired 2
finish
