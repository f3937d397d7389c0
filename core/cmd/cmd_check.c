/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar check - whether the daemon would run, and what to do where not
 */
#include "config.h"

#include "cmd/checkup.h"
#include "cmd/commands.h"

static const struct cli_option options[] = {
	{ NULL }
};

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 0) {
		return cli_usage_error(cli, "takes no operand: '%s'", argv[0]);
	}
	return checkup_run(cli->config, cli->color, cli->out, cli->err);
}

const struct command command_check = {
	.name = "check",
	.summary = "check the configuration, plugins, keys, databases and clock",
	.usage = "",
	.options = options,
	.run = run,
	.manual =
	"Every finding comes with what to do about it.  Mistakes in the "
	"configuration are printed all at once, each with file and line, and "
	"the exit status is 2.  Otherwise each part is tried, as far as that "
	"takes no message and changes nothing: crypto and formats are opened, "
	"sinks are opened to read.  A ledger that is not there yet is no "
	"mistake: the daemon makes it.  Something that does not work gives "
	"exit status 1.\n"
	"\n"
	"Run it as the user that the daemon runs as:\n"
	"\n"
	"\trunuser -u bursar -- bursar check",
};
