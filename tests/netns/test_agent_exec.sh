#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# Authorities of type exec, through the whole daemon: programs that are right, wrong, slow, loud, deaf and many.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair
need_queue
server tcp:{7001..7016}
chmod 755 "$WORK"

# A program by its text; the authority and the rule for it.
port=7001 authorities='' rules=''
declare -A PORT
program() { # name keys < text
	{ echo '#!/bin/bash'; cat; } >"$WORK/$1"
	chmod 755 "$WORK/$1"
	authorities+="authority $1 { type exec; command \"$WORK/$1 $1\"; $2 }"$'\n'
	rules+="pend proto tcp to port $port ask $1 complete buffer with reset"$'\n'
	PORT[$1]=$port port=$((port + 1))
}
try() { client -t 9000 "$H4" "${PORT[$1]}" | field result; }
many() { local name=$1; shift; client -t 9000 -q "$@" "$H4" "${PORT[$name]}"; }
health() { h_pendctl authorities --json | tr -d '\n ' | sed 's/{"config"/\n&/g' | grep "\"name\":\"$1\"" | grep -oE "\"$2\":\"?[a-z0-9-]+" | sed 's/.*[:"]//'; }
is_served() { [ "$(health "$1" state)" != absent ]; }
agent() { pgrep -P "$PENDD_PID" -f -- "^$BIN/pend-agent .*--authority $1\$"; }
# Processes of a program, in any state; a zombie has no command line, but a parent.
processes() { pgrep -fc -- "$WORK/$1 $1"; }
zombies() { ps -o stat= --ppid "$(agent "$1")" | grep -c Z; }

program yes 'mode once; timeout 8s' <<<'exit 0'
program no 'mode once; timeout 8s' <<<'echo on the list; exit 1'
program opinionless 'mode once; timeout 8s; on-timeout permit' <<<'exit 2'
program broken 'mode once; timeout 8s; on-error permit' <<<'exit 3'
program by-source 'mode once; timeout 8s; processes 3' <<'END'
read -r line
[[ $line == *"\"source\":\"$PEND_SOURCE\""* ]] || exit 3
echo 1 >>"${0%/*}/at-once"
sleep 0.05
echo -1 >>"${0%/*}/at-once"
[ "$PEND_SOURCE" = 192.0.2.2 ]
END
program deaf 'mode once; timeout 500ms; processes 2; on-timeout block' <<<'trap "" TERM; while :; do sleep 10; done'
program storm 'mode once; timeout 3s; on-timeout block' <<<'for i in {1..100}; do exec -a "$0 $1" sleep 1000 & done; wait'
program loud 'mode once; timeout 8s' <<<'head -c 1048576 /dev/zero; exit 0'
program liner 'mode stay; processes 2; timeout 8s' <<'END'
while read -r line; do
	case $line in
	*'"source":"192.0.2.2"'*) echo '{"verdict":"permit"}' ;;
	*) echo '{"verdict":"block","block":"reset","why":"not you"}' ;;
	esac
done
END
program ider 'mode stay; processes 1; timeout 8s' <<'END'
while read -r line; do
	id=${line#*'"id":"'} id=${id%%\"*}
	lines+=("$id")
	[ ${#lines[@]} -lt 4 ] && continue
	for ((i = 3; i >= 0; i--)); do echo "{\"id\":\"${lines[i]}\",\"verdict\":\"permit\"}"; done
	lines=()
done
END
program garbage 'mode stay; processes 1; timeout 8s; on-error permit' <<<'while read -r line; do echo "I say yes"; done'
program longline 'mode stay; processes 1; timeout 8s; on-error permit' <<<'while read -r line; do head -c 1048576 /dev/zero | tr "\0" x; sleep 1; done'
program quitter 'mode stay; processes 1; timeout 8s' <<<'read -r line; echo "{\"verdict\":\"permit\"}"'
program silent 'mode stay; processes 1; timeout 300ms; on-timeout permit; on-error permit' <<<'trap "" TERM; while :; do read -r line || sleep 1; done'
program gone 'mode stay; processes 1; timeout 8s; on-error permit; on-timeout block' <<<'exit 1'

pendd_start <<-END
	$authorities
	layer default { $rules
	permit }
END
for name in "${!PORT[@]}"; do
	wait_for 5 is_served "$name" || not_ok "$name is served" "$(h_pendctl authorities)"
done

# Once.
is "$(try yes)" connected "status 0 permits"
last_is() { [ "$(h_pendctl events -n 1 --type completed --json | field "$1")" = "$2" ]; }
check "... and it is told as the authority's word" wait_for 3 last_is reason authority
is "$(try no)" refused "status 1 blocks"
is "$(try opinionless)" connected "status 2 is no opinion: as when nobody answers"
is "$(try broken)" connected "any other is an error: on-error"
is "$(health broken errors)" 1 "... and counted"
many by-source -n 12 -c 12 >"$WORK/many"
is "$(field good <"$WORK/many")" 12 "each question is in the environment and on standard input"
le "$(awk '{n += $1; if (n > most) most = n} END {print most}' "$WORK/at-once")" 3 "no more run at once than processes says"
is "$(client -t 9000 -s 203.0.113.1 "$H4" "${PORT[by-source]}" | field result)" refused "another source is blocked"
is "$(try loud)" connected "a mebibyte of output is read, and no reason"

client_bg hung -n 4 -t 3000 "$H4" "${PORT[deaf]}"
client_bg stormed -t 6000 "$H4" "${PORT[storm]}"
some() { [ "$(processes "$1")" -ge "$2" ]; }
none() { [ "$(processes "$1")" = 0 ]; }
check "one forks a hundred" wait_for 5 some storm 50
client_wait hung
client_wait stormed
is "$(ended hung connected) $(ended stormed connected)" "0 0" "those that do not answer: on-timeout"
check "all of the hundred are killed" wait_for 5 none storm
check "so is what does not hear SIGTERM" wait_for 5 none deaf
no_zombies() { [ "$(zombies deaf) $(zombies storm) $(zombies by-source)" = "0 0 0" ]; }
holds 3 "no zombie is left" no_zombies # one that has just ended is one until its agent runs

# Stay.
is "$(many liner -n 100 -c 20 | field good)" 100 "one line in, one line out, in order"
is "$(client -t 9000 -s 203.0.113.1 "$H4" "${PORT[liner]}" | field result)" refused "it blocks another source"
is "$(processes liner)" 2 "by two processes"
is "$(many ider -n 8 -c 4 | field good)" 8 "answers by id, in any order"
is "$(try garbage)" connected "a line that is no answer is an error: on-error"
is "$(health garbage errors)" 1 "... and counted"
is "$(try longline)" connected "so is too long a line"
is "$(try quitter)" connected "one that ends behind its answer"
check "... is started again" wait_for 5 some quitter 1
is "$(try quitter)" connected "... and answers"
is "$(many silent -n 6 -c 6 | field good)" 6 "one that says nothing: on-timeout"
is "$(many silent -n 6 -c 6 | field good)" 6 "... and then it is not asked for a while: on-error"
check "a program that ends at each start" wait_for 5 has_line "$WORK/pendd.log" 'gone: .*ended \(status 1\)'
sleep 0.5
is "$(try gone)" connected "is an error soon, and not the deadline's"
is "$(try yes)" connected "the others answer all the while"
like "$(h_pendctl authorities)" '^silent +exec +.* (failing|ok) +1 ' "authorities shows them"

# A program is killed, its agent is killed.
pid=$(pgrep -f -- "^/bin/bash $WORK/liner liner" | head -n 1)
kill -9 "$pid"
check "a program that was killed is started again" wait_for 5 some liner 2
is "$(try liner)" connected "... and answers"
pid=$(agent liner)
kill -9 "$pid"
other() { local p; p=$(agent liner) && [ "$p" != "$pid" ]; }
check "an agent that was killed" wait_for 5 other
check "... has two programs, and no more" wait_for 5 eval '[ "$(processes liner)" = 2 ]'
check "... that answer" wait_for 5 eval '[ "$(try liner)" = connected ]'

pendd_stop
is "$PENDD_STATUS" 0 "pendd ends"
is "$(pgrep -fc -- "^(/bin/bash $WORK/|$WORK/|$BIN/pend-agent .*$CONTROL)")" 0 "nothing that it started is left"
finish
