/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar report: what was used and what it cost.
 *
 * The reports stand in core/book/report_*.c; this file reads what the user
 * says.
 */
#include "config.h"

#include <string.h>

#include "base/text.h"
#include "book/report_list.h"
#include "cmd/commands.h"

const struct report *const reports[] = {
	&report_overview, &report_summary, &report_top, &report_daily,
	&report_period_totals, &report_worker, &report_team, &report_provider,
	&report_health, &report_circuit, &report_routing, &report_worker_costs,
	&report_worker_report, &report_payroll, &report_forecast,
	&report_cost_drivers, &report_anomalies, &report_data_quality,
	&report_calls, &report_tags, NULL
};

enum { BY, WHERE, TAG, LIMIT, COMPARE, DAYS, PERIOD, SINCE, UNTIL, TZ, SINK,
       FROM_RECORDS, FORMAT };

static const struct cli_option options[] = {
	[BY]     = { "by", 'b', "FIELD[,FIELD]", "Group by provider, model_id, "
	             "worker, node, agent, tier, request_type, cost_center, "
	             "budget_id, team, tag:KEY or another text column; and by "
	             "hour, day, week or month." },
	[WHERE]  = { "where", 'w', "FIELD=VALUE", "Only calls with that value; "
	             "may be given four times." },
	[TAG]    = { "tag", 0, "KEY=VALUE", "Only calls with that tag; with KEY "
	             "alone, the tag whose values `report tags` lists." },
	[LIMIT]  = { "limit", 'n', "N", "List the first N groups." },
	[COMPARE] = { "compare", 0, NULL, "Also what the same groups cost in "
	             "the window before (summary, top)." },
	[DAYS]   = { "days", 0, "N", "How far a forecast looks (default: 30)." },
	[PERIOD] = COMMAND_OPTION_PERIOD,
	[SINCE]  = COMMAND_OPTION_SINCE,
	[UNTIL]  = COMMAND_OPTION_UNTIL,
	[TZ]     = COMMAND_OPTION_TZ,
	[SINK]   = COMMAND_OPTION_SINK,
	[FROM_RECORDS] = { "from-records", 0, NULL, "Sum the records "
	             "themselves and leave the rollups aside; slow." },
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

/* --tag KEY: no condition, but what `report tags` is about. */
static bool take_tag(struct cli *cli, const struct report *report,
                     struct report_choice *choice, const char *key)
{
	if (report != &report_tags || choice->tag != NULL) {
		cli->status = cli_usage_error(
			cli, choice->tag != NULL ? "--tag KEY is given twice"
			: "--tag is KEY=VALUE here; --tag KEY is for report "
			  "tags");
		return false;
	}
	choice->tag = key;
	return true;
}

static bool take_where(struct cli *cli, const struct report *report,
                       struct report_choice *choice)
{
	for (size_t i = 0; i < cli->given_count; i++) {
		const char *text = cli->given[i].value;
		const bool tag = cli->given[i].option == TAG;

		if (cli->given[i].option != WHERE && !tag) {
			continue;
		}
		if (tag && strchr(text, '=') == NULL) {
			if (!take_tag(cli, report, choice, text)) {
				return false;
			}
			continue;
		}
		if (choice->where_count == QUERY_MAX_FILTERS) {
			cli->status = cli_usage_error(
				cli, "--where and --tag may be given %d times",
				QUERY_MAX_FILTERS);
			return false;
		}
		choice->is_tag[choice->where_count] = tag;
		choice->where[choice->where_count++] = text;
	}
	return true;
}

static int run_report(struct cli *cli, const struct report *report,
                      const char *operand, const char *const *value)
{
	struct report_choice choice = {
		.operand = operand, .by = value[BY], .since = value[SINCE],
		.until = value[UNTIL], .period = value[PERIOD],
		.tz = value[TZ], .compare = value[COMPARE] != NULL,
		.from_records = value[FROM_RECORDS] != NULL,
	};
	struct report_run run;
	struct book book;

	if (!cli_number(cli, "limit", value[LIMIT], 1, LINES_MAX,
	                &choice.limit) ||
	    !cli_number(cli, "days", value[DAYS], 1, 36500, &choice.days) ||
	    !take_where(cli, report, &choice)) {
		return cli->status;
	}
	int status = report_prepare(&run, report, cli, &choice);
	if (status == CLI_OK) {
		status = command_open(cli, value[SINK], BURSAR_READ, &book);
	}
	if (status != CLI_OK) {
		return status;
	}
	run.book = &book;
	book_hold_still(&book);
	status = report->run != NULL ? report->run(&run) : report_rows(&run);
	book_close(&book);
	return status;
}

#define LIST_COLUMN 26

/* For a person, as the options of a command. */
static int print_list(struct cli *cli)
{
	const int width = cli->width > LIST_COLUMN + 20 ? cli->width : 79;

	for (size_t i = 0; reports[i] != NULL; i++) {
		const char *operand = reports[i]->operand;
		char name[LIST_COLUMN];

		const int size = snprintf(name, sizeof(name), "%s %s",
		                          reports[i]->name,
		                          operand != NULL ? operand : "");
		fputs(name, cli->out);
		text_wrap(cli->out, reports[i]->help, (size_t)size, LIST_COLUMN,
		          (size_t)width);
	}
	return CLI_OK;
}

static int list_reports(struct cli *cli)
{
	static const struct table_column columns[] = {
		{ "report", NULL, TABLE_TEXT },
		{ "operand", NULL, TABLE_TEXT },
		{ "help", NULL, TABLE_TEXT },
	};

	if (cli->format == CLI_TABLE) {
		return print_list(cli);
	}
	struct table *table = table_create(columns, COUNT_OF(columns));
	for (size_t i = 0; reports[i] != NULL; i++) {
		table_add_text(table, reports[i]->name);
		table_add_text(table, reports[i]->operand);
		table_add_text(table, reports[i]->help);
	}
	const int status = table_print(table, cli, NULL);
	table_destroy(table);
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	char names[REPORT_NAMES_SIZE];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc < 1) {
		return cli_usage_error(cli, "name a report, or say list: %s",
		                       report_names(names));
	}
	if (strcmp(argv[0], "list") == 0 && argc == 1) {
		return list_reports(cli);
	}
	const struct report *report = report_find(argv[0]);
	if (report == NULL) {
		return cli_usage_error(cli, "there is no report '%s'; there "
		                       "is: %s", argv[0], report_names(names));
	}
	const int wanted = report->operand != NULL ? 2 : 1;
	if (argc > wanted) {
		return cli_usage_error(cli, "'%s' is one word too many",
		                       argv[wanted]);
	}
	if (argc < wanted) {
		return cli_usage_error(cli, "report %s needs a %s",
		                       report->name, report->operand);
	}
	return run_report(cli, report, argc > 1 ? argv[1] : NULL, value);
}

const struct command command_report = {
	.name = "report",
	.summary = "print what was used and what it cost",
	.usage = "list\n"
	         "overview|summary|top|daily|period-totals [--by FIELD] "
	         "[--period PERIOD]\n"
	         "worker|worker-costs|worker-report WORKER\n"
	         "team TEAM\n"
	         "provider PROVIDER\n"
	         "health|circuit|routing [--period PERIOD]\n"
	         "payroll|forecast|cost-drivers\n"
	         "anomalies|data-quality|calls\n"
	         "tags [--tag KEY]",
	.options = options,
	.manual =
	"Tokens, costs and requests of the facts of a window of time, by the "
	"time at which they were recorded.  A window is half-open: it has the "
	"facts from --since on and those before --until, so that windows that "
	"touch add up.  A date alone is the start of that day in the zone.  "
	"`bursar report list` tells what each report is about.\n"
	"\n"
	"What nobody said is not zero: a sum to which no fact contributed is "
	"null, and averages are over the facts that said anything.  Money is "
	"exact in JSON and CSV.  Rows come by cost, the highest first, or by "
	"requests where that is what a report is about.\n"
	"\n"
	"Groups by one field that has rollups, by provider and model_id, and by "
	"time are answered at once however large the ledger is; other columns "
	"read every fact of the window.  --from-records does so always, and "
	"answers the same.\n"
	"\n"
	"`overview`, `summary` and `top` say what was used, by whatever groups; "
	"`summary` means all time when nothing else is said, `top` the last day "
	"and its nodes.  --compare puts the window before beside it: the month "
	"before a calendar month, as many days before days, and of a month that "
	"has not ended only as much as has passed.\n"
	"\n"
	"\tbursar report overview\n"
	"\tbursar report summary --by provider --period this-month --compare\n"
	"\tbursar report summary --by team --since 2026-03-01 "
	"--until 2026-04-01 --tz Europe/Vienna --format csv\n"
	"\tbursar report top --by worker --limit 5 --period week\n"
	"\n"
	"`daily` lists the last thirty days, also those without calls; "
	"`period-totals` every month and every day that has some.  Days, weeks "
	"from Monday, months and hours follow the clocks of the zone.\n"
	"\n"
	"\tbursar report daily --tz Asia/Kathmandu\n"
	"\tbursar report summary --by hour,provider --period today\n"
	"\tbursar report period-totals --since 2026-01-01\n"
	"\n"
	"`worker` and `team` say what one of them used, `worker-costs`, "
	"`worker-report` and `payroll` what it cost, in the words of an "
	"employer; `routing` why calls went where they went.\n"
	"\n"
	"\tbursar report worker w-17\n"
	"\tbursar report team research --period this-month\n"
	"\tbursar report worker-costs w-17 --period week\n"
	"\tbursar report worker-report w-17\n"
	"\tbursar report payroll --period last-month\n"
	"\tbursar report routing --where worker=w-17\n"
	"\n"
	"`health`, `circuit` and `provider` look at providers.  Percentiles "
	"come from the twenty buckets of latency that rollups keep: the true "
	"one lies in the same bucket.  `health` also looks for the longest call, "
	"in the records of its window.\n"
	"\n"
	"\tbursar report health\n"
	"\tbursar report circuit --period hour\n"
	"\tbursar report provider anthropic --period week\n"
	"\n"
	"`forecast` draws the last day out into the future; `cost-drivers` "
	"names what costs most, and models of the same provider and tier that "
	"this ledger paid at most half as much for, with about the same share "
	"of output, twenty calls at least of each; whether they are good enough "
	"is for people to judge.  `anomalies` compares the last day of each "
	"model with the seven before; `data-quality` counts what producers left "
	"out; `calls` lists the most expensive calls.  `tags` lists the tags "
	"that calls bear, or the values of one; a tag that the configuration "
	"names under `tags: {report: ...}` is answered at once, any other from "
	"the records.\n"
	"\n"
	"\tbursar report forecast --days 90\n"
	"\tbursar report cost-drivers --period month\n"
	"\tbursar report anomalies --tz Europe/Vienna\n"
	"\tbursar report data-quality\n"
	"\tbursar report calls --where team=research --limit 20\n"
	"\tbursar report tags --tag feature\n"
	"\tbursar report daily --tag customer=42",
	.book_only = true,
	.run = run,
};
