/* SPDX-License-Identifier: Apache-2.0 */

/*
 * statedir.h - the folder that belongs to one daemon
 */
#ifndef CORE_DAEMON_STATEDIR_H
#define CORE_DAEMON_STATEDIR_H

#include <bursar/plugin.h>

/*
 * Makes the folder (mode 0700, and what is missing above it, durably) and takes
 * its lock, which is gone with the process however that ends.
 *
 * Returns a descriptor to be kept open, or -1 with *err filled:
 *	EBUSY	another process has it; the text names it
 *	EPERM	others can write to the folder that is there
 */
int statedir_lock(const char *path, struct bursar_error *err);

#endif
