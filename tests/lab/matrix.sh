#!/usr/bin/env bash
# How nodes of the overlay come together, for every pair of kinds: each node of the first set opens a session with each
# node of the second by the record that the other one signed, and says which way it took. Relays are three public peers;
# the coordinator is the last resort. Prints the matrix, who dials in the rows:
#   direct    the record's own address, as a public host has one
#   mapped    the same, where a router was asked for the port
#   punched   through a relay first, then both dialled each other at once
#   relayed   through a relay for good
# shellcheck source=tests/lab/lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v miniupnpd >/dev/null; then
	skip "who meets whom: miniupnpd is not installed (scripts/setup lab)"
	finish
fi
meet=$lab_build/meet
kinds=(public "${nat_kinds[@]}")

# One node: its orders come through a pipe that stays open.
declare -A orders=()
node_start() { # NAME HOST NUMBER PORT CONTACT...
	local fd
	mkfifo "$work/$1.orders"
	inside_exec "$2" "$meet" "${@:3}" <"$work/$1.orders" >"$work/$1.out" 2>"$work/$1.log" &
	lab_pids+=($!)
	exec {fd}>"$work/$1.orders"
	orders[$1]=$fd
}

contacts=(203.0.113.2:7331)
public_new root 203.0.113 || give_up "a coordinator's site can be made"
node_start root root 0 7331
for i in 1 2 3; do
	public_new "relay$i" "198.18.$i" || give_up "a relay's site can be made"
	contacts+=("198.18.$i.2:7332")
done
for i in 1 2 3; do
	node_start "relay$i" "relay$i" "$i" 7332 "${contacts[@]:0:i}"
done

number=10
home_new() { # SITE KIND
	local kind=$2
	[ "$1" != upnp-a ] || kind=upnp-only # so that both protocols are used
	nat_new "$1" "$kind" "$(nat_subnet "$2" "$number")" 10 && host_new "$1" 1
}
for set in a b; do
	for kind in "${kinds[@]}"; do
		number=$((number + 1)) site=${kind%%-*}-$set host=${kind%%-*}-$set-1
		if [ "$kind" = public ]; then
			public_new "$site" "198.18.$number" 10 || give_up "a public site can be made"
			host=$site
		else
			home_new "$site" "$kind" || give_up "a NAT of the kind $kind can be made"
		fi
		node_start "$kind-$set" "$host" "$number" $((7400 + number)) "${contacts[@]}"
		if [ "$kind" = upnp ]; then
			mapper_start "$host" $((7400 + number))
			read -r said how at _ <"$work/mapper-$host.log" || true
			echo "# $host: $said $how $at"
			[ "$said" != MAPPED ] || echo "mapped $at" >&"${orders[$kind-$set]}"
		fi
	done
done

# The node's record as it stands: hexadecimal, flags, number of endpoints and relays, what it thinks of its NAT.
record_of() { # NAME
	grep '^record ' "$work/$1.out" | tail -n 1 | cut -d' ' -f2-
}

# Strangers can dial it, or two relays hold a place for it.
is_settled() { # NAME
	local flags relays _
	read -r _ flags _ relays _ < <(record_of "$1") || return 1
	[ $((flags & 1)) = 1 ] || [ "$relays" = 2 ]
}

all_are_settled() {
	local set kind
	for set in a b; do
		for kind in "${kinds[@]}"; do
			is_settled "$kind-$set" || return 1
		done
	done
}
claim "every node finds out how it can be reached" wait_for 90 all_are_settled
echo "# what each node says of itself: flags, endpoints, relays, and what it thinks of its NAT"
for kind in "${kinds[@]}"; do
	printf '# %-20s %s\n' "$kind" "$(record_of "$kind-b" | cut -d' ' -f2-)"
done

started=$SECONDS
for from in "${kinds[@]}"; do
	for to in "${kinds[@]}"; do
		echo "meet $to $(record_of "$to-b" | cut -d' ' -f1)" >&"${orders[$from-a]}"
	done
done

way() { # FROM TO
	local what _ way
	read -r what _ way < <(grep -E "^(met|unmet) $2 " "$work/$1-a.out" | head -n 1)
	way=${way%% *}
	[ "$what" = met ] || way=none
	[ "$way" != direct ] || [ "$2" != upnp ] || way=mapped
	echo "$way"
}

all_have_met() {
	local from
	for from in "${kinds[@]}"; do
		[ "$(grep -cE '^(met|unmet) ' "$work/$from-a.out")" -ge "${#kinds[@]}" ] || return 1
	done
}
claim "every pair comes to an end" wait_for 120 all_have_met
echo "# after $((SECONDS - started)) s"
echo "# from \\ to           $(printf ' %-19s' "${kinds[@]}")"
declare -A ways=()
for from in "${kinds[@]}"; do
	row=
	for to in "${kinds[@]}"; do
		ways[$from $to]=$(way "$from" "$to")
		row+=$(printf ' %-19s' "${ways[$from $to]}")
	done
	printf '# %-20s%s\n' "$from" "$row"
done

# What plain sockets can do there (nats.sh) is what the overlay has to do; a full cone and a mapped port need not even be
# punched, and who has one can be dialled by the other side of a punch.
expected_way() { # FROM TO
	case "$1 $2" in
	*\ public | *\ full-cone) echo direct ;;
	*\ upnp) echo mapped ;;
	symmetric\ symmetric | symmetric\ port-restricted | port-restricted\ symmetric) echo relayed ;;
	*) echo punched ;;
	esac
}

for from in "${kinds[@]}"; do
	missed=
	for to in "${kinds[@]}"; do
		[ "${ways[$from $to]}" = "$(expected_way "$from" "$to")" ] ||
			missed+="; $to: ${ways[$from $to]}, not $(expected_way "$from" "$to")"
	done
	claim "from $from every kind is reached by the best way there is$missed" test -z "$missed"
done
finish
