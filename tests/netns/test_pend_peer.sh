#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# What peers do while they are held: send again, begin anew, reset, give up, be many.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
server tcp:{80,81,82,83}

PENDD_SETTINGS='hold-max 300;' pendd_start <<-END
	authority ops { type operator; timeout 60s; }
	layer default {
		pend proto tcp to port 80 ask ops complete buffer
		pend proto tcp to port 81 ask ops complete flush
		permit proto tcp to port 82
		pend proto tcp to port 83 ask ops with reset
		block
	}
END

# ---- segments made by hand: nobody but us answers for this source ----

from=203.0.113.200
seg() { synflood -s $from -P 5000 "$@" $H4 80 >/dev/null; }
first_id() { ctl get id | cut -d' ' -f1; }
ended_is() { [ "$(total "ended_$1")" = "$2" ]; }

seg -f S -i 1000
holds 3 "a SYN made by hand is pended" pends 1
old=$(first_id)
seg -f S -i 1000
holds 3 "R14: the same SYN again joins it" retransmitted 1
is "$(first_id)" "$old" "T20: under the same id"
seg -f S -i 2000
holds 3 "R15: another sequence number abandons the old attempt" ended_is abandoned 1
is "$(ctl count)" 1 "R15: and opens a new one"
isnt "$(first_id)" "$old" "R15: with a new id"
is "$(ctl codes permit "$old")" not-found "R15: the old id is not found any more"
is "$(ctl get retransmits)" 0 "R15: nothing was carried over"
new=$(first_id)

before=$(total packets)
seg -f R -i 5
seg -f RA -i 2000
seg -f R -i 2002
seen_more() { [ "$(total packets)" -ge $((before + $1)) ]; }
holds 3 "L5: a reset of a pended tuple comes to us" seen_more 3
is "$(first_id)" "$new" "R16: a reset with a wrong number changes nothing"
seg -f R -i 2001
holds 3 "R16: a reset with the right one ends it" ended_is abandoned 2
is "$(ctl count)" 0 "R16: nothing is pending then"
is "$(ctl seen completed id="$new" state=abandoned)" 1 "R24: it ended as abandoned"
seg -f S -i 4294967295
holds 3 "a SYN with the last of all numbers" pends 1
seg -f RA -i 0
holds 3 "R16: its reset wraps around" ended_is abandoned 3

# What comes behind a pended SYN without being one does not pass either.
h iptables -w -A OUTPUT -d $from
back() { h iptables -w -vxnL OUTPUT | awk -v a=$from '$0 ~ a {print $1}'; }
seg -f S -i 3000
wait_for 3 pends 1
seg -f A -i 3001
seg -f PA -i 3001 -l 20
seg -f F -i 3001
wait_for 3 stat_is totals.held 1
is "$(ctl count)" 1 "R13: segments behind a pended SYN leave it alone"
is "$(back)" 0 "R13: and are not answered"
ctl permit all >/dev/null
answered() { [ "$(back)" -gt 0 ]; }
holds 3 "the permitted SYN is answered" answered
is "$(total ended_permitted)" 1 "and it is counted as permitted"
h iptables -w -F OUTPUT

# ---- a peer that gives up ----

client_bg impatient -t 400 $H4 80
client_wait impatient
is "$(of impatient result)" timeout "a client gives up without a word"
is "$(ctl count)" 1 "R16: its context stays: the deadline does not depend on a reset"
d=$(ctl permit all)
is "${d%% *}" 1 "it can still be permitted"
holds 6 "completion after the peer gave up: the end of the flow is noticed" stat_is totals.flow_closed 1
is "$(total established)" 0 "it was never established"
is "$(server_accepted)" 0 "and the server never saw it"

# ---- a refusal is of one attempt (T19) ----

client_bg refused -t 3000 -P 6001 $H4 83
wait_for 3 pends 1
ctl reset port=83 >/dev/null
client_wait refused
is "$(of refused result)" refused "one attempt is refused"
client_bg other -t 5000 -P 6002 $H4 83
holds 3 "T19: another port of the same source asks again" pends 1
ctl permit all >/dev/null
client_wait other
is "$(of other result)" connected "T19: and can be permitted"
client_bg again -t 5000 -P 6001 $H4 83
holds 3 "T19: so does the very same tuple, anew" pends 1
ctl permit all >/dev/null
client_wait again
is "$(of again result)" connected "T19: and can be permitted"

# ---- 600 for seven seconds ----

client_bg base -n 20 -c 1 $H4 82
client_wait base
base=$(of base ms | median)
accepted=$(server_accepted) dropped=$(kernel_queue 6)
client_bg many -n 600 -t "$(ms 20000)" -l 10 $H4 80
holds 5 "600 clients are 600 contexts" pends 600
is "$(total held)" 300 "the first 300 are held in the kernel"
holds 3 "as it says itself" kernel_holds 300 # and copies, until the daemon has read them
is "$(ctl get mode | tr ' ' '\n' | grep -c absorb)" 300 "the others spilled: absorbed by ourselves"
client_bg static -n 20 -c 1 $H4 82
client_wait static
is "$(ended static connected)" 20 "T25: with 600 pended a permitted connection connects"
le "$(of static ms | median)" "$(awk -v b="$base" 'BEGIN {print b + 5}')" "T25: and is not delayed by 5 ms"
oldest() { [ "$(ctl get age_ms | tr ' ' '\n' | least)" -ge 7100 ]; }
holds 9 "held for 7 s" oldest
is "$(ctl count)" 600 "T20: still 600 contexts"
ge "$(ctl get retransmits | tr ' ' '\n' | least)" 2 "R14: each with its retransmissions"
ge "$(total retransmits)" 1800 "no SYN was lost"
is "$(kernel_queue 6)" "$dropped" "L12: nor dropped by a full queue"
holds 3 "one packet of each held one waits in the kernel" kernel_holds 300
d=$(ctl permit port=80)
is "${d%% *}" 600 "600 are permitted"
client_wait many
is "$(ended many connected)" 600 "600 connect"
lt "$(of many at | while read -r at; do since "$d" <<<"$at"; done | most)" "$(ms 900)" \
	"none had to wait for a retransmission"
is "$(of many received | sort -u)" 10 "and talk"
is $(($(server_accepted) - accepted - 20)) 600 "T20: the server saw 600, none twice"

# The same with flush: each is let in with its next copy.
client_bg flush -n 200 -t "$(ms 20000)" -l 10 $H4 81
wait_for 5 pends 200
wait_for 5 retransmitted 1
d=$(ctl permit port=81)
client_wait flush
is "$(ended flush connected)" 200 "R51: 200 permitted with flush connect"
lt "$(of flush at | while read -r at; do since "$d" <<<"$at"; done | most)" "$(ms 4500)" "with their next copies"

check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes
is "$(ctl status totals.packets)" "$(kernel_queue 8)" "T26: as many as the kernel gave ids to"
finish
