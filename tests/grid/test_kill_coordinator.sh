#!/usr/bin/env bash
# The coordinator is killed with -9 again and again, at points of the training drawn from a seed: the model is the one that a single
# process trains, and no accepted unit is lost on the way.
#   GRID_KILLS=20 GRID_SEED=N    more kills, other points
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

kills=${GRID_KILLS:-5}
seed=${GRID_SEED:-1337}
rounds=$((12 * kills)) units=6
echo "# replay with GRID_KILLS=$kills GRID_SEED=$seed"
RANDOM=$seed

text_project text "$rounds" "$units" 60
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
submit text "$work/text.yaml"

# The kills are paced by what has been trained, not by a clock: the last one comes well before the end on any machine.
reached() { # UNITS
	[ "$(field text units_accepted)" -ge "$1" ] || is_over text
}

killed=0 accepted=0 lost=no stuck=no
while [ "$killed" -lt "$kills" ]; do
	goal=$((rounds * units * killed / (kills + 1) + RANDOM % (2 * units)))
	[ "$goal" -gt "$accepted" ] || goal=$((accepted + 1)) # it must go on after every kill
	wait_for 120 reached "$goal" || stuck=yes
	if [ "$stuck" = yes ] || is_over text; then
		break
	fi
	sleep "0.0$((RANDOM % 10))" # anywhere within a unit's way
	before=$(field text units_accepted)
	coordinator_kill
	accepted=$(field text units_accepted)
	[ "$accepted" -ge "$before" ] || lost="of $before units accepted $accepted were left"
	killed=$((killed + 1))
	coordinator_start
	[ "$(field text units_accepted)" -ge "$accepted" ] || lost="of $accepted units accepted fewer came back"
done
echo "# killed $killed times; round $(field text round) of $rounds at the last kill"
claim "the project outlived $kills kills" same "$kills" "$killed"
claim "after every kill it went on" same no "$stuck"
claim "no accepted unit was lost" same no "$lost"
claim "the project is trained to its end" finished text 240
claim "the model is bit for bit the local one" same "$(local_model "$work/text.yaml")" "$(field text model_digest)"
claim "each unit was accepted exactly once" same $((rounds * units)) "$(field text units_accepted)"
claim "honest peers were not blamed for it" same 0 "$(field text units_rejected)"
finish
