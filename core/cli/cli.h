/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cli.h - what every command of `bursar` shares
 *
 * A command is a table and a function.  From the table come the parsing of its
 * options, `bursar help NAME` and its manual page, so each word is written
 * once:
 *
 *	enum { BY, LIMIT, FORMAT };
 *
 *	static const struct cli_option options[] = {
 *		[BY]     = { "by", 'b', "FIELD", "Field to group by." },
 *		[LIMIT]  = { "limit", 0, "N", "Rows at most." },
 *		[FORMAT] = CLI_OPTION_FORMAT,
 *		{ NULL }
 *	};
 *
 *	static int run(struct cli *cli, int argc, char **argv)
 *	{
 *		const char *value[CLI_MAX_OPTIONS];
 *
 *		if (!cli_parse(cli, &argc, &argv, value)) {
 *			return cli->status;
 *		}
 *		if (argc != 1) {
 *			return cli_usage_error(cli, "name one worker");
 *		}
 *		const struct setup *setup = cli_setup(cli);
 *		if (setup == NULL) {
 *			return CLI_USAGE;
 *		}
 *		... value[BY] is its text, or NULL where it was not given
 *	}
 *
 *	const struct command command_worker = { .name = "worker", ... };
 *
 * Main thread only.
 */
#ifndef CORE_CLI_CLI_H
#define CORE_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "conf/setup.h"

#define CLI_MAX_OPTIONS 32
#define CLI_MAX_GIVEN   64	/* options on one command line */

/* Exit statuses. */
enum {
	CLI_OK,		/* done */
	CLI_FAILED,	/* something outside did not work */
	CLI_USAGE,	/* wrong usage or configuration */
	CLI_NO,		/* a check that says no */
};

enum cli_format { CLI_TABLE, CLI_JSON, CLI_CSV };

struct cli_option {
	const char *name;	/* long, without the dashes; NULL ends a table */
	char        letter;	/* short, or 0 */
	const char *argument;	/* "FIELD"; NULL: takes none */
	const char *help;	/* one sentence, ending in a full stop */
};

/* For the tables of commands that print one; cli_parse() takes its value. */
#define CLI_FORMATS "table|json|csv"
#define CLI_OPTION_FORMAT                                                    \
	{ "format", 'f', CLI_FORMATS, "How to print: table (default), " \
	  "json or csv." }

/* What every command takes besides: --config, --help, --version. */
extern const struct cli_option cli_common_options[];

struct cli;

struct command {
	const char *name;	/* "report" */
	const char *summary;	/* what it does: "list plugins and their
				 * options"; no capital, no full stop */
	const char *usage;	/* what follows the name, a line for each form:
				 * "summary [--by FIELD]\nworker NAME"; "" for
				 * nothing */
	const struct cli_option *options;
	const char *manual;	/* paragraphs divided by empty lines, for the
				 * manual page; lines that begin with a tab are
				 * examples, set as they stand; may be NULL */

	/* Of the configuration it takes no more than sinks and what is said
	 * of them: see setup_load_book(). */
	bool book_only;

	/* argv[0] is the command's name.  Returns an exit status. */
	int (*run)(struct cli *cli, int argc, char **argv);
};

struct cli {
	const char      *config;	/* path of the configuration; not NULL */
	enum cli_format  format;
	bool             color;		/* out is a terminal, NO_COLOR unset */
	int              width;		/* COLUMNS, or those of the terminal;
					 * 0: out is none, lines are whole */
	FILE            *out;
	FILE            *err;
	int              status;	/* after cli_parse() said false */
	const struct command *command;	/* the one that runs */
	struct {
		size_t      option;	/* its place in the table */
		const char *value;
	} given[CLI_MAX_GIVEN];		/* as they were given, one by one */
	size_t           given_count;
	struct setup    *setup;		/* see cli_setup() */
};

/* out and err are lent; config as given with -c, or NULL. */
void cli_init(struct cli *cli, const char *config, FILE *out, FILE *err);
void cli_finish(struct cli *cli);

/*
 * Parses the options of the command that runs.  Afterwards value[i] belongs to
 * options[i] of its table: the text given, "" for one that takes none, NULL
 * where it was not given; the last one counts, and cli->given has them all.
 * argc and argv are moved to the operands.  -h, -V, -c FILE and --format are
 * done here.
 *
 * Returns true, or false: leave with cli->status at once.
 */
bool cli_parse(struct cli *cli, int *argc, char ***argv,
               const char *value[CLI_MAX_OPTIONS]);

/*
 * Reads `text`, the value of --NAME, as a whole number from min to max; NULL
 * leaves *number as it is.  Returns false after saying what is wrong.
 */
bool cli_number(struct cli *cli, const char *name, const char *text,
                int64_t min, int64_t max, int64_t *number);

/*
 * The configuration, loaded by the first call; the cli's.  NULL after its
 * findings were printed: leave with CLI_USAGE.
 */
const struct setup *cli_setup(struct cli *cli);

/* Says what is wrong and where to read more; returns CLI_USAGE. */
__attribute__((format(printf, 2, 3)))
int cli_usage_error(struct cli *cli, const char *fmt, ...);

/* Says what did not work, as `bursar: sentence`; returns CLI_FAILED. */
__attribute__((format(printf, 2, 3)))
int cli_fail(struct cli *cli, const char *fmt, ...);

/* Prints what a table has no room for below it, on `out`: indented, in lines as
 * wide as the terminal, control characters as escapes. */
__attribute__((format(printf, 3, 4)))
void cli_note(const struct cli *cli, FILE *out, const char *fmt, ...);

/* Prints the options of a table as help does, each on lines of its own. */
void cli_print_options(FILE *out, const struct cli_option *table);

/* Prints usage and options of a command, as --help does. */
void cli_help(FILE *out, const struct command *command);

#endif
