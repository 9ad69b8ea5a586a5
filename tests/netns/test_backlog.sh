#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# More waits in the queue's socket than the kernel's answers can pass: they come behind all of it, and everything is
# settled all the same, though nothing comes any more (R28).
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
ip -n "$H" route add 198.18.0.0/15 via "$C4"

PENDD_SETTINGS='max-contexts 16384; high-watermark-percent 100; max-per-source 0; hold-max 16384; receive-buffer 64M;' \
	pendd_start <<-END
	authority yes { type static; answer permit; }
	layer default {
		pend proto tcp to port 80 ask yes complete buffer hold
		block
	}
	END
kill -STOP "$PENDD_PID"
synflood -s 198.18.0.1 -S 8000 -n 8000 -r 100000 $H4 80 >/dev/null
waits() { [ "$(kernel_queue 3)" = 8000 ]; }
holds 5 "8,000 SYNs wait for a daemon that is stopped" waits
is "$(kernel_queue 6)" 0 "and the kernel has dropped none"
kill -CONT "$PENDD_PID"
looked() { [ "$(total packets)" = 8000 ]; }
holds 10 "it looks at all of them" looked
settled() { [ "$(total pending)" = 0 ]; }
holds 2 "R28: what they opened is settled without another packet" settled
is "$(total ended_permitted)" 8000 "R28: by the kernel's word for each"
check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes
finish
