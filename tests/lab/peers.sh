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
	# Two behind one NAT do not listen on the same port: see nat.sh.
	inside_exec "$host" "$talkoot_peer" run --home "$work/peer-$number" --listen "0.0.0.0:$((7400 + number))" "$@" >>"$log" 2>&1 </dev/null &
	peer_pids["$number"]=$!
}

# Bytes that a host's interface has received, and sent, so far.
bytes_received() { # HOST INTERFACE
	inside "$1" sed -n "s/^ *$2: *\([0-9]*\) .*/\1/p" /proc/net/dev
}

bytes_sent() { # HOST INTERFACE
	inside "$1" sed -nE "s/^ *$2: *([0-9]+ +){8}([0-9]+).*/\2/p" /proc/net/dev # after eight columns of what came
}

# How much of what all peers received came from the coordinator. Their messages to each other are in it.
traffic_print() {
	local host total=0 root
	for host in "${peer_hosts[@]}"; do
		case $host in
		public*) total=$((total + $(bytes_received "$host" wan))) ;;
		*) total=$((total + $(bytes_received "$host" eth))) ;;
		esac
	done
	root=$(bytes_sent "$coordinator_host" wan)
	echo "# the peers received $((total / 1000)) kB; the coordinator sent $((root / 1000)) kB, $((100 * root / total)) % of it"
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

# How peers came together, from their own logs: for each pair of kinds of NAT, how many sessions went which way, as told
# by the side that opened them. A session that was relayed at first and direct later counts as punched.
ways_print() {
	local i key kind
	for i in "${!peer_hosts[@]}"; do
		key=$(sed -n 's/^ *"peer": "\([0-9a-f]\{16\}\).*/\1/p' "$work/peer-$i/status.json")
		kind=${peer_hosts[$i]%-*}
		echo "host $key ${kind%%[0-9]*}"
		sed -nE "s/^[0-9:]+ peer ([0-9a-f]{16}): (direct|relayed|punched)(.*)/way $key \1 \2\3/p" "$work/peer-$i.log"
	done | awk '
		$1 == "host" {kind[$2] = $3; if (!($3 in seen)) {seen[$3] = 1; order[++kinds] = $3}}
		$1 == "way" && $0 ~ /at its wish/ {next}
		$1 == "way" {last[$2 " " $3] = $4}
		END {
			for (pair in last) {
				split(pair, end, " ")
				if (end[2] in kind)
					count[kind[end[1]] " " kind[end[2]] " " last[pair]]++
			}
			printf "# from \\ to  "
			for (j = 1; j <= kinds; j++)
				printf "  %-25s", order[j]
			print ""
			for (i = 1; i <= kinds; i++) {
				printf "# %-11s", order[i]
				for (j = 1; j <= kinds; j++) {
					cell = ""
					for (w = split("direct punched relayed", way, " "); w > 0; w--)
						if ((n = count[order[i] " " order[j] " " way[w]]) > 0)
							cell = n " " way[w] (cell == "" ? "" : ", " cell)
					printf "  %-25s", cell
				}
				print ""
			}
		}'
}
