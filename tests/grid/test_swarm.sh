#!/usr/bin/env bash
# Peers fetch parameters and data from each other: the coordinator sends each blob a few times however many peers there
# are, the model is the local one, and a peer whose files were spoiled while it was away passes nothing wrong on.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

# A model of some 400 KB and data of two pieces, so that blobs weigh more than messages.
wide_project() { # NAME ROUNDS [UNITS]
	write_text "$work/$1.txt" 400000 9
	cat >"$work/$1.yaml" <<-YAML
		project: {name: $1, seed: 5}
		model:   {type: char-mlp, context: 8, embedding: 16, hidden: [384, 128]}
		data:    {path: $1.txt, format: text, validation_fraction: 0.05}
		train:   {learning_rate: 2.0e-3, batch_size: 16, rounds: $2, units_per_round: ${3:-12}, inner_steps: 4}
		verify:  {policy: full, quorum: 2}
	YAML
}

number() { # JSON-FILE FIELD
	sed -n "s/.*\"$2\": *\\([0-9]*\\).*/\\1/p" "$1" | head -n 1
}

peer_number() { # PEER FIELD
	"$talkoot_peer" status --home "$work/peer-$1" --json >"$work/peer-$1.json" 2>/dev/null
	number "$work/peer-$1.json" "$2"
}

sum_over_peers() { # FIELD
	local i n sum=0
	for i in "${!peer_pids[@]}"; do
		n=$(peer_number "$i" "$1")
		sum=$((sum + ${n:-0}))
	done
	echo "$sum"
}

sent_by_coordinator() { # PROJECT
	"$talkoot" -C "$home" status "$1" --json >"$work/status.json"
	number "$work/status.json" coordinator_blob_bytes_sent
}

# The page is written anew every now and then, changed or not.
page_is_newer() { # THAN
	[ "$home/web/status.json" -nt "$1" ]
}

# Peers tell what they have fetched a moment later.
fetched_more() { # THAN
	from_peers=$(sum_over_peers blob_bytes_from_peers)
	[ "$from_peers" -gt "$1" ]
}

run_with() { # PROJECT PEERS
	local i before after
	before=$(sent_by_coordinator "$1")
	for ((i = 1; i <= $2; i++)); do
		[ -n "${peer_pids[$i]:-}" ] || peer_start "$i"
	done
	claim "$2 peers train $1 to its end" finished "$1" 180
	touch "$work/now"
	wait_for 30 page_is_newer "$work/now" || give_up "the coordinator writes its page"
	after=$(sent_by_coordinator "$1")
	sent=$((after - before))
	from_peers=$(sum_over_peers blob_bytes_from_peers)
	echo "# $2 peers: the coordinator sent $sent bytes, peers fetched $from_peers from each other so far"
}

# How often parameters were there before a lease asked for them.
came_ahead() {
	cat "$work"/peer-*.log | grep -c "are here before a lease"
}

rounds=6
wide_project few "$rounds"
want=$(local_model "$work/few.yaml")
sed 's/name: few/name: many/' "$work/few.yaml" >"$work/many.yaml"
coordinator_start
submit few "$work/few.yaml"
run_with few 3
few=$sent
for i in 4 5 6 7 8 9; do
	peer_start "$i"
done
peers_take_part 4 5 6 7 8 9
before=$from_peers
submit many "$work/many.yaml"
run_with many 9
many=$sent
# How few the coordinator's copies are, tests/swarm/test_swarm says under virtual time: one, for three peers at leisure. On
# a busy computer peers wait in vain for each other, and it sends up to three of nine.
claim "nine peers fetch more from each other than from the coordinator" wait_for 10 fetched_more $((before + many))
claim "nine peers cost the coordinator far less than nine copies" [ "$many" -lt $((5 * few)) ]

# Rounds of two units: most peers have nothing to do, and hear of each round that begins.
wide_project ahead 24 2
submit ahead "$work/ahead.yaml"
before=$(sum_over_peers blob_bytes_from_peers)
run_with ahead 9
echo "# parameters came $(came_ahead) times before a lease asked for them"
claim "parameters come ahead of the leases that need them" [ "$(came_ahead)" -ge 9 ]
claim "and mostly from other peers" wait_for 10 fetched_more $((before + sent))
claim "the model of short rounds is bit for bit the local one" \
	same "$(local_model "$work/ahead.yaml")" "$(field ahead model_digest)"
claim "the model is bit for bit the local one" same "$want" "$(field few model_digest)"
claim "and again with many peers" same "$want" "$(field many model_digest)"
claim "nothing of honest peers was rejected" [ "$(field many units_rejected)" = 0 ]
finish
