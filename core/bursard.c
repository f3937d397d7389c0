/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The daemon's command line.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sodium.h>

#include "base/secrecy.h"
#include "cli/invocation.h"
#include "cmd/checkup.h"
#include "daemon/daemon.h"

enum { USAGE = 2 };

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
	const char *value[INVOCATION_OPTIONS];

	secrecy_begin();
	if (!invocation_parse(argc, argv, value, stderr)) {
		return USAGE;
	}
	if (value[INVOCATION_HELP] != NULL) {
		invocation_help(stdout);
		return EXIT_SUCCESS;
	}
	if (value[INVOCATION_VERSION] != NULL) {
		puts("bursard " PACKAGE_VERSION);
		return EXIT_SUCCESS;
	}
	if (sodium_init() < 0) {
		fputs("bursard: libsodium cannot be initialised\n", stderr);
		return EXIT_FAILURE;
	}
	const char *file = value[INVOCATION_CONFIG];
	if (value[INVOCATION_CHECK] != NULL) {
		return checkup_run(setup_default_file(file), isatty(1) != 0,
		                   stdout, stderr);
	}
	return run(file, value[INVOCATION_ONCE] != NULL);
}
