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

# Wait until it serves.
agent_serves() { wait_for 10 agents_serve "$1" || bail "authority $1: $(h_pendctl authorities)"; } # authority
agent_signal() { kill "-$2" "$(agent_pid "$1")"; }                                             # authority signal
agent_log() { grep -F "pend-agent: $1: " "$WORK/pendd.log"; }                                  # authority
agent_said() { agent_log "$1" | grep -qE -- "$2"; }                                            # authority regular-expression

# The line of numbers that some kinds write on SIGUSR1, and one of them: agent_number list 'not listed'
agent_counts() # authority
{
	local before
	before=$(agent_log "$1" | grep -c 'questions [0-9]')
	agent_signal "$1" USR1
	wait_for 2 agent_counted "$1" "$before"
	agent_log "$1" | grep 'questions [0-9]' | tail -n 1
}
agent_counted() { [ "$(agent_log "$1" | grep -c 'questions [0-9]')" -gt "$2" ]; }
agent_number() { agent_counts "$1" | sed -nE "s/.*[,;:] $2 ([0-9]+).*/\1/p"; }

# For a policy: they run as nobody in particular. Such a user has to come to the control socket.
# shellcheck disable=SC2034  # tests use it
AGENT_USER='user 65534; group 65534'
agent_let_in() { chmod 755 "$WORK" "$WORK/run"; }
