# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for pendctl(1).

_pendctl_ids()
{
	pendctl --no-headers pending 2>/dev/null | awk '{print $1}'
}

_pendctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd='' i
	local commands='status pending permit block events rules authorities test show metrics reload
		check hookup stop version help'
	local globals='--socket --json --no-headers --color --help --version'
	local filters='--port --proto --authority --rule'

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket | --color) ((i++)) ;;
		-*) ;;
		*) cmd=${COMP_WORDS[i]}; break ;;
		esac
	done

	case $prev in
	--color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur"); return ;;
	--proto) mapfile -t COMPREPLY < <(compgen -W 'tcp udp icmp icmpv6 sctp' -- "$cur"); return ;;
	--hook) mapfile -t COMPREPLY < <(compgen -W 'input forward output' -- "$cur"); return ;;
	in | out) mapfile -t COMPREPLY < <(compgen -W "$(cd /sys/class/net && echo *)" -- "$cur"); return ;;
	-s | --socket) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	-t | --type) mapfile -t COMPREPLY < <(compgen -W 'pended retransmit kernel-lost completed
		established closed classified limit loop note' -- "$cur"); return ;;
	esac

	case $cmd in
	'') mapfile -t COMPREPLY < <(compgen -W "$commands $globals" -- "$cur") ;;
	pending) mapfile -t COMPREPLY < <(compgen -W "--watch --interval --limit --source $filters" -- "$cur") ;;
	permit) mapfile -t COMPREPLY < <(compgen -W "--all $filters $(_pendctl_ids)" -- "$cur") ;;
	block) mapfile -t COMPREPLY < <(compgen -W "--all --reset --unreachable --drop $filters $(_pendctl_ids)" -- "$cur") ;;
	events) mapfile -t COMPREPLY < <(compgen -W '--last --follow --type' -- "$cur") ;;
	test) mapfile -t COMPREPLY < <(compgen -W 'in out --hook --mark --trace --quiet' -- "$cur") ;;
	show) mapfile -t COMPREPLY < <(compgen -W 'policy settings' -- "$cur") ;;
	reload) mapfile -t COMPREPLY < <(compgen -W '--dry-run' -- "$cur") ;;
	check) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	hookup) mapfile -t COMPREPLY < <(compgen -W 'print install remove verify' -- "$cur") ;;
	help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$globals" -- "$cur") ;;
	esac
}

complete -F _pendctl pendctl
