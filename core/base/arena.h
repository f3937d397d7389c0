/* SPDX-License-Identifier: Apache-2.0 */

/*
 * arena.h - memory that is freed as a whole
 *
 * Blocks come from a pool that all arenas share, so that the steady flow of
 * messages asks the system for nothing.  One thread at a time per arena.
 */
#ifndef CORE_BASE_ARENA_H
#define CORE_BASE_ARENA_H

#include <bursar/plugin.h>

#define ARENA_BLOCK (64u << 10)	/* usable bytes of an ordinary block */

struct arena_block;

struct arena {
	struct bursar_arena base;	/* first: what plugins see */
	struct arena_block *blocks;	/* the newest first */
	size_t              left;	/* usable bytes left in it */
	size_t              bytes;	/* held in all, blocks as a whole */
};

/* Holds nothing yet. */
void arena_init(struct arena *arena);

/* Gives everything back; the arena can be used again. */
void arena_clear(struct arena *arena);

/* The same, but one block is kept for what comes next. */
void arena_reset(struct arena *arena);

/*
 * size bytes, aligned to 16, not initialised, followed by 64 that may be read;
 * NULL: out of memory.
 */
void *arena_alloc(struct arena *arena, size_t size);

/* A copy of a span in the arena; one that is not there stays so.  Data NULL
 * with size not 0: out of memory. */
struct bursar_span arena_copy(struct arena *arena, struct bursar_span span);

/* Frees what the pool keeps for later; all arenas are cleared before. */
void arena_pool_drain(void);

#endif
