#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The kernel tests again, on the kernel of the virtual machine that this runs in. Those whose head says
# "# pend-test: no-vm" are left out: they measure, and an emulated processor's figures mean nothing.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

number=0 failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT
echo "# Linux $(uname -r)"
for script in ${VM_TESTS:-tests/netns/test_*.sh}; do
	name=${script##*/test_} name=${name%.sh}
	! sed -n '1,20p' "$script" | grep -q '^# pend-test:.*no-vm' || continue
	# Programs start some twenty times slower here.
	WAIT_FACTOR=5 timeout -k 10 "${VM_LIMIT:-600}" bash "$script" >"$out" 2>&1
	rc=$?
	before=$failed
	while IFS= read -r line; do
		case $line in
		ok\ [0-9]* | not\ ok\ [0-9]*)
			number=$((number + 1))
			[[ $line == ok* ]] || failed=$((failed + 1))
			text=${line#*- }
			echo "${line%%[0-9]*}$number - $name: $text" ;;
		1..*) ;;
		*) echo "# $line" ;;
		esac
	done <"$out"
	if [ "$rc" = 77 ]; then
		number=$((number + 1))
		echo "ok $number - $name # SKIP $(tail -n 1 "$out")"
	elif [ "$rc" != 0 ] && [ "$failed" = "$before" ]; then
		number=$((number + 1)) failed=$((failed + 1))
		echo "not ok $number - $name ended with status $rc"
	fi
done
echo "1..$number"
[ "$failed" = 0 ]
