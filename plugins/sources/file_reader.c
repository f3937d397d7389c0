/* SPDX-License-Identifier: Apache-2.0 */

/*
 * file_reader.c - lines out of a file, plain or packed by gzip or zstd
 *
 * One buffer, read into behind what is not yet taken; lines are shown where
 * they stand.  A line that outgrows the limit makes the buffer's first 64 KB
 * its beginning and the rest of the buffer a place to hash what follows.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>
#include <zlib.h>
#include <zstd.h>

#include "file_reader.h"

#define INPUT_SIZE ((size_t)128 * 1024)

/* The shortest frame header: what libzstd wants at first. */
#define ZSTD_FIRST 5

struct file_reader {
	int    fd;
	enum file_packing packing;
	uint64_t raw;		/* of the file: where to read on */

	char  *buffer;
	size_t first_room;	/* what it shrinks back to */
	size_t room;
	size_t begin;		/* of the next line */
	size_t scanned;		/* no newline between begin and here */
	size_t end;
	uint64_t offset;	/* of buffer[begin] in the text */
	uint64_t skip;		/* bytes of text to drop first */

	/* A line above the limit: buffer[0..HEAD) is its beginning. */
	bool     is_long;
	bool     long_whole;	/* its newline was found, before long_next */
	size_t   long_next;
	uint64_t long_size;
	crypto_hash_sha256_state hash;
	char     digest[2 * crypto_hash_sha256_BYTES + 1];

	/* Packed files. */
	char    *input;
	size_t   input_begin;
	size_t   input_end;
	bool     part_open;	/* within a gzip member or a zstd frame */
	bool     zip_ready;
	z_stream zip;
	ZSTD_DCtx *zstd;
	size_t   zstd_wants;	/* bytes of input for its next block */
	enum file_step failed;	/* what comes after the data; DATA: none */
	struct bursar_error why;
};

struct file_reader *file_reader_create(size_t room)
{
	assert(room > FILE_READER_HEAD);

	struct file_reader *reader = calloc(1, sizeof(*reader));
	if (reader == NULL) {
		return NULL;
	}
	reader->fd = -1;
	reader->room = reader->first_room = room;
	reader->buffer = malloc(room);
	if (reader->buffer == NULL) {
		free(reader);
		return NULL;
	}
	return reader;
}

void file_reader_detach(struct file_reader *reader)
{
	if (reader->zip_ready) {
		inflateEnd(&reader->zip);
		reader->zip_ready = false;
	}
	ZSTD_freeDCtx(reader->zstd);
	reader->zstd = NULL;
	free(reader->input);
	reader->input = NULL;
	reader->fd = -1;
}

void file_reader_destroy(struct file_reader *reader)
{
	if (reader == NULL) {
		return;
	}
	file_reader_detach(reader);
	free(reader->buffer);
	free(reader);
}

int file_reader_packing(int fd, enum file_packing *packing)
{
	static const unsigned char gzip_magic[] = { 0x1f, 0x8b };
	static const unsigned char zstd_magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
	unsigned char magic[4] = { 0 };

	if (pread(fd, magic, sizeof(magic), 0) < 0) {
		return -1;
	}
	*packing = FILE_PLAIN;
	if (memcmp(magic, gzip_magic, sizeof(gzip_magic)) == 0) {
		*packing = FILE_GZIP;
	} else if (memcmp(magic, zstd_magic, sizeof(zstd_magic)) == 0) {
		*packing = FILE_ZSTD;
	}
	return 0;
}

static int start_unpacking(struct file_reader *reader)
{
	reader->input = malloc(INPUT_SIZE);
	if (reader->input == NULL) {
		return -1;
	}
	if (reader->packing == FILE_ZSTD) {
		reader->zstd_wants = ZSTD_FIRST;
		reader->zstd = ZSTD_createDCtx();
		return reader->zstd != NULL ? 0 : -1;
	}
	memset(&reader->zip, 0, sizeof(reader->zip));
	if (inflateInit2(&reader->zip, 15 + 16) != Z_OK) {
		return -1;
	}
	reader->zip_ready = true;
	return 0;
}

int file_reader_attach(struct file_reader *reader, int fd,
                       enum file_packing packing, uint64_t offset)
{
	file_reader_detach(reader);
	reader->fd = fd;
	reader->packing = packing;
	reader->raw = packing == FILE_PLAIN ? offset : 0;
	reader->skip = packing == FILE_PLAIN ? 0 : offset;
	reader->offset = offset;
	reader->begin = reader->scanned = reader->end = 0;
	reader->is_long = false;
	reader->input_begin = reader->input_end = 0;
	reader->part_open = false;
	reader->failed = FILE_STEP_DATA;
	memset(&reader->why, 0, sizeof(reader->why));
	if (packing != FILE_PLAIN && start_unpacking(reader) != 0) {
		file_reader_detach(reader);
		return -1;
	}
	return 0;
}

/* --- lines ---------------------------------------------------------------- */

static const char *digest_of(struct file_reader *reader,
                             crypto_hash_sha256_state *hash)
{
	unsigned char bytes[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(hash, bytes);
	sodium_bin2hex(reader->digest, sizeof(reader->digest), bytes,
	               sizeof(bytes));
	return reader->digest;
}

/* A line of `size` bytes that stands whole in the buffer. */
static void show(struct file_reader *reader, size_t size, size_t max,
                 struct file_line *line)
{
	*line = (struct file_line){
		.data = reader->buffer + reader->begin,
		.size = size,
		.full_size = size,
		.offset = reader->offset,
	};
	if (size > max) {
		crypto_hash_sha256_state hash;

		crypto_hash_sha256_init(&hash);
		crypto_hash_sha256_update(&hash,
			(const unsigned char *)line->data, size);
		line->digest = digest_of(reader, &hash);
		line->size = size < FILE_READER_HEAD ? size : FILE_READER_HEAD;
	}
}

static void show_long(struct file_reader *reader, struct file_line *line)
{
	crypto_hash_sha256_state hash = reader->hash;

	*line = (struct file_line){
		.data = reader->buffer,
		.size = FILE_READER_HEAD,
		.full_size = reader->long_size,
		.offset = reader->offset,
		.digest = digest_of(reader, &hash),
	};
}

bool file_reader_peek(struct file_reader *reader, size_t max,
                      struct file_line *line)
{
	if (reader->is_long) {
		if (!reader->long_whole) {
			return false;
		}
		show_long(reader, line);
		line->end = line->offset + line->full_size + 1;
		return true;
	}

	const char *const newline = memchr(reader->buffer + reader->scanned,
	                                   '\n', reader->end - reader->scanned);
	if (newline == NULL) {
		reader->scanned = reader->end;
		return false;
	}
	reader->scanned = (size_t)(newline - reader->buffer);
	show(reader, reader->scanned - reader->begin, max, line);
	line->end = line->offset + line->full_size + 1;
	return true;
}

void file_reader_next(struct file_reader *reader, const struct file_line *line)
{
	if (reader->is_long) {
		reader->begin = reader->long_next;
		reader->is_long = false;
	} else {
		reader->begin += (size_t)line->full_size + 1;
	}
	assert(reader->begin <= reader->end);
	reader->scanned = reader->begin;
	reader->offset = line->end;
}

bool file_reader_rest(struct file_reader *reader, size_t max,
                      struct file_line *line)
{
	if (reader->is_long) {
		show_long(reader, line);
	} else if (reader->begin < reader->end) {
		show(reader, reader->end - reader->begin, max, line);
	} else {
		return false;
	}
	line->end = line->offset + line->full_size;
	return true;
}

/* --- reading -------------------------------------------------------------- */

static enum file_step read_plain(struct file_reader *reader, char *out,
                                 size_t size, size_t *got)
{
	const ssize_t n = pread(reader->fd, out, size, (off_t)reader->raw);

	if (n < 0) {
		bursar_fail(&reader->why, errno, "%s", strerror(errno));
		return FILE_STEP_BAD;
	}
	reader->raw += (uint64_t)n;
	*got = (size_t)n;
	return n == 0 ? FILE_STEP_END : FILE_STEP_DATA;
}

/* Reads packed bytes, where none are left. */
static enum file_step feed(struct file_reader *reader)
{
	if (reader->input_begin < reader->input_end) {
		return FILE_STEP_DATA;
	}

	size_t got = 0;
	const enum file_step step = read_plain(reader, reader->input,
	                                       INPUT_SIZE, &got);
	reader->input_begin = 0;
	reader->input_end = got;
	if (step == FILE_STEP_END && reader->part_open) {
		bursar_fail(&reader->why, ENODATA,
		            "cut off after %llu bytes, within what is packed",
		            (unsigned long long)reader->raw);
		return FILE_STEP_CUT;
	}
	return step;
}

static enum file_step damaged(struct file_reader *reader, const char *why)
{
	const uint64_t at = reader->raw - reader->input_end +
		reader->input_begin;

	bursar_fail(&reader->why, EBADMSG, "damaged before byte %llu: %s",
	            (unsigned long long)at,
	            why != NULL ? why : "not what gzip writes");
	return FILE_STEP_BAD;
}

/* gzip's own tool pads with zeros and takes them as an end. */
static void skip_padding(struct file_reader *reader)
{
	while (reader->input_begin < reader->input_end &&
	       reader->input[reader->input_begin] == '\0') {
		reader->input_begin++;
	}
}

static enum file_step inflate_some(struct file_reader *reader, char *out,
                                   size_t size, size_t *got)
{
	z_stream *zip = &reader->zip;

	zip->next_in = (Bytef *)reader->input + reader->input_begin;
	zip->avail_in = (uInt)(reader->input_end - reader->input_begin);
	zip->next_out = (Bytef *)out;
	zip->avail_out = (uInt)size;

	const int status = inflate(zip, Z_NO_FLUSH);

	reader->input_begin = reader->input_end - zip->avail_in;
	*got = size - zip->avail_out;
	switch (status) {
	case Z_STREAM_END:
		inflateReset(zip);
		reader->part_open = false;
		return FILE_STEP_DATA;
	case Z_OK:
	case Z_BUF_ERROR:
		return FILE_STEP_DATA;
	case Z_MEM_ERROR:
		return FILE_STEP_MEMORY;
	default:
		return damaged(reader, zip->msg);
	}
}

/*
 * Libzstd goes on as long as it has input, and when it comes upon damage it
 * does not say what it unpacked before that.  So it gets one block at a time,
 * and none while text of the block before may wait.
 */
static enum file_step unzstd_some(struct file_reader *reader, char *out,
                                  size_t size, size_t *got)
{
	const size_t left = reader->input_end - reader->input_begin;
	ZSTD_inBuffer from = {
		reader->input + reader->input_begin,
		left < reader->zstd_wants ? left : reader->zstd_wants, 0,
	};
	ZSTD_outBuffer to = { out, size, 0 };

	const size_t status = ZSTD_decompressStream(reader->zstd, &to, &from);

	reader->input_begin += from.pos;
	*got = to.pos;
	if (ZSTD_isError(status)) {
		return damaged(reader, ZSTD_getErrorName(status));
	}
	reader->part_open = status != 0;
	reader->zstd_wants = to.pos == to.size ? 0 :
	                     status != 0 ? status : ZSTD_FIRST;
	return FILE_STEP_DATA;
}

/*
 * One turn: unpacks what is at hand, or reads what comes next.  Text may wait
 * within the library with no input left, so that is asked first.
 */
static enum file_step unpack(struct file_reader *reader, char *out, size_t size,
                             size_t *got)
{
	if (reader->part_open) {
		const enum file_step step = reader->packing == FILE_GZIP ?
			inflate_some(reader, out, size, got) :
			unzstd_some(reader, out, size, got);

		if (step != FILE_STEP_DATA || *got > 0) {
			return step;
		}
	}

	const enum file_step step = feed(reader);
	if (step == FILE_STEP_DATA && !reader->part_open) {
		if (reader->packing == FILE_GZIP) {
			skip_padding(reader);
		}
		reader->part_open = reader->input_begin < reader->input_end;
	}
	return step;
}

/* Unpacks; what fails after some text is said only with the next call. */
static enum file_step read_packed(struct file_reader *reader, char *out,
                                  size_t size, size_t *got)
{
	if (reader->failed != FILE_STEP_DATA) {
		return reader->failed;
	}

	const enum file_step step = unpack(reader, out, size, got);

	if (step == FILE_STEP_BAD || step == FILE_STEP_CUT) {
		reader->failed = step;
	}
	return *got > 0 ? FILE_STEP_DATA : step;
}

static int resize(struct file_reader *reader, size_t room)
{
	char *buffer = realloc(reader->buffer, room);

	if (buffer == NULL) {
		return -1;
	}
	reader->buffer = buffer;
	reader->room = room;
	return 0;
}

/* The line so far is above the limit: from here on it is only hashed. */
static void go_long(struct file_reader *reader)
{
	crypto_hash_sha256_init(&reader->hash);
	crypto_hash_sha256_update(&reader->hash,
		(const unsigned char *)reader->buffer, reader->end);
	reader->long_size = reader->end;
	reader->is_long = true;
	reader->long_whole = false;
}

/* Finds room behind what is not taken yet; may change the mode. */
static int make_room(struct file_reader *reader, size_t max)
{
	if (reader->is_long) {
		return 0;
	}
	if (reader->begin > 0) {
		memmove(reader->buffer, reader->buffer + reader->begin,
		        reader->end - reader->begin);
		reader->end -= reader->begin;
		reader->begin = 0;
		reader->scanned = reader->end;
	}
	if (reader->room > reader->first_room &&
	    reader->end < reader->first_room) {
		return resize(reader, reader->first_room);
	}
	if (reader->end < reader->room) {
		return 0;
	}
	if (reader->end > max) {
		go_long(reader);
		return 0;
	}

	const size_t most = max + reader->first_room;
	return resize(reader,
	              reader->room < most / 2 ? reader->room * 2 : most);
}

/* Hashes what was read behind the beginning of a long line. */
static void go_on_long(struct file_reader *reader, size_t got)
{
	const char *const more = reader->buffer + FILE_READER_HEAD;
	const char *const newline = memchr(more, '\n', got);
	const size_t size = newline != NULL ? (size_t)(newline - more) : got;

	crypto_hash_sha256_update(&reader->hash, (const unsigned char *)more,
	                          size);
	reader->long_size += size;
	reader->end = FILE_READER_HEAD + got;
	reader->long_whole = newline != NULL;
	reader->long_next = FILE_READER_HEAD + size + 1;
}

/* Drops text before the offset that was asked for. */
static size_t drop(struct file_reader *reader, char *text, size_t got)
{
	const size_t gone = reader->skip < got ? (size_t)reader->skip : got;

	if (gone > 0) {
		reader->skip -= gone;
		memmove(text, text + gone, got - gone);
	}
	return got - gone;
}

enum file_step file_reader_fill(struct file_reader *reader, size_t max,
                                struct bursar_error *err)
{
	assert(reader->fd >= 0);

	if (make_room(reader, max) != 0) {
		return FILE_STEP_MEMORY;
	}

	const size_t at = reader->is_long ? FILE_READER_HEAD : reader->end;
	char *const out = reader->buffer + at;
	size_t got = 0;
	const enum file_step step = reader->packing == FILE_PLAIN ?
		read_plain(reader, out, reader->room - at, &got) :
		read_packed(reader, out, reader->room - at, &got);

	if (step == FILE_STEP_BAD || step == FILE_STEP_CUT) {
		bursar_fail(err, reader->why.code, "%s", reader->why.text);
	}
	if (step != FILE_STEP_DATA) {
		return step;
	}
	got = drop(reader, out, got);
	if (reader->is_long) {
		go_on_long(reader, got);
	} else {
		reader->end += got;
	}
	return FILE_STEP_DATA;
}

uint64_t file_reader_raw(const struct file_reader *reader)
{
	return reader->raw;
}

bool file_reader_is_short(const struct file_reader *reader)
{
	return reader->skip > 0;
}
