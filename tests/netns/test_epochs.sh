#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# R36: what an earlier daemon has let in is not authorized, whatever number its epoch had. A flow of datagrams that
# nobody answers is asked about by its next one.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/control.sh
. "${0%/*}/control.sh"
ns_pair
need_queue
control_start
server -s udp:7001

send() { client_bg all -u -n 62 -c 62 -d 1 -t 300 -l 10 -P 5001 "$H4" 7001 && client_wait all; }
marks() { h conntrack -L -p udp 2>/dev/null | sed -nE 's/.*mark=([0-9]+).*/\1/p' | sort -u; }

PENDD_SETTINGS="reauthorize no;" pendd_start <<<'layer default { permit }'
send
let_in() { [ "$(server_saw "$C4:" | grep -c '"event":"datagram"')" = 62 ]; } # the client does not wait for it
wait_for 5 let_in
server_report
is "$(server_saw "$C4:" | grep -c '"event":"peer"')" 62 "62 flows that nobody answers are let in"
pendd_stop
mark=$(marks)
gt "${mark:-0}" 0 "... and are of one epoch"
# Each gets a number of its own, of the 62 that there are.
low=$((mark & -mark)) # permit
for ((i = 1; i <= 62; i++)); do
	h conntrack -U -p udp -s "$C4" -d "$H4" --orig-port-src $((5000 + i)) --orig-port-dst 7001 \
		--mark $((low | i * 4 * low)) >"$WORK/conntrack" 2>&1
done
is "$(marks | wc -l)" 62 "now they are of 62 epochs"

PENDD_SETTINGS="reauthorize no;" pendd_start <<<'layer default { block proto udp; permit }'
before=$(wc -l <"$WORK/server.out")
send
server_report
is "$(server_saw "$C4:" | grep '"event":"peer"' | tail -n 62 | grep -vc '"received":1,')" 0 "R36: not one of them goes on under another daemon"
finish
