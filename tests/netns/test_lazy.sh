#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# pend-test: san
# `reauthorize lazy`: a change of policy asks about each live flow when its next packet comes, whichever way that
# goes (R31 to R34, L16, T8), and once.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair
need_queue
S=pend-s$ID S4=198.51.100.2 S6=2001:db8:2::2
ns_add "$S"
link "$H" eth1 "$S" eth0
addr "$H" eth1 198.51.100.1/24 2001:db8:2::1/64
addr "$S" eth0 $S4/24 $S6/64
ip -n "$S" route add default via 198.51.100.1
ip -n "$S" route add default via 2001:db8:2::1
ip -n "$C" route add default via $H4
ip -n "$C" route add default via $H6
# What is counted are packets: one that waits for the daemon is not sent a second time for that, busy as the machine is.
for ns in "$H" "$C" "$S"; do inside "$ns" sysctl -qw net.ipv4.tcp_rto_min_us=2000000 2>/dev/null; done
h sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
h iptables -w -t nat -A PREROUTING -i eth0 -p tcp --dport 8099 -j DNAT --to-destination $S4:8098
PENDD_SETTINGS='reauthorize lazy; hookup nft;'

policy() { echo "layer default { $* }"; }
reload() # policy...
{
	pendd_config < <(policy "$@")
	h_pendctl reload >"$WORK/reload.out" 2>&1
}

LIFE=$((120 * ${WAIT_FACTOR:-1})) # seconds, for what is left behind
# A connection of which both ends are ours: what is said at one is in the file of the other.
declare -A IN
AT=$H TO=$H4 # where its server is
talk() # name port [client options]
{
	local name=$1 port=$2 end
	shift 2
	[ "${TO#*:}" = "$TO" ] || set -- "$@" -6
	for end in server client; do
		mkfifo "$WORK/$name.$end.in"
		exec {fd}<>"$WORK/$name.$end.in"
		IN[$name.$end]=$fd
	done
	ip netns exec "$AT" timeout "$LIFE" ncat "$@" -l "$TO" "$port" <"$WORK/$name.server.in" \
		>"$WORK/$name.server" 2>"$WORK/$name.server.err" &
	wait_for 5 eval "inside $AT ss -lntu | grep -q ':$port '"
	ip netns exec "$C" timeout "$LIFE" ncat "$@" "${VIA:-$TO}" "${VIA_PORT:-$port}" <"$WORK/$name.client.in" \
		>"$WORK/$name.client" 2>"$WORK/$name.client.err" &
}
say() { echo "$2" >&"${IN[$1]}"; }          # name.end text
heard() { grep -qx -- "$2" "$WORK/$1"; }     # name.end text
up() { say "$1.client" hello && wait_for 5 heard "$1.server" hello; }
reset_seen() { grep -qE 'reset|abort' "$WORK/$1.err"; }
established() { inside "${2:-$H}" ss -tn state established | grep -q ":$1 "; } # port [namespace]

# Packets that the rules for old flows queued, and what the daemon saw of them.
again() { h nft list table inet pend 2>/dev/null | awk '/comment "again"/ {for (i = 1; i < NF; i++) if ($i == "packets") n += $(i + 1)} END {print n + 0}'; }
packets() { h_status packets; }
nonsense() { h_pendctl status --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["totals"]["malformed"])'; }
blocked_mark() { [ "$(h conntrack -L -p udp 2>/dev/null | grep "dport=$1" | grep -c "mark=$((0x01000000)) ")" = 1 ]; } # port
quiet() { sleep 0.3; } # long enough for a stray packet, none of which is expected

pendd_start < <(policy 'permit proto { tcp, udp } to port 8080-8099')
talk alpha 8080
talk beta 8081
talk gamma 8082
talk delta 8083
check "four connections" eval 'up alpha && up beta && up gamma && up delta'
quiet

# ---- nothing happens until the next packet; then once, in either direction ----
seen=$(packets)
check "a policy that permits them still" reload 'permit proto { tcp, udp } to port 8080-8099'
quiet
is "$(again)" 0 "R31: a flow that is idle is not asked about"
say alpha.client one
check "the client speaks first" wait_for 5 heard alpha.server one
is "$(again)" 1 "R31: its next packet was queued"
say alpha.client two
say alpha.server three
check "and it goes on" eval 'wait_for 5 heard alpha.server two && wait_for 5 heard alpha.client three'
is "$(again)" 1 "later packets do not come again"
say beta.server four
check "the server speaks first" wait_for 5 heard beta.client four
is "$(again)" 2 "R31: a reply of the local socket was queued"
say beta.client five
check "and it goes on" wait_for 5 heard beta.server five
is "$(again)" 2 "later packets do not come again"
is "$(packets)" $((seen + 2)) "no other packet has reached the daemon"

# ---- what the new policy blocks ----
check "a policy that blocks two of them" reload 'block proto tcp to port { 8082, 8083 }; permit proto { tcp, udp } to port 8080-8099'
quiet
check "R31: they are idle, and still there" eval 'established 8082 && established 8083'
say gamma.client never
check "T8: profile change blocks a live flow on its next packet" wait_for 5 reset_seen gamma.client
check "R34: its local socket is gone" wait_for 5 eval '! established 8082'
is "$(heard gamma.server never && echo heard)" '' "the packet did not get through"
say delta.server never
check "R34: the server speaks first: its socket is gone" wait_for 5 eval '! established 8083'
check "... and the client is reset" wait_for 5 reset_seen delta.client
is "$(heard delta.client never && echo heard)" '' "the packet did not get through"
say alpha.client six
say beta.server seven
check "R34: the others go on" eval 'wait_for 5 heard alpha.server six && wait_for 5 heard beta.client seven'

# ---- a pend rule does not ask again (R33) ----
reload 'pend proto tcp to port 8080-8099 complete buffer timeout 20s'
say alpha.server eight
check "R33: under a pend rule a live flow goes on" wait_for 5 heard alpha.client eight
is "$(pending_count)" 0 "and nobody is asked"

# ---- a stream under reloads loses nothing ----
reload 'permit proto { tcp, udp } to port 8080-8099'
# Not ncat -e cat: it writes to cat while cat waits for it to read, when much comes at once.
ip netns exec "$H" timeout "$LIFE" python3 -c "if True:
	import socket
	s = socket.create_server(('$H4', 8090)).accept()[0]
	while (got := s.recv(65536)):
		s.sendall(got)" &
wait_for 5 eval 'h ss -lnt | grep -q :8090'
seq 500000 >"$WORK/numbers"
before=$(again)
(for ((i = 0; i < 50; i++)); do seq $((i * 10000 + 1)) $((i * 10000 + 10000)); sleep 0.02; done; sleep "$LIFE") |
	c timeout "$LIFE" ncat "$H4" 8090 >"$WORK/stream" 2>"$WORK/stream.err" &
for _ in 1 2 3 4 5 6 7 8; do
	reload 'permit proto { tcp, udp } to port 8080-8099'
	sleep 0.05
done
wait_for 20 eval '[ "$(wc -l <"$WORK/stream")" -ge 500000 ]'
check "a stream that runs while eight policies come loses nothing" cmp "$WORK/numbers" "$WORK/stream"
gt "$(again)" "$before" "and was asked about meanwhile"

# ---- BIG TCP: packets that are longer than their header can say ----
if ip -n "$C" link set eth0 gso_max_size 300000 2>/dev/null; then
	ip netns exec "$H" timeout "$LIFE" ncat -6 -l "$H6" 8089 >/dev/null &
	wait_for 5 eval 'h ss -lnt | grep -q :8089'
	before=$(again) malformed=$(nonsense)
	ip netns exec "$C" timeout "$LIFE" python3 -c "if True:
		import socket
		s = socket.create_connection(('$H6', 8089))
		while True:
			s.sendall(bytes(1 << 20))" 2>"$WORK/big.err" &
	BIG=$!
	for _ in 1 2 3 4 5 6 7 8; do
		sleep 0.1
		reload 'permit proto { tcp, udp } to port 8080-8099'
	done
	gt "$(again)" "$before" "BIG TCP: a stream is asked about"
	is "$(nonsense)" "$malformed" "BIG TCP: and none of it is taken for nonsense"
	check "BIG TCP: it goes on" running "$BIG"
	kill "$BIG"
	wait "$BIG" 2>/dev/null
	ip -n "$C" link set eth0 gso_max_size 65536
else
	skip "BIG TCP" "not with this kernel"
fi

# ---- datagrams one way: for conntrack such a flow stays new ----
talk omega 8085 -u
check "datagrams" up omega
quiet
before=$(again)
reload 'permit proto { tcp, udp } to port 8080-8099'
say omega.client one
say omega.client two
check "one-way datagrams go on" wait_for 5 heard omega.server two
sleep 0.1
say omega.client three
check "..." wait_for 5 heard omega.server three
le $(($(again) - before)) 3 "R46: they are asked about, and then no more"
at=$(again)
say omega.client four
check "..." wait_for 5 heard omega.server four
is "$(again)" "$at" "not with every datagram"
reload 'block proto udp; permit proto tcp'
say omega.client five
quiet
is "$(heard omega.server five && echo heard)" '' "R34: blocked, they stop"
holds 3 "... and the mark says so" blocked_mark 8085
reload 'permit proto { tcp, udp } to port 8080-8099'
say omega.client six
check "permitted again, they come again" wait_for 5 heard omega.server six
h iptables -w -t nat -A PREROUTING -i eth0 -p udp --dport 8096 -j REDIRECT --to-ports 8097
VIA=$H4 VIA_PORT=8096 talk psi 8097 -u
check "datagrams behind REDIRECT" up psi
quiet
reload 'block proto udp; permit proto tcp'
say psi.client one
quiet
is "$(heard psi.server one && echo heard)" '' "R34: blocked, they stop as well"
holds 3 "... and the mark says so, of what was translated" blocked_mark 8096
reload 'permit proto { tcp, udp } to port 8080-8099'
say psi.client two
check "permitted again, they come again" wait_for 5 heard psi.server two

# ---- what a packet does not tell of its flow does not end it (R32) ----
h iptables -w -t mangle -A PREROUTING -i eth0 -p tcp --dport 8088:8089 -j MARK --set-mark 0x10
rest='permit proto { tcp, udp } to port 8080-8087'
reload "permit proto tcp mark 0x10 to port 8088-8089; $rest"
talk marked 8088
talk other 8089
check "let in by their mark" eval 'up marked && up other'
quiet
before=$(again)
reload "permit proto udp; permit proto tcp mark 0x10 to port 8088-8089; $rest"
say marked.server one
check "a reply, which does not have it" wait_for 5 heard marked.client one
say other.client one
check "a packet that has it" wait_for 5 heard other.server one
quiet # an ACK may be late
is $(($(again) - before)) 3 "both were asked about, and what answered the reply, too"
reload "permit proto tcp mark 0x20 to port 8088-8089; $rest"
say marked.client never
check "one that has another is known to" wait_for 5 reset_seen marked.client
say other.server two
check "a reply still tells nothing" wait_for 5 heard other.client two
reload "block mark 0x20; $rest"
say other.server never
check "it is ended by it when no mark lets it in" wait_for 5 eval '! established 8089'
is "$(heard marked.server never && echo heard)$(heard other.client never && echo heard)" '' "not a byte of them"

# ---- round the ring of epochs ----
talk old 8086
check "a connection" up old
quiet
for ((i = 0; i < 61; i++)); do
	h_pendctl reload >/dev/null 2>&1 || not_ok "reload $i"
done
reload 'block proto tcp to port 8086; permit proto { tcp, udp } to port 8080-8099'
for ((i = 0; i < 8; i++)); do
	h_pendctl reload >/dev/null 2>&1 || not_ok "reload $i"
	say alpha.client "round $i"
	wait_for 5 heard alpha.server "round $i" || not_ok "alpha goes on in round $i"
done
check "70 reloads: a flow that speaks in each goes on" heard alpha.server "round 7"
check "a flow that was idle all the time is still there" established 8086
say old.client never
check "... and is ended by its next packet, though its epoch came round" wait_for 5 reset_seen old.client
is "$(heard old.server never && echo heard)" '' "not a byte of it"

# ---- what is forwarded, and IPv6 ----
AT=$S TO=$S4 talk near 8091
AT=$S TO=$S4 talk far 8092
AT=$S TO=$S4 talk stays 8093
AT=$S TO=$S6 talk near6 8094
AT=$H TO=$H6 talk local6 8095
AT=$S TO=$S4 VIA=$H4 VIA_PORT=8099 talk nat 8098
check "connections through this host, and of IPv6" eval 'up near && up far && up stays && up near6 && up local6 && up nat'
quiet
before=$(again)
reload 'permit in eth0 proto tcp to port 8093; block proto tcp to port 8090-8099; permit proto { tcp, udp } to port 8080-8099'
quiet
is "$(again)" "$before" "idle, they are not asked about"
say stays.server one # its interfaces are those of the flow, not of the packet
check "R31: a forwarded flow goes on by its reply" wait_for 5 heard stays.client one
say stays.client two
check "... and the other way" wait_for 5 heard stays.server two
say near.client never
check "R34: forwarded, the client is reset by what it says" wait_for 5 reset_seen near.client
say near.server never
check "... and the server by what it says" wait_for 5 eval '! established 8091 $S'
say far.server never
check "R34: the server speaks first and is reset" wait_for 5 eval '! established 8092 $S'
say far.client never
check "... and then the client" wait_for 5 reset_seen far.client
say near6.client never
check "IPv6: forwarded" wait_for 5 reset_seen near6.client
say local6.server never
check "IPv6: a local socket's reply" wait_for 5 eval '! established 8095'
check "IPv6: ... and its client" wait_for 5 reset_seen local6.client
say nat.server never
check "behind DNAT the server is reset" wait_for 5 eval '! established 8098 $S'
say nat.client never
check "... and the client" wait_for 5 reset_seen nat.client
is "$(cd "$WORK" && grep -lx never {near,far,near6,local6,nat}.{server,client})" '' "not a byte of them"

# ---- the daemon goes and comes (R36, R57) ----
talk kept 8087
check "a connection" up kept
pendd_kill
say kept.client one
check "R57: without the daemon a permitted flow goes on" wait_for 5 heard kept.server one
pendd_run
check "the daemon is back" wait_for 10 pendd_ready
say kept.server two
check "R36: a flow of an earlier daemon goes on" wait_for 5 heard kept.client two
ge "$(again)" 1 "after it was asked about"
pendd_stop
pendd_config < <(policy 'block proto tcp')
pendd_run
check "another policy" wait_for 10 pendd_ready
say kept.client three
check "R36: ... or is ended by the new one's policy" wait_for 5 reset_seen kept.client

# ---- where it cannot be ----
pendd_stop
for kind in iptables none; do
	PENDD_SETTINGS="reauthorize lazy; hookup $kind;"
	pendd_config < <(policy 'permit proto tcp')
	out=$(h timeout 10 "$BIN/pendd" -c "$CONFIG" 2>&1)
	isnt "$?" 0 "hookup $kind refuses"
	like "$out" 'reauthorize lazy.*needs the nft hookup' "... and says why"
done
finish
