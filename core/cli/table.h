/* SPDX-License-Identifier: Apache-2.0 */

/*
 * table.h - rows of figures, as a table, as CSV or as JSON
 *
 *	table_create --> table_add_* ... --> table_print --> table_destroy
 *
 * Cells are added from left to right; a row is whole when it has a cell for
 * each column, and the next cell begins a new one.
 *
 * As a table: columns align, counts have separators, text with control
 * characters is shown escaped, and the widest text is cut to fit the terminal.
 * As CSV (RFC 4180): a text that a spreadsheet would take for a formula gets a
 * ' in front, unknown is an empty cell.  As JSON: one object with the rows
 * under "rows"; money is a number with all its digits, unknown is null.
 */
#ifndef CORE_CLI_TABLE_H
#define CORE_CLI_TABLE_H

#include <jansson.h>

#include "cli/cli.h"

#define TABLE_MAX_COLUMNS 64
#define TABLE_MAX_ROWS    5000000

enum table_kind {
	TABLE_TEXT,		/* to the left, all others to the right */
	TABLE_COUNT,		/* 1,234,567 */
	TABLE_MONEY,		/* nano-dollars; shown in dollars */
	TABLE_MS,		/* milliseconds: 1,234 ms */
	TABLE_TIME,		/* microseconds since 1970, shown as RFC 3339 */
	TABLE_PERCENT,		/* a real, 0.125 for 12.5 % */
	TABLE_REAL,		/* a real, two decimals */
	TABLE_POINTS,		/* a real, 12.5 for 12.5 % */
	TABLE_CHANGE,		/* the same, shown with its sign: +12.5 % */
	TABLE_FLAG,		/* yes, no */
};

struct table_column {
	const char     *name;	/* of the member in JSON, the heading in CSV */
	const char     *title;	/* heading of the table; NULL: name */
	enum table_kind kind;
};

struct table;

/* columns[0..count) are copied, their texts are lent until table_destroy().
 * Never NULL: when memory is short the process ends, here and in table_add_*().
 */
struct table *table_create(const struct table_column *columns, size_t count);
void table_destroy(struct table *table);

/* text is copied; NULL: unknown. */
void table_add_text(struct table *table, const char *text);
void table_add_bytes(struct table *table, const char *text, size_t size);
void table_add_number(struct table *table, int64_t number);
void table_add_real(struct table *table, double real);
void table_add_null(struct table *table);

/* Whole rows so far. */
size_t table_rows(const struct table *table);

/*
 * Prints all rows to cli->out in cli->format.  head is lent: an object whose
 * members come before "rows" in JSON ({"report": …, "since": …, "until": …});
 * may be NULL, and is not printed in the other formats.
 *
 * Returns CLI_OK, or CLI_FAILED after saying that there was no writing.
 */
int table_print(const struct table *table, struct cli *cli, const json_t *head);

/* A table that is a part of another one's row. */
struct table_list {
	const char   *name;	/* of the member in JSON */
	const char   *title;	/* heading of the table; NULL: name */
	struct table *table;
};

/*
 * Prints a table of one row, and lists that belong to it.  In JSON the lists
 * are members of the row; for a person the row stands upright, then each list;
 * in CSV a column `list` says whose a line is ("" the row's), and the columns
 * are those of all.  Else as table_print().
 */
int table_print_lists(const struct table *table, const struct table_list *lists,
                      size_t count, struct cli *cli, const json_t *head);

/* Writes one text as a field of CSV, as table_print() does. */
void table_csv_text(FILE *out, const char *text);

/* Dollars with all their digits and no more: 12.5, 0.000001, -3.  Returns
 * out, which has room for TABLE_MONEY_SIZE bytes. */
#define TABLE_MONEY_SIZE 24
const char *table_money(int64_t nano, char out[TABLE_MONEY_SIZE]);

/* Reads dollars with nine decimals at most: 12.5, -3; false: no such thing. */
bool table_money_parse(const char *text, int64_t *nano);

/* RFC 3339 in UTC, with as many decimals as it needs: 0, 3 or 6. */
#define TABLE_TIME_SIZE 40
const char *table_time(int64_t us, char out[TABLE_TIME_SIZE]);

#endif
