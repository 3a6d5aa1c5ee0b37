#!/usr/bin/env bash
# Liars whose results fit themselves: two replicas differ, and the dispute is narrowed down over the wire to the one
# step at which they part. The referee computes that step and no unit; whoever lied is retired with a proof that
# anybody can check, and the model is the one that a single process trains.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

peer_id() { # NUMBER
	"$talkoot_peer" status --home "$work/peer-$1" --json | sed -n 's/.*"peer": *"\([0-9a-f]\{16\}\).*/\1/p'
}

retired() { # NUMBER
	"$talkoot" -C "$home" status --json | grep -o "{\"id\":\"$(peer_id "$1")\"[^}]*}" |
		grep -q '"state":"retired"'
}

# A file of HOME/faults about this peer that is proven, by somebody who has nothing else.
proven() { # NUMBER KIND
	local file id
	id=$(peer_id "$1")
	for file in "$home"/faults/*.fault; do
		"$talkoot" verify-fault "$file" --network "$link" >"$work/verdict" || continue
		grep -q "$id" "$work/verdict" && grep -qE "$2" "$work/verdict" && return 0
	done
	return 1
}

coordinator_start
peer_start honest
for liar in poisoner lazy; do
	text_project "$liar" 2 4 24
	sed -i 's|quorum: 2}|quorum: 2, trace_every: 7}|' "$work/$liar.yaml"
	peer_start "$liar" --misbehave "$liar"
	wait_for 30 peers_connected 2 || give_up "the $liar connects"
	submit "$liar" "$work/$liar.yaml"
	claim "the $liar is retired" wait_for 60 retired "$liar"
	claim "a proof of its fault names one step" proven "$liar" 'step'
	peer_stop "$liar"
	peer_start "second-$liar"
	claim "the project with a $liar is finished" finished "$liar" 60
	claim "the $liar does not change a bit of the model" \
		same "$(local_model "$work/$liar.yaml")" "$(field "$liar" model_digest)"
	peer_stop "second-$liar"
done
claim "the referee computed no whole unit" test "$(grep -c recomput "$work/serve.log")" = 0
claim "the honest peer is not retired" eval '! retired honest'
finish
