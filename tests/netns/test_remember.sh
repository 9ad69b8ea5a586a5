#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60 san
# Decisions that hold for a while: `remember` of a rule, its scopes, its end, and what is not remembered.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
ns_pair
need_queue
control_start
server tcp:{7001..7007}

policy()
{
	cat <<-END
	authority people { type operator; timeout 20s; on-timeout block; }
	layer default {
		pend proto tcp to port 7001 ask people complete buffer remember ${1:-1h}
		pend proto tcp to port { 7002, 7003 } ask people complete buffer remember 1h scope source
		pend proto tcp to port 7004 ask people complete buffer with reset remember 1h scope flow
		pend proto tcp to port 7005 ask people complete buffer remember 4s end timeout 3s
		pend proto tcp to port 7006 ask people complete buffer remember 1h timeout 1s
		pend proto tcp to port 7007 ask people complete buffer remember 1h end
		permit
	}
	END
}
PENDD_SETTINGS='' pendd_start < <(policy)

try() { client -t 3000 "$@" | field result; } # [-P PORT] ADDRESS PORT
# A connection that is asked about, and what is said then.
asked() # permit|block client-argument...
{
	local said=$1 out=$WORK/asked
	shift
	client -t 8000 "$@" >"$out" &
	if wait_for 5 pending_is 1; then
		h_pendctl $said "$C4" >/dev/null
	else
		echo "nobody was asked" >&2
	fi
	wait $!
	field result <"$out"
}
decisions() { h_pendctl decisions --json; }

is "$(asked permit "$H4" 7001)" connected "somebody is asked, and says permit"
is "$(try "$H4" 7001)" connected "the next connection is let in"
is "$(pending_count)" 0 "and nobody is asked about it"
is "$(decisions | field scope) $(decisions | field verdict) $(decisions | field by)" "service permit operator" "it is shown"
like "$(h_pendctl decisions)" "^permit +$C4 +tcp $H4 port 7001 +operator +59m[0-9]+s +pend proto tcp" "and to people"
client -t 6000 "$H4" 7002 >"$WORK/other" &
check "T19: another service is asked about" wait_for 5 pending_is 1
h_pendctl permit "$C4" >/dev/null
wait $!
is "$(field result <"$WORK/other")" connected "... and let in"
is "$(try "$H4" 7003)" connected "scope source: every service of the rule is decided by it"

is "$(asked "block --reset" -r -P 9001 "$H4" 7004)" refused "scope flow: a block"
is "$(try -r -P 9001 "$H4" 7004)" refused "... holds for the same port"
is "$(pending_count)" 0 "... and nobody is asked"
client -t 6000 -r -P 9002 "$H4" 7004 >"$WORK/other" &
check "T19: a block of one flow leaves the next to be asked about" wait_for 5 pending_is 1
h_pendctl permit "$C4" >/dev/null
wait $!
is "$(field result <"$WORK/other")" connected "... and to be let in"

try "$H4" 7006 >/dev/null # nobody answers
client -t 6000 "$H4" 7006 >"$WORK/other" &
check "what a deadline decided is not remembered" wait_for 5 pending_is 1
h_pendctl block "$C4" >/dev/null
wait $!

# Reloads: the rule as it was keeps its decisions, another one does not.
h_pendctl reload >/dev/null
is "$(try "$H4" 7001)" connected "after a reload the same rule still knows"
pendd_config < <(policy 2h)
h_pendctl reload >/dev/null
client -t 6000 "$H4" 7001 >"$WORK/other" &
check "a rule that changed asks again" wait_for 5 pending_is 1
h_pendctl permit "$C4" >/dev/null
wait $!
is "$(try "$H4" 7003)" connected "the others know as before"

# The authority process has nothing to do with it.
kill -9 "$(authority)"
check "the authority process ends and comes back" wait_for 10 h_pendctl version
is "$(try "$H4" 7001)" connected "without the authority process it is remembered, too"

# Forgotten.
is "$(h_pendctl decisions forget --from "$C4" --rule 0)" "1 forgotten." "a decision is forgotten"
client -t 6000 "$H4" 7001 >"$WORK/other" &
check "... and asked for again" wait_for 5 pending_is 1
h_pendctl permit "$C4" >/dev/null
wait $!
rc=0
h_pendctl decisions forget >/dev/null 2>&1 || rc=$?
is "$rc" 2 "forgetting everything has to be said"

# With `end`, live flows end with the decision, and no others.
stream() { # name port
	(for ((i = 1; i <= 150; i++)); do echo "$i"; sleep 0.1; done) |
		c timeout 20 ncat "$H4" "$2" >"$WORK/$1" 2>"$WORK/$1.err" &
}
stream kept 7003
stream gone 7005
check "the flow with an end is asked about" wait_for 5 pending_is 1
h_pendctl permit "$C4" >/dev/null
check "it is let in" wait_for 5 eval 'h ss -tn state established | grep -q ":7005 "'
check "R34: it ends with the decision" wait_for 15 eval '! h ss -tn state established | grep -q ":7005 "'
check "... at the client, too" wait_for 5 grep -q -i reset "$WORK/gone.err"
check "the flow beside it goes on" eval 'h ss -tn state established | grep -q ":7003 "'
like "$(h_pendctl status --json | tr -d ' \n')" '"decision-expired":.("ended":1,"runs":1|"runs":1,"ended":1).' "... and counted by its reason"

# Another word about the same scope takes the permit's place, and its flows end with it.
pending_id() { h_pendctl pending --json | grep "\"source_port\":$1[,}]" | field id; }
client -t 8000 -r -P 9101 "$H4" 7007 >"$WORK/second" &
check "somebody is asked" wait_for 5 pending_is 1
first=$(pending_id 9101)
stream replaced 7007
check "... and about another connection of the same scope" wait_for 5 pending_is 2
for id in $(h_pendctl pending --json | field id); do
	[ "$id" = "$first" ] || h_pendctl permit "$id" >/dev/null
done
check "that is let in" wait_for 5 eval 'h ss -tn state established | grep -q ":7007 "'
h_pendctl block "$first" >/dev/null
check "R34: a block in the permit's place ends the permit's flows" wait_for 10 eval '! h ss -tn state established | grep -q ":7007 "'
check "... and no others" eval 'h ss -tn state established | grep -q ":7003 "'
rc=0 known=$(decisions | grep -c scope)
h_pendctl decisions forget --rule 99 >/dev/null 2>&1 || rc=$?
is "$rc $(decisions | grep -c scope)" "4 $known" "a rule that is not there forgets nothing"
is "$(h_pendctl decisions forget --all | cut -d' ' -f2)" forgotten. "everything is forgotten"
is "$(h_pendctl decisions)" "No decision is remembered." "nothing is left"
pendd_stop
finish
