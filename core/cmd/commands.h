/* SPDX-License-Identifier: Apache-2.0 */

/*
 * commands.h - the commands of `bursar`
 *
 * Each stands in core/cmd/cmd_NAME.c, which ends with its description; commands.c
 * lists them in the order in which `bursar help` does.
 */
#ifndef CORE_CMD_COMMANDS_H
#define CORE_CMD_COMMANDS_H

#include "cli/cli.h"

extern const struct command command_backup;
extern const struct command command_budget;
extern const struct command command_check;
extern const struct command command_status;
extern const struct command command_dead_letters;
extern const struct command command_replay;
extern const struct command command_crypto;
extern const struct command command_export;
extern const struct command command_hold;
extern const struct command command_jobs;
extern const struct command command_plugins;
extern const struct command command_price;
extern const struct command command_purge;
extern const struct command command_report;
extern const struct command command_reseal;
extern const struct command command_reprice;
extern const struct command command_tags;
extern const struct command command_team;
extern const struct command command_token;
extern const struct command command_verify;

/* Whether it is a reason of dead letters, or NULL; if not, says so. */
bool dead_letters_reason(struct cli *cli, const char *reason);

/* Says which lines of the folder of letters are none; no word where all are. */
struct deadletter_broken;
void dead_letters_say_broken(struct cli *cli, const char *state_dir,
                             const struct deadletter_broken *broken);

/* All commands, ended by NULL. */
extern const struct command *const commands[];

/* The command of that name, or NULL; then *nearest, which may be NULL, is the
 * name that was perhaps meant, or NULL. */
const struct command *commands_find(const char *name, const char **nearest);

#endif
