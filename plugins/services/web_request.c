/* SPDX-License-Identifier: Apache-2.0 */

/*
 * web_request.c - one request, from its header to its answer
 *
 * A page of somebody else, in a browser on this machine, reaches loopback too.
 * What it cannot do is to send a Host of ours when its own name leads here, so
 * Host is looked at before all else.  Each answer ends its connection: who
 * reads figures does so every few seconds, and no connection stands idle.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "web.h"

#define BEARER     "Bearer "
#define THROW_AWAY ((size_t)64 << 10)	/* of a body that nobody reads */
#define MAX_HOST   255

typedef unsigned page_fn(struct web *web, bool known, struct web_text *text);

struct page {
	const char *url;
	const char *type;
	bool        secret;		/* not for who has no token */
	page_fn    *make;
};

struct web_request {
	struct web *web;
	const struct page *page;	/* NULL: refused */
	bool        known;		/* no token is needed, or it has one */
	size_t      came;		/* bytes of a body */
	unsigned    code;		/* of a refusal */
	const char *sentence;		/* ... static */
};

/* --- pages ------------------------------------------------------------------ */

static unsigned make_index(struct web *web, bool known, struct web_text *text)
{
	(void)web, (void)known;
	web_text_add(text, "<!DOCTYPE html>\n"
	             "<html lang=\"en\"><head><meta charset=\"utf-8\">"
	             "<title>bursar</title></head><body>\n"
	             "<h1>bursar</h1>\n<ul>\n"
	             "<li><a href=\"/metrics\">/metrics</a>: figures, as "
	             "Prometheus reads them</li>\n"
	             "<li><a href=\"/livez\">/livez</a>: whether the process "
	             "makes progress</li>\n"
	             "<li><a href=\"/readyz\">/readyz</a>: whether every route "
	             "is open, and why not</li>\n"
	             "</ul>\n</body></html>\n");
	return MHD_HTTP_OK;
}

static unsigned make_metrics(struct web *web, bool known, struct web_text *text)
{
	struct web_metrics metrics = { 0 };

	(void)known;
	web->house->figures(web->house, web_metrics_add, &metrics);
	*text = metrics.text;
	return MHD_HTTP_OK;
}

static unsigned make_livez(struct web *web, bool known, struct web_text *text)
{
	char *state = web->house->state(web->house);
	struct web_text all = { 0 };
	const unsigned code = web_is_live(state, web->stalled_ms, &all);

	free(state);
	if (known) {
		*text = all;
	} else {
		web_text_free(&all);
		web_text_add(text, code == MHD_HTTP_OK ? "live\n"
		                                       : "stalled\n");
	}
	return code;
}

static unsigned make_readyz(struct web *web, bool known, struct web_text *text)
{
	char *state = web->house->state(web->house);
	const unsigned code = web_is_ready(state, known, text);

	free(state);
	return code;
}

static const struct page pages[] = {
	{ "/", "text/html; charset=utf-8", false, make_index },
	{ "/metrics", WEB_METRICS_TYPE, true, make_metrics },
	{ "/livez", "text/plain; charset=utf-8", false, make_livez },
	{ "/readyz", "application/json", false, make_readyz },
	{ NULL }
};

/* --- header ----------------------------------------------------------------- */

static bool is_address(const char *text, size_t size)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr six;
	struct in_addr four;

	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		if (size - 2 >= sizeof(copy)) {
			return false;
		}
		memcpy(copy, text + 1, size - 2);
		copy[size - 2] = '\0';
		return inet_pton(AF_INET6, copy, &six) == 1;
	}
	if (size >= sizeof(copy)) {
		return false;
	}
	memcpy(copy, text, size);
	copy[size] = '\0';
	return inet_pton(AF_INET, copy, &four) == 1;
}

static bool is_name(const char *text, size_t size, const char *name)
{
	return strlen(name) == size && strncasecmp(text, name, size) == 0;
}

/* An address is nobody's name, so no page of another can have it for its own. */
bool web_is_host(const char *host, const char *const *names, size_t count)
{
	size_t size = strlen(host);
	const char *bracket = strchr(host, ']');
	const char *colon = strchr(bracket != NULL ? bracket : host, ':');

	if (colon != NULL) {
		const size_t digits = strspn(colon + 1, "0123456789");

		if (digits > 5 || colon[1 + digits] != '\0') {
			return false;
		}
		size = (size_t)(colon - host);
	}
	if (size == 0 || size > MAX_HOST) {
		return false;
	}
	if (is_name(host, size, "localhost") || is_address(host, size)) {
		return true;
	}
	for (size_t i = 0; i < count; i++) {
		if (is_name(host, size, names[i])) {
			return true;
		}
	}
	return false;
}

static void refuse(struct web_request *r, unsigned code, const char *sentence)
{
	if (r->code == 0) {
		r->code = code;
		r->sentence = sentence;
	}
}

/* Who sends none is no browser. */
static void check_host(struct web_request *r, struct MHD_Connection *connection)
{
	const struct web *web = r->web;
	const char *host = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, "Host");
	const char *origin = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, "Origin");

	if (host != NULL && !web_is_host(host, web->names, web->name_count)) {
		refuse(r, MHD_HTTP_MISDIRECTED_REQUEST,
		       "this server is not known by that name: it is "
		       "localhost, its address, or what `hosts` lists\n");
	}
	if (origin == NULL) {
		return;
	}
	const char *from = strstr(origin, "://");
	if (host == NULL || from == NULL || strcasecmp(from + 3, host) != 0) {
		refuse(r, MHD_HTTP_FORBIDDEN, "pages of other servers may not "
		       "read this\n");
	}
}

static void check_token(struct web_request *r,
                        struct MHD_Connection *connection)
{
	const struct web *web = r->web;
	const char *given = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, "Authorization");

	r->known = web->tokens == NULL;
	if (!r->known && given != NULL &&
	    strncasecmp(given, BEARER, strlen(BEARER)) == 0) {
		given += strlen(BEARER);
		r->known = tokens_find(web->tokens, (struct bursar_span){
			given, strlen(given),
		}) != NULL;
	}
}

static void find_page(struct web_request *r, const char *url,
                      const char *method)
{
	const struct page *page = pages;

	while (page->url != NULL && strcmp(page->url, url) != 0) {
		page++;
	}
	if (page->url == NULL) {
		refuse(r, MHD_HTTP_NOT_FOUND, "there is /metrics, /livez and "
		       "/readyz\n");
	} else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	           strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		refuse(r, MHD_HTTP_METHOD_NOT_ALLOWED, "this is only for "
		       "reading: GET or HEAD\n");
	} else if (page->secret && !r->known) {
		refuse(r, MHD_HTTP_UNAUTHORIZED, "give a bearer token that is "
		       "known here, as `Authorization: Bearer TOKEN`\n");
	} else {
		r->page = page;
	}
}

struct web_request *web_request_begin(struct web *web, const char *url,
                                      const char *method,
                                      struct MHD_Connection *connection)
{
	struct web_request *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		return NULL;
	}
	r->web = web;
	check_host(r, connection);
	check_token(r, connection);
	find_page(r, url, method);
	return r;
}

bool web_request_take(struct web_request *r, size_t size)
{
	r->came += size;
	return r->came <= THROW_AWAY;
}

/* --- answer ----------------------------------------------------------------- */

static void add_headers(struct MHD_Response *response, const char *type,
                        unsigned code)
{
	MHD_add_response_header(response, "Content-Type", type);
	MHD_add_response_header(response, "Cache-Control", "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "Content-Security-Policy",
	                        "default-src 'none'");
	MHD_add_response_header(response, "Connection", "close");
	if (code == MHD_HTTP_METHOD_NOT_ALLOWED) {
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	}
	if (code == MHD_HTTP_UNAUTHORIZED) {
		MHD_add_response_header(response, "WWW-Authenticate",
		                        "Bearer realm=\"bursar\"");
	}
}

static struct MHD_Response *make_response(const struct web_request *r,
                                          unsigned *code)
{
	struct web_text text = { 0 };

	if (r->code != 0) {
		*code = r->code;
		web_text_add(&text, "%s", r->sentence);
	} else {
		*code = r->page->make(r->web, r->known, &text);
	}
	if (text.failed) {
		web_text_free(&text);
		return NULL;
	}
	struct MHD_Response *response = MHD_create_response_from_buffer(
		text.size, text.data, MHD_RESPMEM_MUST_FREE);
	if (response == NULL) {
		web_text_free(&text);
	}
	return response;
}

enum MHD_Result web_request_answer(struct web_request *r,
                                   struct MHD_Connection *connection)
{
	const struct bursar_host *host = r->web->host;
	unsigned code;
	struct MHD_Response *response = make_response(r, &code);

	host->count(host, "requests_total", 1);
	host->count(host, "requests_refused_total", r->code != 0);
	if (response == NULL) {
		return MHD_NO;
	}
	add_headers(response, r->code == 0 ? r->page->type
	            : "text/plain; charset=utf-8", code);
	const enum MHD_Result result = MHD_queue_response(connection, code,
	                                                  response);
	MHD_destroy_response(response);
	return result;
}

void web_request_end(struct web_request *r)
{
	free(r);
}
