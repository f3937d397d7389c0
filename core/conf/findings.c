/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What is wrong with a configuration, collected so that all of it can be said
 * at once.  Never fails: where memory is short the fact is kept that something
 * was found.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

#define TEXT_SIZE 1024

static char no_memory[] = "out of memory";

/* A text may hold what somebody wrote; a terminal must not obey it. */
static void make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
		if (*c < ' ' || *c == 0x7f) {
			*c = '?';
		}
	}
}

/* Takes back half a character of UTF-8 at the end of what was cut. */
static void cut_whole(char *text)
{
	size_t end = strlen(text);

	while (end > 0 && ((unsigned char)text[end - 1] & 0xc0) == 0x80) {
		end--;
	}
	if (end > 0 && ((unsigned char)text[end - 1] & 0x80) != 0) {
		end--;
	}
	text[end] = '\0';
}

void findings_add(struct findings *findings, unsigned line,
                  const char *fmt, ...)
{
	assert(findings != NULL && fmt != NULL);

	if (findings->count == FINDINGS_MAX) {
		findings->left_out++;
		return;
	}

	char text[TEXT_SIZE];
	va_list ap;

	va_start(ap, fmt);
	const int want = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (want >= (int)sizeof(text)) {
		cut_whole(text);
	}
	make_printable(text);

	struct finding *finding = &findings->items[findings->count++];
	finding->line = line;
	finding->text = strdup(text);
	if (finding->text == NULL) {
		finding->text = no_memory;
	}
}

static void print_one(const struct findings *findings,
                      const struct finding *finding, FILE *out)
{
	if (findings->file != NULL) {
		fprintf(out, "%s:", findings->file);
	}
	if (finding->line != 0) {
		fprintf(out, "%u:", finding->line);
	}
	fprintf(out, "%s%s\n",
	        findings->file != NULL || finding->line != 0 ? " " : "",
	        finding->text);
}

/* Insertion: few of them, and those of one line stay in their order. */
void findings_print(const struct findings *findings, FILE *out)
{
	const struct finding *sorted[FINDINGS_MAX];

	assert(findings != NULL && out != NULL);

	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *item = &findings->items[i];
		size_t at = i;

		for (; at > 0 && sorted[at - 1]->line > item->line; at--) {
			sorted[at] = sorted[at - 1];
		}
		sorted[at] = item;
	}
	for (size_t i = 0; i < findings->count; i++) {
		print_one(findings, sorted[i], out);
	}
	if (findings->left_out > 0) {
		fprintf(out, "... and %zu more\n", findings->left_out);
	}
}

void findings_finish(struct findings *findings)
{
	assert(findings != NULL);

	for (size_t i = 0; i < findings->count; i++) {
		if (findings->items[i].text != no_memory) {
			free(findings->items[i].text);
		}
	}
	memset(findings, 0, sizeof(*findings));
}
