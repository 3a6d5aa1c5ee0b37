#!/usr/bin/env bash
# Peers that compute with different instruction sets, in one grid: their results agree bit for bit, so no unit is
# disputed, and the model is the one that a single process trains with any of them.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

text_project text 4
table_project table 4
export TALKOOT_ENGINE=none
claim "an engine that does not exist is refused, and the others are named" \
	says <("$talkoot" train "$work/text.yaml" 2>&1) 'no engine "none" on this computer; choose from baseline'
claim "a peer refuses it, too" says <("$talkoot_peer" run --home "$work/nowhere" 2>&1) 'choose from baseline'
unset TALKOOT_ENGINE

engines=(baseline)
grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo && engines+=(avx2)
grep -qw avx512vl /proc/cpuinfo && grep -qw avx512dq /proc/cpuinfo && engines+=(avx512)
for project in text table; do
	want=$(TALKOOT_ENGINE=baseline local_model "$work/$project.yaml")
	for engine in "${engines[@]:1}"; do
		claim "on $project, $engine trains the model that baseline trains" \
			same "$want" "$(TALKOOT_ENGINE=$engine local_model "$work/$project.yaml")"
	done
done

# A processor of 2008, emulated, stands for all that have no fused multiply-add. Sanitizers do not run there.
old=(qemu-x86_64 -cpu Nehalem)
if "${old[@]}" "$talkoot" --version >/dev/null 2>&1; then
	text_project slow 1 1 2
	"${old[@]}" "$talkoot" train "$work/slow.yaml" >"$work/slow.out" 2>"$work/slow.err" </dev/null
	claim "without fused multiply-adds in hardware, training says that it is slow" \
		says "$work/slow.err" 'no fused multiply-add .* many times slower'
	claim "and gives the same model" same "$(digest_in "$work/slow.out")" "$(local_model "$work/slow.yaml")"
else
	skip "no qemu-x86_64 that runs this program: a processor without fused multiply-adds"
fi
[ "${#engines[@]}" = 1 ] || claim "where they are in hardware, nothing is said" \
	same "$(grep -c 'multiply-add' "$work/text.yaml.train.log")" 0

coordinator_start
for i in 1 2 3; do # where there is one engine only, all three have it
	TALKOOT_ENGINE=${engines[i % ${#engines[@]}]} peer_start "$i"
done
wait_for 30 peers_connected 3 || give_up "three peers connect"
submit text "$work/text.yaml"
submit table "$work/table.yaml"
claim "a grid of ${engines[*]} trains a text to its end" finished text 120
claim "and a table" finished table 120
claim "with baseline's model on the text" same "$(TALKOOT_ENGINE=baseline local_model "$work/text.yaml")" "$(field text model_digest)"
claim "and on the table" same "$(TALKOOT_ENGINE=baseline local_model "$work/table.yaml")" "$(field table model_digest)"
claim "no unit of the text is disputed" same 0 "$(field text disputes)"
claim "nor of the table" same 0 "$(field table disputes)"
"$talkoot" -C "$home" status --json >"$work/status.out"
for engine in "${engines[@]}"; do
	claim "a peer has said that it computes with $engine" says "$work/status.out" "\"engine\": *\"$engine\""
done
finish
