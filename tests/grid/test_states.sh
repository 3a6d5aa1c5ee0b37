#!/usr/bin/env bash
# Slots carry states from round to round, and rounds are merged, in every way that recipes know. Three peers with different instructions train; one of them is
# killed and comes back, and so does the coordinator: each model is the one that a single process trains.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

engines=(baseline)
grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo && engines+=(avx2)
grep -qw avx512vl /proc/cpuinfo && grep -qw avx512dq /proc/cpuinfo && engines+=(avx512)

# Replaces a key's line of a project; what follows up to the next key goes, too.
set_key() { # PROJECT KEY VALUE
	awk -v key="$2" -v value="$3" '
		/^[a-z]/ { skip = index($0, key ":") == 1; if (skip) print key ": " value }
		!skip { print }' "$work/$1.yaml" >"$work/$1.new"
	mv "$work/$1.new" "$work/$1.yaml"
}

# A table of 64 numbers a row that are pictures of 8 by 8, and a label for where they are bright.
write_pictures() { # FILE ROWS SEED
	awk -v rows="$2" -v seed="$3" 'BEGIN {
		x = seed
		for (i = 0; i < rows; i++) {
			x = (x * 16807) % 2147483647; bright = x % 3
			for (j = 0; j < 64; j++) {
				x = (x * 16807) % 2147483647
				printf "%d,", x % 100 + (int(j / 22) == bright ? 60 : 0)
			}
			print "abc" bright
		}
	}' >"$1"
}

for name in average sparse gradient gpt krum trimmed; do
	text_project "$name" 4 4 8
done
write_text "$work/gpt.txt" 3000 5
write_pictures "$work/cnn.csv" 300 9
text_project cnn 4 4 8
set_key average train '{learning_rate: 4.0e-3, batch_size: 32, rounds: 5, units_per_round: 4, inner_steps: 8, inner_state: average}'
set_key sparse train '{learning_rate: 4.0e-3, batch_size: 32, rounds: 5, units_per_round: 4, inner_steps: 8, inner_state: average, compression: sparseloco}'
set_key gradient train '{mode: gradient, learning_rate: 4.0e-3, batch_size: 16, rounds: 8, units_per_round: 3, inner_steps: 4, outer: {optimizer: adamw}}'
set_key gpt model '{type: gpt, layers: 1, heads: 2, width: 16, context: 16}'
set_key gpt train '{learning_rate: 1.0e-3, batch_size: 4, accumulate: 2, rounds: 3, units_per_round: 3, inner_steps: 6, inner_state: average, compression: sparseloco}'
set_key cnn model '{type: cnn, channels: [4, 4], hidden: [16], image: [1, 8, 8]}'
set_key cnn data '{path: cnn.csv, format: csv, header: false, label: last, validation_fraction: 0.1}'
set_key cnn train '{optimizer: sgd, momentum: 0.9, learning_rate: 1.0e-2, batch_size: 8, rounds: 3, units_per_round: 3, inner_steps: 6, inner_state: average}'
set_key krum train '{learning_rate: 4.0e-3, batch_size: 8, rounds: 3, units_per_round: 5, inner_steps: 4, inner_state: average, compression: sparseloco, merge: multi_krum}'
set_key trimmed train '{mode: gradient, learning_rate: 4.0e-3, batch_size: 8, rounds: 3, units_per_round: 3, inner_steps: 2, merge: trimmed_mean}'
projects=(average sparse gradient gpt cnn krum trimmed)

coordinator_start
for i in 1 2 3; do # where there is one engine only, all three have it
	TALKOOT_ENGINE=${engines[i % ${#engines[@]}]} peer_start "$i"
done
for name in "${projects[@]}"; do
	submit "$name" "$work/$name.yaml"
done

reached() { # PROJECT UNITS
	[ "$(field "$1" units_accepted)" -ge "$2" ] || is_over "$1"
}
blobs() {
	find "$home/blobs" -type f | wc -l
}

wait_for 60 reached average 7
coordinator_kill
coordinator_start
claim "a coordinator that was killed goes on with the states of its round" wait_for 60 reached average 9
wait_for 60 reached sparse 7
peer_kill 1
peer_start 1
for name in "${projects[@]}"; do
	claim "$name is trained to its end" finished "$name" 120
	claim "the grid's $name is bit for bit the local one" \
		same "$(local_model "$work/$name.yaml")" "$(field "$name" model_digest)"
	claim "nobody disputed a unit of $name" same 0 "$(field "$name" disputes)"
done
finish
