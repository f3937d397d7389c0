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

#include "metrics.h"

#define MAX_LABELS 3
#define MAX_FIGURES 10000

struct entry {
	struct metric metric;	/* first: what callers hold */
	struct bursar_figure figure;
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

static struct entry *entry_create(const struct bursar_figure *figure)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL) {
		abort();
	}
	entry->figure = (struct bursar_figure){
		.name = copy(figure->name),
		.help = copy(figure->help),
		.counter = figure->counter,
	};
	for (size_t i = 0; i < MAX_LABELS && figure->labels[i][0]; i++) {
		entry->figure.labels[i][0] = copy(figure->labels[i][0]);
		entry->figure.labels[i][1] = copy(figure->labels[i][1]);
	}
	return entry;
}

/* Finds the figure, or puts it into its place. */
static struct entry *get(const struct bursar_figure *figure)
{
	_Atomic(struct entry *) *link = &first;
	struct entry *entry;
	int order = -1;

	while ((entry = atomic_load(link)) != NULL &&
	       (order = compare(&entry->figure, figure)) < 0) {
		link = &entry->next;
	}
	if (entry != NULL && order == 0) {
		return entry;
	}
	assert(count < MAX_FIGURES);
	count++;
	struct entry *new = entry_create(figure);
	atomic_store(&new->next, entry);
	atomic_store(link, new);
	return new;
}

struct metric *metrics_get(const char *name, const char *help, int counter, ...)
{
	struct bursar_figure figure = {
		.name = name, .help = help, .counter = counter != 0,
	};
	const char *label;
	va_list ap;

	va_start(ap, counter);
	for (size_t i = 0; (label = va_arg(ap, const char *)) != NULL; i++) {
		assert(i < MAX_LABELS);
		figure.labels[i][0] = label;
		figure.labels[i][1] = va_arg(ap, const char *);
		assert(figure.labels[i][1] != NULL);
	}
	va_end(ap);

	pthread_mutex_lock(&lock);
	struct entry *entry = get(&figure);
	pthread_mutex_unlock(&lock);
	return &entry->metric;
}

void metrics_each(bursar_figure_fn *each, void *context)
{
	for (struct entry *entry = atomic_load(&first); entry != NULL;
	     entry = atomic_load(&entry->next)) {
		struct bursar_figure figure = entry->figure;

		figure.value = metric_get(&entry->metric);
		each(context, &figure);
	}
}
