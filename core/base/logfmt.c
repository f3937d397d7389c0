/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A format is taken apart before its arguments are put in: what a member is
 * stands in the format alone.
 */
#include "config.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "common/utf8.h"

#include "base/logfmt.h"

#define ELLIPSIS "\xe2\x80\xa6"
#define KEY_SIZE 80

/* --- characters ----------------------------------------------------------- */

/*
 * The bytes of a character at text that is not only seen: C1, as which a
 * terminal takes commands, U+2028 and U+2029, at which some readers end a line,
 * and what turns the direction of writing.  0: none is there.
 */
static size_t commands(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) {
		return 2;
	}
	if (p[0] != 0xe2) {
		return 0;
	}
	return (p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
	       (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9) ? 3 : 0;
}

/*
 * The form of the character at text within quotes: itself, or its escape.
 * Returns the bytes of the form; *taken are those of the text.
 */
static size_t form_of(const char *text, char out[8], size_t *taken)
{
	static const char letters[] = "\"\"\\\\\nn\rr\tt";
	const unsigned char c = (unsigned char)*text;

	*taken = commands(text) > 0 ? 0 : utf8_size(text, strnlen(text, 4));
	if (*taken > 1) {
		memcpy(out, text, *taken);
		return *taken;
	}
	*taken = 1;
	for (size_t i = 0; letters[i] != '\0'; i += 2) {
		if (*text == letters[i]) {
			out[0] = '\\';
			out[1] = letters[i + 1];
			return 2;
		}
	}
	if (c < 0x20 || c >= 0x7f) {
		return (size_t)snprintf(out, 8, "\\x%02x", c);
	}
	out[0] = *text;
	return 1;
}

static bool needs_quotes(const char *text)
{
	if (*text == '\0') {
		return true;
	}
	while (*text != '\0') {
		char form[8];
		size_t taken;

		if (*text == ' ' || *text == '=' ||
		    form_of(text, form, &taken) != taken ||
		    memcmp(form, text, taken) != 0) {
			return true;
		}
		text += taken;
	}
	return false;
}

/* --- members -------------------------------------------------------------- */

static size_t room(const struct logfmt *line)
{
	return sizeof(line->text) - 1 - line->size;	/* -1: the newline */
}

static void put(struct logfmt *line, const char *text, size_t size)
{
	assert(size <= room(line));

	memcpy(line->text + line->size, text, size);
	line->size += size;
}

/* As much of it as fits, and room for what ends it. */
static void put_value(struct logfmt *line, const char *value, bool quoted)
{
	const size_t tail = sizeof(ELLIPSIS "\"");

	put(line, "\"", quoted);
	while (*value != '\0') {
		char form[8];
		size_t taken;
		const size_t size = form_of(value, form, &taken);

		if (size + tail > room(line)) {
			put(line, ELLIPSIS, sizeof(ELLIPSIS) - 1);
			break;
		}
		put(line, form, size);
		value += taken;
	}
	put(line, "\"", quoted);
}

static void add(struct logfmt *line, const char *key, const char *value,
                bool quoted)
{
	const size_t size = strlen(key);

	if (size + 16 > room(line)) {
		return;
	}
	put(line, " ", line->size > line->begin);
	put(line, key, size);
	put(line, "=", 1);
	put_value(line, value, quoted || needs_quotes(value));
}

void logfmt_init(struct logfmt *line, const char *prefix)
{
	line->size = 0;
	put(line, prefix, strlen(prefix));
	line->begin = line->size;
}

void logfmt_add(struct logfmt *line, const char *key, const char *value)
{
	add(line, key, value, false);
}

/* --- formats --------------------------------------------------------------- */

/* Arguments behind a pointer, whatever va_list is made of. */
struct arguments {
	va_list list;
};

/* A value in the making; what does not fit is cut off. */
struct value {
	char   text[LOGFMT_SIZE];
	size_t size;
};

static void append(struct value *value, const char *text, size_t size)
{
	const size_t left = sizeof(value->text) - 1 - value->size;

	size = size < left ? size : left;
	memcpy(value->text + value->size, text, size);
	value->size += size;
	value->text[value->size] = '\0';
}

/* One conversion: "%5.2" as it stands, numbers in place of stars. */
struct conversion {
	char form[48];
	size_t size;
	char length;		/* of h l z j t q for ll; 0: none */
	char letter;
};

static void form_add(struct conversion *c, char letter)
{
	if (c->size + 2 < sizeof(c->form)) {
		c->form[c->size++] = letter;
		c->form[c->size] = '\0';
	}
}

/* A precision below zero says nothing. */
static void form_star(struct conversion *c, struct arguments *arguments)
{
	const int number = va_arg(arguments->list, int);
	char text[12];

	if (number < 0 && c->form[c->size - 1] == '.') {
		c->form[--c->size] = '\0';
		return;
	}
	snprintf(text, sizeof(text), "%d", number);
	for (const char *at = text; *at != '\0'; at++) {
		form_add(c, *at);
	}
}

/* Reads the conversion at fmt, which begins with %; returns what follows. */
static const char *read_conversion(const char *fmt, struct conversion *c,
                                   struct arguments *arguments)
{
	*c = (struct conversion){ .form = "%", .size = 1 };
	for (fmt++; *fmt != '\0' && strchr("-+ #0123456789.*", *fmt) != NULL;
	     fmt++) {
		if (*fmt == '*') {
			form_star(c, arguments);
		} else {
			form_add(c, *fmt);
		}
	}
	for (; *fmt != '\0' && strchr("hlzjt", *fmt) != NULL; fmt++) {
		c->length = c->length == 'l' ? 'q' : *fmt;
	}
	c->letter = *fmt;
	return *fmt != '\0' ? fmt + 1 : fmt;
}

/* What is one type on this machine is two on others; so are the branches. */
static intmax_t take_signed(char length, struct arguments *arguments)
{
	switch (length) {
	case 'l': return va_arg(arguments->list, long);
	case 'q': return va_arg(arguments->list, long long);
	/* NOLINTNEXTLINE(bugprone-branch-clone) */
	case 'z': return va_arg(arguments->list, ssize_t);
	case 'j': return va_arg(arguments->list, intmax_t);
	case 't': return va_arg(arguments->list, ptrdiff_t);
	default:  return va_arg(arguments->list, int);
	}
}

static uintmax_t take_unsigned(char length, struct arguments *arguments)
{
	switch (length) {
	case 'l': return va_arg(arguments->list, unsigned long);
	case 'q': return va_arg(arguments->list, unsigned long long);
	/* NOLINTNEXTLINE(bugprone-branch-clone) */
	case 'z': return va_arg(arguments->list, size_t);
	case 'j': return va_arg(arguments->list, uintmax_t);
	case 't': return (uintmax_t)va_arg(arguments->list, ptrdiff_t);
	default:  return va_arg(arguments->list, unsigned);
	}
}

/* The form was checked where the whole format stands as a constant. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#define PRINT(value) snprintf(text, sizeof(text), c->form, value)

/* Puts one argument in; false: that conversion is not known. */
static bool append_argument(struct value *out, struct conversion *c,
                            struct arguments *arguments)
{
	char text[LOGFMT_SIZE];
	int size = -1;

	if (strchr("diuxXo", c->letter) != NULL) {
		form_add(c, 'j');
	}
	form_add(c, c->letter);
	switch (c->letter) {
	case 'd': case 'i':
		size = PRINT(take_signed(c->length, arguments));
		break;
	case 'u': case 'x': case 'X': case 'o':
		size = PRINT(take_unsigned(c->length, arguments));
		break;
	case 'c':
		size = c->length == 0 ? PRINT(va_arg(arguments->list, int))
		                      : -1;
		break;
	/* NOLINTNEXTLINE(bugprone-branch-clone): another type */
	case 'p':
		size = PRINT(va_arg(arguments->list, void *));
		break;
	case 'a': case 'e': case 'f': case 'g':
	case 'A': case 'E': case 'F': case 'G':
		size = PRINT(va_arg(arguments->list, double));
		break;
	case 's':
		size = c->length == 0
			? PRINT(va_arg(arguments->list, const char *)) : -1;
		break;
	case '%':
		append(out, "%", 1);
		return true;
	default:
		break;
	}
	if (size > 0) {
		append(out, text, (size_t)size < sizeof(text)
		                  ? (size_t)size : sizeof(text) - 1);
	}
	return size >= 0;
}

#undef PRINT
#pragma GCC diagnostic pop

/* Reads up to one of `ends` or the end, arguments put in; NULL: a conversion
 * that is not known. */
static const char *read_value(const char *fmt, const char *ends,
                              struct arguments *arguments, struct value *out)
{
	out->size = 0;
	out->text[0] = '\0';
	while (*fmt != '\0' && strchr(ends, *fmt) == NULL) {
		struct conversion c;

		if (*fmt != '%') {
			append(out, fmt++, 1);
			continue;
		}
		fmt = read_conversion(fmt, &c, arguments);
		if (!append_argument(out, &c, arguments)) {
			return NULL;
		}
	}
	return fmt;
}

void logfmt_add_v(struct logfmt *line, const char *fmt, va_list ap)
{
	struct arguments arguments;
	struct value value;
	char key[KEY_SIZE];

	va_copy(arguments.list, ap);
	while (fmt != NULL && *fmt != '\0') {
		fmt = read_value(fmt, "= ", &arguments, &value);
		if (fmt == NULL || *fmt != '=') {
			fmt = fmt != NULL && *fmt == ' ' ? fmt + 1 : NULL;
			continue;
		}
		snprintf(key, sizeof(key), "%.*s", KEY_SIZE - 1, value.text);
		const bool quoted = *++fmt == '"';
		fmt = read_value(fmt + quoted, quoted ? "\"" : " ", &arguments,
		                 &value);
		if (fmt != NULL) {
			add(line, key, value.text, quoted);
			fmt += *fmt == '"';
		}
	}
	va_end(arguments.list);
}
