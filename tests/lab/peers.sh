# The grid in the lab: tests/grid/lib.sh's coordinator and peers, each in the namespace of a host. Sourced by lib.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # shared between the files of the lab

coordinator_host=

# The coordinator, on a public host. Its control socket is a file, so the owner's commands work from anywhere.
coordinator_at() { # HOST
	coordinator_host=$1
	address=${site_subnet[$1]}.2:7331
	coordinator_start
}

coordinator_start() {
	[ -d "$home" ] || "$talkoot" init "$home" >"$work/init.log" 2>&1 || give_up "a coordinator's home can be made"
	touch "$work/serve.log"
	log_from=$(($(wc -l <"$work/serve.log") + 1))
	inside_exec "$coordinator_host" "$talkoot" serve "$home" --listen "$address" >>"$work/serve.log" 2>&1 </dev/null &
	coordinator=$!
	if ! wait_for 30 coordinator_says_serving || ! kill -0 "$coordinator" 2>/dev/null; then
		give_up "the coordinator starts"
	fi
	link=$("$talkoot" invite "$home")
}

declare -A peer_hosts=()

peer_start() { # NUMBER HOST [OPTION...]
	local number=$1 host=$2 log=$work/peer-$1.log
	shift 2
	peer_hosts[$number]=$host
	if [ ! -d "$work/peer-$number" ]; then
		inside "$host" "$talkoot_peer" join "$link" --yes --home "$work/peer-$number" >"$log" 2>&1 </dev/null ||
			give_up "peer $number can join"
	fi
	inside_exec "$host" "$talkoot_peer" run --home "$work/peer-$number" "$@" >>"$log" 2>&1 </dev/null &
	peer_pids["$number"]=$!
}

# Bytes that a host's interface has received so far.
bytes_received() { # HOST INTERFACE
	inside "$1" sed -n "s/^ *$2: *\([0-9]*\) .*/\1/p" /proc/net/dev
}

# The twenty hosts of internet_new, with their numbers as peers.
internet_hosts=(public1 public2 public3 public4 public5)
for kind in "${nat_kinds[@]}"; do
	internet_hosts+=("${kind%%-*}-1" "${kind%%-*}-2" "${kind%%-*}-3")
done
unset kind

peers_start() {
	local i
	for i in "${!internet_hosts[@]}"; do
		peer_start "$i" "${internet_hosts[i]}"
	done
}

has_accepted() { # PROJECT UNITS
	[ "$(field "$1" units_accepted)" -ge "$2" ]
}

# What every scenario comes down to.
claim_same_model() { # PROJECT UNITS
	claim "the model is bit for bit the local one" same "$(local_model "$work/$1.yaml")" "$(field "$1" model_digest)"
	claim "each unit was accepted exactly once" same "$2" "$(field "$1" units_accepted)"
	claim "no honest peer was blamed" same 0 "$(field "$1" units_rejected)"
}
