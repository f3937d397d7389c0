/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A crypto whose keys are at hand, or are not, as its options say.  Given a
 * key-file, it opens what comes by leaving it alone, as long as that is there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bursar/crypto.h>

#define LOOK_US INT64_C(50000)

struct bursar_crypto {
	bool usable;
	const char *key_file;	/* lent by the host */
};

static const char *const moody_encodings[] = { "encrypted/moody", NULL };

static const struct bursar_option moody_options[] = {
	{ "mood", BURSAR_TYPE_CHOICE, "fine", "How it is today.",
	  .choices = "fine|sealed|broken|exposed" },
	{ "key-file", BURSAR_TYPE_TEXT, "", "Without it there is no key now." },
	{ "key", BURSAR_TYPE_SECRET, "", "A key that nobody uses." },
	{ NULL }
};

static struct bursar_crypto *moody_open(const struct bursar_host *host,
                                        struct bursar_error *err)
{
	const char *mood = host->text(host, "mood");

	if (strcmp(mood, "broken") == 0) {
		bursar_fail(err, EINVAL, "the key is no key");
		return NULL;
	}
	if (strcmp(mood, "exposed") == 0) {
		bursar_fail(err, EPERM, "others can read the key: chmod 600 it");
		return NULL;
	}
	struct bursar_crypto *crypto = calloc(1, sizeof(*crypto));
	if (crypto == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	crypto->usable = strcmp(mood, "fine") == 0;
	crypto->key_file = host->text(host, "key-file");
	return crypto;
}

static bool follows_a_file(const struct bursar_crypto *crypto)
{
	return crypto->key_file[0] != '\0';
}

static bool has_key(const struct bursar_crypto *crypto)
{
	return follows_a_file(crypto) ? access(crypto->key_file, R_OK) == 0 :
		crypto->usable;
}

static enum bursar_verdict moody_unseal(struct bursar_crypto *crypto,
                                        struct bursar_sealed *items,
                                        size_t count,
                                        struct bursar_arena *arena,
                                        struct bursar_error *err)
{
	(void)arena;
	if (follows_a_file(crypto) && !has_key(crypto)) {
		bursar_fail(err, EAGAIN, "no key is at hand");
		return BURSAR_RETRY;
	}
	for (size_t i = 0; i < count; i++) {
		items[i].result = BURSAR_BROKEN;
		if (follows_a_file(crypto)) {
			items[i].plain = items[i].message->body;
			items[i].result = BURSAR_OPENED;
		}
	}
	return BURSAR_DONE;
}

static int64_t moody_tick(struct bursar_crypto *crypto, bool *usable)
{
	struct timespec now;

	*usable = has_key(crypto);
	if (!follows_a_file(crypto)) {
		return INT64_MAX;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000 + LOOK_US;
}

static void moody_close(struct bursar_crypto *crypto)
{
	free(crypto);
}

static const struct bursar_crypto_ops moody_ops = {
	.encodings = moody_encodings,
	.open      = moody_open,
	.unseal    = moody_unseal,
	.tick      = moody_tick,
	.close     = moody_close,
};

BURSAR_PLUGIN_DEFINE(crypto_moody,
	.kind       = BURSAR_CRYPTO,
	.name       = "moody",
	.summary    = "opens when it likes",
	.options    = moody_options,
	.ops.crypto = &moody_ops);
