#!/usr/bin/env bash
# Twenty peers train: five on public hosts, three behind each kind of NAT, some of them on slow, lossy or narrow links.
# The model is, bit for bit, the one that a single process trains.
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

all_have_met() {
	[ "$(grep -lE ' peer [0-9a-f]{16}: (direct|relayed|punched)' "$work"/peer-*.log | wc -l)" = 20 ]
}

internet_new || give_up "the lab's internet can be made"
text_project text 6 12 20
coordinator_at coordinator
peers_start
claim "twenty peers behind NATs and slow links reach the coordinator" wait_for 60 peers_connected 20
submit text "$work/text.yaml"
claim "the project is trained to its end" finished text 300
claim_same_model text 72
claim "every peer has met others" wait_for 60 all_have_met
sleep 30 # a punch takes a while
ways_print
traffic_print
finish
