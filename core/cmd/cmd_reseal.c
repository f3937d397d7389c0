/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar reseal: brings what lies sealed under the present key.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "book/command.h"
#include "book/reseal.h"
#include "cli/table.h"
#include "cmd/commands.h"

enum { DRY_RUN, SINK, FORMAT };

static const struct cli_option options[] = {
	[DRY_RUN] = { "dry-run", 'n', NULL, "Count what lies otherwise, by "
	              "key, and change nothing." },
	[SINK]    = { "sink", 's', "NAME", "Only this sink, instead of all "
	              "that a route seals for." },
	[FORMAT]  = CLI_OPTION_FORMAT,
	{ NULL }
};

static const struct table_column done_columns[] = {
	{ "sink", NULL, TABLE_TEXT },
	{ "table", NULL, TABLE_TEXT },
	{ "sealed", NULL, TABLE_COUNT },
	{ "resealed", NULL, TABLE_COUNT },
	{ "left", NULL, TABLE_COUNT },
};

static const struct table_column key_columns[] = {
	{ "sink", NULL, TABLE_TEXT },
	{ "table", NULL, TABLE_TEXT },
	{ "sealed_by", NULL, TABLE_TEXT },
	{ "rows", NULL, TABLE_COUNT },
};

struct work {
	struct cli     *cli;
	struct opener  *opener;
	struct table   *table;
	struct progress progress;
	const char     *sink;			/* that is worked on */
	const struct bursar_kind *kind;
	bool            dry_run;
	bool            some_left;
};

/* --- one kind in one sink ------------------------------------------------ */

static bool go_on(void *context, const struct reseal_counts *counts)
{
	struct work *w = context;

	progress_say(&w->progress, "%s: %s: %" PRIu64 " sealed, %" PRIu64
	             " resealed", w->sink, w->kind->table, counts->sealed,
	             counts->resealed);
	return true;
}

static void add_key(void *context, struct bursar_span key, int64_t rows)
{
	struct work *w = context;

	table_add_text(w->table, w->sink);
	table_add_text(w->table, w->kind->table);
	if (key.data == NULL) {
		table_add_null(w->table);
	} else {
		table_add_bytes(w->table, key.data, key.size);
	}
	table_add_number(w->table, rows);
}

static void tell(struct work *w, uint64_t rows, const char *why)
{
	if (rows > 0) {
		fprintf(w->cli->err, "bursar: %s: %s: %" PRIu64 " rows stay as "
		        "they are: %s\n", w->sink, w->kind->table, rows, why);
		w->some_left = true;
	}
}

static void add_counts(struct work *w, const struct reseal_counts *counts)
{
	char why[sizeof(counts->key) + sizeof(counts->why.text) + 80];

	snprintf(why, sizeof(why), "they do not open, the first lies under "
	         "%s%s%s", counts->key, counts->why.code != 0 ? ": " : "",
	         counts->why.code != 0 ? counts->why.text : "");
	table_add_text(w->table, w->sink);
	table_add_text(w->table, w->kind->table);
	table_add_number(w->table, (int64_t)counts->sealed);
	table_add_number(w->table, (int64_t)counts->resealed);
	table_add_number(w->table, (int64_t)(counts->closed +
		counts->changed + counts->too_long + counts->passed));
	tell(w, counts->closed, why);
	tell(w, counts->changed, "they were changed since they were stored: "
	     "see `bursar verify`");
	tell(w, counts->too_long, "they are too long for the crypto");
	tell(w, counts->passed, "something else changed or took them "
	     "meanwhile: run it again");
}

static int reseal_kind(struct work *w, struct book *book,
                       const struct setup_item *seal)
{
	struct bursar_error err = { 0 };
	struct reseal_counts counts;
	const struct reseal reseal = {
		.book = book, .opener = w->opener, .kind = w->kind,
		.keyring = opener_keyring(w->opener, seal, &err),
		.go_on = go_on, .context = w,
	};
	int status;

	if (reseal.keyring == NULL) {
		return cli_fail(w->cli, "%s", err.text);
	}
	if (w->dry_run) {
		status = reseal_count(&reseal, add_key, w, &err);
	} else {
		status = reseal_run(&reseal, &counts, &err);
		progress_end(&w->progress);
		add_counts(w, &counts);
	}
	return status == 0 ? CLI_OK : cli_fail(w->cli, "%s", err.text);
}

/* --- which sinks --------------------------------------------------------- */

static bool is_sealed(const struct setup *setup, size_t sink)
{
	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		if (setup->seals[k][sink] != NULL) {
			return true;
		}
	}
	return false;
}

static bool is_meant(const struct setup *setup, size_t sink, const char *name)
{
	const struct setup_item *item = &setup->sinks[sink].item;

	return is_sealed(setup, sink) &&
	       (name == NULL ? item->plugin->ops.sink->sql != NULL
	                     : strcmp(name, item->name) == 0);
}

static int reseal_sink(struct work *w, size_t sink)
{
	const struct setup *setup = w->cli->setup;
	struct book book;
	int status;

	w->sink = setup->sinks[sink].item.name;
	status = command_open(w->cli, w->sink,
	                      w->dry_run ? BURSAR_READ : BURSAR_WRITE, &book);
	if (status != CLI_OK) {
		return status;
	}
	for (size_t k = 0; k < SCHEMA_KINDS && status == CLI_OK; k++) {
		w->kind = &schema.kinds[k];
		if (setup->seals[k][sink] != NULL) {
			status = reseal_kind(w, &book, setup->seals[k][sink]);
		}
	}
	book_close(&book);
	return status;
}

static int reseal_all(struct work *w, const char *name)
{
	const struct setup *setup = w->cli->setup;
	int status = CLI_OK;
	size_t count = 0;

	for (size_t i = 0; i < setup->sink_count && status == CLI_OK; i++) {
		if (is_meant(setup, i, name)) {
			count++;
			status = reseal_sink(w, i);
		}
	}
	if (count == 0 && name != NULL) {
		return cli_usage_error(w->cli, "no route seals what goes to a "
		                       "sink '%s'", name);
	}
	if (count == 0) {
		return cli_usage_error(w->cli, "no route of the configuration "
		                       "says `seal` for a sink that can be "
		                       "asked");
	}
	return status;
}

static int print(struct work *w, int status)
{
	json_t *head = json_object();
	int printed;

	head_text(head, "report", "reseal");
	json_object_set_new(head, "dry_run", json_boolean(w->dry_run));
	printed = table_print(w->table, w->cli, head);
	json_decref(head);
	return status != CLI_OK ? status : printed;
}

/* --- the command --------------------------------------------------------- */

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct work w = { .cli = cli };
	int status;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 0) {
		return cli_usage_error(cli, "takes no '%s'", argv[0]);
	}
	const struct setup *setup = cli_setup(cli);
	if (setup == NULL) {
		return CLI_USAGE;
	}
	w.dry_run = value[DRY_RUN] != NULL;
	w.opener = opener_create(setup);
	w.table = w.dry_run ? table_create(key_columns, 4)
	                    : table_create(done_columns, 5);
	if (w.opener == NULL) {
		status = cli_fail(cli, "out of memory");
	} else {
		progress_start(&w.progress, cli);
		status = reseal_all(&w, value[SINK]);
		progress_end(&w.progress);
		if (status != CLI_USAGE) {
			status = print(&w, status);
		}
	}
	opener_destroy(w.opener);
	table_destroy(w.table);
	return status == CLI_OK && w.some_left ? CLI_NO : status;
}

const struct command command_reseal = {
	.name = "reseal",
	.summary = "bring what lies sealed under the present key",
	.usage = "[--dry-run] [--sink NAME]",
	.options = options,
	.manual =
	"Opens the prompts and tool calls of a ledger that lie under another "
	"key than the one that seals now, or in clear, and seals them again as "
	"the route of the configuration says.  It needs the old key and the "
	"new one.  Works in short transactions, so that the daemon may run "
	"meanwhile, and may be killed at any time: what is left is done by the "
	"next run.  `bursar verify` finds nothing before, meanwhile and "
	"after.\n"
	"\n"
	"To change a key of the crypto sodium:\n"
	"\n"
	"\tput a new line of `bursar crypto keygen` on top of the key file\n"
	"\treload the daemon, so that new records lie under it\n"
	"\tbursar reseal\n"
	"\ttake the old line away when `bursar reseal --dry-run` prints "
	"nothing\n"
	"\n"
	"A row that does not open, or that was changed since it was stored, "
	"stays as it is and is counted as left.\n"
	"\n"
	"What lay in clear before may still stand in the database's files until "
	"VACUUM (SQLite, with the daemon stopped) or VACUUM FULL (PostgreSQL), "
	"and stands in what was copied from it: backups, replicas, archived "
	"logs.\n"
	"\n"
	"Exit status: 0 done, 1 it did not work, 3 some rows were left.",
	.run = run,
};
