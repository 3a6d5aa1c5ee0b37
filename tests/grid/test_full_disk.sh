#!/usr/bin/env bash
# In the middle of a run the coordinator's files may not grow any more, as on a full disk: it says so and keeps trying,
# loses nothing that was accepted, and as soon as there is room it goes on by itself, where its peers look for it, to
# the very model that a single process trains.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

# The log lies on the same disk: 4096 bytes hold that of all rounds and of a few stalls.
rounds=30 units=6

# shellcheck disable=SC2317 # called by wait_for
begun() {
	[ "$(field text units_accepted)" -gt 0 ]
}

# shellcheck disable=SC2317 # called by wait_for
stalled() { # TIMES
	[ "$(grep -cE 'cannot go on: .*(disk|too large).*trying again' "$work/serve.log")" -ge "$1" ]
}

# The soft limit on the size of the coordinator's files.
disk_holds() { # BYTES
	prlimit --pid "$coordinator" --fsize="$1":unlimited
}

address_invited() {
	"$talkoot" invite "$home" | sed 's/.*@//'
}

if ! command -v prlimit >/dev/null; then
	skip "prlimit is not there"
	finish
fi
text_project text "$rounds" "$units" 60
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
submit text "$work/text.yaml"
wait_for 60 begun || give_up "the project gets under way"
before=$(field text units_accepted)
disk_holds 4096
claim "it says that it cannot go on, and tries again" wait_for 60 stalled 2
claim "it does not end" kill -0 "$coordinator"
accepted=$(field text units_accepted)
claim "what was accepted before is still there" test "$accepted" -ge "$before"
claim "and it was not all" test "$accepted" -lt $((rounds * units))
disk_holds unlimited
claim "with room again it goes on by itself, to the end" finished text 240
claim "it is found where it was before" same "$address" "$(address_invited)"
claim "all peers have come back to it" wait_for 90 peers_connected 3
claim "each unit was accepted exactly once" same $((rounds * units)) "$(field text units_accepted)"
claim "the model is bit for bit the local one" same "$(local_model "$work/text.yaml")" "$(field text model_digest)"
claim "honest peers were not blamed for it" same 0 "$(field text units_rejected)"
finish
