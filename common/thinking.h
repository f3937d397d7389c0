/* SPDX-License-Identifier: Apache-2.0 */

/*
 * thinking.h - reasoning that a model wrote into its answer
 *
 * Text between <think> and </think>, or <thinking> and </thinking>, is
 * reasoning; what was not closed goes to the end of the text.  Tags within a
 * fence of code (a line that starts with three backticks or more, up to one
 * that starts with as many) are text like any other.
 *
 * It works on a JSON string as it was written and cuts between characters, so
 * that every escape stays as it is.
 */
#ifndef COMMON_THINKING_H
#define COMMON_THINKING_H

#include <bursar/plugin.h>

/*
 * Splits raw[0..size), the inside of a checked JSON string without its quotes.
 * Without a tag *visible is the text itself and *inner is not there (data is
 * NULL).  With some, both are made in the arena; several pieces of reasoning
 * are joined by a line break, escaped.  Returns false when memory is short.
 */
bool thinking_split(const char *raw, size_t size, struct bursar_arena *arena,
                    struct bursar_span *visible, struct bursar_span *inner);

#endif
