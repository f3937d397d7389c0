/* SPDX-License-Identifier: Apache-2.0 */

/*
 * deadletter_file.h - what letters look like on disk
 *
 * Between deadletter.c, which writes, deadletter_line.c, which knows the form
 * of a line, and deadletter_file.c, which knows that of the folder; nobody
 * else includes it.
 */
#ifndef CORE_FLOW_DEADLETTER_FILE_H
#define CORE_FLOW_DEADLETTER_FILE_H

#include <jansson.h>

#include "flow/deadletter.h"

/* --- lines --------------------------------------------------------------- */

/* YYYY-MM-DD of a time, UTC. */
void deadletter_day(int64_t us, char day[11]);

/* The letter as a line with its newline; the caller frees it.  NULL: out of
 * memory. */
char *deadletter_line(const struct dead_letter *letter, int64_t now);

/* The letter of a line, the caller's; NULL where it is none. */
json_t *deadletter_parse(const char *line, size_t size);

#define DEADLETTER_ID_SIZE 33

/*
 * Id and expiry (DEAD_NEVER for none) of a line as deadletter_line() writes
 * it, without parsing all of it.  False: it looks otherwise; parse it.
 */
bool deadletter_peek(const char *line, size_t size,
                     char id[DEADLETTER_ID_SIZE], int64_t *expires);

/* --- the folder ---------------------------------------------------------- */

/* The names of its files of letters, oldest first. */
struct deadletter_days {
	char **names;
	size_t count;
};

/* Returns 0, or -1 with errno set; finish it in both cases. */
int deadletter_days_list(int folder, struct deadletter_days *days);
void deadletter_days_finish(struct deadletter_days *days);

/* Takes away the end of a file that a crash cut in the middle of a line.
 * Returns 0, or -1 with errno set. */
int deadletter_file_mend(int folder, const char *name);

/* What goes. */
struct deadletter_purge {
	json_t *replayed;	/* an object; its names are ids */
	int64_t now;
	int64_t gone, kept;	/* lines of the last file */
};

/* Counts what would go of a file.  Returns 0, or -1 with errno set. */
int deadletter_file_look(int folder, const char *name,
                         struct deadletter_purge *purge);

/* Replaces a file, which nobody writes to, by what is to stay of it.  Returns
 * 0, or -1 with errno set and the file as it was. */
int deadletter_file_purge(int folder, const char *name,
                          struct deadletter_purge *purge);

/* The ids that were replayed, an object; NULL with errno set. */
json_t *deadletter_replayed_load(int folder);

/* Takes these ids out.  Returns 0, or -1 with errno set. */
int deadletter_replayed_forget(int folder, const json_t *ids);

#endif
