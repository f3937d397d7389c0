#!/bin/sh
# bursar check: one line for each part, the worst of them as exit status, and
# nothing made or changed by looking.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_test_modules
mkdir -m 0700 "$work/state"

# Writes a configuration: state-dir, mood of the sink, mood of the crypto.
configure()
{
	cat >"$work/bursar.yaml" <<END
sources:
  one: {plugin: sound, place: here, format: sound, crypto: lock}
crypto:
  lock: {plugin: moody, mood: $3}
sinks:
  ledger: {plugin: moody, mood: $2}
state-dir: $work/$1
END
}

configure state fine fine
exits 0 -c "$work/bursar.yaml" check
says out "ok       configuration: $work/bursar.yaml"
says out 'ok       clock: 20'
says out "ok       state-dir: $work/state"
says out "ok       crypto 'lock': moody"
says out "ok       sink 'ledger': moody"
says out "ok       source 'one': sound"
keeps_quiet err
exits 0 check -c "$work/bursar.yaml"
BURSAR_CONFIG=$work/bursar.yaml "$bursar" check >"$work/out" 2>&1 ||
	complain 'BURSAR_CONFIG names the configuration'

configure new absent fine
exits 0 -c "$work/bursar.yaml" check
says out 'will be made at start'
[ ! -e "$work/new" ] || complain 'a check makes nothing'

configure state locked fine
exits 1 -c "$work/bursar.yaml" check
says out "FAILED   sink 'ledger': somebody holds it"
says out '-> it may pass by itself'
says out "ok       crypto 'lock'"

configure state forbidden fine
exits 1 -c "$work/bursar.yaml" check
says out "FAILED   sink 'ledger': the password is wrong"

configure state fine sealed
exits 1 -c "$work/bursar.yaml" check
says out "FAILED   crypto 'lock': moody has no key at hand"

configure state fine broken
exits 1 -c "$work/bursar.yaml" check
says out "FAILED   crypto 'lock': the key is no key"
# shellcheck disable=SC2016
says out '-> see line 4; `bursar plugins moody` describes the options'

configure state fine fine
chmod 0777 "$work/state"
exits 1 -c "$work/bursar.yaml" check
says out 'FAILED   state-dir: others can write to it (mode 0777)'
says out "-> run: chmod go-w $work/state"
chmod 0700 "$work/state"
configure bursar.yaml fine fine
exits 1 -c "$work/bursar.yaml" check
says out "FAILED   state-dir: $work/bursar.yaml is no folder"
says out '-> name another path'

configure missing/below fine fine
exits 1 -c "$work/bursar.yaml" check
says out 'cannot be made'

# What others can read says itself what to do.
configure state fine exposed
exits 1 -c "$work/bursar.yaml" check
says out "FAILED   crypto 'lock': others can read the key: chmod 600 it"
if grep -q 'let the user' "$work/out"; then
	complain 'no second remedy that contradicts the first'
fi

# What is said of no line names the file alone.
configure state fine fine
exits 0 -c "$work/bursar.yaml" check
says out "warning  $work/bursar.yaml: no sink is fit to be the book"

# Mistakes of the configuration: all at once, with their lines, status 2.
configure state cheerful fine
sed -i 's/place: here/plaice: here/' "$work/bursar.yaml"
exits 2 -c "$work/bursar.yaml" check
says err "$work/bursar.yaml:2: "
says err 'place'
says err "$work/bursar.yaml:6: "
keeps_quiet out
exits 2 -c "$work/nowhere.yaml" check
says err "$work/nowhere.yaml"
exits 2 check everything
says err 'takes no operand'
exit $status
