/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <string.h>

#include "common/descriptor.h"

void descriptor_split(struct bursar_span identity, struct bursar_span *kind,
                      struct bursar_span *name)
{
	const char *colon = identity.size == 0 ? NULL
		: memchr(identity.data, ':', identity.size);

	*kind = (struct bursar_span){ "", 0 };
	*name = identity;
	if (colon == NULL ||
	    memchr(identity.data, '@', identity.size) != NULL) {
		return;
	}
	const size_t before = (size_t)(colon - identity.data);
	const size_t behind = identity.size - before - 1;
	if (behind == 0 || (behind >= 2 && memcmp(colon + 1, "//", 2) == 0)) {
		return;
	}
	*kind = (struct bursar_span){ identity.data, before };
	*name = (struct bursar_span){ colon + 1, behind };
}

static struct bursar_span without_spaces(struct bursar_span text)
{
	while (text.size > 0 && (unsigned char)text.data[0] <= ' ') {
		text.data++;
		text.size--;
	}
	while (text.size > 0 &&
	       (unsigned char)text.data[text.size - 1] <= ' ') {
		text.size--;
	}
	return text;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
	       c == '-';
}

static size_t simplify(struct bursar_span text, char other, char *out)
{
	for (size_t i = 0; i < text.size; i++) {
		const char c = text.data[i];
		const char small = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;

		out[i] = is_word(small) ? small : other;
	}
	return text.size;
}

size_t descriptor_kind(struct bursar_span type, char *out)
{
	const char *colon = type.size == 0 ? NULL
		: memchr(type.data, ':', type.size);

	if (colon != NULL) {
		type.size = (size_t)(colon - type.data);
	}
	const size_t size = simplify(without_spaces(type), '_', out);
	if (size == 4 && memcmp(out, "user", 4) == 0) {
		memcpy(out, "human", 5);
		return 5;
	}
	return size;
}

size_t descriptor_provider(struct bursar_span credential, char *out)
{
	size_t size = simplify(credential, '-', out);
	size_t from = 0;

	while (from < size && out[from] == '-') {
		from++;
	}
	while (size > from && out[size - 1] == '-') {
		size--;
	}
	memmove(out, out + from, size - from);
	return size - from;
}
