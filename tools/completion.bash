# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# Completion of ringq's command line in bash: commands, their options, the names of the rings
# that there are (those in memfds can be listed), and files.

_ringq_names() {
	sed -n 's|.* @ringq/\([^/]*\)/[0-9a-f]\{16\}$|\1|p' /proc/net/unix 2>/dev/null | sort -u
}

_ringq() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} options="--help --usage --version" files=0 i

	COMPREPLY=()
	# Bash takes --memory=auto apart at the "=".
	if [ "$cur" = "=" ]; then
		cur=
	elif [ "$prev" = "=" ]; then
		prev=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	if [ "$prev" = --memory ] || [ "$prev" = -m ]; then
		mapfile -t COMPREPLY < <(compgen -W "auto device memfd" -- "$cur")
		return
	fi
	if [ "$prev" = --file ] || [ "$prev" = -f ]; then
		compopt -o default
		return
	fi
	if [ "$COMP_CWORD" -eq 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "send recv job demo ls stat repair info bench $options" -- "$cur")
		return
	fi
	case $command in
	send | recv) options="$options --memory= --capacity= --timeout=" ;;
	job | demo | bench) options="$options --memory=" ;;
	esac
	case $command in
	stat) options="$options --file= --over= --watch --json" ;;
	repair) options="$options --file=" ;;
	ls | info | bench) options="$options --json" ;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
		[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
		return
	fi
	for ((i = 2; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -?* || ${COMP_WORDS[i]} == "=" || ${COMP_WORDS[i - 1]} == "=" ]] ||
			files=$((files + 1))
	done
	case $command in
	send | recv)
		if [ $files -eq 0 ]; then
			mapfile -t COMPREPLY < <(compgen -W "$(_ringq_names)" -- "$cur")
		elif [ $files -eq 1 ]; then
			compopt -o default
		fi
		;;
	stat | repair) mapfile -t COMPREPLY < <(compgen -W "$(_ringq_names)" -- "$cur") ;;
	job) [ $files -eq 0 ] && compopt -o default ;;
	bench) mapfile -t COMPREPLY < <(compgen -W "spsc many wake death parts" -- "$cur") ;;
	esac
}

complete -F _ringq ringq
