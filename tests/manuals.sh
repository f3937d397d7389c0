#!/bin/sh
# Every command and every plugin has a page, every option is on it, and the
# formatters have no complaint.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
pages=$top_builddir/man/pages
[ -e "$pages/made" ] || { echo 'skipped: cross-compiled'; exit 77; }

has() # page, what must stand there, as roff has it
{
	[ -f "$pages/$1" ] || { echo "FAILED: no page $1"; status=1; return; }
	grep -qF -- "$2" "$pages/$1" || {
		echo "FAILED: $1 lacks $2"
		status=1
	}
}

roff()
{
	printf '%s' "$1" | sed 's/-/\\-/g'
}

commands=$("$bursar" help | sed -n 's/^  \([a-z-]*\) .*/\1/p')
[ -n "$commands" ] || { echo 'FAILED: no commands'; status=1; }
for command in $commands; do
	has bursar.1 "\\fB$(roff "$command")\\fR"
	for option in $("$bursar" help "$command" |
	    sed -n 's/^  .*--\([a-z-]*\).*/\1/p'); do
		has "bursar-$command.1" "$(roff "--$option")"
	done
done

plugins=$("$bursar" plugins --format csv |
    sed -n '2,$s/^\([a-z]*\),\([a-z0-9_]*\),.*/\1_\2/p')
for plugin in $plugins; do
	page=bursar-$(printf '%s' "$plugin" | sed 's/_/-/').5
	for option in $("$bursar" plugins "$plugin" |
	    sed -n 's/^  \([a-z][a-z0-9-]*\)\(, also.*\)*$/\1/p'); do
		has "$page" "\\fB$(roff "$option")"
	done
done
for section in sources crypto formats sinks services routes retention \
    dead-letters prices; do
	has bursar.yaml.5 ".SS $(roff "$section")"
done
for option in state-dir batch-records default-days max-size; do
	has bursar.yaml.5 "\\fB$(roff "$option")\\fR"
done

for page in "$pages"/*.[15] "$top_srcdir"/man/*.8; do
	if command -v mandoc >/dev/null; then
		mandoc -Tlint -W warning "$page" || status=1
	fi
	if command -v groff >/dev/null; then
		groff -man -Tutf8 -ww -z "$page" 2>"$work/groff" || status=1
		[ ! -s "$work/groff" ] || { cat "$work/groff"; status=1; }
	fi
done
exit $status
