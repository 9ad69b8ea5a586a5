#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90
# The host as a router: what it forwards is held as well, behind DNAT too. A copy cannot be sent on to another
# host, so what was absorbed is always flushed there.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

S=pend-s$ID
ns_pair
need_queue
ns_add "$S"
link "$H" eth1 "$S" eth0
addr "$H" eth1 198.51.100.1/24 2001:db8:2::1/64
addr "$S" eth0 198.51.100.2/24 2001:db8:2::2/64
ip -n "$S" route add default via 198.51.100.1
ip -n "$S" route add default via 2001:db8:2::1
ip -n "$C" route add default via $H4
ip -n "$C" route add default via $H6
h sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
h iptables -w -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 -j DNAT --to-destination 198.51.100.2:80
h iptables -w -t nat -A PREROUTING -i eth0 -p tcp --dport 8081 -j DNAT --to-destination 198.51.100.2:81
S4=198.51.100.2 S6=2001:db8:2::2
control_start
H_was=$H
H=$S server tcp:80 tcp:81 tcp:82 tcp:83 udp:85
H=$H_was

pendd_start <<-END
	authority ops { type operator; timeout 60s; }
	layer default {
		pend hook forward proto tcp to port 80 ask ops complete buffer hold
		pend hook forward proto tcp to port 81 ask ops complete flush
		pend hook forward proto tcp to port 82 ask ops complete buffer absorb
		block with reset hook forward proto tcp to port 83
		pend hook forward proto udp to port 85 ask ops complete buffer
		block
	}
END

both() { # name port
	client_bg "${1}4" -n 3 -t "$(ms 20000)" -l 10 $S4 "$2"
	client_bg "${1}6" -n 3 -t "$(ms 20000)" -l 10 $S6 "$2"
}

both buffer 80
both flush 81
both absorb 82
both reset 83
client_bg nat -n 3 -t "$(ms 20000)" -l 10 $H4 8080
client_bg natflush -n 3 -t "$(ms 20000)" -l 10 $H4 8081
client_bg udp -u -d 3 -t "$(ms 20000)" -g 50 $S4 85
client_wait reset4; client_wait reset6
is "$(ended reset4 refused)" 3 "T17 IPv4: a forwarded connection is refused"
is "$(ended reset6 refused)" 3 "T17 IPv6: a forwarded connection is refused"
lt "$(of reset4 ms | most)" "$(ms 900)" "T17: at their first SYN"
holds 5 "forwarded connections are pended" pends 25
is "$(ctl get dest,interface,out_interface port=80 family=4 | cut -d' ' -f1-3)" "$S4 eth0 eth1" \
	"shown with both interfaces"
is "$(server_accepted)" 0 "T24: and not one is forwarded"
d=$(ctl permit port=80)
is "${d%% *}" 9 "DNAT: rules see the address behind it"
all_connect buffer "permit, hold and buffer: all connect"
client_wait nat
is "$(ended nat connected)" 3 "DNAT, hold and buffer: all connect"
lt "$(after "$d" nat | most)" "$(ms 900)" "at once"
holds 3 "and all are told as permitted, so by what was held" told 9 dest_port=80 state=permitted
ctl permit port=81 >/dev/null
all_connect flush "permit, flush: all connect with the next copy"
client_wait natflush
is "$(ended natflush connected)" 3 "DNAT, flush: all connect with the next copy"
ctl permit port=82 >/dev/null
all_connect absorb "permit, absorbed: the next copy is let in, as nothing can be sent"
is "$(ctl seen completed dest_port=82 state=permitted)" 0 "and is not told as permitted"
is "$(ctl seen completed dest_port=82 state=flushed)" 6 "but as flushed"
ctl permit port=85 >/dev/null
client_wait udp
is "$(of udp received)" 3 "T16: forwarded datagrams all arrive"

client_bg block -n 3 -t 4000 $H4 8080
wait_for 5 pends 3
d=$(ctl reset all)
client_wait block
is "$(ended block refused)" 3 "T18: block with reset answers a forwarded held SYN, behind DNAT"
lt "$(after "$d" block | most)" "$(ms 900)" "T17: at once"
client_bg toabsorb -n 3 -t 4000 $S4 82
wait_for 5 pends 3
d=$(ctl unreachable all)
client_wait toabsorb
is "$(ended toabsorb unreachable)" 3 "and an absorbed one"
client_bg input -t 500 $H4 80
client_wait input
is "$(of input result)" timeout "the host's own ports are not meant by hook forward"

# Behind SNAT as well, what becomes of a flow is seen by one tuple of it; translated both ways, by none (R44).
h iptables -w -t nat -A POSTROUTING -o eth1 -p tcp -d $S4 --dport 82 -j SNAT --to-source 198.51.100.1
h iptables -w -t nat -A POSTROUTING -o eth1 -p tcp -d $S4 --dport 80 -m conntrack --ctstate DNAT -j SNAT --to-source 198.51.100.1
established=$(total established) closed=$(total flow_closed)
client_bg snat -n 3 -t "$(ms 9000)" -l 10 -k "$(ms 2000)" $S4 82
client_bg plain -n 3 -t "$(ms 9000)" -l 10 -k "$(ms 2000)" $S4 80
client_bg twice -n 3 -t "$(ms 9000)" -l 10 -k "$(ms 2000)" $H4 8080
holds 5 "R44: all are pended" pends 9
ctl permit all >/dev/null
holds 6 "R44: with its source translated or not, a flow is seen to be established" \
	stat_is totals.established $((established + 6))
client_wait snat; client_wait plain; client_wait twice
is "$(ended twice connected)" 3 "translated both ways, they connect"
is "$(total flow_closed)" "$closed" "R44: and are not told as closed"

check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes
finish
