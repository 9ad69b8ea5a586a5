#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# Live flows when the policy changes: R30 to R34, T8. A reload ends exactly the flows that the new policy blocks;
# the others lose nothing.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair
need_queue

policy() # what is permitted...
{
	echo "layer default { $* }"
}

# A stream of numbered lines through an echo server; what comes back is in $WORK/NAME.
stream() # name proto port [lines]
{
	local opt=()
	[ "$2" = tcp ] || opt=(-u)
	(for ((i = 1; i <= ${4:-60}; i++)); do echo "$i"; sleep 0.1; done) |
		c timeout 30 ncat "${opt[@]}" "$H4" "$3" >"$WORK/$1" 2>"$WORK/$1.err" &
}
lines() { wc -l <"$WORK/$1"; }
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }

for port in 8080 8081; do
	ip netns exec "$H" timeout 40 ncat -4 -lk $port -e /bin/cat &
done
ip netns exec "$H" timeout 40 ncat -4 -ul 9000 >"$WORK/udp" &
pendd_start < <(policy 'permit proto tcp to port { 8080, 8081 }; permit proto udp to port 9000')
wait_for 5 eval 'h ss -ltn | grep -q :8081'

stream kept tcp 8081
stream gone tcp 8080
stream sent udp 9000
check "the first stream runs" wait_for 8 has_lines kept 5
check "the second stream runs" wait_for 8 has_lines gone 5
check "the datagrams run" wait_for 8 has_lines udp 5

pendd_config < <(policy 'permit proto tcp to port 8081')
check "the new policy is loaded" h_pendctl reload
check "T8: the flow that is blocked now is reset at the client" wait_for 5 grep -q reset "$WORK/gone.err"
check "... and its server's socket is gone" wait_for 5 eval '! h ss -tn state established | grep -q ":8080 "'
check "... but not the socket that listens" eval 'h ss -ltn | grep -q ":8080 "'
at=$(lines gone) udp=$(wc -l <"$WORK/udp") before=$(lines kept)
check "R34: the other flow goes on" wait_for 8 has_lines kept $((before + 10))
is "$(lines gone)" "$at" "not another byte on the blocked one"
lt "$(wc -l <"$WORK/udp")" $((udp + 2)) "nor a datagram of the blocked UDP flow"
check "the unaffected stream loses nothing" wait_for 15 has_lines kept 60
is "$(seq 60 | cmp - "$WORK/kept" && echo same)" same "... and keeps its order"

# A rule that asks does not ask again: the decision stands (R33).
pendd_config < <(policy 'permit proto tcp to port 8081; pend proto tcp to port 8080 complete buffer timeout 20s')
h_pendctl reload >/dev/null
stream decided tcp 8080
check "held" wait_for 5 pending_is 1
h_pendctl permit "$C4" >/dev/null
check "decided" wait_for 5 has_lines decided 3
pendd_config < <(policy 'pend proto tcp to port 8080 complete flush timeout 5s')
h_pendctl reload >/dev/null
before=$(lines decided)
check "R33: a decided flow goes on under a pend rule" wait_for 5 has_lines decided $((before + 5))
is "$(pending_count)" 0 "and nobody is asked again"

# A rule for another interface or hook is none for these flows.
pendd_config < <(policy 'permit proto tcp to port 8081')
h_pendctl reload >/dev/null
stream other tcp 8081
check "a stream runs" wait_for 5 has_lines other 3
pendd_config < <(policy 'block in nosuch0 proto tcp; block hook forward proto tcp; permit proto tcp')
h_pendctl reload >/dev/null
before=$(lines other)
check "a rule for another interface ends nothing" wait_for 5 has_lines other $((before + 5))
pendd_config < <(policy "block in $(h ip -o -4 addr show to "$H4" | awk '{print $2}') proto tcp; permit proto tcp")
h_pendctl reload >/dev/null
check "a rule for its interface ends it" wait_for 5 grep -q reset "$WORK/other.err"

# What nobody has kept of a flow does not end it (R32): the mark of its packets, and the flags that it began with.
h iptables -w -t mangle -A PREROUTING -i eth0 -p tcp --dport 8081 -j MARK --set-mark 0x10
c sysctl -qw net.ipv4.tcp_ecn=1
ends() { h_pendctl reload --dry-run --json | tr -d '\n' | sed 's/.*"live": *//' | grep -oE '"ended": *[0-9]+' | grep -oE '[0-9]+$'; }
marked='permit proto tcp mark 0x10 to port 8081' ecn='permit proto tcp tcp-flags syn,ece,cwr to port 8080'
pendd_config < <(policy "$marked; $ecn; block")
h_pendctl reload >/dev/null
stream marked tcp 8081 250
stream ecn tcp 8080 250
check "a stream that is let in by its mark" wait_for 5 has_lines marked 3
check "... and one by the flags of its SYN" wait_for 5 has_lines ecn 3
pendd_config < <(policy "permit proto udp to port 9000; block mark 0x20; $marked; $ecn; block")
is "$(ends)" 0 "R32: a policy that changes nothing for them ends none in a dry run"
h_pendctl reload >/dev/null
marked_at=$(lines marked) ecn_at=$(lines ecn)
check "R32: nor when it comes: by its mark it goes on" wait_for 5 has_lines marked $((marked_at + 5))
check "... and by its flags" wait_for 5 has_lines ecn $((ecn_at + 5))
pendd_config < <(policy "block mark 0x20; $marked; permit proto tcp tcp-flags ack to port 8080; block")
is "$(ends)" 1 "an opening packet has no ACK, that is known: a dry run"
h_pendctl reload >/dev/null
check "... and it is ended" wait_for 5 grep -q reset "$WORK/ecn.err"
marked_at=$(lines marked)
check "the other one goes on" wait_for 5 has_lines marked $((marked_at + 5))
pendd_config < <(policy "block mark 0x20; block proto tcp to port 8081; permit")
h_pendctl reload >/dev/null
check "what is blocked whatever its mark is ended" wait_for 5 grep -q reset "$WORK/marked.err"

# A link-local address is one of every link, and the route to it names the same one for all.
link "$H" link1 "$C" link1
link_local() { ip -n "$1" -6 -o addr show dev "$2" scope link | awk '{sub("/.*", "", $4); print $4}'; }
has_link_local() { [ -n "$(link_local "$H" "$1")" ] && [ -n "$(link_local "$C" "$1")" ]; }
for dev in eth0 link1; do
	check "$dev has link-local addresses" wait_for 5 has_link_local "$dev"
done
named() { ip -n "$H" -6 route get "$(link_local "$C" "$1")" | grep -oE 'dev [^ ]+' | cut -d' ' -f2; } # for the peer on a link
other=eth0
[ "$(named eth0)" != eth0 ] || other=link1
isnt "$(named "$other")" "$other" "the route to a neighbour on $other names the other link"
ip netns exec "$H" timeout 40 ncat -6 -lk 8082 -e /bin/cat &
wait_for 5 eval 'h ss -ltn | grep -q ":8082 "'
pendd_config < <(policy "permit in $other proto tcp to port 8082; block")
h_pendctl reload >/dev/null
(for ((i = 1; i <= 200; i++)); do echo "$i"; sleep 0.1; done) |
	c timeout 30 ncat "$(link_local "$H" "$other")%$other" 8082 >"$WORK/near" 2>"$WORK/near.err" &
check "a stream of this link is let in" wait_for 5 has_lines near 3
near_goes_on() # policy text
{
	local at
	pendd_config < <(policy "$1")
	is "$(ends)" 0 "$2 ends nothing in a dry run"
	h_pendctl reload >/dev/null
	at=$(lines near)
	check "... nor when it comes" wait_for 5 has_lines near $((at + 5))
}
near_goes_on "permit proto udp; permit in $other proto tcp to port 8082; block" "R32: a policy that permits it by its link"
near_goes_on "block in $(named "$other") proto tcp; permit" "... and one that blocks the link which the route names"
pendd_config < <(policy "permit in $other proto tcp to port 8083; block")
is "$(ends)" 1 "what is blocked on every link is ended: a dry run"
h_pendctl reload >/dev/null
check "... and it is reset when it comes" wait_for 5 grep -q -i reset "$WORK/near.err"
check "... at this end, too" wait_for 5 eval '! h ss -tn state established | grep -q ":8082"'
near_at=$(lines near)
sleep 1
is "$(lines near)" "$near_at" "... and not another byte passes"

# The flags are there when it completes (R27), and in a dry run.
pendd_config < <(policy 'pend proto tcp to port 8080 tcp-flags syn,ece complete buffer timeout 20s; block')
h_pendctl reload >/dev/null
stream held tcp 8080
check "held for its flags" wait_for 5 pending_is 1
pendd_config < <(policy 'pend proto tcp to port 8080 tcp-flags syn,ece complete buffer timeout 20s; block proto tcp')
like "$(h_pendctl reload --dry-run --json | tr -d ' \n')" '"decided":0,.*"examined":1,"incomplete"' "a dry run knows them"
h_pendctl reload >/dev/null
h_pendctl permit "$C4" >/dev/null
check "R27: decided" wait_for 5 has_lines held 3
is "$(h_status ended_permitted)" 2 "... and let in, by both passes"

# The same port again, while conntrack still has the entry of the flow that was ended.
again() { c timeout 3 ncat -p 7001 "$H4" 8081 </dev/null 2>&1 | tail -n 1; }
pendd_config < <(policy 'permit proto tcp')
h_pendctl reload >/dev/null
(sleep 20) | c timeout 20 ncat -p 7001 "$H4" 8081 >"$WORK/first" 2>"$WORK/first.err" &
check "a connection from a port of its own" wait_for 5 eval 'h ss -tn state established | grep -q :7001'
pendd_config < <(policy 'block proto tcp with reset')
h_pendctl reload >/dev/null
check "it is ended" wait_for 5 grep -q reset "$WORK/first.err"
like "$(again)" refused "the port is blocked by the policy"
pendd_config < <(policy 'permit proto tcp')
h_pendctl reload >/dev/null
is "$(again)" "" "R34: what begins anew from the same port is classified anew, and let in"
finish
