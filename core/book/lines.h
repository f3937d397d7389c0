/* SPDX-License-Identifier: Apache-2.0 */

/*
 * lines.h - the rows of an answer, kept for a report
 *
 * As many as the limit in the order in which they came; what is beyond is
 * summed into one line, and all of them into the total.  All functions but
 * lines_take() are for whole answers.
 */
#ifndef CORE_BOOK_LINES_H
#define CORE_BOOK_LINES_H

#include "book/query.h"

/* More groups than this are summed, but not listed. */
#define LINES_MAX 100000

struct line {
	char   *keys[QUERY_MAX_BY];	/* NULL: unknown */
	size_t  period;
	bool    filled;		/* nothing happened: its sums are known, 0 */
	int64_t columns[ROLLUP_COLUMNS];
	int64_t extras[QUERY_EXTRAS];
	bool    extra_known[QUERY_EXTRAS];
	int64_t before;		/* cost of the same group before ... */
	bool    before_known;	/* ... if there was any */
};

struct lines {
	size_t by_count;
	size_t limit;
	struct line *lines;
	size_t count;
	size_t room;
	size_t others;		/* groups beyond the limit ... */
	size_t unnamed;		/* ... those of them whose first key is
				 * unknown */
	struct line nobody;	/* sums of the groups, listed or not, whose
				 * first key is unknown */
	struct line rest;	/* sums of the others */
	struct line total;
	bool overflow;		/* a sum passed 63 bits */
};

/* To be given to lines_finish(); by_count keys of a row are kept. */
void lines_init(struct lines *lines, size_t by_count, size_t limit);
void lines_finish(struct lines *lines);

/* A query_row_fn whose context are the lines. */
int lines_take(void *context, const struct query_row *row);

/*
 * One line for each of `periods`, those that had none filled; for lines
 * without keys.  False: out of memory, nothing is changed.
 */
bool lines_fill(struct lines *lines, size_t periods);

/* How many groups there are, listed or not, whose first key is known. */
int64_t lines_named(const struct lines *lines);

/* Orders lines by their keys, unknown first, then by period. */
void lines_sort(struct lines *lines);
/* Whether all keys are equal. */
bool lines_same_keys(const struct line *a, const struct line *b);

/* Notes in each line what the group with its keys cost in `before`. */
void lines_compare(struct lines *lines, const struct lines *before);

/* Whether any fact of the line said anything of the sum. */
static inline bool line_known(const struct line *line, enum rollup_sum sum)
{
	return line->columns[ROLLUP_FIRST_SUM + 2 * sum + 1] != 0;
}

static inline int64_t line_sum(const struct line *line, enum rollup_sum sum)
{
	return line->columns[ROLLUP_FIRST_SUM + 2 * sum];
}

#endif
