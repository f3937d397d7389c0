/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reports on providers: health, circuits, what one of them served, and why
 * calls went where they went.
 */
#include "config.h"

#include "book/report_list.h"

#define LATENCY(width)                                                       \
	{ { "avg_latency_ms", "latency ms", TABLE_REAL }, FIGURE_AVERAGE,    \
	  ROLLUP_LATENCY, SHOW_BOTH, width }
#define PERCENTILE(percent, when, width)                                     \
	{ { "p" #percent "_latency_ms", "p" #percent, TABLE_MS },            \
	  FIGURE_PERCENTILE, percent, when, width }
#define ERROR_RATE                                                           \
	{ { "error_rate_percent", "failed", TABLE_POINTS },                  \
	  FIGURE_ERROR_RATE, 0, SHOW_BOTH, 0 }
#define REQUESTS(name)                                                       \
	{ { name, "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0, SHOW_BOTH, 0 }
#define TOKENS                                                               \
	{ { "total_tokens", "tokens", TABLE_COUNT }, FIGURE_SUM,             \
	  ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 90 }
#define COST(width)                                                          \
	{ { "cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM, ROLLUP_COST,  \
	  SHOW_BOTH, width }

/* --- health -------------------------------------------------------------- */

static const struct shown health_columns[] = {
	REQUESTS("request_count"), TOKENS, LATENCY(0),
	{ { "max_latency_ms", "longest", TABLE_MS }, FIGURE_EXTRA,
	  QUERY_LATENCY_MAX, SHOW_BOTH, 70 },
	PERCENTILE(50, SHOW_BOTH, 100), PERCENTILE(95, SHOW_BOTH, 80),
	PERCENTILE(99, SHOW_BOTH, 110),
	{ { "error_count", "errors", TABLE_COUNT }, FIGURE_ERRORS, 0,
	  SHOW_DATA, 0 },
	ERROR_RATE,
	{ { "status", NULL, TABLE_TEXT }, FIGURE_LATENCY_CLASS, 0, SHOW_BOTH,
	  0 },
};

const struct report report_health = {
	.name = "health",
	.help = "How quickly and how well each provider answers: healthy below "
	        "2 seconds on average, critical from 8 on.",
	.period = "day",
	.by = "provider",
	.order = QUERY_BY_REQUESTS,
	.columns = health_columns,
	.column_count = COUNT_OF(health_columns),
};

/* --- circuit ------------------------------------------------------------- */

static const struct shown circuit_columns[] = {
	REQUESTS("request_count"), LATENCY(0), COST(72),
	{ { "error_count", "errors", TABLE_COUNT }, FIGURE_ERRORS, 0,
	  SHOW_DATA, 0 },
	ERROR_RATE,
	PERCENTILE(50, SHOW_BOTH, 90), PERCENTILE(95, SHOW_BOTH, 70),
	PERCENTILE(99, SHOW_BOTH, 100),
	{ { "circuit", NULL, TABLE_TEXT }, FIGURE_CIRCUIT, 0, SHOW_BOTH, 0 },
};

const struct report report_circuit = {
	.name = "circuit",
	.help = "What a circuit breaker would see of each provider and tier: "
	        "half-open from one failure in ten on, open from one in two.",
	.period = "hour",
	.by = "provider,tier",
	.order = QUERY_BY_REQUESTS,
	.columns = circuit_columns,
	.column_count = COUNT_OF(circuit_columns),
};

/* --- provider ------------------------------------------------------------ */

static const struct shown provider_columns[] = {
	REQUESTS("count"), TOKENS, LATENCY(64), COST(0),
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_TABLE, 80 },
	{ { "bar", "", TABLE_TEXT }, FIGURE_BAR, 0, SHOW_TABLE, 100 },
};

const struct report report_provider = {
	.name = "provider",
	.operand = "PROVIDER",
	.field = "provider",
	.help = "What a provider served, by model and type of request.",
	.period = "day",
	.by = "model_id,request_type",
	.order = QUERY_BY_REQUESTS,
	.columns = provider_columns,
	.column_count = COUNT_OF(provider_columns),
};

/* --- routing ------------------------------------------------------------- */

static const struct shown count_only[] = {
	REQUESTS("count"),
};

static const struct shown latency_only[] = {
	{ { "avg_latency", "latency ms", TABLE_REAL }, FIGURE_AVERAGE,
	  ROLLUP_LATENCY, SHOW_BOTH, 0 },
};

static const struct {
	const char *list, *title, *field;
	const struct shown *columns;
} routing_lists[] = {
	{ "by_routing_reason", "by reason", "routing_reason", count_only },
	{ "by_provider", "by provider", "provider", count_only },
	{ "by_model", "by model", "model_id", count_only },
	{ "avg_latency_by_provider", "latency by provider", "provider",
	  latency_only },
};

static int run_routing(struct report_run *run)
{
	struct sheet sheet = { 0 };
	int status = CLI_OK;

	for (size_t i = 0; i < COUNT_OF(routing_lists); i++) {
		struct query query = run->query;
		struct lines lines;

		report_by(&query, routing_lists[i].field);
		query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_LATENCY);
		const int got = report_ask(run, &query, (size_t)run->limit,
		                           &lines);
		status = status == CLI_OK ? got : status;
		if (i == 1) {	/* sums outlive records */
			sheet_line(&sheet, run, count_only, 1, &lines.total);
		}
		sheet_list(&sheet, routing_lists[i].list,
		           routing_lists[i].title,
		           report_table(run, &query, NULL, &lines,
		                        routing_lists[i].columns, 1, false));
		lines_finish(&lines);
		if (status != CLI_OK) {
			break;
		}
	}
	run->unpriced = 0;
	return status == CLI_OK ? sheet_print(&sheet, run)
		: sheet_drop(&sheet, status);
}

const struct report report_routing = {
	.name = "routing",
	.help = "Why calls went where they went, and how long providers took; "
	        "--where worker=NAME for one worker.",
	.by = "",
	.by_fixed = true,
	.order = QUERY_BY_REQUESTS,
	.run = run_routing,
};
