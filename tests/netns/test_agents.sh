#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# The programs that come with pend: pendd starts one for each authority of their kinds, as a user without rights, ends
# it, starts it again; and what such a user may do at the control socket.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair
need_queue
command -v setpriv >/dev/null || skip_all "setpriv is not installed"
server tcp:7001 tcp:7002
chmod 755 "$WORK" "$WORK/run"

cat >"$WORK/yes" <<'END'
#!/bin/sh
exec 3>>"${0%/*}/seen"
{ id -u; id -G; cat /proc/self/status; ls -l /proc/$$/fd; env | sort; echo "$PEND_SOURCE"; } >&3
exit 0
END
printf '#!/bin/sh\nexit 1\n' >"$WORK/no"
chmod 755 "$WORK/yes" "$WORK/no"
: >"$WORK/seen"
chmod 666 "$WORK/seen"

policy() { # more statements
	cat <<-END
		authority one { type exec; command "$WORK/yes"; mode once; timeout 8s; user 65534; group 65533 }
		authority two { type exec; command "$WORK/no"; mode once; timeout 8s; on-absent permit }
		authority sock { type socket; timeout 5s; user 65532; group 65531 }
		$*
		layer default {
			pend proto tcp to port 7001 ask one complete buffer with reset
			pend proto tcp to port 7002 ask two complete buffer with reset
			permit
		}
	END
}
try() { client -t 8000 "$@" | field result; }
# ID of the process that serves an authority; a new one has another.
agent() { pgrep -P "$PENDD_PID" -f -- "^$BIN/pend-agent .*--authority $1\$"; }
agents() { pgrep -P "$PENDD_PID" -f -- "^$BIN/pend-agent " | wc -l; }
agents_are() { [ "$(agents)" = "$1" ]; }
health() { h_pendctl authorities --json | tr -d '\n ' | sed 's/{"config"/\n&/g' | grep "\"name\":\"$1\"" | grep -oE "\"$2\":\"?[a-z0-9-]+" | sed 's/.*[:"]//'; }
state() { h_pendctl authorities | awk -v n="$1" '$1 == n { print $5 }'; }
state_is() { [ "$(state "$1")" = "$2" ]; }
reload() { policy "$@" | pendd_config && h_pendctl reload; }
as() { local uid=$1 gid=$2; shift 2; setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"; }
# What a user's lines get from the control socket: the greeting, then the replies.
says() { local uid=$1 gid=$2; shift 2; printf '%s\n' "$@" | as "$uid" "$gid" timeout 5 socat -t 1 - "UNIX-CONNECT:$CONTROL"; }

hears() { as "$1" "$2" timeout 5 socat -u "UNIX-CONNECT:$CONTROL" - | head -n 1; } # the greeting

export SECRET=do-not-hand-on
pendd_start < <(policy)
check "pendd starts a program for each authority of their kinds" wait_for 5 agents_are 2
check "... they serve" wait_for 5 eval 'state_is one ok && state_is two ok'
is "$(state sock)" absent "nobody serves the authority that is left to others"
is "$(try "$H4" 7001)" connected "one says yes"
is "$(try "$H4" 7002)" refused "the other says no"
pid=$(agent one)
is "$(ps -o uid=,gid= -p "$pid" | xargs)" "65534 65533" "it runs as the user and group of its authority"
is "$(ps -o pgid= -p "$pid" | xargs)" "$pid" "... in a process group of its own"
proc() { awk -v k="$1:" '$1 == k { print $2 }' "/proc/$2/status"; }
is "$(for k in CapInh CapPrm CapEff CapBnd CapAmb; do proc $k "$pid"; done | sort -u)" 0000000000000000 "without a capability, and no way to one"
is "$(proc NoNewPrivs "$pid")" 1 "... and no new privileges"
is "$(proc SigIgn "$pid" | tail -c 5)" 1000 "it ignores no signal but that of closed pipes"
seen=$(cat "$WORK/seen")
like "$seen" '^65534$' "so does what it starts"
like "$seen" '^CapBnd:.*0000000000000000$' "... with no capability at all"
unlike "$seen" 'SECRET|NOTIFY_SOCKET' "the environment is clean"
like "$seen" '^PEND_SOURCE=' "the question is in it"
is "$(find "/proc/$pid/fd" -lname '/dev/null' -name 0 | wc -l)" 1 "its standard input is empty"
is "$(find "/proc/$pid/fd" -lname "/*" ! -lname /dev/null ! -lname "$WORK/pendd.log" | wc -l)" 0 "it has no descriptor of pendd's"

# Ends and begins.
kill -KILL "$pid"
again() { local p; p=$(agent one) && [ "$p" != "$pid" ]; }
check "one that was killed is started again" wait_for 5 again
check "... and serves" wait_for 5 state_is one ok
like "$(h_pendctl status --json | tr -d ' \n')" '"agents":\{"elsewhere":0,"failing":0,"restarts":1,"running":2,"wanted":2\}' "status counts it"
check "the metrics are OpenMetrics" eval 'h_pendctl metrics | "$BIN/tests/tools/openmetrics"'
like "$(h_pendctl metrics)" '^pend_agents_restarts_total 1$' "so do the metrics"
like "$(h_pendctl metrics)" '^pend_authority_state\{authority="one",pend_authority_state="ok"\} 1$' "which tell how each authority does"
is "$(try "$H4" 7001)" connected "it says yes again"
two=$(agent two)
check "the policy changes elsewhere" reload 'authority other { type operator }'
is "$(agent two)" "$two" "... and the program goes on"
check "an authority is new" reload "authority three { type exec; command \"$WORK/yes\" }"
check "... its program is started" wait_for 5 agents_are 3
check "it is gone" reload
check "... its program ends" wait_for 5 agents_are 2
is "$(agent two)" "$two" "the others go on"
sed "s,$WORK/no,$WORK/yes," "$CONFIG" >"$WORK/changed" && cp "$WORK/changed" "$CONFIG"
client_bg meanwhile -n 300 -i $((10 * ${WAIT_FACTOR:-1})) -t 9000 "$H4" 7002
sleep 0.2
check "a definition changes" h_pendctl reload
client_wait meanwhile
is "$(($(ended meanwhile connected) + $(ended meanwhile refused)))" 300 "... nobody waits in vain meanwhile"
gt "$(ended meanwhile connected)" 50 "... and later ones are decided by it"
is "$(health two absent)$(health two errors)" 00 "... with no question lost"
check "... the program is another one" wait_for 5 eval '[ "$(try "$H4" 7002)" = connected ] && [ "$(agent two)" != "$two" ]'
h_pendctl reload >/dev/null; policy | pendd_config; h_pendctl reload >/dev/null

# The authority process goes: they serve the next one.
check "both serve" wait_for 5 eval 'state_is one ok && state_is two ok'
pids="$(agent one) $(agent two)"
kill -9 "$(authority)"
check "the authority process comes back" wait_for 10 h_pendctl version
check "and both serve it" wait_for 10 eval 'state_is one ok && state_is two ok'
is "$(agent one) $(agent two)" "$pids" "... the same processes"
is "$(try "$H4" 7001)" connected "they decide"

# Stopped: it does not hear SIGTERM.
kill -STOP "$(agent two)"
kill -STOP "$(agent one)"
check "an authority goes whose program does not hear" eval 'policy | sed "/authority two/d; /ask two/d" | pendd_config; h_pendctl reload'
check "... it is killed" wait_for 5 agents_are 1
kill -CONT "$(agent one)"
policy | pendd_config
h_pendctl reload >/dev/null
check "both serve again" wait_for 15 eval 'state_is one ok && state_is two ok'

# Roles.
like "$(hears 12345 12345)" '"role":null' "a stranger is refused"
out=$(says 65532 12345 '{"id":1,"op":"ping"}' '{"id":2,"op":"authorities"}' '{"id":3,"op":"serve","authority":"sock"}' \
	'{"id":4,"op":"serve","authority":"one"}' '{"id":5,"op":"status"}' '{"id":6,"op":"pending"}' '{"id":7,"op":"events"}' \
	'{"id":8,"op":"complete","match":{},"all":true,"verdict":"permit"}' '{"id":9,"op":"rules"}' '{"id":10,"op":"reload","dry_run":true}' \
	'{"id":11,"op":"serve","authority":"sock","stop":true}' '{"op":"answer","answers":[{"id":"a0.1","verdict":"permit"}]}')
like "$out" '"role":"serve"' "whom an authority names may serve"
like "$out" '"id":1,"ok":true' "... ping"
like "$out" '"id":2,.*"count":1,' "... and sees that authority alone"
like "$out" '"id":2,.*"config":\{\}.*"name":"sock"' "... with what its program needs"
like "$out" '"id":3,"ok":true' "... serve it"
for i in 4 5 6 7 8 9 10; do
	like "$out" "\"error\":\{\"code\":\"denied\".*\"id\":$i,\"ok\":false" "... and nothing else ($i)"
done
like "$out" '"id":11,"ok":true' "... and end that"
like "$out" '"code":"not-found","id":"a0.1"|"id":"a0.1","code":"not-found"' "an answer to nothing of its own is none"
like "$(says 12345 65531 '{"id":3,"op":"serve","authority":"sock"}')" '"id":3,"ok":true' "so may whom it names as a group"
like "$(says 65534 12345 '{"id":3,"op":"serve","authority":"sock"}' '{"id":4,"op":"serve","authority":"one"}')" '"code":"denied".*"id":3' "one authority's user may not serve another's"
# The roles are those of today's policy.
coproc LONG { as 65532 12345 socat - "UNIX-CONNECT:$CONTROL"; }
exec {FROM}<&"${LONG[0]}" {TO}>&"${LONG[1]}"
read -r -t 5 line <&"$FROM"
check "the authority names another user" eval 'policy | sed s/65532/65530/ | pendd_config; h_pendctl reload'
echo '{"id":1,"op":"serve","authority":"sock"}' >&"$TO"
read -r -t 5 line <&"$FROM"
like "$line" '"denied"' "who was named before may not serve it any more"
exec {TO}>&- {FROM}<&-
like "$(hears 65532 12345)" '"role":null' "... nor come again"
like "$(hears 65530 12345)" '"role":"serve"' "who is named now may"

# A program that cannot be: the others serve, and people are told.
check "a policy with a program that is not there" reload "authority broken { type exec; command \"$WORK/nowhere\"; mode stay }"
check "status says so" wait_for 10 eval 'grep "^problem .*1 of 3" <<<"$(h_pendctl status)"'
is "$(try "$H4" 7001)" connected "the others decide"
check "the end of it" reload
check "status is well" wait_for 5 h_pendctl status

kill -STOP "$(agent two)"
left=$(pgrep -P "$PENDD_PID" | xargs)
pendd_stop
is "$PENDD_STATUS" 0 "pendd ends"
for pid in $left; do check_not "nothing is left ($pid)" running "$pid"; done

# Without the right to become another user: it runs as pendd does, or is somebody else's to start.
chown -R 65533 "$WORK/run"
PENDD_WRAPPER="setpriv --reuid 65533 --regid 65533 --clear-groups --inh-caps -all,+net_admin,+net_raw --ambient-caps -all,+net_admin,+net_raw --bounding-set -all,+net_admin,+net_raw --no-new-privs"
pendd_start < <(policy)
check "pendd runs as another user: it starts what it may" wait_for 5 state_is two ok
is "$(agents)" 1 "... and no other"
is "$(state one)" absent "which nobody serves yet"
is "$(grep -c 'pend-agent@one.service' "$WORK/pendd.log")" 1 "it is told whose that is, once"
like "$(h_pendctl status)" '^agents +1 of 1 run, 1 elsewhere' "so does status"
pid=$(agent two)
is "$(for k in CapInh CapPrm CapEff CapBnd CapAmb; do proc $k "$pid"; done | sort -u | head -n 1)" 0000000000000000 "its program has no capability"
is "$(proc CapEff "$pid") $(proc CapPrm "$pid") $(proc CapAmb "$pid")" "0000000000000000 0000000000000000 0000000000000000" "... in force"
is "$(proc Uid "$pid")" 65533 "... and is the user that pendd is"
ip netns exec "$H" setpriv --reuid 65534 --regid 65534 --clear-groups "$BIN/pend-agent" --authority one --socket "$CONTROL" >"$WORK/agent.log" 2>&1 &
check "pend-agent, started by hand as the user that is named, serves" wait_for 5 state_is one ok
is "$(try "$H4" 7001)" connected "it decides"
by_hand=$(pgrep -f -- "^$BIN/pend-agent --authority one --socket $CONTROL")
sed "s,$WORK/yes,$WORK/no," "$CONFIG" >"$WORK/changed" && cat "$WORK/changed" >"$CONFIG"
check "its definition changes" h_pendctl reload
check "... it begins anew by itself" wait_for 5 eval '[ "$(try "$H4" 7001)" = refused ] && state_is one ok'
is "$(pgrep -f -- "^$BIN/pend-agent --authority one --socket $CONTROL")" "$by_hand" "... in the same process"
check_not "as another it does not" as 12345 12345 "$BIN/pend-agent" --authority one --socket "$CONTROL"
pendd_kill
check "pendd is killed: its programs end too" wait_for 5 gone "$pid"
pendd_start < <(policy)
check "it is started again: who served it serves again" wait_for 10 state_is one ok
is "$(pgrep -f -- "^$BIN/pend-agent --authority one --socket $CONTROL")" "$by_hand" "... the same process"
is "$(try "$H4" 7001)" connected "... with what the policy says now"
finish
