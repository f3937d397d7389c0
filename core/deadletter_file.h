/* SPDX-License-Identifier: Apache-2.0 */

/*
 * deadletter_file.h - what letters look like on disk
 *
 * Between deadletter.c, which writes, and deadletter_file.c, which knows the
 * form of a line and of the folder; nobody else includes it.
 */
#ifndef CORE_DEADLETTER_FILE_H
#define CORE_DEADLETTER_FILE_H

#include <dirent.h>

#include "deadletter.h"

/* YYYY-MM-DD of a time, UTC. */
void deadletter_day(int64_t us, char day[11]);

/* Whether a file of the folder holds letters. */
bool deadletter_is_day(const char *name);

/* The letter as a line with its newline; the caller frees it.  NULL: out of
 * memory. */
char *deadletter_line(const struct dead_letter *letter, int64_t now);

/* A listing of an open folder from its start; NULL with errno set. */
DIR *deadletter_folder_list(int folder);

/*
 * Writes every file anew without the letters that expired before `now` or were
 * replayed; *bytes gets what stands there then.  Returns how many letters
 * went, or -1 with *err filled.
 */
int64_t deadletter_folder_purge(int folder, const char *path, int64_t now,
                                size_t *bytes, struct bursar_error *err);

#endif
