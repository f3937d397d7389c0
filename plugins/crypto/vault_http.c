/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One request to Vault at a time, on a connection that is kept.
 *
 * Certificates are always checked; proxies of the environment, .netrc and
 * cookies are left alone, so that a token goes where the configuration says and
 * nowhere else.  libcurl follows no redirect: a 307 is followed here, once, to
 * a listed host, and only its host is believed, never its path.
 *
 * The API is that of https://developer.hashicorp.com/vault/api-docs; OpenBao
 * speaks the same.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "common/credential.h"
#include "common/regular.h"

#include "vault.h"

#define USUAL_LIMIT ((size_t)1 << 20)	/* bytes of an answer */

struct vault_http {
	const struct bursar_host *host;
	CURL    *easy;
	CURLU   *address;
	char    *base;			/* "https://vault:8200" */
	char    *namespace_header;	/* or NULL */
	struct json_reader *json;
	int64_t  deadline;		/* us, monotonic */
	int64_t  wait;			/* us, as Vault asked for */
};

/* --- the address --------------------------------------------------------- */

/* Whether a part of a URL is there; it is not looked at. */
static bool has_part(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	const CURLUcode got = curl_url_get(url, part, &text, 0);

	curl_free(text);
	return got == CURLUE_OK;
}

/* Whether both URLs say the same there. */
static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *left = NULL;
	char *right = NULL;
	const bool same =
		curl_url_get(a, part, &left, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		curl_url_get(b, part, &right, CURLU_DEFAULT_PORT) ==
			CURLUE_OK && strcasecmp(left, right) == 0;

	curl_free(left);
	curl_free(right);
	return same;
}

static bool is_plain(CURLU *url)
{
	char *scheme = NULL;
	const bool plain = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) ==
		CURLUE_OK && strcmp(scheme, "http") == 0;

	curl_free(scheme);
	return plain;
}

static bool is_near(CURLU *url)
{
	char *name = NULL;
	const bool near =
		curl_url_get(url, CURLUPART_HOST, &name, 0) == CURLUE_OK &&
		(strcmp(name, "localhost") == 0 ||
		 strncmp(name, "127.", 4) == 0 || strcmp(name, "[::1]") == 0);

	curl_free(name);
	return near;
}

/* Reads the address; what it says is not repeated, it may hold a password. */
static int read_address(struct vault_http *http, struct bursar_error *err)
{
	const struct bursar_host *host = http->host;
	const char *text = host->text(host, "address");

	http->address = curl_url();
	if (http->address == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	if ((strncmp(text, "https://", 8) != 0 &&
	     strncmp(text, "http://", 7) != 0) ||
	    curl_url_set(http->address, CURLUPART_URL, text, 0) != CURLUE_OK) {
		return bursar_fail(err, EINVAL, "address: must be a URL like "
		                   "https://vault.example.com:8200");
	}
	if (has_part(http->address, CURLUPART_USER) ||
	    has_part(http->address, CURLUPART_PASSWORD) ||
	    has_part(http->address, CURLUPART_QUERY) ||
	    has_part(http->address, CURLUPART_FRAGMENT)) {
		return bursar_fail(err, EINVAL, "address: must hold no user, "
		                   "password, query or fragment");
	}
	http->base = strdup(text);
	if (http->base == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	for (size_t n = strlen(text); http->base[n - 1] == '/'; n--) {
		http->base[n - 1] = '\0';
	}
	if (is_plain(http->address) && !is_near(http->address)) {
		host->log(host, BURSAR_WARNING, "no-tls",
		          "remedy=\"let address begin with https://\"");
	}
	return 0;
}

/* --- create -------------------------------------------------------------- */

static bool is_printable(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text <= ' ' || *text > '~') {
			return false;
		}
	}
	return true;
}

static int read_namespace(struct vault_http *http, struct bursar_error *err)
{
	const char *name = http->host->text(http->host, "namespace");

	if (name[0] == '\0') {
		return 0;
	}
	if (!is_printable(name)) {
		return bursar_fail(err, EINVAL, "namespace: must be printable "
		                   "characters of ASCII without blanks");
	}
	if (asprintf(&http->namespace_header, "X-Vault-Namespace: %s",
	             name) < 0) {
		http->namespace_header = NULL;
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	return 0;
}

static int check_regular(const struct bursar_host *host, const char *option,
                         struct bursar_error *err)
{
	const char *path = host->text(host, option);

	return path[0] == '\0' || regular_check(path) == 0 ? 0 :
		bursar_fail(err, errno, "%s %.150s: %s", option, path,
		            regular_why(errno));
}

/* The rest of the files' faults are libcurl's to tell, when it reads them. */
static int check_files(const struct bursar_host *host, struct bursar_error *err)
{
	const char *key = host->text(host, "client-key");

	if (key[0] != '\0' && !credential_is_private(key)) {
		return bursar_fail(err, EPERM, "client-key %.150s: others than "
		                   "its owner can get at it; run: chmod 600",
		                   key);
	}
	return check_regular(host, "ca-file", err) != 0 ||
	       check_regular(host, "client-cert", err) != 0 ||
	       check_regular(host, "client-key", err) != 0 ? -1 : 0;
}

struct vault_http *vault_http_create(const struct bursar_host *host,
                                     struct bursar_error *err)
{
	struct vault_http *http =
		vault_start_curl(err) == 0 ? calloc(1, sizeof(*http)) : NULL;

	if (http == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	http->host = host;
	http->easy = curl_easy_init();
	http->json = json_reader_create();
	if (http->easy == NULL || http->json == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto fail;
	}
	if (read_address(http, err) != 0 || read_namespace(http, err) != 0 ||
	    check_files(host, err) != 0) {
		goto fail;
	}
	return http;

fail:
	vault_http_destroy(http);
	return NULL;
}

void vault_http_destroy(struct vault_http *http)
{
	if (http == NULL) {
		return;
	}
	curl_easy_cleanup(http->easy);
	curl_url_cleanup(http->address);
	json_reader_destroy(http->json);
	free(http->base);
	free(http->namespace_header);
	free(http);
}

void vault_http_begin(struct vault_http *http)
{
	http->deadline = monotonic_us() +
		http->host->number(http->host, "timeout") * 1000;
	http->wait = 0;
}

int64_t vault_http_wait(const struct vault_http *http)
{
	return http->wait;
}

/* --- one transfer -------------------------------------------------------- */

/* libcurl's callback; fewer bytes than came end the transfer. */
static size_t take_bytes(char *data, size_t one, size_t size, void *context)
{
	struct vault_text *body = context;

	return vault_text_add(body, data, one * size) == 0 ? size : 0;
}

static bool add_header(struct curl_slist **list, const char *header)
{
	struct curl_slist *longer = curl_slist_append(*list, header);

	if (longer == NULL) {
		return false;
	}
	*list = longer;
	return true;
}

static bool add_token(struct curl_slist **list, struct bursar_span token)
{
	struct vault_text header = { .limit = 2 * VAULT_MAX_TOKEN };
	const bool added =
		vault_text_add_word(&header, "X-Vault-Token: ") == 0 &&
		vault_text_add(&header, token.data, token.size) == 0 &&
		vault_text_add(&header, "", 1) == 0 &&
		add_header(list, header.data);

	vault_text_clear(&header);
	return added;
}

/* NULL: out of memory. */
static struct curl_slist *headers(const struct vault_http *http,
                                  const struct vault_request *request)
{
	struct curl_slist *list = NULL;

	if (add_header(&list, "X-Vault-Request: true") &&
	    (http->namespace_header == NULL ||
	     add_header(&list, http->namespace_header)) &&
	    (request->token.data == NULL || add_token(&list, request->token)) &&
	    (request->body.data == NULL ||
	     (add_header(&list, "Content-Type: application/json") &&
	      add_header(&list, "Expect:")))) {
		return list;
	}
	curl_slist_free_all(list);
	return NULL;
}

static void set_files(const struct vault_http *http)
{
	static const struct {
		const char *option;
		CURLoption  set;
	} files[] = {
		{ "ca-file", CURLOPT_CAINFO },
		{ "client-cert", CURLOPT_SSLCERT },
		{ "client-key", CURLOPT_SSLKEY },
	};
	const struct bursar_host *host = http->host;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const char *path = host->text(host, files[i].option);

		if (path[0] != '\0') {
			curl_easy_setopt(http->easy, files[i].set, path);
		}
	}
}

static void set_body(CURL *easy, struct bursar_span body)
{
	if (body.data == NULL) {
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
		return;
	}
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
	                 (curl_off_t)body.size);
}

static long at_most(int64_t left, int64_t limit)
{
	return (long)(left < limit ? left : limit);
}

static void set_up(const struct vault_http *http, int64_t left_ms,
                   const struct vault_request *request,
                   struct vault_answer *answer)
{
	const struct bursar_host *host = http->host;
	CURL *easy = http->easy;

	curl_easy_reset(easy);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
	                 (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION,
	                 (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
	                 at_most(left_ms,
	                         host->number(host, "connect-timeout")));
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "bursar/" PACKAGE_VERSION);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer->body);
	set_files(http);
	set_body(easy, request->body);
}

static CURLcode transfer(const struct vault_http *http, const char *base,
                         const struct vault_request *request,
                         struct vault_answer *answer)
{
	const int64_t left_ms = (http->deadline - monotonic_us()) / 1000;
	struct curl_slist *list = headers(http, request);
	CURLcode code = CURLE_OUT_OF_MEMORY;
	char *url = NULL;

	if (left_ms <= 0) {
		code = CURLE_OPERATION_TIMEDOUT;
		goto out;
	}
	if (list == NULL || asprintf(&url, "%s/v1/%s", base,
	                             request->path) < 0) {
		url = NULL;
		goto out;
	}
	set_up(http, left_ms, request, answer);
	curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, list);
	code = curl_easy_setopt(http->easy, CURLOPT_URL, url);
	if (code == CURLE_OK) {
		http->host->count(http->host, "vault_requests_total", 1);
		code = curl_easy_perform(http->easy);
	}
	if (code == CURLE_OK) {
		curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE,
		                  &answer->status);
	}
out:
	curl_slist_free_all(list);
	free(url);
	return code;
}

/* --- redirects ----------------------------------------------------------- */

/* Gives `to` what `from` has of that part; leaves it where there is none. */
static void copy_part(CURLU *to, CURLU *from, CURLUPart part)
{
	char *text = NULL;

	if (curl_url_get(from, part, &text, 0) == CURLUE_OK) {
		curl_url_set(to, part, text, 0);
	}
	curl_free(text);
}

/* Whether `target` is the host `name`, at the port given there or that of the
 * address. */
static bool is_at(const struct vault_http *http, CURLU *target,
                  const char *name)
{
	CURLU *allowed = curl_url_dup(http->address);
	CURLU *named = curl_url();
	char *url = NULL;
	bool is = false;

	if (allowed != NULL && named != NULL &&
	    asprintf(&url, "http://%s/", name) >= 0 &&
	    curl_url_set(named, CURLUPART_URL, url, 0) == CURLUE_OK) {
		copy_part(allowed, named, CURLUPART_HOST);
		copy_part(allowed, named, CURLUPART_PORT);
		is = same_part(allowed, target, CURLUPART_HOST) &&
		     same_part(allowed, target, CURLUPART_PORT);
	}
	free(url);
	curl_url_cleanup(named);
	curl_url_cleanup(allowed);
	return is;
}

static bool is_listed(const struct vault_http *http, CURLU *target)
{
	const char *const *names;
	const size_t count = http->host->list(http->host, "redirect-hosts",
	                                      &names);

	for (size_t i = 0; i < count; i++) {
		if (is_at(http, target, names[i])) {
			return true;
		}
	}
	return false;
}

static char *join_base(CURLU *target)
{
	char *scheme = NULL;
	char *name = NULL;
	char *port = NULL;
	char *base = NULL;

	if (curl_url_get(target, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(target, CURLUPART_HOST, &name, 0) != CURLUE_OK ||
	    curl_url_get(target, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) !=
		CURLUE_OK ||
	    asprintf(&base, "%s://%s:%s", scheme, name, port) < 0) {
		base = NULL;
	}
	curl_free(scheme);
	curl_free(name);
	curl_free(port);
	return base;
}

/* Where the answer sends us, if we may go there; else NULL. */
static char *redirect_base(const struct vault_http *http)
{
	CURLU *target = curl_url();
	char *location = NULL;
	char *base = NULL;

	if (target != NULL &&
	    curl_easy_getinfo(http->easy, CURLINFO_REDIRECT_URL, &location) ==
		CURLE_OK && location != NULL &&
	    curl_url_set(target, CURLUPART_URL, location, 0) == CURLUE_OK &&
	    same_part(http->address, target, CURLUPART_SCHEME) &&
	    is_listed(http, target)) {
		base = join_base(target);
	}
	curl_url_cleanup(target);
	return base;
}

static bool is_redirect(long status)
{
	return status == 307 || status == 308;
}

/* --- what it means ------------------------------------------------------- */

static enum vault_state not_transferred(const struct vault_http *http,
                                        CURLcode code,
                                        const struct vault_answer *answer,
                                        struct bursar_error *err)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		bursar_fail(err, EACCES, "%s: %s: look at ca-file, client-cert "
		            "and the name in its certificate", http->base,
		            curl_easy_strerror(code));
		return VAULT_REFUSED;
	case CURLE_WRITE_ERROR:
		bursar_fail(err, EFBIG, "%s: the answer is longer than %zu "
		            "bytes, or memory is short", http->base,
		            answer->body.limit);
		return VAULT_AWAY;
	default:
		bursar_fail(err, EIO, "%s: %s", http->base,
		            curl_easy_strerror(code));
		return VAULT_AWAY;
	}
}

static const struct {
	long status;
	enum vault_state state;
	const char *text;
} statuses[] = {
	{ 307, VAULT_REFUSED, "it sends us to a host that redirect-hosts does "
	  "not name, or to one that sends us on" },
	{ 308, VAULT_REFUSED, "it sends us to a host that redirect-hosts does "
	  "not name, or to one that sends us on" },
	{ 400, VAULT_REFUSED, "bad request" },
	{ 403, VAULT_DENIED, "permission denied" },
	{ 404, VAULT_MISSING, "nothing is there, or it must not be seen" },
	{ 412, VAULT_STANDBY, "it has not caught up yet" },
	{ 429, VAULT_BUSY, "too many requests" },
	{ 472, VAULT_STANDBY, "it is a standby for disaster recovery" },
	{ 473, VAULT_STANDBY, "it is a standby" },
	{ 474, VAULT_STANDBY, "it is a standby that cannot reach the active "
	  "node" },
	{ 501, VAULT_REFUSED, "it is not initialised" },
	{ 503, VAULT_SEALED, "it is sealed, or in maintenance" },
};

static enum vault_state judge(const struct vault_http *http,
                              const struct vault_request *request,
                              const struct vault_answer *answer,
                              struct bursar_error *err)
{
	const long status = answer->status;
	enum vault_state state = status >= 500 ? VAULT_AWAY : VAULT_REFUSED;
	const char *text = "no answer that Vault would give";

	if (status == 204 || (status == 200 && answer->doc.count > 0)) {
		return VAULT_READY;
	}
	if (status == 200) {
		bursar_fail(err, EBADMSG, "%s/v1/%s: the answer is no JSON: is "
		            "that Vault?", http->base, request->path);
		return VAULT_AWAY;
	}
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (statuses[i].status == status) {
			state = statuses[i].state;
			text = statuses[i].text;
		}
	}
	bursar_fail(err, EIO, "%s/v1/%s: HTTP status %ld: %s", http->base,
	            request->path, status, text);
	return state;
}

static void note_wait(struct vault_http *http, const struct vault_answer *answer)
{
	curl_off_t seconds = 0;

	if (answer->status >= 400 &&
	    curl_easy_getinfo(http->easy, CURLINFO_RETRY_AFTER, &seconds) ==
		CURLE_OK && seconds > 0) {
		http->wait = (seconds < 86400 ? seconds : 86400) * 1000000;
	}
}

enum vault_state vault_http_ask(struct vault_http *http,
                                const struct vault_request *request,
                                struct vault_answer *answer,
                                struct bursar_error *err)
{
	*answer = (struct vault_answer){
		.body.limit = request->limit > 0 ? request->limit : USUAL_LIMIT,
	};
	CURLcode code = transfer(http, http->base, request, answer);
	if (code == CURLE_OK && is_redirect(answer->status)) {
		char *base = redirect_base(http);

		if (base != NULL) {
			vault_text_clear(&answer->body);
			answer->status = 0;
			code = transfer(http, base, request, answer);
		}
		free(base);
	}
	if (code != CURLE_OK) {
		answer->status = 0;
		return not_transferred(http, code, answer, err);
	}
	note_wait(http, answer);
	if (answer->body.size > 0 &&
	    json_read(http->json, answer->body.data, answer->body.size,
	              &answer->doc, NULL) != 0) {
		answer->doc.count = 0;
	}
	return judge(http, request, answer, err);
}

void vault_answer_clear(struct vault_answer *answer)
{
	vault_text_clear(&answer->body);
	answer->doc.count = 0;
	answer->status = 0;
}

/* --- what it says -------------------------------------------------------- */

uint32_t vault_answer_at(const struct vault_answer *answer,
                         const char *const *names)
{
	uint32_t node = 0;

	if (answer->doc.count == 0) {
		return 0;
	}
	for (; *names != NULL; names++) {
		node = json_member(&answer->doc, node, *names);
		if (node == 0) {
			return 0;
		}
	}
	return node;
}

int64_t vault_answer_number(const struct vault_answer *answer,
                            const char *const *names, int64_t otherwise)
{
	const uint32_t node = vault_answer_at(answer, names);
	int64_t value;

	return node != 0 && answer->doc.nodes[node].type == JSON_NUMBER &&
	       json_int(&answer->doc, node, &value) ? value : otherwise;
}

struct bursar_span vault_answer_text(const struct vault_answer *answer,
                                     uint32_t node)
{
	static const struct bursar_span nothing;

	if (node == 0) {
		return nothing;		/* there may be no nodes at all */
	}
	const struct json_node *found = &answer->doc.nodes[node];
	if (found->type != JSON_STRING || found->escaped) {
		return nothing;
	}
	return (struct bursar_span){ answer->doc.text + found->start + 1,
	                             found->size - 2 };
}

/* --- paths --------------------------------------------------------------- */

static bool is_safe(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || memchr("-._~/", c, 5) != NULL;
}

/* Whether each part between slashes is a name. */
static bool has_names(const char *text)
{
	for (;;) {
		const size_t size = strcspn(text, "/");

		if (size == 0 || (size == 1 && text[0] == '.') ||
		    (size == 2 && text[0] == '.' && text[1] == '.')) {
			return false;
		}
		if (text[size] == '\0') {
			return true;
		}
		text += size + 1;
	}
}

char *vault_path_escape(const char *option, const char *text,
                        struct bursar_error *err)
{
	if (!has_names(text)) {
		bursar_fail(err, EINVAL, "%s: must be a path like a/b, without "
		            "a slash at either end", option);
		return NULL;
	}
	char *path = malloc(3 * strlen(text) + 1);
	char *out = path;
	if (path == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	for (; *text != '\0'; text++) {
		if (is_safe(*text)) {
			*out++ = *text;
		} else {
			out += snprintf(out, 4, "%%%02X", (unsigned char)*text);
		}
	}
	*out = '\0';
	return path;
}
