/* SPDX-License-Identifier: Apache-2.0 */

/*
 * blocks.h - memory of exact sizes, for tests of what reads and keeps bytes
 *
 * Each block is an allocation of its own with the 64 bytes behind it that an
 * arena promises, so that a sanitizer sees each byte too far.  What may be
 * read there are quotation marks, which no parser may take for its input.
 * All of them live until blocks_clear(); one thread.
 */
#ifndef TESTS_BLOCKS_H
#define TESTS_BLOCKS_H

#include <bursar/plugin.h>

#define BLOCKS_PADDING 64

/* Of `size` bytes, 0 is fine, filled with what nobody would mean; aborts when
 * memory or the number of blocks (65,536) does not suffice. */
void *blocks_alloc(size_t size);
/* The same, of zeros. */
void *blocks_zeros(size_t size);
/* The same, a copy of data[0..size). */
char *blocks_copy(const void *data, size_t size);

/* Gives such blocks, for what takes an arena. */
extern struct bursar_arena blocks_arena;

void blocks_clear(void);

#endif
