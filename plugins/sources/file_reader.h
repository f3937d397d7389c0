/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file_reader.h - lines out of a file, plain or packed by gzip or zstd
 *
 * Holds at most one line above the limit of lines in memory, whatever the file
 * says: of a line that is longer only the beginning and a digest are kept.
 * Offsets are those of the unpacked text.  Never waits for more than the disk.
 */
#ifndef FILE_READER_H
#define FILE_READER_H

#include <bursar/plugin.h>

/* What is kept of a line above the limit, and the most that tells a file. */
#define FILE_READER_HEAD ((size_t)64 * 1024)

struct file_reader;

enum file_packing {
	FILE_PLAIN,
	FILE_GZIP,
	FILE_ZSTD,
};

enum file_step {
	FILE_STEP_DATA,		/* there is more to look at */
	FILE_STEP_END,		/* nothing more stands in the file now */
	FILE_STEP_CUT,		/* a packed file ends in the middle */
	FILE_STEP_BAD,		/* it cannot be read on */
	FILE_STEP_MEMORY,	/* memory is short: try again */
};

struct file_line {
	const char *data;
	size_t      size;	/* at data: the line without its newline, or its
				 * first FILE_READER_HEAD bytes */
	uint64_t    full_size;	/* of the line */
	uint64_t    offset;	/* of its first byte */
	uint64_t    end;	/* of what follows it and its newline */
	const char *digest;	/* SHA-256, 64 hex digits, of a line above the
				 * limit; otherwise NULL */
};

/* room: bytes of its buffer at first; grows with lines.  NULL: no memory. */
struct file_reader *file_reader_create(size_t room);
void file_reader_destroy(struct file_reader *reader);

/* How the file is packed, by its first bytes; -1 with errno. */
int file_reader_packing(int fd, enum file_packing *packing);

/*
 * Reads the file `fd` (lent until the next attach or detach) from `offset` on,
 * the beginning of a line.  Returns 0, or -1 when memory is short.
 */
int file_reader_attach(struct file_reader *reader, int fd,
                       enum file_packing packing, uint64_t offset);
void file_reader_detach(struct file_reader *reader);

/*
 * The next whole line, lent until the next call but file_reader_next().  A line
 * of more than `max` bytes comes with its digest.  Returns false where more has
 * to be read first.
 */
bool file_reader_peek(struct file_reader *reader, size_t max,
                      struct file_line *line);

/* Steps over the line that file_reader_peek() showed. */
void file_reader_next(struct file_reader *reader, const struct file_line *line);

/*
 * Reads on, once, after file_reader_peek() returned false.  *err is filled
 * with CUT and BAD; its code names the cause: an errno, EBADMSG for a packed
 * file that is damaged, ENODATA for one that is cut off.
 */
enum file_step file_reader_fill(struct file_reader *reader, size_t max,
                                struct bursar_error *err);

/*
 * What stands after the last newline, after file_reader_fill() returned END.
 * Returns false where that is nothing.
 */
bool file_reader_rest(struct file_reader *reader, size_t max,
                      struct file_line *line);

/* Bytes of the file itself that were read. */
uint64_t file_reader_raw(const struct file_reader *reader);

/* Whether the text ended before the offset of file_reader_attach(). */
bool file_reader_is_short(const struct file_reader *reader);

#endif
