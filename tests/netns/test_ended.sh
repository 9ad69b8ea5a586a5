#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# Flows of datagrams that were ended (R34), while both ends go on sending: nothing of the peer comes in any more,
# although this host speaks first; and a later policy lets it in again.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair
need_queue
S=pend-s$ID S4=198.51.100.2
ns_add "$S"
link "$H" eth1 "$S" eth0
addr "$H" eth1 198.51.100.1/24
addr "$S" eth0 $S4/24
ip -n "$S" route add default via 198.51.100.1
ip -n "$C" route add default via $H4
h sysctl -qw net.ipv4.ip_forward=1
h iptables -w -t nat -A PREROUTING -i eth0 -p udp --dport 9099 -j REDIRECT --to-ports 9003

policy() { echo "layer default { $* }"; }
reload() # policy...
{
	pendd_config < <(policy "$@")
	h_pendctl reload >"$WORK/reload.out" 2>&1
}

end() # name namespace arguments of twoway.py
{
	local name=$1 ns=$2
	shift 2
	ip netns exec "$ns" timeout $((100 * ${WAIT_FACTOR:-1})) python3 "$TOP/tests/netns/twoway.py" "$@" \
		>"$WORK/$name" 2>"$WORK/$name.err" &
}
heard() { wc -l <"$WORK/$1"; }
hears() # name: and goes on to
{
	local from
	from=$(heard "$1")
	wait_for 5 eval "[ \$(heard $1) -ge $((from + 5)) ]"
}
read_all() { sleep 1; } # what came in before: an end that had no processor for a while writes it down now
deaf() # name...: for a second, though everybody speaks 50 times
{
	local name before after
	before=$(for name; do heard "$name"; done)
	sleep 1
	after=$(for name; do heard "$name"; done)
	[ "$before" = "$after" ] || { echo "from" $before "to" $after; return 1; }
}
pings() { c ping -c 1 -W 1 -e 77 $H4; }

# All of them die by a policy, and come back by another.
NAMES="local local6 through nat"
all_hear()
{
	local name
	for name in $NAMES; do hears "$name.server" && hears "$name.client" || { echo "$name"; return 1; }; done
}
all_deaf()
{
	local name ends=
	for name in $NAMES; do ends+=" $name.server"; done
	deaf $ends
}

ends_start()
{
	end local.server "$H" $H4 9001
	end local6.server "$H" $H6 9001
	end through.server "$S" $S4 9002
	end nat.server "$H" $H4 9003
	wait_for 10 eval "[ \$(h ss -lun | grep -cE ':900[13] ') = 3 ]"
	wait_for 5 eval "inside $S ss -lun | grep -q ':9002 '"
	end local.client "$C" $C4 4001 $H4 9001
	end local6.client "$C" $C6 4001 $H6 9001
	end through.client "$C" $C4 4002 $S4 9002
	end nat.client "$C" $C4 4003 $H4 9099
}
ends_stop()
{
	local pid
	for pid in $(jobs -p); do
		[ "$pid" = "$PENDD_PID" ] || kill "$pid"
	done 2>/dev/null
	h conntrack -F 2>/dev/null
}

ended() # text settings
{
	PENDD_SETTINGS=$2
	pendd_start < <(policy 'permit proto { udp, icmp }')
	ends_start
	check "$1: both ends of all flows speak" all_hear
	check "$1: so does a ping" pings

	check "$1: a policy that blocks them" reload 'block proto { udp, icmp }; permit proto tcp'
	read_all
	check "$1: no datagram of the peers comes in any more, whoever speaks first" all_deaf
	check "$1: nor do the local sockets reach them" deaf local.client local6.client through.client
	check_not "$1: nor does the ping" pings
	check "$1: a later policy lets them in again" eval "reload 'permit proto { udp, icmp }' && all_hear"
	check "$1: the ping, too" pings

	check "$1: a policy that blocks only what lives" reload 'block reauthorize proto udp; permit proto udp'
	read_all
	check "$1: R34: they are not new flows by their next datagram" all_deaf
	check "$1: a later policy lets them in again" eval "reload 'permit proto { udp, icmp }' && all_hear"
	check "$1: by what a rule may refuse, too" reload 'block proto udp with unreachable; permit proto icmp'
	read_all
	check "$1: nothing comes" all_deaf
	check "$1: and they are told" eval 'grep -q "No route" "$WORK/local.client.err" && grep -q "Permission" "$WORK/local6.client.err"'
	ends_stop
	pendd_stop
}

ended "now" 'hookup nft;'
ended "lazy" 'hookup nft; reauthorize lazy;'
ended "iptables" 'hookup iptables;'

# A decision that ends its flows when it is forgotten: the peer is asked about anew, and gets nothing in meanwhile.
NAMES="local"
PENDD_SETTINGS='' pendd_start < <(policy 'pend proto udp to port 9001 timeout 60s complete buffer remember 1h end')
end local.server "$H" $H4 9001
wait_for 10 eval "h ss -lun | grep -q ':9001 '"
end local.client "$C" $C4 4001 $H4 9001
check "a flow that a decision lets in" eval 'wait_for 5 pending_is 1 && h_pendctl permit --for 1h --all && all_hear'
holds 20 "which nothing else remembers after a while" eval "[ \"\$(h_status lingering)\" = 0 ]"
check "it is forgotten" h_pendctl decisions forget --all
check "and asked about anew" wait_for 5 pending_is 1
read_all
check "nothing comes in meanwhile" deaf local.server local.client
check "it is let in again" eval 'h_pendctl permit --all && all_hear'
finish
