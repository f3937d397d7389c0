#!/bin/sh
# bursar team: the files that it reads, and what it makes of the command line.
# SPDX-License-Identifier: Apache-2.0

# shellcheck source=tests/command.sh
. "${top_srcdir:?}/tests/command.sh"
use_plugins
needs sink_sqlite source_file
make_ledger=$top_builddir/tests/make_ledger
[ -x "$make_ledger" ] || exit 77
config=$work/bursar.yaml
"$make_ledger" "$work/ledger.db" 20 >"$work/log" 2>&1 || exit 99
cat >"$config" <<END
sources:
  one: {plugin: file, path: $work/in, kind: metering}
sinks:
  books: {plugin: sqlite, path: $work/ledger.db}
state-dir: $work/state
END

run() # STATUS ARGUMENT...
{
	want_status=$1
	shift
	exits "$want_status" -c "$config" "$@"
}

# Reads the file from standard input; leaves what was said in out and err.
import() # STATUS NAME
{
	cat >"$work/$2"
	run "$1" team import "$work/$2" --replace
}

counts() # "worker,team" ...: what counts now, each of them
{
	run 0 team list --format csv
	sed '1d;s/,20[0-9T:Z-]*,.*//' "$work/out" >"$work/has"
	printf '%s\n' "$@" | cmp -s - "$work/has" ||
		complain "counts: $(cat "$work/has")"
}

# --- files ---------------------------------------------------------------------

printf 'ann,red\nbob,"blue, and ""green"""\r\n\n"new\nline",red' |
    import 0 plain.csv
says out '3 workers changed'
run 0 team list red --format json
says out '"worker":"new\nline"'
printf '\357\273\277name,team,worker\nx,red,ann\ny,red,bob\n' |
    import 0 heading.csv
says out 'bob: red, was blue, and "green"'
says out 'new\nline: no team, was red'
counts ann,red bob,red
echo '{"blue": ["ann", "bob", "ann"], "red": []}' | import 0 by-team.json
counts ann,blue bob,blue
echo '{"ann": "red", "bob": "blue"}' | import 0 by-worker.json
counts ann,red bob,blue
echo '[{"worker": "eve", "team": "ü", "since": 5}]' | import 0 list.json
counts eve,ü
run 0 team list --format json
cp "$work/out" "$work/printed"
import 0 again.json <"$work/printed"
says out '0 workers changed'
printf '' | import 0 empty
says out '1 worker changed'
run 0 team list --format csv
says out 'worker,team,since,by'
[ "$(wc -l <"$work/out")" -eq 1 ] || complain 'somebody is left'

# --- what is wrong with a file; nothing is changed by it ------------------------

run 0 team set red ann
wrong() # NAME TEXT, the file from standard input
{
	import 1 "$1"
	says err "$work/$1: $2"
	keeps_quiet out
}
printf 'ann,red\nbob\n' | wrong one.csv 'line 2: it is not WORKER,TEAM'
printf 'ann,red\n\nbob,\n' | wrong none.csv 'line 3: no team is named'
printf ',red\n' | wrong nobody.csv 'line 1: a worker needs a name'
printf 'ann,red\nbob,"red\n' | wrong quote.csv 'line 3: a quote is not closed'
printf '"ann"x,red\n' | wrong behind.csv 'line 1: something stands behind'
printf 'ann,red\nann,blue\n' |
    wrong twice.csv "the worker 'ann' is given two teams"
printf 'ann,\377\n' | wrong bytes.csv 'line 1: the name of a team is text'
printf '%0201d,red\n' 1 | wrong long.csv 'line 1: the name of a worker has at'
printf '{"ann": 5}' | wrong five.json "'ann' is neither"
printf '{"red": ["ann", 5]}' | wrong list.json "the team 'red' has a list"
printf '[{"worker": "ann"}]' | wrong member.json 'each member of the list is'
printf '{"ann": "red",\n' | wrong cut.json 'line 2: '
printf '{"ann": "red", "ann": "red"}' | wrong double.json 'line 1: duplicate'
counts ann,red
run 1 team import "$work/not-there"
says err "$work/not-there: No such file or directory"

# --- the command line ------------------------------------------------------------

for wrong in '' 'set' 'set red' 'remove' 'import' 'import a b' 'list a b' \
    'frob' 'set red ann --replace' 'set red ann --sink nope'; do
	# shellcheck disable=SC2086
	run 2 team $wrong
	keeps_quiet out
done
run 2 team set '' ann
run 0 team set blue ann --dry-run
says out 'ann: blue, was red'
says out '1 worker would change'
counts ann,red
run 0 team remove ann
says out 'ann: no team, was red'
exit $status
