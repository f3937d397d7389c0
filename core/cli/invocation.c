/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon's command line, from its table. */
#include "config.h"

#include <getopt.h>

#include "cli/invocation.h"

const struct cli_option invocation_options[INVOCATION_OPTIONS + 1] = {
	[INVOCATION_CONFIG] = { "config", 'c', "FILE",
		"Configuration to read; else BURSAR_CONFIG, else " SYSCONF_DIR
		"/bursar/bursar.yaml." },
	[INVOCATION_ONCE] = { "once", 0, NULL,
		"Read sources that end to their end, and leave when everything "
		"is durable." },
	[INVOCATION_CHECK] = { "check", 0, NULL,
		"Try the configuration as bursar-check does, and leave." },
	[INVOCATION_HELP] = { "help", 'h', NULL, "Print this help and exit." },
	[INVOCATION_VERSION] = { "version", 'V', NULL,
		"Print the version and exit." },
};

void invocation_help(FILE *out)
{
	fputs("Usage: bursard [-c FILE] [--once | --check]\n"
	      "\n"
	      "Carries messages from sources into ledgers, in the foreground.\n"
	      "\n"
	      "Options:\n", out);
	cli_print_options(out, invocation_options);
	fputs("\n"
	      "TERM drains and ends, HUP reopens what changed in the "
	      "configuration,\n"
	      "USR1 logs the state.  Exit status: 0 done, 1 failed, 2 usage or\n"
	      "configuration.\n", out);
}

#define LONG_VALUE 256		/* val of long options: this and the place */

/* The table in the form of getopt_long(). */
static void tables(struct option longs[INVOCATION_OPTIONS + 1],
                   char shorts[2 * INVOCATION_OPTIONS + 1])
{
	for (int i = 0; i < INVOCATION_OPTIONS; i++) {
		const struct cli_option *option = &invocation_options[i];

		longs[i] = (struct option){
			.name = option->name,
			.has_arg = option->argument != NULL ?
			           required_argument : no_argument,
			.val = LONG_VALUE + i,
		};
		if (option->letter != 0) {
			*shorts++ = option->letter;
		}
		if (option->letter != 0 && option->argument != NULL) {
			*shorts++ = ':';
		}
	}
	longs[INVOCATION_OPTIONS] = (struct option){ 0 };
	*shorts = '\0';
}

/* The place of what getopt_long() returned. */
static int place_of(int got)
{
	int i = 0;

	if (got >= LONG_VALUE) {
		return got - LONG_VALUE;
	}
	while (invocation_options[i].letter != got) {
		i++;
	}
	return i;
}

bool invocation_parse(int argc, char **argv,
                      const char *value[INVOCATION_OPTIONS], FILE *err)
{
	struct option longs[INVOCATION_OPTIONS + 1];
	char shorts[2 * INVOCATION_OPTIONS + 1];
	int got;

	for (int i = 0; i < INVOCATION_OPTIONS; i++) {
		value[i] = NULL;
	}
	tables(longs, shorts);
	while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (got == '?') {
			fputs("See bursard --help.\n", err);
			return false;
		}
		value[place_of(got)] = optarg != NULL ? optarg : "";
	}
	if (optind < argc) {
		fprintf(err, "bursard: unexpected argument '%s'; see bursard"
		        " --help\n", argv[optind]);
		return false;
	}
	return true;
}
