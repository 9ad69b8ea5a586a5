#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=120
# The control protocol against docs/protocol.schema.json: the examples of docs/protocol.md, the server's table of
# operations, and every line of a session with the real daemon that has each operation and each type of event.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/control.sh"
PYTHON=/usr/bin/python3 # Debian's, which has its packages
"$PYTHON" -c 'import jsonschema' 2>/dev/null || skip_all "no python3-jsonschema"
wire() { "$PYTHON" "$TOP/tests/netns/wire.py" "$@"; }

check "the examples of the document are as the schema says" wire docs "$TOP/docs/protocol.md"
check "the server's operations and their keys are those of the schema" wire table "$TOP/daemon/control.c"
mapfile -t OPS < <(wire table "$TOP/daemon/control.c" | sed -n 's/^op //p')

ns_pair
need_queue
server tcp:{80..86} udp:90
policy() {
	cat <<-END
	set noise { 198.51.100.0/24 }
	authority ops { type operator; timeout 60s; }
	${1-authority idp { type socket; timeout 3s; on-timeout block; \}}
	authority now { type static; answer permit; }
	layer default {
		block from @noise
		inspect proto tcp to port 81
		permit proto tcp to port 81
		pend proto tcp to port 80 ask ops complete buffer hold remember 1h
		pend proto tcp to port 82 ask ${2:-idp} complete buffer
		pend proto tcp to port { 83, 87 } ask now complete buffer
		${3:-permit proto tcp to port 84}
		pend proto tcp to port 85 ask ops
		pend proto udp to port 90 ask ops
		pend proto icmp ask ops
		permit
	}
	END
}
"$BIN/tests/tools/mmdb" "$WORK/country.mmdb" DE=203.0.113.0/24
SETTINGS="max-per-source 40; observe-group \"nogroup\"; country-database \"$WORK/country.mmdb\";"
PENDD_SETTINGS=$SETTINGS pendd_config < <(policy)
pendd_ready() { h_pendctl status >/dev/null 2>&1; }
pendd_run
wait_for 10 pendd_ready || bail "pendd did not start"

# From here on everybody talks through the recorder.
DIRECT=$CONTROL
ip netns exec "$H" "$PYTHON" "$TOP/tests/netns/wire.py" proxy "$WORK/run/wire.sock" "$CONTROL" "$WORK/report" 2>"$WORK/proxy.err" &
PROXY=$!
wait_for 5 test -S "$WORK/run/wire.sock" || bail "no recorder: $(cat "$WORK/proxy.err")"
CONTROL=$WORK/run/wire.sock
control_start
follows() { # name extra-members: what follows until $WORK/NAME.go is there, and then reads all
	"$PYTHON" - "$CONTROL" "$2" "$WORK/$1.go" >"$WORK/$1.followed" 2>&1 <<-'END' &
	import os, socket, sys, time
	s = socket.socket(socket.AF_UNIX)
	s.connect(sys.argv[1])
	s.sendall(b'{"id":"f","op":"events","last":3,"follow":true%s}\n' % sys.argv[2].encode())
	while not os.path.exists(sys.argv[3]):
	    time.sleep(0.05)
	s.settimeout(1)
	try:
	    while data := s.recv(1 << 20):
	        sys.stdout.write(data.decode())
	except OSError:
	    pass
	END
}
asks() { local line; for line; do ctl ask "$line" >>"$WORK/asked"; done; }
pendd_config_again() { CONTROL=$DIRECT pendd_config; } # < policy
PENDD_SETTINGS=$SETTINGS

follows slow ''
follows narrow ',"match":{"source":"192.0.2.2","family":4,"protocol":"tcp","port":80},"types":["pended","completed"]'
touch "$WORK/narrow.go"

# ---- what is asked ----

asks '{"op":"version"}' '{"op":"version","protocol":1}' '{"op":"version","protocol":2}' '{"op":"ping"}' '{"op":"status"}' \
	'{"op":"rules"}' '{"op":"layers"}' '{"op":"authorities"}' '{"op":"metrics"}' '{"op":"sets"}' '{"op":"objects"}' \
	'{"op":"show","what":"policy"}' '{"op":"show","what":"settings"}' '{"op":"journal","last":3}' '{"op":"decisions"}' \
	'{"op":"hookup","action":"print"}' '{"op":"hookup","action":"verify"}' '{"op":"check"}' \
	'{"op":"country","address":"203.0.113.7"}' '{"op":"country","address":"192.0.2.7"}' '{"op":"country","address":"x"}' \
	'{"op":"check","policy":"layer x { permt }"}' '{"op":"events","last":5,"types":["note"]}' \
	'{"op":"test","flow":"tcp 203.0.113.7:4000 > 192.0.2.1:80","trace":true}' \
	'{"op":"test","flow":"udp [2001:db8::7]:1 > [2001:db8::1]:53","in":"eth0","hook":"input","mark":1}' \
	'{"op":"policy","changes":[{"add":"permit proto tcp from 203.0.113.9 to port 80","layer":"default","at":"last"}],"stay":true,"why":"x"}' \
	'{"op":"policy","changes":[{"replace":1,"with":"block proto tcp from 203.0.113.9"}],"for":"1h"}' \
	'{"op":"policy","changes":[{"add":"permit proto tpc"}]}' '{"op":"objects"}' '{"op":"policy","changes":[{"delete":1}]}' \
	'{"op":"set","set":"noise","action":"add","elements":["203.0.113.99"],"part":true,"stay":true}' \
	'{"op":"set","set":"noise","action":"add","elements":["203.0.113.98"],"stay":true,"for":"1h","why":"x"}' \
	'{"op":"set","set":"noise","action":"list","limit":2}' '{"op":"set","set":"noise","action":"test","elements":["203.0.113.98"]}' \
	'{"op":"set","set":"noise","action":"delete","elements":["203.0.113.98"],"stay":true}' '{"op":"objects"}' \
	'{"op":"set","set":"nobody","action":"list"}' '{"op":"set","set":"noise","action":"add","elements":["x"]}' '{"op":"sets"}'
says() { printf '%s\n' "$@" | timeout 5 socat -t 0.5 - "UNIX-CONNECT:$CONTROL" >/dev/null; }
says 'nonsense' '{"id":1,"op":"nothing"}' '{"id":1,"op":"status","more":1}' '[]' '{"id":1,"op":"complete","verdict":"permit"}' \
	'{"id":1,"op":"events","match":{"sourec":1}}' '{"id":1,"op":"serve","authority":"ops"}' '{"id":{},"op":"status"}' '{"op":"status"}' \
	'{"op":"answer","answers":[{"id":"a0.1","verdict":"permit"},{"id":"x","verdict":"perhaps"},{"verdict":"block"}]}'
# A rule a line: they come in parts.
for ((i = 0; i < 600; i++)); do echo "add permit proto tcp from 198.18.$((i / 250)).$((i % 250)) to port 7"; done | h_pendctl policy apply --for 1h - >/dev/null
asks '{"op":"rules"}' '{"op":"objects"}' '{"op":"show","what":"policy"}' '{"op":"metrics"}' '{"op":"journal"}'

# ---- what happens ----

client_bg held -n 50 -c 50 -t 15000 "$H4" 80
holds 5 "as many are held as one source may have" pends 40
asks '{"op":"pending"}' '{"op":"pending","source":"192.0.2.2","family":4,"protocol":6,"port":80,"authority":"ops","rule":3,"limit":1,"from":"0.0"}' \
	'{"op":"reload","dry_run":true}' '{"op":"complete","ids":["a0.1","z7.7"],"verdict":"block","block":"reset","remember":false,"why":"x"}'
c ping -c 1 -W 1 "$H4" >/dev/null
h nft add table inet other
h nft 'add chain inet other in { type filter hook input priority 0; }'
h nft delete table inet other
holds 12 "the kernel loses what it held" stat_least totals.reattached 1
asks '{"op":"complete","match":{"port":80},"verdict":"permit"}'
client_wait held
asks '{"op":"history","limit":3,"since":"1h"}' '{"op":"history","source":"192.0.2.0/24","verdict":"permit"}'
asks '{"op":"decisions"}' '{"op":"forget","source":"192.0.2.2"}' '{"op":"forget","all":true}' '{"op":"complete","match":{},"all":true,"verdict":"block"}'
coproc CODES { socat - "UNIX-CONNECT:$CONTROL"; }
CODES_JOB=$CODES_PID
echo '{"id":1,"op":"serve","authority":"idp"}' >&"${CODES[1]}"
read -r -t 5 _ <&"${CODES[0]}" && read -r -t 5 _ <&"${CODES[0]}"
for line in '{"op":"unlock","authority":"idp","source":"192.0.2.2","code":"123456"}' '{"op":"lock","authority":"idp","source":"192.0.2.2"}'; do
	asks "$line" &
	read -r -t 5 line <&"${CODES[0]}"
	echo "{\"id\":2,\"op\":\"unlocked\",\"token\":$(sed -nE 's/.*"token":([0-9]+).*/\1/p' <<<"$line"),\"ok\":true,\"open_ms\":1,\"why\":\"x\"}" >&"${CODES[1]}"
	read -r -t 5 _ <&"${CODES[0]}"
done
kill "$CODES_JOB"
python3 "$TOP/examples/authority.py" idp --socket "$CONTROL" --allow "$C4/32" 2>"$WORK/a.err" &
SERVER=$!
holds 5 "a program answers through the recorder" eval '[ "$(client -t 3000 "$H4" 82 | field result)" = connected ]'
client -P 999 -t 3000 "$H6" 82 >/dev/null
coproc HELD { socat - "UNIX-CONNECT:$CONTROL"; }
echo '{"id":1,"op":"serve","authority":"idp","max":2}' >&"${HELD[1]}"
read -r -t 5 _ <&"${HELD[0]}" && read -r -t 5 _ <&"${HELD[0]}"
client -n 6 -c 6 -t 5000 "$H4" 82 >/dev/null # a program that says nothing: withdrawn
echo '{"id":2,"op":"answer","answers":[{"id":"a0.1","verdict":"block","block":"drop","why":"late"}]}' >&"${HELD[1]}"
client_bg live -k 8000 -t 5000 "$H4" 84
client -n 3 -t 3000 "$H4" 83 >/dev/null
client -n 3 -t 3000 "$H4" 87 >/dev/null # nobody listens: it is closed at once
sleep 0.3
pendd_config_again < <(policy '' ops 'block proto tcp to port 84')
asks '{"op":"reload","dry_run":true}' '{"op":"reload"}' '{"op":"reauthorize","dry_run":true}' '{"op":"reauthorize","match":{"source":"192.0.2.2"}}'
kill "$SERVER" "$HELD_PID" 2>/dev/null
# More than the slow one takes.
client -n 6000 -c 40 -q "$H4" 81 >/dev/null
touch "$WORK/slow.go"
holds 10 "who does not read loses its subscription" has_line "$WORK/slow.followed" 'subscription-lost'
asks '{"op":"hookup","action":"remove"}' '{"op":"hookup","action":"verify"}' '{"op":"hookup","action":"install"}' '{"op":"events"}' '{"op":"status"}'
asks '{"op":"stop"}'
holds 10 "it stops when it is told to" gone "$PENDD_PID"
PENDD_PID=''

kill -TERM "$PROXY"
wait "$PROXY"
is "$(cat "$WORK/proxy.err")" '' "the recorder has no trouble of its own"
is "$(sed -n 's/^wrong //p' "$WORK/report" | head -n 20)" '' "every line is as the schema says"
for op in "${OPS[@]}"; do check "$op is exercised" grep -qx "op $op" "$WORK/report"; done
for type in pended retransmit kernel-lost completed established closed classified limit ended note subscription-lost; do
	check "an event $type is seen" grep -qx "event $type" "$WORK/report"
done
for what in 'line greeting' 'line question' 'line withdrawn' 'line unserved' 'line unlock' 'line lock' 'part pending' 'part rules' 'part objects' 'part metrics' \
	'part show' 'code malformed' 'code invalid' 'code unknown-op' 'code not-found' 'code policy' 'code missing' 'code unsupported'; do
	check "$what is seen" grep -qx "$what" "$WORK/report"
done
unlike "$(cat "$WORK/narrow.followed")" '"port":8[1-9]|"type":"note"' "who wanted some events got no others"
finish
