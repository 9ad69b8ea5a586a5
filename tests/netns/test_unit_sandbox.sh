#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60 no-vm
# pendd does its work as the unit file runs it: as an ordinary user with three capabilities, no new privileges,
# the unit's system call filter and address families, and it tells systemd what systemd waits for.
. "${0%/*}/lib.sh"

UNIT=$TOP/systemd/pendd.service.in
command -v systemd-analyze >/dev/null || skip_all "systemd-analyze is not installed: it knows the call groups"
systemd-analyze syscall-filter @privileged >/dev/null 2>&1 || skip_all "systemd-analyze has no syscall-filter"
[ -x "$BIN/tests/tools/unitfilter" ] || skip_all "$BIN/tests/tools/unitfilter is not built"

values() { sed -n "s/^$1=//p" "$UNIT"; }

# The names in a group, whose lines may be groups again.
expand()
{
	local name
	for name; do
		case $name in
		@*)
			local inner
			mapfile -t inner < <(systemd-analyze syscall-filter --no-pager "$name" |
				sed -n '2,$s/^ *\([@_a-z][^ ]*\).*/\1/p')
			expand ${inner[@]+"${inner[@]}"} ;;
		*) echo "$name" ;;
		esac
	done
}

# As systemd reads the lines: the first makes it a list of what is allowed, "~" takes away.
allowed_calls()
{
	local line
	: >"$WORK/calls"
	while read -r line; do
		# shellcheck disable=SC2086  # words
		case $line in
		~*) expand ${line#\~} | sort -u | comm -23 "$WORK/calls" - >"$WORK/calls.new" ;;
		*) { cat "$WORK/calls"; expand $line; } | sort -u >"$WORK/calls.new" ;;
		esac
		mv "$WORK/calls.new" "$WORK/calls"
	done < <(values SystemCallFilter)
	# systemd itself lets these through to start the program.
	{ cat "$WORK/calls"; expand @default; } | sort -u
}

allowed_calls >"$WORK/allowed"
gt "$(wc -l <"$WORK/allowed")" 100 "the unit's filter was read"
is "$(grep -cxE 'sched_setscheduler|sched_setattr|setpriority' "$WORK/allowed")" 3 "threads may be behind others"
is "$(values LimitNICE)" +0 "... and come back"
unlike "$(cat "$WORK/allowed")" '^(mount|bpf|init_module|setuid)$' "it leaves the dangerous ones out"

ns_pair 4
server tcp:80 tcp:82 tcp:83
chmod 755 "$WORK"
chown 65534 "$WORK/run"
families=$(values RestrictAddressFamilies | tr ' ' ,)
caps=$(values CapabilityBoundingSet | tr '[:upper:]' '[:lower:]' | sed 's/cap_/+/g; s/ /,/g')
hidepid=$(values ProtectProc)
cat >"$WORK/as-unit" <<END
#!/bin/bash
mount -t proc -o "hidepid=${hidepid:-default}" proc /proc || exit 1
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps "-all,$caps" \\
	--ambient-caps "-all,$caps" --bounding-set "-all,$caps" --no-new-privs \\
	"$BIN/tests/tools/unitfilter" "$families" "\$@" <"$WORK/allowed"
END
chmod 755 "$WORK/as-unit"
export NOTIFY_SOCKET=$WORK/run/notify
if command -v socat >/dev/null; then
	socat -u "UNIX-RECV:$NOTIFY_SOCKET,mode=777" "OPEN:$WORK/notify,creat" &
	wait_for 5 test -S "$NOTIFY_SOCKET"
else
	unset NOTIFY_SOCKET
fi

# shellcheck disable=SC2034
PENDD_WRAPPER=$WORK/as-unit
cat >"$WORK/prog" <<'END'
#!/bin/sh
while read -r line; do echo '{"verdict":"permit"}'; done
END
chmod 755 "$WORK/prog"
pendd_start <<END
authority now { type static; answer permit; }
authority prog { type exec; command "$WORK/prog"; mode stay; processes 2; timeout 8s }
layer default {
	pend proto tcp to port 80 ask now complete buffer
	pend proto tcp to port 83 ask prog complete buffer
	permit proto tcp to port 82 user 0 executable "$BIN/tests/netns/server"
	block with reset
}
END
ok "pendd starts in its sandbox"
is "$(awk '/^CapEff/ {print $2}' "/proc/$PENDD_PID/status")" 0000000000003000 "two capabilities are in force"
capabilities() { awk '/^Cap(Prm|Eff|Inh|Amb)/ {print $2}' "/proc/$(child_of_pendd "$1")/status" | xargs; }
is "$(capabilities --authority-process)" "0000000000000000 0000000000000000 0000000000000000 0000000000000000" \
	"the authority process has none"
is "$(capabilities --resolver-process)" "0000000000000000 0000000000080000 0000000000080000 0000000000000000" \
	"the resolver may look at processes, and nothing else"
client_bg one -n 20 -l 10 "$H4" 80
client_wait one
is "$(ended one connected)" 20 "connections are pended and permitted"
client_bg no "$H4" 81
client_wait no
is "$(of no result)" refused "blocked with a reset"
client_bg who "$H4" 82
client_wait who
is "$(of who result)" connected "another user's process is seen, past ProtectProc=${hidepid:-default}"
client_bg prog -t 8000 -n 20 -l 10 "$H4" 83
client_wait prog
is "$(ended prog connected)" 20 "a program answers in that sandbox"
check "pendctl reload" h_pendctl reload
holds 5 "pendd stops" pendd_stop
is "$PENDD_STATUS" 0 "with status 0"
[ -z "${NOTIFY_SOCKET:-}" ] || {
	like "$(cat "$WORK/notify")" 'READY=1' "systemd heard that it was ready"
	like "$(cat "$WORK/notify")" 'STOPPING=1' "and that it was stopping"
}
unlike "$(cat "$WORK/pendd.log")" 'Operation not permitted' "nothing was refused to it"

finish
