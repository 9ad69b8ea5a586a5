#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# pendctl as a person uses it: every command once against a daemon that holds connections, what it prints, and every
# exit code.
. "${0%/*}/lib.sh"

ns_pair
need_queue
command -v ncat >/dev/null || skip_all "no ncat"

policy() {
	cat <<-END
	authority ops { type operator; timeout 60s; }
	layer default {
		permit proto icmp
		permit proto tcp to port 81 counter web
		pend proto tcp to port 80 ask ops complete buffer
		pend proto udp to port 85 ask ops
		block with reset
	}
	END
}

# Output in $OUT, what went to standard error in $ERR, the status in $RC.
pc() {
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

# ---- without a daemon ----

rc_is 3 "3: the daemon is not running" status
like "$ERR" 'start it with' "... and how to start it"
rc_is 2 "2: no such command" frobnicate
rc_is 2 "2: no such option" status --frobnicate
rc_is 0 "help" help
# What the completion offers behind these words.
offers() {
	(
		# shellcheck source=/dev/null
		. "$TOP/conf/pendctl.bash"
		pendctl() { h_pendctl "$@"; }
		COMP_WORDS=(pendctl "$@" '') COMP_CWORD=$(($# + 1)) COMPREPLY=()
		_pendctl
		printf '%s\n' "${COMPREPLY[@]}"
	)
}
# Long options in the help of a command that neither it nor one of its actions is offered with.
not_offered() { # command
	local all action
	all=$(offers "$1"; for action in add delete replace apply; do offers "$1" "$action"; done)
	h_pendctl help "$1" | grep -oE -- '--[a-z][a-z-]+' | sort -u | grep -vxF -- "$all"
}
for cmd in $(sed -nE 's/^  ([a-z]+) .*/\1/p' <<<"$OUT"); do
	check "help of $cmd" h_pendctl help "$cmd"
	[ "$cmd" = help ] || is "$(not_offered "$cmd")" "" "... and the completion has its options"
	# shellcheck disable=SC2086
	like "$(cat "$TOP/man/pendctl.1" "$TOP/conf/pendctl.bash" | grep -cw -- $cmd)" '^([2-9]|[1-9][0-9])' \
		"$cmd is in the manual and in the completion"
done

# ---- with one ----

server tcp:80 tcp:81 udp:85
pendd_start < <(policy)

rc_is 0 "0: status" status
like "$OUT" '^pendd     ok, version .*, 1 worker$' "one worker is a singular"
like "$OUT" "^policy    $CONFIG, generation 1, 5 rules, 2 authorities$" "the policy in force"
like "$(h_pendctl --json status)" '"state": "ok"' "status for programs"
rc_is 0 "pending" pending
is "$OUT" "Nothing is pended." "nothing is pended"
rc_is 0 "version" version
like "$OUT" 'your role is admin' "the role is told"
rc_is 0 "authorities" authorities
like "$OUT" '^ops +operator +1m +block' "the authorities"

# ---- test, show ----

T='tcp 203.0.113.7:4000 > 192.0.2.1'
rc_is 0 "test of what is pended" test "$T:80"
like "$OUT" '^pend, ask ops, timeout 1m, then block; release buffer, mode auto' "... action"
like "$OUT" "^  rule 2, $CONFIG:10, layer default$" "... rule, file and line"
like "$OUT" "^  pend proto tcp to port http ask ops complete buffer$" "... the rule's text"
rc_is 0 "test of what is blocked" test "$T:23"
like "$OUT" '^block, by reset$' "... how"
rc_is 0 "test with a trace" test "$T:85" --trace
like "$OUT" '^  default +block +rule 4 +wins' "... every layer's word"
like "$OUT" '^             to port: does not match' "... and the condition that fails"
rc_is 0 "0: quiet, permit" test --quiet "$T:81"
rc_is 10 "10: quiet, block" test --quiet "$T:23"
rc_is 11 "11: quiet, pend" test --quiet "$T:80" in eth0 --mark 0x7
is "$OUT$ERR" "" "... and nothing is said"
rc_is 2 "2: no flow" test 'tcp 203.0.113.7'
like "$ERR" 'in quotes' "... what one is"
rc_is 2 "2: not a flow" test 'tcp x > y'
rc_is 2 "2: no such hook" test "$T:80" --hook nowhere
like "$(h_pendctl --json test "$T:80" --trace)" '"why": "wins"' "test for programs"

rc_is 0 "show policy" show policy
printf '%s\n' "$OUT" >"$WORK/shown.conf"
like "$OUT" $'^\tpend proto tcp to port http ask ops complete buffer;$' "canonical text"
check "which is a policy" "$BIN/pendd" -t -c "$WORK/shown.conf"
is "$("$BIN/pendd" -t -v -c "$WORK/shown.conf" 2>/dev/null | grep -v '^pendd' | sed 's/[[:space:]]*$//' | md5sum)" \
	"$(sed 's/[[:space:]]*$//' "$WORK/shown.conf" | md5sum)" "and prints as itself"
rc_is 0 "show settings" show settings
like "$OUT" "control \"$CONTROL\";" "the settings"
unlike "$OUT" '^layer' "... and nothing else"
rc_is 2 "2: show what?" show
rc_is 2 "2: show nonsense" show nonsense

# ---- permit by id, by address; block ----

client_bg one -t 20000 $H4 80
wait_for 5 pending_is 1
pc --no-headers pending
like "$OUT" "^a[0-9.]+ +tcp +192\.0\.2\.2:[0-9]+ +$H4:80 +[0-9.]+s +[0-9]+s +[0-9]+ +2$" "a row of pending"
id=${OUT%% *}
rc_is 2 "2: permit zz" permit zz
like "$ERR" '"zz" is neither an id \(a0\.1\) nor an address' "... what it is not"
rc_is 2 "2: an id and a typing mistake: nothing is done" permit "$id" 203.0.113.300
check "... it is still pended" pending_is 1
rc_is 2 "2: nothing named" permit
rc_is 4 "4: no such id" permit a16777215.7
rc_is 4 "4: nothing from there" block 198.51.100.1
is "$ERR" "pendctl: nothing is pended from 198.51.100.1" "... in as many words"
rc_is 2 "2: not a port" permit --port 70000
rc_is 0 "permit by id" permit "$id"
is "$OUT" "permitted 1 connection" "one connection is a singular"
client_wait one
is "$(of one result)" connected "it is let in"
rc_is 4 "4: decided before" permit "$id"

client_bg two -n 3 -t 20000 $H4 80
wait_for 5 pending_is 3
rc_is 0 "permit by address and port" permit 192.0.2.0/24 --port 80
is "$OUT" "permitted 3 connections" "three are a plural"
client_wait two
is "$(ended two connected)" 3 "they are let in"
client_bg three -t 20000 $H4 80
wait_for 5 pending_is 1
rc_is 0 "block --reset" block --all --reset
client_wait three
is "$(of three result)" refused "it is told so"
rc_is 4 "4: nothing to decide" permit --all

# Long addresses: columns stay columns.
client_bg six -n 2 -t 20000 "$H6" 80
wait_for 5 pending_is 2
client_bg four -t 20000 $H4 80
wait_for 5 pending_is 3
pc pending
is "$(awk '{print index($0, ":80 ")}' <<<"$(awk 'NR > 1' <<<"$OUT")" | sort -u | wc -l)" 2 "rows of two families"
is "$(awk '{for (i = NF; i; i--) if ($i == "tcp") print index($0, "tcp")}' <<<"$OUT" | sort -u | wc -l)" 1 \
	"columns are in line"
rc_is 0 "a line for each source" pending --by source
like "$OUT" '^2001:db8::2 +2 +[0-9.]+s +[0-9]+s tcp 80$' "... with how many, since when, and to what"
is "$(awk 'NR > 1' <<<"$OUT" | wc -l)" 2 "... and no others"
like "$(h_pendctl --json pending --by source)" '"sources": ?\[' "... for programs"
rc_is 2 "2: by nonsense" pending --by nonsense
rc_is 0 "a filter" pending --port 80 --proto tcp --source 2001:db8::/32
is "$(grep -c ':80 ' <<<"$OUT")" 2 "... holds"
rc_is 2 "2: a wrong filter" pending --proto nonsense
unlike "$OUT" 'Nothing is pended' "... does not say that nothing is pended"

# ---- reload --dry-run ----

rc_is 0 "a dry run of the same" reload --dry-run
like "$OUT" 'The policy in the file is the one in force' "... tells so"
like "$OUT" 'Of 3 pended connections it would not hold 0\.' "... and holds what is held"
sed -i 's/pend proto tcp to port 80 ask/permit proto tcp from 2001:db8::2 to port 80\n\t&/' "$CONFIG"
cp "$CONFIG" "$WORK/right.conf"
rc_is 0 "a dry run of a change" reload --dry-run
like "$OUT" $'^\\+ +permit proto tcp from 2001:db8::2 to port http;' "... shows the difference"
like "$OUT" '^@@ -[0-9]+,6 \+[0-9]+,7 @@$' "... as diff -u does"
like "$OUT" 'Of 3 pended connections it would not hold 2:' "... and what it would not hold"
like "$OUT" "^  a[0-9.]+ tcp \[2001:db8::2\]:[0-9]+ > \[2001:db8::1\]:80: permit by $CONFIG:10: " "... and how"
like "$OUT" '^They wait on, for their answers' "... and what becomes of that"
check "nothing was changed: what is pended is pended" pending_is 3
like "$(h_pendctl status)" 'generation 1, 5 rules' "... and the old policy is in force"
echo 'layer x { permt }' >>"$CONFIG"
rc_is 6 "6: a dry run of a wrong policy" reload --dry-run
like "$OUT" 'did you mean "permit"' "... says what is wrong"
rc_is 6 "6: a reload of a wrong policy" reload
like "$ERR" 'the old one stays in force' "... and what becomes of the old one"
rc_is 6 "6: check" check "$CONFIG"
rm "$CONFIG"
rc_is 6 "6: a reload without a file" reload
like "$ERR" "$CONFIG: No such file or directory: the old one stays in force" "... says so"
mkdir "$CONFIG"
rc_is 6 "6: a reload of a folder" reload
rc_is 6 "6: a dry run of a folder" reload --dry-run
rmdir "$CONFIG"
cp "$WORK/right.conf" "$CONFIG"
rc_is 0 "0: check" check "$CONFIG"
rc_is 0 "reload" reload
like "$OUT" '^Policy 2 is in force' "... and its number"
check "... which decides nothing of what is pended" pending_is 3
pc show policy
like "$OUT" 'permit proto tcp from 2001:db8::2 to port http;' "what is shown is what is in force"
rc_is 0 "test asks the new one" test --quiet 'tcp [2001:db8::2]:1 > [2001:db8::1]:80'

# ---- events, rules, metrics ----

pc events -n 1000
like "$OUT" '^[0-9:.]+ pended +a[0-9.]+ +tcp 192\.0\.2\.2:' "events: pended"
like "$OUT" 'by operator after' "events: decided"
like "$OUT" ' note +policy 2 is in force' "events: the policy"
rc_is 2 "2: no such type of event" events --type nonsense
pc events -n 1000 --source 192.0.2.2 --family 4 --port 80 --proto tcp --rule 2 --json
like "$OUT" '"source": *"192\.0\.2\.2"' "events: those that a filter lets through"
unlike "$OUT" '"type": *"note"|"source": *"2001' "... and no others"
pc events -n 1000 --source 198.51.100.0/24
is "$OUT" '' "... none, when none fits"
rc_is 2 "2: no such authority" events --authority nobody
rc_is 0 "rules" rules
like "$OUT" '^ +3 +[0-9]+ +[0-9]+ [^ ]+ +pend\.conf:11 +pend proto tcp to port http' "a rule, its hits and its place"
client -t 5000 $H4 81 >/dev/null
rc_is 0 "counters" counters
like "$OUT" '^web +1 +[1-9][0-9]* +[1-9][0-9]* +20' "... those of the rules of a name"
rc_is 0 "metrics" metrics
printf '%s\n' "$OUT" >"$WORK/metrics"
check "metrics are OpenMetrics" "$BIN/tests/tools/openmetrics" <"$WORK/metrics"
like "$OUT" '^pend_pended_total\{worker="a"\} [1-9]' "a counter"
like "$OUT" '^pend_pending\{worker="a"\} 3$' "a gauge"
like "$OUT" '^pend_ended_total\{worker="a",state="permitted"\} 4$' "how many ended so"
like "$OUT" "^pend_rule_bytes_total\{rule=\"1\",.*,counter=\"web\"\} [1-9]" "bytes of a rule, with its counter's name"
like "$OUT" '^pend_layer_opinions_total\{layer="default",action="pend"\} [1-9]' "what a layer has said"
like "$OUT" "^pend_rule_hits_total\{rule=\"3\",layer=\"default\",action=\"pend\",file=\"$CONFIG\",line=\"11\"\} " \
	"hits of a rule"
is "$(tail -n 1 <<<"$OUT")" "# EOF" "and the end"
unlike "$OUT" ' unknown$' "every counter has a type"

# ---- rights ----

rm -f "$WORK/run/none"
if setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
	chmod 755 "$WORK" "$WORK/run"
	chmod 666 "$CONTROL"
	OUT=$(h setpriv --reuid=65534 --regid=65534 --clear-groups "$BIN/pendctl" -s "$CONTROL" status 2>&1)
	is $? 5 "5: not permitted"
	like "$OUT" 'group' "... and what to ask for"
fi

# ---- hookup, degraded, stop ----

rc_is 0 "hookup verify" hookup verify
rc_is 0 "hookup print" hookup print
rc_is 0 "hookup remove" hookup remove
rc_is 7 "7: degraded" status
like "$OUT" 'problem +kernel rules were removed by request' "... and why"
rc_is 0 "hookup install" hookup install
rc_is 0 "0: well again" status
OUT=$(h_pendctl status 2>&1 >/dev/full)
is $? 1 "1: the output could not be written"
h_pendctl block --all >/dev/null
rc_is 0 "stop" stop
wait_for 5 gone "$PENDD_PID"
wait "$PENDD_PID"
is $? 0 "pendd ended well"
PENDD_PID=''
client_wait six; client_wait four
finish
