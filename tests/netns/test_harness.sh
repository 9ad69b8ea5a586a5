#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# The harness itself, without pendd: what the plain programs see is what the kernel does.
. "${0%/*}/lib.sh"

ns_pair 8
server tcp:80 udp:53

client_bg tcp -n 20 -c 5 -l 1000 -s 203.0.113.1,203.0.113.2 $H4 80
client_wait tcp
is "$(ended tcp connected)" 20 "20 connections"
is "$(server_accepted)" 20 "the server saw them"
is "$(of tcp received | sort -u | head -n 1)" 1000 "their bytes came back"
check "the source was the chosen one" server_saw 203.0.113.2:

client_bg six -l 10 -s 2001:db8:1::3 $H6 80
client_wait six
is "$(of six result)" connected "IPv6"
check "its source too" server_saw '[2001:db8:1::3]:'

client_bg closed $H4 81
client_wait closed
is "$(of closed result)" refused "a closed port refuses"
lt "$(of closed ms)" 500 "at once"

h iptables -w -A INPUT -p tcp --dport 82 -j DROP
client_bg lost -t 300 $H4 82
client_wait lost
is "$(of lost result)" timeout "a dropped SYN times out"

client_bg udp -u -d 500 -l 100 -P 4000 $H4 53
client_wait udp
is "$(of udp received)" 500 "500 datagrams came back"
server_report
is "$(server_saw $C4:4000 | field missing)" 0 "none is missing"
is "$(server_saw $C4:4000 | field reordered)" 0 "their order was kept"

# A queue that nobody listens to drops.
need_queue
h iptables -w -I INPUT -p tcp --syn --dport 80 -j NFQUEUE --queue-num 7
client_bg held -t 500 $H4 80
client_wait held
is "$(of held result)" timeout "nobody at the queue: no connection"

h iptables -w -A INPUT -p tcp --dport 83
synflood -s 203.0.113.1 -S 8 -n 5000 -r 20000 $H4 83 >"$WORK/flood"
is "$(field sent <"$WORK/flood")" 5000 "5000 SYNs sent"
is "$(h iptables -w -vxnL INPUT | awk '/dpt:83/ {print $1}')" 5000 "5000 SYNs came"
h ip6tables -w -A INPUT -p tcp --dport 83
synflood -s 2001:db8:1::1 -S 8 -n 100 $H6 83 >"$WORK/flood"
is "$(h ip6tables -w -vxnL INPUT | awk '/dpt:83/ {print $1}')" 100 "100 came by IPv6"
status_is 2 "no flood outside of a namespace" "$BIN/tests/netns/synflood" -s 192.0.2.9 192.0.2.8 80

finish
