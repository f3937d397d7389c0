/* SPDX-License-Identifier: Apache-2.0 */

/* `bursar dead-letters`: what was refused, and why. */
#include "config.h"

#include <string.h>

#include "commands.h"
#include "common/rfc3339.h"
#include "deadletter.h"
#include "table.h"

enum { REASON, SOURCE, LIMIT, FORMAT };

static const struct cli_option options[] = {
	[REASON] = { "reason", 0, "REASON", "Only letters with that reason." },
	[SOURCE] = { "source", 0, "NAME", "Only letters of that source." },
	[LIMIT]  = { "limit", 0, "N", "Letters at most (default 1000)." },
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

static const struct table_column columns[] = {
	{ "id", NULL, TABLE_TEXT },
	{ "time", NULL, TABLE_TIME },
	{ "source", NULL, TABLE_TEXT },
	{ "reason", NULL, TABLE_TEXT },
	{ "place", NULL, TABLE_TEXT },
	{ "line", NULL, TABLE_COUNT },
	{ "text", NULL, TABLE_TEXT },
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

/* For people: what tells letters apart, and the time where there is room. */
static const struct table_column page_columns[] = {
	{ "id", NULL, TABLE_TEXT },
	{ "source", NULL, TABLE_TEXT },
	{ "reason", NULL, TABLE_TEXT },
	{ "place", NULL, TABLE_TEXT },
	{ "text", NULL, TABLE_TEXT },
	{ "time", NULL, TABLE_TIME },
};

#define PAGE_COLUMNS (sizeof(page_columns) / sizeof(page_columns[0]))
#define WIDE         120	/* columns of a terminal with room for times */

struct search {
	struct cli   *cli;
	const char   *reason;
	const char   *source;
	const char   *id;	/* of show: its first characters */
	int64_t       limit;
	int64_t       found;
	int64_t       beyond;	/* matched, but above the limit */
	size_t        columns;	/* how many of page_columns are shown */
	struct table *table;
};

static const char *member(const json_t *letter, const char *name)
{
	return json_string_value(json_object_get(letter, name));
}

static bool differs(const char *want, const char *have)
{
	return want != NULL && (have == NULL || strcmp(want, have) != 0);
}

static void add_time(struct table *table, const char *text)
{
	int64_t us;

	if (text != NULL && rfc3339_parse(text, strlen(text), &us)) {
		table_add_number(table, us);
	} else {
		table_add_null(table);
	}
}

/* A file's name without its folders, and the line. */
static void add_place(struct table *table, const char *place,
                      const json_t *line)
{
	char text[160];

	if (place == NULL) {
		table_add_null(table);
		return;
	}
	const char *slash = strrchr(place, '/');
	const char *name = slash != NULL && slash[1] != '\0' ? slash + 1 : place;
	if (line != NULL) {
		snprintf(text, sizeof(text), "%.120s:%" JSON_INTEGER_FORMAT,
		         name, json_integer_value(line));
		name = text;
	}
	table_add_text(table, name);
}

static void add_page_row(struct search *search, json_t *letter)
{
	struct table *table = search->table;

	/* A dozen characters tell letters apart on a screen. */
	table_add_bytes(table, member(letter, "id"), 12);
	table_add_text(table, member(letter, "source"));
	table_add_text(table, member(letter, "reason"));
	add_place(table, member(letter, "place"),
	          json_object_get(letter, "line"));
	table_add_text(table, member(letter, "text"));
	if (search->columns == PAGE_COLUMNS) {
		add_time(table, member(letter, "time"));
	}
}

static void add_row(struct search *search, json_t *letter)
{
	const json_t *line = json_object_get(letter, "line");
	struct table *table = search->table;

	table_add_text(table, member(letter, "id"));
	add_time(table, member(letter, "time"));
	table_add_text(table, member(letter, "source"));
	table_add_text(table, member(letter, "reason"));
	table_add_text(table, member(letter, "place"));
	if (line != NULL) {
		table_add_number(table, json_integer_value(line));
	} else {
		table_add_null(table);
	}
	table_add_text(table, member(letter, "text"));
}

static int list_one(void *context, json_t *letter)
{
	struct search *search = context;

	if (differs(search->reason, member(letter, "reason")) ||
	    differs(search->source, member(letter, "source"))) {
		return 0;
	}
	if (search->found == search->limit) {
		search->beyond++;
		return 0;
	}
	search->found++;
	if (search->cli->format == CLI_TABLE) {
		add_page_row(search, letter);
	} else {
		add_row(search, letter);
	}
	return 0;
}

static int read_letters(struct search *search, deadletter_fn *each)
{
	const struct setup *setup = cli_setup(search->cli);
	struct bursar_error err = { 0 };
	size_t broken;

	if (setup == NULL) {
		return CLI_USAGE;
	}
	if (deadletters_read(setup->state_dir, each, search, &broken,
	                     &err) != 0) {
		return cli_fail(search->cli, "%s", err.text);
	}
	if (broken > 0) {
		fprintf(search->cli->err, "bursar: %zu lines in %s/dead-letters"
		        " cannot be read\n", broken, setup->state_dir);
	}
	return CLI_OK;
}

static int list(struct search *search)
{
	const int width = search->cli->width;

	if (search->cli->format == CLI_TABLE) {
		search->columns = PAGE_COLUMNS - (width > 0 && width < WIDE);
		search->table = table_create(page_columns, search->columns);
	} else {
		search->table = table_create(columns, COLUMNS);
	}
	int status = read_letters(search, list_one);
	if (status == CLI_OK && search->found == 0 &&
	    search->cli->format == CLI_TABLE) {
		fputs("No dead letters.\n", search->cli->out);
	} else if (status == CLI_OK) {
		json_t *head = json_pack("{ss}", "report", "dead-letters");

		status = table_print(search->table, search->cli, head);
		json_decref(head);
	}
	if (search->beyond > 0) {
		fprintf(search->cli->err, "bursar: %lld more; raise --limit\n",
		        (long long)search->beyond);
	}
	table_destroy(search->table);
	return status;
}

static int show_one(void *context, json_t *letter)
{
	struct search *search = context;
	const char *id = member(letter, "id");

	if (strncmp(id, search->id, strlen(search->id)) == 0) {
		search->found++;
		json_dumpf(letter, search->cli->out,
		           search->cli->format == CLI_JSON ? JSON_COMPACT
		                                           : JSON_INDENT(2));
		fputc('\n', search->cli->out);
	}
	return 0;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct search search = { .cli = cli, .limit = 1000 };

	if (!cli_parse(cli, &argc, &argv, value) ||
	    !cli_number(cli, "limit", value[LIMIT], 1, TABLE_MAX_ROWS,
	                &search.limit)) {
		return cli->status;
	}
	search.reason = value[REASON];
	search.source = value[SOURCE];
	if (argc == 0 || (argc == 1 && strcmp(argv[0], "list") == 0)) {
		return list(&search);
	}
	if (argc != 2 || strcmp(argv[0], "show") != 0) {
		return cli_usage_error(cli, "say `list`, or `show` and an id");
	}
	search.id = argv[1];
	const int status = read_letters(&search, show_one);
	return status == CLI_OK && search.found == 0
	       ? cli_fail(cli, "no letter has an id that begins with '%s'",
	                  argv[1])
	       : status;
}

const struct command command_dead_letters = {
	.name = "dead-letters",
	.summary = "list and show messages that could not be stored",
	.usage = "[list] [--reason REASON] [--source NAME]\nshow ID",
	.options = options,
	.run = run,
	.manual =
	"A message that can never be stored is kept as it was delivered, "
	"never decrypted, with the reason.  `list` names them, `show` prints "
	"one whole; of an id the first characters are enough.\n"
	"\n"
	"Reasons: malformed (no JSON, no object, no sense), bad-envelope, "
	"no-kind (nothing tells whether it is metering, a prompt or a tool "
	"call), too-large, undecryptable, no-key (sealed under a key that is "
	"not known), not-encrypted, id-conflict (the id was stored before with "
	"other content), refused (by the database).\n"
	"\n"
	"Letters expire by their own retention label.  `bursar replay` tries "
	"them again.",
};
