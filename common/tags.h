/* SPDX-License-Identifier: Apache-2.0 */

/*
 * tags.h - what producers and operators stick to a call
 *
 * Tags are stored as one JSON object, always written in the same way: no white
 * space, each key once, every value a text (42 is "42", null is ""), or an
 * object or array whose own values are texts.  At most TAGS_MAX of them, values
 * of at most TAGS_VALUE_MAX bytes, longer ones cut between two characters;
 * an object or array that is longer as JSON becomes a text, cut.
 *
 * A value whose key names a secret is TAGS_REDACTED, at any depth: the key in
 * snake_case (apiKey, X-Api-Key and openai.APIKey have api_key) is, or has as
 * whole words, one of api_key, access_token, authorization, credential,
 * password, refresh_token, secret.
 *
 * Members that are counts or settings of a call and no tags are left out:
 * input_tokens, output_tokens, total_tokens, hidden_output_tokens,
 * cache_read_input_tokens, cache_write_input_tokens, pricing_mode,
 * provider_response_id, latency_ms, stream, usage_source, enforce_budget.
 */
#ifndef COMMON_TAGS_H
#define COMMON_TAGS_H

#include <bursar/plugin.h>

#define TAGS_MAX       50
#define TAGS_KEY_MAX   1024	/* bytes; a longer key is dropped */
#define TAGS_VALUE_MAX 1024
#define TAGS_REDACTED  "[REDACTED]"

/* Longest key that can be asked about. */
#define TAGS_ASKED_MAX 64
/* Before a key where fields are named: "tag:feature". */
#define TAGS_PREFIX    "tag:"

/* Whether it can be asked about: [A-Za-z0-9_.-], 1 to TAGS_ASKED_MAX bytes. */
bool tags_key_is_good(const char *key, size_t size);

/* The key behind TAGS_PREFIX, or NULL where the word is none, or names a key
 * that cannot be asked about. */
const char *tags_key_of(const char *word);

struct tags_cursor {
	const char *at;
	const char *end;
};

struct tags_item {
	struct bursar_span key;		/* between its quotes */
	struct bursar_span value;	/* the same, or an object or array */
	bool is_text;
	bool escaped;			/* value is a text with escapes */
};

struct tags_cursor tags_read(struct bursar_span json);

/* The next one; false: there is none, or it is not written as above. */
bool tags_next(struct tags_cursor *cursor, struct tags_item *item);

/* The tag of that key, which can be asked about; false: it is not there. */
bool tags_find(struct bursar_span json, const char *key, size_t size,
               struct tags_item *item);

/* Writes the text of an escaped value to out, which has room for its size.
 * Returns the size of what was written. */
size_t tags_unescape(struct bursar_span value, char *out);

#endif
