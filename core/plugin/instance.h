/* SPDX-License-Identifier: Apache-2.0 */

/*
 * instance.h - a plugin with its options and the host that serves it
 *
 * Holds what open() of a plugin needs and outlives what open() returned.
 * bursar/plugin.h says of each service of the host which threads may call it.
 */
#ifndef CORE_PLUGIN_INSTANCE_H
#define CORE_PLUGIN_INSTANCE_H

#include "base/clock.h"
#include "conf/setup.h"

/* What an instance is opened for. */
enum instance_use {
	INSTANCE_RUN,		/* the daemon: has a state folder */
	INSTANCE_READ,		/* a command that reads: host->state_dir NULL */
};

struct instance {
	struct bursar_host host;	/* first: host functions rely on it */
	const struct bursar_plugin *plugin;
	const struct options *options;	/* the setup's */
	enum bursar_plugin_kind kind;
	/* and what only instance.c touches: */
	struct instance_private *private;
};

/*
 * Makes the host for `item`; with INSTANCE_RUN also its state folder,
 * <state_dir>/<kind>-<name>, mode 0700.  item and its options are lent until
 * instance_destroy().  Returns NULL with *err filled.
 */
struct instance *instance_create(const struct setup_item *item,
                                 const char *state_dir,
                                 enum instance_use use,
                                 struct bursar_error *err);
void instance_destroy(struct instance *instance);

#endif
