/* SPDX-License-Identifier: Apache-2.0 */

/* `bursar dead-letters`: what was refused, and why. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "cli/table.h"
#include "cmd/commands.h"
#include "common/rfc3339.h"
#include "common/utf8.h"
#include "conf/options.h"
#include "flow/deadletter.h"

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

void dead_letters_say_broken(struct cli *cli, const char *state_dir,
                             const struct deadletter_broken *broken)
{
	if (broken->count > 0) {
		fprintf(cli->err, "bursar: %zu %s in %s/dead-letters cannot be "
		        "read, the first in %s; mend or remove such lines "
		        "with the daemon stopped\n",
		        broken->count, broken->count == 1 ? "line" : "lines",
		        state_dir, broken->file);
	}
}

static int read_letters(struct search *search, deadletter_fn *each)
{
	const struct setup *setup = cli_setup(search->cli);
	struct bursar_error err = { 0 };
	struct deadletter_broken broken;

	if (setup == NULL) {
		return CLI_USAGE;
	}
	if (deadletters_read(setup->state_dir, each, search, &broken,
	                     &err) != 0) {
		return cli_fail(search->cli, "%s", err.text);
	}
	dead_letters_say_broken(search->cli, setup->state_dir, &broken);
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

/* --- one letter ---------------------------------------------------------- */

/* Columns of the names of members. */
#define NAMES 20

static void show_text(FILE *out, const char *name, const char *text,
                      size_t size)
{
	char *visible = text_visible(text, size);

	fprintf(out, "%-*s  %s\n", NAMES, name, visible);
	free(visible);
}

static void show_member(FILE *out, const char *name, const json_t *value)
{
	if (json_is_string(value)) {
		show_text(out, name, json_string_value(value),
		          json_string_length(value));
		return;
	}
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (text != NULL) {
		show_text(out, name, text, strlen(text));
	}
	free(text);
}

/* Members of an object, each under its name with a prefix. */
static void show_all(FILE *out, const char *prefix, const json_t *object)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		char *visible = text_visible(name, strlen(name));
		char full[200];

		snprintf(full, sizeof(full), "%s%s", prefix, visible);
		show_member(out, full, value);
		free(visible);
	}
}

static void show_body(FILE *out, const json_t *letter)
{
	struct bursar_error err = { 0 };
	struct bursar_message message;
	struct arena arena;

	arena_init(&arena);
	if (deadletter_message(letter, &arena.base, &message, &err) != 0) {
		show_text(out, "body", err.text, strlen(err.text));
	} else if (utf8_is_clean(message.body)) {
		char *visible = text_visible(message.body.data,
		                             message.body.size);

		fprintf(out, "\n%s\n", visible);
		free(visible);
	} else {
		fprintf(out, "\n(%zu bytes, in base64)\n%s\n",
		        message.body.size, member(letter, "body_base64"));
	}
	arena_clear(&arena);
	arena_pool_drain();
}

/* For people: a line a member, then the body as text if it is any. */
static void show_page(FILE *out, const json_t *letter)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)letter, name, value) {
		if (strcmp(name, "body_base64") == 0) {
			continue;
		}
		if (strcmp(name, "properties") == 0) {
			show_all(out, "", value);
		} else if (strcmp(name, "headers") == 0) {
			show_all(out, "header ", value);
		} else {
			show_member(out, name, value);
		}
	}
	show_body(out, letter);
}

static int show_one(void *context, json_t *letter)
{
	struct search *search = context;
	FILE *out = search->cli->out;

	if (strncmp(member(letter, "id"), search->id,
	            strlen(search->id)) != 0) {
		return 0;
	}
	if (search->cli->format == CLI_JSON) {
		json_dumpf(letter, out, JSON_COMPACT);
		fputc('\n', out);
	} else {
		fputs(search->found > 0 ? "\n" : "", out);
		show_page(out, letter);
	}
	search->found++;
	return 0;
}

bool dead_letters_reason(struct cli *cli, const char *reason)
{
	for (size_t i = 0; reason != NULL && dead_reasons[i] != NULL; i++) {
		if (strcmp(reason, dead_reasons[i]) == 0) {
			return true;
		}
	}
	if (reason == NULL) {
		return true;
	}
	const char *nearest = options_nearest(reason, dead_reasons);
	char known[200];

	options_words(dead_reasons, known, sizeof(known));
	cli_usage_error(cli, "--reason: there is no reason '%s'; %s%s%s",
	                reason,
	                nearest != NULL ? "did you mean '" : "there is: ",
	                nearest != NULL ? nearest : known,
	                nearest != NULL ? "'?" : "");
	return false;
}

static int show(struct search *search, const char *id)
{
	search->id = id;
	if (id[0] == '\0' || search->cli->format == CLI_CSV) {
		return cli_usage_error(search->cli, id[0] == '\0'
		                       ? "an id is empty"
		                       : "--format: table or json");
	}
	const int status = read_letters(search, show_one);
	return status == CLI_OK && search->found == 0
	       ? cli_fail(search->cli, "no letter has an id that begins with"
	                  " '%s'", id)
	       : status;
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
	if (!dead_letters_reason(cli, search.reason)) {
		return CLI_USAGE;
	}
	if (argc == 0 || (argc == 1 && strcmp(argv[0], "list") == 0)) {
		return list(&search);
	}
	if (argc != 2 || strcmp(argv[0], "show") != 0) {
		return cli_usage_error(cli, "say `list`, or `show` and an id");
	}
	if (search.reason != NULL || search.source != NULL ||
	    value[LIMIT] != NULL) {
		return cli_usage_error(cli, "show takes an id, and no other"
		                       " choice");
	}
	return show(&search, argv[1]);
}

const struct command command_dead_letters = {
	.name = "dead-letters",
	.summary = "list and show messages that could not be stored",
	.usage = "[list] [--reason REASON] [--source NAME] [--limit N]\nshow ID",
	.options = options,
	.run = run,
	.manual =
	"A message that can never be stored is kept as it was delivered, "
	"never decrypted, with the reason.  `list` names them, `show` prints "
	"one whole, with its body as text where it is text; of an id the first "
	"characters are enough.  `show --format json` prints the letter as it "
	"is kept, which any source takes for an envelope; what a token fixed "
	"in it and which kinds it allowed stay in force.\n"
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
