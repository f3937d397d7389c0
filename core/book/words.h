/* SPDX-License-Identifier: Apache-2.0 */

/*
 * words.h - texts that are kept once
 *
 * For rows of which only few texts differ: memory is that of the different
 * ones.
 */
#ifndef CORE_BOOK_WORDS_H
#define CORE_BOOK_WORDS_H

#include <bursar/plugin.h>

struct words;

/* NULL: out of memory. */
struct words *words_create(void);
void words_destroy(struct words *words);

/* A copy of `text` that lives until words_clear(); data is NULL when memory is
 * short. */
struct bursar_span words_keep(struct words *words, const char *text,
                              size_t size);
void words_clear(struct words *words);

#endif
