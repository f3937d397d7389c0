/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reports on what days and months cost, and on days that stand out.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "book/report_list.h"

/* --- period totals ------------------------------------------------------- */

static const struct table_column total_columns[] = {
	{ "period", NULL, TABLE_TEXT },
	{ "period_start", "start", TABLE_TEXT },
	{ "total_cost", "cost USD", TABLE_MONEY },
	{ "request_count", "requests", TABLE_COUNT },
	{ "unpriced_count", "unpriced", TABLE_COUNT },
};

static void add_total(struct table *table, const struct window_periods *periods,
                      const struct line *line)
{
	const int64_t *columns = line->columns;
	char label[WINDOW_TEXT_SIZE], day[WINDOW_TEXT_SIZE + 3];
	const bool month = periods->unit == WINDOW_MONTHS;

	window_label(periods, line->period, label);
	snprintf(day, sizeof(day), month ? "%s-01" : "%s", label);
	table_add_text(table, month ? "month" : "day");
	table_add_text(table, day);
	table_add_number(table, line_sum(line, ROLLUP_COST));
	table_add_number(table, columns[ROLLUP_REQUESTS]);
	table_add_number(table, columns[ROLLUP_REQUESTS] -
	                 columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1]);
}

static int add_some(struct report_run *run, const struct window *window,
                    enum window_unit unit, struct table *table)
{
	struct query query = run->query;
	struct window_periods periods;
	struct lines lines = { 0 };

	query.window = *window;
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	int status = report_divide(run, &query, unit, &periods);
	if (status == CLI_OK) {
		status = report_ask(run, &query, LINES_MAX, &lines);
	}
	for (size_t i = 0; status == CLI_OK && i < lines.count; i++) {
		add_total(table, &periods, &lines.lines[i]);
	}
	lines_finish(&lines);
	window_periods_finish(&periods);
	return status;
}

/* As many periods at once as one question can have. */
static int add_totals(struct report_run *run, enum window_unit unit,
                      struct table *table)
{
	struct window left = run->query.window;
	int status = report_narrow(run, &left);

	while (status == CLI_OK && left.since < left.until) {
		const int64_t end = unit == WINDOW_MONTHS
			? window_month(left.since, QUERY_MAX_PERIODS)
			: window_day(left.since, QUERY_MAX_PERIODS);
		const struct window some = {
			left.since, end < left.until ? end : left.until,
		};

		status = add_some(run, &some, unit, table);
		left.since = some.until;
	}
	return status;
}

static int run_period_totals(struct report_run *run)
{
	struct table *table = table_create(total_columns,
	                                   COUNT_OF(total_columns));
	json_t *head = report_head(run, NULL);

	int status = add_totals(run, WINDOW_MONTHS, table);
	if (status == CLI_OK) {
		status = add_totals(run, WINDOW_DAYS, table);
	}
	if (status == CLI_OK) {
		status = table_print(table, run->cli, head);
		report_remark(run, NULL);
	}
	json_decref(head);
	table_destroy(table);
	return status;
}

const struct report report_period_totals = {
	.name = "period-totals",
	.help = "What each month and each day cost, those without calls left "
	        "out.",
	.by = "",
	.by_fixed = true,
	.run = run_period_totals,
};

/* --- anomalies ----------------------------------------------------------- */

#define BASELINE 7	/* days before the one that is looked at */

static const struct table_column anomaly_columns[] = {
	{ "provider", NULL, TABLE_TEXT },
	{ "model_id", NULL, TABLE_TEXT },
	{ "day", NULL, TABLE_TEXT },
	{ "latest_cost", "cost USD", TABLE_MONEY },
	{ "baseline_mean", "usual USD", TABLE_MONEY },
	{ "ratio", "times", TABLE_REAL },
};

/* What a model cost on each of the days. */
struct series {
	const char *keys[2];
	int64_t days[BASELINE + 1];	/* the last is the one looked at */
	double  ratio;			/* 0: the days before cost nothing */
};

/* Amounts above this, in nano-dollars, count as this: squares fit. */
#define CLAMP INT64_C(1000000000000000000)

/*
 * Whether the last day passes the mean of the others by more than two standard
 * deviations, exactly: n * last - S > 2 * sqrt(n * Q - S * S).
 */
static bool stands_out(struct series *series)
{
	const __int128 last = series->days[BASELINE] > CLAMP ? CLAMP
		: series->days[BASELINE];
	__int128 sum = 0, squares = 0;

	for (size_t i = 0; i < BASELINE; i++) {
		const __int128 cost = series->days[i] > CLAMP ? CLAMP
			: series->days[i] < 0 ? 0 : series->days[i];

		sum += cost;
		squares += cost * cost;
	}
	series->ratio = sum > 0 ? (double)(last * BASELINE) / (double)sum : 0;
	const __int128 above = last * BASELINE - sum;
	return last > 0 && above > 0 &&
	       above * above / 4 + (above * above % 4 != 0) >
	       BASELINE * squares - sum * sum;
}

static int by_series(const void *left, const void *right)
{
	const struct series *a = left, *b = right;

	if (a->ratio != b->ratio) {
		return a->ratio > b->ratio ? -1 : 1;
	}
	if (a->days[BASELINE] != b->days[BASELINE]) {
		return a->days[BASELINE] > b->days[BASELINE] ? -1 : 1;
	}
	for (size_t i = 0; i < 2; i++) {
		const int order = strcmp(a->keys[i], b->keys[i]);

		if (order != 0) {
			return order;
		}
	}
	return 0;
}

/* The series of each model that has a line; returns how many. */
static size_t collect(struct lines *lines, struct series *all)
{
	size_t count = 0;

	lines_sort(lines);
	for (size_t i = 0; i < lines->count; i++) {
		const struct line *line = &lines->lines[i];

		if (i == 0 || !lines_same_keys(line, line - 1)) {
			for (size_t k = 0; k < 2; k++) {
				all[count].keys[k] = line->keys[k] != NULL
					? line->keys[k] : "";
			}
			count++;
		}
		all[count - 1].days[line->period] = line_sum(line, ROLLUP_COST);
	}
	return count;
}

static void add_series(const struct report_run *run, struct table *table,
                       const struct series *series, const char *day)
{
	const char *unknown = run->cli->format == CLI_TABLE ? "(unknown)"
		: NULL;
	__int128 sum = 0;

	for (size_t i = 0; i < 2; i++) {
		table_add_text(table, *series->keys[i] != '\0'
		               ? series->keys[i] : unknown);
	}
	for (size_t i = 0; i < BASELINE; i++) {
		sum += series->days[i];
	}
	table_add_text(table, day);
	table_add_number(table, series->days[BASELINE]);
	sum += sum < 0 ? -(BASELINE / 2) : BASELINE / 2;
	table_add_number(table, (int64_t)(sum / BASELINE));
	if (series->ratio == 0) {
		table_add_null(table);
	} else {
		table_add_real(table, (double)(int64_t)(
			series->ratio * 100 + 0.5) / 100);
	}
}

/* The eight days that end with the last one of the window, as far as it
 * goes. */
static int eight_days(struct report_run *run, struct query *query,
                      struct window_periods *days)
{
	struct window *window = &query->window;
	const int64_t until = window->until;

	const int status = report_narrow(run, window);
	if (status != CLI_OK) {
		return status;
	}
	const int64_t last = window->until > window->since ? window->until - 1
		: window->until;
	const int64_t first = window_day(last, -BASELINE);
	if (first < window->since) {
		return CLI_OK;	/* days stay without a count */
	}
	const int64_t end = window_day(last, 1);
	*window = (struct window){ first, end < until ? end : until };
	struct bursar_error err = { 0 };
	if (window_divide(window, WINDOW_DAYS, BASELINE + 1, days, &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	query->periods = days->bounds;
	query->period_count = days->count;
	return CLI_OK;
}

static int find_anomalies(struct report_run *run, struct table *table)
{
	struct query query = run->query;
	struct window_periods days = { 0 };
	struct lines lines = { 0 };
	struct series *all = NULL;
	char label[WINDOW_TEXT_SIZE];

	int status = eight_days(run, &query, &days);
	if (status != CLI_OK || days.count != BASELINE + 1) {
		goto done;
	}
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	status = report_ask(run, &query, LINES_MAX, &lines);
	all = calloc(lines.count + 1, sizeof(*all));
	if (status != CLI_OK || all == NULL) {
		goto done;
	}
	const size_t count = collect(&lines, all);
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		if (stands_out(&all[i])) {
			all[kept++] = all[i];
		}
	}
	qsort(all, kept, sizeof(*all), by_series);
	window_label(&days, BASELINE, label);
	for (size_t i = 0; i < kept && (int64_t)i < run->limit; i++) {
		add_series(run, table, &all[i], label);
	}
done:
	free(all);
	lines_finish(&lines);
	window_periods_finish(&days);
	return status;
}

static int run_anomalies(struct report_run *run)
{
	struct table *table = table_create(anomaly_columns,
	                                   COUNT_OF(anomaly_columns));
	json_t *head = report_head(run, NULL);

	int status = find_anomalies(run, table);
	run->unpriced = 0;	/* they take no part in this */
	if (status == CLI_OK && run->cli->format == CLI_TABLE &&
	    table_rows(table) == 0) {
		fputs("Nothing stands out.\n", run->cli->out);
	} else if (status == CLI_OK) {
		status = table_print(table, run->cli, head);
	}
	report_remark(run, NULL);
	json_decref(head);
	table_destroy(table);
	return status;
}

const struct report report_anomalies = {
	.name = "anomalies",
	.help = "Models whose last day cost more than the mean of the seven "
	        "before and two standard deviations.",
	.period = "last-30-days",
	.by = "provider,model_id",
	.by_fixed = true,
	.run = run_anomalies,
};
