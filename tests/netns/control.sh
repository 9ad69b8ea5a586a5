# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the tests of the whole daemon share, on top of lib.sh: the control socket without a process for every
# question (control.py), and questions that come up often.
#
#     control_start               # once, in the beginning; the daemon need not run
#     ctl status totals.held      # a command of control.py, prints its answer
#     got=$(ctl permit all)       # "completed failed at"

command -v python3 >/dev/null || skip_all "no python3"

control_start()
{
	mkfifo "$WORK/ctl.in" "$WORK/ctl.out"
	ip netns exec "$H" python3 "$TOP/tests/netns/control.py" "$CONTROL" \
		<"$WORK/ctl.in" >"$WORK/ctl.out" 2>"$WORK/ctl.err" &
	exec {CTL_W}>"$WORK/ctl.in" {CTL_R}<"$WORK/ctl.out"
}

ctl() # command
{
	local answer
	echo "$*" >&"$CTL_W"
	IFS= read -r -t "${CTL_PATIENCE:-70}" answer <&"$CTL_R" || answer="no answer to $*"
	echo "$answer"
	[[ $answer != failed:* ]]
}

pendd_ready()
{
	running "$PENDD_PID" || { echo "pendd ended"; return 1; }
	pendd_said_ready && ctl status version
}

pends() { [ "$(ctl count "${@:2}")" = "$1" ]; }       # so many are pended [of that kind]
pends_least() { [ "$(ctl count "${@:2}")" -ge "$1" ]; }
stat_is() { [ "$(ctl status "$1")" = "$2" ]; }
stat_least() { [ "$(ctl status "$1")" -ge "$2" ]; }
told() { [ "$(ctl seen completed "${@:2}")" = "$1" ]; } # so many events of an end with these values
total() { local k; k=$(printf ' totals.%s' "$@"); ctl status $k; }
retransmitted() { local r; for r in $(ctl get retransmits "${@:2}"); do [ "$r" -ge "$1" ] || return 1; done; }

# One of the words of an answer.
word() { awk -v n="$1" '{print $n}'; }

# I3: all that were ever pended have ended somehow, or are pending.
books_balance()
{
	# shellcheck disable=SC2046  # words
	set -- $(total pended pending ended_permitted ended_blocked ended_flushed ended_timed_out \
		ended_abandoned ended_lost ended_drained)
	local pended=$1 sum=0 n
	shift
	for n; do sum=$((sum + n)); done
	echo "pended $pended, accounted for $sum"
	[ "$pended" = "$sum" ]
}

# The kernel's count of the packets that wait in our queues, and of what it dropped.
kernel_queue() { h awk -v n="$1" '{s += $n} END {print s + 0}' /proc/net/netfilter/nfnetlink_queue; }
kernel_holds() { [ "$(kernel_queue 3)" = "$1" ]; }

# Each packet that we got was answered exactly once: nothing waits in the kernel or here, nothing was
# answered twice (a second verdict would meet ENOENT and show as kernel-lost or as an error). What the
# kernel dropped by itself is $1, what was copied and dropped has its verdict too.
ledger_closes() # [kernel-lost]
{
	# shellcheck disable=SC2046  # words
	set -- "${1:-0}" $(total packets verdicts verdict_errors kernel_lost held pending)
	echo "packets $2, verdicts $3, errors $4, lost $5 (want $1), held $6, pending $7, queued $(kernel_queue 3)"
	[ "$2" = "$3" ] && [ "$4" = 0 ] && [ "$5" = "$1" ] && [ "$6" = 0 ] && [ "$7" = 0 ] && kernel_holds 0
}

# ms from a decision, as permit and block answer it, to what a client says of itself.
since() { awk -v d="$(word 3 <<<"$1")" '{printf "%.0f\n", $1 - d}'; }
# An upper limit in ms, on a machine that is slow by nature too.
ms() { echo $(($1 * ${WAIT_FACTOR:-1})); }
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
most() { sort -n | tail -n 1; }
least() { sort -n | head -n 1; }

# ms that the status takes, as most of five times: one may meet a machine that does not run us for a while.
status_ms() {
	local i begin
	for ((i = 0; i < 5; i++)); do
		begin=$(now_ms)
		ctl status version >/dev/null
		echo $(($(now_ms) - begin))
	done | median
}

# Three clients of each family, NAME4 and NAME6, were started.
all_connect() { # name text
	local f
	for f in 4 6; do
		client_wait "$1$f"
		is "$(ended "$1$f" connected)" 3 "IPv$f: $2"
		is "$(of "$1$f" received | sort -u)" 10 "IPv$f: and talk"
	done
}
after() { of "$2" at | while read -r at; do since "$1" <<<"$at"; done; }
