/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a line of a folder of dead letters: the quick look at it never
 * differs from the careful one, and a message that comes out of a letter comes
 * out again of the letter that is made of it.
 */
#include "config.h"

#include <string.h>

#include <sodium.h>

#include "common/rfc3339.h"
#include "core/base/arena.h"
#include "core/flow/deadletter_file.h"
#include "tests/fuzz.h"

static bool same(struct bursar_span a, struct bursar_span b)
{
	return a.size == b.size &&
	       (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Of two equal members the careful look takes the last. */
static void check_peek(const char *line, size_t size, const json_t *letter)
{
	char id[DEADLETTER_ID_SIZE];
	int64_t expires, us;

	if (!deadletter_peek(line, size, id, &expires)) {
		return;
	}
	FUZZ_REQUIRE(strlen(id) == DEADLETTER_ID_SIZE - 1);
	json_t *strict = letter == NULL ? NULL :
		json_loadb(line, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES,
		           NULL);
	if (strict != NULL) {
		const char *text = json_string_value(
			json_object_get(strict, "expires"));

		FUZZ_REQUIRE(strcmp(id, json_string_value(
			json_object_get(strict, "id"))) == 0);
		FUZZ_REQUIRE(expires == DEAD_NEVER ||
		             (text != NULL &&
		              rfc3339_parse(text, strlen(text), &us) &&
		              us == expires));
	}
	json_decref(strict);
}

static void check_same(const struct bursar_message *a,
                       const struct bursar_message *b)
{
	FUZZ_REQUIRE(same(a->message_id, b->message_id));
	FUZZ_REQUIRE(same(a->correlation_id, b->correlation_id));
	FUZZ_REQUIRE(same(a->content_type, b->content_type));
	FUZZ_REQUIRE(same(a->content_encoding, b->content_encoding));
	FUZZ_REQUIRE(same(a->app_id, b->app_id));
	FUZZ_REQUIRE(same(a->routing_key, b->routing_key));
	FUZZ_REQUIRE(same(a->place, b->place));
	FUZZ_REQUIRE(same(a->origin, b->origin));
	FUZZ_REQUIRE(a->timestamp_us == b->timestamp_us);
	FUZZ_REQUIRE(a->flags == b->flags && a->line == b->line);
	FUZZ_REQUIRE(a->header_count == b->header_count);
	FUZZ_REQUIRE((a->flags & BURSAR_MESSAGE_OVERSIZE) != 0 ||
	             same(a->body, b->body));
}

/* The message as a letter once more. */
static void check_again(const struct bursar_message *message,
                        struct arena *arena)
{
	const struct dead_letter letter = {
		.message = message, .source = "s", .reason = DEAD_REFUSED,
		.text = "", .expires = 1,
	};
	struct bursar_message again;
	struct bursar_error err = { 0 };
	char id[DEADLETTER_ID_SIZE];
	int64_t expires;
	char *line = deadletter_line(&letter, 0);

	FUZZ_REQUIRE(line != NULL);
	FUZZ_REQUIRE(deadletter_peek(line, strlen(line), id, &expires));
	FUZZ_REQUIRE(expires == 1);
	json_t *made = deadletter_parse(line, strlen(line));
	FUZZ_REQUIRE(made != NULL);
	FUZZ_REQUIRE(deadletter_message(made, &arena->base, &again, &err) == 0);
	check_same(message, &again);
	json_decref(made);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bursar_error err = { 0 };
	struct bursar_message message;
	struct arena arena;
	char *line = malloc(size + 1);

	FUZZ_REQUIRE(line != NULL && sodium_init() >= 0);
	if (size > 0) {
		memcpy(line, data, size);
	}
	line[size] = '\0';
	arena_init(&arena);
	json_t *letter = deadletter_parse(line, size);
	check_peek(line, size, letter);
	if (letter != NULL) {
		const int result = deadletter_message(letter, &arena.base,
		                                      &message, &err);

		FUZZ_REQUIRE((result == 0) == (err.code == 0));
		if (result == 0) {
			check_again(&message, &arena);
		}
	}
	json_decref(letter);
	arena_clear(&arena);
	free(line);
	return 0;
}
