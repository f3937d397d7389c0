/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/blocks.h"

#define MAX_BLOCKS 65536
#define UNSET      0xa5

static void *blocks[MAX_BLOCKS];
static size_t count;

static void *make(int fill, size_t size)
{
	char *made = malloc(size + BLOCKS_PADDING);

	if (made == NULL || count == MAX_BLOCKS) {
		abort();
	}
	memset(made, fill, size);
	memset(made + size, '"', BLOCKS_PADDING);
	blocks[count++] = made;
	return made;
}

void *blocks_alloc(size_t size)
{
	return make(UNSET, size);
}

void *blocks_zeros(size_t size)
{
	return make(0, size);
}

char *blocks_copy(const void *data, size_t size)
{
	char *copy = blocks_alloc(size);

	if (size > 0) {
		memcpy(copy, data, size);
	}
	return copy;
}

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	(void)arena;
	return blocks_alloc(size);
}

struct bursar_arena blocks_arena = { arena_alloc };

void blocks_clear(void)
{
	while (count > 0) {
		free(blocks[--count]);
	}
}
