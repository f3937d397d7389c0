/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file_sample.c - what tells a file from another one with the same first line
 *
 * Its beginning, as far as it was read, and when it was made, where the file
 * system says so.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "file_set.h"

uint64_t file_hash(const void *data, size_t size)
{
	unsigned char bytes[crypto_hash_sha256_BYTES];
	uint64_t hash = 0;

	crypto_hash_sha256(bytes, data, size);
	for (size_t i = 0; i < sizeof(hash); i++) {
		hash = hash << 8 | bytes[i];
	}
	return hash;
}

/* Returns how much there is of it, or -1. */
static ssize_t read_beginning(int fd, char *out, size_t size)
{
	size_t got = 0;

	while (got < size) {
		const ssize_t n = pread(fd, out + got, size - got, (off_t)got);

		if (n < 0) {
			return -1;
		}
		if (n == 0) {
			break;
		}
		got += (size_t)n;
	}
	return (ssize_t)got;
}

void file_sample(struct file *file)
{
	struct file_entry *e = &file->entry;
	const uint64_t size = file->position < FILE_STATE_SAMPLE
		? file->position : FILE_STATE_SAMPLE;
	char text[FILE_STATE_SAMPLE];

	if (file->packing != FILE_PLAIN || size <= e->sampled ||
	    read_beginning(file->fd, text, size) != (ssize_t)size) {
		return;
	}
	/* It may be another text by now: the next look tells. */
	if (e->sampled == 0 || file_hash(text, e->sampled) == e->sample) {
		e->sample = file_hash(text, size);
		e->sampled = size;
	}
}

bool file_begins_otherwise(const struct file *file)
{
	const struct file_entry *e = &file->entry;
	char text[FILE_STATE_SAMPLE];

	if (e->sampled == 0) {
		return false;
	}

	/* What cannot be read now is found out by who reads on. */
	const ssize_t got = read_beginning(file->fd, text, e->sampled);
	return got >= 0 && ((uint64_t)got < e->sampled ||
	                    file_hash(text, e->sampled) != e->sample);
}

uint64_t file_born(int fd)
{
#ifdef STATX_BTIME
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0 &&
	    (st.stx_mask & STATX_BTIME) != 0) {
		return (uint64_t)st.stx_btime.tv_sec * 1000000000 +
		       st.stx_btime.tv_nsec;
	}
#else
	(void)fd;
#endif
	return 0;
}

bool file_is_another(const struct file *file, uint64_t born)
{
	return born != 0 && file->entry.born != 0 &&
	       born != file->entry.born;
}
