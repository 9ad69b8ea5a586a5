#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60 san
# The library by itself, without the daemon: tests/tools/apitool.c against a real kernel.
. "${0%/*}/lib.sh"

TOOL=$BIN/tests/tools/apitool
[ -x "$TOOL" ] || make -s -C "$TOP" B="$B" "$TOOL" >/dev/null 2>&1 || skip_all "$TOOL is not built"
ns_pair
need_queue
timeout 50 ip netns exec "$H" "$TOOL" "$C" $H4 >"$WORK/api" 2>"$WORK/api.log"
rc=$?
# Its results are ours.
while read -r line; do
	case $line in
	"ok "*) ok "${line#* - }" ;;
	"not ok "*) not_ok "${line#* - }" "$(grep -A 1 -F -- "$line" "$WORK/api" | tail -n 1)" ;;
	esac
done <"$WORK/api"
is "$rc" 0 "apitool ends well"
check "it says how many tests it ran" has_line "$WORK/api" '^1\.\.[0-9]+'
is "$(cat "$WORK/api.log")" "" "and complains of nothing"
is "$(h cat /proc/net/netfilter/nfnetlink_queue)" "" "I8: no queue is left"
finish
