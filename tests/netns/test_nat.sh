#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# pend-test: san
# Behind REDIRECT and DNAT in the host itself. Only the kernel's own packet knows what its destination was: held, it
# goes on at once; absorbed, no copy is sent, the next retransmission is let in, and nobody is told otherwise.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
for f in iptables ip6tables; do
	h $f -w -t nat -A PREROUTING -i eth0 -p tcp --dport 9080 -j REDIRECT --to-ports 80 || skip_all "no $f with nat"
	h $f -w -t nat -A PREROUTING -i eth0 -p tcp --dport 9081 -j REDIRECT --to-ports 81
	h $f -w -t nat -A PREROUTING -i eth0 -p tcp --dport 9082 -j REDIRECT --to-ports 82
	h $f -w -t nat -A PREROUTING -i eth0 -p udp --dport 9085 -j REDIRECT --to-ports 85
done
ip -n "$H" addr add 198.51.100.7/32 dev lo
h iptables -w -t nat -A PREROUTING -i eth0 -p tcp --dport 9083 -j DNAT --to-destination 198.51.100.7:81
control_start
server tcp:80 tcp:81 tcp:82 udp:85

both() { # name port
	client_bg "${1}4" -n 3 -t "$(ms 9000)" -l 10 $H4 "$2"
	client_bg "${1}6" -n 3 -t "$(ms 9000)" -l 10 $H6 "$2"
}
dnat_rules() {
	case $1 in
	nft) h nft list table inet pend 2>/dev/null | grep -c 'ct status dnat' ;;
	*) h iptables-save | grep -c -- '-A PEND-.*--ctstate DNAT.*MARK' ;;
	esac
}

behind_nat() { # hookup
	local d flushed permitted
	PENDD_SETTINGS="hookup $1;" pendd_start <<-END
		authority ops { type operator; timeout 60s; }
		layer default {
			pend proto tcp to port 80 ask ops complete buffer hold
			pend proto tcp to port 81 ask ops complete buffer absorb
			pend proto tcp to port 82 ask ops complete buffer
			pend proto udp to port 85 ask ops complete buffer absorb
			block
		}
	END
	is "$(dnat_rules "$1")" 4 "$1: the hookup marks what is translated, new and begun anew"
	both hold 9080
	both absorb 9081
	client_bg dnat -n 3 -t "$(ms 9000)" -l 10 $H4 9083
	client_bg plain -n 3 -t "$(ms 9000)" -l 10 $H4 81
	holds 5 "$1: all are pended" pends 18
	d=$(ctl permit port=80)
	is "${d%% *}" 6 "$1: rules see the port behind REDIRECT"
	all_connect hold "$1: REDIRECT, hold and buffer: all connect"
	lt "$(cat "$WORK/hold4" "$WORK/hold6" >"$WORK/hold"; after "$d" hold | most)" "$(ms 900)" "$1: at once"
	is "$(ctl seen completed dest_port=80 state=permitted)" "$((6 * ROUND))" "$1: and are told as permitted"

	flushed=$(total ended_flushed) permitted=$(total ended_permitted)
	d=$(ctl permit port=81)
	client_wait plain
	is "$(ended plain connected)" 3 "$1: absorb and buffer without translation: all connect"
	lt "$(after "$d" plain | most)" "$(ms 900)" "$1: at once"
	all_connect absorb "$1: REDIRECT, absorb and buffer: all connect with the next copy"
	client_wait dnat
	is "$(ended dnat connected)" 3 "$1: DNAT to another address of the host: likewise"
	is $(($(total ended_flushed) - flushed)) 9 "$1: those are told as flushed"
	is $(($(total ended_permitted) - permitted)) 3 "$1: and only the others as permitted"
	is "$(total inject_failed)" 0 "$1: nothing was tried in vain"

	# Datagrams: the first are lost, as by flush; what comes later gets its answer from where it asked.
	flushed=$(total ended_flushed)
	client_bg udp -u -d 5 -g 300 -t "$(ms 4000)" $H4 9085
	holds 5 "$1: a datagram is pended" pends 1
	ctl permit port=85 >/dev/null
	client_wait udp
	ge "$(of udp received)" 1 "$1: REDIRECT, absorbed datagrams: later ones are answered"
	is $(($(total ended_flushed) - flushed)) 1 "$1: told as flushed"
	check "I3: every context is accounted for" books_balance
	holds 5 "T26: each packet id got exactly one verdict" ledger_closes
	pendd_stop
}

ROUND=1
behind_nat nft
behind_nat iptables

# Above hold-max AUTO absorbs; what is translated it leaves in the kernel even so.
PENDD_SETTINGS='hold-max 0;' pendd_start <<-END
	authority ops { type operator; timeout 60s; }
	layer default { pend proto tcp to port 82 ask ops complete buffer; block }
END
both auto 9082
client_bg spill -n 3 -t "$(ms 9000)" -l 10 $H4 82
holds 5 "above hold-max: all are pended" pends 9
is "$(ctl status totals.held)" 6 "above hold-max: what is translated is held"
d=$(ctl permit all)
client_wait spill
is "$(ended spill connected)" 3 "above hold-max: the absorbed connect"
all_connect auto "above hold-max: REDIRECT: all connect"
lt "$(cat "$WORK/auto4" "$WORK/auto6" >"$WORK/auto"; after "$d" auto | most)" "$(ms 900)" "at once"
is "$(total ended_permitted)" 9 "all are told as permitted"

# ---- what becomes of a flow is seen behind translation (R44) ----

# A permitted flow is looked up 0.3 s later, and again if it is neither established nor closed by then.
pendd_stop
pendd_start <<-END
	authority ops { type operator; timeout 60s; }
	layer default { pend proto tcp to port { 80, 81 } ask ops complete buffer; block }
END
both redirected 9080
both straight 81
client_bg dnat -n 3 -t "$(ms 9000)" -l 10 -k "$(ms 3000)" $H4 9083
holds 5 "R44: all are pended" pends 15
ctl permit all >/dev/null
holds 5 "R44: REDIRECT, DNAT or not: all 15 are seen to be established" stat_is totals.established 15
is "$(total flow_closed)" 0 "R44: and none is told as closed"
client_wait redirected4; client_wait redirected6; client_wait straight4; client_wait straight6; client_wait dnat
h iptables -w -t nat -A PREROUTING -i eth0 -p tcp --dport 9084 -j REDIRECT --to-ports 81
h iptables -w -A OUTPUT -p tcp --sport 81 -j DROP # its handshake does not come to an end
client_bg never -n 2 -t 1500 $H4 9084
holds 5 "R44: two more" pends 2
ctl permit all >/dev/null
sleep 0.6
is "$(total established)" 15 "R44: nothing is established before the handshake"
is "$(total flow_closed)" 0 "R44: nor closed"
client_wait never
h conntrack -D -p tcp --orig-port-dst 9084 >/dev/null 2>&1
holds 6 "R44: what conntrack has forgotten is closed" stat_is totals.flow_closed 2
h iptables -w -F OUTPUT

# What comes in with that mark has lost it before: a copy of a plain connection is sent.
pendd_stop
PENDD_SETTINGS='hookup nft;' pendd_start <<-END
	authority ops { type operator; timeout 60s; }
	layer default { pend proto tcp to port 81 ask ops complete buffer absorb; block }
END
h nft -f - <<-END
	table inet early {
		chain c { type filter hook prerouting priority -350; iifname eth0 tcp dport 81 counter meta mark set 0x02000000; }
	}
END
client_bg marked -n 3 -t "$(ms 9000)" -l 10 $H4 81
holds 5 "marked before our clear chain: all are pended" pends 3
d=$(ctl permit all)
client_wait marked
is "$(ended marked connected)" 3 "marked before: all connect"
is "$(total ended_permitted)" 3 "marked before: told as permitted"
like "$(h nft list table inet early)" 'packets [1-9]' "and they did come marked"
finish
