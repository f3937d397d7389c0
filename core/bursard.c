/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The daemon's command line.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "checkup.h"
#include "daemon.h"

enum { USAGE = 2 };

static const char usage[] =
	"usage: bursard [-c FILE] [--once | --check]\n"
	"\n"
	"Carries messages from sources into ledgers, in the foreground.\n"
	"\n"
	"  -c, --config FILE  the configuration (else BURSAR_CONFIG, else\n"
	"                     " SYSCONF_DIR "/bursar/bursar.yaml)\n"
	"      --once         read sources to their end, exit when all is\n"
	"                     durable\n"
	"      --check        check configuration and plugins, then exit\n"
	"  -h, --help         this text\n"
	"  -V, --version      the version\n"
	"\n"
	"TERM drains and ends, HUP reopens what changed in the configuration,\n"
	"USR1 logs the state.  Exit status: 0 done, 1 failed, 2 usage or\n"
	"configuration.\n";

enum { ONCE = 256, CHECK };

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "once", no_argument, NULL, ONCE },
	{ "check", no_argument, NULL, CHECK },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 }
};

static int run(const char *file, bool once)
{
	struct findings findings = { 0 };
	struct findings warnings = { 0 };
	struct setup *setup = setup_load(setup_default_file(file), &findings,
	                                 &warnings);

	findings_print(&warnings, stderr);
	findings_print(&findings, stderr);
	findings_finish(&warnings);
	findings_finish(&findings);
	if (setup == NULL) {
		return USAGE;
	}
	return daemon_run(setup, once);
}

int main(int argc, char **argv)
{
	const char *file = NULL;
	bool once = false;
	bool check = false;
	int option;

	while ((option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			file = optarg;
			break;
		case ONCE:
			once = true;
			break;
		case CHECK:
			check = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("bursard " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs("See bursard --help.\n", stderr);
			return USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "bursard: unexpected argument '%s'; see"
		        " bursard --help\n", argv[optind]);
		return USAGE;
	}
	if (sodium_init() < 0) {
		fputs("bursard: libsodium cannot be initialised\n", stderr);
		return EXIT_FAILURE;
	}
	return check ? checkup_run(setup_default_file(file), isatty(1) != 0,
	                           stdout, stderr)
	             : run(file, once);
}
