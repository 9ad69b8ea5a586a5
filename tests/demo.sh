#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `sudo make demo`: real connections, held, shown, decided and released, with a timeline for people.
#
# Two network namespaces are joined by a cable. One is the host: pendd holds what arrives there,
# and plain servers listen. The other is a client that uses nc. Nothing happens outside of the two, and
# nothing of them is left at the end. It is a check too: the exit status is 1 when a step did not behave,
# and 2 when the demo could not run at all.
#
# It takes about 6 seconds, and a minute or so where programs start slowly, as in an emulated machine.
set -uo pipefail
export PATH=$PATH:/usr/sbin:/sbin LC_ALL=C

top=$(cd "$(dirname "$0")/.." && pwd)
B=${B:-build}
case $B in /*) ;; *) B=$top/$B ;; esac

host=pend-demo-h$$ client=pend-demo-c$$
work='' pendd='' failures=0 checks=0 decided=0
wait_limit=30 # seconds, for anything to happen
slack=${PEND_DEMO_SLACK:-0} # ms more for what has a limit, where a busy machine may not run somebody for a while

# ------------------------------------------------------------------ telling ----

bold='' green='' red='' dim='' plain=''
if [ -t 1 ]; then
	bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
fi

now() { printf '%s\n' "${EPOCHREALTIME/[.,]/}"; } # microseconds
begin=$(now)

# Microseconds as "1.23 s" or "0.4 ms".
span()
{
	if [ "$1" -ge 1000000 ]; then
		printf '%d.%02d s\n' $(($1 / 1000000)) $(($1 / 10000 % 100))
	else
		printf '%d.%d ms\n' $(($1 / 1000)) $(($1 / 100 % 10))
	fi
}

line() # time-in-microseconds who what
{
	local t=$(($1 - begin))
	printf '%3d.%02d  %-9s %s\n' $((t / 1000000)) $((t / 10000 % 100)) "$2" "$3"
}
say() { line "$(now)" "$@"; }
part() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
indent() { sed "s/^/                  $dim/; s/\$/$plain/"; }

good()
{
	checks=$((checks + 1))
	printf '        %sok%s        %s\n' "$green" "$plain" "$1"
}
bad()
{
	checks=$((checks + 1)) failures=$((failures + 1))
	printf '        %sNOT OK%s    %s\n' "$red" "$plain" "$1"
}
check() { if "${@:2}" >/dev/null 2>&1; then good "$1"; else bad "$1"; fi; } # text command...

die()
{
	printf 'demo: %s\n' "$*" >&2
	[ ! -s "$work/pendd.log" ] || sed 's/^/  /' "$work/pendd.log" >&2
	exit 2
}

# Try a condition every 20 ms.
await() # command...
{
	local until=$(($(now) + wait_limit * 1000000))
	while ! "$@" >/dev/null 2>&1; do
		[ "$(now)" -lt "$until" ] || return 1
		sleep 0.02
	done
}

# ------------------------------------------------------------------ the two namespaces ----

on_host() { ip netns exec "$host" "$@"; }

make_network()
{
	ip netns add "$host" && ip netns add "$client" || die "cannot make network namespaces"
	ip link add eth0 netns "$host" type veth peer name eth0 netns "$client" || die "cannot make a veth pair"
	for ns in "$host" "$client"; do
		ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 2>/dev/null
		ip -n "$ns" link set lo up
		ip -n "$ns" link set eth0 up
	done
	ip -n "$host" addr add 192.0.2.1/24 dev eth0 && ip -n "$host" addr add 2001:db8::1/64 dev eth0 nodad &&
		ip -n "$client" addr add 192.0.2.2/24 dev eth0 &&
		ip -n "$client" addr add 2001:db8::2/64 dev eth0 nodad || die "cannot set addresses"
}

empty() { [ -z "$(ip netns pids "$1" 2>/dev/null)" ]; }

clean_up()
{
	local ns pid
	exec 9>&2 2>/dev/null # the shell tells of every job that a signal ended
	[ -z "$pendd" ] || kill -TERM "$pendd"
	for ns in "$host" "$client"; do
		[ -e "/run/netns/$ns" ] || continue
		for pid in $(ip netns pids "$ns"); do
			[ "$pid" = "$pendd" ] || kill -KILL "$pid"
		done
		await empty "$ns" || for pid in $(ip netns pids "$ns"); do kill -KILL "$pid"; done
		ip netns del "$ns"
	done
	wait
	exec 2>&9 9>&-
	[ -z "$work" ] || rm -rf "$work"
	for ns in "$host" "$client"; do
		[ ! -e "/run/netns/$ns" ] || { echo "demo: the namespace $ns is left behind" >&2; exit 1; }
	done
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# ------------------------------------------------------------------ who takes part ----

ctl() { "$B/pendctl" --socket "$work/control.sock" "$@"; }

# A command of the operator, shown with what it prints.
operator() # pendctl arguments...
{
	say operator "\$ pendctl $*"
	ctl "$@" >"$work/out" 2>&1
	local rc=$?
	indent <"$work/out"
	return "$rc"
}

# The same for a decision: from `decided` on a client may go on.
decide()
{
	say operator "\$ pendctl $*"
	decided=$(now)
	ctl "$@" >"$work/out" 2>&1 || bad "pendctl $*: $(<"$work/out")"
	indent <"$work/out"
}

# Each line of a program with its time.
stamped()
{
	local text
	while IFS= read -r text; do printf '%s %s\n' "${EPOCHREALTIME/[.,]/}" "$text"; done
}

tcp_client() # name address port: says when it connected, and what came back for "hello"
{
	line "$(now)" client "\$ nc $2 $3"
	now >"$work/$1.start"
	echo hello | ip netns exec "$client" "$nc" -nvN -w 60 "$2" "$3" 2>&1 | stamped >"$work/$1" &
}

udp_client() # name address port word...: a datagram each, the next one when the last is held
{
	local word n=0
	line "$(now)" client "\$ nc -u $2 $3      sends ${*:4}"
	now >"$work/$1.start"
	for word in "${@:4}"; do
		echo "$word"
		await held_packets "$3" $((++n))
	done |
		ip netns exec "$client" "$nc" -nu -w 60 "$2" "$3" 2>&1 | stamped >"$work/$1" &
}

has() { grep -qE "$2" "$work/$1"; }
at() { grep -m 1 -E "$2" "$work/$1" | cut -d ' ' -f 1; } # name pattern: the time of its first line so
connected='succeeded|Connected to'
refused='[Rr]efused'

pended() { ctl pending --json --port "$1" | grep -q '"id"'; }
pended_field() { ctl pending --json --port "$1" | grep -oE "\"$2\" *: *\"?[^\",}]*" | head -n 1 | sed -E 's/^"[^"]*" *: *"?//'; }
retransmitted() { [ "$(pended_field "$1" retransmits)" -ge 1 ]; }
held_packets() { [ "$(pended_field "$1" packets)" = "$2" ]; }
reached() { grep -E '"(accept|datagram)"' "$work/server" | grep -q "\"port\":$1\b"; } # the server

# How the last connection to a port ended, by pendd's own record: a field of the event.
ended() # port field
{
	ctl events --json | grep '"completed"' | grep "\"dest_port\" *: *$1\b" | tail -n 1 |
		grep -oE "\"$2\" *: *\"?[^\",}]*" | sed -E 's/^"[^"]*" *: *"?//'
}
ended_is() { [ "$(ended "$1" state)" = "$2" ]; } # events may come a moment later: await it

waits() # port text: it is held, and nothing reached the server
{
	await pended "$1" || bad "$2 is not pended"
	if reached "$1"; then bad "something reached the server before a decision"; fi
}

# The time from the decision to what the client saw. Counted from before pendctl was started; where a program takes
# longer than the limit to start, from the time that pendd noted.
within() # port limit-in-ms time-seen text
{
	local port=$1 limit=$(($2 + slack)) took=$(($3 - decided)) own
	if [ "$took" -lt 0 ]; then
		bad "$4 before the decision"
		return
	fi
	if [ "$took" -le $((limit * 1000)) ]; then
		good "$4 $(span "$took") after the decision (limit $limit ms)"
		return
	fi
	await eval '[ -n "$(ended "$port" time)" ]'
	own=$(date -d "$(ended "$port" time)" +%s%6N 2>/dev/null) || own=$decided
	own=$(($3 - own))
	[ "$own" -ge 0 ] || own=0
	if [ "$own" -le $((limit * 1000)) ]; then
		good "$4 $(span "$own") after pendd carried it out (limit $limit ms); the $(span $((took - own))) before went into starting pendctl"
	else
		bad "$4 $(span "$took") after the decision (limit $limit ms)"
	fi
}

# ------------------------------------------------------------------ the story ----

start_all()
{
	[ "$(id -u)" = 0 ] || die "needs root for network namespaces: sudo make demo"
	nc=$(command -v nc.openbsd || command -v nc) || die "nc is missing: install netcat-openbsd"
	for file in pendd pendctl tests/netns/server; do
		[ -x "$B/$file" ] || die "$B/$file is not built: run make demo"
	done
	# Not in the source tree: a Unix socket lives here.
	work=$(mktemp -d /tmp/pend-demo.XXXXXX) || die "no temporary folder"
	make_network
	on_host nft list ruleset >"$work/rules.before" 2>/dev/null
	cat >"$work/policy" <<-'END'
	pend proto tcp to port 22   ask ops          # "complete flush" is the default
	pend proto tcp to port { 25, 587 } ask ops complete buffer
	pend proto tcp to port 80   ask ops
	pend proto tcp to port 8080 ask ops timeout 2s on-timeout block with reset
	pend proto tcp to port 8081 ask ops timeout 2s on-timeout permit complete buffer
	pend proto udp to port 53   ask ops complete buffer
	permit
	END
	{
		printf 'settings { control "%s/control.sock"; user "" }\n' "$work"
		echo 'authority ops { type operator; timeout 50s; on-timeout block }'
		printf 'layer default {\n%s\n}\n' "$(<"$work/policy")"
	} >"$work/pend.conf"
	on_host "$B/tests/netns/server" -o "$work/server" tcp:{22,25,80,587,8080,8081} udp:53 2>/dev/null &
	on_host true # so that the first measured start is not the first ever
	ip netns exec "$host" "$B/pendd" -c "$work/pend.conf" >"$work/pendd.log" 2>&1 &
	pendd=$!
	await answers || die "pendd did not start"
	await grep -q ready "$work/server" || die "the server did not start"
}
answers() { kill -0 "$pendd" || { wait_limit=0; return 1; }; ctl status; }

introduce()
{
	echo "${bold}pend: ask before a connection is accepted${plain}   $("$B/pendd" --version), Linux $(uname -r)"
	echo
	echo "  client 192.0.2.2, 2001:db8::2  ---- a cable ----  host 192.0.2.1, 2001:db8::1, with pendd"
	echo
	echo "  The host's policy; \"ops\" is whoever uses pendctl:"
	sed "s/^/    $dim/; s/\$/$plain/" "$work/policy"
	echo
	echo "${dim}seconds who       what${plain}"
	say host "pendd is ready; servers listen on TCP 22, 25, 80, 587, 8080, 8081 and on UDP 53"
}

show_flush()
{
	local retransmits
	part "1. Held, then permitted: let in with the client's own next try (flush)"
	tcp_client flush 192.0.2.1 22
	waits 22 "the SYN"
	say host "the SYN is held: the server knows nothing of it, the client hears nothing"
	await retransmitted 22
	say client "sends its SYN again, since nobody answered; that joins the first"
	operator pending
	retransmits=$(pended_field 22 retransmits)
	if reached 22; then bad "something reached the server before a decision"; fi
	decide permit "$(pended_field 22 id)"
	await has flush "$connected" || bad "the client did not connect"
	line "$(at flush "$connected")" client "connected, $(span $(($(at flush "$connected") - $(<"$work/flush.start")))) after it began"
	if [ "$(at flush "$connected")" -gt "$decided" ] && await ended_is 22 flushed; then
		good "connected $(span $(($(at flush "$connected") - decided))) after the decision, by retransmission $((retransmits + 1))"
	else
		bad "connected before the decision, or not by a retransmission ($(ended 22 state))"
	fi
	await has flush hello
	check "its \"hello\" came back from the server" has flush hello
}

show_buffer()
{
	part "2. Held, then permitted: the held packet itself is let in (buffer)"
	tcp_client buffer 192.0.2.1 25
	waits 25 "the SYN"
	sleep 0.3
	operator pending --port 25
	decide permit 192.0.2.2 --port 25
	await has buffer "$connected" || bad "the client did not connect"
	line "$(at buffer "$connected")" client "connected"
	within 25 50 "$(at buffer "$connected")" "connected"
	check "pendd says so too: permitted" await ended_is 25 permitted
}

show_reset()
{
	part "3. Held, then blocked: refused at once, with a reset"
	tcp_client reset 192.0.2.1 80
	waits 80 "the SYN"
	sleep 0.3
	operator pending --port 80
	decide block "$(pended_field 80 id)" --reset
	await has reset "$refused" || bad "the client was not refused"
	line "$(at reset "$refused")" client "connection refused"
	within 80 100 "$(at reset "$refused")" "refused"
	check "nothing reached the server" eval '! reached 80'
}

timed() # name port pattern text: what happened 2 s after the SYN came
{
	local port=$2 seen took own
	await has "$1" "$3" || { bad "$4: nothing happened"; return; }
	seen=$(at "$1" "$3")
	took=$((seen - $(<"$work/$1.start")))
	line "$seen" client "$4"
	# The start of nc is in that; pendd's own figure is not, and is 100 ms late at most, and the slack.
	await eval '[ -n "$(ended "$port" pended_ms)" ]'
	own=$(ended "$port" pended_ms)
	if [ "$took" -ge 1990000 ] && [ "${own:-0}" -ge 1990 ] && [ "$own" -le $((2100 + slack)) ]; then
		good "$4 after $(span "$took"); pendd held it for $own ms"
	else
		bad "$4 after $(span "$took"); pendd held it for ${own:-?} ms, not 2 s"
	fi
}

show_timeout()
{
	part "4. Nobody decides: after 2 s the rule does"
	tcp_client late-block 192.0.2.1 8080
	tcp_client late-permit 192.0.2.1 8081
	waits 8080 "the first SYN"
	waits 8081 "the second SYN"
	operator pending
	timed late-block 8080 "$refused" "port 8080, on-timeout block with reset: refused"
	timed late-permit 8081 "$connected" "port 8081, on-timeout permit: connected"
	check "pendd says so too: both timed out" await eval 'ended_is 8080 timed-out && ended_is 8081 timed-out'
}

show_udp()
{
	part "5. UDP: datagrams wait too, and keep their order"
	udp_client udp 192.0.2.1 53 one two three
	waits 53 "the first datagram"
	await held_packets 53 3 || bad "three datagrams should wait"
	operator pending --port 53
	if reached 53; then bad "a datagram reached the server before a decision"; fi
	decide permit 192.0.2.2 --proto udp
	await has udp three || bad "the answers did not come"
	line "$(at udp one)" client "has the server's echo: $(cut -d ' ' -f 2 "$work/udp" | paste -sd ' ')"
	within 53 50 "$(at udp one)" "the first datagram was answered"
	check "all three, in order" [ "$(cut -d ' ' -f 2 "$work/udp" | paste -sd ' ')" = "one two three" ]
}

show_ipv6()
{
	part "6. IPv6 is the same"
	tcp_client six 2001:db8::1 587
	waits 587 "the SYN"
	sleep 0.3
	operator pending
	decide permit 2001:db8::/64
	await has six "$connected" || bad "the client did not connect"
	line "$(at six "$connected")" client "connected"
	within 587 50 "$(at six "$connected")" "connected"
}

left_on_host()
{
	[ "$(on_host nft list ruleset 2>/dev/null)" = "$(<"$work/rules.before")" ] || echo "rules"
	[ ! -e "$work/control.sock" ] || echo "the control socket"
	[ -z "$(on_host cat /proc/net/netfilter/nfnetlink_queue)" ] || echo "a queue"
	for pid in $(ip netns pids "$host"); do
		[ "$(<"/proc/$pid/comm")" != pendd ] || echo "process $pid"
	done 2>/dev/null
}

show_end()
{
	local rc left
	part "7. What pendd counted, and the end"
	operator status
	operator stop || bad "pendctl stop"
	await eval '! kill -0 "$pendd"' || bad "pendd did not stop"
	wait "$pendd"
	rc=$? pendd=
	say host "pendd ended with status $rc"
	check "its exit status is 0" [ "$rc" = 0 ]
	left=$(left_on_host | paste -sd ' ')
	if [ -z "$left" ]; then
		good "nothing is left: no rule, no queue, no socket, no process"
	else
		bad "left behind: $left"
	fi
}

start_all
introduce
show_flush
show_buffer
show_reset
show_timeout
show_udp
show_ipv6
show_end

echo
printf '%d of %d checks are good, in %s\n' $((checks - failures)) "$checks" "$(span $(($(now) - begin)))"
if [ "$failures" -gt 0 ]; then
	echo "pendd's log:"
	sed 's/^/  /' "$work/pendd.log"
	exit 1
fi
