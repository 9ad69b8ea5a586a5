#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Tell a chat, or a phone, that a connection waits, and what became of it:
#
#     PEND_NOTIFY_URL=https://chat.example/hooks/abc pendctl events --type pended,completed \
#         --exec /usr/share/doc/pend/examples/notify-chat.sh
#
# PEND_NOTIFY_STYLE  slack (the default: Slack, Mattermost, Rocket.Chat: {"text":"..."}), or ntfy (plain text)
# PEND_NOTIFY_TOKEN  goes into an Authorization header
#
# Needs curl.
set -u

: "${PEND_NOTIFY_URL:?is not set: where to?}"
host=$(uname -n)
flow="${PEND_PROTOCOL:-?} ${PEND_SOURCE:-?} > ${PEND_DEST:-?}${PEND_DEST_PORT:+:$PEND_DEST_PORT}"
case ${PEND_TYPE:-} in
pended) text="$host: $flow waits${PEND_AUTHORITY:+, asks $PEND_AUTHORITY}: pendctl permit ${PEND_ID:-?}" ;;
completed) text="$host: $flow: ${PEND_STATE:-?}${PEND_REASON:+ by $PEND_REASON}${PEND_WHY:+ ($PEND_WHY)}" ;;
note) text="$host: ${PEND_TEXT:-}" ;;
*) exit 0 ;;
esac
[ "${PEND_DROPPED:-0}" = 0 ] || text="$text ($PEND_DROPPED more were not told)"

# The token is not to be seen among the processes: it goes in by a descriptor of curl's settings.
settings() { [ -z "${PEND_NOTIFY_TOKEN:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$PEND_NOTIFY_TOKEN"; }
post() { # content-type < body
	exec 3<&0
	settings | curl --silent --show-error --fail --max-time 10 --output /dev/null --config - \
		--header "Content-Type: $1" --data-binary @/dev/fd/3 -- "$PEND_NOTIFY_URL"
}

case ${PEND_NOTIFY_STYLE:-slack} in
slack) printf '{"text":"%s"}' "$(printf %s "$text" | sed 's/[\\"]/\\&/g')" | post application/json ;;
ntfy) printf %s "$text" | post text/plain ;;
*) echo "PEND_NOTIFY_STYLE is slack or ntfy" >&2; exit 2 ;;
esac
