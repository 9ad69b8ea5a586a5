#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Tell somebody at a desktop that a connection waits. In that person's session, as a member of pendd's control-group
# or observe-group:
#
#     pendctl events --type pended,note --exec /usr/share/doc/pend/examples/notify-desktop.sh
#
# Needs notify-send (Debian: libnotify-bin).

case ${PEND_TYPE:-} in
pended)
	where="${PEND_PROTOCOL:-?} to ${PEND_DEST:-?}${PEND_DEST_PORT:+ port $PEND_DEST_PORT}"
	exec notify-send --app-name pend --urgency critical --expire-time 30000 -- \
		"${PEND_SOURCE:-?} waits" "$where${PEND_AUTHORITY:+, asks $PEND_AUTHORITY}
pendctl permit ${PEND_ID:-?}"
	;;
note)
	exec notify-send --app-name pend -- "pend" "${PEND_TEXT:-}"
	;;
esac
