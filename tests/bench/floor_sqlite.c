/* SPDX-License-Identifier: Apache-2.0 */

/*
 * floor_sqlite LEDGER SCRATCH [SCHEMA TABLE] - what SQLite itself takes
 *
 * Copies the rows of a finished ledger, held in memory, into a new file with
 * prepared INSERTs and nothing else: WAL, synchronous=FULL, a commit for each
 * 20,000 rows.  This is the least time in which the rows can be stored by that
 * library on that machine, hence what the daemon is measured against.
 *
 * Without SCHEMA every table of the ledger is made again as it is, with its
 * indexes.  With it the file's one table TABLE takes those columns of
 * metering_records that it has.  Rows come in order of arrival; those of a
 * table without rowids, which stand in key order, in random order.
 *
 * Prints: rows=N seconds=S, for the facts as rows and all tables as seconds.
 */
#include "config.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define COMMIT_ROWS 20000
#define FACTS       "metering_records"

struct rows {
	sqlite3_value **cells;
	size_t count;
	int    width;
};

static void die(sqlite3 *db, const char *what)
{
	fprintf(stderr, "floor_sqlite: %s: %s\n", what,
	        db != NULL ? sqlite3_errmsg(db) : "");
	exit(EXIT_FAILURE);
}

static void run(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
		die(db, sql);
	}
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
		die(db, sql);
	}
	return stmt;
}

static char *column_list(sqlite3 *db, const char *table, int *width)
{
	char *list = sqlite3_mprintf("");
	sqlite3_stmt *stmt = prepare(db, "SELECT name FROM pragma_table_xinfo"
	                             "(?1) WHERE hidden = 0");

	sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
	for (*width = 0; sqlite3_step(stmt) == SQLITE_ROW; ++*width) {
		list = sqlite3_mprintf("%z%s\"%w\"", list,
		                       *width > 0 ? "," : "",
		                       sqlite3_column_text(stmt, 0));
	}
	sqlite3_finalize(stmt);
	return list;
}

static bool has_column(sqlite3 *db, const char *table, const char *column)
{
	sqlite3_stmt *stmt = NULL;
	char *sql = sqlite3_mprintf("SELECT %s FROM \"%w\"", column, table);
	const bool has = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) ==
		SQLITE_OK;

	sqlite3_finalize(stmt);
	sqlite3_free(sql);
	return has;
}

static struct rows load(sqlite3 *db, const char *table, const char *columns,
                        int width)
{
	struct rows rows = { .width = width };
	size_t room = 0;
	char *sql = sqlite3_mprintf("SELECT %s FROM \"%w\" ORDER BY %s",
	                            columns, table,
	                            has_column(db, table, "id") ? "id" :
	                            has_column(db, table, "rowid") ? "rowid"
	                                                           : "random()");
	sqlite3_stmt *stmt = prepare(db, sql);

	while (sqlite3_step(stmt) == SQLITE_ROW) {
		if (rows.count == room) {
			room = room > 0 ? room * 2 : 1024;
			rows.cells = realloc(rows.cells,
			                     room * (size_t)width *
			                     sizeof(*rows.cells));
			if (rows.cells == NULL) {
				die(NULL, "out of memory");
			}
		}
		for (int i = 0; i < width; i++) {
			rows.cells[rows.count * (size_t)width + (size_t)i] =
				sqlite3_value_dup(sqlite3_column_value(stmt, i));
		}
		rows.count++;
	}
	sqlite3_finalize(stmt);
	sqlite3_free(sql);
	return rows;
}

static void release(struct rows *rows)
{
	for (size_t i = 0; i < rows->count * (size_t)rows->width; i++) {
		sqlite3_value_free(rows->cells[i]);
	}
	free(rows->cells);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double insert(sqlite3 *db, const char *table, const char *columns,
                     const struct rows *rows)
{
	char *marks = sqlite3_mprintf("?");
	for (int i = 1; i < rows->width; i++) {
		marks = sqlite3_mprintf("%z,?", marks);
	}
	char *sql = sqlite3_mprintf("INSERT INTO \"%w\"(%s) VALUES(%z)", table,
	                            columns, marks);
	sqlite3_stmt *stmt = prepare(db, sql);
	const double begin = now();

	run(db, "BEGIN IMMEDIATE");
	for (size_t r = 0; r < rows->count; r++) {
		for (int i = 0; i < rows->width; i++) {
			sqlite3_bind_value(stmt, i + 1,
			                   rows->cells[r * (size_t)rows->width +
			                               (size_t)i]);
		}
		if (sqlite3_step(stmt) != SQLITE_DONE) {
			die(db, sql);
		}
		sqlite3_reset(stmt);
		if ((r + 1) % COMMIT_ROWS == 0) {
			run(db, "COMMIT; BEGIN IMMEDIATE");
		}
	}
	run(db, "COMMIT");
	const double end = now();
	sqlite3_finalize(stmt);
	sqlite3_free(sql);
	return end - begin;
}

static double copy(sqlite3 *from, sqlite3 *to, const char *source,
                   const char *table, size_t *count)
{
	int width;
	char *columns = column_list(to, table, &width);
	struct rows rows = load(from, source, columns, width);
	const double seconds = insert(to, table, columns, &rows);

	if (strcmp(source, FACTS) == 0) {
		*count = rows.count;
	}
	release(&rows);
	sqlite3_free(columns);
	return seconds;
}

static void run_file(sqlite3 *db, const char *path)
{
	char text[1 << 16];
	FILE *file = fopen(path, "r");

	if (file == NULL) {
		die(NULL, path);
	}
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	run(db, text);
}

/* Every table of the ledger as it is. */
static double copy_all(sqlite3 *from, sqlite3 *to, size_t *count)
{
	double seconds = 0;
	sqlite3_stmt *stmt = prepare(from,
		"SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT "
		"NULL AND type IN ('table', 'index') ORDER BY type = 'index'");

	while (sqlite3_step(stmt) == SQLITE_ROW) {
		run(to, (const char *)sqlite3_column_text(stmt, 2));
	}
	sqlite3_reset(stmt);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(stmt, 1);

		if (strcmp((const char *)sqlite3_column_text(stmt, 0),
		           "table") == 0) {
			seconds += copy(from, to, name, name, count);
		}
	}
	sqlite3_finalize(stmt);
	return seconds;
}

int main(int argc, char **argv)
{
	sqlite3 *from, *to;
	size_t count = 0;

	if (argc != 3 && argc != 5) {
		fputs("usage: floor_sqlite LEDGER SCRATCH [SCHEMA TABLE]\n",
		      stderr);
		return 2;
	}
	unlink(argv[2]);
	if (sqlite3_open_v2(argv[1], &from, SQLITE_OPEN_READONLY, NULL) !=
	    SQLITE_OK || sqlite3_open(argv[2], &to) != SQLITE_OK) {
		die(from, argv[1]);
	}
	run(to, "PRAGMA page_size=8192; PRAGMA journal_mode=WAL;"
	    "PRAGMA synchronous=FULL; PRAGMA cache_size=-262144;"
	    "PRAGMA wal_autocheckpoint=16384");
	if (argc == 5) {
		run_file(to, argv[3]);
	}
	const double seconds = argc == 5
		? copy(from, to, FACTS, argv[4], &count)
		: copy_all(from, to, &count);
	printf("rows=%zu seconds=%.3f\n", count, seconds);
	return EXIT_SUCCESS;
}
