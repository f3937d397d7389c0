/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cluster_cipher.h - the cipher of the encoding encrypted/cs
 *
 * A cluster shares one secret, hex text.  The key is the SHA-256 of that text
 * as it is written, so that upper and lower case make different keys.
 *
 *	current	body "gcm:" base64(ciphertext) ":" base64(tag), header iv
 *		base64 of 12 bytes: AES-256-GCM, no additional data
 *	legacy	body base64(ciphertext) with line breaks, header iv base64 of
 *		16 bytes: AES-256-CBC with PKCS#7 padding and no authentication;
 *		opened, never made
 *
 * A ring holds the keys of one cluster, the current one first, in memory that
 * is locked, read-only, left out of core dumps and wiped in the end.  Expanded
 * keys, which libcrypto keeps elsewhere, live only until cluster_ring_rest().
 *
 * Threads: one ring is used by one thread at a time.
 */
#ifndef COMMON_CLUSTER_CIPHER_H
#define COMMON_CLUSTER_CIPHER_H

#include <bursar/plugin.h>

#define CLUSTER_ENCODING    "encrypted/cs"
#define CLUSTER_MAX_SECRETS 16
#define CLUSTER_MAX_PLAIN   ((size_t)1 << 29)	/* bytes of one message */

struct cluster_ring;

/* An empty ring, to be given to cluster_ring_destroy(), or NULL with *err. */
struct cluster_ring *cluster_ring_create(struct bursar_error *err);

/*
 * Whether the keys cannot be swapped out; the system may refuse that
 * (RLIMIT_MEMLOCK), and the ring works all the same.
 */
bool cluster_ring_is_locked(const struct cluster_ring *ring);

/*
 * Whether secret may be one: hex digits and nothing else, 2 * bytes of them,
 * or any number above 0 where bytes is 0.
 */
bool cluster_secret_is_valid(struct bursar_span secret, size_t bytes);

/*
 * Adds the key of a valid secret behind those that are there.  The secret is
 * lent for the call.  Returns 0, or -1 with *err filled: ENOSPC when there are
 * CLUSTER_MAX_SECRETS, EIO when libcrypto fails.
 */
int cluster_ring_add(struct cluster_ring *ring, struct bursar_span secret,
                     struct bursar_error *err);
size_t cluster_ring_count(const struct cluster_ring *ring);

/*
 * The name of the first key, 16 hex digits of a hash of it: tells keys apart,
 * and is of no use to find one.  A copy in the arena; data is NULL when memory
 * is short.  The ring is not empty.
 */
struct bursar_span cluster_ring_copy_id(const struct cluster_ring *ring,
                                        struct bursar_arena *arena);

enum cluster_result {
	CLUSTER_OPENED,
	CLUSTER_BROKEN,		/* can never be opened; why is not told */
	CLUSTER_UNABLE,		/* memory is short, libcrypto fails: later */
};

struct cluster_opened {
	struct bursar_span plain;	/* in the arena; never empty */
	bool   legacy;			/* without authentication */
	size_t which;			/* the key that fits; 0 is the current */
};

/*
 * Opens one message with the first key that fits.  allow_cbc: legacy messages
 * too.  As these prove nothing, a key fits one when the padding is right and
 * the text begins, white space aside, as a JSON object or array does: every
 * message that we can use does, and a wrong key does once in 30,000.
 *
 * *opened is filled with CLUSTER_OPENED only.  The ring is not empty.
 */
enum cluster_result cluster_ring_unseal(struct cluster_ring *ring,
                                        struct bursar_span body,
                                        struct bursar_span iv, bool allow_cbc,
                                        struct bursar_arena *arena,
                                        struct cluster_opened *opened);

/*
 * Seals plain (1 to CLUSTER_MAX_PLAIN bytes) under the first key with a random
 * iv; *body and *iv stand in the arena.  Returns 0, or -1 with *err filled:
 * ENOMEM or EIO.  The ring is not empty.
 */
int cluster_ring_seal(struct cluster_ring *ring, struct bursar_span plain,
                      struct bursar_arena *arena, struct bursar_span *body,
                      struct bursar_span *iv, struct bursar_error *err);

/*
 * Forgets expanded keys; they are made again when needed (about 1 us each).
 * To be called whenever the caller will be idle: after each batch.
 */
void cluster_ring_rest(struct cluster_ring *ring);

/* Wipes the keys and releases the ring; it may be NULL. */
void cluster_ring_destroy(struct cluster_ring *ring);

#endif
