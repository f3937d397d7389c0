/* SPDX-License-Identifier: Apache-2.0 */

/*
 * cluster_items.h - messages of a crypto, opened and sealed with a ring
 *
 * What every crypto does that has the secret of a cluster, wherever it got it
 * from.  It counts older_key_messages_total and legacy_messages_total, which
 * stand among the figures of such a plugin, and tells nobody why a message did
 * not open.
 *
 * Threads: one by one, as the ring.
 */
#ifndef COMMON_CLUSTER_ITEMS_H
#define COMMON_CLUSTER_ITEMS_H

#include <bursar/crypto.h>

#include "cluster_cipher.h"

/* One instance's way of opening. */
struct cluster_use {
	const struct bursar_host *host;	/* outlives it */
	bool allow_cbc;			/* legacy messages are opened, too */
	bool cbc_was_seen;		/* and one of them was logged */
};

/*
 * Opens one message and sets result, plain and legacy of its item: OPENED or
 * BROKEN.  Returns CLUSTER_UNABLE when memory is short: BROKEN means nothing
 * then.  The ring is not empty; cluster_ring_rest() is the caller's to call.
 */
enum cluster_result cluster_unseal_item(struct cluster_use *use,
                                        struct cluster_ring *ring,
                                        struct bursar_sealed *item,
                                        struct bursar_arena *arena);

/*
 * Seals plain (1 to CLUSTER_MAX_PLAIN bytes) as seal() of bursar/crypto.h has
 * it; what *out points to stands in the arena.  Returns DONE, or RETRY with
 * *err filled.
 */
enum bursar_verdict cluster_seal_item(struct cluster_ring *ring,
                                      struct bursar_span plain,
                                      struct bursar_seal *out,
                                      struct bursar_arena *arena,
                                      struct bursar_error *err);

/*
 * Whether a text can be sealed whose length is to be 1 to `most` bytes; false
 * with *err filled: EINVAL, the verdict is REJECT.
 */
bool cluster_may_seal(struct bursar_span plain, size_t most,
                      struct bursar_error *err);

#endif
