/* SPDX-License-Identifier: Apache-2.0 */

/* Files of keys, line by line. */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "common/keyfile.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void drop(struct bursar_span *text, size_t size)
{
	text->data += size;
	text->size -= size;
}

static struct bursar_span take_line(struct bursar_span *text)
{
	const char *end = memchr(text->data, '\n', text->size);
	struct bursar_span line = {
		text->data, end ? (size_t)(end - text->data) : text->size,
	};

	drop(text, line.size + (end != NULL));
	while (line.size > 0 && is_blank(line.data[0])) {
		drop(&line, 1);
	}
	while (line.size > 0 && is_blank(line.data[line.size - 1])) {
		line.size--;
	}
	return line;
}

bool keyfile_next(struct keyfile *file, struct bursar_span *line)
{
	assert(file != NULL && line != NULL);

	while (file->rest.size > 0) {
		*line = take_line(&file->rest);
		file->line++;
		if (line->size > 0 && line->data[0] != '#') {
			return true;
		}
	}
	return false;
}

struct bursar_span keyfile_word(struct bursar_span *line)
{
	struct bursar_span word;

	assert(line != NULL);

	while (line->size > 0 && is_blank(line->data[0])) {
		drop(line, 1);
	}
	word = (struct bursar_span){ line->data, 0 };
	while (line->size > 0 && !is_blank(line->data[0])) {
		drop(line, 1);
		word.size++;
	}
	return word;
}
