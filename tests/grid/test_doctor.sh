#!/usr/bin/env bash
# talkoot-peer doctor, against a coordinator on loopback and against nothing. Prints TAP.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

doctor() { # FILE [ARGUMENT...]
	local out=$1
	shift
	"$talkoot_peer" doctor --listen 127.0.0.1:0 --no-port-mapping "$@" >"$out" 2>&1 </dev/null
}

fails() { # COMMAND...
	! "$@"
}

coordinator_start
key=${link%@*}

claim "a link alone is enough, and all is well" doctor "$work/link.log" "$link" --home "$work/none"
claim "the host is reached" says "$work/link.log" '^ok +connection +127\.0\.0\.1:.* answers'
claim "the coordinator proves who it is" says "$work/link.log" '^ok +identity'
claim "this computer is dialled back" says "$work/link.log" '^ok +reachable +others dialled 127\.0\.0\.1:'
claim "the clocks agree" says "$work/link.log" '^ok +clock'
claim "nothing was made" test ! -e "$work/none"

"$talkoot_peer" join "$link" --yes --home "$work/joined" >"$work/join.log" 2>&1 </dev/null
claim "a home is looked at, as JSON" doctor "$work/json.log" --json --home "$work/joined"
claim "it is one object" says "$work/json.log" '^\{"well":true,"steps":\[\{.*\}\]\}$'
claim "its keys and its disk are fine" says "$work/json.log" '"step":"keys","result":"ok".*"step":"disk"'

claim "one host of several is enough" doctor "$work/two.log" "$key@nosuch.invalid:7331,$address" --home "$work/none"
claim "the dead one is told of" says "$work/two.log" '^warning +name +nosuch\.invalid'

claim "no host: it fails" fails doctor "$work/dead.log" "$key@127.0.0.1:1" --home "$work/none"
claim "it says that nobody listens there" says "$work/dead.log" '^BAD +connection .*refused'
claim "and what to do" says "$work/dead.log" 'is the coordinator running'

other=talkoot://$(printf '%064d' 0 | tr 0 a)
claim "another network: it fails" fails doctor "$work/other.log" "$other@$address" --home "$work/none"
claim "it says so" says "$work/other.log" '^BAD +handshake .*another network'

claim "no link and no home: it fails" fails doctor "$work/nothing.log" --home "$work/none"
claim "it says what to do" says "$work/nothing.log" 'join first'
claim "a damaged link: it fails" fails doctor "$work/bad.log" "talkoot://xyz" --home "$work/none"

finish
