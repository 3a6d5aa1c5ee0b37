#!/usr/bin/env bash
# The coordinator's files may not grow any more, as on a full disk: it says so, loses nothing that was accepted, goes on
# by itself as soon as there is room, and the model is the one that a single process trains.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

stalled() {
	says "$work/serve.log" 'cannot go on: .*trying again'
}

# A soft limit on the size of files, which `room` lifts while the coordinator runs.
coordinator_start_cramped() { # KIB
	log_from=$(($(wc -l <"$work/serve.log") + 1))
	(
		ulimit -S -f "$1"
		exec "$talkoot" serve "$home" --listen "$address" >>"$work/serve.log" 2>&1 </dev/null
	) &
	coordinator=$!
	wait_for 30 coordinator_says_serving
}

room() {
	prlimit --pid "$coordinator" --fsize=unlimited
}

if ! command -v prlimit >/dev/null; then
	skip "prlimit is not there"
	finish
fi
text_project text 60
coordinator_start
for i in 1 2 3; do
	peer_start "$i"
done
coordinator_stop
coordinator_start_cramped 400
submit text "$work/text.yaml"
claim "it says that it cannot go on" wait_for 60 stalled
claim "it does not end" kill -0 "$coordinator"
accepted=$(field text units_accepted)
room
claim "with room again it goes on by itself, to the end" finished text 120
claim "what was accepted before is still there" test "$(field text units_accepted)" -ge "$accepted"
claim "each unit was accepted exactly once" same 360 "$(field text units_accepted)"
claim "the model is bit for bit the local one" same "$(local_model "$work/text.yaml")" "$(field text model_digest)"
claim "honest peers were not blamed for it" same 0 "$(field text units_rejected)"
finish
