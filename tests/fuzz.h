/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fuzz.h - what every fuzzer shares
 *
 * A fuzzer is fuzz_<thing>.c: it gives any bytes to one parser and requires
 * what must hold whatever the bytes are.  Linked with fuzz_main.c it replays
 * tests/corpus/<thing>/ under `make check`; linked with libFuzzer it searches
 * under `make fuzz`.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns 0; aborts where something does not hold. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_REQUIRE(condition)                                              \
	do {                                                                 \
		if (!(condition)) {                                          \
			fprintf(stderr, "%s:%d: does not hold: %s\n",        \
			        __FILE__, __LINE__, #condition);             \
			abort();                                             \
		}                                                            \
	} while (0)

#endif
