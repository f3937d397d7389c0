/* SPDX-License-Identifier: Apache-2.0 */

/*
 * regular.h - opens files without ever waiting for somebody to come
 *
 * open() of a fifo waits for its other end, perhaps for ever.  What is opened
 * here never waits: where a file belongs, anything else is refused.
 */
#ifndef COMMON_REGULAR_H
#define COMMON_REGULAR_H

#include <stddef.h>
#include <stdio.h>

#include <bursar/plugin.h>

/*
 * Opens a regular file; folder (or AT_FDCWD), name and flags are openat()'s,
 * O_CLOEXEC is added, and a file that O_CREAT makes is its owner's alone
 * (0600).  Returns the descriptor, the caller's to close.  -1 with errno set:
 * openat()'s, or what regular_why() has words for where it is another thing.
 */
int regular_open(int folder, const char *name, int flags);

/* As regular_open(), to be read as a stream, which fclose() closes. */
FILE *regular_read(int folder, const char *name);

/*
 * What a person named to be read, which may be a pipe, too (`<(command)`,
 * /dev/stdin), a fifo included if somebody writes to it by now.  Returns a
 * stream for fclose(), or NULL with errno set as above.
 */
FILE *input_open(const char *path);

/*
 * All that such an input holds, with a NUL behind it, which *size (bytes) does
 * not count; the caller's to free.  NULL with *err filled (its text names no
 * path) where it cannot be read, or is larger than `most`, whole megabytes.
 */
char *input_text(const char *path, size_t most, size_t *size,
                 struct bursar_error *err);

/*
 * 0 if path is a regular file, or a link to one, or there is nothing.  -1 with
 * errno set, as above, if something else is there.
 */
int regular_check(const char *path);

/* Words for a cause that the above left in errno; lent, as of strerror(). */
const char *regular_why(int cause);

#endif
