/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Single calls.
 */
#include "config.h"

#include <string.h>

#include "book/report_list.h"

struct taken {
	const struct report_run *run;
	struct table *table;
};

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
		report_add_key(taken->run, taken->table, call->message_id);
		break;
	case 2:
		report_add_key(taken->run, taken->table, call->provider);
		break;
	case 3:
		report_add_key(taken->run, taken->table, call->model_id);
		break;
	case 4:
		report_add_key(taken->run, taken->table, call->worker_id);
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
		report_add_key(taken->run, taken->table, call->provider_response_id);
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
