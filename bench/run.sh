#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What pendd costs beside a bare loop on the same queue that does nothing but accept. Both get the same
# connections, turn by turn (A B A B ...), in namespaces of their own; each figure is the median of the
# ratios of the pairs, so that a slow spell of the machine spoils a pair and not the result.
#
#   CPU    user and system time of the process and its children for each SYN, from the scheduler's own
#          count in nanoseconds. The kernel does a good part of the TCP handshake on behalf of whoever
#          gives the verdict: that part is in both.
#   rate   connections a second, at 1, 64 and 512 being opened at a time
#
# usage: bench/run.sh     needs root; B, PAIRS (11), TOTAL (connections of one run, 10000)
# Prints a table and writes build/bench.json.

# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/../tests/netns/lib.sh"
cd "$TOP" || exit 1

PAIRS=${PAIRS:-11} TOTAL=${TOTAL:-10000} PORT=80 QUEUE=5
RATIOS=$WORK/ratios
mkdir -p "$RATIOS"

die() { echo "bench: $*" >&2; pendd_log 40 >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root: sudo make bench"
[ "$PAIRS" -ge 7 ] || die "PAIRS is 7 or more"
for program in "$BIN/bench/nfq_accept_loop" "$BIN/bench/connect_load" "$BIN/pendd" "$BIN/pendctl"; do
	[ -x "$program" ] || die "$program is not built: make bench builds it"
done

# ------------------------------------------------------------------ the two loops ----

LOOP_PID=''
bare_start()
{
	h iptables -w -A INPUT -p tcp --syn --dport $PORT -m conntrack --ctstate NEW \
		-j NFQUEUE --queue-num $QUEUE || die "no NFQUEUE rule"
	: >"$WORK/bare"
	ip netns exec "$H" "$BIN/bench/nfq_accept_loop" $QUEUE >"$WORK/bare" 2>&1 &
	LOOP_PID=$!
	wait_for 5 has_line "$WORK/bare" ready || die "the bare loop: $(cat "$WORK/bare")"
}
bare_stop()
{
	kill -TERM "$LOOP_PID"
	wait "$LOOP_PID"
	LOOP_PID=''
	h iptables -w -F INPUT
}

permit_policy() { echo "layer default { permit proto tcp to port $PORT }"; }
pend_policy()
{
	cat <<-END
	authority now { type static; answer permit; }
	layer default { pend proto tcp to port $PORT ask now complete buffer }
	END
}
permit_start() { pendd_start < <(permit_policy); LOOP_PID=$PENDD_PID; }
pend_start() { pendd_start < <(pend_policy); LOOP_PID=$PENDD_PID; }
permit_stop() { pendd_stop || die "pendd ended with $PENDD_STATUS"; }
pend_stop() { permit_stop; }

# ------------------------------------------------------------------ measuring ----

# Nanoseconds on a processor of a process, its threads and its descendants.
tree() { local child; echo "$1"; for child in $(pgrep -P "$1"); do tree "$child"; done; }
cpu_ns()
{
	local pid
	for pid in $(tree "$1"); do
		cat /proc/"$pid"/task/*/schedstat
	done | awk '{ns += $1} END {printf "%.0f\n", ns}'
}

# One run: loop, connections at a time -> cpu (us a SYN) and rate.
measure()
{
	local loop=$1 open=$2 total=$TOTAL before after
	[ "$open" != 1 ] || total=$((TOTAL / 2))
	"${loop}_start"
	# A first round brings code and tables into place.
	c "$BIN/bench/connect_load" "$H4" $PORT 500 "$open" 203.0.113.1 64 >/dev/null || die "$loop: no connection"
	before=$(cpu_ns "$LOOP_PID")
	c "$BIN/bench/connect_load" "$H4" $PORT "$total" "$open" 203.0.113.1 64 >"$WORK/load" ||
		die "$loop: $(cat "$WORK/load")"
	after=$(cpu_ns "$LOOP_PID")
	"${loop}_stop"
	cpu=$(awk -v a="$before" -v b="$after" -v n="$total" 'BEGIN {printf "%.3f", (b - a) / n / 1000}')
	rate=$(field rate <"$WORK/load")
}

median() { sort -g "$1" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
# Half of the middle half's width, as a share of the median.
spread() { sort -g "$1" | awk '{v[NR] = $1} END {a = int(NR / 4) + 1; b = NR + 1 - a; printf "%.1f", 50 * (v[b] - v[a]) / v[int((NR + 1) / 2)]}'; }
divide() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.4f\n", a / b}'; }

pair() # name loop open: the loop against the bare one
{
	local name=$1 loop=$2 open=$3 i bare_cpu bare_rate
	for ((i = 1; i <= PAIRS; i++)); do
		printf '\r%-12s at %3d: pair %d of %d   ' "$loop" "$open" "$i" "$PAIRS" >&2
		measure bare "$open"
		bare_cpu=$cpu bare_rate=$rate
		measure "$loop" "$open"
		divide "$cpu" "$bare_cpu" >>"$RATIOS/$name.cpu"
		divide "$rate" "$bare_rate" >>"$RATIOS/$name.rate"
		echo "$bare_cpu" >>"$RATIOS/$name.bare_cpu"
		echo "$cpu" >>"$RATIOS/$name.own_cpu"
		echo "$bare_rate" >>"$RATIOS/$name.bare_rate"
		echo "$rate" >>"$RATIOS/$name.own_rate"
	done
	printf '\r%50s\r' '' >&2
}

row() # text name kind: bare, own, ratio
{
	printf '%-34s %10.2f %10.2f %8.3f  +- %s %%\n' "$1" "$(median "$RATIOS/$2.bare_$3")" \
		"$(median "$RATIOS/$2.own_$3")" "$(median "$RATIOS/$2.$3")" "$(spread "$RATIOS/$2.$3")"
}

table()
{
	echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs; Linux $(uname -r); $(date -u +%F)"
	echo "$PAIRS pairs of $TOTAL connections; medians; load when begun $LOAD"
	echo
	printf '%-34s %10s %10s %8s\n' '' 'bare loop' pendd ratio
	row 'bare against itself, us a SYN' self cpu
	row 'permit, CPU us a SYN' permit64 cpu
	row 'pend and answer, CPU us a SYN' pend64 cpu
	row 'permit, connections/s, 1 at a time' permit1 rate
	row 'permit, connections/s, 64' permit64 rate
	row 'permit, connections/s, 512' permit512 rate
	row 'pend, connections/s, 64' pend64 rate
}

json()
{
	cat <<-END
	{
	  "permit_cpu_ratio": $(median "$RATIOS/permit64.cpu"),
	  "pend_cpu_ratio": $(median "$RATIOS/pend64.cpu"),
	  "conn_rate_ratio_1": $(median "$RATIOS/permit1.rate"),
	  "conn_rate_ratio_64": $(median "$RATIOS/permit64.rate"),
	  "conn_rate_ratio_512": $(median "$RATIOS/permit512.rate"),
	  "pend_conn_rate_ratio_64": $(median "$RATIOS/pend64.rate"),
	  "self_cpu_ratio": $(median "$RATIOS/self.cpu"),
	  "bare_cpu_us": $(median "$RATIOS/permit64.bare_cpu"),
	  "permit_cpu_us": $(median "$RATIOS/permit64.own_cpu"),
	  "pend_cpu_us": $(median "$RATIOS/pend64.own_cpu"),
	  "pairs": $PAIRS,
	  "connections": $TOTAL,
	  "kernel": "$(uname -r)"
	}
	END
}

LOAD=$(cut -d' ' -f1 /proc/loadavg)
PENDD_SETTINGS="queues $QUEUE; max-per-source 0;"
ns_pair 64
need_queue
c sysctl -qw net.ipv4.ip_local_port_range='1024 65535'
# Connections that were reset leave conntrack soon, or the table would fill.
h sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1
ip netns exec "$H" "$BIN/bench/connect_load" serve $PORT >"$WORK/serve" 2>&1 &
wait_for 5 has_line "$WORK/serve" ready || die "no server"

pair self bare 64
pair permit64 permit 64
pair pend64 pend 64
pair permit1 permit 1
pair permit512 permit 512

mkdir -p build
table | tee "$WORK/table"
json >build/bench.json
echo
echo "build/bench.json written"
trap - EXIT
clean_up
