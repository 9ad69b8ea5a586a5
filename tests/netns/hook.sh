# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the tests of the kernel hookup share, on top of lib.sh: a hooktool in the host namespace.
#
#     hook_start kind=nft      # option as tests/tools/hooktool.c has them
#     hook install             # one command, prints its one line of answer
#     hook_end                 # end of input: the hookup is closed
#     hook_kill                # as an accident would

HOOKTOOL=$BIN/tests/tools/hooktool
if [ ! -x "$HOOKTOOL" ]; then
	make -s -C "$TOP" B="$B" "$HOOKTOOL" >/dev/null 2>&1 || skip_all "$HOOKTOOL is not built"
fi

# The marks of core/mark.h, for the default mask and epoch 1 and 2.
# shellcheck disable=SC2034  # for the tests
PERMIT=0x02800000 PERMIT2=0x04800000 ONCE=0x00800000 RESET=0x01000000 UNREACH=0x01800000 INJECT=0x7e800000
# shellcheck disable=SC2034
BLOCKED=0x01000000 MASK=0x7f800000

hook_start() # option...
{
	# shellcheck disable=SC2086  # a wrapper is words
	coproc HOOK { exec ip netns exec "$H" ${HOOK_WRAPPER:-} "$HOOKTOOL" "$@" 2>>"$WORK/hook.log"; }
	# shellcheck disable=SC2153  # coproc sets it
	HOOK_ID=$HOOK_PID
}

hook() # command
{
	local line=
	echo "$*" >&"${HOOK[1]}"
	IFS= read -r -t "${HOOK_PATIENCE:-30}" line <&"${HOOK[0]}" || line="no answer to $*"
	echo "${line% }"
}

hook_end()
{
	local in=${HOOK[1]}
	exec {in}>&-
	wait "$HOOK_ID"
}

hook_kill()
{
	kill -KILL "$HOOK_ID"
	wait "$HOOK_ID" 2>/dev/null
}

# The rule whose comment is $1 has met so many packets, in both families and all chains.
noted() { h nft list table inet "${2:-pend}" 2>/dev/null | awk -v n="comment \"$1\"" 'index($0, n) {
	for (i = 1; i < NF; i++) if ($i == "packets") s += $(i + 1)} END {print s + 0}'; }

# The mark that conntrack remembers for a destination port, in hexadecimal.
ct_mark() # port
{
	local m
	m=$(h conntrack -L 2>/dev/null | sed -nE "s/.* dport=$1 .*mark=([0-9]+).*/\1/p" | head -n 1)
	[ -z "$m" ] || printf '0x%08x\n' "$m"
}
