/* SPDX-License-Identifier: Apache-2.0 */

/*
 * web.h - what the files of the service web share
 *
 * The library has no thread of its own here: run() waits for what the library
 * waits for, and lets it work.  So all of this runs in the service's thread,
 * one thing after the other, and nothing needs a lock.
 */
#ifndef WEB_H
#define WEB_H

#include <microhttpd.h>

#include <bursar/service.h>

#include "common/http_pair.h"
#include "common/http_place.h"
#include "common/monotonic.h"
#include "common/tokens.h"

/* --- texts ---------------------------------------------------------------- */

#define WEB_MAX_TEXT ((size_t)16 << 20)

/* Bytes that grow; all zero at first. */
struct web_text {
	char  *data;			/* NULL: none; else ends with a NUL */
	size_t size, room;
	bool   failed;			/* memory was short, or it is too long */
};

/* Bytes, and text by a format, behind what is there; notes in `failed` that
 * memory was short or the text too long. */
void web_text_put(struct web_text *text, const char *data, size_t size);
void web_text_add(struct web_text *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void web_text_free(struct web_text *text);

/* --- web_metrics.c: figures as Prometheus reads them ----------------------- */

#define WEB_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct web_metrics {
	struct web_text text;
	char     name[128];		/* of the family at hand */
	enum bursar_figure_type type;	/* ... and its type */
};

/*
 * Adds one figure in the text format 0.0.4; a bursar_figure_fn.  Left out is
 * what has a name, a label or a type that would make the whole unreadable.
 */
void web_metrics_add(void *metrics, const struct bursar_figure *figure);

/* --- web_health.c: what a state means -------------------------------------- */

/* Whether threads make progress, by the daemon's state as JSON (NULL: there is
 * none); *text gets a line for people.  Returns 200 or 503. */
unsigned web_is_live(const char *state, int64_t stalled_ms,
                     struct web_text *text);

/* Whether every route is open.  *text gets a JSON object: ready, and with
 * `all` the routes and sources with their states and why. */
unsigned web_is_ready(const char *state, bool all, struct web_text *text);

/* --- web_request.c: one request -------------------------------------------- */

struct web {
	const struct bursar_host  *host;
	const struct bursar_house *house;

	/* Options. */
	struct http_place place;
	struct http_pair  pair;
	const char       *token_file;	/* "": none */
	const char *const *names;	/* by which it may be called */
	size_t            name_count;
	int64_t           stalled_ms;
	int64_t           timeout_us;	/* of a connection, all in all */
	unsigned          connections, per_address;
	size_t            header;

	struct tokens    *tokens;	/* NULL: none are asked for */
	struct http_look  token_look;
	struct MHD_Daemon *daemon;	/* NULL: not listening */
	char              said[200];	/* the library's words while it starts */
	bool              starting;
	struct web_link  *links;
	bool              closed;	/* a connection was, by the last work */
	int64_t           look_at;	/* at files, next; monotonic */
};

struct web_request;

/* Begins a request, by its header; NULL: out of memory. */
struct web_request *web_request_begin(struct web *web, const char *url,
                                      const char *method,
                                      struct MHD_Connection *connection);

/* Takes a part of a body, which nobody reads.  False: it is too much. */
bool web_request_take(struct web_request *request, size_t size);

/* Answers. */
enum MHD_Result web_request_answer(struct web_request *request,
                                   struct MHD_Connection *connection);
void web_request_end(struct web_request *request);

/* Whether a Host header names this server and no other: localhost, an address,
 * or one of the names, with any port. */
bool web_is_host(const char *host, const char *const *names, size_t count);

/* --- web_server.c: connections and their times ----------------------------- */

/* Listens.  Returns 0, or -1 with *err filled. */
int web_server_start(struct web *web, struct bursar_error *err);
void web_server_stop(struct web *web);

/* Lets the library work on what is there, and cuts who takes too long. */
void web_server_work(struct web *web);

/* What to poll, and for how long at most. */
int web_server_descriptor(const struct web *web);
int web_server_patience_ms(const struct web *web);

#endif
