/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A list of blocks, filled from the front.  What does not fit an ordinary
 * block gets one of its own, which does not go to the pool.
 */
#include "config.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

#define ALIGNMENT 16u
#define SLACK     64u		/* readable behind every allocation */
#define POOL_MAX  640u		/* blocks kept for later: 40 MB */

struct arena_block {
	struct arena_block *next;
	size_t              size;	/* usable bytes */
	_Alignas(ALIGNMENT) char data[];
};

static pthread_mutex_t      pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct arena_block  *pool;
static size_t               pool_count;

static struct arena_block *block_from_pool(void)
{
	pthread_mutex_lock(&pool_lock);
	struct arena_block *block = pool;
	if (block != NULL) {
		pool = block->next;
		pool_count--;
	}
	pthread_mutex_unlock(&pool_lock);
	return block;
}

static void block_release(struct arena_block *block)
{
	if (block->size == ARENA_BLOCK) {
		pthread_mutex_lock(&pool_lock);
		const bool keep = pool_count < POOL_MAX;
		if (keep) {
			block->next = pool;
			pool = block;
			pool_count++;
		}
		pthread_mutex_unlock(&pool_lock);
		if (keep) {
			return;
		}
	}
	free(block);
}

static struct arena_block *block_create(size_t size)
{
	struct arena_block *block = NULL;

	if (size <= ARENA_BLOCK) {
		size = ARENA_BLOCK;
		block = block_from_pool();
	}
	if (block == NULL) {
		/* Zeros: the bytes behind an allocation are read, not used. */
		block = calloc(1, sizeof(*block) + size + SLACK);
		if (block == NULL) {
			return NULL;
		}
		block->size = size;
	}
	return block;
}

static void *base_alloc(struct bursar_arena *base, size_t size)
{
	return arena_alloc((struct arena *)base, size);
}

void arena_init(struct arena *arena)
{
	*arena = (struct arena){ .base.alloc = base_alloc };
}

void arena_clear(struct arena *arena)
{
	while (arena->blocks != NULL) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->next;
		block_release(block);
	}
	arena->left = 0;
	arena->bytes = 0;
}

void arena_reset(struct arena *arena)
{
	struct arena_block *block = arena->blocks;

	if (block == NULL || block->next != NULL ||
	    block->size != ARENA_BLOCK) {
		arena_clear(arena);
		return;
	}
	arena->left = block->size;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX / 2) {
		return NULL;
	}
	/* Nothing has a place of its own as well. */
	const size_t need =
		(size + (size == 0) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

	if (need > arena->left) {
		struct arena_block *block = block_create(need);
		if (block == NULL) {
			return NULL;
		}
		arena->bytes += block->size;
		/* A big one is put behind, so that the rest of the current
		 * block is not lost to it. */
		if (block->size > ARENA_BLOCK && arena->blocks != NULL) {
			block->next = arena->blocks->next;
			arena->blocks->next = block;
			return block->data;
		}
		block->next = arena->blocks;
		arena->blocks = block;
		arena->left = block->size;
	}

	struct arena_block *block = arena->blocks;
	void *data = block->data + (block->size - arena->left);
	arena->left -= need;
	return data;
}

struct bursar_span arena_copy(struct arena *arena, struct bursar_span span)
{
	if (span.data == NULL) {
		return span;
	}
	char *copy = arena_alloc(arena, span.size);
	if (copy != NULL) {
		memcpy(copy, span.data, span.size);
	} else if (span.size == 0) {
		span.size = 1;	/* so that failure can be told */
	}
	return (struct bursar_span){ copy, span.size };
}

void arena_pool_drain(void)
{
	struct arena_block *block;

	while ((block = block_from_pool()) != NULL) {
		free(block);
	}
}
