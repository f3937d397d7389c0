/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reports to look into: all at a glance, what is missing, single calls.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "book/report_list.h"

#define SUM(name, title, sum, when)                                          \
	{ { name, title, TABLE_COUNT }, FIGURE_SUM, sum, when, 0 }

/* --- overview ------------------------------------------------------------ */

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
	SUM("total_tokens", "tokens", ROLLUP_TOTAL_TOKENS, SHOW_BOTH),
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

static void add_span(const struct taken *taken, struct bursar_span text)
{
	if (text.data != NULL) {
		table_add_bytes(taken->table, text.data, text.size);
	} else if (taken->run->cli->format == CLI_TABLE) {
		table_add_text(taken->table, "(unknown)");
	} else {
		table_add_null(taken->table);
	}
}

static int take_top_call(void *context, const struct query_call *call)
{
	const struct taken *taken = context;

	add_span(taken, call->provider);
	add_span(taken, call->model_id);
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

	sheet_list(sheet, "top_calls", "most expensive calls", taken.table);
	if (query_calls(run->book, &run->query, run->limit, take_top_call,
	                &taken, &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	return CLI_OK;
}

/* The days of the window as a line of blocks, for a person. */
static int add_days(struct report_run *run, struct sheet *sheet,
                    char text[SPARKLINE_MAX * 3 + 1])
{
	struct query query = run->query;
	struct window_periods days = { 0 };
	struct lines lines = { 0 };

	report_by(&query, NULL);
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	int status = report_divide(run, &query, WINDOW_DAYS, &days);
	if (status == CLI_OK) {
		status = report_ask(run, &query, LINES_MAX, &lines);
	}
	if (status == CLI_OK && lines_fill(&lines, days.count)) {
		report_sparkline(&lines, 60, text);
		sheet_text(sheet, "days", NULL, text);
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

/* --- data quality -------------------------------------------------------- */

static const struct shown quality_columns[] = {
	{ { "total_calls", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "unknown_pricing_count", "without cost", TABLE_COUNT },
	  FIGURE_UNPRICED, 0, SHOW_BOTH, 0 },
	{ { "missing_provider_response_id_count", "without response id",
	    TABLE_COUNT }, FIGURE_EXTRA, QUERY_NO_RESPONSE_ID, SHOW_BOTH, 0 },
	{ { "flagged_count", "flagged as odd", TABLE_COUNT }, FIGURE_EXTRA,
	  QUERY_FLAGGED, SHOW_BOTH, 0 },
	SUM("input_tokens", NULL, ROLLUP_INPUT_TOKENS, SHOW_BOTH),
	SUM("output_tokens", NULL, ROLLUP_OUTPUT_TOKENS, SHOW_BOTH),
	SUM("thinking_tokens", NULL, ROLLUP_THINKING_TOKENS, SHOW_BOTH),
	SUM("cache_read_input_tokens", NULL, ROLLUP_CACHE_READ, SHOW_BOTH),
	SUM("cache_write_input_tokens", NULL, ROLLUP_CACHE_WRITE, SHOW_BOTH),
	SUM("total_tokens", NULL, ROLLUP_TOTAL_TOKENS, SHOW_BOTH),
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

/* --- calls --------------------------------------------------------------- */

static const struct table_column call_columns[] = {
	{ "recorded_at", "when", TABLE_TIME },
	{ "message_id", NULL, TABLE_TEXT },
	{ "provider", NULL, TABLE_TEXT },
	{ "model_id", "model", TABLE_TEXT },
	{ "worker_id", "worker", TABLE_TEXT },
	{ "input_tokens", "input", TABLE_COUNT },
	{ "output_tokens", "output", TABLE_COUNT },
	{ "total_tokens", "tokens", TABLE_COUNT },
	{ "latency_ms", "latency", TABLE_MS },
	{ "cost_usd", "cost USD", TABLE_MONEY },
	{ "provider_response_id", NULL, TABLE_TEXT },
};

/* The columns for a person; programs get all. */
#define WIDE       120
#define NARROW     90

static bool is_left_out(const struct cli *cli, const char *name)
{
	static const char *const wide[] = { "message_id", "input_tokens",
	                                    "output_tokens", NULL };
	static const char *const medium[] = { "worker_id", "latency_ms", NULL };

	if (cli->format != CLI_TABLE) {
		return false;
	}
	if (strcmp(name, "provider_response_id") == 0) {
		return true;
	}
	for (size_t i = 0; wide[i] != NULL; i++) {
		if (strcmp(name, wide[i]) == 0) {
			return cli->width > 0 && cli->width < WIDE;
		}
	}
	for (size_t i = 0; medium[i] != NULL; i++) {
		if (strcmp(name, medium[i]) == 0) {
			return cli->width > 0 && cli->width < NARROW;
		}
	}
	return false;
}

static void add_number(struct table *table, bool known, int64_t number)
{
	if (known) {
		table_add_number(table, number);
	} else {
		table_add_null(table);
	}
}

static void add_call_cell(const struct taken *taken, size_t column,
                          const struct query_call *call)
{
	switch (column) {
	case 0:
		table_add_number(taken->table, call->recorded_us);
		break;
	case 1:
		add_span(taken, call->message_id);
		break;
	case 2:
		add_span(taken, call->provider);
		break;
	case 3:
		add_span(taken, call->model_id);
		break;
	case 4:
		add_span(taken, call->worker_id);
		break;
	case 5:
		add_number(taken->table, call->input_known, call->input_tokens);
		break;
	case 6:
		add_number(taken->table, call->output_known,
		           call->output_tokens);
		break;
	case 7:
		add_number(taken->table, call->total_known, call->total_tokens);
		break;
	case 8:
		add_number(taken->table, call->latency_known, call->latency_ms);
		break;
	case 9:
		table_add_number(taken->table, call->cost_nano);
		break;
	default:
		add_span(taken, call->provider_response_id);
	}
}

static int take_call(void *context, const struct query_call *call)
{
	const struct taken *taken = context;

	for (size_t i = 0; i < COUNT_OF(call_columns); i++) {
		if (!is_left_out(taken->run->cli, call_columns[i].name)) {
			add_call_cell(taken, i, call);
		}
	}
	return 0;
}

static int run_calls(struct report_run *run)
{
	struct table_column columns[COUNT_OF(call_columns)];
	struct bursar_error err = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(call_columns); i++) {
		if (!is_left_out(run->cli, call_columns[i].name)) {
			columns[count++] = call_columns[i];
		}
	}
	struct taken taken = { run, table_create(columns, count) };
	run->query.from_records = true;
	int status = report_note_purged(run, &run->query);
	if (status == CLI_OK &&
	    query_calls(run->book, &run->query, run->limit, take_call, &taken,
	                &err) != 0) {
		status = cli_fail(run->cli, "%s", err.text);
	}
	json_t *head = report_head(run, NULL);
	if (status == CLI_OK) {
		status = table_print(taken.table, run->cli, head);
		report_remark(run, NULL);
	}
	json_decref(head);
	table_destroy(taken.table);
	return status;
}

const struct report report_calls = {
	.name = "calls",
	.help = "The most expensive calls.",
	.period = "last-30-days",
	.by = "",
	.by_fixed = true,
	.limit = 10,
	.run = run_calls,
};
