#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# Rules about countries, in the daemon as it is shut in: the database is read at the start and by each
# reload, and one that is broken or gone changes nothing.
. "${0%/*}/lib.sh"

ns_pair
need_queue
chmod 755 "$WORK"
DB=$WORK/country.mmdb
database() { "$BIN/tests/tools/mmdb" "$DB" "$@"; }
rule_of() { h_pendctl test --json "tcp $1:4000 > ${2:-$H4}:80" | sed -nE 's/.*"rule": *([0-9]+).*/\1/p'; }
country_of() # address: what op `country` says
{
	h python3 - "$CONTROL" "$1" <<-'END'
	import json, socket, sys
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	s.sendall(json.dumps({"id": 1, "op": "country", "address": sys.argv[2]}).encode() + b"\n")
	f = s.makefile()
	f.readline()
	reply = json.loads(f.readline())
	print(reply["result"]["country"] if reply["ok"] else reply["error"]["code"])
	END
}
policy()
{
	cat <<-END
	settings { control "$CONTROL"; user ""; country-database "$DB"; }
	layer l {
		permit proto tcp country DE
		block country { AT, FR } with reset
		permit
	}
	END
}

database DE=203.0.113.0/24 DE=2001:db8:9::/48 AT=198.51.100.0/24 FR=192.0.2.128/25
pendd_start < <(policy)
is "$(rule_of 203.0.113.9)" 0 'the country of an address decides'
is "$(rule_of 198.51.100.9)" 1 'and another country otherwise'
is "$(rule_of 192.0.2.129)" 1 'each of a list counts'
is "$(rule_of 192.0.2.1)" 2 'an address of no country is of none'
is "$(rule_of '[2001:db8:9::1]' '[2001:db8::1]')" 0 'IPv6 has countries too'

if command -v python3 >/dev/null; then
	is "$(country_of 203.0.113.9)" DE 'the country of an address is told'
	is "$(country_of 2001:db8:9::1)" DE '... of IPv6 too'
	is "$(country_of 192.0.2.1)" None '... and that it has none'
	is "$(country_of nonsense)" invalid '... and that it is no address'
fi

database DE=198.51.100.0/24 AT=203.0.113.0/24 FR=192.0.2.128/25
status_is 0 'a reload reads the new database' h_pendctl reload
is "$(rule_of 203.0.113.9)" 1 'the country has changed'
head -c 200 "$DB" >"$DB.new"
mv "$DB.new" "$DB"
check_not 'a database that is cut short is refused' h_pendctl reload
! command -v python3 >/dev/null || is "$(country_of 203.0.113.9)" system 'nor does it tell a country'
is "$(rule_of 203.0.113.9)" 1 'and the policy stays'
rm "$DB"
check_not 'so is one that is gone' h_pendctl reload
database DE=203.0.113.0/24 AT=198.51.100.0/24
check_not 'a country that nobody has is an error' h_pendctl reload
like "$(h_pendctl reload 2>&1)" 'unknown country "FR"' 'which is named'
check 'the daemon is there' pendd_ready
pendd_stop
is "$PENDD_STATUS" 0 'and ends well'
finish
