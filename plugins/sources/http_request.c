/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http_request.c - one request, from its header to its records
 *
 * All of it runs in the library's thread.  What is refused by its header is
 * told so after the body, which is thrown away: a client that is still sending
 * would not read the answer, and the rest of the body would be taken for the
 * next request.  Who asks first (Expect) is told at once.  Who would send a
 * lot, or does not end, is told meanwhile, see http_respond_early(); what it
 * sends on is thrown away for a while, as a connection that is closed over
 * unread bytes takes the answer with it.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "http_source.h"

#define MAX_KEY     255		/* characters of an Idempotency-Key */
#define THROW_AWAY  ((size_t)1 << 20)	/* of a body that is refused ... */
#define GO_ON       ((size_t)16 << 20)	/* ... and more, once it was told */
#define BEARER      "Bearer "

static const char *header(const struct http_request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND,
	                                   name);
}

/* --- header --------------------------------------------------------------- */

/* What the header says of where the body ends. */
struct framing {
	unsigned hosts, lengths, codings;
	bool     odd;		/* a name or value that is none */
};

/* RFC 9110, 5.6.2: no blank before the colon, above all. */
static bool is_token(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		const char c = text[i];

		if (c <= ' ' || c > '~' || strchr("\"(),/:;<=>?@[\\]{}", c)) {
			return false;
		}
	}
	return size > 0;
}

static enum MHD_Result look_at_header(void *context, enum MHD_ValueKind kind,
                                      const char *name, size_t name_size,
                                      const char *value, size_t value_size)
{
	struct framing *framing = context;

	(void)kind;
	framing->hosts += strcasecmp(name, "Host") == 0;
	framing->lengths += strcasecmp(name, "Content-Length") == 0;
	framing->codings += strcasecmp(name, "Transfer-Encoding") == 0;
	framing->odd |= !is_token(name, name_size) ||
		(value_size > 0 && (memchr(value, '\r', value_size) != NULL ||
		                    memchr(value, '\0', value_size) != NULL));
	return MHD_YES;
}

/*
 * Where the library takes one of several lengths, or none where a blank stands
 * before the colon, a proxy before us may take another, and what it holds for
 * the end of one sender's request would be read as the next one (RFC 9112, 5.1,
 * 6.1 and 6.3).  So the connection ends with the answer, and the body is not
 * waited for.
 */
static void check_framing(struct http_request *r)
{
	const char *coding = header(r, "Transfer-Encoding");
	struct framing framing = { 0 };

	MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND,
	                            look_at_header, &framing);
	if (!framing.odd && framing.hosts <= 1 &&
	    framing.lengths + framing.codings <= 1 &&
	    (coding == NULL || strcasecmp(coding, "chunked") == 0)) {
		return;
	}
	r->misframed = true;
	r->keeps_open = false;
	http_refuse(r, 400, "say Host once, and the length of the body once, as"
	            " Content-Length or as Transfer-Encoding: chunked, and no"
	            " header with a blank in its name");
}

static void check_token(struct http_request *r)
{
	struct http_server *server = r->server;
	const char *given = header(r, "Authorization");

	pthread_mutex_lock(&server->lock);
	struct http_tokens *tokens = server->tokens;
	if (tokens != NULL && given != NULL &&
	    strncasecmp(given, BEARER, strlen(BEARER)) == 0) {
		given += strlen(BEARER);
		r->token = tokens_find(tokens->tokens, (struct bursar_span){
			given, strlen(given),
		});
	}
	if (tokens != NULL && r->token != NULL) {
		r->tokens = tokens;
		tokens->holders++;
	} else if (tokens != NULL) {
		server->figures.unauthorized++;
	}
	pthread_mutex_unlock(&server->lock);

	if (tokens != NULL && r->token == NULL) {
		http_refuse(r, 401, "give a bearer token that is known here, as"
		            " `Authorization: Bearer TOKEN`");
	} else if (tokens == NULL && header(r, "Origin") != NULL) {
		/* A page of somebody else, in a browser on this machine. */
		http_refuse(r, 403, "requests of browsers need a token");
	}
}

/* Whether a media type is `name`, whatever its parameters; a charset has to be
 * UTF-8. */
static bool is_type(const char *type, const char *name)
{
	const size_t size = strlen(name);

	return strncasecmp(type, name, size) == 0 &&
	       strchr(" ;\t", type[size]) != NULL &&
	       (strcasestr(type + size, "charset=") == NULL ||
	        strcasestr(type + size, "utf-8") != NULL ||
	        strcasestr(type + size, "us-ascii") != NULL);
}

static void check_type(struct http_request *r)
{
	const char *type = header(r, "Content-Type");

	if (type != NULL && is_type(type, "application/json")) {
		return;
	}
	if (type != NULL && (is_type(type, "application/x-ndjson") ||
	                     is_type(type, "application/jsonl"))) {
		r->lines = true;
		return;
	}
	http_refuse(r, 415, "the content type has to be application/json, "
	            "application/x-ndjson or application/jsonl, in UTF-8");
}

static void check_encoding(struct http_request *r)
{
	const char *encoding = header(r, "Content-Encoding");

	if (encoding == NULL || strcasecmp(encoding, "identity") == 0) {
		return;
	}
	if (strcasecmp(encoding, "gzip") == 0 ||
	    strcasecmp(encoding, "x-gzip") == 0) {
		r->packing = HTTP_GZIP;
	} else if (strcasecmp(encoding, "zstd") == 0) {
		r->packing = HTTP_ZSTD;
	} else {
		http_refuse(r, 415, "the content encoding has to be gzip, zstd "
		            "or identity");
	}
}

/* What the client says of the length; 0 where it says nothing. */
static unsigned long long said_length(const struct http_request *r)
{
	const char *length = header(r, "Content-Length");

	return length != NULL ? strtoull(length, NULL, 10) : 0;
}

static void check_length(struct http_request *r)
{
	if (said_length(r) > r->server->limits.body) {
		http_refuse(r, 413, "the body is longer than this server "
		            "takes; send less at a time");
	}
}

static bool is_visible(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~') {
			return false;
		}
	}
	return true;
}

/* Where the records of this request stand for ever: with a key always the
 * same place, without one a place of its own. */
static void make_origin(struct http_request *r)
{
	const char *key = header(r, "Idempotency-Key");
	uint8_t random[16];
	char unique[2 * sizeof(random) + 1];

	if (key != NULL && (key[0] == '\0' || strlen(key) > MAX_KEY ||
	                    !is_visible(key))) {
		http_refuse(r, 400, "an Idempotency-Key has 1 to 255 "
		            "characters of ASCII");
		return;
	}
	if (key != NULL) {
		r->key = strdup(key);
	} else {
		randombytes_buf(random, sizeof(random));
		sodium_bin2hex(unique, sizeof(unique), random, sizeof(random));
	}
	if ((key != NULL && r->key == NULL) ||
	    asprintf(&r->origin, "%s:%s", r->token ? r->token->name : "-",
	             key != NULL ? key : unique) < 0) {
		r->origin = NULL;
		http_refuse(r, 503, "out of memory");
	}
}

static void check_place(struct http_request *r, const char *url,
                        const char *method)
{
	r->usage = strcmp(url, "/v1/usage") == 0;
	if (r->code != 0) {
		return;
	}
	if (!r->usage && strcmp(url, "/v1/records") != 0) {
		http_refuse(r, 404, "there is nothing here; records go to "
		            "/v1/records");
	} else if (strcmp(method, "POST") != 0) {
		r->allow = "POST";
		http_refuse(r, 405, "records are sent with POST");
	}
}

static void check_header(struct http_request *r, const char *url,
                         const char *method)
{
	static void (*const checks[])(struct http_request *) = {
		check_token, check_type, check_encoding, check_length,
		make_origin,
	};

	check_framing(r);
	check_place(r, url, method);
	for (size_t i = 0; r->code == 0 &&
	                   i < sizeof(checks) / sizeof(checks[0]); i++) {
		checks[i](r);
	}
	if (r->code == 0 && r->usage) {
		http_usage_check(r);
	}
}

struct http_request *http_request_begin(struct http_server *server,
                                        struct MHD_Connection *connection,
                                        struct http_link *link,
                                        const char *url, const char *method)
{
	struct http_request *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		return NULL;
	}
	r->server = server;
	r->connection = connection;
	r->link = link;
	r->keeps_open = true;
	r->watched = -1;
	pthread_mutex_lock(&server->lock);
	server->figures.requests++;
	link->phase = HTTP_BODY;
	link->since = monotonic_us();
	pthread_mutex_unlock(&server->lock);
	check_header(r, url, method);
	r->body.most = said_length(r) > 0 ? said_length(r)
	                                  : server->limits.body;
	r->long_refused = r->code != 0 && said_length(r) > THROW_AWAY;
	return r;
}

bool http_request_is_hasty(const struct http_request *r)
{
	return r->misframed ||
	       (r->code != 0 && header(r, "Expect") != NULL) ||
	       (r->long_refused && r->server->tls);
}

/* --- body ----------------------------------------------------------------- */

bool http_charge(struct http_request *r, size_t more)
{
	struct http_server *server = r->server;

	pthread_mutex_lock(&server->lock);
	const bool fits = more <= server->limits.pending &&
		server->charged <= server->limits.pending - more;
	if (fits) {
		server->charged += more;
		r->charged += more;
	}
	pthread_mutex_unlock(&server->lock);
	return fits;
}

static void uncharge(struct http_request *r, size_t less)
{
	pthread_mutex_lock(&r->server->lock);
	r->server->charged -= less;
	r->charged -= less;
	pthread_mutex_unlock(&r->server->lock);
}

void http_drop_body(struct http_request *r)
{
	const size_t room = r->body.room;

	http_bytes_finish(&r->body);
	uncharge(r, room);
}

static void refuse_now(struct http_request *r)
{
	http_refuse(r, 503, "too much is waiting to be stored; come again "
	            "later");
}

static void keep(struct http_request *r, const char *data, size_t size)
{
	const size_t before = r->body.room;
	const size_t more = http_bytes_room(&r->body, r->body.size + size) -
		before;

	if (more > 0 && !http_charge(r, more)) {
		http_drop_body(r);
		refuse_now(r);
		return;
	}
	if (!http_bytes_reserve(&r->body, r->body.size + size)) {
		uncharge(r, more);
		http_drop_body(r);
		http_refuse(r, 503, "out of memory");
		return;
	}
	memcpy(r->body.data + r->body.size, data, size);
	r->body.size += size;
}

bool http_request_take(struct http_request *r, const char *data, size_t size)
{
	const size_t limit = r->server->limits.body;

	r->came += size;
	if (r->code == 0 && r->came > limit) {
		http_drop_body(r);
		http_refuse(r, 413, "the body is longer than this server "
		            "takes; send less at a time");
	}
	if (r->code == 0) {
		keep(r, data, size);
	}
	if (r->code != 0 && !r->told_early &&
	    (r->long_refused || r->came > limit + THROW_AWAY) &&
	    !http_respond_early(r)) {
		return false;
	}
	return r->code == 0 || r->came <= limit + THROW_AWAY + GO_ON;
}

/* --- records -------------------------------------------------------------- */

static bool unpack(struct http_request *r)
{
	struct bursar_error err = { 0 };
	struct http_bytes clear = { 0 };
	const struct bursar_span packed = { r->body.data, r->body.size };

	if (r->packing == HTTP_PLAIN) {
		return true;
	}
	const int result = http_unpack(r->packing, packed,
	                               r->server->limits.body, &clear, &err);
	http_drop_body(r);
	if (result != 0) {
		http_bytes_finish(&clear);
		http_refuse_for(r, err.code == EFBIG ? 413 :
		                err.code == ENOMEM ? 503 : 400, &err);
		return false;
	}
	http_bytes_fit(&clear);
	if (!http_charge(r, clear.room)) {
		http_bytes_finish(&clear);
		refuse_now(r);
		return false;
	}
	r->body = clear;
	return true;
}

static bool split(struct http_request *r, struct http_list *list)
{
	const struct bursar_span body = { r->body.data, r->body.size };
	struct bursar_error err = { 0 };

	if ((r->lines ? http_split_lines : http_split_json)(body,
			r->server->limits.records, list, &err) == 0) {
		return true;
	}
	http_refuse_for(r, err.code == E2BIG ? 413 :
	                err.code == ENOMEM ? 503 : 400, &err);
	return false;
}

static bool make_records(struct http_request *r, const struct http_list *list)
{
	const size_t size = list->count * sizeof(*r->records);

	if (!http_charge(r, size)) {
		refuse_now(r);
		return false;
	}
	r->records = calloc(list->count, sizeof(*r->records));
	if (r->records == NULL) {
		uncharge(r, size);
		http_refuse(r, 503, "out of memory");
		return false;
	}
	for (size_t i = 0; i < list->count; i++) {
		r->records[i].text = list->items[i];
	}
	r->count = list->count;
	return true;
}

/* A length that nobody said leaves room to spare. */
static void fit_body(struct http_request *r)
{
	const size_t before = r->body.room;

	http_bytes_fit(&r->body);
	uncharge(r, before - r->body.room);
}

bool http_request_whole(struct http_request *r)
{
	struct http_list list = { 0 };

	fit_body(r);
	if (r->code == 0 && unpack(r) &&
	    (!r->usage || http_usage_translate(r)) && split(r, &list)) {
		make_records(r, &list);
	}
	http_list_finish(&list);
	if (r->code != 0) {
		http_drop_body(r);
	}
	return r->code == 0;
}

void http_request_end(struct http_request *r, bool sent)
{
	struct http_server *server = r->server;

	pthread_mutex_lock(&server->lock);
	const int fd = r->link->fd;
	r->link->phase = HTTP_IDLE;
	r->link->since = monotonic_us();
	r->connection = NULL;
	r->link = NULL;
	if (r->code >= 400) {
		server->figures.refused++;
	}
	if (r->left) {
		if (--server->answering == 0) {
			pthread_cond_broadcast(&server->quiet);
		}
		http_answer_went(r, fd, sent);
	} else {
		r->fate = HTTP_TOLD;
		http_request_drop(r);
	}
	pthread_mutex_unlock(&server->lock);
}
