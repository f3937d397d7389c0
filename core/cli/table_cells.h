/* SPDX-License-Identifier: Apache-2.0 */

/*
 * table_cells.h - what a table holds, for table.c and its ways to print
 */
#ifndef CORE_CLI_TABLE_CELLS_H
#define CORE_CLI_TABLE_CELLS_H

#include "cli/table.h"

struct cell {
	enum { CELL_NULL, CELL_TEXT, CELL_NUMBER, CELL_REAL } type;
	union {
		char   *text;	/* NUL-terminated, of size bytes */
		int64_t number;
		double  real;
	};
	size_t size;
};

struct table {
	struct table_column *columns;
	size_t       width;	/* columns */
	struct cell *cells;	/* row after row */
	size_t       count;	/* of cells */
	size_t       room;
};

static inline const struct cell *table_cell(const struct table *table,
                                            size_t row, size_t column)
{
	return &table->cells[row * table->width + column];
}

/* Aligned columns, for a person. */
void table_show(const struct table *table, const struct cli *cli);
/* The first row, a line for each of its columns. */
void table_show_upright(const struct table *table, const struct cli *cli);
/* A line in bold. */
void table_show_title(const char *title, const struct cli *cli);

/* For machines, to cli->out: a cell as CSV, the members of a row as JSON
 * without the braces, all rows with their brackets, the members of the head. */
void table_csv_cell(const struct table *table, size_t row, size_t column,
                    FILE *out);
void table_json_text(FILE *out, const char *text, size_t size);
void table_json_row(const struct table *table, size_t row, FILE *out);
void table_json_rows(const struct table *table, FILE *out);
void table_json_head(FILE *out, const json_t *head);
/* CLI_OK, or CLI_FAILED after saying that there was no writing. */
int table_written(struct cli *cli);

#endif
