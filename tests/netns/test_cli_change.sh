#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90
# pendctl's changes of a running policy, as a person uses them: rules, sets, their lifetimes, the journal; and that
# connections are judged by what pendctl says is in force.
. "${0%/*}/lib.sh"

ns_pair
need_queue
server tcp:80 tcp:81 tcp:82

policy() {
	cat <<-END
	set friends { 198.51.100.0/24 }
	layer default {
		permit proto tcp from @friends to port 80
		permit proto tcp to port 82
		block with reset
	}
	END
}
pc() { # OUT, ERR, RC
	OUT=$(h_pendctl "$@" 2>"$WORK/err")
	RC=$?
	ERR=$(cat "$WORK/err")
}
rc_is() { # want text command...
	local want=$1 text=$2
	shift 2
	pc "$@"
	if [ "$RC" = "$want" ]; then ok "$text"; else not_ok "$text" "status $RC, want $want" "$OUT" "$ERR"; fi
}
result() { client -t 3000 "$@" | field result; }
result_is() { [ "$(result "${@:2}")" = "$1" ]; }
journal_has() { h_pendctl journal | grep -qE -- "$1"; }

pendd_start < <(policy)
is "$(result $H4 80)" refused "80 is blocked at first"

# ---- rules ----

rc_is 0 "policy list" policy list
like "$OUT" 'No rule was added' "... of none"
rc_is 0 "policy add" policy add --why 'ticket 4711' permit proto tcp from $C4 to port 80
like "$OUT" '^Object [0-9]+: policy 2 is in force\.$' "... says its number and the policy's"
id=${OUT#Object }
id=${id%%:*}
is "$(result $H4 80)" connected "... and the rule is in force"
rc_is 0 "policy list" policy list
like "$OUT" "^ +$id +- +first +root +- +permit proto tcp from $C4 to port 80 # ticket 4711\$" "... of one, its reason beside it"
rc_is 0 "reload" reload
is "$(result $H4 80)" connected "it stays over a reload"
rc_is 6 "6: a wrong rule" policy add permitt
like "$OUT" '^change 1:1: error: ' "... the place"
rc_is 0 "policy replace" policy replace "$id" block with reset proto tcp from $C4 to port 80
is "$(result $H4 80)" refused "... is in force"
rc_is 4 "4: there is no such object" policy delete "$((id + 1000))"
rc_is 0 "policy delete" policy delete "$id"
rc_is 0 "policy list" policy list
like "$OUT" 'No rule was added' "... of none again"

cat >"$WORK/changes" <<-END
	# tonight
	add permit proto tcp to port 81
	add --last --layer default permit proto tcp to port 80   # it comes too late
END
rc_is 0 "policy apply" policy apply "$WORK/changes"
like "$OUT" '^Objects [0-9]+, [0-9]+: policy' "... of two objects"
is "$(result $H4 81) $(result $H4 80)" "connected refused" "... the first stands before the policy's rules, the last behind them"
printf 'add permit proto tcp to port 80\nadd permitt\n' >"$WORK/wrong"
generation=$(h_pendctl status --json | field generation | head -n 1)
rc_is 6 "6: policy apply of a file with a mistake" policy apply "$WORK/wrong"
like "$ERR" "change 2 is $WORK/wrong:2" "... the line of it"
is "$(result $H4 80)" refused "... changes nothing"
is "$(h_pendctl status --json | field generation | head -n 1)" "$generation" "... at all"
# shellcheck disable=SC2046  # words
rc_is 0 "policy delete of all" policy delete $(h_pendctl -H policy list | awk '{print $1}')

# ---- lifetimes ----

rc_is 0 "policy add --for" policy add --for 2s permit proto tcp to port 80
is "$(result $H4 80)" connected "... is in force"
holds 5 "... and goes by itself" result_is refused $H4 80
ip netns exec "$H" "$BIN/pendctl" --socket "$CONTROL" policy add --session permit proto tcp to port 80 >"$WORK/session" 2>&1 &
session=$!
holds 5 "policy add --session is in force" result_is connected $H4 80
check "... while it runs" running $session
kill -TERM $session
wait $session
is $? 0 "... ends well by a signal"
holds 5 "... and with it the rule" result_is refused $H4 80

# ---- sets ----

rc_is 0 "set list" set list
like "$OUT" '^friends +1 +no$' "... the policy's"
rc_is 0 "set add" set add friends $C4 2001:db8:9::/48 10.1.0.1-10.1.0.9 -w 'they asked'
like "$OUT" '^3 added, 0 taken out: the set has 4 elements, policy [0-9]+\.1 is in force\.$' "... says so"
is "$(result $H4 80)" connected "... and is in force"
rc_is 0 "set test" set test friends 10.1.0.5
is "$OUT" "10.1.0.5 is in friends." "... of one that is in"
rc_is 4 "4: set test of one that is not" set test friends 10.1.0.10
rc_is 0 "set list NAME" set list friends
is "$(sort <<<"$OUT" | tr '\n' ' ')" "10.1.0.1-10.1.0.9 $C4 198.51.100.0/24 2001:db8:9::/48 " "... its elements"
echo "$OUT" >"$WORK/elements"
rc_is 0 "reload" reload
is "$(result $H4 80)" connected "a set's change stays over a reload"
rc_is 0 "set add of what is there" set add friends $C4
like "$OUT" '^0 added, 0 taken out: ' "... adds nothing"
rc_is 0 "set delete of what is not" set delete friends 99.9.9.9
like "$OUT" '^0 added, 0 taken out: ' "... takes nothing out"
rc_is 0 "set delete" set delete friends $C4
like "$OUT" '^0 added, 1 taken out: ' "... counts it"
is "$(result $H4 80)" refused "... is in force"
rc_is 0 "what set list prints, set load takes" set load friends "$WORK/elements"
is "$(h_pendctl set list friends | sort)" "$(sort "$WORK/elements")" "... exactly that"
is "$(result $H4 80)" connected "... and it is in force"
printf '10.0.0.0/8\n# one\n\nnonsense\n' >"$WORK/wrong"
rc_is 2 "2: set load of a file with a mistake" set load friends "$WORK/wrong"
like "$ERR" "element 2 is $WORK/wrong:4" "... the line of it"
is "$(h_pendctl set list friends | sort)" "$(sort "$WORK/elements")" "... changes nothing"
awk 'BEGIN {for (i = 0; i < 60000; i++) printf "10.%d.%d.%d\n", i / 16384, i / 64 % 256, i % 64 * 2}' >"$WORK/large"
rc_is 0 "set load of 60,000 elements" set load friends "$WORK/large"
like "$OUT" 'the set has 60000 elements' "... all of them"
is "$(h_pendctl set list friends | sort | cmp - <(sort "$WORK/large") && echo same)" same "... and the very same"
rc_is 0 "set load from the standard input" set load friends - <<<"$C4"
like "$OUT" '^1 added, 60000 taken out: the set has 1 element,' "... in the place of all that was"
is "$(h_pendctl set list friends)" $C4 "... is all there is"
rc_is 0 "set flush" set flush friends
like "$OUT" '^0 added, 1 taken out: the set has 0 elements' "... counts what was in it"
is "$(h_pendctl set list friends)" "" "... leaves nothing"
rc_is 0 "set add --for" set add friends $C4 --for 2s
is "$(result $H4 80)" connected "... is in force"
holds 5 "... and goes by itself" result_is refused $H4 80
rc_is 4 "4: no such set" set add foes $C4
rc_is 0 "policy list" policy list
like "$OUT" '^Set friends: its content was replaced$' "... tells of sets"

# ---- live flows ----

client_bg live -k 8000 $H4 82
wait_for 3 eval 'h ss -tn state established | grep -q ":82 "'
rc_is 0 "reauthorize --dry-run" reauthorize --dry-run --port 82
like "$OUT" '^Of [0-9]+ live flows? it would end 0\.$' "... of what is permitted"
sed -i 's/permit proto tcp to port 82/block with reset proto tcp to port 82/' "$CONFIG"
rc_is 0 "reload --dry-run" reload --dry-run
like "$OUT" '^--- in force$' "... the difference"
like "$OUT" '^Of [0-9]+ live flows? it would end 1:$' "... of what would be blocked"
like "$OUT" "^  tcp $C4:[0-9]+ > $H4:82 by $CONFIG:[0-9]+: block proto tcp to port 82 with reset\$" "... which, and why"
check "... ends nothing" eval 'h ss -tn state established | grep -q ":82 "'
rc_is 0 "reload" reload
holds 5 "... does end it" eval '! h ss -tn state established | grep -q ":82 "'


# ---- journal ----

rc_is 0 "journal" journal
check "... of a rule, its reason and who it was" journal_has 'policy +root .*\(ticket 4711\)'
check "... of a set" journal_has 'set +root .*friends.*\(they asked\)'
check "... of what ran out" journal_has 'expired'
check "... of a session that ended" journal_has 'session'
check "... of what was wrong" journal_has 'error'
rc_is 0 "journal -n 2" -H journal -n 2
is "$(wc -l <<<"$OUT")" 2 "... of the last two"
rc_is 0 "journal for programs" --json journal
check "... is JSON" eval 'h_pendctl --json journal | python3 -m json.tool'

# ---- a host that has no time ----

kill -STOP "$PENDD_PID"
ip netns exec "$H" "$BIN/pendctl" --socket "$CONTROL" reload >"$WORK/slow" 2>&1 &
slow=$!
sleep 7 # longer than any other answer may take
kill -CONT "$PENDD_PID"
wait $slow
is $? 0 "a reload may take its time"

# ---- the daemon ends first ----

ip netns exec "$H" "$BIN/pendctl" --socket "$CONTROL" policy add --session permit proto tcp to port 80 >"$WORK/session" 2>&1 &
session=$!
holds 5 "another session" result_is connected $H4 80
pendd_stop
wait $session
is $? 1 "1: the daemon ended before the session"
like "$(cat "$WORK/session")" 'what this session changed has gone with it' "... in as many words"
finish
