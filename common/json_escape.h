/* SPDX-License-Identifier: Apache-2.0 */

/*
 * json_escape.h - bytes that a string of JSON cannot hold as they are
 *
 * RFC 8259, section 7.  For who writes JSON where no tree of it is made; what is
 * no UTF-8 is left to the caller.
 */
#ifndef COMMON_JSON_ESCAPE_H
#define COMMON_JSON_ESCAPE_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define JSON_ESCAPE 7		/* the longest, with its NUL */

/* Whether it stands for itself. */
static inline bool json_is_plain(char c)
{
	return (unsigned char)c >= ' ' && c != '"' && c != '\\';
}

/* The escape of one that does not, in `out`.  Returns its length. */
static inline size_t json_escape(char c, char out[JSON_ESCAPE])
{
	static const char letters[] = "\"\"\\\\\nn\rr\tt\bb\ff";

	for (const char *at = letters; *at != '\0'; at += 2) {
		if (*at == c) {
			out[0] = '\\';
			out[1] = at[1];
			out[2] = '\0';
			return 2;
		}
	}
	snprintf(out, JSON_ESCAPE, "\\u%04x", (unsigned)(unsigned char)c);
	return JSON_ESCAPE - 1;
}

#endif
