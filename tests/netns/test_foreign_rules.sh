#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# The kernel drops every held packet of a namespace when any base chain goes (L6, L7), and those of an
# interface that goes down (L9). Nobody is told. Nothing may be reported permitted that was lost so, and every
# client must get in with its next copy. Then: the ends that go away while something is pended (T2).
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
server tcp:80 tcp:81 tcp:83

pendd_start <<-END
	authority ops { type operator; timeout 60s; }
	layer default {
		pend proto tcp to port { 80, 84 } ask ops complete buffer hold
		pend proto tcp to port 81 ask ops complete flush hold
		pend proto tcp to port 82 ask ops complete buffer hold timeout 1500ms
		pend proto tcp to port 83 ask ops complete buffer absorb
		block
	}
END

other_table() { h nft add table inet other && h nft 'add chain inet other in { type filter hook input priority 0; }'; }
queue_lost() { [ "$(kernel_queue 3)" -lt "$1" ]; }
lost_is() { [ "$(total kernel_lost)" = "$1" ]; }
ended_now() { total ended_permitted ended_flushed reattached kernel_lost; }

# ---- 1,000 held, a stranger's base chain deleted, decided before anybody sent again (T21) ----

other_table
client_bg many -n 1000 -t "$(ms 20000)" -l 10 $H4 80
holds 8 "1,000 are held" pends 1000
wait_for 4 kernel_holds 1000
h nft delete chain inet other in
d=$(ctl permit all)
is "${d%% *}" 1000 "1,000 are permitted"
holds 5 "T21: the kernel lost 1,000, and every one is counted" lost_is 1000
books() { # all ended, and as many as permitted as had come back when they were
	local p f r l
	read -r p f r l <<<"$(ended_now)"
	echo "permitted $p, flushed $f, reattached $r, lost $l"
	[ $((p + f)) = 1000 ] && [ "$p" = "$r" ]
}
holds 5 "T21: none is told as permitted that released nothing" books
echo "# $(books)"
gt "$(total ended_flushed)" 0 "T21: the others are told as flushed"
client_wait many
is "$(ended many connected)" 1000 "T21: every client connects"
lt "$(of many at | while read -r at; do since "$d" <<<"$at"; done | most)" "$(ms 4500)" "with its next copy"
is "$(server_accepted)" 1000 "the server saw 1,000"
is "$(of many received | sort -u)" 10 "and talked to them"
is "$(ctl count)" 0 "nothing is undecided"

# ---- what others do, with 200 held ----

# As they come, and as a warning says.
foreign() { # name command...: 200 are held, it runs, they come back, they are permitted
	local name=$1 before accepted flushed d
	shift
	flushed=$(ctl status kernel.flushed) accepted=$(server_accepted) before=$(total ended_permitted)
	client_bg some -n 200 -t "$(ms 20000)" -l 10 $H4 80
	wait_for 8 kernel_holds 200 || not_ok "$name: 200 are held" "$(ctl count)"
	"$@" >/dev/null 2>"$WORK/foreign.err" || not_ok "$name runs" "$(cat "$WORK/foreign.err")"
	check "L6, L7: $name empties the queue" queue_lost 200
	if [ "$LOOK" = yes ]; then
		warned() { [ "$(ctl status kernel.flushed)" -ge $((flushed + 100)) ]; }
		holds 3 "$name: status tells of it" warned
	fi
	holds 6 "$name: they come back" kernel_holds 200
	is "$(ctl count)" 200 "R14: $name: to their 200 contexts"
	d=$(ctl permit all)
	client_wait some
	is "$(ended some connected)" 200 "T21: $name: all 200 connect after their permit"
	lt "$(of some at | while read -r at; do since "$d" <<<"$at"; done | most)" "$(ms 900)" "$name: at once"
	is $(($(server_accepted) - accepted)) 200 "$name: and once"
	is "$(ctl count)" 0 "$name: none is undecided"
	is $(($(total ended_permitted) - before)) 200 "$name: they are told as permitted"
	check "$name: our table is still there" h nft list table inet pend
	is "$(ctl status hookup.state)" in-place "$name: and in place"
}
LOOK=yes
foreign "nft flush ruleset" h nft flush ruleset
LOOK=no
h iptables -w -A INPUT -p tcp --dport 9 -j DROP
foreign iptables-restore sh -c "printf '*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n' | ip netns exec $H iptables-restore"
other_table
foreign "deletion of an unrelated table" h nft delete table inet other
printf 'add table inet dry\nadd chain inet dry in { type filter hook input priority 0; }\n' >"$WORK/dry"
foreign "a dry run of nft -c" h nft -c -f "$WORK/dry"
check_not "nobody else can delete our table" h nft delete table inet pend
check "it is there still" h nft list chains

# Adding to the rules empties nothing.
client_bg calm -n 50 -t "$(ms 9000)" $H4 80
wait_for 5 kernel_holds 50
h iptables -w -A INPUT -p tcp --dport 9 -j DROP
h iptables -w -F
h nft add table inet more
ge "$(kernel_queue 3)" 50 "L6: rules that are added or flushed lose nothing"
ctl permit all >/dev/null
client_wait calm
is "$(ended calm connected)" 50 "and all connect"

# ---- a peer that does not come back ----

other_table
synflood -s 203.0.113.200 -P 5000 $H4 82 >/dev/null
wait_for 3 kernel_holds 1
h nft delete chain inet other in
lost_one() { [ "$(total ended_lost)" = 1 ]; }
holds 4 "R28: a lost packet whose peer does not come back ends as lost" lost_one
is "$(ctl seen completed state=lost)" 1 "T21: and is told so"
is "$(ctl codes permit "$(ctl events id completed | awk '{print $NF}')")" not-found "and is not found any more"

# ---- what was absorbed is not in the kernel (R11) ----

other_table
lost=$(total kernel_lost) permitted=$(total ended_permitted)
client_bg copied -n 20 -t "$(ms 20000)" -l 10 $H4 83
holds 5 "R11: 20 are pended" pends 20 port=83
is "$(ctl get mode port=83 | tr ' ' '\n' | sort -u)" absorb "R11: absorbed, as their rule says"
is "$(kernel_queue 3)" 0 "R11: none of them is left in the kernel"
h nft delete chain inet other in
ip -n "$H" link set eth0 down
ip -n "$H" link set eth0 up
link_up() { [ "$(h cat /sys/class/net/eth0/operstate)" = up ]; }
wait_for 5 link_up
is "$(ctl count)" 20 "R11: a base chain deleted, the interface down: they are pended still"
d=$(ctl permit all)
client_wait copied
is "$(ended copied connected)" 20 "R11: and connect after their permit"
lt "$(of copied at | while read -r at; do since "$d" <<<"$at"; done | most)" "$(ms 900)" "R11: at once, by their copies"
is $(($(total ended_permitted) - permitted)) 20 "R11: they are told as permitted"
is "$(total kernel_lost)" "$lost" "R11: and nothing as lost"

# ---- the ends go away (T2) ----

ip netns exec "$H" ncat -4 -l 84 >/dev/null 2>&1 &
listener=$!
listens() { h ss -Hlnt | grep -q ':84 '; }
holds 5 "somebody listens" listens
client_bg listener -t "$(ms 9000)" $H4 84
wait_for 3 pends 1
kill "$listener"
wait "$listener" 2>/dev/null
check_not "T2: the listener closes while its connection is pended" listens
permitted=$(total ended_permitted)
d=$(ctl permit all)
client_wait listener
is "$(of listener result)" refused "T2: the listener closed: the stack refuses after the permit"
lt "$(of listener at | while read -r at; do since "$d" <<<"$at"; done)" "$(ms 900)" "T2: at once"
is "$(total ended_permitted)" $((permitted + 1)) "T2: the completion is told as what it was"

lost=$(total kernel_lost)
client_bg down -n 20 -t "$(ms 20000)" $H4 80
client_bg downflush -n 20 -t "$(ms 20000)" $H4 81
client_bg dropped -n 20 -t 4000 $H4 80
wait_for 5 kernel_holds 60
ctl get id >"$WORK/ids"
ip -n "$H" link set eth0 down
is "$(kernel_queue 3)" 0 "L9: an interface that goes down empties the queue"
blocked=$(ctl get id port=80 | tr ' ' '\n' | tail -n 20 | tr '\n' ' ')
# shellcheck disable=SC2086
is "$(ctl drop $blocked | cut -d' ' -f1,2)" "20 0" "T2: blocking what was lost is no error"
d=$(ctl permit all)
is "${d%% *}" 40 "T2: permitting what was lost is no error"
settled() { [ "$(total pending)" = 0 ] && lost_is $((lost + 60)); }
holds 3 "T2: all are settled, and the 60 counted" settled
ip -n "$H" link set eth0 up
client_wait down
client_wait downflush
client_wait dropped
is $(($(ended down connected) + $(ended downflush connected) + $(ended dropped connected))) 40 \
	"R28: with the interface back, the 40 permitted connect with their next copies"

client_bg gone -n 20 -t 3000 $H4 80
wait_for 5 kernel_holds 20
ip -n "$H" link del eth0
ctl permit all >/dev/null
holds 3 "T2: an interface deleted while pended" stat_is totals.pending 0
is "$(ctl status state)" ok "T2: leaves a daemon that is well"
client_wait gone
link "$H" eth0 "$C" eth0
addr "$H" eth0 $H4/24
addr "$C" eth0 $C4/24
client_bg back -t "$(ms 9000)" $H4 80
holds 5 "T2: a new interface of the old name is pended too" pends 1
is "$(ctl get interface)" eth0 "and named"
ctl permit all >/dev/null
client_wait back
is "$(of back result)" connected "and let in"

check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes "$(total kernel_lost)"
is "$(ctl status totals.packets)" "$(kernel_queue 8)" "T26: as many as the kernel gave ids to"
finish
