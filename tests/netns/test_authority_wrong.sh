#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# The authority process dies while the policy file is wrong. Its successor serves what is in force, tells what
# is wrong, and takes the file once it is mended, however long the policy is: what it does for the first
# time then, it does in its sandbox.
. "${0%/*}/lib.sh"
command -v python3 >/dev/null || skip_all "no python3"

ns_pair 8
need_queue
{
	echo "authority ops { type operator; timeout 30s; on-timeout block; }"
	echo "layer default {"
	for ((i = 0; i < 300; i++)); do
		echo "pend proto tcp to port $((10000 + i)) ask ops timeout $((20000 + i))ms complete buffer"
	done
	echo "permit; }"
} >"$WORK/policy"
pendd_config <"$WORK/policy"
cp "$CONFIG" "$WORK/right"
pendd_run
wait_for 10 test -S "$CONTROL" || bail "pendd did not start"

# ask OP: its answer, from a connection of its own.
ask()
{
	timeout 5 python3 - "$CONTROL" "$1" <<-'PY'
	import socket, sys
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	f = s.makefile("rw")
	f.readline()
	f.write('{"id":1,"op":"%s"}\n' % sys.argv[2])
	f.flush()
	print(f.readline().strip())
	PY
}
another() { [ -n "$(authority)" ] && [ "$(authority)" != "$1" ]; }

like "$(ask status)" '"rules":301' "the policy is in force"
client_bg one 192.0.2.1 10007
wait_for 5 eval 'ask pending | grep -q 10007'
echo 'layer second { permit proto tpc; }' >>"$CONFIG"
old=$(authority)
kill -KILL "$old"
holds 10 "another authority process is started" another "$old"
new=$(authority)
like "$(ask pending)" '"dest_port":10007' "what is pended is shown"
like "$(ask reload)" '"code":"policy"' "the wrong file is refused"
like "$(ask status)" '"rules":301' "the old policy stays"
cp "$WORK/right" "$CONFIG"
like "$(ask reload)" '"ok":true' "the mended file is taken"
like "$(ask status)" '"authority_restarts":1,' "and nothing else ended meanwhile"
is "$(authority)" "$new" "it is still the same process"
finish
