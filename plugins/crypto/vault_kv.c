/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The secrets of a cluster, kept in the KV engine.
 *
 * Version 2 keeps older versions: the newest seals, and those that still exist
 * open what was sealed before.  What was read stays here until the range moves
 * on, so that a slow Vault is asked for the next version where the last look
 * ended.  Version 1 keeps one value: what it said earlier is remembered while
 * the daemon runs.
 *
 * GET sys/internal/ui/mounts/PATH, MOUNT/data/PATH?version=N and MOUNT/PATH of
 * https://developer.hashicorp.com/vault/api-docs/secret/kv
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "vault.h"

/* One version; a secret, or known to be none. */
struct version {
	int64_t number;		/* 0: no entry */
	int64_t read_at;	/* us, monotonic */
	size_t  size;		/* 0: deleted, or no secret */
	char    text[VAULT_MAX_SECRET];
};

struct vault_kv {
	char *mount;		/* escaped */
	char *path;
	int   engine;		/* 1 or 2; 0: not known yet */
	bool  detect;
	int64_t keep;		/* how many versions */
	bool  dirty;		/* the ring is not made of these versions */
	struct version *versions;	/* CLUSTER_MAX_SECRETS, locked memory */
};

/* --- init ---------------------------------------------------------------- */

int vault_kv_init(struct bursar_crypto *crypto, struct bursar_error *err)
{
	const struct bursar_host *host = crypto->host;
	const char *mount = host->text(host, "mount");
	const char *engine = host->text(host, "kv-version");
	struct vault_kv *kv = calloc(1, sizeof(*kv));

	if (kv == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	crypto->kv = kv;
	kv->detect = strcmp(engine, "auto") == 0;
	kv->engine = kv->detect ? 0 : engine[0] - '0';
	kv->keep = host->number(host, "versions");
	kv->versions = sodium_allocarray(CLUSTER_MAX_SECRETS,
	                                 sizeof(*kv->versions));
	if (kv->versions == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	memset(kv->versions, 0, CLUSTER_MAX_SECRETS * sizeof(*kv->versions));
	kv->mount = vault_path_escape("mount",
	                              mount[0] != '\0' ? mount : "legion", err);
	kv->path = vault_path_escape("path", host->text(host, "path"), err);
	return kv->mount != NULL && kv->path != NULL ? 0 : -1;
}

void vault_kv_forget(struct bursar_crypto *crypto)
{
	struct vault_kv *kv = crypto->kv;

	cluster_ring_destroy(crypto->ring);
	crypto->ring = NULL;
	if (kv != NULL && kv->versions != NULL) {
		sodium_memzero(kv->versions,
		               CLUSTER_MAX_SECRETS * sizeof(*kv->versions));
	}
}

void vault_kv_finish(struct bursar_crypto *crypto)
{
	struct vault_kv *kv = crypto->kv;

	vault_kv_forget(crypto);
	if (kv != NULL) {
		sodium_free(kv->versions);
		free(kv->mount);
		free(kv->path);
		free(kv);
	}
}

/* --- versions ------------------------------------------------------------ */

/* NULL: not read. */
static struct version *find(struct vault_kv *kv, int64_t number)
{
	for (size_t i = 0; i < CLUSTER_MAX_SECRETS; i++) {
		if (kv->versions[i].number == number) {
			return &kv->versions[i];
		}
	}
	return NULL;
}

/* Leaves only those of the range that ends with `newest`. */
static void move_on(struct vault_kv *kv, int64_t newest)
{
	for (size_t i = 0; i < CLUSTER_MAX_SECRETS; i++) {
		struct version *v = &kv->versions[i];

		if (v->number > newest || v->number <= newest - kv->keep) {
			kv->dirty = kv->dirty || v->size > 0;
			sodium_memzero(v, sizeof(*v));
		}
	}
}

/* text.size is 0 for a version that is none.  There is room: a range is never
 * larger than the table. */
static void put(struct vault_kv *kv, int64_t number, struct bursar_span text)
{
	struct version *v = find(kv, number);

	if (v == NULL) {
		v = find(kv, 0);
	}
	assert(v != NULL && text.size <= sizeof(v->text));

	kv->dirty = kv->dirty || v->size != text.size ||
		(text.size > 0 && memcmp(v->text, text.data, text.size) != 0);
	sodium_memzero(v->text, sizeof(v->text));
	v->number = number;
	v->read_at = monotonic_us();
	v->size = text.size;
	if (text.size > 0) {
		memcpy(v->text, text.data, text.size);
	}
}

/* A ring of all that are secrets, the newest first. */
static int make_ring(struct bursar_crypto *crypto, int64_t newest,
                     struct bursar_error *err)
{
	struct vault_kv *kv = crypto->kv;
	struct cluster_ring *ring = cluster_ring_create(err);

	for (int64_t n = newest; ring != NULL && n > 0 &&
	     n > newest - kv->keep; n--) {
		const struct version *v = find(kv, n);

		if (v != NULL && v->size > 0 &&
		    cluster_ring_add(ring, (struct bursar_span){
				v->text, v->size }, err) != 0) {
			cluster_ring_destroy(ring);
			ring = NULL;
		}
	}
	if (ring == NULL) {
		return -1;
	}
	cluster_ring_destroy(crypto->ring);
	crypto->ring = ring;
	kv->dirty = false;
	if (!cluster_ring_is_locked(ring) && !crypto->was_unlocked) {
		crypto->was_unlocked = true;
		crypto->host->log(crypto->host, BURSAR_WARNING,
		                  "keys-not-locked",
		                  "remedy=\"raise RLIMIT_MEMLOCK\"");
	}
	return 0;
}

/* --- reading ------------------------------------------------------------- */

static enum vault_state ask(struct bursar_crypto *crypto, const char *path,
                            struct vault_answer *answer,
                            struct bursar_error *err)
{
	const struct vault_request request = {
		.path = path,
		.token = { crypto->login.token.data,
		           crypto->login.token.size },
	};

	return vault_http_ask(crypto->http, &request, answer, err);
}

static enum vault_state no_memory(struct bursar_error *err)
{
	bursar_fail(err, ENOMEM, "out of memory");
	return VAULT_AWAY;
}

/* Which KV the mount is. */
static enum vault_state detect(struct bursar_crypto *crypto,
                               struct bursar_error *err)
{
	static const char *const names[] = { "data", "options", "version",
	                                     NULL };
	struct vault_kv *kv = crypto->kv;
	struct vault_answer answer = { 0 };
	struct bursar_error why = { 0 };
	char *path;

	if (asprintf(&path, "sys/internal/ui/mounts/%s/%s", kv->mount,
	             kv->path) < 0) {
		return no_memory(err);
	}
	enum vault_state state = ask(crypto, path, &answer, &why);
	if (state == VAULT_READY) {
		const struct bursar_span version = vault_answer_text(
			&answer, vault_answer_at(&answer, names));

		kv->engine = version.size == 1 && version.data[0] == '2' ? 2
		                                                         : 1;
	} else if (state == VAULT_DENIED) {
		bursar_fail(err, why.code, "%s: is there such a mount, and may "
		            "the token read below it? else say kv-version",
		            why.text);
	} else {
		bursar_fail(err, why.code, "%s", why.text);
	}
	vault_answer_clear(&answer);
	free(path);
	return state;
}

/* The secret in an answer; data is NULL with *err filled where it is none. */
static struct bursar_span secret_of(const struct bursar_crypto *crypto,
                                    const struct vault_answer *answer,
                                    struct bursar_error *err)
{
	const struct bursar_host *host = crypto->host;
	const struct vault_kv *kv = crypto->kv;
	const char *field = host->text(host, "field");
	const size_t bytes = (size_t)host->number(host, "secret-bytes");
	const char *const v1[] = { "data", field, NULL };
	const char *const v2[] = { "data", "data", field, NULL };
	const uint32_t node = vault_answer_at(answer, kv->engine == 2 ? v2 : v1);
	const struct bursar_span text = vault_answer_text(answer, node);

	if (node == 0) {
		bursar_fail(err, ENOENT, "%s/%s has no field '%s'", kv->mount,
		            kv->path, field);
		return (struct bursar_span){ NULL, 0 };
	}
	if (text.data == NULL || text.size > VAULT_MAX_SECRET ||
	    !cluster_secret_is_valid(text, bytes)) {
		bursar_fail(err, EINVAL, "%s/%s: the field '%s' must be a text "
		            "of %zu hex digits (secret-bytes) and nothing else",
		            kv->mount, kv->path, field, 2 * bytes);
		return (struct bursar_span){ NULL, 0 };
	}
	return text;
}

/* What a person can do about a secret that cannot be read. */
static enum vault_state explain(const struct bursar_crypto *crypto,
                                enum vault_state state, const char *path,
                                const struct bursar_error *why,
                                struct bursar_error *err)
{
	if (state == VAULT_DENIED) {
		bursar_fail(err, why->code, "%s: give the token's policy read "
		            "on %s", why->text, path);
	} else if (state == VAULT_MISSING) {
		bursar_fail(err, why->code, "%s: look at mount and path",
		            why->text);
		if (crypto->kv->detect) {
			crypto->kv->engine = 0;
		}
	} else {
		bursar_fail(err, why->code, "%s", why->text);
	}
	return state;
}

/* --- version 1 ----------------------------------------------------------- */

static enum vault_state read_v1(struct bursar_crypto *crypto, int64_t *newest,
                                struct bursar_error *err)
{
	struct vault_kv *kv = crypto->kv;
	struct vault_answer answer = { 0 };
	struct bursar_error why = { 0 };
	int64_t number = 0;
	char *path;

	if (asprintf(&path, "%s/%s", kv->mount, kv->path) < 0) {
		return no_memory(err);
	}
	enum vault_state state = ask(crypto, path, &answer, &why);
	if (state == VAULT_READY) {
		const struct bursar_span text = secret_of(crypto, &answer, err);

		for (size_t i = 0; i < CLUSTER_MAX_SECRETS; i++) {
			if (kv->versions[i].number > number) {
				number = kv->versions[i].number;
			}
		}
		const struct version *last = number > 0 ? find(kv, number)
		                                        : NULL;
		if (text.data == NULL) {
			state = VAULT_MISSING;
		} else if (last == NULL || last->size != text.size ||
		           memcmp(last->text, text.data, text.size) != 0) {
			*newest = number + 1;
			move_on(kv, *newest);
			put(kv, *newest, text);
		} else {
			*newest = number;
		}
	} else {
		explain(crypto, state, path, &why, err);
	}
	vault_answer_clear(&answer);
	free(path);
	return state;
}

/* --- version 2 ----------------------------------------------------------- */

static bool is_deleted(const struct vault_answer *answer)
{
	static const char *const names[] = { "data", "metadata", "version",
	                                     NULL };

	return answer->status == 404 &&
	       vault_answer_number(answer, names, 0) > 0;
}

static enum vault_state take_newest(struct bursar_crypto *crypto,
                                    const struct vault_answer *answer,
                                    int64_t *newest, struct bursar_error *err)
{
	static const char *const names[] = { "data", "metadata", "version",
	                                     NULL };
	const int64_t number = vault_answer_number(answer, names, 0);

	if (number <= 0) {
		bursar_fail(err, EBADMSG, "%s/%s: the answer has no version: "
		            "is it KV version 2?", crypto->kv->mount,
		            crypto->kv->path);
		return VAULT_REFUSED;
	}
	const struct bursar_span text = secret_of(crypto, answer, err);
	if (text.data == NULL) {
		return VAULT_MISSING;
	}
	move_on(crypto->kv, number);
	put(crypto->kv, number, text);
	*newest = number;
	return VAULT_READY;
}

static enum vault_state read_newest(struct bursar_crypto *crypto,
                                    int64_t *newest, struct bursar_error *err)
{
	struct vault_kv *kv = crypto->kv;
	struct vault_answer answer = { 0 };
	struct bursar_error why = { 0 };
	char *path;

	if (asprintf(&path, "%s/data/%s", kv->mount, kv->path) < 0) {
		return no_memory(err);
	}
	enum vault_state state = ask(crypto, path, &answer, &why);
	if (state == VAULT_READY) {
		state = take_newest(crypto, &answer, newest, err);
	} else if (is_deleted(&answer)) {
		bursar_fail(err, ENOENT, "%s/%s: its newest version was "
		            "deleted: undelete it, or write another one",
		            kv->mount, kv->path);
	} else {
		explain(crypto, state, path, &why, err);
	}
	vault_answer_clear(&answer);
	free(path);
	return state;
}

/* *end: this one and all before it are gone for ever. */
static enum vault_state read_older(struct bursar_crypto *crypto,
                                   int64_t number, bool *end,
                                   struct bursar_error *err)
{
	struct vault_kv *kv = crypto->kv;
	struct vault_answer answer = { 0 };
	struct bursar_error why = { 0 };
	char *path;

	if (asprintf(&path, "%s/data/%s?version=%" PRId64, kv->mount, kv->path,
	             number) < 0) {
		return no_memory(err);
	}
	enum vault_state state = ask(crypto, path, &answer, &why);
	if (state == VAULT_READY) {
		/* What was no secret then opens nothing, and harms nothing. */
		put(kv, number, secret_of(crypto, &answer, &why));
	} else if (state == VAULT_MISSING) {
		*end = !is_deleted(&answer);
		put(kv, number, (struct bursar_span){ NULL, 0 });
		state = VAULT_READY;
	} else {
		explain(crypto, state, path, &why, err);
	}
	vault_answer_clear(&answer);
	free(path);
	return state;
}

/* Older versions do not change, but they are deleted. */
static bool is_fresh(const struct bursar_crypto *crypto,
                     const struct version *v)
{
	const int64_t age = crypto->host->number(crypto->host, "max-age");

	return v != NULL && monotonic_us() - v->read_at < age * 1000 / 2;
}

static enum vault_state read_v2(struct bursar_crypto *crypto, int64_t *newest,
                                struct bursar_error *err)
{
	struct vault_kv *kv = crypto->kv;
	enum vault_state state = read_newest(crypto, newest, err);
	bool end = false;

	for (int64_t n = *newest - 1; state == VAULT_READY && n > 0 &&
	     n > *newest - kv->keep; n--) {
		if (is_fresh(crypto, find(kv, n))) {
			continue;
		}
		if (end) {
			put(kv, n, (struct bursar_span){ NULL, 0 });
		} else {
			state = read_older(crypto, n, &end, err);
		}
	}
	return state;
}

/* --- both ---------------------------------------------------------------- */

enum vault_state vault_kv_read(struct bursar_crypto *crypto,
                               struct bursar_error *err)
{
	const struct bursar_host *host = crypto->host;
	struct vault_kv *kv = crypto->kv;
	const bool had = crypto->ring != NULL;
	int64_t newest = 0;
	enum vault_state state =
		kv->engine == 0 ? detect(crypto, err) : VAULT_READY;

	if (state == VAULT_READY) {
		state = kv->engine == 2 ? read_v2(crypto, &newest, err)
		                        : read_v1(crypto, &newest, err);
	}
	if (state != VAULT_READY) {
		return state;
	}
	if (!had || kv->dirty) {
		if (make_ring(crypto, newest, err) != 0) {
			return VAULT_AWAY;
		}
		if (had) {
			host->log(host, BURSAR_INFO, "vault-secret-changed",
			          "version=%" PRId64 " secrets=%zu", newest,
			          cluster_ring_count(crypto->ring));
		}
	}
	crypto->ring_at = monotonic_us();
	return VAULT_READY;
}
