#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120 san
# What was decided, and the policy that changes before the peer has made use of it: a permit whose retransmission is to
# come, and the later datagrams of a flow that somebody has let in or kept out (R21, R34, R51, T8).

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/control.sh
. "${0%/*}/control.sh"
ns_pair
need_queue
control_start
server tcp:7001 tcp:7002 udp:7003 udp:7004

received() { server_report && sed -nE 's/.*"event":"peer".*"peer":"[^"]*:'"$1"'".*"received":([0-9]+).*/\1/p' "$WORK/server.out" | tail -n 1; }
got() { [ "$(received "$1")" -gt "${2:-0}" ]; } # port [more than]
objects() { h_pendctl -H policy list | awk '{print $1}'; }
client_stop() { kill "${CLIENT_PID[$1]}" 2>/dev/null && client_wait "$1" 2>/dev/null; }

for mode in now lazy; do
	PENDD_SETTINGS="reauthorize $mode;" pendd_start <<-END
		authority people { type operator; timeout 60s; on-timeout block }
		layer default {
			pend proto tcp to port { 7001, 7002 } ask people complete flush
			pend proto udp to port { 7003, 7004 } ask people complete buffer
			permit
		}
	END

	# The client's sixth copy is 7 s old, and the next one some seconds away (1, 3, 7, 15 s on older kernels).
	client_bg late -t "$(ms 40000)" -l 10 -P 4001 "$H4" 7001
	client_bg stays -t "$(ms 40000)" -l 10 -P 4002 "$H4" 7002
	check "$mode: two connections wait" wait_for 5 pending_is 2
	sleep 7.4
	h_pendctl permit --all >/dev/null
	check "$mode: R51: they are permitted, and flushed" wait_for 2 stat_is totals.ended_flushed 2
	check "$mode: a policy that blocks one of them" h_pendctl policy add block proto tcp to port 7001 with reset
	client_wait late
	is "$(of late result)" refused "$mode: T8: its retransmission is judged by the policy of now"
	client_wait stays
	is "$(of stays result)" connected "$mode: ... the other one's permit stands, without a question"
	is "$(ctl status totals.pended)" 2 "$mode: ... nobody was asked again"

	# Datagrams.
	client_bg flow -u -d 400 -g 50 -t 40000 -l 10 -P 4003 "$H4" 7003
	wait_for 5 pending_is 1
	h_pendctl permit --all >/dev/null
	check "$mode: datagrams that somebody let in run" wait_for 5 got 4003
	check "$mode: a policy that blocks them" h_pendctl policy add block proto udp to port 7003
	sleep 0.5 # those that were on their way
	at=$(received 4003)
	sleep 1
	is "$(received 4003)" "$at" "$mode: R34: not one comes in any more"
	# shellcheck disable=SC2046  # words
	check "$mode: a policy that asks about them" h_pendctl policy delete $(objects)
	check "$mode: ... is a question" wait_for 5 pending_is 1
	h_pendctl permit --all >/dev/null
	check "$mode: ... and they run again" wait_for 5 got 4003 "$at"
	client_stop flow

	client_bg kept -u -d 400 -g 50 -t 40000 -l 10 -P 4004 "$H4" 7004
	wait_for 5 pending_is 1
	h_pendctl block --all >/dev/null
	sleep 0.5
	is "$(received 4004)" '' "$mode: datagrams that somebody keeps out stay out"
	is "$(pending_count)" 0 "$mode: ... and are not asked about again"
	check "$mode: until a policy permits them" h_pendctl policy add permit proto udp to port 7004
	check "$mode: ... which holds for the next one" wait_for 5 got 4004
	client_stop kept
	pendd_stop
	kill "$SERVER_PID"
	wait_for 3 gone "$SERVER_PID"
	h conntrack -F 2>/dev/null
	server tcp:7001 tcp:7002 udp:7003 udp:7004
done
finish
