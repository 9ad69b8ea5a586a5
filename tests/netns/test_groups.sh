#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120 san
# Groups of authorities and what counts when no answer comes, through the whole daemon: any, all, n of, chain;
# on-absent, on-error, max-pending; CONTINUE and its cap (R29); layers that ask one after the other (R18).

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair
need_queue
server tcp:{7001..7037}
chmod 755 "$WORK"

printf '#!/bin/sh\necho "$1" >>"%s/asked"\nexit "$2"\n' "$WORK" >"$WORK/vote"
printf '#!/bin/sh\necho "$1" >>"%s/asked"\nsleep 20\n' "$WORK" >"$WORK/hang"
chmod 755 "$WORK/vote" "$WORK/hang"
vote() { echo "authority $1 { type exec; command \"$WORK/vote $1 $2\"; mode once; timeout 8s; ${3:-} }"; }

# port, verdict that is to come, what is asked.
CASES=(
	7001 connected 'any { no, yes }'
	7002 refused 'any { no, no2 }'
	7003 connected 'any { nobody, yes }'
	7004 refused 'any { nobody, no }'
	7005 connected 'any { none, yes }'
	7006 connected 'all { yes, yes2 }'
	7007 refused 'all { yes, no }'
	7008 connected 'all { yes, none }'
	7009 refused 'all { yes, nobody }'
	7010 connected '2 of { yes, no, yes2 }'
	7011 refused '2 of { yes, no, no2 }'
	7012 connected '2 of { yes, nobody-minds, no }'
	7013 refused '2 of { yes, none, no }'
	7014 connected 'chain { none, yes }'
	7015 refused 'chain { none, no, yes }'
	7016 connected 'chain { yes, no }'
	7017 connected 'chain { fails-next, yes }'
	7018 refused 'chain { fails, yes }'
	7019 connected 'chain { fails-permit, no }'
	7020 refused 'chain { none, none2 }'
	7021 connected 'chain { none, late-permits }'
	7022 refused 'nobody'
	7023 connected 'nobody-minds'
	7024 connected 'fails-permit'
	7025 refused 'fails-next'
	7026 connected 'any { hangs, yes }'
	7027 refused 'all { hangs, no }'
)
rules=''
for ((i = 0; i < ${#CASES[@]}; i += 3)); do
	rules+="pend proto tcp to port ${CASES[i]} ask ${CASES[i + 2]} timeout 15s complete buffer with reset"$'\n'
done

PENDD_SETTINGS='' pendd_start <<-END
	$(vote yes 0; vote yes2 0; vote no 1; vote no2 1; vote none 2; vote none2 2
	vote fails 3; vote fails-next 3 'on-error next'; vote fails-permit 3 'on-error permit')
	authority hangs { type exec; command "$WORK/hang hangs"; mode once; timeout 14s }
	authority late-permits { type exec; command "$WORK/hang late"; mode once; timeout 700ms; on-timeout permit }
	authority nobody { type socket }
	authority nobody-minds { type socket; on-absent permit }
	authority patient { type socket; on-absent wait; timeout 8s }
	authority narrow { type exec; command "$WORK/hang narrow"; mode once; timeout 2s; max-pending 2; on-absent permit }
	layer first {
		weight 10
		$rules
		pend proto tcp to port 7028 ask patient complete buffer
		pend proto tcp to port 7029 ask narrow complete buffer with reset
		pend proto tcp to port { 7030, 7031 } ask yes complete buffer
		pend proto tcp to port 7032 ask no complete buffer with reset
		pend proto tcp to port { 7033, 7034 } ask yes complete buffer remember 1h
		pend proto tcp to port 7035 ask people complete buffer timeout 9s
		pend proto tcp to port 7036 ask patient complete buffer timeout 9s
		pend proto tcp to port 7037 ask yes complete buffer remember 1h
	}
	layer second {
		pend proto tcp to port 7030 ask second complete buffer with reset
		pend proto tcp to port { 7031, 7032, 7034 } ask yes2 complete buffer
		pend proto tcp to port 7033 ask people complete buffer timeout 1s on-timeout permit
		pend proto tcp to port { 7035, 7036 } ask people complete buffer timeout 8s with reset
		pend proto tcp to port 7037 ask yes2 complete buffer remember 1h
		permit
	}
	$(vote second 1)
	authority people { type operator }
END
h_health() { h_pendctl authorities --json | tr -d '\n ' | sed 's/{"config"/\n&/g' | grep "\"name\":\"$1\"" | grep -oE "\"$2\":\"?[a-z0-9-]+" | sed 's/.*[:"]//'; }
all_serve() { [ "$(h_pendctl authorities | awk '$2 == "exec" && $5 != "ok"' | wc -l)" = 0 ]; }
check "all programs serve" wait_for 10 all_serve
try() { client -t 14000 "$H4" "$1" | field result; }
asked() { sort "$WORK/asked" | uniq -c | awk '{printf "%s%s=%s", n++ ? " " : "", $2, $1}'; }

for ((i = 0; i < ${#CASES[@]}; i += 3)); do
	is "$(try "${CASES[i]}")" "${CASES[i + 1]}" "ask ${CASES[i + 2]}: ${CASES[i + 1]}"
done

# One after the other, and no more than are needed.
for want in "7014 none=1 yes=1" "7016 yes=1" "7015 no=1 none=1" "7017 fails-next=1 yes=1" "7018 fails=1"; do
	: >"$WORK/asked"
	try "${want%% *}" >"$WORK/out"
	is "$(asked)" "${want#* }" "asked at ${want%% *}: ${want#* }"
done
# By the daemon's own count: the one that is slower may be ended before it has written anything.
asked_of() # authority
{
	h_pendctl --json authorities | python3 -c '
import json, sys
for a in json.load(sys.stdin)["authorities"]:
    if a["name"] == sys.argv[1]:
        print(a["health"]["asked"])' "$1"
}
hangs=$(asked_of hangs) yes=$(asked_of yes)
try 7026 >"$WORK/out"
is "$(($(asked_of hangs) - hangs)) $(($(asked_of yes) - yes))" "1 1" "a group asks all of them at once"
gone_now() { [ "$(pgrep -fc -- "$WORK/hang hangs")" = 0 ]; }
check "... and the one that is not needed any more is ended" wait_for 3 gone_now

# R29: an answer without an opinion is the end of it, not another question.
: >"$WORK/asked"
try 7020 >"$WORK/out"
is "$(asked)" "none=1 none2=1" "R29: a connection nobody has an opinion on is asked about once each"
is "$(h_status loops)" 0 "... and goes in no circle"
like "$(h_pendctl events -n 4 --type completed --json)" '"reason": *"timeout"' "... it ends as when nobody answers in time"

# R18: each of two layers that pend has its own question, the second one when the first has got its permit.
in_order() { tr '\n' ' ' <"$WORK/asked"; }
: >"$WORK/asked"
out=$(try 7030)
is "$out $(in_order)" "refused yes second " "R18: two layers pend: both are asked, and the second one's block blocks"
: >"$WORK/asked"
out=$(try 7031)
is "$out $(in_order)" "connected yes yes2 " "... both permit"
: >"$WORK/asked"
out=$(try 7032)
is "$out $(in_order)" "refused no " "... the first one blocks: the second is not asked"
like "$(h_pendctl events -n 9 --type answered --json)" '"reason": *"authority".*"state": *"answered"' "the first answer is an event"
: >"$WORK/asked"
out=$(try 7034)$(try 7034)
is "$out $(in_order)" "connectedconnected yes yes2 yes2 " "the first one's is remembered: only the second is asked again"
: >"$WORK/asked"
out=$(try 7037)$(try 7037)
is "$out $(in_order)" "connectedconnected yes yes2 " "both are remembered: nobody is asked"
like "$(h_pendctl status --json | tr -d '\n ')" '"varies_by":"pendofanotherlayer"' "... but the kernel has none of it"

# The second one's own time, and what its rule says then.
begin=$(date +%s%N)
out=$(try 7033)
took=$((($(date +%s%N) - begin) / 1000000))
is "$out" connected "R18: the second one's time is over, and its rule permits"
check "... after its own second" test "$took" -ge 1000 -a "$took" -lt 6000

# People see one question after the other.
pending_of() { h_pendctl pending --json 2>>"$WORK/pend.err" | tr -d '\n ' | grep -oE "\"$1\":\"[^\"]*\"|\"$1\":[0-9]+" | sed 's/.*://; s/"//g'; }
one_waits() { [ -n "$(pending_of id)" ]; }
client_bg two -t 9000 "$H4" 7035
check "the first question waits" wait_for 3 one_waits
first=$(pending_of id) rule=$(pending_of rule)
check "... it is permitted" h_pendctl permit "$first"
second=$(pending_of id)
check "R18: another one waits, with a handle of its own" test -n "$second" -a "$second" != "$first"
check "... and of another rule" test "$(pending_of rule)" -gt "$rule"
check "the first handle is over" eval '! h_pendctl permit "$first" >>"$WORK/pend.err" 2>&1'
is "$(pending_of id)" "$second" "... and permits nothing more"
check "the second one is permitted" h_pendctl permit "$second"
client_wait two
is "$(of two result)" connected "... and the connection is let in"

# A person's permit takes the question from whoever was asked.
client_bg over -t 9000 "$H4" 7036
waits() { [ "$(h_health patient waiting)" = 1 ]; }
check "the program's question waits" wait_for 3 waits
h_pendctl permit "$(pending_of id)" >>"$WORK/pend.err" 2>&1
check "R18: ... a person permits, and it is withdrawn" wait_for 2 eval '[ "$(h_health patient waiting)" = 0 ]'
is "$(pending_of authority)" people "... the other layer's is open"
h_pendctl block "$(pending_of id)" --reset >>"$WORK/pend.err" 2>&1
client_wait over
is "$(of over result)" refused "... and blocks"
out=$(h_pendctl test "tcp $C4:4000 > $H4:7031")
like "$out" 'when permitted: pend, ask yes2' "pendctl test says who is asked then"

# Wait for somebody.
client_bg patient -t 9000 "$H4" 7028
check "on-absent wait: the question waits" wait_for 3 waits
python3 "$TOP/examples/authority.py" patient --socket "$CONTROL" --allow "$C4/32" 2>"$WORK/py.err" &
py=$!
client_wait patient
is "$(of patient result)" connected "... for whoever comes to serve it"
kill "$py"
wait "$py" 2>/dev/null

# More than it takes.
client_bg narrow -n 5 -t 5000 "$H4" 7029
check "two are open" wait_for 3 eval '[ "$(h_health narrow open)" = 2 ]'
client_wait narrow
is "$(ended narrow connected)" 3 "max-pending 2: what is above is as if nobody were there"
is "$(h_health narrow limited)" 3 "... and counted"
like "$(h_pendctl authorities)" '^any \{ no yes \} +any +8s.* no, yes$' "groups in rules are shown"
like "$(h_pendctl authorities --json | tr -d '\n ')" '"members":\["yes","no","yes2"\],"name":"[^"]*","need":2' "... with their members"
finish
