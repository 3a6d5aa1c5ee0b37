#!/usr/bin/env bash
# Three honest peers and one that misbehaves, in each way it can: the project finishes with the very model that a
# single process trains, and whoever returned something wrong is caught.
#   GRID_MODES="truncate withholder mute"    only these; truncate takes two minutes and is not tried every day
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

# The peer with this id, as the page shows it: {"id":…}.
peer_object() { # ID
	"$talkoot" -C "$home" status --json | grep -o "{\"id\":\"$1\"[^}]*}"
}

peer_id() { # NUMBER
	"$talkoot_peer" status --home "$work/peer-$1" --json | sed -n 's/.*"peer": *"\([0-9a-f]\{16\}\).*/\1/p'
}

noticed() { # ID PATTERN
	peer_object "$1" | grep -qE -- "$2"
}

modes=${GRID_MODES:-corrupt garbage nonfinite huge withholder mute arithmetic}
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done

# Its owner reads what is wrong and what to do.
told_misfit() {
	"$talkoot_peer" status --home "$work/peer-arithmetic" | grep -qF 'the self-test found "log" wrong'
}

# What is said of the cheater afterwards.
caught() { # MODE ID
	case "$1" in
	corrupt | garbage | nonfinite) noticed "$2" '"state":"retired"' ;;
	huge | truncate | withholder) noticed "$2" '"units_invalid":[1-9]|"state":"retired"' ;;
	mute) noticed "$2" '"units_valid":0,' ;;
	arithmetic) noticed "$2" '"units_valid":0,' && ! noticed "$2" '"state":"retired"' && told_misfit ;;
	esac
}

# Somebody who has nothing but the file says the same, whatever this processor's best engine is.
proven() { # ID
	local file
	for file in "$home"/faults/*.fault; do
		"$talkoot" verify-fault "$file" --network "$link" >"$work/verdict" || return 1
		TALKOOT_ENGINE=scalar "$talkoot" verify-fault "$file" | grep -q '^proven' || return 1
		! grep -q "$1" "$work/verdict" || return 0
	done
	return 1
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
	submit "$mode" "$work/$mode.yaml"
	claim "with a $mode peer the project is finished by others" finished "$mode" 200
	claim "a $mode peer does not change a bit of the model" \
		same "$(local_model "$work/$mode.yaml")" "$(field "$mode" model_digest)"
	cheater=$(peer_id "$mode")
	claim "a $mode peer gains nothing by it" wait_for 10 caught "$mode" "$cheater"
	case "$mode" in
	corrupt | garbage | nonfinite)
		claim "a $mode peer's fault is proven by a file that anybody can check" proven "$cheater"
		;;
	esac
	peer_stop "$mode"
	wait_for 30 peers_connected 3 || give_up "the $mode peer leaves"
done
claim "no honest peer is retired" \
	test "$(for i in 1 2 3; do peer_object "$(peer_id "$i")"; done | grep -c '"state":"retired"')" = 0
finish
