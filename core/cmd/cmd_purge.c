/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar purge: takes what has expired.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>

#include "book/command.h"
#include "book/purge.h"
#include "cli/table.h"
#include "cmd/commands.h"
#include "jobs/job.h"

enum { DRY_RUN, FORCE, SINK, FORMAT };

static const struct cli_option options[] = {
	[DRY_RUN] = { "dry-run", 'n', NULL, "Count what would go, and take "
	              "nothing." },
	[FORCE]   = { "force", 0, NULL, "Take also what has been due for more "
	              "than 7 days." },
	[SINK]    = COMMAND_OPTION_SINK,
	[FORMAT]  = CLI_OPTION_FORMAT,
	{ NULL }
};

static const struct table_column columns[] = {
	{ "what", NULL, TABLE_TEXT },
	{ "rows", NULL, TABLE_COUNT },
};

static bool go_on(void *context, const struct bursar_purged *purged)
{
	progress_say(context, "%" PRIu64 " bodies, %" PRIu64 " facts, %" PRIu64
	             " keys", purged->bodies, purged->facts, purged->keys);
	return true;
}

static int print(struct cli *cli, const struct bursar_purged *purged,
                 int64_t held, bool dry_run)
{
	struct table *table = table_create(columns, 2);
	json_t *head = json_object();

	head_text(head, "report", "purge");
	json_object_set_new(head, "dry_run", json_boolean(dry_run));
	table_add_text(table, "bodies");
	table_add_number(table, (int64_t)purged->bodies);
	table_add_text(table, "facts");
	table_add_number(table, (int64_t)purged->facts);
	table_add_text(table, "keys");
	table_add_number(table, (int64_t)purged->keys);
	if (dry_run) {
		table_add_text(table, "held");
		table_add_number(table, held);
	}
	const int status = table_print(table, cli, head);
	json_decref(head);
	table_destroy(table);
	return status;
}

static int refuse(struct cli *cli, int64_t due, const char *what)
{
	char time[TABLE_TIME_SIZE];

	fprintf(cli->err, "bursar: some of %s has been due since %s, for more "
	        "than %d days: is the clock right?  If it is, look with "
	        "`bursar purge --dry-run` and say `bursar purge --force`\n",
	        what, table_time(due / 1000000 * 1000000, time), PURGE_DAYS);
	return CLI_NO;
}

static int take(struct cli *cli, struct book *book,
                const struct purge_rule *rule)
{
	struct bursar_purged purged;
	struct bursar_error err = { 0 };
	struct progress progress;

	progress_start(&progress, cli);
	const int status = purge_take(book, rule, go_on, &progress, &purged,
	                              &err);
	progress_end(&progress);
	if (status != 0) {
		return cli_fail(cli, "%s", err.text);
	}
	return print(cli, &purged, 0, false);
}

static int purge(struct cli *cli, struct book *book, bool dry_run, bool force)
{
	struct purge_rule rule = {
		.facts_days = cli->setup->facts_days,
		.dedup_days = cli->setup->dedup_days,
	};
	struct bursar_purged purged;
	struct bursar_error err = { 0 };
	const char *what = NULL;
	int64_t due = INT64_MAX, held = 0;

	if (jobs_purge_now(book, &rule.now, &err) != 0) {
		return cli_fail(cli, "%s", err.text);
	}
	if (dry_run) {
		return purge_count(book, &rule, &purged, &err) == 0 &&
		       purge_count_held(book, &rule, &held, &err) == 0
			? print(cli, &purged, held, true)
			: cli_fail(cli, "%s", err.text);
	}
	if (!force && purge_look(book, &rule, &due, &what, &err) != 0) {
		return cli_fail(cli, "%s", err.text);
	}
	return due != INT64_MAX ? refuse(cli, due, what)
		: take(cli, book, &rule);
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct book book;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 0) {
		return cli_usage_error(cli, "takes no '%s'", argv[0]);
	}
	if (value[DRY_RUN] != NULL && value[FORCE] != NULL) {
		return cli_usage_error(cli, "--dry-run takes nothing, --force "
		                       "takes all: say one of them");
	}
	int status = command_open(cli, value[SINK], BURSAR_WRITE, &book);
	if (status != CLI_OK) {
		return status;
	}
	status = purge(cli, &book, value[DRY_RUN] != NULL,
	               value[FORCE] != NULL);
	book_close(&book);
	return status;
}

const struct command command_purge = {
	.name = "purge",
	.summary = "take what has expired from the ledger",
	.usage = "[--dry-run | --force] [--sink NAME]",
	.options = options,
	.manual =
	"Takes prompt and tool records that have expired, facts older than "
	"retention.facts-days, and keys that were last used before "
	"retention.dedup-days; where these are not set, facts and keys stay "
	"for ever.  Sums in the rollups stay.  Works in short transactions, so "
	"that the daemon may run meanwhile, and may be cut short at any "
	"time.\n"
	"\n"
	"What is under a legal hold stays (see bursar-hold(1)); --dry-run counts "
	"it apart.\n"
	"\n"
	"What has been due for more than 7 days is a sign of a wrong clock, or "
	"of a long time without a purge.  Nothing is taken then without "
	"--force.\n"
	"\n"
	"Exit status: 0 done, 1 it did not work, 3 it needs --force.",
	.run = run,
};
