#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# Rules that count, inspect and run out, with real connections.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
server tcp:{5001..5005}

# An hour that is not now, nor soon: the daemon knows the time.
printf -v later '%02d:00-%02d:59' $((10#$(date +%H) < 12 ? 20 : 2)) $((10#$(date +%H) < 12 ? 20 : 2))

PENDD_SETTINGS='' pendd_start <<-END
	layer default {
		inspect proto tcp to port 5001 counter seen
		permit proto tcp tcp-flags syn/syn,ack to port 5001
		permit proto tcp to port 5002 rate 2/hour burst 2
		block proto tcp to port 5002 with reset
		permit proto tcp to port 5003 quota 3 per source in 1h
		block proto tcp to port 5003 with reset
		block proto tcp to port 5004 with reset time $later
		permit proto tcp to port 5004 day mon-sun time 00:00-24:00 reauthorize no
		block with reset
	}
END

results() { # port times: how many of these connections were not refused
	local i n=0
	for ((i = 0; i < $2; i++)); do
		[ "$(client -t 3000 "$H4" "$1" | field result)" = refused ] || n=$((n + 1))
	done
	echo "$n"
}
rule() { h_pendctl rules --json | tr '{' '\n' | grep -F "\"rule\":$1,"; }

is "$(results 5001 2)" 2 "what is inspected is decided by the next rule"
is "$(results 5002 4)" 2 "a rate has its burst, and no more"
is "$(results 5003 5)" 3 "a quota is used up"
is "$(results 5004 1)" 1 "it is some time of some day, and a beginning"
is "$(results 5005 1)" 0 "another port is refused"
is "$(rule 0 | field hits)" 2 "the rule that inspects has counted"
is "$(rule 0 | field counter)" seen "under its name"
ge "$(rule 0 | field bytes)" 80 "and bytes"
like "$(rule 0)" '"last":"20' "and when"
is "$(rule 2 | field hits)" 2 "a rule without tokens counts nothing"
is "$(rule 3 | field hits)" 2 "the one behind it does"
is "$(h_status limit_refused)" 4 "the status counts what limits refused"
like "$(h_pendctl events --json)" '"verdict":"continue"' "an inspected packet is an event"

# Two layers: each is counted for what it says, also when the other overrules it.
pendd_config <<-END
	layer guard { weight 10; permit proto tcp to port { 5001, 5002 } }
	layer local { block proto tcp to port 5002 with reset; permit proto tcp; default block }
END
h_pendctl reload >/dev/null
is "$(results 5001 3)" 3 "both layers permit"
is "$(results 5002 2)" 0 "the second blocks what the first permits"
layer() { h_pendctl layers --json | tr '{' '\n' | grep -F "\"layer\":\"$1\""; }
is "$(layer guard | field permit) $(layer guard | field veto)" "5 0" "STATS: the first layer permitted all of them"
is "$(layer local | field permit) $(layer local | field block) $(layer local | field veto)" "3 2 2" \
	"STATS: the second one's blocks were vetoes"
like "$(h_pendctl layers)" '^local +3 +2 +0 +2$' "and they are shown"

finish
