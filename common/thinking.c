/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One pass over the characters of the string.  A character is one byte (or a
 * byte of a longer UTF-8 sequence, which can match nothing here) or an escape.
 */
#include "config.h"

#include <string.h>

#include "common/thinking.h"

#define FENCE_MIN 3

static const char *const tags[] = { "think>", "thinking>" };

#define TAGS (sizeof(tags) / sizeof(tags[0]))

struct scan {
	const char *at;
	const char *end;
	size_t fence;		/* backticks that opened it; 0: in no fence */
	bool   line_start;
};

/* Both are followed by room for all that may come. */
struct pieces {
	char *visible;
	char *inner;
	size_t visible_size;
	size_t inner_size;
	bool   found;
};

static int hex(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	return (c | 0x20) - 'a' + 10;
}

/* The length of the character at `at`; *c is it where it is ASCII, else 0. */
static size_t character(const char *at, const char *end, char *c)
{
	static const char letters[] = "bfnrt";
	static const char meant[] = "\b\f\n\r\t";

	if (*at != '\\') {
		*c = *at;
		return 1;
	}
	if (end - at < 2) {
		*c = 0;
		return 1;
	}
	if (at[1] != 'u') {
		const char *letter = strchr(letters, at[1]);

		*c = letter != NULL && *letter != '\0' ?
		     meant[letter - letters] : at[1];
		return 2;
	}
	if (end - at < 6) {
		*c = 0;
		return (size_t)(end - at);
	}
	*c = at[2] == '0' && at[3] == '0' && at[4] < '8' ?
	     (char)(hex(at[4]) << 4 | hex(at[5])) : 0;
	return 6;
}

/* The length of `text`, however it is escaped, at `at`; 0 if not there. */
static size_t match(const char *at, const char *end, const char *text)
{
	const char *start = at;

	for (; *text != '\0'; text++) {
		char c;

		if (at >= end) {
			return 0;
		}

		const size_t size = character(at, end, &c);

		if (c != *text) {
			return 0;
		}
		at += size;
	}
	return (size_t)(at - start);
}

static size_t open_tag(const struct scan *s, size_t *which)
{
	const size_t angle = match(s->at, s->end, "<");

	for (size_t i = 0; angle != 0 && i < TAGS; i++) {
		const size_t size = match(s->at + angle, s->end, tags[i]);

		if (size != 0) {
			*which = i;
			return angle + size;
		}
	}
	return 0;
}

/* Where the closing tag starts, or the end; *size is its length. */
static const char *close_tag(const char *at, const char *end, size_t which,
                             size_t *size)
{
	while (at < end) {
		char c;
		const size_t step = character(at, end, &c);

		if (c == '<') {
			const size_t head = match(at, end, "</");
			const size_t tail = head == 0 ? 0 :
				match(at + head, end, tags[which]);

			if (tail != 0) {
				*size = head + tail;
				return at;
			}
		}
		at += step;
	}
	*size = 0;
	return end;
}

/* Up to three spaces, then the backticks that stand there, counted. */
static size_t fence_at(const char *at, const char *end)
{
	size_t ticks = 0;

	for (int i = 0; i < 3 && at < end && *at == ' '; i++) {
		at++;
	}
	for (size_t size; (size = match(at, end, "`")) != 0; at += size) {
		ticks++;
	}
	return ticks >= FENCE_MIN ? ticks : 0;
}

static void look_for_fence(struct scan *s)
{
	const size_t ticks = fence_at(s->at, s->end);

	if (ticks == 0) {
		return;
	}
	if (s->fence == 0) {
		s->fence = ticks;
	} else if (ticks >= s->fence) {
		s->fence = 0;
	}
}

static void add_inner(struct pieces *p, const char *from, const char *to)
{
	if (p->found) {
		memcpy(p->inner + p->inner_size, "\\n", 2);
		p->inner_size += 2;
	}
	memcpy(p->inner + p->inner_size, from, (size_t)(to - from));
	p->inner_size += (size_t)(to - from);
	p->found = true;
}

static void add_visible(struct pieces *p, const char *from, size_t size)
{
	memcpy(p->visible + p->visible_size, from, size);
	p->visible_size += size;
}

static void split(struct scan *s, struct pieces *p)
{
	while (s->at < s->end) {
		size_t which;
		size_t size;
		char c;

		if (s->line_start) {
			look_for_fence(s);
		}
		size = s->fence == 0 ? open_tag(s, &which) : 0;
		if (size != 0) {
			const char *from = s->at + size;
			const char *to = close_tag(from, s->end, which, &size);

			add_inner(p, from, to);
			s->at = to + size;
			s->line_start = false;
			continue;
		}
		size = character(s->at, s->end, &c);
		add_visible(p, s->at, size);
		s->line_start = c == '\n' || c == '\r';
		s->at += size;
	}
}

/* Whether there may be a tag at all: nearly no answer has one. */
static bool may_hold_a_tag(const char *raw, size_t size)
{
	return memmem(raw, size, "<think", 6) != NULL ||
	       memmem(raw, size, "\\u00", 4) != NULL;
}

bool thinking_split(const char *raw, size_t size, struct bursar_arena *arena,
                    struct bursar_span *visible, struct bursar_span *inner)
{
	struct scan s = { raw, raw + size, 0, true };
	struct pieces p = { 0 };

	*visible = (struct bursar_span){ raw, size };
	*inner = (struct bursar_span){ 0 };
	if (!may_hold_a_tag(raw, size)) {
		return true;
	}

	/* A tag is longer than the break that joins what stands behind it. */
	p.visible = arena->alloc(arena, size + 1);
	p.inner = arena->alloc(arena, size + 1);
	if (p.visible == NULL || p.inner == NULL) {
		return false;
	}
	split(&s, &p);
	if (p.found) {
		*visible = (struct bursar_span){ p.visible, p.visible_size };
		*inner = (struct bursar_span){ p.inner, p.inner_size };
	}
	return true;
}
