/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as an answer of a provider, alone or beside what says whose it is.
 * Whatever comes out can be stored, and nothing of the core's is touched.
 */
#include "config.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <bursar/format.h>

#include "core/schema.h"
#include "tests/fuzz.h"

#define PADDING    64
#define MAX_BLOCKS 65536

/* The plugin is linked in. */
extern const struct bursar_plugin format_provider_LTX_bursar_plugin;

static void *blocks[MAX_BLOCKS];
static size_t block_count;
static struct bursar_record *made;
static size_t made_count;

static void *block(size_t size)
{
	void *memory = block_count < MAX_BLOCKS ? calloc(1, size + PADDING)
	                                        : NULL;

	if (memory != NULL) {
		blocks[block_count++] = memory;
	}
	return memory;
}

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	(void)arena;
	return block(size);
}

static struct bursar_record *add(struct bursar_records *records,
                                 const struct bursar_kind *kind)
{
	(void)records;
	made = block(sizeof(*made) + kind->field_count *
	             sizeof(made->values[0]));
	FUZZ_REQUIRE(made != NULL);
	made->kind = kind;
	made_count++;
	return made;
}

static void check_record(void)
{
	FUZZ_REQUIRE(made_count <= 1);
	for (size_t i = 0; made_count == 1 && i < made->kind->field_count;
	     i++) {
		const struct bursar_field *field = &made->kind->fields[i];
		const struct bursar_value *value = &made->values[i];

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
	static struct bursar_arena arena = { arena_alloc };
	static struct bursar_format *format;
	const struct bursar_format_ops *ops =
		format_provider_LTX_bursar_plugin.ops.format;
	struct bursar_records records = { add, &arena };
	struct bursar_error err = { 0 };
	struct bursar_message message = { .kind = &schema.kinds[0] };

	/* One for all inputs: opening costs more than decoding a thousand. */
	if (format == NULL) {
		format = ops->open(&host, &err);
		FUZZ_REQUIRE(format != NULL);
	}
	made_count = 0;
	char *body = block(size);
	FUZZ_REQUIRE(body != NULL);
	if (size > 0) {
		memcpy(body, data, size);
	}
	message.body = (struct bursar_span){ body, size };
	const enum bursar_verdict verdict = ops->decode(format, &message,
	                                                &records, &err);
	FUZZ_REQUIRE(verdict == BURSAR_DONE || err.code != 0);
	FUZZ_REQUIRE(verdict == BURSAR_DONE || made_count == 0);
	check_record();
	while (block_count > 0) {
		free(blocks[--block_count]);
	}
	return 0;
}
