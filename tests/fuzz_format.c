/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tests/blocks.h"
#include "tests/fuzz_format.h"

struct bursar_record *fuzz_record;
size_t fuzz_record_count;

static struct bursar_record *add(struct bursar_records *records,
                                 const struct bursar_kind *kind)
{
	(void)records;
	fuzz_record = blocks_zeros(sizeof(*fuzz_record) + kind->field_count *
	                           sizeof(fuzz_record->values[0]));
	fuzz_record->kind = kind;
	fuzz_record_count++;
	return fuzz_record;
}

struct bursar_records *fuzz_records(void)
{
	static struct bursar_records records = { add, &blocks_arena };

	return &records;
}

void fuzz_forget(void)
{
	blocks_clear();
	fuzz_record = NULL;
	fuzz_record_count = 0;
}
