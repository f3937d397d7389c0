/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a message that may be an envelope: the cheap look overlooks
 * none, and a message that is not opened is left as it was.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "core/flow/envelope.h"
#include "core/plugin/schema.h"
#include "tests/blocks.h"
#include "tests/fuzz.h"

static bool is_envelope(struct json_reader *reader, struct bursar_span body)
{
	struct bursar_error err = { 0 };
	struct json_doc doc;

	return json_read(reader, body.data, body.size, &doc, &err) == 0 &&
	       (json_member(&doc, 0, "body") != 0 ||
	        json_member(&doc, 0, "body_base64") != 0);
}

/* Each byte of what came out may be read, and those behind a body. */
static void touch(const struct bursar_message *message)
{
	volatile char sum = 0;

	for (size_t i = 0; i < message->body.size + BLOCKS_PADDING; i++) {
		sum = (char)(sum + message->body.data[i]);
	}
	FUZZ_REQUIRE(message->header_count <= ENVELOPE_MAX_HEADERS + 1);
	for (size_t i = 0; i < message->header_count; i++) {
		const struct bursar_header *h = &message->headers[i];

		FUZZ_REQUIRE(h->value.data != NULL);
		for (size_t j = 0; j < h->name.size; j++) {
			FUZZ_REQUIRE(h->name.data[j] < 'A' ||
			             h->name.data[j] > 'Z');
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct bursar_header given = {
		{ "x-given", 7 }, { "here", 4 },
	};
	struct json_reader *reader = json_reader_create();
	struct bursar_error err = { 0 };
	struct bursar_message message = {
		.headers = &given, .header_count = 1,
	};
	struct bursar_message before;
	enum envelope_result result;

	FUZZ_REQUIRE(reader != NULL);
	message.body = (struct bursar_span){ blocks_copy(data, size), size };
	before = message;
	result = envelope_open(reader, &blocks_arena, &schema, &message,
	                       &err);
	FUZZ_REQUIRE((result == ENVELOPE_NONE) !=
	             is_envelope(reader, before.body));
	FUZZ_REQUIRE((result == ENVELOPE_BAD) == (err.code != 0));
	if (result == ENVELOPE_OPENED) {
		touch(&message);
		FUZZ_REQUIRE(bursar_header_get(&message, "x-given").data !=
		             NULL);
	} else {
		FUZZ_REQUIRE(memcmp(&message, &before, sizeof(before)) == 0);
	}
	envelope_kind(&schema, &message);
	json_reader_destroy(reader);
	blocks_clear();
	return 0;
}
