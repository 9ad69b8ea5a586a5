#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90
# Changes of the policy while the daemon runs: rules and elements of sets come and go, live flows with them;
# those of a connection go with it, those with an end by themselves, and none with the authority process.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/control.sh
. "${0%/*}/control.sh"
ns_pair
need_queue
control_start

try() { client -t 700 -s "$1" "$H4" "${2:-80}" | field result; }
opens() { [ "$(try "$1" "${2:-80}")" = connected ]; }
closed() { [ "$(try "$1" "${2:-80}")" = timeout ]; }
ask() { ctl ask "$@"; }
value() { sed -E "s/.*\"$1\": ([^,}]*).*/\1/"; }
policy_is() { [ "$(ctl status policy.generation)" = "$1" ]; }
journal() { ask '{"op":"journal","last":1000}'; }

# A connection that stays open and says something ten times a second.
stream() # name source
{
	(for ((i = 1; i <= 300; i++)); do echo "$i"; sleep 0.1; done) |
		c timeout 40 ncat -s "$2" "$H4" 81 >"$WORK/$1" 2>"$WORK/$1.err" &
}
has_lines() { [ "$(wc -l <"$WORK/$1")" -ge "$2" ]; }
was_ended() { grep -qi reset "$WORK/$1.err"; }

server tcp:80
ip netns exec "$H" timeout 80 ncat -4 -lk 81 -e /bin/cat &
pendd_start <<-'END'
	set trusted { 203.0.113.2 }
	set scanners { 203.0.113.66 }
	layer default {
		block from @scanners
		permit from @trusted
		block
	}
END
check "by the file: closed" closed 203.0.113.1
check "... and open for one" opens 203.0.113.2

# ------------------------------------------------------------------------ rules ----

got=$(ask '{"op":"policy","changes":[{"add":"permit from 203.0.113.1"}],"stay":true,"why":"ticket 4711"}')
like "$got" '"objects": \[1\]' "a rule is added"
is "$(value generation <<<"$got")" 2 "... in a new policy"
check "and opens a port" opens 203.0.113.1
like "$(h_pendctl rules)" 'object 1' "it is shown by its number"
stream one 203.0.113.1
check "a connection lives by it" wait_for 5 has_lines one 3
got=$(ask '{"op":"policy","changes":[{"add":"permit proto tpc"}],"stay":true}')
like "$got" 'change 1:14: error: unknown protocol' "a wrong one is told with its place"
policy_is 2 && ok "... and changes nothing" || not_ok "... and changes nothing"
got=$(ask '{"op":"policy","changes":[{"delete":1}],"stay":true}')
is "$(value generation <<<"$got")" 3 "the rule is deleted"
check "and the port is closed" closed 203.0.113.1
check "the live connection is ended" wait_for 5 was_ended one
like "$(ask '{"op":"policy","changes":[{"delete":1}]}')" '"code": "not-found"' "there is no such rule any more"

# ------------------------------------------------------------------------- sets ----

stream two 203.0.113.2
check "a connection lives by a set" wait_for 5 has_lines two 3
got=$(ask '{"op":"set","set":"scanners","action":"add","elements":["203.0.113.2"],"stay":true,"why":"noise"}')
is "$(value generation <<<"$got").$(value revision <<<"$got")" 3.1 "an element is added: no new policy"
check "and its connections are blocked" closed 203.0.113.2
check "the live one is ended" wait_for 5 was_ended two
like "$(ask '{"op":"set","set":"scanners","action":"list"}')" '"count": 2.*203.0.113.2' "it is in the set"
got=$(ask '{"op":"set","set":"scanners","action":"delete","elements":["203.0.113.2"],"stay":true}')
is "$(value revision <<<"$got")" 2 "an element is deleted"
check "and may connect again" opens 203.0.113.2
ask '{"op":"set","set":"trusted","action":"add","elements":["203.0.113.3"],"stay":true,"for":"2s"}' >/dev/null
check "an element with an end" opens 203.0.113.3
holds 8 "... goes by itself" closed 203.0.113.3
check "... and nothing else" opens 203.0.113.2

# --------------------------------------------------------------------- sessions ----

session() # JSON: a connection of its own
{
	(printf '%s\n' "$1"; exec sleep 60) >"$WORK/session.in" &
	SESSION_IN=$!
	ip netns exec "$H" ncat -U "$CONTROL" <"$WORK/session.in" >"$WORK/session.out" 2>&1 &
	SESSION=$!
}
mkfifo "$WORK/session.in"
session '{"id":1,"op":"policy","changes":[{"add":"permit from 203.0.113.4"},{"add":"permit from 203.0.113.5","at":"last"}]}'
holds 5 "a connection's own rule is in force" opens 203.0.113.4
check "at the end it is behind a block" closed 203.0.113.5
kill "$SESSION" "$SESSION_IN" 2>/dev/null
holds 5 "and goes with the connection" closed 203.0.113.4
like "$(ask '{"op":"objects"}')" '"objects": \[\]' "nothing of it is left"

# ------------------------------------------------------------ the authority process ----

ask '{"op":"policy","changes":[{"add":"permit from 203.0.113.6"}],"stay":true}' >/dev/null
session '{"id":1,"op":"policy","changes":[{"add":"permit from 203.0.113.4"}]}'
holds 5 "a rule of a connection again" opens 203.0.113.4
ask '{"op":"set","set":"trusted","action":"add","elements":["203.0.113.7"],"stay":true}' >/dev/null
ask '{"op":"set","set":"trusted","action":"add","elements":["203.0.113.3"],"stay":true,"for":"12s"}' >/dev/null
echo 'nonsense {' >"$CONFIG"
kill -KILL "$(pgrep -P "$PENDD_PID" -f authority-process)"
holds 15 "another authority process answers" eval 'stat_is authority_restarts 1'
check "rules are in force all the while" opens 203.0.113.6
check "... and elements" opens 203.0.113.7
holds 8 "a rule of a connection that ended with it goes" closed 203.0.113.4
got=$(ask '{"op":"objects"}')
like "$got" 'permit from 203.0.113.6' "it knows the rules"
unlike "$got" '203.0.113.4' "... but for those that went"
like "$(ask '{"op":"set","set":"trusted","action":"list"}')" '203.0.113.7' "... and the sets"
number=$(sed -E 's/.*"object": ([0-9]+).*/\1/' <<<"$got")
ask "{\"op\":\"policy\",\"changes\":[{\"delete\":$number},{\"add\":\"permit from 203.0.113.1\"}],\"stay\":true}" >/dev/null
check "it changes the policy in force, though the file is wrong" opens 203.0.113.1
check "... in every way" closed 203.0.113.6
holds 15 "an element with an end goes all the same" closed 203.0.113.3
like "$(ctl reload)" '^error policy' "a reload tells that it is"
check "... and changes nothing" opens 203.0.113.1
kill "$SESSION" "$SESSION_IN" 2>/dev/null

# ---------------------------------------------------------------------- journal ----

got=$(journal)
like "$got" '"kind": "policy"[^}]*"user": "root"[^}]*"what": "add 1: permit from 203.0.113.1", "why": "ticket 4711"|"what": "add 1: permit from 203.0.113.1"[^}]*"why": "ticket 4711"' \
	"the journal says who, what and why"
like "$got" '"kind": "set"' "... of sets"
like "$got" '"kind": "expired"' "... of what went by itself"
like "$got" '"kind": "session"' "... and with a connection"
like "$got" '"status": "[^"]*error' "... and what was wrong"
check "and so does the log" grep -q 'journal: .*why: ticket 4711' "$WORK/pendd.log"
pendd_stop
is "$PENDD_STATUS" 0 "it ends well"
finish
