/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <string.h>

#include "flow/keyring.h"

/* How soon an outage is looked at again where the plugin has no tick(). */
#define LOOK_AGAIN_US INT64_C(1000000)

void keyring_init(struct keyring *keyring, const char *name,
                  const struct bursar_crypto_ops *ops,
                  struct bursar_crypto *crypto)
{
	*keyring = (struct keyring){
		.name = name, .ops = ops, .crypto = crypto, .usable = true,
	};
	pthread_mutex_init(&keyring->lock, NULL);
}

void keyring_finish(struct keyring *keyring)
{
	pthread_mutex_destroy(&keyring->lock);
}

bool keyring_opens(const struct keyring *keyring, struct bursar_span encoding)
{
	for (const char *const *e = keyring->ops->encodings; *e != NULL; e++) {
		if (strlen(*e) == encoding.size &&
		    memcmp(*e, encoding.data, encoding.size) == 0) {
			return true;
		}
	}
	return false;
}

static void note(struct keyring *keyring, bool usable)
{
	keyring->usable = usable;
	if (!usable) {
		keyring->next_tick = clock_mono_us() + LOOK_AGAIN_US;
	}
}

enum bursar_verdict keyring_unseal(struct keyring *keyring,
                                   struct bursar_sealed *items, size_t count,
                                   struct bursar_arena *arena,
                                   struct bursar_error *err)
{
	pthread_mutex_lock(&keyring->lock);
	const enum bursar_verdict verdict =
		keyring->ops->unseal(keyring->crypto, items, count, arena, err);
	note(keyring, verdict == BURSAR_DONE);
	pthread_mutex_unlock(&keyring->lock);
	return verdict;
}

enum bursar_verdict keyring_seal(struct keyring *keyring,
                                 struct bursar_span plain,
                                 struct bursar_seal *out,
                                 struct bursar_arena *arena,
                                 struct bursar_error *err)
{
	pthread_mutex_lock(&keyring->lock);
	*out = (struct bursar_seal){ 0 };
	const enum bursar_verdict verdict =
		keyring->ops->seal(keyring->crypto, plain, out, arena, err);
	/* A text that cannot be sealed says nothing of the key. */
	note(keyring, verdict == BURSAR_DONE || verdict == BURSAR_REJECT);
	pthread_mutex_unlock(&keyring->lock);
	return verdict;
}

bool keyring_tick(struct keyring *keyring)
{
	const int64_t now = clock_mono_us();

	pthread_mutex_lock(&keyring->lock);
	if (now >= keyring->next_tick) {
		if (keyring->ops->tick != NULL) {
			keyring->next_tick = keyring->ops->tick(
				keyring->crypto, &keyring->usable);
		} else {
			keyring->usable = true;
			keyring->next_tick = INT64_MAX;
		}
	}
	const bool usable = keyring->usable;
	pthread_mutex_unlock(&keyring->lock);
	return usable;
}
