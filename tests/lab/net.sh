# An internet of network namespaces on one machine: a router in the middle, sites around it, each with a /24 of its
# own, hosts on them or behind their NATs. Sourced by lib.sh, after lab_enter.
#
#     host ── lan ┐                      ┌ wan ── NAT ── lan ── host
#     host ── lan ┴ NAT ── wan ─ router ─┴ wan ── public host
#
# A link between the router and a site can be slow (delay), lossy, narrow (rate) or cut; what is inside a site is not.
# The whole of it lives in one private set of namespaces without a way to the machine's own network.
# shellcheck shell=bash disable=SC2034,SC2154 # shared between the files of the lab

# inside NAMESPACE COMMAND...: runs it there. In the background use `inside_exec`, so that $! is the command's own id.
inside() {
	nsenter --net="/run/netns/$1" -- "${@:2}"
}

inside_exec() {
	exec nsenter --net="/run/netns/$1" -- "${@:2}"
}

namespace_new() { # NAME
	ip netns add "$1" && ip -n "$1" link set lo up && inside "$1" sysctl -qw net.ipv4.tcp_syn_retries=3
}

router_new() {
	namespace_new router && inside router sysctl -qw net.ipv4.ip_forward=1 && inside router nft -f - <<-'NFT'
		table ip lab {
			set cut { type ifname; }
			chain forward {
				type filter hook forward priority 0; policy accept;
				iifname @cut drop
				oifname @cut drop
			}
			chain lossy { type filter hook forward priority 10; policy accept; }
		}
	NFT
}

has_netem() {
	ip -n router link add probe0 type veth peer name probe1 || return 1
	tc -n router qdisc add dev probe0 root netem delay 1ms 2>/dev/null
	local status=$?
	ip -n router link del probe0
	return "$status"
}

# A cable of two ends, in two namespaces. One packet is one packet on it: where the kernel hands on 64 kB in one piece,
# a loss of 1 % would hit a fortieth as often.
cable() { # NAMESPACE INTERFACE NAMESPACE INTERFACE
	ip link add name "$2" netns "$1" gso_max_segs 1 type veth peer name "$4" netns "$3" gso_max_segs 1 &&
		ip -n "$1" link set dev "$2" up && ip -n "$3" link set dev "$4" up
}

is_ready() { # FILE
	grep -qsx ready "$1"
}

# A cable that takes DELAY_MS each way: netem's where the kernel has it, else tun_link's.
slow_cable() { # NAMESPACE INTERFACE NAMESPACE INTERFACE DELAY_MS
	local log=$work/link-$2.log
	if [ "$lab_netem" = yes ]; then
		cable "$1" "$2" "$3" "$4" && tc -n "$1" qdisc add dev "$2" root handle 1: netem limit 4096 delay "$5ms" &&
			tc -n "$3" qdisc add dev "$4" root handle 1: netem limit 4096 delay "$5ms"
		return
	fi
	"$lab_build/tun_link" "$1" "$2" "$3" "$4" $(($5 * 1000)) >"$log" 2>&1 </dev/null &
	lab_pids+=($!)
	renice -n -5 -p $! >/dev/null 2>&1 || true # with all peers at work it must still be on time
	wait_for 10 is_ready "$log" && ip -n "$1" link set dev "$2" up && ip -n "$3" link set dev "$4" up
}

# Each direction alone; a round trip meets it twice.
link_lossy() { # SITE PER_MILLE
	inside router nft -f - <<-NFT
		add rule ip lab lossy iifname "$1" numgen random mod 1000 < $2 drop
		add rule ip lab lossy oifname "$1" numgen random mod 1000 < $2 drop
	NFT
}

link_narrow() { # SITE KBIT
	local parent=root
	[ "$lab_netem" = no ] || [ "${site_delay[$1]}" = 0 ] || parent="parent 1:1"
	# shellcheck disable=SC2086 # parent is one word or two
	tc -n router qdisc replace dev "$1" $parent tbf rate "$2kbit" burst 16kb latency 200ms &&
		tc -n "$1" qdisc replace dev wan $parent tbf rate "$2kbit" burst 16kb latency 200ms
}

# Silence from now on, and nobody is told: what a dead router or a pulled cable looks like to both sides.
link_cut() { # SITE
	inside router nft add element ip lab cut "{ \"$1\" }"
}

link_heal() { # SITE
	inside router nft delete element ip lab cut "{ \"$1\" }"
}

# A site: a namespace NAME whose interface wan has SUBNET.2; the router's interface towards it has the site's name, so
# that must be shorter than 16 letters.
declare -A site_subnet=() site_delay=() nat_kind=()
site_new() { # NAME SUBNET [DELAY_MS [LOSS_PER_MILLE [KBIT]]]
	local delay=${3:-0} loss=${4:-0} rate=${5:-0}
	site_subnet[$1]=$2 site_delay[$1]=$delay
	namespace_new "$1" || return 1
	if [ "$delay" = 0 ]; then
		cable router "$1" "$1" wan || return 1
	else
		slow_cable router "$1" "$1" wan "$delay" || return 1
	fi
	ip -n router addr add "$2.1/24" dev "$1" && ip -n "$1" addr add "$2.2/24" dev wan &&
		ip -n "$1" route add default via "$2.1" || return 1
	[ "$loss" = 0 ] || link_lossy "$1" "$loss" || return 1
	[ "$rate" = 0 ] || link_narrow "$1" "$rate"
}

# A site whose one host is public: site_new, with its options.
public_new() {
	site_new "$@"
}

# A site that is a NAT. Its kinds are in nat.sh.
nat_new() { # NAME KIND SUBNET [DELAY_MS [LOSS_PER_MILLE [KBIT]]]
	nat_kind[$1]=$2
	site_new "$1" "${@:3}" && inside "$1" sysctl -qw net.ipv4.ip_forward=1 &&
		ip -n "$1" link add lan type bridge && ip -n "$1" addr add 10.0.0.1/24 dev lan &&
		ip -n "$1" link set lan up && nat_rules "$1" "$2"
}

# Host NUMBER behind a NAT, as the namespace SITE-NUMBER with the address 10.0.0.(10 + NUMBER).
host_new() { # SITE NUMBER
	local name=$1-$2
	namespace_new "$name" && cable "$1" "lan$2" "$name" eth && ip -n "$1" link set dev "lan$2" master lan &&
		ip -n "$name" addr add "10.0.0.$((10 + $2))/24" dev eth && ip -n "$name" route add default via 10.0.0.1
}

# A public host or NAT gets another address in its subnet, as from a provider that reconnects. The old one is gone,
# and nobody is told; what a NAT had translated is forgotten with it.
site_move() { # SITE LAST_OCTET
	local subnet=${site_subnet[$1]} old
	old=$(ip -n "$1" -4 -o addr show dev wan | awk '{print $4}')
	ip -n "$1" addr del "$old" dev wan && ip -n "$1" addr add "$subnet.$2/24" dev wan &&
		ip -n "$1" route replace default via "$subnet.1"
}

# The internet of the larger scenarios: 20 hosts in 10 sites. Round trips of 100 ms with 1 % of loss in each direction
# are what a home line far away has; the narrow one is a home uplink.
internet_new() {
	public_new coordinator 203.0.113 &&
		public_new public1 198.51.100 && public_new public2 192.0.2 && public_new public3 198.18.3 20 &&
		public_new public4 198.18.4 50 10 && public_new public5 198.18.5 0 0 8000 || return 1
	local kind number=10 i
	for kind in "${nat_kinds[@]}"; do
		number=$((number + 1))
		nat_new "${kind%%-*}" "$kind" "$(nat_subnet "$kind" "$number")" $((number % 2 * 50)) $((number % 2 * 10)) || return 1
		for i in 1 2 3; do
			host_new "${kind%%-*}" "$i" || return 1
		done
	done
}
