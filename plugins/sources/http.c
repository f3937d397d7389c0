/* SPDX-License-Identifier: Apache-2.0 */

/*
 * http - takes records from clients, and answers when they are stored
 *
 *	curl --json '{"message_id":"a","provider":"openai"}' \
 *	     http://127.0.0.1:8377/v1/records
 *
 * open() reads options and files; read() begins to listen, so that a look at
 * the options disturbs nobody who does.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <sodium.h>

#include "common/http_tls.h"
#include "http_source.h"

#define TEND_US        INT64_C(100000)	/* between two looks at times */
#define LOOK_US        INT64_C(1000000)	/* ... at files */
#define LISTEN_WAIT_US INT64_C(20000)	/* ... for the port of another */
#define OTHER_FILES    ((rlim_t)128)	/* descriptors that the rest may need */

struct bursar_source {
	struct http_server server;
	const struct bursar_host *host;
	struct http_place place;
	struct http_pair pair;
	const char *token_file;
	struct http_look token_look;
	int64_t tend_at, look_at;
};

/* --- options -------------------------------------------------------------- */

static void read_limits(struct bursar_source *source)
{
	const struct bursar_host *host = source->host;

	source->server.limits = (struct http_limits){
		.body = (size_t)host->number(host, "max-body"),
		.pending = (size_t)host->number(host, "max-pending"),
		.header = (size_t)host->number(host, "max-header"),
		.records = (size_t)host->number(host, "max-records"),
		.connections = (unsigned)host->number(host, "connections"),
		.per_address = (unsigned)host->number(host,
		                                      "connections-per-address"),
		.header_us = host->number(host, "header-timeout") * 1000,
		.body_us = host->number(host, "body-timeout") * 1000,
		.idle_us = host->number(host, "idle-timeout") * 1000,
		.answer_us = host->number(host, "answer-timeout") * 1000,
	};
}

/* A flood of connections must leave descriptors to databases. */
static void fit_connections(struct bursar_source *source)
{
	unsigned *connections = &source->server.limits.connections;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
	    limit.rlim_cur == RLIM_INFINITY ||
	    *connections + OTHER_FILES <= limit.rlim_cur) {
		return;
	}
	*connections = (unsigned)(limit.rlim_cur > 2 * OTHER_FILES
	             ? limit.rlim_cur - OTHER_FILES : OTHER_FILES);
	source->host->log(source->host, BURSAR_WARNING, "connections-lowered",
	                  "connections=%u why=\"the process may have only %llu "
	                  "open files: raise LimitNOFILE\"", *connections,
	                  (unsigned long long)limit.rlim_cur);
}

/* NULL with *err filled. */
static struct http_tokens *load_tokens(const struct bursar_source *source,
                                       struct bursar_error *err)
{
	struct http_tokens *made = calloc(1, sizeof(*made));

	if (made == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	made->holders = 1;
	made->tokens = tokens_load(source->token_file, source->host->schema,
	                           err);
	if (made->tokens == NULL) {
		if (err->code == ENOENT) {
			*err = (struct bursar_error){ 0 };
			bursar_fail(err, ENOENT, "%s is not there: `bursar "
			            "token add NAME --file FILE` makes it",
			            source->token_file);
		}
		free(made);
		return NULL;
	}
	return made;
}

static int check_tls(const struct bursar_source *source,
                     struct bursar_error *err)
{
	if (http_pair_check(&source->pair, err) != 0) {
		return -1;
	}
	if (http_pair_is_given(&source->pair) &&
	    MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
		return bursar_fail(err, ENOTSUP, "cert-file: libmicrohttpd was "
		                   "built without TLS");
	}
	return 0;
}

static int check_place(const struct bursar_source *source,
                       struct bursar_error *err)
{
	const struct bursar_host *host = source->host;

	if (source->place.loopback) {
		return 0;
	}
	if (source->token_file[0] == '\0') {
		return bursar_fail(err, EPERM, "%s can be reached from other "
		                   "machines: give a token-file (made with "
		                   "`bursar token add`), or listen on "
		                   "127.0.0.1", source->place.text);
	}
	if (!http_pair_is_given(&source->pair)) {
		host->log(host, BURSAR_WARNING, "tokens-in-clear",
		          "listen=%s note=\"without TLS the network reads "
		          "tokens and records: give cert-file and key-file\"",
		          source->place.text);
	}
	return 0;
}

static int read_options(struct bursar_source *source, struct bursar_error *err)
{
	const struct bursar_host *host = source->host;

	source->token_file = host->text(host, "token-file");
	source->pair.cert_file = host->text(host, "cert-file");
	source->pair.key_file = host->text(host, "key-file");
	read_limits(source);
	if (source->server.limits.body > source->server.limits.pending) {
		return bursar_fail(err, EINVAL, "max-pending is less than "
		                   "max-body: no such body would be taken");
	}
	if (http_place_parse(&source->place, host->text(host, "listen"),
	                     err) != 0 ||
	    check_tls(source, err) != 0 || check_place(source, err) != 0) {
		return -1;
	}
	if (source->token_file[0] != '\0') {
		http_look_at(source->token_file, &source->token_look);
		source->server.tokens = load_tokens(source, err);
		return source->server.tokens != NULL ? 0 : -1;
	}
	return 0;
}

/* --- files that change ---------------------------------------------------- */

static void let_go(struct http_tokens *tokens)
{
	if (tokens != NULL && --tokens->holders == 0) {
		tokens_destroy(tokens->tokens);
		free(tokens);
	}
}

/* Those that were good go on where the new ones are not. */
static void reload_tokens(struct bursar_source *source)
{
	const struct bursar_host *host = source->host;
	struct http_server *server = &source->server;
	struct bursar_error err = { 0 };
	struct http_tokens *tokens = load_tokens(source, &err);

	if (tokens == NULL) {
		host->log(host, BURSAR_ERROR, "tokens-not-reloaded",
		          "why=\"%s\"", err.text);
		return;
	}
	pthread_mutex_lock(&server->lock);
	struct http_tokens *old = server->tokens;
	server->tokens = tokens;
	let_go(old);
	pthread_mutex_unlock(&server->lock);
	host->log(host, BURSAR_INFO, "tokens-reloaded", "tokens=%zu",
	          tokens_count(tokens->tokens));
}

static bool has_changed(const char *path, struct http_look *old)
{
	struct http_look look = { 0 };

	if (path[0] == '\0') {
		return false;
	}
	http_look_at(path, &look);
	if (http_look_same(&look, old)) {
		return false;
	}
	*old = look;
	return true;
}

/* A certificate is renewed by listening anew; who cannot do so with it stays
 * where he is. */
static bool has_new_certificate(struct bursar_source *source)
{
	const struct bursar_host *host = source->host;
	struct bursar_error err = { 0 };

	if (source->server.daemon == NULL ||
	    !http_pair_has_changed(&source->pair, host->now(host))) {
		return false;
	}
	if (http_tls_try(&source->pair, &err) != 0) {
		host->log(host, BURSAR_ERROR, "certificate-not-renewed",
		          "why=\"%s\"", err.text);
		return false;
	}
	return true;
}

/* --- listening ------------------------------------------------------------ */

static int start(struct bursar_source *source, int listener,
                 struct bursar_error *err)
{
	struct http_pair *pair = &source->pair;

	if (http_pair_load(pair, err) != 0) {
		return -1;
	}
	const int result = http_server_start(&source->server, listener,
	                                     pair->cert, pair->key, err);
	http_pair_forget(pair);
	return result;
}

static int64_t later(int64_t now, int64_t deadline)
{
	const int64_t then = now + LISTEN_WAIT_US;

	return then < deadline ? then : deadline;
}

static bool rest(int wake, int bell, int64_t until)
{
	struct pollfd fds[] = {
		{ .fd = wake, .events = POLLIN },
		{ .fd = bell, .events = POLLIN },
	};
	const int64_t left = until - monotonic_us();

	poll(fds, 2, left > 0 ? (int)((left + 999) / 1000) : 0);
	return fds[0].revents != 0;
}

/* Who was here before, the same source before a reload above all, may still
 * be leaving. */
static enum bursar_verdict begin(struct bursar_source *source, int wake,
                                 int64_t deadline, struct bursar_error *err)
{
	const struct bursar_host *host = source->host;
	struct bursar_error why = { 0 };
	int listener;

	while ((listener = http_place_listen(&source->place, &why)) < 0 &&
	       why.code == EADDRINUSE && monotonic_us() < deadline &&
	       !rest(wake, -1, later(monotonic_us(), deadline))) {
		why = (struct bursar_error){ 0 };
	}
	if (listener < 0) {
		bursar_fail(err, why.code, "%s", why.text);
		return why.code == EADDRINUSE ? BURSAR_RETRY : BURSAR_CONFIG;
	}
	if (start(source, listener, err) != 0) {
		close(listener);
		return BURSAR_CONFIG;
	}
	host->log(host, BURSAR_INFO, "listening", "address=%s tls=%s tokens=%zu",
	          source->place.text, http_pair_is_given(&source->pair)
	          ? "yes" : "no",
	          source->server.tokens
	          ? tokens_count(source->server.tokens->tokens) : 0);
	return BURSAR_DONE;
}

/* --- what has to be done now and then ------------------------------------- */

static void tell_figures(struct bursar_source *source)
{
	const struct bursar_host *host = source->host;
	struct http_server *server = &source->server;

	pthread_mutex_lock(&server->lock);
	const struct http_figures figures = server->figures;
	const size_t charged = server->charged;
	const int64_t tokens = server->tokens != NULL
		? (int64_t)tokens_count(server->tokens->tokens) : -1;
	server->figures = (struct http_figures){ 0 };
	pthread_mutex_unlock(&server->lock);

	host->count(host, "requests_total", figures.requests);
	host->count(host, "requests_refused_total", figures.refused);
	host->count(host, "requests_unauthorized_total", figures.unauthorized);
	host->count(host, "requests_timed_out_total", figures.timeouts);
	host->count(host, "connections_cut_total", figures.cut);
	host->count(host, "answers_unsent_total", figures.unanswered);
	host->count(host, "rejections_not_kept_total", figures.lost);
	host->gauge(host, "request_memory_bytes", (int64_t)charged);
	if (tokens >= 0) {
		host->gauge(host, "known_tokens", tokens);
		host->gauge(host, "tokens_modified_timestamp_seconds",
		            source->token_look.modified_ns / 1000000000);
	}
}

/* True: listen anew. */
static bool tend(struct bursar_source *source)
{
	const int64_t now = monotonic_us();

	if (now < source->tend_at) {
		return false;
	}
	source->tend_at = now + TEND_US;
	http_server_tend(&source->server, now);
	if (now < source->look_at) {
		return false;
	}
	source->look_at = now + LOOK_US;
	tell_figures(source);
	if (has_changed(source->token_file, &source->token_look)) {
		reload_tokens(source);
	}
	return has_new_certificate(source);
}

/* Waits for the first records, and not for more. */
static bool read_some(struct bursar_source *source, struct bursar_batch *batch,
                      int wake, int64_t deadline)
{
	struct http_server *server = &source->server;
	const size_t room = batch->room;

	for (;;) {
		if (tend(source)) {
			return false;
		}
		if (room == 0) {
			return true;
		}
		http_silence(server->bell);
		http_hand_out(server, batch);
		if (batch->room < room || monotonic_us() >= deadline) {
			return true;
		}
		const int64_t until = source->tend_at < deadline
		                    ? source->tend_at : deadline;
		if (rest(wake, server->bell, until)) {
			return true;
		}
	}
}

/* --- operations ----------------------------------------------------------- */

static void source_close(struct bursar_source *source)
{
	if (source == NULL) {
		return;
	}
	http_server_stop(&source->server);
	let_go(source->server.tokens);
	http_server_finish(&source->server);
	free(source);
}

/* A path may hold anything, an error is one line. */
static void one_line(struct bursar_error *err)
{
	for (char *at = err->text; (at = strpbrk(at, "\r\n")) != NULL;) {
		*at = '?';
	}
}

static struct bursar_source *source_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct bursar_source *source = calloc(1, sizeof(*source));

	if (source == NULL || sodium_init() < 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		free(source);
		return NULL;
	}
	source->host = host;
	read_limits(source);
	fit_connections(source);
	if (http_server_init(&source->server, host, err) != 0 ||
	    read_options(source, err) != 0) {
		one_line(err);
		source_close(source);
		return NULL;
	}
	return source;
}

static enum bursar_verdict source_read(struct bursar_source *source,
                                       struct bursar_batch *batch, int wake,
                                       int64_t deadline,
                                       struct bursar_error *err)
{
	batch->ended = false;
	if (source->server.daemon == NULL && batch->room > 0) {
		const enum bursar_verdict verdict = begin(source, wake,
		                                          deadline, err);

		if (verdict != BURSAR_DONE) {
			return verdict;
		}
	}
	if (!read_some(source, batch, wake, deadline)) {
		bursar_fail(err, ESTALE, "the certificate was renewed");
		return BURSAR_DOWN;
	}
	return BURSAR_DONE;
}

static enum bursar_verdict source_settle(struct bursar_source *source,
                                         const struct bursar_settled *settled,
                                         size_t count, struct bursar_error *err)
{
	(void)err;
	http_settle(&source->server, settled, count);
	return BURSAR_DONE;
}

static void source_park(struct bursar_source *source, bool on)
{
	struct http_server *server = &source->server;

	pthread_mutex_lock(&server->lock);
	server->parked = on;
	pthread_mutex_unlock(&server->lock);
	if (on) {
		http_answer_due(server, INT64_MAX, HTTP_AWAY);
	}
}

static const struct bursar_option options[] = {
	{ "listen", BURSAR_TYPE_LISTEN, "127.0.0.1:8377",
	  "Where to listen: ADDRESS:PORT or [ADDRESS]:PORT, off this machine "
	  "only with a token-file; or systemd, or systemd:NAME, for a socket "
	  "that the service manager passes." },
	{ "token-file", BURSAR_TYPE_PATH, "",
	  "Who may send: a file made with `bursar token add`; without it, "
	  "everybody on this machine." },
	{ "cert-file", BURSAR_TYPE_PATH, "",
	  "The certificate for TLS, with its chain, in PEM." },
	{ "key-file", BURSAR_TYPE_PATH, "",
	  "The key of the certificate, in PEM; its owner's alone." },
	{ "answer-timeout", BURSAR_TYPE_DURATION, "30s",
	  "How long a client may wait until its records are stored; after that "
	  "it is told to send them again.",
	  .min = 100, .max = 3600000 },
	{ "max-body", BURSAR_TYPE_SIZE, "16M",
	  "The longest body of a request, unpacked.",
	  .min = 1024, .max = INT64_C(1) << 30 },
	{ "max-pending", BURSAR_TYPE_SIZE, "24M",
	  "How much of all requests may be in memory before it is taken by a "
	  "batch, and of all answers before they are read; above that clients "
	  "are told to come again.",
	  .min = 65536, .max = INT64_C(8) << 30 },
	{ "max-records", BURSAR_TYPE_NUMBER, "10000",
	  "The most records of a request.",
	  .min = 1, .max = 1 << 20 },
	{ "max-header", BURSAR_TYPE_SIZE, "16K",
	  "The longest header of a request; each connection has that much "
	  "memory.",
	  .min = 4096, .max = 1 << 20 },
	{ "connections", BURSAR_TYPE_NUMBER, "1024",
	  "How many connections there may be.",
	  .min = 1, .max = 100000 },
	{ "connections-per-address", BURSAR_TYPE_NUMBER, "256",
	  "How many of them one address may have, or one network of IPv6 "
	  "(/64).",
	  .min = 1, .max = 100000 },
	{ "header-timeout", BURSAR_TYPE_DURATION, "10s",
	  "How long a new connection may take to send its first header.",
	  .min = 100, .max = 600000 },
	{ "body-timeout", BURSAR_TYPE_DURATION, "1m",
	  "How long a client may take to send a body, or to read an answer.",
	  .min = 100, .max = 3600000 },
	{ "idle-timeout", BURSAR_TYPE_DURATION, "1m",
	  "How long a connection may stand between two requests.",
	  .min = 100, .max = 3600000 },
	{ NULL }
};

static const char manual[] =
"Takes records with POST on /v1/records and answers after every sink that "
"must have them has them: what was answered as stored is durable.\n"
"\n"
"A body is one message as a JSON object, or an array of them "
"(application/json), or JSON lines (application/x-ndjson, application/jsonl); "
"plain, or packed as Content-Encoding says (gzip, zstd).  Each may be wrapped "
"in an envelope with its kind, properties and headers.  All limits count "
"unpacked bytes.\n"
"\n"
"The answer is a JSON object with the counts stored, duplicate, rejected and "
"retry, and records: for each its index, its status and, where it was "
"rejected, a reason.  200: all are stored, or were before.  207: some are.  "
"400, 413, 415: the request makes no sense or is too large.  401, 403: the "
"token is not known, or may not send that kind.  422: all were rejected.  503 "
"with Retry-After: they cannot be stored now; what is marked retry is to be "
"sent again.  What was rejected is not kept as a dead letter: its sender was "
"told.  It is kept where the answer did not arrive.\n"
"\n"
"POST on /v1/usage takes one call as gateways of graphile-llm say it, with the "
"header X-Database-Id, and answers 202 when it is stored.  Its input_tokens "
"include what came from a cache; that is taken apart by raw_usage.  The ids in "
"X-Database-Id, X-Entity-Id and X-Actor-Id are kept in extra_json.\n"
"\n"
"A record without an id of its own has one from the token's name, the header "
"Idempotency-Key and its index in the request, so that a request can be sent "
"again without counting twice.  Without that header it is new each time.\n"
"\n"
"Without token-file everybody on this machine may send, but no page in a "
"browser; elsewhere the source does not listen without it.  The file is read "
"again within a second after it changed; where it cannot be read, the tokens "
"that were known stay.  A token may be confined to kinds of records and may "
"fix fields, whatever the records say.  So may a certificate be renewed: "
"connections are then closed once.\n"
"\n"
"A client that is slow, floods, or never ends takes nothing from others: "
"connections, memory and times are bounded.  Who sends more than is taken is "
"told so while sending, and its connection is closed; with TLS it is only "
"closed.  While a sink is away, requests "
"wait for give-back-after (10 seconds for this source); then they are "
"answered with 503, and so are new ones, at once, until the sink is back.";

static const struct bursar_source_ops http_ops = {
	.answers = true,
	.open = source_open,
	.read = source_read,
	.settle = source_settle,
	.park = source_park,
	.close = source_close,
};

static const struct bursar_plugin_figure figures[] = {
	{ "requests_total", "Requests that were answered." },
	{ "requests_refused_total", "Requests refused as a whole." },
	{ "requests_unauthorized_total",
	  "Requests without a token that is known." },
	{ "requests_timed_out_total",
	  "Requests answered before all of their records were stored." },
	{ "connections_cut_total",
	  "Connections cut because they took too long." },
	{ "answers_unsent_total", "Answers whose client had gone." },
	{ "rejections_not_kept_total",
	  "Records of such answers that were rejected and could not be kept." },
	{ "request_memory_bytes", "Memory of requests and their answers." },
	{ "known_tokens", "Tokens that are known." },
	{ "tokens_modified_timestamp_seconds",
	  "When the file of tokens was changed, in seconds since 1970." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(source_http,
	.kind = BURSAR_SOURCE,
	.name = "http",
	.summary = "records sent over HTTP, answered when they are stored",
	.options = options,
	.figures = figures,
	.manual = manual,
	.ops.source = &http_ops,
);
