/* SPDX-License-Identifier: Apache-2.0 */

/*
 * text.h - UTF-8 as it looks on a terminal, and prose that fits
 *
 * Widths need LC_CTYPE to be set to a UTF-8 locale; text_locale() sees to it.
 */
#ifndef CORE_BASE_TEXT_H
#define CORE_BASE_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Takes the user's characters, or UTF-8 where they are not that; for the whole
 * process, so once and before there are threads. */
void text_locale(void);

/*
 * The text with control characters, and bytes that are no UTF-8, as escapes:
 * \n, \x1b.  The caller frees it; never NULL: when memory is short the process
 * ends.
 */
char *text_visible(const char *text, size_t size);

/* Columns that a visible text takes. */
size_t text_width(const char *text);

/* The bytes of `text` that fit into `width` columns. */
size_t text_fit(const char *text, size_t width);

/*
 * Prints text in lines of at most `width` columns, each after `indent` spaces;
 * the cursor stands at column `at`.  Ends with a newline.
 */
void text_wrap(FILE *out, const char *text, size_t at, size_t indent,
               size_t width);

#endif
