#!/usr/bin/env bash
# Disputes about units that carry a state from the round before, that add a gradient up, and whose packing feeds an
# error back: a liar joins after the first round, and one step proves it wrong in each case.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

round_merged() { # PROJECT
	says "$work/serve.log" "project $1: round 1 of"
}

project() { # NAME TRAIN
	text_project "$1" 1
	sed -i -e "s|^train:.*|train:   {learning_rate: 4.0e-3, batch_size: 16, rounds: 3, units_per_round: 3, inner_steps: 9, $2}|" \
		-e 's|quorum: 2}|quorum: 2, trace_every: 4}|' "$work/$1.yaml"
}

# The pair that is left after the first round is an honest peer and the liar.
dispute() { # PROJECT LIAR FAULT
	peer_start "$1-second"
	wait_for 30 peers_connected 2 || give_up "two honest peers connect"
	submit "$1" "$work/$1.yaml"
	wait_for 60 round_merged "$1" || give_up "the first round of $1 is merged"
	peer_stop "$1-second"
	peer_start "$1-$2" --misbehave "$2"
	claim "in $1 the $2 is retired" wait_for 60 is_retired "$1-$2"
	claim "a file proves it wrong: $3" fault_proven "$1-$2" "$3"
	peer_stop "$1-$2"
	peer_start "$1-third"
	claim "$1 is finished" finished "$1" 60
	claim "$1 has the model that a single process trains" \
		same "$(local_model "$work/$1.yaml")" "$(field "$1" model_digest)"
	peer_stop "$1-third"
}

project average 'inner_state: average'
project sparse 'inner_state: average, compression: sparseloco'
project gradient 'mode: gradient, outer: {optimizer: adamw}'
project momentum 'optimizer: sgd, momentum: 0.9, inner_state: average'
coordinator_start
peer_start honest
dispute average poisoner 'step 9 of 9'
dispute sparse garbage packing
dispute gradient lazy 'step [0-9] of 9'
dispute momentum plagiarist 'step 1 of 9'
claim "the honest peer is not retired" not_retired honest
finish
