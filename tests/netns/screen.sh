# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Terminals for tests of what people see: tmux in the host's namespace, a server of its own for the test. Source it
# behind lib.sh.

command -v tmux >/dev/null || skip_all "no tmux"

tmux_() { TMUX='' inside "$H" tmux -S "$WORK/tmux" -f /dev/null "$@"; }

# A terminal that runs a shell command; TERM inside is tmux's. SCREEN_LANG is its locale.
screen_start() # name columns lines command
{
	tmux_ start-server \; set-option -g remain-on-exit on \; set-option -g exit-empty off \; set-option -g status off \; \
		set-option -g default-terminal "${SCREEN_TERM:-screen-256color}" \; \
		new-session -d -s "$1" -x "$2" -y "$3" "export LC_ALL=${SCREEN_LANG:-C.UTF-8}; $4" ||
		bail "no terminal $1"
}
screen() { tmux_ capture-pane -p -t "=$1:"; }            # name: what is shown
screen_colors() { tmux_ capture-pane -e -N -p -t "=$1:"; }  # ... with its escapes
screen_keys() { tmux_ send-keys -t "=$1:" "${@:2}"; }    # name key...
screen_size() { tmux_ resize-window -t "=$1:" -x "$2" -y "$3"; } # name columns lines
screen_has() { screen "$1" | grep -qE -- "$2"; }       # name regular-expression
screen_tty() { tmux_ display-message -p -t "=$1:" '#{pane_tty}'; }
screen_pid() { pgrep -P "$(tmux_ display-message -p -t "=$1:" '#{pane_pid}')" "$2"; } # name program
screen_end() { tmux_ kill-session -t "=$1:"; }
shows() # seconds text name regular-expression: a test
{
	if wait_for "$1" screen_has "$3" "$4"; then
		ok "$2"
	else
		not_ok "$2" "no match for $4 on the screen:" "$(screen "$3")"
	fi
}
