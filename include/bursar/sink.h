/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar/sink.h - the contract between the daemon and a sink
 *
 *	open(WRITE) --> write* / purge* / sql* --> close
 *	open(READ)  --> sql*                   --> close
 *
 * The daemon queues, batches, retries, halves and counts.  A sink stores a
 * batch of records whole, or not at all, and says of each whether it was new.
 *
 * The database decides what is a duplicate: by the record's key, in the same
 * transaction that stores the record and adds it to the rollups.  A sink that
 * keeps nothing, and says so, knows no duplicates: each record is STORED.
 */
#ifndef BURSAR_SINK_H
#define BURSAR_SINK_H

#include <bursar/schema.h>
#include <bursar/source.h>	/* enum bursar_outcome */

/* Declared here, completed by each plugin in its own source file. */
struct bursar_sink;

enum bursar_mode {
	BURSAR_READ,		/* never changes anything, makes no table */
	BURSAR_WRITE,		/* makes and migrates its tables */
};

/* One value of a row, or a parameter of a statement. */
struct bursar_cell {
	enum { BURSAR_NULL, BURSAR_INTEGER, BURSAR_REAL, BURSAR_STRING,
	       BURSAR_BLOB } type;
	union {
		int64_t     integer;
		double      real;
		const char *data;	/* STRING, BLOB: size bytes */
	};
	size_t size;
};

/* Called for each row; cells are lent for the call.  Not 0: stop. */
typedef int bursar_row_fn(void *context, const struct bursar_cell *cells,
                          size_t count);

/* What purge() did, added to what stands there. */
struct bursar_purged {
	uint64_t bodies;	/* expired records of kinds with bodies */
	uint64_t facts;		/* facts older than facts_before */
	uint64_t keys;		/* keys older than keys_before */
	bool     more;		/* set: there may be more of what was asked */
};

/* What purge() may take; 0 for a time: nothing of that sort. */
struct bursar_purge {
	int64_t  now;		/* bodies that expired at or before this */
	int64_t  facts_before;	/* us; facts recorded before this */
	int64_t  keys_before;	/* us; keys last used before this day */
	uint64_t limit;		/* bodies, facts and keys at most, together */
	bool     dry_run;	/* count all, ignoring limit; take nothing */
};

/* Another cost for one fact; cells are INTEGER, STRING or NULL. */
struct bursar_correction {
	int64_t row;			/* its id */
	struct bursar_cell old_cost;	/* cost_nano as it was read */
	struct bursar_cell cost;	/* what takes its place; nano-dollars */
	struct bursar_cell computed;	/* cost_computed_nano */
	struct bursar_cell book;	/* price_book */
	struct bursar_cell rule;	/* price_rule */
};

/* What correct() does, all of it in one transaction. */
struct bursar_correct {
	const char *batch;		/* its name: never used before */
	const char *reason;		/* for people */
	const struct bursar_correction *items;
	size_t      count;		/* 1 to 10000 */
};

struct bursar_sink_ops {
	/*
	 * Opens the database; with WRITE, makes what is missing and migrates
	 * what is older.  A ledger made by a newer version is refused, and to
	 * READ also one that is not there.
	 *
	 * Returns a sink, to be given to close(); or NULL with *err filled and
	 * *verdict RETRY, DOWN or CONFIG.  Where READ finds nothing yet, and
	 * WRITE would make it, err->code is ENOENT.
	 */
	struct bursar_sink *(*open)(const struct bursar_host *host,
	                            enum bursar_mode mode,
	                            enum bursar_verdict *verdict,
	                            struct bursar_error *err);

	/*
	 * Stores records[0..count), count >= 1, in one transaction, durably.
	 *
	 * They come ordered by key; equal keys stand in order of arrival, and
	 * the first wins.  Values are asked for by bursar_values() alone.
	 * outcomes[i] is set to STORED; DUPLICATE: the key is there with the
	 * same check; CONFLICT: with another check.
	 *
	 * A COUNTED record has an id that ends in "#0".  It is stored under
	 * the first n of id#n that is free, with that id for its
	 * BURSAR_MESSAGE_ID and the key that host->key() makes of it; if it is
	 * also offered AGAIN, and any n with the same check is there, it is a
	 * DUPLICATE.  The record itself is not changed: it may be offered
	 * again.
	 *
	 * Returns DONE; or, with nothing stored and *err filled:
	 *	RETRY	locked, deadlock, disk full, out of memory
	 *	DOWN	no connection; also when the commit's result is unknown:
	 *		all of the batch is then offered AGAIN, unless
	 *		outcomes[0] was set to RETURNED, as nothing was stored
	 *		for certain
	 *	REJECT	*culprit can never be stored; SIZE_MAX if the sink does
	 *		not know which one: the core then halves the batch
	 *	CONFIG	no permission, no table, not a database, corrupt, or
	 *		migrated by a newer version since it was opened
	 */
	enum bursar_verdict (*write)(struct bursar_sink *sink,
	                             struct bursar_record *const *records,
	                             size_t count, enum bursar_outcome *outcomes,
	                             size_t *culprit, struct bursar_error *err);

	/*
	 * Takes expired bodies, old facts and old keys, at most what->limit
	 * rows in one short transaction; rollups stay.  NULL: keeps all.
	 * Returns as write(), never REJECT.
	 */
	enum bursar_verdict (*purge)(struct bursar_sink *sink,
	                             const struct bursar_purge *what,
	                             struct bursar_purged *purged,
	                             struct bursar_error *err);

	/*
	 * Runs one statement of the common subset of SQLite 3.35 and
	 * PostgreSQL, parameters $1, $2 ..., and hands over its rows.  NULL:
	 * this sink cannot be the book.  row may be NULL.
	 *
	 * Records of a kind are found in the table kind->table, each field in
	 * the column of its name, but a TIME `x_at` in `x_us` and MONEY `x_usd`
	 * in `x_nano`.  TEXT and JSON are STRING cells, all others INTEGER, a
	 * BOOL 0 or 1; what was not said is NULL.  The function
	 * bursar_tag(tags, key) is what the column `tags` says of a key: a
	 * text, an object or array as JSON, or NULL.
	 *
	 * Returns as write(); REJECT: the statement is wrong; DONE also when
	 * row() stopped it.  A sink opened to READ refuses what would change
	 * anything; after the statement BEGIN it answers as of one moment, that
	 * of the first statement, until COMMIT or close(), or until a statement
	 * fails: of a later one from then on.  One that refuses BEGIN answers
	 * each statement as of its own moment.
	 */
	enum bursar_verdict (*sql)(struct bursar_sink *sink,
	                           const char *statement,
	                           const struct bursar_cell *parameters,
	                           size_t parameter_count, bursar_row_fn *row,
	                           void *context, struct bursar_error *err);

	/*
	 * Gives facts other costs, and the rollups the differences, and notes
	 * for each what it had, has, when and why in the table
	 * bursar_corrections (batch, row_id, at_us, reason, message_id,
	 * old_cost_nano, new_cost_nano, old_computed_nano, new_computed_nano,
	 * old_book, new_book, old_rule, new_rule).  A fact that is gone, or
	 * whose cost is not old_cost any more, is left alone; *corrected is how
	 * many were not.  Durable, in one transaction.  NULL: costs stay as
	 * they are.  Returns as write().
	 */
	enum bursar_verdict (*correct)(struct bursar_sink *sink,
	                               const struct bursar_correct *what,
	                               size_t *corrected,
	                               struct bursar_error *err);

	/*
	 * Copies the live database to a new file, consistent as of one moment,
	 * also while others write; a file that is there is refused and left
	 * alone.  NULL: the database has tools of its own for that.  Returns as
	 * write().
	 */
	enum bursar_verdict (*backup)(struct bursar_sink *sink, const char *path,
	                              struct bursar_error *err);

	/* Releases the sink.  Cannot fail.  `sink` may be NULL. */
	void (*close)(struct bursar_sink *sink);
};

#endif
