/* SPDX-License-Identifier: Apache-2.0 */

/*
 * decode.h - one format, loaded as a module, for tests that look at records
 *
 * Call decode_start() first and decode_stop() last.  Messages and what they
 * become stand in blocks (tests/blocks.h), cleared by each next message.
 */
#ifndef TESTS_DECODE_H
#define TESTS_DECODE_H

#include <bursar/format.h>

/* The message to be decoded next; decode_message() empties it. */
extern struct bursar_message decode_next;
/* What the last one became. */
extern struct bursar_record *decode_record;	/* NULL: none */
extern size_t decode_count;			/* of records */
extern struct bursar_error decode_error;

/* Before decode_start(): options of the format that are true, divided by
 * spaces; all others are false. */
extern const char *decode_flags;
/* And "name=word" of its options that are texts, divided by spaces; all others
 * are empty. */
extern const char *decode_words;

void decode_start(const char *module);
void decode_stop(void);

/* Adds a header to the next message; both texts stay the caller's. */
void decode_header(const char *name, const char *value);
void decode_header_bytes(const char *name, const char *value, size_t size);

/* Decodes the next message, of that kind and with this body. */
enum bursar_verdict decode_message(const char *kind, const char *body,
                                   size_t size);
/* The same for a text that must become one record. */
void decode_text(const char *kind, const char *body);

/*
 * A field as text: a number in decimal, "unset" where nothing is set.  Lent
 * until the next call but three.
 */
const char *decode_got(const char *field);

#endif
