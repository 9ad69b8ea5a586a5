#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60 san
# Decisions that hold for a while: `remember` of a rule, its scopes, its end, and what is not remembered.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
# shellcheck source=tests/netns/agent.sh
. "${0%/*}/agent.sh"
ns_pair
need_queue
control_start
server tcp:{7001..7013}
printf '#!/bin/sh\necho it failed\nexit 7\n' >"$WORK/fails"
printf '#!/bin/sh\nexit 0\n' >"$WORK/permits"
chmod 755 "$WORK" "$WORK/fails" "$WORK/permits"

policy()
{
	cat <<-END
	authority people { type operator; timeout 20s; on-timeout block; }
	authority fails { type exec; command "$WORK/fails"; mode once; timeout 9s; on-error permit; }
	authority blocks { type exec; command "$WORK/fails"; mode once; timeout 9s; on-error block; }
	authority permits { type exec; command "$WORK/permits"; mode once; timeout 9s; }
	authority lists { type dnsbl; zones { "list.example" }; servers { 127.0.0.9 }; timeout 9s; on-error permit; }
	layer default {
		pend proto tcp to port 7001 ask people complete buffer remember ${1:-1h}
		pend proto tcp to port { 7002, 7003 } ask people complete buffer remember 1h scope source
		pend proto tcp to port 7004 ask people complete buffer with reset remember 1h scope flow
		pend proto tcp to port { 7005, 7013 } ask people complete buffer remember 4s end timeout 3s
		pend proto tcp to port 7006 ask people complete buffer remember 1h timeout 1s
		pend proto tcp to port 7007 ask people complete buffer remember 1h end
		pend proto tcp to port 7008 ask people complete buffer
		pend proto tcp to port 7009 ask fails complete buffer remember 1h
		pend proto tcp to port 7010 ask blocks complete buffer with reset remember 1h scope source
		pend proto tcp to port 7011 ask all { fails, permits } complete buffer remember 1h
		pend proto tcp to port 7012 ask lists complete buffer remember 1h
		pend proto icmp ask people complete buffer remember 1h end
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
is "$(decisions | field scope) $(decisions | field verdict) $(decisions | field reason) $(decisions | field by)" "service permit operator $(id -un)" "it is shown, and whose it is"
like "$(h_pendctl decisions)" "^permit +$C4 +tcp $H4 port 7001 +$(id -un) +59m[0-9]+s +- +pend proto tcp" "and to people"
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

# What stands in for an answer is nobody's word.
was() { h_pendctl decisions --json | grep -c '"text":.*to port '"$1"; }
holds 10 "programs serve" agents_serve fails blocks permits lists
is "$(try "$H4" 7009)" connected "an error permits, by on-error"
reason_is() { [ "$(h_pendctl events -n 1 --type completed --json | field reason)" = "$1" ]; }
holds 3 "... and is told as such" reason_is on-error
like "$(h_pendctl events -n 1 --type completed --json | tr -d '\n')" '"why": ?"it failed"' "... with what was said of it"
is "$(client -t 9000 -r "$H4" 7010 | field result)" refused "an error blocks, by on-error"
is "$(try "$H4" 7011)" connected "in a group on-error votes"
is "$(client -t 9000 "$H4" 7012 | field result)" connected "lists that cannot be asked: on-error"
is "$(was 7009) $(was 7010) $(was 7011) $(was 7012)" "0 0 0 0" "none of that is remembered"

# One answer for all that wait, and for a rule that does not remember by itself.
for port in 9301 9302 9303 9304; do
	client -t 8000 -P $port "$H4" 7008 >"$WORK/wait.$port" &
done
check "four connections of one source wait" wait_for 5 eval '[ "$(h_pendctl pending --port 7008 --json | grep -c source_port)" = 4 ]'
one=$(h_pendctl pending --port 7008 --json | field id | head -n 1)
like "$(h_pendctl permit "$one" --for 1h --why "ticket 4711")" "^permitted 1 connection, and those like it" "one is permitted, for an hour"
for port in 9301 9302 9303 9304; do
	check "... and so is the one of port $port" wait_for 5 grep -q connected "$WORK/wait.$port"
done
is "$(try "$H4" 7008)" connected "... and the next one"
like "$(h_pendctl decisions)" "^permit +$C4 +tcp $H4 port 7008 +$(id -un) +59m[0-9]+s +ticket 4711 +pend" "it is shown with its reason"
like "$(h_pendctl events --type completed -n 1 --json | tr -d ' \n')" "\"by\":\"$(id -un)\".*\"why\":\"ticket4711\"" "... and among the events"
is "$(h_pendctl decisions forget --rule 6)" "1 forgotten." "it is forgotten"
client -t 6000 "$H4" 7008 >"$WORK/other" &
check "... and asked for again" wait_for 5 eval '[ "$(h_pendctl pending --port 7008 --json | grep -c source_port)" = 1 ]'
h_pendctl block "$C4" --port 7008 --once >/dev/null
h_pendctl decisions forget --rule 1 >/dev/null
client -t 6000 "$H4" 7002 >"$WORK/other" &
check "a rule that remembers asks" wait_for 5 eval '[ "$(h_pendctl pending --port 7002 --json | grep -c source_port)" = 1 ]'
h_pendctl permit "$C4" --port 7002 --once >/dev/null
wait $!
client -t 6000 "$H4" 7003 >"$WORK/other" &
check "... and asks again when it was told not to remember" wait_for 5 eval '[ "$(h_pendctl pending --port 7003 --json | grep -c source_port)" = 1 ]'
h_pendctl permit "$C4" --port 7003 >/dev/null
wait $!
check "all is decided" wait_for 8 pending_is 0

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
c ping -q -i 0.3 -w 60 "$H4" >"$WORK/ping" &
check "pings are asked about" wait_for 5 pending_is 1
h_pendctl permit "$C4" >/dev/null
stream kept 7003
stream once 7013
check "another flow of the rule with an end is asked about" wait_for 5 pending_is 1
h_pendctl permit "$C4" --port 7013 --once >/dev/null
check "... and let in alone" wait_for 5 eval 'h ss -tn state established | grep -q ":7013 "'
stream gone 7005
check "the flow with an end is asked about" wait_for 5 pending_is 1
h_pendctl permit "$C4" >/dev/null
check "it is let in" wait_for 5 eval 'h ss -tn state established | grep -q ":7005 "'
check "R34: it ends with the decision" wait_for 15 eval '! h ss -tn state established | grep -q ":7005 "'
check "... at the client, too" wait_for 5 grep -q -i reset "$WORK/gone.err"
check "the flow beside it goes on" eval 'h ss -tn state established | grep -q ":7003 "'
check "... and that which the decision was not about" eval 'h ss -tn state established | grep -q ":7013 "'
counted() { h_pendctl status --json | tr -d ' \n' | grep -qE '"decision-expired":.("ended":1,"runs":1|"runs":1,"ended":1).'; }
holds 5 "... alone, and counted by its reason" counted # at the end of the run that ended it

# Another word about the same scope takes the permit's place, and its flows end with it.
pending_id() { h_pendctl pending --json | grep "\"source_port\":$1[,}]" | field id; }
client -t 8000 -r -P 9101 "$H4" 7007 >"$WORK/second" &
check "somebody is asked" wait_for 5 pending_is 1
first=$(pending_id 9101)
stream replaced 7007
check "... and about another connection of the same scope" wait_for 5 pending_is 2
# In one breath: a moment later the permit would have decided both. From a file, for bash writes line by line into a
# pipe, and what stands between two lines on a busy machine is long enough.
for id in $(h_pendctl pending --json | field id); do
	[ "$id" = "$first" ] || printf '{"id":1,"op":"complete","ids":["%s"],"verdict":"permit"}\n{"id":2,"op":"complete","ids":["%s"],"verdict":"block"}\n' "$id" "$first"
done >"$WORK/breath"
h nc.openbsd -N -U "$CONTROL" <"$WORK/breath" >"$WORK/both"
is "$(grep -c '"completed":1' "$WORK/both")" 2 "one is permitted, and the other blocked"
check "R34: a block in the permit's place ends the permit's flows" wait_for 10 eval '! h ss -tn state established | grep -q ":7007 "'
check "... and no others" eval 'h ss -tn state established | grep -q ":7003 "'
rc=0 known=$(decisions | grep -c scope)
h_pendctl decisions forget --rule 99 >/dev/null 2>&1 || rc=$?
is "$rc $(decisions | grep -c scope)" "4 $known" "a rule that is not there forgets nothing"
is "$(h_pendctl decisions forget --all | cut -d' ' -f2)" forgotten. "everything is forgotten"
is "$(h_pendctl decisions)" "No decision is remembered." "nothing is left"
pendd_stop
finish
