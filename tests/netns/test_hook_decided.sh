#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# The hookup's sets of decided connections: what they do to packets, how they end, and that they are bounded.
. "${0%/*}/lib.sh"
. "${0%/*}/hook.sh"

ns_pair 8
h nft add table inet probe 2>/dev/null || skip_all "this kernel has no nf_tables"
h nft delete table inet probe
server tcp:80 tcp:81 udp:53

try() { client -t "${T:-1500}" "$@" | field result; }
elements() { h nft list set inet pend "$1" | grep -c expires; }

hook_start kind=nft queue=10 decisions
like "$(hook decide permit eth0 $C4 $H4 tcp 80 60000)" PEND_E_UNSUPPORTED "no decision without rules"
is "$(hook install)" PEND_OK "install"
hook print nft "$WORK/text" >/dev/null
sed -Ei 's/queue num [0-9]+/drop/' "$WORK/text" # not every kernel has that
check "the rules as text are what nft takes" inside "$C" nft -c -f "$WORK/text"
hook listen 10 drop 0 >/dev/null

is "$(hook decide permit eth0 $C4 $H4 tcp 80 60000)" PEND_OK "a permit"
is "$(try $H4 80)" connected "the connection is open"
is "$(hook packets)" 0 "no packet was queued"
is "$(ct_mark 80)" $PERMIT "its flow is stamped as any other"
is "$(hook decided)" "1 0" "it is counted"
is "$(T=300 try $H4 81)" timeout "another port is queued"
is "$(T=300 try -s 203.0.113.1 $H4 80)" timeout "so is another source"
gt "$(hook packets)" 1 "..."
is "$(hook verify)" PEND_OK "verify"

hook decide reset eth0 203.0.113.2 $H4 tcp 80 60000 >/dev/null
hook decide drop eth0 203.0.113.3 $H4 tcp 80 60000 >/dev/null
hook decide unreachable eth0 203.0.113.4 $H4 tcp 80 60000 >/dev/null
hook listen 10 accept $PERMIT >/dev/null
is "$(try -s 203.0.113.2 $H4 80)" refused "a reset"
is "$(T=300 try -s 203.0.113.3 $H4 80)" timeout "a drop"
unlike "$(try -s 203.0.113.4 $H4 80)" 'connected|timeout' "unreachable"
is "$(hook packets)" 0 "no packet was queued"
said=$(hook decided)
like "$said" '^1 ([3-9]|[1-9][0-9])$' "the counters"

is "$(hook decide permit eth0 $C6 $H6 tcp 80 60000)" PEND_OK "IPv6"
is "$(try $H6 80)" connected "... a permit"
hook decide reset eth0 2001:db8:1::2 $H6 tcp 80 60000 >/dev/null
is "$(try -s 2001:db8:1::2 $H6 80)" refused "... a reset"
hook decide permit eth0 $C4 $H4 udp 53 60000 >/dev/null
client_bg stream -u -d 5 -g 20 -l 10 -P 4001 $H4 53
client_wait stream
is "$(of stream received)" 5 "datagrams"
is "$(ct_mark 53)" $PERMIT "... are stamped"
hook decide reset eth0 203.0.113.5 $H4 udp 53 60000 >/dev/null
isnt "$(try -u -d 1 -s 203.0.113.5 $H4 53)" connected "... and blocked"
is "$(hook packets)" 0 "no packet was queued"

# ---- a new epoch ----
is "$(hook epoch 2)" PEND_OK "a new epoch"
h conntrack -F 2>/dev/null
is "$(try $H4 80)" connected "the decision holds"
is "$(ct_mark 80)" $PERMIT2 "and the flow is stamped with the new number"
is "$(hook packets)" 0 "no packet was queued"
said=$(hook decided)
is "${said% *}" 4 "the counters go on"

# ---- how they end ----
is "$(hook undecide)" PEND_OK "undecide"
h conntrack -F 2>/dev/null
is "$(elements permit4)$(elements permit6)$(elements reset4)$(elements drop4)" 0000 "none is left"
is "$(try $H4 80)" connected "what comes then is let in"
is "$(hook packets)" 1 "... by the queue"
hook decide permit eth0 $C4 $H4 tcp 80 500 >/dev/null
sleep 0.6
h conntrack -F 2>/dev/null
try $H4 80 >/dev/null
is "$(hook packets)" 2 "one that has ended decides nothing"
hook decide permit eth0 $C4 $H4 tcp 80 60000 >/dev/null
is "$(hook repair)" PEND_OK "repair"
is "$(elements permit4)" 0 "... begins without any"
like "$(hook decide permit eth0 $C4 $H4 tcp 80 0)" PEND_E_INVALID "one without an end is refused"

# ---- full ----
is "$(hook decide drop eth0 10.0.0.0 $H4 tcp 80 60000 65536)" PEND_OK "65,536 of them"
is "$(hook decide drop eth0 11.0.0.0 $H4 tcp 80 60000)" "PEND_E_LIMIT a set of decisions in table inet pend is full" "and no more"
is "$(hook decide permit eth0 $C4 $H4 tcp 80 60000)" PEND_OK "of that kind"
begun=$(now_ms)
is "$(hook undecide)" PEND_OK "all go at once"
lt $(($(now_ms) - begun)) 1000 "... soon"
is "$(hook decide drop eth0 11.0.0.0 $H4 tcp 80 60000)" PEND_OK "there is room again"
is "$(hook remove)" PEND_OK "remove"
check_not "the table is gone" h nft list table inet pend
hook_end
finish
