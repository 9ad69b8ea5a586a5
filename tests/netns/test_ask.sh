#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=240 san
# `pendctl ask` at real terminals: what is shown, what the keys do, and that the terminal is given back.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/screen.sh
. "${0%/*}/screen.sh"
ns_pair
need_queue
server tcp:7001 tcp:7002 tcp:7003

policy()
{
	cat <<-END
	authority people { type operator; timeout 40s; on-timeout block; }
	authority others { type operator; timeout 40s; on-timeout block; }
	layer default {
		pend proto tcp to port 7001 ask people complete buffer
		pend proto tcp to port 7002 ask people complete buffer timeout 3s
		pend proto tcp to port 7003 ask others complete buffer
		permit
	}
	END
}
PENDD_SETTINGS="observe-group \"nogroup\"; state \"$WORK/run/state.db\";" pendd_start < <(policy)

# Names come from a file of the test's, seen by what runs in the terminals only.
printf '127.0.0.1 localhost\n203.0.113.1 evil\033[2J\033]0;owned\007.example\n203.0.113.2 good.example\n' >"$WORK/hosts"
echo "nameserver 192.0.2.99" >"$WORK/resolv"
cat >"$WORK/ask" <<END
#!/bin/bash
mount --bind $WORK/hosts /etc/hosts; mount --bind $WORK/resolv /etc/resolv.conf
stty -g >$WORK/stty.before
"$BIN/pendctl" --socket "$CONTROL" ask "\$@"
echo "status \$?"; stty -g >$WORK/stty.after
exec sleep 1000
END
chmod +x "$WORK/ask"
ask_start() { screen_start "$1" "${COLUMNS_:-100}" 30 "clear; exec unshare -m '$WORK/ask' ${*:2}"; } # name option...
tty_is() { [ "$(stty -g -F "$1")" = "$(cat "$WORK/stty.before")" ]; }
prompt='^Permit.*\? \[y n r Y N R 1 h d f w s i \? q\]'
idle='^Nothing waits \[q quits'

# ---- not for programs ----

OUT=$(h_pendctl ask 2>&1 </dev/null)
is $? 2 "2: without a terminal"
like "$OUT" 'ask is for a person at a terminal' "... and what to use instead"
ask_start stopped --port 1
shows 5 "without a question it says so" stopped "$idle"

if setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
	chmod 755 "$WORK" "$WORK/run"
	chmod 666 "$CONTROL"
	screen_start looks 100 10 "setpriv --reuid=65534 --regid=65534 --clear-groups '$BIN/pendctl' --socket '$CONTROL' ask; echo \"status \$?\"; sleep 1000"
	shows 5 "who may not decide is told so" looks '^pendctl: your role is observe: you may look \(pendctl top\), not decide'
	shows 5 "... with its status" looks '^status 5'
	screen_end looks
fi

# ---- one question, yes ----

ask_start one --authority people
shows 5 "nothing waits" one "$idle"
client_bg yes -t 20000 -s 203.0.113.2 $H4 7001
shows 5 "a question" one "$prompt [0-9]+s left"
like "$(screen one)" '^a[0-9.]+  tcp 203\.0\.113\.2:[0-9]+ > 192\.0\.2\.1:7001  asks people' "its tuple and authority"
like "$(screen one)" '^  from     203\.0\.113\.2, good\.example$' "its source's name, which leads back"
like "$(screen one)" '^  to       192\.0\.2\.1:7001.*, in eth0' "its destination and interface"
like "$(screen one)" "^  listens  user root, $BIN/tests/netns/server" "who listens"
like "$(screen one)" "^  rule     $CONFIG:[0-9]+: pend proto tcp to port 7001" "its rule, where and what"
like "$(screen one)" '^  waits    .*in [0-9]+s: block$' "its age and deadline"
sleep 0.5
screen_keys one x z 5 Up F5 Enter
check "keys without a meaning do nothing" pending_is 1
screen_keys one y
client_wait yes
is "$(of yes result)" connected "y permits"
shows 5 "what became of it is told" one '^a[0-9.]+  tcp 203\.0\.113\.2:.*: permitted by operator after'
shows 5 "nothing waits any more" one "$idle"

# ---- no, with a reset; what another decided; what times out ----

client_bg no -t 20000 -s 203.0.113.2 $H4 7001
shows 5 "the next one" one "^  earlier  1 permitted, 0 blocked"
sleep 0.5
screen_keys one r
client_wait no
is "$(of no result)" refused "r blocks with a reset"
client_bg other -t 20000 $H4 7001
shows 5 "a source without a name" one "^  from     192\.0\.2\.2(, (no name|its name was not.*))?$"
wait_for 5 screen_has one "$prompt"
h_pendctl block --reset "$C4" >/dev/null
client_wait other
shows 5 "what somebody else decides is told and goes" one '^a[0-9.]+  tcp 192\.0\.2\.2:.*: blocked by operator'
client_bg late -t 6000 $H4 7002
shows 5 "one with little time" one "192\.0\.2\.1:7002  asks"
shows 8 "what times out is told and goes" one '192\.0\.2\.1:7002: timed-out'
client_wait late
client_bg foreign -t 20000 $H4 7003
wait_for 5 pending_is 1
sleep 0.5
check "a filter: what another authority is asked is no question here" screen_has one "$idle"
h_pendctl permit --all >/dev/null
client_wait foreign

# ---- all of a source; skip; a reason ----

client_bg many -n 3 -t 20000 -s 203.0.113.2 $H4 7001
wait_for 5 pending_is 3
client_bg rest -t 20000 -s 203.0.113.3 $H4 7001
wait_for 5 pending_is 4
# Somebody who comes when all of them wait.
ask_start two --authority people
shows 5 "how many more wait from there" two '^  besides  2 more of this source wait'
wait_for 5 screen_has two "$prompt"
sleep 0.5
screen_keys two Y
client_wait many
is "$(ended many connected)" 3 "Y permits all of this source"
check "... and nobody else's" pending_is 1
screen_end two
shows 5 "the other one is asked about" one '^a[0-9.]+  tcp 203\.0\.113\.3:'
wait_for 5 screen_has one "$prompt"
sleep 0.5
screen_keys one s
shows 5 "s leaves it" one '^1 skipped \[b asks again'
check "... where it was" pending_is 1
screen_keys one b
shows 5 "b asks again" one "$prompt"
sleep 0.5
screen_keys one i
shows 5 "i tells more" one '^  the last decisions about this source:'
screen_keys one '?'
shows 5 "? tells the keys" one '^  y permit +n block'
screen_keys one n
client_wait rest
is "$(of rest result)" timeout "n drops"

# ---- remembered ----

client_bg hour -t 20000 -s 203.0.113.4 $H4 7001
shows 5 "one more" one '203\.0\.113\.4:.*asks people'
wait_for 5 screen_has one "$prompt"
sleep 0.5
screen_keys one h w
screen_keys one -l "it is Ann"
shows 3 "a reason is written" one '^reason: it is Ann'
screen_keys one Enter
shows 3 "h and w are seen to count" one '^Permit for an hour\? .*, reason: it is Ann'
screen_keys one y
client_wait hour
is "$(of hour result)" connected "it is permitted"
is "$(client -t 3000 -s 203.0.113.4 $H4 7001 | field result)" connected "for an hour: the next is let in without a question"
like "$(h_pendctl --json decisions)" '"why": ?"it is Ann"' "... and the reason is kept"
client_bg once -t 20000 -s 203.0.113.5 $H4 7001
shows 5 "another" one '203\.0\.113\.5:.*asks people'
wait_for 5 screen_has one "$prompt"
sleep 0.5
screen_keys one 1 y
client_wait once
client_bg twice -t 20000 -s 203.0.113.5 $H4 7001
holds 5 "what was said for once is asked again" pending_is 1
h_pendctl block --all --reset >/dev/null
client_wait twice

# ---- hostile text ----

client_bg evil -t 20000 -s 203.0.113.1 $H4 7001
shows 5 "a hostile name is shown harmless" one '^  from     203\.0\.113\.1, evil\?\[2J\?\]0;owned\?\.example'
unlike "$(screen_colors one)" $'\033\\]0|owned\007' "... and the terminal did not obey it"
wait_for 5 screen_has one "$prompt"
sleep 0.5
screen_keys one n
client_wait evil

client_bg why -t 20000 -s 203.0.113.6 $H4 7001
wait_for 5 pending_is 1
h_pendctl permit 203.0.113.6 --for 1h --why $'x\033[2J\033]0;owned\007y' >/dev/null
client_wait why
client_bg why -t 6000 -s 203.0.113.6 $H4 7002
shows 5 "another service of that source is asked about" one '203\.0\.113\.6:.*7002  asks people'
wait_for 5 screen_has one "$prompt"
sleep 0.4
screen_keys one i
shows 3 "a hostile reason is shown harmless" one '^    permit service 192\.0\.2\.1:7001, by root, for .* more: x.*\[2J.*y$'
unlike "$(screen_colors one)" $'\033\\]0|owned\007' "... and the terminal did not obey it"
screen_keys one n
client_wait why

# ---- sizes, stopping, the daemon going, quitting ----

screen_size one 60 15
client_bg narrow -t 20000 -s 203.0.113.2 $H4 7001
shows 5 "60 columns" one '^Permit\? \[y n r Y N R 1 h d f w s i \? q\] [0-9.]+s left'
screen_size one 120 40
shows 5 "120 columns" one '^Permit\? \[y n r Y N R 1 h d f w s i \? q\] [0-9.]+s left'
sleep 0.5
screen_keys one y
client_wait narrow
is "$(of narrow result)" connected "y permits after that, too"
pendd_kill
shows 5 "the daemon has gone" one 'trying again'
pendd_run
wait_for 10 pendd_ready
client_bg again -t 20000 -s 203.0.113.2 $H4 7001
shows 8 "it is back" one "$prompt"
like "$(screen one | tail -n 8)" '^  earlier  [1-9][0-9]* permitted, [1-9][0-9]* blocked, .* last permitted at' "... and knows what it has kept of earlier"
sleep 0.5
screen_keys one y
client_wait again
is "$(of again result)" connected "... and decides"
tty=$(screen_tty one)
isnt "$(stty -g -F "$tty")" "$(cat "$WORK/stty.before")" "the terminal gives single keys meanwhile"
kill -TSTP "$(screen_pid one pendctl)"
check "stopped: the terminal is as it was" wait_for 5 tty_is "$tty"
kill -CONT "$(screen_pid one pendctl)"
check "and going on: single keys again" wait_for 5 eval '! tty_is "$tty"'
shows 5 "... and the prompt" one "$idle"
screen_keys one q
shows 5 "q quits" one '^status 0'
wait_for 5 test -s "$WORK/stty.after"
check "the terminal is as it was" cmp "$WORK/stty.before" "$WORK/stty.after"
for sig in INT TERM HUP; do
	screen_end one
	rm -f "$WORK"/stty.*
	ask_start one
	shows 5 "again" one "$idle"
	kill -$sig "$(screen_pid one pendctl)"
	wait_for 5 test -s "$WORK/stty.after"
	check "SIG$sig: the terminal is as it was" cmp "$WORK/stty.before" "$WORK/stty.after"
done

# ---- decided, and not written ----

screen_end one
pendd_stop
mkdir "$WORK/disk"
printf '#!/bin/sh\nmount -t tmpfs -o size=400k none %s || exit 1\nexec "$@"\n' "$WORK/disk" >"$WORK/small-disk"
chmod +x "$WORK/small-disk"
PENDD_WRAPPER="unshare -m --propagation private $WORK/small-disk"
PENDD_SETTINGS="state \"$WORK/disk/state.db\";" pendd_start < <(policy)
nsenter -t "$PENDD_PID" -m dd if=/dev/zero of="$WORK/disk/full" bs=4k count=200 2>/dev/null
ask_start full
shows 5 "a daemon whose disk is full" full "$idle"
client_bg unwritten -t 20000 -s 203.0.113.2 $H4 7001
wait_for 5 screen_has full "$prompt"
sleep 0.5
screen_keys full h y
client_wait unwritten
is "$(of unwritten result)" connected "it is decided all the same"
shows 5 "... which is told" full '^warning: it is decided, but what others are to know ends with the daemon'
shows 5 "... and is no question any more" full "$idle"
unlike "$(screen full)" 'not done' "... nor something that was not done"
tmux_ kill-server
pendd_stop
finish
