/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Values out of nodes.  Nodes come from json_read(), so what they span is
 * known to be good: a string ends in its quote, an escape is complete.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "common/json.h"

/* --- strings ------------------------------------------------------------- */

static unsigned hex_digit(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c & 0xF) + 9;
}

static unsigned hex4(const char *p)
{
	return hex_digit(p[0]) << 12 | hex_digit(p[1]) << 8 |
	       hex_digit(p[2]) << 4 | hex_digit(p[3]);
}

static bool is_high(unsigned code)
{
	return (code & 0xFC00) == 0xD800;
}

static bool is_low(unsigned code)
{
	return (code & 0xFC00) == 0xDC00;
}

static char plain_escape(char c)
{
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

static size_t put_utf8(unsigned code, char *out)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xC0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xE0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3F));
		out[2] = (char)(0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3F));
	out[2] = (char)(0x80 | (code >> 6 & 0x3F));
	out[3] = (char)(0x80 | (code & 0x3F));
	return 4;
}

/*
 * Puts what the escape at *at stands for to out, never more bytes than the
 * escape has, and moves *at behind it.
 */
static size_t unescape(const char **at, char *out, unsigned *met)
{
	const char *p = *at;

	if (p[1] != 'u') {
		*at = p + 2;
		*out = plain_escape(p[1]);
		return 1;
	}
	const unsigned code = hex4(p + 2);
	*at = p + 6;
	if (is_high(code) && p[6] == '\\' && p[7] == 'u' &&
	    is_low(hex4(p + 8))) {
		*at = p + 12;
		return put_utf8(0x10000 + ((code & 0x3FF) << 10) +
		                (hex4(p + 8) & 0x3FF), out);
	}
	if (code == 0 || is_high(code) || is_low(code)) {
		*met |= code == 0 ? JSON_HAD_NUL : JSON_HAD_SURROGATE;
		memcpy(out, p, 6);
		return 6;
	}
	return put_utf8(code, out);
}

/* What stands between the quotes. */
static struct bursar_span inside(const struct json_doc *doc, uint32_t node)
{
	const struct bursar_span raw = json_raw(doc, node);

	assert(doc->nodes[node].type == JSON_STRING);

	return (struct bursar_span){ raw.data + 1, raw.size - 2 };
}

/* Where the run of bytes without escapes ends that starts at p. */
static const char *run_end(const char *p, const char *end)
{
	const char *found = memchr(p, '\\', (size_t)(end - p));

	return found == NULL ? end : found;
}

static bool equals_escaped(struct bursar_span in, const char *text, size_t size)
{
	const char *p = in.data;
	const char *end = in.data + in.size;
	unsigned met = 0;
	char made[6];

	while (p < end) {
		const char *piece = p;
		size_t length;

		if (*p == '\\') {
			length = unescape(&p, made, &met);
			piece = made;
		} else {
			p = run_end(p, end);
			length = (size_t)(p - piece);
		}
		if (length > size || memcmp(piece, text, length) != 0) {
			return false;
		}
		text += length;
		size -= length;
	}
	return size == 0;
}

uint32_t json_member(const struct json_doc *doc, uint32_t object,
                     const char *name)
{
	const struct json_node *nodes = doc->nodes;
	const size_t size = strlen(name);
	uint32_t found = 0;

	if (nodes[object].type != JSON_OBJECT) {
		return 0;
	}
	for (uint32_t i = object + 1; i < nodes[object].next;
	     i = nodes[i + 1].next) {
		if (json_equals(doc, i, name, size)) {
			found = i + 1;
		}
	}
	return found;
}

bool json_equals(const struct json_doc *doc, uint32_t node, const char *text,
                 size_t size)
{
	assert(doc->nodes[node].type == JSON_STRING);

	if (doc->nodes[node].escaped) {
		return equals_escaped(inside(doc, node), text, size);
	}
	return doc->nodes[node].size == size + 2 &&
	       memcmp(doc->text + doc->nodes[node].start + 1, text, size) == 0;
}

bool json_text(const struct json_doc *doc, uint32_t node,
                 struct bursar_arena *arena, struct bursar_span *text,
                 unsigned *met)
{
	const struct bursar_span in = inside(doc, node);
	const char *end = in.data + in.size;
	const char *p = in.data;
	char *made;
	char *out;

	*met = 0;
	*text = in;
	if (!doc->nodes[node].escaped) {
		return true;
	}
	made = arena->alloc(arena, in.size);
	if (made == NULL) {
		return false;
	}
	out = made;
	while (p < end) {
		const char *run = p;

		p = run_end(p, end);
		memcpy(out, run, (size_t)(p - run));
		out += p - run;
		while (p < end && *p == '\\') {
			out += unescape(&p, out, met);
		}
	}
	*text = (struct bursar_span){ made, (size_t)(out - made) };
	return true;
}

/* --- numbers ------------------------------------------------------------- */

/* The digits of a number as written, and where its point belongs. */
struct decimal {
	bool        negative;
	const char *whole;	/* digits before the point */
	size_t      whole_size;
	const char *fraction;	/* digits behind it */
	size_t      fraction_size;
	int64_t     exponent;
};

static size_t count_digits(const char *p, const char *end)
{
	size_t count = 0;

	while (p + count < end && p[count] >= '0' && p[count] <= '9') {
		count++;
	}
	return count;
}

/* Beyond what 4 GB of digits could make up for, more makes no difference. */
static int64_t parse_exponent(const char *p, size_t size)
{
	int64_t value = 0;

	for (size_t i = 0; i < size && value < INT64_C(1) << 40; i++) {
		value = value * 10 + (p[i] - '0');
	}
	return value;
}

/* Returns false where `text` is not a number and nothing but a number. */
static bool parse_decimal(struct bursar_span text, struct decimal *decimal)
{
	const char *p = text.data;
	const char *end = p + text.size;

	*decimal = (struct decimal){ .negative = p < end && *p == '-' };
	p += decimal->negative;
	decimal->whole = p;
	decimal->whole_size = count_digits(p, end);
	p += decimal->whole_size;
	if (decimal->whole_size == 0 ||
	    (decimal->whole_size > 1 && *decimal->whole == '0')) {
		return false;
	}
	if (p < end && *p == '.') {
		decimal->fraction = ++p;
		decimal->fraction_size = count_digits(p, end);
		p += decimal->fraction_size;
		if (decimal->fraction_size == 0) {
			return false;
		}
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		const bool down = p < end && *p == '-';
		p += p < end && (*p == '-' || *p == '+');
		const size_t size = count_digits(p, end);
		decimal->exponent = parse_exponent(p, size) * (down ? -1 : 1);
		p += size;
		if (size == 0) {
			return false;
		}
	}
	return p == end;
}

static unsigned digit(const struct decimal *decimal, size_t i)
{
	const char c = i < decimal->whole_size
	             ? decimal->whole[i]
	             : decimal->fraction[i - decimal->whole_size];

	return (unsigned)(c - '0');
}

/* Whether what is left from digit `from` on rounds `value` away from zero. */
static bool rounds_up(const struct decimal *decimal, size_t from, size_t count,
                      uint64_t value)
{
	if (digit(decimal, from) != 5) {
		return digit(decimal, from) > 5;
	}
	for (size_t i = from + 1; i < count; i++) {
		if (digit(decimal, i) != 0) {
			return true;
		}
	}
	return value % 2 == 1;
}

/* The decimal times 10^shift, rounded half to even, or truncated. */
static bool scale(const struct decimal *decimal, int shift, bool round,
                  int64_t *value)
{
	const size_t count = decimal->whole_size + decimal->fraction_size;
	const uint64_t limit = (uint64_t)INT64_MAX + decimal->negative;
	uint64_t made = 0;
	size_t zeros = 0;

	while (zeros < count && digit(decimal, zeros) == 0) {
		zeros++;
	}
	/* How many digits, zeros to be added included, make the integer. */
	const int64_t wanted = (int64_t)decimal->whole_size - (int64_t)zeros +
	                       decimal->exponent + shift;
	if (zeros == count || wanted < 0) {
		*value = 0;
		return true;
	}
	if (wanted > 19) {
		return false;
	}
	const size_t end = zeros + (size_t)wanted;
	for (size_t i = zeros; i < end; i++) {
		made = made * 10 + (i < count ? digit(decimal, i) : 0);
	}
	if (round && end < count && rounds_up(decimal, end, count, made)) {
		made++;
	}
	if (made > limit) {
		return false;
	}
	*value = (int64_t)(decimal->negative ? 0 - made : made);
	return true;
}

/* The sign and the digits that a text begins with. */
static bool parse_leading(struct bursar_span text, struct decimal *decimal)
{
	const char *p = text.data;
	const char *end = p + text.size;

	*decimal = (struct decimal){ .negative = p < end && *p == '-' };
	p += p < end && (*p == '-' || *p == '+');
	decimal->whole = p;
	decimal->whole_size = count_digits(p, end);
	return decimal->whole_size > 0;
}

bool json_int(const struct json_doc *doc, uint32_t node, int64_t *value)
{
	struct decimal decimal;

	switch (doc->nodes[node].type) {
	case JSON_NUMBER:
		return parse_decimal(json_raw(doc, node), &decimal) &&
		       scale(&decimal, 0, false, value);
	case JSON_STRING:
		return parse_leading(inside(doc, node), &decimal) &&
		       scale(&decimal, 0, false, value);
	default:
		return false;
	}
}

bool json_decimal(const struct json_doc *doc, uint32_t node, int digits,
                  int64_t *value)
{
	struct decimal decimal;

	assert(digits >= 0 && digits <= 18);

	switch (doc->nodes[node].type) {
	case JSON_NUMBER:
		return parse_decimal(json_raw(doc, node), &decimal) &&
		       scale(&decimal, digits, true, value);
	case JSON_STRING:
		return parse_decimal(inside(doc, node), &decimal) &&
		       scale(&decimal, digits, true, value);
	default:
		return false;
	}
}
