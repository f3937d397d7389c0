/* SPDX-License-Identifier: Apache-2.0 */

/*
 * rfc3339.h - instants as text (RFC 3339), microseconds since 1970 UTC
 */
#ifndef COMMON_RFC3339_H
#define COMMON_RFC3339_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RFC3339_SIZE 32

/* "2026-11-01T00:00:03.700000Z"; years 0 to 9999, else "out of range".
 * Returns out. */
const char *rfc3339_format(int64_t us, char out[RFC3339_SIZE]);

/*
 * Reads a date and time with a zone (Z or +hh:mm), a fraction of up to nine
 * digits (cut to microseconds), 't' or a space for 'T', a space before the zone
 * and UTC for Z as Ruby writes them; without a zone UTC is meant.  A leap
 * second counts as the second after it.  Returns false for anything else, and
 * for years before 1 or after 9999.
 */
bool rfc3339_parse(const char *text, size_t size, int64_t *us);

/* The same, and whether it named a zone: where it did not, *us is what UTC
 * calls what a clock showed. */
bool rfc3339_parse_zoned(const char *text, size_t size, int64_t *us,
                         bool *zoned);

#endif
