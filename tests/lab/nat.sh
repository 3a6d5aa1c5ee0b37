# The NATs of the lab, made of nftables. What each really does is measured by nats.sh before anything relies on it.
# shellcheck shell=bash disable=SC2034,SC2154 # shared between the files of the lab
#
# Linux keeps a connection's source port where it can, so its plain masquerade maps independently of the endpoint and
# lets in only what answers: a port-restricted NAT. A map of who called out from where makes it more open; ports drawn
# afresh for each connection make it symmetric. As home routers do, all of them drop what nobody asked for, unanswered.

nat_kinds=(full-cone address-restricted port-restricted symmetric upnp)
# A variant of the last one: upnp-only, whose router does not speak NAT-PMP.

# A /24 for site NUMBER: of the range for benchmarks (RFC 2544), but miniupnpd refuses to map ports of an address that
# documentation, benchmarks or private networks use. 11/8 is somebody's; here it is nobody's, as nothing leaves the lab.
nat_subnet() { # KIND NUMBER
	case $1 in
	upnp*) echo "11.0.$2" ;;
	*) echo "198.18.$2" ;;
	esac
}

# Which outside endpoints lead back inside: nothing, or a map that grows with each packet that goes out.
# Two hosts behind one NAT that call from the same port take it from each other; the lab gives them different ones.
nat_map() { # KIND
	case $1 in
	full-cone)
		cat <<-'NFT'
			map called { type inet_service : ipv4_addr; flags dynamic, timeout; timeout 10m; }
			chain learn {
				type filter hook forward priority -10;
				iifname "lan" meta l4proto { tcp, udp } update @called { th sport : ip saddr }
			}
			chain prerouting {
				type nat hook prerouting priority -100;
				iifname "wan" meta l4proto { tcp, udp } dnat to th dport map @called
			}
		NFT
		;;
	address-restricted)
		cat <<-'NFT'
			map called { type ipv4_addr . inet_service : ipv4_addr; flags dynamic, timeout; timeout 10m; }
			chain learn {
				type filter hook forward priority -10;
				iifname "lan" meta l4proto { tcp, udp } update @called { ip daddr . th sport : ip saddr }
			}
			chain prerouting {
				type nat hook prerouting priority -100;
				iifname "wan" meta l4proto { tcp, udp } dnat to ip saddr . th dport map @called
			}
		NFT
		;;
	esac
}

nat_rules() { # NAMESPACE KIND
	local flags=
	[ "$2" != symmetric ] || flags=" random,fully-random"
	inside "$1" nft -f - <<-NFT || return 1
		table ip lab {
			chain input {
				type filter hook input priority 0; policy drop;
				iifname { "lan", "lo" } accept
				ct state established,related accept
			}
			chain forward {
				type filter hook forward priority 0; policy drop;
				ct state established,related accept
				iifname "lan" accept
				ct status dnat accept
			}
			chain postrouting {
				type nat hook postrouting priority 100;
				oifname "wan" masquerade$flags
			}
			$(nat_map "$2")
		}
	NFT
	case $2 in
	upnp) upnp_start "$1" yes ;;
	upnp-only) upnp_start "$1" no ;;
	esac
}

# miniupnpd on a port-restricted NAT: hosts behind it may ask for ports, by UPnP and by NAT-PMP. Where it is not installed
# the NAT is just port-restricted.
upnp_start() { # NAMESPACE NATPMP
	local conf=$work/miniupnpd-$1.conf
	if ! command -v miniupnpd >/dev/null; then
		echo "# miniupnpd is not installed: nobody maps ports at $1"
		return
	fi
	inside "$1" nft -f - <<-'NFT' || return 1
		table inet upnp {
			chain forward { type filter hook forward priority 0; policy accept; jump allowed; }
			chain allowed { }
			chain prerouting { type nat hook prerouting priority -100; jump mapped; }
			chain mapped { }
			chain postrouting { type nat hook postrouting priority 90; jump returned; }
			chain returned { }
		}
	NFT
	cat >"$conf" <<-CONF
		ext_ifname=wan
		listening_ip=lan
		enable_upnp=yes
		enable_natpmp=$2
		secure_mode=yes
		lease_file=$work/miniupnpd-$1.leases
		uuid=7a1c0074-0000-4000-8000-000000000001
		upnp_table_name=upnp
		upnp_nat_table_name=upnp
		upnp_forward_chain=allowed
		upnp_nat_chain=mapped
		upnp_nat_postrouting_chain=returned
		allow 1024-65535 10.0.0.0/24 1024-65535
		deny 0-65535 0.0.0.0/0 0-65535
	CONF
	inside_exec "$1" miniupnpd -d -f "$conf" -P "$work/miniupnpd-$1.pid" >"$work/miniupnpd-$1.log" 2>&1 </dev/null &
	lab_pids+=($!)
	wait_for 10 grep -qs 'listening on port' "$work/miniupnpd-$1.log"
}

# A host asks its router for PORT, as an agent does: with `talkoot-peer port-mapper`, which says what came of it in a line
# and takes the port back when nobody speaks to it any more. It may write no files, hence the cat.
declare -A mapper_orders=()
mapper_start() { # HOST PORT
	local fd
	mkfifo "$work/mapper-$1"
	inside "$1" "$talkoot_peer" port-mapper <"$work/mapper-$1" 2>&1 | cat >"$work/mapper-$1.log" &
	exec {fd}>"$work/mapper-$1"
	mapper_orders[$1]=$fd
	echo "MAP $2 3600" >&"$fd"
	wait_for 20 grep -qsE "^(MAPPED|NONE) " "$work/mapper-$1.log"
}

mapper_stop() { # HOST
	local fd=${mapper_orders[$1]}
	exec {fd}>&-
}
