/* SPDX-License-Identifier: Apache-2.0 */

/*
 * logfmt.h - members of a line of the log, that anybody can take apart again
 *
 *	key=value key="a value" ...
 *
 * A value without quotes holds no space, '=', '"', '\' or control character.
 * One in quotes holds anything, '"' and '\' behind a '\', and as \n, \r, \t or
 * \xNN (a byte) what ends a line, what a terminal obeys, and what is not UTF-8:
 * so it ends at the first '"' that no '\' stands before, and says the same
 * bytes again when these forms are turned back.  What is too long ends in an
 * ellipsis, inside its quotes.
 */
#ifndef CORE_BASE_LOGFMT_H
#define CORE_BASE_LOGFMT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define LOGFMT_SIZE 4096	/* what a pipe takes whole */

/* A line in the making, without its newline, for which there is room. */
struct logfmt {
	char   text[LOGFMT_SIZE];
	size_t size;
	size_t begin;		/* of the first member */
};

/* An empty line but for the prefix, as it is; it is short. */
void logfmt_init(struct logfmt *line, const char *prefix);

/* Adds a member; `value` may hold anything.  Where there is no room for its
 * key and a few bytes more, it is left out. */
void logfmt_add(struct logfmt *line, const char *key, const char *value);

/*
 * Adds members as a format of printf() gives them, divided by spaces:
 *
 *	"path=%s lines=%zu why=\"%s: %s\""
 *
 * The format is ours and says where a value begins and ends; what its
 * arguments hold cannot change that, so no caller quotes them.  A member that
 * stands in quotes there is written in quotes, any other where it needs them.
 * What has no key is left out.  %n and wide characters are not known: they
 * end the line.
 */
__attribute__((format(printf, 2, 0)))
void logfmt_add_v(struct logfmt *line, const char *fmt, va_list ap);

#endif
