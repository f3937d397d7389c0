/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar tags: which tags there are, and what their values cost.
 */
#include "config.h"

#include "book/report_list.h"
#include "cmd/commands.h"

enum { LIMIT, PERIOD, SINCE, UNTIL, TZ, SINK, FORMAT };

static const struct cli_option options[] = {
	[LIMIT]  = { "limit", 'n', "N", "List the first N (default: 100)." },
	[PERIOD] = COMMAND_OPTION_PERIOD,
	[SINCE]  = COMMAND_OPTION_SINCE,
	[UNTIL]  = COMMAND_OPTION_UNTIL,
	[TZ]     = COMMAND_OPTION_TZ,
	[SINK]   = COMMAND_OPTION_SINK,
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct report_run run;
	struct book book;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 1) {
		return cli_usage_error(cli, "'%s' is one word too many",
		                       argv[1]);
	}
	struct report_choice choice = {
		.tag = argc > 0 ? argv[0] : NULL, .since = value[SINCE],
		.until = value[UNTIL], .period = value[PERIOD],
		.tz = value[TZ],
	};
	if (!cli_number(cli, "limit", value[LIMIT], 1, LINES_MAX,
	                &choice.limit)) {
		return cli->status;
	}
	int status = report_prepare(&run, &report_tags, cli, &choice);
	if (status == CLI_OK) {
		status = command_open(cli, value[SINK], BURSAR_READ, &book);
	}
	if (status != CLI_OK) {
		return status;
	}
	run.book = &book;
	book_hold_still(&book);
	status = report_tags.run(&run);
	book_close(&book);
	return status;
}

const struct command command_tags = {
	.name = "tags",
	.summary = "list the tags that calls bear",
	.usage = "[KEY]",
	.options = options,
	.manual =
	"Without KEY: the keys that were seen, of all time unless a window is "
	"given, with how many calls bear each, how many values it has, when it "
	"was first and last seen, and whether it is a dimension of the rollups, "
	"as those are that the section `tags` of the configuration names under "
	"`report`.  A window is taken in whole quarter hours.  Of a tag that is "
	"no dimension, and that more than a million calls bear, the values are "
	"not counted: that would read all of these.\n"
	"\n"
	"With KEY: its values in the last thirty days, unless a window is "
	"given, with calls, tokens and costs, the most expensive first.  "
	"`bursar report tags --tag KEY` is the same.\n"
	"\n"
	"	bursar tags\n"
	"	bursar tags feature --period this-month\n"
	"	bursar tags customer --limit 10 --format csv\n"
	"\n"
	"A key is made of letters, digits, `_`, `.` and `-`.  Others are stored, "
	"but cannot be asked about.  What tags are and where they come from "
	"stands in docs/accounting.md.",
	.run = run,
};
