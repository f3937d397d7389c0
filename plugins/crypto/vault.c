/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Messages whose key is kept in HashiCorp Vault or OpenBao: the secret of a
 * cluster from its KV engine, or messages that its transit engine opens itself.
 *
 * A look at Vault is bounded by `timeout`; after a failure there is none before
 * the back-off is over, whoever asks.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vault.h"

/* A message that does not open may be sealed under a secret that is newer than
 * the last look.  Senders can make such messages, so not for each of them: the
 * first one is reason to look at once, and the next ones after a while. */
#define LOOK_FOR_NEWER_US INT64_C(1000000)

static const char *const encodings[] = {
	CLUSTER_ENCODING, VAULT_TRANSIT_ENCODING, NULL,
};

/*
 * --- open and close
 */

static void vault_close(struct bursar_crypto *crypto)
{
	if (crypto != NULL) {
		vault_kv_finish(crypto);
		vault_transit_finish(crypto);
		vault_login_finish(&crypto->login);
		vault_http_destroy(crypto->http);
		free(crypto);
	}
}

static struct bursar_crypto *vault_open(const struct bursar_host *host,
                                        struct bursar_error *err)
{
	struct bursar_crypto *crypto = calloc(1, sizeof(*crypto));

	if (crypto == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	crypto->host = host;
	crypto->use = (struct cluster_use){
		.host = host,
		.allow_cbc = host->number(host, "allow-legacy-cbc") != 0,
	};
	snprintf(crypto->why, sizeof(crypto->why), "Vault was not asked yet");
	crypto->http = vault_http_create(host, err);
	if (crypto->http == NULL || vault_login_init(crypto, err) != 0 ||
	    (strcmp(host->text(host, "mode"), "transit") == 0
	     ? vault_transit_init(crypto, err)
	     : vault_kv_init(crypto, err)) != 0) {
		vault_close(crypto);
		return NULL;
	}
	return crypto;
}

/*
 * --- looks
 */

static enum vault_state read_once(struct bursar_crypto *crypto,
                                  struct bursar_error *err)
{
	if (crypto->kv != NULL) {
		return vault_kv_read(crypto, err);
	}
	return crypto->state == VAULT_READY ? VAULT_READY
	                                    : vault_transit_probe(crypto, err);
}

static enum vault_state ask(struct bursar_crypto *crypto,
                            struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	enum vault_state state = vault_login_ensure(crypto, err);

	if (state != VAULT_READY) {
		return state;
	}
	state = read_once(crypto, &why);
	if (state == VAULT_DENIED && crypto->kv != NULL) {
		struct bursar_error again = { 0 };
		const enum vault_state login = vault_login_again(crypto,
		                                                 &again);

		if (login == VAULT_READY) {
			why = (struct bursar_error){ 0 };
			state = read_once(crypto, &why);
		} else if (again.code != 0) {
			why = again;
			state = login;
		}
	}
	if (state != VAULT_READY) {
		bursar_fail(err, why.code, "%s", why.text);
	}
	return state;
}

static void look(struct bursar_crypto *crypto)
{
	struct bursar_error err = { 0 };

	vault_http_begin(crypto->http);
	const enum vault_state state = ask(crypto, &err);
	vault_state_set(crypto, state, &err);
	vault_state_age(crypto);
}

static bool may_look(const struct bursar_crypto *crypto)
{
	return monotonic_us() >= crypto->next_look;
}

/* Sees to it that there is a key, if that can be.  Returns DONE, or the verdict
 * with *err filled. */
static enum bursar_verdict need_key(struct bursar_crypto *crypto,
                                    struct bursar_error *err)
{
	vault_state_age(crypto);
	if (!vault_is_usable(crypto) && may_look(crypto)) {
		look(crypto);
	}
	if (vault_is_usable(crypto)) {
		return BURSAR_DONE;
	}
	bursar_fail(err, EAGAIN, "%s", crypto->why);
	return vault_verdict(crypto->state) == BURSAR_CONFIG ? BURSAR_CONFIG
	                                                     : BURSAR_RETRY;
}

static int64_t vault_tick(struct bursar_crypto *crypto, bool *usable)
{
	const struct bursar_host *host = crypto->host;

	if (may_look(crypto)) {
		look(crypto);
	}
	vault_state_age(crypto);
	*usable = vault_is_usable(crypto);

	/* Secrets grow too old at a time of their own. */
	const int64_t old = crypto->ring_at +
		host->number(host, "max-age") * 1000;
	const int64_t next = crypto->next_look;
	const int64_t soon = monotonic_us() + 1000;
	const int64_t first = crypto->ring != NULL && old < next ? old : next;
	return first > soon ? first : soon;
}

/*
 * --- mode secret
 */

static enum cluster_result unseal_one(struct bursar_crypto *crypto,
                                      struct bursar_sealed *item,
                                      struct bursar_arena *arena)
{
	if (!vault_is_of_mode(crypto, item->message)) {
		item->result = BURSAR_NO_KEY;
		item->plain = (struct bursar_span){ 0 };
		item->legacy = false;
		return CLUSTER_BROKEN;
	}
	return cluster_unseal_item(&crypto->use, crypto->ring, item, arena);
}

/* Opens all, or only those that did not open before.  False: memory is short.
 * *broken: how many did not open. */
static bool unseal_some(struct bursar_crypto *crypto,
                        struct bursar_sealed *items, size_t count, bool all,
                        struct bursar_arena *arena, size_t *broken)
{
	bool able = true;

	*broken = 0;
	for (size_t i = 0; i < count && able; i++) {
		if (all || items[i].result == BURSAR_BROKEN) {
			able = unseal_one(crypto, &items[i], arena) !=
				CLUSTER_UNABLE;
			*broken += items[i].result == BURSAR_BROKEN;
		}
	}
	cluster_ring_rest(crypto->ring);
	return able;
}

/* Looks for a secret that is newer than those we have; whether there is one. */
static bool found_newer(struct bursar_crypto *crypto)
{
	const struct cluster_ring *before = crypto->ring;
	const int64_t now = monotonic_us();

	if (crypto->state != VAULT_READY ||
	    now < crypto->sought_at + LOOK_FOR_NEWER_US) {
		return false;
	}
	crypto->sought_at = now;
	look(crypto);
	return crypto->ring != NULL && crypto->ring != before;
}

static enum bursar_verdict unseal_by_secret(struct bursar_crypto *crypto,
                                            struct bursar_sealed *items,
                                            size_t count,
                                            struct bursar_arena *arena,
                                            struct bursar_error *err)
{
	size_t broken;
	bool able = unseal_some(crypto, items, count, true, arena, &broken);

	if (able && broken > 0 && found_newer(crypto)) {
		able = unseal_some(crypto, items, count, false, arena,
		                   &broken);
	}
	if (!able) {
		bursar_fail(err, ENOMEM, "no memory to open messages");
		return BURSAR_RETRY;
	}
	return BURSAR_DONE;
}

/*
 * --- mode transit
 */

/* What an operation of transit found, which is a look as well. */
static enum bursar_verdict found(struct bursar_crypto *crypto,
                                 enum vault_state state,
                                 const struct bursar_error *err)
{
	if (state == VAULT_UNKNOWN) {
		return BURSAR_RETRY;	/* memory: nothing of Vault's */
	}
	if (state != VAULT_READY) {
		vault_state_set(crypto, state, err);
	}
	return vault_verdict(state);
}

/*
 * --- operations
 */

static enum bursar_verdict vault_unseal(struct bursar_crypto *crypto,
                                        struct bursar_sealed *items,
                                        size_t count,
                                        struct bursar_arena *arena,
                                        struct bursar_error *err)
{
	struct bursar_error why = { 0 };

	assert(crypto != NULL && items != NULL && count > 0);

	enum bursar_verdict verdict = need_key(crypto, err);
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	if (crypto->kv != NULL) {
		verdict = unseal_by_secret(crypto, items, count, arena, &why);
	} else {
		vault_http_begin(crypto->http);
		verdict = found(crypto, vault_transit_unseal(crypto, items,
			count, arena, &why), &why);
	}
	if (verdict != BURSAR_DONE) {
		bursar_fail(err, why.code, "%s", why.text);
	}
	return verdict;
}

static enum bursar_verdict vault_seal(struct bursar_crypto *crypto,
                                      struct bursar_span plain,
                                      struct bursar_seal *out,
                                      struct bursar_arena *arena,
                                      struct bursar_error *err)
{
	struct bursar_error why = { 0 };

	assert(crypto != NULL && out != NULL);

	const size_t most = crypto->kv != NULL ? CLUSTER_MAX_PLAIN
	                                       : VAULT_TRANSIT_MAX_PLAIN;

	if (!cluster_may_seal(plain, most, err)) {
		return BURSAR_REJECT;
	}
	const enum bursar_verdict verdict = need_key(crypto, err);
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	if (crypto->kv != NULL) {
		return cluster_seal_item(crypto->ring, plain, out, arena, err);
	}
	vault_http_begin(crypto->http);
	const enum vault_state state = vault_transit_seal(crypto, plain, out,
	                                                  arena, &why);
	if (state != VAULT_READY) {
		bursar_fail(err, why.code, "%s", why.text);
	}
	return found(crypto, state, &why);
}

static const struct bursar_crypto_ops ops = {
	.encodings = encodings,
	.open = vault_open,
	.unseal = vault_unseal,
	.seal = vault_seal,
	.tick = vault_tick,
	.close = vault_close,
};

static const struct bursar_option options[] = {
	{ .name = "address", .type = BURSAR_TYPE_TEXT,
	  .help = "Where Vault is: https://vault.example.com:8200." },
	{ .name = "mode", .type = BURSAR_TYPE_CHOICE, .fallback = "secret",
	  .help = "Whether the secret of a cluster is read from the KV engine, "
	          "or the transit engine opens the messages itself.",
	  .choices = "secret|transit" },
	{ .name = "namespace", .type = BURSAR_TYPE_TEXT, .fallback = "",
	  .help = "Namespace of Vault Enterprise or OpenBao." },
	{ .name = "mount", .type = BURSAR_TYPE_TEXT, .fallback = "",
	  .help = "Where the engine is mounted; legion for mode secret and "
	          "transit for mode transit where nothing is said." },
	{ .name = "path", .type = BURSAR_TYPE_TEXT, .fallback = "crypt",
	  .help = "Path of the secret below the mount; mode secret." },
	{ .name = "field", .type = BURSAR_TYPE_TEXT,
	  .fallback = "cluster_secret",
	  .help = "Field of the secret; mode secret." },
	{ .name = "kv-version", .type = BURSAR_TYPE_CHOICE, .fallback = "auto",
	  .help = "Version of the KV engine; auto asks Vault.",
	  .choices = "auto|1|2" },
	{ .name = "versions", .type = BURSAR_TYPE_NUMBER, .fallback = "8",
	  .help = "How many versions of the secret open messages, the newest "
	          "included.",
	  .min = 1, .max = CLUSTER_MAX_SECRETS },
	{ .name = "secret-bytes", .type = BURSAR_TYPE_NUMBER, .fallback = "32",
	  .help = "Length that every secret must have, in bytes of two hex "
	          "digits; 0 lets any length pass.",
	  .min = 0, .max = VAULT_MAX_SECRET / 2 },
	{ .name = "allow-legacy-cbc", .type = BURSAR_TYPE_FLAG,
	  .fallback = "true",
	  .help = "Whether messages of the older scheme are opened, which "
	          "carry no proof that nobody changed them; mode secret." },
	{ .name = "key", .type = BURSAR_TYPE_TEXT, .fallback = "",
	  .help = "Name of the transit key; mode transit." },
	{ .name = "token-file", .type = BURSAR_TYPE_PATH, .fallback = "",
	  .help = "File with a token, read again when it changes." },
	{ .name = "role-id", .type = BURSAR_TYPE_TEXT, .fallback = "",
	  .help = "Role of AppRole, in place of a token." },
	{ .name = "secret-id", .type = BURSAR_TYPE_SECRET, .fallback = "",
	  .help = "What proves the role of AppRole." },
	{ .name = "approle-mount", .type = BURSAR_TYPE_TEXT,
	  .fallback = "approle",
	  .help = "Where AppRole is mounted, below auth/." },
	{ .name = "ca-file", .type = BURSAR_TYPE_PATH, .fallback = "",
	  .help = "Certificates that Vault's is checked by; those of the "
	          "system without it." },
	{ .name = "client-cert", .type = BURSAR_TYPE_PATH, .fallback = "",
	  .help = "Certificate to show to Vault." },
	{ .name = "client-key", .type = BURSAR_TYPE_PATH, .fallback = "",
	  .help = "Key of that certificate." },
	{ .name = "redirect-hosts", .type = BURSAR_TYPE_LIST, .fallback = "",
	  .help = "Other nodes of Vault, HOST or HOST:PORT, to which a standby "
	          "may send us with our token." },
	{ .name = "refresh", .type = BURSAR_TYPE_DURATION, .fallback = "1m",
	  .help = "How often the secret and the token's file are read again.",
	  .min = 100, .max = 86400000 },
	{ .name = "max-age", .type = BURSAR_TYPE_DURATION, .fallback = "1h",
	  .help = "How long a secret is used while Vault cannot be asked.",
	  .min = 100, .max = 30 * INT64_C(86400000) },
	{ .name = "connect-timeout", .type = BURSAR_TYPE_DURATION,
	  .fallback = "2s", .help = "How long a connection may take.",
	  .min = 10, .max = 60000 },
	{ .name = "timeout", .type = BURSAR_TYPE_DURATION, .fallback = "5s",
	  .help = "How long a look at Vault may take, all its requests "
	          "together.",
	  .min = 10, .max = 60000 },
	{ .name = "retry", .type = BURSAR_TYPE_DURATION, .fallback = "30s",
	  .help = "The longest wait after a failure; the first is about a "
	          "hundredth of it.",
	  .min = 100, .max = 3600000 },
	{ NULL },
};

static const char manual[] =
"Opens messages whose key is kept in HashiCorp Vault or OpenBao.\n"
"\n"
"MODE SECRET reads the secret of a cluster from the KV engine and opens "
"messages of content encoding encrypted/cs with it, as the plugin cluster does "
"with a secret from a file; see bursar-crypto-cluster(5) for what these look "
"like.  The policy of the token needs read on MOUNT/data/PATH (KV version 2) "
"or MOUNT/PATH (version 1).\n"
"\n"
"	path \"legion/data/crypt\" { capabilities = [\"read\"] }\n"
"\n"
"MODE TRANSIT has the transit engine open messages of content encoding "
"encrypted/transit; the key never leaves Vault.  The body is the ciphertext as "
"transit writes it, vault:v1: and base64, as it is or, in an envelope, as a "
"text.  Messages are sent in batches, one that does not open harms no other.  "
"What was sealed with a context or with associated data is not opened.\n"
"\n"
"	path \"transit/decrypt/audit\" { capabilities = [\"update\"] }\n"
"	path \"transit/encrypt/audit\" { capabilities = [\"update\"] }\n"
"\n"
"The second line is for bursar crypto seal alone.  In this mode nothing opens "
"while Vault is away.\n"
"\n"
"TOKEN.  Either token-file names a file that only its owner can read, which is "
"read again when it changes (Vault's agent, a systemd credential), or role-id "
"and secret-id-file log in by AppRole.  A token is renewed when two thirds of "
"its lease are over.  When that is refused, or brings little, there is a new "
"login; a file's token is then announced to end soon (vault-token-ends).\n"
"\n"
"ROTATION.  The secret is read again every refresh, and when a message does "
"not open.  Write the new secret, and let producers change when they like: the "
"newest version seals, and up to `versions` older ones that still exist open.  "
"A version that is deleted is no longer used within half of max-age.  KV "
"version 1 keeps one value: older ones are remembered until the daemon stops, "
"so that version 2 is the better choice.\n"
"\n"
"	bursar crypto keygen --plugin cluster | tr -d '\\n' |\n"
"	    vault kv put legion/crypt cluster_secret=-\n"
"\n"
"The plugin never makes up a secret and writes nothing to Vault.\n"
"\n"
"WHEN VAULT IS AWAY, sealed, a standby or too busy, secrets that were read are "
"used until they are max-age old, and then no more.  Without one, sources "
"that use this crypto are parked, and go on by themselves; others are not "
"touched.  Vault is asked again after about retry/100, then less and less often "
"down to once in `retry`, or when its Retry-After says.  Where a person must "
"act (denied, no such secret, a certificate) it is asked about once in "
"`retry`.  Nothing of this makes a dead letter: only a message that does not "
"open under the secrets at hand becomes one, as with any crypto.  If Vault was "
"away just then and had a newer secret, bursar replay opens it later.\n"
"\n"
"TLS is always checked.  Proxies of the environment are not used.  A standby "
"that redirects is followed only to hosts in redirect-hosts, as the token goes "
"along; or let it forward requests, which it does by default.\n"
"\n"
"	crypto:\n"
"	  legion: {plugin: vault, address: \"https://vault:8200\",\n"
"	           token-file: /run/credentials/vault, mount: legion, path: crypt}\n";

static const struct bursar_plugin_figure figures[] = {
	{ "older_key_messages_total",
	  "Messages opened with a secret that is not the newest." },
	{ "legacy_messages_total",
	  "Messages opened under a cipher without authentication." },
	{ "secret_age_seconds",
	  "Time since the secrets in use were last read from Vault." },
	{ "vault_requests_total", "Requests sent to Vault." },
	{ "vault_failures_total", "Times that Vault could not be used." },
	{ "vault_logins_total", "Logins by AppRole." },
	{ "vault_renewals_total", "Renewals of the token." },
	{ "vault_token_ttl_seconds",
	  "Time until the token ends, as of the last look." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(crypto_vault,
	.kind = BURSAR_CRYPTO,
	.name = "vault",
	.summary = "messages whose key is kept in HashiCorp Vault or OpenBao",
	.options = options,
	.figures = figures,
	.manual = manual,
	.ops.crypto = &ops,
);
