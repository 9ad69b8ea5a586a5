#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# An authority for pend as a shell script: `pendctl ask --exec` runs it once for each question. With the policy
#
#     authority list { type socket; timeout 5s; on-absent block; }
#     layer default { pend proto tcp to port ssh ask list complete buffer with reset; permit; }
#
# and a file of addresses and prefixes of whole bytes ("192.0.2.7", "198.51.100."), one a line:
#
#     ALLOWED=/etc/pend/allowed pendctl ask --exec ./authority.sh --authority list
#
# It permits who is in the file, blocks what does not come over a network, and has no opinion of others. What it
# prints first is the reason. Replace decide() by what you need; the whole question is on standard input, as JSON.

allowed=${ALLOWED:-/etc/pend/allowed}

decide()
{
	case $PEND_INTERFACE in lo) echo "from this host"; return 1 ;; esac
	while read -r prefix; do
		case $prefix in
		'' | '#'*) ;;
		*.) case $PEND_SOURCE in "$prefix"*) echo "in $prefix"; return 0 ;; esac ;;
		*) [ "$PEND_SOURCE" != "$prefix" ] || { echo "on the list"; return 0; } ;;
		esac
	done <"$allowed" || return 3 # there is no such file: an error
	echo "not on the list"
	return 2
}

decide
