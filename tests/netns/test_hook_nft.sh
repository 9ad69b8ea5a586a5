#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# pend-test: san
# The hookup by nf_tables: what it installs, who may touch it, and what its rules do to packets.
. "${0%/*}/lib.sh"
. "${0%/*}/hook.sh"

WAIT=${WAIT_FACTOR:-1}
GAP=$((500 * WAIT)) # ms: a listener that waits for the processor has answered one datagram before the next comes
server_knows() { server_report; server_saw "$1"; }

ns_pair 8
h nft add table inet probe 2>/dev/null || skip_all "this kernel has no nf_tables"
h nft delete table inet probe
h nft add table ip bystander
h nft add chain ip bystander input '{ type filter hook input priority 0; }'
before=$(h nft list ruleset)
server tcp:80 udp:53

# ------------------------------------------------------------------ the table ----

hook_start kind=nft queue=10
like "$(hook describe)" "^nft${HOOK_EXACTLY:+\$}" "described as nft"
like "$(hook features)" 'ct mark' "the kernel was probed"
is "$(hook rejects)" yes "it can reject"
is "$(hook repeats)" no "it needs no NF_REPEAT"
is "$(hook verify)" "PEND_E_NOT_FOUND table inet pend is not there" "nothing there before"
is "$(hook install)" PEND_OK "install"
is "$(hook verify)" PEND_OK "verify"
check "flush ruleset by somebody else" h nft flush ruleset
check "our table is still there" h nft list table inet pend
check_not "somebody else cannot delete it" h nft delete table inet pend
check_not "nor add a rule" h nft add rule inet pend clear accept
check_not "nor an element" h nft add element inet pend valid '{ 1 }'
check "others' rules can be restored" h iptables-nft-restore <<-END
	*filter
	:INPUT ACCEPT [0:0]
	COMMIT
END
is "$(hook verify)" PEND_OK "verify, after the ruleset changed elsewhere"


like "$(echo install | h "$HOOKTOOL" kind=nft queue=10)" \
	'PEND_E_IN_USE table inet pend belongs to another process' "a second one is told so"
like "$(echo remove | h "$HOOKTOOL" kind=nft)" 'PEND_E_IN_USE' "and cannot remove it"
like "$(echo install | h "$HOOKTOOL" kind=nft name=other)" '^PEND_OK' "another name is free"
like "$(echo install | h setpriv --bounding-set=-net_admin --inh-caps=-net_admin \
	--reuid 65534 --clear-groups "$HOOKTOOL" kind=nft)" \
	'PEND_E_PERMISSION .*CAP_NET_ADMIN' "without the right it says which"

# ------------------------------------------------------------------ TCP ----

h nft add table inet watch
h nft 'add chain inet watch late { type filter hook input priority 900; }'
h nft "add rule inet watch late meta mark & $MASK != 0 counter comment \"left\""

client_bg nobody -t 400 $H4 80
client_wait nobody
is "$(of nobody result)" timeout "nobody listens: closed"

is "$(hook listen 10 accept $PERMIT)" PEND_OK "a listener that permits"
for a in $H4 $H6; do
	client_bg one -l 100 $a 80
	client_wait one
	is "$(of one result)" connected "$a: permitted"
	is "$(ct_mark 80)" $PERMIT "$a: the flow is stamped"
	h conntrack -F 2>/dev/null
done
is "$(hook packets)" 2 "the SYNs were queued, and nothing else"
is "$(noted left watch)" 0 "no mark of ours is left on a packet"
is "$(noted permitted)" 2 "the counter says so"

h nft 'add chain inet watch early { type filter hook prerouting priority -100; }'
h nft 'add rule inet watch early tcp dport 80 ct state new ct mark set 0x80000001'
client_bg marked -l 10 $H4 80
client_wait marked
h nft flush chain inet watch early
is "$(ct_mark 80)" 0x82800001 "other bits of the ct mark are somebody else's"

hook listen 10 repeat $RESET >"$WORK/null"
for a in $H4 $H6; do
	client_bg reset $a 80
	client_wait reset
	is "$(of reset result)" refused "$a: reset"
	lt "$(of reset ms)" $((900 * WAIT)) "$a: at its first SYN"
done
hook listen 10 repeat $UNREACH >"$WORK/null"
client_bg unreach -t 3000 $H4 80
client_wait unreach
unlike "$(of unreach result)" 'connected|timeout' "unreachable: an error"
lt "$(of unreach ms)" $((900 * WAIT)) "at its first SYN"
client_bg unreach6 -t 3000 $H6 80
client_wait unreach6
unlike "$(of unreach6 result)" 'connected|timeout' "unreachable, IPv6: an error"
is "$(noted reset)/$(noted unreachable)" 2/2 "their counters"

# ------------------------------------------------------------------ UDP and ICMP ----

hook listen 10 accept $PERMIT >"$WORK/null"
client_bg stream -u -d 4 -g $GAP -l 10 -P 4001 $H4 53
client_wait stream
is "$(hook packets)" 1 "a permitted stream of datagrams is queued once"
is "$(ct_mark 53)" $PERMIT "and stamped"

# The blocked mark ends a live flow: its opener's datagrams are asked about, one by one.
client_bg doomed -u -d 60 -g 50 -t 4000 -l 10 -P 4002 $H4 53
sleep 0.4
hook listen 10 drop 0 >"$WORK/null"
h nft "add rule inet watch early udp sport 4002 ct mark set $BLOCKED"
client_wait doomed
h nft flush chain inet watch early
lt "$(of doomed received)" 60 "a blocked flow is dead"
gt "$(noted 'begun anew')" 10 "its datagrams are queued"
is "$(h conntrack -L 2>/dev/null | grep -c "sport=4002 dport=53 .*mark=$((BLOCKED)) ")" 1 "and the mark stays"
hook listen 10 accept $PERMIT >"$WORK/null"
client_bg anew -u -d 4 -g $GAP -l 10 -P 4002 $H4 53
client_wait anew
is "$(of anew received)" 4 "a permit lets it in again"
is "$(hook packets)" 1 "it is asked about once"

kill "$SERVER_PID"
wait_for 3 gone "$SERVER_PID"
server -s tcp:80 udp:53
hook listen 10 accept $ONCE >"$WORK/null"
client_bg once -u -d 5 -g 20 -t $((2000 * WAIT)) -l 10 -P 4003 $H4 53
client_wait once
is "$(hook packets)" 5 "permitted once: an unstamped one-way stream is asked for each time"
hook listen 10 accept $PERMIT >"$WORK/null"
client_bg oneway -u -d 3 -g $GAP -t $((1600 * WAIT)) -l 10 -P 4004 $H4 53
client_wait oneway
is "$(hook packets)" 1 "a stamped one-way stream is not"

c ping -qc1 -W1 $H4 >/dev/null
c ping -qc1 -W1 $H6 >/dev/null
is "$(hook packets)" 3 "echo requests are queued"
h ip neigh flush dev eth0
c ip neigh flush dev eth0
hook listen 10 drop 0 >"$WORK/null"
c ping -qc1 -W1 -b 192.0.2.255 >/dev/null 2>&1
c ping -qc1 -W1 ff02::1%eth0 >/dev/null 2>&1
is "$(hook packets)" 0 "broadcast, multicast and neighbour discovery are not"

# ------------------------------------------------------------------ odd TCP ----

hook listen 10 accept $PERMIT >"$WORK/null"
cat >"$WORK/mid.sh" <<-END
	exec 5<>/dev/tcp/$H4/80
	echo one >&5
	read -r _ <$WORK/go
	echo two >&5
	sleep 0.3
END
mkfifo "$WORK/go"
ip netns exec "$C" bash "$WORK/mid.sh" &
mid=$!
wait_for 5 has_line "$WORK/server.out" '"event":"data"'
sleep 0.2
h conntrack -F 2>/dev/null
echo >"$WORK/go"
wait $mid
gt "$(noted midstream)" 0 "what begins in the middle is dropped"
is "$(hook packets)" 1 "and not queued"

c iptables -w -A OUTPUT -p tcp --tcp-flags RST RST -j ACCEPT
hook listen 10 hold $PERMIT >"$WORK/null"
before_rst=$(hook packets)
c /usr/bin/python3 - <<-END 2>"$WORK/null" || skip "a RST for a held SYN" "no python3"
	import socket, struct
	def packet(flags):
	    src, dst = socket.inet_aton("$C4"), socket.inet_aton("$H4")
	    tcp = struct.pack("!HHLLBBHHH", 4999, 80, 1000 + (flags == 4), 0, 80, flags, 1024, 0, 0)
	    s = sum(struct.unpack("!16H", src + dst + struct.pack("!HH", 6, 20) + tcp + b"")[:16])
	    s = (s >> 16) + (s & 0xffff)
	    s = ~((s >> 16) + s) & 0xffff
	    return tcp[:16] + struct.pack("!H", s) + tcp[18:]
	k = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
	k.sendto(packet(2), ("$H4", 0))
	k.sendto(packet(4), ("$H4", 0))
END
queued() { [ "$(hook packets)" = "$1" ]; }
holds 3 "a RST for a held SYN is queued too" queued $((before_rst + 2))
hook hush >"$WORK/null"

# ------------------------------------------------------------------ lo, foreign marks ----

hook listen 10 accept $PERMIT >"$WORK/null"
is "$(h "$BIN/tests/netns/client" 127.0.0.1 80 | field result | head -n 1)" connected "lo"
is "$(hook packets)" 0 "is exempt"
h nft 'add chain inet watch first { type filter hook prerouting priority -320; }'
h nft "add rule inet watch first tcp dport 80 meta mark set $RESET"
client_bg forged -l 10 $H4 80
client_wait forged
is "$(of forged result)" connected "a mark that came from elsewhere is wiped"
is "$(hook packets)" 1 "and the packet is queued"
h nft delete table inet watch

# Our own copy of a peer's packet comes in over lo with the reserved mark (R39): it is queued, so that the
# engine knows it again, and its flow is stamped. Without the mark it is lo's.
cat >"$WORK/inject.py" <<-END
	import socket, struct, sys
	k = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
	k.setsockopt(socket.SOL_SOCKET, 36, int(sys.argv[1], 0))
	k.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
	udp = struct.pack("!HHHH", int(sys.argv[2]), 53, 12, 0) + b"copy"
	ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 1, 0, 64, 17, 0,
	    socket.inet_aton("203.0.113.5"), socket.inet_aton("$H4"))
	k.sendto(ip + udp, ("$H4", 0))
END
hook listen 10 accept $PERMIT >"$WORK/null"
h conntrack -F 2>/dev/null
h /usr/bin/python3 "$WORK/inject.py" $INJECT 6001
wait_for 2 server_knows 203.0.113.5:6001
server_report
check "a copy of ours reaches the server" server_saw 203.0.113.5:6001
is "$(hook packets)/$(ct_mark 53)" 1/$PERMIT "queued and stamped"
h /usr/bin/python3 "$WORK/inject.py" $RESET 6002
sleep 0.1
is "$(hook packets)" 1 "another mark on lo is wiped, and lo is exempt"

# ------------------------------------------------------------------ forwarding ----

ns_add pend-s$ID
link "$H" eth1 pend-s$ID eth0
addr "$H" eth1 198.51.100.1/24
addr pend-s$ID eth0 198.51.100.2/24
ip -n pend-s$ID route add default via 198.51.100.1
ip -n "$C" route add 198.51.100.0/24 via $H4
h sysctl -qw net.ipv4.ip_forward=1
ip netns exec pend-s$ID "$BIN/tests/netns/server" tcp:80 >"$WORK/forward.out" &
wait_for 3 has_line "$WORK/forward.out" ready
h conntrack -F 2>/dev/null
hook listen 10 accept $PERMIT >"$WORK/null"
client_bg through -l 1000 198.51.100.2 80
client_wait through
is "$(of through result)/$(hook packets)/$(ct_mark 80)" connected/1/$PERMIT "forwarded: queued, stamped"
hook listen 10 repeat $RESET >"$WORK/null"
client_bg refused 198.51.100.2 80
client_wait refused
is "$(of refused result)" refused "forwarded: reset"
hook listen 10 repeat $UNREACH >"$WORK/null"
client_bg noway -t 3000 198.51.100.2 80
client_wait noway
unlike "$(of noway result)" 'connected|timeout' "forwarded: unreachable"

# ------------------------------------------------------------------ changes that keep held packets ----

h conntrack -F 2>/dev/null
hook listen 10 hold $PERMIT2 >"$WORK/null"
client_bg held -n 5 -c 5 -t 60000 $H4 80
wait_for 3 eval '[ "$(hook packets)" -ge 5 ]'
is "$(hook epoch 2)" PEND_OK "another epoch"
is "$(hook verify)" PEND_OK "verifies"
is "$(hook repair)" PEND_OK "repair"
is "$(hook install)" PEND_OK "install over itself"
is "$(hook verify)" PEND_OK "verifies too"
like "$(echo features | h "$HOOKTOOL" kind=auto)" 'ct mark' "somebody probes the kernel"
is "$(hook release)" 0 "no held packet was lost by all that"
client_wait held
is "$(ended held connected)" 5 "they connect"
is "$(ct_mark 80)" $PERMIT2 "stamped with the new epoch"
is "$(hook epoch 63)" "PEND_E_INVALID" "63 is no epoch"
is "$(hook epoch 0)" "PEND_E_INVALID" "nor is 0"

hook listen 10 accept $PERMIT2 >"$WORK/null"
client_bg renew -u -d 3 -g $GAP -t $((1600 * WAIT)) -l 10 -P 4004 $H4 53
client_wait renew
is "$(hook packets)" 1 "a one-way flow of the old epoch is asked for again, once"

# ------------------------------------------------------------------ going and coming ----

# The socket is kept over a restart: same table, no new base chains.
handle=$(h nft -a list table inet pend 2>/dev/null | sed -nE 's/.*chain tag-input.*handle ([0-9]+).*/\1/p')
echo adopt >&"${HOOK[1]}"
like "$(hook verify)" ^PEND_E_NOT_FOUND "adopted, not yet known"
is "$(hook install)" PEND_OK "install into the adopted table"
is "$(h nft -a list table inet pend 2>/dev/null | sed -nE 's/.*chain tag-input.*handle ([0-9]+).*/\1/p')" \
	"$handle" "its chains are the same"
is "$(hook verify)" PEND_OK "verify"

h nft -f - <<<"$before"
h nft delete table ip filter 2>/dev/null
echo adopt name=guard >&"${HOOK[1]}"
is "$(hook install)" PEND_OK "adopted again, by another name"
check_not "the table of the old name is gone" h nft list table inet pend
check "the new one is there" h nft list table inet guard
echo adopt kind=iptables >&"${HOOK[1]}"
like "$(hook describe)" iptables "adopted by a hookup of another kind"
check_not "the table is gone with the socket" h nft list table inet guard
hook_end
hook_start kind=nft queue=10
is "$(hook install)" PEND_OK "install"
is "$(hook remove)" PEND_OK "remove"
is "$(h nft list ruleset)" "$before" "the ruleset is as it was before"
is "$(hook remove)" PEND_OK "remove again"
is "$(hook install)" PEND_OK "install again"
hook_kill
check_not "nothing survives a kill" h nft list table inet pend
is "$(h nft list ruleset)" "$before" "the ruleset is as it was before that"

# ------------------------------------------------------------------ text, leftovers, settings ----

hook_start kind=nft queue=100 count=4 open multicast loopback hooks=input priority=50 mask=0xff epoch=7
is "$(hook "print nft" "$WORK/text")" PEND_OK "print"
like "$(cat "$WORK/text")" 'queue num 100-103 bypass' "several queues, open"
like "$(cat "$WORK/text")" 'hook input priority 50' "priority"
unlike "$(cat "$WORK/text")" 'forward|daddr type|^[^c]*iif "lo" .*!=' "no forward, no exemptions"
case $(hook features) in
*"missing: nft queue"*) sed -i 's/queue num .*[0-9]\( bypass\)\?/accept/' "$WORK/text" ;;
esac
check "nft reads the text" h nft -f "$WORK/text"
like "$(hook verify)" ^PEND_E_NOT_FOUND "that is not ours"
is "$(hook install)" PEND_OK "a table that nobody owns is replaced"
is "$(hook verify)" PEND_OK "verify"
ours=$(h nft list table inet pend 2>/dev/null)
like "$ours" 'flags owner' "it is owned now"
like "$ours" 'queue (num|to|flags).*100-103' "its queues"
like "$ours" 'elements = \{ 0x0000001d \}' "its valid mark"
hook_end
is "$(h nft list ruleset)" "$before" "the end of the program takes the rules out"

hook_start kind=auto loopback mask=0xff epoch=7
is "$(hook install)" PEND_OK "loopback"
h conntrack -F 2>/dev/null
hook listen 0 accept 1d >"$WORK/null"
is "$(h "$BIN/tests/netns/client" 127.0.0.1 80 | field result | head -n 1)" connected "lo, asked for"
is "$(hook packets)" 1 "is queued"
is "$(ct_mark 80)" 0x0000001d "and stamped"
hook_end

hook_start kind=auto open
is "$(hook install)" PEND_OK "open"
client_bg open -t 2000 $H4 80
client_wait open
is "$(of open result)" connected "nobody listens: open"
hook_end

# ------------------------------------------------------------------ somebody else is busy ----

# What is being read changes all the time. It is read until it holds still, and the next request has its own answers.
h nft -f - < <(echo 'table ip many {'; printf '\tchain c%d { ip saddr 192.0.2.9 counter; }\n' {1..2000}; echo '}')
h nft add table ip busy
hook_start kind=nft decisions
is "$(hook install)" PEND_OK "beside many chains"
ip netns exec "$H" python3 "$TOP/tests/netns/busy_rules.py" busy $((5 * WAIT * WAIT)) 2>"$WORK/busy.err" &
BUSY=$!
declare -A SAID=()
for ((i = 0; i < 200; i++)); do
	said=$(hook verify)
	SAID[$said]=$((${SAID[$said]:-0} + 1))
done
is "$(hook install)" PEND_OK "rules are made anew in the middle of it"
check "and goes on changing them" running "$BUSY"
kill "$BUSY"
wait "$BUSY" 2>/dev/null
ge "${SAID[PEND_OK]:-0}" 190 "the rules are found while others change theirs"
unlike "${!SAID[*]}" 'Protocol|busy' "and no answer is taken for another's"
is "$(hook verify)" PEND_OK "verify, when it is quiet again"
is "$(hook install)" PEND_OK "install"
hook_end
h nft flush ruleset

h iptables-nft -w -t security -N PEND-IN
hook_start kind=nft
is "$(hook install)" PEND_OK "beside leftovers of iptables"
like "$(hook warning)" 'iptables hookup of the same name' "a warning"
hook_end
finish
