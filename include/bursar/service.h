/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar/service.h - the contract between the daemon and a service
 *
 *	open --> run (until stop is readable) --> close
 *
 * A service shows what the daemon knows: counters, state, and what the book
 * holds.  It takes no part in the way of a message, and nothing waits for it.
 */
#ifndef BURSAR_SERVICE_H
#define BURSAR_SERVICE_H

#include <bursar/sink.h>

/* Declared here, completed by each plugin in its own source file. */
struct bursar_service;

/* One figure of the daemon; lent for the call. */
struct bursar_figure {
	const char *name;	/* "bursar_messages_total", Prometheus' way */
	const char *help;
	bool        counter;	/* only grows; otherwise a gauge */
	const char *labels[3][2];	/* name and value; ends with NULL */
	int64_t     value;
};

typedef void bursar_figure_fn(void *context, const struct bursar_figure *figure);

/* What the daemon offers to services; any thread. */
struct bursar_house {
	/* Walks all figures, those of one name together. */
	void (*figures)(const struct bursar_house *house, bursar_figure_fn *each,
	                void *context);

	/* The daemon's state as JSON, as `bursar status --format json` prints
	 * it; the caller frees it.  NULL when memory is short. */
	char *(*state)(const struct bursar_house *house);

	/* sql() of the book, opened to read: see bursar/sink.h.  Calls are
	 * serialised.  CONFIG when no book is configured. */
	enum bursar_verdict (*sql)(const struct bursar_house *house,
	                           const char *statement,
	                           const struct bursar_cell *parameters,
	                           size_t parameter_count, bursar_row_fn *row,
	                           void *context, struct bursar_error *err);
};

struct bursar_service_ops {
	/* Returns a service, to be given to close(), or NULL with *err. */
	struct bursar_service *(*open)(const struct bursar_host *host,
	                               const struct bursar_house *house,
	                               struct bursar_error *err);

	/* Serves until descriptor `stop` is readable.  Returns DONE then, or
	 * RETRY, DOWN or CONFIG with *err filled; it is run again later. */
	enum bursar_verdict (*run)(struct bursar_service *service, int stop,
	                           struct bursar_error *err);

	/* Releases the service.  Cannot fail.  May be NULL. */
	void (*close)(struct bursar_service *service);
};

#endif
