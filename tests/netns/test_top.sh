#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120 san
# `pendctl top` at real terminals: what is shown in which size and locale, what the keys do, a daemon that goes and comes
# back, and a terminal that is given back.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/screen.sh
. "${0%/*}/screen.sh"
ns_pair
need_queue
server tcp:7001 tcp:7002

policy()
{
	cat <<-END
	authority people { type operator; timeout 60s; on-timeout block; }
	layer default {
		pend proto tcp to port 7001 ask people complete buffer
		pend proto tcp to port 7002 ask people complete buffer timeout 4s
		permit
	}
	END
}
PENDD_SETTINGS='observe-group "nogroup";' pendd_start < <(policy)

cat >"$WORK/top" <<END
#!/bin/bash
stty -g >$WORK/stty.before
"$BIN/pendctl" --socket "$CONTROL" top "\$@"
echo "status \$?"; stty -g >$WORK/stty.after
exec sleep 1000
END
chmod +x "$WORK/top"
top_start() { screen_start "$1" "$2" "$3" "clear; exec '$WORK/top' ${*:4}"; } # name columns lines option...
foot='^y permit n block r reset \(Y N R its source\) s sort / filter'
waits() { wait_for 5 screen_has "$1" "$2"; }

# ---- for scripts ----

client_bg one -t 30000 -s 203.0.113.1 $H4 7001
wait_for 5 pending_is 1
OUT=$(h_pendctl top -b -n 2)
is $? 0 "it prints"
is "$(grep -c '^pendd ok  up ' <<<"$OUT")" 2 "... so many times"
like "$OUT" '^a second  - pended  - permitted' "one look tells no rate"
like "$OUT" '^a second  [0-9.]+ pended  [0-9.]+ permitted' "... a second does"
like "$OUT" '^pended    1 now, 1 at most, 1 in the kernel, 0 decisions remembered \(used 0 times\)$' "what is remembered"
like "$OUT" '^a[0-9.]+ +tcp +203\.0\.113\.1:[0-9]+ +192\.0\.2\.1:7001 .* people +eth0$' "a row"
like "$OUT" '^[0-9:]{8} pended +a[0-9.]+ +tcp 203\.0\.113\.1' "an event"
like "$OUT" '^  people +operator +1m, then block' "an authority"
OUT=$(h_pendctl top 2>&1 </dev/null)
is "$? $OUT" "2 pendctl: top needs a terminal; --batch prints instead
Try 'pendctl help top'." "2: without a terminal"
OUT=$(h_pendctl top -b --authority nobody 2>&1)
is $? 2 "2: a wrong filter"

# ---- choose, decide ----

top_start top 100 30
shows 5 "the head" top '^pendd ok  up .*role admin'
shows 5 "the table" top '^a[0-9.]+ +tcp +203\.0\.113\.1:[0-9]+ +192\.0\.2\.1:7001 '
shows 5 "the keys" top "$foot"
client_bg more -n 2 -t 30000 -s 203.0.113.2 $H4 7001
wait_for 5 pending_is 3
shows 3 "more come" top '^a[0-9].* 203\.0\.113\.2'
screen_keys top y
shows 3 "without a choice y does nothing" top 'Nothing is selected: choose one with the arrows'
check "... to nobody" pending_is 3
screen_keys top x z F5 Tab
check "keys without a meaning do nothing" pending_is 3
screen_keys top Down
chosen() { screen_colors top | grep -qE $'\033\\[(1|7)(;[0-9]+)?m.*203\\.0\\.113\\.1:'; }
holds 3 "the oldest is chosen, and seen to be" chosen
screen_keys top y
client_wait one
is "$(of one result)" connected "y permits it"
shows 3 "... and tells" top '(Decided 1 connection|does not wait any more)'
shows 5 "what became of it is among the events" top '^[0-9:]{8} permitted +a[0-9.]+ '
screen_keys top y
sleep 0.3
check "when it has ended y does nothing" pending_is 2
screen_keys top Down R
client_wait more
is "$(ended more refused)" 2 "R blocks all of its source with a reset"
shows 5 "nothing waits" top '^Nothing waits\.$'

# ---- filter, sort, pause, help ----

client_bg a -t 30000 -s 203.0.113.3 $H4 7001
client_bg b -t 30000 -s 203.0.113.4 $H4 7001
waits top '^a[0-9].* 203\.0\.113\.4'
screen_keys top / 113.4
shows 3 "a filter is written" top '^filter: 113\.4'
only() { screen_has top "^a[0-9].* $1:" && ! screen_has top "^a[0-9].* $2:"; }
check "... and hides the others" wait_for 3 only '203\.0\.113\.4' '203\.0\.113\.3'
screen_keys top Enter Down n
client_bg check -t 300 $H4 1
wait_for 5 pending_is 1
like "$(h_pendctl pending)" '203\.0\.113\.3' "n drops what is shown and chosen"
screen_keys top / BSpace BSpace BSpace BSpace BSpace Enter
shows 3 "without the filter the other one is there" top '^a.* 203\.0\.113\.3:'
screen_keys top s
shows 3 "s sorts" top 'Sorted by time left'
screen_keys top '?'
shows 3 "? helps" top '^arrows, j k'
screen_keys top x
shows 3 "... and goes back" top '^ID '
screen_keys top p
shows 3 "p pauses" top 'PAUSED'
h_pendctl permit --all >/dev/null
client_wait a
sleep 1.2
check "... and nothing moves" screen_has top '^a.* 203\.0\.113\.3:'
screen_keys top p
shows 3 "p goes on" top '^Nothing waits\.$'
client_wait b

# ---- what is remembered ----

client_bg kept -t 30000 -s 203.0.113.7 $H4 7001
waits top '^a[0-9].* 203\.0\.113\.7'
screen_keys top d
shows 3 "d shows what is remembered, which is nothing yet" top '^Nothing is remembered\.$'
shows 3 "... under its own heading" top '^DECIDED +LEFT SOURCE +TO +BY +RULE$'
check "... in the place of the events" eval '! screen_has top "^TIME +EVENT"'
h_pendctl permit 203.0.113.7 --for 2h --why 'ticket 4711' >/dev/null
client_wait kept
shows 8 "a decision that holds: verdict, time, source, service, who, rule" top \
	"^permit +1h59m 203\\.0\\.113\\.7 +tcp 192\\.0\\.2\\.1 port 7001 +$(id -un) +pend proto tcp"
like "$(h_pendctl top -b)" '^permit +1h5.m 203\.0\.113\.7 +tcp 192\.0\.2\.1 port 7001 ' "it is printed, too"
h_pendctl decisions forget --all >/dev/null
shows 8 "and it goes when it is forgotten" top '^Nothing is remembered\.$'
screen_keys top d
shows 3 "d goes back to the events" top '^TIME +EVENT'

# ---- sizes, locales, colors ----

sleep 4
client_bg a -t 30000 -s 203.0.113.3 $H4 7001
waits top '^a[0-9].* 203\.0\.113\.3'
used() { [ "$(screen top | awk 'NF {n = NR} END {print n}')" = "$1" ]; }
for size in '60 15' '80 24' '200 60' '100 30'; do
	# shellcheck disable=SC2086
	screen_size top $size
	shows 3 "$size: the table" top '^a.* 203\.0\.113\.3:.*[0-9]s +[0-9]+s'
	shows 3 "$size: the keys are in the last line" top "^y permit n block"
	check "$size: all lines are used" wait_for 3 used "${size#* }"
done
screen_size top 50 12
shows 3 "smaller than that it says what it needs" top '^60 columns, 15 lines are needed'
screen_size top 100 30
shows 3 "and is back when it has it" top '^ID '
SCREEN_LANG=C SCREEN_TERM=vt100 top_start ascii 80 24 --color never
shows 5 "another terminal, ASCII, no color" ascii '^a.* 203\.0\.113\.3:'
unlike "$(screen_colors ascii)" $'\033\\[[0-9;]*3[0-7]m' "... has no color"
like "$(screen_colors top)" $'\033\\[[0-9;]*3[0-7]m' "... where the first has"
screen_end ascii
TERM='' screen_start odd 80 24 "TERM=nonsense '$BIN/pendctl' --socket '$CONTROL' top; echo \"status \$?\"; sleep 1000"
shows 5 "a terminal that nobody knows is an error" odd '^pendctl: this terminal is not known: TERM is "nonsense"'
shows 5 "... with its status" odd '^status 1'
screen_end odd
h_pendctl block --all --reset >/dev/null

# ---- rights ----

if setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
	chmod 755 "$WORK" "$WORK/run"
	chmod 666 "$CONTROL"
	client_bg c -t 30000 -s 203.0.113.5 $H4 7001
	screen_start looks 100 30 "exec setpriv --reuid=65534 --regid=65534 --clear-groups '$BIN/pendctl' --socket '$CONTROL' top"
	shows 5 "an observer looks" looks '^a.* 203\.0\.113\.5:'
	screen_keys looks Down y
	shows 3 "... and may not decide" looks 'Your role is observe: you may look, not decide'
	check "... indeed" pending_is 1
	screen_end looks
	h_pendctl block --all --reset >/dev/null
fi

# ---- the daemon goes and comes back; quitting ----

pendd_kill
shows 5 "the daemon has gone" top '^pendd is not running: '
pendd_run
shows 10 "and is back" top '^pendd ok'
client_bg again -t 30000 -s 203.0.113.6 $H4 7001
waits top '^a[0-9].* 203\.0\.113\.6'
screen_keys top Down y
client_wait again
is "$(of again result)" connected "... and decides"
tty=$(screen_tty top)
tty_is() { [ "$(stty -g -F "$tty")" = "$(cat "$WORK/stty.before")" ]; }
kill -TSTP "$(screen_pid top pendctl)"
check "stopped: the terminal is as it was" wait_for 5 tty_is
kill -CONT "$(screen_pid top pendctl)"
check "and going on it is not" wait_for 5 eval '! tty_is'
shows 5 "... and the screen is there" top '^pendd ok'
screen_keys top q
shows 5 "q quits" top '^status 0'
wait_for 5 test -s "$WORK/stty.after"
check "the terminal is as it was" cmp "$WORK/stty.before" "$WORK/stty.after"
for sig in INT TERM HUP; do
	screen_end top
	rm -f "$WORK"/stty.*
	top_start top 100 30
	waits top '^pendd ok'
	kill -$sig "$(screen_pid top pendctl)"
	wait_for 5 test -s "$WORK/stty.after"
	check "SIG$sig: the terminal is as it was" cmp "$WORK/stty.before" "$WORK/stty.after"
done
tmux_ kill-server
pendd_stop
finish
