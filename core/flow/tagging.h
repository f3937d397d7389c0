/* SPDX-License-Identifier: Apache-2.0 */

/*
 * tagging.h - from what producers and operators say to tags as they are stored
 *
 * common/tags.h says how that is.  One thread per struct tags.
 */
#ifndef CORE_FLOW_TAGGING_H
#define CORE_FLOW_TAGGING_H

#include "common/json.h"
#include "common/tags.h"

struct tags_entry {
	struct bursar_span key;		/* as it is */
	struct bursar_span text;	/* its value, where node is 0 */
	uint32_t node;			/* of the document */
	bool     fixed;			/* nothing later replaces it */
};

/*
 * Layers of tags, one put over the other: a key keeps the place where it came
 * first and takes the value that came last.
 */
struct tags {
	struct bursar_arena   *arena;
	const struct json_doc *doc;
	struct tags_entry      entries[TAGS_MAX];
	size_t   count;
	unsigned met;		/* JSON_HAD_* in keys and values */
	bool     dropped;	/* one was one too many, or its key too long */
	bool     no_memory;
};

/* The document of objects that are added; may be NULL where none will be. */
void tags_begin(struct tags *tags, const struct json_doc *doc,
                struct bursar_arena *arena);

/* Adds a text that is UTF-8 without NUL; both live as long as the tags.  What
 * is fixed comes first, and stays. */
void tags_add(struct tags *tags, struct bursar_span key,
              struct bursar_span text, bool fixed);

/* Adds the members of an object of the document; other nodes add nothing. */
void tags_add_object(struct tags *tags, uint32_t object);

/*
 * Writes them, made in the arena; data NULL where there are none.  False:
 * memory is short.
 */
bool tags_write(struct tags *tags, struct bursar_span *json);

#endif
