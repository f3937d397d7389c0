/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_body.c - unpacking bodies, and finding the records in them
 *
 * Splitting is a walk over the bytes with a table of what each of them means.
 * A whole reading here would double the cost of a record, as the core reads
 * each again, and would refuse a hundred records for one.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST		/* what is read may be const */
#include <zlib.h>
#include <zstd.h>

#include "http_body.h"

#define FIRST_ROOM   ((size_t)4 * 1024)
#define WINDOW_LOG   23		/* RFC 8878: what every reader has to take */
#define FIRST_ITEMS  64

/* --- bytes ---------------------------------------------------------------- */

size_t http_bytes_room(const struct http_bytes *bytes, size_t size)
{
	size_t room = bytes->room > 0 ? bytes->room : FIRST_ROOM;

	while (room < size) {
		if (room > SIZE_MAX / 4) {
			return 0;
		}
		room *= 2;
	}
	return bytes->most > 0 && bytes->most >= size && bytes->most < room
	     ? bytes->most : room;
}

bool http_bytes_reserve(struct http_bytes *bytes, size_t size)
{
	const size_t room = http_bytes_room(bytes, size);

	if (bytes->room > 0 && room == bytes->room) {
		return true;
	}
	char *data = room > 0 ? realloc(bytes->data, room + HTTP_PADDING)
	                      : NULL;
	if (data == NULL) {
		return false;
	}
	memset(data + room, 0, HTTP_PADDING);
	bytes->data = data;
	bytes->room = room;
	return true;
}

void http_bytes_fit(struct http_bytes *bytes)
{
	char *data = bytes->size > 0 && bytes->size < bytes->room
		? realloc(bytes->data, bytes->size + HTTP_PADDING) : NULL;

	if (data == NULL) {
		return;
	}
	memset(data + bytes->size, 0, HTTP_PADDING);
	bytes->data = data;
	bytes->room = bytes->size;
}

void http_bytes_finish(struct http_bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct http_bytes){ 0 };
}

/* --- packed bodies -------------------------------------------------------- */

static int no_memory(struct bursar_error *err)
{
	return bursar_fail(err, ENOMEM, "out of memory");
}

static int damaged(struct bursar_error *err)
{
	return bursar_fail(err, EILSEQ, "the packed body is damaged or cut "
	                   "off");
}

/* Room for more text, one byte above the limit at most: that one tells. */
static int make_room(struct http_bytes *out, size_t limit,
                     struct bursar_error *err)
{
	if (out->size > limit) {
		return bursar_fail(err, EFBIG, "the body unpacks to more than "
		                   "%zu bytes", limit);
	}
	if (out->size < out->room) {
		return 0;
	}
	return http_bytes_reserve(out, out->size + 1) ? 0 : no_memory(err);
}

static size_t room_of(const struct http_bytes *out, size_t limit)
{
	const size_t room = out->room <= limit ? out->room : limit + 1;

	return room - out->size;
}

static int gunzip_all(z_stream *zip, size_t limit, struct http_bytes *out,
                      struct bursar_error *err)
{
	int status = Z_OK;

	do {
		if (status == Z_STREAM_END && inflateReset(zip) != Z_OK) {
			return damaged(err);
		}
		if (make_room(out, limit, err) != 0) {
			return -1;
		}
		const size_t room = room_of(out, limit);

		zip->next_out = (Bytef *)out->data + out->size;
		zip->avail_out = (uInt)room;
		status = inflate(zip, Z_NO_FLUSH);
		out->size += room - zip->avail_out;
		if (status == Z_MEM_ERROR) {
			return no_memory(err);
		}
		if (status != Z_OK && status != Z_STREAM_END) {
			return damaged(err);
		}
	} while (status != Z_STREAM_END || zip->avail_in > 0);
	return out->size <= limit ? 0 : make_room(out, limit, err);
}

static int gunzip(struct bursar_span in, size_t limit, struct http_bytes *out,
                  struct bursar_error *err)
{
	z_stream zip = { 0 };

	if (inflateInit2(&zip, 15 + 16) != Z_OK) {
		return no_memory(err);
	}
	zip.next_in = (const Bytef *)in.data;
	zip.avail_in = (uInt)in.size;
	const int result = gunzip_all(&zip, limit, out, err);
	inflateEnd(&zip);
	return result;
}

static int unzstd_all(ZSTD_DCtx *zstd, struct bursar_span span, size_t limit,
                      struct http_bytes *out, struct bursar_error *err)
{
	ZSTD_inBuffer in = { span.data, span.size, 0 };
	size_t left;

	do {
		if (make_room(out, limit, err) != 0) {
			return -1;
		}
		ZSTD_outBuffer to = {
			out->data + out->size, room_of(out, limit), 0,
		};
		const size_t before = in.pos;

		left = ZSTD_decompressStream(zstd, &to, &in);
		out->size += to.pos;
		if (ZSTD_isError(left) || (to.pos == 0 && in.pos == before)) {
			return damaged(err);
		}
	} while (left != 0 || in.pos < in.size);
	return out->size <= limit ? 0 : make_room(out, limit, err);
}

static int unzstd(struct bursar_span in, size_t limit, struct http_bytes *out,
                  struct bursar_error *err)
{
	ZSTD_DCtx *zstd = ZSTD_createDCtx();
	int result;

	if (zstd == NULL) {
		return no_memory(err);
	}
	ZSTD_DCtx_setParameter(zstd, ZSTD_d_windowLogMax, WINDOW_LOG);
	result = unzstd_all(zstd, in, limit, out, err);
	ZSTD_freeDCtx(zstd);
	return result;
}

int http_unpack(enum http_packing packing, struct bursar_span in, size_t limit,
                struct http_bytes *out, struct bursar_error *err)
{
	if (in.size == 0 || in.size > UINT32_MAX / 2) {
		return damaged(err);
	}
	return packing == HTTP_ZSTD ? unzstd(in, limit, out, err)
	                            : gunzip(in, limit, out, err);
}

/* --- records -------------------------------------------------------------- */

void http_list_finish(struct http_list *list)
{
	free(list->items);
	*list = (struct http_list){ 0 };
}

static int add(struct http_list *list, size_t limit, const char *begin,
               const char *end, struct bursar_error *err)
{
	if (list->count == limit) {
		return bursar_fail(err, E2BIG, "more than %zu records in a "
		                   "request", limit);
	}
	if (list->count == list->room) {
		const size_t room = list->room > 0 ? 2 * list->room
		                                   : FIRST_ITEMS;
		struct bursar_span *items =
			realloc(list->items, room * sizeof(*items));

		if (items == NULL) {
			return no_memory(err);
		}
		list->items = items;
		list->room = room;
	}
	list->items[list->count++] =
		(struct bursar_span){ begin, (size_t)(end - begin) };
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && is_blank(*at)) {
		at++;
	}
	return at;
}

static const char *trim(const char *begin, const char *end)
{
	while (end > begin && is_blank(end[-1])) {
		end--;
	}
	return end;
}

/* What a byte means to the walk; 0: nothing. */
enum { QUOTE = 1, OPEN, CLOSE, COMMA, ESCAPE };

static const unsigned char meaning[256] = {
	['"'] = QUOTE, ['{'] = OPEN, ['['] = OPEN, ['}'] = CLOSE,
	[']'] = CLOSE, [','] = COMMA, ['\\'] = ESCAPE,
};

struct walk {
	const char *begin;	/* of the body */
	const char *end;
	struct bursar_error *err;
};

static int broken(const struct walk *walk, const char *at, const char *what)
{
	return bursar_fail(walk->err, EILSEQ, "the body is not JSON: %s at "
	                   "byte %zu", what, (size_t)(at - walk->begin));
}

/* Behind the string that begins at `at`; NULL: it does not end. */
static const char *skip_string(const char *at, const char *end)
{
	at++;
	while (at < end) {
		const unsigned char means = meaning[(unsigned char)*at];

		if (means == QUOTE) {
			return at + 1;
		}
		at += means == ESCAPE ? 2 : 1;
	}
	return NULL;
}

/* The brackets that are open where a walk is, from the outermost. */
struct nest {
	char   open[HTTP_MAX_DEPTH];
	size_t depth;
};

static int enter(struct nest *nest, const struct walk *walk, const char *at)
{
	if (nest->depth == HTTP_MAX_DEPTH) {
		return bursar_fail(walk->err, ELOOP, "nested deeper than %d",
		                   HTTP_MAX_DEPTH);
	}
	nest->open[nest->depth++] = *at;
	return 0;
}

static int leave(struct nest *nest, const struct walk *walk, const char *at)
{
	/* '[' and ']', '{' and '}' are two apart. */
	if (*at - nest->open[--nest->depth] != 2) {
		return broken(walk, at, "another bracket than expected");
	}
	return 0;
}

/*
 * Walks to what ends a value: the comma or bracket at `at` that belongs to
 * what is around it, or the end of the body.  NULL: *walk->err is filled.
 */
static const char *skip_value(const struct walk *walk, const char *at)
{
	struct nest nest = { .depth = 0 };

	while (at < walk->end) {
		const unsigned char means = meaning[(unsigned char)*at];

		if (nest.depth == 0 && (means == CLOSE || means == COMMA)) {
			return at;
		}
		if (means == QUOTE) {
			const char *behind = skip_string(at, walk->end);

			if (behind == NULL) {
				broken(walk, at, "a string without end");
				return NULL;
			}
			at = behind;
			continue;
		}
		if ((means == OPEN && enter(&nest, walk, at) != 0) ||
		    (means == CLOSE && leave(&nest, walk, at) != 0)) {
			return NULL;
		}
		at++;
	}
	if (nest.depth > 0) {
		broken(walk, at, "the end, before a closing bracket");
		return NULL;
	}
	return at;
}

static int split_array(const struct walk *walk, const char *at, size_t limit,
                       struct http_list *list, const char **behind)
{
	const char *first = skip_blanks(at + 1, walk->end);

	if (first < walk->end && *first == ']') {
		return bursar_fail(walk->err, EILSEQ, "the array has no "
		                   "records");
	}
	do {
		const char *begin = skip_blanks(at + 1, walk->end);
		const char *end = skip_value(walk, begin);

		if (end == NULL) {
			return -1;
		}
		if (end == walk->end || *end == '}') {
			return broken(walk, end, "no end of the array");
		}
		if (end == begin) {
			return broken(walk, end, "nothing where a record is "
			              "expected");
		}
		if (add(list, limit, begin, trim(begin, end),
		        walk->err) != 0) {
			return -1;
		}
		at = end;
	} while (*at == ',');
	*behind = at + 1;
	return 0;
}

/* One object is a value like any other, but its end has to be found. */
static int split_object(const struct walk *walk, const char *at, size_t limit,
                        struct http_list *list, const char **behind)
{
	const struct walk inner = {
		.begin = walk->begin, .end = walk->end, .err = walk->err,
	};
	const char *end = at;

	/* Within the object its closing bracket is the first at depth 0. */
	do {
		end = skip_value(&inner, end + 1);
	} while (end != NULL && end < walk->end && *end == ',');
	if (end == NULL) {
		return -1;
	}
	if (end == walk->end || *end != '}') {
		return broken(walk, end, "no end of the object");
	}
	*behind = end + 1;
	return add(list, limit, at, *behind, walk->err);
}

int http_split_json(struct bursar_span body, size_t limit,
                    struct http_list *list, struct bursar_error *err)
{
	const struct walk walk = {
		.begin = body.data, .end = body.data + body.size, .err = err,
	};
	const char *at = skip_blanks(walk.begin, walk.end);
	const char *behind = NULL;

	if (at == walk.end) {
		return bursar_fail(err, EILSEQ, "the body is empty");
	}
	if (*at != '{' && *at != '[') {
		return broken(&walk, at, "neither an object nor an array");
	}
	if ((*at == '{' ? split_object : split_array)(&walk, at, limit, list,
	                                              &behind) != 0) {
		return -1;
	}
	behind = skip_blanks(behind, walk.end);
	return behind == walk.end ? 0 :
	       broken(&walk, behind, "something behind the end");
}

int http_split_lines(struct bursar_span body, size_t limit,
                     struct http_list *list, struct bursar_error *err)
{
	const char *end = body.data + body.size;

	for (const char *at = body.data; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline != NULL ? newline : end;
		const char *begin = skip_blanks(at, stop);

		if (begin < stop &&
		    add(list, limit, begin, trim(begin, stop), err) != 0) {
			return -1;
		}
		at = stop + 1;
	}
	return list->count > 0 ? 0 : bursar_fail(err, EILSEQ,
	                                         "the body is empty");
}
