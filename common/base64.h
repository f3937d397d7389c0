/* SPDX-License-Identifier: Apache-2.0 */

/*
 * base64.h - base64 with the standard alphabet (RFC 4648, section 4)
 *
 * Pure functions on the caller's memory.  Not in constant time: for texts that
 * travel, not for keys.
 */
#ifndef COMMON_BASE64_H
#define COMMON_BASE64_H

#include <bursar/plugin.h>

/* Bytes of text that `size` bytes become, padding included. */
static inline size_t base64_encoded_size(size_t size)
{
	return (size + 2) / 3 * 4;
}

/* Writes base64_encoded_size(size) bytes to out, no NUL. */
void base64_encode(const void *in, size_t size, char *out);

/*
 * Finds how many bytes `text` holds, by its length and padding alone.
 * Returns false where no strict base64 is that long: a size that is no
 * multiple of four.
 */
bool base64_decoded_size(struct bursar_span text, size_t *size);

/*
 * Decodes strictly: the alphabet and its padding and nothing else, unused bits
 * zero, so that no two texts mean the same bytes.  `out` has room for
 * base64_decoded_size(text) bytes and does not overlap the text.
 * Returns false where text is anything else; out is then undefined.
 */
bool base64_decode(struct bursar_span text, void *out);

/* Room that base64_decode_loose() needs for a text. */
static inline size_t base64_loose_size(struct bursar_span text)
{
	return text.size / 4 * 3 + 3;
}

/*
 * Decodes as mail programs do (RFC 2045): what is not of the alphabet, line
 * breaks above all, is skipped, and the first '=' ends the text.
 * Returns the number of bytes written, at most base64_loose_size(text).
 */
size_t base64_decode_loose(struct bursar_span text, void *out);

#endif
