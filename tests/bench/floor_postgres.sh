#!/bin/sh
# floor_postgres.sh CONNINFO SCHEMA [SCHEMA.sql TABLE] - what PostgreSQL takes
#
# Copies the rows of a finished ledger, held in files, into new tables of the
# schema bench_floor with one COPY a table and nothing else, over one
# connection, durably: the least time in which that server on that machine can
# take them, hence what the daemon is measured against.
#
# Without SCHEMA.sql these are facts, keys and rollup cells, in tables of the
# same columns and indexes, not partitioned.  With it TABLE, which that file
# makes, takes those columns of metering_records that it has.
#
# Prints: rows=N seconds=S, for the facts as rows and all tables as seconds.
# SPDX-License-Identifier: Apache-2.0
set -eu

conninfo=${1:?}
ledger=${2:?}
work=$(mktemp -d)

ask() # OPTION...: statements, with bench_floor before the ledger
{
	PGOPTIONS="-c search_path=bench_floor,$ledger \
	    -c client_min_messages=error -c synchronous_commit=on" \
	    psql -qAtX -v ON_ERROR_STOP=1 "$conninfo" "$@"
}

trap 'ask -c "DROP SCHEMA IF EXISTS bench_floor CASCADE"; rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# The columns of a table that are stored as they come, in order.
columns_of()
{
	ask -c "SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum)
	    FROM pg_attribute WHERE attrelid = '$1'::regclass AND attnum > 0
	    AND NOT attisdropped AND attgenerated = ''"
}

# Rows of a ledger's table, in order of arrival but for cells, which come
# sorted, and what takes them in.
same_table()
{
	ask -c "CREATE TABLE bench_floor.$1 (LIKE $ledger.$1 INCLUDING ALL)"
	columns=$(columns_of "$ledger.$1")
	ask -c "\\copy (SELECT $columns FROM $ledger.$1 $2) TO '$work/$1'"
	printf '%s\n' "\\copy bench_floor.$1($columns) FROM '$work/$1'" >>"$work/script"
}

plain_table()
{
	ask -c "SET search_path = bench_floor" -f "$1"
	columns=$(columns_of "bench_floor.$2")
	ask -c "\\copy (SELECT $columns FROM $ledger.metering_records) \
	    TO '$work/metering_records'"
	printf '%s\n' "\\copy bench_floor.$2($columns) FROM '$work/metering_records'" \
	    >>"$work/script"
}

ask -c "DROP SCHEMA IF EXISTS bench_floor CASCADE" \
    -c "CREATE SCHEMA bench_floor"
echo "BEGIN;" >"$work/script"
if [ $# -gt 2 ]; then
	plain_table "$3" "$4"
else
	same_table bursar_keys ''
	same_table metering_records ''
	same_table rollup_cells \
	    'ORDER BY dimension, value, cell, provider, model_id'
fi
echo "COMMIT;" >>"$work/script"
rows=$(wc -l <"$work/metering_records")
ask -c CHECKPOINT 2>/dev/null || :
begin=$(date +%s.%N)
ask -f "$work/script"
end=$(date +%s.%N)
echo "$rows $begin $end" | awk '{ printf "rows=%d seconds=%.3f\n", $1, $3 - $2 }'
