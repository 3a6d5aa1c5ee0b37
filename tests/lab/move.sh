#!/usr/bin/env bash
# Peers get another address while they fetch the parameters of their unit, as when a provider reconnects: one on a public
# host, whose old connection simply falls silent, and one behind a NAT that forgets what it had translated. Nobody else
# computes, so the model needs both of them.
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

two_homes_new() {
	public_new coordinator 203.0.113 && public_new roaming 198.51.100 10 0 8000 &&
		nat_new home port-restricted 198.18.1 10 0 8000 && host_new home 1
}
two_homes_new || give_up "two homes can be made"
text_project text 2 4 5
sed -i 's/embedding: 8, hidden: \[64\]/embedding: 24, hidden: [2048, 512]/' "$work/text.yaml"
parameter_bytes=5828960
coordinator_at coordinator

peer_start 1 roaming
peer_start 2 home-1
claim "both peers reach the coordinator" wait_for 60 peers_connected 2
submit text "$work/text.yaml"

has_received() { # SITE BYTES
	[ "$(bytes_received "$1" wan)" -ge "$2" ]
}

has_computed() { # NUMBER
	says "$work/peer-$1.log" ' computed unit '
}

for n in 1 2; do
	site=roaming
	[ "$n" = 1 ] || site=home
	wait_for 60 has_received "$site" $((parameter_bytes / 3)) || give_up "a peer fetches its parameters"
	claim "peer $n has not got all of it when its address changes" same no "$(has_computed "$n" && echo yes || echo no)"
	site_move "$site" 77
done
started=$SECONDS

is_back() { # NUMBER
	[ "$(grep -c ' connected to ' "$work/peer-$1.log")" = 2 ]
}

declare -A back=()
both_are_back() {
	local n
	for n in 1 2; do
		[ -n "${back[$n]:-}" ] || ! is_back "$n" || back[$n]=$((SECONDS - started))
	done
	[ "${#back[@]}" = 2 ]
}
claim "both come back from their new addresses" wait_for 120 both_are_back
echo "# after ${back[1]:-?} s (public host, nobody told it) and ${back[2]:-?} s (behind a NAT that forgot)"
for n in 1 2; do
	site=roaming
	[ "$n" = 1 ] || site=home
	claim "peer $n finishes its unit" wait_for 120 has_computed "$n"
	got=$(bytes_received "$site" wan)
	echo "# $site received $got bytes for $parameter_bytes of parameters"
	claim "peer $n did not fetch again what it had" test "$got" -lt $((parameter_bytes * 3 / 2))
done
claim "the public host tells others where it is now" wait_for 90 \
	says "$work/peer-1.log" 'strangers can reach us at 198\.51\.100\.77:'
claim "the project is trained to its end" finished text 240
claim_same_model text 8
finish
