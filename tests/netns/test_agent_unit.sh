#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# `type unit`: what is not there is started when a connection waits for it, and stopped when nobody uses it: commands,
# those that put themselves into the background, units, UDP; and what happens when they fail.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/agent.sh
. "${0%/*}/agent.sh"
ns_pair 8
need_queue

# A service that takes a while to come: service NAME SECONDS PORT...; each start leaves a line. The leak check of a
# sanitizers' build stops its own process, and waits for ever where the SIGCONT behind a SIGTERM takes that stop away.
cat >"$WORK/service" <<-END
	#!/bin/sh
	echo start >>"$WORK/\$1.starts"
	sleep "\$2"
	echo \$\$ >"$WORK/\$1.pid"
	shift 2
	export ASAN_OPTIONS=detect_leaks=0
	exec "$BIN/tests/netns/server" -o /dev/null "\$@" 2>/dev/null # its own troubles are not ours
END
# The same in the background, and of no process group of ours.
cat >"$WORK/background" <<-END
	#!/bin/sh
	setsid "$WORK/service" "\$@" &
	exit 0
END
printf '#!/bin/sh\necho start >>%s/bad.starts\nexit 3\n' "$WORK" >"$WORK/bad"
# In place of systemctl, as there is no systemd that runs this: units are services as above.
cat >"$WORK/systemctl" <<-END
	#!/bin/sh
	echo "\$*" >>"$WORK/systemctl.calls"
	case "\$*" in
	"--no-ask-password start -- box.service") setsid "$WORK/service" box 0.3 tcp:7003 >/dev/null 2>&1 & ;;
	"--no-ask-password stop -- box.service") kill "\$(cat "$WORK/box.pid")" ;;
	"--no-ask-password start -- broken.service") exit 1 ;;
	"--no-ask-password start -- late.service") ;;
	*show*broken.service | *show*late.service) printf 'ActiveState=failed\nResult=exit-code\n' ;;
	esac
END
printf '#!/bin/sh\nmount --bind %s/systemctl /usr/bin/systemctl && exec "$@"\n' "$WORK" >"$WORK/wrapped"
chmod 755 "$WORK"/{service,background,bad,systemctl,wrapped}
[ -e /usr/bin/systemctl ] || skip_all "no /usr/bin/systemctl to put another one in its place"

PENDD_WRAPPER=$WORK/wrapped pendd_start <<-END
	authority cmd { type unit; command "$WORK/service cmd 0.5 tcp:7001"; ready tcp 7001; idle-stop 1s; timeout 10s }
	authority back { type unit; command "$WORK/background back 0.3 tcp:7002"; idle-stop 1s; timeout 10s }
	authority box { type unit; start "box.service"; ready tcp 7003; idle-stop 1s; timeout 10s }
	authority bad { type unit; command "$WORK/bad"; timeout 10s; on-error block }
	authority broken { type unit; start "broken.service"; timeout 10s; on-error block }
	authority late { type unit; start "late.service"; timeout 10s; on-error block }
	authority udp { type unit; command "$WORK/service udp 0.3 udp:7007"; ready udp 7007; timeout 10s }
	authority none { type unit; command "/nonexistent"; timeout 10s; on-error block }
	layer default {
		pend proto tcp to port 7001 ask cmd complete buffer with reset remember 1h
		pend proto tcp to port 7002 ask back complete flush with reset
		pend proto tcp to port 7003 ask box complete buffer with reset
		pend proto tcp to port 7004 ask bad complete buffer with reset
		pend proto tcp to port 7005 ask broken complete buffer with reset
		pend proto tcp to port 7006 ask late complete buffer with reset
		pend proto udp to port 7007 ask udp complete buffer
		pend proto tcp to port 7008 ask none complete buffer with reset
		permit
	}
END
holds 10 "programs serve them all" agents_serve cmd back box bad broken late udp none
try() { client -t 9000 "$@" | field result; }
starts() { cat "$WORK/$1.starts" 2>/dev/null | wc -l; }
listens() { [ -n "$(h ss -Hln "$1" "sport = $2")" ]; }
silent() { ! listens "$@"; }

# ---- a command ----

is "$(client -n 300 -c 300 -t 9000 -q "$H4" 7001 | field good)" 300 "three hundred at once wake it, and all are let in"
is "$(starts cmd)" 1 "it was started once"
is "$(try "$H6" 7001)" connected "by IPv6, too"
is "$(client -n 200 -c 10 -t 3000 -q "$H4" 7001 | field good)" 200 "while it runs all are let in"
is "$(starts cmd)" 1 "... without another start"
client_bg keeps -k 2500 "$H4" 7001
sleep 2
check "a connection keeps it running" listens -t 7001
client_wait keeps
check "it is stopped when nobody has used it for a second" wait_for 4 silent -t 7001
is "$(try "$H4" 7001)" connected "the next one wakes it again"
is "$(starts cmd)" 2 "... by a second start"
kill -KILL "$(cat "$WORK/cmd.pid")"
wait_for 3 silent -t 7001
is "$(try "$H4" 7001)" connected "so it is when it was killed"
is "$(starts cmd)" 3 "... by a third"
kill -STOP "$(cat "$WORK/cmd.pid")"
check "what does not run is stopped all the same" wait_for 4 silent -t 7001

# ---- in the background ----

is "$(try "$H4" 7002)" connected "a command that goes to the background is waited for, without being told the port"
check "it is found again, and stopped" wait_for 4 silent -t 7002
is "$(try "$H4" 7002)" connected "and started again"
back=$(cat "$WORK/back.pid")
check "the program that serves it starts anew" agent_again back
check "... and takes it along" wait_for 3 gone "$back"

# ---- units ----

is "$(client -n 5 -c 5 -t 9000 -q "$H4" 7003 | field good)" 5 "a unit is started"
is "$(grep -c ' start -- box.service' "$WORK/systemctl.calls")" 1 "... once, by systemctl"
check "and stopped" wait_for 4 silent -t 7003
is "$(grep -c ' stop -- box.service' "$WORK/systemctl.calls")" 1 "... once, by systemctl"
h "$WORK/service" box 0 tcp:7003 2>/dev/null &
check "one that somebody else has started" wait_for 4 listens -t 7003
is "$(try "$H4" 7003)" connected "... lets in at once"
is "$(grep -c ' start -- box.service' "$WORK/systemctl.calls")" 1 "... without a start"
check "... and is stopped, too" wait_for 4 silent -t 7003
is "$(try "$H4" 7005)" refused "a unit that cannot be started: refused"
check "... and the log says how it is" grep -q 'systemctl start ended with status 1, the unit is failed (exit-code)' "$WORK/pendd.log"
is "$(try "$H4" 7006)" refused "one that fails behind its start: refused"
check "... and the log says so" grep -q 'late.service was started, the unit is failed' "$WORK/pendd.log"

# ---- failures ----

is "$(try "$H4" 7004)" refused "a command that fails: refused"
is "$(try "$H4" 7004)" refused "so is who comes right behind"
is "$(starts bad)" 1 "... without another try"
check "the log has the status" grep -q 'bad ended with status 3' "$WORK/pendd.log"
sleep 1
try "$H4" 7004 >/dev/null
is "$(starts bad)" 2 "a second later it is tried again"
is "$(try "$H4" 7008)" refused "a command that is not there: refused"
check "... and the log says so" grep -q '/nonexistent: No such file' "$WORK/pendd.log"

# ---- UDP ----

is "$(client -u -t 9000 "$H4" 7007 | field result)" answered "a datagram wakes a UDP service"
is "$(starts udp)" 1 "... once"

# ---- the end ----

try "$H4" 7001 >/dev/null
udp=$(cat "$WORK/udp.pid") cmd=$(cat "$WORK/cmd.pid")
pendd_stop
is "$PENDD_STATUS" 0 "pendd ends"
check "... and takes along what was started" wait_for 3 gone "$udp"
check "... all of it" wait_for 3 gone "$cmd"
finish
