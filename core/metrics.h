/* SPDX-License-Identifier: Apache-2.0 */

/*
 * metrics.h - the daemon's figures
 *
 * Figures are registered once and live until the process ends; the same name
 * and labels give the same figure, so that a reload goes on counting.  Names,
 * units and labels follow the Prometheus conventions.  Any thread.
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdatomic.h>

#include <bursar/service.h>

struct metric {
	_Atomic int64_t value;
};

/*
 * The figure of that name and labels (up to three pairs, ended by NULL):
 * metrics_get("bursar_messages_total", "Messages.", true, "source", "backlog",
 * "outcome", "stored", NULL).  counter: a truth value, int for the sake of
 * va_start().  Never NULL: when memory is short the process ends, as it only
 * happens at start and reload.
 */
struct metric *metrics_get(const char *name, const char *help, int counter, ...)
	__attribute__((sentinel));

static inline void metric_add(struct metric *metric, int64_t more)
{
	atomic_fetch_add_explicit(&metric->value, more, memory_order_relaxed);
}

static inline void metric_set(struct metric *metric, int64_t value)
{
	atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

static inline int64_t metric_get(const struct metric *metric)
{
	return atomic_load_explicit(&((struct metric *)metric)->value,
	                            memory_order_relaxed);
}

/* Walks all figures, those of one name together, in order of name. */
void metrics_each(bursar_figure_fn *each, void *context);

#endif
