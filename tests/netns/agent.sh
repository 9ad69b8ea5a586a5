# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# For tests of the programs that pendd starts for authorities; sourced behind lib.sh. What they say is in pendd's log.

agent_pid() { pgrep -P "$PENDD_PID" -f -- "^$BIN/pend-agent .*--authority $1\$"; } # authority

agents_serve() # authority...
{
	local name states
	states=$(h_pendctl authorities)
	for name; do awk -v n="$name" '$1 == n && $5 == "ok" { f = 1 } END { exit !f }' <<<"$states" || return 1; done
}

# End a program; pendd starts another one.
agent_again() # authority
{
	local was
	was=$(agent_pid "$1")
	kill "$was"
	wait_for 5 gone "$was" && wait_for 5 agents_serve "$1"
}
