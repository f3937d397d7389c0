/* SPDX-License-Identifier: Apache-2.0 */

/*
 * descriptor.h - who an identity is, in parts
 *
 * "user:matt" is matt, a human; "service:system" is system, a service; "gaia"
 * is gaia, of a kind that nobody said.  An address ("a@b") and a URI
 * ("spiffe://x/y") are names as a whole.
 */
#ifndef COMMON_DESCRIPTOR_H
#define COMMON_DESCRIPTOR_H

#include <bursar/plugin.h>

#define DESCRIPTOR_KIND_UNKNOWN   "unknown"
#define DESCRIPTOR_PROVIDER_LOCAL "local"

/* The name, and what stands before it, of size 0 where nothing does; both are
 * spans of the identity. */
void descriptor_split(struct bursar_span identity, struct bursar_span *kind,
                      struct bursar_span *name);

/*
 * A kind as it is written everywhere: lower case, '_' for what is no letter,
 * digit, '_' or '-', up to the first colon; a user is a human.  Writes it to
 * out, which has room for its size and 1 more, and returns its size; 0 where
 * nothing is left of it.
 */
size_t descriptor_kind(struct bursar_span type, char *out);

/*
 * The provider of an identity, from the name of its credential: lower case, '-'
 * for what is no letter, digit, '_' or '-', none of them at its ends.  As
 * above.
 */
size_t descriptor_provider(struct bursar_span credential, char *out);

#endif
