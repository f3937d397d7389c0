/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reading tags as they are stored; what needs no reader of JSON, as they are
 * always written in the same way.
 */
#include "config.h"

#include <string.h>

#include "common/tags.h"

/* --- keys ---------------------------------------------------------------- */

bool tags_key_is_good(const char *key, size_t size)
{
	if (size == 0 || size > TAGS_ASKED_MAX) {
		return false;
	}
	for (size_t i = 0; i < size; i++) {
		const char c = key[i];
		const char small = (char)(c | 0x20);

		if (!(small >= 'a' && small <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '_' && c != '.' && c != '-') {
			return false;
		}
	}
	return true;
}

const char *tags_key_of(const char *word)
{
	const size_t prefix = strlen(TAGS_PREFIX);

	if (strncmp(word, TAGS_PREFIX, prefix) != 0 ||
	    !tags_key_is_good(word + prefix, strlen(word + prefix))) {
		return NULL;
	}
	return word + prefix;
}

/* --- reading ------------------------------------------------------------- */

struct tags_cursor tags_read(struct bursar_span json)
{
	return (struct tags_cursor){ json.data, json.data + json.size };
}

/* What stands between quotes; *at moves behind them. */
static bool take_text(const char **at, const char *end,
                      struct bursar_span *text, bool *escaped)
{
	const char *p = *at;

	if (p == end || *p != '"') {
		return false;
	}
	const char *from = ++p;
	*escaped = false;
	for (; p < end && *p != '"'; p++) {
		if (*p == '\\') {
			*escaped = true;
			p++;
		}
	}
	if (p >= end) {
		return false;
	}
	*text = (struct bursar_span){ from, (size_t)(p - from) };
	*at = p + 1;
	return true;
}

/* An object or array, whole. */
static bool take_nested(const char **at, const char *end,
                        struct bursar_span *value)
{
	const char *from = *at;
	struct bursar_span text;
	bool escaped;
	size_t depth = 0;

	do {
		if (*at == end) {
			return false;
		}
		const char c = **at;
		if (c == '"') {
			if (!take_text(at, end, &text, &escaped)) {
				return false;
			}
			continue;
		}
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
		(*at)++;
	} while (depth > 0);
	*value = (struct bursar_span){ from, (size_t)(*at - from) };
	return true;
}

bool tags_next(struct tags_cursor *cursor, struct tags_item *item)
{
	const char *at = cursor->at;
	const char *end = cursor->end;
	bool escaped;

	if (end - at < 2 || (*at != '{' && *at != ',')) {
		return false;
	}
	at++;
	if (!take_text(&at, end, &item->key, &escaped) || at == end ||
	    *at++ != ':' || at == end) {
		return false;
	}
	item->escaped = false;
	item->is_text = *at == '"';
	if (item->is_text) {
		if (!take_text(&at, end, &item->value, &item->escaped)) {
			return false;
		}
	} else if ((*at != '{' && *at != '[') ||
	           !take_nested(&at, end, &item->value)) {
		return false;
	}
	cursor->at = at;
	return true;
}

bool tags_find(struct bursar_span json, const char *key, size_t size,
               struct tags_item *item)
{
	struct tags_cursor cursor = tags_read(json);

	while (tags_next(&cursor, item)) {
		if (item->key.size == size &&
		    memcmp(item->key.data, key, size) == 0) {
			return true;
		}
	}
	return false;
}

/* The low byte of \u00XX; such a thing stands there for controls only. */
static char control(const char *digits)
{
	char code = 0;

	for (int i = 0; i < 2; i++) {
		const char c = digits[i];

		code = (char)(code * 16 + (c <= '9' ? c - '0'
		                           : (c | 0x20) - 'a' + 10));
	}
	return code;
}

size_t tags_unescape(struct bursar_span value, char *out)
{
	const char *at = value.data;
	const char *end = at + value.size;
	size_t size = 0;

	while (at < end) {
		if (*at != '\\' || at + 1 == end) {
			out[size++] = *at++;
			continue;
		}
		const char c = at[1];
		if (c == 'u' && end - at >= 6) {
			out[size++] = control(at + 4);
			at += 6;
			continue;
		}
		out[size++] = c == 'n' ? '\n' : c == 'r' ? '\r'
			: c == 't' ? '\t' : c;
		at += 2;
	}
	return size;
}
