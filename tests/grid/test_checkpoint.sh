#!/usr/bin/env bash
# An agent is killed with -9 in the middle of a unit, one is asked to stop, and one loses its worker: each goes on with the same lease from
# the unit's last checkpoint, and the model is the one that a single process trains. A spoiled checkpoint only costs time.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

export TALKOOT_ENGINE=baseline # units long enough to be interrupted
text_project text 1 1 3000
sed -i 's/hidden: \[64\]/hidden: [128]/' "$work/text.yaml"

saved() { # NUMBER
	compgen -G "$work/peer-$1/checkpoints/*" >/dev/null
}
none_saved() {
	! saved 1 && ! saved 2
}
lines() { # NUMBER PATTERN
	grep -c -- "$2" "$work/peer-$1.log"
}
more_lines() { # NUMBER PATTERN COUNT
	[ "$(lines "$1" "$2")" -gt "$3" ] || is_over text
}
worker_of() { # NUMBER
	cat "/proc/${peer_pids[$1]}/task/"*/children 2>/dev/null
}
gone() { # PID
	! kill -0 "$1" 2>/dev/null
}

coordinator_start
for i in 1 2; do
	peer_start "$i" --checkpoint 0.2
done
submit text "$work/text.yaml"

on="goes on from its checkpoint"
claim "a unit in progress is saved" wait_for 60 saved 1
peer_kill 1
claim "what is saved outlives kill -9" saved 1
peer_start 1 --checkpoint 0.2
claim "a killed agent goes on from there" wait_for 60 more_lines 1 "$on" 0

wait_for 60 saved 2
read -r worker < <(worker_of 2) || true
kill -9 "$worker"
claim "so does an agent whose worker was killed" wait_for 60 more_lines 2 "$on" 0

read -r worker < <(worker_of 1) || true
peer_stop 1
claim "the worker of a stopped agent ends with it" wait_for 20 gone "$worker"
for file in "$work"/peer-1/checkpoints/*; do
	printf 'x' | dd of="$file" bs=1 seek=1000 conv=notrunc 2>/dev/null
done
peer_start 1 --checkpoint 0.2
claim "a spoiled checkpoint is not gone on with" wait_for 60 more_lines 1 "begins anew" 0
claim "the project is trained to its end" finished text 600
claim "the model is bit for bit the local one" same "$(local_model "$work/text.yaml")" "$(field text model_digest)"
claim "nobody needed another lease for it" same 2 "$(field text replicas)"
"$talkoot" -C "$home" status --json >"$work/status.out"
claim "and no lease expired" same 0 "$(grep -oE '"timeouts": *[0-9]+' "$work/status.out" | grep -vc '[^0-9]0$')"
claim "which status would have said" says "$work/status.out" '"timeouts": *0'
claim "nothing is left of the checkpoints" wait_for 20 none_saved
finish
