#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120 san
# pendctl ask --exec: a program for each question. What its exit status says, how many run at a time, what becomes of
# those that take too long, and that it outlives the daemon.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
ns_pair
need_queue
control_start
server tcp:7001 tcp:7002

policy() {
	cat <<-END
	authority list { type socket; timeout 4s; on-timeout block; on-error permit; }
	${1:-}
	layer default {
		pend proto tcp to port 7001 ask list complete buffer with reset
		permit
	}
	END
}
PENDD_SETTINGS='' pendd_config < <(policy)

try() { client -t 6000 "$@" "$H4" 7001 | field result; }
result_is() { [ "$(try -s "$2")" = "$1" ]; }
asks() { # arguments of ask: in the background
	: >"$WORK/ask.err"
	ip netns exec "$H" "$BIN/pendctl" --socket "$CONTROL" ask "$@" >"$WORK/ask.out" 2>"$WORK/ask.err" &
	ASK=$!
	wait_for 10 serves || not_ok "it serves" "$(cat "$WORK/ask.err")"
}
stop_asking() { kill "$ASK"; wait "$ASK"; }
program() { # name < text
	{ echo '#!/bin/sh'; cat; } >"$WORK/$1"
	chmod 755 "$WORK/$1"
}
children() { pgrep -P "$ASK" | wc -l; }
reason_is() { [ "$(ctl events why completed | awk '{print $NF}')" = "$1" ]; }
serves() { ctl ask '{"op":"authorities"}' | grep -q '"servers": 1'; }

# ---- what it says before it begins ----

program yes <<<'exit 0'
status_is 3 "3: the daemon is not running" h_pendctl ask --exec "$WORK/yes"
pendd_run
wait_for 10 pendd_ready || bail "pendd did not start"
status_is 1 "1: there is no such program" h_pendctl ask --exec "$WORK/nothing"
status_is 1 "1: nor this one" h_pendctl ask --exec no-such-program-at-all
status_is 4 "4: there is no such authority" h_pendctl ask --exec "$WORK/yes" --authority nobody
status_is 2 "2: no processes" h_pendctl ask --exec "$WORK/yes" --processes 0
status_is 2 "2: a filter is nothing for a program" h_pendctl ask --exec "$WORK/yes" --port 22

# ---- the example ----

printf '%s\n' '# office' 203.0.113.1 198.51.100. >"$WORK/allowed"
ALLOWED=$WORK/allowed asks --exec "$TOP/examples/authority.sh"
check "who is on the list is let in" result_is connected 203.0.113.1
holds 3 "... and the reason is on record" reason_is on_the_list
is "$(try -s 203.0.113.2)" refused "nobody has an opinion of others: as after the timeout"
rm "$WORK/allowed"
is "$(try -s 203.0.113.3)" connected "without its file it is an error, and on-error decides"
stop_asking
is $? 0 "it ends by a signal, in good order"

# ---- each status, and what a program gets ----

program all <<'END'
read -r question
{ env | grep ^PEND_ | sort; echo "$question"; } >"$0.got"
echo 'a "reason"'; echo 'another line'
exit "$(cat "$0.status")"
END
echo 1 >"$WORK/all.status"
asks -e "$WORK/all" --authority list
check "1 blocks" result_is refused 203.0.113.4
holds 3 "the first line is the reason" reason_is 'a_"reason"'
for want in AUTHORITY=list 'ID=a[0-9.]+' PROTOCOL=tcp SOURCE=203.0.113.4 'SOURCE_PORT=[0-9]+' DEST=192.0.2.1 DEST_PORT=7001 INTERFACE=eth0 RULE=0; do
	check "it has PEND_${want%%=*}" grep -qxE "PEND_$want" "$WORK/all.got"
done
like "$(tail -n 1 "$WORK/all.got")" '^\{.*"source":"203.0.113.4".*\}$' "... and the question as JSON"
echo 0 >"$WORK/all.status"
is "$(try -s 203.0.113.5)" connected "0 permits"
echo 7 >"$WORK/all.status"
is "$(try -s 203.0.113.6)" connected "another status is an error: on-error permits"
stop_asking

# ---- many, and slow ones ----

program count <<'END'
exec 9>>"$0.log"
flock 9; echo + >&9; flock -u 9
sleep 0.3
flock 9; echo - >&9; flock -u 9
END
asks --exec "$WORK/count" --processes 3
is "$(client -n 20 -c 20 -t 6000 -q "$H4" 7001 | field good)" 20 "twenty at once are all let in"
is "$(awk '/\+/ {if (++n > most) most = n} /-/ {n--} END {print most}' "$WORK/count.log")" 3 "... by three programs at a time"
no_zombies() { [ "$(ps -o stat= --ppid "$ASK" | grep -c Z)" = 0 ]; }
holds 3 "no zombie is left" no_zombies # one that has just ended is one until its parent runs
stop_asking

program stuck <<'END'
trap '' TERM
echo started >>"$0.log"
sleep 60 &
sleep 60; sleep 60
END
asks --exec "$WORK/stuck"
is "$(try)" refused "one that never ends: the timeout decides"
holds 5 "it is killed then, whatever it does about SIGTERM" eval '[ "$(children)" = 0 ]'
check_not "... with all that it has started" pgrep -f "sleep 60" -s 0
more() { [ "$(wc -l <"$WORK/stuck.log")" -gt "$1" ]; }
asked=$(wc -l <"$WORK/stuck.log")
client_bg last -t 3000 "$H4" 7001
wait_for 5 more "$asked"
stop_asking
holds 5 "what runs when it is stopped is stopped, too" eval '! pgrep -f "$WORK/stuck" >/dev/null'

# ---- the daemon goes and comes back ----

asks --exec "$WORK/yes" --authority list
check "it serves" result_is connected 203.0.113.7
pendd_stop
pendd_run
wait_for 10 pendd_ready || bail "pendd did not start again"
holds 15 "a new daemon is served, too" result_is connected 203.0.113.7
check "by the same process" running "$ASK"
pendd_config < <(policy 'authority second { type socket; }')
ctl reload >/dev/null
status_is 2 "2: with two authorities one is named" h_pendctl ask --exec "$WORK/yes"
stop_asking
finish
