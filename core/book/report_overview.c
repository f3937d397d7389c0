/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Everything at a glance.
 */
#include "config.h"

#include "book/report_list.h"

#define SUM(name, title, sum)                                                \
	{ { name, title, TABLE_COUNT }, FIGURE_SUM, sum, SHOW_BOTH, 0 }

static const struct shown overview_columns[] = {
	{ { "total_cost", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,
	  SHOW_BOTH, 0 },
	{ { "previous_cost_usd", "before USD", TABLE_MONEY }, FIGURE_BEFORE, 0,
	  SHOW_BOTH | SHOW_COMPARED, 0 },
	{ { "cost_delta_percent", "change", TABLE_CHANGE }, FIGURE_CHANGE, 0,
	  SHOW_BOTH | SHOW_COMPARED, 0 },
	{ { "requests_count", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "average_cost_per_call", "a request USD", TABLE_MONEY },
	  FIGURE_COST_PER_CALL, 0, SHOW_BOTH, 0 },
	SUM("total_tokens", "tokens", ROLLUP_TOTAL_TOKENS),
	{ { "error_rate_percent", "failed", TABLE_POINTS }, FIGURE_ERROR_RATE,
	  0, SHOW_BOTH, 0 },
	{ { "average_latency_ms", "latency ms", TABLE_REAL }, FIGURE_AVERAGE,
	  ROLLUP_LATENCY, SHOW_BOTH, 0 },
	{ { "p95_latency_ms", "p95", TABLE_MS }, FIGURE_PERCENTILE, 95,
	  SHOW_BOTH, 0 },
	{ { "unknown_pricing_count", "without cost", TABLE_COUNT },
	  FIGURE_UNPRICED, 0, SHOW_BOTH, 0 },
};

static const struct shown overview_parts[] = {
	{ { "total_cost", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,
	  SHOW_BOTH, 0 },
	{ { "requests_count", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_BOTH, 0 },
	{ { "bar", "", TABLE_TEXT }, FIGURE_BAR, 0, SHOW_TABLE, 72 },
};

static const struct table_column top_call_columns[] = {
	{ "provider", NULL, TABLE_TEXT },
	{ "model_id", NULL, TABLE_TEXT },
	{ "total_cost", "cost USD", TABLE_MONEY },
};

struct taken {
	const struct report_run *run;
	struct table *table;
};

static int take_top_call(void *context, const struct query_call *call)
{
	const struct taken *taken = context;

	report_add_key(taken->run, taken->table, call->provider);
	report_add_key(taken->run, taken->table, call->model_id);
	table_add_number(taken->table, call->cost_nano);
	return 0;
}

static int add_part(struct report_run *run, struct sheet *sheet,
                    const char *field, const char *name, const char *title)
{
	struct query query = run->query;
	struct lines lines;

	report_by(&query, field);
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	const int status = report_ask(
		run, &query, run->cli->format == CLI_TABLE
		? (size_t)run->limit : LINES_MAX, &lines);
	sheet_list(sheet, name, title,
	           report_table(run, &query, NULL, &lines, overview_parts,
	                        COUNT_OF(overview_parts), false));
	lines_finish(&lines);
	return status;
}

static int add_calls(struct report_run *run, struct sheet *sheet)
{
	struct bursar_error err = { 0 };
	struct taken taken = { run, table_create(top_call_columns,
		COUNT_OF(top_call_columns)) };
	struct query query = run->query;

	sheet_list(sheet, "top_calls", "most expensive calls", taken.table);
	query.from_records = true;
	const int status = report_note_purged(run, &query);
	if (status == CLI_OK &&
	    query_calls(run->book, &query, run->limit, take_top_call, &taken,
	                &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	return status;
}

/* Days where there are not too many of them for one question. */
static enum window_unit unit_of(const struct window *window)
{
	return window->until <= window_day(window->since, QUERY_MAX_PERIODS)
		? WINDOW_DAYS : WINDOW_MONTHS;
}

/* The days of the window as a line of blocks, for a person; of a window of
 * years the months. */
static int add_days(struct report_run *run, struct sheet *sheet,
                    char text[SPARKLINE_MAX * 3 + 1])
{
	struct query query = run->query;
	struct window_periods days = { 0 };
	struct lines lines = { 0 };

	report_by(&query, NULL);
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	int status = report_narrow(run, &query.window);
	if (query.window.since < 0 && query.window.until > 0) {
		query.window.since = 0;	/* no call is older than 1970 */
	}
	const enum window_unit unit = unit_of(&query.window);
	if (status == CLI_OK) {
		status = report_divide(run, &query, unit, &days);
	}
	if (status == CLI_OK) {
		status = report_ask(run, &query, LINES_MAX, &lines);
	}
	if (status == CLI_OK && lines_fill(&lines, days.count)) {
		report_sparkline(&lines, 60, text);
		sheet_text(sheet, unit == WINDOW_DAYS ? "days" : "months", NULL,
		           text);
	}
	lines_finish(&lines);
	window_periods_finish(&days);
	return status;
}

static int compare_total(struct report_run *run, struct line *total)
{
	struct query query = run->query;
	struct lines before;

	query.window = run->before;
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	const int status = report_ask(run, &query, 1, &before);
	total->before = line_sum(&before.total, ROLLUP_COST);
	total->before_known = line_known(&before.total, ROLLUP_COST);
	lines_finish(&before);
	return status;
}

static int run_overview(struct report_run *run)
{
	char days[SPARKLINE_MAX * 3 + 1] = "";
	const struct shown *shown[TABLE_MAX_COLUMNS];
	struct query query = run->query;
	struct sheet sheet = { 0 };
	struct lines lines;

	run->compared = window_before(run->period, &query.window, run->now,
	                              &run->before);
	figures_want(shown, figures_shown(overview_columns,
	             COUNT_OF(overview_columns), run->cli, false, true, shown),
	             &query);
	int status = report_ask(run, &query, 1, &lines);
	const int64_t requests = run->requests, unpriced = run->unpriced;
	if (status == CLI_OK && run->compared) {
		status = compare_total(run, &lines.total);
	}
	sheet_line(&sheet, run, overview_columns, COUNT_OF(overview_columns),
	           &lines.total);
	lines_finish(&lines);
	if (status == CLI_OK && run->cli->format == CLI_TABLE) {
		status = add_days(run, &sheet, days);
	}
	if (status == CLI_OK) {
		status = add_part(run, &sheet, "provider", "cost_by_provider",
		                  "by provider");
	}
	if (status == CLI_OK) {
		status = add_part(run, &sheet, "model_id", "cost_by_model",
		                  "by model");
	}
	if (status == CLI_OK) {
		status = add_calls(run, &sheet);
	}
	run->requests = requests;
	run->unpriced = unpriced;
	return status == CLI_OK ? sheet_print(&sheet, run)
		: sheet_drop(&sheet, status);
}

const struct report report_overview = {
	.name = "overview",
	.help = "Everything at a glance: cost against the time before, days, "
	        "providers, models and the most expensive calls.",
	.period = "last-30-days",
	.by = "",
	.by_fixed = true,
	.limit = 5,
	.run = run_overview,
};
