#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# Authorities of type dnsbl: lists in a real name server (rbldnsd), and name servers that are slow, wrong, hostile or dead.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/agent.sh"
command -v rbldnsd >/dev/null || skip_all "no rbldnsd"
command -v python3 >/dev/null || skip_all "no python3"
ns_pair 42
need_queue
agent_let_in

# The lists are on the other side of a filter that lets nothing in but what is pended.
cat >"$WORK/a.zone" <<-END
	:127.0.0.2:listed by a
	203.0.113.1
	203.0.113.2
	:127.0.0.10:only a comment
	203.0.113.4
END
cat >"$WORK/b.zone" <<-END
	:127.0.0.3:listed by b
	203.0.113.2
	203.0.113.3
END
cat >"$WORK/six.zone" <<-END
	:127.0.0.2:listed
	2001:db8:1::1/128
END
ip netns exec "$C" rbldnsd -n -e -r / -b "$C4/5300" -w "$WORK" \
	a.test:ip4set:a.zone b.test:ip4set:b.zone six.test:ip6trie:six.zone >"$WORK/rbldnsd.out" 2>&1 &
RBLDNSD=$!
ip netns exec "$C" python3 "$TOP/tests/netns/dns.py" "$C4" 5301 >"$WORK/dns.out" 2>"$WORK/dns.err" &
DNS=$!
# Those of the system, now and later. What ip netns exec runs has mounts of its own.
for n in 1 2; do
	ip netns exec "$C" python3 "$TOP/tests/netns/dns.py" 203.0.113.4$n 53 >"$WORK/system$n" 2>&1 &
done
echo "nameserver 203.0.113.41" >"$WORK/resolv.conf"
printf '#!/bin/sh\nmount --bind %s /etc/resolv.conf && exec "$@"\n' "$WORK/resolv.conf" >"$WORK/wrapper"
chmod 755 "$WORK/wrapper"
check "a name server answers from bad lists" wait_for 5 has_line "$WORK/dns.out" ready
server tcp:{7001..7030}

BAD=(yes tcp short slow servfail refused silent garbage malformed ident elsewhere othername limit parked many)
policy()
{
	local i=0 how
	cat <<-END
	authority no { type static; answer block }
	authority both { type dnsbl; zones { a.test, b.test weight 2, six.test weight 3 }; codes 127.0.0.2-127.0.0.9; threshold 2; servers $C4 port 5300; timeout 10s; $AGENT_USER }
	authority allow { type dnsbl; zones { b.test, six.test }; listed permit; servers $C4 port 5300; timeout 10s; on-timeout block; $AGENT_USER }
	authority next { type dnsbl; zones b.test; unlisted continue; servers $C4 port 5300; timeout 10s; $AGENT_USER }
	authority system { type dnsbl; zones yes.test; timeout 10s; $AGENT_USER }
	authority now { type static; answer permit }
	layer default {
		pend proto tcp to port 7001 ask both complete buffer with reset
		pend proto tcp to port 7002 ask allow complete buffer with reset
		pend proto tcp to port 7003 ask chain { allow no } complete buffer with reset
		pend proto tcp to port 7004 ask chain { both no } complete buffer with reset
		pend proto tcp to port 7006 ask system complete buffer with reset
		pend proto tcp to port 7005 ask chain { next now } complete buffer with reset
	END
	for how in "${BAD[@]}"; do
		i=$((i + 1))
		echo "pend proto tcp to port $((7010 + i)) ask $how complete buffer with reset"
	done
	echo "default block }"
	for how in "${BAD[@]}"; do
		echo "authority $how { type dnsbl; zones $how.test; servers $C4 port 5301; timeout 12s; on-error permit; $AGENT_USER }"
	done
}
port_of() { local i; for i in "${!BAD[@]}"; do [ "${BAD[i]}" != "$1" ] || echo $((7011 + i)); done; }
PENDD_WRAPPER=$WORK/wrapper PENDD_SETTINGS='' pendd_start < <(policy)

try() { client -t 12000 "$@" | field result; }
from() { try -s "$1" "${3:-$H4}" "$2"; }
for name in both allow next system "${BAD[@]}"; do agent_serves "$name"; done

is "$(from 203.0.113.1 7001)" connected "one list of weight 1 does not reach the threshold of 2"
is "$(from 203.0.113.2 7001)" refused "two lists do"
is "$(from 203.0.113.3 7001)" refused "one list of weight 2 does"
is "$(from 203.0.113.4 7001)" connected "a code that does not count lists nobody"
is "$(from 203.0.113.5 7001)" connected "who is on no list is let in"
is "$(from 2001:db8:1::1 7001 "$H6")" refused "IPv6, listed"
is "$(from 2001:db8:1::2 7001 "$H6")" connected "IPv6, not listed"
is "$(agent_number both listed) $(agent_number both 'not listed') $(agent_number both failed)" "3 4 0" "it counts them"
is "$(h_status packets)" "$(h_status pended)" "T11: its own packets and their answers were not looked at"
is "$(from 203.0.113.3 7002)" connected "an allow list lets in who is on it"
is "$(from 203.0.113.5 7002)" refused "... and has no opinion of others: the timeout's verdict"
is "$(from 203.0.113.3 7003)" connected "in a chain, too"
is "$(from 203.0.113.5 7003)" refused "... where the next one is asked about others"
is "$(from 203.0.113.5 7004)" connected "a block list that does not have it permits, and ends a chain"
is "$(from 203.0.113.5 7005)" connected "... but for one that has no opinion of others: the next one is asked"
is "$(from 203.0.113.3 7005)" refused "... and still blocks who is listed"

# Answers are kept, and shared.
n=$(agent_number both lookups)
is "$(from 203.0.113.2 7001) $(from 203.0.113.5 7001)" "refused connected" "they are decided again"
is "$(agent_number both lookups)" "$n" "... and nothing is looked up again"
is "$(client -n 100 -c 50 -q -s 203.0.113.20 "$H4" 7001 | field good)" 100 "100 connections of one source are let in"
is "$(agent_number both lookups)" $((n + 3)) "... for one lookup a list"
agent_signal both HUP
is "$(from 203.0.113.5 7001)" connected "after SIGHUP it still decides"
is "$(agent_number both lookups)" $((n + 6)) "... having forgotten what it knew"

# The name server is killed and comes back.
kill "$RBLDNSD"; wait "$RBLDNSD" 2>/dev/null
is "$(from 203.0.113.5 7001)" connected "what is known needs no name server"
is "$(from 203.0.113.6 7001)" refused "without one nothing is known of others, and they are blocked"
is "$(agent_number both failed)" 1 "... as an error"
ip netns exec "$C" rbldnsd -n -e -r / -b "$C4/5300" -w "$WORK" a.test:ip4set:a.zone b.test:ip4set:b.zone \
	six.test:ip6trie:six.zone >"$WORK/rbldnsd.out" 2>&1 &
RBLDNSD=$!
comes_back() { [ "$(from 203.0.113.6 7001)" = connected ]; }
check "it comes back, and they are let in" wait_for 10 comes_back

# Without servers in the policy: the system's, and new ones when there are.
is "$(from 203.0.113.7 7006)" refused "the system's name server is asked"
like "$(cat "$WORK/system1")" 'udp 7.113.0.203.yes.test' "... that of resolv.conf"
echo "nameserver 203.0.113.42" >"$WORK/resolv.conf"
sleep 5.2
is "$(from 203.0.113.8 7006)" refused "another one, when it has changed"
like "$(cat "$WORK/system2")" 'udp 8.113.0.203.yes.test' "... is asked from then on"
unlike "$(cat "$WORK/system1")" 'udp 8.113.0.203.yes.test' "... and the old one not"

# Wrong ones. An error permits here, so that it is told from a block.
verdict() { # authority: what it counted, after one connection from 203.0.113.30
	local got
	got=$(from 203.0.113.30 "$(port_of "$1")")
	echo "$got $(agent_number "$1" listed) $(agent_number "$1" 'not listed') $(agent_number "$1" failed)"
}
listed='refused 1 0 0' not='connected 0 1 0' failed='connected 0 0 1'
is "$(verdict yes)" "$listed" "a plain yes"
is "$(verdict slow)" "$listed" "one that takes a second"
is "$(verdict tcp)" "$listed" "one that is too long for a datagram comes by TCP"
is "$(verdict many)" "$listed" "a code among many"
is "$(verdict servfail)" "$failed" "SERVFAIL is an error"
is "$(verdict refused)" "$failed" "REFUSED is one"
is "$(verdict limit)" "$failed" "127.255.255.254, which lists say to who asks too often, is one"
is "$(verdict parked)" "$failed" "an address that no list gives, as of a parked domain, is one"
is "$(verdict malformed)" "$failed" "an answer that ends in its middle is one"
is "$(verdict garbage)" "$failed" "nothing but garbage is one"
is "$(verdict ident)" "$not" "a forged yes with the wrong number does not count"
is "$(verdict elsewhere)" "$not" "nor one from another port"
is "$(verdict othername)" "$not" "nor one to another question"
start=$(now_ms)
is "$(verdict silent)" "$failed" "silence is an error"
lt $(($(now_ms) - start)) 5000 "... within seconds"
is "$(grep -c 'silent.test' "$WORK/dns.out")" 2 "... and two tries"
from 203.0.113.30 "$(port_of short)" >/dev/null
sleep 1.2
from 203.0.113.30 "$(port_of short)" >/dev/null
is "$(grep -c 'short.test' "$WORK/dns.out")" 2 "an answer is kept no longer than its time to live"

# Under load there is always a query open: its port is not everybody's.
overlapping() # port: from 30 sources, ten a second
{
	local n pids=()
	for n in {1..30}; do
		client -t 12000 -s "203.0.113.$n" "$H4" "$1" >/dev/null &
		pids+=($!)
		sleep 0.1
	done
	wait "${pids[@]}"
}
before=$(grep -c 'udp .*slow.test' "$WORK/dns.out")
overlapping "$(port_of slow)"
ge "$(grep 'udp .*slow.test' "$WORK/dns.out" | tail -n +$((before + 1)) | awk '{ n++; if (!seen[$3]++) ports++ }
	END { print (n >= 29 ? ports : "too few queries") }')" 7 "30 queries that overlap leave by several ports"

# Many at once, none of them twice.
is "$(client -n 400 -c 200 -q "$H4" "$(port_of servfail)" | field good)" 400 "400 connections to a list that fails"
is "$(agent_number yes open) $(agent_number yes waiting)" "0 0" "nothing is left open"

check "the name server was not broken by any of it" running "$DNS"
finish
