/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What Vault is like: said once when it changes, and how long to leave it
 * alone after a failure.
 */
#include "config.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "vault.h"

#define LONGEST_WAIT INT64_C(3600000000)	/* that Vault can ask for */

static const struct {
	enum bursar_level level;
	const char *event;
} events[] = {
	[VAULT_READY]   = { BURSAR_INFO, "vault-ready" },
	[VAULT_AWAY]    = { BURSAR_WARNING, "vault-away" },
	[VAULT_SEALED]  = { BURSAR_WARNING, "vault-sealed" },
	[VAULT_STANDBY] = { BURSAR_WARNING, "vault-standby" },
	[VAULT_BUSY]    = { BURSAR_WARNING, "vault-busy" },
	[VAULT_DENIED]  = { BURSAR_WARNING, "vault-denied" },
	[VAULT_MISSING] = { BURSAR_WARNING, "vault-missing" },
	[VAULT_REFUSED] = { BURSAR_WARNING, "vault-refused" },
};

/* A number from 0 to below `limit`. */
static int64_t chance(int64_t limit)
{
	const int64_t most = UINT32_MAX;

	if (limit <= 0) {
		return 0;
	}
	return limit <= most ? randombytes_uniform((uint32_t)limit)
	                     : limit / most * randombytes_uniform(UINT32_MAX);
}

int64_t vault_jitter(int64_t us)
{
	return us - us / 10 + chance(us / 5);
}

enum bursar_verdict vault_verdict(enum vault_state state)
{
	switch (state) {
	case VAULT_READY:
		return BURSAR_DONE;
	case VAULT_DENIED:
	case VAULT_MISSING:
	case VAULT_REFUSED:
		return BURSAR_CONFIG;
	default:
		return BURSAR_RETRY;
	}
}

/* Longer with each failure; a person is not waited for in a hurry. */
static int64_t back_off(const struct bursar_crypto *crypto)
{
	const int64_t most =
		crypto->host->number(crypto->host, "retry") * 1000;
	int64_t limit = most / 100;

	if (vault_verdict(crypto->state) == BURSAR_CONFIG) {
		return vault_jitter(most);
	}
	for (unsigned i = 1; i < crypto->failures && limit < most; i++) {
		limit *= 2;
	}
	return most / 100 + chance(limit < most ? limit : most);
}

static int64_t next_look(const struct bursar_crypto *crypto)
{
	if (crypto->state == VAULT_READY) {
		const int64_t refresh =
			crypto->host->number(crypto->host, "refresh") * 1000;
		const int64_t next = crypto->looked_at + vault_jitter(refresh);
		const int64_t renew = crypto->login.renew_at;

		return renew > 0 && renew < next ? renew : next;
	}
	const int64_t wait = vault_http_wait(crypto->http);
	const int64_t asked = wait < LONGEST_WAIT ? wait : LONGEST_WAIT;
	const int64_t ours = back_off(crypto);

	return crypto->looked_at +
		(ours > asked ? ours : asked + chance(asked / 10));
}

static void figures(struct bursar_crypto *crypto)
{
	const struct bursar_host *host = crypto->host;

	if (crypto->state != VAULT_READY) {
		host->count(host, "vault_failures_total", 1);
	}
	if (crypto->login.ends_at > 0) {
		const int64_t left = crypto->login.ends_at - monotonic_us();

		host->gauge(host, "vault_token_ttl_seconds",
		            left > 0 ? left / 1000000 : 0);
	}
}

void vault_state_set(struct bursar_crypto *crypto, enum vault_state state,
                     const struct bursar_error *err)
{
	const struct bursar_host *host = crypto->host;
	const enum vault_state before = crypto->state;

	assert(state != VAULT_UNKNOWN);

	crypto->state = state;
	crypto->failures = state == VAULT_READY ? 0 : crypto->failures + 1;
	crypto->looked_at = monotonic_us();
	crypto->next_look = next_look(crypto);
	snprintf(crypto->why, sizeof(crypto->why), "%s",
	         state == VAULT_READY ? "" : err->text);
	figures(crypto);
	if (before == state) {
		return;
	}
	if (state == VAULT_READY) {
		/* That it works is news only where it did not. */
		host->log(host, before == VAULT_UNKNOWN ? BURSAR_DEBUG
		                                        : events[state].level,
		          events[state].event, "mode=%s",
		          host->text(host, "mode"));
	} else {
		host->log(host, events[state].level, events[state].event,
		          "why=\"%s\"", crypto->why);
	}
}

void vault_state_age(struct bursar_crypto *crypto)
{
	const struct bursar_host *host = crypto->host;
	const int64_t most = host->number(host, "max-age") * 1000;

	if (crypto->ring == NULL) {
		return;
	}
	const int64_t age = monotonic_us() - crypto->ring_at;
	host->gauge(host, "secret_age_seconds", age / 1000000);
	if (age <= most) {
		crypto->was_stale = false;
		return;
	}
	vault_kv_forget(crypto);
	if (!crypto->was_stale) {
		crypto->was_stale = true;
		host->log(host, BURSAR_ERROR, "vault-secret-stale",
		          "age-seconds=%" PRId64, age / 1000000);
	}
}

bool vault_is_usable(const struct bursar_crypto *crypto)
{
	return crypto->kv != NULL ? crypto->ring != NULL
	                          : crypto->state == VAULT_READY;
}

bool vault_is_of_mode(const struct bursar_crypto *crypto,
                      const struct bursar_message *message)
{
	const char *encoding = crypto->kv != NULL ? CLUSTER_ENCODING
	                                          : VAULT_TRANSIT_ENCODING;
	const struct bursar_span given = message->content_encoding;

	return given.size == 0 || (given.size == strlen(encoding) &&
		memcmp(given.data, encoding, given.size) == 0);
}
