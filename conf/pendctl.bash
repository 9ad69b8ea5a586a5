# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for pendctl(1).

_pendctl_ids()
{
	pendctl --no-headers pending 2>/dev/null | awk '{print $1}'
}

# The first word of each line of a table.
_pendctl_names() # command...
{
	pendctl --no-headers "$@" 2>/dev/null | awk '{print $1}'
}

# Behind "policy" and "set": the action, then what it takes.
_pendctl_policy() # action
{
	local lifetime='--for --until --session --why'
	case $1 in
	'') echo 'add delete replace list apply' ;;
	add) echo "--layer --last $lifetime permit block pend inspect" ;;
	delete) echo "--why $(_pendctl_names policy list)" ;;
	replace) echo "$lifetime $(_pendctl_names policy list)" ;;
	apply) echo "$lifetime" ;;
	esac
}

_pendctl_set() # action
{
	case $1 in
	'') echo 'list add delete flush load test' ;;
	list | test) _pendctl_names set list ;;
	add) echo "--for --session --why $(_pendctl_names set list)" ;;
	*) echo "--why $(_pendctl_names set list)" ;;
	esac
}

_pendctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd='' action='' i
	local commands='status pending ask top permit block events rules counters layers decisions history unlock lock authorities test show metrics reload
		policy set reauthorize journal check hookup stop version help'
	local globals='--socket --json --no-headers --color --help --version'
	local filters='--port --proto --authority --rule'

	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket | -e | --exec | --color | --why | --for | --until | --layer) ((i++)) ;;
		-*) ;;
		*)
			[ -z "$cmd" ] || { action=${COMP_WORDS[i]}; break; }
			cmd=${COMP_WORDS[i]}
			;;
		esac
	done

	case $prev in
	--by) mapfile -t COMPREPLY < <(compgen -W 'source' -- "$cur"); return ;;
	--verdict) mapfile -t COMPREPLY < <(compgen -W 'permit block' -- "$cur"); return ;;
	--family) mapfile -t COMPREPLY < <(compgen -W '4 6' -- "$cur"); return ;;
	--authority) mapfile -t COMPREPLY < <(compgen -W "$(_pendctl_names authorities)" -- "$cur"); return ;;
	--layer) mapfile -t COMPREPLY < <(compgen -W "$(_pendctl_names layers)" -- "$cur"); return ;;
	--set | --allow-set) mapfile -t COMPREPLY < <(compgen -W "$(_pendctl_names set list)" -- "$cur"); return ;;
	--color) mapfile -t COMPREPLY < <(compgen -W 'auto always never' -- "$cur"); return ;;
	--proto | --protocol) mapfile -t COMPREPLY < <(compgen -W 'tcp udp icmp icmpv6 sctp' -- "$cur"); return ;;
	--scope) mapfile -t COMPREPLY < <(compgen -W 'service source flow' -- "$cur"); return ;;
	--format) mapfile -t COMPREPLY < <(compgen -W 'auto list fail2ban crowdsec' -- "$cur"); return ;;
	--hook) mapfile -t COMPREPLY < <(compgen -W 'input forward output' -- "$cur"); return ;;
	in | out) mapfile -t COMPREPLY < <(compgen -W "$(cd /sys/class/net && echo *)" -- "$cur"); return ;;
	-s | --socket | -e | --exec) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	-t | --type) mapfile -t COMPREPLY < <(compgen -W 'pended retransmit kernel-lost completed
		established closed classified limit loop answered ended note' -- "$cur"); return ;;
	esac

	case $cmd in
	'') mapfile -t COMPREPLY < <(compgen -W "$commands $globals" -- "$cur") ;;
	pending) mapfile -t COMPREPLY < <(compgen -W "--watch --interval --limit --by --source --family $filters" -- "$cur") ;;
	ask) mapfile -t COMPREPLY < <(compgen -W "--no-names --exec --processes --source --family $filters" -- "$cur") ;;
	top) mapfile -t COMPREPLY < <(compgen -W "--interval --batch --times --source --family $filters" -- "$cur") ;;
	permit) mapfile -t COMPREPLY < <(compgen -W "--all --for --scope --once --why $filters $(_pendctl_ids)" -- "$cur") ;;
	block) mapfile -t COMPREPLY < <(compgen -W "--all --reset --unreachable --drop --for --scope --once --why $filters $(_pendctl_ids)" -- "$cur") ;;
	events) mapfile -t COMPREPLY < <(compgen -W "--last --follow --exec --type --source --family $filters" -- "$cur") ;;
	test) mapfile -t COMPREPLY < <(compgen -W 'in out --hook --mark --trace --quiet' -- "$cur") ;;
	decisions) mapfile -t COMPREPLY < <(compgen -W 'list forget import --from --rule --all --set --allow-set --format --for --why' -- "$cur"; [[ ${COMP_WORDS[*]} != *import* ]] || compgen -f -- "$cur") ;;
	history) mapfile -t COMPREPLY < <(compgen -W '--limit --since --until --source --rule --authority --verdict' -- "$cur") ;;
	show) mapfile -t COMPREPLY < <(compgen -W 'policy settings' -- "$cur") ;;
	policy)
		mapfile -t COMPREPLY < <(compgen -W "$(_pendctl_policy "$action")" -- "$cur")
		[ "$action" != apply ] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
		;;
	set)
		mapfile -t COMPREPLY < <(compgen -W "$(_pendctl_set "$action")" -- "$cur")
		[ "$action" != load ] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
		;;
	reauthorize) mapfile -t COMPREPLY < <(compgen -W '--dry-run --from --port --protocol --family --rule' -- "$cur") ;;
	journal) mapfile -t COMPREPLY < <(compgen -W '--last' -- "$cur") ;;
	reload) mapfile -t COMPREPLY < <(compgen -W '--dry-run' -- "$cur") ;;
	unlock | lock)
		case $prev in
		unlock | lock) mapfile -t COMPREPLY < <(compgen -W "$(_pendctl_names authorities)" -- "$cur") ;;
		*) [ -n "$action" ] && mapfile -t COMPREPLY < <(compgen -W 'ssh' -- "$cur") ;;
		esac
		;;
	check) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	hookup) mapfile -t COMPREPLY < <(compgen -W 'print install remove verify' -- "$cur") ;;
	help) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur") ;;
	*) mapfile -t COMPREPLY < <(compgen -W "$globals" -- "$cur") ;;
	esac
}

complete -F _pendctl pendctl
