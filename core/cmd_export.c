/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar export: records, all columns, as JSON lines or CSV.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "book/command.h"
#include "book/export.h"
#include "commands.h"
#include "table.h"

#define KEY_DIGITS 33		/* 16 bytes in hex, and a NUL */

enum { KIND, PERIOD, SINCE, UNTIL, TZ, FORMAT, BODIES, SINK };

static const struct cli_option options[] = {
	[KIND]   = { "kind", 'k', "KIND", "Only records of this kind: metering, "
	             "prompt or tool." },
	[PERIOD] = { "period", 'p', "PERIOD", "As for `bursar report`." },
	[SINCE]  = COMMAND_OPTION_SINCE,
	[UNTIL]  = COMMAND_OPTION_UNTIL,
	[TZ]     = COMMAND_OPTION_TZ,
	[FORMAT] = { "format", 'f', "jsonl|csv", "How to print: jsonl "
	             "(default), or csv, which needs --kind." },
	[BODIES] = { "bodies", 0, NULL, "Also what people wrote and models "
	             "answered." },
	[SINK]   = COMMAND_OPTION_SINK,
	{ NULL }
};

struct output {
	struct cli *cli;
	const struct bursar_kind *kind;
	const struct bursar_field *fields[EXPORT_MAX_FIELDS];
	size_t   count;
	bool     csv;
	char    *text;		/* a copy of a text, with a NUL */
	size_t   room;
	uint64_t records;
	bool     no_memory;
	struct progress progress;
};

/* --- values -------------------------------------------------------------- */

static const char *hex(const uint8_t key[16], char out[KEY_DIGITS])
{
	for (size_t i = 0; i < 16; i++) {
		snprintf(out + 2 * i, 3, "%02x", key[i]);
	}
	return out;
}

static void json_text(FILE *out, const char *text, size_t size)
{
	size_t plain = 0;

	fputc('"', out);
	for (size_t i = 0; i < size; i++) {
		const unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != '"' && c != '\\') {
			continue;
		}
		fwrite(text + plain, 1, i - plain, out);
		plain = i + 1;
		if (c >= 0x20) {
			fprintf(out, "\\%c", c);
		} else {
			fprintf(out, "\\u%04x", c);
		}
	}
	fwrite(text + plain, 1, size - plain, out);
	fputc('"', out);
}

/* The text with a NUL behind, the output's until the next call; NULL: out of
 * memory. */
static const char *terminated(struct output *output, const char *text,
                              size_t size)
{
	if (size + 1 > output->room) {
		char *more = realloc(output->text, size + 1);

		if (more == NULL) {
			return NULL;
		}
		output->text = more;
		output->room = size + 1;
	}
	memcpy(output->text, text, size);
	output->text[size] = '\0';
	return output->text;
}

/* A number as its type is shown; the same in JSON and CSV but for quotes. */
static const char *number(enum bursar_field_type type, int64_t value,
                          char out[TABLE_TIME_SIZE])
{
	switch (type) {
	case BURSAR_TIME:
		return table_time(value, out);
	case BURSAR_MONEY:
		return table_money(value, out);
	case BURSAR_BOOL:
		return value != 0 ? "true" : "false";
	default:
		snprintf(out, TABLE_TIME_SIZE, "%" PRId64, value);
		return out;
	}
}

static bool is_text(const struct bursar_field *field)
{
	return field->type == BURSAR_TEXT || field->type == BURSAR_JSON;
}

/* --- JSON lines ---------------------------------------------------------- */

static void json_value(FILE *out, const struct bursar_field *field,
                       const struct bursar_cell *cell)
{
	const char *quote = field->type == BURSAR_TIME ? "\"" : "";
	char text[TABLE_TIME_SIZE];

	fprintf(out, ",\"%s\":", field->name);
	if (cell->type == BURSAR_NULL) {
		fputs("null", out);
	} else if (is_text(field)) {
		json_text(out, cell->data, cell->size);
	} else {
		fprintf(out, "%s%s%s", quote,
		        number(field->type, book_get(cell), text), quote);
	}
}

static void json_row(struct output *output, const struct export_row *row)
{
	FILE *out = output->cli->out;
	char key[KEY_DIGITS];

	fprintf(out, "{\"kind\":\"%s\",\"key\":\"%s\"", output->kind->name,
	        hex(row->key, key));
	if (row->has_check) {
		fprintf(out, ",\"content_check\":\"%016" PRIx64 "\"",
		        (uint64_t)row->content_check);
	}
	for (size_t i = 0; i < output->count; i++) {
		json_value(out, output->fields[i], &row->cells[i]);
	}
	fputs("}\n", out);
}

/* --- CSV ----------------------------------------------------------------- */

static void csv_head(const struct output *output)
{
	FILE *out = output->cli->out;

	fputs("kind,key,content_check", out);
	for (size_t i = 0; i < output->count; i++) {
		fprintf(out, ",%s", output->fields[i]->name);
	}
	fputs("\r\n", out);
}

static int csv_value(struct output *output, const struct bursar_field *field,
                     const struct bursar_cell *cell)
{
	FILE *out = output->cli->out;
	char text[TABLE_TIME_SIZE];

	fputc(',', out);
	if (cell->type == BURSAR_NULL) {
		return 0;
	}
	if (!is_text(field)) {
		fputs(number(field->type, book_get(cell), text), out);
		return 0;
	}
	const char *copy = terminated(output, cell->data, cell->size);
	if (copy == NULL) {
		return -1;
	}
	table_csv_text(out, copy);
	return 0;
}

static int csv_row(struct output *output, const struct export_row *row)
{
	FILE *out = output->cli->out;
	char key[KEY_DIGITS];

	fprintf(out, "%s,%s,", output->kind->name, hex(row->key, key));
	if (row->has_check) {
		fprintf(out, "%016" PRIx64, (uint64_t)row->content_check);
	}
	for (size_t i = 0; i < output->count; i++) {
		if (csv_value(output, output->fields[i], &row->cells[i]) != 0) {
			return -1;
		}
	}
	fputs("\r\n", out);
	return 0;
}

/* --- the command --------------------------------------------------------- */

static int take(void *context, const struct export_row *row)
{
	struct output *output = context;

	if (!output->csv) {
		json_row(output, row);
	} else if (csv_row(output, row) != 0) {
		output->no_memory = true;
		return 1;
	}
	output->records++;
	progress_say(&output->progress, "%" PRIu64 " records", output->records);
	return ferror(output->cli->out);
}

static int export_kind(struct output *output, struct book *book,
                       const struct export *export)
{
	struct bursar_error err = { 0 };

	output->kind = export->kind;
	output->count = export_fields(export, output->fields,
	                              EXPORT_MAX_FIELDS);
	if (output->csv) {
		csv_head(output);
	}
	if (export_run(book, export, take, output, &err) != 0) {
		return cli_fail(output->cli, "%s", err.text);
	}
	if (output->no_memory) {
		return cli_fail(output->cli, "out of memory");
	}
	return ferror(output->cli->out)
		? cli_fail(output->cli, "cannot write: %s", strerror(errno))
		: CLI_OK;
}

static int export_all(struct cli *cli, struct book *book,
                      struct export *export, bool csv)
{
	struct output output = { .cli = cli, .csv = csv };
	const struct bursar_kind *only = export->kind;
	int status = CLI_OK;

	progress_start(&output.progress, cli);
	for (size_t i = 0; i < schema.kind_count && status == CLI_OK; i++) {
		export->kind = &schema.kinds[i];
		if (only == NULL || only == export->kind) {
			status = export_kind(&output, book, export);
		}
	}
	progress_end(&output.progress);
	free(output.text);
	return status;
}

/* Reads the options; returns CLI_OK, or another status. */
static int choose(struct cli *cli, const char *const *value,
                  struct export *export, bool *csv)
{
	const struct window_choice choice = { value[PERIOD], value[SINCE],
	                                      value[UNTIL], value[TZ] };
	const char *format = value[FORMAT] != NULL ? value[FORMAT] : "jsonl";

	*csv = strcmp(format, "csv") == 0;
	if (!*csv && strcmp(format, "jsonl") != 0) {
		return cli_usage_error(cli, "--format is jsonl or csv, not "
		                       "'%s'", format);
	}
	if (value[KIND] != NULL) {
		export->kind = bursar_kind_find(&schema, value[KIND],
		                                strlen(value[KIND]));
		if (export->kind == NULL) {
			return cli_usage_error(cli, "--kind is metering, prompt "
			                       "or tool, not '%s'", value[KIND]);
		}
	}
	if (*csv && export->kind == NULL) {
		return cli_usage_error(cli, "csv has the columns of one kind: "
		                       "add --kind metering, for example");
	}
	export->bodies = value[BODIES] != NULL;
	export->now = clock_wall_us();
	return command_window(cli, &choice, &export->window);
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct export export = { 0 };
	struct book book;
	bool csv;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 0) {
		return cli_usage_error(cli, "takes no '%s'", argv[0]);
	}
	int status = choose(cli, value, &export, &csv);
	if (status == CLI_OK) {
		status = command_open(cli, value[SINK], BURSAR_READ, &book);
	}
	if (status != CLI_OK) {
		return status;
	}
	status = export_all(cli, &book, &export, csv);
	book_close(&book);
	return status;
}

const struct command command_export = {
	.name = "export",
	.summary = "print records, all columns, as JSON lines or CSV",
	.usage = "[--kind KIND] [--since TIME] [--until TIME] [--format FORMAT] "
	         "[--bodies]",
	.options = options,
	.manual =
	"Prints one record a line, in the order in which they are kept, with "
	"its kind, key (hex) and content_check (hex, of the message's clear "
	"body) before its columns.  Times are RFC 3339 in UTC, money is exact, "
	"columns that hold JSON are texts with that JSON as it was written.\n"
	"\n"
	"What people wrote and models answered is left out unless --bodies is "
	"given.  What has expired is never printed.\n"
	"\n"
	"Works in small steps: the daemon may run meanwhile, and memory stays "
	"small however large the ledger is.\n"
	"\n"
	"\tbursar export --kind metering --period last-month --format csv "
	"> march.csv",
	.run = run,
};
