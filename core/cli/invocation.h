/* SPDX-License-Identifier: Apache-2.0 */

/*
 * invocation.h - how bursard is called
 *
 * The words of its command line, its help and its manual page, each written
 * once.
 */
#ifndef CORE_CLI_INVOCATION_H
#define CORE_CLI_INVOCATION_H

#include "cli/cli.h"

/* Places in the table. */
enum {
	INVOCATION_CONFIG,
	INVOCATION_ONCE,
	INVOCATION_CHECK,
	INVOCATION_HELP,
	INVOCATION_VERSION,
	INVOCATION_OPTIONS	/* how many there are */
};

extern const struct cli_option invocation_options[INVOCATION_OPTIONS + 1];

/* What --help prints. */
void invocation_help(FILE *out);

/*
 * Reads the command line.  value[i] is what was given with option i, "" for
 * one that takes nothing, NULL where it was not given.  Returns false after
 * saying what is wrong.
 */
bool invocation_parse(int argc, char **argv,
                      const char *value[INVOCATION_OPTIONS], FILE *err);

#endif
