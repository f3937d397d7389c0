/* SPDX-License-Identifier: Apache-2.0 */

/*
 * rollup.h - sums by dimension, value, quarter-hour, provider and model
 *
 * A sink adds the facts that it stored in a transaction, then writes the
 * deltas of the cells, in key order, as the last thing in that transaction.
 * A cell's columns all add: x = x + excluded.x.
 *
 * Table rollup_cells: dimension, value, cell, provider, model_id (the key, none
 * NULL, '' for unknown), then ROLLUP_COLUMNS in this order.  A column `x_n`
 * counts the records that said anything of x, so that an average is over those
 * and unknown is not zero.
 *
 * Table rollup_days has the same for whole days: `day`, since 1970 (UTC), in
 * place of `cell`.  A sink does not fill it.  But it makes both it and the table
 * rollup_closed (day, fence, summed), from which it deletes the rows of the
 * days of all cells that it adds to, after these, in the same transaction.
 */
#ifndef COMMON_ROLLUP_H
#define COMMON_ROLLUP_H

#include <bursar/schema.h>

#include "common/tags.h"

#define ROLLUP_LATENCY_BUCKETS 20
#define ROLLUP_DAY 96		/* cells of a day */

/* Upper bounds in ms, inclusive; the last bucket has none. */
extern const int64_t rollup_latency_bounds[ROLLUP_LATENCY_BUCKETS - 1];

/* Fields of a fact that are summed, each with a count beside it. */
enum rollup_sum {
	ROLLUP_INPUT_TOKENS, ROLLUP_OUTPUT_TOKENS, ROLLUP_THINKING_TOKENS,
	ROLLUP_TOTAL_TOKENS, ROLLUP_CACHE_READ, ROLLUP_CACHE_WRITE,
	ROLLUP_LATENCY, ROLLUP_WALL_CLOCK, ROLLUP_COST,
	ROLLUP_SUMS
};

enum {
	ROLLUP_REQUESTS,	/* request_count */
	ROLLUP_ERRORS,		/* error_count: status other than success, ok */
	ROLLUP_FIRST_SUM,	/* input_tokens, input_tokens_n, ... */
	ROLLUP_FIRST_BUCKET = ROLLUP_FIRST_SUM + 2 * ROLLUP_SUMS,
	ROLLUP_COLUMNS = ROLLUP_FIRST_BUCKET + ROLLUP_LATENCY_BUCKETS
};

/* The metering field of each sum. */
extern const char *const rollup_sum_fields[ROLLUP_SUMS];

/* Names of the value columns, in order: "request_count", ... "lat_19". */
extern const char *const rollup_columns[ROLLUP_COLUMNS];

/* A dimension and the metering field it takes its value from. */
struct rollup_dimension {
	const char *name;	/* "worker" */
	const char *field;	/* "worker_id"; NULL for "all" */
};

/* The dimensions, "all" first; ends with a NULL name. */
extern const struct rollup_dimension rollup_dimensions[];

/*
 * Tags are dimensions, too:
 *
 *	tag:KEY	of each fact the value of that tag, '' where it has none; for
 *		tags that were named, in cells from `since` on
 *	tag	for each key that a fact has, the key; counts requests and
 *		nothing else, and says so in which cells a key was ever seen
 *
 * A ledger keeps the tags that were named in bursar_meta: the name of the
 * dimension, and since when it is fed.
 */
#define ROLLUP_MAX_TAGS  16
#define ROLLUP_KEYS      "tag"
#define ROLLUP_NAME_SIZE (sizeof(TAGS_PREFIX) + TAGS_ASKED_MAX)

struct rollup_tag {
	char    name[ROLLUP_NAME_SIZE];	/* "tag:feature" */
	int64_t since;			/* cell */
};

/* How a sink reads them, at most ROLLUP_MAX_TAGS, in order. */
#define ROLLUP_READ_TAGS                                              \
	"SELECT name, value FROM bursar_meta WHERE name > 'tag:' AND " \
	"name < 'tag;' ORDER BY name LIMIT 16"

/* Fills *tag from such a row; false: it is none. */
bool rollup_tag_make(struct rollup_tag *tag, struct bursar_span name,
                     int64_t since);

struct rollup_cell {
	const char        *dimension;
	struct bursar_span value;	/* data never NULL */
	int64_t            cell;
	struct bursar_span provider;
	struct bursar_span model_id;
	int64_t            columns[ROLLUP_COLUMNS];
};

/* The deltas of one transaction. */
struct rollup;

/* For the facts of that kind; NULL: out of memory. */
struct rollup *rollup_create(const struct bursar_kind *kind);
void rollup_destroy(struct rollup *rollup);

/* Which tags are dimensions from now on, at most ROLLUP_MAX_TAGS; there are no
 * deltas. */
void rollup_set_tags(struct rollup *rollup, const struct rollup_tag *tags,
                     size_t count);

/*
 * Adds one stored fact.  Texts of the record must live until rollup_clear().
 * A sum that would pass 63 bits stays at their end.  Returns false, with
 * nothing added, when memory is short.
 */
bool rollup_add(struct rollup *rollup, const struct bursar_record *record);

/*
 * The cells in key order, texts compared byte by byte; lent until the next
 * call.  NULL: out of memory.
 */
const struct rollup_cell *const *rollup_cells(struct rollup *rollup,
                                              size_t *count);

/* Forgets all deltas; memory is kept for the next transaction. */
void rollup_clear(struct rollup *rollup);

#endif
