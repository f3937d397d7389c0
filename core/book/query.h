/* SPDX-License-Identifier: Apache-2.0 */

/*
 * query.h - sums of facts over a window, the one engine of all reports
 *
 * Answers from the rollups wherever they can say it, for the whole quarter
 * hours of the window, and from the records for the rest of it; the answer is
 * always that of the records.  One question is one statement, so it sees the
 * ledger as of one moment.
 *
 * The rollups can answer when the fields that a question names are provider,
 * model_id and at most one dimension; any other text field of a fact is
 * answered from the records of the window.
 */
#ifndef CORE_BOOK_QUERY_H
#define CORE_BOOK_QUERY_H

#include "book/book.h"
#include "book/window.h"
#include "common/rollup.h"

#define QUERY_MAX_BY      3
#define QUERY_MAX_FILTERS 4

/* Only facts whose field says value; "" for those where it is unknown. */
struct query_filter {
	const char *field;
	const char *value;
};

struct query {
	struct window window;
	const char *by[QUERY_MAX_BY];	/* see query_field() */
	size_t      by_count;		/* 0: one row, also of an empty ledger */
	struct query_filter filters[QUERY_MAX_FILTERS];
	size_t      filter_count;
	uint64_t    columns;	/* bit n: rollup column n is wanted */
	bool        from_records;	/* leave the rollups aside */
};

/* The sum x of enum rollup_sum with its count, for struct query.columns. */
#define QUERY_SUM(x) (UINT64_C(3) << (ROLLUP_FIRST_SUM + 2 * (x)))
#define QUERY_COUNT  ((UINT64_C(1) << ROLLUP_REQUESTS) | \
                      (UINT64_C(1) << ROLLUP_ERRORS))

struct query_row {
	struct bursar_span by[QUERY_MAX_BY];	/* data NULL: unknown */
	int64_t columns[ROLLUP_COLUMNS];	/* 0 where not wanted */
	bool    saturated;	/* a sum passed 63 bits and stands at their
				 * end: a producer said absurd numbers */
};

/* Whether any fact of the row said anything of that sum. */
static inline bool query_known(const struct query_row *row, enum rollup_sum sum)
{
	return row->columns[ROLLUP_FIRST_SUM + 2 * sum + 1] != 0;
}

static inline int64_t query_sum(const struct query_row *row,
                                enum rollup_sum sum)
{
	return row->columns[ROLLUP_FIRST_SUM + 2 * sum];
}

/* Called for each row, which is lent for the call.  Not 0: stop. */
typedef int query_row_fn(void *context, const struct query_row *row);

/*
 * Asks; rows come by cost, the highest first, then by key.  The fields have
 * gone through query_field().  -1 with *err filled.
 */
int query_run(struct book *book, const struct query *query, query_row_fn *row,
              void *context, struct bursar_error *err);

/* Whether the answer needs records from before `us`, which may be purged. */
bool query_reads_before(const struct query *query, int64_t us);

/*
 * For statements of others: a column of the rollups as a sum over records, and
 * `WITH RECURSIVE v(value) AS (...) `, the values of a dimension, each found by
 * one look into the key of rollup_cells.
 */
void query_add_record_sum(struct book_statement *statement, size_t column);
void query_add_values(struct book_statement *statement, const char *dimension);

/*
 * The field of facts that `word` means: a dimension (worker) or the name of a
 * text field (worker_id, conversation_id); NULL with *err filled, which names
 * some that are right.
 */
const char *query_field(const char *word, struct bursar_error *err);

#endif
