/* SPDX-License-Identifier: Apache-2.0 */

/*
 * For each day and dimension one statement, which answers with what differs.
 */
#include "config.h"

#include <assert.h>

#include "book/days.h"
#include "book/query.h"
#include "book/verify_days.h"
#include "common/rollup.h"

#define DAYS 500		/* of a page */
#define KEYS 3			/* value, provider, model_id */

struct look {
	verify_days_fn *differs;
	void   *context;
	const char *dimension;
	int64_t day;
	bool    stopped;
};

struct page {
	int64_t days[DAYS];
	size_t  count;
};

static struct bursar_span span_of(const struct bursar_cell *cell)
{
	return cell->type == BURSAR_STRING
		? (struct bursar_span){ cell->data, cell->size }
		: (struct bursar_span){ "", 0 };
}

static int take_sums(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct look *look = context;

	assert(count == KEYS + 2 * ROLLUP_COLUMNS);
	for (size_t i = 0; i < ROLLUP_COLUMNS && !look->stopped; i++) {
		const struct bursar_cell *sums = &cells[KEYS + 2 * i];
		const struct verify_place place = {
			.check = VERIFY_DAY,
			.dimension = look->dimension,
			.value = span_of(&cells[0]),
			.cell = look->day * ROLLUP_DAY,
			.provider = span_of(&cells[1]),
			.model_id = span_of(&cells[2]),
			.column = rollup_columns[i],
			.stored = book_get(&sums[0]),
			.computed = book_get(&sums[1]),
		};

		if (place.stored != place.computed) {
			look->stopped = !look->differs(look->context, &place);
		}
	}
	return look->stopped;
}

/* The sums of the day with zeros in place of those of cells, or the other way
 * round. */
static void add_part(struct book_statement *st, const struct look *look,
                     bool of_cells)
{
	const struct days_run run = { look->day, look->day + 1 };
	const int64_t first = of_cells ? look->day * ROLLUP_DAY : look->day;

	book_add(st, "SELECT r.value, r.provider, r.model_id");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		const char *sum = rollup_columns[i];

		book_add(st, ", %s%s AS s%zu, %s%s AS c%zu",
		         of_cells ? "" : "r.", of_cells ? "0" : sum, i,
		         of_cells ? "r." : "", of_cells ? sum : "0", i);
	}
	book_add(st, " FROM ");
	days_add_guard(st, &run, false);
	book_add(st, " CROSS JOIN v CROSS JOIN %s r WHERE r.dimension = '%s' "
	         "AND r.value = v.value AND r.%s >= ",
	         of_cells ? "rollup_cells" : "rollup_days", look->dimension,
	         of_cells ? "cell" : "day");
	book_add_value(st, book_int(first));
	book_add(st, " AND r.%s < ", of_cells ? "cell" : "day");
	book_add_value(st, book_int(first + (of_cells ? ROLLUP_DAY : 1)));
}

static void compare_day(struct book *book, struct look *look)
{
	struct bursar_error absurd = { 0 };
	struct book_statement st;

	book_begin(&st);
	query_add_values(&st, look->dimension);
	book_add(&st, "SELECT value, provider, model_id");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		book_add(&st, ", CAST(SUM(s%zu) AS BIGINT), "
		         "CAST(SUM(c%zu) AS BIGINT)", i, i);
	}
	book_add(&st, " FROM (");
	add_part(&st, look, false);
	book_add(&st, " UNION ALL ");
	add_part(&st, look, true);
	book_add(&st, ") q GROUP BY value, provider, model_id HAVING ");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		book_add(&st, "%sSUM(s%zu) <> SUM(c%zu)", i > 0 ? " OR " : "",
		         i, i);
	}
	/* What cannot be asked at all fails elsewhere, too. */
	book_ask(book, &st, take_sums, look, &absurd);
}

static int take_day(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct page *page = context;

	assert(count == 1 && page->count < DAYS);
	page->days[page->count++] = book_get(&cells[0]);
	return 0;
}

static int read_page(struct book *book, int64_t after, struct page *page,
                     struct bursar_error *err)
{
	const struct bursar_cell parameters[] = { book_int(after) };

	page->count = 0;
	return book_run(book, "SELECT day FROM rollup_closed WHERE summed = 1 "
	                "AND day > $1 ORDER BY day LIMIT 500", parameters, 1,
	                take_day, page, err);
}

int verify_days(struct book *book, verify_days_fn *differs, void *context,
                uint64_t *compared, struct bursar_error *err)
{
	struct look look = { .differs = differs, .context = context,
	                     .day = INT64_MIN };
	struct page page = { .count = DAYS };

	while (page.count == DAYS && !look.stopped) {
		if (read_page(book, look.day, &page, err) != 0) {
			return -1;
		}
		for (size_t i = 0; i < page.count && !look.stopped; i++) {
			const struct rollup_dimension *d = rollup_dimensions;

			look.day = page.days[i];
			for (; d->name != NULL && !look.stopped; d++) {
				look.dimension = d->name;
				compare_day(book, &look);
			}
			*compared += !look.stopped;
		}
	}
	return 0;
}
