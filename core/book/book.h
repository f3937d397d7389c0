/* SPDX-License-Identifier: Apache-2.0 */

/*
 * book.h - a sink that answers questions
 *
 * Reports, exports, verification and purging are written once, in the common
 * subset of SQLite 3.35 and PostgreSQL, against the operation sql() of a sink.
 * Statements name tables and columns of the schema and nothing that a user
 * wrote; what a user wrote is a parameter.
 *
 * Every statement is a short transaction of its own, so that a reader never
 * holds up a writer; what has to be seen as of one moment is one statement.
 */
#ifndef CORE_BOOK_BOOK_H
#define CORE_BOOK_BOOK_H

#include <bursar/sink.h>

#include "common/rollup.h"
#include "plugin/instance.h"

/* Days [first, last), all of them closed when it was looked: book/days.h. */
struct days_run {
	int64_t first;
	int64_t last;
};

#define DAYS_RUNS 3

struct book {
	const char *name;	/* of the sink, as the configuration has it */
	const struct bursar_sink_ops *ops;
	struct bursar_sink *sink;
	struct instance *instance;	/* NULL: the sink is somebody else's */
	/* See book/named.h. */
	struct rollup_tag tags[ROLLUP_MAX_TAGS];
	size_t  tag_count;
	int64_t purged_us;	/* facts before it are gone; INT64_MIN: none */
	bool    named_known;	/* tags and purged_us were read */
	/* See book/days.h. */
	struct days_run looked;	/* runs[] has what is closed of these */
	struct days_run runs[DAYS_RUNS];
	size_t  run_count;
};

/*
 * Opens the sink `name` of the setup, or the book where name is NULL.  The
 * setup must outlive it.  To write it waits for some seconds for who writes.
 * -1 with *err filled by a sentence that says what to do: EINVAL no such sink,
 * ENOTSUP it cannot be asked, else from its plugin, whose own EINVAL and
 * ENOTSUP are EIO here.
 */
int book_open(struct book *book, const struct setup *setup, const char *name,
              enum bursar_mode mode, struct bursar_error *err);
void book_close(struct book *book);

/* What is busy (RETRY) is tried so often before it is told, book_pause()
 * between: for some seconds. */
#define BOOK_TRIES 50
void book_pause(void);

/*
 * Runs one statement with its parameters and hands over its rows; row may be
 * NULL.  Returns 0, also when row() stopped it; -1 with *err filled.
 */
int book_run(struct book *book, const char *statement,
             const struct bursar_cell *parameters, size_t count,
             bursar_row_fn *row, void *context, struct bursar_error *err);

/*
 * Has a book that was opened to read answer as of one moment, that of the next
 * statement, until it is closed, so that what several statements say adds up.
 * A sink that cannot do so answers each as of its own.
 */
void book_hold_still(struct book *book);

/*
 * Runs a statement that answers with one number.  *number is left alone, and
 * *known false, where there is no row or it is NULL.
 */
int book_number(struct book *book, const char *statement,
                const struct bursar_cell *parameters, size_t count,
                int64_t *number, bool *known, struct bursar_error *err);

/* The sentence that a failed operation of the sink is told as; returns -1. */
int book_blame(const struct book *book, enum bursar_verdict verdict,
               const struct bursar_error *why, struct bursar_error *err);

/*
 * Notes that the ledger keeps for itself, in its table bursar_meta.  Reading
 * one that is not there leaves *value alone.  Writing needs BURSAR_WRITE.
 */
#define BOOK_FACTS_PURGED "facts_purged_before_us"
#define BOOK_KEYS_PURGED  "keys_purged_before_us"

int book_note_read(struct book *book, const char *name, int64_t *value,
                   struct bursar_error *err);
int book_note_write(struct book *book, const char *name, int64_t value,
                    struct bursar_error *err);

/* --- values -------------------------------------------------------------- */

static inline struct bursar_cell book_int(int64_t integer)
{
	return (struct bursar_cell){ .type = BURSAR_INTEGER,
	                             .integer = integer };
}

static inline struct bursar_cell book_bytes(const char *data, size_t size)
{
	return (struct bursar_cell){ .type = BURSAR_STRING, .data = data,
	                             .size = size };
}

static inline struct bursar_cell book_text(const char *text)
{
	return book_bytes(text, strlen(text));
}

/* The value of a field, from its column; a text is that of the cell. */
struct bursar_value book_value(const struct bursar_field *field,
                               const struct bursar_cell *cell);

/* The number of a cell; 0 where it is none. */
static inline int64_t book_get(const struct bursar_cell *cell)
{
	return cell->type == BURSAR_INTEGER ? cell->integer : 0;
}

/* --- statements ---------------------------------------------------------- */

#define BOOK_STATEMENT_SIZE  (128u * 1024)
#define BOOK_MAX_PARAMETERS  600

/*
 * A statement that is being written.  Too long a statement, or too many
 * parameters, is a bug: names and their number come from the schema.
 */
struct book_statement {
	char   text[BOOK_STATEMENT_SIZE];
	size_t size;
	struct bursar_cell parameters[BOOK_MAX_PARAMETERS];
	size_t count;
};

static inline void book_begin(struct book_statement *statement)
{
	statement->text[0] = '\0';
	statement->size = 0;
	statement->count = 0;
}

__attribute__((format(printf, 2, 3)))
void book_add(struct book_statement *statement, const char *fmt, ...);

/* Adds a parameter and writes its number, "$3". */
void book_add_value(struct book_statement *statement,
                    struct bursar_cell value);

int book_ask(struct book *book, const struct book_statement *statement,
             bursar_row_fn *row, void *context, struct bursar_error *err);

#endif
