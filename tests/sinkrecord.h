/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sinkrecord.h - records for tests and benchmarks of sinks
 */
#ifndef TESTS_SINKRECORD_H
#define TESTS_SINKRECORD_H

#include <stdlib.h>

#include <check.h>

#include <bursar/schema.h>

/* A record of that kind with nothing set; free() it. */
static inline struct bursar_record *
sinkrecord_create(const struct bursar_kind *kind)
{
	struct bursar_record *record = calloc(1, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));

	ck_assert_ptr_nonnull(record);
	record->kind = kind;
	return record;
}

/* Order of keys, for qsort() over pointers to records. */
static inline int sinkrecord_compare(const void *left, const void *right)
{
	const struct bursar_record *a =
		*(const struct bursar_record *const *)left;
	const struct bursar_record *b =
		*(const struct bursar_record *const *)right;

	return memcmp(a->key, b->key, sizeof(a->key));
}

#endif
