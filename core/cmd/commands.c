/* SPDX-License-Identifier: Apache-2.0 */

/* The list of commands, in the order of `bursar help`. */
#include "config.h"

#include <string.h>

#include "cmd/commands.h"
#include "conf/options.h"

const struct command *const commands[] = {
	&command_check,
	&command_status,
	&command_dead_letters,
	&command_replay,
	&command_plugins,
	&command_report,
	&command_price,
	&command_budget,
	&command_tags,
	&command_reprice,
	&command_verify,
	&command_purge,
	&command_jobs,
	&command_hold,
	&command_team,
	&command_export,
	&command_backup,
	&command_crypto,
	&command_reseal,
	&command_token,
	NULL
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]) - 1)

const struct command *commands_find(const char *name, const char **nearest)
{
	const char *names[COMMANDS + 1] = { NULL };

	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i]->name, name) == 0) {
			return commands[i];
		}
		names[i] = commands[i]->name;
	}
	if (nearest != NULL) {
		*nearest = options_nearest(name, names);
	}
	return NULL;
}
