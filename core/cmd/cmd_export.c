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
#include "cli/table.h"
#include "cmd/commands.h"
#include "common/json_escape.h"
#include "flow/opener.h"

#define KEY_DIGITS 33		/* 16 bytes in hex, and a NUL */

enum { KIND, PERIOD, SINCE, UNTIL, TZ, FORMAT, BODIES, SEALED, SINK };

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
	[SEALED] = { "sealed", 0, "open|keep|fail", "What to do with bodies "
	             "that lie sealed: open them (default), keep them as they "
	             "are, or open them and fail at the first that does not." },
	[SINK]   = COMMAND_OPTION_SINK,
	{ NULL }
};

/* What becomes of bodies that lie sealed. */
enum sealed { SEALED_OPEN, SEALED_KEEP, SEALED_FAIL };

static const char *const sealed_words[] = { "open", "keep", "fail", NULL };

/* Bodies of this export that stay sealed. */
struct closed {
	uint64_t no_key;
	uint64_t broken;
	char     key[BODIES_KEY_MAX + 1];	/* of the first without one */
	struct bursar_error why;
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

	enum sealed    sealed;
	struct opener *opener;		/* NULL: nothing is opened */
	struct arena   arena;		/* of one row */
	struct bursar_cell cells[EXPORT_MAX_FIELDS];	/* once it is open */
	enum opened    opened[EXPORT_MAX_FIELDS];
	struct closed  closed;
	struct bursar_error err;	/* it cannot go on */
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
	char escape[JSON_ESCAPE];
	size_t plain = 0;

	fputc('"', out);
	for (size_t i = 0; i < size; i++) {
		if (json_is_plain(text[i])) {
			continue;
		}
		fwrite(text + plain, 1, i - plain, out);
		plain = i + 1;
		const size_t length = json_escape(text[i], escape);
		fwrite(escape, 1, length, out);
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

/* --- bodies that lie sealed ---------------------------------------------- */

static const char *const opened_words[] = {
	[OPENED_NO_KEY] = "no key", [OPENED_BROKEN] = "does not open",
};

static struct bursar_span span_of(const struct bursar_cell *cell)
{
	return cell->type == BURSAR_STRING
		? (struct bursar_span){ cell->data, cell->size }
		: (struct bursar_span){ NULL, 0 };
}

/* The cell of a field that is no body, which are always there. */
static const struct bursar_cell *cell_of(const struct output *output,
                                         const struct bursar_cell *cells,
                                         int field)
{
	size_t i = 0;

	while (output->fields[i] != &output->kind->fields[field]) {
		i++;
	}
	return &cells[i];
}

static void note_closed(struct output *output, struct bursar_span key,
                        const struct bursar_error *why, enum opened opened)
{
	struct closed *closed = &output->closed;

	if (opened == OPENED_BROKEN) {
		closed->broken++;
		return;
	}
	if (closed->no_key++ == 0) {
		snprintf(closed->key, sizeof(closed->key), "%.*s",
		         (int)key.size, key.data);
		closed->why = *why;
	}
}

/* With --sealed fail. */
static int refuse(struct output *output, const struct opener_row *row,
                  enum opened opened, const struct bursar_error *why)
{
	if (output->sealed != SEALED_FAIL) {
		return 0;
	}
	return bursar_fail(&output->err, ENOKEY, "%s: message_id '%.*s': "
	                   "sealed by %.*s: %s%s%.80s", output->kind->table,
	                   (int)(row->id.size < 60 ? row->id.size : 60),
	                   row->id.data,
	                   (int)(row->sealed_by.size < 60
	                         ? row->sealed_by.size : 60),
	                   row->sealed_by.data, opened_words[opened],
	                   why->code != 0 ? ": " : "",
	                   why->code != 0 ? why->text : "");
}

/* Copies the row's cells to the output's, and lists those of them that are
 * bodies, with their places.  Returns how many. */
static size_t list_bodies(struct output *output,
                          const struct bursar_cell *cells,
                          struct opener_body bodies[BODIES_MAX],
                          size_t places[BODIES_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < output->count; i++) {
		output->cells[i] = cells[i];
		if ((output->fields[i]->flags & BURSAR_FIELD_BODY) != 0 &&
		    cells[i].type == BURSAR_STRING && count < BODIES_MAX) {
			bodies[count] = (struct opener_body){
				output->fields[i], span_of(&cells[i]), 0,
			};
			places[count++] = i;
		}
	}
	return count;
}

/*
 * Opens the bodies of a row that lies sealed.  *cells are its own, or become
 * the output's.  Returns 0, or -1 with output->err filled.
 */
static int open_row(struct output *output, const struct bursar_cell **cells)
{
	const struct bursar_span key = span_of(
		cell_of(output, *cells, BURSAR_SEALED_BY));
	struct opener_body bodies[BODIES_MAX];
	size_t places[BODIES_MAX];
	struct bursar_error why = { 0 };

	memset(output->opened, 0, sizeof(output->opened));
	if (key.data == NULL || output->opener == NULL) {
		return 0;
	}
	const struct opener_row row = {
		.kind = output->kind, .sealed_by = key,
		.id = span_of(cell_of(output, *cells, BURSAR_MESSAGE_ID)),
		.dq_flags = book_get(cell_of(output, *cells,
		                             BURSAR_DQ_FLAGS)),
	};
	const size_t count = list_bodies(output, *cells, bodies, places);

	arena_clear(&output->arena);
	if (opener_open(output->opener, &row, bodies, count, &output->arena,
	                &why, &output->err) != 0) {
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		output->opened[places[i]] = bodies[i].result;
		if (bodies[i].result == OPENED) {
			output->cells[places[i]] = book_bytes(
				bodies[i].text.data, bodies[i].text.size);
			continue;
		}
		note_closed(output, key, &why, bodies[i].result);
		if (refuse(output, &row, bodies[i].result, &why) != 0) {
			return -1;
		}
	}
	*cells = output->cells;
	return 0;
}

/* What is said at the end of bodies that nobody could read. */
static int tell_closed(const struct output *output, int status)
{
	const struct closed *closed = &output->closed;
	FILE *err = output->cli->err;

	if (closed->no_key > 0) {
		fprintf(err, "bursar: %" PRIu64 " bodies stay sealed, as their "
		        "key is not here: %s%s%s\n", closed->no_key,
		        closed->key, closed->why.code != 0 ? ": " : "",
		        closed->why.code != 0 ? closed->why.text : "");
	}
	if (closed->broken > 0) {
		fprintf(err, "bursar: %" PRIu64 " bodies do not open: they "
		        "were sealed under another key, were changed, or come "
		        "from another row\n", closed->broken);
		return status == CLI_OK ? CLI_NO : status;
	}
	return status;
}

/* --- JSON lines ---------------------------------------------------------- */

/* An object, where all else is a text: nobody can have written it. */
static void json_closed(FILE *out, const char *name, enum opened opened,
                        struct bursar_span key)
{
	fprintf(out, ",\"%s\":{\"sealed_by\":", name);
	json_text(out, key.data, key.size);
	fprintf(out, ",\"why\":\"%s\"}", opened_words[opened]);
}

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

static void json_row(struct output *output, const struct export_row *row,
                     const struct bursar_cell *cells)
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
		if (output->opened[i] != OPENED) {
			json_closed(out, output->fields[i]->name,
			            output->opened[i], span_of(cell_of(
				output, cells, BURSAR_SEALED_BY)));
		} else {
			json_value(out, output->fields[i], &cells[i]);
		}
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

static void csv_closed(FILE *out, enum opened opened, struct bursar_span key)
{
	char text[BODIES_KEY_MAX + 40];

	snprintf(text, sizeof(text), "[sealed by %.*s: %s]",
	         (int)(key.size < BODIES_KEY_MAX ? key.size : BODIES_KEY_MAX),
	         key.data, opened_words[opened]);
	fputc(',', out);
	table_csv_text(out, text);
}

static int csv_row(struct output *output, const struct export_row *row,
                   const struct bursar_cell *cells)
{
	FILE *out = output->cli->out;
	char key[KEY_DIGITS];

	fprintf(out, "%s,%s,", output->kind->name, hex(row->key, key));
	if (row->has_check) {
		fprintf(out, "%016" PRIx64, (uint64_t)row->content_check);
	}
	for (size_t i = 0; i < output->count; i++) {
		if (output->opened[i] != OPENED) {
			csv_closed(out, output->opened[i], span_of(cell_of(
				output, cells, BURSAR_SEALED_BY)));
		} else if (csv_value(output, output->fields[i],
		                     &cells[i]) != 0) {
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
	const struct bursar_cell *cells = row->cells;

	if (open_row(output, &cells) != 0) {
		return 1;
	}
	if (!output->csv) {
		json_row(output, row, cells);
	} else if (csv_row(output, row, cells) != 0) {
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
	if (output->err.code != 0) {
		return cli_fail(output->cli, "%s", output->err.text);
	}
	if (output->no_memory) {
		return cli_fail(output->cli, "out of memory");
	}
	return ferror(output->cli->out)
		? cli_fail(output->cli, "cannot write: %s", strerror(errno))
		: CLI_OK;
}

static int export_all(struct cli *cli, struct book *book,
                      struct export *export, bool csv, enum sealed sealed)
{
	struct output output = { .cli = cli, .csv = csv, .sealed = sealed };
	const struct bursar_kind *only = export->kind;
	int status = CLI_OK;

	if (export->bodies && sealed != SEALED_KEEP) {
		output.opener = opener_create(cli->setup);
		if (output.opener == NULL) {
			return cli_fail(cli, "out of memory");
		}
	}
	arena_init(&output.arena);
	progress_start(&output.progress, cli);
	for (size_t i = 0; i < schema.kind_count && status == CLI_OK; i++) {
		export->kind = &schema.kinds[i];
		if (only == NULL || only == export->kind) {
			status = export_kind(&output, book, export);
		}
	}
	progress_end(&output.progress);
	status = tell_closed(&output, status);
	opener_destroy(output.opener);
	arena_clear(&output.arena);
	free(output.text);
	return status;
}

/* Reads the options; returns CLI_OK, or another status. */
static int choose(struct cli *cli, const char *const *value,
                  struct export *export, bool *csv, enum sealed *sealed)
{
	const struct window_choice choice = { value[PERIOD], value[SINCE],
	                                      value[UNTIL], value[TZ] };
	const char *format = value[FORMAT] != NULL ? value[FORMAT] : "jsonl";

	*csv = strcmp(format, "csv") == 0;
	if (!*csv && strcmp(format, "jsonl") != 0) {
		return cli_usage_error(cli, "--format is jsonl or csv, not "
		                       "'%s'", format);
	}
	while (value[SEALED] != NULL && sealed_words[*sealed] != NULL &&
	       strcmp(sealed_words[*sealed], value[SEALED]) != 0) {
		++*sealed;
	}
	if (sealed_words[*sealed] == NULL) {
		return cli_usage_error(cli, "--sealed is open, keep or fail, "
		                       "not '%s'", value[SEALED]);
	}
	if (value[SEALED] != NULL && value[BODIES] == NULL) {
		return cli_usage_error(cli, "--sealed is about bodies: add "
		                       "--bodies");
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
	enum sealed sealed = SEALED_OPEN;
	struct book book;
	bool csv;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 0) {
		return cli_usage_error(cli, "takes no '%s'", argv[0]);
	}
	int status = choose(cli, value, &export, &csv, &sealed);
	if (status == CLI_OK) {
		status = command_open(cli, value[SINK], BURSAR_READ, &book);
	}
	if (status != CLI_OK) {
		return status;
	}
	status = export_all(cli, &book, &export, csv, sealed);
	book_close(&book);
	return status;
}

const struct command command_export = {
	.name = "export",
	.summary = "print records, all columns, as JSON lines or CSV",
	.usage = "[--kind KIND] [--since TIME] [--until TIME] [--format FORMAT] "
	         "[--bodies [--sealed WORD]]",
	.options = options,
	.manual =
	"Prints one record a line, in the order in which they are kept, with "
	"its kind, key (hex) and content_check (hex, of the message's clear "
	"body) before its columns.  Times are RFC 3339 in UTC, money is exact, "
	"columns that hold JSON are texts with that JSON as it was written.\n"
	"\n"
	"What people wrote and models answered is left out unless --bodies is "
	"given.  What has expired is printed only while it is held (see "
	"bursar-hold(1)).\n"
	"\n"
	"Bodies that lie sealed are opened with the crypto of the "
	"configuration.  One that stays sealed is an object in JSON lines, "
	"{\"sealed_by\":\"own/2026-11\",\"why\":\"no key\"}, and "
	"[sealed by own/2026-11: no key] in CSV; how many there are is said on "
	"standard error.  With --sealed keep they are printed as they stand in "
	"the ledger.  Exit status 3: some do not open, though a key is here.\n"
	"\n"
	"Works in small steps: the daemon may run meanwhile, and memory stays "
	"small however large the ledger is.\n"
	"\n"
	"\tbursar export --kind metering --period last-month --format csv "
	"> march.csv",
	.run = run,
};
