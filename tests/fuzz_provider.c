/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as an answer of a provider, alone or beside what says whose it is.
 * Whatever comes out can be stored, and nothing of the core's is touched.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include <bursar/format.h>

#include "core/plugin/schema.h"
#include "tests/blocks.h"
#include "tests/fuzz.h"
#include "tests/fuzz_format.h"

/* The plugin is linked in. */
extern const struct bursar_plugin format_provider_LTX_bursar_plugin;

static void check_record(void)
{
	FUZZ_REQUIRE(fuzz_record_count <= 1);
	if (fuzz_record == NULL) {
		return;
	}
	for (size_t i = 0; i < fuzz_record->kind->field_count; i++) {
		const struct bursar_field *field = &fuzz_record->kind->fields[i];
		const struct bursar_value *value = &fuzz_record->values[i];

		if (!value->is_set) {
			continue;
		}
		FUZZ_REQUIRE((field->flags & BURSAR_FIELD_CORE) == 0 ||
		             i == BURSAR_DQ_FLAGS);
		FUZZ_REQUIRE((field->type != BURSAR_TEXT &&
		              field->type != BURSAR_JSON) ||
		             (value->text != NULL &&
		              memchr(value->text, '\0', value->size) == NULL));
	}
}

static const char *text(const struct bursar_host *host, const char *name)
{
	(void)host, (void)name;
	return "";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct bursar_host host = {
		.schema = &schema, .text = text,
	};
	static struct bursar_format *format;
	const struct bursar_format_ops *ops =
		format_provider_LTX_bursar_plugin.ops.format;
	struct bursar_error err = { 0 };
	struct bursar_message message = { .kind = &schema.kinds[0] };

	/* One for all inputs: opening costs more than decoding a thousand. */
	if (format == NULL) {
		format = ops->open(&host, &err);
		FUZZ_REQUIRE(format != NULL);
	}
	message.body = (struct bursar_span){ blocks_copy(data, size), size };
	const enum bursar_verdict verdict = ops->decode(format, &message,
	                                                fuzz_records(), &err);
	FUZZ_REQUIRE(verdict == BURSAR_DONE || err.code != 0);
	FUZZ_REQUIRE(verdict == BURSAR_DONE || fuzz_record_count == 0);
	check_record();
	fuzz_forget();
	return 0;
}
