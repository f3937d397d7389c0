#!/bin/sh
# bursar crypto: keys that plugins take, and messages that come back as they
# went, through whatever plugin made them.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
needs crypto_sodium crypto_cluster crypto_none
umask 077

crypto()
{
	want=$1
	shift
	exits "$want" -c "$work/bursar.yaml" crypto "$@"
}

is() # file, what it holds
{
	printf '%s' "$2" | cmp -s - "$1" || complain "$said: $1 is not: $2"
}

body='{"conversation":"conv_1", "text":"\u00fc \"quoted\""}'

# Keys.  Several plugins make them, so one must be named.
exits 2 crypto keygen
says err 'cluster, sodium'
exits 2 crypto keygen --plugin none
says err 'none makes no keys'
exits 2 crypto keygen --plugin sodiun
exits 2 crypto keygen --plugin sodium --type rsa
says err "'rsa'"
exits 2 crypto keygen --plugin sodium --id 'two words'
exits 2 crypto keygen --plugin sodium --lines
says err 'keygen takes no --lines'
exits 2 crypto
exits 2 crypto unseal
says err "not 'unseal'"

exits 0 crypto keygen --plugin sodium
grep -q "^secret $(date -u +%Y-%m-%d) " "$work/out" ||
	complain 'a key is named after the day'
says err 'this is a secret'
cp "$work/out" "$work/keys"
exits 0 crypto keygen --plugin sodium --type sealed --id box
says out '# public box '
sed -n 's/^# public/public/p' "$work/out" >"$work/public"
cat "$work/out" >>"$work/keys"
exits 0 crypto keygen --plugin cluster
cp "$work/out" "$work/secret"
exits 0 crypto keygen --plugin cluster
cp "$work/out" "$work/other"
chmod 0644 "$work/out"
exits 0 crypto keygen --plugin cluster
says err 'chmod 600'
cmp -s "$work/out" "$work/other" && complain 'no key is made twice'
rm "$work/out"

BURSAR_PLUGIN_PATH=$top_builddir/plugins:$top_builddir/tests/modules
cat >"$work/bursar.yaml" <<END
sources:
  one: {plugin: sound, place: here, format: sound, crypto: own}
sinks:
  ledger: {plugin: moody, mood: fine}
crypto:
  own: {plugin: sodium, keys-file: $work/keys}
  producer: {plugin: sodium, keys-file: $work/public}
  legion: {plugin: cluster, secret-file: $work/secret}
  stranger: {plugin: cluster, secret-file: $work/other}
  clear: {plugin: none}
state-dir: $work/state
END

for name in own legion producer; do
	case $name in
	producer) opener=own ;;
	*) opener=$name ;;
	esac
	echo "$body" >"$work/in"
	crypto 0 seal --crypto $name --kind prompt --message-id m1 "$work/in"
	says out '"kind":"prompt"'
	says out '"message_id":"m1"'
	says out '"content_encoding":"encrypted/'
	keeps_quiet err
	[ "$(wc -l <"$work/out")" = 1 ] || complain 'an envelope is one line'
	grep -q conv_1 "$work/out" && complain 'an envelope is sealed'
	cp "$work/out" "$work/sealed.$name"
	crypto 0 open --crypto $opener "$work/sealed.$name"
	is "$work/out" "$body
"
done

# Lines, from standard input; a broken one among them is named, and no other
# is lost.
printf '{"n":1}\n{"n":2}\n{"n":3}\n' >"$work/in"
crypto 0 seal --crypto legion --lines "$work/in"
[ "$(wc -l <"$work/out")" = 3 ] || complain 'each line is a message'
{
	sed -n 1p "$work/out"
	echo 'no json'
	echo '{"properties":{},"headers":{},"body":"x"}'
	sed -n '2s/"iv":"[^"]*"/"iv":"AAAAAAAAAAAAAAAA"/p' "$work/out"
	echo
	sed -n '2s/"headers":{[^}]*}/"headers":{}/p' "$work/out"
	sed -n '2s/"body_base64":"/"body_base64":"!/p' "$work/out"
	sed -n 3p "$work/out"
} >"$work/mixed"
crypto 1 open --crypto legion "$work/mixed"
is "$work/out" '{"n":1}
{"n":3}
'
says err 'line 2: not an envelope'
says err 'line 3: its content_encoding is none that this crypto opens'
says err 'line 4: it does not open'
says err 'line 6: it does not open'
says err 'line 7: its body is not bytes'
[ "$(wc -l <"$work/err")" = 5 ] || complain 'nothing else is wrong'

crypto 1 open --crypto stranger "$work/sealed.legion"
says err 'line 1: it does not open'
crypto 1 open --crypto producer "$work/sealed.own"
says err 'line 1: sealed under a key that is not here'
crypto 1 open --crypto own "$work/nowhere"
says err "$work/nowhere"

# Misuse.
crypto 2 seal --crypto clear "$work/in"
says err "'clear' cannot seal"
crypto 2 seal "$work/in"
says err 'name one with --crypto'
crypto 2 seal --crypto nobody "$work/in"
says err "no crypto 'nobody'"
crypto 2 seal --crypto legion --lines --message-id m "$work/in"
crypto 2 open --crypto legion --kind prompt "$work/in"
says err 'open takes no --kind'
crypto 2 open --crypto legion a b
: >"$work/empty"
crypto 1 seal --crypto legion "$work/empty"
says err 'nothing to seal'

# No message is longer than the configuration allows.
echo 'max-message: 64K' >>"$work/bursar.yaml"
head -c 65536 /dev/zero | tr '\0' x >"$work/long"
crypto 0 seal --crypto legion "$work/long"
cp "$work/out" "$work/sealed.long"
crypto 0 open --crypto legion "$work/sealed.long"
{ cat "$work/long"; echo; } | cmp -s - "$work/out" ||
	complain 'a long message comes back'
printf x >>"$work/long"
crypto 1 seal --crypto legion "$work/long"
says err 'longer than 65536 bytes'

# Secrets stay where they are.
crypto 0 open --crypto legion "$work/sealed.legion"
grep -qF "$(cat "$work/secret")" "$work/err" "$work/out" &&
	complain 'no secret is printed'
chmod 0644 "$work/secret"
crypto 2 open --crypto legion "$work/sealed.legion"
exit $status
