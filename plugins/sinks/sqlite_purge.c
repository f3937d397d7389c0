/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What has expired goes: ranges of ids, a limited number of rows at a time.
 *
 * Rows that are held may be many, and are passed by before the transaction:
 * what is found by reading is then taken by its id.  The next step goes on
 * where the last one ended.
 *
 * The rollups stay.  Facts go by whole cells, so that what is left of a cell
 * is all of it, or what is held.
 */
#include "config.h"

#include <assert.h>
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

/* --- finding ------------------------------------------------------------- */

static int take_id(struct purge_found *found, int64_t id)
{
	if (found->count == found->room) {
		const size_t room = found->room * 2 + 64;
		int64_t *ids = reallocarray(found->ids, room, sizeof(*ids));

		if (ids == NULL) {
			return SQLITE_NOMEM;
		}
		found->ids = ids;
		found->room = room;
	}
	found->ids[found->count++] = id;
	return SQLITE_OK;
}

static int find_rows(sqlite3 *db, const struct bursar_kind *kind,
                     const struct bursar_purge *what, uint64_t limit,
                     struct purge_found *found)
{
	char *which = where(kind, what);
	sqlite3_stmt *rows = NULL;
	int rc = SQLITE_NOMEM;

	if (which != NULL) {
		rc = db_prepare_take(db, sqlite3_mprintf(
			"SELECT id FROM \"%w\" WHERE %s AND id >= %lld "
			"ORDER BY id LIMIT %lld", kind->table, which,
			(long long)found->from, (long long)limit), &rows);
		sqlite3_free(which);
	}
	if (rc == SQLITE_OK) {
		while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
			rc = take_id(found, sqlite3_column_int64(rows, 0));
			if (rc != SQLITE_OK) {
				break;
			}
		}
	}
	sqlite3_finalize(rows);
	found->full = found->count == limit;
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int purge_find(sqlite3 *db, const struct bursar_host *host,
               const struct bursar_purge *what, struct purge_walk *walk)
{
	const struct bursar_schema *schema = host->schema;
	uint64_t left = what->limit < PURGE_ROWS ? what->limit : PURGE_ROWS;
	int rc = SQLITE_OK;

	assert(schema->kind_count <= PURGE_KINDS);
	if (walk->now != what->now ||
	    walk->facts_before != what->facts_before) {
		purge_forget(walk);
		walk->now = what->now;
		walk->facts_before = what->facts_before;
	}
	walk->more = false;
	for (size_t i = 0; i < PURGE_KINDS; i++) {
		walk->kinds[i].count = 0;
		walk->kinds[i].full = false;
	}
	for (size_t i = 0; i < schema->kind_count && rc == SQLITE_OK; i++) {
		struct purge_found *found = &walk->kinds[i];

		if (!applies(&schema->kinds[i], what)) {
			continue;
		}
		if (left == 0) {
			walk->more = true;
			break;
		}
		rc = find_rows(db, &schema->kinds[i], what, left, found);
		walk->more |= found->full;
		left -= found->count;
	}
	walk->left = left;
	return rc;
}

void purge_settle(struct purge_walk *walk)
{
	for (size_t i = 0; i < PURGE_KINDS; i++) {
		struct purge_found *found = &walk->kinds[i];

		if (found->full) {
			found->from = found->ids[found->count - 1] + 1;
		}
	}
}

void purge_forget(struct purge_walk *walk)
{
	for (size_t i = 0; i < PURGE_KINDS; i++) {
		free(walk->kinds[i].ids);
		walk->kinds[i] = (struct purge_found){ .from = INT64_MIN };
	}
}

/* --- taking -------------------------------------------------------------- */

/* Those that were found, as far as nobody has come to hold them since. */
static int take_rows(sqlite3 *db, const struct bursar_kind *kind,
                     const struct bursar_purge *what,
                     const struct purge_found *found, uint64_t *taken)
{
	char *which = where(kind, what);

	*taken = 0;
	if (which == NULL) {
		return SQLITE_NOMEM;
	}
	sqlite3_str *sql = sqlite3_str_new(db);
	sqlite3_str_appendf(sql, "DELETE FROM \"%w\" WHERE %s AND id IN (",
	                    kind->table, which);
	for (size_t i = 0; i < found->count; i++) {
		sqlite3_str_appendf(sql, "%s%lld", i > 0 ? "," : "",
		                    (long long)found->ids[i]);
	}
	sqlite3_str_appendall(sql, ")");
	sqlite3_free(which);
	const int rc = db_exec_take(db, sqlite3_str_finish(sql));
	if (rc == SQLITE_OK) {
		*taken = (uint64_t)sqlite3_changes(db);
	}
	return rc;
}

int purge_run(sqlite3 *db, const struct bursar_host *host, struct keys *keys,
              const struct bursar_purge *what, const struct purge_walk *walk,
              struct bursar_purged *purged)
{
	const struct bursar_schema *schema = host->schema;
	uint64_t taken = 0;
	int rc = SQLITE_OK;

	purged->more = walk->more;
	for (size_t i = 0; i < schema->kind_count && rc == SQLITE_OK; i++) {
		const struct bursar_kind *kind = &schema->kinds[i];

		if (walk->kinds[i].count > 0) {
			rc = take_rows(db, kind, what, &walk->kinds[i],
			               &taken);
			*(kind->fact ? &purged->facts : &purged->bodies) +=
				taken;
		}
	}
	if (rc == SQLITE_OK && what->keys_before != 0 && walk->left > 0) {
		bool more_keys;

		rc = keys_purge(keys, columns_day(what->keys_before),
		                walk->left, &taken, &more_keys);
		purged->keys += taken;
		purged->more |= more_keys;
	} else {
		purged->more |= what->keys_before != 0;
	}
	return rc;
}

/* --- counting ------------------------------------------------------------ */

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
