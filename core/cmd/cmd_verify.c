/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar verify: whether the ledger agrees with itself.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "book/command.h"
#include "book/verify.h"
#include "cli/table.h"
#include "cmd/commands.h"
#include "common/columns.h"

enum { SINK, FORMAT };

static const struct cli_option options[] = {
	[SINK]   = COMMAND_OPTION_SINK,
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

static const char *const check_names[] = {
	[VERIFY_TIME] = "time", [VERIFY_CELL] = "cell",
	[VERIFY_DIMENSION] = "dimension", [VERIFY_KEY] = "key",
	[VERIFY_ROW] = "row", [VERIFY_DAY] = "day",
};

static const struct table_column columns[] = {
	{ "check", NULL, TABLE_TEXT },
	{ "table", NULL, TABLE_TEXT },
	{ "dimension", NULL, TABLE_TEXT },
	{ "value", NULL, TABLE_TEXT },
	{ "cell", NULL, TABLE_TIME },
	{ "provider", NULL, TABLE_TEXT },
	{ "model_id", NULL, TABLE_TEXT },
	{ "column", NULL, TABLE_TEXT },
	{ "row", NULL, TABLE_TEXT },
	{ "message_id", NULL, TABLE_TEXT },
	{ "stored", NULL, TABLE_TEXT },
	{ "computed", NULL, TABLE_TEXT },
};

struct look {
	struct cli     *cli;
	struct table   *table;		/* of the places, for programs */
	struct progress progress;
};

/* --- places -------------------------------------------------------------- */

static void add_span(struct table *table, struct bursar_span span)
{
	if (span.size == 0) {
		table_add_null(table);
	} else {
		table_add_bytes(table, span.data, span.size);
	}
}

/* Numbers of 63 bits are texts: half of all JSON readers would round them. */
static void add_wide(struct table *table, bool there, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, number);
	table_add_text(table, there ? text : NULL);
}

static void add_place(struct table *table, const struct verify_place *place)
{
	const bool day = place->check == VERIFY_DAY;
	const bool cell = day || place->check == VERIFY_CELL;
	const bool sums = cell || place->check == VERIFY_TIME ||
	                  place->check == VERIFY_ROW;
	const bool rollups = cell || place->check == VERIFY_DIMENSION;

	table_add_text(table, check_names[place->check]);
	table_add_text(table, day ? "rollup_days" : rollups ? "rollup_cells"
	               : place->kind->table);
	if (place->check == VERIFY_DIMENSION) {
		add_span(table, place->value);
		table_add_null(table);
	} else {
		table_add_text(table, place->dimension);
		add_span(table, place->value);
	}
	if (cell) {
		table_add_number(table, place->cell * COLUMNS_CELL_US);
	} else {
		table_add_null(table);
	}
	add_span(table, place->provider);
	add_span(table, place->model_id);
	table_add_text(table, place->column);
	add_wide(table, !rollups, place->id);
	add_span(table, place->message_id);
	add_wide(table, sums, place->stored);
	add_wide(table, sums, place->computed);
}

/* A text of somebody else's on a terminal: quoted, nothing that moves. */
static void print_text(FILE *out, struct bursar_span text)
{
	if (text.size == 0) {
		fputs("(unknown)", out);
		return;
	}
	fputc('\'', out);
	for (size_t i = 0; i < text.size; i++) {
		const unsigned char c = (unsigned char)text.data[i];

		if (c < 0x20 || c == 0x7f || c == '\\') {
			fprintf(out, "\\x%02x", c);
		} else {
			fputc(c, out);
		}
	}
	fputc('\'', out);
}

static void print_cell(FILE *out, const struct verify_place *place)
{
	const bool day = place->check == VERIFY_DAY;
	char time[TABLE_TIME_SIZE];

	fprintf(out, "%s: %s", day ? "rollup_days" : "rollup_cells",
	        place->dimension);
	if (strcmp(place->dimension, "all") != 0) {
		fputc(' ', out);
		print_text(out, place->value);
	}
	fprintf(out, ", %s, ", table_time(place->cell * COLUMNS_CELL_US, time));
	print_text(out, place->provider);
	fputs(" ", out);
	print_text(out, place->model_id);
	fprintf(out, ": %s is %" PRId64 ", the %s say %" PRId64 "\n",
	        place->column, place->stored, day ? "cells" : "facts",
	        place->computed);
}

static void print_row(FILE *out, const struct verify_place *place)
{
	char stored[TABLE_TIME_SIZE], computed[TABLE_TIME_SIZE];

	fprintf(out, "%s: row %" PRId64 ", message_id ", place->kind->table,
	        place->id);
	print_text(out, place->message_id);
	if (place->check == VERIFY_KEY) {
		fputs(": its key is missing, so it could be stored twice\n",
		      out);
	} else if (place->check == VERIFY_ROW) {
		fputs(": its columns are not those that were stored\n", out);
	} else {
		fprintf(out, ": stands in the quarter hour of %s but was "
		        "recorded in that of %s\n",
		        table_time(place->stored * COLUMNS_CELL_US, stored),
		        table_time(place->computed * COLUMNS_CELL_US,
		                   computed));
	}
}

static void print_place(FILE *out, const struct verify_place *place)
{
	switch (place->check) {
	case VERIFY_CELL:
	case VERIFY_DAY:
		print_cell(out, place);
		break;
	case VERIFY_DIMENSION:
		fputs("rollup_cells: there is no dimension ", out);
		print_text(out, place->value);
		fputc('\n', out);
		break;
	default:
		print_row(out, place);
		break;
	}
}

static void take_place(void *context, const struct verify_place *place)
{
	struct look *look = context;

	if (look->table != NULL) {
		add_place(look->table, place);
		return;
	}
	progress_end(&look->progress);
	print_place(look->cli->out, place);
}

static void take_progress(void *context, const struct verify_counts *counts)
{
	struct look *look = context;

	progress_say(&look->progress, "%" PRIu64 " facts, %" PRIu64 " cells, %"
	             PRIu64 " prompt and tool records, %" PRIu64 " keys",
	             counts->facts, counts->cells, counts->bodies,
	             counts->keys);
}

/* --- the end ------------------------------------------------------------- */

static void print_counts(FILE *out, const struct verify_counts *counts)
{
	char time[TABLE_TIME_SIZE];

	fprintf(out, "checked %" PRIu64 " facts against %" PRIu64 " cells of "
	        "the rollups, %" PRIu64 " prompt and tool records, %" PRIu64
	        " keys\n", counts->facts, counts->cells, counts->bodies,
	        counts->keys);
	if (counts->days > 0) {
		fprintf(out, "checked %" PRIu64 " days against their cells\n",
		        counts->days);
	}
	fprintf(out, "there are %" PRId64 " records and %" PRId64 " keys\n",
	        counts->stored_records, counts->stored_keys);
	if (counts->closed_us != INT64_MIN) {
		fprintf(out, "%" PRIu64 " cells before %s are closed: their "
		        "facts are purged\n", counts->closed,
		        table_time(counts->closed_us, time));
	}
	if (counts->places == 0) {
		fputs("the ledger agrees with itself\n", out);
	} else {
		fprintf(out, "%" PRIu64 " places differ%s\n", counts->places,
		        counts->stopped ? ", and there may be more" : "");
	}
}

static int print_table(const struct look *look,
                       const struct verify_counts *counts)
{
	char time[TABLE_TIME_SIZE];
	json_t *head = json_object();

	head_text(head, "report", "verify");
	head_number(head, "facts", (int64_t)counts->facts);
	head_number(head, "cells", (int64_t)counts->cells);
	head_number(head, "days", (int64_t)counts->days);
	head_number(head, "bodies", (int64_t)counts->bodies);
	head_number(head, "keys", (int64_t)counts->keys);
	head_number(head, "stored_records", counts->stored_records);
	head_number(head, "stored_keys", counts->stored_keys);
	head_number(head, "closed_cells", (int64_t)counts->closed);
	head_text(head, "closed_before", counts->closed_us == INT64_MIN ? NULL
	          : table_time(counts->closed_us, time));
	head_number(head, "places", (int64_t)counts->places);
	json_object_set_new(head, "stopped", json_boolean(counts->stopped));
	const int status = table_print(look->table, look->cli, head);
	json_decref(head);
	return status;
}

static int look_at(struct look *look, struct book *book)
{
	const struct verify_report report = { take_place, take_progress, look };
	struct bursar_error err = { 0 };
	struct verify_counts counts;
	int status = CLI_OK;

	progress_start(&look->progress, look->cli);
	const int looked = verify_run(book, &report, &counts, &err);
	progress_end(&look->progress);
	if (looked != 0) {
		return cli_fail(look->cli, "%s", err.text);
	}
	if (look->table != NULL) {
		status = print_table(look, &counts);
	} else {
		print_counts(look->cli->out, &counts);
	}
	return status == CLI_OK && counts.places > 0 ? CLI_NO : status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct look look = { .cli = cli };
	struct book book;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 0) {
		return cli_usage_error(cli, "takes no '%s'", argv[0]);
	}
	int status = command_open(cli, value[SINK], BURSAR_READ, &book);
	if (status != CLI_OK) {
		return status;
	}
	if (cli->format != CLI_TABLE) {
		look.table = table_create(columns, sizeof(columns) /
		                          sizeof(columns[0]));
	}
	status = look_at(&look, &book);
	table_destroy(look.table);
	book_close(&book);
	return status;
}

const struct command command_verify = {
	.name = "verify",
	.summary = "check that the ledger agrees with itself",
	.usage = "[--sink NAME]",
	.options = options,
	.manual =
	"Sums all facts again and compares the sums with every column of every "
	"cell of the rollups, and the sums of days with those of their cells; "
	"looks for the key of every record, without which "
	"it could be stored twice; and computes the hash of every prompt and "
	"tool record again.  Each place that differs is named.  The daemon may "
	"run meanwhile.\n"
	"\n"
	"Cells from before the purge of facts are closed: they stay, but "
	"nothing is left that they could be compared with.  Where a day differs "
	"from its cells, `bursar jobs run rollup --force` sums it again.\n"
	"\n"
	"Exit status: 0 the ledger agrees with itself, 1 it could not be "
	"looked at, 3 something differs.",
	.book_only = true,
	.run = run,
};
