/* SPDX-License-Identifier: Apache-2.0 */

/*
 * checkup.h - whether the daemon would run: `bursar check`, `bursard --check`
 */
#ifndef CORE_CMD_CHECKUP_H
#define CORE_CMD_CHECKUP_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Loads the configuration and tries what can be tried without taking a message
 * or changing anything: opens crypto, formats and, to read, sinks; looks at
 * the state folder and the clock.  Prints a line for each thing on out, with
 * what to do about it where it is not fine; mistakes in the configuration on
 * err, as `file:line: sentence`.
 *
 * Returns an exit status: CLI_OK; CLI_FAILED, something does not work;
 * CLI_USAGE, the configuration is wrong.
 */
int checkup_run(const char *file, bool color, FILE *out, FILE *err);

#endif
