#!/bin/sh
# What the texts name is there: files, folders, tests, and pages they link to.
# SPDX-License-Identifier: Apache-2.0

cd "${top_srcdir:?}" || exit 99
status=0

complain()
{
	echo "FAILED: $1"
	status=1
}

for text in README.md CONTRIBUTING.md SECURITY.md docs/*.md \
    docs/decisions/*.md; do
	[ -f "$text" ] || { complain "there is no $text"; continue; }
	# shellcheck disable=SC2016
	for path in $(grep -o '`[a-z]*/[a-zA-Z0-9_./-]*`' "$text" |
	    tr -d '`' | sort -u); do
		case $path in
		build*) continue ;;
		esac
		[ -e "$path" ] || complain "$text names $path"
	done
	# shellcheck disable=SC2013
	for link in $(grep -o '](\([^)]*\))' "$text" | sed 's/^](//; s/)$//' |
	    grep -v '^[a-z]*:' | sort -u); do
		page=$(dirname "$text")/${link%%#*}
		[ -n "${link%%#*}" ] || page=$text
		[ -e "$page" ] || complain "$text links to $link"
		case $link in
		*\#*)	sed -n 's/^##* //p' "$page" | tr 'A-Z ' 'a-z-' |
			    tr -cd 'a-z0-9\n-' | grep -qx -- "${link#*#}" ||
				complain "$text links to $link" ;;
		esac
	done
done

# The page on tests names them without their folder.
# shellcheck disable=SC2016
for name in $(grep -o '`[a-z_]*\.\(c\|h\|py\|sh\)`' docs/testing.md |
    tr -d '`' | sort -u); do
	[ -e "tests/$name" ] || [ -e "tests/bench/$name" ] ||
		complain "docs/testing.md names $name"
done

# shellcheck disable=SC2016
for test in $(sed -n '/^| what happened/,/^$/p' docs/architecture.md |
    grep -o '`[a-z_]*_[a-z_]*_[a-z_]*`' | tr -d '`' | sort -u); do
	grep -q "START_TEST($test)" tests/test_*.c || case $test in
	dq_flags|extra_json) ;;
	*) complain "docs/architecture.md names the test $test" ;;
	esac
done

# Every alarm is explained to those who have to act.
alarms=$(grep -rhE -A3 '(log_event|host->log)\(' core plugins |
    tr '\n' ' ' | sed 's/BURSAR_\(ERROR\|WARNING\)/\n&/g' |
    sed -n 's/^BURSAR_[A-Z]*[^"]*"\([a-z]*-[a-z-]*\)".*/\1/p' | sort -u)
[ -n "$alarms" ] || complain "found no alarms in the sources"
for alarm in $alarms; do
	grep -q "\`$alarm\`" docs/operating.md ||
		complain "docs/operating.md does not explain the event $alarm"
done
exit $status
