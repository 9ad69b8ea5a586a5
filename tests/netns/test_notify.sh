#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60 san
# docs/recipes/notify.md: a program for each event, a desktop (a stand-in for notify-send), and a chat (a server here).

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
command -v python3 >/dev/null || skip_all "no python3"
command -v curl >/dev/null || skip_all "no curl"
ns_pair
need_queue
sed -n '/^```pend$/,/^```$/p' "$TOP/docs/recipes/notify.md" | grep -v '^```' >"$WORK/policy"
pendd_start <"$WORK/policy"

hook() { # name argument...: pendctl events in the background, ready when it follows
	local name=$1
	shift
	ip netns exec "$H" env PATH="$WORK/bin:$PATH" ${HOOK_ENV:+"${HOOK_ENV[@]}"} "$BIN/pendctl" --socket "$CONTROL" events "$@" \
		>"$WORK/$name.out" 2>"$WORK/$name.err" &
	HOOK=$!
	wait_for 5 eval '[ "$(h_pendctl --json status | tr -d " \n" | grep -oE "\"clients\":[0-9]+" | cut -d: -f2)" -ge 2 ]'
	sleep 0.3
}
unhook() { kill -TERM "$HOOK" 2>/dev/null; wait "$HOOK"; }
knock() { client_bg "$1" -t 15000 -s "$2" $H4 22; wait_for 5 pending_is 1; }
settle() { h_pendctl block --all --reset >/dev/null; client_wait "$1"; }
mkdir -p "$WORK/bin"

# ---- what a program gets ----

cat >"$WORK/program" <<END
#!/bin/sh
{ env | grep '^PEND_' | sort; echo "input \$(cat)"; echo end; } >>$WORK/got
case \$PEND_SOURCE in *.2) exit 7 ;; esac
END
chmod +x "$WORK/program"
HOOK_ENV=(PEND_SOURCE=inherited PEND_NOTIFY_URL=kept)
hook one --type pended --exec "$WORK/program"
knock a 203.0.113.1
holds 5 "it is run" has_line "$WORK/got" '^end'
got=$(cat "$WORK/got")
like "$got" '^PEND_TYPE=pended$' "the type"
like "$got" '^PEND_SOURCE=203\.0\.113\.1$' "the source, and not what was inherited"
like "$got" '^PEND_DEST_PORT=22$' "the port"
like "$got" '^PEND_AUTHORITY=ops$' "the authority"
like "$got" "^PEND_ID=$(h_pendctl --no-headers pending | awk '{print $1}')\$" "the id"
like "$got" '^PEND_DROPPED=0$' "how many were dropped"
like "$got" '^PEND_NOTIFY_URL=kept$' "its own settings stay"
like "$got" '^input \{.*"type":"pended".*\}$' "and all of it as JSON"
is "$(grep -c ^end "$WORK/got")" 1 "once"
settle a
knock b 203.0.113.2
holds 5 "an error of the program is told" has_line "$WORK/one.err" 'program ended with status 7'
settle b
is "$(grep -c ^end "$WORK/got")" 2 "... and it goes on"
pendd_kill
holds 5 "the daemon goes" has_line "$WORK/one.err" 'trying again'
pendd_run
wait_for 10 pendd_ready
sleep 1.5
knock c 203.0.113.3
holds 5 "and when it is back the program is run again" has_line "$WORK/got" '^PEND_SOURCE=203\.0\.113\.3$'
settle c
unhook
is $? 0 "a signal ends it well"
is "$(cat "$WORK/one.out")" '' "nothing is printed"
h_pendctl events --type nonsense --exec true >/dev/null 2>"$WORK/err"
is $? 2 "2: a wrong type"
hook none --type pended --exec "$WORK/nothing-there"
knock d 203.0.113.4
holds 5 "a program that is not there is told" has_line "$WORK/none.err" 'cannot run .*nothing-there: No such file'
settle d
unhook
HOOK_ENV=()

# ---- too slow: bounded, counted ----

cat >"$WORK/slow" <<END
#!/bin/sh
echo "\$PEND_DROPPED" >>$WORK/slow.got
while [ ! -e $WORK/go ]; do sleep 0.1; done
END
chmod +x "$WORK/slow"
before=$(h_status pended)
hook slow --type pended --exec "$WORK/slow"
# In two bursts: one that is too large costs a follower its subscription, which is another matter.
client_bg flood1 -n 600 -c 600 -t 4000 -s 203.0.113.1 $H4 22
wait_for 10 pending_is 600
client_bg flood2 -n 600 -c 600 -t 4000 -s 203.0.113.2 $H4 22
wait_for 10 pending_is 1200
wait_for 5 has_line "$WORK/slow.got" '^0$'
is "$(wc -l <"$WORK/slow.got")" 1 "one program at a time"
sleep 1 # for the follower to read them all
touch "$WORK/go"
h_pendctl block --all --reset >/dev/null
client_wait flood1
client_wait flood2
too_many() { sed -nE 's|^pendctl: ([0-9]+) events were dropped so far: .*/slow is too slow$|\1|p' "$WORK/slow.err" | tail -n 1; }
holds 30 "what was too much is dropped, and told" eval '[ "$(too_many)" -gt 0 ]'
come() { echo $(($(h_status pended) - before)); } # 1200; more where a copy of a SYN came behind the block
holds 5 "... and nothing else is" eval '[ $(($(too_many) + $(wc -l <"$WORK/slow.got"))) = "$(come)" ]'
le "$(too_many)" $(($(come) - 1001)) "... behind a thousand that wait"
unhook

# ---- a desktop ----

cat >"$WORK/bin/notify-send" <<END
#!/bin/sh
printf '<%s>' "\$@" >>$WORK/desktop
echo >>$WORK/desktop
END
chmod +x "$WORK/bin/notify-send"
hook desktop --type pended,note --exec "$TOP/examples/notify-desktop.sh"
knock e 203.0.113.5
holds 5 "notify-send is called" grep -q '203.0.113.5 waits' "$WORK/desktop"
like "$(cat "$WORK/desktop")" "^<--app-name><pend><--urgency><critical>.*<203\.0\.113\.5 waits><tcp to $H4 port 22, asks ops" "... with who and where"
like "$(cat "$WORK/desktop")" '^pendctl permit a[0-9.]+>' "... and how to let it in"
settle e
unhook

# ---- a chat ----

cat >"$WORK/server.py" <<'END'
import http.server, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open(sys.argv[1], "a") as f:
            print(self.path, self.headers["Content-Type"], self.headers["Authorization"], body, file=f)
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 8099), Hook)
open(sys.argv[1], "a").close()
server.serve_forever()
END
ip netns exec "$H" python3 "$WORK/server.py" "$WORK/posted" &
wait_for 5 test -e "$WORK/posted"
HOOK_ENV=(PEND_NOTIFY_URL=http://127.0.0.1:8099/hook PEND_NOTIFY_TOKEN=secret)
hook chat --type pended,completed --authority ops --exec "$TOP/examples/notify-chat.sh"
knock f 203.0.113.6
holds 5 "the chat is told" has_line "$WORK/posted" 'tcp 203\.0\.113\.6 > 192\.0\.2\.1:22 waits, asks ops: pendctl permit a'
like "$(cat "$WORK/posted")" '^/hook application/json Bearer secret \{"text":"' "... as a line of JSON, with the token"
check "... which is JSON" python3 -c 'import json,sys; [json.loads(l.split(" ", 4)[4]) for l in open(sys.argv[1])]' "$WORK/posted"
settle f
holds 5 "and what became of it" has_line "$WORK/posted" '203\.0\.113\.6 > 192\.0\.2\.1:22: blocked by operator'
unhook
is "$(cat "$WORK/chat.err")" '' "without an error"
HOOK_ENV=(PEND_NOTIFY_URL=http://127.0.0.1:8099/broken PEND_NOTIFY_STYLE=ntfy)
hook broken --type pended --exec "$TOP/examples/notify-chat.sh"
knock g 203.0.113.7
holds 5 "plain text for ntfy" has_line "$WORK/posted" '^/broken text/plain None .*203\.0\.113\.7 '
holds 5 "a webhook that refuses is told" has_line "$WORK/broken.err" 'notify-chat\.sh ended with status 22'
settle g
unhook
unset HOOK_ENV
text='say "hi" \ there'
OUT=$(h env PEND_NOTIFY_URL=http://127.0.0.1:8099/quotes PEND_TYPE=note PEND_TEXT="$text" "$TOP/examples/notify-chat.sh")
check "quotes are escaped" python3 -c 'import json,sys; assert sys.argv[2] in json.loads([l for l in open(sys.argv[1]) if l.startswith("/quotes")][0].split(" ", 3)[3])["text"]' \
	"$WORK/posted" "$text"
OUT=$(PEND_NOTIFY_URL='' "$TOP/examples/notify-chat.sh" 2>&1)
isnt $? 0 "without an address it is an error"
like "$OUT" 'is not set' "... that says so"
pendd_stop
finish
