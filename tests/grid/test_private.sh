#!/usr/bin/env bash
# A private network on real processes: who has the whole link takes part, who lacks the secret is told why, and no
# log or status shows it.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

text_project private 2
"$talkoot" init --private "$home" >"$work/init.log" 2>&1
coordinator_start
claim "init says that the network is private" says "$work/init.log" 'private'
claim "an invitation carries the secret" grep -qE '^talkoot://[0-9a-f]{64}\.[0-9a-f]{64}@' <<<"$link"
key=${link#talkoot://} key=${key%%[.@]*}
secret=${link#*.} secret=${secret%%@*}
claim "the secret is its owner's alone" same 600 "$(stat -c %a "$home/secret")"

peer_start 1
peer_start 2
both() {
	peers_connected 2
}
claim "volunteers with the whole link get in" wait_for 60 both
submit private "$work/private.yaml"
claim "and train" finished private 120

whole=$link
link=talkoot://$key@${link##*@}
peer_start 3
told() {
	says "$work/peer-3.log" 'that network is private: join with its whole link'
}
claim "who lacks the secret is told what to do" wait_for 30 told
link=talkoot://$key.${secret//[0-9]/a}@${link##*@}
peer_start 4
other() {
	says "$work/peer-4.log" 'its root key or its secret is not the one'
}
claim "who has another secret is told so" wait_for 30 other
claim "neither is counted as connected" both
claim "the coordinator's log says who does not know it" says "$work/serve.log" 'does not know its secret'
peer_stop 3
link=$whole
"$talkoot_peer" join - --yes --home "$work/peer-3" >"$work/rejoin.log" 2>&1 <<<"$link"
claim "joining with the whole link mends it, as an input that no list of processes shows" says "$work/rejoin.log" 'The network answers'
claim "no log shows the secret" bash -c "! grep -q '$secret' '$work'/*.log"
claim "nor does the status page" bash -c "! grep -rq '$secret' '$home/web'"
finish
