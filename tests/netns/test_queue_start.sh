#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# Queues that are opened with the rules in place and packets coming: none of them may be taken for the kernel's word
# on a setting, and left without a verdict in the kernel for ever.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

TOOL=$BIN/tests/tools/queuetool
[ -x "$TOOL" ] || make -s -C "$TOP" B="$B" "$TOOL" >/dev/null 2>&1 || skip_all "$TOOL is not built"
ns_pair
need_queue

# ---- the library, many times ----

h iptables -w -A INPUT -i lo -p udp --dport 99 -j NFQUEUE --queue-num 300
timeout "$((60 * ${WAIT_FACTOR:-1}))" ip netns exec "$H" "$TOOL" 200 300 99 >"$WORK/queuetool" 2>"$WORK/queuetool.log"
rc=$?
# Its results are ours.
while read -r line; do
	case $line in
	"ok "*) ok "${line#* - }" ;;
	"not ok "*) not_ok "${line#* - }" "$(grep -A 1 -F -- "$line" "$WORK/queuetool" | tail -n 1)" ;;
	esac
done <"$WORK/queuetool"
is "$rc" 0 "queuetool ends well: $(grep -v '^ok' "$WORK/queuetool" | head -c 200)"
is "$(cat "$WORK/queuetool.log")" "" "and complains of nothing"

# ---- the daemon, whose rules outlived it ----

control_start
server tcp:82
start() {
	PENDD_SETTINGS='hookup iptables; fail closed;' pendd_start \
		<<<'layer default { permit proto tcp to port 82; block }'
}
start
ip netns exec "$C" "$BIN/tests/netns/synflood" -s 198.18.0.1 -S 60000 -n 10000000 -r 50000 $H4 80 >"$WORK/flood" 2>&1 &
flood=$!
for i in 1 2 3 4 5; do
	pendd_kill
	start
	client_bg "real$i" -t "$(ms 9000)" $H4 82
	client_wait "real$i"
	is "$(of "real$i" result)" connected "start $i under SYNs that come all the time: clients get in"
done
kill "$flood"
wait "$flood" 2>/dev/null
holds 5 "T26: each packet id got exactly one verdict" ledger_closes
is "$(ctl status totals.packets)" "$(kernel_queue 8)" "T26: as many as the kernel gave ids to"
pendd_stop
finish
