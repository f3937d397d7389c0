/* SPDX-License-Identifier: Apache-2.0 */

/*
 * keyring.h - a crypto that several threads use, one call at a time
 */
#ifndef CORE_FLOW_KEYRING_H
#define CORE_FLOW_KEYRING_H

#include <pthread.h>

#include <bursar/crypto.h>

#include "plugin/instance.h"

struct keyring {
	const char           *name;		/* of the instance; lent */
	const struct bursar_crypto_ops *ops;
	struct bursar_crypto *crypto;		/* lent */
	pthread_mutex_t       lock;
	int64_t               next_tick;	/* us, monotonic */
	bool                  usable;
};

/* Around a crypto that is open; it stays the caller's. */
void keyring_init(struct keyring *keyring, const char *name,
                  const struct bursar_crypto_ops *ops,
                  struct bursar_crypto *crypto);
void keyring_finish(struct keyring *keyring);

/* Whether it opens messages of that content encoding. */
bool keyring_opens(const struct keyring *keyring, struct bursar_span encoding);

/* unseal() of bursar/crypto.h.  After a verdict other than DONE the keyring is
 * not usable until its tick says so. */
enum bursar_verdict keyring_unseal(struct keyring *keyring,
                                   struct bursar_sealed *items, size_t count,
                                   struct bursar_arena *arena,
                                   struct bursar_error *err);

/* seal() of bursar/crypto.h, of a crypto that can; else as keyring_unseal(). */
enum bursar_verdict keyring_seal(struct keyring *keyring,
                                 struct bursar_span plain,
                                 struct bursar_seal *out,
                                 struct bursar_arena *arena,
                                 struct bursar_error *err);

/* Looks after the keys when it is time; returns whether unseal() and
 * seal() can be expected to work. */
bool keyring_tick(struct keyring *keyring);

#endif
