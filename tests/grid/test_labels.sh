#!/usr/bin/env bash
# Labels beyond classes and characters, in a grid: a table's numbers, for which nothing shows an accuracy, and the bytes
# of a file that is no text.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

says_no_accuracy() { # FILE
	says "$1" 'validation loss' && ! says "$1" 'accuracy'
}

below() { # NUMBER LIMIT
	awk -v n="$1" -v limit="$2" 'BEGIN { exit !(n != "" && n + 0 < limit + 0) }'
}

# What the header of a safetensors file says of KEY.
metadata() { # FILE KEY
	python3 -c 'import json, sys
f = open(sys.argv[1], "rb")
print(json.loads(f.read(int.from_bytes(f.read(8), "little")))["__metadata__"].get(sys.argv[2], ""))' "$1" "$2"
}

awk 'BEGIN {
	split("spruce birch pine", tree, " ")
	x = 5
	print "height,age,tree,price"
	for (i = 0; i < 1500; i++) {
		x = (x * 16807) % 2147483647; height = x % 4000 / 100
		x = (x * 16807) % 2147483647; age = x % 150
		x = (x * 16807) % 2147483647; kind = 1 + x % 3
		print height "," age "," tree[kind] "," 100 + 3 * height - age / 2 + 10 * kind
	}
}' >"$work/prices.csv"
cat >"$work/prices.yaml" <<-YAML
	project: {name: prices, seed: 3}
	model:   {type: mlp, hidden: [16]}
	data:    {path: prices.csv, format: csv, label: price, predict: number}
	train:   {batch_size: 32, rounds: 4, units_per_round: 4, inner_steps: 20}
YAML
head -c 24000 "$talkoot" >"$work/program.bin"
cat >"$work/program.yaml" <<-YAML
	project: {name: program, seed: 3}
	model:   {type: gpt, context: 16, layers: 1, heads: 2, width: 16}
	data:    {path: program.bin, format: text, tokens: bytes}
	train:   {batch_size: 8, rounds: 3, units_per_round: 3, inner_steps: 10}
YAML

"$talkoot" check "$work/prices.yaml" >"$work/check.log" 2>&1
claim "check says what kind of number is predicted" says "$work/check.log" '^predicts +a number, [0-9.]+ ± [0-9.]+'
"$talkoot" check "$work/program.yaml" >"$work/check-bytes.log" 2>&1
claim "check says that tokens are bytes" says "$work/check-bytes.log" '^tokens +bytes'
prices=$(local_model "$work/prices.yaml")
program=$(local_model "$work/program.yaml")
claim "train shows no accuracy of numbers" says_no_accuracy "$work/prices.yaml.train.log"
claim "train shows the accuracy of bytes" says "$work/program.yaml.train.log" 'accuracy [0-9.]+ %'

coordinator_start
for i in 1 2; do
	peer_start "$i"
done
submit prices "$work/prices.yaml"
submit program "$work/program.yaml"
claim "a grid learns to predict a number" finished prices 120
claim "and the bytes of a program" finished program 120
claim "with the model of numbers that one process trains" same "$prices" "$(field prices model_digest)"
claim "and its model of bytes" same "$program" "$(field program model_digest)"
claim "the error is far below the numbers' own spread, 1" below "$(field prices validation_loss)" 0.2
claim "the bytes are guessed better than at random, 5.5" below "$(field program validation_loss)" 5

"$talkoot" -C "$home" status prices >"$work/status.log" 2>&1
claim "status shows no accuracy of numbers" says_no_accuracy "$work/status.log"
"$talkoot" -C "$home" status prices --json >"$work/status.json"
claim "to the page it is null" says "$work/status.json" '"validation_accuracy": null'
"$talkoot" -C "$home" status program --json >"$work/status.json"
claim "where there are classes it is a number" says "$work/status.json" '"validation_accuracy": [0-9]'

claim "a model of numbers is exported" "$talkoot" -C "$home" export prices -o "$work/prices.safetensors"
claim "with their mean" says <(metadata "$work/prices.safetensors" talkoot.target_mean) '^1[0-9][0-9]\.'
claim "and their deviation" says <(metadata "$work/prices.safetensors" talkoot.target_deviation) '^[0-9]+\.'
claim "a model of bytes is exported" "$talkoot" -C "$home" export program -o "$work/program.safetensors"
claim "and says what its tokens are" same bytes "$(metadata "$work/program.safetensors" talkoot.tokens)"
"$talkoot" -C "$home" sample program --length 200 >"$work/sample.bin"
claim "as many bytes as asked for are drawn, and a line's end" same 201 "$(wc -c <"$work/sample.bin")"
"$talkoot" -C "$home" sample prices >"$work/no-sample.log" 2>&1
claim "from numbers no text is drawn" says "$work/no-sample.log" 'prices is not a text model'
finish
