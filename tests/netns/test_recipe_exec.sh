#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# docs/recipes/exec.md does what it says: its policy and its two scripts, as they stand there.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
command -v python3 >/dev/null || skip_all "no python3"
PAGE=$TOP/docs/recipes/exec.md
block() { awk -v want="\`\`\`$1" '$0 == want { n++; on = n == 1; next } /^```/ { on = 0 } on' "$PAGE"; } # the first of its language
ns_pair
need_queue
server tcp:22
chmod 755 "$WORK"
block sh >"$WORK/visitors"
block python >"$WORK/hours"
chmod 755 "$WORK/visitors" "$WORK/hours"
like "$(head -n 1 "$WORK/visitors")" '^#!/bin/sh$' "the page has a script in shell"
like "$(head -n 1 "$WORK/hours")" '^#!/usr/bin/env python3$' "... and one in Python"
printf '203.0.113.1\n!203.0.113.2\n' >"$WORK/list"
is "$(PEND_SOURCE=203.0.113.1 "$WORK/visitors" "$WORK/list") $?" "a visitor 0" "tried by hand: a visitor"
is "$(PEND_SOURCE=203.0.113.2 "$WORK/visitors" "$WORK/list") $?" "kept out 1" "... somebody who is kept out"
is "$(PEND_SOURCE=203.0.113.3 "$WORK/visitors" "$WORK/list") $?" " 2" "... somebody else"
PEND_SOURCE=203.0.113.3 "$WORK/visitors" "$WORK/nowhere" 2>/dev/null
is $? 3 "... no list is an error"
is "$(echo '{"id":"a0.1"}' | "$WORK/hours" 0 24)" '{"id": "a0.1", "verdict": "permit", "why": "by day"}' "... by day"
is "$(echo '{"id":"a0.1"}' | "$WORK/hours" 0 0)" '{"id": "a0.1", "verdict": "continue"}' "... by night"

policy() { block pend | sed "s,/usr/local/lib/pend/,$WORK/,; s,/etc/pend/visitors,$WORK/list,; s/user pend-agent/user 65534/; s/ 7 19/ $1/"; }
pendd_start < <(policy "0 24")
serves() { [ "$(h_pendctl authorities | awk '$2 == "exec" && $5 == "ok"' | wc -l)" = 2 ]; }
check "pendd starts both" wait_for 5 serves
try() { client -t 5000 -s "$1" "$H4" 22 | field result; }
decided() { h_pendctl events -n 1 --type completed --json | tr -d ' \n' | grep -oE '"(reason|verdict)":"[a-z]+"' | sed 's/.*:"//; s/"//' | sort | xargs; }
decided_is() { [ "$(decided)" = "$1" ]; }
is "$(try 203.0.113.1)" connected "a visitor comes in"
check "... by the authority's word" wait_for 3 decided_is "authority permit"
client_bg out -t 1500 -s 203.0.113.2 "$H4" 22
client_wait out
is "$(of out result)" timeout "who is kept out does not"
is "$(try 203.0.113.3)" connected "others do by day"
policy "0 0" | pendd_config
old=$(pgrep -P "$PENDD_PID" -f -- '--authority hours$')
another() { [ -n "$old" ] && gone "$old" && serves; }
check "at night" h_pendctl reload
check "... the program is another one" wait_for 5 another
client_bg night -t 9000 -s 203.0.113.4 "$H4" 22
check "somebody is asked" wait_for 5 pending_is 1
check "... and says yes" h_pendctl permit --all
client_wait night
is "$(of night result)" connected "... and they come in"
is "$(try 203.0.113.1)" connected "a visitor needs nobody"
finish
