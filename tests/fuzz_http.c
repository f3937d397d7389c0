/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as the body of a request.  The first says how it came: as one JSON
 * value, as lines, packed.  Whatever is found are spans of the body, in order,
 * not empty and not beyond the limit; a body that a real reader takes as JSON
 * is split into just its elements.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "common/json.h"
#include "plugins/sources/http_body.h"
#include "tests/fuzz.h"

#define LIMIT     100
#define MAX_CLEAR ((size_t)1 << 20)

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void check_list(struct bursar_span body, const struct http_list *list)
{
	const char *at = body.data;

	FUZZ_REQUIRE(list->count > 0 && list->count <= LIMIT);
	for (size_t i = 0; i < list->count; i++) {
		const struct bursar_span item = list->items[i];

		FUZZ_REQUIRE(item.size > 0 && item.data >= at);
		FUZZ_REQUIRE(!is_blank(item.data[0]) &&
		             !is_blank(item.data[item.size - 1]));
		at = item.data + item.size;
		FUZZ_REQUIRE(at <= body.data + body.size);
	}
}

static void check_element(const struct json_doc *doc, uint32_t node,
                          struct bursar_span item)
{
	const struct bursar_span raw = json_raw(doc, node);

	FUZZ_REQUIRE(raw.data == item.data && raw.size == item.size);
}

/* The same as a reader that understands all of it. */
static void compare(struct bursar_span body, const struct http_list *list,
                    const struct bursar_error *err)
{
	struct json_reader *reader = json_reader_create();
	struct bursar_error why = { 0 };
	struct json_doc doc;
	uint32_t count = 0;

	FUZZ_REQUIRE(reader != NULL);
	if (json_read(reader, body.data, body.size, &doc, &why) != 0 ||
	    doc.nodes[0].type > JSON_ARRAY) {
		goto out;
	}
	if (err->code == E2BIG || err->code == ELOOP || doc.count == 1) {
		goto out;	/* a limit, or an empty array or object */
	}
	FUZZ_REQUIRE(err->code == 0);
	if (doc.nodes[0].type == JSON_OBJECT) {
		FUZZ_REQUIRE(list->count == 1);
		check_element(&doc, 0, list->items[0]);
		goto out;
	}
	for (uint32_t i = 1; i < doc.nodes[0].next; i = doc.nodes[i].next) {
		FUZZ_REQUIRE(count < list->count);
		check_element(&doc, i, list->items[count++]);
	}
	FUZZ_REQUIRE(count == list->count);
out:
	json_reader_destroy(reader);
}

static void try_split(struct bursar_span body, bool lines)
{
	struct http_list list = { 0 };
	struct bursar_error err = { 0 };
	const int result = (lines ? http_split_lines : http_split_json)(
		body, LIMIT, &list, &err);

	FUZZ_REQUIRE((result == 0) == (err.code == 0));
	if (result == 0) {
		check_list(body, &list);
	}
	if (!lines) {
		compare(body, &list, &err);
	}
	http_list_finish(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_bytes body = { 0 }, clear = { 0 };
	struct bursar_error err = { 0 };

	if (size == 0) {
		return 0;
	}
	FUZZ_REQUIRE(http_bytes_reserve(&body, size - 1));
	memcpy(body.data, data + 1, size - 1);
	body.size = size - 1;
	struct bursar_span span = { body.data, body.size };
	if (data[0] & 2) {
		const int result = http_unpack(
			data[0] & 4 ? HTTP_ZSTD : HTTP_GZIP, span, MAX_CLEAR,
			&clear, &err);

		FUZZ_REQUIRE((result == 0) == (err.code == 0));
		FUZZ_REQUIRE(clear.size <= MAX_CLEAR + 1);
		FUZZ_REQUIRE(result != 0 || clear.size <= MAX_CLEAR);
		span = (struct bursar_span){ clear.data, clear.size };
	}
	if (err.code == 0) {
		try_split(span, (data[0] & 1) != 0);
	}
	http_bytes_finish(&body);
	http_bytes_finish(&clear);
	return 0;
}
