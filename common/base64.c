/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Base64 by tables: one look-up a character, the shift done beforehand.
 *
 * Every entry of the alphabet carries a mark, a bit of its own for each of the
 * four places in a group; a group is good when all four marks are there, which
 * takes one comparison.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "common/base64.h"

#define MARK(place) (1u << (24 + (place)))
#define MARKS       (MARK(0) | MARK(1) | MARK(2) | MARK(3))

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define ENTRY(c, v, p) [c] = (MARK(p) | (uint32_t)(v) << (18 - 6 * (p)))
#define PLACE(p) { \
	ENTRY('A',  0, p), ENTRY('B',  1, p), ENTRY('C',  2, p), \
	ENTRY('D',  3, p), ENTRY('E',  4, p), ENTRY('F',  5, p), \
	ENTRY('G',  6, p), ENTRY('H',  7, p), ENTRY('I',  8, p), \
	ENTRY('J',  9, p), ENTRY('K', 10, p), ENTRY('L', 11, p), \
	ENTRY('M', 12, p), ENTRY('N', 13, p), ENTRY('O', 14, p), \
	ENTRY('P', 15, p), ENTRY('Q', 16, p), ENTRY('R', 17, p), \
	ENTRY('S', 18, p), ENTRY('T', 19, p), ENTRY('U', 20, p), \
	ENTRY('V', 21, p), ENTRY('W', 22, p), ENTRY('X', 23, p), \
	ENTRY('Y', 24, p), ENTRY('Z', 25, p), ENTRY('a', 26, p), \
	ENTRY('b', 27, p), ENTRY('c', 28, p), ENTRY('d', 29, p), \
	ENTRY('e', 30, p), ENTRY('f', 31, p), ENTRY('g', 32, p), \
	ENTRY('h', 33, p), ENTRY('i', 34, p), ENTRY('j', 35, p), \
	ENTRY('k', 36, p), ENTRY('l', 37, p), ENTRY('m', 38, p), \
	ENTRY('n', 39, p), ENTRY('o', 40, p), ENTRY('p', 41, p), \
	ENTRY('q', 42, p), ENTRY('r', 43, p), ENTRY('s', 44, p), \
	ENTRY('t', 45, p), ENTRY('u', 46, p), ENTRY('v', 47, p), \
	ENTRY('w', 48, p), ENTRY('x', 49, p), ENTRY('y', 50, p), \
	ENTRY('z', 51, p), ENTRY('0', 52, p), ENTRY('1', 53, p), \
	ENTRY('2', 54, p), ENTRY('3', 55, p), ENTRY('4', 56, p), \
	ENTRY('5', 57, p), ENTRY('6', 58, p), ENTRY('7', 59, p), \
	ENTRY('8', 60, p), ENTRY('9', 61, p), ENTRY('+', 62, p), \
	ENTRY('/', 63, p) }

static const uint32_t places[4][256] = {
	PLACE(0), PLACE(1), PLACE(2), PLACE(3),
};

static inline uint32_t group(const unsigned char *in)
{
	return places[0][in[0]] | places[1][in[1]] |
	       places[2][in[2]] | places[3][in[3]];
}

static inline void put(uint32_t bits, unsigned char *out)
{
	out[0] = (unsigned char)(bits >> 16);
	out[1] = (unsigned char)(bits >> 8);
	out[2] = (unsigned char)bits;
}

/* The same in one go, which also writes the byte behind the three. */
static inline void put_four(uint32_t bits, unsigned char *out)
{
	const uint32_t ordered = htobe32(bits << 8);

	memcpy(out, &ordered, sizeof(ordered));
}

void base64_encode(const void *in, size_t size, char *out)
{
	const unsigned char *p = in;

	assert(in != NULL || size == 0);

	for (; size >= 3; size -= 3, p += 3, out += 4) {
		const unsigned bits = (unsigned)p[0] << 16 |
		                      (unsigned)p[1] << 8 | p[2];

		out[0] = alphabet[bits >> 18];
		out[1] = alphabet[bits >> 12 & 63];
		out[2] = alphabet[bits >> 6 & 63];
		out[3] = alphabet[bits & 63];
	}
	if (size > 0) {
		const unsigned second = size == 2 ? p[1] : 0;

		out[0] = alphabet[p[0] >> 2];
		out[1] = alphabet[(p[0] & 3) << 4 | second >> 4];
		out[2] = size == 2 ? alphabet[(second & 15) << 2] : '=';
		out[3] = '=';
	}
}

static size_t padding(struct bursar_span text)
{
	if (text.size < 4 || text.data[text.size - 1] != '=') {
		return 0;
	}
	return text.data[text.size - 2] == '=' ? 2 : 1;
}

bool base64_decoded_size(struct bursar_span text, size_t *size)
{
	assert(text.data != NULL || text.size == 0);

	*size = text.size / 4 * 3 - padding(text);
	return text.size % 4 == 0;
}

/* The last group, where it is padded: 1 or 2 bytes, spare bits zero. */
static bool decode_last(const unsigned char *in, size_t pad,
                        unsigned char *out)
{
	const unsigned char last[4] = {
		in[0], in[1], pad == 2 ? 'A' : in[2], 'A',
	};
	const uint32_t bits = group(last);

	out[0] = (unsigned char)(bits >> 16);
	if (pad == 1) {
		out[1] = (unsigned char)(bits >> 8);
	}
	return (bits & MARKS) == MARKS &&
	       (bits & (pad == 2 ? 0xffffu : 0xffu)) == 0;
}

bool base64_decode(struct bursar_span text, void *out)
{
	const unsigned char *in = (const unsigned char *)text.data;
	unsigned char *to = out;
	uint32_t marks = MARKS;

	assert(text.data != NULL || text.size == 0);

	if (text.size % 4 != 0) {
		return false;
	}
	const size_t pad = padding(text);
	size_t left = text.size / 4 - (pad > 0);

	for (; left > 1; left--, in += 4, to += 3) {
		const uint32_t bits = group(in);

		marks &= bits;
		put_four(bits, to);
	}
	if (left == 1) {
		const uint32_t bits = group(in);

		marks &= bits;
		put(bits, to);
		in += 4;
		to += 3;
	}
	return marks == MARKS && (pad == 0 || decode_last(in, pad, to));
}

size_t base64_decode_loose(struct bursar_span text, void *out)
{
	unsigned char *to = out;
	uint32_t bits = 0;
	unsigned place = 0;

	assert(text.data != NULL || text.size == 0);

	for (size_t i = 0; i < text.size && text.data[i] != '='; i++) {
		const unsigned char c = (unsigned char)text.data[i];
		const uint32_t entry = places[place][c];

		if (entry == 0) {
			continue;
		}
		bits |= entry;
		if (++place == 4) {
			put(bits, to);
			to += 3;
			bits = 0;
			place = 0;
		}
	}
	if (place >= 2) {
		*to++ = (unsigned char)(bits >> 16);
	}
	if (place == 3) {
		*to++ = (unsigned char)(bits >> 8);
	}
	return (size_t)(to - (unsigned char *)out);
}
