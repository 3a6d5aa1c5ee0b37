#!/usr/bin/env bash
# Three peers train a text and a table; each time the grid's model is the one that a single process trains.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

text_project text 6
table_project table 8
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
submit text "$work/text.yaml"
submit table "$work/table.yaml"

claim "a text project is trained to its end" finished text 120
claim "a second project is trained besides" finished table 120
claim "on text the grid's model is bit for bit the local one" \
	same "$(local_model "$work/text.yaml")" "$(field text model_digest)"
claim "on a table the grid's model is bit for bit the local one" \
	same "$(local_model "$work/table.yaml")" "$(field table model_digest)"
"$talkoot" -C "$home" export table -o "$work/table.safetensors" >"$work/export.log" 2>&1
sed 's/name: table/name: further/; s/type: mlp/type: mlp, init: table.safetensors/' "$work/table.yaml" >"$work/further.yaml"
submit further "$work/further.yaml"
claim "an exported model is trained further" finished further 120
claim "what began with a file is bit for bit the local model too" \
	same "$(local_model "$work/further.yaml")" "$(field further model_digest)"
claim "beginning with a file gives another model" \
	test "$(field further model_digest)" != "$(field table model_digest)"
claim "another seed gives another model" \
	test "$(sed -i 's/seed: 7/seed: 8/' "$work/text.yaml" && local_model "$work/text.yaml")" != "$(field text model_digest)"
claim "each unit of the text was accepted once" same 36 "$(field text units_accepted)"
claim "each unit of the table was accepted once" same 32 "$(field table units_accepted)"
claim "nothing of honest peers was rejected" same 0 "$(field text units_rejected)"
claim "honest peers have no disputes" same 0 "$(field text disputes)"
finish
