/* SPDX-License-Identifier: Apache-2.0 */

/*
 * postgres.h - the parts of the postgres sink, and how they tell of failure
 *
 *	postgres.c		the operations, options, description
 *	postgres_connect.c	a connection and the settings of its session
 *	postgres_db.c		statements, waiting, failures in words
 *	postgres_states.c	what each SQLSTATE means
 *	postgres_schema.c	tables, views, migrations
 *	postgres_parts.c	partitions by time
 *	postgres_copy.c		rows on their way by COPY
 *	postgres_keys.c		which records are there already
 *	postgres_numbers.c	keys of records that are counted
 *	postgres_rows.c		rows and sums
 *	postgres_sql.c		statements from outside
 *	postgres_purge.c	what expires
 *
 * Inside the sink a function that may fail returns a verdict with *err filled;
 * struct db keeps the SQLSTATE of the last failure for those who can do
 * something about it.  Nothing is told apart by the text of a message.
 */
#ifndef SINKS_POSTGRES_H
#define SINKS_POSTGRES_H

#include <endian.h>

#include <libpq-fe.h>

#include <bursar/sink.h>

#include "common/columns.h"
#include "common/places.h"
#include "common/rollup.h"

#define KEY_SIZE 16

/* --- postgres_states.c --------------------------------------------------- */

/* What is known of the context of a failure. */
enum db_work {
	DB_OURS,	/* a statement of the sink's own */
	DB_THEIRS,	/* a statement that was handed to sql() */
};

/* The verdict on a failure with that SQLSTATE; "" where there is none. */
enum bursar_verdict states_verdict(const char state[6], enum db_work work);
/* What a person can do about it; NULL: the server's own words say enough. */
const char *states_advice(const char state[6]);
int states_errno(const char state[6]);

/* --- postgres_db.c ------------------------------------------------------- */

struct db {
	const struct bursar_host *host;
	PGconn  *conn;
	bool     reader;
	bool     still;		/* a reader: answers as of one moment */
	char     stamp[32];	/* what a reader found as it connected, see
				 * schema_stamp(); "": none */
	char     label[200];	/* "ledger at 10.0.0.7:5432, schema bursar" */
	int64_t  patience_ms;	/* how long an answer may take; 0: for ever */
	char     state[6];	/* SQLSTATE of the last failure */
	char     constraint[64];	/* that it broke; "" for none */
};

/* Type numbers of the catalogue, which never change. */
enum { DB_BYTEA = 17, DB_INT8 = 20, DB_INT2 = 21, DB_INT4 = 23, DB_TEXT = 25,
       DB_FLOAT8 = 701, DB_BYTEAS = 1001, DB_INT8S = 1016, DB_TEXTS = 1009 };

#define DB_MAX_VALUES 48

/* Parameters of a statement, lent for the call. */
struct db_values {
	int         count;
	Oid         types[DB_MAX_VALUES];
	const char *data[DB_MAX_VALUES];
	int         sizes[DB_MAX_VALUES];
	int         formats[DB_MAX_VALUES];
	char        room[DB_MAX_VALUES][24];	/* for numbers */
};

void db_add_integer(struct db_values *values, int64_t value);
/* Ends in NUL. */
void db_add_text(struct db_values *values, const char *value);
/* As the server sends and takes that type in binary. */
void db_add_binary(struct db_values *values, Oid type, const void *data,
                   size_t size);

/*
 * The verdict on `result`, or on the connection where it is NULL, with a
 * sentence in *err, which keeps one that stands there already.
 */
enum bursar_verdict db_fail(struct db *db, const PGresult *result,
                            enum db_work work, struct bursar_error *err);

/* Waits for the next result of what was sent; NULL: there is no other. */
PGresult *db_next(struct db *db);
/* Sends what waits to be sent.  False: the connection is gone. */
bool db_flush(struct db *db);

/* Runs statements, separated by semicolons, without values and rows. */
enum bursar_verdict db_exec(struct db *db, const char *sql,
                            struct bursar_error *err);
/* The same; the rows of the last one in *result, as db_query(). */
enum bursar_verdict db_exec_rows(struct db *db, const char *sql,
                                 PGresult **result, struct bursar_error *err);
/*
 * Runs one statement; rows come in *result, which the caller clears, in binary
 * where `binary` says so.  result may be NULL.
 */
enum bursar_verdict db_query(struct db *db, const char *sql,
                             const struct db_values *values, bool binary,
                             PGresult **result, struct bursar_error *err);
/* The same for one that was prepared. */
enum bursar_verdict db_run(struct db *db, const char *name,
                           const struct db_values *values, bool binary,
                           PGresult **result, struct bursar_error *err);
enum bursar_verdict db_prepare(struct db *db, const char *name,
                               const char *sql, struct bursar_error *err);
/* One value, of the first row; `fallback` where there is none. */
enum bursar_verdict db_integer(struct db *db, const char *sql,
                               const struct db_values *values,
                               int64_t fallback, int64_t *value,
                               struct bursar_error *err);
/* Takes back a transaction, if one is open. */
void db_rollback(struct db *db);

/* Text that grows; `failed` once memory was short, then nothing is added. */
struct text {
	char  *data;		/* ends in NUL once anything was added */
	size_t size;
	size_t room;
	bool   failed;
};

__attribute__((format(printf, 2, 3)))
void text_add(struct text *text, const char *fmt, ...);
void text_put(struct text *text, const void *data, size_t size);
/* Frees the text, or keeps its memory for the next one. */
void text_finish(struct text *text);
void text_clear(struct text *text);
/* Runs the text and frees it. */
enum bursar_verdict db_exec_text(struct db *db, struct text *text,
                                 struct bursar_error *err);

/* Room for so many bytes more, which the caller fills; NULL: out of memory. */
char *text_room(struct text *text, size_t size);

/* Big-endian, as the protocol has numbers. */
void text_put32(struct text *text, int64_t value);
void text_put64(struct text *text, int64_t value);
/* An array of so many elements, none NULL, in place of what was there; the
 * elements follow. */
void text_begin_array(struct text *text, Oid type, size_t count);
int64_t db_get64(const char *data);
int64_t db_get32(const char *data);

/* --- postgres_connect.c -------------------------------------------------- */

/* Connects and sets up the session; db->host is set, the rest zero. */
enum bursar_verdict connect_open(struct db *db, enum bursar_mode mode,
                                 struct bursar_error *err);

/* --- postgres_schema.c --------------------------------------------------- */

#define LEDGER_VERSION 4

/*
 * What a ledger has, in two words: a hash of all columns, the version.  Both
 * are notes of bursar_meta; who brings a ledger up to date writes them, so that
 * one look tells a reader that nothing is missing.
 */
#define SCHEMA_ASK_STAMP \
	"SELECT string_agg(value, ' ' ORDER BY name) FROM bursar_meta " \
	"WHERE name IN ('ledger_stamp', 'ledger_version')"

/* The answer to that where it is as this version makes it. */
void schema_stamp(const struct bursar_schema *schema, char stamp[32]);

/* One who holds it makes tables or partitions; ends with the transaction. */
enum bursar_verdict schema_lock(struct db *db, struct bursar_error *err);

/* As open() with WRITE and READ. */
enum bursar_verdict schema_migrate(struct db *db, struct bursar_error *err);
enum bursar_verdict schema_check(struct db *db, struct bursar_error *err);

/*
 * A newer bursar may migrate a ledger that others have open, and what they know
 * of its tables holds no more.  CONFIG: the ledger has another version than
 * ours; not within a transaction.
 */
enum bursar_verdict schema_confirm(struct db *db, struct bursar_error *err);
/* Commits, but only to a ledger that still has our version; takes no longer.
 * As schema_confirm() else. */
enum bursar_verdict schema_commit(struct db *db, struct bursar_error *err);

/* --- postgres_parts.c ---------------------------------------------------- */

/* A partition of a kind's table: ids [from, to). */
struct part {
	char    name[64];
	int64_t from;		/* INT64_MIN: no bound */
	int64_t to;		/* INT64_MAX: no bound */
};

/* The partitions of one kind, in order. */
struct parts {
	const struct bursar_kind *kind;
	struct part *list;
	size_t count;
	size_t room;
	bool   known;		/* false: to be read */
	size_t latest;		/* the one that had the last id */
};

void parts_finish(struct parts *parts);
enum bursar_verdict parts_read(struct db *db, struct parts *parts,
                               struct bursar_error *err);
/*
 * The block of a record's id: as columns_block(), but of bodies what has
 * expired by `now` is put in the day before it, and health data goes with the
 * day before the one on which it expires, as whole days are dropped.
 */
int64_t parts_block(const struct bursar_record *record, int64_t now);
static inline int64_t parts_first_id(int64_t block)
{
	return (int64_t)((uint64_t)block << COLUMNS_ID_SHIFT);
}
/* Whether there is a partition for that block. */
bool parts_has(struct parts *parts, int64_t block);
/* Makes the one that is missing, in a transaction of its own. */
enum bursar_verdict parts_make(struct db *db, struct parts *parts,
                               int64_t block, int64_t now,
                               struct bursar_error *err);

/* --- postgres_copy.c ----------------------------------------------------- */

/*
 * Rows on their way to a table, in the binary format.  A column is written
 * where copy_row() has made room for it; there are some sixty in each row, so
 * these functions stand here.
 */
struct copy {
	struct db *db;
	char  *data;
	size_t size;
	size_t room;
	bool   failed;		/* memory was short */
	bool   open;		/* the server waits for rows */
	bool   refused;		/* a question before it found nothing */
	enum bursar_verdict verdict;	/* on what stands before it */
	struct bursar_error why;
};

void copy_finish(struct copy *copy);
/*
 * `sql` ends in a COPY ... FROM STDIN (FORMAT binary); where a SELECT before it
 * has no row nothing is copied, and the end fails with `refused`.  Nothing is
 * waited for: what the server says of it is heard with the first rows that are
 * sent, and told by copy_end().
 */
enum bursar_verdict copy_begin(struct copy *copy, struct db *db,
                               const char *sql, struct bursar_error *err);
/*
 * A row of so many columns, whose texts have so many bytes in all, then each of
 * the columns in order.  False: out of memory, and there is no such row.
 */
bool copy_row(struct copy *copy, size_t columns, size_t bytes);

static inline void copy_put(struct copy *copy, const void *data, size_t size)
{
	memcpy(copy->data + copy->size, data, size);
	copy->size += size;
}

static inline void copy_size(struct copy *copy, uint32_t size)
{
	const uint32_t word = htobe32(size);

	copy_put(copy, &word, sizeof(word));
}

static inline void copy_null(struct copy *copy)
{
	copy_size(copy, UINT32_MAX);
}

static inline void copy_int2(struct copy *copy, int64_t value)
{
	const uint16_t word = htobe16((uint16_t)value);

	copy_size(copy, sizeof(word));
	copy_put(copy, &word, sizeof(word));
}

static inline void copy_int4(struct copy *copy, int64_t value)
{
	const uint32_t word = htobe32((uint32_t)value);

	copy_size(copy, sizeof(word));
	copy_put(copy, &word, sizeof(word));
}

static inline void copy_int8(struct copy *copy, int64_t value)
{
	const uint64_t word = htobe64((uint64_t)value);

	copy_size(copy, sizeof(word));
	copy_put(copy, &word, sizeof(word));
}

static inline void copy_bytes(struct copy *copy, const void *data, size_t size)
{
	copy_size(copy, (uint32_t)size);
	if (size > 0) {
		copy_put(copy, data, size);
	}
}

#define COPY_READABLE 16	/* beyond a number, for each of these two */

/* A time as timestamptz, NULL where that has no such time; nano-dollars as
 * numeric dollars. */
void copy_time(struct copy *copy, int64_t us);
void copy_dollars(struct copy *copy, int64_t nano);

/* Sends what has gathered, if that is a lot.  False: the end will say why. */
bool copy_push(struct copy *copy);
/* Sends the rest; what comes of it is known when copy_end() returns, and until
 * then there is time for other work.  `cancel`: nothing is to be stored. */
void copy_last(struct copy *copy, bool cancel);
enum bursar_verdict copy_end(struct copy *copy, struct bursar_error *err);

/* --- postgres_keys.c ----------------------------------------------------- */

struct keys;

/* A batch on its way; arrays have room for `count`. */
struct batch {
	struct bursar_record *const *records;
	size_t count;
	enum bursar_outcome *outcomes;
	struct place *places;	/* of what is new; index and id are filled */
	size_t fresh;		/* how many */
};

/* A key, and what the ledger has of it. */
struct key_row {
	uint8_t  key[KEY_SIZE];
	uint64_t check;		/* of what is stored, or to be stored */
	int64_t  day;		/* of its last use */
	bool     found;		/* it stands in the ledger */
};

enum bursar_verdict keys_open(struct keys **keys, struct db *db,
                              struct bursar_error *err);
void keys_close(struct keys *keys);

/* Whether nothing tells of duplicates: keys_copy() may be tried. */
bool keys_look_new(struct keys *keys, const struct batch *batch);
/*
 * Begins a transaction: adds the keys of the batch, on the assumption that none
 * is there, and fills outcomes and places as if that were so.  Whether it is
 * keys_copied() says: where not it fails with *known set, and the transaction
 * with it.
 */
enum bursar_verdict keys_copy(struct keys *keys, struct batch *batch,
                              struct bursar_error *err);
enum bursar_verdict keys_copied(struct keys *keys, bool *known,
                                struct bursar_error *err);
/* Within a transaction: adds those that are new; says of each what it is. */
enum bursar_verdict keys_take(struct keys *keys, struct batch *batch,
                              size_t *culprit, struct bursar_error *err);
/* The transaction of keys_copy() or keys_take() was committed. */
void keys_settle(struct keys *keys, const struct batch *batch);

/* A step of a purge, within a transaction; see bursar/sink.h. */
enum bursar_verdict keys_purge(struct keys *keys, int64_t day, uint64_t limit,
                               uint64_t *taken, bool *more,
                               struct bursar_error *err);

/*
 * Rows, all different, in order of key.  keys_find() fills what is found of
 * them.  keys_add() adds them with their check, and says of those that were
 * there already that they are `found`.
 */
enum bursar_verdict keys_find(struct keys *keys, struct key_row *rows,
                              size_t count, struct bursar_error *err);
enum bursar_verdict keys_add(struct keys *keys, struct key_row *rows,
                             size_t count, int64_t day,
                             struct bursar_error *err);

/* --- postgres_numbers.c -------------------------------------------------- */

struct numbers;

struct numbers *numbers_create(struct keys *keys,
                               const struct bursar_host *host);
void numbers_destroy(struct numbers *numbers);

/*
 * A COUNTED record of the batch whose number 0 is another's; in the order of
 * the batch.  False: out of memory.
 */
bool numbers_push(struct numbers *numbers, size_t index);
/*
 * Within a transaction: gives numbers from 1 on to all that were pushed, fills
 * their outcomes, and adds places for those that are new.
 */
enum bursar_verdict numbers_take(struct numbers *numbers, struct batch *batch,
                                 int64_t day, size_t *culprit,
                                 struct bursar_error *err);
/* Forgets the batch. */
void numbers_clear(struct numbers *numbers);

/* --- postgres_rows.c ----------------------------------------------------- */

struct rows;

enum bursar_verdict rows_open(struct rows **rows, struct db *db,
                              struct bursar_error *err);
void rows_close(struct rows *rows);

/* Before a transaction: partitions, numbers for ids, dimensions. */
enum bursar_verdict rows_prepare(struct rows *rows, const struct batch *batch,
                                 struct bursar_error *err);
/* Once the places of the batch are known: their order, and their sums.  Asks
 * nothing of the server. */
enum bursar_verdict rows_plan(struct rows *rows, struct batch *batch,
                              struct bursar_error *err);
/* Within the transaction: stores the places, and adds their sums; with
 * `saturate` a sum that passes 63 bits stays at their end. */
enum bursar_verdict rows_store(struct rows *rows, const struct batch *batch,
                               struct bursar_error *err);
enum bursar_verdict rows_sum(struct rows *rows, bool saturate,
                             struct bursar_error *err);
/* False: a row had no partition, as somebody took it away. */
bool rows_know_parts(const struct rows *rows);

/* --- postgres_tags.c ----------------------------------------------------- */

/* Which tags are dimensions, as the ledger said a second ago at most. */
struct dimensions {
	struct rollup_tag tags[ROLLUP_MAX_TAGS];
	size_t  count;
	int64_t read_us;	/* 0: not yet */
};

enum bursar_verdict dimensions_read(struct dimensions *dimensions,
                                    struct db *db, struct bursar_error *err);

/* --- postgres_sql.c ------------------------------------------------------ */

/* As sql() of a sink. */
enum bursar_verdict sql_run(struct db *db, const char *statement,
                            const struct bursar_cell *parameters,
                            size_t parameter_count, bursar_row_fn *row,
                            void *context, struct bursar_error *err);
/* The same within a transaction, which stays open. */
enum bursar_verdict sql_run_within(struct db *db, const char *statement,
                                   const struct bursar_cell *parameters,
                                   size_t parameter_count, bursar_row_fn *row,
                                   void *context, struct bursar_error *err);

/* --- postgres_purge.c ---------------------------------------------------- */

/* As purge() of a sink; *purged is what this call did. */
enum bursar_verdict purge_run(struct db *db, struct keys *keys,
                              const struct bursar_purge *what,
                              struct bursar_purged *purged,
                              struct bursar_error *err);
enum bursar_verdict purge_count(struct db *db, const struct bursar_purge *what,
                                struct bursar_purged *purged,
                                struct bursar_error *err);

#endif
