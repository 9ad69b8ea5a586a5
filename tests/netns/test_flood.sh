#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# Floods and limits: nothing unapproved gets in (T23), and who is real still gets a decision.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
ip -n "$H" route add 198.18.0.0/15 via $C4
server tcp:80 tcp:81 tcp:82 udp:85

policy() {
	cat <<-END
	authority ops { type operator; timeout 60s; }
	layer default {
		pend proto tcp to port 80 ask ops complete buffer
		pend proto tcp to port 81 ask ops complete flush
		permit proto tcp to port 82
		pend proto udp to port 85 ask ops complete buffer
		block
	}
	END
}
restart() { # settings
	pendd_stop
	PENDD_SETTINGS=$1 pendd_start < <(policy)
}

# ---- SYNs that never come back, a small table ----

restart 'max-contexts 1000; high-watermark-percent 50; max-per-source 0; hold-max 200;'
memory=$(pendd_rss)
synflood -s 198.18.0.1 -S 20000 -n 20000 -r 500000 $H4 80 >"$WORK/flood"
is "$(field sent <"$WORK/flood")" 20000 "20,000 SYNs at full speed"
came() { [ $(($(total packets) + $(kernel_queue 6))) -ge 20000 ]; }
holds 8 "each was looked at, or dropped by a full queue" came
le "$(ctl count)" 501 "above the watermark a first SYN opens no context"
gt "$(total watermark_drops)" 10000 "but is dropped and counted"

ip netns exec "$C" "$BIN/tests/netns/synflood" -s 198.18.0.1 -S 60000 -n 36000 -r 3000 -R 7 $H4 80 >"$WORK/flood2" &
flood=$!
client_bg real -n 20 -t "$(ms 20000)" -l 10 $H4 80
client_bg flush -n 20 -t "$(ms 20000)" -l 10 $H4 81
client_bg static -n 20 -c 1 -t 5000 $H4 82
holds 9 "real clients come to the table with their second SYN" pends 40 source=$C4
lt "$(status_ms)" "$(ms 250)" "I6: status answers within 250 ms"
is "$(server_saw "$C4" | grep -c -v '"port":82')" 0 "T23: nobody was let in unasked"
ctl permit source=$C4 >/dev/null
client_wait real; client_wait flush; client_wait static
is "$(ended real connected)" 20 "T23: under the flood 20 of 20 get their decision, with buffer"
is "$(ended flush connected)" 20 "T23: and 20 of 20 with flush"
is "$(ended static connected)" 20 "and 20 of 20 that need none"
wait $flood
is "$(field sent <"$WORK/flood2")" 36000 "there were 36,000 more SYNs meanwhile"
is "$(server_accepted)" 60 "T23: the server saw 60 connections, none unapproved"
is $(($(total ended_permitted) + $(total ended_flushed))) 40 "I2: as many as were permitted"
le "$(total pending_peak)" 1000 "I5: the table never grew above its limit"
lt $(($(pendd_rss) - memory)) 50000 "I5: nor did the memory (KiB)"
ctl drop all >/dev/null
check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes

# ---- above the limit, without a watermark ----

restart 'max-contexts 100; high-watermark-percent 100; max-per-source 0;'
synflood -s 198.18.0.1 -S 500 -n 500 -r 5000 $H4 80 >/dev/null
limited() { [ "$(total limit_contexts)" = 400 ]; }
holds 5 "R19: 100 contexts, 400 are over the limit and counted" limited
is "$(ctl count)" 100 "and no more are pended"
client_bg late -t 900 $H4 80
client_wait late
is "$(of late result)" timeout "R6: on-limit block: nobody else gets in"
ctl drop all >/dev/null
client_bg later -t "$(ms 9000)" $H4 80
wait_for 5 pends 1
ctl permit all >/dev/null
client_wait later
is "$(of later result)" connected "with room again, they do"

restart 'max-contexts 10; high-watermark-percent 100; on-limit permit;'
client_bg few -n 10 -t "$(ms 9000)" $H4 80
wait_for 5 pends 10
client_bg over -n 5 -t 3000 $H4 80
client_wait over
is "$(ended over connected)" 5 "R6: on-limit permit lets in what is over the limit, as was asked for"
ctl permit all >/dev/null
client_wait few

restart 'max-per-source 5; max-per-service 12;'
client_bg greedy -n 20 -t 2500 $H4 80
holds 5 "R19: one source may have 5" stat_least totals.limit_source 15
is "$(ctl count)" 5 "and has 5"
client_bg others -n 4 -t "$(ms 9000)" -s 203.0.113.1,203.0.113.2,203.0.113.3,203.0.113.4 $H4 80
holds 5 "others are not concerned" pends 9
client_bg six -n 20 -t 2500 -s 2001:db8:1::1,2001:db8:1::2,2001:db8:1::3 $H6 81
holds 5 "R19: IPv6 sources are of one /64" pends 5 port=81
client_bg full -n 8 -t 2500 -s 203.0.113.5,203.0.113.6 $H4 80
holds 5 "R19: one service may have 12" stat_least totals.limit_service 1
is "$(ctl count port=80 family=4)" 12 "and has 12"
ctl permit all >/dev/null
client_wait others
is "$(ended others connected)" 4 "they are let in"
client_wait greedy; client_wait six; client_wait full

restart 'max-packets 64;'
client_bg many -u -d 200 -t 4000 -P 7000 $H4 85
holds 5 "R52: the datagrams of a flow are bounded, and what is over is counted" stat_is totals.limit_packets 136
is "$(ctl get packets)" 64 "64 wait"
ctl permit all >/dev/null
client_wait many
server_report
is "$(server_saw "$C4:7000" | field received | tail -n 1)" 64 "R52: the first 64 arrive"
is "$(server_saw "$C4:7000" | field missing | tail -n 1)" 0 "R52: the newest were dropped, not the oldest"

# ---- what is held leaves the kernel's queue room for what comes (R19, L12) ----

# 7/8 of 1600, less one. What is left is more than comes while the daemon waits for a processor: 25 in 60 ms.
room=1399
restart "kernel-queue 1600; max-per-source 0;"
client_bg wave -n 25 -u -d 64 -t "$(ms 15000)" -g 60 $H4 85
full() { [ "$(total limit_packets)" -ge 1 ]; }
holds 10 "R19: the datagrams of a few held flows come to the queue's limit, and are counted" full
client_bg later -n 20 -t "$(ms 15000)" -l 10 $H4 80
holds 5 "R19: new connections are pended all the same" pends 20 port=80
left() { [ "$(kernel_queue 3)" = $room ]; }
holds 2 "$room packets are left in the kernel" left
is "$(kernel_queue 6)" 0 "L12: which has dropped none"
ctl permit all >/dev/null
client_wait later; client_wait wave
is "$(ended later connected)" 20 "and they connect"
check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes

# ---- a full kernel queue, for pendd does not read it: closed and open (I7, L12) ----

# Of the kernel's queue, when 300 have come; the retransmissions of those in it come a second after them.
stopped_full() { # name
	accepted=$(server_accepted)
	kill -STOP "$PENDD_PID"
	client_bg "$1" -n 300 -t "$(ms 9000)" $H4 80
}
on_again() { kill -CONT "$PENDD_PID"; }

restart 'fail closed; kernel-queue 50; max-per-source 0;'
stopped_full closed
queue_dropped() { [ "$(kernel_queue 6)" -ge 250 ]; }
holds 5 "L12: a full kernel queue drops" queue_dropped
is "$(kernel_queue 3)" 50 "50 are queued"
is $(($(server_accepted) - accepted)) 0 "I7: fail closed: none of them gets in"
on_again
dropped() { [ "$(ctl status kernel.queue_dropped)" -ge 250 ]; }
holds 5 "L12: status tells" dropped
permit_some() { ctl permit all >/dev/null; client_done closed; }
holds 20 "they come by and by" permit_some
ge "$(ended closed connected)" 250 "and are let in"

restart 'fail open; kernel-queue 50; max-per-source 0;'
stopped_full open
overflowed() { [ $(($(server_accepted) - accepted)) = 250 ]; }
holds 5 "I7: fail open: what the queue has no room for gets in" overflowed
is "$(kernel_queue 3)" 50 "50 are queued"
on_again
holds 5 "and are pended" pends 50
is "$(kernel_queue 3)" 43 "as many of them held as leave it room"
is $(($(server_accepted) - accepted)) 250 "I7: nothing else gets in"
ctl permit all >/dev/null
client_wait open
is "$(ended open connected)" 300 "the 50 after their permit"
finish
