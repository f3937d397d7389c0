/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tags: from what came to what is stored.
 */
#include "config.h"

#include <string.h>

#include "common/json_escape.h"
#include "flow/tagging.h"

/* --- keys that name secrets -------------------------------------------- */

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Whether a new word begins with the letter at `at`. */
static bool begins_word(struct bursar_span key, size_t at)
{
	if (at == 0 || !is_upper(key.data[at])) {
		return false;
	}
	const char before = key.data[at - 1];
	return is_lower(before) || is_digit(before) ||
	       (is_upper(before) && at + 1 < key.size &&
	        is_lower(key.data[at + 1]));
}

/* "openai.APIKey" becomes "_openai_api_key_"; out has room for twice the size
 * and two more. */
static size_t make_words(struct bursar_span key, char *out)
{
	size_t size = 0;

	out[size++] = '_';
	for (size_t i = 0; i < key.size; i++) {
		const char c = key.data[i];
		const bool word = is_upper(c) || is_lower(c) || is_digit(c);

		if (out[size - 1] != '_' && (!word || begins_word(key, i))) {
			out[size++] = '_';
		}
		if (word) {
			out[size++] = is_upper(c) ? (char)(c - 'A' + 'a') : c;
		}
	}
	if (out[size - 1] != '_') {
		out[size++] = '_';
	}
	return size;
}

static bool is_secret(struct bursar_span key)
{
	static const char *const secrets[] = {
		"_api_key_", "_access_token_", "_authorization_",
		"_credential_", "_password_", "_refresh_token_", "_secret_",
	};
	char words[2 * TAGS_KEY_MAX + 3];

	if (key.size > TAGS_KEY_MAX) {
		return true;		/* nobody looks at so long a name */
	}
	words[make_words(key, words)] = '\0';
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		if (strstr(words, secrets[i]) != NULL) {
			return true;
		}
	}
	return false;
}

/* What belongs to the call itself. */
static bool is_internal(struct bursar_span key)
{
	static const char *const names[] = {
		"cache_read_input_tokens", "cache_write_input_tokens",
		"hidden_output_tokens", "input_tokens", "output_tokens",
		"pricing_mode", "provider_response_id", "total_tokens",
		"latency_ms", "stream", "usage_source", "enforce_budget",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == key.size &&
		    memcmp(names[i], key.data, key.size) == 0) {
			return true;
		}
	}
	return false;
}

/* --- layers -------------------------------------------------------------- */

void tags_begin(struct tags *tags, const struct json_doc *doc,
                struct bursar_arena *arena)
{
	tags->arena = arena;
	tags->doc = doc;
	tags->count = 0;
	tags->met = 0;
	tags->dropped = false;
	tags->no_memory = false;
}

static void add_entry(struct tags *tags, const struct tags_entry *entry)
{
	if (is_internal(entry->key)) {
		return;
	}
	for (size_t i = 0; i < tags->count; i++) {
		struct tags_entry *old = &tags->entries[i];

		if (old->key.size == entry->key.size &&
		    memcmp(old->key.data, entry->key.data, old->key.size) == 0) {
			if (!old->fixed) {
				*old = *entry;
			}
			return;
		}
	}
	if (tags->count == TAGS_MAX || entry->key.size > TAGS_KEY_MAX) {
		tags->dropped = true;
		return;
	}
	tags->entries[tags->count++] = *entry;
}

void tags_add(struct tags *tags, struct bursar_span key,
              struct bursar_span text, bool fixed)
{
	add_entry(tags, &(struct tags_entry){
		.key = key, .text = text, .fixed = fixed });
}

void tags_add_object(struct tags *tags, uint32_t object)
{
	const struct json_node *nodes = tags->doc->nodes;

	if (nodes[object].type != JSON_OBJECT) {
		return;
	}
	for (uint32_t at = object + 1; at < nodes[object].next;
	     at = nodes[at + 1].next) {
		struct tags_entry entry = { .node = at + 1 };

		if (!json_text(tags->doc, at, tags->arena, &entry.key,
		               &tags->met)) {
			tags->no_memory = true;
			return;
		}
		add_entry(tags, &entry);
	}
}

/* --- writing ------------------------------------------------------------- */

/* Text that is written into a buffer with a limit; `cut`: there was more. */
struct writing {
	char  *data;
	size_t size;
	size_t room;
	bool   cut;
};

static void put(struct writing *w, const char *data, size_t size)
{
	const size_t left = w->room - w->size;

	if (size > left) {
		w->cut = true;
		size = left;
	}
	memcpy(w->data + w->size, data, size);
	w->size += size;
}

static void put_text(struct writing *w, struct bursar_span text)
{
	char escape[JSON_ESCAPE];
	size_t from = 0;

	put(w, "\"", 1);
	for (size_t i = 0; i < text.size; i++) {
		if (!json_is_plain(text.data[i])) {
			put(w, text.data + from, i - from);
			put(w, escape, json_escape(text.data[i], escape));
			from = i + 1;
		}
	}
	put(w, text.data + from, text.size - from);
	put(w, "\"", 1);
}

/* As much of a text as is allowed, whole characters. */
static struct bursar_span cut(struct bursar_span text)
{
	if (text.size <= TAGS_VALUE_MAX) {
		return text;
	}
	text.size = TAGS_VALUE_MAX;
	while (text.size > 0 && (text.data[text.size] & 0xC0) == 0x80) {
		text.size--;
	}
	return text;
}

/* The text of a node that holds no others. */
static struct bursar_span text_of(struct tags *tags, uint32_t node)
{
	const struct json_node *n = &tags->doc->nodes[node];
	struct bursar_span text = { "", 0 };

	if (n->type == JSON_NULL) {
		return text;
	}
	if (n->type != JSON_STRING) {
		return json_raw(tags->doc, node);
	}
	if (!json_text(tags->doc, node, tags->arena, &text, &tags->met)) {
		tags->no_memory = true;
	}
	return text;
}

static bool holds_others(const struct tags *tags, uint32_t node)
{
	const uint8_t type = tags->doc->nodes[node].type;

	return type == JSON_OBJECT || type == JSON_ARRAY;
}

/* Stops when the buffer is full; the depth is that of the document. */
static void put_nested(struct tags *tags, struct writing *w, uint32_t node)
{
	static const struct bursar_span redacted = {
		TAGS_REDACTED, sizeof(TAGS_REDACTED) - 1 };
	const struct json_node *nodes = tags->doc->nodes;
	const bool object = nodes[node].type == JSON_OBJECT;

	if (!holds_others(tags, node)) {
		put_text(w, text_of(tags, node));
		return;
	}
	put(w, object ? "{" : "[", 1);
	for (uint32_t at = node + 1; at < nodes[node].next && !w->cut &&
	     !tags->no_memory; at = nodes[at].next) {
		bool secret = false;

		put(w, ",", at > node + 1);
		if (object) {
			const struct bursar_span key = text_of(tags, at);

			put_text(w, key);
			put(w, ":", 1);
			secret = is_secret(key);
			at++;
		}
		if (secret) {
			put_text(w, redacted);
		} else {
			put_nested(tags, w, at);
		}
	}
	put(w, object ? "}" : "]", 1);
}

/* An escape has six bytes for one. */
#define ESCAPED(size) (6 * (size) + 2)

static void put_value(struct tags *tags, struct writing *w,
                      const struct tags_entry *entry)
{
	/* Room to see that it is longer, and where its characters end. */
	char room[TAGS_VALUE_MAX + 1];
	struct writing nested = { .data = room, .room = sizeof(room) };

	if (is_secret(entry->key)) {
		put_text(w, (struct bursar_span){
			TAGS_REDACTED, strlen(TAGS_REDACTED) });
	} else if (entry->node == 0) {
		put_text(w, cut(entry->text));
	} else if (!holds_others(tags, entry->node)) {
		put_text(w, cut(text_of(tags, entry->node)));
	} else {
		put_nested(tags, &nested, entry->node);
		if (nested.size > TAGS_VALUE_MAX) {
			put_text(w, cut((struct bursar_span){
				room, nested.size }));
		} else {
			put(w, room, nested.size);
		}
	}
}

bool tags_write(struct tags *tags, struct bursar_span *json)
{
	struct writing w = { .room = 2 };

	*json = (struct bursar_span){ 0 };
	if (tags->count == 0 || tags->no_memory) {
		return !tags->no_memory;
	}
	for (size_t i = 0; i < tags->count; i++) {
		const struct tags_entry *e = &tags->entries[i];
		const size_t value = e->node == 0 ? e->text.size
			: tags->doc->nodes[e->node].size;

		w.room += 2 + ESCAPED(e->key.size) +
			ESCAPED(value < TAGS_VALUE_MAX ? value
			        : TAGS_VALUE_MAX) + sizeof(TAGS_REDACTED);
	}
	w.data = tags->arena->alloc(tags->arena, w.room);
	if (w.data == NULL) {
		return false;
	}
	for (size_t i = 0; i < tags->count; i++) {
		put(&w, i == 0 ? "{" : ",", 1);
		put_text(&w, tags->entries[i].key);
		put(&w, ":", 1);
		put_value(tags, &w, &tags->entries[i]);
	}
	put(&w, "}", 1);
	*json = (struct bursar_span){ w.data, w.size };
	return !tags->no_memory;
}
