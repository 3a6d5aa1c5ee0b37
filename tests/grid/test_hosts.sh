#!/usr/bin/env bash
# A link that names a host beside the coordinator: while that is away, killed with -9, a newcomer with this link comes in
# through the host, and works when the coordinator is back.
# shellcheck source=tests/grid/lib.sh
. "$(dirname "$0")/lib.sh"

text_project first 2
text_project second 24 6 100
coordinator_start
alone=$("$talkoot" invite "$home" --hosts 1 2>"$work/none.log")
claim "who has nobody to name says so" says "$work/none.log" '0 of 1 hosts: 0 peers have accepted results'
claim "and the link is the coordinator's alone" same "$link" "$alone"
peer_start 1 --no-host
peer_start 2
submit first "$work/first.yaml"
claim "volunteers earn credit" finished first 120

named() {
	with_host=$("$talkoot" invite "$home" --hosts 1 2>"$work/named.log")
	[ "$with_host" != "$link" ]
}
claim "then a link names one of them" wait_for 60 named
claim "with nothing left to say" test ! -s "$work/named.log"
host_address=${with_host##*,}
claim "behind the coordinator's address" same "$with_host" "$link,$host_address"
claim "another link names the same one" same "$with_host" "$("$talkoot" invite "$home" --hosts 1)"

host=2
told() {
	says "$work/peer-$host.log" 'this computer is a host of the network'
}
claim "the one that does not mind is told" wait_for 30 told
"$talkoot" invite "$home" --hosts 2 >"$work/two.log" 2>&1
claim "the other is not named" says "$work/two.log" '1 of 2 hosts: .* 1 cannot be dialled by strangers, or do not want to'
claim "nor told" bash -c "! grep -q 'is a host of' '$work/peer-1.log'"
claim "and keeps it to itself" same 600 "$(stat -c %a "$work/peer-$host/host")"
key=$("$talkoot_peer" status --json --home "$work/peer-$host" | sed -n 's/.*"peer": *"\([0-9a-f]*\)".*/\1/p')
"$talkoot" -C "$home" hosts >"$work/hosts.log"
claim "the owner sees who it is, and where" says "$work/hosts.log" "^$key  $host_address "

# Half of its time is over: the store says so.
if command -v python3 >/dev/null; then
	python3 - "$home/store.sqlite" <<-'PY'
		import sqlite3, sys, time
		with sqlite3.connect(sys.argv[1], timeout=10) as store:
		    store.execute("UPDATE host SET expiry_s = ?", (int(time.time()) + 44 * 86400,))
	PY
	renewed() {
		[ "$(grep -c 'this computer is a host of the network' "$work/peer-$host.log")" = 2 ]
	}
	claim "a certificate whose time is half over is renewed" wait_for 30 renewed
	later() { # than the 44 days that the store said
		local until
		until=$("$talkoot_peer" status --json --home "$work/peer-$host" | sed -n 's/.*"host_until": *\([0-9]*\).*/\1/p')
		[ "$until" -gt $(($(date +%s) + 60 * 86400)) ]
	}
	claim "and the peer has the new one" wait_for 30 later
else
	skip "there is no python3 to change a certificate's date with"
fi

submit second "$work/second.yaml"
begun() {
	[ "$(field second units_accepted)" -ge 1 ]
}
claim "another project begins" wait_for 60 begun
coordinator_kill
claim "which does not end before the coordinator does" bash -c "[ '$(field second state)' != done ]"
peer_kill "$host"
peer_start "$host" --listen "$host_address"
listens() { # ADDRESS:PORT
	(exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null
}
wait_for 60 listens "$host_address" || give_up "the host listens again"
link=$with_host
peer_start 3
claim "joining says that the network is there" says "$work/peer-3.log" 'The network answers'
status() {
	"$talkoot_peer" status --home "$work/peer-3"
}
entered() {
	status | grep -q "in the network by $host_address; the coordinator is away"
}
claim "a newcomer comes in through the host, restarted without a coordinator" wait_for 60 entered
has_news() {
	grep -qE '"neighbours": ?[1-9]' "$work/peer-3/status.json" &&
		grep -qE '"beacon": ?[1-9]' "$work/peer-3/status.json"
}
claim "it has a neighbour, and the network's last beacon" wait_for 60 has_news
claim "and does not take the host for the coordinator" grep -qE '"connected": ?false' "$work/peer-3/status.json"
"$talkoot_peer" doctor "$with_host" --listen 127.0.0.1:0 --no-port-mapping >"$work/doctor.log" 2>&1
claim "the doctor tells a host from the coordinator" says "$work/doctor.log" 'ok +identity +it is a host of the link'
claim "and joining works" says "$work/doctor.log" '^Joining works'

peer_stop 1 # whoever was there before must not end the project while the newcomer waits for its next try
peer_stop 2
coordinator_start
back() {
	grep -qE '"connected": ?true' "$work/peer-3/status.json"
}
claim "when the coordinator is back, the newcomer finds it without a restart" wait_for 90 back
peer_start 1 --no-host
peer_start 2
works() {
	grep -qE '"units_valid": ?[1-9]' "$work/peer-3/status.json"
}
claim "and works" wait_for 120 works
claim "and the project is trained to its end" finished second 240
claim "to the model that one computer trains" same "$(local_model "$work/second.yaml")" "$(field second model_digest)"

"$talkoot" -C "$home" hosts --remove "${key:0:12}" >"$work/removed.log" 2>&1
claim "a host is removed by the first digits of its key" says "$work/removed.log" '^Removed: .*is not renewed'
"$talkoot" -C "$home" hosts >"$work/hosts.log"
claim "and is none any more" says "$work/hosts.log" 'name no hosts'
finish
