#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# Groups of authorities and what counts when no answer comes, through the whole daemon: any, all, n of, chain;
# on-absent, on-error, max-pending; CONTINUE and its cap (R18, R29).

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair
need_queue
server tcp:{7001..7030}
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
		pend proto tcp to port 7030 ask yes complete buffer
	}
	layer second {
		pend proto tcp to port 7030 ask second complete buffer with reset
		permit
	}
	$(vote second 1)
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

# R18: of two layers that pend, the first one's authority is asked, and its permit is the end of it.
: >"$WORK/asked"
out=$(try 7030)
is "$out $(asked)" "connected yes=1" "R18: of two layers that pend the first one is asked, and no other"

# Wait for somebody.
client_bg patient -t 9000 "$H4" 7028
waits() { [ "$(h_health patient waiting)" = 1 ]; }
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
