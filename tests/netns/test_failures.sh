#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=150 san
# Failures that users of such systems met (docs/semantics.md, T5, T6, T7, T19, T22), provoked with the real kernel
# and real clients: a callout that goes in the middle of a storm, rules that outlive their daemon, completions that
# ask twice, denials that deny too much, deadlines after a suspend and thousands of them at once.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
ip -n "$H" route add 198.18.0.0/15 via "$C4"
server tcp:80 tcp:81 tcp:82 tcp:83 tcp:84 udp:85

policy() { # [timeout [on-timeout]]
	cat <<-END
	authority ops { type operator; timeout ${1:-60s}; on-timeout ${2:-block}; }
	layer default {
		pend proto tcp to port 80 ask ops complete buffer hold
		pend proto tcp to port 81 ask ops complete flush hold
		pend proto tcp to port 82 ask ops complete buffer absorb
		permit proto tcp to port { 83, 8083 }
		pend proto tcp to port 8080 ask ops complete buffer
		pend proto tcp to port 84 ask ops complete flush absorb
		pend proto udp to port 85 ask ops complete buffer
		block proto tcp to port 8086
		block
	}
	END
}
restart() { # settings policy's arguments...
	pendd_stop
	PENDD_SETTINGS=$1 pendd_start < <(policy "${@:2}")
}
reload() { # the same again
	PENDD_SETTINGS=$SETTINGS pendd_config < <(policy)
	ctl reload
}
connects() { [ "$(client -t "$(ms 3000)" "$@" | field result)" = connected ]; }
no_queue() { [ -z "$(h cat /proc/net/netfilter/nfnetlink_queue)" ]; }
no_process() { ! ip netns pids "$H" | xargs -r ps -o args= -p | grep -q '[p]endd'; }
rules_left() { { h nft list ruleset; h iptables-save; h iptables-legacy-save; } 2>/dev/null | grep -cE 'NFQUEUE|queue (num|flags|to)'; }

# ---- T5: unregister and stop in a storm of classifies ----

storm() { # name port: 3,000 SYNs a second from everywhere, for 8 s and while it is needed, where nobody listens
	ip netns exec "$C" "$BIN/tests/netns/synflood" -s 198.18.0.1 -S 60000 -n 600000 -r 3000 $H4 "$2" >"$WORK/$1" 2>&1 &
	STORMS+=" $!"
}
SETTINGS='max-contexts 3000; high-watermark-percent 100; max-per-source 0;'
slowest=0 stuck=0 leaked='' STORMS='' storms=$(now_ms)
storm storm80 8080; storm storm83 8083; storm storm86 8086
for how in TERM stop KILL INT stop TERM; do
	restart "$SETTINGS"
	wait_for 5 stat_least totals.packets 500 || not_ok "T5: the storm arrives" "$(ctl status totals.packets)"
	begin=$(now_ms)
	case $how in
	stop) ctl ask '{"op":"stop"}' >/dev/null ;;
	*) kill "-$how" "$PENDD_PID" ;;
	esac
	wait_for 5 gone "$PENDD_PID" || stuck=$((stuck + 1))
	took=$(($(now_ms) - begin))
	[ "$took" -le "$slowest" ] || slowest=$took
	wait "$PENDD_PID" 2>/dev/null
	rc=$?
	[ "$how" = KILL ] || [ $rc = 0 ] || leaked+=" status $rc of $how;"
	PENDD_PID=''
	wait_for 2 no_queue # of a killed one, when the kernel gets to it
	[ "$(rules_left)" = 0 ] || leaked+=" rules after $how;"
	no_queue || leaked+=" a queue after $how;"
	[ "$how" = KILL ] || ! [ -e "$CONTROL" ] || leaked+=" the socket after $how;"
	wait_for 3 no_process || leaked+=" a process after $how;"
done
is "$stuck" 0 "T5: pendd stopped six times in a storm of SYNs: no hang (slowest $slowest ms)"
is "$leaked" "" "T5: and no rule, queue, socket or process is leaked"
restart "$SETTINGS"
wait_for 5 stat_least totals.packets 300
wrong=''
for _ in 1 2 3 4; do
	ctl ask '{"op":"hookup","action":"remove"}' | grep -q '"ok": *true' || wrong+=' remove'
	[ "$(rules_left)" = 0 ] || wrong+=' rules-after-remove'
	ctl ask '{"op":"hookup","action":"install"}' | grep -q '"ok": *true' || wrong+=' install'
	ctl ask '{"op":"hookup","action":"verify"}' | grep -q '"ok": *true' || wrong+=' verify'
done
is "$wrong" "" "T5: the kernel's rules taken out and put back four times in the storm"
wrong=''
for i in 1 2 3 4 5 6; do # the rule that holds them goes, and comes back
	PENDD_SETTINGS=$SETTINGS pendd_config < <(if [ $((i % 2)) = 1 ]; then echo 'layer default { block; }'; else policy; fi)
	[ "$(ctl reload)" = "ok $((i + 1))" ] || wrong+=" $i"
done
is "$wrong" "" "T5: the rule and its authority unregistered three times with contexts pended"
storms_long() { [ "$(now_ms)" -ge $((storms + 8000)) ]; }
wait_for 9 storms_long
over=''
for pid in $STORMS; do running "$pid" || over+=" $pid"; done
is "$over" "" "T5: the storm lasts until then"
# shellcheck disable=SC2086  # words
kill -TERM $STORMS
# shellcheck disable=SC2086
wait $STORMS
emptied() { ctl drop all >/dev/null; stat_is totals.pending 0; } # what was still queued is pended after a drop
holds 5 "T5: no context is left" emptied
check "T5: each is accounted for" books_balance
for name in storm80 storm83 storm86; do ge "$(field sent <"$WORK/$name")" 12000 "$name was one"; done
check "T5: and then it works as ever" connects $H4 83

# ---- T6: the daemon is gone, its rules are left ----

ip netns exec "$C" ncat -4 -lk 90 >/dev/null 2>&1 &
wait_for 5 eval 'c ss -ltn | grep -q :90'
flow_open() { # name port
	mkfifo "$WORK/$1.in"
	ip netns exec "$C" ncat $H4 "$2" <"$WORK/$1.in" >"$WORK/$1.out" 2>/dev/null &
	exec {FLOW}>"$WORK/$1.in"
}
flow_talks() { # name word
	echo "$2" >&"$FLOW"
	wait_for 5 has_line "$WORK/$1.out" "^$2\$"
}
orphan() { # fail passes|blocked
	local text="T6: daemon gone, rules left, fail $1" t=1500
	restart "hookup iptables; fail $1;"
	flow_open "live-$1" 83
	check "$text: a live flow" flow_talks "live-$1" before
	pendd_kill
	gt "$(rules_left)" 0 "$text: they are left"
	if [ "$2" = passes ]; then
		check "$text: new connections pass" connects $H4 83
		check "$text: those that would be held, too" connects $H4 80
	else
		is "$(client -t $t $H4 83 | field result)" timeout "$text: new connections do not pass"
		is "$(client -t $t $H4 80 | field result)" timeout "$text: nor those that would be held"
	fi
	check "$text: live flows go on" flow_talks "live-$1" meanwhile
	check "$text: what the host opens itself is not blocked" eval "[ \"\$(h '$BIN/tests/netns/client' $C4 90 | field result)\" = connected ]"
	check "$text: nor is loopback" eval "[ \"\$(h '$BIN/tests/netns/client' 127.0.0.1 83 | field result)\" = connected ]"
	PENDD_SETTINGS="hookup iptables; fail $1;" pendd_start < <(policy)
	check "$text: the next daemon takes over" connects $H4 83
	check "$text: and the live flow" flow_talks "live-$1" after
	pendd_stop
	is "$(rules_left)" 0 "$text: and leaves none behind, its own nor those it found"
	exec {FLOW}>&-
}
orphan closed blocked
orphan open passes

# ---- T7: a completion neither asks again nor blocks by default ----

SETTINGS=
restart ''
clients() { # name more arguments...: 5 for each way to hold and to release
	local p
	for p in 80 81 82 84; do client_bg "$1$p" -n 5 -t "$(ms 15000)" "${@:2}" $H4 $p; done
}
all_in() { # name text
	local p n=0
	for p in 80 81 82 84; do client_wait "$1$p"; n=$((n + $(ended "$1$p" connected))); done
	is $n 20 "$2"
}
clients first -l 100 -k 3000
wait_for 8 pends 20
ctl permit all >/dev/null
wait_for 8 stat_is totals.established 20 || not_ok "T7: twenty are permitted and open" "$(total established)"
is "$(total pended)" 20 "T7: twenty connections, permitted, were asked about once each"
for i in 1 2 3; do reload >/dev/null; kill -HUP "$PENDD_PID"; sleep 0.2; done
is "$(total pended) $(ctl count)" "20 0" "T7: six reloads with them open ask about none again"
all_in first "T7: and end none"
clients second -l 100
wait_for 8 pends 20
generation=$(ctl status policy.generation)
sed -n '/^layer/,$ p' "$CONFIG" >"$WORK/layer"
pendd_config <<-END
	authority other { type operator; timeout 1s; on-timeout block; }
	$(sed 's/ask ops/ask other/' "$WORK/layer")
END
is "$(ctl reload)" "ok $((generation + 1))" "T7: pended, and the policy would have another authority asked"
sleep 1.5
is "$(ctl count)" 20 "T7: they still wait, by the timeout of their own rule"
ctl permit all >/dev/null
all_in second "T7: a permit stands: the completion pass does not turn to the rule's default, a block"
is "$(total pended) $(ctl count)" "40 0" "T7: nor does it ask the other one"
is "$(total ended_timed_out)" 0 "T7: none ran into a timeout"

# ---- T19: a denial is of one attempt ----

restart ''
denied() { # text client's arguments, without the port
	local text="T19 $1" p=$2
	shift 2
	client_bg denied -t "$(ms 4000)" -P 6001 "$@" $p
	wait_for 5 pends 1
	ctl reset all >/dev/null
	client_wait denied
	is "$(of denied result)" refused "$text: one attempt is denied"
	client_bg next -t "$(ms 9000)" -P 6002 "$@" $p
	holds 5 "$text: a one-time block leaves the next port to be asked again" pends 1
	client_bg other -t "$(ms 9000)" -s "${OTHER:-$C4}" -P 6003 "$@" 82
	holds 5 "$text: and another source and service, too" pends 2
	ctl permit all >/dev/null
	client_wait next; client_wait other
	is "$(ended next connected)$(ended other connected)" 11 "$text: which can be permitted"
	client_bg same -t "$(ms 9000)" -P 6001 "$@" $p
	holds 5 "$text: the very same tuple is asked about again" pends 1
	ctl permit all >/dev/null
	client_wait same
	is "$(of same result)" connected "$text: and can be permitted"
}
denied "buffer" 80 $H4
OTHER=203.0.113.5 denied "flush" 81 $H4
OTHER=2001:db8:1::5 denied "IPv6" 84 $H6

# ---- T22: deadlines after a suspend, and thousands at once ----

restart 'max-contexts 20000; high-watermark-percent 100; max-per-source 0; hold-max 20000;' 3s
wait_for 2 kernel_holds 0
from=$(now_ms)
synflood -s 198.18.0.1 -S 20000 -n 3000 -r 15000 $H4 80 >/dev/null
synflood -s 198.18.100.1 -S 20000 -n 2000 -r 15000 $H4 82 >/dev/null
begin=$(now_ms)
holds 3 "T22: 5,000 are pended within a moment" pends 5000
wait_for 9 stat_least totals.ended_timed_out 1
first=$(now_ms)
holds 5 "T22: a storm of expiries: all 5,000 end" stat_is totals.ended_timed_out 5000
last=$(now_ms)
lt $((last - begin)) "$(ms 4500)" "T22: in time: ms from the last SYN to the last end, with 3 s to wait"
ge $((first - from)) 2900 "T22: and not before: ms from the first SYN to the first end"
le "$(ctl events pended_ms completed | tr ' ' '\n' | most)" "$(ms 4000)" "T22: of those that are still told, none waited longer than, in ms"
lt "$(status_ms)" "$(ms 250)" "I6: status answers within 250 ms"
check "I3: every context is accounted for" books_balance
holds 5 "T22, T26: and every packet has its verdict" ledger_closes

# A process that does not run while its deadlines pass, as in a suspended host: all of it is late, nothing is stuck.
restart '' 2s permit
clock_ids() { local p; for p in $(pendd_pids); do h sh -c "grep -h clockid /proc/$p/fdinfo/*"; done 2>/dev/null | sort -u; }
is "$(clock_ids | tr -s '[:blank:]' ' ')" "clockid: 7" "T22: every timer is of the boot clock, which counts a suspend"
client_bg asleep -n 30 -t "$(ms 20000)" -l 10 $H4 80
wait_for 5 pends 30
# shellcheck disable=SC2046  # words
kill -STOP $(pendd_pids)
sleep 4
# shellcheck disable=SC2046
kill -CONT $(pendd_pids)
holds 2 "T22: after the resume what was due is decided at once" stat_is totals.ended_timed_out 30
client_wait asleep
is "$(ended asleep connected)" 30 "T22: as the rule says: permitted, and from the buffer"
client_bg awake -t "$(ms 9000)" $H4 80
wait_for 3 pends 1
client_wait awake
is "$(of awake result)" connected "T22: and the next one is held its 2 s and let in"
pendd_stop

# A host that was suspended for a week since it booted: its boot clock is that much ahead of the others.
if unshare --time --boottime 604800 --fork true 2>/dev/null; then
	# shellcheck disable=SC2034  # lib.sh reads it
	PENDD_WRAPPER='unshare --time --boottime 604800 --fork' pendd_start < <(policy 2s permit)
	client_bg slept -t "$(ms 9000)" $H4 80
	holds 3 "T22: with a boot clock that slept a week, it is held" pends 1
	client_wait slept
	is "$(of slept result)" connected "T22: and decided at its deadline"
	ge "$(of slept ms)" 1900 "T22: not before, ms"
	lt "$(of slept ms)" "$(ms 3500)" "T22: not later, ms"
	ctl ask '{"op":"stop"}' >/dev/null
	wait_for 5 gone "$PENDD_PID"
	PENDD_PID=''
else
	skip "T22: a boot clock that slept a week" "no time namespaces"
fi
finish
