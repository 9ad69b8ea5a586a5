# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# The house of a kernel test. A test is a script tests/netns/test_NAME.sh:
#
#     # pend-test: limit=60            (also: san, no-vm. See tools/runtests)
#     . "${0%/*}/lib.sh"
#     ns_pair                          # namespaces $H (host, 192.0.2.1) and $C (client, 192.0.2.2)
#     server tcp:80                    # a plain server in the host
#     pendd_start <<<'layer default { pend proto tcp to port 80 ask ops complete buffer }'
#     client_bg one 192.0.2.1 80       # a plain client, its output in $WORK/one
#     wait_for 3 pending_is 1
#     h_pendctl permit all
#     client_wait one
#     is "$(jq_field one result)" connected "a permitted client connects"
#     finish
#
# Everything is named after the test's own id and lives in $WORK; when the test ends, however it ends, its
# processes are killed, its namespaces removed, and what is left behind is a failure. Output is TAP.
# Waits have a limit and a condition (wait_for); sleeping is for letting nothing happen.
#
# Needs root. B is the build folder.

# shellcheck disable=SC2034  # tests use what is set here
set -uo pipefail
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C.UTF-8

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
B=${B:-build}
case $B in /*) BIN=$B ;; *) BIN=$TOP/$B ;; esac
TEST=$(basename "$0" .sh)
ID=$$
H=pend-h$ID C=pend-c$ID
NAMESPACES=() TESTS_RUN=0 TESTS_FAILED=0 PENDD_PID='' PENDD_RUNS=0 PENDD_LOG_FROM=1 SERVER_PID=''
# Unix sockets: not in the source tree, which may be a file system without them.
WORK=$(mktemp -d "/tmp/pend-$TEST.XXXXXX") || exit 1
CONTROL=$WORK/run/control.sock
CONFIG=$WORK/pend.conf
mkdir -p "$WORK/run"

# The host's and the client's addresses. The client has many: one a test.
H4=192.0.2.1 C4=192.0.2.2
H6=2001:db8::1 C6=2001:db8::2

# ------------------------------------------------------------------ results ----

ok() # text
{
	TESTS_RUN=$((TESTS_RUN + 1))
	echo "ok $TESTS_RUN - $1"
}

not_ok() # text [diagnostic...]
{
	TESTS_RUN=$((TESTS_RUN + 1)) TESTS_FAILED=$((TESTS_FAILED + 1))
	echo "not ok $TESTS_RUN - $1"
	shift
	[ $# -eq 0 ] || printf '%s\n' "$@" | sed 's/^/# /'
}

skip() # text reason
{
	TESTS_RUN=$((TESTS_RUN + 1))
	echo "ok $TESTS_RUN - $1 # SKIP $2"
}

skip_all() # reason: nothing of this script can run here
{
	echo "$*"
	exit 77
}

bail() # reason: the test itself is broken or cannot go on
{
	not_ok "$TEST goes on" "$*"
	exit 1
}

check() # text command...
{
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then ok "$text"; else not_ok "$text" "$* failed:" "$out"; fi
}

check_not() # text command...
{
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then not_ok "$text" "$* succeeded:" "$out"; else ok "$text"; fi
}

is() # got want text
{
	if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3" "got:  $1" "want: $2"; fi
}

isnt() # got unwanted text
{
	if [ "$1" != "$2" ]; then ok "$3"; else not_ok "$3" "got: $1"; fi
}

# Numbers may have a fraction. An empty one is no number.
compare() { [ -n "$1" ] && [ -n "$3" ] && awk -v a="$1" -v b="$3" "BEGIN {exit !(a + 0 $2 b + 0)}"; }
lt() { if compare "$1" '<' "$2"; then ok "$3 ($1 < $2)"; else not_ok "$3" "not $1 < $2"; fi; }
le() { if compare "$1" '<=' "$2"; then ok "$3 ($1 <= $2)"; else not_ok "$3" "not $1 <= $2"; fi; }
gt() { if compare "$1" '>' "$2"; then ok "$3 ($1 > $2)"; else not_ok "$3" "not $1 > $2"; fi; }
ge() { if compare "$1" '>=' "$2"; then ok "$3 ($1 >= $2)"; else not_ok "$3" "not $1 >= $2"; fi; }

like() # text-to-search regular-expression text
{
	if grep -qE -- "$2" <<<"$1"; then ok "$3"; else not_ok "$3" "no match for $2 in:" "$1"; fi
}

unlike() # text-to-search regular-expression text
{
	if grep -qE -- "$2" <<<"$1"; then not_ok "$3" "match for $2 in:" "$1"; else ok "$3"; fi
}

status_is() # want text command...
{
	local want=$1 text=$2 out rc
	shift 2
	out=$("$@" 2>&1)
	rc=$?
	if [ "$rc" = "$want" ]; then ok "$text"; else not_ok "$text" "status $rc, want $want, of $*:" "$out"; fi
}

finish()
{
	trap - EXIT
	clean_up
	echo "1..$TESTS_RUN"
	[ "$TESTS_FAILED" = 0 ]
	exit
}

# ------------------------------------------------------------------ waiting ----

now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }

# Try a condition every 20 ms until it holds or the seconds are over. WAIT_FACTOR stretches all limits, for
# machines that are slow by nature.
wait_for() # seconds command...
{
	local until=$(($(now_ms) + ${1%.*} * 1000 * ${WAIT_FACTOR:-1}))
	shift
	while ! "$@" >/dev/null 2>&1; do
		[ "$(now_ms)" -lt "$until" ] || return 1
		sleep 0.02
	done
}

# The same as a test of its own.
holds() # seconds text command...
{
	local seconds=$1 text=$2
	shift 2
	if wait_for "$seconds" "$@"; then
		ok "$text"
	else
		not_ok "$text" "not within $seconds s: $*" "$("$@" 2>&1)"
	fi
}

running() { kill -0 "$1" 2>/dev/null; }
gone() { ! running "$1"; }
has_line() { grep -qE -- "$2" "$1"; }

# ------------------------------------------------------------------ namespaces ----

inside() { ip netns exec "$@"; }
h() { inside "$H" "$@"; }
c() { inside "$C" "$@"; }

ns_add() # name
{
	ip netns add "$1" || bail "ip netns add $1"
	NAMESPACES+=("$1")
	ip -n "$1" link set lo up
	inside "$1" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.router_solicitations=0 net.ipv4.tcp_syncookies=0 \
		net.ipv4.icmp_ratelimit=0 net.core.somaxconn=65535 \
		net.ipv4.tcp_max_syn_backlog=65535 2>/dev/null
	return 0
}

link() # ns-a if-a ns-b if-b: a veth pair, up
{
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3" || bail "no veth"
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
}

addr() # ns interface address/len...
{
	local ns=$1 dev=$2 a
	shift 2
	for a; do
		case $a in
		*:*) ip -n "$ns" addr add "$a" dev "$dev" nodad ;;
		*) ip -n "$ns" addr add "$a" dev "$dev" ;;
		esac || bail "address $a"
	done
}

# Host and client on one link. ns_pair N gives the client N more addresses, 203.0.113.1 and on, and for IPv6
# 2001:db8:1::1 and on, which the host reaches by a route.
ns_pair() # [more-client-addresses]
{
	local n=${1:-8} i batch=
	[ "$(id -u)" = 0 ] || skip_all "kernel tests need root"
	ns_add "$H"
	ns_add "$C"
	link "$H" eth0 "$C" eth0
	addr "$H" eth0 "$H4/24" "$H6/64"
	addr "$C" eth0 "$C4/24" "$C6/64"
	for ((i = 1; i <= n && i <= 254; i++)); do
		batch+="addr add 203.0.113.$i/32 dev eth0"$'\n'
		batch+="addr add 2001:db8:1::$(printf %x "$i")/128 dev eth0 nodad"$'\n'
	done
	ip -n "$C" -batch - <<<"$batch" || bail "client addresses"
	ip -n "$H" route add 203.0.113.0/24 via "$C4"
	ip -n "$H" route add 2001:db8:1::/64 via "$C6"
	wait_for 5 reaches "$H4" || bail "the link does not come up"
	wait_for 5 reaches "$H6" || bail "the link does not come up for IPv6"
}
# A refused connection is an answer.
reaches() { [ "$(client -t 200 "$1" 1 | field result)" = refused ]; }

# Can this kernel queue packets at all?
need_queue()
{
	h iptables -w -A INPUT -p tcp --dport 1 -j NFQUEUE --queue-num 65000 2>/dev/null ||
		skip_all "this kernel has no NFQUEUE target"
	h iptables -w -D INPUT -p tcp --dport 1 -j NFQUEUE --queue-num 65000
}

# ------------------------------------------------------------------ plain server and client ----

# A background job is `ip netns exec` itself, never a function: its process id is then the program's.

server() # server's arguments: what it sees is in $WORK/server.out
{
	: >"$WORK/server.out"
	ip netns exec "$H" "$BIN/tests/netns/server" -o "$WORK/server.out" "$@" >"$WORK/server.err" 2>&1 &
	SERVER_PID=$!
	wait_for 5 has_line "$WORK/server.out" '"ready"' || bail "server: $(cat "$WORK/server.err")"
}

server_report() { # make it write its counts down
	local before
	before=$(grep -c '"summary"' "$WORK/server.out")
	kill -USR1 "$SERVER_PID"
	wait_for 5 server_reported "$before"
}
server_reported() { [ "$(grep -c '"summary"' "$WORK/server.out")" -gt "$1" ]; }
server_accepted() { grep -c '"accept"' "$WORK/server.out"; }
server_saw() { grep -F "\"peer\":\"$1" "$WORK/server.out"; }

client() { c "$BIN/tests/netns/client" "$@"; }

declare -A CLIENT_PID
client_bg() # name client's arguments: its output is in $WORK/name
{
	local name=$1
	shift
	ip netns exec "$C" "$BIN/tests/netns/client" "$@" >"$WORK/$name" 2>&1 &
	CLIENT_PID[$name]=$!
}

client_wait() # name: returns the client's status
{
	wait "${CLIENT_PID[$1]}"
}
client_done() { gone "${CLIENT_PID[$1]}"; }

# A field of each line of JSON on standard input, or of the named client's output.
field() { sed -nE "s/.*\"$1\":\"?([^\",}]*).*/\1/p"; }
of() { field "$2" <"$WORK/$1"; }
# How many of a client's connections ended so.
ended() { grep -c "\"result\":\"$2\"" "$WORK/$1"; }

synflood() { c "$BIN/tests/netns/synflood" "$@"; }

# ------------------------------------------------------------------ pendd ----

# Start pendd in the host namespace. The policy comes on standard input; a settings block is put before it
# unless it has one. More arguments go to pendd. PENDD_SETTINGS adds to that block.
pendd_start()
{
	pendd_config
	pendd_run "$@"
	wait_for "${PENDD_WAIT:-10}" pendd_ready || bail "pendd did not start"
}

pendd_config() # < policy: write it to $CONFIG
{
	local policy
	policy=$(cat)
	{
		grep -qE '^[[:space:]]*settings[[:space:]]*\{' <<<"$policy" || pendd_settings
		printf '%s\n' "$policy"
	} >"$CONFIG"
}

pendd_settings()
{
	cat <<-END
	settings {
		control "$CONTROL";
		user "";
		${PENDD_SETTINGS:-}
	}
	END
}

pendd_run() # start it without waiting
{
	PENDD_RUNS=$((PENDD_RUNS + 1))
	[ -x "$BIN/pendd" ] || skip_all "$BIN/pendd is not built"
	touch "$WORK/pendd.log"
	PENDD_LOG_FROM=$(($(wc -l <"$WORK/pendd.log") + 1))
	# shellcheck disable=SC2086  # a wrapper is words
	ip netns exec "$H" ${PENDD_WRAPPER:-} "$BIN/pendd" -d -c "$CONFIG" "$@" >>"$WORK/pendd.log" 2>&1 &
	PENDD_PID=$!
}

# It answers before its rules are in place: what comes until then passes by it.
pendd_ready()
{
	running "$PENDD_PID" || { echo "pendd ended"; return 1; }
	pendd_said_ready && h_pendctl status >/dev/null 2>&1
}
pendd_said_ready() { tail -n "+$PENDD_LOG_FROM" "$WORK/pendd.log" | grep -q 'daemon: ready: '; }

pendd_log() { sed 's/^/# pendd: /' "$WORK/pendd.log" 2>/dev/null | tail -n "${1:-80}"; }

h_pendctl() { inside "$H" "$BIN/pendctl" --socket "$CONTROL" "$@"; }

# Ask it to end; PENDD_STATUS says what became of it: the status, or "stuck".
pendd_stop() # [seconds]
{
	local rc
	[ -n "$PENDD_PID" ] || return 0
	kill -TERM "$PENDD_PID" 2>/dev/null
	if ! wait_for "${1:-10}" gone "$PENDD_PID"; then
		PENDD_STATUS=stuck
		pendd_kill
		return 1
	fi
	wait "$PENDD_PID"
	rc=$?
	PENDD_PID='' PENDD_STATUS=$rc
	return "$rc"
}

pendd_kill() # as an accident would
{
	[ -n "$PENDD_PID" ] || return 0
	kill -KILL "$PENDD_PID" 2>/dev/null
	wait "$PENDD_PID" 2>/dev/null
	PENDD_PID=''
}

# What pend status says, by its key in --json: h_status pended
h_status() { h_pendctl status --json | grep -oE "\"$1\" *: *\"?[^\",}]*" | head -n 1 | sed -E 's/.*: *"?//'; }
pending_count() { h_pendctl pending --json | grep -oE '"id" *:' | wc -l; }
pending_is() { [ "$(pending_count)" = "$1" ]; }

# Resident memory in KiB and CPU ticks of pendd and its children.
child_of_pendd() { pgrep -P "$PENDD_PID" -f -- "$1"; } # by its option
authority() { child_of_pendd --authority-process; }
pendd_pids() { echo "$PENDD_PID"; pgrep -P "$PENDD_PID"; }
pendd_rss() { local p; for p in $(pendd_pids); do awk '/^VmRSS/ {print $2}' "/proc/$p/status"; done | awk '{kb += $1} END {print kb + 0}'; }

# ------------------------------------------------------------------ the end ----

clean_up()
{
	local ns pid left
	[ "$TESTS_FAILED" = 0 ] || pendd_log 40
	if [ -n "$PENDD_PID" ]; then
		kill -TERM "$PENDD_PID" 2>/dev/null
		wait_for 3 gone "$PENDD_PID" || kill -KILL "$PENDD_PID" 2>/dev/null
	fi
	# A sanitizer's report counts, whatever the exit status was.
	if grep -qE '(ERROR|WARNING): (Address|Leak|Thread|Undefined)|runtime error:' "$WORK"/*.log 2>/dev/null; then
		not_ok "no sanitizer complains" "$(grep -hA 30 -E 'Sanitizer|runtime error:' "$WORK"/*.log | head -n 60)"
	fi
	exec 4>&2 2>/dev/null # the shell tells of every job that a signal ended
	for pid in $(jobs -p); do # what a test started outside of the namespaces
		kill -TERM "$pid"
	done
	for ns in ${NAMESPACES[@]+"${NAMESPACES[@]}"}; do
		for pid in $(ip netns pids "$ns" 2>/dev/null); do
			kill -KILL "$pid" 2>/dev/null
		done
	done
	for ns in ${NAMESPACES[@]+"${NAMESPACES[@]}"}; do
		wait_for 5 ns_empty "$ns"
		ip netns del "$ns" 2>/dev/null
	done
	wait
	exec 2>&4 4>&-
	left=$(ip netns list 2>/dev/null | grep -E -- "-[hcrs]$ID( |\$)"
		ls -d /run/pend-"$ID"* /run/netns/pend-*"$ID" 2>/dev/null)
	[ -z "$left" ] || not_ok "nothing is left behind" "$left"
	[ -n "${KEEP:-}" ] || rm -rf "$WORK"
}
ns_empty() { [ -z "$(ip netns pids "$1" 2>/dev/null)" ]; }

on_exit()
{
	local rc=$?
	trap - EXIT
	clean_up
	exit "$rc"
}
trap on_exit EXIT
trap 'exit 130' INT TERM HUP
