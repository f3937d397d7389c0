/* SPDX-License-Identifier: Apache-2.0 */

/*
 * provider.h - what model providers say of usage in their answers
 *
 * A family is a group of providers that answer alike.  Its table says where
 * each figure stands and, decided for the family and never by looking at the
 * numbers, whether caches are counted as input and reasoning as output.
 *
 * An answer is read as a whole, or event by event where it was streamed.
 */
#ifndef PLUGINS_FORMATS_PROVIDER_H
#define PLUGINS_FORMATS_PROVIDER_H

#include <bursar/format.h>

#include "common/json.h"

#define HTTP_OK 200

/* What an answer may say. */
enum usage_field {
	USAGE_INPUT,
	USAGE_TOOL_INPUT,	/* beside the input */
	USAGE_CACHE_READ,
	USAGE_CACHE_WRITE,	/* as one number ... */
	USAGE_CACHE_WRITE_5M,	/* ... or by how long it is kept */
	USAGE_CACHE_WRITE_1H,
	USAGE_OUTPUT,
	USAGE_REASONING,
	USAGE_AUDIO_INPUT,	/* of the input, as the family counts it */
	USAGE_AUDIO_CACHE_READ,
	USAGE_AUDIO_OUTPUT,
	USAGE_IMAGE_INPUT,	/* those of film, too */
	USAGE_IMAGE_CACHE_READ,
	USAGE_IMAGE_OUTPUT,
	USAGE_TOTAL,
	USAGE_COST,
	USAGE_PIECES,		/* from here on kept where later events of a
				 * stream say nothing of them */
	USAGE_SEARCHES = USAGE_PIECES,
	USAGE_IMAGES,
	USAGE_PAGES,
	USAGE_MEDIA,		/* ms */
	USAGE_TEXTS,
	USAGE_MODEL = USAGE_TEXTS,
	USAGE_ID,
	USAGE_FINISH,
	USAGE_MODE,
	USAGE_SPEED,		/* "fast": that is its mode then */
	USAGE_REGION,
	USAGE_ERROR,
	USAGE_CREATED,
	USAGE_FIELDS,
};

/* Things of which there are as many as a list has elements: all of them
 * (member NULL), those that have one of the members, or those whose member is
 * that text. */
struct counted {
	const char *list;	/* places of it; NULL: nothing is counted */
	const char *member;
	const char *text;
	const char *action;	/* a member that is "search" where it is there,
				 * else the element does not count; or NULL */
};

/* Tokens by what they stand for: [{"modality": "AUDIO", "tokenCount": 1}]. */
struct split {
	const char *list;	/* NULL: the last one */
	enum usage_field audio;
	enum usage_field image;
};

struct family {
	const char *name;	/* of the option, and the provider's name where
				 * nothing else is said */
	bool input_has_caches;
	bool output_has_reasoning;
	bool adds_up;		/* events complete each other; otherwise the
				 * last one with figures counts */
	const char *usage;	/* places of the figures as a whole */
	const char *last_usage;	/* of those that end a stream; NULL: any */
	struct counted searches;
	struct counted images;	/* made; where they are, all of the output is
				 * theirs, unless the answer splits it */
	struct split splits[5];
	const char *places[USAGE_FIELDS];	/* each "a.b c.d", the first
						 * that is there counts */
};

/* The family of that name, or NULL. */
const struct family *family_find(const char *name);

/*
 * The family that answers under a URL, or NULL.  *provider gets the name by
 * which bills know it; *usage whether what is under the URL uses tokens.
 * *model and *region get what the URL names, data NULL where it names none.
 */
const struct family *family_of_url(struct bursar_span url,
                                   const char **provider, bool *usage,
                                   struct bursar_span *model,
                                   struct bursar_span *region);

/* The family that marks its answers, or the events of them, like this one;
 * NULL: none does. */
const struct family *family_of_answer(const struct json_doc *doc,
                                      uint32_t node);

/* What answers of any family say of a failure. */
#define ERROR_PLACES "error.type error.status error.code error"

/*
 * The first of the places "a.b c.0.d" below a node that is there and not null;
 * 0: none.
 */
uint32_t place_find(const struct json_doc *doc, uint32_t node,
                    const char *places);

/* Whether a node is that text, which is written without escapes. */
bool node_is_text(const struct json_doc *doc, uint32_t node, const char *text);

/* What one answer said so far. */
struct usage {
	struct bursar_value values[USAGE_FIELDS];
	bool found;		/* figures, of any sort */
	bool whole;		/* those that the answer ends with */
};

/*
 * Takes what an answer, or an event of one, says.  Texts are made in the
 * arena where they are no span of the document.  Numbers that are odd and
 * members of the wrong type are flagged in the record.  Returns false when
 * memory is short.
 */
bool usage_take(struct usage *usage, const struct family *family,
                const struct json_doc *doc, uint32_t node,
                struct bursar_record *record, struct bursar_arena *arena);

/* A line of the file in which a batch is answered. */
struct batch_line {
	const char *family;	/* by its shape; NULL: it is of the file in
				 * which the batch was asked */
	uint32_t    answer;	/* 0: none */
	uint32_t    error;	/* what names the failure, 0: nothing does */
	bool        failed;
};

/* Whether a message, which is an object, is one. */
bool batch_line_find(const struct json_doc *doc, struct batch_line *line);

/* DONE, or REJECT with *err filled where it answers nothing. */
enum bursar_verdict batch_line_check(const struct json_doc *doc,
                                     const struct batch_line *line,
                                     struct bursar_error *err);

/* Whether an answer out of a batch says a mode of its own: the name of the tier
 * in which it was served is none, as batches are served in that of all. */
bool batch_mode_is_said(const struct bursar_value *mode);

/*
 * The next event of a stream of server-sent events (WHATWG HTML, section 9.2),
 * of which the lines `data` count.  Reading goes on at *at, which starts at 0.
 * *event is a span of the text or, where an event has several lines, made in
 * the arena; 64 bytes behind it may be read where that is so for the text.
 * Returns 1, 0 at the end, or -1 when memory is short.
 */
int sse_next(struct bursar_span text, size_t *at, struct bursar_arena *arena,
             struct bursar_span *event);

#endif
