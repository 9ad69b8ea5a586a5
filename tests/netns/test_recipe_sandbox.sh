#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# docs/recipes/sandbox-consent.md with its own commands and policy: what a network namespace behind this host dials, with a person at a
# terminal.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/recipe.sh
. "${0%/*}/recipe.sh"
# shellcheck source=tests/netns/screen.sh
. "${0%/*}/screen.sh"
command -v ncat >/dev/null || skip_all "no ncat"
S=pend-s$ID
ns_pair
need_queue
h iptables -w -t nat -L >/dev/null 2>&1 || skip_all "no iptables with nat"

# Its name belongs to everybody on this machine.
recipe_block sandbox-consent sh 1 | sed "s/\bsandbox\b/$S/" >"$WORK/sandbox"
check "the recipe makes a namespace" grep -qx "ip netns add $S" "$WORK/sandbox"
ns_add "$S"
grep -v '^ip netns add' "$WORK/sandbox" >"$WORK/rest"
check "... and the rest" h sh -e "$WORK/rest"
in_sandbox() { ip netns exec "$S" "$@"; }
sandbox() { in_sandbox "$BIN/tests/netns/client" "$@"; } # as client()

# The world is the other namespace: servers that echo, and one of names.
for port in 80 443; do
	ip netns exec "$C" timeout 110 ncat -4 -lk "$port" -e /bin/cat &
done
ip netns exec "$C" "$BIN/tests/netns/server" udp:53 udp:123 >"$WORK/world" 2>&1 &
wait_for 5 eval 'c ss -ltn | grep -q ":443 "' || bail "no world"
recipe_policy sandbox-consent | sed "s/192\.0\.2\.53/$C4/" >"$WORK/policy"
check "the recipe has a policy that names the resolvers" grep -q "resolvers { $C4 }" "$WORK/policy"
pendd_start <"$WORK/policy"

# ---- what needs no consent ----

is "$(sandbox -u -t 2000 "$C4" 53 | field result)" answered "names are resolved"
is "$(h "$BIN/tests/netns/client" -t 2000 "$C4" 80 | field result)" connected "what this host dials is not asked about"
is "$(sandbox -t 2000 10.99.0.1 81 | field result)" refused "this host itself is reached"
unlike "$(sandbox -u -t 2000 "$C4" 123 | field result)" 'answered|timeout' "other datagrams are refused at once"
is "$(h_pendctl --json events -n 1000 --type pended | grep -c '"id"')" 0 "... and nobody was asked"

# ---- consent ----

screen_start me 150 30 "exec '$BIN/pendctl' --socket '$CONTROL' ask --authority me"
shows 5 "a person waits for questions" me '^Nothing waits'
(echo hello; for _ in {1..80}; do sleep 0.5; echo more; done) 2>/dev/null | in_sandbox timeout 60 ncat "$C4" 80 >"$WORK/first" 2>&1 &
shows 5 "a connection is a question" me "^a[0-9.]+  tcp 10\.99\.0\.2:[0-9]+ > ${C4//./\\.}:80  asks me"
shows 5 "... with its prompt" me '^Permit\? .* left'
like "$(screen me)" "^  to       ${C4//./\\.}:80 \(http\), no name, in sb0, out eth0" "... that tells where to, and by which way"
unlike "$(screen me)" '^  listens' "... of another host's socket nothing is claimed"
is "$(cat "$WORK/first")" '' "the program waits"
sleep 1 # a key that comes too soon is about something else
screen_keys me y
check "y: it goes on" wait_for 5 grep -q hello "$WORK/first"
is "$(c ss -Htn state established 'sport = 80' | awk '{print $4}' | cut -d: -f1)" "$H4" "... and the world sees this host's address"
is "$(sandbox -t 3000 "$C4" 80 | field result)" connected "the next one to the same place is not asked about"
is "$(h_pendctl --json events -n 1000 --type pended | grep -c '"id"')" 1 "... indeed"

sandbox -t 20000 "$C4" 443 >"$WORK/second" &
second=$!
shows 5 "another port is another question" me "^a[0-9.]+  tcp 10\.99\.0\.2:[0-9]+ > ${C4//./\\.}:443  asks me"
shows 5 "... with its prompt" me '^Permit\? .* left'
sleep 1
screen_keys me r
wait $second
is "$(field result <"$WORK/second")" refused "r: the program is told at once"
lt "$(field ms <"$WORK/second")" 15000 "... and not by a timeout"

# ---- taken back ----

like "$(h_pendctl decisions)" "^permit +10\.99\.0\.2 +tcp ${C4//./\\.} port 80 .* 7h" "consent holds for the working day"
flows() { in_sandbox ss -Htn state established 'dport = 80' | grep -c .; }
is "$(flows)" 1 "the first connection is open still"
like "$(h_pendctl decisions forget --from 10.99.0.2)" '^2 forgotten' "it is taken back"
check "... and what was open ends with the next word" wait_for 5 eval '[ "$(flows)" = 0 ]'
sandbox -t 20000 "$C4" 80 >"$WORK/third" &
third=$!
check "the next one is asked about again" wait_for 5 pending_is 1
check "a permit without a terminal" h_pendctl permit 10.99.0.2 --for 1h --why 'fetches its model'
wait $third
is "$(field result <"$WORK/third")" connected "... lets it through"
like "$(h_pendctl history --source 10.99.0.2)" "permitted .*:443|blocked .*:443" "the history tells what it has dialled"
like "$(h_pendctl history --source 10.99.0.2 --json)" 'fetches its model' "... and why it might"
screen_end me
finish
