/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as what stands in a sealed column: it is read without harm, and
 * what it says is within it.  Then any bytes as a body, sealed with whatever a
 * cipher could make of them: it comes back as it was.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "core/flow/bodies.h"
#include "core/plugin/schema.h"
#include "tests/fuzz.h"

#define TOOL 2

static struct arena keep, scratch;

static void touch(struct bursar_span text)
{
	volatile char sum = 0;

	for (size_t i = 0; i < text.size; i++) {
		sum = (char)(sum + text.data[i]);
	}
}

static void read_column(struct bursar_span text)
{
	struct bursar_header headers[BODIES_HEADERS];
	struct bursar_message message;
	bool memory = true;

	if (bodies_parse(text, &message, headers, &keep.base, &memory)) {
		FUZZ_REQUIRE(message.header_count <= BODIES_HEADERS);
		FUZZ_REQUIRE(message.body.size <= text.size);
		touch(message.content_encoding);
		touch(message.body);
		for (size_t i = 0; i < message.header_count; i++) {
			touch(headers[i].name);
			touch(headers[i].value);
		}
	}
	FUZZ_REQUIRE(!memory);
}

/* --- a cipher that makes of a text what the input says ------------------- */

static struct bursar_span made;

static enum bursar_verdict seal(struct bursar_crypto *crypto,
                                struct bursar_span plain,
                                struct bursar_seal *out,
                                struct bursar_arena *arena,
                                struct bursar_error *err)
{
	char *body = arena->alloc(arena, plain.size);

	(void)crypto, (void)err;
	FUZZ_REQUIRE(body != NULL);
	memcpy(body, plain.data, plain.size);
	out->encoding = "encrypted/fuzz";
	out->body = (struct bursar_span){ body, plain.size };
	out->headers[0] = (struct bursar_header){ made, made };
	out->header_count = 1;
	out->key_id = (struct bursar_span){ "k", 1 };
	return BURSAR_DONE;
}

static bool is_same(struct bursar_span a, struct bursar_span b)
{
	return a.size == b.size &&
	       (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void seal_and_open(struct bursar_span text)
{
	static const char *const encodings[] = { "encrypted/fuzz", NULL };
	static const struct bursar_crypto_ops ops = {
		.encodings = encodings, .seal = seal,
	};
	const struct bursar_kind *kind = &schema.kinds[TOOL];
	struct bursar_record *record = calloc(1, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));
	struct bursar_header headers[BODIES_HEADERS];
	struct bursar_message message;
	struct keyring keyring;
	struct bursar_span back;
	bool memory;

	FUZZ_REQUIRE(record != NULL);
	record->kind = kind;
	bursar_set_text(record, BURSAR_MESSAGE_ID, "m", 1);
	bursar_set_text(record, BURSAR_EXTRA_JSON, text.data, text.size);
	made = text;
	keyring_init(&keyring, "own", &ops, NULL);
	FUZZ_REQUIRE(bodies_seal(&keyring, record, &keep, &scratch, NULL) ==
	             BURSAR_DONE);
	keyring_finish(&keyring);

	const struct bursar_value *column = &record->values[BURSAR_EXTRA_JSON];
	const struct bodies_place place = {
		.kind = kind, .field = &kind->fields[BURSAR_EXTRA_JSON],
		.id = { "m", 1 },
	};
	for (size_t i = 0; i < column->size; i++) {
		FUZZ_REQUIRE(column->text[i] >= '!' && column->text[i] <= '~');
	}
	FUZZ_REQUIRE(bodies_parse((struct bursar_span){ column->text,
	                                                column->size },
	                          &message, headers, &keep.base, &memory));
	FUZZ_REQUIRE(message.header_count == 1);
	FUZZ_REQUIRE(is_same(headers[0].name, text) &&
	             is_same(headers[0].value, text));
	FUZZ_REQUIRE(bodies_take(&place, message.body, &back));
	FUZZ_REQUIRE(is_same(back, text));
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Of its own, so that a sanitizer sees what is read behind the end. */
	char *copy = malloc(size > 0 ? size : 1);

	FUZZ_REQUIRE(copy != NULL);
	if (size > 0) {
		memcpy(copy, data, size);
	}
	arena_init(&keep);
	arena_init(&scratch);
	read_column((struct bursar_span){ copy, size });
	seal_and_open((struct bursar_span){ copy, size });
	arena_clear(&keep);
	arena_clear(&scratch);
	arena_pool_drain();
	free(copy);
	return 0;
}
