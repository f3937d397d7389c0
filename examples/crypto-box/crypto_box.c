/* SPDX-License-Identifier: Apache-2.0 */

/* box - XChaCha20-Poly1305 under one key.  A body is 24 bytes of nonce, then
 * what libsodium makes of the text. */
#include <errno.h>
#include <stdlib.h>

#include <sodium.h>

#include <bursar/crypto.h>

#define aead(what) crypto_aead_xchacha20poly1305_ietf_##what

enum { NONCE = aead(NPUBBYTES), KEY = aead(KEYBYTES), MORE = aead(ABYTES) };

struct bursar_crypto {
	unsigned char *key;	/* in locked memory */
};

static const struct bursar_option options[] = {
	{ "key", BURSAR_TYPE_SECRET, NULL, "The key, as 64 hex digits." },
	{ NULL }
};

static void box_close(struct bursar_crypto *crypto)
{
	if (crypto != NULL) {
		sodium_free(crypto->key);	/* which wipes it */
		free(crypto);
	}
}

static struct bursar_crypto *box_open(const struct bursar_host *host,
                                      struct bursar_error *err)
{
	const struct bursar_span key = host->secret(host, "key");
	struct bursar_crypto *crypto = calloc(1, sizeof(*crypto));
	size_t size;

	if (crypto == NULL || sodium_init() < 0 ||
	    (crypto->key = sodium_malloc(KEY)) == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
	} else if (sodium_hex2bin(crypto->key, KEY, key.data, key.size, "\n",
	                          &size, NULL) == 0 && size == KEY) {
		return crypto;
	} else {
		bursar_fail(err, EINVAL, "key: is not 64 hex digits");
	}
	box_close(crypto);
	return NULL;
}

static enum bursar_verdict no_memory(struct bursar_error *err)
{
	bursar_fail(err, ENOMEM, "out of memory");
	return BURSAR_RETRY;
}

static enum bursar_verdict box_unseal(struct bursar_crypto *crypto,
                                      struct bursar_sealed *items, size_t count,
                                      struct bursar_arena *arena,
                                      struct bursar_error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct bursar_span body = items[i].message->body;
		const unsigned char *in = (const unsigned char *)body.data;

		items[i].result = BURSAR_BROKEN;
		if (body.size <= NONCE + MORE) {
			continue;
		}
		unsigned char *out = arena->alloc(arena, body.size);
		if (out == NULL) {
			return no_memory(err);
		}
		if (aead(decrypt)(out, NULL, NULL, in + NONCE, body.size - NONCE,
		                  NULL, 0, in, crypto->key) == 0) {
			items[i].plain = (struct bursar_span){
				(char *)out, body.size - NONCE - MORE };
			items[i].result = BURSAR_OPENED;
		}
	}
	return BURSAR_DONE;
}

static enum bursar_verdict box_seal(struct bursar_crypto *crypto,
                                    struct bursar_span plain,
                                    struct bursar_seal *out,
                                    struct bursar_arena *arena,
                                    struct bursar_error *err)
{
	if (plain.size == 0) {
		bursar_fail(err, EINVAL, "there is nothing to seal");
		return BURSAR_REJECT;
	}
	unsigned char *body = arena->alloc(arena, NONCE + plain.size + MORE);
	if (body == NULL) {
		return no_memory(err);
	}
	randombytes_buf(body, NONCE);
	aead(encrypt)(body + NONCE, NULL, (const unsigned char *)plain.data,
	              plain.size, NULL, 0, NULL, body, crypto->key);
	out->encoding = "encrypted/box";
	out->body = (struct bursar_span){ (char *)body,
	                                  NONCE + plain.size + MORE };
	return BURSAR_DONE;
}

static const char *const encodings[] = { "encrypted/box", NULL };

static const struct bursar_crypto_ops ops = {
	.encodings = encodings, .open = box_open, .unseal = box_unseal,
	.seal = box_seal, .close = box_close,
};

BURSAR_PLUGIN_DEFINE(crypto_box, .kind = BURSAR_CRYPTO, .name = "box",
	.summary = "messages sealed under one key",
	.manual = "A body is 24 bytes of nonce, then XChaCha20-Poly1305 of the text.",
	.options = options, .ops.crypto = &ops);
