/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Statements from outside: reports, budgets, jobs.
 *
 * Rows are handed over as they come, so that a page of large bodies is never
 * held whole.  They come as text, which every type has; the type of the column
 * says what becomes of it.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

#define DRAIN 1000	/* rows to be read to the end rather than cancelled */

enum { OID_BOOL = 16, OID_FLOAT4 = 700, OID_NUMERIC = 1700, OID_OID = 26 };

struct rowset {
	struct bursar_cell *cells;
	int     columns;
	struct text bytes;	/* of bytea cells, as they are */
	bursar_row_fn *row;
	void   *context;
	bool    stopped;
	size_t  drained;
};

/* --- parameters ---------------------------------------------------------- */

struct parameters {
	Oid         *types;
	const char **data;
	int         *sizes;
	int         *formats;
	char       (*room)[32];
};

static void parameters_finish(struct parameters *p)
{
	free(p->types);
	free(p->data);
	free(p->sizes);
	free(p->formats);
	free(p->room);
}

static bool parameters_init(struct parameters *p, size_t count)
{
	p->types = calloc(count + 1, sizeof(*p->types));
	p->data = calloc(count + 1, sizeof(*p->data));
	p->sizes = calloc(count + 1, sizeof(*p->sizes));
	p->formats = calloc(count + 1, sizeof(*p->formats));
	p->room = calloc(count + 1, sizeof(*p->room));
	return p->types != NULL && p->data != NULL && p->sizes != NULL &&
	       p->formats != NULL && p->room != NULL;
}

static void parameters_set(struct parameters *p, size_t at,
                           const struct bursar_cell *cell)
{
	char *room = p->room[at];

	p->data[at] = room;
	switch (cell->type) {
	case BURSAR_INTEGER:
		p->types[at] = DB_INT8;
		snprintf(room, 32, "%lld", (long long)cell->integer);
		break;
	case BURSAR_REAL:
		p->types[at] = DB_FLOAT8;
		snprintf(room, 32, "%.17g", cell->real);
		break;
	case BURSAR_STRING:
	case BURSAR_BLOB:
		p->types[at] = cell->type == BURSAR_BLOB ? DB_BYTEA : DB_TEXT;
		p->formats[at] = 1;
		p->data[at] = cell->size > 0 ? cell->data : "";
		p->sizes[at] = (int)cell->size;
		break;
	default:
		p->data[at] = NULL;
		break;
	}
}

/* --- rows ---------------------------------------------------------------- */

/* Sums of bigints are numeric, but whole. */
static struct bursar_cell read_numeric(const char *text)
{
	char *end;

	errno = 0;
	const long long number = strtoll(text, &end, 10);
	if (*end == '\0' && errno == 0) {
		return (struct bursar_cell){ .type = BURSAR_INTEGER,
		                             .integer = number };
	}
	return (struct bursar_cell){ .type = BURSAR_REAL,
	                             .real = strtod(text, NULL) };
}

static int digit(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c - '0';
}

/* "\x0aff" into the bytes that it stands for. */
static struct bursar_cell read_bytes(struct rowset *set, const char *text,
                                     size_t size)
{
	const size_t from = set->bytes.size;

	for (size_t i = 2; i + 1 < size; i += 2) {
		const char byte = (char)(digit(text[i]) << 4 |
		                         digit(text[i + 1]));

		text_put(&set->bytes, &byte, 1);
	}
	/* The place is known when all have been read: see fill(). */
	return (struct bursar_cell){ .type = BURSAR_BLOB,
	                             .size = set->bytes.size - from };
}

static struct bursar_cell read_cell(struct rowset *set, const PGresult *result,
                                    int at)
{
	const char *text = PQgetvalue(result, 0, at);
	const size_t size = (size_t)PQgetlength(result, 0, at);

	if (PQgetisnull(result, 0, at)) {
		return (struct bursar_cell){ .type = BURSAR_NULL };
	}
	switch (PQftype(result, at)) {
	case OID_BOOL:
		return (struct bursar_cell){ .type = BURSAR_INTEGER,
		                             .integer = text[0] == 't' };
	case DB_INT2:
	case DB_INT4:
	case DB_INT8:
	case OID_OID:
		return (struct bursar_cell){ .type = BURSAR_INTEGER,
			.integer = strtoll(text, NULL, 10) };
	case OID_FLOAT4:
	case DB_FLOAT8:
		return (struct bursar_cell){ .type = BURSAR_REAL,
		                             .real = strtod(text, NULL) };
	case OID_NUMERIC:
		return read_numeric(text);
	case DB_BYTEA:
		return read_bytes(set, text, size);
	default:
		return (struct bursar_cell){ .type = BURSAR_STRING,
		                             .data = text, .size = size };
	}
}

static bool make_cells(struct rowset *set, int columns)
{
	if (set->columns < columns || set->cells == NULL) {
		free(set->cells);
		set->cells = calloc((size_t)columns, sizeof(*set->cells));
		set->columns = set->cells != NULL ? columns : 0;
	}
	return set->cells != NULL;
}

/* The row, in set->cells; false: out of memory. */
static bool fill(struct rowset *set, const PGresult *result)
{
	const int columns = PQnfields(result);
	size_t from = 0;

	text_clear(&set->bytes);
	if (!make_cells(set, columns)) {
		return false;
	}
	for (int i = 0; i < columns; i++) {
		set->cells[i] = read_cell(set, result, i);
	}
	for (int i = 0; i < columns; i++) {
		if (set->cells[i].type == BURSAR_BLOB) {
			set->cells[i].data = set->cells[i].size > 0
				? set->bytes.data + from : "";
			from += set->cells[i].size;
		}
	}
	return !set->bytes.failed;
}

static void cancel(struct db *db)
{
	PGcancel *handle = PQgetCancel(db->conn);
	char reason[256];

	if (handle != NULL) {
		PQcancel(handle, reason, sizeof(reason));
		PQfreeCancel(handle);
	}
}

static enum bursar_verdict take_row(struct db *db, struct rowset *set,
                                    const PGresult *result,
                                    struct bursar_error *err)
{
	if (set->stopped) {
		if (++set->drained == DRAIN) {
			cancel(db);
		}
		return BURSAR_DONE;
	}
	if (!fill(set, result)) {
		bursar_fail(err, ENOMEM, "%s: out of memory", db->label);
		set->stopped = true;
		return BURSAR_RETRY;
	}
	set->stopped = set->row != NULL &&
		set->row(set->context, set->cells,
		         (size_t)PQnfields(result)) != 0;
	return BURSAR_DONE;
}

/* --- running ------------------------------------------------------------- */

static enum bursar_verdict no_statement(const struct db *db,
                                        struct bursar_error *err)
{
	bursar_fail(err, EINVAL, "%s: not a statement that can be run here",
	            db->label);
	return BURSAR_REJECT;
}

static enum bursar_verdict take_result(struct db *db, struct rowset *set,
                                       const PGresult *result,
                                       struct bursar_error *err)
{
	switch (PQresultStatus(result)) {
	case PGRES_SINGLE_TUPLE:
	case PGRES_TUPLES_OK:
		if (PQnfields(result) == 0) {
			return no_statement(db, err);
		}
		return PQntuples(result) == 0 ? BURSAR_DONE
			: take_row(db, set, result, err);
	case PGRES_COMMAND_OK:
		return BURSAR_DONE;
	case PGRES_EMPTY_QUERY:
		return no_statement(db, err);
	case PGRES_COPY_IN:
		PQputCopyEnd(db->conn, "not here");
		return no_statement(db, err);
	case PGRES_COPY_OUT:
	case PGRES_COPY_BOTH:
		cancel(db);
		return no_statement(db, err);
	default:
		/* What was cancelled was not wanted any more. */
		return set->stopped && PQstatus(db->conn) == CONNECTION_OK
			? BURSAR_DONE : db_fail(db, result, DB_THEIRS, err);
	}
}

/* Throws away what a COPY sends. */
static void drain_copy(struct db *db)
{
	char *data;

	while (PQgetCopyData(db->conn, &data, 0) > 0) {
		PQfreemem(data);
	}
}

static enum bursar_verdict take_all(struct db *db, struct rowset *set,
                                    struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	PGresult *result;

	while ((result = db_next(db)) != NULL) {
		const ExecStatusType status = PQresultStatus(result);

		if (verdict == BURSAR_DONE) {
			verdict = take_result(db, set, result, err);
		}
		PQclear(result);
		if (PQstatus(db->conn) != CONNECTION_OK) {
			break;
		}
		if (status == PGRES_COPY_OUT) {
			drain_copy(db);
		}
	}
	if (verdict == BURSAR_DONE && PQstatus(db->conn) != CONNECTION_OK) {
		verdict = db_fail(db, NULL, DB_THEIRS, err);
	}
	return verdict;
}

static enum bursar_verdict run(struct db *db, const char *statement,
                               const struct parameters *p, size_t count,
                               struct rowset *set, struct bursar_error *err)
{
	if (PQsendQueryParams(db->conn, statement, (int)count, p->types,
	                      p->data, p->sizes, p->formats, 0) == 0) {
		return db_fail(db, NULL, DB_THEIRS, err);
	}
	PQsetSingleRowMode(db->conn);
	return take_all(db, set, err);
}

/* Of a reader, BEGIN and COMMIT say only from when to when it stands still. */
static bool stands_still(struct db *db, const char *statement)
{
	const bool begin = strcmp(statement, "BEGIN") == 0;

	if (!db->reader || (!begin && strcmp(statement, "COMMIT") != 0)) {
		return false;
	}
	db_rollback(db);
	db->still = begin;
	return true;
}

enum bursar_verdict sql_run(struct db *db, const char *statement,
                            const struct bursar_cell *cells, size_t count,
                            bursar_row_fn *row, void *context,
                            struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	if (PQtransactionStatus(db->conn) != PQTRANS_ACTIVE &&
	    stands_still(db, statement)) {
		return BURSAR_DONE;
	}
	if (db->still && PQtransactionStatus(db->conn) == PQTRANS_IDLE) {
		verdict = db_exec(db, "BEGIN ISOLATION LEVEL REPEATABLE READ",
		                  err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = sql_run_within(db, statement, cells, count, row,
		                         context, err);
	}
	/* A BEGIN from outside would hold up every one that comes after. */
	if (PQtransactionStatus(db->conn) != PQTRANS_ACTIVE &&
	    !(db->still && verdict == BURSAR_DONE)) {
		db_rollback(db);
	}
	return verdict;
}

enum bursar_verdict sql_run_within(struct db *db, const char *statement,
                                   const struct bursar_cell *cells,
                                   size_t count, bursar_row_fn *row,
                                   void *context, struct bursar_error *err)
{
	struct parameters p = { 0 };
	struct rowset set = { .row = row, .context = context };
	enum bursar_verdict verdict = BURSAR_RETRY;

	if (PQtransactionStatus(db->conn) == PQTRANS_ACTIVE) {
		bursar_fail(err, EBUSY, "%s: a statement inside another",
		            db->label);
		return BURSAR_REJECT;
	}
	if (count > UINT16_MAX) {
		bursar_fail(err, E2BIG, "%s: %zu parameters", db->label, count);
		return BURSAR_REJECT;
	}
	if (!parameters_init(&p, count)) {
		bursar_fail(err, ENOMEM, "%s: out of memory", db->label);
	} else {
		for (size_t i = 0; i < count; i++) {
			parameters_set(&p, i, &cells[i]);
		}
		verdict = run(db, statement, &p, count, &set, err);
	}
	parameters_finish(&p);
	text_finish(&set.bytes);
	free(set.cells);
	return verdict;
}
