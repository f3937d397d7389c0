/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fuzz_format.h - records for fuzzers of a format, in blocks (tests/blocks.h)
 *
 * One thread.
 */
#ifndef TESTS_FUZZ_FORMAT_H
#define TESTS_FUZZ_FORMAT_H

#include <bursar/format.h>

/* What the last message became: the last record, and how many. */
extern struct bursar_record *fuzz_record;
extern size_t fuzz_record_count;

/* Lent; sets fuzz_record and counts. */
struct bursar_records *fuzz_records(void);

/* Frees all blocks; there are no records then. */
void fuzz_forget(void);

#endif
