#!/bin/sh
# bursar token: a file of tokens that holds no token.
# SPDX-License-Identifier: Apache-2.0

. "$top_srcdir/tests/command.sh"
use_plugins
file=$work/tokens

exits 2 token
exits 2 token add gateway
says err '--file'
exits 2 token add --file "$file"
exits 2 token add 'two words' --file "$file"
exits 2 token add gateway --kinds metering,promt --file "$file"
says err "'promt'"
for wrong in team no_field=x input_tokens=1 message_id=x cost_usd=1 =x; do
	exits 2 token add gateway --set "$wrong" --file "$file"
	says err FIELD=VALUE
done
exits 2 token list --kinds metering --file "$file"
exits 1 token list --file "$file"
says err 'not there'
exits 1 token remove gateway --file "$file"
[ ! -e "$file" ] || complain 'a mistake makes no file'

exits 0 token add gateway --kinds metering,tool --set team=support \
	--set 'agent_id=A "quoted" ü' --file "$file"
token=$(cat "$work/out")
[ "${#token}" -eq 43 ] || complain 'a token has 43 characters'
says err 'shown once'
[ "$(stat -c %a "$file")" = 600 ] || complain 'its file is its owner'\''s'
grep -qF -- "$token" "$file" && complain 'the token stands nowhere'
grep -q "\"sha256\":\"$(printf %s "$token" | sha256sum | cut -d' ' -f1)\"" \
	"$file" || complain 'its SHA-256 does'

printf '# by hand\n' >>"$file"
exits 0 token add other --file "$file"
[ "$(cat "$work/out")" != "$token" ] || complain 'no token is made twice'
exits 1 token add other --file "$file"
says err "has a token 'other'"
exits 0 token list --file "$file"
says out 'gateway  kinds=metering,tool  team=support  agent_id="A \"quoted\" ü"'
[ "$(wc -l <"$work/out")" -eq 2 ] || complain 'both are listed'

# A token that could not be shown is nobody's.
"$bursar" token add unseen --file "$file" >/dev/full 2>"$work/err" &&
	complain 'a token that is not shown is no success'
said='token add unseen >/dev/full'
says err 'taken back'
exits 0 token list --file "$file"
grep -q unseen "$work/out" && complain 'it is not kept'

# What a value holds looks like no other field, and moves no terminal.
odd=$(printf 'a  kinds=x\033[31m\nb\\')
exits 0 token add odd --set "worker_id=$odd" --file "$file"
exits 0 token list --file "$file"
says out 'odd  worker_id="a  kinds=x\x1b[31m\nb\\"'
[ "$(wc -l <"$work/out")" -eq 3 ] || complain 'a token is a line'
exits 0 token remove odd --file "$file"

exits 0 token remove gateway --file "$file"
exits 0 token list --file "$file"
[ "$(cat "$work/out")" = other ] || complain 'one is left'
grep -q '^# by hand' "$file" || complain 'other lines stay'
exits 1 token remove gateway --file "$file"
says err "has no token 'gateway'"
exits 1 token remove gateway --file "$work/not-there"
says err "$work/not-there is not there"
: >"$file.new"
exits 1 token add more --file "$file"
says err "$file.new: File exists; another one is at work, or was killed"
rm "$file.new"

chmod 0640 "$file"
exits 1 token list --file "$file"
says err 'chmod 600'
chmod 0600 "$file"
printf '{"name":"x","sha256":"12"}\n' >>"$file"
exits 1 token list --file "$file"
says err 'tokens:3: sha256'
exits 1 token add more --file "$file"
exit $status
