/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sqlite.h - the parts of the sqlite sink, and how they tell of failure
 *
 *	sqlite.c	the operations, options, description
 *	sqlite_db.c	statements, failures in words
 *	sqlite_schema.c	tables, views, migrations
 *	sqlite_keys.c	which records are there already
 *	sqlite_filter.c	a Bloom filter before the keys
 *	sqlite_rows.c	rows and sums
 *	sqlite_sql.c	statements from outside
 *	sqlite_purge.c	what expires
 *	sqlite_backup.c	a copy of the live ledger
 *
 * Inside the sink a function that may fail returns an (extended) result code
 * of SQLite, SQLITE_OK where all is well.  db_fail() makes a verdict and a
 * sentence of it; so the code has to reach it before another call on the
 * database overwrites SQLite's own message.
 */
#ifndef SINKS_SQLITE_H
#define SINKS_SQLITE_H

#include <sqlite3.h>

#include <bursar/sink.h>

#include "common/rollup.h"

/* --- sqlite_db.c -------------------------------------------------------- */

/* What db_fail() knows of the context. */
enum db_work {
	DB_OURS,	/* a statement of the sink's own */
	DB_THEIRS,	/* a statement that was handed to sql() */
};

/*
 * The verdict for result code rc, with a sentence about `path` in *err, which
 * keeps one that stands there already.
 */
enum bursar_verdict db_fail(sqlite3 *db, int rc, const char *path,
                            enum db_work work, struct bursar_error *err);

/* Runs statements without rows; for several, separated by semicolons. */
int db_exec(sqlite3 *db, const char *sql);
/* The same for a text made by sqlite3_mprintf(), which it frees; NULL is
 * SQLITE_NOMEM. */
int db_exec_take(sqlite3 *db, char *sql);
/* Prepares a statement that lives long. */
int db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **statement);
int db_prepare_take(sqlite3 *db, char *sql, sqlite3_stmt **statement);
/* Runs a statement that has no rows, and resets it. */
int db_run(sqlite3_stmt *statement);
/* The first column of the first row of `sql` as an integer, else `fallback`. */
int db_integer(sqlite3 *db, const char *sql, int64_t fallback, int64_t *value);

/* --- sqlite_schema.c ---------------------------------------------------- */

#define LEDGER_VERSION 4

/*
 * Makes the tables that are missing, and migrates an older ledger, in one
 * transaction; a crash leaves the old or the new state.  A file that is no
 * ledger, or a newer one, is refused.
 */
enum bursar_verdict schema_migrate(sqlite3 *db, const struct bursar_host *host,
                                   const char *path, struct bursar_error *err);

/* Refuses, in the same way, what cannot be read as it is. */
enum bursar_verdict schema_check(sqlite3 *db, const struct bursar_host *host,
                                 const char *path, struct bursar_error *err);

/* Refuses what is no ledger, or a newer one; changes nothing. */
enum bursar_verdict schema_recognise(sqlite3 *db, const char *path,
                                     struct bursar_error *err);

/*
 * A newer bursar may migrate a ledger that others have open, and what they know
 * of its tables holds no more.  Refuses another version than ours; within a
 * transaction it stays the same.
 */
#define SCHEMA_GET_VERSION "PRAGMA user_version"
int schema_confirm(sqlite3_stmt *get_version, const char *path,
                   struct bursar_error *err);

/* --- sqlite_filter.c ---------------------------------------------------- */

#define KEY_SIZE 16

/*
 * A set of keys that may say yes to a key that was never added, but never no
 * to one that was.  Keys that are near each other in order are near each
 * other in memory.
 */
struct filter;

/* The keys of one chunk share the leading bits; what is stored and read. */
#define FILTER_CHUNK 65536u

struct filter *filter_create(size_t bytes);	/* multiple of FILTER_CHUNK */
void filter_destroy(struct filter *filter);
void filter_add(struct filter *filter, const uint8_t key[KEY_SIZE]);
bool filter_has(const struct filter *filter, const uint8_t key[KEY_SIZE]);
void filter_clear(struct filter *filter);
size_t filter_chunks(const struct filter *filter);
/* The bytes of a chunk, lent; its owner may change them. */
uint8_t *filter_chunk(struct filter *filter, size_t chunk);
/* The first chunk from `from` that changed since filter_settle(), or
 * filter_chunks(). */
size_t filter_changed(const struct filter *filter, size_t from);
/* What changed is stored now. */
void filter_settle(struct filter *filter);

/* --- sqlite_keys.c ------------------------------------------------------ */

struct keys;

/* What the ledger has of a key. */
enum key_state { KEY_NEW, KEY_SAME, KEY_OTHER };

/* Prepares statements.  *keys is to be given to keys_close(), also when it
 * fails. */
int keys_open(struct keys **keys, sqlite3 *db, const struct bursar_host *host);
void keys_close(struct keys *keys);

/*
 * Loads the filters, once, outside of a transaction and before the first
 * keys_begin(): who takes no keys shall not pay for them.  `filter_bytes` is
 * the option.  Where it fails it may leave a transaction open, and is to be
 * called again.
 */
int keys_load(struct keys *keys, size_t filter_bytes);

/*
 * Within a transaction, in this order: keys_begin(), any number of keys_take(),
 * keys_end(); and after it keys_settle(), which is told whether it was
 * committed.
 */
int keys_begin(struct keys *keys);
/*
 * Adds a key that is not there, *state KEY_NEW; else says whether it is there
 * with the same check.  Keys are best given in order.
 */
int keys_take(struct keys *keys, const uint8_t key[KEY_SIZE], uint64_t check,
              int64_t day, enum key_state *state);
/* As keys_take(), but adds nothing. */
int keys_find(struct keys *keys, const uint8_t key[KEY_SIZE], uint64_t check,
              enum key_state *state);
int keys_end(struct keys *keys);
void keys_settle(struct keys *keys, bool committed);

/*
 * Takes at most `limit` keys that were last used before `day`, in a transaction
 * between keys_begin() and keys_end().  *more: there may be others.
 */
int keys_purge(struct keys *keys, int64_t day, uint64_t limit,
               uint64_t *taken, bool *more);

/* --- sqlite_rows.c ------------------------------------------------------ */

struct rows;

int rows_open(struct rows **rows, sqlite3 *db, const struct bursar_host *host);
void rows_close(struct rows *rows);

/* Within a transaction: rows_begin(), rows_add()s, rows_end(). */
int rows_begin(struct rows *rows);
/* Stores a record; `id` is the text it is stored under where that is not the
 * record's own (data NULL). */
int rows_add(struct rows *rows, const struct bursar_record *record,
             struct bursar_span id);
/* Adds what was stored to the sums. */
int rows_end(struct rows *rows);

/* --- sqlite_tags.c ------------------------------------------------------ */

/* Makes the function bursar_tag(tags, key) known to the connection. */
int tags_function(sqlite3 *db);

/* Reads which tags are dimensions, by a statement of ROLLUP_READ_TAGS. */
int tags_dimensions(sqlite3_stmt *statement,
                    struct rollup_tag tags[ROLLUP_MAX_TAGS], size_t *count);

/* --- sqlite_sql.c ------------------------------------------------------- */

/* Statements that were prepared, the latest used kept. */
struct statements;

struct statements *statements_create(sqlite3 *db);
void statements_destroy(struct statements *statements);

/* Whether one of them may have changed something. */
bool statements_changed(const struct statements *statements);

/* As sql() of a sink. */
enum bursar_verdict statements_run(struct statements *statements,
                                   const char *path, const char *sql,
                                   const struct bursar_cell *parameters,
                                   size_t parameter_count,
                                   bursar_row_fn *row, void *context,
                                   struct bursar_error *err);

/* --- sqlite_purge.c ----------------------------------------------------- */

#define PURGE_KINDS 8
#define PURGE_ROWS  10000u	/* of one step, however many it may take */

/* What a step may take of a kind. */
struct purge_found {
	int64_t *ids;
	size_t   count;
	size_t   room;
	bool     full;		/* there may be more */
	int64_t  from;		/* ids that are looked at by the next step */
};

/* Where a purge stands that takes many steps. */
struct purge_walk {
	int64_t  now, facts_before;	/* that it is about */
	struct purge_found kinds[PURGE_KINDS];
	uint64_t left;		/* that the step may take of keys */
	bool     more;
};

/* Finds the rows of the next step; not within a transaction. */
int purge_find(sqlite3 *db, const struct bursar_host *host,
               const struct bursar_purge *what, struct purge_walk *walk);
/* Takes them, as far as they are not held by now, and keys; within one, and
 * where what->keys_before says that keys go, between keys_begin() and
 * keys_end(). */
int purge_run(sqlite3 *db, const struct bursar_host *host, struct keys *keys,
              const struct bursar_purge *what, const struct purge_walk *walk,
              struct bursar_purged *purged);
/* The step was committed: the next one goes on behind it. */
void purge_settle(struct purge_walk *walk);
/* The next step begins at the beginning; frees what was found. */
void purge_forget(struct purge_walk *walk);
int purge_count(sqlite3 *db, const struct bursar_host *host,
                const struct bursar_purge *what, struct bursar_purged *purged);

/* --- sqlite_backup.c ---------------------------------------------------- */

/* As backup() of a sink. */
enum bursar_verdict backup_run(sqlite3 *db, const char *path, const char *to,
                               struct bursar_error *err);

#endif
