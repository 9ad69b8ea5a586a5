#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# `type unit` with a real systemd: one that is process 1 of namespaces of its own, so that it knows our units alone and
# touches nothing of this host.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/agent.sh
. "${0%/*}/agent.sh"
SYSTEMD=/lib/systemd/systemd
if [ ! -x "$SYSTEMD" ] || [ ! -x /usr/bin/systemctl ]; then skip_all "systemd is not installed"; fi
ns_pair
need_queue

CGROUPS=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
mkdir "${CGROUPS:-/nonexistent}/pend-$ID" 2>/dev/null || skip_all "no control group can be made: systemd needs one"
cgroup_end()
{
	[ -z "${SYSTEMD_PID:-}" ] || kill -KILL "$SYSTEMD_PID" 2>/dev/null
	wait_for 5 cgroup_gone
}
cgroup_gone() { find "$CGROUPS/pend-$ID" -depth -type d -exec rmdir {} \; 2>/dev/null; [ ! -e "$CGROUPS/pend-$ID" ]; }
trap 'cgroup_end; on_exit' EXIT

cat >"$WORK/begin" <<-END
	#!/bin/sh
	# /sys is that of the network namespace: nothing is mounted in it
	mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
	mkdir -p /run/systemd/system && cp "$WORK"/units/* /run/systemd/system/ || exit 1
	container=pend exec $SYSTEMD --system --unit=test.target --log-target=console --show-status=no
END
chmod 755 "$WORK/begin"
mkdir "$WORK/units"
unit() { { printf '[Unit]\nDefaultDependencies=no\n'; cat; } >"$WORK/units/$1"; } # name < text
unit test.target </dev/null
unit box.service <<-END
	[Service]
	ExecStartPre=/bin/sleep 0.3
	ExecStart=$BIN/tests/netns/server -o /dev/null tcp:7001
END
unit broken.service <<-END
	[Service]
	Type=oneshot
	ExecStart=/bin/false
END
unit late.service <<-END
	[Service]
	ExecStart=/bin/sh -c "sleep 0.5; exit 4"
END

unit pendd.service <<-END
	[Service]
	Type=notify
	ExecStart=$BIN/pendd -d -c $CONFIG
	StandardError=file:$WORK/pendd.log
END

# shellcheck disable=SC2016  # it is for the inner shell
sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$CGROUPS/pend-$ID" \
	ip netns exec "$H" unshare --mount --pid --cgroup --fork --mount-proc --kill-child "$WORK/begin" >"$WORK/systemd.log" 2>&1 &
OUTER=$!
inner() { SYSTEMD_PID=$(pgrep -P "$OUTER" | head -n 1) && [ -n "$SYSTEMD_PID" ] && [ "$(readlink "/proc/$SYSTEMD_PID/exe")" = "$(readlink -f $SYSTEMD)" ]; }
in_systemd() { nsenter -t "$SYSTEMD_PID" --mount --pid "$@"; } # who is in no process namespace of its has no credentials for it
up() { inner && [ "$(in_systemd systemctl is-active test.target)" = active ]; }
wait_for 10 up || { sed 's/^/# /' "$WORK/systemd.log"; cgroup_end; skip_all "systemd does not run in a namespace here"; }
active() { [ "$(in_systemd systemctl is-active "$1")" = active ]; }
inactive() { ! active "$1"; }

pendd_config <<-END
	authority box { type unit; start "box.service"; ready tcp 7001; idle-stop 1s; timeout 10s }
	authority broken { type unit; start "broken.service"; ready tcp 7002; timeout 10s; on-error block }
	authority late { type unit; start "late.service"; ready tcp 7003; timeout 10s; on-error block }
	authority none { type unit; start "none.service"; timeout 10s; on-error block }
	layer default {
		pend proto tcp to port 7001 ask box complete buffer with reset
		pend proto tcp to port 7002 ask broken complete buffer with reset
		pend proto tcp to port 7003 ask late complete buffer with reset
		pend proto tcp to port 7004 ask none complete buffer with reset
		permit
	}
END
check "pendd starts as a unit, too" in_systemd systemctl start pendd.service
PENDD_PID=$(pgrep -P "$SYSTEMD_PID" -f -- "-c $CONFIG")
holds 10 "programs serve them" agents_serve box broken late none
try() { client -t 9000 "$@" | field result; }

check "the unit is not active at first" inactive box.service
is "$(client -n 10 -c 10 -t 9000 -q "$H4" 7001 | field good)" 10 "ten at once start it, and all are let in"
check "systemd has it" active box.service
check "it is stopped when nobody uses it" wait_for 5 inactive box.service
is "$(try "$H4" 7001)" connected "the next one starts it again"
in_systemd systemctl kill --signal=KILL box.service
check "killed" wait_for 5 inactive box.service
is "$(try "$H4" 7001)" connected "... it is started again"

is "$(try "$H4" 7002)" refused "a unit that fails to start: refused"
check "... and the log has how" grep -q 'systemctl start ended with status 1, the unit is failed (exit-code)' "$WORK/pendd.log"
is "$(try "$H4" 7003)" refused "one that fails soon after: refused"
check "... and the log has how" grep -q 'late.service was started, the unit is failed (exit-code)' "$WORK/pendd.log"
is "$(try "$H4" 7004)" refused "one that there is not: refused"
check "... and the log has it" grep -q 'systemctl start ended with status 5' "$WORK/pendd.log"

client_bg keeps -k 9000 "$H4" 7001
lives() { [ -n "$(h ss -Htn state established 'sport = 7001')" ]; }
check "with a connection to it" wait_for 5 lives
check "the daemon ends" in_systemd systemctl stop pendd.service
PENDD_PID=''
check "the unit goes on when the daemon ends" active box.service
trap on_exit EXIT
cgroup_end
check "nothing is left of systemd" cgroup_gone
finish
