/* SPDX-License-Identifier: Apache-2.0 */

/*
 * metrics.h - the daemon's figures
 *
 * Figures are registered once and live until the process ends; the same name
 * and labels give the same figure, so that a reload goes on counting.  Names,
 * units and labels follow the Prometheus conventions.  Any thread.
 *
 * What can be told from a state at any time is not kept here but told when it
 * is asked for: see figures.h.
 */
#ifndef CORE_BASE_METRICS_H
#define CORE_BASE_METRICS_H

#include <stdatomic.h>

#include <bursar/service.h>

#define METRIC_MAX_BOUNDS 16	/* of a histogram */

struct metric {
	_Atomic int64_t value;
};

/* What histograms of one name have in common; lives for ever. */
struct histogram_shape {
	const char *name;
	const char *help;
	unsigned    decimals;	/* see bursar/service.h */
	size_t      bound_count;	/* at most METRIC_MAX_BOUNDS */
	int64_t     bounds[METRIC_MAX_BOUNDS];	/* growing */
};

struct histogram {
	const struct histogram_shape *shape;
	_Atomic uint64_t sum;
	_Atomic uint64_t counts[METRIC_MAX_BOUNDS + 1];
};

/* For `type` below, in place of true: microseconds, shown as seconds. */
#define METRIC_MICROSECONDS 2

/*
 * The figure of that name and labels (up to three pairs, ended by NULL):
 * metrics_get("bursar_messages_total", "Messages.", true, "source", "backlog",
 * "outcome", "stored", NULL).  type: true for a counter, false for a gauge,
 * METRIC_MICROSECONDS for a counter of those; int for the sake of va_start().
 * Never NULL: when memory is short the process ends, as it only happens at
 * start and reload.
 */
struct metric *metrics_get(const char *name, const char *help, int type, ...)
	__attribute__((sentinel));

/* The same for a histogram. */
struct histogram *metrics_histogram(const struct histogram_shape *shape, ...)
	__attribute__((sentinel));

/*
 * Counters of waits, by the verdict that made somebody wait: label `class` is
 * retry, down or config.  label and instance say who waits.
 */
void metrics_retries(struct metric *retries[BURSAR_CONFIG + 1],
                     const char *name, const char *help, const char *label,
                     const char *instance);

/* A figure that says nothing any more is not walked, until metrics_get() is
 * asked for it again. */
void metric_hide(struct metric *metric);

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

/* Adds that value so many times; what is below 0 counts as 0. */
void histogram_add(struct histogram *histogram, int64_t value, uint64_t times);

/* Walks all figures, those of one name together, in order of name. */
void metrics_each(bursar_figure_fn *each, void *context);

#endif
