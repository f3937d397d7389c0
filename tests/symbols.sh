#!/bin/sh
# No function of ours bears the name of one in a library that it may be linked
# with: the program would call one for the other.
# SPDX-License-Identifier: Apache-2.0

status=0
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
command -v nm >/dev/null || { echo 'skipped: no nm'; exit 77; }
program=$top_builddir/core/.libs/bursar
[ -f "$program" ] || program=$top_builddir/core/bursar

nm --defined-only "$top_builddir"/common/.libs/*.a \
    "$top_builddir"/core/.libs/*.a 2>/dev/null |
    sed -n 's/^[0-9a-f]* [TDBRC] //p' | sort -u >"$work/ours"
[ -s "$work/ours" ] || { echo 'FAILED: no functions of ours'; exit 1; }

libraries=$(ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p')
[ -n "$libraries" ] || { echo 'skipped: no ldd'; exit 77; }
for library in $libraries; do
	case $library in
	*asan*|*ubsan*|*tsan*|*/libstdc++*) continue ;;
	esac
	nm -D --defined-only "$library" |
	    sed -n 's/^[0-9a-f]* [TDBRCW] \([^@]*\).*/\1/p' |
	    sort -u >"$work/theirs"
	both=$(comm -12 "$work/ours" "$work/theirs")
	[ -z "$both" ] || {
		echo "FAILED: also in $library:" $both
		status=1
	}
done
exit $status
