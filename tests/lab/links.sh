#!/usr/bin/env bash
# What the lab's links really do — delay, loss, rate, and plain TCP through them — and how fast a peer fetches the
# parameters of a round through each. A table to look at; the claims are only that each link is what it was ordered as.
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

probe=$lab_build/probe
names=(near country lossy home far)
delays=(0 10 0 10 50) losses=(0 0 10 0 10) rates=(0 0 0 8000 0)
parameter_bytes=5828960

public_new coordinator 203.0.113 || give_up "a coordinator's site can be made"
for i in "${!names[@]}"; do
	public_new "${names[i]}" "198.18.$i" "${delays[i]}" "${losses[i]}" "${rates[i]}" ||
		give_up "a link can have ${delays[i]} ms, ${losses[i]} per mille and ${rates[i]} kbit/s"
done
inside_exec coordinator "$probe" serve >"$work/probe.log" 2>&1 </dev/null &
lab_pids+=($!)
wait_for 10 is_ready "$work/probe.log" || give_up "a probe can be served"

text_project text 2 4 5
sed -i 's/embedding: 8, hidden: \[64\]/embedding: 24, hidden: [2048, 512]/' "$work/text.yaml"
coordinator_at coordinator
submit text "$work/text.yaml"

# Milliseconds on our clock when HOST has received BYTES.
when_received() { # HOST BYTES
	local end=$((SECONDS + 120))
	until [ "$(bytes_received "$1" wan)" -ge "$2" ]; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.01
	done
	now_ms
}

# Mbit/s at which a fresh peer gets the parameters of its first unit, from when they begin to flow; data and messages
# are little beside them. Quorum 2, so one peer alone stays in its round.
peer_rate() { # NUMBER HOST
	local from start end
	from=$(bytes_received "$2" wan)
	peer_start "$1" "$2"
	start=$(when_received "$2" $((from + 50000))) &&
		end=$(when_received "$2" $((from + parameter_bytes))) &&
		rate_of $((parameter_bytes - 50000)) $((end - start))
	peer_kill "$1"
}

rate_of() { # BYTES MS
	awk -v bytes="$1" -v ms="$2" 'BEGIN {printf "%.2f\n", bytes * 8 / 1000 / (ms > 0 ? ms : 1)}'
}

within() { # VALUE LEAST MOST
	awk -v value="$1" -v least="$2" -v most="$3" 'BEGIN {exit !(value >= least && value <= most)}'
}

echo "# congestion control of this kernel: $(inside near sysctl -n net.ipv4.tcp_congestion_control)"
echo "# link      ordered: ms, loss each way, kbit/s   measured: ms there and back, lost   TCP Mbit/s   parameters Mbit/s"
for i in "${!names[@]}"; do
	name=${names[i]}
	read -r lost ms < <(inside "$name" "$probe" link 203.0.113.2 2000) || true
	tcp=$(inside "$name" "$probe" rate 203.0.113.2 "$parameter_bytes")
	peer=$(peer_rate "$i" "$name")
	printf '# %-9s %5d %7d.%d %% %10d %25s %8s %% %17s %15s\n' "$name" "${delays[i]}" $((losses[i] / 10)) \
		$((losses[i] % 10)) "${rates[i]}" "$ms" "$(awk -v lost="$lost" 'BEGIN {print lost / 20}')" "$tcp" "$peer"
	claim "$name takes as long as ordered" within "$ms" $((2 * delays[i])) $((2 * delays[i] + 20))
	claim "$name loses as much as ordered" within "$lost" $((4 * losses[i] - 2 * losses[i])) $((4 * losses[i] + 3 * losses[i]))
	[ "${rates[i]}" = 0 ] || claim "$name is as narrow as ordered" within "$tcp" 4 8.5
	claim "a peer gets its parameters through $name" test -n "$peer"
done
finish
