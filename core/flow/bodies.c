/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From bodies to columns that nobody reads without the key, and back.
 *
 * A crypto seals bytes and knows nothing of places, so the place is part of
 * what is sealed: that binds it whatever the cipher, also one that takes no
 * additional data.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <sodium.h>

#include "common/base64.h"
#include "flow/bodies.h"
#include "flow/identity.h"

#define PREFIX      "sealed:1:"
#define PREFIX_SIZE (sizeof(PREFIX) - 1)
#define BASE64      ";base64"
#define PLACE_SIZE  16
#define KEY_CHANGES 3		/* of keys within one record */

static const char place_word[] = "bursar body 1";

/* --- places -------------------------------------------------------------- */

static void make_place(const struct bursar_kind *kind,
                       const struct bursar_field *field, struct bursar_span id,
                       uint8_t place[PLACE_SIZE])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, PLACE_SIZE);
	crypto_generichash_update(&state, (const uint8_t *)place_word,
	                          sizeof(place_word));
	crypto_generichash_update(&state, (const uint8_t *)kind->name,
	                          strlen(kind->name) + 1);
	crypto_generichash_update(&state, (const uint8_t *)field->name,
	                          strlen(field->name) + 1);
	crypto_generichash_update(&state, (const uint8_t *)id.data, id.size);
	crypto_generichash_update(&state, (const uint8_t *)"", 1);
	crypto_generichash_final(&state, place, PLACE_SIZE);
}

/* The number behind the last '#' of an id; its size where there is none. */
static size_t without_number(struct bursar_span id)
{
	size_t size = id.size;

	while (size > 0 && id.data[size - 1] >= '0' &&
	       id.data[size - 1] <= '9') {
		size--;
	}
	return size > 0 && size < id.size && id.data[size - 1] == '#' ? size
	                                                              : id.size;
}

/* As the record was sealed, before a sink gave it another number. */
static void make_first_place(const struct bodies_place *where,
                             uint8_t place[PLACE_SIZE])
{
	const size_t size = without_number(where->id);
	char first[256];

	if (size == where->id.size || size >= sizeof(first)) {
		make_place(where->kind, where->field, where->id, place);
		return;
	}
	memcpy(first, where->id.data, size);
	first[size] = '0';
	make_place(where->kind, where->field,
	           (struct bursar_span){ first, size + 1 }, place);
}

bool bodies_take(const struct bodies_place *where, struct bursar_span plain,
                 struct bursar_span *text)
{
	uint8_t place[PLACE_SIZE];

	if (plain.size < PLACE_SIZE) {
		return false;
	}
	make_place(where->kind, where->field, where->id, place);
	bool fits = memcmp(plain.data, place, PLACE_SIZE) == 0;
	if (!fits && where->derived) {
		make_first_place(where, place);
		fits = memcmp(plain.data, place, PLACE_SIZE) == 0;
	}
	*text = (struct bursar_span){ plain.data + PLACE_SIZE,
	                              plain.size - PLACE_SIZE };
	return fits;
}

/* --- writing a column ---------------------------------------------------- */

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._+/", c) != NULL);
}

static size_t escaped_size(struct bursar_span text)
{
	size_t size = text.size;

	for (size_t i = 0; i < text.size; i++) {
		size += is_plain(text.data[i]) ? 0 : 2;
	}
	return size;
}

static char *put(char *at, const char *data, size_t size)
{
	memcpy(at, data, size);
	return at + size;
}

static char *put_escaped(char *at, struct bursar_span text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < text.size; i++) {
		const unsigned char c = (unsigned char)text.data[i];

		if (is_plain((char)c)) {
			*at++ = (char)c;
		} else {
			*at++ = '%';
			*at++ = digits[c >> 4];
			*at++ = digits[c & 15];
		}
	}
	return at;
}

static bool is_visible(struct bursar_span text)
{
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] < '!' || text.data[i] > '~') {
			return false;
		}
	}
	return true;
}

/* The text of the column, in `keep`; data is NULL when memory is short. */
static struct bursar_span write_column(const struct bursar_seal *seal,
                                       struct arena *keep)
{
	const struct bursar_span encoding = { seal->encoding,
	                                      strlen(seal->encoding) };
	const bool visible = is_visible(seal->body);
	size_t size = PREFIX_SIZE + escaped_size(encoding) + 1;

	for (size_t i = 0; i < seal->header_count; i++) {
		size += 2 + escaped_size(seal->headers[i].name) +
			escaped_size(seal->headers[i].value);
	}
	size += visible ? seal->body.size
	      : sizeof(BASE64) - 1 + base64_encoded_size(seal->body.size);

	char *text = arena_alloc(keep, size);
	if (text == NULL || size > UINT32_MAX) {
		return (struct bursar_span){ NULL, 0 };
	}
	char *at = put_escaped(put(text, PREFIX, PREFIX_SIZE), encoding);
	for (size_t i = 0; i < seal->header_count; i++) {
		*at++ = ';';
		at = put_escaped(at, seal->headers[i].name);
		*at++ = '=';
		at = put_escaped(at, seal->headers[i].value);
	}
	at = visible ? at : put(at, BASE64, sizeof(BASE64) - 1);
	*at++ = ':';
	if (visible) {
		at = put(at, seal->body.data, seal->body.size);
	} else {
		base64_encode(seal->body.data, seal->body.size, at);
		at += base64_encoded_size(seal->body.size);
	}
	assert(at == text + size);
	return (struct bursar_span){ text, size };
}

/* --- sealing ------------------------------------------------------------- */

static bool is_body(const struct bursar_record *record, size_t field)
{
	return (record->kind->fields[field].flags & BURSAR_FIELD_BODY) != 0 &&
	       record->values[field].is_set;
}

static enum bursar_verdict no_memory(struct bursar_error *err)
{
	bursar_fail(err, ENOMEM, "no memory to seal a record");
	return BURSAR_RETRY;
}

/* CRYPTO/KEY, both short and visible. */
static size_t write_key(const struct keyring *keyring,
                        const struct bursar_seal *seal,
                        char name[BODIES_KEY_MAX + 1])
{
	const int id = seal->key_id.size > 96 ? 96 : (int)seal->key_id.size;

	return (size_t)snprintf(name, BODIES_KEY_MAX + 1, "%.*s/%.*s",
	                        SETUP_MAX_NAME, keyring->name, id,
	                        id > 0 ? seal->key_id.data : "");
}

static enum bursar_verdict seal_body(struct keyring *keyring,
                                     const struct bursar_record *record,
                                     size_t field, struct arena *scratch,
                                     struct bursar_seal *seal,
                                     struct bursar_error *err)
{
	const struct bursar_value *value = &record->values[field];
	const struct bursar_value *id = &record->values[BURSAR_MESSAGE_ID];
	char *plain = arena_alloc(scratch, PLACE_SIZE + value->size);

	if (plain == NULL) {
		return no_memory(err);
	}
	make_place(record->kind, &record->kind->fields[field],
	           (struct bursar_span){ id->text, id->size },
	           (uint8_t *)plain);
	if (value->size > 0) {
		memcpy(plain + PLACE_SIZE, value->text, value->size);
	}
	return keyring_seal(keyring,
	                    (struct bursar_span){ plain,
	                                          PLACE_SIZE + value->size },
	                    seal, &scratch->base, err);
}

/* What a record becomes, until all of it is there. */
struct sealed {
	size_t             fields[BODIES_MAX];
	struct bursar_span texts[BODIES_MAX];
	size_t             count;
	char               key[BODIES_KEY_MAX + 1];
	size_t             key_size;
	bool               key_changed;
};

static enum bursar_verdict seal_all(struct keyring *keyring,
                                    const struct bursar_record *record,
                                    struct sealed *out, struct arena *keep,
                                    struct arena *scratch,
                                    struct bursar_error *err)
{
	char key[BODIES_KEY_MAX + 1];

	*out = (struct sealed){ 0 };
	for (size_t i = 0; i < record->kind->field_count; i++) {
		struct bursar_seal seal;

		if (!is_body(record, i)) {
			continue;
		}
		assert(out->count < BODIES_MAX);
		const enum bursar_verdict verdict =
			seal_body(keyring, record, i, scratch, &seal, err);
		if (verdict != BURSAR_DONE) {
			return verdict;
		}
		const struct bursar_span text = write_column(&seal, keep);
		if (text.data == NULL) {
			return no_memory(err);
		}
		const size_t size = write_key(keyring, &seal, key);
		out->key_changed |= out->count > 0 &&
			strcmp(key, out->key) != 0;
		memcpy(out->key, key, size + 1);
		out->key_size = size;
		out->fields[out->count] = i;
		out->texts[out->count++] = text;
	}
	return BURSAR_DONE;
}

enum bursar_verdict bodies_seal(struct keyring *keyring,
                                struct bursar_record *record,
                                struct arena *keep, struct arena *scratch,
                                struct bursar_error *err)
{
	struct sealed sealed;

	assert(!record->kind->fact &&
	       record->values[BURSAR_MESSAGE_ID].is_set);

	/* A key may change at any time: one name is to hold for all. */
	for (int i = 0; i == 0 || (i < KEY_CHANGES && sealed.key_changed);
	     i++) {
		const enum bursar_verdict verdict =
			seal_all(keyring, record, &sealed, keep, scratch, err);

		arena_clear(scratch);
		if (verdict != BURSAR_DONE) {
			return verdict;
		}
	}
	if (sealed.key_changed) {
		bursar_fail(err, EAGAIN, "the key changes all the time");
		return BURSAR_RETRY;
	}
	char *key = arena_alloc(keep, sealed.key_size + 1);
	if (key == NULL) {
		return no_memory(err);
	}
	memcpy(key, sealed.key, sealed.key_size);
	record->values[BURSAR_SEALED_BY] = (struct bursar_value){ 0 };
	if (sealed.count > 0) {
		bursar_set_text(record, BURSAR_SEALED_BY, key,
		                sealed.key_size);
	}
	for (size_t i = 0; i < sealed.count; i++) {
		bursar_set_text(record, (int)sealed.fields[i],
		                sealed.texts[i].data, sealed.texts[i].size);
	}
	bursar_set_number(record, BURSAR_ROW_HASH, identity_row_hash(record));
	return BURSAR_DONE;
}

enum bursar_verdict bodies_key(struct keyring *keyring,
                               char name[BODIES_KEY_MAX + 1],
                               struct bursar_error *err)
{
	const struct bursar_span plain = { place_word, sizeof(place_word) };
	struct bursar_seal seal;
	struct arena scratch;

	arena_init(&scratch);
	const enum bursar_verdict verdict =
		keyring_seal(keyring, plain, &seal, &scratch.base, err);
	if (verdict == BURSAR_DONE) {
		write_key(keyring, &seal, name);
	}
	arena_clear(&scratch);
	return verdict;
}

/* --- reading a column ---------------------------------------------------- */

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0'
	     : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Up to one of `ends`, which is left; data is NULL where it is no such text. */
static struct bursar_span take_escaped(struct bursar_span *rest,
                                       const char *ends,
                                       struct bursar_arena *arena,
                                       bool *memory)
{
	static const struct bursar_span nothing;
	size_t size = 0, from = 0, to = 0;

	while (size < rest->size && rest->data[size] != '\0' &&
	       strchr(ends, rest->data[size]) == NULL) {
		size++;
	}
	if (size == rest->size) {
		return nothing;
	}
	char *text = arena->alloc(arena, size + 1);
	if (text == NULL) {
		*memory = true;
		return nothing;
	}
	while (from < size) {
		const char c = rest->data[from];

		if (is_plain(c)) {
			text[to++] = c;
			from++;
			continue;
		}
		if (c != '%' || size - from < 3 ||
		    digit(rest->data[from + 1]) < 0 ||
		    digit(rest->data[from + 2]) < 0) {
			return nothing;
		}
		text[to++] = (char)(digit(rest->data[from + 1]) << 4 |
		                    digit(rest->data[from + 2]));
		from += 3;
	}
	rest->data += size;
	rest->size -= size;
	return (struct bursar_span){ text, to };
}

static void skip(struct bursar_span *rest, size_t size)
{
	rest->data += size;
	rest->size -= size;
}

static bool begins(struct bursar_span text, const char *word)
{
	const size_t size = strlen(word);

	return text.size >= size && memcmp(text.data, word, size) == 0;
}

/* ";NAME=VALUE" */
static bool take_header(struct bursar_span *rest, struct bursar_header *header,
                        struct bursar_arena *arena, bool *memory)
{
	skip(rest, 1);
	header->name = take_escaped(rest, "=", arena, memory);
	if (header->name.data == NULL) {
		return false;
	}
	skip(rest, 1);
	header->value = take_escaped(rest, ";:", arena, memory);
	return header->value.data != NULL;
}

static bool decode_body(struct bursar_span *body, struct bursar_arena *arena,
                        bool *memory)
{
	size_t size;

	if (!base64_decoded_size(*body, &size)) {
		return false;
	}
	char *bytes = arena->alloc(arena, size);
	if (bytes == NULL) {
		*memory = true;
		return false;
	}
	const bool good = base64_decode(*body, bytes);
	*body = (struct bursar_span){ bytes, size };
	return good;
}

bool bodies_parse(struct bursar_span text, struct bursar_message *message,
                  struct bursar_header *headers, struct bursar_arena *arena,
                  bool *memory)
{
	struct bursar_span rest = text;
	bool coded = false;

	*memory = false;
	*message = (struct bursar_message){ .headers = headers };
	if (!begins(rest, PREFIX)) {
		return false;
	}
	skip(&rest, PREFIX_SIZE);
	message->content_encoding = take_escaped(&rest, ";:", arena, memory);
	if (message->content_encoding.data == NULL) {
		return false;
	}
	while (rest.data[0] == ';' && !coded) {
		coded = begins(rest, BASE64 ":");
		if (coded) {
			skip(&rest, sizeof(BASE64) - 1);
		} else if (message->header_count == BODIES_HEADERS ||
		           !take_header(&rest,
		                        &headers[message->header_count++],
		                        arena, memory)) {
			return false;
		}
	}
	skip(&rest, 1);
	message->body = rest;
	return !coded || decode_body(&message->body, arena, memory);
}
