#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# Why live flows are authorized again when it is not for a new policy (R30, R36, R37): on request, for interfaces and
# routes, by a new daemon. Then all of it at once with people who decide (T29) and entries that vanish (T30).

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair 16
need_queue

policy() # what is permitted...
{
	echo "layer default { $* }"
}
lines() { wc -l <"$WORK/$1"; }
has_lines() { [ -f "$WORK/$1" ] && [ "$(lines "$1")" -ge "$2" ]; }
for port in 8080 8081; do
	ip netns exec "$H" timeout 110 ncat -4 -lk "$port" -e /bin/cat &
done
wait_for 5 eval 'h ss -ltn | grep -q :8080 && h ss -ltn | grep -q :8081'

# ---- the same by request, for those that one asks about ----
load() # policy...
{
	pendd_config < <(policy "$@")
	h_pendctl reload >/dev/null
}
# A figure of the live flows: live ended, live by_reason mid-stream runs
live() { h_pendctl status --json | python3 -c 'import json, sys
v = json.load(sys.stdin)["live_flows"]
for k in sys.argv[1:]: v = v[k]
print(v)' "$@"; }
live_is() { [ "$(live "${@:2}")" -ge "$1" ]; }
alive() { local before; before=$(lines "$1") && wait_for 5 has_lines "$1" $((before + 3)); }
# One that goes on for long, from an address of its own.
long() # name port address
{
	(for ((i = 1; i <= 900; i++)); do echo "$i"; sleep 0.1; done) |
		c timeout 100 ncat -s "$3" "$H4" "$2" >"$WORK/$1" 2>"$WORK/$1.err" &
	check "the stream $1 runs" wait_for 5 has_lines "$1" 2
}

PENDD_SETTINGS='reauthorize no;' pendd_start < <(policy 'permit proto tcp to port { 8080, 8081 }')
long ask1 8080 203.0.113.1
long ask2 8080 203.0.113.2
PENDD_SETTINGS='reauthorize no;' load 'permit proto tcp to port 8081; block'
check "without 'reauthorize' they go on" alive ask1
out=$(h_pendctl reauthorize --dry-run)
like "$out" '203.0.113.1' "a dry run tells of the one"
like "$out" '203.0.113.2' "... and the other,"
check "and ends none" alive ask1
out=$(h_pendctl reauthorize --from 203.0.113.2/32 --port 8080)
like "$out" '203.0.113.2' "one is asked about"
check "... and reset" wait_for 5 grep -q reset "$WORK/ask2.err"
check "... not the other" alive ask1
is "$(live ended)" 1 "which is counted"
like "$(h_pendctl events --type ended --json)" '203.0.113.2' "and an event"
unlike "$(h_pendctl events --type ended --json)" '203.0.113.1"' "... the only one"
is "$(h_pendctl reauthorize --json | grep -oE '"ended" *: *[0-9]+' | grep -oE '[0-9]+$')" 1 "without conditions, all"
check "the other one ends" wait_for 5 grep -q reset "$WORK/ask1.err"

# ---- interfaces and routes: where the policy asks for them, and only there ----
pendd_stop
pendd_start < <(policy 'permit proto tcp to port { 8080, 8081 }')
long if1 8080 203.0.113.3
long if2 8080 203.0.113.4
long if3 8080 203.0.113.5
long if4 8081 203.0.113.6
runs=$(live runs)
ip -n "$H" link add veth7 type veth peer name veth8 && ip -n "$H" link set veth7 up && ip -n "$H" link set veth8 up
sleep 2
is "$(live runs)" "$runs" "a policy that knows no interfaces does not mind a new one"
ip -n "$H" link del veth7
load 'block reauthorize reason new-arrival-interface from 203.0.113.3; permit proto tcp to port { 8080, 8081 }'
check "nothing has changed yet" alive if1
ip -n "$H" link add veth7 type veth peer name veth8 && ip -n "$H" link set veth7 up && ip -n "$H" link set veth8 up
check "R30: a new interface is a reason" wait_for 8 grep -q reset "$WORK/if1.err"
check "... and counted as such" wait_for 3 live_is 1 by_reason new-arrival-interface ended
load "block reauthorize reason new-nexthop-interface from 203.0.113.4; permit in eth0 proto tcp to port { 8080, 8081 }"
ip -n "$H" route add 198.51.100.0/24 via "$C4"
check "R30: a new route is a reason" wait_for 8 grep -q reset "$WORK/if2.err"
check "... and counted as such" wait_for 3 live_is 1 by_reason new-nexthop-interface ended
check "the others go on" eval 'alive if3 && alive if4'
count=$(live ended)
ip -n "$H" route add 203.0.113.5/32 dev veth7
check "a route that takes a flow out of its interface ends it" wait_for 8 live_is $((count + 1)) ended
check "the last one goes on" alive if4

# ---- a daemon that was started anew (R36) ----
pendd_kill
pendd_start < <(policy 'block reauthorize reason mid-stream proto tcp to port 9; permit proto tcp to port 8081')
check "R36: a new daemon looks at the flows of the old one" wait_for 5 live_is 1 by_reason mid-stream runs
check "... and lets be what it permits" alive if4
pendd_kill
pendd_start < <(policy 'block reauthorize reason mid-stream proto tcp to port 8081; permit proto tcp to port 8081')
check "R36: ... and ends what it blocks, whoever has let it in" wait_for 5 live_is 1 by_reason mid-stream ended
check "the client is reset" wait_for 5 grep -q reset "$WORK/if4.err"

# ---- T9: what a layer may say is the same when it is asked again ----
layers() # a policy of two layers
{
	pendd_config <<<"layer first { weight 9; $1 } layer second { weight 1; $2 }"
	h_pendctl reload >/dev/null
}
layers 'permit proto tcp to port { 8080, 8081 }' 'permit proto tcp to port 8081; block from 203.0.113.9; permit'
long both 8081 203.0.113.8
is "$(h_pendctl reauthorize --dry-run --json | grep -oE '"ended" *: *[0-9]+' | grep -oE '[0-9]+$')" 0 "T9: a permit of both is one again"
layers 'permit proto tcp to port { 8080, 8081 }' 'block from 203.0.113.8; permit'
check "T9: a veto of the lighter layer is one again" wait_for 5 grep -q reset "$WORK/both.err"

# ---- T29, T30: everything at once ----
storm_policy() { policy "block to port $1; pend proto tcp to port 8082 complete buffer timeout 30s; permit proto tcp to port 8080"; }
ulimit -n 4096
ip netns exec "$H" timeout 110 "$BIN/tests/netns/flows" serve 8082 >"$WORK/flows" &
pendd_config < <(storm_policy 1)
h_pendctl reload >/dev/null
long storm 8080 203.0.113.10
client_bg many -n 2000 -c 100 -t 25000 "$H4" 8082
for ((i = 1; i <= 25; i++)); do
	pendd_config < <(storm_policy $((1 + i % 7)))
	h_pendctl reload >>"$WORK/storm.reload" 2>&1
	h_pendctl permit --all >/dev/null 2>&1
	h_pendctl reauthorize >>"$WORK/storm.live" 2>&1
	# the entries of what was decided, not of the stream
	h conntrack -D -p tcp --dport 8082 >/dev/null 2>&1
done
for ((i = 0; i < 400; i++)); do
	client_done many && break
	h_pendctl permit --all >/dev/null 2>&1
	sleep 0.05
done
client_wait many
is "$(ended many connected)" 2000 "T29, T30: every client is let in"
is "$(grep -vc 'is in force' "$WORK/storm.reload")" 0 "every policy was taken"
is "$(grep -c '^Of ' "$WORK/storm.live")" 25 "every request was answered"
check "and the stream goes on" alive storm
is "$(h_status bad_messages)" 0 "nothing was said that was not understood"
finish
