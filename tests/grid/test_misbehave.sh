#!/usr/bin/env bash
# Three honest peers and one that misbehaves, in each way it can: the project finishes with the very model that a
# single process trains, and whoever returned something wrong is caught.
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

text_project honest 3
want=$(local_model "$work/honest.yaml")
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done

try_mode() { # NUMBER MODE PATTERN CLAIM
	sed "s/name: honest/name: $2/" "$work/honest.yaml" >"$work/$2.yaml"
	peer_start "$1" --misbehave "$2"
	wait_for 30 peers_connected 4 || give_up "the $2 peer connects"
	submit "$2" "$work/$2.yaml"
	claim "with a $2 peer the project is finished by others" finished "$2" 150
	claim "a $2 peer does not change a bit of the model" same "$want" "$(field "$2" model_digest)"
	claim "$4" wait_for 20 noticed "$(peer_id "$1")" "$3"
	peer_stop "$1"
	wait_for 30 peers_connected 3
}

try_mode 11 corrupt '"state":"retired"' "a peer that corrupts its results is retired"
try_mode 12 garbage '"state":"retired"' "a peer that sends garbage is retired"
try_mode 13 nonfinite '"state":"retired"' "a peer that claims a non-finite result is retired"
try_mode 14 truncate '"units_invalid":[1-9]|"state":"retired"' "a peer that cuts its payload short is noticed"
try_mode 15 huge '"units_invalid":[1-9]|"state":"retired"' "a peer that sends too much is noticed"
try_mode 16 silent '"timeouts":[1-9]' "a peer that never answers runs out of time"
try_mode 17 mute '"units_invalid":[1-9]|"state":"retired"' "a peer that does not open what it committed to is noticed"
claim "honest peers are never retired" test "$(for i in 1 2 3; do peer_object "$(peer_id "$i")"; done | grep -c retired)" = 0
finish
