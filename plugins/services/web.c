/* SPDX-License-Identifier: Apache-2.0 */

/*
 * web - shows those who look after the daemon how it is
 *
 *	curl http://127.0.0.1:8378/metrics
 *
 * open() reads options and files; run() listens.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/http_tls.h"
#include "web.h"

#define LOOK_US INT64_C(1000000)	/* between two looks at files */

struct bursar_service {
	struct web web;
};

/* --- options ---------------------------------------------------------------- */

static int load_tokens(struct web *web, struct bursar_error *err)
{
	http_look_at(web->token_file, &web->token_look);
	struct tokens *tokens = tokens_load(web->token_file,
	                                    web->host->schema, err);
	if (tokens == NULL) {
		return -1;
	}
	tokens_destroy(web->tokens);
	web->tokens = tokens;
	web->host->gauge(web->host, "known_tokens",
	                 (int64_t)tokens_count(tokens));
	web->host->gauge(web->host, "tokens_modified_timestamp_seconds",
	                 web->token_look.modified_ns / 1000000000);
	return 0;
}

static int check_place(const struct web *web, struct bursar_error *err)
{
	const struct bursar_host *host = web->host;

	if (web->place.loopback) {
		return 0;
	}
	if (web->token_file[0] == '\0' && !host->number(host, "allow-all")) {
		return bursar_fail(err, EPERM, "listen: %s can be reached from "
		                   "other machines: give a token-file (made "
		                   "with `bursar token add`), say allow-all, or "
		                   "listen on 127.0.0.1", web->place.text);
	}
	if (web->token_file[0] != '\0' && !http_pair_is_given(&web->pair)) {
		host->log(host, BURSAR_WARNING, "tokens-in-clear",
		          "listen=%s note=\"without TLS the network reads "
		          "tokens: give cert-file and key-file\"",
		          web->place.text);
	}
	return 0;
}

static int read_options(struct web *web, struct bursar_error *err)
{
	const struct bursar_host *host = web->host;
	struct bursar_error why = { 0 };

	web->token_file = host->text(host, "token-file");
	web->pair.cert_file = host->text(host, "cert-file");
	web->pair.key_file = host->text(host, "key-file");
	web->name_count = host->list(host, "hosts", &web->names);
	web->stalled_ms = host->number(host, "stalled-after");
	web->timeout_us = host->number(host, "timeout") * 1000;
	web->connections = (unsigned)host->number(host, "connections");
	web->per_address = (unsigned)host->number(host,
	                                          "connections-per-address");
	web->header = (size_t)host->number(host, "max-header");
	if (http_place_parse(&web->place, host->text(host, "listen"),
	                     err) != 0) {
		return -1;
	}
	if (http_pair_check(&web->pair, &why) != 0) {
		return bursar_fail(err, why.code, "cert-file: %s", why.text);
	}
	if (http_pair_is_given(&web->pair) &&
	    MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
		return bursar_fail(err, ENOTSUP, "cert-file: libmicrohttpd was "
		                   "built without TLS");
	}
	if (check_place(web, err) != 0) {
		return -1;
	}
	if (web->token_file[0] != '\0' && load_tokens(web, &why) != 0) {
		return bursar_fail(err, why.code, "token-file: %s", why.text);
	}
	return 0;
}

/* --- files that change ------------------------------------------------------ */

/* Those that were good go on where the new ones are not. */
static void look_at_tokens(struct web *web)
{
	const struct bursar_host *host = web->host;
	struct bursar_error err = { 0 };
	struct http_look look = { 0 };

	if (web->tokens == NULL) {
		return;
	}
	http_look_at(web->token_file, &look);
	if (http_look_same(&look, &web->token_look)) {
		return;
	}
	if (load_tokens(web, &err) != 0) {
		host->log(host, BURSAR_ERROR, "tokens-not-reloaded",
		          "why=\"%s\"", err.text);
		return;
	}
	host->log(host, BURSAR_INFO, "tokens-reloaded", "tokens=%zu",
	          tokens_count(web->tokens));
}

/* One that it cannot listen with is none. */
static bool has_new_certificate(struct web *web)
{
	const struct bursar_host *host = web->host;
	struct bursar_error err = { 0 };

	if (!http_pair_has_changed(&web->pair, host->now(host))) {
		return false;
	}
	if (http_tls_try(&web->pair, &err) != 0) {
		host->log(host, BURSAR_ERROR, "certificate-not-renewed",
		          "why=\"%s\"", err.text);
		return false;
	}
	return true;
}

/* False: it cannot listen any more. */
static bool look_at_files(struct web *web, struct bursar_error *err)
{
	if (monotonic_us() < web->look_at) {
		return true;
	}
	web->look_at = monotonic_us() + LOOK_US;
	look_at_tokens(web);
	if (!has_new_certificate(web)) {
		return true;
	}
	web_server_stop(web);
	return web_server_start(web, err) == 0;
}

/* --- operations ------------------------------------------------------------- */

static void web_close(struct bursar_service *service)
{
	if (service == NULL) {
		return;
	}
	tokens_destroy(service->web.tokens);
	free(service);
}

static struct bursar_service *web_open(const struct bursar_host *host,
                                       const struct bursar_house *house,
                                       struct bursar_error *err)
{
	struct bursar_service *service = calloc(1, sizeof(*service));

	if (service == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	service->web.host = host;
	service->web.house = house;
	if (read_options(&service->web, err) != 0) {
		/* A path may hold anything, an error is one line. */
		for (char *at = err->text;
		     (at = strpbrk(at, "\r\n")) != NULL;) {
			*at = '?';
		}
		web_close(service);
		return NULL;
	}
	return service;
}

/* False: with *err filled, it cannot go on. */
static bool serve(struct web *web, int stop, struct bursar_error *err)
{
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = stop, .events = POLLIN },
			{ .fd = web_server_descriptor(web), .events = POLLIN },
		};

		poll(fds, 2, web_server_patience_ms(web));
		if (fds[0].revents != 0) {
			return true;
		}
		web_server_work(web);
		if (!look_at_files(web, err)) {
			return false;
		}
	}
}

static enum bursar_verdict web_run(struct bursar_service *service, int stop,
                                   struct bursar_error *err)
{
	struct web *web = &service->web;
	const struct bursar_host *host = web->host;

	if (web_server_start(web, err) != 0) {
		return BURSAR_CONFIG;
	}
	host->log(host, BURSAR_INFO, "listening", "address=%s tls=%s tokens=%zu",
	          web->place.text, http_pair_is_given(&web->pair) ? "yes" : "no",
	          web->tokens != NULL ? tokens_count(web->tokens) : 0);
	const bool done = serve(web, stop, err);
	web_server_stop(web);
	return done ? BURSAR_DONE : BURSAR_CONFIG;
}

static const struct bursar_option options[] = {
	{ "listen", BURSAR_TYPE_LISTEN, "127.0.0.1:8378",
	  "Where to listen: ADDRESS:PORT or [ADDRESS]:PORT, off this machine "
	  "only with a token-file, or with allow-all; or systemd, or "
	  "systemd:NAME, for a socket that the service manager passes." },
	{ "hosts", BURSAR_TYPE_LIST, "",
	  "Names by which it may be asked for, beside localhost and any "
	  "address." },
	{ "token-file", BURSAR_TYPE_PATH, "",
	  "Who may read figures: a file made with `bursar token add`; without "
	  "it, everybody who reaches it." },
	{ "allow-all", BURSAR_TYPE_FLAG, "false",
	  "Let everybody who reaches it read figures, from other machines "
	  "too." },
	{ "cert-file", BURSAR_TYPE_PATH, "",
	  "The certificate for TLS, with its chain, in PEM." },
	{ "key-file", BURSAR_TYPE_PATH, "",
	  "The key of the certificate, in PEM; its owner's alone." },
	{ "stalled-after", BURSAR_TYPE_DURATION, "5m",
	  "How long a thread may be at one thing until /livez says that it "
	  "hangs; more than the longest timeout of a sink.",
	  .min = 1000, .max = 86400000 },
	{ "timeout", BURSAR_TYPE_DURATION, "10s",
	  "How long a connection may take, from its beginning to the end of the "
	  "answer.",
	  .min = 100, .max = 600000 },
	{ "connections", BURSAR_TYPE_NUMBER, "64",
	  "How many connections there may be.",
	  .min = 1, .max = 10000 },
	{ "connections-per-address", BURSAR_TYPE_NUMBER, "32",
	  "How many of them one address may have, or one network of IPv6 "
	  "(/64).",
	  .min = 1, .max = 10000 },
	{ "max-header", BURSAR_TYPE_SIZE, "16K",
	  "The longest header of a request; each connection has that much "
	  "memory.",
	  .min = 4096, .max = 1 << 20 },
	{ NULL }
};

static const char manual[] =
"GET on /metrics tells all figures in the text format of Prometheus; which "
"there are and what they mean stands in docs/operating.md.  GET on /livez is "
"answered with 200 while every thread makes progress, else with 503: then a "
"restart helps.  GET on /readyz is answered with 200 while every required sink "
"takes records, else with 503; its JSON object says of each route, sink and "
"source whether it is open, held or blocked, and why.\n"
"\n"
"A sink that is away does not make the daemon less alive: it waits, and "
"nothing is lost.  So let what restarts it ask /livez, and what watches it ask "
"/readyz.\n"
"\n"
"Requests have to name this server: by localhost, by an address, or by one of "
"`hosts`; others get 421, so that no page in a browser can read figures by a "
"name of its own that leads here.\n"
"\n"
"With token-file, /metrics wants `Authorization: Bearer TOKEN`; /livez and "
"/readyz then tell others no more than the status.  Give readers a file of "
"their own: whoever is in it may read, whatever kinds it may send elsewhere.  "
"The file is read again within a second after it changed; where it cannot be "
"read, the tokens that were known stay.  A renewed certificate is taken within "
"seconds.\n"
"\n"
"Each answer ends its connection.  A client that is slow or floods takes "
"nothing from the daemon's work: connections, memory and times are bounded, "
"and the service has a thread of its own that yields to all others.";

static const struct bursar_service_ops web_ops = {
	.open  = web_open,
	.run   = web_run,
	.close = web_close,
};

static const struct bursar_plugin_figure figures[] = {
	{ "requests_total", "Requests that were answered." },
	{ "requests_refused_total", "Requests refused as a whole." },
	{ "connections_cut_total",
	  "Connections cut because they took too long." },
	{ "known_tokens", "Tokens that are known." },
	{ "tokens_modified_timestamp_seconds",
	  "When the file of tokens was changed, in seconds since 1970." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(service_web,
	.kind = BURSAR_SERVICE,
	.name = "web",
	.summary = "figures for Prometheus, and whether the daemon is well",
	.options = options,
	.figures = figures,
	.manual = manual,
	.ops.service = &web_ops,
);
