#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=60
# docs/recipes/wake-on-connect.md with a real nginx and curl: as a command of this host, and in a namespace behind it
# that stands for a container.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/agent.sh
. "${0%/*}/agent.sh"
command -v nginx >/dev/null || skip_all "nginx is not installed"
command -v curl >/dev/null || skip_all "curl is not installed"
S=pend-s$ID
ns_pair 8
need_queue
ns_add "$S"
link "$H" eth1 "$S" eth0
addr "$H" eth1 198.51.100.1/24
addr "$S" eth0 198.51.100.2/24
ip -n "$S" route add default via 198.51.100.1
ip -n "$C" route add default via "$H4"
h sysctl -qw net.ipv4.ip_forward=1

mkdir -p "$WORK/www" "$WORK/box"
echo "it is awake" >"$WORK/www/index.html"
chmod -R a+rX "$WORK"/www
nginx_conf() # name port
{
	cat >"$WORK/$1.conf" <<-END
		worker_processes 1;
		pid $WORK/$1/pid;
		error_log $WORK/$1/log;
		events { }
		http {
			access_log $WORK/$1/access;
			client_body_temp_path $WORK/$1/tmp; proxy_temp_path $WORK/$1/tmp; fastcgi_temp_path $WORK/$1/tmp;
			uwsgi_temp_path $WORK/$1/tmp; scgi_temp_path $WORK/$1/tmp;
			keepalive_timeout 0;
			server { listen $2; root $WORK/www; }
		}
	END
}
nginx_conf web 8080
nginx_conf box 80
# What runs containers, and takes its time; the program that serves the authority has no rights itself.
mkfifo -m 622 "$WORK/manager"
while read -r _; do
	sleep 2
	ip netns exec "$S" nginx -c "$WORK/box.conf" -g 'daemon off;' 2>/dev/null &
done <>"$WORK/manager" &
MANAGER=$!
chmod 711 "$WORK" "$WORK/run"
install -d -o 65534 -g 65534 "$WORK/web"

pendd_start <<-END
	authority web {
		type unit;
		command "$(command -v nginx) -c $WORK/web.conf -g 'daemon off;'";
		user 65534; group 65534;
		ready tcp 8080;
		idle-stop 3s;
		timeout 20s;
	}
	authority box {
		type unit;
		command "/bin/sh -c 'echo start >$WORK/manager'";
		ready tcp 80 address 198.51.100.2;
		timeout 20s;
	}
	layer default {
		pend hook forward proto tcp to port 80 ask box complete buffer
		pend proto tcp to port 8080 ask web complete buffer
		permit
	}
END
holds 10 "programs serve both" agents_serve web box

get() { c curl -sS --max-time 15 "$@"; }
asleep() { ! grep -q . <(h ss -Hltn 'sport = 8080'); }
check "nothing runs at first" asleep
is "$(get "http://$H4:8080/")" "it is awake" "the first connection wakes it and gets the page"
like "$(get "http://[$H6]:8080/" 2>&1)" 'refused|Could.*t connect' "where it does not listen, at IPv6, the kernel refuses at once"
like "$(cat "$WORK/web/access")" "^$C4 " "nginx sees the client's own address"
lt "$(get -o /dev/null -w '%{time_connect}' "http://$H4:8080/")" 0.9 "the next one does not wait"
check "it is stopped when nobody uses it" wait_for 8 asleep
for ((i = 1; i <= 8; i++)); do
	ip netns exec "$C" curl -sS --max-time 15 --interface "203.0.113.$i" -o "$WORK/page.$i" "http://$H4:8080/" &
	CURL[i]=$!
done
wait "${CURL[@]}"
is "$(cat "$WORK"/page.* | sort | uniq -c | xargs)" "8 it is awake" "eight at once wake it again, and each gets the page"
is "$(grep -c "starting .*nginx" "$WORK/pendd.log")" 2 "it was started twice in all"

for ((i = 1; i <= 4; i++)); do
	ip netns exec "$C" curl -sS --max-time 15 -o "$WORK/box.$i" "http://198.51.100.2/" &
	CURL[i]=$!
done
wait "${CURL[@]}"
is "$(cat "$WORK"/box.[1-4] | sort | uniq -c | xargs)" "4 it is awake" "connections through this host wake what is behind it"
like "$(cat "$WORK/box/access")" "^$C4 " "... with the client's own address"
lt "$(get -o /dev/null -w '%{time_connect}' "http://198.51.100.2/")" 0.9 "the next one does not wait"

pendd_stop
check "what was started here ends with the daemon" wait_for 4 asleep
kill "$MANAGER"
finish
