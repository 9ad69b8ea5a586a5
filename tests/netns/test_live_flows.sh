#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# Ten thousand connections that carry data both ways, and two thousand one-way flows of datagrams, while the policy
# changes (T8, R34): exactly those that it blocks now are ended, and no other one loses a byte. How long it
# took is printed; only the order of events is asserted, for machines differ.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"

TCP=${LIVE_TCP:-10000} UDP=${LIVE_UDP:-2000} # over 100 source addresses each
ulimit -n "$((TCP + 2000))" 2>/dev/null || skip_all "this needs $((TCP + 2000)) open files"
ns_pair 200
need_queue

flows() # name namespace arguments: in the background, what it says is in $WORK/name
{
	local name=$1 ns=$2
	shift 2
	ip netns exec "$ns" "$BIN/tests/netns/flows" "$@" >"$WORK/$name" 2>"$WORK/$name.err" &
	FLOWS_PID[$name]=$!
}
declare -A FLOWS_PID
mark() { kill -USR1 "${FLOWS_PID[$1]}" && wait_for 10 has_line "$WORK/$1" '"mark":true'; }
flows_stop() { kill -TERM "${FLOWS_PID[$1]}" && wait "${FLOWS_PID[$1]}"; }
ready() { [ "$(head -n 1 "$WORK/$1" | field ready)" = "$2" ]; }
# A figure of the sources but one, summed; of that one; of all.
others() { grep '"source":' "$WORK/$1" | grep -v "\"source\":$2," | field "$3" | awk '{n += $1} END {print n + 0}'; }
one() { grep "\"source\":$2," "$WORK/$1" | field "$3"; }
all() { grep '"summary"' "$WORK/$1" | field "$2"; }
# The same of the server's counts of datagrams, by the last byte of the source.
heard() { grep "\"udp\":$1," "$WORK/server" | field "$2"; }
heard_others() { grep '"udp":' "$WORK/server" | grep -v "\"udp\":$1," | field "$2" | awk '{n += $1} END {print n + 0}'; }
# A figure of an object in what pendctl says.
figure() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]][sys.argv[2]])' "$@"; }
live() { h_pendctl status --json | figure live_flows "$1"; }
live_ended() { [ "$(live ended)" -ge "$1" ]; }

pendd_start <<<'layer default { permit proto { tcp, udp } to port 8080 }'
flows server "$H" serve 8080
check "the server listens" wait_for 5 ready server 0
flows udp "$C" -s 203.0.113.101/100 -t 60 udp "$H4" 8080 "$UDP"
flows tcp "$C" -s 203.0.113.1/100 -t 60 tcp "$H4" 8080 "$TCP"
check "T8: $TCP connections are there" wait_for 40 ready tcp "$TCP"
check "... and $UDP flows of datagrams" wait_for 5 ready udp "$UDP"
sleep 3

# what it would do is told first, and nothing happens
pendd_config <<<'layer default { block from { 203.0.113.7, 203.0.113.107 }; permit proto { tcp, udp } to port 8080 }'
is "$(h_pendctl reload --dry-run --json | figure live ended)" $(((TCP + UDP) / 100)) "a dry run tells how many it would end"
is "$(live ended)" 0 "... and ends none"

mark tcp
start=$(now_ms)
check "the new policy is loaded" h_pendctl reload
loaded=$(now_ms)
check "R34: those that it blocks are ended" wait_for 20 live_ended $(((TCP + UDP) / 100))
echo "# reload: $((loaded - start)) ms, until all were ended: $(($(now_ms) - start)) ms;" \
	"$(grep -oE 'live flows looked at.*' "$WORK/pendd.log" | tail -n 1)"
mark server
sleep 2
is "$(live ended)" $(((TCP + UDP) / 100)) "no others are, as the daemon counts"
is "$(live failed)" 0 "and none could not be"

# a set of conditions that concerns nobody
pendd_config <<<'layer default { block from { 203.0.113.7, 203.0.113.107 }; block to port 9; permit proto { tcp, udp } to port 8080 }'
runs=$(live runs)
h_pendctl reload >/dev/null
check "another policy that blocks none of them" wait_for 10 eval '[ "$(live runs)" -gt '"$runs"' ]'
is "$(live ended)" $(((TCP + UDP) / 100)) "... ends none of them"

flows_stop udp
flows_stop tcp
sleep 0.5
flows_stop server

is "$(one tcp 6 ended)" $((TCP / 100)) "every connection of the blocked source ended"
is "$(others tcp 6 ended)" 0 "and no other one"
is "$(others tcp 6 open)" $((TCP - TCP / 100)) "they are open, all of them,"
is "$(all tcp wrong)" 0 "no byte that came back is wrong"
is "$(grep '"summary"' "$WORK/server" | field wrong)" 0 "... nor any that went there"
is "$(others tcp 6 missing)" 0 "and none is missing"
is "$(heard 107 behind)" 0 "no datagram of the blocked source comes behind that"
is "$(heard_others 107 lost)" 0 "of the others none is lost"
is "$(heard_others 107 flows)" $((UDP - UDP / 100)) "... of all their flows"
gt "$(heard_others 107 behind)" 0 "... and they go on"
echo "# the longest silence of a flow that stays: $(all tcp gap_before_ms) ms before, $(all tcp gap_ms) ms around the reloads"
tail -n 1 "$WORK/tcp" | sed 's/^/# /'
finish
