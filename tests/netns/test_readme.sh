#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# README.md's tour: its commands say what the page shows, but for times, ports and other numbers.
. "${0%/*}/lib.sh"

[ "$(id -u)" = 0 ] || skip_all "kernel tests need root"
command -v nc.openbsd >/dev/null || command -v nc >/dev/null || skip_all "nc is not installed"

# What differs from host to host: numbers, words that follow them, the groups that there are, how the kernel is asked.
same() {
	sed -E '/there is no group|journal:/d; s/ with xtables NFQUEUE//; s/[0-9]+([.:][0-9]+)*/N/g; s/[mh]Ns/s/g; s/ +/ /g' |
		sed '/^[[:space:]]*$/d'
}
# The second block of the tour, which is what was typed and what came.
sed -n '/^## Five minutes/,/^## /p' "$TOP/README.md" | sed -n '/^# pendd -t/,/^```$/p' | sed '$d' | same >"$WORK/page"
"$TOP/tools/readme-tour" "$BIN" 2>&1 | same >"$WORK/said"
gt "$(wc -l <"$WORK/said")" 30 "the tour is played to its end"
is "$(diff "$WORK/page" "$WORK/said")" "" "README.md shows what the commands of its tour say"
finish
