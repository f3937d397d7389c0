/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz.h"
#include "tests/fuzz_format.h"

#define PADDING    64
#define MAX_BLOCKS 65536

static void *blocks[MAX_BLOCKS];
static size_t block_count;

struct bursar_record *fuzz_record;
size_t fuzz_record_count;

void *fuzz_block(size_t size)
{
	void *memory = calloc(1, size + PADDING);

	FUZZ_REQUIRE(memory != NULL && block_count < MAX_BLOCKS);
	blocks[block_count++] = memory;
	return memory;
}

struct bursar_span fuzz_body(const uint8_t *data, size_t size)
{
	char *body = fuzz_block(size);

	if (size > 0) {
		memcpy(body, data, size);
	}
	return (struct bursar_span){ body, size };
}

static void *arena_alloc(struct bursar_arena *arena, size_t size)
{
	(void)arena;
	return fuzz_block(size);
}

static struct bursar_record *add(struct bursar_records *records,
                                 const struct bursar_kind *kind)
{
	(void)records;
	fuzz_record = fuzz_block(sizeof(*fuzz_record) + kind->field_count *
	                         sizeof(fuzz_record->values[0]));
	fuzz_record->kind = kind;
	fuzz_record_count++;
	return fuzz_record;
}

struct bursar_records *fuzz_records(void)
{
	static struct bursar_arena arena = { arena_alloc };
	static struct bursar_records records = { add, &arena };

	return &records;
}

void fuzz_forget(void)
{
	while (block_count > 0) {
		free(blocks[--block_count]);
	}
	fuzz_record = NULL;
	fuzz_record_count = 0;
}
