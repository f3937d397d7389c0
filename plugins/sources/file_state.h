/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file_state.h - how far each file is settled, on disk
 *
 * One small text file, `offsets`, in the state folder of the instance: always
 * whole, the old one or the new one, whenever the machine stops.
 */
#ifndef FILE_STATE_H
#define FILE_STATE_H

#include <bursar/plugin.h>

/* The most of a file's beginning that is compared. */
#define FILE_STATE_SAMPLE 4096u

/* What is known of one file. */
struct file_entry {
	uint64_t device;
	uint64_t inode;
	uint64_t head;		/* hash of the first line */
	uint64_t generation;	/* of what stands under this inode */
	uint64_t offset;	/* what is settled ends here */
	uint64_t lines;		/* of the file, before offset */
	uint64_t cut;		/* length of the last of these, if it was taken
				 * without its newline; otherwise 0 */
	uint64_t packed;	/* a packed file's size when all of it was
				 * settled; otherwise 0 */
	int64_t  seen;		/* when a name last led to it (s, wall clock) */
	uint64_t born;		/* when the file was made, as its file system
				 * says (ns); 0: it does not */
	uint64_t sampled;	/* bytes of its beginning that were hashed; at
				 * most FILE_STATE_SAMPLE */
	uint64_t sample;	/* their hash */
	char    *path;		/* its last name, for people; may be NULL */
};

struct file_state {
	uint64_t floor;		/* the generation of files not known yet:
				 * above that of all that were forgotten */
	struct file_entry *entries;
	size_t count;
};

/*
 * Reads the offsets of a folder; none yet: all empty.
 * Returns 0, to be given to file_state_finish(), or -1 with *err filled: it
 * cannot be read, is damaged or was written by a newer version.
 */
int file_state_load(const char *dir, struct file_state *state,
                    struct bursar_error *err);
/* Frees what file_state_load() made, paths (where not NULL) included. */
void file_state_finish(struct file_state *state);

/* Replaces the offsets of a folder, durably.  Returns 0, or -1 with *err. */
int file_state_save(const char *dir, const struct file_state *state,
                    struct bursar_error *err);

#endif
