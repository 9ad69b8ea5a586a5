#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# docs/recipes/smtp-dnsbl.md: a real mail server (exim) behind a real list (rbldnsd).

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/agent.sh"
. "${0%/*}/recipe.sh"
for program in exim4 rbldnsd python3; do
	command -v "$program" >/dev/null || skip_all "no $program"
done
id Debian-exim >/dev/null 2>&1 || skip_all "exim is not Debian's"
ns_pair
need_queue
agent_let_in

# Nothing of the host's own mail system: its configuration, spool and logs are in $WORK.
mkdir "$WORK/spool" "$WORK/mail" "$WORK/lists"
chown Debian-exim: "$WORK/spool" "$WORK/mail"
cat >"$WORK/exim.conf" <<-END
	exim_user = Debian-exim
	exim_group = Debian-exim
	primary_hostname = mail.example.org
	spool_directory = $WORK/spool
	log_file_path = $WORK/mail/%slog
	pid_file_path = $WORK/spool/exim.pid
	local_interfaces = <; $H4 ; $H6
	daemon_smtp_ports = 25
	tls_advertise_hosts =
	rfc1413_query_timeout = 0s
	deliver_drop_privilege = true
	keep_environment =
	acl_smtp_rcpt = rcpt
	begin acl
	rcpt:
	  accept domains = example.org
	  deny
	begin routers
	local:
	  driver = accept
	  domains = example.org
	  transport = inbox
	begin transports
	inbox:
	  driver = appendfile
	  file = $WORK/mail/inbox
	  user = Debian-exim
END
ip netns exec "$H" exim4 -C "$WORK/exim.conf" -bdf -q1h >"$WORK/exim.out" 2>&1 &

# The lists are those of the page, and its command starts the name server.
recipe_block smtp-dnsbl '' 1 >"$WORK/lists/bl4"
recipe_block smtp-dnsbl '' 2 >"$WORK/lists/bl6"
like "$(cat "$WORK/lists/bl4")" '^203.0.113.7$' "the page has a list"
read -r -a command < <(recipe_block smtp-dnsbl sh 1 | sed "s|/var/lib/rbldns|$WORK/lists|")
is "${command[0]}" rbldnsd "... and a command that serves it"
chmod 755 "$WORK/lists"
ip netns exec "$H" "${command[0]}" -n -r / "${command[@]:1}" >"$WORK/rbldnsd.out" 2>&1 &
LIST=$!

PENDD_SETTINGS='' pendd_start < <(recipe_policy smtp-dnsbl | sed "s/user pend-agent/$AGENT_USER/")
agent_serves lists
# Deliver: from where, to where.
mail() { c python3 "$TOP/tests/netns/smtp.py" "$1" "${3:-$H4}" 25 "postmaster@example.org" "$2"; }
got_mail() { grep -q "^Subject: $1\$" "$WORK/mail/inbox"; }
said() { c python3 "$TOP/tests/netns/smtp.py" "$1" "$H4" 25 nobody@elsewhere.test x; }

serves() { [ "$(mail 203.0.113.1 first)" = delivered ]; }
holds 10 "a mail server takes mail from who is not listed" serves
check "... and it is there" wait_for 5 got_mail first
is "$(mail 203.0.113.7 unwanted)" refused "who is listed is refused"
is "$(mail 2001:db8:1::1 six "$H6")" delivered "IPv6, not listed"
is "$(mail 2001:db8:1::7 unwanted "$H6")" refused "IPv6, listed"
like "$(said 203.0.113.2)" 'SMTPRecipientsRefused' "the server's own rules are in force"
unlike "$(cat "$WORK"/mail/mainlog "$WORK/mail/inbox")" 'unwanted|203.0.113.7|2001:db8:1::7' "the server knows nothing of those who are listed"
like "$(h_pendctl decisions)" '^block +203.0.113.7 .* listed by bl.example.org \(127.0.0.2\)' "the decision is shown, and why"

# Off the list, and forgotten.
sed -i '/^203.0.113.7$/d' "$WORK/lists/bl4"
is "$(mail 203.0.113.7 unwanted)" refused "what is remembered holds"
kill -HUP "$LIST" # as it does by itself within a minute
forgiven() { h_pendctl decisions forget --from 203.0.113.7; [ "$(mail 203.0.113.7 later)" = delivered ] || { agent_signal lists HUP; false; }; }
check "off the list and forgotten, it may deliver" wait_for 10 forgiven

# Without a name server mail comes all the same.
kill "$LIST"
is "$(mail 203.0.113.3 late)" delivered "without the list mail comes all the same"
check "... and the log says why" wait_for 3 agent_said lists 'no answer: bl.example.org: '
check "... and it is there" wait_for 5 got_mail late
finish
