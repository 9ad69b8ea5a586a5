#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90
# Rules about who listens: the user, group, executable, cgroup and unit of the socket that would take a connection,
# with real services that come, go and become something else.
. "${0%/*}/lib.sh"

ns_pair
need_queue
chmod 755 "$WORK"
for name in alpha beta; do # one program under two names
	cp "$BIN/tests/netns/server" "$WORK/$name"
done
chmod 755 "$WORK"/alpha "$WORK"/beta

# The tree of the real machine: `ip netns exec` has put an empty /sys over it.
cgroups=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
slice=$cgroups/pend-test-$ID
unit=$slice/svc@1.service
if [ -z "$cgroups" ] || ! mkdir -p "$unit" 2>/dev/null; then
	cgroups=
fi
cat >"$WORK/with-cgroups" <<'END'
#!/bin/bash
mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
exec "$@"
END
chmod 755 "$WORK/with-cgroups"

# A service of a name, uid, gid; its process id is in ${PID[name]}.
declare -A PID
serve() # name executable uid gid proto:port...
{
	local name=$1 exe=$2 uid=$3 gid=$4
	shift 4
	ip netns exec "$H" setpriv --reuid "$uid" --regid "$gid" --clear-groups \
		"$WORK/$exe" -o /dev/null "$@" >/dev/null 2>"$WORK/$name.err" &
	PID[$name]=$!
	wait_for 5 listens "${@: -1}" || bail "$name does not start: $(cat "$WORK/$name.err")"
}
listens() { case $1 in udp:*) h ss -Huln ;; *) h ss -Htln ;; esac | grep -q ":${1#*:} "; }
silent() { ! listens "$1"; }
end() # name proto:port
{
	kill "${PID[$1]}"
	wait "${PID[$1]}" 2>/dev/null
	wait_for 5 silent "$2"
}
result() { client -t 3000 "$H4" "$1" | field result; }
established() { h ss -Htn state established | grep -q ":$1 "; }
not_established() { ! established "$1"; }
passes() { [ "$(result "$1")" = connected ]; }
refused() { [ "$(result "$1")" = refused ]; }
asked() { h_status "$1"; }
resolver() { child_of_pendd --resolver-process; }

# ------------------------------------------------------------------ nobody asks

serve user alpha 65534 65533 tcp:5001
# shellcheck disable=SC2034
PENDD_WRAPPER=$WORK/with-cgroups
pendd_start <<<'layer default { permit proto tcp to port 5001; block with reset }'
check "a policy that does not ask" passes 5001
is "$(asked lookups)" 0 "looks nobody up"
is "$(awk '/^CapEff/ {print $2}' "/proc/$(resolver)/status")" 0000000000080000 "the resolver has one capability"
is "$(awk '/^Seccomp:/ {print $2}' "/proc/$(resolver)/status")" 2 "and a system call filter"

# ------------------------------------------------------------------ the user

pendd_config <<-END
	layer default {
		permit proto { tcp, udp } to port { 5001, 5011 } user 65534
		block with reset
	}
END
check "reload" h_pendctl reload
check "a service of the user that may" passes 5001
judged() { h_pendctl test --quiet "tcp 203.0.113.7 > $H4:$1"; echo $?; }
is "$(judged 5001)" 0 "pendctl test looks the user up"
is "$(judged 5009)" 10 "... or that nobody listens"
before=$(asked lookups)
check "once more" passes 5001
is "$(asked lookups)" $((before + 1)) "one look-up for one connection"
end user tcp:5001
check "nobody listens" refused 5001
serve user alpha 0 0 tcp:5001
check "another user: at once" refused 5001
end user tcp:5001
serve user alpha 65534 65533 tcp:5001
check "and back: at once" passes 5001
is "$(client -t 3000 "$H6" 5001 | field result)" connected "the same by IPv6"
serve datagrams alpha 65534 65533 udp:5011
is "$(client -u -t 3000 "$H4" 5011 | field result)" answered "and for datagrams"
end datagrams udp:5011
serve datagrams alpha 0 0 udp:5011
isnt "$(client -u -t 1000 "$H4" 5011 | field result)" answered "but not to another user"
is "$(asked asked)" 0 "the resolver was asked for none of this"

# ------------------------------------------------------------------ the process

python=$(readlink -f "$(python3 -c 'import sys; print(sys.executable)')")
cat >"$WORK/change.py" <<'END'
import os, signal, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 5005))
s.listen(100)
s.set_inheritable(True)
signal.signal(signal.SIGUSR1, lambda *a: os.execv("/bin/sleep", ["sleep", "60"]))
signal.pause()
END
serve group alpha 65534 65533 tcp:5002
serve good alpha 65534 65533 tcp:5003
serve bad beta 65534 65533 tcp:5004
ip netns exec "$H" "$python" "$WORK/change.py" &
changing=$!
wait_for 5 listens tcp:5005
pendd_config <<-END
	layer default {
		permit proto tcp to port 5002 group 65533
		permit proto tcp to port 5003 executable "$WORK/alpha"
		block  proto tcp to port 5004 executable "$WORK/beta" with reset
		permit proto tcp to port 5004
		permit proto tcp to port 5005 executable "$python"
		permit proto tcp to port 5006 cgroup "/pend-test-$ID"
		permit proto tcp to port 5007 unit "svc@*.service"
		block with reset
	}
END
check "reload" h_pendctl reload
check "the group that may" passes 5002
is "$(judged 5002)" 12 "pendctl test does not know of processes"
like "$(h_pendctl test "tcp 203.0.113.7 > $H4:5002")" '^block, by reset, or else, as who listens is not known here$' \
	"... and says so"
check "the executable that may" passes 5003
check "the executable that may not" refused 5004
check "a program that will change" passes 5005
before=$(asked cached)
check "asked again within a second" passes 5005
gt "$(asked cached)" "$before" "the answer was kept"
client_bg live -k 30000 "$H4" 5003
wait_for 5 established 5003
check "reload" h_pendctl reload
wait_for 5 has_line "$WORK/pendd.log" 'policy 4: [1-9].* live flows looked at'
check "a live connection is judged by who listens, and goes on" established 5003
cp "$CONFIG" "$WORK/before"
sed -i "s|5003 executable .*|5003 user 0|" "$CONFIG"
check "reload" h_pendctl reload
holds 5 "... or is ended" not_established 5003
cp "$WORK/before" "$CONFIG"
check "reload" h_pendctl reload
end bad tcp:5004
serve bad alpha 65534 65533 tcp:5004
check "another executable on that port: at once" passes 5004
end group tcp:5002
serve group alpha 65534 65532 tcp:5002
check "another group: at once" refused 5002
kill -USR1 "$changing"
holds 2 "one that became another program, with the same socket: within a second" refused 5005
check "a process of another user without a file" rm "$WORK/alpha"
holds 2 "a deleted executable is none" refused 5003

# ------------------------------------------------------------------ cgroup and unit

if [ -n "$cgroups" ]; then
	cp "$WORK/beta" "$WORK/alpha"
	for port in 5006 5007; do
		ip netns exec "$H" "$WORK/alpha" -o /dev/null "tcp:$port" 2>/dev/null &
		PID[out]=$!
		wait_for 5 listens tcp:$port
		check "port $port: not in that cgroup" refused $port
		end out tcp:$port
		# A process is in its cgroup before it opens a socket.
		(echo "$BASHPID" >"$unit/cgroup.procs" && exec ip netns exec "$H" "$WORK/alpha" -o /dev/null "tcp:$port" 2>/dev/null) &
		PID[in$port]=$!
		wait_for 5 listens tcp:$port
		check "port $port: in that cgroup, with another socket" passes $port
	done
	mkdir "$slice/other.service"
	end in5007 tcp:5007
	(echo "$BASHPID" >"$slice/other.service/cgroup.procs" && exec ip netns exec "$H" "$WORK/alpha" -o /dev/null tcp:5007 2>/dev/null) &
	PID[other]=$!
	wait_for 5 listens tcp:5007
	check "another unit" refused 5007
	end other tcp:5007
	end in5006 tcp:5006
	rmdir "$slice/other.service" "$unit" "$slice"
else
	skip "cgroup and unit" "no cgroup2 tree that can be written"
fi

# ------------------------------------------------------------------ the resolver ends, or is stuck

end good tcp:5003
serve good beta 65534 65533 tcp:5003
pendd_config <<<"layer default { permit proto tcp to port 5003; block with reset }"
check "reload" h_pendctl reload
client_bg late -k 30000 "$H4" 5003
wait_for 5 established 5003
kill -STOP "$(resolver)"
pendd_config <<<"layer default { pend proto tcp executable \"/nonexistent\"; block with reset }"
check "reload, and the resolver is stuck" h_pendctl reload
sleep 1
check "nothing is ended for what is not known" established 5003
kill -CONT "$(resolver)"
holds 5 "it is, when the resolver tells it late" not_established 5003
pendd_config <<<"layer default { permit proto tcp to port 5003; block with reset }"
check "reload" h_pendctl reload
client_bg unjudged -k 60000 "$H4" 5003
wait_for 5 established 5003
kill -STOP "$(resolver)"
sleep 1.1 # what is known of the socket is forgotten
pendd_config <<<"layer default { block proto tcp executable \"$WORK/beta\"; permit }"
check "reload" h_pendctl reload
holds 20 "who could not be judged is counted" has_line "$WORK/pendd.log" 'live flows looked at, 0 ended, [1-9][0-9]* could not'
kill -CONT "$(resolver)"
pendd_config <<-END
	layer default {
		permit proto tcp to port 5001 user 65534
		permit proto tcp to port 5003 executable "$WORK/beta"
		block  proto tcp to port 5004 executable "/nonexistent" with reset
		permit proto tcp to port 5004
		block with reset
	}
END
check "reload" h_pendctl reload
check "permitted while the resolver runs" passes 5003
old=$(resolver)
kill -STOP "$old"
sleep 1.1 # what is known of the socket is forgotten
is "$(client -t 1500 "$H4" 5003 | field result)" timeout "stuck: what permits by executable does not match"
is "$(client -t 1500 "$H4" 5004 | field result)" timeout "stuck: what blocks by executable does, without a word"
check "stuck: the user is known all the same" passes 5001
gt "$(asked unknown)" 0 "what was unknown is counted"
kill -KILL "$old"
another() { [ -n "$(resolver)" ] && [ "$(resolver)" != "$old" ]; }
holds 5 "ended: another one is started" another
holds 3 "and permits match again" passes 5003
check "... and blocks do not" passes 5004
is "$(asked resolver_restarts)" 1 "status tells of it"
new=$(resolver)
holds 5 "pendd stops" pendd_stop
holds 2 "and the resolver with it" gone "$new"

# ------------------------------------------------------------------ as a user of its own

serve roots beta 0 0 tcp:5008
pendd_start <<-END
	settings { control "$CONTROL"; user "nobody"; }
	layer default { permit proto tcp to port { 5003, 5008 } executable "$WORK/beta"; block with reset }
END
is "$(awk '/^Uid:/ {print $2, $3, $4}' "/proc/$(resolver)/status")" \
	"$(id -u nobody) $(id -u nobody) $(id -u nobody)" "the resolver is the user of the settings"
check "it sees root's services" passes 5008
check "and others'" passes 5003
unlike "$(cat "$WORK/pendd.log")" 'Operation not permitted' "nothing was refused to it"

# Only the packet path asks sockets; whoever tries a connection is told what that leaves open.
like "$(h_pendctl test "tcp $C4:4000 > $H4:5003" --trace)" 'executable: who listens is not known' "a trace says that the listener is not known"

finish
