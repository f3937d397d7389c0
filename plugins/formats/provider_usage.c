/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From one answer, or one event of a stream, to what it says of usage.
 */
#include "config.h"

#include <string.h>

#include "common/shape.h"
#include "provider.h"

#define MAX_STEP 64		/* bytes of a member's name in a place */

/* The element of an array, or 0. */
static uint32_t element(const struct json_doc *doc, uint32_t array, size_t index)
{
	const struct json_node *nodes = doc->nodes;
	uint32_t at = array + 1;

	if (nodes[array].type != JSON_ARRAY) {
		return 0;
	}
	while (at < nodes[array].next && index > 0) {
		at = nodes[at].next;
		index--;
	}
	return at < nodes[array].next ? at : 0;
}

/* One step of a place: a member, or a digit for an element. */
static uint32_t step(const struct json_doc *doc, uint32_t node,
                     const char *name, size_t size)
{
	char member[MAX_STEP];

	if (size == 1 && name[0] >= '0' && name[0] <= '9') {
		return element(doc, node, (size_t)(name[0] - '0'));
	}
	memcpy(member, name, size);
	member[size] = '\0';
	return json_member(doc, node, member);
}

uint32_t place_find(const struct json_doc *doc, uint32_t node,
                    const char *places)
{
	while (places != NULL && *places != '\0') {
		uint32_t at = node;
		bool there = true;

		do {
			const size_t size = strcspn(places, ". ");

			if (there) {
				at = step(doc, at, places, size);
				there = at != 0;
			}
			places += size;
		} while (*places == '.' && *++places != '\0');
		places += *places == ' ';
		if (there && doc->nodes[at].type != JSON_NULL) {
			return at;
		}
	}
	return 0;
}

typedef enum shape_result convert_fn(struct shape_run *run,
                                     const struct shape_input *in,
                                     struct bursar_value *value);

static convert_fn *conversion(enum usage_field field)
{
	switch (field) {
	case USAGE_COST:    return shape_money;
	case USAGE_MEDIA:   return shape_seconds;
	case USAGE_CREATED: return shape_instant;
	default:            return field < USAGE_TEXTS ? shape_count
	                                               : shape_present;
	}
}

/* What names an answer is said first, how it ended last. */
static bool last_counts(enum usage_field field)
{
	return field != USAGE_MODEL && field != USAGE_ID &&
	       field != USAGE_CREATED;
}

bool node_is_text(const struct json_doc *doc, uint32_t node, const char *text)
{
	const struct bursar_span raw = json_raw(doc, node);

	return doc->nodes[node].type == JSON_STRING &&
	       raw.size == strlen(text) + 2 &&
	       memcmp(raw.data + 1, text, strlen(text)) == 0;
}

static bool counts(const struct counted *what, const struct json_doc *doc,
                   uint32_t node)
{
	const uint32_t member = place_find(doc, node, what->member);
	const uint32_t action = place_find(doc, node, what->action);

	return what->member == NULL ||
	       (member != 0 && (what->text == NULL ||
	                        node_is_text(doc, member, what->text)) &&
	        (action == 0 || node_is_text(doc, action, "search")));
}

/* Of what there is none nothing is said. */
static void count(struct usage *usage, enum usage_field field,
                  const struct counted *what, const struct json_doc *doc,
                  uint32_t node)
{
	const uint32_t list = place_find(doc, node, what->list);
	struct bursar_value value = { .is_set = true };

	if (list == 0 || doc->nodes[list].type != JSON_ARRAY) {
		return;
	}
	for (uint32_t at = list + 1; at < doc->nodes[list].next;
	     at = doc->nodes[at].next) {
		value.number += counts(what, doc, at);
	}
	if (value.number > 0) {
		usage->values[field] = value;
		usage->found = true;
	}
}

/* A sum that no one can mean stays what it was. */
static void add_tokens(struct bursar_value *to, const struct bursar_value *more,
                       struct bursar_record *record)
{
	int64_t sum;

	if (__builtin_add_overflow(to->is_set ? to->number : 0, more->number,
	                           &sum)) {
		bursar_set_flag(record, BURSAR_DQ_ABSURD);
		return;
	}
	*to = (struct bursar_value){ .number = sum, .is_set = true };
}

/* Adds the tokens of an element, if they are of sound or of images. */
static void take_modality(struct usage *usage, const struct split *split,
                          struct shape_run *run, uint32_t element)
{
	const uint32_t modality = json_member(run->doc, element, "modality");
	const struct shape_input in = {
		.node = json_member(run->doc, element, "tokenCount"),
	};
	struct bursar_value tokens = { 0 };

	if (modality == 0 || in.node == 0 ||
	    shape_count(run, &in, &tokens) != SHAPE_SET) {
		return;
	}
	if (node_is_text(run->doc, modality, "AUDIO")) {
		add_tokens(&usage->values[split->audio], &tokens, run->record);
	} else if (node_is_text(run->doc, modality, "IMAGE") ||
	           node_is_text(run->doc, modality, "VIDEO")) {
		add_tokens(&usage->values[split->image], &tokens, run->record);
	}
}

static void take_splits(struct usage *usage, const struct family *family,
                        struct shape_run *run, uint32_t node)
{
	const struct json_node *nodes = run->doc->nodes;

	for (const struct split *s = family->splits; s->list != NULL; s++) {
		const uint32_t list = place_find(run->doc, node, s->list);

		if (list == 0 || nodes[list].type != JSON_ARRAY) {
			continue;
		}
		for (uint32_t at = list + 1; at < nodes[list].next;
		     at = nodes[at].next) {
			take_modality(usage, s, run, at);
		}
	}
}

bool usage_take(struct usage *usage, const struct family *family,
                const struct json_doc *doc, uint32_t node,
                struct bursar_record *record, struct bursar_arena *arena)
{
	struct shape_run run = { .doc = doc, .record = record, .arena = arena };
	const uint32_t figures = place_find(doc, node, family->usage);

	if (figures != 0 && doc->nodes[figures].type == JSON_OBJECT) {
		usage->found = true;
		usage->whole |= family->last_usage == NULL ||
			place_find(doc, node, family->last_usage) != 0;
		if (!family->adds_up) {
			memset(usage->values, 0,
			       USAGE_PIECES * sizeof(usage->values[0]));
		}
	}
	for (size_t i = 0; i < USAGE_FIELDS; i++) {
		const struct shape_input in = {
			.node = place_find(doc, node, family->places[i]),
		};
		struct bursar_value value = { 0 };

		if (in.node == 0 || (usage->values[i].is_set &&
		                     !last_counts((enum usage_field)i))) {
			continue;
		}
		const enum shape_result result = conversion(
			(enum usage_field)i)(&run, &in, &value);
		if (result == SHAPE_MISFIT) {
			bursar_set_flag(record, BURSAR_DQ_TYPE);
		} else if (result == SHAPE_SET || result == SHAPE_LOSSY) {
			value.is_set = true;
			usage->values[i] = value;
			usage->found |= i >= USAGE_PIECES && i < USAGE_TEXTS;
		}
	}
	take_splits(usage, family, &run, node);
	count(usage, USAGE_SEARCHES, &family->searches, doc, node);
	count(usage, USAGE_IMAGES, &family->images, doc, node);
	return !run.no_memory;
}
