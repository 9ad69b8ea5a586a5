#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60 san
# docs/recipes/ban-lists.md: lists of other programs into sets, each entry with its own end, also over a restart.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
command -v sqlite3 >/dev/null || skip_all "no sqlite3"
ns_pair
need_queue
control_start
server tcp:7001
mkdir "$WORK/state"
PENDD_SETTINGS="state \"$WORK/state/state.db\";"
sed -n '/^```pend/,/^```/p' "$TOP/docs/recipes/ban-lists.md" | grep -v '^```' |
	sed 's#192.0.2.0/24#198.51.100.200#' >"$WORK/policy"
pendd_start <"$WORK/policy"

import() { h_pendctl decisions import "$@"; }
elements() { h_pendctl set list banned | sort | tr '\n' ' '; }
try() { client -t 2500 "$H4" 7001 | field result; }
killed() { kill -9 "$PENDD_PID" "$(authority)"; wait "$PENDD_PID" 2>/dev/null; pendd_run; wait_for 10 pendd_ready >/dev/null; }

is "$(try)" connected "nobody is banned"
printf '# a list\n%s\n198.51.100.0/25 ; a prefix\nnobody\n! 198.51.100.9\n' "$C4" >"$WORK/list"
import "$WORK/list" --for 1h --why "daily list" >"$WORK/out"
like "$(cat "$WORK/out")" "list:4: skipped: no address: nobody" "what is no address is told with its line"
like "$(cat "$WORK/out")" "2 entries taken into banned, 1 skipped, 1 allowances left out" "... and a summary"
is "$(elements)" "$C4 198.51.100.0/25 " "they are in the set"
is "$(try)" timeout "the peer is banned"
like "$(h_pendctl journal -n 1)" "daily list" "the journal has the reason"

# fail2ban's, with times; one in a few seconds.
t() { date -d "$1" '+%Y-%m-%d %H:%M:%S'; }
{
	printf '203.0.113.7 \t%s + 600 = %s\n' "$(t now)" "$(t '+10 minutes')"
	printf '203.0.113.8 \t%s + 600 = %s\n' "$(t '-1 hour')" "$(t '-50 minutes')"
	printf '203.0.113.9 \t%s + -1 = 9999-12-31 23:59:59\n' "$(t now)"
} >"$WORK/fail2ban"
like "$(import - --why fail2ban <"$WORK/fail2ban")" "2 entries taken into banned, 1 skipped" "fail2ban's list, from a pipe"
# CrowdSec's
like "$(import "$TOP/tests/banlists/crowdsec.json" --allow-set friends --json | tr -d ' \n')" '"taken":2.*"allowed":1.*"skipped":2' "CrowdSec's list, with an allowance"
like "$(h_pendctl set list friends | tr '\n' ' ')" "203.0.113.100" "... which is in its set"
like "$(import "$TOP/tests/banlists/crowdsec.csv" --json | tr -d ' \n')" '"taken":3' "... and as CSV"
rc=0
echo 203.0.113.1 | import - --set nowhere >/dev/null 2>"$WORK/err" || rc=$?
like "$rc $(cat "$WORK/err")" "^4 .*nowhere" "a set that is not there is told"
rc=0
echo '{}' | import - --format crowdsec >/dev/null 2>"$WORK/err" || rc=$?
like "$rc $(cat "$WORK/err")" "^2 .*no list in JSON" "what is no list is told"

# From a timer, again and again: it is kept once.
for i in {1..200}; do
	printf '10.1.%s.7 \t%s + 600 = %s\n' "$i" "$(t now)" "$(date -d "+$((600 + 37 * i)) seconds" '+%Y-%m-%d %H:%M:%S')"
done >"$WORK/many"
rows() { sqlite3 "$WORK/state/state.db" 'SELECT count(*) FROM set_change'; }
import - <"$WORK/many" >/dev/null
once=$(rows) edited=$(ctl status control.sets_edited)
for i in 1 2 3 4; do
	sleep 0.7
	import - <"$WORK/many" >/dev/null
done
is "$(rows)" "$once" "a list that is imported five times is in the file once"
is "$(ctl status control.sets_edited)" "$edited" "... and the sets were not touched"

# A short one ends by itself, also when the daemon was away.
echo 203.0.113.55 | import - --for 3s >/dev/null
before=$(elements | sed 's/203.0.113.55 //')
killed
is "$(elements | sed 's/203.0.113.55 //')" "$before" "after kill -9 all is there again, when the daemon is ready"
is "$(try)" timeout "... and the peer is banned"
check "what ends has ended" wait_for 6 eval '! elements | grep -q 203.0.113.55'
h_pendctl set delete banned "$C4" >/dev/null
is "$(try)" connected "taken out"
killed
is "$(try)" connected "... and taken out it stays, after a restart"
h_pendctl set flush banned >/dev/null
killed
is "$(elements)" "" "flushed is flushed"
pendd_stop
finish
