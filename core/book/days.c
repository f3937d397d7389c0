/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which days are closed.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "book/days.h"
#include "common/rollup.h"

struct search {
	struct days_run *runs;
	size_t count;
	struct days_run at;	/* the run that the last day belongs to */
};

static int64_t length(const struct days_run *run)
{
	return run->last - run->first;
}

/* Where there is no room the shortest gives way. */
static void keep(struct search *search)
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

static int take_day(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct search *search = context;
	const int64_t day = book_get(&cells[0]);

	assert(count == 1);
	if (day != search->at.last) {
		keep(search);
		search->at.first = day;
	}
	search->at.last = day + 1;
	return 0;
}

size_t days_find(struct book *book, int64_t first, int64_t last,
                 struct days_run runs[DAYS_RUNS])
{
	struct search search = { .runs = runs };
	const struct bursar_cell parameters[] = {
		book_int((first + ROLLUP_DAY - 1) / ROLLUP_DAY),
		book_int(last / ROLLUP_DAY) };
	struct bursar_error unheard = { 0 };

	if (last - first < 2 * (int64_t)ROLLUP_DAY ||
	    book_run(book, "SELECT day FROM rollup_closed WHERE day >= $1 "
	             "AND day < $2 AND summed = 1 ORDER BY day", parameters, 2,
	             take_day, &search, &unheard) != 0) {
		return 0;
	}
	keep(&search);
	return search.count;
}

void days_add_guard(struct book_statement *st, const struct days_run *run,
                    bool open)
{
	book_add(st, "(SELECT 1 AS one WHERE (SELECT COUNT(*) "
	         "FROM rollup_closed d WHERE d.day >= ");
	book_add_value(st, book_int(run->first));
	book_add(st, " AND d.day < ");
	book_add_value(st, book_int(run->last));
	book_add(st, " AND d.summed = 1) %s ", open ? "<>" : "=");
	book_add_value(st, book_int(length(run)));
	book_add(st, ") g");
}
