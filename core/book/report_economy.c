/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reports in the words of an employer: what workers cost, and what they did
 * for it.  Costs are those of the book, of all tokens and calls.
 */
#include "config.h"

#include <math.h>

#include "book/report_list.h"

#define DAY_US INT64_C(86400000000)

#define TOKENS(name, sum)                                                    \
	{ { name, NULL, TABLE_COUNT }, FIGURE_SUM, sum, SHOW_BOTH, 0 }
#define COST(name, title)                                                    \
	{ { name, title, TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST, SHOW_BOTH, 0 }
#define CALLS(name, title)                                                   \
	{ { name, title, TABLE_COUNT }, FIGURE_REQUESTS, 0, SHOW_BOTH, 0 }
#define UNPRICED                                                             \
	{ { "unpriced_count", NULL, TABLE_COUNT }, FIGURE_UNPRICED, 0,       \
	  SHOW_DATA, 0 }

/* --- costs of a worker --------------------------------------------------- */

static const struct shown worker_costs_columns[] = {
	TOKENS("total_tokens", ROLLUP_TOTAL_TOKENS),
	TOKENS("input_tokens", ROLLUP_INPUT_TOKENS),
	TOKENS("output_tokens", ROLLUP_OUTPUT_TOKENS),
	TOKENS("thinking_tokens", ROLLUP_THINKING_TOKENS),
	CALLS("total_calls", NULL),
	{ { "avg_latency_ms", NULL, TABLE_REAL }, FIGURE_AVERAGE_1,
	  ROLLUP_LATENCY, SHOW_BOTH, 0 },
	COST("cost_usd", NULL), UNPRICED,
};

static const struct shown part_columns[] = {
	CALLS("count", "requests"), COST("cost_usd", "cost USD"),
};

/* A list of the same window, by one field. */
static int list_by(struct report_run *run, struct sheet *sheet,
                   const char *field, const char *name, const char *title)
{
	struct query query = run->query;
	struct lines lines;

	report_by(&query, field);
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	const int status = report_ask(run, &query, (size_t)run->limit, &lines);
	sheet_list(sheet, name, title,
	           report_table(run, &query, NULL, &lines, part_columns,
	                        COUNT_OF(part_columns), false));
	lines_finish(&lines);
	return status;
}

/* Asks for the total of the window with these columns. */
static int ask_total(struct report_run *run, const struct shown *columns,
                     size_t count, struct lines *lines)
{
	struct query query = run->query;
	const struct shown *shown[TABLE_MAX_COLUMNS];

	report_by(&query, NULL);
	figures_want(shown, figures_shown(columns, count, run->cli, false,
	                                  false, shown), &query);
	return report_ask(run, &query, 1, lines);
}

static int run_worker_costs(struct report_run *run)
{
	struct sheet sheet = { 0 };
	struct lines lines;

	int status = ask_total(run, worker_costs_columns,
	                       COUNT_OF(worker_costs_columns), &lines);
	sheet_text(&sheet, "worker_id", NULL, run->choice->operand);
	sheet_text(&sheet, "period", NULL, run->period);
	sheet_line(&sheet, run, worker_costs_columns,
	           COUNT_OF(worker_costs_columns), &lines.total);
	lines_finish(&lines);
	if (status == CLI_OK) {
		status = list_by(run, &sheet, "provider", "by_provider",
		                 "by provider");
	}
	if (status == CLI_OK) {
		status = list_by(run, &sheet, "model_id", "by_model",
		                 "by model");
	}
	return status == CLI_OK ? sheet_print(&sheet, run)
		: sheet_drop(&sheet, status);
}

const struct report report_worker_costs = {
	.name = "worker-costs",
	.operand = "WORKER",
	.field = "worker",
	.help = "Tokens, calls and cost of a worker, and with whom.",
	.period = "day",
	.by = "",
	.by_fixed = true,
	.order = QUERY_BY_REQUESTS,
	.run = run_worker_costs,
};

/* --- payroll ------------------------------------------------------------- */

static const struct shown payroll_columns[] = {
	CALLS("task_count", "tasks"), COST("cost", "cost USD"),
	{ { "autonomy", NULL, TABLE_TEXT }, FIGURE_UNKNOWN, 0, SHOW_DATA, 0 },
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_TABLE, 0 },
	{ { "bar", "", TABLE_TEXT }, FIGURE_BAR, 0, SHOW_TABLE, 72 },
};

static const struct shown payroll_total[] = {
	COST("total_cost", "total cost USD"), UNPRICED,
};

/* Calls of which nobody said a worker: paid for, but nobody's. */
static const struct shown unattributed[] = {
	CALLS("unattributed_count", "unattributed tasks"),
	COST("unattributed_cost", "unattributed USD"),
};

static int run_payroll(struct report_run *run)
{
	struct query query = run->query;
	struct sheet sheet = { 0 };
	struct lines lines;

	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	const int status = report_ask(run, &query, (size_t)run->limit, &lines);
	const int64_t workers = lines_named(&lines);
	const int64_t nobodys = lines.nobody.columns[ROLLUP_REQUESTS];
	const double tasks =
		(double)(lines.total.columns[ROLLUP_REQUESTS] - nobodys);
	lines.nobody.filled = nobodys == 0;	/* it is known to be none */
	sheet_text(&sheet, "period", NULL, run->period);
	sheet_line(&sheet, run, payroll_total, COUNT_OF(payroll_total),
	           &lines.total);
	sheet_number(&sheet, "worker_count", "heads", TABLE_COUNT, workers);
	sheet_real(&sheet, "avg_productivity", "tasks a worker", TABLE_REAL,
	           workers > 0 ? round(tasks / (double)workers * 100) / 100
	                       : 0);
	sheet_line(&sheet, run, unattributed, COUNT_OF(unattributed),
	           &lines.nobody);
	sheet_list(&sheet, "workers", NULL,
	           report_table(run, &query, NULL, &lines, payroll_columns,
	                        COUNT_OF(payroll_columns), false));
	lines_finish(&lines);
	return status == CLI_OK ? sheet_print(&sheet, run)
		: sheet_drop(&sheet, status);
}

const struct report report_payroll = {
	.name = "payroll",
	.help = "What each worker cost, and how many tasks it did.",
	.period = "day",
	.by = "worker",
	.by_fixed = true,
	.run = run_payroll,
};

/* --- report on a worker -------------------------------------------------- */

static const struct shown worker_report_columns[] = {
	COST("salary", "salary USD"),
	{ { "overtime", NULL, TABLE_COUNT }, FIGURE_ZERO, 0, SHOW_BOTH, 0 },
	CALLS("productivity", NULL),
	{ { "avg_latency", "avg_latency ms", TABLE_REAL }, FIGURE_AVERAGE,
	  ROLLUP_LATENCY, SHOW_BOTH, 0 },
	{ { "autonomy_level", NULL, TABLE_TEXT }, FIGURE_UNKNOWN, 0, SHOW_BOTH,
	  0 },
	UNPRICED,
};

static int run_worker_report(struct report_run *run)
{
	struct sheet sheet = { 0 };
	struct lines lines;

	const int status = ask_total(run, worker_report_columns,
	                             COUNT_OF(worker_report_columns), &lines);
	sheet_text(&sheet, "worker_id", NULL, run->choice->operand);
	sheet_line(&sheet, run, worker_report_columns,
	           COUNT_OF(worker_report_columns), &lines.total);
	sheet_text(&sheet, "period", NULL, run->period);
	lines_finish(&lines);
	return status == CLI_OK ? sheet_print(&sheet, run) : status;
}

const struct report report_worker_report = {
	.name = "worker-report",
	.operand = "WORKER",
	.field = "worker",
	.help = "A worker's salary, which is its cost, and its productivity, "
	        "which is the number of its calls.",
	.period = "day",
	.by = "",
	.by_fixed = true,
	.run = run_worker_report,
};

/* --- forecast ------------------------------------------------------------ */

static const struct shown average_columns[] = {
	COST("daily_average", "a day USD"), UNPRICED,
};

/* amount * times / by, half away from zero; by is above 0. */
static int64_t scaled(int64_t amount, __int128 times, int64_t by)
{
	const __int128 twice = amount * times * 2;
	const __int128 whole = (twice + (twice < 0 ? -by : by)) /
	                       (2 * (__int128)by);

	return whole > INT64_MAX ? INT64_MAX : whole < INT64_MIN ? INT64_MIN
		: (int64_t)whole;
}

/* What has passed of the window, from the first call on where it is open: days
 * that are to come would lower the average. */
static int narrow_to_past(struct report_run *run)
{
	struct window *window = &run->query.window;

	if (window->until > run->now) {
		window->until = run->now;
	}
	const int status = report_narrow(run, window);
	if (window->since > window->until) {
		window->since = window->until;
	}
	return status;
}

static int run_forecast(struct report_run *run)
{
	const int64_t days = run->choice->days > 0 ? run->choice->days : 30;
	const struct window *window = &run->query.window;
	struct sheet sheet = { 0 };
	struct lines lines;

	int status = narrow_to_past(run);
	if (status != CLI_OK) {
		return status;
	}
	status = ask_total(run, average_columns, COUNT_OF(average_columns),
	                   &lines);
	if (status != CLI_OK) {
		lines_finish(&lines);
		return status;
	}
	struct line average = lines.total;
	int64_t *cost = &average.columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_COST];
	const int64_t length = window->until > window->since
		? window->until - window->since : 1;
	const int64_t projected = scaled(*cost, (__int128)DAY_US * days,
	                                 length);
	*cost = scaled(*cost, DAY_US, length);
	average.filled = true;	/* nothing was spent: that is known */
	sheet_number(&sheet, "projected_cost", "projected USD", TABLE_MONEY,
	             projected);
	sheet_line(&sheet, run, average_columns, COUNT_OF(average_columns),
	           &average);
	sheet_number(&sheet, "days", NULL, TABLE_COUNT, days);
	sheet_text(&sheet, "trend", NULL, *cost > 0 ? "active" : "flat");
	lines_finish(&lines);
	return sheet_print(&sheet, run);
}

const struct report report_forecast = {
	.name = "forecast",
	.help = "What the next --days (30) will cost if they are as the last "
	        "24 hours, or as the days of --period.",
	.period = "day",
	.by = "",
	.by_fixed = true,
	.run = run_forecast,
};
