#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# kill -9 of the whole daemon at random moments while decisions are made: none that was confirmed is lost, and the
# file is sound. Then a disk that is full, and has room again.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
command -v sqlite3 >/dev/null || skip_all "no sqlite3"
command -v unshare >/dev/null || skip_all "no unshare"
ns_pair
need_queue
control_start
mkdir "$WORK/state"
DB=$WORK/state/state.db
PENDD_SETTINGS="state \"$DB\";"
ROUNDS=${ROUNDS:-12}
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
echo "# SEED=$SEED ROUNDS=$ROUNDS"
pendd_start <<-END
	authority people { type operator; timeout 60s; on-timeout block; }
	layer default {
		pend proto udp to port 7100-7999 ask people complete flush
		permit
	}
END

# Asks for connections to one port after the other, says permit for an hour, and writes down what was confirmed.
decider() # confirmed-file
{
	python3 - "$CONTROL" "$1" "$C" "$H4" "$RANDOM" <<-'END'
		import json, random, socket, subprocess, sys, time
		control, path, ns, host, seed = sys.argv[1:]
		out = open(path, "a", buffering=1)
		s = socket.socket(socket.AF_UNIX)
		try:
		    s.connect(control)
		except OSError:
		    sys.exit()  # killed before it began
		f = s.makefile("rw")
		f.readline()
		def call(**a):
		    f.write(json.dumps(dict(a, id=1)) + "\n")
		    f.flush()
		    rows = []
		    while True:
		        r = json.loads(f.readline())
		        rows += r.get("result", {}).get("pending", [])
		        if "ok" in r:
		            return r, rows
		base = int(seed) % 800
		sender = subprocess.Popen(["ip", "netns", "exec", ns, "python3", "-c",
		    "import socket,time\n"
		    "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
		    "for i in range(100):\n"
		    "    s.sendto(b'x',('%s',7100+(%d+i)%%900)); time.sleep(0.004)\n" % (host, base)])
		try:
		    while True:
		        _, rows = call(op="pending")
		        for row in rows:
		            r, _ = call(op="complete", ids=[row["id"]], verdict="permit", remember="1h")
		            if r.get("ok") and r["result"]["remembered"]:
		                out.write("%d\n" % row["dest_port"])
		        time.sleep(0.001)
		except (OSError, ValueError):
		    pass
		finally:
		    sender.kill()
	END
}
known() { sqlite3 "$DB" 'SELECT dest_port FROM decision' | sort -n | uniq; }

: >"$WORK/confirmed"
lost=0 unsound=0 unknown=0
for ((round = 1; round <= ROUNDS; round++)); do
	decider "$WORK/confirmed" &
	worker=$!
	sleep "0.$((200 + RANDOM % 400))"
	two=$(authority)
	kill -9 "$PENDD_PID" "$two"
	wait "$PENDD_PID" 2>/dev/null
	wait_for 5 gone "$two" >/dev/null
	wait $worker
	[ "$(sqlite3 "$DB" 'PRAGMA integrity_check')" = ok ] || unsound=$((unsound + 1))
	missing=$(sort -n "$WORK/confirmed" | uniq | comm -23 <(sort -n "$WORK/confirmed" | uniq | sort) <(known | sort) | wc -l)
	lost=$((lost + missing))
	pendd_run
	wait_for 10 pendd_ready >/dev/null || bail "pendd did not start in round $round"
	want=$(sort "$WORK/confirmed" | uniq | wc -l)
	wait_for 5 eval '[ "$(h_pendctl decisions --json | grep -c "\"scope\"")" -ge "$want" ]' >/dev/null || unknown=$((unknown + 1))
done
like "$(sort "$WORK/confirmed" | uniq | wc -l)" '^[0-9]{2,}$' "decisions were confirmed"
is "$lost" 0 "none of them is lost"
is "$unsound" 0 "the file is sound after each kill"
is "$unknown" 0 "all of them are in force after each start"
port=$(head -n 1 "$WORK/confirmed")
echo x | c timeout 2 nc.openbsd -u -w 1 "$H4" "$port"
is "$(pending_count)" 0 "and nobody is asked about one of them"
pendd_stop
rm -rf "$WORK/state"

# A small disk of its own, which only the daemon sees.
mkdir "$WORK/state"
cat >"$WORK/small-disk" <<-END
	#!/bin/sh
	mount -t tmpfs -o size=400k none "$WORK/state" || exit 1
	exec "\$@"
END
chmod +x "$WORK/small-disk"
PENDD_WRAPPER="unshare -m --propagation private $WORK/small-disk"
pendd_run
wait_for 10 pendd_ready >/dev/null || bail "pendd did not start on the small disk"
on_disk() { nsenter -t "$PENDD_PID" -m "$@"; }
on_disk dd if=/dev/zero of="$WORK/state/full" bs=4k count=200 2>/dev/null
say() # port: permit what waits there; the answer
{
	echo x | c timeout 2 nc.openbsd -u -w 1 "$H4" "$1"
	wait_for 5 pending_is 1 >/dev/null
	h_pendctl permit "$C4" --for 1h 2>&1
}
like "$(say 7100)" "ends with the daemon" "on a full disk whoever decides is told"
echo x | c timeout 2 nc.openbsd -u -w 1 "$H4" 7100
is "$(pending_count)" 0 "... and the decision holds all the same"
like "$(h_pendctl status | grep ^store)" "failing.*full" "the status says so"
is "$(h_pendctl status >/dev/null; echo $?)" 7 "... and is degraded"
on_disk rm "$WORK/state/full"
check "when there is room, it is written after all" wait_for 10 eval '[ "$(ctl status store.state)" = file ]'
like "$(say 7101)" "^permitted 1" "... and so is the next"
is "$(on_disk sqlite3 "$DB" 'SELECT count(*) FROM decision')" 2 "both are in the file"
pendd_stop
finish
