/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar tags: which tags there are, what their values cost, and which is not
 * to be summed any more.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "book/named.h"
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

/* --- forget --------------------------------------------------------------- */

static bool is_configured(const struct setup *setup, const char *key)
{
	for (size_t i = 0; i < setup->tag_name_count; i++) {
		if (strcmp(setup->tag_names[i], key) == 0) {
			return true;
		}
	}
	return false;
}

static int forget_in(struct cli *cli, struct book *book, const char *key)
{
	struct bursar_error err = { 0 };
	char who[COMMAND_WHO_SIZE];
	uint64_t sums;
	bool known;

	command_who(who);
	if (named_forget(book, key, who, clock_wall_us(), &known, &sums,
	                 &err) != 0) {
		return cli_fail(cli, "%s", err.text);
	}
	if (!known) {
		return cli_fail(cli, "sink '%s' does not sum the tag '%s'",
		                book->name, key);
	}
	fprintf(cli->out, "%s: summed no more in sink '%s', %" PRIu64 " sums "
	        "gone\n", key, book->name, sums);
	return CLI_OK;
}

static int forget(struct cli *cli, const char *key, const char *sink)
{
	const struct setup *setup = cli_setup(cli);
	struct book book;

	if (setup == NULL) {
		return CLI_USAGE;
	}
	if (!tags_key_is_good(key, strlen(key))) {
		return cli_usage_error(cli, "'%.60s' is no key of a tag", key);
	}
	if (is_configured(setup, key)) {
		return cli_usage_error(cli, "the section `tags` names '%s' "
		                       "under `report`: take it out there, and "
		                       "reload the daemons first", key);
	}
	int status = command_open(cli, sink, BURSAR_WRITE, &book);
	if (status == CLI_OK) {
		status = forget_in(cli, &book, key);
		book_close(&book);
	}
	return status;
}

/* --- the command ---------------------------------------------------------- */

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct report_run run;
	struct book book;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc == 2 && strcmp(argv[0], "forget") == 0) {
		return forget(cli, argv[1], value[SINK]);
	}
	if (argc == 1 && strcmp(argv[0], "forget") == 0) {
		return cli_usage_error(cli, "name the tag to forget; of a tag "
		                       "with this name: bursar report tags "
		                       "--tag forget");
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
	.usage = "[KEY]\n"
	         "forget KEY [--sink NAME]",
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
	"A tag that was once named under `report` is summed by all who write "
	"to the ledger, whatever their configuration says.  `forget KEY` takes "
	"that back, when no configuration names it any more: its sums go, and "
	"the journal says by whose hand.  The calls keep their tags and can be "
	"asked about.\n"
	"\n"
	"	bursar tags forget custmoer\n"
	"\n"
	"A key is made of letters, digits, `_`, `.` and `-`.  Others are stored, "
	"but cannot be asked about.  What tags are and where they come from "
	"stands in docs/accounting.md.",
	.run = run,
};
