#!/bin/sh
# tests/servers: what it starts can be used, obeys, and leaves nothing behind,
# in whatever way it ends.
# SPDX-License-Identifier: Apache-2.0

: "${top_builddir:?}" "${top_srcdir:?}"
servers=$top_srcdir/tests/servers
broker=$top_builddir/tests/broker
status=0

fail()
{
	echo "FAILED: $*"
	status=1
}

# What runs under the servers: this script, once more.
inside()
{
	psql -X -q -v ON_ERROR_STOP=1 "$BURSAR_TEST_PG" \
	    -c 'CREATE TABLE bursar.t (n int)' \
	    -c 'INSERT INTO bursar.t VALUES (7)' || fail "bursar owns no schema"
	psql -X -q "$BURSAR_TEST_PG" -c 'CREATE TABLE public.t (n int)' \
	    2>/dev/null && fail "bursar may write elsewhere"
	psql -X -q "$BURSAR_TEST_PG" -c 'CREATE ROLE another' 2>/dev/null &&
	    fail "bursar may make roles"
	[ "$(psql -XAt "$BURSAR_TEST_PG_READER" \
	    -c 'SELECT n FROM bursar.t')" = 7 ] || fail "the reader cannot read"
	psql -X -q "$BURSAR_TEST_PG_READER" \
	    -c 'INSERT INTO bursar.t VALUES (8)' 2>/dev/null &&
	    fail "the reader can write"
	[ "$(psql -XAt "$BURSAR_TEST_PG_ADMIN" -c 'SHOW fsync')" = on ] ||
	    fail "fsync is off"
	psql -XAt "$BURSAR_TEST_PG sslmode=verify-full host=localhost \
	    sslrootcert=$BURSAR_TEST_CA" -c 'SELECT 1' >/dev/null ||
	    fail "no TLS to PostgreSQL"

	"$broker" "$BURSAR_TEST_AMQPS" declare q >/dev/null ||
	    fail "no TLS to RabbitMQ"
	"$broker" "$BURSAR_TEST_AMQP" declare qq --quorum ||
	    fail "no quorum queues"
	printf '%s\n' '{"n":1}' \
	    '{"properties":{"message_id":"a"},"headers":{"h":1},"body":"b"}' \
	    'no JSON' |
	    "$broker" "$BURSAR_TEST_AMQP" publish q - --mandatory \
	    --ids i --confirmed "$BURSAR_TEST_SERVERS/ids" >/dev/null
	[ "$(tr '\n' ' ' <"$BURSAR_TEST_SERVERS/ids")" = 'i-0 a i-2 ' ] ||
	    fail "confirmed are $(cat "$BURSAR_TEST_SERVERS/ids")"
	[ "$("$broker" "$BURSAR_TEST_AMQP" count q)" = 3 ] ||
	    fail "not all are in the queue"

	"$servers" restart postgres || fail "restart postgres"
	[ "$(psql -XAt "$BURSAR_TEST_PG" -c 'SELECT n FROM bursar.t')" = 7 ] ||
	    fail "a restarted PostgreSQL has lost its table"
	"$servers" kill postgres || fail "kill postgres"
	psql -XAt "$BURSAR_TEST_PG" -c 'SELECT 1' 2>/dev/null &&
	    fail "a killed PostgreSQL answers"
	"$servers" start postgres || fail "start postgres"
	[ "$(psql -XAt "$BURSAR_TEST_PG" -c 'SELECT n FROM bursar.t')" = 7 ] ||
	    fail "a killed PostgreSQL has lost its table"

	"$servers" kill rabbitmq || fail "kill rabbitmq"
	"$broker" "$BURSAR_TEST_AMQP" count q 2>/dev/null &&
	    fail "a killed RabbitMQ answers"
	"$servers" start rabbitmq || fail "start rabbitmq"
	[ "$("$broker" "$BURSAR_TEST_AMQP" get q 9 |
	    grep -c '"message_id": *"')" = 3 ] ||
	    fail "a killed RabbitMQ has lost its messages"
	"$servers" restart oracle 2>/dev/null
	[ $? -eq 2 ] || fail "there is no server oracle"
}

if [ "${1:-}" = inside ]; then
	inside
	exit $status
fi

# A folder of our own, so that all that is left behind can be seen.
pattern=$(mktemp) || exit 99
TMPDIR=$(mktemp -d) || exit 99
export TMPDIR
trap 'rm -rf "$TMPDIR" "$pattern"' EXIT
trap 'exit 99' HUP INT TERM
chmod 711 "$TMPDIR"
echo "$TMPDIR" >"$pattern"

nothing_left() # after what
{
	tries=100
	while [ $tries -gt 0 ]; do
		left=$(ls "$TMPDIR"
		    grep -alF -f "$pattern" /proc/[0-9]*/cmdline 2>/dev/null)
		[ -n "$left" ] || return
		tries=$((tries - 1))
		sleep 0.1
	done
	fail "left behind after $1: $left"
}

[ -x "$broker" ] || { echo "skipped: no librabbitmq for tests/broker"; exit 77; }
"$servers" run "$0" inside
got=$?
[ $got -ne 77 ] || exit 77
[ $got -eq 0 ] || fail "the servers in use: exit status $got"
nothing_left "its end"

"$servers" run --only postgres sh -c 'exit 5'
[ $? -eq 5 ] || fail "the exit status of the command is lost"
"$servers" run --only postgres sh -c 'kill -9 $PPID; sleep 60'
nothing_left "SIGKILL"
"$servers" run --only postgres sh -c 'kill $PPID; sleep 60'
[ $? -eq 143 ] || fail "SIGTERM does not end the command"
nothing_left "SIGTERM"
exit $status
