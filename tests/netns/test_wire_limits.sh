#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=150 san
# Each bound of docs/protocol.md's tables on the real socket: lines, requests, connections, output that nobody
# reads, half-closed and slow ones; and that none of it touches the packets.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
command -v python3 >/dev/null || skip_all "no python3"
ulimit -n 8192
ns_pair
need_queue
server tcp:80 tcp:81
pendd_config <<END
settings { control "$CONTROL"; user ""; max-clients 1500; observe-group "nogroup"; }
authority now { type static; answer permit; }
layer default {
	inspect proto tcp to port 81
	pend proto tcp to port 80 ask now complete buffer
	permit
	$(for ((i = 0; i < 3000; i++)); do echo "permit proto tcp from 198.18.$((i / 250)).$((i % 250)) to port 7"; done)
}
END
pendd_run
wait_for 10 h_pendctl status || bail "pendd did not start"
chmod 666 "$CONTROL"
chmod 755 "$WORK" "$WORK/run"

limits() { h python3 "$TOP/tests/netns/wire_limits.py" "$CONTROL" "$@"; }
# Lines "ok text" and "not ok text (got ...)" become results of ours.
results() { local line; while read -r line; do case $line in "ok "*) ok "${line#ok }" ;; "not ok "*) not_ok "${line#not ok }" ;; *) echo "# $line" ;; esac; done <"$1"; }
run() { limits "$@" >"$WORK/out" 2>&1 || not_ok "$1 goes on to its end" "$(tail -n 5 "$WORK/out")"; results "$WORK/out"; }
packets() { is "$(client -n 100 -c 10 -t 5000 -q "$H4" 80 | field good)" 100 "$1"; }

run lines
run requests
run halves
run clients 1508
is "$(sed -n 's/^held //p' "$WORK/out")" 1508 "root has eight places more"
holds 5 "they are given back" eval '[ "$(h_status clients)" -le 2 ]'
run clients 1500 65534
is "$(sed -n 's/^held //p' "$WORK/out")" 1500 "others have no more than max-clients"

# A thousand slow ones.
mkfifo "$WORK/until"
ip netns exec "$H" python3 "$TOP/tests/netns/wire_limits.py" "$CONTROL" slow 1000 <"$WORK/until" >"$WORK/slow" 2>&1 &
SLOW=$!
exec {UNTIL}>"$WORK/until"
wait_for 20 has_line "$WORK/slow" 'held 1000' || not_ok "a thousand connect" "$(cat "$WORK/slow")"
rss=$(pendd_rss)
packets "a thousand that say a byte a second delay no packet"
began=$(now_ms)
h_pendctl status >/dev/null
echo "# status took $(($(now_ms) - began)) ms; RSS $rss KiB"
ok "and the status is answered"
exec {UNTIL}>&-
wait "$SLOW"
results "$WORK/slow"

# One that does not read.
mkfifo "$WORK/happened"
ip netns exec "$H" python3 "$TOP/tests/netns/wire_limits.py" "$CONTROL" output <"$WORK/happened" >"$WORK/output" 2>&1 &
OUTPUT=$!
exec {HAPPENED}>"$WORK/happened"
wait_for 10 has_line "$WORK/output" following
is "$(client -n 3000 -c 50 -r -q "$H4" 81 | field good)" 3000 "who does not read delays no packet"
echo >&"$HAPPENED"
wait_for 40 has_line "$WORK/output" stalled
packets "nor does who asks and does not read"
check "and the daemon is well" h_pendctl status
wait "$OUTPUT"
results "$WORK/output"
exec {HAPPENED}>&-
finish
