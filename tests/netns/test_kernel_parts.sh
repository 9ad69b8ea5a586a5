#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# What needs a part of the kernel that not every kernel has: SCTP, a link that loses and reorders, a queue
# expression of nf_tables. Each skips by itself.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
server tcp:80 tcp:81 udp:85
modprobe -qa sctp sch_netem nft_queue 2>/dev/null

pendd_start <<-END
	authority ops { type operator; timeout 60s; }
	layer default {
		pend proto tcp to port 80 ask ops complete buffer
		pend proto tcp to port 81 ask ops complete flush
		pend proto sctp to port 90 ask ops complete buffer
		pend proto udp to port 85 ask ops complete buffer
		block
	}
END

# ---- the queue expression ----

if h nft 'add table inet probe; add chain inet probe c; add rule inet probe c queue num 9' 2>/dev/null; then
	like "$(h nft list table inet pend)" 'queue ' "the hookup uses the queue expression where there is one"
	h nft delete table inet probe
else
	h nft delete table inet probe 2>/dev/null
	skip "the hookup uses the queue expression where there is one" "this kernel has no nft queue expression"
fi

# ---- SCTP ----

if c python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)' 2>/dev/null; then
	sctp_server() { ip netns exec "$H" python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
s.bind(("", 90))
s.listen(5)
print("ready", flush=True)
while True:
	print("accepted", s.accept()[1][0], flush=True)' >"$WORK/sctp" 2>&1 & }
	sctp_server
	wait_for 20 has_line "$WORK/sctp" ready
	ip netns exec "$C" timeout 60 python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
s.connect((sys.argv[1], 90))
print("connected")' $H4 >"$WORK/sctp.client" 2>&1 &
	job=$!
	holds 20 "an SCTP INIT is pended" pends 1 protocol=sctp port=90
	is "$(grep -c accepted "$WORK/sctp")" 0 "T24: and not let in before the decision"
	ctl permit all >/dev/null
	wait $job
	is "$(cat "$WORK/sctp.client")" connected "permitted, the association is made"
else
	skip "an SCTP association is pended and permitted" "this kernel has no SCTP"
fi

# ---- a bad link ----

if ip netns exec "$C" tc qdisc add dev eth0 root netem loss 10% delay 20ms 10ms duplicate 5% 2>/dev/null; then
	client_bg buffer -n 50 -t 60000 -l 10 $H4 80
	client_bg flush -n 50 -t 60000 -l 10 $H4 81
	holds 20 "a link that loses, repeats and reorders: 100 clients are 100 contexts" pends 100
	asked=$(($(total pended) - 100))
	both_done() { ctl permit all >/dev/null; client_done buffer && client_done flush; }
	holds 90 "the decisions reach them" both_done
	is "$(($(ended buffer connected) + $(ended flush connected)))" 100 "and all connect after their permit"
	# A decision waits for the next two copies of a SYN; who loses both of them is asked about again.
	le $(($(total pended) - asked - 100)) 15 "T20: few were asked about twice"
	ip netns exec "$C" tc qdisc del dev eth0 root
else
	skip "clients behind a bad link connect after their permit" "this kernel has no netem"
fi
check "I3: every context is accounted for" books_balance
holds 10 "T26: each packet id got exactly one verdict" ledger_closes
finish
