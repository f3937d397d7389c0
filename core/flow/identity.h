/* SPDX-License-Identifier: Apache-2.0 */

/*
 * identity.h - under which key a record is stored, and its content check
 *
 * BLAKE2b (RFC 7693) of libsodium: nobody can make two ids that share a key,
 * or two bodies that share a check by design.  Any thread.
 */
#ifndef CORE_FLOW_IDENTITY_H
#define CORE_FLOW_IDENTITY_H

#include <bursar/schema.h>

/* BLAKE2b-128 of the kind's name, a NUL and the id. */
void identity_key(const struct bursar_kind *kind, const char *id, size_t size,
                  uint8_t key[16]);

/*
 * The first 8 bytes, little-endian, of BLAKE2b-128 of a message's clear body,
 * white space outside strings left out.  body is followed by 64 readable
 * bytes.  scratch has room for size + 64 bytes.
 */
uint64_t identity_check(const char *body, size_t size, char *scratch);

/*
 * The row hash of a record with bodies: the first 8 bytes of BLAKE2b-128 over
 * the fields that are set, but row_hash, in the order of the table: the name
 * and a NUL; a byte, 1 for text, 2 for a number; text: its length in 8 bytes
 * and itself; number: 8 bytes; little-endian.  A field that is added to the
 * table later changes the hash of no row that was stored without it.
 */
int64_t identity_row_hash(const struct bursar_record *record);

/*
 * The same of a record without an id of its own, which was hashed under the
 * first of its numbered ids: the sink alone finds out which one is free.
 * Returns false when memory is short.  The record is as before.
 */
bool identity_row_hash_as_first(struct bursar_record *record, int64_t *hash);

#endif
