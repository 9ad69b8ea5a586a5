#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120 san
# What outlives the daemon: decisions with who and why, history, what is forgotten; kill -9, a full disk, a damaged
# file, a newer one, and rules that go and come back.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
command -v sqlite3 >/dev/null || skip_all "no sqlite3"
ns_pair
need_queue
control_start
server tcp:{7001..7003}
mkdir "$WORK/state"
DB=$WORK/state/state.db
PENDD_SETTINGS="state \"$DB\";"
me=$(id -un)

policy()
{
	cat <<-END
	authority people { type operator; timeout 20s; on-timeout block; }
	authority list { type socket; timeout 4s; on-timeout block; }
	layer default {
		pend proto tcp to port 7001 ask people complete buffer
		${1-pend proto tcp to port 7002 ask people complete buffer remember 1h}
		pend proto tcp to port 7003 ask list complete buffer
		permit
	}
	END
}
pendd_start < <(policy)

try() { client -t 4000 "$@" | field result; }
asked() # words of pendctl, then a port
{
	client -t 8000 "$H4" "${!#}" >"$WORK/asked" &
	wait_for 5 pending_is 1 >/dev/null
	h_pendctl "${@:1:$#-1}" "$C4"
	wait $!
	field result <"$WORK/asked"
}
again() { wait "$PENDD_PID" 2>/dev/null; pendd_run; wait_for 10 pendd_ready >/dev/null; }
killed() { kill -9 "$PENDD_PID"; again; }
decisions() { h_pendctl decisions --json | tr -d '\n'; }
kept() { h_pendctl decisions --json | grep -c '"scope"'; }
store() { ctl status "store.$1"; }

like "$(asked permit --for 2h --why "ticket 4711" 7001)" "connected" "somebody says permit for two hours, and why"
like "$(asked block 7002)" "blocked 1" "... and block, by a rule that remembers"
is "$(sqlite3 "$DB" 'SELECT count(*) FROM decision')" 2 "what was confirmed is in the file"
is "$(stat -c %a "$DB")" 600 "... which is the daemon's alone"

# With kill -9 nothing is said at the end.
killed
is "$(try "$H4" 7001)" connected "after kill -9 it is still permitted"
is "$(try "$H4" 7002)" timeout "... and blocked"
is "$(pending_count)" 0 "... without a question"
like "$(decisions)" '"by": ?"'"$me"'".*"why": ?"ticket 4711"' "who said it, and why, is known"
like "$(h_pendctl decisions)" "^permit +$C4 +tcp $H4 port 7001 +$me +1h59m +ticket 4711" "... and shown to people"
is "$(sqlite3 "$DB" 'PRAGMA integrity_check')" ok "the file is sound"

# History.
like "$(h_pendctl history)" "blocked +tcp +$C4:[0-9]+ +$H4:7002 .*$me" "the history has both"
like "$(h_pendctl history --json --verdict permit | tr -d '\n')" '"by": ?"'"$me"'".*"state": ?"permitted".*"text": ?"pend proto tcp to port 7001.*"why": ?"ticket 4711"' "... with the rule and the reason"
is "$(h_pendctl history --json --rule "port 7002" | grep -c '"state"')" 1 "by a piece of the rule"
is "$(h_pendctl history --json --since 1h --source "$C4/31" --authority people | grep -c '"state"')" 2 "by time, source and authority"
is "$(h_pendctl history --until 1h)" "Nothing is written down that fits." "nothing is from before an hour"
rc=0
h_pendctl history --since yesterday >/dev/null 2>"$WORK/err" || rc=$?
like "$rc $(cat "$WORK/err")" "^2 .*since is a time" "what is no time is told"

# A rule that goes, and comes back.
pendd_config < <(policy "")
h_pendctl reload >/dev/null
is "$(try "$H4" 7002)" connected "the rule is gone, and its block with it"
killed
is "$(kept)" 1 "a start without the rule has one decision less"
is "$(store waiting)" 1 "... that waits"
pendd_config < <(policy)
h_pendctl reload >/dev/null
check "the rule is back" wait_for 5 eval '[ "$(kept)" = 2 ]'
is "$(try "$H4" 7002)" timeout "... and blocks as before"

# Forgotten is forgotten, also when the clock was set back since it was decided.
sqlite3 "$DB" 'UPDATE decision SET since=since+7200000,until=until+7200000'
is "$(h_pendctl decisions forget --rule 0)" "1 forgotten." "one is forgotten"
killed
is "$(kept)" 1 "... for good"
client -t 8000 "$H4" 7001 >"$WORK/asked" &
check "somebody is asked again" wait_for 5 pending_is 1
h_pendctl block "$C4" --once >/dev/null
wait $!

# A program's answer with an id is confirmed when it is written.
coproc HELD { socat - "UNIX-CONNECT:$CONTROL"; }
exec {FROM}<&"${HELD[0]}" {TO}>&"${HELD[1]}"
echo '{"id":1,"op":"serve","authority":"list"}' >&"$TO"
line_with() { local line; while read -r -t 5 line <&"$FROM"; do case $line in *"$1"*) echo "$line"; return ;; esac; done; }
line_with '"timeout_ms"' >/dev/null
client_bg served -t 8000 "$H4" 7003
id=$(line_with '"question"' | field id)
echo "{\"id\":2,\"op\":\"answer\",\"answers\":[{\"id\":\"$id\",\"verdict\":\"permit\",\"remember\":\"1h\",\"scope\":\"source\",\"why\":\"listed\"}]}" >&"$TO"
like "$(line_with '"id":2')" '"answered":1' "a program's answer is confirmed"
is "$(sqlite3 "$DB" "SELECT by,why,scope FROM decision WHERE why='listed'")" "list|listed|1" "... when it is in the file"
client_wait served
exec {TO}>&- {FROM}<&-
kill "$HELD_PID" 2>/dev/null

# The authority process ends: what it knew of who and why comes from the file.
kill -9 "$(authority)"
check "the authority process comes back" wait_for 10 h_pendctl version
check "who and why is known again" wait_for 5 eval 'decisions | grep -q listed'

# A damaged file is put aside, and a newer one left alone.
pendd_stop
head -c 20000 /dev/urandom >"$DB"
rm -f "$DB"-*
pendd_run
check "a damaged file does not stop the daemon" wait_for 10 pendd_ready
check "... it is put aside" wait_for 5 compgen -G "$DB.corrupt-*Z"
like "$(asked permit --for 1h 7001)" connected "... and a new one is begun"
is "$(store state) $(store put_aside)" "file 1" "... and that is counted"
pendd_stop
sqlite3 "$DB" 'PRAGMA user_version=99'
pendd_run
wait_for 10 pendd_ready
like "$(h_pendctl status | grep store)" "store +refused.*version 99" "a newer file is refused, and the status says so"
like "$(asked block --for 1h 7001)" "blocked 1" "... and decisions hold without it"
pendd_stop
is "$(sqlite3 "$DB" 'SELECT count(*) FROM decision')" 1 "it was left alone"
rm -f "$DB"*

# A file that is damaged while the daemon runs: what holds is in the new one, too.
pendd_config < <(policy; echo 'set banned { }')
pendd_run
wait_for 10 pendd_ready >/dev/null
asked block --for 2h --why before 7001 >/dev/null
h_pendctl set add banned 198.51.100.7 >/dev/null
h_pendctl set add banned 198.51.100.8 --for 1h >/dev/null
for f in "$DB-wal" "$DB-shm" "$DB"; do
	dd if=/dev/urandom of="$f" bs="$(stat -c %s "$f")" count=1 conv=notrunc 2>/dev/null
done
h_pendctl set add banned 198.51.100.9 &>/dev/null # it meets the damage
check "a file that is damaged meanwhile is put aside" wait_for 5 eval '[ "$(store put_aside)" = 1 ]'
check "... and what holds is written to the new one" wait_for 5 eval '[ "$(ctl status state)" = ok ]'
is "$(sqlite3 "$DB" 'PRAGMA integrity_check;SELECT why FROM decision')" "$(printf 'ok\nbefore')" "... the decision"
killed
is "$(try "$H4" 7001)" timeout "... which holds after a restart"
is "$(h_pendctl set list banned | sort | tr '\n' ' ')" "198.51.100.7-198.51.100.9 " "... and the set"
pendd_stop

# A file that cannot be read at start is read when it can be, and what people said meanwhile counts.
mv "$WORK/state" "$WORK/away"
pendd_run
wait_for 10 pendd_ready >/dev/null
like "$(h_pendctl status | grep -v ^store)" "degraded.*" "without its file the daemon is degraded"
is "$(h_pendctl set list banned)" "" "... and does not know what was banned"
rc=0
h_pendctl set delete banned 198.51.100.8 >/dev/null 2>"$WORK/err" || rc=$?
like "$rc $(cat "$WORK/err")" "^[1-9] .*ends with the daemon" "who takes one out is told that it is not written"
mv "$WORK/away" "$WORK/state"
check "when the file is there, it is read" wait_for 10 eval 'h_pendctl set list banned | grep -q 198.51.100.7'
check "... and all is well" wait_for 10 eval '[ "$(ctl status state)" = ok ]'
is "$(h_pendctl set list banned | sort | tr '\n' ' ')" "198.51.100.7 198.51.100.9 " "... but for what was taken out"
is "$(try "$H4" 7001)" timeout "... and decisions hold"
killed
is "$(h_pendctl set list banned | sort | tr '\n' ' ')" "198.51.100.7 198.51.100.9 " "... after the next start, too"
pendd_stop
rm -f "$DB"*

# By itself the file is where the service manager says; without one nothing is written.
PENDD_SETTINGS='' pendd_config < <(policy)
STATE_DIRECTORY=$WORK/state pendd_run
wait_for 10 pendd_ready >/dev/null
is "$(store state)" file "state auto: in the service's own folder"
check "... there it is" test -s "$DB"
pendd_stop
pendd_run
wait_for 10 pendd_ready >/dev/null
is "$(store state)" memory "... and in memory where there is none"
like "$(asked block 7002)" "blocked 1" "decisions are made all the same"
like "$(h_pendctl history)" "blocked +tcp" "... and told"
pendd_stop
finish
