#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120 san
# Twenty seconds of connections as fast as they come, each pended and decided at random by somebody who sees
# nothing but events: memory and descriptors stay as they are, the status is answered all the while, the
# books balance, and when little is going on no deadline is missed.
. "${0%/*}/lib.sh"

SEED=${SEED:-$((RANDOM * 32768 + RANDOM))} SECONDS_LONG=${SOAK:-20}
echo "# SEED=$SEED"
command -v python3 >/dev/null || skip_all "no python3"

descriptors() { local p; for p in $(pendd_pids); do ls "/proc/$p/fd"; done | wc -l; }
word() { awk -v w="$1" '$1 == w {print $2}' "$WORK/operator"; }
operate() # seconds
{
	h python3 "$TOP/tests/netns/soak.py" "$CONTROL" "$1" "$SEED" >"$WORK/operator" 2>&1
}

ulimit -n 16384
ns_pair 250
need_queue
server tcp:80 tcp:81
h sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1 2>/dev/null
# shellcheck disable=SC2034  # for pendd_config
PENDD_SETTINGS='max-contexts 32768;'
pendd_config <<'POLICY'
authority ops { type operator; timeout 700ms; on-timeout block; }
layer default {
	pend proto tcp to port 80 ask ops complete buffer with reset
	pend proto tcp to port 81 ask ops complete flush
	permit
}
POLICY
pendd_run
wait_for 10 pendd_ready || bail "pendd did not start"
sources=$(printf ',203.0.113.%d' {1..250})
wait_for 10 test -n "$(pgrep -P "$PENDD_PID")"

# ------------------------------------------------------------------ little is going on

operate 4 &
operator=$!
wait_for 10 has_line "$WORK/operator" follows
client_bg light -q -n 100 -i 10 -t 1200 -s "${sources#,}" "$H4" 81
client_wait light
wait "$operator"
is "$(word ended)" 100 "a hundred connections that nobody decides about end"
is "$(of light good)" 0 "and none of them gets through"
le "$(word overshoot_light_ms)" "$((1000 * ${WAIT_FACTOR:-1}))" "no deadline is missed by long"
le "$(word overshoot_median_ms)" "$((100 * ${WAIT_FACTOR:-1}))" "most are met within 100 ms"

# ------------------------------------------------------------------ much is going on

before=$(descriptors)
client_bg churn -q -n 1000000 -c "${CONCURRENT:-500}" -t 800 -l 16 -r -s "${sources#,}" "$H4" 80
operate "$SECONDS_LONG" &
operator=$!
sleep $((SECONDS_LONG / 2))
middle=$(pendd_rss)
sleep $((SECONDS_LONG / 2 - 1))
late=$(pendd_rss)
wait "$operator"
kill "${CLIENT_PID[churn]}" 2>/dev/null
sed 's/^/#   /' "$WORK/operator"
rate=$(($(word total) / SECONDS_LONG))
echo "# $rate connections a second; RSS $middle KiB, later $late KiB; descriptors $before"
gt "$rate" "${RATE_LEAST:-300}" "connections were pended and decided a second"
gt "$(word decided)" 1000 "most of them were decided"
le "$late" "$((middle + middle / 10 + 8192))" "memory is flat, KiB"
le "$(word status_ms)" "$((1000 * ${WAIT_FACTOR:-1}))" "the status is answered, ms"
is "$(word unaccounted)" 0 "what was pended has ended or is pending"
is "$(word verdict_errors)" 0 "no verdict was in vain"

# ------------------------------------------------------------------ and nothing again

operate 2
is "$(word pending) $(word held) $(word copied)" "0 0 0" "nothing is left pending, held or copied"
is "$(word unaccounted)" 0 "the books balance"
le "$(descriptors)" "$before" "no descriptor was left open"
check "pendd still runs" running "$PENDD_PID"
finish
