#!/bin/sh
# What asks the ledger and looks after it: report, verify, purge, export, backup.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
needs sink_sqlite
BURSAR_PLUGIN_PATH=$BURSAR_PLUGIN_PATH:$top_builddir/tests/modules
make_ledger=$top_builddir/tests/make_ledger
[ -x "$make_ledger" ] || exit 77
ledger=$work/ledger.db

configure() # retention
{
	cat >"$work/bursar.yaml" <<END
sources:
  one: {plugin: sound, place: here, format: sound}
sinks:
  books: {plugin: sqlite, path: $ledger}
  other: {plugin: moody, mood: fine}
routes:
  - {kinds: [metering, prompt, tool], sinks: [books]}
  - {kinds: [tool], sinks: [other]}
book: books
retention: {$1}
state-dir: $work/state
END
}
configure "default-days: 90"

new_ledger() # facts
{
	rm -f "$ledger" "$ledger"-*
	"$make_ledger" "$ledger" "$1" >"$work/log" 2>&1 || {
		cat "$work/log"
		exit 99
	}
}

change() # SQL, behind the ledger's back
{
	"$make_ledger" "$ledger" sql "$1" >"$work/log" 2>&1 || {
		cat "$work/log"
		exit 99
	}
}

run() # STATUS ARGUMENT...
{
	want_status=$1
	shift
	exits "$want_status" -c "$work/bursar.yaml" "$@"
}

# Whether the last run printed exactly this on a line.
line()
{
	grep -qxF -- "$1" "$work/out" || complain "$said: no line: $1"
}

# --- a ledger that is not there ---------------------------------------------

run 1 report summary
says err "$ledger"
[ ! -e "$ledger" ] || complain "report made a ledger"

# Who asks did nothing wrong where the file is no ledger, or another one's.
echo 'no database, and long enough not to be an empty one' >"$ledger"
run 1 report summary
says err 'not an SQLite database'
grep -q 'bursar help' "$work/err" && complain "$said: a question that was right"
run 1 budget check any --limit 5
rm "$ledger"

# --- report ------------------------------------------------------------------

new_ledger 2000

run 0 report summary --format json
line '{"report":"summary","since":null,"until":null,"rows":['
says out '"request_count":2000,"error_count":40,"unpriced_count":286'

run 0 report summary --by provider --format csv
[ "$(sed -n '2s/,.*//p' "$work/out")" = anthropic ] ||
	complain "$said: not the most expensive first"
[ "$(wc -l <"$work/out")" -eq 6 ] || complain "$said: not five groups"

run 0 report summary --by provider
says out '(unknown)'
says out total
says err 'have no known cost'

run 0 report summary --by provider,model_id --limit 2
says out '(5 others)'

# The same in whole quarter hours, and cut out of them.
run 0 report summary --by worker --format csv
cp "$work/out" "$work/all"
run 0 report summary --by worker_id --format csv --since 2026-03-01 \
    --until 2026-03-02T09:20:00Z
cmp -s "$work/all" "$work/out" || complain "$said: differs from all time"

# A text that a spreadsheet would run.
run 0 report summary --by team --format csv
says out "\"'=1+1\","
run 0 report summary --by team --format json
says out '"team":"=1+1"'
says out '"team":null'

run 0 report summary --by conversation_id --limit 1 --format csv
[ "$(wc -l <"$work/out")" -eq 2 ] || complain "$said: not one group"

# 23 hours of a day in Vienna that has no 2 o'clock, once a minute.
rm -f "$ledger" "$ledger"-*
"$make_ledger" "$ledger" 60000 >/dev/null 2>&1
run 0 report summary --format json --tz Europe/Vienna --since 2026-03-29 \
    --until 2026-03-30
says out '"since":"2026-03-29T00:00:00+01:00","until":"2026-03-30T00:00:00+02:00"'
says out '"request_count":1380,'

run 0 report summary --period hour
run 0 report summary --period last-month --sink books

for wrong in '--tz Europe/Wien' '--period fortnight' '--since yesterday' \
    '--by cost_usd' '--by a,b,c,d' '--limit 0' '--sink nothing' \
    '--since 2026-03-02 --until 2026-03-01' '--period day --since 2026-03-01' \
    '--sink other'
do
	run 2 report summary $wrong
	keeps_quiet out
done
for wrong in '--by day,hour' '--by worker,worker_id' '--where worker' \
    '--where cost_usd=1' '--compare' '--compare --period day --by hour' \
    '--by hour --since 2020-01-01'
do
	run 2 report summary $wrong
	keeps_quiet out
done
for wrong in -1 0 100001 99999999999999999999 1x ''; do
	run 2 report calls --limit "$wrong"
	says err '--limit'
	keeps_quiet out
done
run 0 report calls --limit 100000 --format csv
run 0 report top --limit 1 --since 2026-03-01 --format csv
[ "$(wc -l <"$work/out")" -eq 2 ] || complain "$said: not one"
# An export has no end but that of the ledger.
run 0 export --kind metering --format csv
[ "$(wc -l <"$work/out")" -eq 60001 ] || complain "$said: not every record"
run 2 report
run 2 report nothing
says err 'overview, summary'
run 2 report worker
says err 'needs a WORKER'
run 2 report team red blue
run 2 report payroll --by team
run 0 report list
says out 'team TEAM'

# Every report prints something of March, in every format.
for name in $("$bursar" report list --format csv |
    sed -n '2,$s/^\([a-z-]*\),\([A-Z]*\),.*/\1:\2/p'); do
	of=
	[ "${name#*:}" = "" ] || of='=1+1'
	for format in json csv table; do
		run 0 report "${name%:*}" ${of:+"$of"} --format $format \
		    --since 2026-03-01 --until 2026-04-01
		[ -s "$work/out" ] || complain "$said: nothing"
	done
done

# And fits the terminal, small ones too.
for width in 60 80 120; do
	COLUMNS=$width
	export COLUMNS
	for name in overview 'summary --by provider --compare' top daily \
	    health circuit cost-drivers calls 'provider openai' payroll; do
		# shellcheck disable=SC2086
		run 0 report $name --since 2026-03-01 --until 2026-04-01
		wide=$(LC_ALL=C.UTF-8 wc -L <"$work/out")
		[ "$wide" -gt 0 ] && [ "$wide" -le $width ] ||
			complain "$said: $wide columns of $width"
	done
done
unset COLUMNS

# 23 hours, each with its name.
run 0 report summary --by hour --tz Europe/Vienna --since 2026-03-29 \
    --until 2026-03-30 --format csv
[ "$(wc -l <"$work/out")" -eq 24 ] || complain "$said: not 23 hours"
says out '2026-03-29T03:00:00+02:00,'
keeps_quiet err
run 0 report summary --by provider --period last-month --compare --format json
says out '"previous_since":"'
run 2 report summary more

# --- verify ------------------------------------------------------------------

new_ledger 300
run 0 verify
says out 'checked 300 facts'
says out 'the ledger agrees with itself'
run 0 verify --format json
says out '"places":0'

change "DELETE FROM metering_records WHERE message_id = 'meter-00000100'"
run 3 verify
says out "rollup_cells: all, 2026-03-01T01:30:00Z, "
says out ": request_count is "
says out 'places differ'

new_ledger 300
change "UPDATE prompt_records SET response_json = '\"no\"' WHERE message_id = 'prompt-1'"
run 3 verify
says out "message_id 'prompt-1': its columns are not those that were stored"
run 3 verify --format json
says out '"check":"row","table":"prompt_records"'

new_ledger 300
change "UPDATE rollup_cells SET cost_nano = cost_nano + 1 WHERE dimension = 'node' AND value = 'node-05'"
run 3 verify
says out "rollup_cells: node 'node-05', "
says out ": cost_nano is "
run 2 verify --sink nothing
run 2 verify more

# A writer at work makes no difference.
rm -f "$ledger" "$ledger"-*
change 'SELECT 1'
"$make_ledger" "$ledger" 20000 >/dev/null 2>&1 &
writer=$!
for i in 1 2 3 4 5; do
	run 0 verify
done
wait $writer

# --- export ------------------------------------------------------------------

new_ledger 1300
run 0 export
[ "$(wc -l <"$work/out")" -eq 1302 ] || complain "$said: not every record"
says out '{"kind":"metering","key":"'
says out '"recorded_at":"2026-03-01T00:00:00Z"'
says out '"content_check":"000000000000004d"'
says out '"cost_usd":0.00548848'
if grep -q 'secret answer\|line.nbreak' "$work/out"; then
	complain "$said: has bodies"
fi
if command -v python3 >/dev/null; then
	python3 -c 'import json, sys
for line in sys.stdin: json.loads(line)' <"$work/out" ||
		complain "$said: not JSON"
fi

run 0 export --kind prompt --bodies
[ "$(wc -l <"$work/out")" -eq 1 ] || complain "$said: not what has not expired"
says out '"request_json":"{\"ask\": \"line\\nbreak €\"}"'
says out 'secret answer'

run 0 export --kind tool --format csv
says out ",\"'@shell\","
run 0 export --kind metering --format csv --since 2026-03-01T00:10:00Z \
    --until 2026-03-01T00:20:00Z
[ "$(wc -l <"$work/out")" -eq 11 ] || complain "$said: not ten records"

run 2 export --format csv
run 2 export --kind nothing
run 2 export --format xml

# A reader that goes away is nothing to shout about.
"$bursar" -c "$work/bursar.yaml" export 2>"$work/err" | head -n 1 >"$work/out"
said='bursar export | head'
keeps_quiet err

# --- backup ------------------------------------------------------------------

# Where files may not grow; then after one that was killed.
(ulimit -f 300; run 1 backup "$work/copy.db"; says err 'File too large'
exit $status) || status=1
[ ! -e "$work/copy.db" ] || complain "half a backup has its name"
[ ! -e "$work/copy.db.part" ] || complain "half a backup is left"
head -c 5000000 /dev/zero >"$work/copy.db.part"
run 0 backup "$work/copy.db"
[ ! -e "$work/copy.db.part" ] || complain "a part is left"
says out "$work/copy.db: "
run 1 backup "$work/copy.db"
says err 'is there already'
run 2 backup
cp "$work/copy.db" "$ledger"
rm -f "$ledger"-*
run 0 verify
says out 'checked 1300 facts'

# --- hold --------------------------------------------------------------------

for value in 007 +7 ' 7' 7x 99999999999999999999; do
	run 2 hold add case --reason why --where "input_tokens=$value"
	says err 'no value of that field'
done

# --- purge -------------------------------------------------------------------

# One prompt expired long ago, but came in when it had.
run 3 purge
says err 'bursar purge --force'
run 0 purge --dry-run --format csv
line "bodies,1$(printf '\r')"
run 0 export --kind metering
kept=$(wc -l <"$work/out")

run 0 purge --force --format csv
line "bodies,1$(printf '\r')"
line "facts,0$(printf '\r')"
run 0 purge
run 0 export --kind metering
[ "$(wc -l <"$work/out")" -eq "$kept" ] || complain "purge took facts"
run 0 verify

configure "facts-days: 1"
run 3 purge
run 0 purge --force --format json
says out '"what":"facts","rows":1300'
run 0 verify
says out 'are closed'
run 0 report summary --by provider --format json
says out '"request_count"'
run 0 report summary --by conversation_id --format json
says out '"incomplete_before"'
run 2 purge --dry-run --force

exit $status
