/* SPDX-License-Identifier: Apache-2.0 */

/* `bursar status`: what the daemon does at this moment. */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "cli/table.h"
#include "cmd/commands.h"
#include "daemon/status.h"

enum { FORMAT };

static const struct cli_option options[] = {
	[FORMAT] = { "format", 'f', CLI_FORMATS,
	             "How to print: table (default) or json." },
	{ NULL }
};

static const struct table_column source_columns[] = {
	{ "name", "source", TABLE_TEXT },
	{ "state", NULL, TABLE_TEXT },
	{ "in_flight_messages", "in flight", TABLE_COUNT },
	{ "oldest_unsettled_ms", "oldest", TABLE_MS },
	{ "read", NULL, TABLE_COUNT },
	{ "stored", NULL, TABLE_COUNT },
	{ "duplicates", NULL, TABLE_COUNT },
	{ "conflicts", NULL, TABLE_COUNT },
	{ "refused", NULL, TABLE_COUNT },
};

static const struct table_column sink_columns[] = {
	{ "name", "sink", TABLE_TEXT },
	{ "state", NULL, TABLE_TEXT },
	{ "queued_records", "queued", TABLE_COUNT },
	{ "stored", NULL, TABLE_COUNT },
	{ "duplicates", NULL, TABLE_COUNT },
	{ "conflicts", NULL, TABLE_COUNT },
	{ "refused", NULL, TABLE_COUNT },
	{ "dropped", NULL, TABLE_COUNT },
};

static const struct table_column service_columns[] = {
	{ "name", "service", TABLE_TEXT },
	{ "plugin", NULL, TABLE_TEXT },
	{ "state", NULL, TABLE_TEXT },
	{ "since_ms", "since", TABLE_MS },
};

static void add_cell(struct table *table, const json_t *value)
{
	if (json_is_string(value)) {
		table_add_text(table, json_string_value(value));
	} else if (json_is_integer(value)) {
		table_add_number(table, json_integer_value(value));
	} else {
		table_add_null(table);
	}
}

/* Why those of the list wait, whole: it is what one has come for. */
static void show_why(struct cli *cli, const json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach((json_t *)list, i, item) {
		const char *name, *why;

		if (json_unpack(item, "{s:s, s:s}", "name", &name, "why",
		                &why) == 0 && why[0] != '\0') {
			cli_note(cli, cli->out, "%s: %s", name, why);
		}
	}
}

static int show(struct cli *cli, const json_t *list,
                const struct table_column *columns, size_t count)
{
	struct table *table = table_create(columns, count);
	size_t i;
	json_t *item;

	json_array_foreach((json_t *)list, i, item) {
		for (size_t c = 0; c < count; c++) {
			add_cell(table, json_object_get(item, columns[c].name));
		}
	}
	const int status = table_print(table, cli, NULL);
	table_destroy(table);
	show_why(cli, list);
	return status;
}

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static int show_tables(struct cli *cli, const json_t *state)
{
	fprintf(cli->out, "%s; %lld bytes of dead letters\n\n",
	        json_is_true(json_object_get(state, "ready"))
	        ? "ready" : "not ready: a required sink is not open",
	        (long long)json_integer_value(
			json_object_get(state, "dead_letter_bytes")));
	const json_t *services = json_object_get(state, "services");
	int status = show(cli, json_object_get(state, "sources"),
	                  source_columns, COUNT(source_columns));
	fputc('\n', cli->out);
	if (status == CLI_OK) {
		status = show(cli, json_object_get(state, "sinks"),
		              sink_columns, COUNT(sink_columns));
	}
	if (status == CLI_OK && services != NULL) {
		fputc('\n', cli->out);
		status = show(cli, services, service_columns,
		              COUNT(service_columns));
	}
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct bursar_error err = { 0 };

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 0) {
		return cli_usage_error(cli, "unexpected argument '%s'", argv[0]);
	}
	if (cli->format == CLI_CSV) {
		return cli_usage_error(cli, "--format: table or json");
	}
	const struct setup *setup = cli_setup(cli);
	if (setup == NULL) {
		return CLI_USAGE;
	}
	json_t *state = status_ask(setup->state_dir, &err);
	if (state == NULL) {
		return err.code == ENOENT || err.code == ECONNREFUSED
		       ? cli_fail(cli, "no daemon runs with state-dir %s; start"
		                  " `bursard -c %s`", setup->state_dir,
		                  setup->file)
		       : cli_fail(cli, "%s", err.text);
	}
	int status = CLI_OK;
	if (cli->format == CLI_JSON) {
		json_dumpf(state, cli->out, JSON_INDENT(2));
		fputc('\n', cli->out);
	} else {
		status = show_tables(cli, state);
	}
	json_decref(state);
	return status;
}

const struct command command_status = {
	.name = "status",
	.summary = "show what the daemon does, and why something waits",
	.usage = "[--format table|json]",
	.options = options,
	.run = run,
	.manual =
	"Asks the daemon through the socket in its state folder.  For each "
	"source: its state, how much is read but not settled yet and since "
	"when, and what became of its messages.  For each sink: its state, "
	"what waits for it, and what became of its records.  Below a table "
	"stands why one of them waits.\n"
	"\n"
	"States of a source: open; held (it cannot read now and is tried "
	"again); blocked (a person must act); parked (no key is at hand); slow "
	"(message after message cannot be decrypted); paused (dead letters "
	"cannot be written); ended.  Of a sink: opening, open, held, blocked.",
};
