/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reports of use: by whatever, of a worker, of a team, the largest.
 */
#include "config.h"

#include "book/report_list.h"

#define SUM(name, title, sum, when, width)                                   \
	{ { name, title, TABLE_COUNT }, FIGURE_SUM, sum, when, width }

/* --- summary and daily --------------------------------------------------- */

/* The order is that of the reference for programs; people read from what
 * happened to what it cost. */
static const struct shown summary_columns[] = {
	{ { "request_count", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_TABLE, 0 },
	{ { "error_count", "errors", TABLE_COUNT }, FIGURE_ERRORS, 0,
	  SHOW_TABLE, 70 },
	SUM("total_input_tokens", "input", ROLLUP_INPUT_TOKENS, SHOW_BOTH, 100),
	SUM("total_output_tokens", "output", ROLLUP_OUTPUT_TOKENS, SHOW_BOTH,
	    100),
	SUM("total_thinking_tokens", NULL, ROLLUP_THINKING_TOKENS, SHOW_DATA,
	    0),
	SUM("total_cache_read_input_tokens", NULL, ROLLUP_CACHE_READ, SHOW_DATA,
	    0),
	SUM("total_cache_write_input_tokens", NULL, ROLLUP_CACHE_WRITE,
	    SHOW_DATA, 0),
	SUM("grand_total_tokens", "tokens", ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 50),
	{ { "avg_latency_ms", "latency ms", TABLE_REAL }, FIGURE_AVERAGE,
	  ROLLUP_LATENCY, SHOW_TABLE, 70 },
	{ { "total_cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM,
	  ROLLUP_COST, SHOW_BOTH, 0 },
	{ { "avg_latency_ms", NULL, TABLE_REAL }, FIGURE_AVERAGE,
	  ROLLUP_LATENCY, SHOW_DATA, 0 },
	{ { "request_count", NULL, TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_DATA, 0 },
	{ { "error_count", NULL, TABLE_COUNT }, FIGURE_ERRORS, 0, SHOW_DATA,
	  0 },
	{ { "unpriced_count", NULL, TABLE_COUNT }, FIGURE_UNPRICED, 0,
	  SHOW_DATA, 0 },
	{ { "previous_cost_usd", "before USD", TABLE_MONEY }, FIGURE_BEFORE, 0,
	  SHOW_BOTH | SHOW_COMPARED, 120 },
	{ { "cost_delta_percent", "change", TABLE_CHANGE }, FIGURE_CHANGE, 0,
	  SHOW_BOTH | SHOW_COMPARED, 0 },
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_TABLE | SHOW_GROUPED, 110 },
	{ { "bar", "", TABLE_TEXT }, FIGURE_BAR, 0, SHOW_TABLE | SHOW_GROUPED,
	  132 },
};

const struct report report_summary = {
	.name = "summary",
	.help = "Tokens, requests and cost, of everything or by groups.",
	.by = "",
	.columns = summary_columns,
	.column_count = COUNT_OF(summary_columns),
};

static const struct shown daily_columns[] = {
	{ { "request_count", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "error_count", "errors", TABLE_COUNT }, FIGURE_ERRORS, 0,
	  SHOW_BOTH, 70 },
	SUM("total_tokens", "tokens", ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 40),
	{ { "avg_latency_ms", "latency ms", TABLE_REAL }, FIGURE_AVERAGE,
	  ROLLUP_LATENCY, SHOW_BOTH, 90 },
	{ { "total_cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM,
	  ROLLUP_COST, SHOW_BOTH, 0 },
	{ { "unpriced_count", NULL, TABLE_COUNT }, FIGURE_UNPRICED, 0,
	  SHOW_DATA, 0 },
	{ { "bar", "", TABLE_TEXT }, FIGURE_BAR, 0, SHOW_TABLE, 72 },
};

const struct report report_daily = {
	.name = "daily",
	.help = "What each day used and cost; days without any are listed.",
	.period = "last-30-days",
	.by = "day",
	.columns = daily_columns,
	.column_count = COUNT_OF(daily_columns),
};

/* --- worker and top ------------------------------------------------------ */

static const struct shown worker_columns[] = {
	SUM("total_tokens", "tokens", ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 0),
	{ { "cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,
	  SHOW_BOTH, 0 },
	{ { "count", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0, SHOW_BOTH,
	  0 },
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_TABLE, 90 },
	{ { "bar", "", TABLE_TEXT }, FIGURE_BAR, 0, SHOW_TABLE, 110 },
};

const struct report report_worker = {
	.name = "worker",
	.operand = "WORKER",
	.field = "worker",
	.help = "What a worker used, by provider, model and type of request.",
	.by = "provider,model_id,request_type",
	.columns = worker_columns,
	.column_count = COUNT_OF(worker_columns),
};

static const struct shown top_columns[] = {
	SUM("total_tokens", "tokens", ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 0),
	{ { "cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,
	  SHOW_BOTH, 0 },
	{ { "request_count", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "previous_cost_usd", "before USD", TABLE_MONEY }, FIGURE_BEFORE, 0,
	  SHOW_BOTH | SHOW_COMPARED, 90 },
	{ { "cost_delta_percent", "change", TABLE_CHANGE }, FIGURE_CHANGE, 0,
	  SHOW_BOTH | SHOW_COMPARED, 0 },
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_TABLE, 70 },
	{ { "bar", "", TABLE_TEXT }, FIGURE_BAR, 0, SHOW_TABLE, 90 },
};

const struct report report_top = {
	.name = "top",
	.help = "The most expensive nodes, or whatever --by says.",
	.period = "day",
	.by = "node",
	.limit = 10,
	.columns = top_columns,
	.column_count = COUNT_OF(top_columns),
};

/* --- team ---------------------------------------------------------------- */

static const struct shown team_columns[] = {
	SUM("total_tokens", "tokens", ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 0),
	{ { "total_calls", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,
	  SHOW_BOTH, 0 },
};

static const struct shown team_worker_columns[] = {
	{ { "count", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0, SHOW_BOTH,
	  0 },
	SUM("total_tokens", "tokens", ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 0),
	{ { "cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,
	  SHOW_BOTH, 0 },
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_TABLE, 70 },
};

static int run_team(struct report_run *run)
{
	struct query query = run->query;
	struct sheet sheet = { 0 };
	struct lines lines = { 0 };

	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_TOTAL_TOKENS) |
	                QUERY_SUM(ROLLUP_COST);
	int status = report_ask(run, &query, (size_t)run->limit, &lines);
	if (status == CLI_OK) {
		sheet_text(&sheet, "team", NULL, run->choice->operand);
		sheet_text(&sheet, "period", NULL, run->period);
		/* Calls of nobody known are listed, but are no worker. */
		sheet_number(&sheet, "worker_count", "workers", TABLE_COUNT,
		             lines_named(&lines));
		sheet_line(&sheet, run, team_columns, COUNT_OF(team_columns),
		           &lines.total);
		sheet_list(&sheet, "by_worker", "by worker",
		           report_table(run, &query, NULL, &lines,
		                        team_worker_columns,
		                        COUNT_OF(team_worker_columns), false));
		status = sheet_print(&sheet, run);
	}
	lines_finish(&lines);
	return status;
}

const struct report report_team = {
	.name = "team",
	.operand = "TEAM",
	.field = "team",
	.help = "What a team used, and each of its workers.",
	.period = "day",
	.by = "worker",
	.by_fixed = true,
	.run = run_team,
};
