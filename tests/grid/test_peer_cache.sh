#!/usr/bin/env bash
# The coordinator is gone, killed with -9: a peer that was killed, too, and comes back on another port finds the others by
# its file of peers.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
all() {
	peers_connected 3
}
claim "three volunteers meet the coordinator" wait_for 60 all

remembers() { # PEER
	[ -s "$work/peer-$1/peers" ]
}
remember() {
	remembers 1 && remembers 2 && remembers 3
}
claim "each keeps a file of the others soon, not only when it stops" wait_for 60 remember

coordinator_kill
peer_kill 3
rm "$work/peer-3/status.json"
peer_start 3
has_neighbours() {
	grep -qE '"neighbours": ?[1-9]' "$work/peer-3/status.json" 2>/dev/null
}
claim "one that comes back meets them without the coordinator" wait_for 60 has_neighbours
claim "its log says what it tried" says "$work/peer-3.log" 'trying peers that were there before'

coordinator_start
claim "when the coordinator is back, all meet it again" wait_for 90 all
finish
