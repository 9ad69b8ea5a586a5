#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90 san
# Authorities of type http: a real HTTPS server that permits and blocks, and ones that are wrong, slow, hostile or dead.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
. "${0%/*}/agent.sh"
command -v python3 >/dev/null || skip_all "no python3"
. "${0%/*}/certificates.sh"
ns_pair
need_queue
agent_let_in
ca_make own
ca_make foreign
cert_make web own "IP:$C4,IP:127.0.0.1"
cert_make named own "DNS:other.test"
cert_make alien foreign "IP:$C4"
cert_make old own "IP:$C4" -1

declare -A WEB_PID
web() { # name namespace address port [certificate]
	local tls=()
	[ -z "${5:-}" ] || tls=("$WORK/$5.pem" "$WORK/$5.key")
	ip netns exec "$2" python3 "$TOP/tests/netns/web.py" "$3" "$4" "${tls[@]}" >>"$WORK/web-$1" 2>"$WORK/web-$1.err" &
	WEB_PID[$1]=$!
}
web_stop() { kill "${WEB_PID[$1]}"; wait "${WEB_PID[$1]}" 2>/dev/null; }
web main "$C" "$C4" 8443 web
web named "$C" "$C4" 8444 named
web alien "$C" "$C4" 8445 alien
web old "$C" "$C4" 8446 old
web plain "$H" 127.0.0.1 8080
for name in main named alien old plain; do
	check "a server: $name" wait_for 10 has_line "$WORK/web-$name" ready
done
server tcp:{7001..7030}
printf '# who we are\nAuthorization: Bearer s3cret\n' >"$WORK/headers"
chmod 640 "$WORK/headers"
chgrp 65534 "$WORK/headers"

# An error permits, so that it is told from a block.
BAD=(nothing forbidden broken redirect garbage page large endless short unknown)
policy()
{
	local i=0 how
	cat <<-END
	authority web {
		type http; url "https://$C4:8443/source"; ca "$WORK/own.pem"; timeout 5s
		header "X-Box: one"; header-file "$WORK/headers"; $AGENT_USER
	}
	authority plain { type http; url "http://127.0.0.1:8080/permit"; timeout 5s; $AGENT_USER }
	authority slow { type http; url "https://$C4:8443/slow"; ca "$WORK/own.pem"; timeout 1s; on-error permit; $AGENT_USER }
	authority named { type http; url "https://$C4:8444/permit"; ca "$WORK/own.pem"; on-error permit; $AGENT_USER }
	authority alien { type http; url "https://$C4:8445/permit"; ca "$WORK/own.pem"; on-error permit; $AGENT_USER }
	authority old { type http; url "https://$C4:8446/permit"; ca "$WORK/own.pem"; on-error permit; $AGENT_USER }
	authority system { type http; url "https://$C4:8443/permit"; on-error permit; $AGENT_USER }
	END
	for how in "${BAD[@]}"; do
		echo "authority $how { type http; url \"https://$C4:8443/$how\"; ca \"$WORK/own.pem\"; timeout 5s; on-error permit; $AGENT_USER }"
	done
	echo "layer default {"
	for how in web plain slow named alien old system "${BAD[@]}"; do
		i=$((i + 1))
		echo "pend proto tcp to port $((7000 + i)) ask $how complete buffer $([ "$how" = web ] || echo with reset)"
	done
	echo "default block }"
}
port_of() { local i=7001 how; for how in web plain slow named alien old system "${BAD[@]}"; do [ "$how" != "$1" ] || echo $i; i=$((i + 1)); done; }
export https_proxy=http://127.0.0.1:1 http_proxy=http://127.0.0.1:1 ALL_PROXY=http://127.0.0.1:1
PENDD_SETTINGS='' pendd_start < <(policy)
unset https_proxy http_proxy ALL_PROXY

try() { client -t 4000 "$@" | field result; }
from() { client -t "${T:-6000}" -s "203.0.113.$1" "$H4" 7001 | field result; } # T: for what is to get no answer
for name in web plain slow named alien old system "${BAD[@]}"; do agent_serves "$name"; done

is "$(from 1)" connected "the server permits"
is "$(T=1500 from 2)" timeout "it blocks, as the rule says"
is "$(from 3)" refused "it blocks with a reset"
is "$(T=1500 from 4)" timeout "it has no opinion: the timeout's verdict"
is "$(T=1500 from 5)" timeout "it cannot find out: an error"
is "$(T=1500 from 7)" timeout "it says nothing of use: an error"
is "$(try -s 2001:db8:1::1 "$H6" 7001)" connected "IPv6 too"
is "$(agent_number web permit) $(agent_number web block) $(agent_number web continue) $(agent_number web error)" "2 2 1 2" \
	"it counts them"
is "$(agent_number web connections)" 1 "one connection serves them all, and no proxy of the environment"
asked=$(sed -n 2p "$WORK/web-main")
like "$asked" '"path": "/source".*\\"source\\":\\"203.0.113.1\\",.*\\"dest_port\\":7001' "it was asked by a POST of the question"
like "$asked" '"type": "application/json", "token": "Bearer s3cret", "box": "one", "agent": "pend-agent/' \
	"with the headers of the policy and of the file"
like "$(client -n 300 -c 100 -q -s 203.0.113.6 "$H4" 7001)" '"good":300' "300 connections, 100 at a time"
le "$(agent_number web connections)" 65 "... over at most 64 more connections"

# Secrets that change.
printf 'Authorization: Bearer n3w\n' >"$WORK/headers"
agent_signal web HUP
from 1 >/dev/null
like "$(tail -n 1 "$WORK/web-main")" '"token": "Bearer n3w"' "SIGHUP reads the file again"
chmod 644 "$WORK/headers"
agent_signal web HUP
check "a file that others may read is refused" wait_for 3 agent_said web 'headers: others may read it'
is "$(from 1)" connected "... and the old ones stay"
unlike "$(cat "$WORK/pendd.log")" 's3cret|n3w' "no secret is in the log"
like "$(h timeout 5 "$BIN/pend-agent" --authority web --socket "$CONTROL" 2>&1)" 'others may read it' "nor does it start with that"

# Dead, and back.
web_stop main
is "$(T=1500 from 1)" timeout "a server that is not there is an error"
web main "$C" "$C4" 8443 web
comes_back() { [ "$(T=1500 from 1)" = connected ]; }
check "it comes back" wait_for 15 comes_back

verdict() { # authority: what became of a connection, and what was counted
	local got
	got=$(try "$H4" "$(port_of "$1")")
	echo "$got $(agent_number "$1" permit) $(agent_number "$1" block) $(agent_number "$1" error)"
}
failed='connected 0 0 1'
is "$(verdict plain)" "connected 1 0 0" "plain HTTP on this host"
for how in named alien old system; do
	is "$(verdict "$how")" "$failed" "a wrong certificate is an error: $how"
	unlike "$(cat "$WORK/web-$how" 2>/dev/null)" '"path"' "... and nothing was asked there"
done
unlike "$(cat "$WORK/web-main")" '"path": "/permit"' "... with the system's CAs neither"
is "$(verdict nothing)" "connected 1 0 0" "204 permits"
is "$(verdict forbidden)" "refused 0 1 0" "403 blocks"
for how in broken redirect garbage page large endless short unknown; do
	is "$(verdict "$how")" "$failed" "an error: $how"
done
unlike "$(cat "$WORK/web-main")" '"path": "/permit"' "no redirect was followed"
is "$(verdict slow)" "refused 0 0 0" "a body that does not come in time: the timeout's verdict"
is "$(agent_number slow open)" 0 "... and the request is given up"

# Several at a time over one connection, where the server can.
if command -v nginx >/dev/null && nginx -V 2>&1 | grep -q http_v2; then
	cat >"$WORK/nginx.conf" <<-END
		daemon off; pid $WORK/nginx.pid; error_log $WORK/nginx.err; worker_processes 1; user root;
		events { worker_connections 256; }
		http {
			access_log $WORK/nginx.log; client_body_temp_path $WORK/body; proxy_temp_path $WORK/proxy;
			fastcgi_temp_path $WORK/fastcgi; uwsgi_temp_path $WORK/uwsgi; scgi_temp_path $WORK/scgi;
			server {
				listen $C4:8447 ssl http2; ssl_certificate $WORK/web.pem; ssl_certificate_key $WORK/web.key;
				location = /ask { proxy_pass https://$C4:8443/permit; }
			}
		}
	END
	ip netns exec "$C" nginx -c "$WORK/nginx.conf" -p "$WORK" -e "$WORK/nginx.err" 2>"$WORK/nginx.out" &
	pendd_config <<-END
		authority two { type http; url "https://$C4:8447/ask"; ca "$WORK/own.pem"; timeout 5s; $AGENT_USER }
		layer default { pend proto tcp to port 7001 ask two complete buffer }
	END
	h_pendctl reload >/dev/null
	check "a server that speaks HTTP/2" wait_for 10 c timeout 1 bash -c ": >/dev/tcp/$C4/8447"
	agent_serves two
	is "$(try "$H4" 7001)" connected "it permits"
	like "$(client -n 200 -c 200 -q "$H4" 7001)" '"good":200' "200 connections at once"
	is "$(agent_number two connections)" 1 "... over one connection to it"
	is "$(grep -c '"POST /ask HTTP/2.0" 200' "$WORK/nginx.log")" 201 "... as the server saw them"
else
	skip "HTTP/2" "no nginx"
fi

finish
