#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# A reload that was answered is in force: the next connection is judged by the new policy. Workers take it in
# their own time, and the answer waits for them: here they are late, and have packets to look at first.
. "${0%/*}/lib.sh"

rounds=${ROUNDS:-25}
ns_pair 8
need_queue
HOGS=''
server tcp:80
policy() { pendd_settings; echo "layer default { $1 proto tcp to port 80; permit }"; } # action
# shellcheck disable=SC2034  # for pendd_config
PENDD_SETTINGS='queues 300-301;'
policy permit >"$CONFIG"
pendd_run
wait_for 10 pendd_ready || bail "pendd did not start"
policy permit >"$WORK/permit"
policy 'block with reset' >"$WORK/block"
sed -i 's/block with reset proto tcp to port 80;/block proto tcp to port 80 with reset;/' "$WORK/block"

# Behind everything else, on processors that are busy.
for task in /proc/"$PENDD_PID"/task/*; do
	[ "${task##*/}" = "$PENDD_PID" ] || chrt --idle -p 0 "${task##*/}"
done
for ((i = $(nproc); i > 0; i--)); do
	timeout 60 sh -c 'while :; do :; done' &
	HOGS+=" $!"
done

cat >"$WORK/order.py" <<'PY'
import json, os, shutil, socket, sys, time
work, control, config, host, rounds = sys.argv[1:5] + [int(sys.argv[5])]
s = socket.socket(socket.AF_UNIX)
for _ in range(200):
    try:
        s.connect(control)
        break
    except OSError:
        time.sleep(0.05)
lines = s.makefile("rw")
lines.readline()
wrong = 0
for i in range(rounds):
    action = "block" if i % 2 == 0 else "permit"
    shutil.copy(f"{work}/{action}", config + ".new")
    os.rename(config + ".new", config)
    before = []
    for _ in range(24):
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex((host, 9))
        before.append(c)
    lines.write(json.dumps({"id": i, "op": "reload"}) + "\n")
    lines.flush()
    answer = json.loads(lines.readline())
    if not answer["ok"]:
        print("refused", answer)
        sys.exit(1)
    for _ in range(3):
        c = socket.socket()
        c.settimeout(10)
        try:
            c.connect((host, 80))
            got = "permit"
        except ConnectionRefusedError:
            got = "block"
        except OSError:
            got = "nothing"
        wrong += got != action
        c.close()
    for c in before:
        c.close()
print("wrong", wrong)
PY
out=$(c /usr/bin/python3 "$WORK/order.py" "$WORK" "$CONTROL" "$CONFIG" "$H4" "$rounds" 2>&1)
# shellcheck disable=SC2086  # words
kill $HOGS 2>/dev/null
is "$out" "wrong 0" "every connection after a reload's answer is judged by the new policy"
check "pendd still runs" running "$PENDD_PID"
finish
