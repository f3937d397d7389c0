/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sums up the days that are over, for questions over many of them; see
 * book/days.h.
 *
 * A day is first said to be worked on.  Who adds to it from then on takes that
 * back when it commits, and who had begun before is waited for: in PostgreSQL
 * by asking for an index that is there already, which takes the lock that those
 * who write have until they commit; SQLite has one writer at a time anyway.
 * Then all cells of the day are summed, some values of a dimension by each
 * statement, and in the end the day is closed, where nobody took it back and
 * the lease is still ours.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "book/days.h"
#include "book/named.h"
#include "book/query.h"
#include "book/words.h"
#include "common/columns.h"
#include "common/rollup.h"
#include "jobs/job.h"

#define VALUES   64	/* of a dimension, summed by one statement */
#define AT_ONCE  16	/* days that are begun together */
#define DAYS_MAX 100000	/* older ones are left alone */
#define HALF     INT64_C(4294967296)

/* Values [first, next) of a dimension; the last range of each has no end. */
struct range {
	const char *dimension;
	struct bursar_span first;	/* kept in words */
};

struct summing {
	struct job_run *run;
	struct bursar_error *err;
	struct words *words;
	struct range *ranges;
	size_t  range_count;
	size_t  range_room;
	bool   *closed;			/* of each day from `first` on */
	int64_t first;
	int64_t last;			/* the first day that is not over */
	uint64_t done;
	uint64_t busy;			/* taken back meanwhile */
};

/* --- what there is to do -------------------------------------------------- */

static int take_closed(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct summing *s = context;
	const int64_t day = book_get(&cells[0]);

	assert(count == 1);
	if (day >= s->first && day < s->last) {
		s->closed[day - s->first] = true;
	}
	return 0;
}

/* Finds the days from the first fact on that are over and not closed. */
static int find_days(struct summing *s)
{
	struct book *book = s->run->book;
	struct window extent;
	int64_t now;

	/* A tag that is named from now on is fed from a later day on. */
	if (named_read(book, s->err) != 0 ||
	    lease_now(book, &now, s->err) != 0 ||
	    query_extent(book, &extent, s->err) != 0) {
		return -1;
	}
	s->last = columns_day(now);
	s->first = columns_day(extent.since);
	if (extent.until == 0 || s->first >= s->last) {
		s->first = s->last;
	}
	if (s->last - s->first > DAYS_MAX) {
		s->first = s->last - DAYS_MAX;
	}
	s->closed = calloc((size_t)(s->last - s->first) + 1, sizeof(bool));
	if (s->closed == NULL) {
		return bursar_fail(s->err, ENOMEM, "out of memory");
	}
	return book_run(book, "SELECT day FROM rollup_closed "
	                "WHERE summed = " DAYS_SUMMED, NULL, 0, take_closed, s,
	                s->err);
}

static int add_range(struct summing *s, const char *dimension,
                     struct bursar_span first)
{
	if (s->range_count == s->range_room) {
		const size_t room = 2 * s->range_room + 16;
		struct range *ranges = reallocarray(s->ranges, room,
		                                    sizeof(*ranges));

		if (ranges == NULL) {
			return bursar_fail(s->err, ENOMEM, "out of memory");
		}
		s->ranges = ranges;
		s->range_room = room;
	}
	const struct bursar_span kept = words_keep(s->words, first.data,
	                                           first.size);
	if (kept.data == NULL) {
		return bursar_fail(s->err, ENOMEM, "out of memory");
	}
	s->ranges[s->range_count++] = (struct range){ dimension, kept };
	return 0;
}

struct next {
	struct summing *summing;
	const char *dimension;
	bool    found;
	bool    failed;
};

static int take_next(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct next *next = context;
	const struct bursar_span value = { cells[0].data, cells[0].size };

	assert(count == 1);
	next->found = true;
	next->failed = add_range(next->summing, next->dimension, value) != 0;
	return 1;
}

/* "WITH RECURSIVE v(value) AS (...)": values from `first` on, those below
 * `end` where there is one, and the next. */
static void add_values(struct book_statement *st, const char *dimension,
                       struct bursar_span first, const struct range *end)
{
	book_add(st, "WITH RECURSIVE v(value) AS (SELECT MIN(value) "
	         "FROM rollup_cells WHERE dimension = '%s' AND value >= ",
	         dimension);
	book_add_value(st, book_bytes(first.data, first.size));
	book_add(st, " UNION ALL SELECT (SELECT MIN(s.value) "
	         "FROM rollup_cells s WHERE s.dimension = '%s' "
	         "AND s.value > v.value) FROM v WHERE v.value IS NOT NULL",
	         dimension);
	if (end != NULL) {
		book_add(st, " AND v.value < ");
		book_add_value(st, book_bytes(end->first.data,
		                              end->first.size));
	}
	book_add(st, ")");
}

static int divide(struct summing *s, const char *dimension)
{
	struct next next = { s, dimension, true, false };
	struct book_statement st;

	if (add_range(s, dimension, (struct bursar_span){ "", 0 }) != 0) {
		return -1;
	}
	while (next.found) {
		next.found = false;
		book_begin(&st);
		add_values(&st, dimension, s->ranges[s->range_count - 1].first,
		           NULL);
		book_add(&st, " SELECT value FROM v WHERE value IS NOT NULL "
		         "LIMIT 1 OFFSET %d", VALUES);
		if (!s->run->go_on(s->run)) {
			return 0;
		}
		if (book_ask(s->run->book, &st, take_next, &next,
		             s->err) != 0 || next.failed) {
			return -1;
		}
	}
	return 0;
}

static int find_ranges(struct summing *s)
{
	const struct book *book = s->run->book;

	for (const struct rollup_dimension *d = rollup_dimensions;
	     d->name != NULL; d++) {
		if (divide(s, d->name) != 0) {
			return -1;
		}
	}
	for (size_t i = 0; i < book->tag_count; i++) {
		if (divide(s, book->tags[i].name) != 0) {
			return -1;
		}
	}
	return 0;
}

/* --- one day -------------------------------------------------------------- */

static int begin_day(struct summing *s, int64_t day)
{
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "INSERT INTO rollup_closed (day, fence, summed) "
	         "SELECT CAST(");
	book_add_value(&st, book_int(day));
	book_add(&st, " AS BIGINT), CAST(");
	book_add_value(&st, book_int(s->run->lease->fence));
	book_add(&st, " AS BIGINT), 0 WHERE ");
	lease_condition(&st, s->run->lease);
	book_add(&st, " ON CONFLICT (day) DO UPDATE SET "
	         "fence = excluded.fence, summed = 0");
	return book_ask(s->run->book, &st, NULL, NULL, s->err);
}

static int await_writers(struct summing *s)
{
	return book_run(s->run->book, "CREATE INDEX IF NOT EXISTS "
	                "rollup_closed_days ON rollup_closed (day, summed)",
	                NULL, 0, NULL, NULL, s->err);
}

static void add_columns(struct book_statement *st, const char *fmt)
{
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		const char *name = rollup_columns[i];

		for (const char *at = fmt; *at != '\0'; at++) {
			if (*at == '#') {
				book_add(st, "%s", name);
			} else {
				book_add(st, "%c", *at);
			}
		}
	}
}

/* What the cells of a day come to.  `wide` sums in halves that cannot overflow;
 * what 63 bits do not hold stays at their end, as in cells. */
static void add_sums(struct book_statement *st, const struct summing *s,
                     size_t at, int64_t day, bool wide)
{
	const struct range *range = &s->ranges[at];

	book_add(st, "r.value AS value, CAST(");
	book_add_value(st, book_int(day));
	book_add(st, " AS BIGINT) AS day, r.provider AS provider, "
	         "r.model_id AS model_id");
	add_columns(st, wide ? ", CAST(SUM(r.# / 4294967296) AS BIGINT) AS #_h,"
	            " CAST(SUM(r.# % 4294967296) AS BIGINT) AS #_l"
	            : ", CAST(SUM(r.#) AS BIGINT) AS #");
	book_add(st, " FROM v CROSS JOIN rollup_cells r "
	         "WHERE r.dimension = '%s' AND r.value = v.value "
	         "AND r.cell >= ", range->dimension);
	book_add_value(st, book_int(day * ROLLUP_DAY));
	book_add(st, " AND r.cell < ");
	book_add_value(st, book_int((day + 1) * ROLLUP_DAY));
	if (at + 1 < s->range_count &&
	    range[1].dimension == range->dimension) {
		book_add(st, " AND r.value < ");
		book_add_value(st, book_bytes(range[1].first.data,
		                              range[1].first.size));
	}
	book_add(st, " AND ");
	lease_condition(st, s->run->lease);
	book_add(st, " GROUP BY r.value, r.provider, r.model_id");
}

static const char joined[] =
	", CASE WHEN #_h + #_l / 4294967296 > 2147483646 "
	"THEN 9223372036854775807 WHEN #_h + #_l / 4294967296 < -2147483646 "
	"THEN -9223372036854775807 ELSE (#_h + #_l / 4294967296) * 4294967296 "
	"+ #_l % 4294967296 END";

static int sum_range(struct summing *s, size_t at, int64_t day, bool wide,
                     struct bursar_error *err)
{
	const struct range *range = &s->ranges[at];
	const bool last = at + 1 == s->range_count ||
	                  range[1].dimension != range->dimension;
	const char *before = ", ";
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "INSERT INTO rollup_days (dimension, value, day, "
	         "provider, model_id");
	add_columns(&st, ", #");
	book_add(&st, ") ");
	add_values(&st, range->dimension, range->first, last ? NULL
	           : &range[1]);
	book_add(&st, " SELECT '%s', ", range->dimension);
	if (wide) {
		book_add(&st, "value, day, provider, model_id");
		add_columns(&st, joined);
		book_add(&st, " FROM (SELECT ");
		add_sums(&st, s, at, day, true);
		book_add(&st, ") q WHERE true");
	} else {
		add_sums(&st, s, at, day, false);
	}
	book_add(&st, " ON CONFLICT (dimension, value, day, provider, "
	         "model_id) DO UPDATE SET ");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++, before = ", ") {
		book_add(&st, "%s%s = excluded.%s", i > 0 ? before : "",
		         rollup_columns[i], rollup_columns[i]);
	}
	return book_ask(s->run->book, &st, NULL, NULL, err);
}

static int end_day(struct summing *s, int64_t day)
{
	struct book_statement st;
	int64_t closed = 0;
	bool known;

	book_begin(&st);
	book_add(&st, "UPDATE rollup_closed SET summed = " DAYS_SUMMED
	         " WHERE day = ");
	book_add_value(&st, book_int(day));
	book_add(&st, " AND fence = ");
	book_add_value(&st, book_int(s->run->lease->fence));
	book_add(&st, " AND ");
	lease_condition(&st, s->run->lease);
	book_add(&st, " RETURNING summed");
	const int status = book_number(s->run->book, st.text, st.parameters,
	                               st.count, &closed, &known, s->err);
	*(closed != 0 ? &s->done : &s->busy) += status == 0;
	return status;
}

static int has_cells(struct summing *s, int64_t day, bool *cells)
{
	const struct bursar_cell parameters[] = {
		book_int(day * ROLLUP_DAY), book_int((day + 1) * ROLLUP_DAY) };
	int64_t first;

	return book_number(s->run->book, "SELECT MIN(cell) FROM rollup_cells "
	                   "WHERE dimension = 'all' AND value = '' "
	                   "AND cell >= $1 AND cell < $2", parameters, 2,
	                   &first, cells, s->err);
}

static int sum_day(struct summing *s, int64_t day)
{
	bool cells;

	if (has_cells(s, day, &cells) != 0) {
		return -1;
	}
	for (size_t i = 0; i < s->range_count && cells; i++) {
		struct bursar_error why = { 0 };

		if (!s->run->go_on(s->run)) {
			return 0;
		}
		/* Absurd numbers: slower. */
		if (sum_range(s, i, day, false, &why) != 0 &&
		    sum_range(s, i, day, true, s->err) != 0) {
			return -1;
		}
	}
	return end_day(s, day);
}

/* --- all of them ---------------------------------------------------------- */

/* Up to AT_ONCE days before `end` that are to be closed, the latest first. */
static size_t choose(const struct summing *s, int64_t *end,
                     int64_t days[AT_ONCE])
{
	size_t count = 0;

	while (*end > s->first && count < AT_ONCE) {
		(*end)--;
		if (!s->closed[*end - s->first]) {
			days[count++] = *end;
		}
	}
	return count;
}

static int sum_days(struct summing *s, const int64_t *days, size_t count)
{
	struct job_run *run = s->run;

	for (size_t i = 0; i < count; i++) {
		if (!run->go_on(run)) {
			return 0;
		}
		if (begin_day(s, days[i]) != 0) {
			return -1;
		}
	}
	if (await_writers(s) != 0) {
		return -1;
	}
	for (size_t i = 0; i < count && run->ended == JOB_OK; i++) {
		if (sum_day(s, days[i]) != 0) {
			return -1;
		}
	}
	return 0;
}

/* Somebody doubts the sums: all days are summed again. */
static int reopen(struct summing *s)
{
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "DELETE FROM rollup_closed WHERE ");
	lease_condition(&st, s->run->lease);
	return book_ask(s->run->book, &st, NULL, NULL, s->err);
}

static int sum_up(struct summing *s)
{
	int64_t days[AT_ONCE];
	size_t count;

	if ((s->run->force && reopen(s) != 0) || find_days(s) != 0) {
		return -1;
	}
	int64_t end = s->last;
	while ((count = choose(s, &end, days)) > 0 &&
	       s->run->ended == JOB_OK) {
		if ((s->range_count == 0 && find_ranges(s) != 0) ||
		    sum_days(s, days, count) != 0) {
			return -1;
		}
	}
	return 0;
}

enum job_result job_rollup(struct job_run *run, struct bursar_error *err)
{
	struct summing s = { .run = run, .err = err };
	enum job_result result = JOB_FAILED;

	run->ended = JOB_OK;
	s.words = words_create();
	if (s.words == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
	} else if (sum_up(&s) == 0) {
		result = run->ended;
	}
	run->did = s.done > 0;
	snprintf(run->note, sizeof(run->note), "days=%" PRIu64 " busy=%" PRIu64,
	         s.done, s.busy);
	words_destroy(s.words);
	free(s.ranges);
	free(s.closed);
	return result;
}
