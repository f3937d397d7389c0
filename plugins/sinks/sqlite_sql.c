/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Statements from outside: reports, budgets, jobs.
 *
 * Prepared ones are kept by their text, as the same few come again and again.
 * A row function may run other statements, also the same one.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "sqlite.h"

#define KEPT 16

struct kept {
	sqlite3_stmt *statement;	/* NULL: free */
	uint64_t      used;		/* larger is later */
};

struct statements {
	sqlite3    *db;
	sqlite3_stmt *get_version;	/* NULL: nothing was to be changed */
	bool        changed;		/* one of them may have */
	struct kept kept[KEPT];
	uint64_t    clock;
};

struct statements *statements_create(sqlite3 *db)
{
	struct statements *statements = calloc(1, sizeof(*statements));

	if (statements != NULL) {
		statements->db = db;
	}
	return statements;
}

bool statements_changed(const struct statements *statements)
{
	return statements->changed;
}

void statements_destroy(struct statements *statements)
{
	if (statements == NULL) {
		return;
	}
	for (size_t i = 0; i < KEPT; i++) {
		sqlite3_finalize(statements->kept[i].statement);
	}
	sqlite3_finalize(statements->get_version);
	free(statements);
}

/* Takes the statement out, so that nobody else uses it meanwhile. */
static sqlite3_stmt *take_kept(struct statements *statements, const char *sql)
{
	for (size_t i = 0; i < KEPT; i++) {
		sqlite3_stmt *statement = statements->kept[i].statement;

		if (statement != NULL &&
		    strcmp(sqlite3_sql(statement), sql) == 0) {
			statements->kept[i].statement = NULL;
			return statement;
		}
	}
	return NULL;
}

static void give_back(struct statements *statements, sqlite3_stmt *statement)
{
	struct kept *oldest = &statements->kept[0];

	for (size_t i = 0; i < KEPT; i++) {
		struct kept *kept = &statements->kept[i];

		if (kept->statement == NULL) {
			oldest = kept;
			break;
		}
		if (kept->used < oldest->used) {
			oldest = kept;
		}
	}
	sqlite3_finalize(oldest->statement);
	sqlite3_clear_bindings(statement);
	*oldest = (struct kept){ statement, ++statements->clock };
}

static bool is_blank(const char *text)
{
	while (isspace((unsigned char)*text) || *text == ';') {
		text++;
	}
	return *text == '\0';
}

/* The statement, or NULL with *rc set. */
static sqlite3_stmt *get(struct statements *statements, const char *sql,
                         int *rc, struct bursar_error *err)
{
	sqlite3_stmt *statement = take_kept(statements, sql);
	const char *rest = "";

	*rc = SQLITE_OK;
	if (statement != NULL) {
		return statement;
	}
	*rc = sqlite3_prepare_v2(statements->db, sql, -1, &statement, &rest);
	if (*rc != SQLITE_OK) {
		return NULL;
	}
	if (statement == NULL || !is_blank(rest)) {
		bursar_fail(err, EINVAL, "not one statement: %.100s", sql);
		sqlite3_finalize(statement);
		*rc = SQLITE_MISMATCH;
		return NULL;
	}
	return statement;
}

static int bind_cell(sqlite3_stmt *statement, int at,
                     const struct bursar_cell *cell)
{
	switch (cell->type) {
	case BURSAR_INTEGER:
		return sqlite3_bind_int64(statement, at, cell->integer);
	case BURSAR_REAL:
		return sqlite3_bind_double(statement, at, cell->real);
	case BURSAR_STRING:
		return sqlite3_bind_text64(statement, at,
		                           cell->size > 0 ? cell->data : "",
		                           cell->size, SQLITE_STATIC,
		                           SQLITE_UTF8);
	case BURSAR_BLOB:
		return sqlite3_bind_blob64(statement, at,
		                           cell->size > 0 ? cell->data : "",
		                           cell->size, SQLITE_STATIC);
	default:
		return sqlite3_bind_null(statement, at);
	}
}

/* $1, $2 ... are names to SQLite, numbered as it meets them. */
static int bind_all(sqlite3_stmt *statement, const struct bursar_cell *cells,
                    size_t count, struct bursar_error *err)
{
	const int wanted = sqlite3_bind_parameter_count(statement);
	int found = 0;
	int rc = SQLITE_OK;

	for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
		char name[24];
		int at;

		snprintf(name, sizeof(name), "$%zu", i + 1);
		at = sqlite3_bind_parameter_index(statement, name);
		if (at > 0) {
			rc = bind_cell(statement, at, &cells[i]);
			found++;
		}
	}
	if (rc == SQLITE_OK && found != wanted) {
		bursar_fail(err, EINVAL, "a statement has %d parameters, %zu "
		            "were given: %.100s", wanted, count,
		            sqlite3_sql(statement));
		rc = SQLITE_MISMATCH;
	}
	return rc;
}

static struct bursar_cell read_cell(sqlite3_stmt *statement, int at)
{
	struct bursar_cell cell = { .type = BURSAR_NULL };

	switch (sqlite3_column_type(statement, at)) {
	case SQLITE_INTEGER:
		cell.type = BURSAR_INTEGER;
		cell.integer = sqlite3_column_int64(statement, at);
		break;
	case SQLITE_FLOAT:
		cell.type = BURSAR_REAL;
		cell.real = sqlite3_column_double(statement, at);
		break;
	case SQLITE_TEXT:
		cell.type = BURSAR_STRING;
		cell.data = (const char *)sqlite3_column_text(statement, at);
		cell.size = (size_t)sqlite3_column_bytes(statement, at);
		break;
	case SQLITE_BLOB:
		cell.type = BURSAR_BLOB;
		cell.data = sqlite3_column_blob(statement, at);
		cell.size = (size_t)sqlite3_column_bytes(statement, at);
		cell.data = cell.size > 0 ? cell.data : "";
		break;
	default:
		break;
	}
	return cell;
}

/* Hands all rows over; SQLITE_DONE also when row() wants no more. */
static int each_row(sqlite3_stmt *statement, bursar_row_fn *row, void *context)
{
	const int count = sqlite3_column_count(statement);
	struct bursar_cell *cells = calloc((size_t)count + 1, sizeof(*cells));
	int rc;

	if (cells == NULL) {
		return SQLITE_NOMEM;
	}
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		for (int i = 0; i < count && row != NULL; i++) {
			cells[i] = read_cell(statement, i);
		}
		if (row != NULL && row(context, cells, (size_t)count) != 0) {
			rc = SQLITE_DONE;
			break;
		}
	}
	free(cells);
	return rc;
}

/* Before something is changed: an older bursar does not know what a newer one
 * has made of it. */
static int prepare_change(struct statements *statements, const char *path,
                          struct bursar_error *err)
{
	int rc = statements->get_version != NULL ? SQLITE_OK
		: db_prepare(statements->db, SCHEMA_GET_VERSION,
		             &statements->get_version);

	if (rc == SQLITE_OK) {
		rc = schema_confirm(statements->get_version, path, err);
	}
	/* What is written over is to be gone from the file, too. */
	return rc == SQLITE_OK
		? db_exec(statements->db, "PRAGMA secure_delete = ON") : rc;
}

enum bursar_verdict statements_run(struct statements *statements,
                                   const char *path, const char *sql,
                                   const struct bursar_cell *parameters,
                                   size_t parameter_count,
                                   bursar_row_fn *row, void *context,
                                   struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	int rc;
	sqlite3_stmt *statement = get(statements, sql, &rc, err);

	if (statement == NULL) {
		return db_fail(statements->db, rc, path, DB_THEIRS, err);
	}
	rc = bind_all(statement, parameters, parameter_count, err);
	const bool changes = sqlite3_stmt_readonly(statement) == 0;
	if (rc == SQLITE_OK && changes) {
		rc = prepare_change(statements, path, err);
	}
	if (rc == SQLITE_OK) {
		rc = each_row(statement, row, context);
	}
	if (rc != SQLITE_DONE) {
		verdict = db_fail(statements->db, rc, path, DB_THEIRS, err);
	}
	if (changes) {
		db_exec(statements->db, "PRAGMA secure_delete = OFF");
		statements->changed = true;
	}
	sqlite3_reset(statement);
	give_back(statements, statement);
	return verdict;
}
