#!/bin/sh
# The sample configuration is accepted as it is shipped, and with every setting
# in it switched on; every option of the core stands in it.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
needs source_file source_http format_ledger sink_sqlite crypto_cluster \
    crypto_sodium crypto_vault service_web

mkdir -m 0700 "$work/state" "$work/etc"
sed -e "s,/var/lib/bursar,$work/state,; s,/etc/bursar,$work/etc," \
    "$top_srcdir/etc/bursar.yaml" >"$work/plain.yaml"
exits 0 -c "$work/plain.yaml" check

# A ledger that cannot be made is told from one that is not made yet.
sed "s,$work/state/ledger.db,$work/none/ledger.db," "$work/plain.yaml" \
    >"$work/nowhere.yaml"
exits 1 -c "$work/nowhere.yaml" check
says out 'no folder'
says out '-> make the folder'

sed -e 's,^#  ,  ,' -e 's,^#\([a-z]\),\1,' "$work/plain.yaml" >"$work/full.yaml"
printf '%064d\n' 12345678 >"$work/etc/cluster-secret"
printf 'secret 1 %s\n' \
    "$(head -c 32 /dev/urandom | base64)" >"$work/etc/keys"
echo hvs.none >"$work/etc/vault-token"
cp "$top_srcdir/etc/prices.json" "$work/etc/prices.json"
chmod 0600 "$work/etc"/*
"$bursar" -c "$work/full.yaml" check >"$work/out" 2>"$work/err"
[ $? -ne 2 ] || complain 'every setting in the sample is accepted'

for option in $(sed -n 's/^\.TP$//; s/^\\fB\([a-z\\-]*\)\\fR$/\1/p' \
    "$top_builddir/man/pages/bursar.yaml.5" | sed 's/\\-/-/g'); do
	grep -q "[ #{]$option:\|^$option:" "$work/full.yaml" ||
		complain "the sample lacks $option"
done
exit $status
