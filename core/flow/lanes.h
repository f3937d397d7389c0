/* SPDX-License-Identifier: Apache-2.0 */

/*
 * lanes.h - a set of lanes whose next message is not finished yet
 *
 * Made anew with every look at the flights, hence cheap to clear.
 */
#ifndef CORE_FLOW_LANES_H
#define CORE_FLOW_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lanes {
	struct lane_slot {
		uint64_t lane;
		uint64_t round;		/* in use if it is the set's */
	} *slots;
	size_t   size;			/* of slots: a power of two, or 0 */
	size_t   count;
	uint64_t round;
	bool     all;			/* memory was short: take it for all */
};

void lanes_init(struct lanes *lanes);
void lanes_finish(struct lanes *lanes);

/* Empties the set. */
void lanes_clear(struct lanes *lanes);

void lanes_block(struct lanes *lanes, uint64_t lane);
bool lanes_is_blocked(const struct lanes *lanes, uint64_t lane);

#endif
