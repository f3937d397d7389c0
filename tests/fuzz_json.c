/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as JSON: both ways of reading agree, nodes lie within each other
 * as they should, values come out without harm, and leaving out white space
 * changes nothing else.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/json.h"
#include "common/json_check.h"
#include "tests/fuzz.h"

#define PADDING 64

/* Memory of one string. */
struct fuzz_arena {
	struct bursar_arena arena;
	char *made;
};

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	struct fuzz_arena *fuzz = (struct fuzz_arena *)arena;

	fuzz->made = malloc(size + PADDING);
	FUZZ_REQUIRE(fuzz->made != NULL);
	return fuzz->made;
}

/* A copy with bytes behind it that could go on with it. */
static char *pad(const char *data, size_t size)
{
	static const char fillers[] = "0\"]} \\,a";
	char *text = malloc(size + PADDING);

	FUZZ_REQUIRE(text != NULL);
	if (size > 0) {
		memcpy(text, data, size);
	}
	memset(text + size, fillers[size % (sizeof(fillers) - 1)], PADDING);
	return text;
}

/* --- nodes --------------------------------------------------------------- */

static bool starts_as_its_type(char c, enum json_type type)
{
	switch (type) {
	case JSON_OBJECT:
		return c == '{';
	case JSON_ARRAY:
		return c == '[';
	case JSON_STRING:
		return c == '"';
	case JSON_NUMBER:
		return c == '-' || (c >= '0' && c <= '9');
	case JSON_TRUE:
		return c == 't';
	case JSON_FALSE:
		return c == 'f';
	default:
		return c == 'n';
	}
}

static bool ends_as_its_type(struct bursar_span raw, enum json_type type)
{
	const char last = raw.data[raw.size - 1];

	switch (type) {
	case JSON_OBJECT:
		return last == '}' && raw.size >= 2;
	case JSON_ARRAY:
		return last == ']' && raw.size >= 2;
	case JSON_STRING:
		return last == '"' && raw.size >= 2;
	case JSON_NUMBER:
		return last >= '0' && last <= '9';
	case JSON_FALSE:
		return raw.size == 5;
	default:
		return raw.size == 4;
	}
}

/* What a container holds lies within it, in order, and fills it. */
static void require_children_within(const struct json_doc *doc, uint32_t node)
{
	const struct json_node *parent = &doc->nodes[node];
	uint32_t from = parent->start + 1;
	uint32_t count = 0;
	uint32_t i;

	for (i = node + 1; i < parent->next; i = doc->nodes[i].next) {
		const struct json_node *child = &doc->nodes[i];

		FUZZ_REQUIRE(child->start >= from);
		FUZZ_REQUIRE(child->next > i);
		FUZZ_REQUIRE(parent->type == JSON_ARRAY || count % 2 == 1 ||
		             child->type == JSON_STRING);
		from = child->start + child->size;
		count++;
	}
	FUZZ_REQUIRE(i == parent->next);
	FUZZ_REQUIRE(from < parent->start + parent->size);
	FUZZ_REQUIRE(parent->type == JSON_ARRAY || count % 2 == 0);
}

static void require_good_nodes(const struct json_doc *doc, size_t size)
{
	FUZZ_REQUIRE(doc->count > 0 && doc->nodes[0].next == doc->count);
	for (uint32_t i = 0; i < doc->count; i++) {
		const struct json_node *node = &doc->nodes[i];
		const struct bursar_span raw = json_raw(doc, i);

		FUZZ_REQUIRE(node->size > 0 && node->size <= size);
		FUZZ_REQUIRE(node->start <= size - node->size);
		FUZZ_REQUIRE(starts_as_its_type(*raw.data, node->type));
		FUZZ_REQUIRE(ends_as_its_type(raw, node->type));
		FUZZ_REQUIRE(node->next <= doc->count);
		if (node->type == JSON_OBJECT || node->type == JSON_ARRAY) {
			require_children_within(doc, i);
		} else {
			FUZZ_REQUIRE(node->next == i + 1);
		}
		FUZZ_REQUIRE(node->escaped ==
		             (node->type == JSON_STRING &&
		              memchr(raw.data, '\\', raw.size) != NULL));
	}
}

/* --- values -------------------------------------------------------------- */

static void require_string(const struct json_doc *doc, uint32_t node)
{
	struct fuzz_arena arena = { { arena_alloc }, NULL };
	struct bursar_span text;
	unsigned met;

	FUZZ_REQUIRE(json_text(doc, node, &arena.arena, &text, &met));
	FUZZ_REQUIRE(text.size <= doc->nodes[node].size - 2);
	FUZZ_REQUIRE(memchr(text.data, '\0', text.size) == NULL);
	FUZZ_REQUIRE(json_equals(doc, node, text.data, text.size));
	FUZZ_REQUIRE(text.size == 0 ||
	             !json_equals(doc, node, text.data, text.size - 1));
	free(arena.made);
}

static void require_number(const struct json_doc *doc, uint32_t node)
{
	int64_t whole = 0;
	int64_t rounded = 0;
	int64_t nano;

	json_decimal(doc, node, 9, &nano);
	if (json_int(doc, node, &whole) &&
	    json_decimal(doc, node, 0, &rounded) &&
	    doc->nodes[node].type == JSON_NUMBER) {
		FUZZ_REQUIRE(rounded == whole || rounded - 1 == whole ||
		             rounded + 1 == whole);
	}
}

static void require_values(const struct json_doc *doc)
{
	for (uint32_t i = 0; i < doc->count; i++) {
		require_number(doc, i);
		if (doc->nodes[i].type == JSON_STRING) {
			require_string(doc, i);
		}
	}
	const uint32_t member = json_member(doc, 0, "a");
	FUZZ_REQUIRE(member < doc->count);
	FUZZ_REQUIRE(member == 0 || json_equals(doc, member - 1, "a", 1));
}

/* --- minify -------------------------------------------------------------- */

/* Without its white space, a document is the same document. */
static void require_same_document(const struct json_doc *doc,
                                  const char *minified, size_t size)
{
	char *again = malloc(size + PADDING);
	struct json_nodes nodes = { 0 };
	char *text = pad(minified, size);

	FUZZ_REQUIRE(again != NULL);
	FUZZ_REQUIRE(json_check(&nodes, text, size, NULL) == 0);
	FUZZ_REQUIRE(nodes.count == doc->count);
	for (size_t i = 0; i < nodes.count; i++) {
		FUZZ_REQUIRE(nodes.list[i].next == doc->nodes[i].next);
		FUZZ_REQUIRE(nodes.list[i].type == doc->nodes[i].type);
		FUZZ_REQUIRE(nodes.list[i].size <= doc->nodes[i].size);
	}
	FUZZ_REQUIRE(json_minify(text, size, again) == size);
	FUZZ_REQUIRE(memcmp(text, again, size) == 0);
	free(again);
	free(text);
	free(nodes.list);
}

static void require_minify(const char *text, size_t size,
                           const struct json_doc *doc)
{
	char *minified = malloc(size + PADDING);
	char *plain = malloc(size + PADDING);

	FUZZ_REQUIRE(minified != NULL && plain != NULL);
	const size_t made = json_minify(text, size, minified);
	FUZZ_REQUIRE(made <= size);
	FUZZ_REQUIRE(json_minify_plain(text, size, plain) == made);
	FUZZ_REQUIRE(memcmp(minified, plain, made) == 0);
	if (doc != NULL) {
		require_same_document(doc, minified, made);
	}
	free(plain);
	free(minified);
}

/* --- reading ------------------------------------------------------------- */

static void require_same_nodes(const struct json_doc *doc,
                               const struct json_nodes *nodes)
{
	FUZZ_REQUIRE(doc->count == nodes->count);
	for (size_t i = 0; i < nodes->count; i++) {
		const struct json_node *a = &doc->nodes[i];
		const struct json_node *b = &nodes->list[i];

		FUZZ_REQUIRE(a->start == b->start && a->size == b->size &&
		             a->next == b->next && a->type == b->type &&
		             a->escaped == b->escaped);
	}
}

/* The fast way takes what the checker takes, roots that are scalars aside. */
static bool reads(struct json_reader *reader, const char *text, size_t size,
                  struct json_nodes *nodes, struct json_doc *doc)
{
	struct bursar_error err = { 0 };
	const bool good = json_check(nodes, text, size, &err) == 0;
	const int fast = json_read_fast(reader, text, size, doc);

	FUZZ_REQUIRE(good == (err.code == 0));
	FUZZ_REQUIRE(fast == 0 || fast == EILSEQ);
	if (fast == 0) {
		FUZZ_REQUIRE(good);
		require_same_nodes(doc, nodes);
	}
	if (good && nodes->list[0].type <= JSON_ARRAY) {
		FUZZ_REQUIRE(fast == 0);
	}
	FUZZ_REQUIRE((json_read(reader, text, size, doc, NULL) == 0) == good);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct json_reader *reader;
	struct json_nodes nodes = { 0 };
	struct json_doc doc;
	char *text = pad((const char *)data, size);

	if (reader == NULL) {
		reader = json_reader_create();
		FUZZ_REQUIRE(reader != NULL);
	}
	const bool good = reads(reader, text, size, &nodes, &doc);
	if (good) {
		require_same_nodes(&doc, &nodes);
		require_good_nodes(&doc, size);
		require_values(&doc);
	}
	require_minify(text, size, good ? &doc : NULL);
	free(nodes.list);
	free(text);
	return 0;
}
