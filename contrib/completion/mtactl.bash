# SPDX-License-Identifier: Apache-2.0
# bash completion for mtactl(8). Copy to /usr/share/bash-completion/completions/mtactl, or source it.
# Domains, sites and ids of the queue are offered when the daemon answers at once.

# The values of one member in the rows of an answer: _mtactl_ask MEMBER COMMAND...
_mtactl_ask()
{
	local member=$1
	shift
	timeout 1 "${mtactl[@]}" --json "$@" 2>/dev/null |
		sed -n "s/^ *\"$member\": \"\([][A-Za-z0-9._+@/-]*\)\",\{0,1\}$/\1/p" | sort -u
}

# Sources and domains that warm up. To readline a word begins anew behind the @ of a domain.
_mtactl_warmups()
{
	COMPREPLY=($(compgen -W "$(_mtactl_ask source warmup)" -- "$cur"))
	[[ $cur == @* ]] && COMPREPLY=("${COMPREPLY[@]#@}")
}

# The providers that rules are for.
_mtactl_providers()
{
	timeout 1 "${mtactl[@]}" --json rules list 2>/dev/null |
		sed -n '/"providers": \[/,/\]/s/^ *"\([A-Za-z0-9._-]*\)",\{0,1\}$/\1/p' | sort -u
}

# Behind set and unset: a level, its name, settings.
_mtactl_set()
{
	local level=${words[at+1]} names=1 offered settings='connections rate recipient-rate byte-rate'
	case $level in lane) names=2 ;; all) names=0 ;; esac
	if [[ $cur == -* ]]; then
		offered='--json'
		[[ $command == set ]] && offered='--for --reason --watch --json'
		COMPREPLY=($(compgen -W "$offered" -- "$cur"))
	elif ((cword == at + 1)); then
		offered='lane site source pool stream user all'
		[[ $command == set ]] && offered+=' list'
		COMPREPLY=($(compgen -W "$offered" -- "$cur"))
	elif ((cword <= at + 1 + names)); then
		case $level in
		lane|source)
			if ((cword == at + 2)); then
				offered=$(_mtactl_ask source sources)
			else
				offered=$(_mtactl_ask site sites --limit 500)
			fi ;;
		site) offered=$(_mtactl_ask site sites --limit 500) ;;
		pool) offered=$(_mtactl_ask pool sources) ;;
		user) offered=$(_mtactl_ask user streams) ;;
		esac
		COMPREPLY=($(compgen -W "$offered" -- "$cur"))
	else
		case $level in lane|site|source|pool|all) settings+=' connect-rate' ;; esac
		case $level in lane|site) settings+=' messages-per-connection' ;; esac
		[[ $level == site ]] && settings+=' recipients-per-transaction'
		if [[ $command == set ]]; then
			compopt -o nospace 2>/dev/null
			COMPREPLY=($(compgen -S = -W "$settings" -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$settings" -- "$cur"))
		fi
	fi
}

_mtactl()
{
	local cur prev words cword command='' at=0 i
	local -a mtactl
	_init_completion -n =@ 2>/dev/null || {
		words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
		cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	}
	local looks='status queue sites why lanes sources streams limits list show pauses webhooks audit explain rules classify feedback simulate report history'
	local changes='retry hold release bounce delete'
	local others='pause resume set unset clear reload stop rotate dkim passwd warmup user suppress token webhook help version'
	local filters='--domain --site --sender --user --job --held --waiting'
	COMPREPLY=()

	# The command is the first word that is neither an option nor the value of one. The socket is the one named before.
	mtactl=("${words[0]}")
	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		-c|--socket) mtactl+=("${words[i]}" "${words[i+1]}"); ((i++)) ;;
		--domain|--site|--sender|--user|--job|--limit|--by|--reason|--for|--selector|--algorithm|--out|--level|--provider|--mx|--phase|--file|--tsv|--source|--from|--to|--scope|--expire|--note) ((i++)) ;;
		--curve|--volumes|--volume|--providers|--start|--svg|--top|--days) ((i++)) ;;
		-*) ;;
		*) command=${words[i]} at=$i; break ;;
		esac
	done

	case $prev in
	-c|--socket|--out|--file|--tsv|--svg) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--by)
		local keys='domain site state'
		[[ $command == report ]] && keys='job stream provider site source user class domain day hour'
		COMPREPLY=($(compgen -W "$keys" -- "$cur"))
		return ;;
	--from|--to) COMPREPLY=($(compgen -W "1h 12h 1d 7d $(date -u +%F)" -- "$cur")); return ;;
	--curve) COMPREPLY=($(compgen -W 'gentle steady brisk' -- "$cur")); return ;;
	--volumes|--volume|--providers|--start) return ;;
	--algorithm) COMPREPLY=($(compgen -W 'rsa2048 rsa4096 ed25519' -- "$cur")); return ;;
	--for)
		local times='10m 30m 1h 2h 6h 1d'
		[[ $command == set ]] && times+=' ever'
		COMPREPLY=($(compgen -W "$times" -- "$cur"))
		return ;;
	--domain) COMPREPLY=($(compgen -W "$(_mtactl_ask domain queue --limit 500)" -- "$cur")); return ;;
	--site) COMPREPLY=($(compgen -W "$(_mtactl_ask site sites --limit 500)" -- "$cur")); return ;;
	--level) COMPREPLY=($(compgen -W 'lane site source pool stream user all' -- "$cur")); return ;;
	--user) COMPREPLY=($(compgen -W "$(_mtactl_ask user streams)" -- "$cur")); return ;;
	--job) COMPREPLY=($(compgen -W "$(_mtactl_ask job list)" -- "$cur")); return ;;
	--phase) COMPREPLY=($(compgen -W 'greeting ehlo starttls auth mail rcpt data idle' -- "$cur")); return ;;
	--source)
		if [[ $command == warmup ]]; then
			_mtactl_warmups
		else
			COMPREPLY=($(compgen -W "$(_mtactl_ask source sources)" -- "$cur"))
		fi
		return ;;
	--provider)
		if [[ $command == warmup ]]; then
			COMPREPLY=($(compgen -W "$(_mtactl_ask group warmup)" -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$(_mtactl_providers)" -- "$cur"))
		fi
		return ;;
	--reason)
		[[ $command == suppress ]] &&
			COMPREPLY=($(compgen -W 'hard-bounce soft-bounces complaint unsubscribe manual import allow' -- "$cur"))
		return ;;
	--scope) COMPREPLY=($(compgen -W 'global' -- "$cur")); return ;;
	--expire) COMPREPLY=($(compgen -W '7d 30d 90d 365d never' -- "$cur")); return ;;
	--sender|--limit|--selector|--mx|--top|--note) return ;;
	--days) COMPREPLY=($(compgen -W '1 3 7 14 30' -- "$cur")); return ;;
	esac

	case $command in
	'') COMPREPLY=($(compgen -W "$looks $changes $others -c --socket --json --help --version" -- "$cur")) ;;
	status|pauses|webhooks) COMPREPLY=($(compgen -W '--watch --json' -- "$cur")) ;;
	queue) COMPREPLY=($(compgen -W '--by --limit --watch --json' -- "$cur")) ;;
	sites) COMPREPLY=($(compgen -W '--limit --watch --json' -- "$cur")) ;;
	why)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--site --limit --watch --json' -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$(_mtactl_ask domain queue --limit 500) $(_mtactl_ask id list)" -- "$cur"))
		fi ;;
	lanes) COMPREPLY=($(compgen -W '--site --limit --watch --json' -- "$cur")) ;;
	sources) COMPREPLY=($(compgen -W '--watch --json' -- "$cur")) ;;
	streams) COMPREPLY=($(compgen -W '--user --limit --watch --json' -- "$cur")) ;;
	limits) COMPREPLY=($(compgen -W '--level --limit --watch --json' -- "$cur")) ;;
	explain)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--json' -- "$cur"))
		elif ((cword == at + 1)); then
			COMPREPLY=($(compgen -W "listen user stream guard suppression source pool sender warmup dkim domain provider profile rule bounce report route accounting webhook pipe $(_mtactl_ask domain queue --limit 500)" -- "$cur"))
		fi ;;
	rules)
		if ((cword == at + 1)); then
			COMPREPLY=($(compgen -W 'test list' -- "$cur"))
		else
			COMPREPLY=($(compgen -W '--provider --domain --mx --phase --file --json' -- "$cur"))
		fi ;;
	classify) [[ $cur == -* ]] && COMPREPLY=($(compgen -W '--provider --tsv --json' -- "$cur")) ;;
	feedback)
		if ((cword == at + 1)); then
			COMPREPLY=($(compgen -W 'read' -- "$cur"))
		elif [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--json' -- "$cur"))
		else
			compopt -o filenames 2>/dev/null
			COMPREPLY=($(compgen -f -- "$cur"))
		fi ;;
	simulate)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--top --days --json' -- "$cur"))
		elif ((cword == at + 1)); then
			compopt -o filenames 2>/dev/null
			COMPREPLY=($(compgen -f -- "$cur"))
		fi ;;
	report)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--by --from --to --job --user --domain --site --source --limit --csv --svg --plain --json' -- "$cur"))
		else
			compopt -o filenames 2>/dev/null
			COMPREPLY=($(compgen -f -- "$cur"))
		fi ;;
	history)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--limit --json' -- "$cur"))
		elif ((cword == at + 1)); then
			COMPREPLY=($(compgen -W "$(_mtactl_ask rcpt list) $(_mtactl_ask id list)" -- "$cur"))
		else
			compopt -o filenames 2>/dev/null
			COMPREPLY=($(compgen -f -- "$cur"))
		fi ;;
	webhook)
		if ((cword == at + 1)); then
			COMPREPLY=($(compgen -W 'test' -- "$cur"))
		elif ((cword == at + 2)); then
			COMPREPLY=($(compgen -W "$(_mtactl_ask name webhooks)" -- "$cur"))
		elif [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--json' -- "$cur"))
		fi ;;
	stop) COMPREPLY=($(compgen -W '--no-wait --json' -- "$cur")) ;;
	list)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W "$filters --limit --json" -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$(_mtactl_ask id list)" -- "$cur"))
		fi ;;
	show)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--body --json' -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$(_mtactl_ask id list)" -- "$cur"))
		fi ;;
	retry|hold|release|bounce|delete)
		if [[ $cur == -* ]]; then
			local more=''
			[[ $command == bounce || $command == delete ]] && more=--reason
			COMPREPLY=($(compgen -W "$filters --all --dry-run --yes --json $more" -- "$cur"))
		else
			COMPREPLY=($(compgen -W "$(_mtactl_ask id list)" -- "$cur"))
		fi ;;
	pause|resume)
		local options='--json'
		[[ $command == pause ]] && options='--for --reason --json'
		[[ ${words[at+1]} == @(job|user|stream|sender) ]] && options+=' --site'
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W "$options" -- "$cur"))
		elif ((cword == at + 1)); then
			COMPREPLY=($(compgen -W 'domain site source job user stream sender all' -- "$cur"))
		elif ((cword == at + 2)); then
			if [[ $command == resume ]]; then
				COMPREPLY=($(compgen -W "$(_mtactl_ask name pauses)" -- "$cur"))
			elif [[ $prev == source ]]; then
				COMPREPLY=($(compgen -W "$(_mtactl_ask source sources)" -- "$cur"))
			elif [[ $prev == domain ]]; then
				COMPREPLY=($(compgen -W "$(_mtactl_ask domain queue --limit 500)" -- "$cur"))
			elif [[ $prev == site ]]; then
				COMPREPLY=($(compgen -W "$(_mtactl_ask site sites --limit 500)" -- "$cur"))
			fi
		else
			COMPREPLY=($(compgen -W "$options" -- "$cur"))
		fi ;;
	dkim)
		if ((cword == at + 1)); then
			COMPREPLY=($(compgen -W 'keygen check' -- "$cur"))
		elif [[ ${words[at+1]} == keygen && $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--selector --algorithm --out' -- "$cur"))
		fi ;;
	set|unset) _mtactl_set ;;
	clear)
		if ((cword == at + 1)) && [[ $cur != -* ]]; then
			COMPREPLY=($(compgen -W "$(_mtactl_ask site sites --limit 500)" -- "$cur"))
		else
			COMPREPLY=($(compgen -W '--source --json' -- "$cur"))
		fi ;;
	user)
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--reason --json' -- "$cur"))
		elif ((cword == at + 1)); then
			COMPREPLY=($(compgen -W 'list show lift sandbox' -- "$cur"))
		elif ((cword == at + 2)) && [[ $prev != list ]]; then
			COMPREPLY=($(compgen -W "$(_mtactl_ask user user)" -- "$cur"))
		fi ;;
	suppress)
		local act=${words[at+1]} options='--scope --reason --json'
		case $act in
		add|allow|import) options+=' --expire --note' ;;
		list) options+=' --limit' ;;
		show) options='--json' ;;
		remove) options='--scope --json' ;;
		esac
		if [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W "$options" -- "$cur"))
		elif ((cword == at + 1)); then
			COMPREPLY=($(compgen -W 'list show add allow remove import export' -- "$cur"))
		elif [[ $act == import || $act == export ]]; then
			compopt -o filenames 2>/dev/null
			COMPREPLY=($(compgen -f -- "$cur"))
		elif [[ $act == show || $act == remove ]]; then
			COMPREPLY=($(compgen -W "$(_mtactl_ask address suppress list)" -- "$cur"))
		fi ;;
	warmup)
		if [[ ${words[at+1]} == plan && $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--curve --volumes --volume --providers --start --svg --plain --json' -- "$cur"))
		elif ((cword > at + 1)) && [[ ${words[at+1]} != -* && $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--reason --yes --json' -- "$cur"))
		elif [[ $cur == -* ]]; then
			COMPREPLY=($(compgen -W '--source --provider --history --svg --plain --json' -- "$cur"))
		elif ((cword == at + 1)); then
			COMPREPLY=($(compgen -W 'plan hold release skip restart finish' -- "$cur"))
		elif ((cword == at + 2)) && [[ ${words[at+1]} != plan && ${words[at+1]} != -* ]]; then
			_mtactl_warmups
		elif ((cword == at + 3)) && [[ ${words[at+1]} != plan && ${words[at+1]} != -* ]]; then
			COMPREPLY=($(compgen -W "$(_mtactl_ask group warmup)" -- "$cur"))
		fi ;;
	*) [[ $cur == -* ]] && COMPREPLY=($(compgen -W '--json' -- "$cur")) ;;
	esac
}

complete -F _mtactl mtactl
