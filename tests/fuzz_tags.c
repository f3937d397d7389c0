/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any JSON as tags: what is written is JSON within its limits, is read again
 * without a reader of JSON, and stays as it is when it comes in once more.  Any
 * bytes as tags that are stored: reading ends.
 */
#include "config.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/flow/tagging.h"
#include "tests/fuzz.h"

static struct json_reader *reader;

/* Data NULL: no JSON, or no tags. */
static struct bursar_span make(struct bursar_span text, struct arena *arena)
{
	char *copy = arena_alloc(arena, text.size);
	struct bursar_span json = { 0 };
	struct json_doc doc;
	struct tags tags;

	FUZZ_REQUIRE(copy != NULL);
	if (text.size > 0) {
		memcpy(copy, text.data, text.size);
	}
	if (json_read(reader, copy, text.size, &doc, NULL) == 0) {
		tags_begin(&tags, &doc, &arena->base);
		tags_add_object(&tags, 0);
		FUZZ_REQUIRE(tags.count <= TAGS_MAX);
		FUZZ_REQUIRE(tags_write(&tags, &json));
		FUZZ_REQUIRE((json.data != NULL) == (tags.count > 0));
	}
	return json;
}

/* Returns how many there are. */
static size_t read_all(struct bursar_span json, bool good)
{
	struct tags_cursor cursor = tags_read(json);
	struct tags_item item;
	size_t count = 0;

	while (tags_next(&cursor, &item)) {
		char *out = malloc(item.value.size + 1);

		FUZZ_REQUIRE(out != NULL);
		const size_t size = tags_unescape(item.value, out);
		FUZZ_REQUIRE(size <= item.value.size);
		FUZZ_REQUIRE(!good || !item.is_text || size <= TAGS_VALUE_MAX);
		free(out);
		count++;
	}
	return count;
}

static size_t members(struct bursar_span json, struct arena *arena)
{
	char *copy = arena_alloc(arena, json.size);
	struct json_doc doc;
	size_t count = 0;

	FUZZ_REQUIRE(copy != NULL);
	memcpy(copy, json.data, json.size);
	FUZZ_REQUIRE(json_read(reader, copy, json.size, &doc, NULL) == 0);
	FUZZ_REQUIRE(doc.nodes[0].type == JSON_OBJECT);
	for (uint32_t at = 1; at < doc.nodes[0].next;
	     at = doc.nodes[at + 1].next) {
		count++;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;

	if (reader == NULL) {
		reader = json_reader_create();
		FUZZ_REQUIRE(reader != NULL);
	}
	arena_init(&arena);
	read_all((struct bursar_span){ (const char *)data, size }, false);
	const struct bursar_span json = make((struct bursar_span){
		(const char *)data, size }, &arena);
	if (json.data != NULL) {
		const struct bursar_span again = make(json, &arena);

		FUZZ_REQUIRE(read_all(json, true) == members(json, &arena));
		FUZZ_REQUIRE(again.size == json.size &&
		             memcmp(again.data, json.data, json.size) == 0);
	}
	arena_clear(&arena);
	return 0;
}
