#!/bin/sh
# bursar, bursar help and bursar plugins: what they print and how they end.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_test_modules

# The command itself.
exits 2
says err 'name a command'
keeps_quiet out
exits 0 --help
says out 'Usage: bursar [-c FILE] COMMAND'
says out '  plugins '
keeps_quiet err
exits 0 --version
says out 'bursar '
exits 0 help
says out '  check '
exits 0 help plugins
says out 'Usage: bursar [-c FILE] plugins [NAME]'
says out '  -f, --format table|json|csv'
exits 2 help plugin
says err "is 'plugins' meant?"
exits 2 plugin
says err "no command 'plugin'; is 'plugins' meant?"
exits 2 xyzzy
says err "no command 'xyzzy'"
exits 2 --colour
keeps_quiet out

# Options of a command.
exits 0 plugins -h
says out 'Usage: bursar [-c FILE] plugins [NAME]'
exits 0 plugins --version
says out 'bursar '
exits 2 plugins --fromat json
says err 'unknown or ambiguous option --fromat; did you mean --format?'
exits 2 plugins -x
says err 'unknown option -x'
exits 2 plugins --format
says err '--format needs a value'
exits 2 plugins --format=xml
says err "--format is table, json or csv, not 'xml'"
exits 2 plugins --help=yes
says err '--help takes no value'
exits 2 plugins a b
says err 'See `bursar help plugins`.'

# All plugins, sound and broken.
exits 0 plugins
says out 'sink     sound  takes everything'
says out "sink no_write: "
says out "has no operation 'write'"
says out 'undefined symbol: nobody_has_this'
exits 0 plugins --format json
says out '{"report":"plugins","rows":['
says out '"kind":"sink","name":"sound","summary":"takes everything"'
says out '"name":"old","summary":null'
exits 0 plugins --format csv
says out 'kind,name,summary,path,problem'
says out 'sink,sound,"takes everything",'

# One of them.
exits 0 plugins moody
says out 'sink moody - opens when it likes'
says out 'crypto moody - opens when it likes'
says out 'choice, fine|absent|locked|forbidden, default fine'
says out 'key, also as -file:'
exits 0 plugins sink_moody
says out 'Options of every sink:'
says out 'How it is today.'
! grep -q '^crypto moody' "$work/out" || complain 'sink_moody is one'
exits 0 plugins source_sound
says out 'text, required'
exits 0 plugins sound
says out 'number, 1 to 9, default 3'
says out 'Nothing stays.'
says out '      one: {plugin: sound}'
exits 0 plugins --format json moody
says out '"name": "moody"'
says out '"choices": "fine|absent|locked|forbidden"'
exits 0 plugins clock
says out '  bursar_plugin_ticks_total'
says out '      Ticks.'
exits 0 plugins --format json clock
says out '"name": "bursar_plugin_ticks_total"'
exits 2 plugins --format csv sound
exits 1 plugins soundd
says err "is 'sound' meant?"
exits 1 plugins quicksilver
says err 'install the package'
exits 1 plugins ../sound
says err 'is not the name of a plugin'
exits 1 plugins no_write
says err "has no operation 'write'"

# What cannot be written was not done.
"$bursar" plugins >/dev/full 2>"$work/err"
[ $? -eq 1 ] || complain 'a full disk is a failure'
"$bursar" help >/dev/full 2>"$work/err"
[ $? -eq 1 ] || complain 'a full disk is a failure for help as well'
says err 'cannot write'
exit $status
