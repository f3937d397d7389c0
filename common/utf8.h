/* SPDX-License-Identifier: Apache-2.0 */

/*
 * utf8.h - text that is UTF-8 without NUL, and what becomes of other bytes
 *
 * A clean text holds neither NUL nor a byte that is no UTF-8.  Escaping makes
 * any bytes clean, the same bytes always the same text: NUL becomes \u0000, as
 * in a text of JSON, and each byte that is no UTF-8 becomes \xNN with two
 * lower-case digits.  Clean text stays as it is, a backslash in it too.
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <string.h>

#include <bursar/plugin.h>

/* An escape takes so many bytes at most. */
#define UTF8_ESCAPE 6

/* The size of the character at `at`, of `left` bytes; 0: it is none. */
static inline size_t utf8_size(const char *at, size_t left)
{
	const unsigned char *p = (const unsigned char *)at;
	const unsigned char c = p[0];
	const unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	const unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	const size_t size = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 :
	                    c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (size > left || (size > 1 && (p[1] < low || p[1] > high))) {
		return 0;
	}
	for (size_t i = 2; i < size; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	return size;
}

/* Whether it is UTF-8; NUL is allowed. */
static inline bool utf8_is_valid(struct bursar_span text)
{
	size_t at = 0;

	while (at < text.size) {
		const size_t size = utf8_size(text.data + at, text.size - at);

		if (size == 0) {
			return false;
		}
		at += size;
	}
	return true;
}

/* Whether it is UTF-8 without NUL. */
static inline bool utf8_is_clean(struct bursar_span text)
{
	return text.size == 0 ||
	       (memchr(text.data, '\0', text.size) == NULL &&
	        utf8_is_valid(text));
}

/* Writes the clean form of a text to out, which has room for UTF8_ESCAPE times
 * its size.  Returns the size of what was written. */
static inline size_t utf8_escape(struct bursar_span text, char *out)
{
	static const char digits[] = "0123456789abcdef";
	char *to = out;
	size_t at = 0;

	while (at < text.size) {
		const unsigned char c = (unsigned char)text.data[at];
		const size_t size = utf8_size(text.data + at, text.size - at);

		if (c == '\0') {
			memcpy(to, "\\u0000", 6);
			to += 6;
		} else if (size == 0) {
			*to++ = '\\';
			*to++ = 'x';
			*to++ = digits[c >> 4];
			*to++ = digits[c & 15];
		} else {
			memcpy(to, text.data + at, size);
			to += size;
		}
		at += size > 0 ? size : 1;
	}
	return (size_t)(to - out);
}

#endif
