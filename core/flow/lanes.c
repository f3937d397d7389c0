/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Open addressing with linear probing; a slot of another round is free.
 */
#include "config.h"

#include <stdlib.h>

#include "flow/lanes.h"

#define FIRST_SIZE 64

void lanes_init(struct lanes *lanes)
{
	*lanes = (struct lanes){ .round = 1 };
}

void lanes_finish(struct lanes *lanes)
{
	free(lanes->slots);
	lanes->slots = NULL;
	lanes->size = 0;
}

void lanes_clear(struct lanes *lanes)
{
	lanes->round++;
	lanes->count = 0;
	lanes->all = false;
}

/* The slot of the lane, or the free one where it would stand. */
static struct lane_slot *find(const struct lanes *lanes, uint64_t lane)
{
	const size_t mask = lanes->size - 1;
	size_t at = (size_t)((lane * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & mask;

	while (lanes->slots[at].round == lanes->round &&
	       lanes->slots[at].lane != lane) {
		at = (at + 1) & mask;
	}
	return &lanes->slots[at];
}

static bool grow(struct lanes *lanes)
{
	const struct lanes old = *lanes;

	lanes->size = old.size > 0 ? old.size * 2 : FIRST_SIZE;
	lanes->slots = calloc(lanes->size, sizeof(*lanes->slots));
	if (lanes->slots == NULL) {
		*lanes = old;
		return false;
	}
	for (size_t i = 0; i < old.size; i++) {
		if (old.slots[i].round == old.round) {
			*find(lanes, old.slots[i].lane) = old.slots[i];
		}
	}
	free(old.slots);
	return true;
}

void lanes_block(struct lanes *lanes, uint64_t lane)
{
	if (2 * (lanes->count + 1) > lanes->size && !grow(lanes)) {
		/* Settling nothing for a while harms nobody. */
		lanes->all = true;
		return;
	}
	struct lane_slot *slot = find(lanes, lane);
	if (slot->round != lanes->round) {
		*slot = (struct lane_slot){ lane, lanes->round };
		lanes->count++;
	}
}

bool lanes_is_blocked(const struct lanes *lanes, uint64_t lane)
{
	if (lanes->all || lanes->count == 0) {
		return lanes->all;
	}
	return find(lanes, lane)->round == lanes->round;
}
