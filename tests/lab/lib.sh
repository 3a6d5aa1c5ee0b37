# The lab: a grid of real processes on an internet of network namespaces, for tests of what loopback cannot show.
# A scenario sources this first, which takes it into the lab or skips it; then it builds its net (net.sh, nat.sh) and
# prints TAP like every other test.
#
# Everything runs in private mount, network and process namespaces, which the kernel takes down with the script, however
# it ends; names and addresses can therefore not collide with the machine's or with another run's, and no packet leaves.
# shellcheck shell=bash disable=SC2034 # its readers are elsewhere

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin

# Everything that the lab does with the kernel, once. The last line that it prints before it fails is the step.
lab_trial() {
	set -e
	echo "a private /run"
	mount -t tmpfs lab /run
	mkdir -p /run/netns
	echo "network namespaces"
	ip netns add a
	ip netns add b
	echo "veth and bridge"
	ip link add x netns a type veth peer name y netns b
	ip -n a link add lan type bridge
	echo "nftables with NAT"
	nsenter --net=/run/netns/a nft 'table ip t { map m { type inet_service : ipv4_addr; flags dynamic, timeout; }
		chain c { type nat hook prerouting priority -100; dnat to tcp dport map @m; }
		chain d { type nat hook postrouting priority 100; masquerade random; }
		chain e { type filter hook forward priority 0; numgen random mod 1000 < 10 drop; }; }'
	echo "tbf"
	tc -n a qdisc add dev x root tbf rate 1mbit burst 16kb latency 200ms
	echo "/dev/net/tun"
	nsenter --net=/run/netns/b ip tuntap add dev z mode tun
}

lab_unshare=(unshare --mount --net --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || lab_unshare+=(--user --map-root-user)

# Why this machine cannot hold a lab; nothing when it can.
lab_obstacle() {
	local tool said
	for tool in ip tc nft unshare nsenter sysctl; do
		command -v "$tool" >/dev/null || {
			echo "$tool is not installed (scripts/setup lab)"
			return
		}
	done
	said=$(export -f lab_trial && "${lab_unshare[@]}" bash -c lab_trial 2>&1) ||
		echo "not permitted here: $(tail -n 2 <<<"$said" | paste -sd' ')"
}

if [ -z "${LAB_INSIDE:-}" ]; then
	obstacle=$(lab_obstacle)
	if [ -n "$obstacle" ]; then
		echo "ok 1 # SKIP $obstacle"
		echo "1..1"
		exit 0
	fi
	LAB_INSIDE=1 exec "${lab_unshare[@]}" "$0" "$@"
fi
unset LAB_INSIDE
mount -t tmpfs lab /run && mkdir -p /run/netns && ip link set lo up || exit 1

# shellcheck source=tests/grid/lib.sh
. "$lab/../grid/lib.sh"
# shellcheck source=tests/lab/net.sh
. "$lab/net.sh"
# shellcheck source=tests/lab/nat.sh
. "$lab/nat.sh"
# shellcheck source=tests/lab/peers.sh
. "$lab/peers.sh"

lab_build=$build/tests/lab
lab_pids=()
lab_cleanup() {
	end_processes "${lab_pids[@]}"
	cleanup
}
trap lab_cleanup EXIT

router_new || give_up "a router can be made"
lab_netem=no
! has_netem || lab_netem=yes
