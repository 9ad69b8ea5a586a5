#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# The policy changes while connections are pended and made.
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"

ns_pair
need_queue
control_start
server tcp:80 tcp:81 tcp:82 tcp:83 tcp:84

authorities='authority ops { type operator; timeout 60s; } authority yes { type static; answer permit; }'
pendd_start <<-END
	$authorities
	authority old { type operator; timeout 60s; }
	layer default {
		pend proto tcp to port { 80, 81, 82 } ask ops complete buffer
		pend proto tcp to port 83 ask yes complete buffer
		pend proto tcp to port 84 ask old complete buffer
		block with reset
	}
END
rules() { h nft -s list table inet pend 2>/dev/null; }
generation() { ctl status policy.generation; }
is "$(generation)" 1 "the first policy"

# ---- a wrong one changes nothing ----

before=$(rules)
client_bg p80 -n 3 -t "$(ms 20000)" $H4 80
client_bg p81 -n 3 -t "$(ms 20000)" $H4 81
client_bg p82 -n 3 -t "$(ms 20000)" $H4 82
client_bg p84 -n 3 -t "$(ms 20000)" $H4 84
wait_for 5 pends 12
ids=$(ctl get id)
pendd_config <<-END
	$authorities
	layer default {
		permit proto tcp to port 80
		permitt proto tcp
	}
END
answer=$(ctl reload)
like "$answer" '^error policy' "a wrong policy is refused"
like "$answer" "pend.conf:[0-9]+:[0-9]+: error" "with file, line and column"
is "$(generation)" 1 "the old one stays"
is "$(ctl get id)" "$ids" "so does what is pended"
is "$(rules)" "$before" "and the kernel rules"
client_bg still -t 400 $H4 80
client_wait still
is "$(of still result)" timeout "no part of the wrong one is in force"
like "$(ctl ask "$(printf '{"op":"check","policy":"layer default { permit proto tcp to prt 80 }"}')")" '"ok": false' \
	"check finds a mistake in a text"
status_is 78 "pendd -t finds one in the file" "$BIN/pendd" -t -c "$CONFIG"
told() { grep -cE 'permitt|pend.conf:[0-9]' "$WORK/pendd.log"; }
before_hup=$(told)
told_again() { [ "$(told)" -gt "$before_hup" ]; }
kill -HUP "$PENDD_PID"
holds 5 "SIGHUP with a wrong policy says so in the log" told_again
is "$(generation)" 1 "and changes nothing"

# ---- a right one: what is pended sees it at its completion (R21, R27, T7) ----

pendd_config <<-END
	$authorities
	layer default {
		block with reset proto tcp to port 80
		permit proto tcp to port 81
		pend proto tcp to port 82 ask ops complete buffer
		pend proto tcp to port 83 ask yes complete flush
		block proto tcp to port 85
		block with reset
	}
END
status_is 0 "pendd -t likes it" "$BIN/pendd" -t -c "$CONFIG"
is "$(ctl reload)" "ok 2" "a right policy is taken"
is "$(generation)" 2 "and in force"
have_all() { local id; for id in $ids; do ctl get id | grep -qF "$id" || return 1; done; }
check "R21: what was pended still is, under the same ids" have_all
is "$(rules)" "$before" "L6: and no kernel rule was touched"
client_bg new80 -t 2000 $H4 80
client_bg new81 -t 2000 $H4 81
client_wait new80; client_wait new81
is "$(of new80 result)" refused "new connections are decided by the new policy: blocked"
is "$(of new81 result)" connected "and permitted"
pended=$(total pended)
ctl permit all >/dev/null
client_wait p80; client_wait p81; client_wait p82; client_wait p84
is "$(ended p80 refused)" 3 "R27: a permit of what is blocked now ends in a block, with its refusal"
is "$(total completion_blocked)" 7 "R27: and is counted"
is "$(ctl seen completed dest_port=80 state=blocked)" 4 "R27: and told as blocked"
is "$(ended p81 connected)" 3 "R21: what is permitted now is let in"
is "$(ended p82 connected)" 3 "T7: what would be pended now is not asked about again"
is "$(ended p84 refused)" 3 "R27: what no rule lets in any more is not let in, its authority gone"
is "$(total pended)" "$pended" "T7: no completion made a context"

client_bg no82 -n 2 -t 5000 $H4 82
wait_for 5 pends 2
pendd_config <<-END
	$authorities
	layer default { permit; }
END
ctl reload >/dev/null
ctl reset all >/dev/null
client_wait no82
is "$(ended no82 refused)" 2 "R18: a block stays a block, though the policy permits by now"

# ---- settings that need a restart are said so ----

pendd_config <<-END
	settings { control "$CONTROL"; user ""; queues 200-201; }
	$authorities
	layer default { pend ask yes complete buffer; }
END
like "$(ctl ask '{"op":"reload"}')" 'needs_restart.*queue' "a reload says which settings need a restart"

# ---- reloads while connections are made (T29) ----

client_bg storm -n 600 -c 20 -t "$(ms 9000)" -l 10 -r $H4 83
reloads=0
for i in $(seq 40); do
	if [ $((i % 2)) = 0 ]; then mode=buffer extra="block from 198.51.100.0/24"; else mode="buffer absorb" extra=; fi
	pendd_config <<-END
		$authorities
		layer default {
			$extra
			pend proto tcp to port 83 ask yes complete $mode
			block
		}
	END
	[[ $(ctl reload) != ok* ]] || reloads=$((reloads + 1))
	! client_done storm || [ "$i" -lt 20 ] || break
done
client_wait storm
is "$(ended storm connected)" 600 "T29: 600 connections, none lost between two policies"
lt "$(of storm ms | most)" "$(ms 900)" "T29: none waited for a retransmission"
ge "$reloads" 20 "T29: $reloads reloads meanwhile"

check "I3: every context is accounted for" books_balance
holds 5 "T26: each packet id got exactly one verdict" ledger_closes
finish
