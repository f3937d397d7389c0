/* SPDX-License-Identifier: Apache-2.0 */

/*
 * keyfile.h - the lines and words of a file of keys
 *
 * One thing a line, words divided by blanks; empty lines and lines whose first
 * word begins with '#' say nothing.  Nothing is copied.
 */
#ifndef COMMON_KEYFILE_H
#define COMMON_KEYFILE_H

#include <bursar/plugin.h>

struct keyfile {
	struct bursar_span rest;	/* not read yet; at first the text */
	unsigned           line;	/* number of the last one read, from 1 */
};

/*
 * Finds the next line that says something, without blanks around it.
 * Returns false at the end.
 */
bool keyfile_next(struct keyfile *file, struct bursar_span *line);

/* Takes the next word off *line; its size is 0 when there is none. */
struct bursar_span keyfile_word(struct bursar_span *line);

#endif
