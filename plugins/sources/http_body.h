/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_body.h - from the body of a request to the texts of its records
 *
 * Pure functions on bytes that anybody may have sent.  They look at no more
 * than the structure: brackets, strings and commas.  Whether a record is JSON
 * that makes sense is the core's to say, record by record, so that one that is
 * broken does not take the others with it.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include <bursar/plugin.h>

/* Deeper nesting is refused. */
#define HTTP_MAX_DEPTH 512
/* Readable bytes behind every text. */
#define HTTP_PADDING   64

enum http_packing { HTTP_PLAIN, HTTP_GZIP, HTTP_ZSTD };

/* Bytes that grow; followed by HTTP_PADDING readable ones where room > 0. */
struct http_bytes {
	char  *data;
	size_t size;
	size_t room;		/* padding not counted */
	size_t most;		/* no more is expected; 0: not known */
};

/* The room that there will be after reserving `size` bytes; 0: too much. */
size_t http_bytes_room(const struct http_bytes *bytes, size_t size);
/* Makes room for `size` bytes in all; false: out of memory. */
bool http_bytes_reserve(struct http_bytes *bytes, size_t size);
/* Gives back room that is not used, as far as that can be. */
void http_bytes_fit(struct http_bytes *bytes);
void http_bytes_finish(struct http_bytes *bytes);

/*
 * Unpacks `in` (gzip, RFC 1952, of one or several members; zstd, RFC 8878, of
 * frames with a window of 8 MB at most) into *out, which is empty.
 *
 * Returns 0, or -1 with *err filled:
 *	EILSEQ	damaged, cut off, or followed by something else
 *	EFBIG	it would be longer than `limit` bytes; no more was unpacked
 *	ENOMEM	out of memory
 */
int http_unpack(enum http_packing packing, struct bursar_span in, size_t limit,
                struct http_bytes *out, struct bursar_error *err);

/* Where records stand; count is at most the limit. */
struct http_list {
	struct bursar_span *items;
	size_t count;
	size_t room;
};
void http_list_finish(struct http_list *list);

/*
 * Finds the records of a body: the object that it is, or the elements of the
 * array that it is.  Spans of the body, white space around them left out,
 * never empty.  *list is empty before and has at least one item after success.
 *
 * Returns 0, or -1 with *err filled:
 *	EILSEQ	neither object nor array, brackets that do not match, an empty
 *		element or array, something behind the end; the text names the
 *		offset, never content
 *	ELOOP	nested deeper than HTTP_MAX_DEPTH
 *	E2BIG	more than `limit` records
 *	ENOMEM	out of memory
 */
int http_split_json(struct bursar_span body, size_t limit,
                    struct http_list *list, struct bursar_error *err);

/* The same for JSON lines: each line that is not blank is a record. */
int http_split_lines(struct bursar_span body, size_t limit,
                     struct http_list *list, struct bursar_error *err);

#endif
