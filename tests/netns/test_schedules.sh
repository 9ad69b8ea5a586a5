#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=400 san
# 1,000 random schedules of permit, block, timeout, retransmission, reload, foreign rule changes and kills of
# the authority process: no connection and no byte before something permits it, and every permitted one in
# time. See schedules.c.
#
#     SEED=n            repeat a run: the same plans, though what runs at once still races
#     SCHEDULES=n       so many, SLOTS=n so many at once
#     TELL=n            the history of schedule n, even if nothing failed
#     QUIET="-k -q"     without kills, without foreign rule changes
. "${0%/*}/lib.sh"

SEED=${SEED:-$((RANDOM * 32768 + RANDOM))} SCHEDULES=${SCHEDULES:-1000} SLOTS=${SLOTS:-100}
DRIVER=$BIN/tests/netns/schedules
[ -x "$DRIVER" ] || make -s -C "$TOP" B="$B" "$DRIVER" >/dev/null 2>&1 || skip_all "$DRIVER is not built"
echo "# SEED=$SEED SCHEDULES=$SCHEDULES SLOTS=$SLOTS"

queue_total() { h awk '{sum += $3} END {print sum + 0}' /proc/net/netfilter/nfnetlink_queue; }

ns_pair "$SLOTS"
need_queue
# Clients of newer kernels send again each second at first, those of older ones after 1, 3 and 7 s.
[ $((SEED % 3)) != 0 ] || c sysctl -qw net.ipv4.tcp_syn_linear_timeouts=0 2>/dev/null
# shellcheck disable=SC2034  # for pendd_config
# Live flows are test_reauthorize.sh's: here a reload must not end what was just let in.
PENDD_SETTINGS="queues 200-$((200 + SEED % 2)); reauthorize no;"
pendd_config < <("$DRIVER" -p -s "$SEED" -c "$SLOTS")
pendd_run
wait_for 10 pendd_ready || bail "pendd did not start"
# Without a table that only pendd may touch, `nft flush ruleset` takes the hookup with it.
h nft list table inet pend 2>/dev/null | grep -q 'flags owner' || QUIET="${QUIET:-} -u"

# shellcheck disable=SC2086  # options are words
drive()
{
	"$DRIVER" -H "$H" -C "$C" -S "$CONTROL" -f "$CONFIG" -P "$PENDD_PID" -s "$SEED" -n "$SCHEDULES" \
		-c "$SLOTS" -w "${WAIT_FACTOR:-1}" -o "${TELL:--1}" ${QUIET:-} 2>&1
	echo "# driver ended with $?"
}

while IFS= read -r line; do
	case $line in
	"ok - "*) ok "${line#ok - }" ;;
	"not ok - "*) not_ok "${line#not ok - } (repeat with SEED=$SEED)" ;;
	*) echo "$line" ;;
	esac
done < <(drive)
check "pendd still runs" running "$PENDD_PID"
is "$(queue_total)" 0 "the kernel's queues are empty"
gt "$TESTS_RUN" 2 "the driver came to its end"
finish
