#!/usr/bin/env bash
# Half of twenty peers die at once, killed with -9 in the midst of their units, and never come back. The other half
# trains on to the same model.
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

internet_new || give_up "the lab's internet can be made"
text_project text 12 12 40
coordinator_at coordinator
peers_start
claim "twenty peers reach the coordinator" wait_for 60 peers_connected 20
submit text "$work/text.yaml"
wait_for 120 has_accepted text 36
died_at=$(field text units_accepted)
for i in "${!internet_hosts[@]}"; do
	[ $((i % 2)) = 0 ] || peer_kill "$i"
done
started=$SECONDS
claim "ten of them die while there is work to do" same no "$(is_over text && echo yes || echo no)"
claim "the training goes on without them" wait_for 180 has_accepted text $((died_at + 24))
echo "# two rounds' worth of units after $((SECONDS - started)) s"
claim "the project is trained to its end" finished text 300
claim_same_model text 144
finish
