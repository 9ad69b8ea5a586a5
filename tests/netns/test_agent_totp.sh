#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60 san
# `type totp`: a one-time code, brought by whoever may look at the daemon, opens an authority for a source.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/agent.sh
. "${0%/*}/agent.sh"
command -v oathtool >/dev/null || skip_all "oathtool is not installed"
ns_pair 8
need_queue
server tcp:22 tcp:80

KEY=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ OTHER=MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U
umask 077
printf '# who\nalice %s\nbob %s digits=8 hash=sha256\n' "$KEY" "$OTHER" >"$WORK/secrets"

cp "$WORK/secrets" "$WORK/others"
chown 65534 "$WORK/others"
chmod 711 "$WORK" "$WORK/run"

PENDD_SETTINGS='observe-group nogroup;' pendd_start <<-END
	authority door { type totp; secrets "$WORK/secrets"; open 3s; timeout 20s; on-timeout block; }
	authority other { type totp; secrets "$WORK/others"; user 65534; group 65534; timeout 20s; on-timeout block }
	authority none { type socket; timeout 5s; }
	authority quick { type totp; secrets "$WORK/secrets"; open 1h; timeout 1s; on-timeout block }
	layer default {
		pend proto tcp to port 80 ask quick complete buffer
		pend proto tcp to port 22 ask door complete buffer
		permit
	}
END
# Not at the end of a period, when a code would be of the one before by the time it is taken.
while [ $(($(date +%s) % 30)) -gt 25 ]; do sleep 0.2; done
code() { oathtool --totp --base32 "$@" "$KEY"; } # the codes of three steps are good: -N 'now + 30 seconds'
next() { code -N "now + 30 seconds"; }
before() { code -N "now - 30 seconds"; }
unlock_at() { h_pendctl unlock "$@"; }
unlock() { unlock_at door "$@"; }
try() { client -t 8000 "$@" | field result; }

holds 5 "a program serves it" agents_serve door
holds 5 "a program of another user serves, too" agents_serve other
: >"$WORK/terminal"

# What waits, and what comes later, of that source alone.
client_bg one -t 15000 -s 203.0.113.1 "$H4" 22
client_bg two -t 15000 -s 203.0.113.2 "$H4" 22
check "two connections wait" wait_for 5 pending_is 2
good=$(before)
like "$(unlock 203.0.113.1 "$good")" '^Open for 0m3s: code of alice\.$' "a code opens the door"
client_wait one
is "$(of one result)" connected "who waited is let in"
is "$(pending_count)" 1 "another source goes on waiting"
is "$(try -s 203.0.113.1 "$H4" 22)" connected "a second connection of it is let in at once"
sleep 3.1
client_bg late -t 15000 -s 203.0.113.1 "$H4" 22
check "and has to wait again when its time is over" wait_for 5 pending_is 2
h_pendctl block 203.0.113.1 --reset
client_wait late

# Each code once; over a restart, too.
status_is 5 "the same code opens nothing again" unlock 203.0.113.2 "$good"
client_wait one
now=$(code)
check "the code of now is read from standard input, with a blank in it" eval \
	'unlock 203.0.113.2 <<<"${now:0:3} ${now:3}"'
client_wait two
is "$(of two result)" connected "... and opens for its source"
like "$(cat "$WORK"/run/totp-door.used)" '^alice [0-9]+ [0-9a-f]{8}$' "what was taken is kept"
check "the program is started anew" agent_again door
client_bg late -t 15000 -s 203.0.113.1 "$H4" 22
check "a connection waits" wait_for 5 pending_is 1
status_is 5 "what was taken before is not taken again" unlock 203.0.113.1 "$now"
like "$(SSH_CONNECTION='203.0.113.1 40000 192.0.2.1 22' unlock ssh "$(next)")" '^Open' "ssh: where the session comes from"
client_wait late
is "$(of late result)" connected "... and the connection of this source is let in"

# Closed before its time.
is "$(h_pendctl lock door 203.0.113.9)" "0 sources were closed." "nothing to close"
is "$(h_pendctl lock door 203.0.113.1)" "1 source was closed." "a source that is open is closed"
client_bg closed -t 15000 -s 203.0.113.1 "$H4" 22
check "... and has to wait" wait_for 5 pending_is 1
h_pendctl block 203.0.113.1 --reset >/dev/null
client_wait closed

# Strangers wait in vain as often as they like: who has brought a code is let in.
holds 5 "a program serves the authority of less patience" agents_serve quick
like "$(unlock_at quick 203.0.113.4 "$(code)")" '^Open' "a source is open"
for round in 1 2 3; do
	client_bg strangers -n 6 -c 6 -t 1600 -q -s 203.0.113.5 "$H4" 80
	client_wait strangers
	is "$(of strangers good) $(try -s 203.0.113.4 "$H4" 80)" "0 connected" "round $round: six strangers time out, and it is let in"
done
health() { h_pendctl --json authorities | tr -d ' \n' | grep -oE '"health":\{[^}]*\},("[a-z_]+":[^,{}]+,)*"name":"'"$1"'"' | grep -oE "\"$2\":\"?[a-z0-9]+" | sed 's/.*[:"]//'; }
is "$(health quick breaker) $(health quick refused)" "closed 0" "... and nobody was refused for their sake"

# One at a time: another would know nothing of what is open.
OUT=$(inside "$H" "$BIN/pend-agent" --socket "$CONTROL" --authority door 2>&1)
is "$? $OUT" "1 pend-agent: door: another program serves this authority, which has one at a time" "a second program ends, and says why"
check "... and the first goes on" agents_serve door
# What it cannot note it does not take.
exec {NOTES}<>"$WORK/run/totp-door.used"
flock "$NOTES"
like "$(unlock 203.0.113.1 "$(code)" 2>&1)" 'what was used cannot be kept' "while somebody else has the notes nothing is taken"
exec {NOTES}>&-

# At a terminal: it is asked for, and not shown. Some time goes by before a person types.
typed=$( (wait_for 5 grep -q Code: "$WORK/terminal"; sleep 0.2; echo 000000; sleep 0.5) |
	inside "$H" script -qefc "$BIN/pendctl --socket $CONTROL unlock other 203.0.113.1" "$WORK/terminal")
like "$typed" '^Code: ' "at a terminal the code is asked for"
unlike "$typed" 000000 "... and not shown"
like "$typed" 'wrong, or was used before' "... and brought"

# The other one's code: eight digits, SHA-256; by a user who may only look.
as_user() { inside "$H" setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
if as_user "$BIN/pendctl" --socket "$CONTROL" version >/dev/null 2>&1; then
	like "$(as_user "$BIN/pendctl" --socket "$CONTROL" unlock door 203.0.113.3 \
		"$(oathtool --totp=sha256 -d 8 --base32 "$OTHER")")" 'code of bob' "a user who may only look may bring one"
else
	skip "a user who may only look may bring one" "the build folder is closed to other users"
fi
like "$(cat "$WORK/pendd.log")" 'brought by .*uid 65534|203.0.113.1 is open by a code of alice, brought by root' "the journal says who"

# Wrong ones.
status_is 4 "an authority that is not there" h_pendctl unlock nobody 203.0.113.1 123456
status_is 1 "one that nobody serves" h_pendctl unlock none 203.0.113.1 123456
status_is 2 "a source that is no address" unlock example.org 123456
status_is 2 "no code at all" unlock 203.0.113.1 </dev/null
for ((i = 0; i < 3; i++)); do unlock 203.0.113.4 000000 >/dev/null 2>&1; done
limited() { grep 'try again in [12] s' <<<"$(unlock 203.0.113.4 000000 2>&1)"; } # once more where that second was over
holds 10 "wrong codes make the user wait" limited
ge "$(h_status unlocks_refused)" 5 "and are counted"

# A program that may not write beside the socket cannot know what it has taken: nothing that is valid already is.
status_is 5 "a program without notes takes no code that it may have taken before" h_pendctl unlock other 203.0.113.5 "$(code)"
like "$(cat "$WORK/pendd.log")" 'other: codes that are valid already will be refused: cannot keep .*Permission denied' "... which the log explains"

# The file: read again when it changes; of no use while everybody may read it.
sleep 3.1
chmod 644 "$WORK/secrets"
like "$(unlock 203.0.113.4 "$(code)" 2>&1)" 'secrets cannot be read' "a file that everybody may read is refused"
like "$(cat "$WORK/pendd.log")" 'chmod o=' "... and the log says what to do"
printf 'carol %s\n' "$(tr A-Z B-ZA <<<"$KEY")" >"$WORK/secrets"
chmod 600 "$WORK/secrets"
KEY=$(tr A-Z B-ZA <<<"$KEY")
like "$(unlock 203.0.113.4 "$(code)")" 'code of carol' "a changed file is read again"

# Whoever has noted it: what was taken is looked at each time.
# Of a step so late that it is not over before the code comes; what cannot have been taken yet is not believed.
echo "carol $(($(date +%s) / 30 + 2))" >"$WORK/run/totp-door.used"
status_is 5 "what another program has taken is not taken again" unlock 203.0.113.4 "$(next)"

chmod 644 "$WORK/secrets"
agent_again door
like "$(cat "$WORK/pendd.log")" 'every user may read or change .*secrets' "a program does not start with such a file"
pendd_stop
finish
