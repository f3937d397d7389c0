#!/bin/sh
# bursar dead-letters and bursar replay: what was refused is told whole and as
# it came, and what can be stored later is stored once.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
needs source_file format_ledger sink_sqlite crypto_sodium
umask 077

letters()
{
	want=$1
	shift
	exits "$want" -c "$work/bursar.yaml" dead-letters "$@"
}

replay()
{
	want=$1
	shift
	exits "$want" -c "$work/bursar.yaml" replay "$@"
}

daemon() # reads what is there, to its end
{
	said='bursard --once'
	"$top_builddir/core/bursard" -c "$work/bursar.yaml" --once \
		>"$work/out" 2>"$work/err" || complain 'it ends well'
}

lacks() # out|err TEXT
{
	grep -qF -- "$2" "$work/$1" && complain "$said: $1 has: $2"
}

is_json() # of the last output, one value a line or one in all
{
	command -v python3 >/dev/null || return
	python3 -c 'import json, sys
for text in sys.argv[1] == "lines" and sys.stdin or [sys.stdin.read()]:
    json.loads(text)' "$1" <"$work/out" || complain "$said: it is JSON"
}

# A key that the daemon does not have yet.
mkdir "$work/in"
exits 0 crypto keygen --plugin sodium --id known
cp "$work/out" "$work/keys"
exits 0 crypto keygen --plugin sodium --id later
cp "$work/out" "$work/later"
cat >"$work/bursar.yaml" <<END
sources:
  letters: {plugin: file, path: "$work/in/*", crypto: own}
crypto:
  own: {plugin: sodium, keys-file: $work/keys}
  producer: {plugin: sodium, keys-file: $work/later}
sinks:
  ledger: {plugin: sqlite, path: $work/ledger.db}
state-dir: $work/state
max-message: 64K
once-timeout: 20s
END

# Before anything ran there is nothing, and that is no mistake.
letters 0
says out 'No dead letters.'
letters 0 list --format json
says out '"rows"'
replay 0 --all
says out 'There is no such letter.'

printf '{"worker_id":"w","status":"ok","conversation":"conv"}' >"$work/body"
exits 0 -c "$work/bursar.yaml" crypto seal --crypto producer --kind prompt \
	--message-id sealed "$work/body"
{
	cat "$work/out"
	echo 'no \x1b[31mJSON'
	printf '{"kind":"metering","properties":{"message_id":"good"},'
	printf '"body":{"worker_id":"w","input_tokens":7}}\n'
	printf '{"kind":"metering","properties":{"message_id":"good"},'
	printf '"body":{"worker_id":"w","input_tokens":8}}\n'
	printf '{"kind":"metering","body":"'
	head -c 70000 /dev/zero | tr '\0' x
	printf '"}\n'
	printf 'raw \033[31m bytes \377\n'
} >"$work/in/a.jsonl"
daemon

# The list.
letters 0 list --format json
is_json whole
for reason in no-key malformed id-conflict too-large; do
	says out "\"reason\":\"$reason\""
done
letters 0 list --format csv
[ "$(wc -l <"$work/out")" -eq 6 ] || complain 'five letters and a heading'
cut -d, -f1 "$work/out" | sed 1d >"$work/ids"
[ "$(sort -u "$work/ids" | wc -l)" -eq 5 ] || complain 'each has its id'
grep -Evq '^[0-9a-f]{32}$' "$work/ids" && complain 'ids are 32 hex digits'

COLUMNS=80
export COLUMNS
letters 0
[ "$(wc -L <"$work/out")" -le 80 ] || complain 'a list fits 80 columns'
says out 'no-key'
COLUMNS=200 letters 0 list
grep -q '20[0-9][0-9]-[01][0-9]-' "$work/out" ||
	complain 'a wide list tells times'

letters 0 list --reason no-key --format csv
[ "$(wc -l <"$work/out")" -eq 2 ] || complain 'one letter has no key'
id=$(sed -n '2s/,.*//p' "$work/out")
letters 0 list --source letters --limit 2 --format csv
[ "$(wc -l <"$work/out")" -eq 3 ] || complain 'a limit limits'
says err '3 more'
letters 0 --source elsewhere
says out 'No dead letters.'

# One letter: as it was delivered, and nothing that a terminal obeys.
letters 0 show "$(printf %.6s "$id")"
says out "$id"
says out 'it is sealed under a key that is not known'
says out 'a.jsonl'
lacks out 'conv'
letters 0 show "$id" --format json
is_json lines
says out '"id":"'"$id"'"'
says out '"body_base64":"'
letters 0 list --reason malformed --format csv
for other in $(sed -n '2,$s/,.*//p' "$work/out"); do
	letters 0 show "$other"
	tr -d '\n[:print:]' <"$work/out" | grep -q . &&
		complain 'nothing but what can be printed'
done

# Wrong usage.
letters 2 list --reason nokey
says err "did you mean 'no-key'"
letters 2 list --reason frobnicate
says err 'there is: malformed, bad-envelope, '
letters 2 list --limit 0
letters 2 show
letters 2 show ''
letters 2 show "$id" --reason no-key
letters 2 show "$id" --format csv
letters 2 frobnicate
letters 1 show zz
says err "begins with 'zz'"
replay 2
replay 2 --reason nokey
says err "did you mean 'no-key'"
replay 2 --all "$id"
replay 2 ''
replay 1 zz
says out 'There is no such letter.'

# Without the key it stays; with it, it is stored, once.
replay 1 --reason no-key
says out '0 stored'
says out '1 left'
says err 'not known'
letters 0 list --reason no-key --format csv
[ "$(wc -l <"$work/out")" -eq 2 ] || complain 'it stays'
cat "$work/later" >>"$work/keys"
replay 0 --reason no-key
says out '1 stored (0 of them were there already), 0 left.'
letters 0 list --reason no-key
says out 'No dead letters.'
replay 0 --reason no-key
says out 'There is no such letter.'

# The same message once more is a duplicate of what was replayed.
sed -n 1p "$work/in/a.jsonl" >"$work/in/b.jsonl"
daemon
letters 0 list --reason no-key
says out 'No dead letters.'

# What only a part was kept of, and what is refused again, stays.
replay 1 --reason too-large
says err 'only its first bytes are kept'
replay 1 --reason id-conflict
says err 'other content'
replay 1 --all
says out '0 stored'
says out '4 left'

# A letter whose record came in another way is done with.
letters 0 list --reason malformed --format csv
[ "$(wc -l <"$work/out")" -eq 3 ] || complain 'two are malformed'

# Letters of a source that is gone stay.
sed 's/^  letters:/  other:/' "$work/bursar.yaml" >"$work/other.yaml"
exits 1 -c "$work/other.yaml" replay --reason malformed
says err 'its source is not configured any more'
says out '2 left'

# Lines that nobody can read are told of, and harm nothing.
for day in "$work"/state/dead-letters/*.jsonl; do
	echo '{"id":' >>"$day"
done
broken="bursar: 1 line in $work/state/dead-letters cannot be read, the first in"
letters 0
says err "$broken ${day##*/}; mend or remove such lines with the daemon stopped"
replay 1 --reason malformed
says err "$broken ${day##*/}; "
[ "$(find "$work/state" -type f ! -perm 600 ! -name 'ledger*' | wc -l)" -eq 0 ] ||
	complain 'what is kept is for its owner alone'
exit $status
