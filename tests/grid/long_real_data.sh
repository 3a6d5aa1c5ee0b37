#!/usr/bin/env bash
# Real data, with four peers of which one returns corrupted results and one is killed and comes back at times drawn
# from a seed: on text, on MNIST and on census income the grid's model is the one that a single process trains, and it
# is good. Too long for every day: scripts/prove runs it. Needs ../shared/data.
#   GRID_SEED=N    other times
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

data=$root/../shared/data
seed=${GRID_SEED:-2026}
echo "# replay with GRID_SEED=$seed"
RANDOM=$seed

at_least() { # VALUE WANTED
	awk -v value="$1" -v wanted="$2" 'BEGIN { exit !(value != "" && value >= wanted) }'
}

write_projects() {
	data=$(cd "$data" && pwd)
	cat >"$work/text.yaml" <<-YAML
		project: {name: text, seed: 7}
		model:   {type: char-mlp, context: 16, embedding: 24, hidden: [256]}
		data:    {path: $data/tinyshakespeare.txt, format: text, validation_fraction: 0.1}
		train:   {learning_rate: 4.0e-3, batch_size: 64, rounds: 20, units_per_round: 8, inner_steps: 40}
	YAML
	cat >"$work/mnist.yaml" <<-YAML
		project: {name: mnist, seed: 1}
		model:   {type: mlp, hidden: [256]}
		data:    {path: $data/mnist10k/train-images-idx3-ubyte, labels: $data/mnist10k/train-labels-idx1-ubyte, format: idx,
		          validation_path: $data/mnist10k/t10k-images-idx3-ubyte,
		          validation_labels: $data/mnist10k/t10k-labels-idx1-ubyte}
		train:   {learning_rate: 4.0e-3, weight_decay: 1.0, batch_size: 64, rounds: 40, units_per_round: 8, inner_steps: 20}
	YAML
	cat >"$work/census.yaml" <<-YAML
		project: {name: census, seed: 1}
		model:   {type: mlp, hidden: [64]}
		data:    {path: $data/adult-train.csv, format: csv, header: false, label: last, missing: "?",
		          validation_path: $data/adult-test.csv}
		train:   {learning_rate: 2.0e-3, batch_size: 64, rounds: 40, units_per_round: 8, inner_steps: 40}
	YAML
}

# Kills peer 3 and lets it come back, as long as the project is on its way.
harass() { # PROJECT SECONDS
	local end=$((SECONDS + $2))
	while ! is_over "$1" && [ "$SECONDS" -lt "$end" ]; do
		sleep "0.$((3 + RANDOM % 7))"
		peer_kill 3
		kills=$((kills + 1))
		sleep "0.$((RANDOM % 10))"
		peer_start 3
	done
}

train() { # PROJECT NUMBER-OF-CHEATER
	kills=0
	peer_start "$2" --misbehave corrupt # a retired key gets no more work, so each project has its own cheater
	wait_for 60 peers_connected 4 || give_up "four peers connect"
	submit "$1" "$work/$1.yaml"
	harass "$1" 600
	claim "$1: trained to its end while a peer was killed $kills times" finished "$1" 60
	claim "$1: a peer was killed at least once" test "$kills" -gt 0
	claim "$1: the model is bit for bit the local one" same "$(local_model "$work/$1.yaml")" "$(field "$1" model_digest)"
	claim "$1: the corrupted results were rejected" test "$(field "$1" units_rejected)" -gt 0
	echo "# $1: loss $(field "$1" loss), validation loss $(field "$1" validation_loss), accuracy $(field "$1" validation_accuracy)"
	peer_stop "$2"
	wait_for 60 peers_connected 3
}

if [ ! -d "$data" ]; then
	skip "../shared/data is not there"
	finish
fi
write_projects
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
train text 11
train mnist 12
claim "MNIST: validation accuracy is at least 94 %" at_least "$(field mnist validation_accuracy)" 0.94
train census 13
claim "census income: validation accuracy is at least 85 %" at_least "$(field census validation_accuracy)" 0.85
finish
