#!/bin/sh
# A person who pastes what README.md says has a ledger with a message in it.
# SPDX-License-Identifier: Apache-2.0

# shellcheck source=tests/command.sh
. "${top_srcdir:?}/tests/command.sh"
use_plugins
needs source_file format_ledger sink_sqlite

said=README.md
awk '/^```/ { inside = /^```sh/; block = ""; next }
     inside { block = block $0 "\n"
	      if (/dead-letters list/) printf "%s", block }' \
    "$top_srcdir/README.md" >"$work/pasted"
[ "$(wc -l <"$work/pasted")" -gt 15 ] || complain 'it has the commands'
[ "$(sed -n '/^sources:/,/^END/p' "$work/pasted" | wc -l)" -eq 13 ] ||
	complain 'the configuration has twelve lines'

PATH=$top_builddir/core:$PATH
export PATH
(cd "$work" && sh -e pasted) >"$work/out" 2>"$work/err" ||
	complain 'every command works'
says out 'ok       configuration'
says out 'openai'
says out 'No dead letters.'
says err 'read=1 stored=1'
exit $status
