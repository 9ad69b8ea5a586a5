#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pend-test: limit=240
# The demo does what it says it does: its exit status is its own judgement.
. "${0%/*}/lib.sh"

[ "$(id -u)" = 0 ] || skip_all "kernel tests need root"
command -v nc.openbsd >/dev/null || command -v nc >/dev/null || skip_all "nc is not installed"
# Its limits are for people to see; this machine may be busy with other things.
check "the demo's checks are good" env B="$BIN" PEND_DEMO_SLACK=$((850 * ${WAIT_FACTOR:-1})) "$TOP/tests/demo.sh"
finish
