#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90
# What is not pended unless asked for, under a policy that pends everything: the host's own connections (T28),
# multicast (R48), and what never opens a flow (R17). Then what is real: the clients people use.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
server tcp:80 udp:85
policy() {
	cat <<-END
	authority ops { type operator; timeout 60s; }
	layer default {
		pend proto tcp to port 81 ask ops complete buffer absorb
		pend proto tcp to port 82 ask ops complete flush
		pend ask ops complete buffer
	}
	END
}
local_client() { # name arguments
	ip netns exec "$H" "$BIN/tests/netns/client" "${@:2}" >"$WORK/$1" 2>&1 &
	# shellcheck disable=SC2034  # lib.sh reads it
	CLIENT_PID[$1]=$!
}

# ---- by default ----

pendd_start < <(policy)
local_client lo -t 3000 -l 10 127.0.0.1 80
local_client lo6 -t 3000 -l 10 ::1 80
local_client own -t 3000 -l 10 $H4 80
for n in lo lo6 own; do
	client_wait $n
	is "$(of $n result)" connected "T28: the host's own connection is exempt ($n)"
done
is "$(total packets)" 0 "and never came to us"

# ICMP errors and other odd ends (R17).
c hping3 -q -c 1 --icmp --icmptype 3 --icmpcode 1 $H4 >/dev/null 2>&1
c hping3 -q -c 1 --icmp --icmptype 13 $H4 >/dev/null 2>&1
synflood -s 203.0.113.200 -P 5000 -f A -i 1 $H4 80 >/dev/null
synflood -s 203.0.113.200 -P 5001 -f SA -i 1 $H4 80 >/dev/null
synflood -s 203.0.113.200 -P 5002 -f R -i 1 $H4 80 >/dev/null
synflood -s 203.0.113.200 -P 5003 -f SF -i 1 $H4 80 >/dev/null
midstream() { [ "$(h nft list table inet pend 2>/dev/null | awk '/midstream/ {for (i = 1; i < NF; i++) if ($i == "packets") s += $(i + 1)} END {print s + 0}')" -ge 1 ]; }
holds 3 "R36: segments of no known connection are dropped" midstream
is "$(ctl count)" 0 "R17: ICMP errors and stray segments are not pended"
ip -n "$H" neigh flush dev eth0
neighbour() { h ping -c 1 -W 1 $C4 >/dev/null; ip -n "$H" neigh get $C6 dev eth0 >/dev/null 2>&1 || h ping -c 1 -W 1 $C6; }
check "R17: neighbour discovery goes on" neighbour
mcast() { c python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("192.0.2.2"))
s.bind(("192.0.2.2", int(sys.argv[1])))
s.sendto(b"cast", ("239.1.1.1", 86))' "$1"; }
ip netns exec "$H" python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 86))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.1.1.1") + socket.inet_aton("192.0.2.1"))
print("joined", flush=True)
while True:
	print("from", s.recvfrom(100)[1][1], flush=True)' >"$WORK/joined" 2>&1 &
wait_for 5 has_line "$WORK/joined" joined
mcast 7001
saw() { has_line "$WORK/joined" "from $1"; }
holds 3 "R48: multicast is not pended by default" saw 7001
pendd_stop

# ---- when asked for ----

PENDD_SETTINGS='loopback yes; multicast yes;' pendd_start < <(policy)
local_client lo -t "$(ms 9000)" -l 10 127.0.0.1 80
local_client lo6 -t "$(ms 9000)" -l 10 ::1 80
local_client own -t "$(ms 9000)" -l 10 $H4 80
holds 5 "T28: loopback yes: the host's own connections are pended" pends 3
is "$(ctl get interface | tr ' ' '\n' | sort -u)" lo "on lo"
d=$(ctl permit all)
for n in lo lo6 own; do
	client_wait $n
	is "$(of $n result)" connected "T28: permitted, with buffer ($n)"
	lt "$(of $n at | while read -r at; do since "$d" <<<"$at"; done)" "$(ms 900)" "at once"
	is "$(of $n received)" 10 "and talks"
done
holds 3 "T28: they are told as permitted, so by what was held" told 3 dest_port=80 state=permitted
kill "$SERVER_PID" 2>/dev/null
wait_for 3 gone "$SERVER_PID"
server tcp:80 tcp:81 tcp:82 udp:85
local_client absorb -t "$(ms 9000)" -l 10 127.0.0.1 81
local_client flush -t "$(ms 9000)" -l 10 127.0.0.1 82
wait_for 5 pends 2
ctl permit all >/dev/null
client_wait absorb; client_wait flush
is "$(of absorb result)" connected "T28: absorbed and sent again on lo"
is "$(of flush result)" connected "T28: flushed on lo: let in with the next copy"
local_client reset -t 3000 -P 6001 127.0.0.1 80
wait_for 5 pends 1
d=$(ctl reset all)
client_wait reset
is "$(of reset result)" refused "T17: refused on lo"
lt "$(of reset at | while read -r at; do since "$d" <<<"$at"; done)" "$(ms 900)" "T17: at once"
# Both ends of a flow that is ended are here, and hear of it (R34).
local_client ended -t "$(ms 9000)" -l 10 -k "$(ms 20000)" -P 6003 127.0.0.1 80
wait_for 5 pends 1
ctl permit all >/dev/null
established() { [ -n "$(h ss -Htn state established "sport = :6003")" ]; }
check "a flow on lo" wait_for 5 established
check "... that a policy ends" h_pendctl policy add block proto tcp to port 80
holds 5 "R34: its client's socket is reset, too" eval '! established'
kill "${CLIENT_PID[ended]}" 2>/dev/null
# shellcheck disable=SC2046  # words
h_pendctl policy delete $(h_pendctl -H policy list | awk '{print $1}') >/dev/null
local_client dropped -t 700 -P 6002 127.0.0.1 80
wait_for 5 pends 1
ctl drop all >/dev/null
client_wait dropped
for port in 6001 6002; do
	local_client again -t "$(ms 9000)" -P $port 127.0.0.1 80
	holds 5 "L14: after a block the same tuple is pended anew on lo ($port)" pends 1
	ctl permit all >/dev/null
	client_wait again
	is "$(of again result)" connected "and can be permitted"
done
local_client udp -u -d 3 -g 30 -t 3000 127.0.0.1 85
wait_for 5 pends 1
ctl permit all >/dev/null
client_wait udp
is "$(of udp received)" 3 "T28: datagrams on lo"
mcast 7002
holds 5 "R48: multicast yes: it is pended" pends 1
ctl permit all >/dev/null
holds 3 "R48: and let in" saw 7002
check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes
pendd_stop

# ---- the clients people use ----

pendd_start < <(policy)
after_permit() { # text pattern command...: held, permitted, and then it does its work
	local text=$1 pattern=$2 job
	shift 2
	"$@" >"$WORK/real" 2>&1 &
	job=$!
	holds 6 "$text is pended" pends_least 1
	ctl permit all >/dev/null
	wait_for 10 gone $job || kill $job
	like "$(cat "$WORK/real")" "$pattern" "$text does its work after the permit"
	ctl permit all >/dev/null
}
mkdir "$WORK/www"
echo "hello from the server" >"$WORK/www/file"
(cd "$WORK/www" && exec ip netns exec "$H" python3 -m http.server 8000 >/dev/null 2>&1) &
after_permit ncat hello ip netns exec "$C" sh -c "echo hello | timeout 6 ncat -i 1 $H4 80"
after_permit "ncat over IPv6" hello ip netns exec "$C" sh -c "echo hello | timeout 6 ncat -i 1 $H6 80"
after_permit "nc, UDP" hello ip netns exec "$C" sh -c "(echo hello; sleep 3) | timeout 3 nc -u -w 3 $H4 85"
if command -v curl >/dev/null; then
	after_permit curl 'hello from' ip netns exec "$C" curl -s --max-time 8 "http://$H4:8000/file"
	after_permit "curl over IPv6" . ip netns exec "$C" curl -s --max-time 8 "http://[$H6]:8000/file" -o /dev/null -w 'code %{http_code}'
fi
if command -v dig >/dev/null; then
	ip netns exec "$H" python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 53))
print("ready", flush=True)
while True:
	q, a = s.recvfrom(600)
	end = q.index(b"\0", 12) + 5
	s.sendto(q[:2] + b"\x84\0\0\1\0\1\0\0\0\0" + q[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\x63", a)' >"$WORK/dns" 2>&1 &
	wait_for 5 has_line "$WORK/dns" ready
	after_permit dig '192.0.2.99' ip netns exec "$C" dig +tries=1 +time=8 +short "@$H4" name.example
fi
if [ -x /usr/sbin/sshd ] && command -v ssh-keygen >/dev/null; then
	ssh-keygen -q -t ed25519 -N '' -f "$WORK/hostkey"
	mkdir -p /run/sshd
	ip netns exec "$H" /usr/sbin/sshd -D -f /dev/null -h "$WORK/hostkey" -p 2222 -o PidFile=none >/dev/null 2>&1 &
	wait_for 5 eval 'h ss -Hltn | grep -q ":2222 "'
	after_permit ssh 'Permission denied|Host key|publickey' ip netns exec "$C" ssh -p 2222 -o BatchMode=yes \
		-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=8 nobody@$H4 true
fi
if command -v nping >/dev/null; then
	after_permit "nping, TCP connect" 'TCP connection attempts: 1.*Successful connections: 1|Successful connections: 1' \
		ip netns exec "$C" nping --tcp-connect -c 1 -p 80 $H4
fi
after_permit ping ' 0% packet loss' ip netns exec "$C" ping -c 1 -W 6 $H4
finish
