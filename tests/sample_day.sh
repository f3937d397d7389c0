#!/bin/sh
# The sample day: it can be run from any folder and again, reads well on a
# terminal of 80 columns, and says what became of every message.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
needs source_file format_ledger sink_sqlite crypto_sodium

BURSAR_BUILD=$top_builddir
export BURSAR_BUILD
day=$top_srcdir/etc/sample-day
said='sample day'

cd "$work" || exit 99
for time in first second; do
	"$day/run" >out 2>err || complain "it runs a $time time"
	keeps_quiet err
done
says out '  metering      245      240            2           1         2'
says out '  audit          60       60            0           0         0'
says out '18 prompts came encrypted'
for word in anthropic malformed id-conflict; do
	says out "$word"
done
[ "$(wc -l <out)" -le 40 ] || complain 'it fits a screen'
grep -v "$top_builddir" out | sed 's/…/./g' | grep -q '.\{81\}' &&
	complain 'its lines fit a terminal'

# The commands that it names do what they say.
sed -n '/^To go on/,$s/^  //p' out >next
[ "$(wc -l <next)" -eq 3 ] || complain 'it names three commands'
while read -r command; do
	said=$command
	sh -c "$command" >out 2>err || complain 'it works'
	[ -s out ] || complain 'it prints something'
done <next

if command -v python3 >/dev/null; then
	mkdir made
	said='make.py'
	python3 "$day/make.py" made >out 2>err || complain 'it writes the day'
	for file in made/*; do
		cmp -s "$file" "$day/${file#made/}" ||
			complain "${file#made/} is what make.py writes"
	done
fi
exit $status
