/* SPDX-License-Identifier: Apache-2.0 */

/*
 * table_cells.h - what a table holds, for table.c and its ways to print
 */
#ifndef CORE_TABLE_CELLS_H
#define CORE_TABLE_CELLS_H

#include "table.h"

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
	const struct table_column *columns;
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

#endif
