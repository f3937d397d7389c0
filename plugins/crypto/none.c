/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The crypto that opens nothing.
 *
 * It lists no encoding, so the core offers it no message; should it be offered
 * one all the same, the plain text is the body as it came.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include <bursar/crypto.h>

struct bursar_crypto {
	const struct bursar_host *host;
};

static const char *const encodings[] = { NULL };

static struct bursar_crypto *none_open(const struct bursar_host *host,
                                       struct bursar_error *err)
{
	struct bursar_crypto *crypto = malloc(sizeof(*crypto));

	if (crypto == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	crypto->host = host;
	return crypto;
}

static enum bursar_verdict none_unseal(struct bursar_crypto *crypto,
                                       struct bursar_sealed *items,
                                       size_t count,
                                       struct bursar_arena *arena,
                                       struct bursar_error *err)
{
	assert(crypto != NULL && items != NULL && count > 0);
	(void)crypto, (void)arena, (void)err;

	for (size_t i = 0; i < count; i++) {
		items[i].plain = items[i].message->body;
		items[i].result = BURSAR_OPENED;
		items[i].legacy = false;
	}
	return BURSAR_DONE;
}

static void none_close(struct bursar_crypto *crypto)
{
	free(crypto);
}

static const struct bursar_crypto_ops ops = {
	.encodings = encodings,
	.open = none_open,
	.unseal = none_unseal,
	.close = none_close,
};

static const struct bursar_option options[] = {
	{ NULL },
};

static const char manual[] =
"Opens nothing: it lists no content encoding and takes no key.  A source whose "
"crypto is an instance of this plugin reads clear messages as every source "
"does, and an encrypted message stays closed and becomes a dead letter, to be "
"replayed when the source has a crypto that can open it.\n"
"\n"
"It serves to say so in the configuration, where the name of a crypto is "
"wanted:\n"
"\n"
"	sources:\n"
"	  metering: {plugin: file, path: /var/lib/llm/*.jsonl, crypto: clear}\n"
"	crypto:\n"
"	  clear: {plugin: none}\n";

BURSAR_PLUGIN_DEFINE(crypto_none,
	.kind = BURSAR_CRYPTO,
	.name = "none",
	.summary = "opens nothing, for messages that come in clear",
	.options = options,
	.manual = manual,
	.ops.crypto = &ops,
);
