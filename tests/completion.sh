#!/bin/sh
# The shell completes what the command's own tables hold: commands, every
# option of each, choices, words after a command, and plugins.
# SPDX-License-Identifier: Apache-2.0

# shellcheck source=tests/command.sh
. "${top_srcdir:?}/tests/command.sh"
use_plugins
command -v bash >/dev/null || { echo 'skipped: no bash'; exit 77; }
bursard=${top_builddir:?}/core/bursard

# complete WORD...: the completions of the last word, in $work/out.
complete()
{
	said="completing $*"
	bash -c '. "$1/etc/completions/bursar" && . "$1/etc/completions/bursard" ||
		exit 1
	shift
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	_${1##*/}
	[ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}"' \
	    bash "$top_srcdir" "$@" 2>"$work/err" | sort >"$work/out"
	keeps_quiet err
}

# Whether exactly these were offered.
offers()
{
	printf '%s\n' "$@" | sort >"$work/wanted"
	cmp -s "$work/wanted" "$work/out" || complain "$said: not $*"
}

# The long options in a help text.
long_options()
{
	sed -n 's/^  .*\(--[a-z-]*\).*/\1/p' | grep -v '^--$' | sort
}

commands=$("$bursar" help | sed -n 's/^  \([a-z-]*\) .*/\1/p')
[ -n "$commands" ] || { echo 'FAILED: no commands'; status=1; }
# shellcheck disable=SC2086
for before in '' '-c x' 'help' '-c x help'; do
	complete "$bursar" $before ''
	[ "$before" != "${before%help}" ] && offers $commands ||
		offers $commands help
done
complete "$bursar" rep
offers $(printf '%s\n' "$commands" | grep '^rep')

for command in $commands; do
	complete "$bursar" "$command" --
	"$bursar" help "$command" | grep '^ \{2,6\}-' | long_options \
	    >"$work/wanted"
	[ -s "$work/wanted" ] && cmp -s "$work/wanted" "$work/out" ||
		complain "$said: not all of its options"
done

complete "$bursar" report --format ''
offers csv json table
complete "$bursar" report -f j
offers json
complete "$bursar" dead-letters ''
offers list show
complete "$bursar" report summary --by ''
[ ! -s "$work/out" ] || complain "$said: nothing is known"
one=$("$bursar" plugins --format csv | sed -n '2s/^[a-z]*,\([a-z0-9_]*\),.*/\1/p')
complete "$bursar" plugins "${one%?}"
grep -qx "$one" "$work/out" || complain "$said: not $one"
touch "$work/a-file"
complete "$bursar" -c "$work/a-f"
offers "$work/a-file"

complete "$bursard" --
"$bursard" --help | grep '^ \{2,6\}-' | long_options >"$work/wanted"
cmp -s "$work/wanted" "$work/out" || complain "$said: not all of its options"
exit $status
