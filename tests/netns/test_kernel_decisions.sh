#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120 san
# Decisions that hold for a while are offered to the kernel: the next connection of their like costs the daemon
# nothing, and whatever changes them is obeyed by the very next connection.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
ns_pair 40
need_queue
h nft add table inet probe 2>/dev/null || skip_all "this kernel has no nf_tables"
h nft delete table inet probe
control_start
server tcp:{7001..7009} tcp:8001 udp:{7101..7103}

rules()
{
	cat <<-END
	$1
	pend proto tcp to port { 7001, 7002 } ask people complete buffer with reset remember 1h
	pend proto tcp to port 7003 ask people complete buffer remember 1h scope source
	pend proto udp to port 7101 ask people complete buffer remember 1h
	pend proto tcp to port 7004 ask people complete buffer remember 4s
	pend proto tcp to port 7005 ask people complete buffer remember 1h log
	pend proto tcp to port 7006 ask people complete buffer remember 1h scope flow
	pend proto tcp to port 7007 ask people complete buffer with unreachable remember 1h
	END
}
policy() # [rule before all]
{
	cat <<-END
	set bad { 198.51.100.1 }
	authority people { type operator; timeout 20s; on-timeout block; }
	layer default {
		block proto tcp from @bad with reset
		$(rules "${1:-}")
		permit
	}
	END
}
reload() { pendd_config < <(policy "$1"); h_pendctl reload >/dev/null; } # rule before all

try() { client -t "${T:-$((1500 * ${WAIT_FACTOR:-1}))}" "$@" | field result; }
packets() { ctl status totals.packets; }
decided() { ctl status kernel_decisions.kernel_permits kernel_decisions.kernel_blocks; }
elements() { ctl status kernel_decisions.elements; }
elements_are() { [ "$(elements)" = "$1" ]; }
in_kernel() { h nft list table inet pend 2>/dev/null | grep -o 'expires' | wc -l; }
ct_mark() { h conntrack -L 2>/dev/null | sed -nE "s/.* dport=$1 .*mark=([0-9]+).*/\1/p" | sort -u; }
# A connection that is asked about, and what is said then.
asked() # permit|block client-argument...
{
	local said=$1 out=$WORK/asked
	shift
	client -t 8000 "$@" >"$out" &
	if wait_for 5 pends 1; then
		h_pendctl "$said" --all >/dev/null
	else
		echo "nobody was asked" >&2
	fi
	wait $!
	field result <"$out"
}
# The daemon sees no packet of it.
unseen() # want text client-argument...
{
	local want=$1 text=$2 before
	shift 2
	before=$(packets)
	is "$(try "$@")" "$want" "$text"
	is "$(packets)" "$before" "... and the daemon saw no packet"
}
# The daemon is asked.
seen() # want text client-argument...
{
	local want=$1 text=$2 before
	shift 2
	before=$(packets)
	is "$(try "$@")" "$want" "$text"
	gt "$(packets)" "$before" "... by the daemon"
}

PENDD_SETTINGS='' pendd_start < <(policy)
is "$(ctl status kernel_decisions.state)" on "it is on where it can be"
like "$(h_pendctl status)" '^decided +0 permitted, 0 blocked by the kernel, which has 0 decisions' "and shown"

# ---- permitted ----
is "$(asked permit "$H4" 7001)" connected "somebody is asked, and says permit"
check "the kernel has it soon" wait_for 3 elements_are 1
like "$(h_pendctl decisions --json)" '"kernel": ?true' "... and its decision says so"
unseen connected "the second connection is open" "$H4" 7001
unseen connected "the third too" "$H4" 7001
is "$(decided)" "2 0" "the kernel counts them"
is "$(ct_mark 7001 | wc -w)" 1 "their flows bear the mark of the first, whom the daemon permitted"
seq 2000 | c timeout 5 ncat "$H4" 7001 >/dev/null
is "$(decided)" "3 0" "data flows"
seen timeout "another port is another question" -t 300 "$H4" 7002
ctl drop all >/dev/null
seen timeout "another source too" -t 300 -s 203.0.113.1 "$H4" 7001
ctl drop all >/dev/null
h_pendctl decisions forget --all >/dev/null

# ---- blocked ----
is "$(asked "block" -r -s 203.0.113.2 "$H4" 7002)" refused "a block with reset"
check "the kernel has it" wait_for 3 elements_are 1
unseen refused "the next is refused by the kernel" -s 203.0.113.2 "$H4" 7002
gt "$(ctl status kernel_decisions.kernel_blocks)" 0 "... which counts it"
asked block -s 203.0.113.3 "$H4" 7003 >/dev/null
check "a drop" wait_for 3 elements_are 2
T=300 unseen timeout "... is dropped by the kernel" -s 203.0.113.3 "$H4" 7003
asked block -s 203.0.113.4 "$H4" 7007 >/dev/null
check "unreachable" wait_for 3 elements_are 3
before=$(packets)
unlike "$(try -s 203.0.113.4 "$H4" 7007)" 'connected|timeout' "... is told by the kernel"
is "$(packets)" "$before" "... and the daemon saw no packet"
h_pendctl decisions forget --all >/dev/null

# ---- IPv6, datagrams ----
is "$(asked permit "$H6" 7001)" connected "IPv6"
check "the kernel has it" wait_for 3 elements_are 1
unseen connected "the next is let in by the kernel" "$H6" 7001
client -u -d 3 -g 300 -l 10 -t 6000 "$H4" 7101 >"$WORK/udp" &
wait_for 5 pends 1
ctl permit all >/dev/null
wait $!
check "datagrams" wait_for 3 elements_are 2
before=$(packets)
client -u -d 3 -g 20 -l 10 -P 4003 "$H4" 7101 >"$WORK/udp"
is "$(of udp received) $(packets)" "3 $before" "the next stream is let in by the kernel"

# ---- the scope of a source: each service by itself ----
is "$(asked permit "$H4" 7003)" connected "scope source"
check "the kernel has it" wait_for 3 elements_are 3
unseen connected "the next" "$H4" 7003

# ---- forgotten ----
is "$(h_pendctl decisions forget --from "$C4" --rule 2)" "1 forgotten." "forgotten"
T=300 seen timeout "the very next connection is asked about" "$H4" 7003
ctl drop all >/dev/null
seen connected "what was not forgotten comes back by use" "$H6" 7001
check "..." wait_for 3 eval 'h nft list set inet pend permit6 2>/dev/null | grep -q expires'
unseen connected "..." "$H6" 7001

# ---- a changed rule, a changed set ----
h_pendctl decisions forget --all >/dev/null
is "$(asked permit "$H4" 7001)" connected "a permit again"
check "the kernel has it" wait_for 3 elements_are 1
unseen connected "the kernel lets in" "$H4" 7001
before=$(decided)
(sleep 30) | c timeout 30 ncat "$H4" 7001 >/dev/null 2>"$WORK/live.err" &
LIVE=$!
check "a live one" wait_for 5 eval 'h ss -tn state established | grep -q ":7001 "'
is "$(decided)" "$((${before% *} + 1)) ${before#* }" "... by the kernel"
check "a reload with a block" reload "block proto tcp from $C4 to port 7001 with reset"
is "$(elements)" 0 "takes all out of the kernel before it is in force"
is "$(in_kernel)" 0 "... really"
is "$(try "$H4" 7001)" refused "the very next connection meets it"
check "the live one is ended" wait_for 5 gone "$LIVE"
reload ''
seen connected "as it was: remembered still" "$H4" 7001
check "it comes back by use" wait_for 3 elements_are 1
unseen connected "..." "$H4" 7001
check "a set" h_pendctl set add bad "$C4"
is "$(try "$H4" 7001)" refused "the very next connection meets it"
is "$(elements)" 0 "nothing of it is in the kernel"
h_pendctl set delete bad "$C4" >/dev/null
seen connected "out of the set again" "$H4" 7001
check "..." wait_for 3 elements_are 1

# ---- it ends ----
h_pendctl decisions forget --all >/dev/null
is "$(asked permit "$H4" 7004)" connected "for 4 s"
check "the kernel has it" wait_for 2 elements_are 1
unseen connected "..." "$H4" 7004
sleep 4
T=300 seen timeout "over, it is asked about" "$H4" 7004
ctl drop all >/dev/null
h_pendctl decisions forget --all >/dev/null

# ---- what is not offered ----
is "$(asked permit "$H4" 7005)" connected "a rule that logs"
is "$(asked permit -r -P 9201 "$H4" 7006)" connected "scope flow"
seen connected "... the logged" "$H4" 7005
seen connected "... the flow" -r -P 9201 "$H4" 7006
sleep 0.3
is "$(elements)" 0 "the kernel has neither"
is "$(ctl status kernel_decisions.varies_by) $(ctl status kernel_decisions.varies_rule)" "log 5" "it says why"
reload 'block proto tcp from port 1-99 to port 7001'
is "$(asked permit "$H4" 7001)" connected "a rule about source ports stands before"
seen connected "..." "$H4" 7001
sleep 0.3
is "$(elements)" 0 "the kernel has nothing"
is "$(ctl status kernel_decisions.varies_by)" from_port "it says why"
like "$(h_pendctl status)" 'not offered, lately for "from port" in rule 1$' "... to people too"
reload 'block proto tcp to port 7001 time 00:00-00:01'
seen connected "one about the time" "$H4" 7001
sleep 0.3
is "$(elements)" 0 "..."
reload ''

# ---- translated destinations: the key is what the socket sees ----
h iptables -w -t nat -A PREROUTING -p tcp --dport 8099 -j REDIRECT --to-ports 7001
seen connected "redirected, decided as what it is redirected to" "$H4" 8099
check "..." wait_for 3 elements_are 1
unseen connected "by the kernel" "$H4" 8099
unseen connected "... not redirected, as well" "$H4" 7001
h iptables -w -t nat -F

# ---- interfaces ----
ip link add pend1 netns "$H" type veth peer name pend1 netns "$C"
addr "$H" pend1 10.9.0.1/24
addr "$C" pend1 10.9.0.2/24
ip -n "$H" link set pend1 up
ip -n "$C" link set pend1 up
check "a link that comes takes all out of the kernel" wait_for 3 elements_are 0
sleep 0.5
seen connected "by eth0" "$H4" 7001
check "..." wait_for 3 elements_are 1
ip -n "$C" route add "$H4/32" via 10.9.0.1 dev pend1 src "$C4"
seen connected "the same by another interface is another question to the kernel" "$H4" 7001
check "..." wait_for 3 elements_are 2
unseen connected "each is known" "$H4" 7001
ip -n "$C" route del "$H4/32"

# ---- the rules are made anew ----
check "hookup install" h_pendctl hookup install
is "$(elements) $(in_kernel)" "0 0" "begins without any"
seen connected "it comes back by use" "$H4" 7001
check "..." wait_for 3 elements_are 1
unseen connected "..." "$H4" 7001
is "$(h_pendctl hookup verify >/dev/null; echo $?)" 0 "verify"

# ---- many ----
before=$(ctl status kernel_decisions.offered)
h_pendctl decisions forget --all >/dev/null
for ((i = 1; i <= 40; i++)); do
	client_bg "many$i" -t 8000 -s "203.0.113.$i" "$H4" 7001
done
check "forty sources" wait_for 10 pends 40
ctl permit all >/dev/null
check "the kernel has them all" wait_for 5 elements_are 40
le $(($(ctl status kernel_decisions.offered) - before)) 41 "none was offered twice"
for ((i = 1; i <= 40; i++)); do
	client_wait "many$i"
done
unseen connected "..." -s 203.0.113.40 "$H4" 7001

pendd_stop
is "$PENDD_STATUS" 0 "it stops"
check_not "and takes the table along" h nft list table inet pend

# ---- lazy: a new epoch ----
PENDD_SETTINGS='reauthorize lazy;' pendd_start < <(policy)
is "$(asked permit "$H4" 7001)" connected "lazy: a permit"
check "the kernel has it" wait_for 3 elements_are 1
h conntrack -F 2>/dev/null
unseen connected "lazy: the next by the kernel" "$H4" 7001
first=$(ct_mark 7001)
reload ''
seen connected "a new epoch" "$H4" 7001
check "..." wait_for 3 elements_are 1
h conntrack -F 2>/dev/null
before=$(packets)
(echo one; sleep 1; echo two; sleep 1) | c timeout 5 ncat "$H4" 7001 >/dev/null
is "$(packets)" "$before" "by the kernel, and not asked about again"
isnt "$(ct_mark 7001)" "$first" "its flow bears the new number"
pendd_stop

# ---- what was kept in a file over a restart ----
mkdir -m 700 "$WORK/state"
PENDD_SETTINGS="state \"$WORK/state/decisions.db\";" pendd_start < <(policy)
check "the rules are there" wait_for 5 stat_is hookup.state in-place # after the file was read
is "$(asked permit "$H4" 7001)" connected "a permit that is kept"
check "the kernel has it" wait_for 3 elements_are 1
pendd_stop
check_not "stopped, nothing is left" h nft list table inet pend
pendd_run
check "started again" wait_for 10 stat_is hookup.state in-place
is "$(elements)" 0 "the kernel has nothing at first"
seen connected "it is remembered" "$H4" 7001
check "and comes back by use" wait_for 3 elements_are 1
unseen connected "..." "$H4" 7001
pendd_stop

# ---- where it cannot be, or shall not ----
for how in 'kernel-decisions no;=off=kernel-decisions is no' 'hookup iptables;=iptables=iptables has no place'; do
	IFS='=' read -r setting state words <<<"$how"
	PENDD_SETTINGS=$setting pendd_start < <(policy)
	holds 5 "$setting" stat_is kernel_decisions.state "$state"
	like "$(h_pendctl status)" "^decided +nothing by the kernel: $words" "... and why"
	is "$(asked permit "$H4" 7001)" connected "... a permit"
	seen connected "... the next" "$H4" 7001
	unlike "$(h nft list ruleset 2>/dev/null)" 'permit4' "... no set was made"
	pendd_stop
done
finish
