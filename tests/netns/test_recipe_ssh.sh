#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=90
# docs/recipes/ssh-ask.md from end to end: its policy, a real sshd, real clients, and a person at a terminal.

# shellcheck source=tests/netns/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/netns/screen.sh
. "${0%/*}/screen.sh"
for program in sshd ssh ssh-keygen; do
	command -v $program >/dev/null || skip_all "no $program"
done
[[ $(getent shadow root) != root:!* ]] || skip_all "root is locked: sshd lets nobody in"
ns_pair
need_queue

RECIPE=$TOP/docs/recipes/ssh-ask.md
sed -n '/^```pend$/,/^```$/p' "$RECIPE" | grep -v '^```' >"$WORK/policy"
check "the recipe has a policy" grep -q '^authority ops' "$WORK/policy"

# ---- a server of its own ----

ssh-keygen -q -t ed25519 -N '' -f "$WORK/host" && ssh-keygen -q -t ed25519 -N '' -f "$WORK/user" || bail "no keys"
echo "$H4 $(cut -d' ' -f1,2 "$WORK/host.pub")" >"$WORK/known"
cat >"$WORK/sshd_config" <<END
HostKey $WORK/host
AuthorizedKeysFile $WORK/user.pub
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
LogLevel VERBOSE
END
# /run of its own: sshd wants /run/sshd to be there.
ip netns exec "$H" sh -c "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && exec $(command -v sshd) -D -e -f $WORK/sshd_config" \
	2>"$WORK/sshd" &
wait_for 5 eval 'h ss -ltn | grep -q ":22 "' || bail "sshd: $(cat "$WORK/sshd")"
pendd_start <"$WORK/policy"

login() { # from command: a login with a command
	c timeout "${3:-30}" ssh -F none -n -T -b "$1" -i "$WORK/user" -o IdentitiesOnly=yes -o BatchMode=yes \
		-o UserKnownHostsFile="$WORK/known" -o ConnectTimeout=25 "root@$H4" "$2"
}

# ---- the administrators' network ----

is "$(login "$C4" 'echo welcome')" welcome "the administrators' network is let in"
like "$(h_pendctl rules)" ' 0 +[1-9].*permit proto tcp from @admins' "... by its rule"
is "$(h_pendctl --json events --type pended | grep -c '"id"')" 0 "... and nobody was asked"
like "$(h_pendctl test "tcp 192.0.2.7:4000 > $H4:22")" '^permit' "which test tells beforehand"

# ---- somebody else, and a person at a terminal ----

screen_start ops 140 30 "exec '$BIN/pendctl' --socket '$CONTROL' ask --authority ops"
shows 5 "a person waits for questions" ops '^Nothing waits'
before=$(grep -c 'Connection from 203' "$WORK/sshd")
login 203.0.113.1 'echo welcome; echo $SSH_CLIENT' >"$WORK/first" 2>&1 &
first=$!
shows 5 "a login from elsewhere is a question" ops '^a[0-9.]+  tcp 203\.0\.113\.1:[0-9]+ > 192\.0\.2\.1:22  asks ops'
shows 5 "... with its prompt" ops '^Permit\? .* left'
like "$(screen ops)" '^  listens  user root, .*/sshd' "... that tells who would take it"
like "$(screen ops)" '^  rule .*:[0-9]+: pend proto tcp to port ssh ask ops complete buffer remember 8h' "... and by which rule"
sleep 1
is "$(grep -c 'Connection from 203' "$WORK/sshd")" "$before" "sshd has seen nothing"
is "$(cat "$WORK/first")" '' "and neither has the client"
screen_keys ops y
wait $first
is "$?" 0 "y: the session works"
like "$(cat "$WORK/first")" '^203\.0\.113\.1 ' "... and the client's address is its own"
is "$(login 203.0.113.1 'echo welcome')" welcome "the second login is remembered"
is "$(h_pendctl --json events -n 1000 --type pended | grep -c '"id"')" 1 "... nobody was asked about it"
like "$(h_pendctl decisions)" '^permit +203\.0\.113\.1 +tcp 192\.0\.2\.1 port 22 .* 7h' "... for the working day"

# ---- blocked; without a terminal; forgotten ----

login 203.0.113.2 'echo welcome' >"$WORK/second" 2>&1 &
second=$!
wait_for 5 pending_is 1
h_pendctl block 203.0.113.2 --reset >/dev/null
wait $second
like "$(cat "$WORK/second")" 'Connection refused' "a block with a reset: refused at once"
like "$(login 203.0.113.2 'echo welcome' 2 2>&1; echo "status $?")" 'Connection refused|status (124|255)' "... and it stays blocked"
login 203.0.113.3 'echo welcome' >"$WORK/third" 2>&1 &
third=$!
wait_for 5 pending_is 1
id=$(h_pendctl --no-headers pending --port 22 | awk '{print $1}')
check "permitted without a terminal" h_pendctl permit "$id" --for 8h --why 'ticket 4711'
wait $third
is "$(cat "$WORK/third")" welcome "... the session works"
like "$(h_pendctl --json decisions)" '"why": ?"ticket 4711"' "... and the reason is kept"
is "$(h_pendctl decisions forget --from 203.0.113.1)" "1 forgotten." "forgotten"
login 203.0.113.1 'echo welcome' >"$WORK/again" 2>&1 &
again=$!
holds 5 "... it is asked about again" pending_is 1
h_pendctl permit --all >/dev/null
wait $again

# ---- the rope ----

login 203.0.113.1 'sleep 1; echo still' 20 >"$WORK/live" 2>&1 &
live=$!
wait_for 5 eval 'h ss -tn state established | grep -q "203.0.113.1"'
check "the rope: the kernel rules go" h_pendctl hookup remove
is "$(login 203.0.113.4 'echo welcome')" welcome "... and everybody is let in as before"
check "... until they are put back" h_pendctl hookup install
wait $live
is "$(cat "$WORK/live")" still "a session that was there goes on all the while"
tmux_ kill-server
pendd_stop
finish
