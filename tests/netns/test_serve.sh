#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120 san
# Programs that decide: authorities of type socket, and what becomes of their questions when they are slow, wrong
# or gone (T10 to T13, T22).

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
ns_pair
need_queue
control_start
server tcp:{7001..7004} tcp:7006

PENDD_SETTINGS='max-per-source 0;' pendd_start <<-END
	authority list { type socket; timeout 4s; on-timeout block; }
	authority slow { type socket; timeout 3s; on-timeout block; }
	authority now { type static; answer permit; }
	authority first { type socket; timeout 1s; on-timeout permit; }
	authority then { type socket; timeout 9s; }
	authority many { type socket; timeout 60s; on-absent wait; }
	layer default {
		pend proto tcp to port 7005 ask many absorb
		pend proto tcp to port 7001 ask list complete buffer with reset
		pend proto tcp to port 7002 ask slow complete buffer
		pend proto tcp to port 7003 ask now complete buffer
		pend proto tcp to port 7006 ask all { first, then } complete buffer with reset
		permit
	}
END

try() { client -t 8000 "$@" | field result; }
serve() { # name authority prefix
	python3 "$TOP/examples/authority.py" "$2" --socket "$CONTROL" --allow "$3" 2>"$WORK/$1.err" &
	SERVER_PID=$!
}
# One line to the control socket after the greeting; what comes back within a second.
says() { printf '%s\n' "$@" | timeout 5 socat -t 1 - "UNIX-CONNECT:$CONTROL" | tail -n +2; }
reason() { h_pendctl events -n 1 --type completed --json | field reason; }

is "$(try "$H4" 7001)" refused "nobody serves the authority: blocked"
reason_is() { [ "$(reason)" = "$1" ]; }
check "... and told as absent" wait_for 3 reason_is absent

serve a list "$C4/32"
check "a program serves it" wait_for 5 eval '[ "$(try "$H4" 7001)" = connected ]'
check "its answer decides" wait_for 3 reason_is authority
is "$(client -n 200 -c 50 -q "$H4" 7001 | field good)" 200 "200 connections, 50 at a time: all are let in"
kill "$SERVER_PID"; wait "$SERVER_PID" 2>/dev/null
serve b list 198.51.100.0/24
check "another one says no" wait_for 5 eval '[ "$(try "$H4" 7001)" = refused ] && [ "$(reason)" = authority ]'

# Answers that are none.
like "$(says '{"id":1,"op":"serve","authority":"nobody"}')" '"code":"not-found"' "an authority that is not there is not served"
like "$(says '{"id":1,"op":"serve","authority":"now"}')" '"code":"not-found"' "nor one that answers by itself"
like "$(says '{"op":"answer","answers":[{"id":"a0.1","verdict":"permit"}]}')" '"code":"not-found"' "an answer to nothing is told"
like "$(says '{"op":"answer","answers":[{"id":"a0.1","verdict":"perhaps"}]}')" '"code":"invalid"' "an unknown verdict is told"
like "$(says '{"op":"answer","answers":[]}')" '"code":"invalid"' "no answers are no answer"
like "$(says '{"op":"answer","answers":[{"id":"a0.1","verdict":"permit","veredict":1}]}')" '"code":"invalid"' "an unknown key is told"
kill "$SERVER_PID"; wait "$SERVER_PID" 2>/dev/null

# Held by a server that does not answer; others answer for it, or twice.
coproc HELD { socat - "UNIX-CONNECT:$CONTROL"; }
exec {FROM}<&"${HELD[0]}" {TO}>&"${HELD[1]}" # subshells do not have the others
echo '{"id":1,"op":"serve","authority":"slow"}' >&"$TO"
question() { local line; while read -r -t 5 line <&"$FROM"; do case $line in *'"question"'*) field id <<<"$line"; return ;; esac; done; }
read -r -t 5 line <&"$FROM" && read -r -t 5 line <&"$FROM"
like "$line" '"timeout_ms":3000' "a program serves it, and is told how long it has"
client_bg held -t 8000 "$H4" 7002
id=$(question)
like "$id" '^a[0-9]+\.[0-9]+$' "the question has an id"
like "$(says "{\"op\":\"answer\",\"answers\":[{\"id\":\"$id\",\"verdict\":\"permit\"}]}")" '"code":"not-yours"' \
	"T12: somebody else may not answer it"
is "$(client -n 50 -c 10 -q "$H4" 7003 | field good)" 50 "another authority's connections are let in meanwhile"
echo "{\"op\":\"answer\",\"answers\":[{\"id\":\"$id\",\"verdict\":\"permit\"},{\"id\":\"$id\",\"verdict\":\"block\"}]}" >&"$TO"
client_wait held
is "$(of held result)" connected "T13: the first of two answers counts"

# An answer may hold for others.
client_bg kept -t 8000 "$H4" 7002
id=$(question)
echo "{\"op\":\"answer\",\"answers\":[{\"id\":\"$id\",\"verdict\":\"permit\",\"remember\":\"1h\",\"why\":\"known here\"}]}" >&"$TO"
client_wait kept
is "$(try "$H4" 7002)" connected "an answer with remember decides the next connection too"
like "$(h_pendctl decisions --json | tr -d ' \n')" '"by":"slow",.*"reason":"authority",.*"scope":"service",.*"why":"knownhere"' "... and is shown, with its reason"
like "$(h_pendctl decisions forget --from "$C4")" "^1 " "... until it is forgotten"

# With room for one question: somebody else's word about that one makes room for the next.
echo '{"id":3,"op":"serve","authority":"slow","max":1}' >&"$TO"
client_bg first -t 8000 "$H4" 7002
id=$(question)
client_bg second -t 8000 "$H4" 7002
check "the second of two waits" wait_for 2 pending_is 2
h_pendctl permit "$id" >/dev/null
client_wait first
next=$(question)
isnt "$next" "" "a person decides the first: the second is put to the program"
echo "{\"op\":\"answer\",\"answers\":[{\"id\":\"$next\",\"verdict\":\"permit\"}]}" >&"$TO"
client_wait second
is "$(of first result) $(of second result)" "connected connected" "... and both are let in"
echo '{"id":4,"op":"serve","authority":"slow"}' >&"$TO"

# One connection answers for two members of a group, and for the first of them too late.
printf '{"id":5,"op":"serve","authority":"%s"}\n' first "then" >&"$TO"
client_bg both -r -t 8000 "$H4" 7006
id=$(question)
withdrawn() { local line; while read -r -t 5 line <&"$FROM"; do case $line in *'"withdrawn"'*'"first"'*) return ;; esac; done; return 1; }
check "the first has no more time" withdrawn
says_of() { echo "{\"id\":6,\"op\":\"answer\",\"answers\":[{\"id\":\"$id\",$1}]}" >&"$TO"; read -r -t 5 line <&"$FROM"; }
says_of '"verdict":"permit"'
like "$line" '"code":"ambiguous"' "an answer that may be of either is none"
is "$(h_status answers_ambiguous)" 1 "... and counted"
says_of '"verdict":"permit","authority":"first"'
like "$line" '"code":"not-found"' "the late one of the first is none"
says_of '"verdict":"block","authority":"then"'
client_wait both
is "$(of both result)" refused "the second's own answer decides"

# Stopped with questions open: the deadline decides, and nobody else waits.
client_bg stopped -n 20 -t 8000 "$H4" 7002
check "twenty are asked about" wait_for 5 pending_is 20
is "$(client -n 50 -c 10 -q "$H4" 7003 | field good)" 50 "T10: with twenty unanswered, others are let in"
client_wait stopped
is "$(ended stopped connected)" 0 "T22: the deadline blocks them"
is "$(pending_count)" 0 "... all of them"
echo '{"id":2,"op":"ping"}' >&"$TO"
check "the connection is alive" eval 'while read -r -t 5 line <&"$FROM"; do case $line in *"\"id\":2,\"ok\":true"*) break ;; esac; done; [[ $line == *"\"id\":2"* ]]'

# The authority process goes with questions open: the next one asks again.
sleep 1.2 # for the one that failed so often to be asked again
client_bg again -t 9000 "$H4" 7002
sleep 0.3
kill -9 "$(authority)"
check "the authority process comes back" wait_for 10 h_pendctl version
exec {TO}>&- {FROM}<&-
client_wait again
is "$(pending_count)" 0 "T11: nothing hangs for want of the process that was asked"
serve c list "$C4/32"
check "and programs serve the new one" wait_for 5 eval '[ "$(try "$H4" 7001)" = connected ]'

# Workers have a new policy before the authority process hears that it is in force, and ask by it.
client_bg reloaded -n 400 -c 20 -t "$(ms 15000)" -l 3 "$H4" 7001
for _ in {1..30}; do h_pendctl reload >/dev/null; done
client_wait reloaded
is "$(ended reloaded connected)" 400 "what is asked while policies change is answered"
kill "$SERVER_PID"; wait "$SERVER_PID" 2>/dev/null

# A program that answers each question before it reads the next one is heard while thousands wait for it.
synflood -s 203.0.113.1 -S 64 -n 8000 -r 20000 "$H4" 7005 >"$WORK/flood"
check "thousands wait for a program" wait_for 5 eval '[ "$(pending_count)" -ge 7500 ]'
/usr/bin/python3 "$TOP/tests/netns/one_by_one.py" "$CONTROL" many 500 >"$WORK/one" 2>&1
is "$(cat "$WORK/one")" "decided before all was read" "its first answers count before it has read all questions"
h_pendctl block --all >"$WORK/rest"

# The same in C.
is "$("$B/examples/authority" 2>&1 | head -n 1)" "usage: authority NAME [SOCKET]" "the example in C says how it is used"
"$B/examples/authority" list "$CONTROL" >"$WORK/c.out" 2>"$WORK/c.err" &
SERVER_PID=$!
check "it serves" wait_for 5 grep -q '^serving' "$WORK/c.err"
is "$(try "$H4" 7001)" refused "it blocks what comes from a high port"
is "$(try -P 900 "$H4" 7001)" connected "it permits what comes from a low one"
pendd_stop
check "it notices when the daemon ends" wait_for 5 grep -q 'not serving' "$WORK/c.err"
kill "$SERVER_PID"
wait "$SERVER_PID"
is $? 0 "and ends when it is told to"
finish
