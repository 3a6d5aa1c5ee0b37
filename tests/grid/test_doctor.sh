#!/usr/bin/env bash
# talkoot-peer doctor, against a coordinator on loopback and against nothing. Prints TAP.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

doctor() { # FILE [ARGUMENT...]
	local out=$1
	shift
	"$talkoot_peer" doctor "${peer_alone[@]}" "$@" >"$out" 2>&1 </dev/null
}

# The link as an input, which no list of processes shows.
doctor_reads() { # FILE LINK [ARGUMENT...]
	local out=$1 given=$2
	shift 2
	"$talkoot_peer" doctor - "${peer_alone[@]}" "$@" >"$out" 2>&1 <<<"$given"
}

# Files may not grow beyond a quarter of a megabyte, as on a disk that is nearly full.
doctor_cramped() { # FILE [ARGUMENT...]
	(ulimit -f 256 && doctor "$@")
}

doctor_engine() { # FILE [ARGUMENT...]
	(export TALKOOT_ENGINE=nonsense && doctor "$@")
}

says_both() { # FILE PATTERN PATTERN
	says "$1" "$2" && says "$1" "$3"
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

claim "a worker computes here what it must" says "$work/link.log" '^ok +worker .*to the last bit'
claim "its engine's self-test is the scalar engine's" says "$work/link.log" '^ok +self-test +all 45 operations are right on 3 seeds, as the scalar engine has them, in [0-9]+ ms'
claim "a wrong operation: it fails" fails doctor "$work/wrong.log" "$link" --home "$work/none" --misbehave arithmetic
claim "it says which, of which engine and build" says "$work/wrong.log" '^BAD +self-test +"log" comes out wrong \(engine [a-z0-9]+, build [0-9.]+[^,]*, seed [0-9]+; the scalar engine is right\)'
claim "and what to report" says "$work/wrong.log" '→ report this line and the processor'
claim "and the worker's unit was right all the same" says "$work/wrong.log" '^ok +worker '
claim "a worker whose units are wrong: it fails" fails doctor "$work/lies.log" "$link" --home "$work/none" --misbehave poisoner
claim "it says so, and that its operations are right" says_both "$work/lies.log" '^BAD +worker +it computes other bits' '^ok +self-test '
claim "an engine that is not there: it fails" fails doctor_engine "$work/engine.log" "$link" --home "$work/none"
claim "it says so, and which there are" says "$work/engine.log" '^BAD +engine .*nonsense.*baseline'

claim "one host of several is enough" doctor "$work/two.log" "$key@nosuch.invalid:7331,$address" --home "$work/none"
claim "the dead one is told of" says "$work/two.log" '^warning +name +nosuch\.invalid'

claim "no host: it fails" fails doctor "$work/dead.log" "$key@127.0.0.1:1" --home "$work/none"
claim "it says that nobody listens there" says "$work/dead.log" '^BAD +connection .*refused'
claim "and what to do" says "$work/dead.log" 'is the coordinator running'
for step in "known peers" clock reachable router "port mapping" relay news; do
	claim "and that this was not tried: $step" says "$work/dead.log" "^skipped +$step "
done

other=talkoot://$(printf '%064d' 0 | tr 0 a)
claim "another network: it fails" fails doctor "$work/other.log" "$other@$address" --home "$work/none"
claim "it says so" says "$work/other.log" '^BAD +handshake .*another network'

claim "no link and no home: it fails" fails doctor "$work/nothing.log" --home "$work/none"
claim "it says what to do" says "$work/nothing.log" 'join first'
claim "a damaged link: it fails" fails doctor "$work/bad.log" "talkoot://xyz" --home "$work/none"

claim "a link as an input is read" doctor_reads "$work/input.log" "$link" --home "$work/none"
claim "an empty input is wrong usage" same 2 "$(doctor_reads "$work/empty.log" "" --home "$work/none"; echo $?)"

eight=$address
for _ in 2 3 4 5 6 7 8; do
	eight=$eight,$address
done
claim "eight living hosts are tried" doctor "$work/eight.log" "$key@$eight" --home "$work/joined"
claim "and no step is lost for them" says "$work/eight.log" '^skipped +port mapping'
claim "not the next one either" says "$work/eight.log" '^skipped +relay'

claim "a disk that takes no megabyte: it fails" fails doctor_cramped "$work/disk.log" --home "$work/joined"
claim "it says so" says "$work/disk.log" '^BAD +disk .*cannot write'
claim "nothing of the trial stays" test -z "$(find "$work/joined" -name 'doctor*')"

claim "another network's link beside a home: it fails" fails doctor "$work/elsewhere.log" "$other@$address" --home "$work/joined"
claim "the home's key is not shown to that network" says "$work/elsewhere.log" '^skipped +home .*belongs to another network'

# Clocks that are wrong, by as many seconds.
cat >"$work/clock.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *out)
{
	int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
	int rc = real(id, out);

	if (id == CLOCK_REALTIME)
		out->tv_sec += atol(getenv("CLOCK_FAST_S"));
	return rc;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
C
with_clock() { # SECONDS COMMAND...
	(export LD_PRELOAD=$work/clock.so CLOCK_FAST_S=$1 && shift && "$@")
}
doctor_fast() { # SECONDS FILE [ARGUMENT...]
	local fast=$1 out=$2
	shift 2
	with_clock "$fast" "$talkoot_peer" doctor "${peer_alone[@]}" "$@" >"$out" 2>&1 </dev/null
}

if cc -shared -fPIC -o "$work/clock.so" "$work/clock.c" 2>/dev/null && with_clock 0 "$talkoot_peer" --version >/dev/null 2>&1; then
	claim "a clock that is a quarter of an hour off keeps nobody out" doctor_fast 900 "$work/fast.log" "$link" --home "$work/none"
	claim "it is told of" says "$work/fast.log" '^warning +clock +(8[89]|90|91)[0-9] s fast'
	claim "nor does one that is a day slow" doctor_fast -90000 "$work/slow.log" "$link" --home "$work/none"
	claim "it is told what that means" says "$work/slow.log" '^warning +clock +[0-9]+ s slow .*take no part'
	claim "one that is a day fast does" fails doctor_fast 90000 "$work/day.log" "$link" --home "$work/none"
	claim "it is told so" says "$work/day.log" '^BAD +clock +[0-9]+ s fast'
	claim "and what the network said" says "$work/day.log" '^BAD +session .*your clock is [0-9]+ s fast'
	claim "one that is a month off does" fails doctor_fast 2700000 "$work/month.log" "$link" --home "$work/none"
	claim "it is told to set it" says "$work/month.log" "→ set this computer's date"
	touch "$work/run.log"
	# not with_clock, whose shells would be ended and the agent left behind
	LD_PRELOAD=$work/clock.so CLOCK_FAST_S=90000 "$talkoot_peer" run --home "$work/joined" "${peer_alone[@]}" \
		>"$work/run.log" 2>&1 </dev/null &
	peer_pids[1]=$!
	claim "an agent's log says it too" wait_for 30 says "$work/run.log" 'lost .*your clock is [0-9]+ s fast'
	claim "and says by itself that its clock is wrong" says "$work/run.log" "this computer's clock is [0-9]+ s fast"
	peer_stop 1
else
	skip "a clock cannot be moved here"
fi

# Without the coordinator
peer_start 1
wait_for 30 peers_connected 1
peer_start 2
wait_for 30 peers_connected 2
neighbours() {
	"$talkoot_peer" status --json --home "$work/peer-1" | grep -qE '"neighbours": [2-9]'
}
wait_for 60 neighbours || give_up "the peers find each other"
wait_for 60 test -s "$work/peer-1/peers" || give_up "the first peer remembers the second"
peer_stop 1
coordinator_stop
claim "with the coordinator away: it fails" fails doctor "$work/away.log" --home "$work/peer-1"
claim "but peers that were known before are asked" says "$work/away.log" '^ok +known peers +1 of'
claim "and others are found to get through" says "$work/away.log" '^ok +reachable'
peer_stop 2
coordinator_start

# A private network, and the one before
public=$link address=127.0.0.1:0
coordinator_stop
home=$work/private
"$talkoot" init --private "$home" >"$work/init.log" 2>&1
coordinator_start
public_key=${link%%[.]*}
claim "a private network's link is enough" doctor_reads "$work/private.log" "$link" --home "$work/none"
claim "without its secret: it fails" fails doctor "$work/secret.log" "$public_key@$address" --home "$work/none"
claim "it says what to do" says "$work/secret.log" '→ copy the whole link'
coordinator_stop
home=$work/coordinator address=${public##*@}
coordinator_start
secret=$(printf '%064d' 7)
claim "with a secret for a public network: it fails" fails doctor "$work/public.log" "$key.$secret@$address" --home "$work/none"
claim "it says what to do, too" says "$work/public.log" '→ the link has a secret'

finish
