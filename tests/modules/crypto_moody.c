/* SPDX-License-Identifier: Apache-2.0 */

/* A crypto whose keys are at hand, or are not, as its option says. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bursar/crypto.h>

struct bursar_crypto {
	bool usable;
};

static const char *const moody_encodings[] = { "encrypted/moody", NULL };

static const struct bursar_option moody_options[] = {
	{ "mood", BURSAR_TYPE_CHOICE, "fine", "How it is today.",
	  .choices = "fine|sealed|broken" },
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
	struct bursar_crypto *crypto = calloc(1, sizeof(*crypto));
	if (crypto == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	crypto->usable = strcmp(mood, "fine") == 0;
	return crypto;
}

static enum bursar_verdict moody_unseal(struct bursar_crypto *crypto,
                                        struct bursar_sealed *items,
                                        size_t count,
                                        struct bursar_arena *arena,
                                        struct bursar_error *err)
{
	(void)crypto, (void)arena, (void)err;
	for (size_t i = 0; i < count; i++) {
		items[i].result = BURSAR_BROKEN;
	}
	return BURSAR_DONE;
}

static int64_t moody_tick(struct bursar_crypto *crypto, bool *usable)
{
	*usable = crypto->usable;
	return INT64_MAX;
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
