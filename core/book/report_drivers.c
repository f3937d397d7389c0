/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What costs most, and what would cost less: advice that asks nobody, from what
 * this ledger paid.
 */
#include "config.h"

#include <math.h>
#include <string.h>

#include "book/report_list.h"

#define NANO 1000000000.0
#define MIN_CALLS 20	/* so that a price is not that of one odd call */

static const struct shown driver_columns[] = {
	{ { "total_tokens", "tokens", TABLE_COUNT }, FIGURE_SUM,
	  ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 72 },
	{ { "total_cost", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,
	  SHOW_BOTH, 0 },
	{ { "call_count", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_TABLE, 80 },
	{ { "bar", "", TABLE_TEXT }, FIGURE_BAR, 0, SHOW_TABLE, 100 },
};

static const struct table_column advice_columns[] = {
	{ "provider", NULL, TABLE_TEXT },
	{ "current_model", "model", TABLE_TEXT },
	{ "suggested_model", "cheaper", TABLE_TEXT },
	{ "rationale", NULL, TABLE_TEXT },
	{ "estimated_savings_pct", "savings", TABLE_POINTS },
	{ "estimated_savings_usd", "savings USD", TABLE_MONEY },
};

/* Nano-dollars a token, of all its tokens as they were paid; 0: not known. */
static double price_of(const struct line *line)
{
	const size_t cost = ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1;
	const int64_t requests = line->columns[ROLLUP_REQUESTS];
	const int64_t tokens = line_sum(line, ROLLUP_TOTAL_TOKENS);
	const size_t said = ROLLUP_FIRST_SUM + 2 * ROLLUP_TOTAL_TOKENS + 1;

	/* Calls without a cost, or without tokens, would spoil the price. */
	if (requests < MIN_CALLS || tokens <= 0 ||
	    line->columns[cost] != requests ||
	    line->columns[said] != requests || line_sum(line, ROLLUP_COST) < 0) {
		return 0;
	}
	return (double)line_sum(line, ROLLUP_COST) / (double)tokens;
}

/* What makes two models fit for the same work, as far as a ledger tells: the
 * same provider and tier, and about the same share of output. */
static bool fits(const struct line *a, const struct line *b)
{
	const double of_a = (double)line_sum(a, ROLLUP_OUTPUT_TOKENS) /
	                    (double)line_sum(a, ROLLUP_TOTAL_TOKENS);
	const double of_b = (double)line_sum(b, ROLLUP_OUTPUT_TOKENS) /
	                    (double)line_sum(b, ROLLUP_TOTAL_TOKENS);

	for (size_t i = 0; i < 3; i += 2) {	/* provider, tier */
		const char *one = a->keys[i], *other = b->keys[i];

		if (one == NULL || other == NULL ? one != other
		    : strcmp(one, other) != 0) {
			return false;
		}
	}
	return a->keys[0] != NULL && a->keys[1] != NULL &&
	       b->keys[1] != NULL && strcmp(a->keys[1], b->keys[1]) != 0 &&
	       fabs(of_a - of_b) <= 0.25;
}

/*
 * The dearest of those models that cost at most half as much: the smallest
 * step down that is worth the change.  NULL: there is none.
 */
static const struct line *cheaper(const struct lines *lines,
                                  const struct line *line)
{
	const struct line *best = NULL;
	const double price = price_of(line);

	for (size_t i = 0; price > 0 && i < lines->count; i++) {
		const struct line *other = &lines->lines[i];
		const double its = price_of(other);

		if (its > 0 && its * 2 <= price && fits(line, other) &&
		    (best == NULL || its > price_of(best))) {
			best = other;
		}
	}
	return best;
}

static void add_advice(struct table *table, const struct line *line,
                       const struct line *other)
{
	const double ratio = price_of(other) / price_of(line);
	const double cost = (double)line_sum(line, ROLLUP_COST);
	char text[200];

	table_add_text(table, line->keys[0]);
	table_add_text(table, line->keys[1]);
	table_add_text(table, other->keys[1]);
	snprintf(text, sizeof(text), "%.2f against %.2f USD a million tokens, "
	         "in %lld and %lld calls of this window",
	         price_of(other) * 1e6 / NANO, price_of(line) * 1e6 / NANO,
	         (long long)other->columns[ROLLUP_REQUESTS],
	         (long long)line->columns[ROLLUP_REQUESTS]);
	table_add_text(table, text);
	table_add_real(table, round((1 - ratio) * 1000) / 10);
	table_add_number(table, (int64_t)llround((1 - ratio) * cost));
}

static struct table *advice(const struct lines *lines, size_t top)
{
	struct table *table = table_create(advice_columns,
	                                   COUNT_OF(advice_columns));

	for (size_t i = 0; i < lines->count && i < top; i++) {
		const struct line *other = cheaper(lines, &lines->lines[i]);

		if (other != NULL) {
			add_advice(table, &lines->lines[i], other);
		}
	}
	return table;
}

static int run_cost_drivers(struct report_run *run)
{
	const struct window *window = &run->query.window;
	struct query query = run->query;
	struct sheet sheet = { 0 };
	struct lines lines;

	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_TOTAL_TOKENS) |
	                QUERY_SUM(ROLLUP_OUTPUT_TOKENS) |
	                QUERY_SUM(ROLLUP_COST);
	const int status = report_ask(run, &query, LINES_MAX, &lines);
	sheet_text(&sheet, "status", NULL,
	           lines.count > 0 ? "analyzed" : "no_data");
	if (window->since != WINDOW_OPEN_SINCE &&
	    window->until != WINDOW_OPEN_UNTIL) {
		sheet_real(&sheet, "window_days", "days", TABLE_REAL,
		           round((double)(window->until - window->since) /
		                 864e6) / 100);
	} else {
		sheet_null(&sheet, "window_days", "days", TABLE_REAL);
	}
	struct table *recommendations = advice(&lines, (size_t)run->limit);
	struct lines top = lines;
	top.count = lines.count < (size_t)run->limit ? lines.count
		: (size_t)run->limit;
	top.others = 0;
	sheet_list(&sheet, "cost_drivers", "cost drivers",
	           report_table(run, &query, NULL, &top, driver_columns,
	                        COUNT_OF(driver_columns), false));
	sheet_list(&sheet, "recommendations", NULL, recommendations);
	lines_finish(&lines);
	return status == CLI_OK ? sheet_print(&sheet, run)
		: sheet_drop(&sheet, status);
}

const struct report report_cost_drivers = {
	.name = "cost-drivers",
	.help = "The models that cost most, and cheaper ones of the same "
	        "provider and tier, by what this ledger paid for both.",
	.period = "week",
	.by = "provider,model_id,tier",
	.by_fixed = true,
	.limit = 10,
	.run = run_cost_drivers,
};
