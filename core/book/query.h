/* SPDX-License-Identifier: Apache-2.0 */

/*
 * query.h - sums of facts over a window, the one engine of all reports
 *
 * Answers from the rollups wherever they can say it, for the whole quarter
 * hours of the window (of whole days at once, see days.h), and from the records
 * for the rest of it; the answer is always that of the records.  One question
 * is one statement, so it sees the ledger as of one moment.
 *
 * The rollups can answer when the fields that a question names are provider,
 * model_id and at most one dimension; any other text field of a fact is
 * answered from the records of the window, and so is what no rollup keeps (see
 * enum query_extra).  A tag ("tag:KEY") is a field, too: where it was named it
 * is a dimension from then on, and its records are read for the time before;
 * where it was not, a question for one value of it reads the records of those
 * quarter hours only in which the key was seen.  Periods (days, hours) are
 * answered by the rollups where they begin with quarter hours, as those of all
 * zones have since 1972.
 */
#ifndef CORE_BOOK_QUERY_H
#define CORE_BOOK_QUERY_H

#include "book/book.h"
#include "book/window.h"
#include "common/rollup.h"

#define QUERY_MAX_BY      3
#define QUERY_MAX_FILTERS 4
#define QUERY_MAX_PERIODS 1200

/* Only facts whose field says value; "" for those where it is unknown. */
struct query_filter {
	const char *field;
	const char *value;
};

/* In which order rows come; equal ones by key. */
enum query_order {
	QUERY_BY_COST,		/* the highest first; unknown is 0 */
	QUERY_BY_REQUESTS,	/* the most first */
};

/* What only records know: a question for it reads those of the window. */
enum query_extra {
	QUERY_LATENCY_MAX,	/* the highest; unknown where all are */
	QUERY_NO_RESPONSE_ID,	/* facts without provider_response_id */
	QUERY_FLAGGED,		/* facts with any flag in dq_flags */
	QUERY_UNTAGGED,		/* facts without tags */
	QUERY_EXTRAS
};

struct query {
	struct window window;	/* with periods: that of all of them */
	/* period n is [periods[n], periods[n + 1]), and may be empty; rows
	 * come by period first.  Lent; NULL: the window is not divided. */
	const int64_t *periods;
	size_t      period_count;
	const char *by[QUERY_MAX_BY];	/* see query_field() */
	size_t      by_count;		/* 0: one row, also of an empty ledger */
	struct query_filter filters[QUERY_MAX_FILTERS];
	size_t      filter_count;
	uint64_t    columns;	/* bit n: rollup column n is wanted */
	unsigned    extras;	/* bit n: enum query_extra n is wanted */
	enum query_order order;
	bool        from_records;	/* leave the rollups aside */
};

/* The sum x of enum rollup_sum with its count, for struct query.columns. */
#define QUERY_SUM(x) (UINT64_C(3) << (ROLLUP_FIRST_SUM + 2 * (x)))
#define QUERY_BUCKETS (((UINT64_C(1) << ROLLUP_LATENCY_BUCKETS) - 1) \
                       << ROLLUP_FIRST_BUCKET)
#define QUERY_COUNT  ((UINT64_C(1) << ROLLUP_REQUESTS) | \
                      (UINT64_C(1) << ROLLUP_ERRORS))

struct query_row {
	struct bursar_span by[QUERY_MAX_BY];	/* data NULL: unknown */
	int64_t columns[ROLLUP_COLUMNS];	/* 0 where not wanted */
	size_t  period;		/* 0 where the window is not divided */
	int64_t extras[QUERY_EXTRAS];
	bool    extra_known[QUERY_EXTRAS];
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
 * Asks; rows come by period, then in query->order.  The fields have gone
 * through query_field().  A period without facts has no row.  -1 with *err
 * filled.
 */
int query_run(struct book *book, const struct query *query, query_row_fn *row,
              void *context, struct bursar_error *err);

/*
 * The window of whole quarter hours that has all facts there are or were, empty
 * where there are none.  -1 with *err filled.
 */
int query_extent(struct book *book, struct window *extent,
                 struct bursar_error *err);

/*
 * The latency in ms that `percent` (1 to 100) of a hundred facts do not pass,
 * from the buckets of a row: the true one lies in the same bucket, and between
 * its bounds a straight line is taken.  In the bucket that has no upper bound
 * it is the lower one.  -1: no fact said its latency.
 */
int64_t query_percentile(const int64_t *columns, int percent);

/* A fact by itself, see query_calls(); data NULL and *_known false: unknown. */
struct query_call {
	int64_t recorded_us;
	struct bursar_span message_id, provider, model_id, worker_id;
	struct bursar_span provider_response_id;
	int64_t input_tokens, output_tokens, total_tokens, latency_ms;
	int64_t cost_nano;
	bool input_known, output_known, total_known, latency_known;
};

typedef int query_call_fn(void *context, const struct query_call *call);

/*
 * The `limit` most expensive facts with a known cost of the question's window
 * and filters, the highest first, then the oldest.  -1 with *err filled.
 */
int query_calls(struct book *book, const struct query *query, int64_t limit,
                query_call_fn *call, void *context, struct bursar_error *err);

/* Whether the answer needs records from before `us`, which may be purged; to
 * know that of tags, named_read() came before. */
bool query_reads_before(const struct book *book, const struct query *query,
                        int64_t us);

/*
 * For statements of others: a column of the rollups as a sum over records, in
 * two columns that no absurd number makes overflow, to be put together by
 * query_join(), where a sum that passes 63 bits stays at their end; and
 * `WITH RECURSIVE v(value) AS (...) `, the values of a dimension, each found by
 * one look into the key of rollup_cells.
 */
void query_add_record_sum(struct book_statement *statement, size_t column);
int64_t query_join(const struct bursar_cell halves[2]);
void query_add_values(struct book_statement *statement, const char *dimension);

/* "COALESCE(x, '')", of a record, where x is the field or what the tag says. */
void query_add_field(struct book_statement *statement, const char *field);

/*
 * FROM the records of [since, until), in us, that have the tag `key`, found by
 * the quarter hours in which it was seen; further conditions begin with AND.
 */
void query_add_tagged(struct book_statement *statement, const char *key,
                      int64_t since, int64_t until);

/*
 * The field of facts that `word` means: a dimension (worker), the name of a
 * text field (worker_id, conversation_id), or a tag (tag:KEY), which is `word`
 * itself then; NULL with *err filled, which names some that are right.
 */
const char *query_field(const char *word, struct bursar_error *err);

#endif
