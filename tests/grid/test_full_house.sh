#!/usr/bin/env bash
# Eight peers at a coordinator that has places for three: they come and go in turns, and train the same model. Who is
# refused comes back by chance and ever more rarely, so it may take one of them minutes to have been in.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

places=3
serve_options=(--connections "$places")
text_project text 6 8 40
coordinator_start
for i in 1 2 3 4 5 6 7 8; do
	peer_start "$i"
done

# How many peers have been told by words, and how many have been let in.
told() { # COUNT
	[ "$(grep -l 'is full; waiting for a place' "$work"/peer-*.log | wc -l)" -ge "$1" ]
}

been_in() { # COUNT
	[ "$(grep -l ' connected to ' "$work"/peer-*.log | wc -l)" -ge "$1" ]
}

all_hear() {
	[ "$(grep -l 'the network has a project: text' "$work"/peer-*.log | wc -l)" = 8 ]
}

claim "those for whom there is no place are told so" wait_for 30 told 5
claim "without work everybody gets in, one after the other" wait_for 150 been_in 8
submit text "$work/text.yaml"
claim "all hear of the project, with a place or without" wait_for 60 all_hear
claim "all rounds are finished" finished text 240
claim "the grid's model is bit for bit the local one" same "$(local_model "$work/text.yaml")" "$(field text model_digest)"
claim "each unit was accepted once" same 48 "$(field text units_accepted)"
claim "nothing of honest peers was rejected" same 0 "$(field text units_rejected)"
finish
