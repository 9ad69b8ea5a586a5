#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# docs/recipes/mfa-push.md: examples/mfa-push, with a server in place of the phone: one push for a source.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/agent.sh
. "${0%/*}/agent.sh"
command -v curl >/dev/null || skip_all "curl is not installed"
ns_pair 16
need_queue
server tcp:22

# Thinks for a while; who comes from an even address may come in. A line for each push.
cat >"$WORK/phone.py" <<-'END'
	import http.server, json, sys, time
	class Phone(http.server.BaseHTTPRequestHandler):
	    def do_POST(self):
	        q = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
	        with open(sys.argv[1], "a") as f:
	            f.write("%s %s %s\n" % (q["source"], q["dest_port"], self.headers.get("X-Token")))
	        last = int(q["source"].split(".")[-1])
	        time.sleep(30 if last > 8 else 2.5)
	        self.send_response(500 if last == 5 else 200)
	        self.end_headers()
	        self.wfile.write(b"maybe" if last == 3 else b"deny" if last % 2 else b"allow\n")
	    def log_message(self, *a):
	        pass
	http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Phone).serve_forever()
END
echo 'X-Token: secret' >"$WORK/headers"
: >"$WORK/pushes"
ip netns exec "$H" python3 "$WORK/phone.py" "$WORK/pushes" &
answers() { grep -q . <(h ss -Hltn 'sport = 8099'); }
wait_for 10 answers || bail "no server in place of the phone"
export PEND_MFA_DIR=$WORK/notes PEND_MFA_KEEP=3 PEND_MFA_WAIT=6

pendd_start <<-END
	authority push {
		type exec;
		command "$TOP/examples/mfa-push http://127.0.0.1:8099/ask $WORK/headers";
		mode once; processes 64;
		timeout 20s; on-timeout block; on-error block;
	}
	layer default {
		pend proto tcp from 203.0.113.0/24 to port 22 ask push complete buffer with reset
		pend proto tcp from 203.0.113.0/24 to port 80 ask push complete buffer with reset remember 8h scope source
		permit
	}
END
holds 10 "a program serves it" agents_serve push
pushes() { grep -c "^203.0.113.$1 " "$WORK/pushes"; }

client_bg two -n 6 -c 6 -t 15000 -s 203.0.113.2 "$H4" 22
client_bg one -n 2 -c 2 -t 15000 -s 203.0.113.1 "$H4" 22
client_bg three -t 15000 -s 203.0.113.3 "$H4" 22
client_bg five -t 15000 -s 203.0.113.5 "$H4" 22
for name in two one three five; do client_wait $name; done
is "$(ended two connected)" 6 "six connections of a source are let in by one push"
is "$(pushes 2)" 1 "... one, though each was sent three times"
is "$(grep '^203.0.113.2 ' "$WORK/pushes")" "203.0.113.2 22 secret" "the push has the question, and our token"
is "$(ended one refused)" 2 "another source is denied"
is "$(pushes 1)" 1 "... by one push"
is "$(of three result)" refused "what is neither yes nor no is none"
is "$(of five result)" refused "nor is an error of the server"
before=$(now_ms)
is "$(client -t 5000 -s 203.0.113.2 "$H4" 22 | field result)" connected "a moment later the answer is good still"
lt "$(($(now_ms) - before))" 2000 "... at once"
is "$(pushes 2)" 1 "... and without a push"
sleep 3.2
is "$(client -t 9000 -s 203.0.113.2 "$H4" 22 | field result)" connected "later the person is asked again"
is "$(pushes 2)" 2 "... by a second push"
is "$(stat -c %a "$WORK/notes")" 700 "the notes are closed to others"
like "$(h_pendctl events -n 100 --type completed --json)" '"reason": *"authority"' "it is the authority that has decided"
for i in {9..14}; do client_bg "stranger$i" -r -t 15000 -s "203.0.113.$i" "$H4" 22; done
for i in {9..14}; do client_wait "stranger$i"; done
is "$(for i in {9..14}; do of "stranger$i" result; done | sort | uniq -c | xargs)" "6 refused" "six that nobody answers for are not let in"
is "$(client -t 9000 -s 203.0.113.4 "$H4" 22 | field result)" connected "... and who is answered for is, behind them"
is "$(client -t 9000 -r -s 203.0.113.5 "$H4" 80 | field result)" refused "where answers are remembered, an error of the server"
like "$(h_pendctl decisions --json | tr -d ' \n')" '"decisions":\[\]' "... is not"
is "$(client -t 9000 -r -s 203.0.113.7 "$H4" 80 | field result)" refused "a person's no"
like "$(h_pendctl decisions --json | tr -d ' \n')" '"source":"203.0.113.7"' "... is"
finish
