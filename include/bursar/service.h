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

enum bursar_figure_type {
	BURSAR_GAUGE,			/* goes up and down */
	BURSAR_COUNTER,			/* only grows, while the daemon runs */
	BURSAR_HISTOGRAM,		/* sorted into buckets; only grows */
};

/* One figure of the daemon; lent for the call. */
struct bursar_figure {
	const char *name;	/* "bursar_messages_total", Prometheus' way */
	const char *help;
	enum bursar_figure_type type;
	unsigned    decimals;	/* value and bounds stand for themselves
				 * divided by 10 to this power, so that a
				 * figure in seconds can hold microseconds */
	const char *labels[3][2];	/* name and value; ends with NULL */
	int64_t     value;		/* HISTOGRAM: the sum of all values */

	/* HISTOGRAM only: counts[i] values were at most bounds[i] and more
	 * than the bound before it, counts[bound_count] more than all. */
	const int64_t  *bounds;		/* growing */
	const uint64_t *counts;
	size_t          bound_count;
};

typedef void bursar_figure_fn(void *context, const struct bursar_figure *figure);

/* What the daemon offers to services; any thread. */
struct bursar_house {
	/* Walks all figures, those of one name together and all of one
	 * type.  Never waits for a source, a sink or a peer. */
	void (*figures)(const struct bursar_house *house, bursar_figure_fn *each,
	                void *context);

	/*
	 * The daemon's state as JSON, as `bursar status --format json` prints
	 * it; the caller frees it.  NULL when memory is short.  Of its members
	 * these stay as they are:
	 *
	 *	ready	whether every required sink takes records
	 *	routes, sources, sinks, services
	 *		lists; each item has its name, its state and why
	 *	threads	for each its name and busy_ms: for how long it has been
	 *		at one thing, without coming back to wait or to look
	 *		round
	 */
	char *(*state)(const struct bursar_house *house);

	/* sql() of the book, opened to read: see bursar/sink.h.  Calls are
	 * serialised, so row() makes none.  The book is opened by the first
	 * call that can, and again after DOWN.  CONFIG when no book is
	 * configured, or there is no ledger yet. */
	enum bursar_verdict (*sql)(const struct bursar_house *house,
	                           const char *statement,
	                           const struct bursar_cell *parameters,
	                           size_t parameter_count, bursar_row_fn *row,
	                           void *context, struct bursar_error *err);
};

struct bursar_service_ops {
	/*
	 * Prepares a service; `house` outlives it.  Makes no thread and answers
	 * nobody before run().
	 *
	 * Returns a service, to be given to close(), or NULL with *err filled;
	 * it is opened again later.
	 */
	struct bursar_service *(*open)(const struct bursar_host *host,
	                               const struct bursar_house *house,
	                               struct bursar_error *err);

	/*
	 * Serves until descriptor `stop` is readable (poll it; do not read
	 * from it), then ends within a second, whatever its clients do.
	 *
	 * Returns DONE then; or, with *err filled, RETRY or CONFIG: it is run
	 * again later; DOWN: it is closed, opened and run again.
	 */
	enum bursar_verdict (*run)(struct bursar_service *service, int stop,
	                           struct bursar_error *err);

	/* Releases the service.  Cannot fail.  May be NULL. */
	void (*close)(struct bursar_service *service);
};

#endif
