/* SPDX-License-Identifier: Apache-2.0 */

/*
 * places.h - where the new rows of a batch go
 *
 * A sink stores them in the order of its tables, kind by kind and block by
 * block; within a block they stay in the order in which they came.
 */
#ifndef COMMON_PLACES_H
#define COMMON_PLACES_H

#include <stdbool.h>

#include <bursar/message.h>

struct place {
	int64_t block;
	size_t  index;		/* in the batch */
	size_t  kind;
	struct bursar_span id;	/* data NULL: the record's own */
};

/* All zero at first. */
struct places {
	struct place *at;
	size_t room;
};

/* Makes room for so many; what was there may be lost.  False: out of memory. */
bool places_reserve(struct places *places, size_t count);
void places_finish(struct places *places);

/* Puts the first `count` of them in order. */
void places_sort(struct place *places, size_t count);

#endif
