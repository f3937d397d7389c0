/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar reprice: costs of stored records by the books of now, journalled.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "book/command.h"
#include "book/reprice.h"
#include "cli/table.h"
#include "cmd/commands.h"

#define MAX_GROUPS 1000		/* models that are told apart */
#define BATCH_SIZE 60

enum { SINCE, UNTIL, TZ, UNPRICED, REASON, DRY_RUN, SINK, FORMAT };

static const struct cli_option options[] = {
	[SINCE]    = COMMAND_OPTION_SINCE,
	[UNTIL]    = COMMAND_OPTION_UNTIL,
	[TZ]       = COMMAND_OPTION_TZ,
	[UNPRICED] = { "unpriced", 'u', NULL, "Only records whose cost is "
	               "unknown." },
	[REASON]   = { "reason", 0, "TEXT", "Why, for the journal (default: "
	               "reprice)." },
	[DRY_RUN]  = { "dry-run", 'n', NULL, "Say what would change, and "
	               "change nothing." },
	[SINK]     = COMMAND_OPTION_SINK,
	[FORMAT]   = CLI_OPTION_FORMAT,
	{ NULL }
};

static const struct table_column columns[] = {
	{ "provider", NULL, TABLE_TEXT },
	{ "model_id", "model", TABLE_TEXT },
	{ "records", NULL, TABLE_COUNT },
	{ "old_cost_usd", "old cost", TABLE_MONEY },
	{ "new_cost_usd", "new cost", TABLE_MONEY },
	{ "difference_usd", "difference", TABLE_MONEY },
};

/* What changed of one model. */
struct group {
	char   *provider;		/* NULL: all that are too many */
	char   *model;
	int64_t records;
	int64_t old_nano;
	int64_t new_nano;
};

struct tally {
	struct group groups[MAX_GROUPS + 1];
	size_t       count;
	struct progress progress;
};

/* --- counting ------------------------------------------------------------ */

static bool is_text(const char *text, struct bursar_span span)
{
	return text != NULL && strlen(text) == span.size &&
	       memcmp(text, span.data, span.size) == 0;
}

static struct group *group_of(struct tally *tally,
                              const struct price_question *q)
{
	for (size_t i = 0; i < tally->count; i++) {
		struct group *group = &tally->groups[i];

		if (is_text(group->provider, q->provider) &&
		    is_text(group->model, q->model)) {
			return group;
		}
	}
	struct group *group = &tally->groups[tally->count];
	if (tally->count < MAX_GROUPS) {
		group->provider = strndup(q->provider.data, q->provider.size);
		group->model = strndup(q->model.data, q->model.size);
		tally->count++;
	}
	return group;
}

static void add(int64_t *sum, struct priced_cost cost)
{
	if (cost.known && __builtin_add_overflow(*sum, cost.nano, sum)) {
		*sum = INT64_MAX;
	}
}

static void changed(void *context, const struct repriced *change)
{
	struct group *group = group_of(context, &change->fact->question);

	group->records++;
	add(&group->old_nano, change->fact->cost);
	add(&group->new_nano, change->cost);
}

static void progress(void *context, uint64_t facts)
{
	struct tally *tally = context;

	progress_say(&tally->progress, "%" PRIu64 " records", facts);
}

static void tally_finish(struct tally *tally)
{
	for (size_t i = 0; i < tally->count; i++) {
		free(tally->groups[i].provider);
		free(tally->groups[i].model);
	}
	free(tally);
}

/* --- printing ------------------------------------------------------------ */

static int by_difference(const void *left, const void *right)
{
	const struct group *a = left, *b = right;
	const int64_t x = llabs(a->new_nano - a->old_nano);
	const int64_t y = llabs(b->new_nano - b->old_nano);

	return (x < y) - (x > y);
}

static void add_groups(struct table *table, struct tally *tally)
{
	const size_t all = tally->count +
		(tally->groups[tally->count].records > 0);

	qsort(tally->groups, tally->count, sizeof(tally->groups[0]),
	      by_difference);
	for (size_t i = 0; i < all; i++) {
		const struct group *group = &tally->groups[i];

		table_add_text(table, group->provider);
		table_add_text(table, i < tally->count ? group->model
		                                       : "(others)");
		table_add_number(table, group->records);
		table_add_number(table, group->old_nano);
		table_add_number(table, group->new_nano);
		table_add_number(table, group->new_nano - group->old_nano);
	}
}

static int print(struct cli *cli, const struct reprice_rule *rule,
                 const struct repriced_counts *counts, struct tally *tally)
{
	struct table *table = table_create(columns, sizeof(columns) /
	                                            sizeof(columns[0]));
	json_t *head = json_object();
	int status = CLI_OK;

	head_text(head, "report", "reprice");
	json_object_set_new(head, "dry_run", json_boolean(rule->dry_run));
	head_text(head, "batch", rule->dry_run ? NULL : rule->batch);
	head_number(head, "facts", (int64_t)counts->facts);
	head_number(head, "changed", (int64_t)(rule->dry_run ? counts->changed
	                                       : counts->corrected));
	head_number(head, "unknown", (int64_t)counts->unknown);
	add_groups(table, tally);
	if (table_rows(table) > 0 || cli->format != CLI_TABLE) {
		status = table_print(table, cli, head);
	}
	if (cli->format == CLI_TABLE) {
		fprintf(cli->out, "%s%" PRIu64 " of %" PRIu64 " records %s; "
		        "for %" PRIu64 " no book has a price\n",
		        table_rows(table) > 0 ? "\n" : "",
		        rule->dry_run ? counts->changed : counts->corrected,
		        counts->facts, rule->dry_run ? "would change" :
		        "changed", counts->unknown);
	}
	json_decref(head);
	table_destroy(table);
	return status;
}

/* --- the command --------------------------------------------------------- */

static void name_batch(char batch[BATCH_SIZE])
{
	char time[TABLE_TIME_SIZE];

	snprintf(batch, BATCH_SIZE, "%.20s-%08" PRIx32,
	         table_time(clock_wall_us() / 1000000 * 1000000, time),
	         randombytes_random());
}

static int reprice(struct cli *cli, struct book *book,
                   const struct reprice_rule *rule)
{
	struct tally *tally = calloc(1, sizeof(*tally));
	const struct reprice_report report = { changed, progress, tally };
	struct repriced_counts counts;
	struct bursar_error err = { 0 };
	int status;

	if (tally == NULL) {
		return cli_fail(cli, "out of memory");
	}
	progress_start(&tally->progress, cli);
	const int done = reprice_run(book, cli->setup, rule, &report, &counts,
	                             &err);
	progress_end(&tally->progress);
	status = done == 0 ? print(cli, rule, &counts, tally)
		: cli_fail(cli, "%s (%" PRIu64 " records were changed before)",
		           err.text, counts.corrected);
	tally_finish(tally);
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	char batch[BATCH_SIZE];
	struct book book;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	const struct window_choice choice = {
		.since = value[SINCE], .until = value[UNTIL], .tz = value[TZ],
	};
	struct reprice_rule rule = {
		.unpriced_only = value[UNPRICED] != NULL,
		.dry_run = value[DRY_RUN] != NULL, .batch = batch,
		.reason = value[REASON] != NULL ? value[REASON] : "reprice",
	};
	if (argc > 0) {
		return cli_usage_error(cli, "takes no '%s'", argv[0]);
	}
	if (value[SINCE] == NULL) {
		return cli_usage_error(cli, "say from when on with --since");
	}
	name_batch(batch);
	int status = command_window(cli, &choice, &rule.window);
	if (status != CLI_OK) {
		return status;
	}
	status = command_open(cli, value[SINK], rule.dry_run ? BURSAR_READ
	                                                     : BURSAR_WRITE,
	                      &book);
	if (status != CLI_OK) {
		return status;
	}
	status = cli->setup->prices != NULL ? reprice(cli, &book, &rule)
		: cli_usage_error(cli, "the configuration has no section "
		                  "'prices'");
	book_close(&book);
	return status;
}

const struct command command_reprice = {
	.name = "reprice",
	.summary = "compute costs of stored records anew, by the books of now",
	.usage = "--since TIME [--until TIME] [--unpriced] [--reason TEXT] "
	         "[--dry-run]",
	.options = options,
	.manual =
	"Asks the price books of the configuration again for the records of a "
	"window.  Where the computed cost is another by now it is stored, with "
	"the book and the rule, and the cost that counts follows as the source "
	"says.  Nothing is edited in silence: the journal (the table "
	"bursar_corrections) has old and new costs, books and rules, when and "
	"why; the sums of the rollups change in the same transaction.  A price "
	"that no book has any more changes nothing.\n"
	"\n"
	"The daemon may run meanwhile.  A run that is cut short has changed "
	"some records and not others; the next one does the rest.\n"
	"\n"
	"\tbursar reprice --since 2026-11-01 --dry-run\n"
	"\n"
	"`bursar price explain --id` shows the history of a record.",
	.run = run,
};
