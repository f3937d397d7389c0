/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar jobs: what is done to the ledgers now and then, and how it went.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "book/command.h"
#include "book/days.h"
#include "cmd/commands.h"
#include "jobs/runner.h"

enum { FORCE, SINK, FORMAT };

static const struct cli_option options[] = {
	[FORCE]  = { "force", 0, NULL, "With run: take also what has been due "
	             "for more than 7 days." },
	[SINK]   = { "sink", 's', "NAME", "Of this sink, instead of every one "
	             "that has jobs." },
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

static const struct table_column columns[] = {
	{ "sink", NULL, TABLE_TEXT },
	{ "job", NULL, TABLE_TEXT },
	{ "last", NULL, TABLE_TIME },
	{ "took_ms", "took", TABLE_MS },
	{ "result", NULL, TABLE_TEXT },
	{ "next", NULL, TABLE_TIME },
	{ "open_days", "open days", TABLE_COUNT },
	{ "holder", NULL, TABLE_TEXT },
	{ "note", NULL, TABLE_TEXT },	/* below a table: see list_note() */
};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static bool is_asked_for(const struct setup *setup, size_t sink,
                         const char *name)
{
	const struct setup_item *item = &setup->sinks[sink].item;

	return item->plugin->ops.sink->sql != NULL &&
	       (name == NULL || strcmp(item->name, name) == 0);
}

/* Refuses the name of a sink that has no jobs. */
static int check_sink(struct cli *cli, const struct setup *setup,
                      const char *name)
{
	for (size_t i = 0; i < setup->sink_count; i++) {
		if (is_asked_for(setup, i, name)) {
			return CLI_OK;
		}
	}
	return name != NULL
		? cli_usage_error(cli, "there is no sink '%.60s' that can be "
		                  "asked", name)
		: cli_usage_error(cli, "no sink of this configuration can be "
		                  "asked");
}

/* --- list ----------------------------------------------------------------- */

static void add_time(struct table *table, int64_t us)
{
	if (us != 0) {
		table_add_number(table, us / 1000000 * 1000000);
	} else {
		table_add_null(table);
	}
}

/* What a job leaves for later; -1: it has no such figure. */
static int find_open_days(struct book *book, const struct job *job,
                          int64_t *days, struct bursar_error *err)
{
	*days = -1;
	return job->run == job_rollup
		? days_open(book, clock_wall_us(), days, err) : 0;
}

static void add_row(struct table *table, const struct book *book,
                    const struct job *job, const struct job_status *status,
                    int64_t open_days, bool on)
{
	const bool ended = status->ended_us != 0;

	table_add_text(table, book->name);
	table_add_text(table, job->name);
	add_time(table, ended ? status->ended_us : status->started_us);
	if (ended) {
		table_add_number(table, (status->ended_us -
		                         status->started_us) / 1000);
	} else {
		table_add_null(table);
	}
	table_add_text(table, status->known ? status->result
	               : on ? "never ran" : "off");
	add_time(table, on ? status->next_us : 0);
	if (open_days >= 0) {
		table_add_number(table, open_days);
	} else {
		table_add_null(table);
	}
	table_add_text(table, status->holder[0] != '\0' ? status->holder
	               : NULL);
}

/* What the last run did, or why it failed: in a table there is no room for it
 * beside the times. */
static void list_note(struct cli *cli, struct table *table, FILE *notes,
                      const struct book *book, const struct job *job,
                      const struct job_status *status)
{
	const bool noted = status->note[0] != '\0';

	if (cli->format != CLI_TABLE) {
		table_add_text(table, noted ? status->note : NULL);
	} else if (noted) {
		cli_note(cli, notes, "%s of sink '%s': %s", job->name,
		         book->name, status->note);
	}
}

static int list_sink(struct cli *cli, const struct setup *setup, size_t sink,
                     struct table *table, FILE *notes)
{
	struct bursar_error err = { 0 };
	struct job_status status;
	struct book book;

	const int opened = command_open(cli, setup->sinks[sink].item.name,
	                                BURSAR_READ, &book);
	if (opened != CLI_OK) {
		return opened;
	}
	int result = CLI_OK;
	for (const struct job *job = jobs_all; job->name != NULL; job++) {
		const bool on = jobs_is_on(job, setup, sink);
		int64_t open_days;

		if (runner_status(&book, job->name, &status, &err) != 0 ||
		    find_open_days(&book, job, &open_days, &err) != 0) {
			result = cli_fail(cli, "%s", err.text);
			break;
		}
		add_row(table, &book, job, &status, open_days, on);
		list_note(cli, table, notes, &book, job, &status);
	}
	book_close(&book);
	return result;
}

static int list(struct cli *cli, const struct setup *setup, const char *sink)
{
	struct table *table = table_create(
		columns, cli->format == CLI_TABLE ? COLUMNS - 1 : COLUMNS);
	json_t *head = json_object();
	char *noted = NULL;
	size_t size = 0;
	FILE *notes = open_memstream(&noted, &size);
	int status = notes != NULL ? CLI_OK : cli_fail(cli, "out of memory");

	head_text(head, "report", "jobs");
	for (size_t i = 0; i < setup->sink_count && status == CLI_OK; i++) {
		if (is_asked_for(setup, i, sink)) {
			status = list_sink(cli, setup, i, table, notes);
		}
	}
	if (notes != NULL) {
		fclose(notes);
	}
	if (status == CLI_OK) {
		status = table_print(table, cli, head);
		fputs(noted != NULL ? noted : "", cli->out);
	}
	free(noted);
	json_decref(head);
	table_destroy(table);
	return status;
}

/* --- run ------------------------------------------------------------------ */

static int tell(struct cli *cli, const struct runner *runner,
                enum runner_answer answer, const struct bursar_error *err)
{
	const char *sink = runner->book->name;
	const char *job = runner->job->name;

	if (answer == RUNNER_FAILED) {
		return cli_fail(cli, "%s: %s", job, err->text);
	}
	if (answer == RUNNER_HELD) {
		fprintf(cli->err, "bursar: %s of sink '%s' is being run by "
		        "somebody else: see `bursar jobs`\n", job, sink);
		return CLI_NO;
	}
	if (runner->result == JOB_FAILED) {
		return cli_fail(cli, "%s: %s", job, runner->note);
	}
	if (runner->result != JOB_OK) {
		fprintf(cli->err, "bursar: %s of sink '%s' %s: %s\n", job, sink,
		        job_result_names[runner->result], runner->note);
		return CLI_NO;
	}
	fprintf(cli->out, "%s of sink '%s': %s\n", job, sink, runner->note);
	return CLI_OK;
}

static int run_on(struct cli *cli, const struct job *job, const char *sink,
                  const char *holder, bool force)
{
	struct bursar_error err = { 0 };
	struct book book;

	int status = command_open(cli, sink, BURSAR_WRITE, &book);
	if (status != CLI_OK) {
		return status;
	}
	struct runner runner = {
		.book = &book, .setup = cli->setup, .job = job,
		.holder = holder, .span_us = cli->setup->lease_ms * 1000,
		.stop = -1, .by_hand = true, .force = force,
	};
	const enum runner_answer answer = runner_run(&runner, &err);
	status = tell(cli, &runner, answer, &err);
	book_close(&book);
	return status;
}

/* The status of the first sink that did not do. */
static int run_job(struct cli *cli, const struct setup *setup,
                   const char *name, const char *sink, bool force)
{
	char holder[LEASE_HOLDER_SIZE];
	const char *nearest = NULL;
	const struct job *job = jobs_find(name, &nearest);
	int status = CLI_OK, ran = 0;

	if (job == NULL) {
		return cli_usage_error(cli, "there is no job '%.40s'%s%s%s",
		                       name, nearest != NULL
		                       ? "; did you mean '" : ": see `",
		                       nearest != NULL ? nearest
		                       : "bursar jobs",
		                       nearest != NULL ? "'?" : "`");
	}
	lease_holder(holder);
	for (size_t i = 0; i < setup->sink_count; i++) {
		if (!is_asked_for(setup, i, sink) || !job->applies(setup, i)) {
			continue;
		}
		const int one = run_on(cli, job, setup->sinks[i].item.name,
		                       holder, force);
		status = status != CLI_OK ? status : one;
		ran++;
	}
	return ran > 0 ? status
		: cli_fail(cli, "%s has nothing to do: see bursar.yaml(5), "
		           "retention and routes", job->name);
}

/* --- the command ---------------------------------------------------------- */

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	const bool runs = argc > 0 && strcmp(argv[0], "run") == 0;
	if (argc > 0 && !runs && strcmp(argv[0], "list") != 0) {
		return cli_usage_error(cli, "list or run?");
	}
	if (runs && argc != 2) {
		return cli_usage_error(cli, "name the job to run");
	}
	if (!runs && (argc > 1 || value[FORCE] != NULL)) {
		return cli_usage_error(cli, "list takes no %s",
		                       argc > 1 ? argv[1] : "--force");
	}
	const struct setup *setup = cli_setup(cli);
	if (setup == NULL) {
		return CLI_USAGE;
	}
	const int status = check_sink(cli, setup, value[SINK]);
	if (status != CLI_OK) {
		return status;
	}
	return runs ? run_job(cli, setup, argv[1], value[SINK],
	                      value[FORCE] != NULL)
		: list(cli, setup, value[SINK]);
}

const struct command command_jobs = {
	.name = "jobs",
	.summary = "show what the daemon does now and then, or do it now",
	.usage = "[list] [--sink NAME]\n"
	         "run JOB [--sink NAME] [--force]",
	.options = options,
	.manual =
	"Each sink that can be asked has these jobs, run by the daemon as often "
	"as `jobs` in the configuration says:\n"
	"\n"
	"purge takes prompts and tool calls that have expired.\n"
	"\n"
	"facts takes facts older than retention.facts-days and keys that were "
	"last used before retention.dedup-days; sums stay.\n"
	"\n"
	"reconcile ties tool calls to the prompts that they belong to, by "
	"request, exchange, correlation or conversation, in whatever order they "
	"came.\n"
	"\n"
	"rollup sums up the days (UTC) that are over, so that reports of many "
	"days read few rows; with --force all of them again.  The column `open "
	"days` says how many are over and not summed: of these, reports read "
	"quarter hours, which takes longer and comes to the same.\n"
	"\n"
	"Of several daemons and commands one runs a job at a time: it holds a "
	"lease in the ledger, which ends by itself when its holder dies.  list "
	"shows the last run of each, when the next is due, and who is at it "
	"now.  run does one at once, whatever is planned:\n"
	"\n"
	"	bursar jobs run purge --sink ledger\n"
	"\n"
	"Exit status: 0 done, 1 it did not work, 3 somebody else is at it, or "
	"it needs --force because it would take more than 7 days' worth.",
	.run = run,
};
