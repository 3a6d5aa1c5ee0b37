#!/usr/bin/env bash
# Each NAT of the lab is what its name says, measured from inside it; and which of them can meet by hole punching with
# plain sockets, so that what Talkoot reaches can be compared with what there is to reach.
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

probe=$lab_build/probe

public_new first 192.0.2
public_new second 198.51.100
for host in first second; do
	inside_exec "$host" "$probe" serve >"$work/$host.log" 2>&1 </dev/null &
	lab_pids+=($!)
	wait_for 10 is_ready "$work/$host.log" || give_up "a probe can be served"
done

# Two sites of each kind: a NAT must also meet its like.
number=0 surprises=()
for kind in "${nat_kinds[@]}"; do
	for copy in a b; do
		number=$((number + 1))
		nat_new "${kind%%-*}-$copy" "$kind" "$(nat_subnet "$kind" "$number")" || give_up "a NAT of the kind $kind can be made"
		host_new "${kind%%-*}-$copy" 1
	done
done

mapping=(endpoint-independent endpoint-independent endpoint-independent address-and-port-dependent endpoint-independent)
filtering=(endpoint-independent address-dependent address-and-port-dependent address-and-port-dependent
	address-and-port-dependent)
probes=()
for kind in "${nat_kinds[@]}"; do
	inside_exec "${kind%%-*}-a-1" "$probe" nat 192.0.2.2 198.51.100.2 4100 >"$work/nat-$kind" &
	probes+=($!)
done
wait "${probes[@]}"
echo "# NAT                  mapping                      filtering                    ports"
for i in "${!nat_kinds[@]}"; do
	kind=${nat_kinds[i]}
	read -r maps filters at ports <"$work/nat-$kind" || true
	printf '# %-20s %-28s %-28s %s\n' "$kind" "$maps" "$filters" "$ports"
	claim "$kind maps and filters as its name says" same "${mapping[i]} ${filtering[i]}" "$maps $filters"
	claim "$kind hides its hosts behind its own address" same "${site_subnet[${kind%%-*}-a]}.2" "$at"
done

# What miniupnpd does when asked, as two clients of its own project ask it.
is_mapped() { # CLIENT PORT COMMAND...
	inside upnp-a-1 "${@:3}" >"$work/$1.log" 2>&1 </dev/null
	inside second "$probe" call "${site_subnet[upnp-a]}.2:$2"
}

maps_by() { # CLIENT PORT COMMAND...: PORT is then open to a stranger
	inside_exec upnp-a-1 "$probe" listen "$2" >/dev/null 2>&1 </dev/null &
	lab_pids+=($!)
	wait_for 20 is_mapped "$@"
}
# Ours, too: it finds the router by itself, and takes the port back when it is let go.
peer_maps_by() { # HOST HOW PORT
	local at=${site_subnet[${1%-1}]}.2:$3
	inside_exec "$1" "$probe" listen "$3" >/dev/null 2>&1 </dev/null &
	lab_pids+=($!)
	mapper_start "$1" "$3"
	says "$work/mapper-$1.log" "^MAPPED $2 $at " || return 1
	wait_for 10 inside second "$probe" call "$at" || return 1
	mapper_stop "$1"
	wait_for 10 is_closed "$at"
}

is_closed() { # ENDPOINT
	! inside second "$probe" call "$1"
}

if ! command -v miniupnpd >/dev/null || ! command -v upnpc >/dev/null || ! command -v natpmpc >/dev/null; then
	skip "upnp maps ports: miniupnpd, upnpc or natpmpc is not installed (scripts/setup lab)"
else
	claim "upnp maps a port by UPnP" maps_by upnpc 4301 upnpc -a 10.0.0.11 4301 4301 TCP
	claim "upnp maps a port by NAT-PMP" maps_by natpmpc 4302 natpmpc -g 10.0.0.1 -a 4302 4302 tcp 600
	claim "talkoot-peer maps a port by NAT-PMP, and takes it back" peer_maps_by upnp-b-1 NAT-PMP 4303
	nat_new only upnp-only 11.0.99 && host_new only 1
	claim "talkoot-peer maps a port by UPnP, and takes it back" peer_maps_by only-1 UPnP 4304
fi

# Two hosts, each behind a NAT, that dial each other at once from the port where a server saw them.
pair_punch() { # HOST HOST PORT FOLDER
	local a b
	mkdir "$4" && mkfifo "$4/to-a" "$4/to-b"
	inside "$1" "$probe" punch 192.0.2.2 "$3" <"$4/to-a" >"$4/a" &
	a=$!
	inside "$2" "$probe" punch 192.0.2.2 "$3" <"$4/to-b" >"$4/b" &
	b=$!
	exec {to_a}>"$4/to-a" {to_b}>"$4/to-b"
	wait_for 8 test -s "$4/a" && wait_for 8 test -s "$4/b" && head -n 1 "$4/a" >&"$to_b" && head -n 1 "$4/b" >&"$to_a"
	wait "$a" "$b"
}

meets() { # FOLDER
	[ "$(tail -n 1 "$1/a")" = yes ] && [ "$(tail -n 1 "$1/b")" = yes ] && echo yes || echo no
}

# A NAT that draws a new port for each connection cannot be aimed at, so the other one must let any port in.
can_meet() { # KIND KIND
	case "$1 $2" in
	*symmetric*port-restricted* | *symmetric*upnp* | *port-restricted*symmetric* | *upnp*symmetric* | symmetric\ symmetric)
		echo no
		;;
	*) echo yes ;;
	esac
}

pairs=()
for i in "${!nat_kinds[@]}"; do
	for ((j = i; j < ${#nat_kinds[@]}; j++)); do
		a=${nat_kinds[i]} b=${nat_kinds[j]}
		pair_punch "${a%%-*}-a-1" "${b%%-*}-b-1" $((4400 + 10 * i + j)) "$work/pair-$i-$j" &
		pairs+=($!)
	done
done
wait "${pairs[@]}"
echo "# hole punching      $(printf ' %-19s' "${nat_kinds[@]}")"
for i in "${!nat_kinds[@]}"; do
	row=
	for j in "${!nat_kinds[@]}"; do
		[ "$j" -ge "$i" ] && met=$(meets "$work/pair-$i-$j") || met=
		row+=$(printf ' %-19s' "$met")
		[ -z "$met" ] || [ "$met" = "$(can_meet "${nat_kinds[i]}" "${nat_kinds[j]}")" ] ||
			surprises+=("${nat_kinds[i]} and ${nat_kinds[j]}: $met")
	done
	printf '# %-19s%s\n' "${nat_kinds[i]}" "$row"
done
claim "who can meet by hole punching is what RFC 5128 expects: ${surprises[*]:-}" same 0 "${#surprises[@]}"
finish
