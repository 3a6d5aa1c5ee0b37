#!/usr/bin/env bash
# Three honest peers and one that misbehaves, in each way it can: the project finishes with the very model that a
# single process trains, and whoever returned something wrong is caught.
#   GRID_MODES="truncate withholder mute"    only these; truncate takes two minutes and is not tried every day
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

modes=${GRID_MODES:-corrupt garbage nonfinite huge withholder mute arithmetic}
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
peers_take_part 1 2 3

# Its owner reads what is wrong and what to do.
told_misfit() {
	"$talkoot_peer" status --home "$work/peer-arithmetic" | grep -qF 'the self-test found "log" wrong'
}

# Its self-test is over, whatever came of it.
tested() { # MODE
	if [ "$1" = arithmetic ]; then told_misfit; else is_tested "$1"; fi
}

honest_peers() { # SIGNAL
	kill "-$1" "${peer_pids[1]}" "${peer_pids[2]}" "${peer_pids[3]}"
}

# Who is late cheats nobody: the honest peers are held until the cheater has a result, however slow it is.
submit_to_cheater_first() { # MODE
	honest_peers STOP
	submit "$1" "$work/$1.yaml"
	wait_for 30 says "$work/peer-$1.log" 'computed unit' || give_up "the $1 peer computes a unit"
	honest_peers CONT
}

# What is said of the cheater afterwards.
caught() { # MODE
	case "$1" in
	corrupt | garbage | nonfinite) is_retired "$1" ;;
	huge | truncate | withholder) peer_shows "$1" '"units_invalid":[1-9]|"state":"retired"' ;;
	mute) peer_shows "$1" '"units_valid":0,' && says "$work/peer-mute.log" 'lease: unit' ;;
	arithmetic) peer_shows "$1" '"units_valid":0,' && not_retired "$1" && told_misfit ;;
	esac
}

# One round suffices for those whom the coordinator waits for. Each mode has a peer of its own: whoever is retired does
# not come back.
for mode in $modes; do
	case "$mode" in
	withholder | truncate | mute | arithmetic) text_project "$mode" 1 ;;
	*) text_project "$mode" 3 ;;
	esac
	peer_start "$mode" --misbehave "$mode"
	wait_for 30 peers_connected 4 || give_up "the $mode peer connects"
	wait_for 60 tested "$mode" || give_up "the $mode peer's self-test ends"
	case "$mode" in
	huge | truncate | withholder) submit_to_cheater_first "$mode" ;;
	*) submit "$mode" "$work/$mode.yaml" ;;
	esac
	claim "with a $mode peer the project is finished by others" finished "$mode" 200
	claim "a $mode peer does not change a bit of the model" \
		same "$(local_model "$work/$mode.yaml")" "$(field "$mode" model_digest)"
	claim "a $mode peer gains nothing by it" wait_for 10 caught "$mode"
	case "$mode" in
	corrupt | garbage | nonfinite)
		claim "a $mode peer's fault is proven by a file that anybody can check" fault_proven "$mode" '(step|packing|the result)'
		;;
	esac
	peer_stop "$mode"
	wait_for 30 peers_connected 3 || give_up "the $mode peer leaves"
done
for i in 1 2 3; do
	claim "honest peer $i is not retired" not_retired "$i"
done
finish
