/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The token: read from a file that somebody else looks after, or had by
 * AppRole.  It is renewed when two thirds of its lease are over; where that is
 * refused, or brings little because its end of all ends is near, there is a new
 * login, or with a file a word to whoever writes it.
 *
 * POST auth/approle/login, GET auth/token/lookup-self and
 * POST auth/token/renew-self of
 * https://developer.hashicorp.com/vault/api-docs/auth
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_escape.h"

#include "vault.h"

#define SECOND INT64_C(1000000)

static struct bursar_span token_of(const struct vault_login *login)
{
	return (struct bursar_span){
		login->token.size > 0 ? login->token.data : NULL,
		login->token.size,
	};
}

/* --- init ---------------------------------------------------------------- */

static int need_one_way(const struct bursar_host *host,
                        struct bursar_error *err)
{
	const bool file = host->text(host, "token-file")[0] != '\0';
	const bool role = host->text(host, "role-id")[0] != '\0';
	const bool secret = host->secret(host, "secret-id").data != NULL;

	if (file == role) {
		return bursar_fail(err, EINVAL, "give either token-file, or "
		                   "role-id and secret-id-file");
	}
	if (role != secret) {
		return bursar_fail(err, EINVAL, "role-id and secret-id-file go "
		                   "together");
	}
	return 0;
}

static int init_role(struct bursar_crypto *crypto, struct bursar_error *err)
{
	const struct bursar_host *host = crypto->host;
	char *mount = vault_path_escape("approle-mount",
	                                host->text(host, "approle-mount"), err);

	if (mount == NULL) {
		return -1;
	}
	if (asprintf(&crypto->login.role_path, "auth/%s/login", mount) < 0) {
		crypto->login.role_path = NULL;
		bursar_fail(err, ENOMEM, "out of memory");
	}
	free(mount);
	return crypto->login.role_path != NULL ? 0 : -1;
}

/* A token that is not there yet may come; one that others can read is no
 * secret any more. */
static int init_file(struct bursar_crypto *crypto, struct bursar_error *err)
{
	struct vault_login *login = &crypto->login;
	const char *path = crypto->host->text(crypto->host, "token-file");
	struct stat seen = { 0 };
	struct bursar_error why = { 0 };

	if (vault_token_file_read(path, &seen, &login->token, &why) < 0 &&
	    why.code != ENOENT) {
		return bursar_fail(err, why.code, "%s", why.text);
	}
	vault_text_clear(&login->token);
	return 0;
}

int vault_login_init(struct bursar_crypto *crypto, struct bursar_error *err)
{
	struct vault_login *login = &crypto->login;
	const struct bursar_host *host = crypto->host;

	login->token.limit = VAULT_MAX_TOKEN;
	if (need_one_way(host, err) != 0) {
		return -1;
	}
	login->from_file = host->text(host, "token-file")[0] != '\0';
	return login->from_file ? init_file(crypto, err)
	                        : init_role(crypto, err);
}

void vault_login_finish(struct vault_login *login)
{
	vault_text_clear(&login->token);
	free(login->role_path);
}

/* --- leases -------------------------------------------------------------- */

/* seconds: 0 for a token that does not end. */
static void set_lease(struct vault_login *login, int64_t seconds,
                      bool renewable)
{
	const int64_t now = monotonic_us();

	login->lease = seconds > 0 ? seconds * SECOND : 0;
	login->renewable = renewable;
	login->ends_at = login->lease > 0 ? now + login->lease : 0;
	login->renew_at = login->lease > 0
	                ? now + vault_jitter(login->lease / 3 * 2) : 0;
	if (login->lease > login->longest) {
		login->longest = login->lease;
	}
}

static void forget_token(struct vault_login *login)
{
	vault_text_clear(&login->token);
	set_lease(login, 0, false);
	login->longest = 0;
}

static bool is_true(const struct vault_answer *answer,
                    const char *const *names)
{
	const uint32_t node = vault_answer_at(answer, names);

	return node != 0 && answer->doc.nodes[node].type == JSON_TRUE;
}

static void take_lease(struct vault_login *login,
                       const struct vault_answer *answer)
{
	static const char *const lease[] = { "auth", "lease_duration", NULL };
	static const char *const renewable[] = { "auth", "renewable", NULL };

	set_lease(login, vault_answer_number(answer, lease, 0),
	          is_true(answer, renewable));
}

/* A file's token that can be renewed no more: its writer must act. */
static void warn_of_end(struct bursar_crypto *crypto)
{
	struct vault_login *login = &crypto->login;
	const struct bursar_host *host = crypto->host;
	const int64_t left = login->ends_at - monotonic_us();

	login->renew_at = 0;
	if (login->ending) {
		return;
	}
	login->ending = true;
	host->log(host, BURSAR_WARNING, "vault-token-ends",
	          "in-seconds=%" PRId64 " remedy=\"write another token to "
	          "token-file, or use role-id\"", left > 0 ? left / SECOND : 0);
}

/* --- AppRole ------------------------------------------------------------- */

/* As a JSON string. */
static int add_quoted(struct vault_text *text, struct bursar_span bytes)
{
	int failed = vault_text_add_word(text, "\"");

	for (size_t i = 0; i < bytes.size && failed == 0; i++) {
		const char *c = bytes.data + i;
		char escape[JSON_ESCAPE];

		failed = json_is_plain(*c) ? vault_text_add(text, c, 1)
			: vault_text_add(text, escape, json_escape(*c, escape));
	}
	return failed != 0 ? failed : vault_text_add_word(text, "\"");
}

static bool make_login(const struct bursar_host *host, struct vault_text *body)
{
	const char *role = host->text(host, "role-id");
	struct bursar_span secret = host->secret(host, "secret-id");

	while (secret.size > 0 &&
	       (unsigned char)secret.data[secret.size - 1] <= ' ') {
		secret.size--;
	}
	return vault_text_add_word(body, "{\"role_id\":") == 0 &&
	       add_quoted(body, (struct bursar_span){ role,
	                                              strlen(role) }) == 0 &&
	       vault_text_add_word(body, ",\"secret_id\":") == 0 &&
	       add_quoted(body, secret) == 0 &&
	       vault_text_add_word(body, "}") == 0;
}

static enum vault_state take_token(struct vault_login *login,
                                   const struct vault_answer *answer,
                                   struct bursar_error *err)
{
	static const char *const names[] = { "auth", "client_token", NULL };
	const struct bursar_span token =
		vault_answer_text(answer, vault_answer_at(answer, names));

	if (token.size == 0 || token.size > VAULT_MAX_TOKEN ||
	    memchr(token.data, '\n', token.size) != NULL) {
		bursar_fail(err, EBADMSG, "the login was answered without a "
		            "token");
		return VAULT_AWAY;
	}
	forget_token(login);
	if (vault_text_add(&login->token, token.data, token.size) != 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		return VAULT_AWAY;
	}
	take_lease(login, answer);
	return VAULT_READY;
}

static enum vault_state log_in(struct bursar_crypto *crypto,
                               struct bursar_error *err)
{
	struct vault_login *login = &crypto->login;
	struct vault_text body = { .limit = 1 << 20 };
	struct vault_answer answer = { 0 };
	struct bursar_error why = { 0 };
	enum vault_state state = VAULT_AWAY;

	if (!make_login(crypto->host, &body)) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto out;
	}
	const struct vault_request request = {
		.path = login->role_path, .body = { body.data, body.size },
	};
	state = vault_http_ask(crypto->http, &request, &answer, &why);
	if (state == VAULT_READY) {
		crypto->host->count(crypto->host, "vault_logins_total", 1);
		state = take_token(login, &answer, err);
	} else if (vault_verdict(state) == BURSAR_CONFIG) {
		state = state == VAULT_REFUSED && answer.status != 400
		      ? VAULT_REFUSED : VAULT_DENIED;
		bursar_fail(err, why.code, "%s: the login of role-id failed: "
		            "is its secret-id still good?", why.text);
	} else {
		bursar_fail(err, why.code, "%s", why.text);
	}
out:
	vault_answer_clear(&answer);
	vault_text_clear(&body);
	return state;
}

/* --- the file ------------------------------------------------------------ */

/*
 * For how long the token of the file is good.  A token may be forbidden to
 * look at itself: what it may is seen when it is used.
 */
static enum vault_state look_up(struct bursar_crypto *crypto,
                                struct bursar_error *err)
{
	static const char *const ttl[] = { "data", "ttl", NULL };
	static const char *const renewable[] = { "data", "renewable", NULL };
	const struct vault_request request = {
		.path = "auth/token/lookup-self",
		.token = token_of(&crypto->login),
	};
	struct vault_answer answer;
	struct bursar_error why = { 0 };
	enum vault_state state =
		vault_http_ask(crypto->http, &request, &answer, &why);

	if (state == VAULT_READY) {
		set_lease(&crypto->login, vault_answer_number(&answer, ttl, 0),
		          is_true(&answer, renewable));
	} else if (state == VAULT_DENIED) {
		set_lease(&crypto->login, 0, false);
		state = VAULT_READY;
	} else {
		bursar_fail(err, why.code, "%s", why.text);
		/* It is to be looked up all the same. */
		vault_text_clear(&crypto->login.token);
		crypto->login.file = (struct stat){ 0 };
	}
	vault_answer_clear(&answer);
	return state;
}

/* READY: there is a token.  *fresh: another one than before. */
static enum vault_state read_file(struct bursar_crypto *crypto, bool *fresh,
                                  struct bursar_error *err)
{
	struct vault_login *login = &crypto->login;
	const char *path = crypto->host->text(crypto->host, "token-file");
	struct bursar_error why = { 0 };
	const int read = vault_token_file_read(path, &login->file,
	                                       &login->token, &why);

	*fresh = read == 1;
	if (read == 1) {
		login->longest = 0;
		login->ending = false;
		return look_up(crypto, err);
	}
	if (login->token.size > 0) {
		return VAULT_READY;	/* the one we have may still do */
	}
	bursar_fail(err, why.code, "%s", read < 0 ? why.text
	            : "token-file: there is no token any more");
	return VAULT_DENIED;
}

/* --- renewal ------------------------------------------------------------- */

static enum vault_state replace(struct bursar_crypto *crypto,
                                struct bursar_error *err)
{
	if (crypto->login.from_file) {
		warn_of_end(crypto);
		return VAULT_READY;
	}
	return log_in(crypto, err);
}

static enum vault_state renew(struct bursar_crypto *crypto,
                              struct bursar_error *err)
{
	struct vault_login *login = &crypto->login;
	const struct vault_request request = {
		.path = "auth/token/renew-self", .body = { "{}", 2 },
		.token = token_of(login),
	};
	struct vault_answer answer;
	struct bursar_error why = { 0 };
	const enum vault_state state =
		vault_http_ask(crypto->http, &request, &answer, &why);

	if (state == VAULT_READY) {
		take_lease(login, &answer);
		crypto->host->count(crypto->host, "vault_renewals_total", 1);
	}
	vault_answer_clear(&answer);
	if (vault_verdict(state) == BURSAR_RETRY) {
		bursar_fail(err, why.code, "%s", why.text);
		return state;
	}
	/* Refused, or near to the end that no renewal puts off. */
	return state == VAULT_READY && login->lease * 2 > login->longest
	     ? VAULT_READY : replace(crypto, err);
}

enum vault_state vault_login_ensure(struct bursar_crypto *crypto,
                                    struct bursar_error *err)
{
	struct vault_login *login = &crypto->login;
	bool fresh;

	if (login->from_file) {
		const enum vault_state state = read_file(crypto, &fresh, err);

		if (state != VAULT_READY || fresh) {
			return state;
		}
	} else if (login->token.size == 0) {
		return log_in(crypto, err);
	}
	if (login->renew_at == 0 || monotonic_us() < login->renew_at) {
		return VAULT_READY;
	}
	return login->renewable ? renew(crypto, err) : replace(crypto, err);
}

enum vault_state vault_login_again(struct bursar_crypto *crypto,
                                   struct bursar_error *err)
{
	bool fresh;

	if (!crypto->login.from_file) {
		return log_in(crypto, err);
	}
	const enum vault_state state = read_file(crypto, &fresh, err);

	return state == VAULT_READY && !fresh ? VAULT_DENIED : state;
}
