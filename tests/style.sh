#!/bin/sh
# What no source may have: functions that cannot be used safely, white space at
# the end of a line, lines over 100 columns, no licence in the first line.
# SPDX-License-Identifier: Apache-2.0

cd "${top_srcdir:-.}" || exit 99
list=$(mktemp) || exit 99
trap 'rm -f "$list"' EXIT
find common core examples include man plugins tests \
    \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) -type f | sort >"$list"
[ "$(wc -l <"$list")" -ge 150 ] || { echo "too few sources"; exit 1; }

xargs awk '
function complain(what) { print FILENAME ":" FNR ": " what; bad = 1 }

function columns(line,    at, i) {
	for (i = 1; i <= length(line); i++) {
		if (substr(line, i, 1) == "\t")
			at += 8 - at % 8
		else
			at++
	}
	return at
}

FNR == 1 && $0 != "/* SPDX-License-Identifier: Apache-2.0 */" {
	complain("the first line is not that of the licence")
}
/[ \t\r]$/ {
	complain("white space at the end")
}
/(^|[^A-Za-z0-9_])(sprintf|strcpy|strcat|strtok|atoi|gets|localtime|gmtime)[ \t]*\(/ {
	complain("a function that this project does not use")
}
length($0) > 40 && columns($0) > 100 {
	complain("longer than 100 columns")
}
END { exit bad }
' <"$list" || exit 1
