#!/usr/bin/env bash
# The coordinator's disk spoils blobs: the project that needs one pauses and says which, the others go on, and once the
# blob is back `resume` leads to the very model that a single process trains, with no honest peer blamed.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

# Flips a bit in the middle of a file; twice, and it is as before.
flip() { # FILE
	local at byte
	at=$(($(stat -c %s "$1") / 2))
	byte=$(od -An -tu1 -j "$at" -N 1 "$1")
	printf '%b' "\\x$(printf '%x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

# The shard of the only project there is.
largest_blob() {
	find "$home/blobs" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2
}

recipe_blob() { # PROJECT: the only kind of blob that holds its name
	grep -rlF -- "$1" "$home/blobs" | head -n 1
}

# shellcheck disable=SC2317 # called by wait_for
is_paused() { # PROJECT
	[ "$(field "$1" state)" = paused ]
}

says_why() { # PROJECT PATTERN
	"$talkoot" -C "$home" list | grep "^$1 " | grep -qE -- "$2"
}

resume() { # PROJECT
	"$talkoot" -C "$home" resume "$1" >"$work/resume.log" 2>&1 </dev/null
}

text_project shard 3
want=$(local_model "$work/shard.yaml")
coordinator_start
submit shard "$work/shard.yaml"
spoiled=$(largest_blob)
flip "$spoiled"
for i in 1 2 3; do
	peer_start "$i"
done
claim "a corrupt shard pauses its project" wait_for 60 is_paused shard
claim "and the reason names its file" says_why shard "${spoiled##*/} is corrupt"
table_project other 3
submit other "$work/other.yaml"
claim "another project goes on" finished other 60
mv "$spoiled" "$work/put-aside"
resume shard
# The wish is followed, and then the shard is missed: paused again, for another reason.
claim "a missing shard pauses its project, too" wait_for 60 says_why shard "cannot be read"
mv "$work/put-aside" "$spoiled"
flip "$spoiled"
resume shard
claim "with the shard back it is trained to its end" finished shard 90
claim "the model is bit for bit the local one" same "$want" "$(field shard model_digest)"

text_project recipe-one 300
text_project recipe-two 3
submit recipe-one "$work/recipe-one.yaml"
begun() {
	[ "$(field recipe-one units_accepted)" -gt 5 ]
}
wait_for 60 begun || give_up "a project gets under way"
coordinator_kill
spoiled=$(recipe_blob recipe-one)
flip "$spoiled"
submit recipe-two "$work/recipe-two.yaml"
coordinator_start
claim "a project whose recipe is corrupt pauses" wait_for 60 is_paused recipe-one
claim "and the reason says so" says_why recipe-one "recipe can't be read"
claim "a restart leads to the other projects all the same" finished recipe-two 60
claim "resume is refused while the recipe is corrupt" resume recipe-one
claim "and says so in the log" wait_for 30 says "$work/serve.log" "project recipe-one: its recipe can.t be read: the blob .* is corrupt"
claim "it stays paused" is_paused recipe-one
flip "$spoiled"
resume recipe-one
went_on() {
	[ "$(field recipe-one state)" = running ] && [ "$(field recipe-one reason)" = "" ]
}
claim "with the recipe back it goes on" wait_for 60 went_on
"$talkoot" -C "$home" stop recipe-one >/dev/null
claim "it can be stopped" wait_for 60 is_over recipe-one
coordinator_kill
flip "$(recipe_blob recipe-two)"
coordinator_start
claim "the recipe of a project that is over is not missed" test "$(field recipe-two state)" = "done"
text_project fresh 3
coordinator_kill
submit fresh "$work/fresh.yaml"
flip "$(recipe_blob fresh)"
coordinator_start
claim "a new project with a corrupt recipe fails" wait_for 60 is_over fresh
claim "and says why" says_why fresh "recipe can't be read"
claim "honest peers were not blamed" same 00 "$(field shard units_rejected)$(field recipe-one units_rejected)"
finish
