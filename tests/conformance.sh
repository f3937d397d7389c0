#!/bin/sh
# Every plugin that was built keeps the contract of its kind, and the kit does
# notice plugins that do not.
# SPDX-License-Identifier: Apache-2.0

: "${top_builddir:?}" "${top_srcdir:?}"
kit=$top_builddir/tests/bursar-conformance
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
trap 'exit 99' HUP INT TERM
outside=${TMPDIR:-/tmp}
TMPDIR=$work
BURSAR_PLUGIN_PATH=$top_builddir/plugins:$top_builddir/tests/modules
export TMPDIR BURSAR_PLUGIN_PATH
status=0

is_built() # kind, name
{
	find "$top_builddir/plugins" "$top_builddir/tests/modules" \
	    -name "$1_$2.so" | grep -q .
}

# keeps KIND NAME ARGUMENT...: the plugin is conformant.
keeps()
{
	is_built "$1" "$2" || { echo "not built: $1 $2"; return; }
	if "$kit" "$@" >"$work/out" 2>&1; then
		echo "$1 $2: $(tail -n 1 "$work/out")"
	else
		echo "FAILED: $*"
		grep -v '^ok' "$work/out"
		status=1
	fi
}

# The same for a sink that keeps its ledger on a server: each check finds an
# empty schema, owned by the role that writes.
keeps_postgres()
{
	is_built sink postgres || { echo "not built: sink postgres"; return; }
	set --
	[ -n "$BURSAR_TEST_PG" ] || set -- \
	    "$top_srcdir/tests/servers" run --only postgres --
	# The server runs as a user who cannot see our folder.
	# shellcheck disable=SC2016
	TMPDIR=$outside "$@" sh -c '
	TMPDIR=$1
	empty="psql -qAtX \"\$BURSAR_TEST_PG_ADMIN\" \
	    -c \"SET client_min_messages = error\" \
	    -c \"DROP SCHEMA IF EXISTS conformance CASCADE\" \
	    -c \"CREATE SCHEMA conformance AUTHORIZATION bursar\""
	port=${BURSAR_TEST_PG##*port=}
	exec "$0" sink postgres -i "$empty" -o schema=conformance \
	    -w "conninfo=$BURSAR_TEST_PG host=127.0.0.1 port=@PORT@" \
	    -W "${port%% *}" -o network-timeout=5s -o statement-timeout=10s \
	    -o "conninfo=$BURSAR_TEST_PG"' "$kit" "$work" >"$work/out" 2>&1
	case $? in
	0)	echo "sink postgres: $(tail -n 1 "$work/out")" ;;
	77)	echo "sink postgres: $(tail -n 1 "$work/out")" ;;
	*)	echo "FAILED: sink postgres"
		grep -v '^ok' "$work/out"
		status=1 ;;
	esac
}

# breaks NAME-OF-CHECK KIND NAME ARGUMENT...: the kit notices it.
breaks()
{
	check=$1
	shift
	is_built "$1" "$2" || { echo "not built: $1 $2"; return; }
	"$kit" "$@" >"$work/out" 2>&1
	[ $? -eq 1 ] && grep -q "^not ok [0-9]* $check" "$work/out" || {
		echo "FAILED: $* should break: $check"
		cat "$work/out"
		status=1
	}
}

# Lines of growing length, the first of them empty but for its id.
lines='i=0; while [ $i -lt 40 ]; do
	printf "{\"message_id\":\"m%d\",\"x\":\"%0*d\"}\n" $i $((i * 9)) $i
	i=$((i + 1))
done'

# A queue for each check, on the broker that BURSAR_TEST_AMQP names.
queues()
{
	broker=$top_builddir/tests/broker
	password=${BURSAR_TEST_AMQP#*//*:}
	password=${password%%@*}
	port=${BURSAR_TEST_AMQP##*:}
	export broker password
	# shellcheck disable=SC2016
	for type in '' --quorum; do
		keeps source amqp -n 40 -s "$password" -o queue=@DIR@ \
			-o "uri=amqp://bursar@${BURSAR_TEST_AMQP#*@}" \
			-o 'password=${password}' \
			-w "uri=amqp://bursar@@PEER@/" -W "${port%%/*}" -i '{
			"$broker" "$BURSAR_TEST_AMQP" declare @DIR@ '"$type"'
			{ '"$lines"'; } | "$broker" "$BURSAR_TEST_AMQP" \
				publish @DIR@ - --confirm
			} >&2'
	done
}

# A Vault with a secret, a key for transit, and a token in $work/token.
vaults()
{
	secret=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
	token=hvs.$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
	(umask 077 && echo "$token" >"$work/token")
	mkfifo "$work/vault"
	python3 "$top_srcdir/tests/vault.py" --control "{
		\"engine\": {\"legion\": 2}, \"transit\": [\"audit\"],
		\"secret\": {\"legion/crypt\": {\"cluster_secret\": \"$secret\"}},
		\"token\": {\"$token\": {}}}" <"$work/vault" >"$work/port" &
	exec 9>"$work/vault"
	i=0
	while [ ! -s "$work/port" ] && [ $i -lt 300 ]; do
		sleep 0.1
		i=$((i + 1))
	done
	port=$(cat "$work/port")
	address=http://127.0.0.1:$port
	for mode in secret transit; do
		keeps crypto vault -s "$secret" -s "$token" -o mode=$mode \
			-o "address=$address" -w address=http://@PEER@ \
			-W "$port" -o key=audit \
			-o token-file=@DIR@/token -i "cp -p $work/token @DIR@"
	done
	exec 9>&-
	wait
}

if [ "${1:-}" = queues ]; then
	queues
	exit $status
fi

keeps sink sqlite -o path=@DIR@/ledger.db
keeps_postgres
keeps sink null -N
keeps source file -o 'path=@DIR@/*.jsonl' -n 40 -i "$lines >@DIR@/a.jsonl"
keeps source file -o 'path=@DIR@/*.jsonl' -o follow=true -n 80 \
	-i "{ $lines; } >@DIR@/a.jsonl; { $lines; } | sed s/m/n/ >@DIR@/b.jsonl"
keeps source file -o 'path=@DIR@/*' -n 40 -i "{ $lines; } | gzip >@DIR@/a.gz"
# Clients that send until they are answered.
keeps source http -o listen=127.0.0.1:@FREE@ -n 40 \
	-w listen=127.0.0.1:@PORT@ -W @FREE@ \
	-i "$top_srcdir/tests/conformance_http.py @DIR@ @FREE@"
keeps crypto none
keeps crypto sodium
keeps crypto sodium -k sealed
keeps crypto cluster
if is_built crypto vault; then
	vaults
fi
keeps format ledger -f "$top_srcdir/tests/fixtures/ledger-golden.jsonl"
keeps format ledger
for answer in "$top_srcdir"/tests/corpus/provider/*.json; do
	keeps format provider -f "$answer"
done
keeps service clock -o path=@DIR@/out
keeps service web -o listen=127.0.0.1:@FREE@

breaks 'tells duplicates' sink null
breaks 'knows the keys' sink sound
breaks 'opens with the options' sink moody -o mood=locked
breaks 'delivers everything' source sound -o place=x -n 3

if is_built source amqp; then
	"$top_srcdir/tests/servers" run --only rabbitmq -- "$0" queues
	case $? in
	0|77) ;;
	*) status=1 ;;
	esac
fi
exit $status
