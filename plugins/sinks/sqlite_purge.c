/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What has expired goes: ranges of ids, a limited number of rows at a time.
 *
 * The rollups stay.  Facts go by whole cells, so that what is left of a cell
 * is all of it, or what is held.
 */
#include "config.h"

#include <stdlib.h>

#include "sqlite.h"

#include "common/columns.h"
#include "common/holds.h"

static int64_t first_id(int64_t block)
{
	return (int64_t)((uint64_t)block << COLUMNS_ID_SHIFT);
}

/* Which rows of a kind are due: ids below `before`, and expired where that is
 * asked.  NULL: out of memory. */
static char *due(const struct bursar_kind *kind,
                   const struct bursar_purge *what)
{
	char name[COLUMNS_NAME_MAX];

	if (kind->fact) {
		return sqlite3_mprintf("id < %lld", (long long)first_id(
			columns_cell(what->facts_before)));
	}
	columns_stored(&kind->fields[BURSAR_EXPIRES_AT], name);
	return sqlite3_mprintf("id < %lld AND \"%w\" <= %lld",
		(long long)first_id(columns_day(what->now) + 1), name,
		(long long)what->now);
}

/* Of these, the rows that nobody holds: those that may go. */
static char *where(const struct bursar_kind *kind,
                   const struct bursar_purge *what)
{
	char *rows = due(kind, what);
	char *held = holds_condition(kind, kind->table, INT64_MAX);
	char *which = NULL;

	if (rows != NULL && held != NULL) {
		which = sqlite3_mprintf("%s AND NOT %s", rows, held);
	}
	sqlite3_free(rows);
	free(held);
	return which;
}

static bool applies(const struct bursar_kind *kind,
                    const struct bursar_purge *what)
{
	return kind->fact ? what->facts_before != 0 : what->now != 0;
}

static int take_rows(sqlite3 *db, const struct bursar_kind *kind,
                     const struct bursar_purge *what, uint64_t limit,
                     uint64_t *taken)
{
	char *which = where(kind, what);
	int rc = SQLITE_NOMEM;

	if (which != NULL) {
		rc = db_exec_take(db, sqlite3_mprintf(
			"DELETE FROM \"%w\" WHERE id IN (SELECT id FROM \"%w\" "
			"WHERE %s ORDER BY id LIMIT %lld)", kind->table,
			kind->table, which, (long long)limit));
		sqlite3_free(which);
	}
	*taken = rc == SQLITE_OK ? (uint64_t)sqlite3_changes(db) : 0;
	return rc;
}

int purge_run(sqlite3 *db, const struct bursar_host *host, struct keys *keys,
              const struct bursar_purge *what, struct bursar_purged *purged)
{
	const struct bursar_schema *schema = host->schema;
	uint64_t left = what->limit < INT32_MAX ? what->limit : INT32_MAX;
	uint64_t taken = 0;
	bool more = false;
	int rc = SQLITE_OK;

	for (size_t i = 0; i < schema->kind_count && rc == SQLITE_OK; i++) {
		const struct bursar_kind *kind = &schema->kinds[i];

		if (!applies(kind, what)) {
			continue;
		}
		if (left == 0) {
			more = true;
			break;
		}
		rc = take_rows(db, kind, what, left, &taken);
		more |= taken == left;
		left -= taken;
		*(kind->fact ? &purged->facts : &purged->bodies) += taken;
	}
	if (rc == SQLITE_OK && what->keys_before != 0 && left > 0) {
		bool more_keys;

		rc = keys_purge(keys, columns_day(what->keys_before), left,
		                &taken, &more_keys);
		purged->keys += taken;
		more |= more_keys;
	} else {
		more |= what->keys_before != 0;
	}
	purged->more = more;
	return rc;
}

static int count(sqlite3 *db, char *sql, uint64_t *rows)
{
	int64_t number = 0;
	int rc = SQLITE_NOMEM;

	if (sql != NULL) {
		rc = db_integer(db, sql, 0, &number);
		sqlite3_free(sql);
	}
	*rows += (uint64_t)number;
	return rc;
}

int purge_count(sqlite3 *db, const struct bursar_host *host,
                const struct bursar_purge *what, struct bursar_purged *purged)
{
	const struct bursar_schema *schema = host->schema;
	int rc = SQLITE_OK;

	for (size_t i = 0; i < schema->kind_count && rc == SQLITE_OK; i++) {
		const struct bursar_kind *kind = &schema->kinds[i];
		char *which;

		if (!applies(kind, what)) {
			continue;
		}
		which = where(kind, what);
		if (which == NULL) {
			return SQLITE_NOMEM;
		}
		rc = count(db, sqlite3_mprintf("SELECT count(*) FROM \"%w\" "
			"WHERE %s", kind->table, which),
			kind->fact ? &purged->facts : &purged->bodies);
		sqlite3_free(which);
	}
	if (rc == SQLITE_OK && what->keys_before != 0) {
		rc = count(db, sqlite3_mprintf("SELECT count(*) FROM "
			"record_keys WHERE day < %lld",
			(long long)columns_day(what->keys_before)),
			&purged->keys);
	}
	return rc;
}
