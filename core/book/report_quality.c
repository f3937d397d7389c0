/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What producers leave out.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "book/report_list.h"

#define SUM(name, title, sum)                                                \
	{ { name, title, TABLE_COUNT }, FIGURE_SUM, sum, SHOW_BOTH, 0 }

static const struct shown quality_columns[] = {
	{ { "total_calls", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "unknown_pricing_count", "without cost", TABLE_COUNT },
	  FIGURE_UNPRICED, 0, SHOW_BOTH, 0 },
	{ { "missing_provider_response_id_count", "without response id",
	    TABLE_COUNT }, FIGURE_EXTRA, QUERY_NO_RESPONSE_ID, SHOW_BOTH, 0 },
	{ { "flagged_count", "flagged as odd", TABLE_COUNT }, FIGURE_EXTRA,
	  QUERY_FLAGGED, SHOW_BOTH, 0 },
	{ { "untagged_calls_count", "without tags", TABLE_COUNT },
	  FIGURE_EXTRA, QUERY_UNTAGGED, SHOW_BOTH, 0 },
	SUM("input_tokens", NULL, ROLLUP_INPUT_TOKENS),
	SUM("output_tokens", NULL, ROLLUP_OUTPUT_TOKENS),
	SUM("thinking_tokens", NULL, ROLLUP_THINKING_TOKENS),
	SUM("cache_read_input_tokens", NULL, ROLLUP_CACHE_READ),
	SUM("cache_write_input_tokens", NULL, ROLLUP_CACHE_WRITE),
	SUM("total_tokens", NULL, ROLLUP_TOTAL_TOKENS),
	{ { "total_cost", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,
	  SHOW_BOTH, 0 },
};

/* Figures of which it matters how many calls said them. */
static const struct {
	enum rollup_sum sum;
	const char *missing, *missing_title, *coverage, *coverage_title;
} said[] = {
	{ ROLLUP_COST, NULL, NULL, "cost_coverage_percent", "with cost" },
	{ ROLLUP_LATENCY, "missing_latency_count", "without latency",
	  "latency_coverage_percent", "with latency" },
	{ ROLLUP_INPUT_TOKENS, "missing_input_tokens_count",
	  "without input tokens", "input_tokens_coverage_percent",
	  "with input tokens" },
	{ ROLLUP_OUTPUT_TOKENS, "missing_output_tokens_count",
	  "without output tokens", "output_tokens_coverage_percent",
	  "with output tokens" },
};

static void add_coverage(struct sheet *sheet, const struct line *total)
{
	const int64_t requests = total->columns[ROLLUP_REQUESTS];

	for (size_t i = 0; i < COUNT_OF(said); i++) {
		const int64_t known = total->columns[
			ROLLUP_FIRST_SUM + 2 * said[i].sum + 1];

		if (said[i].missing != NULL) {
			sheet_number(sheet, said[i].missing,
			             said[i].missing_title, TABLE_COUNT,
			             requests - known);
		}
		if (requests > 0) {
			sheet_real(sheet, said[i].coverage,
			           said[i].coverage_title, TABLE_POINTS,
			           figure_percent(known, requests));
		} else {
			sheet_null(sheet, said[i].coverage,
			           said[i].coverage_title, TABLE_POINTS);
		}
	}
}

static const struct table_column unpriced_columns[] = {
	{ "model_id", "model", TABLE_TEXT },
	{ "count", "requests", TABLE_COUNT },
	{ "total_calls", "of", TABLE_COUNT },
};

static int64_t unpriced_of(const struct line *line)
{
	return line->columns[ROLLUP_REQUESTS] -
	       line->columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1];
}

static int by_unpriced(const void *left, const void *right)
{
	const struct line *a = left, *b = right;
	const int64_t of_a = unpriced_of(a), of_b = unpriced_of(b);

	if (of_a != of_b) {
		return of_a > of_b ? -1 : 1;
	}
	return strcmp(a->keys[0] != NULL ? a->keys[0] : "",
	              b->keys[0] != NULL ? b->keys[0] : "");
}

static int add_unpriced(struct report_run *run, struct sheet *sheet)
{
	struct query query = run->query;
	struct lines lines;
	struct table *table = table_create(unpriced_columns,
	                                   COUNT_OF(unpriced_columns));

	report_by(&query, "model_id");
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	const int status = report_ask(run, &query, LINES_MAX, &lines);
	if (lines.count > 0) {
		qsort(lines.lines, lines.count, sizeof(lines.lines[0]),
		      by_unpriced);
	}
	for (size_t i = 0; i < lines.count && (int64_t)i < run->limit; i++) {
		const struct line *line = &lines.lines[i];

		if (unpriced_of(line) == 0) {
			break;
		}
		table_add_text(table, line->keys[0] != NULL ? line->keys[0]
		               : run->cli->format == CLI_TABLE ? "(unknown)"
		               : NULL);
		table_add_number(table, unpriced_of(line));
		table_add_number(table, line->columns[ROLLUP_REQUESTS]);
	}
	lines_finish(&lines);
	sheet_list(sheet, "unknown_pricing_by_model", "without cost, by model",
	           table);
	return status;
}

static int run_data_quality(struct report_run *run)
{
	const struct shown *shown[TABLE_MAX_COLUMNS];
	struct query query = run->query;
	struct sheet sheet = { 0 };
	struct lines lines;

	figures_want(shown, figures_shown(quality_columns,
	             COUNT_OF(quality_columns), run->cli, false, false, shown),
	             &query);
	for (size_t i = 0; i < COUNT_OF(said); i++) {
		query.columns |= QUERY_SUM(said[i].sum);
	}
	int status = report_ask(run, &query, 1, &lines);
	sheet_line(&sheet, run, quality_columns, COUNT_OF(quality_columns),
	           &lines.total);
	add_coverage(&sheet, &lines.total);
	lines_finish(&lines);
	if (status == CLI_OK) {
		status = add_unpriced(run, &sheet);
	}
	run->unpriced = 0;	/* the report says so itself */
	return status == CLI_OK ? sheet_print(&sheet, run)
		: sheet_drop(&sheet, status);
}

const struct report report_data_quality = {
	.name = "data-quality",
	.help = "What producers leave out: costs, latencies, tokens, ids.",
	.period = "last-30-days",
	.by = "",
	.by_fixed = true,
	.limit = 10,
	.run = run_data_quality,
};
