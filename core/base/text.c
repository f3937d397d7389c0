/* SPDX-License-Identifier: Apache-2.0 */

/* UTF-8 is decoded here, and only the width of a character asked of the C
 * library, whose decoder depends on the locale. */
#include "config.h"

#include <assert.h>
#include <langinfo.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/text.h"

void text_locale(void)
{
	if (setlocale(LC_CTYPE, "") == NULL ||
	    strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
		setlocale(LC_CTYPE, "C.UTF-8");
	}
}

/* The bytes of the character at text and its code; 0 where there is none. */
static size_t decode(const char *text, size_t size, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char c = (unsigned char)*text;

	if (c < 0x80) {
		*code = c;
		return 1;
	}
	const size_t want = c >= 0xf8 ? 0 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 :
	                    c >= 0xc0 ? 2 : 0;
	if (want == 0 || want > size) {
		return 0;
	}
	*code = c & (0x7fu >> want);
	for (size_t i = 1; i < want; i++) {
		const unsigned char next = (unsigned char)text[i];

		if ((next & 0xc0) != 0x80) {
			return 0;
		}
		*code = *code << 6 | (next & 0x3f);
	}
	if (*code < least[want] || *code > 0x10ffff ||
	    (*code >= 0xd800 && *code <= 0xdfff)) {
		return 0;
	}
	return want;
}

/* C0, DEL and C1, and what turns the direction of writing. */
static int is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) ||
	       (code >= 0x202a && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

static size_t escape(const char *text, size_t size, char *out)
{
	size_t used = 0;

	if (size == 1 && (*text == '\n' || *text == '\t' || *text == '\r')) {
		out[0] = '\\';
		out[1] = *text == '\n' ? 'n' : *text == '\t' ? 't' : 'r';
		return 2;
	}
	for (size_t i = 0; i < size; i++) {
		used += (size_t)snprintf(out + used, 5, "\\x%02x",
		                         (unsigned char)text[i]);
	}
	return used;
}

char *text_visible(const char *text, size_t size)
{
	char *out = malloc(size * 4 + 1);	/* an escape a byte */
	size_t used = 0;

	if (out == NULL) {
		abort();
	}
	while (size > 0) {
		uint32_t code;
		const size_t taken = decode(text, size, &code);
		const size_t step = taken > 0 ? taken : 1;

		if (taken == 0 || is_control(code)) {
			used += escape(text, step, out + used);
		} else {
			memcpy(out + used, text, step);
			used += step;
		}
		text += step;
		size -= step;
	}
	out[used] = '\0';
	return out;
}

/* Columns of the character at text, and its bytes. */
static size_t char_width(const char *text, size_t *size)
{
	uint32_t code;

	*size = decode(text, strlen(text), &code);
	if (*size == 0) {
		*size = 1;
		return 1;
	}
	const int width = wcwidth((wchar_t)code);
	return width < 0 ? 1 : (size_t)width;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	for (size_t size; *text != '\0'; text += size) {
		width += char_width(text, &size);
	}
	return width;
}

size_t text_fit(const char *text, size_t width)
{
	const char *at = text;
	size_t used = 0;

	while (*at != '\0') {
		size_t size;

		used += char_width(at, &size);
		if (used > width) {
			break;
		}
		at += size;
	}
	return (size_t)(at - text);
}

static void print_spaces(FILE *out, size_t count)
{
	fprintf(out, "%*s", (int)count, "");
}

void text_wrap(FILE *out, const char *text, size_t at, size_t indent,
               size_t width)
{
	size_t column = at;

	assert(indent < width);

	if (column < indent) {
		print_spaces(out, indent - column);
		column = indent;
	}
	for (text += strspn(text, " \n"); *text != '\0';
	     text += strspn(text, " \n")) {
		char word[256];
		const size_t size = strcspn(text, " \n");

		snprintf(word, sizeof(word), "%.*s", (int)size, text);
		const size_t wide = text_width(word);
		if (column > indent && column + 1 + wide > width) {
			fputc('\n', out);
			print_spaces(out, indent);
			column = indent;
		} else if (column > indent) {
			fputc(' ', out);
			column++;
		}
		fwrite(text, 1, size, out);
		column += wide;
		text += size;
	}
	fputc('\n', out);
}
