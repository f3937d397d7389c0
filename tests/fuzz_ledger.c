/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a body of the ledger format.  The first byte names the kind,
 * and whether the next bytes are a header's.  Whatever comes out can be
 * stored: text is UTF-8 without NUL, JSON is JSON, flags are 0 or 1, and the
 * core's fields are left to the core.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include <bursar/format.h>

#include "common/json.h"
#include "core/plugin/schema.h"
#include "tests/blocks.h"
#include "tests/fuzz.h"
#include "tests/fuzz_format.h"

#define HEADER_SIZE 12

/* The plugin is linked in. */
extern const struct bursar_plugin format_ledger_LTX_bursar_plugin;

static bool is_json(struct json_reader *reader, const char *text, size_t size,
                    struct json_doc *doc)
{
	struct bursar_error err = { 0 };

	return json_read(reader, blocks_copy(text, size), size, doc,
	                 &err) == 0;
}

/* As the inside of a JSON string it would be refused if it were not UTF-8. */
static bool is_utf8(struct json_reader *reader, const char *text, size_t size)
{
	struct json_doc doc;
	char *copy = blocks_alloc(size + 2);

	for (size_t i = 0; i < size; i++) {
		const bool plain = (unsigned char)text[i] >= ' ' &&
		                   text[i] != '"' && text[i] != '\\';

		copy[i + 1] = plain ? text[i] : ' ';
	}
	copy[0] = '"';
	copy[size + 1] = '"';
	return is_json(reader, copy, size + 2, &doc);
}

static void check_value(struct json_reader *reader, size_t i)
{
	const struct bursar_field *field = &fuzz_record->kind->fields[i];
	const struct bursar_value *value = &fuzz_record->values[i];
	struct json_doc doc;

	if (!value->is_set) {
		return;
	}
	FUZZ_REQUIRE((field->flags & BURSAR_FIELD_CORE) == 0 ||
	             i == BURSAR_DQ_FLAGS);
	switch (field->type) {
	case BURSAR_TEXT:
		FUZZ_REQUIRE(value->text != NULL);
		FUZZ_REQUIRE(memchr(value->text, '\0', value->size) == NULL);
		FUZZ_REQUIRE(is_utf8(reader, value->text, value->size));
		break;
	case BURSAR_JSON:
		FUZZ_REQUIRE(is_json(reader, value->text, value->size, &doc));
		FUZZ_REQUIRE(i != BURSAR_EXTRA_JSON ||
		             (value->size <= 8192 &&
		              doc.nodes[0].type == JSON_OBJECT));
		break;
	case BURSAR_BOOL:
		FUZZ_REQUIRE(value->number == 0 || value->number == 1);
		break;
	default:
		break;
	}
}

static void check_record(struct json_reader *reader)
{
	FUZZ_REQUIRE(fuzz_record_count == 1);
	for (size_t i = 0; i < fuzz_record->kind->field_count; i++) {
		check_value(reader, i);
	}
	FUZZ_REQUIRE(fuzz_record->kind->fact ||
	             (fuzz_record->values[BURSAR_RETENTION_POLICY].is_set &&
	              fuzz_record->values[BURSAR_CONTAINS_PHI].is_set));
}

static void decode(struct json_reader *reader, struct bursar_format *format,
                   struct bursar_message *message)
{
	struct bursar_error err = { 0 };
	const enum bursar_verdict verdict =
		format_ledger_LTX_bursar_plugin.ops.format->decode(
			format, message, fuzz_records(), &err);

	if (verdict == BURSAR_DONE) {
		check_record(reader);
	} else {
		FUZZ_REQUIRE(verdict == BURSAR_REJECT);
		FUZZ_REQUIRE(err.code != 0 && fuzz_record_count == 0);
	}
}

/* Every option that there is, so that its code is run. */
static int64_t number(const struct bursar_host *host, const char *name)
{
	(void)host, (void)name;
	return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct bursar_host host = {
		.schema = &schema, .number = number,
	};
	static struct bursar_format *format;
	static struct json_reader *reader;
	struct bursar_error err = { 0 };
	struct bursar_header header = { { "x-legion-llm-provider", 21 } };
	struct bursar_message message = { .kind = &schema.kinds[0] };

	/* One for all inputs: opening costs more than decoding a thousand. */
	if (format == NULL) {
		format = format_ledger_LTX_bursar_plugin.ops.format->open(
			&host, &err);
		reader = json_reader_create();
	}
	FUZZ_REQUIRE(format != NULL && reader != NULL);
	if (size > 0) {
		message.kind = &schema.kinds[(data[0] & 3) % SCHEMA_KINDS];
		if ((data[0] & 4) != 0 && size > HEADER_SIZE) {
			header.value = (struct bursar_span){
				(const char *)data + 1, HEADER_SIZE,
			};
			message.headers = &header;
			message.header_count = 1;
			data += HEADER_SIZE;
			size -= HEADER_SIZE;
		}
		message.body = (struct bursar_span){
			blocks_copy(data + 1, size - 1), size - 1,
		};
	}
	decode(reader, format, &message);
	fuzz_forget();
	return 0;
}
