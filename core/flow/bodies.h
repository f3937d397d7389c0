/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bodies.h - bodies of prompts and tool calls, sealed in their columns
 *
 * A sealed column is text:
 *
 *	sealed:1:ENCODING[;NAME=VALUE]...[;base64]:BODY
 *
 * ENCODING, headers and BODY are what seal() of a crypto made; `base64` stands
 * there where its body is no visible ASCII and was coded once more.  Bytes
 * beside letters, digits and -._+/ are %XX in names, values and ENCODING.
 *
 * What was sealed is 16 bytes that name the place, and then the text.  They are
 * BLAKE2b-128 of "bursar body 1", the kind, the column and the record's id,
 * each with a NUL behind: a text that somebody moved to another column or row
 * does not open there.  A record without an id of its own has the first of its
 * numbered ids here, id#0, as the sink alone finds out which one is free.
 *
 * The record's sealed_by says CRYPTO/KEY for all its bodies, CRYPTO as the
 * configuration calls it.  A record without it has no sealed body, whatever its
 * texts look like; one with it has no other.
 *
 * One thread per keyring is not needed: see keyring.h.
 */
#ifndef CORE_FLOW_BODIES_H
#define CORE_FLOW_BODIES_H

#include "base/arena.h"
#include "flow/keyring.h"

/* Bytes of sealed_by at most: a name of the configuration, '/', a key id. */
#define BODIES_KEY_MAX (SETUP_MAX_NAME + 1 + 96)

/* Fields with bodies that a kind may have. */
#define BODIES_MAX 8

/* Headers of a sealed text. */
#define BODIES_HEADERS 4

/*
 * Seals the bodies of a record that has its id, and sets sealed_by and
 * row_hash; of one without bodies, row_hash alone.  What is kept stands in
 * `keep`, `scratch` is used meanwhile.
 *
 * Returns DONE; or, with the record as it was and *err filled, what seal() of
 * the crypto said: REJECT, a text is too long.
 */
enum bursar_verdict bodies_seal(struct keyring *keyring,
                                struct bursar_record *record,
                                struct arena *keep, struct arena *scratch,
                                struct bursar_error *err);

/*
 * The name under which the crypto seals now, as in sealed_by.  Returns as
 * seal(), with *err filled.
 */
enum bursar_verdict bodies_key(struct keyring *keyring,
                               char name[BODIES_KEY_MAX + 1],
                               struct bursar_error *err);

/*
 * Makes a message to unseal() of a sealed column; headers has room for
 * BODIES_HEADERS.  What it points to is part of the text or stands in the
 * arena.  Returns false where it is none, or memory is short (*memory).
 */
bool bodies_parse(struct bursar_span text, struct bursar_message *message,
                  struct bursar_header *headers, struct bursar_arena *arena,
                  bool *memory);

/* Where a sealed column stands. */
struct bodies_place {
	const struct bursar_kind  *kind;
	const struct bursar_field *field;
	struct bursar_span         id;
	bool derived;		/* its id may be a numbered one */
};

/*
 * Takes the place off what unseal() made of a column.  Returns false where it
 * was sealed for another place.
 */
bool bodies_take(const struct bodies_place *place, struct bursar_span plain,
                 struct bursar_span *text);

#endif
