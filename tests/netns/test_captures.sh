#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# docs/captures are what people see: made anew they are the same but for times, ids, ports and figures.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
command -v tmux >/dev/null || skip_all "no tmux"
[ "$(id -u)" = 0 ] || skip_all "kernel tests need root"

mkdir "$WORK/captures"
check "they are made" env B="$BIN" "$TOP/docs/captures/make" "$WORK/captures"

shape() { # what stays the same
	sed -E 's/\b[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?/CLOCK/g
		s/\ba[0-9]+\.[0-9]+/ID/g
		s/\b([0-9]+(\.[0-9]+)?[dhms])+\b/TIME/g
		s/:[0-9]{4,5}\b/:PORT/g
		s/\b([0-9]+|-)( (pended|permitted|blocked|timed out|direct|at most|in the kernel|queued|reserved)\b)/N\2/g
		s/\b[0-9]+\.[0-9]+( (pended|permitted))/N\1/g
		s/tried [0-9]+ more times?/tried N more times/
		s/( TIME +TIME) +[0-9]+ /\1 TRY /; s/ try [0-9]+//; s/[0-9.]+M reserved/N reserved/
		s/ +/ /g; s/ $//' "$1"
}
for name in ask top decisions pending events; do
	is "$(diff <(shape "$TOP/docs/captures/$name.txt") <(shape "$WORK/captures/$name.txt"))" '' \
		"$name.txt has the shape of what is shown now (docs/captures/make makes it anew)"
	like "$(head -c 60 "$WORK/captures/$name.svg")" '^<svg xmlns' "$name.svg is a picture"
	check "... that is well formed" python3 -c 'import sys, xml.dom.minidom as m; m.parse(sys.argv[1])' "$WORK/captures/$name.svg"
	check "... and is shown to readers" grep -rqE "[(/]$name\.(txt|svg)" "$TOP/README.md" "$TOP/docs" --include='*.md'
done
like "$(cat "$TOP/docs/captures/top.txt")" '^y permit n block r reset \(Y N R its source\) s sort / filter d kept p pause \? q$' "the keys' line"
like "$(cat "$TOP/docs/captures/ask.txt")" '^Permit\? \[y n r Y N R 1 h d f w s i \? q\]' "the prompt"
finish
