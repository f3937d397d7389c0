#!/bin/sh
# The units make sense to systemd, and the service is confined as far as it
# goes: 1.5 or less of what `systemd-analyze security` calls exposure.
# SPDX-License-Identifier: Apache-2.0

: "${top_builddir:?}" "${top_srcdir:?}"
command -v systemd-analyze >/dev/null || {
	echo 'skipped: no systemd-analyze'
	exit 77
}
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
status=0

cp "$top_builddir/etc/systemd/bursard.service" \
    "$top_srcdir/etc/systemd/bursard.socket" "$work"
systemd-analyze security --no-pager --offline=true --threshold=15 \
    "$work/bursard.service" >"$work/out" 2>"$work/err"
case $?,$(cat "$work/err") in
0,*)	grep 'Overall exposure' "$work/out" ;;
*offline*)
	echo 'skipped: systemd-analyze knows no --offline'
	exit 77 ;;
*)	echo 'FAILED: the service is more exposed than 1.5'
	cat "$work/out" "$work/err"
	status=1 ;;
esac

# The programs are not where they will be; all else that it says counts.
sed -i "s,^ExecStart=[^ ]*,ExecStart=/bin/true," "$work/bursard.service"
systemd-analyze verify --man=no "$work/bursard.service" \
    "$work/bursard.socket" >"$work/out" 2>&1
if grep -E '/(bursard\.(service|socket)):' "$work/out"; then
	echo 'FAILED: systemd does not like the units'
	status=1
fi
exit $status
