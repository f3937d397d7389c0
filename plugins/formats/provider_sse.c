/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Server-sent events, of which only the data counts.  What cuts a stream off
 * in its middle still leaves what came before, so the last event need not be
 * ended by an empty line.
 */
#include "config.h"

#include <string.h>

#include "provider.h"

/* The line at *at without its end; false: there is none. */
static bool next_line(struct bursar_span text, size_t *at,
                      struct bursar_span *line)
{
	if (*at >= text.size) {
		return false;
	}
	const char *start = text.data + *at;
	const size_t left = text.size - *at;
	const char *end = memchr(start, '\n', left);
	size_t size = end != NULL ? (size_t)(end - start) : left;

	*at += size + (end != NULL);
	if (size > 0 && start[size - 1] == '\r') {
		size--;
	}
	*line = (struct bursar_span){ start, size };
	return true;
}

/* What stands behind "data:", one space after it left out. */
static bool data_of(struct bursar_span line, struct bursar_span *data)
{
	size_t skip = 5;

	if (line.size < skip || memcmp(line.data, "data:", skip) != 0) {
		return false;
	}
	skip += line.size > skip && line.data[skip] == ' ';
	*data = (struct bursar_span){ line.data + skip, line.size - skip };
	return true;
}

static bool join(struct bursar_span *event, struct bursar_span more,
                 struct bursar_arena *arena)
{
	char *text = arena->alloc(arena, event->size + 1 + more.size);

	if (text == NULL) {
		return false;
	}
	memcpy(text, event->data, event->size);
	text[event->size] = '\n';
	memcpy(text + event->size + 1, more.data, more.size);
	*event = (struct bursar_span){ text, event->size + 1 + more.size };
	return true;
}

/* How often an event's lines are joined: each time is a copy of them all. */
#define MAX_LINES 1000

int sse_next(struct bursar_span text, size_t *at, struct bursar_arena *arena,
             struct bursar_span *event)
{
	struct bursar_span line;
	struct bursar_span data;
	size_t lines = 0;

	*event = (struct bursar_span){ NULL, 0 };
	while (next_line(text, at, &line)) {
		if (line.size == 0 && event->data != NULL) {
			return 1;
		}
		if (!data_of(line, &data)) {
			continue;
		}
		if (event->data == NULL) {
			*event = data;
		} else if (lines++ < MAX_LINES && !join(event, data, arena)) {
			return -1;
		}
	}
	return event->data != NULL;
}
