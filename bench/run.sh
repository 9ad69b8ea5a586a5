#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What pendd costs beside a bare loop on the same queue that does nothing but accept. Both get the same
# connections, turn by turn (A B A B ...), in namespaces of their own; each figure is the median of the
# ratios of the pairs, so that a slow spell of the machine spoils a pair and not the result.
#
#   CPU      user and system time of the process and its children for each SYN, from the scheduler's own
#            count in nanoseconds. The kernel does a good part of the TCP handshake on behalf of whoever
#            gives the verdict: that part is in both. Once more with a policy of RULES rules and PREFIXES
#            prefixes whose last rule permits the port
#   rate     connections a second, at 1, 64 and 512 being opened at a time
#   answer   how much later a connection is open when a program that serves its authority permits it
#   questions   how many connections that are held already a program decides in a second, from its first
#            word until the last verdict
#   remembered   connections a second whose like was decided before and is in the kernel, against no hookup at all; and
#            the same of a single rule that has connections tracked, as every firewall with states does
#   stopped  how much longer it takes until a connection is open while the program of another authority is stopped,
#            with 50,000 questions open
#   reload   how long a new connection had to wait at worst while that policy was loaded again, less the
#            same without a reload
#   nft      what a chain of rules, one after the other, in nft costs a connection
#   classify, contexts   parts of the engine in a process of their own: see bench/classify.c, contexts.c
#
# usage: bench/run.sh     needs root; B, PAIRS (11), TOTAL (connections of one run, 10000)
#        BENCH_QUICK=1    fewer pairs and connections: under a minute, and less sure
#        BENCH_ONLY=reloads    that part alone (or answers, throughput, stopped, remembered, linear, policy, pends, rates), and no bench.json
# Prints a table and writes build/bench.json.

# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/../tests/netns/lib.sh"
cd "$TOP" || exit 1

if [ -n "${BENCH_QUICK:-}" ]; then
	PAIRS=${PAIRS:-3} TOTAL=${TOTAL:-4000} SOME=${SOME:-3} PACKETS=300000 CONTEXTS=100000 BACKLOG=60000
else
	PAIRS=${PAIRS:-11} TOTAL=${TOTAL:-10000} SOME=${SOME:-5} PACKETS=2000000 CONTEXTS=1000000 BACKLOG=200000
fi
# SOME: pairs of what takes long.
PORT=80 QUEUE=5 RULES=10000 PREFIXES=1000000
KEYS=$WORK/keys # "key value" lines for the report
RATIOS=$WORK/ratios
mkdir -p "$RATIOS"

die() { echo "bench: $*" >&2; pendd_log 40 >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root: sudo make bench"
[ "$PAIRS" -ge 3 ] || die "PAIRS is 3 or more"
for program in "$BIN"/bench/{nfq_accept_loop,connect_load,classify,contexts,pause,answer} "$BIN"/pend{d,ctl}; do
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
ask_policy()
{
	cat <<-END
	authority client { type socket; timeout 10s; }
	layer default { pend proto tcp to port $PORT ask client complete buffer }
	END
}
# Rules as administrators write them; none but the last is about this port.
large_policy()
{
	awk -v n=$PREFIXES 'BEGIN {
		srand(1)
		for (i = 0; i < n; i++) printf "%d.%d.%d.0/24\n", 1 + rand() * 222, rand() * 256, rand() * 256
	}' >"$WORK/many.set"
	awk -v n=$RULES -v file="$WORK/many.set" -v port=$PORT 'BEGIN {
		srand(2)
		print "set many { file \"" file "\" }\nlayer default {\nblock from @many to port 81"
		for (i = 2; i < n; i++)
			printf "%s proto tcp from %d.%d.%d.0/24 to port %d\n", i % 3 ? "permit" : "block",
				1 + rand() * 222, rand() * 256, rand() * 256, 1024 + i % 4096
		print "permit proto tcp to port " port "\n}"
	}'
}
large_start() { pendd_start <"$WORK/large"; LOOP_PID=$PENDD_PID; }
large_stop() { permit_stop; }
none_start() { LOOP_PID=$SERVE_PID; }
none_stop() { LOOP_PID=''; }
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
	local loop=$1 open=$2 total=$TOTAL first=500 before after
	[ "$open" != 1 ] || total=$((TOTAL / 2))
	[ "$first" -le "$total" ] || first=$total
	"${loop}_start"
	# A first round brings code and tables into place.
	c "$BIN/bench/connect_load" "$H4" $PORT "$first" "$open" 203.0.113.1 64 >/dev/null || die "$loop: no connection"
	before=$(cpu_ns "$LOOP_PID")
	c "$BIN/bench/connect_load" "$H4" $PORT "$total" "$open" 203.0.113.1 64 >"$WORK/load" ||
		die "$loop: $(cat "$WORK/load")"
	after=$(cpu_ns "$LOOP_PID")
	"${loop}_stop"
	cpu=$(awk -v a="$before" -v b="$after" -v n="$total" 'BEGIN {printf "%.3f", (b - a) / n / 1000}')
	rate=$(field rate <"$WORK/load") p50=$(field p50_us <"$WORK/load") p99=$(field p99_us <"$WORK/load")
}

median() { sort -g "$1" | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
# Half of the middle half's width, as a share of the median.
spread() { sort -g "$1" | awk '{v[NR] = $1} END {a = int(NR / 4) + 1; b = NR + 1 - a; printf "%.1f", 50 * (v[b] - v[a]) / v[int((NR + 1) / 2)]}'; }
divide() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.4f\n", a / b}'; }

pair() # name loop open [pairs]: the loop against the bare one
{
	local name=$1 loop=$2 open=$3 pairs=${4:-$PAIRS} i bare_cpu bare_rate
	for ((i = 1; i <= pairs; i++)); do
		progress "$loop at $open: pair $i of $pairs"
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
}

# Between the two ends of a pair as between two numbers: name, own less bare.
note() { awk -v a="$2" -v b="$3" 'BEGIN {printf "%.2f\n", a - b}' >>"$RATIOS/$1"; }

# An answer from outside: one connection at a time, and a program that serves the authority permits it.
answer_start()
{
	pendd_start < <(ask_policy)
	LOOP_PID=$PENDD_PID
	: >"$WORK/answer"
	ip netns exec "$H" "$BIN/bench/answer" "$CONTROL" client >"$WORK/answer" 2>&1 &
	ANSWER_PID=$!
	wait_for 5 has_line "$WORK/answer" ready || die "bench/answer: $(cat "$WORK/answer")"
}
answer_stop()
{
	kill -TERM "$ANSWER_PID"
	wait "$ANSWER_PID" 2>/dev/null
	permit_stop
}
answers()
{
	local i bare50 bare99 total=$TOTAL
	TOTAL=4000 # one at a time: half of it
	for ((i = 1; i <= SOME; i++)); do
		progress "answer: pair $i of $SOME"
		measure bare 1
		bare50=$p50 bare99=$p99
		measure answer 1
		note answer50 "$p50" "$bare50"
		note answer99 "$p99" "$bare99"
	done
	TOTAL=$total
	key answer_added_p50_us "$(median "$RATIOS/answer50")"
	key answer_added_p99_us "$(median "$RATIOS/answer99")"
}

# BACKLOG connections are held, their packets absorbed, before anybody serves their authority.
backlog_policy()
{
	cat <<-END
	authority client { type socket; timeout 100s; on-absent wait; max-pending 1000000; }
	layer default { pend proto tcp to port $PORT ask client absorb }
	END
}
pending_now() { h_pendctl status | sed -n 's/^pending *\([0-9]*\) now.*/\1/p'; }
pending_are() { [ "$(pending_now)" -ge "$1" ]; }
throughput()
{
	local i settings=$PENDD_SETTINGS
	PENDD_SETTINGS="queues $QUEUE; max-per-source 0; max-contexts 300000; high-watermark-percent 100;"
	for ((i = 1; i <= SOME; i++)); do
		progress "questions: run $i of $SOME"
		pendd_start < <(backlog_policy)
		c "$BIN/tests/netns/synflood" -s 203.0.113.1 -S 250 -n "$BACKLOG" -r 40000 -R "$i" "$H4" $PORT >"$WORK/flood" ||
			die "synflood: $(cat "$WORK/flood")"
		wait_for 10 pending_are $((BACKLOG * 95 / 100)) || die "not all are pended: $(h_pendctl status)"
		ip netns exec "$H" "$BIN/bench/answer" "$CONTROL" client "$(pending_now)" \
			>"$WORK/answer" 2>&1 || die "bench/answer: $(cat "$WORK/answer")"
		tail -n 1 "$WORK/answer" | field rate >>"$RATIOS/answers"
		permit_stop
	done
	PENDD_SETTINGS=$settings
	key answers_per_s "$(median "$RATIOS/answers")"
}

# What is remembered of a source is in the kernel after its first connections; the daemon sees no more of it.
remember_policy()
{
	cat <<-END
	authority client { type socket; timeout 10s; }
	layer default { pend proto tcp to port $PORT ask client complete buffer remember 1h scope source }
	END
}
remembered_start()
{
	pendd_start < <(remember_policy)
	LOOP_PID=$PENDD_PID
	: >"$WORK/answer"
	ip netns exec "$H" "$BIN/bench/answer" "$CONTROL" client >"$WORK/answer" 2>&1 &
	ANSWER_PID=$!
	wait_for 5 has_line "$WORK/answer" ready || die "bench/answer: $(cat "$WORK/answer")"
}
remembered_stop()
{
	local permits
	permits=$(h_status kernel_permits)
	[ "${permits:-0}" -ge $((TOTAL / 10 * 9)) ] || die "remembered: the kernel permitted $permits of $TOTAL"
	answer_stop
}
remembered()
{
	local i none
	for ((i = 1; i <= SOME; i++)); do
		progress "remembered: pair $i of $SOME"
		measure none 64
		none=$rate
		nft_rules 0
		measure none 64
		divide "$rate" "$none" >>"$RATIOS/tracked"
		h nft delete table inet bench
		measure remembered 64
		divide "$rate" "$none" >>"$RATIOS/remembered"
		echo "$rate" >>"$RATIOS/remembered.rate"
		echo "$none" >>"$RATIOS/remembered.none"
	done
	key remembered_rate_ratio "$(median "$RATIOS/remembered")"
	key tracked_rate_ratio "$(median "$RATIOS/tracked")"
	key remembered_rate "$(median "$RATIOS/remembered.rate")"
	key no_hookup_rate "$(median "$RATIOS/remembered.none")"
}

# Connections that one program permits, while the program of another authority is stopped with very many questions
# open, and while it is not.
stopped_policy()
{
	cat <<-END
	authority client { type socket; timeout 10s; }
	authority other { type socket; timeout 100s; max-pending 60000; }
	layer default {
		pend proto tcp to port $PORT ask client complete buffer
		pend proto tcp to port 81 ask other absorb
	}
	END
}
OTHER_PID=''
calm_start()
{
	pendd_start < <(stopped_policy)
	LOOP_PID=$PENDD_PID
	: >"$WORK/answer"
	: >"$WORK/other"
	ip netns exec "$H" "$BIN/bench/answer" "$CONTROL" client >"$WORK/answer" 2>&1 &
	ANSWER_PID=$!
	ip netns exec "$H" "$BIN/bench/answer" "$CONTROL" other >"$WORK/other" 2>&1 &
	OTHER_PID=$!
	wait_for 5 has_line "$WORK/answer" ready || die "bench/answer: $(cat "$WORK/answer")"
	wait_for 5 has_line "$WORK/other" ready || die "bench/answer: $(cat "$WORK/other")"
}
calm_stop()
{
	kill -CONT "$OTHER_PID"
	kill -TERM "$OTHER_PID"
	wait "$OTHER_PID" 2>/dev/null
	answer_stop
}
stuck_start()
{
	calm_start
	kill -STOP "$OTHER_PID"
	c "$BIN/tests/netns/synflood" -s 203.0.113.1 -S 64 -n 50000 -r 40000 "$H4" 81 >"$WORK/flood" ||
		die "synflood: $(cat "$WORK/flood")"
	wait_for 10 pending_are 49000 || die "not all are pended: $(h_pendctl status)"
}
stuck_stop() { calm_stop; }
stopped()
{
	local i settings=$PENDD_SETTINGS calm50 calm99
	PENDD_SETTINGS="queues $QUEUE; max-per-source 0; max-contexts 300000; high-watermark-percent 100;"
	for ((i = 1; i <= SOME; i++)); do
		progress "stopped: pair $i of $SOME"
		measure calm 64
		calm50=$p50 calm99=$p99
		measure stuck 64
		divide "$p50" "$calm50" >>"$RATIOS/stopped50"
		divide "$p99" "$calm99" >>"$RATIOS/stopped99"
	done
	PENDD_SETTINGS=$settings
	key stopped_authority_p50_ratio "$(median "$RATIOS/stopped50")"
	key stopped_authority_p99_ratio "$(median "$RATIOS/stopped99")"
}

# A connection each millisecond until the command has ended: the longest wait.
longest_during() # command...
{
	local fd
	mkfifo "$WORK/until"
	ip netns exec "$C" "$BIN/bench/pause" "$H4" $PORT 203.0.113.1 64 <"$WORK/until" >"$WORK/pause" &
	exec {fd}>"$WORK/until"
	sleep 0.2
	"$@" || die "$*: $(cat "$WORK/reload")"
	exec {fd}>&-
	wait $! || die "pause: $(cat "$WORK/pause")"
	rm "$WORK/until"
	longest=$(field longest_us <"$WORK/pause")
}
reload() { h_pendctl reload >"$WORK/reload" 2>&1; }
reloads()
{
	local i begun took
	large_start
	key policy_pendd_rss_mib "$(pendd_rss | awk '{printf "%.1f", $1 / 1024}')"
	for ((i = 1; i <= SOME; i++)); do
		progress "reload: pair $i of $SOME"
		begun=$(now_ms)
		longest_during reload
		took=$(($(now_ms) - begun - 200))
		echo "$longest" >>"$RATIOS/reload.longest"
		echo "$took" >>"$RATIOS/reload.ms"
		longest_during sleep "$((took / 1000)).$(printf %03d $((took % 1000)))"
		echo "$longest" >>"$RATIOS/steady.longest"
		note reload.pause "$(tail -n 1 "$RATIOS/reload.longest")" "$longest"
	done
	large_stop
	key reload_pause_us "$(median "$RATIOS/reload.pause")"
	key reload_longest_us "$(median "$RATIOS/reload.longest")"
	key steady_longest_us "$(median "$RATIOS/steady.longest")"
	key reload_ms "$(median "$RATIOS/reload.ms")"
}

# nft looks at one rule after the other. Without a queue; the time of a connection with N of them. Ten take
# less than the clock of a connection can tell.
nft_rules() # number
{
	awk -v n="$1" 'BEGIN {
		srand(3)
		print "table inet bench {\nchain in {\ntype filter hook input priority 0;"
		print "ct state established,related accept"
		for (i = 0; i < n; i++)
			printf "ip saddr %d.%d.%d.0/24 tcp dport %d %s\n", 1 + rand() * 222, rand() * 256,
				rand() * 256, 1024 + i % 4096, i % 3 ? "accept" : "drop"
		print "}\n}"
	}' >"$WORK/nft"
	h nft -f "$WORK/nft" || die "nft"
}
linear()
{
	local i n none total=$TOTAL
	TOTAL=2000
	for ((i = 1; i <= SOME; i++)); do
		nft_rules 0
		measure none 1
		none=$p50
		h nft delete table inet bench
		for n in 1000 10000; do
			progress "nft: $n rules, pair $i of $SOME"
			nft_rules $n
			measure none 1
			note "nft$n" "$p50" "$none"
			divide "$p50" "$none" >>"$RATIOS/nft$n.ratio"
			h nft delete table inet bench
		done
	done
	TOTAL=$total
	for n in 1000 10000; do
		key nft_linear_${n}_ns "$(median "$RATIOS/nft$n" | awk '{printf "%.0f", $1 * 1000}')"
	done
	key nft_linear_10000_ratio "$(median "$RATIOS/nft10000.ratio")"
}

# A program that prints "key value" lines.
part() # name argument...
{
	progress "$1"
	"$BIN/bench/$1" "${@:2}" >"$WORK/part" 2>"$WORK/part.err" || die "$1: $(cat "$WORK/part.err")"
	cat "$WORK/part" >>"$KEYS"
}

policy()
{
	pair large64 large 64 "$SOME"
	key policy_cpu_ratio "$(median "$RATIOS/large64.cpu")"
	key policy_cpu_spread "$(spread "$RATIOS/large64.cpu")"
}
pends()
{
	pair pend64 pend 64
	key pend_cpu_ratio "$(median "$RATIOS/pend64.cpu")"
	key pend_cpu_spread "$(spread "$RATIOS/pend64.cpu")"
}

rates()
{
	local open
	for open in 1 64 512; do
		pair permit$open permit $open
		key conn_rate_ratio_$open "$(median "$RATIOS/permit$open.rate")"
		key conn_rate_spread_$open "$(spread "$RATIOS/permit$open.rate")"
	done
}

progress() { [ ! -t 2 ] || printf '\r%-50s\r' "$*" >&2; }
key() { echo "$1 $2" >>"$KEYS"; }
value() { awk -v key="$1" '$1 == key {print $2}' "$KEYS"; }

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
	row "$RULES rules, $PREFIXES prefixes, CPU" large64 cpu
	echo
		awk '{printf "%-40s %12s\n", $1, $2}' "$KEYS"
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
	  "policy_cpu_ratio": $(median "$RATIOS/large64.cpu"),
	  "policy_cpu_us": $(median "$RATIOS/large64.own_cpu"),
	$(sed -E 's/^([^ ]+) (.*)/  "\1": \2,/' "$KEYS")
	  "load": $LOAD,
	  "pairs": $PAIRS,
	  "connections": $TOTAL,
	  "kernel": "$(uname -r)"
	}
	END
}

SECONDS=0
LOAD=$(cut -d' ' -f1 /proc/loadavg)
PENDD_SETTINGS="queues $QUEUE; max-per-source 0;"
ns_pair 64
need_queue
c sysctl -qw net.ipv4.ip_local_port_range='1024 65535'
# Connections that were reset leave conntrack soon, or the table would fill.
h sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1
ip netns exec "$H" "$BIN/bench/connect_load" serve $PORT >"$WORK/serve" 2>&1 &
SERVE_PID=$!
wait_for 5 has_line "$WORK/serve" ready || die "no server"
large_policy >"$WORK/large"

if [ -n "${BENCH_ONLY:-}" ]; then
	case $BENCH_ONLY in
	answers|throughput|stopped|remembered|reloads|linear|policy|pends|rates) ;;
	*) die "BENCH_ONLY: answers, throughput, stopped, remembered, reloads, linear, policy, pends or rates" ;;
	esac
	$BENCH_ONLY
	progress
	cat "$KEYS"
	trap - EXIT
	clean_up
	exit
fi
pair self bare 64
pair permit64 permit 64
pair pend64 pend 64
pair permit1 permit 1
pair permit512 permit 512
pair large64 large 64 $SOME
answers
throughput
remembered
stopped
reloads
linear
part classify $PACKETS
part contexts $CONTEXTS
progress

key bench_seconds $SECONDS
mkdir -p build
table | tee "$WORK/table"
json >build/bench.json
echo
echo "build/bench.json written"
trap - EXIT
clean_up
