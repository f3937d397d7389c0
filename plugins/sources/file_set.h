/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file_set.h - the files of one source: which they are, how far each is
 *
 * A file is its device, its inode and a hash of its first line; its name may
 * change.  What stands under one inode is told apart by a generation: raised
 * when the file was cut to nothing and begun again, or when the inode came to
 * be another file, be it with the same first line.  A generation is on disk
 * before a line of it is handed out.
 *
 * Each file has a read side (position) and a settled side (entry), and between
 * them a mark for each message whose outcome is not known yet.
 */
#ifndef FILE_SET_H
#define FILE_SET_H

#include <sys/stat.h>
#include <time.h>

#include <bursar/source.h>

#include "common/monotonic.h"
#include "file_reader.h"
#include "file_state.h"

/* The end of one message that was handed out. */
struct file_mark {
	uint64_t end;
	uint64_t line;
	uint64_t cut;		/* as in struct file_entry */
};

enum file_failure {
	FILE_SOUND,
	FILE_CLOSED,		/* cannot be opened, or read: each scan tries */
	FILE_BROKEN,		/* is damaged: when it has changed */
};

struct file {
	struct file_entry entry;	/* what is settled; owns entry.path */
	struct file *next;		/* in its bucket */
	uint32_t slot;
	uint32_t lane;			/* slot and its epoch */

	int    fd;			/* -1: not open */
	enum file_packing packing;
	off_t  size;			/* as last looked at; -1: never */
	struct timespec changed;	/* as last looked at */
	uint64_t scan;			/* the last scan that found a name */
	int64_t active;			/* when it last grew (us, monotonic) */
	unsigned vanished;		/* times that its name led elsewhere */

	bool known;		/* entry has a head and a generation */
	bool raised;		/* the generation is new, the head to come */
	bool identified;	/* entry was compared with the file itself */
	bool ready;		/* there may be something to read */
	bool at_end;		/* it was read to its end */
	bool returning;		/* waits for all its messages to come back */
	bool retired;		/* its text is gone; waits for outcomes */
	bool last_call;		/* nobody will end its last line */
	bool is_cut;		/* packed, and ends in the middle for now */
	enum file_failure failure;

	/* The read side. */
	uint64_t position;	/* where the next line begins */
	uint64_t line;		/* lines before it */
	uint64_t cut;		/* as in struct file_entry */
	uint64_t skip;		/* the next line was taken already if it is
				 * just as long; 0: no */
	uint64_t read_end;	/* bytes of the file that were read */
	char     origin[96];

	/* A ring: mark_count marks from mark_first on, mark_room of a power
	 * of two. */
	struct file_mark *marks;
	size_t   mark_room;
	size_t   mark_first;
	size_t   mark_count;
	uint32_t first_number;	/* of the first mark */
};

#define FILE_SET_BUCKETS 4096u

/* Descriptors that the files of one source may hold. */
#define FILE_SET_OPEN    256u

struct file_trouble {
	char    *path;
	int      code;
	uint64_t scan;		/* the last scan that met it */
};

struct file_set {
	const struct bursar_host *host;
	const char *pattern;	/* lent by the host */
	bool     follow;
	bool     drain;		/* nothing more will be asked for */
	int64_t  scan_gap;	/* us */

	struct file *buckets[FILE_SET_BUCKETS];
	size_t   count;		/* files in the buckets */
	uint64_t floor;		/* as in struct file_state */

	struct file **slots;
	uint32_t *epochs;
	uint32_t slot_count;
	uint32_t slot_room;
	uint32_t slot_free;	/* at most this many slots are empty */

	struct file **order;	/* what is read, in that order */
	size_t   order_count;
	uint64_t scan;		/* number of the last scan; 0: none yet */
	bool     scan_again;	/* a name led elsewhere */
	bool     too_many;	/* was said */
	int64_t  pruned;	/* when entries were last forgotten (us) */

	struct file_trouble *troubles;
	size_t   trouble_count;

	struct file *open[FILE_SET_OPEN];	/* those with a descriptor */
	unsigned open_count;
	unsigned open_limit;
	size_t   outstanding;	/* marks of all files */

	struct file_reader *reader;	/* reads `current` */
	struct file *current;		/* or NULL */
	struct file_reader *probe;	/* for first lines */

	bool     dirty;		/* something was settled since the last save */
	bool     must_save;	/* a generation is not on disk yet */
	int64_t  next_save;	/* us, monotonic */
};

/* --- file_set.c: files, outcomes, descriptors, offsets -------------------- */

/* Loads the offsets.  Returns 0, to be given to finish; or -1 with *err. */
int file_set_init(struct file_set *set, const struct bursar_host *host,
                  struct bursar_error *err);
void file_set_finish(struct file_set *set);

/* The file of that identity, lent; NULL: there is none. */
struct file *file_set_find(const struct file_set *set, uint64_t device,
                           uint64_t inode);
/* NULL: memory is short. */
struct file *file_set_add(struct file_set *set, uint64_t device,
                          uint64_t inode);
void file_set_remove(struct file_set *set, struct file *file);

enum file_opened {
	FILE_OPEN,
	FILE_LATER,		/* no descriptor can be had for now */
	FILE_NOT,		/* failed or vanished; that was dealt with */
	FILE_SHORT,		/* the process is short of them, or of memory */
};

/* Whether a descriptor can be had for one more file. */
bool file_set_can_open(const struct file_set *set);

/* Opens the file under its name, if it is not open. */
enum file_opened file_set_open(struct file_set *set, struct file *file,
                               struct bursar_error *err);
void file_set_close(struct file_set *set, struct file *file);

/* Stops reading `file`, if it is the current one. */
void file_set_leave(struct file_set *set, const struct file *file);

/* Makes room for one more mark.  Returns 0, or -1 when memory is short. */
int file_reserve(struct file *file);
/* The token of the next message, and its mark after it was taken. */
uint64_t file_token(const struct file *file);
void file_mark(struct file_set *set, struct file *file,
               const struct file_mark *mark);
/* Lines that make no message end here: they are settled with the one before. */
void file_pass(struct file_set *set, struct file *file);

/* One outcome; a token that was told before is let pass. */
void file_set_settle(struct file_set *set,
                     const struct bursar_settled *settled);

/*
 * A file in place of one whose text is gone while messages of it are out: has
 * its inode, name and descriptor.  `file` is retired: it is in no order, and
 * lives until the last outcome.  NULL: memory is short, nothing was changed.
 */
struct file *file_set_succeed(struct file_set *set, struct file *file);

/* What follows when a file is at its end and has nothing outstanding. */
void file_rest(struct file_set *set, struct file *file);

/* Writes the offsets.  Returns 0, or -1 with *err filled. */
int file_set_save(struct file_set *set, struct bursar_error *err);

/* Whether a last line without newline is taken. */
static inline bool file_takes_rest(const struct file_set *set,
                                   const struct file *file)
{
	return !set->follow || set->drain || file->last_call ||
	       file->packing != FILE_PLAIN;
}

/* --- file_scan.c: names, identity, growth --------------------------------- */

/* Looks which files there are.  Returns 0, or -1 with *err: try again. */
int file_set_scan(struct file_set *set, struct bursar_error *err);

/* Looks which open files grew, were cut short or have gone. */
void file_set_look(struct file_set *set);

/* Nothing more will be asked for: also what stands unfinished is read. */
void file_set_drain(struct file_set *set);

enum file_identity {
	FILE_KNOWN,		/* identified; set->must_save may be set */
	FILE_WAITS,		/* nothing to read for now, or failed */
	FILE_BLOCKED,		/* no descriptor: after some settlement */
	FILE_STARVED,		/* no memory: try again */
};

/* Finds out which file it is, and where to go on. */
enum file_identity file_identify(struct file_set *set, struct file *file,
                                 struct bursar_error *err);

/* What stood there is gone, something else may stand there now. */
void file_truncated(struct file_set *set, struct file *file,
                    const struct stat *st);

/* A packed file ends in the middle: for now, or for good. */
void file_cut(struct file_set *set, struct file *file,
              const struct bursar_error *why);

/* It cannot be read: says so once, and sets it aside. */
void file_fail(struct file_set *set, struct file *file,
               enum file_failure failure, int code, const char *why);

/* The same for what a reader says of it. */
void file_fail_read(struct file_set *set, struct file *file,
                    const struct bursar_error *why);

/* A path as it stands between quotes in the log, in `out`; whoever may make a
 * file may give it any name.  What is too long is cut. */
#define FILE_SHOWN 1024
const char *file_shown(const char *path, char out[FILE_SHOWN]);

/*
 * How many files that are there could not be read, or not to their end; *first
 * is the path of one of them, until the next scan.  What is no file is none of
 * them.
 */
size_t file_set_unread(const struct file_set *set, const char **first);

/* What was said once of files that cannot be read may be said again. */
void file_set_forget_troubles(struct file_set *set);

/* --- file_sample.c: what tells files with one first line apart ------------ */

/* The leading bytes of a SHA-256. */
uint64_t file_hash(const void *data, size_t size);

/* Notes the beginning of an open file as far as it was read. */
void file_sample(struct file *file);
/* Whether something else stands there now. */
bool file_begins_otherwise(const struct file *file);

/* When the file was made (ns); 0: its file system does not say. */
uint64_t file_born(int fd);
/* Whether what was made then is another one. */
bool file_is_another(const struct file *file, uint64_t born);

#endif
