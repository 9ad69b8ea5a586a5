#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60 san
# What somebody meets who is new to pend: accounts by name, mistakes in the policy and at the command line, and whether
# what is said about them tells where and why.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
ns_pair
need_queue
command -v setpriv >/dev/null || skip_all "setpriv is not installed"
chmod 755 "$WORK" "$WORK/run"

policy() { # user
	cat <<-END
		authority ops { type operator; timeout 60s }
		authority mine { type exec; command "/no/such/program"; timeout 5s; user $1; group nogroup }
		layer default {
			permit proto tcp to port 7001 user nobody
			pend proto tcp to port 7002 ask ops
			pend proto tcp to port 7003 ask mine
			permit
		}
	END
}
# What pendctl says, and that it ends with this status.
says() { # status regular-expression text pendctl's arguments...
	local want=$1 re=$2 text=$3 err rc
	shift 3
	err=$(h_pendctl "$@" 2>&1)
	rc=$?
	like "$err" "$re" "$text"
	is "$rc" "$want" "... with status $want"
}

pendd_start < <(policy nobody)
asked=$(authority)

# ---- accounts by name: found while the daemon runs, too, whose system calls are filtered ----

check "the policy is loaded again" h_pendctl reload
check "a rule with an account's name is added" h_pendctl policy add --why try block proto tcp to port 7009 user daemon
policy nosuchuser | pendd_config
says 6 'unknown user "nosuchuser"' "a user that does not exist is told" reload
policy nobody | pendd_config
check "... and nothing is broken" h_pendctl reload
is "$(authority)" "$asked" "the process that loads policies is the same one"

# ---- a program that does not exist ----

out=$("$BIN/pendd" -t -c "$CONFIG" 2>&1)
is "$?" 0 "a check of the policy takes it: it may come later"
is "$out" 'pendd: warning: authority "mine": /no/such/program: No such file or directory' "... and tells"
tells() { [[ $(h_pendctl status) =~ problem\ +the\ programs\ of\ 1\ of\ 1\ authorities\ do\ not\ run:\ the\ log\ says\ why ]]; }
check "status tells of it" wait_for 10 tells
wait_for 5 has_line "$WORK/pendd.log" '/no/such/program cannot be started: No such file or directory'
like "$(pendd_log 200)" 'pend-agent: mine: /no/such/program cannot be started' "the log says which and why"

# ---- the command line ----

echo 203.0.113.9 >"$WORK/list"
says 2 'no type of event "frob"' "an unknown type of event" events --type pended,frob
says 2 '"frob" is not an address' "an unlock for no address" unlock ops frob 123456
says 2 '"frob" is not an address' "a lock of no address" lock ops frob
says 2 'no "decisions frob"' "an unknown action of decisions" decisions frob
says 2 '[-]-for takes a duration .* like 8h' "no duration" permit 203.0.113.7 --for long
says 4 'no set "frob" in the policy' "no such set" set add frob 192.0.2.1
unlike "$(h_pendctl set add frob 192.0.2.1 2>&1)" 'elements' "... and nothing is said about its elements"

says 4 'no set "banned" in the policy' "a ban list for a set that is not there" decisions import "$WORK/list"
unlike "$(h_pendctl decisions import "$WORK/list" 2>&1)" 'taken' "... and nothing is said to be taken"

# ---- users without rights ----

as_nobody() { h setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
err=$(as_nobody "$BIN/pendctl" -s "$CONTROL" status 2>&1)
like "$err" 'needs the role "observe", .* be in the control-group or the observe-group' "who only serves is told what it takes"
err=$(h setpriv --reuid 65500 --regid 65500 --clear-groups "$BIN/pendctl" -s "$CONTROL" status 2>&1)
like "$err" 'may not talk to pendd: ask for membership' "who may nothing, too"

pendd_stop
finish
