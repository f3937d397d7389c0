/* SPDX-License-Identifier: Apache-2.0 */

/*
 * unit.h - a plugin's instance and what it opened, as one thing
 *
 * A pipeline is made of units.  When it ends they go to a pool, and the next
 * pipeline takes from there what its configuration has in common with the old
 * one: so a reload reopens what changed and nothing else.
 */
#ifndef CORE_FLOW_UNIT_H
#define CORE_FLOW_UNIT_H

#include "plugin/instance.h"

struct unit {
	struct unit           *next;	/* in a pool */
	const struct setup    *owner;	/* whose item it is; lent */
	const struct setup_item *item;	/* lent */
	struct instance       *instance;
	void                  *handle;	/* what open() returned, or NULL */
};

/*
 * The unit of the pool that is what `item` says, taken out of it; or a new
 * one that is not open.  NULL with *err filled.
 */
struct unit *unit_take(struct unit **pool, const struct setup *owner,
                       const struct setup_item *item,
                       struct bursar_error *err);

/* Gives it to the pool. */
void unit_put(struct unit **pool, struct unit *unit);

/* Closes all of a pool; with `but`, only those that it has no use for. */
void units_close(struct unit **pool, const struct setup *but);

#endif
