/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Messages that a cluster sealed under the one secret it shares.
 *
 * The cipher is common/cluster_cipher.h; this file reads the secrets, offers
 * messages to it, and tells nobody why one did not open.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <bursar/crypto.h>

#include "common/cluster_items.h"
#include "common/keyfile.h"

#define NEW_SECRET_BYTES 32

struct bursar_crypto {
	struct cluster_ring *ring;
	struct cluster_use   use;
};

static const char *const encodings[] = { CLUSTER_ENCODING, NULL };

/*
 * --- secrets
 */

static int refuse_secret(size_t bytes, unsigned line, struct bursar_error *err)
{
	if (bytes == 0) {
		return bursar_fail(err, EINVAL, "secret: line %u must be hex "
		                   "digits and nothing else", line);
	}
	return bursar_fail(err, EINVAL, "secret: line %u must be %zu hex "
	                   "digits and nothing else", line, 2 * bytes);
}

static int read_secrets(struct cluster_ring *ring, struct bursar_span text,
                        size_t bytes, struct bursar_error *err)
{
	struct keyfile file = { .rest = text };
	struct bursar_span line;

	while (keyfile_next(&file, &line)) {
		struct bursar_error why = { 0 };

		if (!cluster_secret_is_valid(line, bytes)) {
			return refuse_secret(bytes, file.line, err);
		}
		if (cluster_ring_add(ring, line, &why) != 0) {
			return bursar_fail(err, why.code, "secret: line %u: %s",
			                   file.line, why.text);
		}
	}
	if (cluster_ring_count(ring) == 0) {
		return bursar_fail(err, EINVAL, "secret: holds no secret");
	}
	return 0;
}

/*
 * --- operations
 */

static void cluster_close(struct bursar_crypto *crypto)
{
	if (crypto != NULL) {
		cluster_ring_destroy(crypto->ring);
		free(crypto);
	}
}

static struct bursar_crypto *cluster_open(const struct bursar_host *host,
                                           struct bursar_error *err)
{
	struct bursar_crypto *crypto = calloc(1, sizeof(*crypto));

	if (crypto == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	crypto->use = (struct cluster_use){
		.host = host,
		.allow_cbc = host->number(host, "allow-legacy-cbc") != 0,
	};
	crypto->ring = cluster_ring_create(err);
	if (crypto->ring == NULL ||
	    read_secrets(crypto->ring, host->secret(host, "secret"),
	                 (size_t)host->number(host, "secret-bytes"),
	                 err) != 0) {
		cluster_close(crypto);
		return NULL;
	}
	if (!cluster_ring_is_locked(crypto->ring)) {
		host->log(host, BURSAR_WARNING, "keys-not-locked",
		          "remedy=\"raise RLIMIT_MEMLOCK\"");
	}
	return crypto;
}

static enum bursar_verdict cluster_unseal(struct bursar_crypto *crypto,
                                          struct bursar_sealed *items,
                                          size_t count,
                                          struct bursar_arena *arena,
                                          struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	assert(crypto != NULL && items != NULL && count > 0);

	for (size_t i = 0; i < count && verdict == BURSAR_DONE; i++) {
		if (cluster_unseal_item(&crypto->use, crypto->ring, &items[i],
		                        arena) == CLUSTER_UNABLE) {
			bursar_fail(err, ENOMEM, "no memory to open messages");
			verdict = BURSAR_RETRY;
		}
	}
	cluster_ring_rest(crypto->ring);
	return verdict;
}

static enum bursar_verdict cluster_seal(struct bursar_crypto *crypto,
                                        struct bursar_span plain,
                                        struct bursar_seal *out,
                                        struct bursar_arena *arena,
                                        struct bursar_error *err)
{
	assert(crypto != NULL && out != NULL);

	return cluster_may_seal(plain, CLUSTER_MAX_PLAIN, err)
		? cluster_seal_item(crypto->ring, plain, out, arena, err)
		: BURSAR_REJECT;
}

/* A secret has no name in its file, so id is of no use here. */
static int cluster_keygen(FILE *out, const char *type, const char *id,
                          struct bursar_error *err)
{
	unsigned char secret[NEW_SECRET_BYTES];
	char text[2 * NEW_SECRET_BYTES + 1];
	int result = 0;

	(void)id;
	if (type != NULL && strcmp(type, "secret") != 0) {
		return bursar_fail(err, EINVAL,
		                   "'%.40s' is no type of key here: secret is",
		                   type);
	}
	if (RAND_priv_bytes(secret, sizeof(secret)) != 1) {
		return bursar_fail(err, EIO, "libcrypto has no random numbers");
	}
	for (size_t i = 0; i < sizeof(secret); i++) {
		snprintf(text + 2 * i, 3, "%02x", secret[i]);
	}
	if (fprintf(out, "%s\n", text) < 0) {
		result = bursar_fail(err, errno, "%s", strerror(errno));
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(text, sizeof(text));
	return result;
}

static const struct bursar_crypto_ops ops = {
	.encodings = encodings,
	.open = cluster_open,
	.unseal = cluster_unseal,
	.seal = cluster_seal,
	.keygen = cluster_keygen,
	.close = cluster_close,
};

static const struct bursar_option options[] = {
	{ .name = "secret", .type = BURSAR_TYPE_SECRET,
	  .help = "Cluster secrets as hex text, one a line: the current one "
	          "first, older ones behind it." },
	{ .name = "secret-bytes", .type = BURSAR_TYPE_NUMBER, .fallback = "32",
	  .help = "Length that every secret must have, in bytes of two hex "
	          "digits; 0 lets any length pass.",
	  .min = 0, .max = 1024 },
	{ .name = "allow-legacy-cbc", .type = BURSAR_TYPE_FLAG,
	  .fallback = "true",
	  .help = "Whether messages of the older scheme are opened, which "
	          "carry no proof that nobody changed them." },
	{ NULL },
};

static const char manual[] =
"Opens messages of content encoding encrypted/cs, which the members of a "
"cluster seal under one secret that they share.\n"
"\n"
"WIRE FORMAT.  The key is the SHA-256 of the secret's hex text as it is "
"written, so upper and lower case are different keys.  The body is "
"gcm:CIPHERTEXT:TAG, both in base64, made with AES-256-GCM without additional "
"data; the header iv is the base64 of its 12 bytes.  A body that does not begin "
"with gcm: is of the legacy scheme: the base64 of AES-256-CBC with PKCS#7 "
"padding, the header iv being the base64 of 16 bytes.  The legacy scheme is "
"opened, never made.  As it proves nothing, such a message counts as opened "
"when its padding is right and its text begins as a JSON object or array does; "
"the first one is logged, all are counted in legacy_messages_total, and of "
"a source that answers its sender none is tried.\n"
"\n"
"A message without iv, with a wrong tag, or cut short becomes a dead letter; "
"the reason is the same for all of these.\n"
"\n"
"SECRET FILE.  One secret a line, as hex text; empty lines and lines that "
"begin with # are left out.  The file must be readable by its owner alone.  A "
"line that is no secret stops the start; its number is named, its content is "
"not.  The plugin never makes up a secret: bursar crypto keygen --plugin "
"cluster prints a new one.\n"
"\n"
"ROTATION.  Put the new secret on top, keep the old one below it, reload, then "
"let the producers change.  All secrets are tried, the new one seals.  When "
"older_key_messages_total no longer grows, remove the old line and reload.\n"
"\n"
"	crypto:\n"
"	  legion: {plugin: cluster, secret-file: /etc/bursar/cluster-secret}\n";

static const struct bursar_plugin_figure figures[] = {
	{ "older_key_messages_total",
	  "Messages opened with a secret that is not the newest." },
	{ "legacy_messages_total",
	  "Messages opened under a cipher without authentication." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(crypto_cluster,
	.kind = BURSAR_CRYPTO,
	.name = "cluster",
	.summary = "messages sealed under the secret of a cluster",
	.options = options,
	.figures = figures,
	.manual = manual,
	.ops.crypto = &ops,
);
