/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which days are closed.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "book/days.h"
#include "book/named.h"
#include "book/query.h"
#include "common/columns.h"
#include "common/rollup.h"

static int64_t length(const struct days_run *run)
{
	return run->last - run->first;
}

/* Where there is no room the shortest gives way. */
static void keep(struct days_search *search)
{
	size_t least = 0;

	if (length(&search->at) == 0) {
		return;
	}
	if (search->count < DAYS_RUNS) {
		search->runs[search->count++] = search->at;
		return;
	}
	for (size_t i = 1; i < DAYS_RUNS; i++) {
		if (length(&search->runs[i]) < length(&search->runs[least])) {
			least = i;
		}
	}
	if (length(&search->at) > length(&search->runs[least])) {
		memmove(&search->runs[least], &search->runs[least + 1],
		        (DAYS_RUNS - 1 - least) * sizeof(search->runs[0]));
		search->runs[DAYS_RUNS - 1] = search->at;
	}
}

void days_take(struct days_search *search, int64_t day)
{
	if (day != search->at.last) {
		keep(search);
		search->at.first = day;
	}
	search->at.last = day + 1;
}

void days_end(struct days_search *search)
{
	keep(search);
}

static int take_day(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	assert(count == 1);
	days_take(context, book_get(&cells[0]));
	return 0;
}

int days_look(struct book *book, int64_t since_us, int64_t until_us,
              struct bursar_error *err)
{
	const int64_t end = COLUMNS_NEVER / ROLLUP_DAY;
	const int64_t first = columns_day(since_us);
	const int64_t last = columns_day(until_us);

	return named_look(book, first < 0 ? 0 : first,
	                  last < end ? last + 1 : end, err);
}

/* What was looked at has of [first, last). */
static size_t clip(const struct book *book, int64_t first, int64_t last,
                   struct days_run runs[DAYS_RUNS])
{
	size_t count = 0;

	for (size_t i = 0; i < book->run_count; i++) {
		struct days_run run = book->runs[i];

		run.first = run.first < first ? first : run.first;
		run.last = run.last > last ? last : run.last;
		if (run.first < run.last) {
			runs[count++] = run;
		}
	}
	return count;
}

size_t days_find(struct book *book, int64_t first, int64_t last,
                 struct days_run runs[DAYS_RUNS])
{
	const int64_t since = (first + ROLLUP_DAY - 1) / ROLLUP_DAY;
	const int64_t until = last / ROLLUP_DAY;
	const struct bursar_cell parameters[] = { book_int(since),
	                                          book_int(until) };
	struct days_search search = { .runs = runs };
	struct bursar_error unheard = { 0 };

	if (last - first < 2 * (int64_t)ROLLUP_DAY) {
		return 0;
	}
	if (book->looked.first <= since && until <= book->looked.last) {
		return clip(book, since, until, runs);
	}
	if (book_run(book, "SELECT day FROM rollup_closed WHERE day >= $1 "
	             "AND day < $2 AND summed = " DAYS_SUMMED " ORDER BY day",
	             parameters, 2, take_day, &search, &unheard) != 0) {
		return 0;
	}
	days_end(&search);
	return search.count;
}

int days_open(struct book *book, int64_t now_us, int64_t *days,
              struct bursar_error *err)
{
	const int64_t today = columns_day(now_us);
	struct window extent;
	int64_t closed = 0;
	bool known;

	*days = 0;
	if (query_extent(book, &extent, err) != 0) {
		return -1;
	}
	const int64_t first = columns_day(extent.since);
	if (extent.until == 0 || first >= today) {
		return 0;
	}
	const struct bursar_cell parameters[] = { book_int(first),
	                                          book_int(today) };
	if (book_number(book, "SELECT COUNT(*) FROM rollup_closed "
	                "WHERE day >= $1 AND day < $2 AND summed = "
	                DAYS_SUMMED, parameters, 2, &closed, &known, err) != 0) {
		return -1;
	}
	*days = today - first - closed;
	return 0;
}

void days_add_guard(struct book_statement *st, const struct days_run *run,
                    bool open)
{
	book_add(st, "(SELECT 1 AS one WHERE (SELECT COUNT(*) "
	         "FROM rollup_closed d WHERE d.day >= ");
	book_add_value(st, book_int(run->first));
	book_add(st, " AND d.day < ");
	book_add_value(st, book_int(run->last));
	book_add(st, " AND d.summed = " DAYS_SUMMED ") %s ",
	         open ? "<>" : "=");
	book_add_value(st, book_int(length(run)));
	book_add(st, ") g");
}
