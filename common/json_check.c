/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The grammar of RFC 8259, byte by byte, without recursion and in bounded
 * memory.  It reads what the fast way does not take and finds the words for
 * what is wrong.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_check.h"

#define FIRST_ROOM 256

struct check {
	const char *text;
	const char *p;			/* the next byte to look at */
	const char *end;
	struct json_nodes *nodes;
	struct bursar_error *err;
	uint32_t depth;
	uint32_t open[JSON_MAX_DEPTH];	/* containers around p, as nodes */
};

/* --- failing ------------------------------------------------------------- */

static bool expected(struct check *check, const char *what)
{
	bursar_fail(check->err, EILSEQ, "not JSON: expected %s at byte %zu",
	            what, (size_t)(check->p - check->text));
	return false;
}

static bool refused(struct check *check, const char *why)
{
	bursar_fail(check->err, EILSEQ, "%s at byte %zu", why,
	            (size_t)(check->p - check->text));
	return false;
}

/* --- nodes --------------------------------------------------------------- */

static bool grow(struct check *check)
{
	struct json_nodes *nodes = check->nodes;
	const size_t room = nodes->room == 0 ? FIRST_ROOM : nodes->room * 2;
	struct json_node *list;

	list = realloc(nodes->list, room * sizeof(*list));
	if (list == NULL) {
		bursar_fail(check->err, ENOMEM, "out of memory");
		return false;
	}
	nodes->list = list;
	nodes->room = room;
	return true;
}

static bool add(struct check *check, const char *start, enum json_type type,
                bool escaped)
{
	struct json_nodes *nodes = check->nodes;

	if (nodes->count == JSON_MAX_NODES) {
		bursar_fail(check->err, E2BIG,
		            "JSON of more than %u values and names",
		            JSON_MAX_NODES);
		return false;
	}
	if (nodes->count == nodes->room && !grow(check)) {
		return false;
	}
	nodes->list[nodes->count] = (struct json_node){
		.start = (uint32_t)(start - check->text),
		.size = (uint32_t)(check->p - start),
		.next = (uint32_t)nodes->count + 1,
		.type = (uint8_t)type,
		.escaped = escaped,
	};
	nodes->count++;
	return true;
}

/* --- scalars ------------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void skip_space(struct check *check)
{
	while (check->p < check->end && memchr(" \t\n\r", *check->p, 4)) {
		check->p++;
	}
}

static bool looking_at(const struct check *check, char c)
{
	return check->p < check->end && *check->p == c;
}

static bool skip(struct check *check, char c)
{
	if (!looking_at(check, c)) {
		return false;
	}
	check->p++;
	return true;
}

static bool skip_escape(struct check *check)
{
	check->p++;
	if (skip(check, 'u')) {
		for (int i = 0; i < 4; i++) {
			if (check->p == check->end || !is_hex(*check->p)) {
				return expected(check, "a hexadecimal digit");
			}
			check->p++;
		}
		return true;
	}
	if (check->p == check->end || !memchr("\"\\/bfnrt", *check->p, 8)) {
		return expected(check, "an escape");
	}
	check->p++;
	return true;
}

/* The size of the UTF-8 character at p, 0 where there is none. */
static size_t utf8_size(const unsigned char *p, size_t left)
{
	const unsigned char low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
	const unsigned char high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
	const size_t size = p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2
	                  : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;

	if (size == 0 || size > left || p[1] < low || p[1] > high) {
		return 0;
	}
	for (size_t i = 2; i < size; i++) {
		if ((p[i] & 0xC0) != 0x80) {
			return 0;
		}
	}
	return size;
}

static bool skip_wide(struct check *check)
{
	const size_t size = utf8_size((const unsigned char *)check->p,
	                              (size_t)(check->end - check->p));

	if (size == 0) {
		return refused(check, "not UTF-8");
	}
	check->p += size;
	return true;
}

static bool read_string(struct check *check)
{
	const char *start = check->p;
	bool escaped = false;
	bool good = true;

	check->p++;
	while (good && check->p < check->end && *check->p != '"') {
		const unsigned char c = (unsigned char)*check->p;

		if (c == '\\') {
			escaped = true;
			good = skip_escape(check);
		} else if (c < 0x20) {
			good = refused(check, "not JSON: control character");
		} else if (c < 0x80) {
			check->p++;
		} else {
			good = skip_wide(check);
		}
	}
	if (!good) {
		return false;
	}
	if (!skip(check, '"')) {
		return expected(check, "a closing quote");
	}
	return add(check, start, JSON_STRING, escaped);
}

static bool skip_digits(struct check *check)
{
	const char *start = check->p;

	while (check->p < check->end && is_digit(*check->p)) {
		check->p++;
	}
	return check->p > start || expected(check, "a digit");
}

static bool read_number(struct check *check)
{
	const char *start = check->p;

	skip(check, '-');
	if (!skip(check, '0') && !skip_digits(check)) {
		return false;
	}
	if (skip(check, '.') && !skip_digits(check)) {
		return false;
	}
	if (skip(check, 'e') || skip(check, 'E')) {
		if (!skip(check, '-')) {
			skip(check, '+');
		}
		if (!skip_digits(check)) {
			return false;
		}
	}
	return add(check, start, JSON_NUMBER, false);
}

static bool read_word(struct check *check, const char *word,
                      enum json_type type)
{
	const char *start = check->p;
	const size_t size = strlen(word);

	if ((size_t)(check->end - start) < size ||
	    memcmp(start, word, size) != 0) {
		return expected(check, "a value");
	}
	check->p += size;
	return add(check, start, type, false);
}

/* --- structure ----------------------------------------------------------- */

static bool open_container(struct check *check, enum json_type type)
{
	const uint32_t node = (uint32_t)check->nodes->count;

	if (check->depth == JSON_MAX_DEPTH) {
		bursar_fail(check->err, E2BIG,
		            "JSON nested deeper than %d levels at byte %zu",
		            JSON_MAX_DEPTH, (size_t)(check->p - check->text));
		return false;
	}
	if (!add(check, check->p, type, false)) {
		return false;
	}
	check->open[check->depth++] = node;
	check->p++;
	return true;
}

static struct json_node *innermost(const struct check *check)
{
	return &check->nodes->list[check->open[check->depth - 1]];
}

/* Closes the innermost container where its closing bracket stands at p. */
static bool closes(struct check *check)
{
	struct json_node *node = innermost(check);

	if (!skip(check, node->type == JSON_OBJECT ? '}' : ']')) {
		return false;
	}
	node->size = (uint32_t)(check->p - check->text) - node->start;
	node->next = (uint32_t)check->nodes->count;
	check->depth--;
	return true;
}

static bool read_name(struct check *check)
{
	skip_space(check);
	if (!looking_at(check, '"')) {
		return expected(check, "a name in quotes");
	}
	if (!read_string(check)) {
		return false;
	}
	skip_space(check);
	return skip(check, ':') || expected(check, "a colon");
}

/* Reads a scalar, or no more than the bracket that opens a container. */
static bool read_value(struct check *check)
{
	skip_space(check);
	switch (check->p < check->end ? *check->p : '\0') {
	case '{':
		return open_container(check, JSON_OBJECT);
	case '[':
		return open_container(check, JSON_ARRAY);
	case '"':
		return read_string(check);
	case 't':
		return read_word(check, "true", JSON_TRUE);
	case 'f':
		return read_word(check, "false", JSON_FALSE);
	case 'n':
		return read_word(check, "null", JSON_NULL);
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return read_number(check);
	default:
		return expected(check, "a value");
	}
}

/*
 * Goes on behind a value, or behind a bracket that opened a container (then
 * `first`), to where the next value starts.  Returns false when there is none:
 * the root is complete, or something is wrong.
 */
static bool reach_value(struct check *check, bool first)
{
	while (check->depth > 0) {
		skip_space(check);
		if (closes(check)) {
			first = false;
			continue;
		}
		const bool object = innermost(check)->type == JSON_OBJECT;
		if (!first && !skip(check, ',')) {
			return expected(check, object ? "a comma or }"
			                              : "a comma or ]");
		}
		return !object || read_name(check);
	}
	return false;
}

/* What some editors write in front: of UTF-8, and of UTF-16 either way round. */
static bool begins_with_mark(const char *text, size_t size)
{
	return (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) ||
	       (size >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 ||
	                      memcmp(text, "\xFE\xFF", 2) == 0));
}

int json_check(struct json_nodes *nodes, const char *text, size_t size,
               struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	struct check check = {
		.text = text, .p = text, .end = text + size,
		.nodes = nodes, .err = &why,
	};
	uint32_t depth;

	assert(size <= UINT32_MAX);

	nodes->count = 0;
	do {
		depth = check.depth;
		if (!read_value(&check)) {
			break;
		}
	} while (reach_value(&check, check.depth > depth));

	skip_space(&check);
	if (why.code == 0 && check.p < check.end) {
		expected(&check, "the end");
	}
	if (why.code == EILSEQ && begins_with_mark(text, size)) {
		return bursar_fail(err, why.code, "not JSON: it begins with a "
		                   "byte order mark: write UTF-8 without one");
	}
	return why.code == 0 ? 0 : bursar_fail(err, why.code, "%s", why.text);
}

size_t json_minify_plain(const char *text, size_t size, char *out)
{
	bool in_string = false;
	bool escaped = false;
	size_t made = 0;

	for (size_t i = 0; i < size; i++) {
		const char c = text[i];

		if (in_string || !memchr(" \t\n\r", c, 4)) {
			out[made++] = c;
		}
		in_string ^= c == '"' && !escaped;
		escaped = c == '\\' && !escaped;
	}
	return made;
}
