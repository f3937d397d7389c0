/* SPDX-License-Identifier: Apache-2.0 */

/* Escapes of man(7): what must not be a dash, a quote or a request. */
#include "config.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "roff.h"

static void put(FILE *out, char c)
{
	switch (c) {
	case '\\':
		fputs("\\e", out);
		break;
	case '-':
		fputs("\\-", out);
		break;
	case '\'':
		fputs("\\(aq", out);
		break;
	case '`':
		fputs("\\(ga", out);
		break;
	case '"':
		fputs("\\(dq", out);
		break;
	case '^':
		fputs("\\(ha", out);
		break;
	case '~':
		fputs("\\(ti", out);
		break;
	default:
		fputc(c, out);
		break;
	}
}

void roff_plain(FILE *out, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		put(out, text[i]);
	}
}

void roff_page(FILE *out, const char *name, const char *section,
               const char *summary)
{
	fputs(".TH ", out);
	for (const char *at = name; *at != '\0'; at++) {
		put(out, (char)toupper(*at));
	}
	fprintf(out, " %s %s \"%s\" \"%s\"\n.SH NAME\n", section, MANUAL_DATE,
	        PACKAGE_STRING, PACKAGE_NAME);
	roff_plain(out, name, strlen(name));
	fputs(" \\- ", out);
	roff_plain(out, summary, strlen(summary));
	fputc('\n', out);
}

void roff_section(FILE *out, const char *title)
{
	fprintf(out, ".SH %s\n", title);
}

void roff_subsection(FILE *out, const char *title)
{
	fputs(".SS ", out);
	roff_plain(out, title, strlen(title));
	fputc('\n', out);
}

/* A full stop or a quote at the start of a line would be a request. */
static void guard(FILE *out, const char *text)
{
	if (*text == '.' || *text == '\'') {
		fputs("\\&", out);
	}
}

/* Sentences begin on lines of their own, so that roff spaces them. */
void roff_text(FILE *out, const char *text, size_t size)
{
	bool bold = false;

	guard(out, text);
	for (size_t i = 0; i < size; i++) {
		if (text[i] == '`') {
			fputs(bold ? "\\fR" : "\\fB", out);
			bold = !bold;
		} else if (text[i] == ' ' && i >= 2 && text[i - 1] == '.' &&
		           text[i - 2] != '.') {
			fputc('\n', out);
			i += strspn(text + i, " ") - 1;
			guard(out, text + i + 1);
		} else if (text[i] == '\n') {
			fputc('\n', out);
			guard(out, text + i + 1);
		} else {
			put(out, text[i]);
		}
	}
	fputs(bold ? "\\fR\n" : "\n", out);
}

/* The lines that begin with a tab, without it. */
static size_t example(FILE *out, const char *text)
{
	const char *at = text;

	fputs(".RS 4\n.nf\n", out);
	while (*at == '\t') {
		const size_t size = strcspn(at, "\n");

		guard(out, at + 1);
		roff_plain(out, at + 1, size - 1);
		fputc('\n', out);
		at += size + (at[size] == '\n');
	}
	fputs(".fi\n.RE\n", out);
	return (size_t)(at - text);
}

void roff_example(FILE *out, const char *text)
{
	fputs(".RS 4\n.nf\n", out);
	while (*text != '\0') {
		const size_t size = strcspn(text, "\n");

		guard(out, text);
		roff_plain(out, text, size);
		fputc('\n', out);
		text += size + (text[size] == '\n');
	}
	fputs(".fi\n.RE\n", out);
}

void roff_prose(FILE *out, const char *text)
{
	bool first = true;

	while (text != NULL && *text != '\0') {
		const char *end = strstr(text, "\n\n");
		size_t size = end != NULL ? (size_t)(end - text) : strlen(text);

		fputs(first ? "" : ".PP\n", out);
		if (*text == '\t') {
			size = example(out, text);
		} else {
			roff_text(out, text, size);
		}
		text += size;
		text += strspn(text, "\n");
		first = false;
	}
}

void roff_tag(FILE *out, const char *tag, const char *after)
{
	fputs(".TP\n\\fB", out);
	roff_plain(out, tag, strlen(tag));
	fputs("\\fR", out);
	roff_plain(out, after, strlen(after));
	fputc('\n', out);
}

void roff_see(FILE *out, const char *name, const char *section,
              const char *after)
{
	fputs(".BR ", out);
	roff_plain(out, name, strlen(name));
	fprintf(out, " (%s)%s\n", section, after);
}
