#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=180 san
# Programs that decide and are killed, stopped, slow, deaf, or wrong in every way (T10 to T13, T22, R54, R56): their
# own questions end by the deadline, nobody else's connections are touched, memory is bounded, and all goes on
# when they do. Figures are printed; what is asserted of time is that deadlines are kept, with a second's grace for
# a busy machine where I4 has 100 ms.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
sanitized() { grep -qa __asan_init "$BIN/pendd"; } # slower, and larger
OPEN=${OPEN:-$(sanitized && echo 5000 || echo 50000)} # questions at a stopped one
[ -x "$BIN/bench/answer" ] || skip_all "$BIN/bench/answer is not built"
ns_pair 64
ip -n "$H" route add 198.18.0.0/15 via "$C4"
need_queue
control_start
server tcp:{7001..7004}

PENDD_SETTINGS='max-contexts 120000; max-per-source 0; high-watermark-percent 100;' pendd_start <<-END
	authority good { type socket; timeout 9s; on-timeout block; }
	authority bad { type socket; timeout 4s; on-timeout block; max-pending 60000; }
	authority held { type socket; timeout 3s; on-timeout block; }
	authority spare { type socket; timeout 3s; on-timeout block; }
	layer default {
		pend proto tcp to port 7001 ask good complete buffer
		pend proto tcp to port 7002 ask bad complete buffer absorb
		pend proto tcp to port 7003 ask held complete buffer
		pend proto tcp to port 7004 ask spare complete buffer
		permit
	}
END

start() { # name authority how [argument]
	: >"$WORK/$1.says"
	ip netns exec "$H" python3 "$TOP/tests/netns/authority_bad.py" "$CONTROL" "$2" "$3" "${@:4}" >"$WORK/$1.says" 2>&1 &
	PID[$1]=$!
	wait_for 10 has_line "$WORK/$1.says" '^ready' || not_ok "$1 serves" "$(cat "$WORK/$1.says")"
}
declare -A PID
stop() { kill -KILL "${PID[$1]}" && wait "${PID[$1]}" 2>/dev/null; }
# Many that are asked of the good authority are let in, whatever goes on: how many of 100.
others() { is "$(client -n 100 -c 20 -t 9000 -q "$H4" 7001 | field good)" 100 "$1"; }
try() { client -t "${2:-6000}" "$H4" "$1" | field result; }
connects() { [ "$(try "$1" 3000)" = connected ]; }

ip netns exec "$H" "$BIN/bench/answer" "$CONTROL" good >"$WORK/good.says" 2>&1 &
wait_for 5 has_line "$WORK/good.says" ready || bail "nobody answers: $(cat "$WORK/good.says")"
others "undisturbed, all are let in"
rss=$(pendd_rss)

# ---- a quick program's answers are polled for, while they are quick ----

polled() {
	client -n 100 -c 1 -q "$H4" 7001 >/dev/null
	[ "$(total busy_poll_answers)" -gt 0 ] && [ "$(ctl status control.busy_poll_answers)" -gt 0 ]
}
if [ "$(nproc)" -gt 1 ]; then
	holds 20 "quick answers are polled for instead of slept for" polled
	le "$(total busy_poll_answers)" "$(total busy_polls)" "as often as not in vain"
else
	is "$(total busy_polls) $(ctl status control.busy_polls)" "0 0" "with one processor nothing is polled for"
fi

# ---- stopped, with very many questions open (T10, T12) ----

ip netns exec "$H" "$BIN/bench/answer" "$CONTROL" bad >"$WORK/bad.says" 2>&1 &
BAD=$!
wait_for 5 has_line "$WORK/bad.says" ready || bail "nobody answers"
check "at first it answers" connects 7002
kill -STOP "$BAD"
follow() { # the events of its connections, until the daemon hangs up
	printf '{"id":1,"op":"events","last":0,"follow":true,"types":["completed"],"match":{"port":7002}}\n' |
		timeout 60 socat -t 60 -,ignoreeof "UNIX-CONNECT:$CONTROL" >"$WORK/ends" &
	FOLLOW=$!
	wait_for 5 has_line "$WORK/ends" '"kept"'
}
follow
# The context's own deadline and the question's are the same moment: either may be first.
timed_out() { total ended_timed_out ended_blocked | awk '{print $1 + $2}'; }
before=$(timed_out) begun=$(now_ms)
synflood -s 198.18.0.1 -S 50000 -n "$OPEN" -r 40000 "$H4" 7002 >"$WORK/flood"
all_pended() { [ $(($(ctl status totals.pended) - pended)) -ge $((OPEN * 98 / 100)) ]; }
pended=0
holds 10 "$OPEN connections are asked about at a stopped program" all_pended
others "T12: another authority's connections are let in meanwhile"
grown=$(pendd_rss)
holds 20 "T22: its own end by the deadline" eval '[ "$(ctl count port=7002)" = 0 ]'
took=$(($(now_ms) - begun))
ge $(($(timed_out) - before)) $((OPEN * 98 / 100)) "all of them by their timeout"
echo "# $(field pended_ms <"$WORK/ends" | wc -l) ends seen; longest $(field pended_ms <"$WORK/ends" | most) ms of 4000; all over after $took ms; RSS $rss KiB, then $grown KiB"
le "$(field pended_ms <"$WORK/ends" | most)" 5000 "I4: none outlives its deadline, ms"
memory() { [ -n "${PENDD_WRAPPER:-}" ] || sanitized || le $(($1 - rss)) $((OPEN * 4)) "$2"; } # now text
memory "$grown" "4 KiB each is more than they cost, KiB"
kill -CONT "$BAD"
holds 30 "when it goes on its connections are let in again, without a restart" connects 7002
check "the books balance" books_balance
kill "$FOLLOW" "$BAD" 2>/dev/null
wait "$FOLLOW" "$BAD" 2>/dev/null

# ---- two serve one authority, and one is stopped, or killed with questions ----

start first held good
start second held good
check "two serve it" connects 7003
kill -STOP "${PID[first]}"
client_bg half -n 20 -c 20 -t 8000 -q "$H4" 7003
client_wait half
ge "$(of half good)" 10 "one of two is stopped: the other's half is let in"
others "T11: and another authority's all"
for ((i = 0; i < 6; i++)); do try 7003 5000 >/dev/null; done # until it is known to be stopped
is "$(client -n 20 -c 4 -t 5000 -q "$H4" 7003 | field good)" 20 "then all go to the other"
kill -CONT "${PID[first]}"
stop second
holds 10 "the first goes on, and is enough" connects 7003
stop first
start mute held silent
client_bg orphan -n 30 -c 30 -t 8000 -q "$H4" 7003
holds 5 "thirty are asked of one that says nothing" pends 30 port=7003
start heir held good
stop mute
client_wait orphan
is "$(of orphan good)" 30 "R56: killed, its open questions go to the other"
stop heir
isnt "$(try 7003 1500)" connected "R54: with nobody there they are blocked"
is "$(ctl events reason completed | awk '{print $NF}')" absent "... at once, for want of anybody to ask"

# ---- who promises a sign of life ----

start idle held promises
holds 5 "who promises a sign of life and gives none serves no more" has_line "$WORK/idle.says" '"why":"heartbeat"'
is "$(ctl status control.servers_silent)" 1 "... and is counted"
isnt "$(try 7003 1500)" connected "... nobody is let in by it"
stop idle
start first held beats
start second held good
sleep 2.5
unlike "$(cat "$WORK/first.says")" unserved "who gives it serves on"
kill -STOP "${PID[first]}"
client_bg beats -n 10 -c 10 -t 8000 -q "$H4" 7003
client_wait beats
is "$(of beats good)" 10 "stopped, its questions go to the other before they time out"
kill -CONT "${PID[first]}"
holds 5 "... and it is told when it goes on" has_line "$WORK/first.says" '"why":"heartbeat"'
stop first
stop second

# ---- wrong in every way; meanwhile one of another authority is held, and others come ----

start mute held silent
try_bad() { # how expected-of-its-own text
	start wrong spare "$1"
	client_bg "held-$1" -t 8000 "$H4" 7003
	wait_for 5 pends 1 port=7003
	client_bg "own-$1" -t 6000 "$H4" 7004
	others "$1: another authority's connections are let in"
	client_wait "held-$1"
	isnt "$(of "held-$1" result)" connected "$1: nobody is let in whom it was not asked about"
	client_wait "own-$1"
	case $2 in
	yes) is "$(of "own-$1" result)" connected "$3" ;;
	no) isnt "$(of "own-$1" result)" connected "$3" ;;
	esac
	stop wrong
	wait_for 5 pends 0
}
try_bad liar no "... and its own question ends by the deadline"
like "$(cat "$WORK/wrong.says")" '"code":"not-yours"|"code":"not-found"' "... it is told that these are not its own"
try_bad twice yes "... the first of two answers counts"
like "$(cat "$WORK/wrong.says")" '"code":"not-found"' "... the second is told to be none"
malformed=$(ctl status control.malformed)
try_bad garbage no "... its own question ends by the deadline"
gt "$(ctl status control.malformed)" "$malformed" "... the lines are counted"
try_bad half no "... half an answer is none"
try_bad huge no "... a line that is too long ends its connection"
like "$(cat "$WORK/wrong.says")" '"too-long"' "... it is told why"
like "$(cat "$WORK/wrong.says")" '^closed|^error' "... and closed"
try_bad odd no "... none of that is an answer"
start wrong spare slow 150 # 1.2 s for all, of their 3
is "$(client -n 8 -c 8 -t 9000 -q "$H4" 7004 | field good)" 8 "slow: its connections are let in, one after the other"
stop wrong
start wrong spare deaf
client_bg deaf -n 2000 -c 500 -t 1500 -q "$H4" 7004
others "deaf: another authority's connections are let in"
client_wait deaf
is "$(of deaf good)" 0 "... and its own are not"
stop wrong

# ---- one that opens connections itself (T11) ----

start wrong spare dials 7004
is "$(try 7004)" connected "T11: who decides may connect to what it decides about, from this host"
is "$(grep -c '^dialled' "$WORK/wrong.says")" 2 "... over the loopback and over its own address: nothing was asked about them"
stop wrong
stop mute

holds 10 "nothing is left pended" pends 0
check "the books balance" books_balance
check "one authority process served all of it" stat_is authority_restarts 0
memory "$(pendd_rss)" "memory is bounded, KiB"
finish
