#!/usr/bin/env bash
# The lab in small: a public host far away on a lossy line and three behind two NATs train a model, through a NAT that
# gets another address and a coordinator that is silent for a while. Skips where namespaces are not permitted; the whole
# lab is `make lab`.
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

small_internet_new() {
	public_new coordinator 203.0.113 && public_new far 198.51.100 50 10 &&
		nat_new port port-restricted 198.18.1 && host_new port 1 && host_new port 2 &&
		nat_new symmetric symmetric 198.18.2 10 && host_new symmetric 1
}
small_internet_new || give_up "an internet of namespaces can be made"
text_project text 6 6 20
coordinator_at coordinator
hosts=(far port-1 port-2 symmetric-1)
for i in "${!hosts[@]}"; do
	peer_start "$i" "${hosts[i]}"
done
claim "four peers, three of them behind NATs, reach the coordinator" wait_for 60 peers_connected 4
submit text "$work/text.yaml"
claim "they train" wait_for 60 has_accepted text 6
site_move port 77
link_cut coordinator
sleep 2
link_heal coordinator
claim "the project is trained to its end" finished text 120
claim_same_model text 36
finish
