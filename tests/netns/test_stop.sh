#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=150 san
# The end of the daemon, wanted and not: what is pended then, what is left behind, what passes afterwards; and
# what it says when it cannot even start.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
server tcp:80 tcp:81 tcp:83 udp:85

policy() {
	cat <<-END
	authority ops { type operator; timeout 60s; }
	layer default {
		pend proto tcp to port 80 ask ops complete buffer
		pend proto tcp to port 81 ask ops complete flush absorb
		permit proto tcp to port 83
		pend proto udp to port 85 ask ops complete buffer
		block
	}
	END
}

# Follow the events of completion until the daemon hangs up.
follow() {
	# shellcheck disable=SC2016
	ip netns exec "$H" python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"{\"id\":1,\"op\":\"events\",\"last\":0,\"follow\":true,\"types\":[\"completed\"]}\n")
for line in s.makefile():
	print(line, end="", flush=True)' "$CONTROL" >"$WORK/follow" 2>&1 &
	FOLLOW=$!
	wait_for 20 has_line "$WORK/follow" '"kept"' || not_ok "somebody follows the events" "$(cat "$WORK/follow")"
}

told_all() {
	[ "$(grep -c '"state":"drained"' "$WORK/follow")" = "$1" ] || grep -q '"subscription-lost".*}$' "$WORK/follow"
}

nothing_left() { # text
	check_not "$1: no table is left" h nft list table inet pend
	is "$(h cat /proc/net/netfilter/nfnetlink_queue)" "" "$1: no queue is left"
	check_not "$1: no socket is left" test -e "$CONTROL"
	is "$(ip netns pids "$H" | xargs -r ps -o args= -p | grep -c '[p]endd')" 0 "$1: no process is left"
}

stop_with() { # how count
	local how=$1 n=$2 begin took
	pendd_start < <(policy)
	client_bg held -n "$n" -t "$(ms 15000)" $H4 80
	client_bg copied -n "$n" -t "$(ms 15000)" $H4 81
	wait_for 8 pends $((2 * n)) || not_ok "$how: $((2 * n)) are pended" "$(ctl count)"
	follow
	begin=$(now_ms)
	case $how in
	SIG*) kill "-${how#SIG}" "$PENDD_PID" ;;
	*) ctl ask '{"op":"stop"}' >/dev/null ;;
	esac
	wait_for 8 gone "$PENDD_PID" || not_ok "T4: $how ends it"
	took=$(($(now_ms) - begin))
	wait "$PENDD_PID"
	is $? 0 "$how with $((2 * n)) pended: status 0"
	PENDD_PID=''
	lt "$took" "$(ms 3000)" "T4: $how with $((2 * n)) pended: in bounded time"
	wait "$FOLLOW"
	like "$(grep drained "$WORK/pendd.log" | tail -n 1)" " $((2 * n)) that were pended are drained" \
		"T4: all $((2 * n)) are told as drained"
	# Who follows is told of each, or that it was too slow.
	is "$(grep '"type":"completed"' "$WORK/follow" | field state | sort -u)" drained "T4: and as nothing else"
	check "T4: to those who follow, up to the last word" told_all $((2 * n))
	nothing_left "I8 $how"
	client_wait held; client_wait copied
	is "$(($(ended held connected) + $(ended copied connected)))" $((2 * n)) \
		"$how: without pendd and without its rules the host is as it was"
}
stop_with SIGTERM 1
stop_with SIGINT 500
stop_with pendctl 500

# on-stop permit: what is buffered goes in at the stop.
# shellcheck disable=SC2034  # lib.sh reads it
PENDD_SETTINGS='on-stop permit;' pendd_start < <(policy)
client_bg held -n 20 -t "$(ms 9000)" $H4 80
wait_for 5 pends 20
pendd_stop
is "$PENDD_STATUS" 0 "pendd stops"
client_wait held
is "$(ended held connected)" 20 "on-stop permit: what is pended is let in"
lt "$(of held ms | most)" "$(ms 900)" "on-stop permit: from its buffer"

# ---- live flows over stop, start and reload (R36, R57) ----

flow_open() { # name port
	mkfifo "$WORK/$1.in"
	ip netns exec "$C" ncat $H4 "$2" <"$WORK/$1.in" >"$WORK/$1.out" 2>/dev/null &
	exec {FLOW}>"$WORK/$1.in"
}
flow_talks() { # name word: a word there and back
	echo "$2" >&"$FLOW"
	wait_for 5 has_line "$WORK/$1.out" "^$2\$"
}

pendd_start < <(policy)
flow_open live 80
wait_for 5 pends 1
ctl permit all >/dev/null
check "a permitted flow talks" flow_talks live one
client_bg udp -u -d 100 -g 50 -t "$(ms 12000)" -P 7000 $H4 85
wait_for 3 pends 1
ctl permit all >/dev/null
like "$(ctl reload)" '^ok 2' "reload"
check "R36: the flow talks on after a reload" flow_talks live two
pendd_stop
check "R36: and while there is no daemon" flow_talks live three
pendd_start < <(policy)
check "R36: and with the next daemon" flow_talks live four
client_wait udp
ge "$(of udp received)" 99 "R36: so does a flow of datagrams"

# ---- the authority process dies (R56, T12) ----

client_bg wait80 -n 10 -t "$(ms 15000)" $H4 80
client_bg wait81 -n 10 -t "$(ms 15000)" $H4 81
wait_for 5 pends 20
ids=$(ctl get id)
child=$(authority)
kill -KILL "$child"
other_child() { local p; p=$(authority) && [ "$p" != "$child" ] && ctl count; }
holds 5 "the authority process is started anew" other_child
is "$(ctl get id)" "$ids" "what was pended still is, under the same ids"
is "$(ctl status authority_restarts)" 1 "status tells of it"
ctl permit all >/dev/null
client_wait wait80; client_wait wait81
is "$(($(ended wait80 connected) + $(ended wait81 connected)))" 20 "and can be permitted"
check "the flow talks on" flow_talks live five
client_bg new $H4 80
holds 3 "new connections are pended" pends 1
ctl permit all >/dev/null
client_wait new
is "$(of new result)" connected "and permitted"
check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes

# ---- it cannot start ----

says_one_line() { # text: what it printed is one sentence
	is "$(wc -l <"$WORK/said")" 1 "$1: in one sentence: $(head -c 200 "$WORK/said")"
}
second() { # status text config-text pattern [wrapper...]
	local want=$1 text=$2 config=$3 pattern=$4
	shift 4
	printf '%s\n' "$config" >"$WORK/second.conf"
	chmod 755 "$WORK"
	timeout 10 ip netns exec "$H" "$@" "$BIN/pendd" -c "$WORK/second.conf" >"$WORK/said" 2>&1
	is $? "$want" "$text: status $want"
	like "$(cat "$WORK/said")" "$pattern" "$text: it says why"
}
policy_error='^/[^ ]*second.conf:1:17: error: .*nonsense'
settings() { echo "settings { control \"$1\"; user \"\"; $2 } layer default { block }"; }
before=$(h nft list ruleset 2>/dev/null)
# shellcheck disable=SC2016
second 69 "the queue is bound by another program" "$(settings "$WORK/run/2.sock" 'table second;')" 'queue 100.*(in use|bound|another)'
says_one_line "the queue is bound"
second 69 "another pendd serves the control socket" "$(settings "$CONTROL" 'queues 101; table second;')" 'another pendd'
says_one_line "another pendd"
second 78 "a wrong policy" 'layer default { nonsense }' "$policy_error"
mkdir "$WORK/open" && chmod 777 "$WORK/open"
second 77 "no permission" "$(settings "$WORK/open/3.sock" 'queues 102; table second;')" 'CAP_NET_ADMIN|root' \
	setpriv --reuid=65534 --regid=65534 --clear-groups
says_one_line "no permission"
ip netns exec "$H" "$BIN/pendd" -c "$WORK/nothing.conf" >"$WORK/said" 2>&1
is $? 78 "no policy file: status 78"
like "$(cat "$WORK/said")" 'nothing.conf.*No such file' "no policy file: it says why"
is "$(h nft list ruleset 2>/dev/null | sed 's/packets.*bytes [0-9]*//')" "$(sed 's/packets.*bytes [0-9]*//' <<<"$before")" \
	"and no rule was touched by any of them"
check "the one that runs is not disturbed" ctl status version
pendd_stop

# ---- the daemon dies: fail closed and fail open, with a service manager that keeps its table (R57, I7) ----

managed() { # settings: start pendd under the manager
	# shellcheck disable=SC2034  # lib.sh reads it
	PENDD_SETTINGS=$1 pendd_config < <(policy)
	rm -f "$WORK/manager.in" "$WORK/manager" "$WORK/manager.notify"
	mkfifo "$WORK/manager.in"
	ip netns exec "$H" python3 "$TOP/tests/netns/manager.py" "$WORK/manager" "$BIN/pendd" -c "$CONFIG" \
		<"$WORK/manager.in" >>"$WORK/pendd.log" 2>&1 &
	MANAGER=$!
	exec {MANAGE}>"$WORK/manager.in"
	wait_for 10 has_line "$WORK/manager" '^READY=1' || bail "pendd under a manager: $(cat "$WORK/manager")"
}
manage() { echo "$1" >&"$MANAGE"; }
ends_are() { [ "$(grep -c '^ended' "$WORK/manager")" = "$1" ]; }
readies_are() { [ "$(grep -c '^READY=1' "$WORK/manager")" = "$1" ]; }
manager_end() { manage quit; wait "$MANAGER"; exec {MANAGE}>&-; }

dies() { # text settings passes|blocked
	local text=$1 want=$3 got=timeout
	[ "$want" = blocked ] || got=connected
	managed "$2"
	client_bg held -n 3 -t "$(ms 30000)" $H4 80
	wait_for 5 pends 3
	manage kill
	wait_for 5 ends_are 1
	client_bg unasked -t 1500 $H4 80
	client_bg static -t 1500 $H4 83
	check "$text: R57: live flows go on" flow_talks live "dead-$want-$RANDOM"
	client_wait unasked; client_wait static
	is "$(of unasked result)" $got "I7 $text: without its daemon what would be pended is $want"
	is "$(of static result)" $got "I7 $text: and so is what would be permitted"
	if [ "$want" = blocked ]; then
		is "$(ended held connected)" 0 "L8 $text: what was held does not get in by that"
	else # but with the next copy, 1 s after the first: nothing is there to ask about it
		client_wait held
		is "$(ended held connected)" 3 "L8 $text: what was held gets in by itself"
		ge "$(of held ms | least)" 990 "L8 $text: with its next copy, not with what the kernel held"
	fi
	manage start
	wait_for 10 readies_are 2
	client_bg next -t "$(ms 9000)" $H4 80
	holds 5 "$text: the next daemon pends again" pends_least 1
	wait_for 5 test "$(ctl count)" -ge 1
	[ "$want" != blocked ] || holds 20 "$text: and those that were held come back to it" pends 4
	ctl permit all >/dev/null
	client_wait next
	is "$(of next result)" connected "$text: and permits"
	if [ "$want" = blocked ]; then
		client_wait held
		is "$(ended held connected)" 3 "$text: those too"
	fi
	check "$text: live flows go on" flow_talks live "again-$want-$RANDOM"
	manage stop
	wait_for 9 ends_are 2
	is "$(tail -n 1 "$WORK/manager")" "ended 0" "$text: it stops well"
	manage forget
	manager_end
	nothing_left "I8 $text"
}
dies "nft, fail closed" 'hookup nft; fail closed;' blocked
dies "nft, fail open" 'hookup nft; fail open;' passes
dies "iptables, fail closed" 'hookup iptables; fail closed;' blocked
dies "iptables, fail open" 'hookup iptables; fail open;' passes

# Started by hand, nobody keeps the socket that owns the table: the kernel takes it away.
pendd_start < <(policy)
child=$(authority)
pendd_kill
holds 3 "started by hand: the other process ends as well" gone "$child"
check_not "started by hand: the table goes with its owner" h nft list table inet pend
pendd_start < <(policy)
check "and the socket that was left is no obstacle" ctl status version
pendd_stop
nothing_left "I8 by hand"

finish
