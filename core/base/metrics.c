/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A list in order of name that only grows: it is added to under a lock and
 * walked without one.
 */
#include "config.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"

#define MAX_LABELS 3
#define MAX_FIGURES 10000

struct entry {
	struct metric metric;	/* first: what callers hold */
	struct histogram *histogram;	/* NULL: it is none */
	struct bursar_figure figure;
	_Atomic bool hidden;
	_Atomic(struct entry *) next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct entry *) first;
static size_t count;

static char *copy(const char *text)
{
	char *same = strdup(text);

	if (same == NULL) {
		abort();
	}
	return same;
}

static int compare(const struct bursar_figure *a, const struct bursar_figure *b)
{
	int order = strcmp(a->name, b->name);

	for (size_t i = 0; i < MAX_LABELS && order == 0; i++) {
		for (size_t part = 0; part < 2 && order == 0; part++) {
			const char *x = a->labels[i][part];
			const char *y = b->labels[i][part];

			order = strcmp(x != NULL ? x : "", y != NULL ? y : "");
		}
	}
	return order;
}

static struct entry *entry_create(const struct bursar_figure *figure,
                                  const struct histogram_shape *shape)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL) {
		abort();
	}
	entry->figure = *figure;
	entry->figure.name = copy(figure->name);
	entry->figure.help = copy(figure->help);
	for (size_t i = 0; i < MAX_LABELS && figure->labels[i][0]; i++) {
		entry->figure.labels[i][0] = copy(figure->labels[i][0]);
		entry->figure.labels[i][1] = copy(figure->labels[i][1]);
	}
	if (shape != NULL) {
		entry->histogram = calloc(1, sizeof(*entry->histogram));
		if (entry->histogram == NULL) {
			abort();
		}
		entry->histogram->shape = shape;
	}
	return entry;
}

/* Finds the figure, or puts it into its place. */
static struct entry *get(const struct bursar_figure *figure,
                         const struct histogram_shape *shape)
{
	_Atomic(struct entry *) *link = &first;
	struct entry *entry;
	int order = -1;

	while ((entry = atomic_load(link)) != NULL &&
	       (order = compare(&entry->figure, figure)) < 0) {
		link = &entry->next;
	}
	if (entry != NULL && order == 0) {
		assert((entry->histogram != NULL) == (shape != NULL));
		atomic_store(&entry->hidden, false);
		return entry;
	}
	assert(count < MAX_FIGURES);
	count++;
	struct entry *new = entry_create(figure, shape);
	atomic_store(&new->next, entry);
	atomic_store(link, new);
	return new;
}

static struct entry *get_labelled(struct bursar_figure *figure,
                                  const struct histogram_shape *shape,
                                  va_list ap)
{
	const char *label;

	for (size_t i = 0; (label = va_arg(ap, const char *)) != NULL; i++) {
		assert(i < MAX_LABELS);
		figure->labels[i][0] = label;
		figure->labels[i][1] = va_arg(ap, const char *);
		assert(figure->labels[i][1] != NULL);
	}
	pthread_mutex_lock(&lock);
	struct entry *entry = get(figure, shape);
	pthread_mutex_unlock(&lock);
	return entry;
}

struct metric *metrics_get(const char *name, const char *help, int type, ...)
{
	struct bursar_figure figure = {
		.name = name, .help = help,
		.type = type != 0 ? BURSAR_COUNTER : BURSAR_GAUGE,
		.decimals = type == METRIC_MICROSECONDS ? 6 : 0,
	};
	va_list ap;

	va_start(ap, type);
	struct entry *entry = get_labelled(&figure, NULL, ap);
	va_end(ap);
	return &entry->metric;
}

struct histogram *metrics_histogram(const struct histogram_shape *shape, ...)
{
	struct bursar_figure figure = {
		.name = shape->name, .help = shape->help,
		.type = BURSAR_HISTOGRAM, .decimals = shape->decimals,
		.bounds = shape->bounds, .bound_count = shape->bound_count,
	};
	va_list ap;

	assert(shape->bound_count <= METRIC_MAX_BOUNDS);

	va_start(ap, shape);
	struct entry *entry = get_labelled(&figure, shape, ap);
	va_end(ap);
	return entry->histogram;
}

void metrics_retries(struct metric *retries[BURSAR_CONFIG + 1],
                     const char *name, const char *help, const char *label,
                     const char *instance)
{
	retries[BURSAR_RETRY] = metrics_get(name, help, true, label, instance,
	                                    "class", "retry", NULL);
	retries[BURSAR_DOWN] = metrics_get(name, help, true, label, instance,
	                                   "class", "down", NULL);
	retries[BURSAR_CONFIG] = metrics_get(name, help, true, label, instance,
	                                     "class", "config", NULL);
	/* No reason to wait; who says so all the same is tried again. */
	retries[BURSAR_DONE] = retries[BURSAR_REJECT] = retries[BURSAR_RETRY];
}

void metric_hide(struct metric *metric)
{
	atomic_store(&((struct entry *)(void *)metric)->hidden, true);
}

void histogram_add(struct histogram *histogram, int64_t value, uint64_t times)
{
	const struct histogram_shape *shape = histogram->shape;
	size_t bucket = 0;

	if (value < 0) {
		value = 0;
	}
	while (bucket < shape->bound_count && value > shape->bounds[bucket]) {
		bucket++;
	}
	atomic_fetch_add_explicit(&histogram->counts[bucket], times,
	                          memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->sum, (uint64_t)value * times,
	                          memory_order_relaxed);
}

static void walk_histogram(struct histogram *histogram,
                           struct bursar_figure *figure,
                           bursar_figure_fn *each, void *context)
{
	uint64_t counts[METRIC_MAX_BOUNDS + 1];

	for (size_t i = 0; i <= figure->bound_count; i++) {
		counts[i] = atomic_load_explicit(&histogram->counts[i],
		                                 memory_order_relaxed);
	}
	figure->counts = counts;
	/* It begins anew at 0 before it could be negative. */
	figure->value = (int64_t)(atomic_load_explicit(&histogram->sum,
		memory_order_relaxed) & INT64_MAX);
	each(context, figure);
}

void metrics_each(bursar_figure_fn *each, void *context)
{
	for (struct entry *entry = atomic_load(&first); entry != NULL;
	     entry = atomic_load(&entry->next)) {
		struct bursar_figure figure = entry->figure;

		if (atomic_load(&entry->hidden)) {
			continue;
		}
		if (entry->histogram != NULL) {
			walk_histogram(entry->histogram, &figure, each,
			               context);
			continue;
		}
		figure.value = metric_get(&entry->metric);
		each(context, &figure);
	}
}
