/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar - the command: finds the one that was named and runs it
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/secrecy.h"
#include "base/text.h"
#include "cmd/commands.h"

static void print_help(FILE *out)
{
	fputs("Usage: bursar [-c FILE] COMMAND ...\n"
	      "\n"
	      "Asks the ledger, and looks after it.\n"
	      "\n"
	      "Commands:\n", out);
	for (size_t i = 0; commands[i] != NULL; i++) {
		const int size = fprintf(out, "  %s", commands[i]->name);

		text_wrap(out, commands[i]->summary, (size_t)size, 16, 79);
	}
	fputs("\n"
	      "`bursar help COMMAND` tells more of one; so does\n"
	      "`bursar COMMAND --help`.\n", out);
}

static int unknown_command(struct cli *cli, const char *name)
{
	const char *nearest;

	commands_find(name, &nearest);
	if (nearest != NULL) {
		return cli_usage_error(cli, "no command '%s'; is '%s' meant?",
		                       name, nearest);
	}
	return cli_usage_error(cli, "no command '%s'", name);
}

static int help(struct cli *cli, const char *name)
{
	const struct command *command =
		name != NULL ? commands_find(name, NULL) : NULL;

	if (name == NULL || strcmp(name, "help") == 0) {
		print_help(cli->out);
		return CLI_OK;
	}
	if (command == NULL) {
		return unknown_command(cli, name);
	}
	cli_help(cli->out, command);
	return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
	if (argc == 0) {
		return cli_usage_error(cli, "name a command");
	}
	if (strcmp(argv[0], "help") == 0) {
		return help(cli, argv[1]);
	}
	cli->command = commands_find(argv[0], NULL);
	if (cli->command == NULL) {
		return unknown_command(cli, argv[0]);
	}
	return cli->command->run(cli, argc, argv);
}

/* What could not be written was not done. */
static int finish(struct cli *cli, int status)
{
	if ((fflush(cli->out) != 0 || ferror(cli->out)) && status == CLI_OK) {
		status = cli_fail(cli, "cannot write: %s", strerror(errno));
	}
	cli_finish(cli);
	return status;
}

/* Options before the command; the first other word is the command. */
int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL }
	};
	const char *config = NULL;
	struct cli cli;
	int got;

	secrecy_begin();
	/* A limit of file sizes is an error like a full disk. */
	signal(SIGXFSZ, SIG_IGN);
	text_locale();
	while ((got = getopt_long(argc, argv, "+c:hV", longs, NULL)) != -1) {
		switch (got) {
		case 'c':
			config = optarg;
			break;
		case 'h':
			print_help(stdout);
			return CLI_OK;
		case 'V':
			puts(PACKAGE_STRING);
			return CLI_OK;
		default:
			fputs("See `bursar help`.\n", stderr);
			return CLI_USAGE;
		}
	}
	argc -= optind;
	argv += optind;
	cli_init(&cli, config, stdout, stderr);
	return finish(&cli, run(&cli, argc, argv));
}
