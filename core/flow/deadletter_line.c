/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The form of a letter.  Whatever bytes were delivered come back from it.
 */
#include "config.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/rfc3339.h"
#include "common/utf8.h"
#include "flow/deadletter_file.h"
#include "plugin/schema.h"

#define MAX_NAME 256	/* a header with a longer name stands in the list */
#define VARIANT  sodium_base64_VARIANT_ORIGINAL

const char *const dead_reasons[] = {
	DEAD_MALFORMED, DEAD_ENVELOPE, DEAD_NO_KIND, DEAD_OVERSIZE,
	DEAD_UNDECRYPTABLE, DEAD_NO_KEY, DEAD_NOT_ENCRYPTED, DEAD_ID_CONFLICT,
	DEAD_REFUSED, NULL
};

void deadletter_day(int64_t us, char day[11])
{
	char text[RFC3339_SIZE];

	rfc3339_format(us, text);
	memcpy(day, text, 10);
	day[10] = '\0';
}

/* --- writing ------------------------------------------------------------- */

/* A letter in the making; nothing of it may be left out for want of memory. */
struct making {
	json_t *letter;
	bool    failed;
};

static void set(struct making *making, json_t *object, const char *name,
                json_t *value)
{
	if (json_object_set_new_nocheck(object, name, value) != 0) {
		making->failed = true;
	}
}

static void put_time(struct making *making, const char *name, int64_t us)
{
	char out[RFC3339_SIZE];

	set(making, making->letter, name,
	    json_string_nocheck(rfc3339_format(us, out)));
}

static void put_number(struct making *making, const char *name, uint64_t number)
{
	set(making, making->letter, name, json_integer((json_int_t)number));
}

static json_t *base64(struct bursar_span span)
{
	const size_t room = sodium_base64_encoded_len(span.size, VARIANT);
	char *out = malloc(room);
	json_t *string = NULL;

	if (out != NULL) {
		sodium_bin2base64(out, room, (const uint8_t *)span.data,
		                  span.size, VARIANT);
		string = json_string_nocheck(out);
		free(out);
	}
	return string;
}

static json_t *string(struct bursar_span span)
{
	return json_stringn_nocheck(span.data, span.size);
}

/* As a text, else under `other` in base64. */
static void put(struct making *making, const char *name, const char *other,
                struct bursar_span span)
{
	if (span.data == NULL) {
		return;
	}
	if (utf8_is_valid(span)) {
		set(making, making->letter, name, string(span));
	} else {
		set(making, making->letter, other, base64(span));
	}
}

/* A sentence of ours, which may quote what is not UTF-8 or was cut. */
static void put_sentence(struct making *making, const char *name,
                         const char *text)
{
	const struct bursar_span span = { text, strlen(text) };
	char *clean = malloc(span.size * UTF8_ESCAPE + 1);

	if (clean == NULL) {
		making->failed = true;
		return;
	}
	const size_t size = utf8_escape(span, clean);
	set(making, making->letter, name, json_stringn_nocheck(clean, size));
	free(clean);
}

static void hash_bytes(crypto_generichash_state *state, struct bursar_span span)
{
	const uint64_t size = htole64(span.size);

	crypto_generichash_update(state, (const uint8_t *)&size, sizeof(size));
	crypto_generichash_update(state, (const uint8_t *)span.data, span.size);
}

static void hash_number(crypto_generichash_state *state, uint64_t number)
{
	number = htole64(number);
	hash_bytes(state, (struct bursar_span){ (const char *)&number,
	                                        sizeof(number) });
}

/* Headers in which a broker counts how often it delivers. */
static bool counts_deliveries(struct bursar_span name)
{
	static const char *const counters[] = {
		"x-delivery-count", "x-acquired-count", "x-death",
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		if (name.size == strlen(counters[i]) &&
		    memcmp(name.data, counters[i], name.size) == 0) {
			return true;
		}
	}
	return false;
}

/* Two messages share an id where nothing tells them apart. */
static void put_id(struct making *making, const struct dead_letter *letter)
{
	const struct bursar_message *m = letter->message;
	const struct bursar_span parts[] = {
		{ letter->source, strlen(letter->source) }, m->message_id,
		m->correlation_id, m->content_type, m->content_encoding,
		m->app_id, m->routing_key, m->origin, m->body, m->digest,
	};
	crypto_generichash_state state;
	uint8_t hash[16];
	char hex[2 * sizeof(hash) + 1];

	crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		hash_bytes(&state, parts[i]);
	}
	hash_number(&state, m->offset);
	hash_number(&state, (uint64_t)m->timestamp_us);
	for (size_t i = 0; i < m->header_count; i++) {
		if (!counts_deliveries(m->headers[i].name)) {
			hash_bytes(&state, m->headers[i].name);
			hash_bytes(&state, m->headers[i].value);
		}
	}
	if (m->message_id.size == 0 && m->origin.data == NULL &&
	    !(m->flags & BURSAR_MESSAGE_REDELIVERED)) {
		uint8_t once[16];

		randombytes_buf(once, sizeof(once));
		crypto_generichash_update(&state, once, sizeof(once));
	}
	crypto_generichash_final(&state, hash, sizeof(hash));
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	set(making, making->letter, "id", json_string_nocheck(hex));
}

static void put_place(struct making *making, const struct bursar_message *m)
{
	put(making, "place", "place_base64", m->place);
	put(making, "origin", "origin_base64", m->origin);
	if (m->origin.data != NULL || m->offset != 0) {
		put_number(making, "offset", m->offset);
	}
	if (m->line != 0) {
		put_number(making, "line", m->line);
	}
	if (m->flags & BURSAR_MESSAGE_REDELIVERED) {
		set(making, making->letter, "redelivered", json_true());
	}
	if (m->flags & BURSAR_MESSAGE_OVERSIZE) {
		put_number(making, "full_size", m->full_size);
		put(making, "sha256", "sha256_base64", m->digest);
	}
}

/* RFC 3339 if that comes back as the same time. */
static bool time_fits(int64_t us)
{
	char text[RFC3339_SIZE];
	int64_t back;

	rfc3339_format(us, text);
	return rfc3339_parse(text, strlen(text), &back) && back == us;
}

static const struct {
	const char *name;
	size_t      place;
} property_table[] = {
	{ "message_id", offsetof(struct bursar_message, message_id) },
	{ "correlation_id", offsetof(struct bursar_message, correlation_id) },
	{ "content_type", offsetof(struct bursar_message, content_type) },
	{ "content_encoding",
	  offsetof(struct bursar_message, content_encoding) },
	{ "app_id", offsetof(struct bursar_message, app_id) },
};

#define PROPERTIES (sizeof(property_table) / sizeof(property_table[0]))

static void put_properties(struct making *making,
                           const struct bursar_message *m)
{
	json_t *texts = json_object(), *bytes = json_object();

	for (size_t i = 0; i < PROPERTIES; i++) {
		struct bursar_span span;

		memcpy(&span, (const char *)m + property_table[i].place,
		       sizeof(span));
		if (span.data != NULL && utf8_is_valid(span)) {
			set(making, texts, property_table[i].name,
			    string(span));
		} else if (span.data != NULL) {
			set(making, bytes, property_table[i].name,
			    base64(span));
		}
	}
	if (m->timestamp_us != 0 && time_fits(m->timestamp_us)) {
		char out[RFC3339_SIZE];

		set(making, texts, "timestamp", json_string_nocheck(
			rfc3339_format(m->timestamp_us, out)));
	} else if (m->timestamp_us != 0) {
		put_number(making, "timestamp_us", (uint64_t)m->timestamp_us);
	}
	set(making, making->letter, "properties", texts);
	if (json_object_size(bytes) > 0) {
		set(making, making->letter, "properties_base64", bytes);
	} else {
		json_decref(bytes);
	}
}

static void put_header(struct making *making, json_t *texts, json_t *seen,
                       json_t *pairs, const struct bursar_header *header)
{
	char name[MAX_NAME] = "";
	const bool named = header->name.size < sizeof(name) &&
		utf8_is_clean(header->name);

	if (named) {
		memcpy(name, header->name.data, header->name.size);
		name[header->name.size] = '\0';
	}
	const bool first = named && json_object_get(seen, name) == NULL;
	if (first) {
		set(making, seen, name, json_true());
	}
	if (first && utf8_is_valid(header->value)) {
		set(making, texts, name, string(header->value));
		return;
	}
	json_t *pair = json_array();
	if (json_array_append_new(pair, base64(header->name)) != 0 ||
	    json_array_append_new(pair, base64(header->value)) != 0) {
		making->failed = true;
	}
	if (json_array_append_new(pairs, pair) != 0) {
		making->failed = true;
	}
}

static void put_headers(struct making *making, const struct bursar_message *m)
{
	json_t *texts = json_object(), *seen = json_object();
	json_t *pairs = json_array();

	for (size_t i = 0; i < m->header_count; i++) {
		if (m->headers[i].value.data != NULL) {
			put_header(making, texts, seen, pairs, &m->headers[i]);
		}
	}
	json_decref(seen);
	set(making, making->letter, "headers", texts);
	if (json_array_size(pairs) > 0) {
		set(making, making->letter, "headers_base64", pairs);
	} else {
		json_decref(pairs);
	}
}

/* Names of fields and texts of the configuration. */
static void put_fixed(struct making *making, const struct bursar_message *m)
{
	json_t *fixed = json_object();

	for (size_t i = 0; i < m->fixed_count; i++) {
		char name[MAX_NAME];
		const struct bursar_header *f = &m->fixed[i];

		if (f->value.data != NULL && f->name.size < sizeof(name) &&
		    utf8_is_clean(f->name) && utf8_is_valid(f->value)) {
			memcpy(name, f->name.data, f->name.size);
			name[f->name.size] = '\0';
			set(making, fixed, name, string(f->value));
		}
	}
	if (m->fixed_count > 0) {
		set(making, making->letter, "fixed", fixed);
	} else {
		json_decref(fixed);
	}
}

/* What its sender may not send, a replay may not bring in. */
static void put_kinds(struct making *making, const struct bursar_message *m)
{
	json_t *kinds = json_array();

	for (size_t i = 0; i < schema.kind_count; i++) {
		const struct bursar_kind *kind = &schema.kinds[i];

		if (m->kinds & UINT64_C(1) << kind->number &&
		    json_array_append_new(kinds, json_string_nocheck(
			kind->name)) != 0) {
			making->failed = true;
		}
	}
	if (m->kinds != 0) {
		set(making, making->letter, "kinds", kinds);
	} else {
		json_decref(kinds);
	}
}

static void put_body(struct making *making, const struct bursar_message *m)
{
	struct bursar_span body = m->body;

	if ((m->flags & BURSAR_MESSAGE_OVERSIZE) &&
	    body.size > DEAD_OVERSIZE_KEPT) {
		body.size = DEAD_OVERSIZE_KEPT;
	}
	set(making, making->letter, "body_base64", base64(body));
}

/* Id and expiry come first (deadletter_peek() counts on it), the body last. */
static void make(struct making *making, const struct dead_letter *letter,
                 int64_t now)
{
	const struct bursar_message *m = letter->message;

	put_id(making, letter);
	put_time(making, "time", now);
	if (letter->expires != DEAD_NEVER) {
		put_time(making, "expires", letter->expires);
	}
	put_sentence(making, "source", letter->source);
	put_sentence(making, "reason", letter->reason);
	put_sentence(making, "text", letter->text);
	if (letter->sink != NULL) {
		put_sentence(making, "sink", letter->sink);
	}
	put_place(making, m);
	if (letter->kind != NULL) {
		put_sentence(making, "kind", letter->kind->name);
	}
	put(making, "routing_key", "routing_key_base64", m->routing_key);
	put_properties(making, m);
	put_headers(making, m);
	put_fixed(making, m);
	put_kinds(making, m);
	put_body(making, m);
}

char *deadletter_line(const struct dead_letter *letter, int64_t now)
{
	struct making making = { .letter = json_object() };
	char *line = NULL;

	if (making.letter == NULL) {
		return NULL;
	}
	make(&making, letter, now);
	char *bare = making.failed ? NULL
	                           : json_dumps(making.letter, JSON_COMPACT);
	json_decref(making.letter);
	if (bare != NULL) {
		const size_t size = strlen(bare);

		line = realloc(bare, size + 2);
		if (line == NULL) {
			free(bare);
			return NULL;
		}
		memcpy(line + size, "\n", 2);
	}
	return line;
}

/* --- reading ------------------------------------------------------------- */

json_t *deadletter_parse(const char *line, size_t size)
{
	json_t *letter = json_loadb(line, size, JSON_ALLOW_NUL, NULL);

	if (!json_is_object(letter) ||
	    json_string_length(json_object_get(letter, "id")) == 0) {
		json_decref(letter);
		return NULL;
	}
	return letter;
}

/* Moves *at behind `what` if that stands there. */
static bool skip(const char **at, const char *end, const char *what)
{
	const size_t size = strlen(what);

	if ((size_t)(end - *at) < size || memcmp(*at, what, size) != 0) {
		return false;
	}
	*at += size;
	return true;
}

static bool skip_time(const char **at, const char *end, int64_t *us)
{
	const char *quote = memchr(*at, '"', (size_t)(end - *at));

	if (quote == NULL || !rfc3339_parse(*at, (size_t)(quote - *at), us)) {
		return false;
	}
	*at = quote;
	return true;
}

bool deadletter_peek(const char *line, size_t size,
                     char id[DEADLETTER_ID_SIZE], int64_t *expires)
{
	const char *at = line, *end = line + size;
	int64_t time;

	if (size < 2 || memcmp(end - 2, "}\n", 2) != 0 ||
	    !skip(&at, end, "{\"id\":\"") ||
	    end - at < DEADLETTER_ID_SIZE ||
	    strspn(at, "0123456789abcdef") != DEADLETTER_ID_SIZE - 1) {
		return false;
	}
	memcpy(id, at, DEADLETTER_ID_SIZE - 1);
	id[DEADLETTER_ID_SIZE - 1] = '\0';
	at += DEADLETTER_ID_SIZE - 1;
	if (!skip(&at, end, "\",\"time\":\"") || !skip_time(&at, end, &time)) {
		return false;
	}
	*expires = DEAD_NEVER;
	if (skip(&at, end, "\",\"expires\":\"")) {
		return skip_time(&at, end, expires);
	}
	return skip(&at, end, "\",\"source\":\"");
}

static struct bursar_span span_of(const json_t *value)
{
	return (struct bursar_span){ json_string_value(value),
	                             json_string_length(value) };
}

/* The bytes of a base64 text; NULL where it is none. */
static struct bursar_span *decode(const json_t *value,
                                  struct bursar_arena *arena,
                                  struct bursar_span *out,
                                  struct bursar_error *err)
{
	const struct bursar_span text = span_of(value);
	const size_t room = text.size / 4 * 3 + 3;

	if (text.data == NULL) {
		bursar_fail(err, EINVAL, "what should be base64 is no text");
		return NULL;
	}
	char *bytes = arena->alloc(arena, room);
	size_t size;
	if (bytes == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	if (sodium_base642bin((uint8_t *)bytes, room, text.data, text.size,
	                      NULL, &size, NULL, VARIANT) != 0) {
		bursar_fail(err, EINVAL, "what should be base64 is none");
		return NULL;
	}
	*out = (struct bursar_span){ bytes, size };
	return out;
}

/* The member `name`, or in base64 `other`; left alone where neither is. */
static bool take(const json_t *letter, const char *name, const char *other,
                 struct bursar_arena *arena, struct bursar_span *out,
                 struct bursar_error *err)
{
	const json_t *text = json_object_get(letter, name);
	const json_t *bytes = json_object_get(letter, other);

	if (text != NULL) {
		*out = span_of(text);
	}
	return bytes == NULL || decode(bytes, arena, out, err) != NULL;
}

static bool take_properties(const json_t *letter, struct bursar_arena *arena,
                            struct bursar_message *m, struct bursar_error *err)
{
	const json_t *texts = json_object_get(letter, "properties");
	const json_t *bytes = json_object_get(letter, "properties_base64");

	for (size_t i = 0; i < PROPERTIES; i++) {
		const char *name = property_table[i].name;
		const json_t *raw = json_object_get(bytes, name);
		struct bursar_span span = span_of(json_object_get(texts, name));

		if (raw != NULL && decode(raw, arena, &span, err) == NULL) {
			return false;
		}
		memcpy((char *)m + property_table[i].place, &span,
		       sizeof(span));
	}
	const struct bursar_span time =
		span_of(json_object_get(texts, "timestamp"));
	if (time.data == NULL ||
	    !rfc3339_parse(time.data, time.size, &m->timestamp_us)) {
		m->timestamp_us = json_integer_value(
			json_object_get(letter, "timestamp_us"));
	}
	return true;
}

static struct bursar_header *headers_for(const json_t *object,
                                         const json_t *pairs,
                                         struct bursar_arena *arena,
                                         struct bursar_error *err)
{
	const size_t count = json_object_size(object) + json_array_size(pairs);
	struct bursar_header *headers =
		arena->alloc(arena, (count + 1) * sizeof(*headers));

	if (headers == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
	}
	return headers;
}

/* Texts of an object as headers; returns how many. */
static size_t take_texts(const json_t *object, struct bursar_header *headers)
{
	size_t count = 0;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		if (json_is_string(value)) {
			headers[count++] = (struct bursar_header){
				{ name, strlen(name) }, span_of(value),
			};
		}
	}
	return count;
}

static bool take_headers(const json_t *letter, struct bursar_arena *arena,
                         struct bursar_message *m, struct bursar_error *err)
{
	const json_t *object = json_object_get(letter, "headers");
	const json_t *pairs = json_object_get(letter, "headers_base64");
	struct bursar_header *headers = headers_for(object, pairs, arena, err);

	if (headers == NULL) {
		return false;
	}
	size_t count = take_texts(object, headers);
	for (size_t i = 0; i < json_array_size(pairs); i++) {
		const json_t *pair = json_array_get(pairs, i);
		struct bursar_header *header = &headers[count++];

		if (decode(json_array_get(pair, 0), arena, &header->name,
		           err) == NULL ||
		    decode(json_array_get(pair, 1), arena, &header->value,
		           err) == NULL) {
			return false;
		}
	}
	m->headers = headers;
	m->header_count = count;
	return true;
}

static bool take_fixed(const json_t *letter, struct bursar_arena *arena,
                       struct bursar_message *m, struct bursar_error *err)
{
	const json_t *object = json_object_get(letter, "fixed");
	struct bursar_header *fixed;

	if (object == NULL) {
		return true;
	}
	fixed = headers_for(object, NULL, arena, err);
	if (fixed == NULL) {
		return false;
	}
	m->fixed = fixed;
	m->fixed_count = take_texts(object, fixed);
	return true;
}

/* A list without a kind that is known here allows nothing, so it is refused:
 * no kinds at all would mean every one. */
static bool take_kinds(const json_t *letter, struct bursar_message *m,
                       struct bursar_error *err)
{
	const json_t *list = json_object_get(letter, "kinds");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const struct bursar_span name = span_of(json_array_get(list,
		                                                       i));
		const struct bursar_kind *kind =
			bursar_kind_find(&schema, name.data, name.size);

		if (kind != NULL) {
			m->kinds |= UINT64_C(1) << kind->number;
		}
	}
	if (list != NULL && m->kinds == 0) {
		bursar_fail(err, EINVAL, "kinds names no kind");
		return false;
	}
	return true;
}

static uint64_t number_of(const json_t *letter, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(letter, name));
}

int deadletter_message(const json_t *letter, struct bursar_arena *arena,
                       struct bursar_message *message,
                       struct bursar_error *err)
{
	struct bursar_message m = {
		.offset = number_of(letter, "offset"),
		.line = number_of(letter, "line"),
	};

	if (json_is_true(json_object_get(letter, "redelivered"))) {
		m.flags |= BURSAR_MESSAGE_REDELIVERED;
	}
	if (json_object_get(letter, "full_size") != NULL) {
		m.flags |= BURSAR_MESSAGE_OVERSIZE;
		m.full_size = number_of(letter, "full_size");
		m.digest = span_of(json_object_get(letter, "sha256"));
	}
	if (!take(letter, "place", "place_base64", arena, &m.place, err) ||
	    !take(letter, "origin", "origin_base64", arena, &m.origin, err) ||
	    !take(letter, "routing_key", "routing_key_base64", arena,
	          &m.routing_key, err) ||
	    !take_properties(letter, arena, &m, err) ||
	    !take_headers(letter, arena, &m, err) ||
	    !take_fixed(letter, arena, &m, err) ||
	    !take_kinds(letter, &m, err) ||
	    decode(json_object_get(letter, "body_base64"), arena, &m.body,
	           err) == NULL) {
		return -1;
	}
	*message = m;
	return 0;
}
