#!/bin/sh
# bursar budget: what it makes of the configuration and of the command line.
# SPDX-License-Identifier: Apache-2.0

# shellcheck source=tests/command.sh
. "${top_srcdir:?}/tests/command.sh"
use_plugins
needs sink_sqlite source_file
make_ledger=$top_builddir/tests/make_ledger
[ -x "$make_ledger" ] || exit 77
config=$work/bursar.yaml
"$make_ledger" "$work/ledger.db" 2000 >"$work/log" 2>&1 || exit 99

configure() # what stands under budgets:
{
	cat >"$config" <<END
sources:
  one: {plugin: file, path: $work/in, kind: metering}
sinks:
  books: {plugin: sqlite, path: $work/ledger.db}
state-dir: $work/state
budgets:
END
	cat >>"$config"
}

run() # STATUS ARGUMENT...
{
	want_status=$1
	shift
	exits "$want_status" -c "$config" "$@"
}

configure <<END
  research: {limit: 500, period: this-month, tz: Europe/Vienna}
  support:
    limit: 49.90
    period: week
    where: team=support
    threshold: 70
    exceeded: reached
END
run 0 check
run 0 budget list --format csv
says out 'research,500,0,500,false,false,0,this-month,0,0'
says out 'support,49.9,0,49.9,false,false,0,week,0,0'
run 0 budget list
says out 'left USD'
says out fine
for width in 60 80; do
	COLUMNS=$width
	export COLUMNS
	for form in list 'check research' forecast; do
		# shellcheck disable=SC2086
		run 0 budget $form
		[ "$(LC_ALL=C.UTF-8 wc -L <"$work/out")" -le $width ] ||
			complain "$said: wider than $width"
	done
done
unset COLUMNS
run 0 budget check research --format json
says out '"report":"budget-check","since":"'
says out '"budget_id":"research","budget_usd":500,"spent_usd":0,"remaining_usd":500,"exceeded":false,"threshold_reached":false'
run 0 budget check nobody --limit 5
run 0 budget forecast --format csv
says out 'support,0,0,30,flat,week,49.9,0,0,0,-49.9,'
run 0 budget forecast nobody --format csv
says out flat

# Nothing spent of nothing: the threshold is reached, the limit not passed.
run 0 budget check nobody --limit 0 --format json
says out '"exceeded":false,"threshold_reached":true'
run 3 budget check support --limit 0 --format json
says out '"exceeded":true'

run 0 budget check support --where provider=openai --limit 1000 \
    --since 2026-03-01 --until 2026-04-01 --format csv
spent=$(sed -n '2s/^[^,]*,[^,]*,\([^,]*\),.*/\1/p' "$work/out")
run 0 report summary --where provider=openai --format csv
says out ",$spent,"
run 2 budget check research --period day --since 2026-03-01

for wrong in 'check' 'check nobody' 'check a b' 'list a' 'forecast a b' 'buy' '' \
    'check research --limit much' 'check research --limit -5' \
    'check research --limit 1.0000000001' 'check research --period fortnight' \
    'check research --tz Europe/Wien' 'check research --where team' \
    'check research --where cost_usd=5' 'check research --threshold 0' \
    'check research --sink nothing' 'list --limit 99999999999999999999' \
    'forecast --days 0'
do
	# shellcheck disable=SC2086
	run 2 budget $wrong
	keeps_quiet out
done

# What is wrong is told with its line, all at once.
configure <<END
  a: {limit: much}
  b: {period: month}
  c: {limit: 5, period: fortnight}
  d: {limit: 5, tz: Europe/Wien}
  e: {limit: 5, where: team}
  f: {limit: 5, where: cost_usd=3}
  g: 5
  h: {limit: 5, treshold: 3}
  i: {limit: -5}
END
run 2 budget list
says err "$config:7: budget 'a': 'limit' is an amount in dollars"
says err "$config:8: budget 'b'"
says err "$config:9: budget 'c'"
says err "$config:10: budget 'd': unknown time zone 'Europe/Wien'"
says err "$config:11: budget 'e': 'where' is FIELD=VALUE"
says err "$config:12: budget 'f': where: there is no field 'cost_usd'"
says err "$config:13: budget 'g': write {limit: DOLLARS"
says err "$config:14: "
says err "did you mean 'threshold'"
says err "$config:15: budget 'i': 'limit' is an amount"
configure <<END
  - a
END
run 2 budget list
says err "'budgets' is a map"

exit $status
