/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which records are there already: 16 bytes, a check, and the day of last use.
 *
 * Keys are random, and one large index of random keys is what makes a ledger
 * slow as it grows: each batch touches every page of it.  So new keys are kept
 * apart, and move on in order, a slice at a time:
 *
 *	keys_0a, keys_0b   young: ordered by run, then key.  A batch goes to
 *	                   the end, into the latest run, and touches few pages.
 *	keys_1a, keys_1b   middle: ordered by key
 *	keys_2             old: ordered by key
 *
 * Of a and b one is active and grows.  When it is large and the other is empty
 * they change places; from then on each transaction moves the next slice of
 * the other, in key order, to the active table of the next level: somewhat
 * more than came in, so that it is done before the active one is large.  What
 * was moved stays behind `moved`, no longer valid, until all is, and the table
 * is emptied at once, which costs nothing.  No transaction is ever long, and a
 * page of the next level takes many keys each time it is written.
 *
 * Nearly all keys are new; Bloom filters tell so without a look at a table.
 * Those of the young tables are made by reading them; the one of the others is
 * stored, chunk by chunk, by the transaction that moves keys.  Filters have
 * bits of transactions that were rolled back; that does no harm.
 *
 * Several processes may write in turn: `key_writes` counts transactions, and
 * who finds another count than his own reads what changed.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#include "sqlite.h"

enum { YOUNG_A, YOUNG_B, MIDDLE_A, MIDDLE_B, OLD, TABLES };

#define YOUNGS   2u
#define MOVE_MAX 65536u		/* keys moved in one transaction, about */
#define NEVER_LOADED (-1)

static const char *const table_names[TABLES] = {
	"keys_0a", "keys_0b", "keys_1a", "keys_1b", "keys_2",
};

/* Between keys: 8 leading bytes, or beyond every key. */
struct bound {
	uint8_t bytes[KEY_SIZE + 1];
	int     size;
};

struct run {
	int64_t number;
	int64_t keys;
};

struct table {
	bool         young;	/* has runs */
	bool         active;	/* takes keys */
	int64_t      keys;	/* that stand in it, moved ones too */
	struct bound moved;	/* keys before this are no longer valid */
	struct run  *runs;	/* young tables, ascending */
	size_t       run_count;
	size_t       run_room;
	sqlite3_stmt *find;
	sqlite3_stmt *insert;
	sqlite3_stmt *touch;
	sqlite3_stmt *slice;
};

struct key_row {
	uint8_t key[KEY_SIZE];
	int64_t check;
	int64_t day;
};

struct keys {
	sqlite3 *db;
	const struct bursar_host *host;
	struct table tables[TABLES];
	struct filter *young[YOUNGS];
	bool           emptied[YOUNGS];	/* by this transaction */
	struct filter *old;		/* MIDDLE_A, MIDDLE_B and OLD */
	size_t         filter_bytes;	/* of old */
	bool           loaded;		/* the filters are there */

	int64_t writes;		/* that the filters know of */
	int64_t writes_now;	/* of this transaction */
	bool    stale;		/* tables must be read again */
	int64_t next_run;
	int64_t keys_per_run;
	int64_t keys_young;
	int64_t keys_middle;
	int64_t filter_keys;	/* that were ever added to old */

	bool    dirty;		/* this transaction changed something */
	int64_t fresh;		/* keys it added */
	int64_t debt_young;	/* keys to be moved on */
	int64_t debt_middle;

	struct key_row *moving;
	size_t          moving_room;
	int      purge_table;	/* where keys_purge() goes on */
	uint64_t purge_from;
	int64_t  purge_day;	/* with keys older than this */

	sqlite3_stmt *get_meta;
	sqlite3_stmt *set_meta;
	sqlite3_stmt *get_tables;
	sqlite3_stmt *set_table;
	sqlite3_stmt *get_runs;
	sqlite3_stmt *set_run;
	sqlite3_stmt *scan_run[YOUNGS];
	sqlite3_stmt *get_chunks;
	sqlite3_stmt *set_chunk;
};

static struct table *active(struct keys *keys, int a)
{
	return &keys->tables[keys->tables[a].active ? a : a + 1];
}

static struct table *resting(struct keys *keys, int a)
{
	return &keys->tables[keys->tables[a].active ? a + 1 : a];
}

static const char *name_of(const struct keys *keys, const struct table *table)
{
	return table_names[table - keys->tables];
}

/* --- bounds ------------------------------------------------------------- */

static struct bound bound_at(uint64_t prefix)
{
	struct bound bound = { .size = 8 };
	const uint64_t word = htobe64(prefix);

	memcpy(bound.bytes, &word, 8);
	return bound;
}

static struct bound bound_last(void)
{
	struct bound bound = { .size = KEY_SIZE + 1 };

	memset(bound.bytes, 0xff, KEY_SIZE + 1);
	return bound;
}

static uint64_t bound_prefix(const struct bound *bound)
{
	uint64_t word = 0;

	if (bound->size > 0) {
		memcpy(&word, bound->bytes, 8);
	}
	return be64toh(word);
}

/* The end of the slice from `from` that holds about `want` keys of `keys`. */
static struct bound slice_end(uint64_t from, int64_t want, int64_t keys)
{
	const double share = (double)want / (double)(keys > 0 ? keys : 1);
	const double width = share * 18446744073709551616.0;

	if (share >= 1 || width >= (double)(UINT64_MAX - from)) {
		return bound_last();
	}
	return bound_at(from + (uint64_t)width + 1);
}

static bool is_moved(const struct table *table, const uint8_t *key)
{
	return table->moved.size > 0 &&
		memcmp(key, table->moved.bytes, 8) < 0;
}

static int bind_bound(sqlite3_stmt *statement, int at,
                      const struct bound *bound)
{
	return sqlite3_bind_blob(statement, at, bound->bytes, bound->size,
	                         SQLITE_TRANSIENT);
}

/* --- statements --------------------------------------------------------- */

static int prepare_young(struct keys *keys, int at)
{
	struct table *table = &keys->tables[at];
	const char *name = table_names[at];
	int rc;

	rc = db_prepare_take(keys->db, sqlite3_mprintf(
		"SELECT content_check, day FROM %s WHERE key = ?1 AND run = ?2",
		name), &table->find);
	if (rc == SQLITE_OK) {
		rc = db_prepare_take(keys->db, sqlite3_mprintf(
			"INSERT INTO %s (key, content_check, day, run) "
			"VALUES (?1, ?2, ?3, ?4)", name), &table->insert);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare_take(keys->db, sqlite3_mprintf(
			"UPDATE %s SET day = ?3 WHERE key = ?1 AND run = ?2",
			name), &table->touch);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare_take(keys->db, sqlite3_mprintf(
			"SELECT key, content_check, day FROM %s WHERE run = ?3 "
			"AND key >= ?1 AND key < ?2", name), &table->slice);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare_take(keys->db, sqlite3_mprintf(
			"SELECT key FROM %s WHERE run = ?1", name),
			&keys->scan_run[at]);
	}
	return rc;
}

static int prepare_other(struct keys *keys, int at)
{
	struct table *table = &keys->tables[at];
	const char *name = table_names[at];
	int rc;

	rc = db_prepare_take(keys->db, sqlite3_mprintf(
		"SELECT content_check, day FROM %s WHERE key = ?1", name),
		&table->find);
	if (rc == SQLITE_OK) {
		rc = db_prepare_take(keys->db, sqlite3_mprintf(
			"INSERT OR IGNORE INTO %s (key, content_check, day) "
			"VALUES (?1, ?2, ?3)", name), &table->insert);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare_take(keys->db, sqlite3_mprintf(
			"UPDATE %s SET day = ?3 WHERE key = ?1", name),
			&table->touch);
	}
	if (rc == SQLITE_OK && at != OLD) {
		rc = db_prepare_take(keys->db, sqlite3_mprintf(
			"INSERT OR IGNORE INTO keys_2 SELECT key, "
			"content_check, day FROM %s WHERE key >= ?1 "
			"AND key < ?2 ORDER BY key", name), &table->slice);
	}
	return rc;
}

static int prepare_all(struct keys *keys)
{
	const struct { sqlite3_stmt **statement; const char *sql; } state[] = {
		{ &keys->get_meta,
		  "SELECT value FROM bursar_meta WHERE name = ?1" },
		{ &keys->set_meta,
		  "INSERT INTO bursar_meta VALUES (?1, ?2) "
		  "ON CONFLICT DO UPDATE SET value = excluded.value" },
		{ &keys->get_tables,
		  "SELECT name, active, keys, moved FROM key_tables" },
		{ &keys->set_table, "UPDATE key_tables SET active = ?2, "
		  "keys = ?3, moved = ?4 WHERE name = ?1" },
		{ &keys->get_runs, "SELECT run, keys FROM key_runs "
		  "WHERE name = ?1 ORDER BY run" },
		{ &keys->set_run, "INSERT INTO key_runs VALUES (?1, ?2, ?3) "
		  "ON CONFLICT DO UPDATE SET keys = excluded.keys" },
		{ &keys->get_chunks,
		  "SELECT chunk, bits FROM key_filter WHERE changed > ?1" },
		{ &keys->set_chunk, "INSERT INTO key_filter VALUES (?1, ?2, ?3)"
		  " ON CONFLICT DO UPDATE SET changed = excluded.changed, "
		  "bits = excluded.bits" },
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof(state) / sizeof(state[0]) &&
	     rc == SQLITE_OK; i++) {
		rc = db_prepare(keys->db, state[i].sql, state[i].statement);
	}
	for (int at = 0; at < TABLES && rc == SQLITE_OK; at++) {
		keys->tables[at].young = at <= YOUNG_B;
		rc = at <= YOUNG_B ? prepare_young(keys, at)
		                   : prepare_other(keys, at);
	}
	return rc;
}

/* --- state -------------------------------------------------------------- */

static int get_meta(struct keys *keys, const char *name, int64_t *value)
{
	int rc;

	sqlite3_bind_text(keys->get_meta, 1, name, -1, SQLITE_STATIC);
	rc = sqlite3_step(keys->get_meta);
	*value = rc == SQLITE_ROW ? sqlite3_column_int64(keys->get_meta, 0) : 0;
	sqlite3_reset(keys->get_meta);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int set_meta(struct keys *keys, const char *name, int64_t value)
{
	sqlite3_bind_text(keys->set_meta, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(keys->set_meta, 2, value);
	return db_run(keys->set_meta);
}

static int add_run(struct table *table, int64_t number, int64_t count)
{
	if (table->run_count == table->run_room) {
		const size_t room = table->run_room * 2 + 16;
		struct run *runs = realloc(table->runs, room * sizeof(*runs));

		if (runs == NULL) {
			return SQLITE_NOMEM;
		}
		table->runs = runs;
		table->run_room = room;
	}
	table->runs[table->run_count++] =
		(struct run){ .number = number, .keys = count };
	return SQLITE_OK;
}

static int load_runs(struct keys *keys, int at)
{
	struct table *table = &keys->tables[at];
	int added = SQLITE_OK;
	int rc;

	table->run_count = 0;
	sqlite3_bind_text(keys->get_runs, 1, table_names[at], -1,
	                  SQLITE_STATIC);
	while ((rc = sqlite3_step(keys->get_runs)) == SQLITE_ROW &&
	       added == SQLITE_OK) {
		added = add_run(table, sqlite3_column_int64(keys->get_runs, 0),
		                sqlite3_column_int64(keys->get_runs, 1));
	}
	sqlite3_reset(keys->get_runs);
	return added != SQLITE_OK ? added : rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void load_table(struct keys *keys, sqlite3_stmt *row)
{
	const char *name = (const char *)sqlite3_column_text(row, 0);
	const int size = sqlite3_column_bytes(row, 3);

	for (int at = 0; at < TABLES; at++) {
		struct table *table = &keys->tables[at];

		if (strcmp(name, table_names[at]) != 0) {
			continue;
		}
		table->active = sqlite3_column_int(row, 1) != 0;
		table->keys = sqlite3_column_int64(row, 2);
		table->moved.size = 0;
		if (size == 8) {
			memcpy(table->moved.bytes, sqlite3_column_blob(row, 3),
			       8);
			table->moved.size = 8;
		}
	}
}

static int load_state(struct keys *keys)
{
	const struct { const char *name; int64_t *value; } meta[] = {
		{ "key_next_run", &keys->next_run },
		{ "keys_per_run", &keys->keys_per_run },
		{ "keys_young", &keys->keys_young },
		{ "keys_middle", &keys->keys_middle },
		{ "key_filter_keys", &keys->filter_keys },
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof(meta) / sizeof(meta[0]) &&
	     rc == SQLITE_OK; i++) {
		rc = get_meta(keys, meta[i].name, meta[i].value);
	}
	if (rc != SQLITE_OK) {
		return rc;
	}
	while ((rc = sqlite3_step(keys->get_tables)) == SQLITE_ROW) {
		load_table(keys, keys->get_tables);
	}
	sqlite3_reset(keys->get_tables);
	rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
	for (int at = 0; at <= YOUNG_B && rc == SQLITE_OK; at++) {
		rc = load_runs(keys, at);
	}
	return rc;
}

static int store_table(struct keys *keys, const struct table *table)
{
	sqlite3_stmt *set = keys->set_table;

	sqlite3_bind_text(set, 1, name_of(keys, table), -1, SQLITE_STATIC);
	sqlite3_bind_int(set, 2, table->active);
	sqlite3_bind_int64(set, 3, table->keys);
	bind_bound(set, 4, &table->moved);
	return db_run(set);
}

/* The run that took the keys of this transaction. */
static int store_run(struct keys *keys)
{
	const struct table *table = active(keys, YOUNG_A);
	const struct run *run = &table->runs[table->run_count - 1];

	sqlite3_bind_text(keys->set_run, 1, name_of(keys, table), -1,
	                  SQLITE_STATIC);
	sqlite3_bind_int64(keys->set_run, 2, run->number);
	sqlite3_bind_int64(keys->set_run, 3, run->keys);
	return db_run(keys->set_run);
}

static int store_chunks(struct keys *keys)
{
	const size_t chunks = filter_chunks(keys->old);
	int rc = SQLITE_OK;

	for (size_t at = filter_changed(keys->old, 0);
	     at < chunks && rc == SQLITE_OK;
	     at = filter_changed(keys->old, at + 1)) {
		sqlite3_bind_int64(keys->set_chunk, 1, (int64_t)at);
		sqlite3_bind_int64(keys->set_chunk, 2, keys->writes_now);
		sqlite3_bind_blob(keys->set_chunk, 3,
		                  filter_chunk(keys->old, at), FILTER_CHUNK,
		                  SQLITE_STATIC);
		rc = db_run(keys->set_chunk);
	}
	return rc;
}

static int store_state(struct keys *keys)
{
	int rc = SQLITE_OK;

	for (int at = 0; at < TABLES && rc == SQLITE_OK; at++) {
		rc = store_table(keys, &keys->tables[at]);
	}
	if (rc == SQLITE_OK) {
		rc = set_meta(keys, "key_next_run", keys->next_run);
	}
	if (rc == SQLITE_OK) {
		rc = set_meta(keys, "key_filter_keys", keys->filter_keys);
	}
	if (rc == SQLITE_OK) {
		rc = set_meta(keys, "key_writes", keys->writes_now);
	}
	return rc == SQLITE_OK ? store_chunks(keys) : rc;
}

/* --- filters ------------------------------------------------------------ */

static int scan(sqlite3_stmt *rows, struct filter *filter)
{
	int rc;

	while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
		if (sqlite3_column_bytes(rows, 0) == KEY_SIZE) {
			filter_add(filter, sqlite3_column_blob(rows, 0));
		}
	}
	sqlite3_reset(rows);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Adds the runs of a young table that came or grew since run `known`. */
static int scan_young(struct keys *keys, int at, int64_t known)
{
	const struct table *table = &keys->tables[at];
	int rc = SQLITE_OK;

	if (table->run_count == 0 || table->runs[0].number > known) {
		filter_clear(keys->young[at]);
	}
	for (size_t i = 0; i < table->run_count && rc == SQLITE_OK; i++) {
		if (table->runs[i].number >= known) {
			sqlite3_bind_int64(keys->scan_run[at], 1,
			                   table->runs[i].number);
			rc = scan(keys->scan_run[at], keys->young[at]);
		}
	}
	return rc;
}

/* Adds the bits that others stored since `writes`. */
static int load_chunks(struct keys *keys, int64_t writes)
{
	const size_t chunks = filter_chunks(keys->old);
	int rc;

	sqlite3_bind_int64(keys->get_chunks, 1, writes);
	while ((rc = sqlite3_step(keys->get_chunks)) == SQLITE_ROW) {
		const int64_t at = sqlite3_column_int64(keys->get_chunks, 0);
		const uint8_t *more = sqlite3_column_blob(keys->get_chunks, 1);
		uint8_t *bits;

		if (at < 0 || (size_t)at >= chunks ||
		    sqlite3_column_bytes(keys->get_chunks, 1) != FILTER_CHUNK) {
			continue;
		}
		bits = filter_chunk(keys->old, (size_t)at);
		for (size_t i = 0; i < FILTER_CHUNK; i++) {
			bits[i] |= more[i];
		}
	}
	sqlite3_reset(keys->get_chunks);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int resize(struct filter **filter, size_t bytes)
{
	filter_destroy(*filter);
	*filter = filter_create(bytes);
	return *filter == NULL ? SQLITE_NOMEM : SQLITE_OK;
}

/* Others wrote, or we were just opened: learns what the filters lack. */
static int catch_up(struct keys *keys, int64_t writes)
{
	const int64_t known = keys->next_run - 1;
	int64_t since = keys->writes;
	int64_t bytes = 0;
	int rc = load_state(keys);

	if (rc == SQLITE_OK) {
		rc = get_meta(keys, "key_filter_bytes", &bytes);
	}
	if (rc == SQLITE_OK && (size_t)bytes != keys->filter_bytes) {
		keys->filter_bytes = (size_t)bytes;
		since = NEVER_LOADED;
		rc = resize(&keys->old, (size_t)bytes);
	}
	if (rc == SQLITE_OK) {
		rc = load_chunks(keys, since);
	}
	for (int at = 0; at <= YOUNG_B && rc == SQLITE_OK; at++) {
		rc = scan_young(keys, at, keys->writes < 0 ? -1 : known);
	}
	if (rc == SQLITE_OK) {
		keys->writes = writes;
		keys->stale = false;
	}
	return rc;
}

/* Makes the filter of the keys that are not young anew. */
static int rebuild(struct keys *keys, size_t bytes)
{
	static const char *const scans[] = {
		"SELECT key FROM keys_1a", "SELECT key FROM keys_1b",
		"SELECT key FROM keys_2",
	};
	int rc = resize(&keys->old, bytes);

	for (size_t i = 0; i < 3 && rc == SQLITE_OK; i++) {
		sqlite3_stmt *rows = NULL;

		rc = sqlite3_prepare_v2(keys->db, scans[i], -1, &rows, NULL);
		if (rc == SQLITE_OK) {
			rc = scan(rows, keys->old);
		}
		sqlite3_finalize(rows);
	}
	if (rc == SQLITE_OK) {
		rc = db_exec(keys->db, "DELETE FROM key_filter");
	}
	if (rc == SQLITE_OK) {
		rc = set_meta(keys, "key_filter_bytes", (int64_t)bytes);
	}
	keys->filter_bytes = bytes;
	keys->dirty = true;
	return rc;
}

static int64_t settled_keys(const struct keys *keys)
{
	return keys->tables[MIDDLE_A].keys + keys->tables[MIDDLE_B].keys +
		keys->tables[OLD].keys;
}

/* Another size was configured, or most of what was added is long gone. */
static bool wants_rebuild(const struct keys *keys, size_t bytes)
{
	return keys->filter_bytes != bytes ||
		keys->filter_keys > 2 * settled_keys(keys) + 1000000;
}

/* --- life --------------------------------------------------------------- */

static int first_load(struct keys *keys, size_t filter_bytes)
{
	int64_t bytes = 0;
	int rc = load_state(keys);

	if (rc == SQLITE_OK) {
		rc = get_meta(keys, "key_filter_bytes", &bytes);
	}
	if (rc != SQLITE_OK) {
		return rc;
	}
	keys->filter_bytes = (size_t)bytes;
	for (size_t i = 0; i < YOUNGS && rc == SQLITE_OK; i++) {
		/* 16 bits a key: one in a thousand is looked up in vain. */
		const size_t chunks = (size_t)keys->keys_young * 2 /
			FILTER_CHUNK + 1;

		rc = resize(&keys->young[i], chunks * FILTER_CHUNK);
	}
	if (rc != SQLITE_OK || !wants_rebuild(keys, filter_bytes)) {
		return rc != SQLITE_OK ? rc
		                       : resize(&keys->old, keys->filter_bytes);
	}
	rc = get_meta(keys, "key_writes", &keys->writes_now);
	keys->writes_now++;
	if (rc == SQLITE_OK) {
		rc = rebuild(keys, filter_bytes);
	}
	keys->filter_keys = settled_keys(keys);
	return rc == SQLITE_OK ? store_state(keys) : rc;
}

int keys_open(struct keys **opened, sqlite3 *db, const struct bursar_host *host)
{
	struct keys *keys = calloc(1, sizeof(*keys));

	*opened = keys;
	if (keys == NULL) {
		return SQLITE_NOMEM;
	}
	keys->db = db;
	keys->host = host;
	keys->writes = NEVER_LOADED;
	return prepare_all(keys);
}

/* In a transaction of its own, as what is learnt must not be taken back. */
static int load_filters(struct keys *keys, size_t bytes)
{
	int64_t writes = 0;
	int rc = db_exec(keys->db, "BEGIN IMMEDIATE");

	if (rc == SQLITE_OK) {
		rc = first_load(keys, bytes / FILTER_CHUNK * FILTER_CHUNK);
	}
	if (rc == SQLITE_OK) {
		rc = get_meta(keys, "key_writes", &writes);
	}
	if (rc == SQLITE_OK) {
		rc = catch_up(keys, writes);
	}
	return rc == SQLITE_OK ? db_exec(keys->db, "COMMIT") : rc;
}

int keys_load(struct keys *keys, size_t filter_bytes)
{
	int rc;

	if (keys->loaded) {
		return SQLITE_OK;
	}
	rc = load_filters(keys, filter_bytes);
	keys->dirty = false;
	keys->loaded = rc == SQLITE_OK;
	if (keys->loaded) {
		filter_settle(keys->old);
	} else {
		keys->writes = NEVER_LOADED;
	}
	return rc;
}

void keys_close(struct keys *keys)
{
	if (keys == NULL) {
		return;
	}
	for (int at = 0; at < TABLES; at++) {
		struct table *table = &keys->tables[at];

		sqlite3_finalize(table->find);
		sqlite3_finalize(table->insert);
		sqlite3_finalize(table->touch);
		sqlite3_finalize(table->slice);
		free(table->runs);
	}
	for (size_t i = 0; i < YOUNGS; i++) {
		sqlite3_finalize(keys->scan_run[i]);
		filter_destroy(keys->young[i]);
	}
	sqlite3_finalize(keys->get_meta);
	sqlite3_finalize(keys->set_meta);
	sqlite3_finalize(keys->get_tables);
	sqlite3_finalize(keys->set_table);
	sqlite3_finalize(keys->get_runs);
	sqlite3_finalize(keys->set_run);
	sqlite3_finalize(keys->get_chunks);
	sqlite3_finalize(keys->set_chunk);
	filter_destroy(keys->old);
	free(keys->moving);
	free(keys);
}

/* --- a transaction ------------------------------------------------------ */

static int start_run(struct keys *keys)
{
	struct table *table = active(keys, YOUNG_A);
	const size_t count = table->run_count;

	if (count > 0 && table->runs[count - 1].keys < keys->keys_per_run) {
		return SQLITE_OK;
	}
	keys->dirty = true;
	return add_run(table, keys->next_run++, 0);
}

int keys_begin(struct keys *keys)
{
	int64_t writes = 0;
	int rc;

	assert(keys->loaded);

	rc = get_meta(keys, "key_writes", &writes);
	keys->fresh = 0;
	keys->dirty = false;
	if (rc == SQLITE_OK && writes != keys->writes) {
		rc = catch_up(keys, writes);
	} else if (rc == SQLITE_OK && keys->stale) {
		rc = load_state(keys);
		keys->stale = rc != SQLITE_OK;
	}
	keys->writes_now = writes + 1;
	return rc == SQLITE_OK ? start_run(keys) : rc;
}

/* Where a key was found, to touch it. */
struct found {
	struct table *table;	/* NULL: nowhere */
	int64_t run;
	int64_t check;
	int64_t day;
};

static int find_row(struct table *table, const uint8_t *key, int64_t run,
                    struct found *found)
{
	int rc;

	sqlite3_bind_blob(table->find, 1, key, KEY_SIZE, SQLITE_STATIC);
	if (table->young) {
		sqlite3_bind_int64(table->find, 2, run);
	}
	rc = sqlite3_step(table->find);
	if (rc == SQLITE_ROW) {
		*found = (struct found){
			.table = table, .run = run,
			.check = sqlite3_column_int64(table->find, 0),
			.day = sqlite3_column_int64(table->find, 1),
		};
	}
	sqlite3_reset(table->find);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int find_young(struct table *table, const uint8_t *key,
                      struct found *found)
{
	int rc = SQLITE_OK;

	for (size_t i = table->run_count;
	     i-- > 0 && found->table == NULL && rc == SQLITE_OK;) {
		rc = find_row(table, key, table->runs[i].number, found);
	}
	return rc;
}

static int find(struct keys *keys, const uint8_t *key, struct found *found)
{
	int rc = SQLITE_OK;

	found->table = NULL;
	for (int at = 0; at < TABLES && found->table == NULL && rc == SQLITE_OK;
	     at++) {
		struct table *table = &keys->tables[at];
		const struct filter *filter =
			table->young ? keys->young[at] : keys->old;

		if ((table->keys == 0 && !table->active) ||
		    !filter_has(filter, key) || is_moved(table, key)) {
			continue;
		}
		rc = table->young ? find_young(table, key, found)
		                  : find_row(table, key, 0, found);
	}
	return rc;
}

static int touch(struct keys *keys, const struct found *found,
                 const uint8_t *key, int64_t day)
{
	sqlite3_stmt *touch = found->table->touch;

	sqlite3_bind_blob(touch, 1, key, KEY_SIZE, SQLITE_STATIC);
	if (found->table->young) {
		sqlite3_bind_int64(touch, 2, found->run);
	}
	sqlite3_bind_int64(touch, 3, day);
	keys->dirty = true;
	return db_run(touch);
}

static int insert(struct keys *keys, const uint8_t *key, uint64_t check,
                  int64_t day)
{
	struct table *table = active(keys, YOUNG_A);
	struct run *run = &table->runs[table->run_count - 1];
	int rc;

	sqlite3_bind_blob(table->insert, 1, key, KEY_SIZE, SQLITE_STATIC);
	sqlite3_bind_int64(table->insert, 2, (int64_t)check);
	sqlite3_bind_int64(table->insert, 3, day);
	sqlite3_bind_int64(table->insert, 4, run->number);
	rc = db_run(table->insert);
	if (rc == SQLITE_OK) {
		filter_add(keys->young[table - keys->tables], key);
		table->keys++;
		run->keys++;
		keys->fresh++;
		keys->dirty = true;
	}
	return rc;
}

int keys_find(struct keys *keys, const uint8_t key[KEY_SIZE], uint64_t check,
              enum key_state *state)
{
	struct found found;
	const int rc = find(keys, key, &found);

	*state = found.table == NULL             ? KEY_NEW
	       : found.check == (int64_t)check   ? KEY_SAME
	                                         : KEY_OTHER;
	return rc;
}

int keys_take(struct keys *keys, const uint8_t key[KEY_SIZE], uint64_t check,
              int64_t day, enum key_state *state)
{
	struct found found;
	const int rc = find(keys, key, &found);

	*state = KEY_NEW;
	if (rc != SQLITE_OK) {
		return rc;
	}
	if (found.table == NULL) {
		return insert(keys, key, check, day);
	}
	if (found.check != (int64_t)check) {
		*state = KEY_OTHER;
		return SQLITE_OK;
	}
	*state = KEY_SAME;
	return found.day < day ? touch(keys, &found, key, day) : SQLITE_OK;
}

/* --- moving on ---------------------------------------------------------- */

static int collect(struct keys *keys, sqlite3_stmt *rows, size_t *count)
{
	int rc;

	while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
		struct key_row *row;

		if (*count == keys->moving_room) {
			const size_t room = keys->moving_room * 2 + 4096;

			row = realloc(keys->moving, room * sizeof(*row));
			if (row == NULL) {
				rc = SQLITE_NOMEM;
				break;
			}
			keys->moving = row;
			keys->moving_room = room;
		}
		row = &keys->moving[(*count)++];
		memcpy(row->key, sqlite3_column_blob(rows, 0), KEY_SIZE);
		row->check = sqlite3_column_int64(rows, 1);
		row->day = sqlite3_column_int64(rows, 2);
	}
	sqlite3_reset(rows);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int compare_rows(const void *left, const void *right)
{
	const struct key_row *a = left;
	const struct key_row *b = right;

	return memcmp(a->key, b->key, KEY_SIZE);
}

/* All of the table was moved, or purged: it starts again from nothing. */
static int empty(struct keys *keys, struct table *table)
{
	const char *name = name_of(keys, table);
	int rc = db_exec_take(keys->db, sqlite3_mprintf(
		"DELETE FROM %s; DELETE FROM key_runs WHERE name = '%s'",
		name, name));

	table->keys = 0;
	table->run_count = 0;
	table->moved.size = 0;
	if (table->young) {
		keys->emptied[table - keys->tables] = true;
	}
	return rc;
}

static int put_rows(struct keys *keys, struct table *to, size_t count)
{
	int rc = SQLITE_OK;

	qsort(keys->moving, count, sizeof(*keys->moving), compare_rows);
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
		const struct key_row *row = &keys->moving[i];

		sqlite3_bind_blob(to->insert, 1, row->key, KEY_SIZE,
		                  SQLITE_STATIC);
		sqlite3_bind_int64(to->insert, 2, row->check);
		sqlite3_bind_int64(to->insert, 3, row->day);
		rc = db_run(to->insert);
		filter_add(keys->old, row->key);
	}
	to->keys += (int64_t)count;
	keys->filter_keys += (int64_t)count;
	keys->debt_middle += (int64_t)(count + count / 4);
	return rc;
}

static int move_young(struct keys *keys, int64_t want)
{
	struct table *from = resting(keys, YOUNG_A);
	const struct bound end = slice_end(bound_prefix(&from->moved), want,
	                                   from->keys);
	size_t count = 0;
	int rc = SQLITE_OK;

	bind_bound(from->slice, 1, &from->moved);
	bind_bound(from->slice, 2, &end);
	for (size_t i = 0; i < from->run_count && rc == SQLITE_OK; i++) {
		sqlite3_bind_int64(from->slice, 3, from->runs[i].number);
		rc = collect(keys, from->slice, &count);
	}
	if (rc == SQLITE_OK && count > 0) {
		rc = put_rows(keys, active(keys, MIDDLE_A), count);
	}
	from->moved = end;
	if (rc == SQLITE_OK && end.size > 8) {
		rc = empty(keys, from);
	}
	return rc;
}

static int move_middle(struct keys *keys, int64_t want)
{
	struct table *from = resting(keys, MIDDLE_A);
	const struct bound end = slice_end(bound_prefix(&from->moved), want,
	                                   from->keys);
	int rc;

	bind_bound(from->slice, 1, &from->moved);
	bind_bound(from->slice, 2, &end);
	rc = db_run(from->slice);
	keys->tables[OLD].keys += sqlite3_changes(keys->db);
	from->moved = end;
	if (rc == SQLITE_OK && end.size > 8) {
		rc = empty(keys, from);
	}
	return rc;
}

/* When the active table is large, and the other empty, they change places. */
static void swap(struct keys *keys, int a, int64_t large)
{
	struct table *grown = active(keys, a);
	struct table *other = resting(keys, a);

	if (grown->keys >= large && other->keys == 0) {
		grown->active = false;
		other->active = true;
	}
}

static int64_t at_most(int64_t count, int64_t limit)
{
	return count < limit ? count : limit;
}

static int move_on(struct keys *keys)
{
	const int64_t worthwhile = keys->keys_per_run / 16;
	int rc = SQLITE_OK;

	keys->debt_young += keys->fresh + keys->fresh / 4 + 1;
	swap(keys, YOUNG_A, keys->keys_young);
	if (resting(keys, YOUNG_A)->keys == 0) {
		keys->debt_young = 0;
	} else if (keys->debt_young >= worthwhile) {
		rc = move_young(keys, at_most(keys->debt_young, MOVE_MAX));
		keys->debt_young = 0;
	}
	swap(keys, MIDDLE_A, keys->keys_middle);
	if (resting(keys, MIDDLE_A)->keys == 0) {
		keys->debt_middle = 0;
	} else if (rc == SQLITE_OK && keys->debt_middle >= worthwhile) {
		rc = move_middle(keys, at_most(keys->debt_middle, MOVE_MAX));
		keys->debt_middle = 0;
	}
	return rc;
}

int keys_end(struct keys *keys)
{
	int rc;

	if (!keys->dirty) {
		return SQLITE_OK;
	}
	rc = store_run(keys);
	if (rc == SQLITE_OK && keys->fresh > 0) {
		rc = move_on(keys);
	}
	return rc == SQLITE_OK ? store_state(keys) : rc;
}

void keys_settle(struct keys *keys, bool committed)
{
	for (size_t i = 0; i < YOUNGS; i++) {
		if (keys->emptied[i] && committed) {
			filter_clear(keys->young[i]);
		}
		keys->emptied[i] = false;
	}
	if (!committed) {
		keys->stale = true;
	} else if (keys->dirty) {
		keys->writes = keys->writes_now;
		filter_settle(keys->old);
	}
	keys->dirty = false;
}

/* --- purging ------------------------------------------------------------ */

/* In a young table the oldest keys stand first: a search from there. */
static char *purge_young_sql(const char *name)
{
	return sqlite3_mprintf(
		"DELETE FROM %s WHERE (run, key) IN (SELECT run, key FROM %s "
		"WHERE day < ?1 AND key >= ?3 LIMIT ?2)", name, name);
}

static char *purge_other_sql(const char *name)
{
	return sqlite3_mprintf(
		"DELETE FROM %s WHERE key IN (SELECT key FROM %s "
		"WHERE day < ?1 AND key >= ?3 AND key < ?4 LIMIT ?2)",
		name, name);
}

/* Purges the table, or the next slice of it; *done: nothing is left in it. */
static int purge_table(struct keys *keys, struct table *table, int64_t day,
                       uint64_t limit, uint64_t *taken, bool *done)
{
	const char *name = name_of(keys, table);
	struct bound from = bound_at(keys->purge_from);
	struct bound end = bound_last();
	sqlite3_stmt *statement = NULL;
	int rc;

	rc = db_prepare_take(keys->db, table->young ? purge_young_sql(name)
	                                            : purge_other_sql(name),
	                     &statement);
	if (rc != SQLITE_OK) {
		return rc;
	}
	if (keys->purge_from < bound_prefix(&table->moved)) {
		from = table->moved;
	}
	if (!table->young) {
		end = slice_end(bound_prefix(&from), (int64_t)limit * 4,
		                table->keys);
		bind_bound(statement, 4, &end);
	}
	sqlite3_bind_int64(statement, 1, day);
	sqlite3_bind_int64(statement, 2, (int64_t)limit);
	bind_bound(statement, 3, &from);
	rc = db_run(statement);
	sqlite3_finalize(statement);
	*taken = rc == SQLITE_OK ? (uint64_t)sqlite3_changes(keys->db) : 0;
	if (*taken < limit) {
		keys->purge_from = bound_prefix(&end);
		*done = end.size > 8;
	}
	return rc;
}

int keys_purge(struct keys *keys, int64_t day, uint64_t limit, uint64_t *taken,
               bool *more)
{
	int rc = SQLITE_OK;

	*taken = 0;
	limit = limit < INT32_MAX ? limit : INT32_MAX;
	if (day != keys->purge_day) {
		keys->purge_day = day;
		keys->purge_table = 0;
		keys->purge_from = 0;
	}
	for (uint64_t seen = 0; seen < limit && rc == SQLITE_OK;) {
		struct table *table = &keys->tables[keys->purge_table];
		uint64_t gone = 0;
		bool done = table->keys == 0;

		if (!done) {
			rc = purge_table(keys, table, day, limit - seen, &gone,
			                 &done);
			seen = limit;
		}
		if (gone > 0) {
			table->keys -= (int64_t)gone;
			*taken += gone;
			keys->dirty = true;
		}
		if (rc == SQLITE_OK && table->keys == 0 && !table->active) {
			rc = empty(keys, table);
		}
		if (done) {
			keys->purge_from = 0;
			keys->purge_table++;
		}
		if (keys->purge_table == TABLES) {
			keys->purge_table = 0;
			*more = false;
			return rc;
		}
	}
	*more = true;
	return rc;
}
