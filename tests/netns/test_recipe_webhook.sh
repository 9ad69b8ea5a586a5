#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# docs/recipes/webhook.md: the service of the page decides.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/agent.sh"
. "${0%/*}/recipe.sh"
for program in python3 curl; do
	command -v "$program" >/dev/null || skip_all "no $program"
done
. "${0%/*}/certificates.sh"
ns_pair
need_queue
agent_let_in
ca_make idp-ca
cert_make idp idp-ca "IP:$C4"
server tcp:22

# The page's files are in $WORK, its host is the other namespace.
here() { sed -e "s|/etc/pend/|$WORK/|g" -e "s|idp.example.org|$C4|g"; }
bash -e <(recipe_block webhook sh 1 | sed 's/-g pend-agent/-g 65534/' | here)
is "$(stat -c %a "$WORK/idp.headers")" 640 "the token is nobody else's"
recipe_block webhook python 1 | here >"$WORK/service.py"
ip netns exec "$C" python3 "$WORK/service.py" >"$WORK/service.out" 2>&1 &
ask() { c bash <(recipe_block webhook sh 2 | here); }
answers() { [ "$(ask)" = "$(recipe_block webhook '' 1)" ]; }
holds 10 "the service answers by hand as the page says" answers

PENDD_SETTINGS='' pendd_start < <(recipe_policy webhook | here | sed "s/user pend-agent/$AGENT_USER/")
agent_serves idp
try() { client -t 8000 -s "$1" "$H4" 22 | field result; }
is "$(try 203.0.113.1)" connected "it permits"
is "$(try "$C4")" refused "it blocks, with a reset"
like "$(h_pendctl decisions)" '^permit +203.0.113.1 .* idp +7h59m +the office' "what it said is remembered as it said, and why"
is "$(agent_number idp questions)" 2 "it was asked twice"
is "$(try 203.0.113.1)" connected "who is remembered is let in"
is "$(agent_number idp questions)" 2 "... and it is not asked again"

# Another token.
echo "Authorization: Bearer wrong" >"$WORK/idp.headers"
agent_signal idp HUP
is "$(try 203.0.113.2)" timeout "with a wrong token nobody is let in"
check "... and the log says why" wait_for 3 agent_said idp 'no answer: wrong token'
finish
