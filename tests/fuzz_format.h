/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fuzz_format.h - records and memory for fuzzers of a format
 *
 * Each block has its own size, and the 64 bytes behind it that the contract
 * has, so that a sanitizer sees what goes further.  One thread.
 */
#ifndef TESTS_FUZZ_FORMAT_H
#define TESTS_FUZZ_FORMAT_H

#include <bursar/format.h>

/* What the last message became: the last record, and how many. */
extern struct bursar_record *fuzz_record;
extern size_t fuzz_record_count;

/* Zeros, freed by fuzz_forget(); never NULL. */
void *fuzz_block(size_t size);

/* A body in memory of its own size. */
struct bursar_span fuzz_body(const uint8_t *data, size_t size);

/* Lent; an arena of such blocks, which adds to fuzz_record. */
struct bursar_records *fuzz_records(void);

/* Frees all blocks; there are no records then. */
void fuzz_forget(void);

#endif
