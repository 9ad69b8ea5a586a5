#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=180
# A thousand reloads, by SIGHUP and by pendctl, right ones and wrong ones, while connections are held, completed and
# move data: whom both policies permit loses nothing, nobody passes whom none permits, and nothing grows.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

rounds=${ROUNDS:-1000}
slack=4096 # KiB that a process may have grown from a fifth of the reloads to the last
ns_pair
need_queue
control_start
server tcp:80 tcp:81 tcp:82 tcp:83 tcp:84

policy() { # what is said of port 82
	pendd_settings
	cat <<-END
	authority ops { type operator; timeout 20s; on-timeout block; }
	set office { 192.0.2.0/24, 2001:db8::/32 }
	layer default {
		permit proto tcp from @office to port 80
		pend proto tcp to port 81 ask ops complete buffer
		$1
		pend proto tcp to port 84 ask ops complete flush absorb
		block
	}
	END
}
mkdir "$WORK/policies"
policy 'permit proto tcp to port 82' >"$WORK/policies/a"
policy 'block with reset proto tcp to port 82' >"$WORK/policies/b"
policy 'permitt proto tcp to port 82' >"$WORK/policies/wrong"
pendd_start < <(policy 'permit proto tcp to port 82')
is "$(ctl status policy.generation)" 1 "the first policy"

c /usr/bin/python3 "$TOP/tests/netns/reload_storm.py" "$BIN/pendctl" "$CONTROL" "$CONFIG" "$WORK/policies" \
	"$PENDD_PID" $H4 "$rounds" >"$WORK/storm" 2>&1
saw() { local n; n=$(awk -v w="$1" '$1 == w {print $2}' "$WORK/storm"); echo "${n:-0}"; }
sed 's/^#* */# /' "$WORK/storm"
is "$(saw complaints)" 0 "no complaint"
is "$(saw good) $(saw wrong)" "$((rounds - rounds / 10)) $((rounds / 10))" "$rounds reloads, every tenth of them wrong"
is "$(saw generation)" $((1 + rounds - rounds / 10)) "the policy's number has grown by the good ones exactly"
is "$(ctl status policy.generation)" "$(saw generation)" "and says so still"
is "$(saw lost)" 0 "every connection that both policies permit gets through, and loses no byte"
is "$(saw moved)" 4 "the four that were open all the while, too"
for port in 80 81 84; do gt "$(saw port$port)" 20 "connections to port $port"; done
is "$(grep -c 'port 82 passed' "$WORK/storm")" 0 "what the policy of its time blocks does not pass"
gt "$(saw judged)" $((rounds / 10)) "attempts of which it is known which policy that was"
# One that comes while live flows are still judged by the policy before may be ended with them.
le "$(saw refused_under_a)" $((1 + $(saw judged) / 1000)) "what it permits passes, all but a few"
is "$(grep -c 'port 83 passed' "$WORK/storm")" 0 "what both block never passes"
is "$(server_saw "$C4" | grep -c '"port":83')" 0 "nor does the server see it"
gt "$(saw blocked)" 20 "attempts at it"
holds 5 "no context is left" stat_is totals.pending 0
check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes
for process in verdict others; do
	early=$(saw "rss_${process}_$((rounds / 5))") late=$(saw "rss_${process}_$rounds")
	gt "$early" 0 "KiB ($process) after $((rounds / 5)) reloads"
	lt "$late" $((early + slack)) "I5: after $rounds it has grown by less than $slack KiB"
done
check "it is still the same processes" eval '[ "$(ctl status authority_restarts)" = 0 ] && running "$PENDD_PID"'
finish
