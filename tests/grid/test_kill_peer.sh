#!/usr/bin/env bash
# Peers are killed with -9 and come back, at points of the training drawn from a seed: the model is the one that a single process trains.
#   GRID_KILLS=20 GRID_SEED=N    more kills, other points
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

kills=${GRID_KILLS:-5}
seed=${GRID_SEED:-4711}
echo "# replay with GRID_KILLS=$kills GRID_SEED=$seed"
RANDOM=$seed

children_of() { # PID
	cat "/proc/$1/task/"*/children 2>/dev/null
}

all_gone() { # PID...
	local pid
	for pid in "$@"; do
		kill -0 "$pid" 2>/dev/null && return 1
	done
	return 0
}

rounds=$((8 * kills)) units=6
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

killed=0 workers=()
while [ "$killed" -lt "$kills" ]; do
	wait_for 120 reached $((rounds * units * killed / (kills + 1) + RANDOM % units)) || break
	is_over text && break
	i=$((1 + RANDOM % 3))
	read -ra children < <(children_of "${peer_pids[$i]}") || true
	workers+=("${children[@]}")
	peer_kill "$i"
	killed=$((killed + 1))
	sleep "0.$((RANDOM % 10))"
	peer_start "$i"
done
claim "the project outlived $kills kills" same "$kills" "$killed"
claim "a killed agent's worker does not live on" wait_for 20 all_gone "${workers[@]}"
claim "the project is trained to its end" finished text 240
claim "the model is bit for bit the local one" same "$(local_model "$work/text.yaml")" "$(field text model_digest)"
claim "each unit was accepted exactly once" same $((rounds * units)) "$(field text units_accepted)"
claim "a peer that comes back is not blamed" same 0 "$(field text units_rejected)"
finish
