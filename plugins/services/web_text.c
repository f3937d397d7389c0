/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "web.h"

static bool need_room(struct web_text *text, size_t more)
{
	if (text->failed || more > WEB_MAX_TEXT - text->size) {
		text->failed = true;
		return false;
	}
	if (text->size + more < text->room) {
		return true;
	}
	const size_t room = 2 * (text->size + more) + 256;
	char *data = realloc(text->data, room);
	if (data == NULL) {
		text->failed = true;
		return false;
	}
	text->data = data;
	text->room = room;
	return true;
}

void web_text_put(struct web_text *text, const char *data, size_t size)
{
	if (need_room(text, size)) {
		memcpy(text->data + text->size, data, size);
		text->size += size;
		text->data[text->size] = '\0';
	}
}

void web_text_add(struct web_text *text, const char *fmt, ...)
{
	char *line;
	va_list ap;

	va_start(ap, fmt);
	const int size = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (size < 0) {
		text->failed = true;
		return;
	}
	web_text_put(text, line, (size_t)size);
	free(line);
}

void web_text_free(struct web_text *text)
{
	free(text->data);
	*text = (struct web_text){ 0 };
}
