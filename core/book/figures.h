/* SPDX-License-Identifier: Apache-2.0 */

/*
 * figures.h - what a report shows of a line
 *
 * A column of a report is a row of a table: its name and title, the figure, for
 * whom it is shown.  From the table follow the sums that are asked for, so none
 * is asked that nobody sees.
 */
#ifndef CORE_BOOK_FIGURES_H
#define CORE_BOOK_FIGURES_H

#include "book/lines.h"
#include "cli/table.h"

enum figure {
	FIGURE_REQUESTS,
	FIGURE_ERRORS,
	FIGURE_ERROR_RATE,	/* of a hundred requests */
	FIGURE_UNPRICED,	/* requests without a known cost */
	FIGURE_SUM,		/* arg: enum rollup_sum */
	FIGURE_AVERAGE,		/* arg: the same, over those who said it; two
				 * decimals */
	FIGURE_AVERAGE_1,	/* one decimal */
	FIGURE_PERCENTILE,	/* of latency; arg: 50 */
	FIGURE_COST_PER_CALL,	/* over those with a known cost */
	FIGURE_SHARE,		/* of the total cost, of a hundred */
	FIGURE_BAR,		/* the same, drawn */
	FIGURE_BEFORE,		/* cost in the window before */
	FIGURE_CHANGE,		/* against that, of a hundred */
	FIGURE_LATENCY_CLASS,	/* healthy, degraded, critical, unknown */
	FIGURE_CIRCUIT,		/* closed, half-open, open, unknown */
	FIGURE_EXTRA,		/* arg: enum query_extra */
	FIGURE_UNKNOWN,		/* the word: nobody tells it */
	FIGURE_ZERO,
};

/* For whom a column is. */
enum {
	SHOW_DATA = 1,		/* JSON and CSV */
	SHOW_TABLE = 2,
	SHOW_BOTH = 3,
	SHOW_GROUPED = 4,	/* only where there are groups */
	SHOW_COMPARED = 8,	/* only with --compare */
};

struct shown {
	struct table_column column;
	enum figure figure;
	int         arg;
	int         when;	/* SHOW_* */
	int         width;	/* of a terminal below which it is left out; a
				 * bar needs a terminal */
};

/* What the figures of a line are held against. */
struct scale {
	const struct line *total;
	int64_t full;		/* cost that makes a whole bar */
};

/* A figure of a line. */
struct value {
	enum { VALUE_NULL, VALUE_TEXT, VALUE_NUMBER, VALUE_REAL } type;
	int64_t number;
	double  real;
	char    text[64];
};

/* Those of columns[0..count) that are shown, into out; returns how many. */
size_t figures_shown(const struct shown *columns, size_t count,
                     const struct cli *cli, bool grouped, bool compared,
                     const struct shown **out);

/* What a query has to ask for them. */
void figures_want(const struct shown *const *columns, size_t count,
                  struct query *query);

struct value figure_of(const struct shown *shown, const struct line *line,
                       const struct scale *scale);
void value_add(struct table *table, const struct value *value);

/* part of whole, of a hundred, with one decimal; whole is not 0. */
double figure_percent(int64_t part, int64_t whole);

/* A bar of `share` (0 to 1) of `width` characters, at least a sliver of what
 * is not nothing.  Returns out, which has room for BAR_SIZE(width) bytes. */
#define BAR_SIZE(width) ((width) * 3 + 4)
const char *figure_bar(double share, int width, char *out);

#endif
