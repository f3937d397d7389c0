/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A thread for each service, and the house that all of them share: figures,
 * state, and the book, which is opened to read when the first of them asks.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/metrics.h"
#include "daemon/services.h"
#include "plugin/instance.h"

/* A service that ran for so long had no part in the failure before it. */
#define LONG_RUN_US BACKOFF_CAP_US

enum service_state { OPENING, RUNNING, HELD, BLOCKED };

const char *const service_state_names[SERVICE_STATES] = {
	[OPENING] = "opening", [RUNNING] = "running", [HELD] = "held",
	[BLOCKED] = "blocked",
};

struct service {
	struct services *all;
	const struct setup_item *item;
	struct instance *instance;
	pthread_t        thread;
	bool             started;

	/* The thread's own: */
	struct bursar_service *handle;
	struct backoff   backoff;
	struct metric   *restarts;

	pthread_mutex_t  lock;		/* guards what follows */
	enum service_state state;
	int64_t          since;
	char             why[600];	/* with a place in the configuration */
};

/* The book as services read it. */
struct reader {
	pthread_mutex_t   lock;
	struct instance  *instance;	/* NULL: no book is configured */
	struct bursar_sink *sink;	/* NULL: not open */
};

struct services {
	struct bursar_house house;	/* first: services rely on it */
	struct services_options o;
	const struct setup *setup;
	struct reader   book;
	int             stop;		/* eventfd: readable once all shall */
	struct service *items;
	size_t          count;
};

/* --- the house ----------------------------------------------------------- */

static struct services *services_of(const struct bursar_house *house)
{
	return (struct services *)house;
}

static void house_figures(const struct bursar_house *house,
                          bursar_figure_fn *each, void *context)
{
	struct services *services = services_of(house);

	metrics_each(each, context);
	if (services->o.figures != NULL) {
		services->o.figures(services->o.context, each, context);
	}
}

static char *house_state(const struct bursar_house *house)
{
	struct services *services = services_of(house);

	return services->o.state(services->o.context);
}

static enum bursar_verdict ask_book(struct reader *book, const char *statement,
                                    const struct bursar_cell *parameters,
                                    size_t parameter_count, bursar_row_fn *row,
                                    void *context, struct bursar_error *err)
{
	const struct bursar_sink_ops *ops = book->instance->plugin->ops.sink;
	enum bursar_verdict verdict = BURSAR_RETRY;

	if (book->sink == NULL) {
		book->sink = ops->open(&book->instance->host, BURSAR_READ,
		                       &verdict, err);
		if (book->sink == NULL) {
			return verdict;
		}
	}
	verdict = ops->sql(book->sink, statement, parameters, parameter_count,
	                   row, context, err);
	if (verdict == BURSAR_DOWN) {
		ops->close(book->sink);
		book->sink = NULL;
	}
	return verdict;
}

static enum bursar_verdict house_sql(const struct bursar_house *house,
                                     const char *statement,
                                     const struct bursar_cell *parameters,
                                     size_t parameter_count,
                                     bursar_row_fn *row, void *context,
                                     struct bursar_error *err)
{
	struct reader *book = &services_of(house)->book;

	if (book->instance == NULL) {
		bursar_fail(err, ENOENT, "no book is configured: `book` names "
		            "the sink that reports read");
		return BURSAR_CONFIG;
	}
	pthread_mutex_lock(&book->lock);
	const enum bursar_verdict verdict =
		ask_book(book, statement, parameters, parameter_count, row,
		         context, err);
	pthread_mutex_unlock(&book->lock);
	return verdict;
}

/* --- a service's thread -------------------------------------------------- */

static const struct bursar_service_ops *ops_of(const struct service *s)
{
	return s->instance->plugin->ops.service;
}

static void set_state(struct service *s, enum service_state state,
                      const char *why)
{
	pthread_mutex_lock(&s->lock);
	const bool changed = s->state != state || strcmp(s->why, why) != 0;
	if (s->state != state) {
		s->since = clock_mono_us();
	}
	s->state = state;
	snprintf(s->why, sizeof(s->why), "%s", why);
	pthread_mutex_unlock(&s->lock);

	if (changed) {
		log_event(state == BLOCKED ? BURSAR_ERROR :
		          state == HELD ? BURSAR_WARNING : BURSAR_INFO,
		          s->instance->host.name,
		          state == BLOCKED ? "service-blocked" :
		          state == HELD ? "service-held" : "service-running",
		          "why=%s", why);
	}
}

/* False: all shall stop. */
static bool wait_for(const struct service *s, int64_t us)
{
	struct pollfd fd = { .fd = s->all->stop, .events = POLLIN };

	return poll(&fd, 1, (int)((us + 999) / 1000)) <= 0;
}

static bool shall_stop(const struct service *s)
{
	return !wait_for(s, 0);
}

/* The line of the option that a sentence begins with, as in "listen: ...";
 * else that of the whole section. */
static unsigned line_of(const struct setup_item *item, const char *text)
{
	const struct bursar_option *option = item->plugin->options;
	unsigned line = item->line;

	for (; option->name != NULL; option++) {
		const size_t size = strlen(option->name);

		if (strncmp(text, option->name, size) == 0 &&
		    text[size] == ':') {
			options_given(item->options, option->name, &line);
			break;
		}
	}
	return line;
}

/* A person must act: look again now and then.  False: all shall stop. */
static bool block(struct service *s, const struct bursar_error *err)
{
	const char *file = s->all->setup->file;
	char why[sizeof(s->why)];

	if (file != NULL) {
		snprintf(why, sizeof(why), "%s:%u: %s", file,
		         line_of(s->item, err->text), err->text);
	} else {
		snprintf(why, sizeof(why), "%s", err->text);
	}
	set_state(s, BLOCKED, why);
	return wait_for(s, s->all->setup->look_ms * 1000);
}

static bool hold(struct service *s, const struct bursar_error *err)
{
	set_state(s, HELD, err->text);
	return wait_for(s, backoff_next(&s->backoff));
}

/* False: all shall stop. */
static bool need_service(struct service *s)
{
	while (s->handle == NULL) {
		struct bursar_error err = { 0 };

		s->handle = ops_of(s)->open(&s->instance->host,
		                            &s->all->house, &err);
		if (s->handle == NULL && !block(s, &err)) {
			return false;
		}
	}
	return true;
}

/* Runs it once and does what its verdict asks.  False: all shall stop. */
static bool run_once(struct service *s)
{
	struct bursar_error err = { 0 };
	const int64_t began = clock_mono_us();

	set_state(s, RUNNING, "");
	const enum bursar_verdict verdict =
		ops_of(s)->run(s->handle, s->all->stop, &err);
	if (shall_stop(s)) {
		return false;
	}
	metric_add(s->restarts, 1);
	if (clock_mono_us() - began > LONG_RUN_US) {
		backoff_reset(&s->backoff);
	}
	bursar_fail(&err, ECANCELED, "it ended by itself");
	if (verdict == BURSAR_DOWN) {
		ops_of(s)->close(s->handle);
		s->handle = NULL;
	}
	return verdict == BURSAR_CONFIG ? block(s, &err) : hold(s, &err);
}

/* Nobody waits for a service, so its thread lets all others go first. */
#define YIELDS 5

static void *run(void *arg)
{
	struct service *s = arg;

	setpriority(PRIO_PROCESS, (id_t)gettid(), YIELDS);
	while (need_service(s) && run_once(s)) {
	}
	ops_of(s)->close(s->handle);
	s->handle = NULL;
	return NULL;
}

/* --- from outside -------------------------------------------------------- */

static int make_service(struct services *services, struct service *s,
                        const struct setup_item *item,
                        struct bursar_error *err)
{
	s->all = services;
	s->item = item;
	s->since = clock_mono_us();
	pthread_mutex_init(&s->lock, NULL);
	services->count++;
	s->restarts = metrics_get("bursar_service_restarts_total",
	                          "Times that a service ended and was run "
	                          "again.", true, "service", item->name, NULL);
	s->instance = instance_create(item, services->setup->state_dir,
	                              INSTANCE_RUN, err);
	return s->instance != NULL ? 0 : -1;
}

static int make_all(struct services *services, struct bursar_error *err)
{
	const struct setup *setup = services->setup;

	services->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (services->stop < 0) {
		return bursar_fail(err, errno, "eventfd: %s", strerror(errno));
	}
	if (setup->book != NULL) {
		services->book.instance = instance_create(
			&setup->book->item, setup->state_dir, INSTANCE_READ,
			err);
		if (services->book.instance == NULL) {
			return -1;
		}
	}
	services->items = calloc(setup->service_count + 1,
	                         sizeof(*services->items));
	if (services->items == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < setup->service_count; i++) {
		if (make_service(services, &services->items[i],
		                 &setup->services[i], err) != 0) {
			return -1;
		}
	}
	return 0;
}

struct services *services_create(const struct setup *setup,
                                 const struct services_options *options,
                                 struct bursar_error *err)
{
	struct services *services = calloc(1, sizeof(*services));

	assert(options->state != NULL);

	if (services == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	*services = (struct services){
		.house = {
			.figures = house_figures, .state = house_state,
			.sql = house_sql,
		},
		.o = *options, .setup = setup,
	};
	pthread_mutex_init(&services->book.lock, NULL);
	if (make_all(services, err) != 0) {
		services_destroy(services);
		return NULL;
	}
	return services;
}

int services_start(struct services *services, struct bursar_error *err)
{
	for (size_t i = 0; i < services->count; i++) {
		struct service *s = &services->items[i];

		assert(!s->started);
		const int error = pthread_create(&s->thread, NULL, run, s);
		if (error != 0) {
			return bursar_fail(err, error, "cannot start a thread:"
			                   " %s", strerror(error));
		}
		s->started = true;
	}
	return 0;
}

void services_stop(struct services *services)
{
	if (services == NULL) {
		return;
	}
	eventfd_write(services->stop, 1);
	for (size_t i = 0; i < services->count; i++) {
		if (services->items[i].started) {
			pthread_join(services->items[i].thread, NULL);
			services->items[i].started = false;
		}
	}
}

void services_destroy(struct services *services)
{
	if (services == NULL) {
		return;
	}
	services_stop(services);
	for (size_t i = 0; i < services->count; i++) {
		pthread_mutex_destroy(&services->items[i].lock);
		instance_destroy(services->items[i].instance);
	}
	if (services->book.sink != NULL) {
		services->book.instance->plugin->ops.sink->close(
			services->book.sink);
	}
	instance_destroy(services->book.instance);
	pthread_mutex_destroy(&services->book.lock);
	if (services->stop >= 0) {
		close(services->stop);
	}
	free(services->items);
	free(services);
}

static json_t *state_of(struct service *s)
{
	pthread_mutex_lock(&s->lock);
	json_t *state = json_pack("{ss ss ss ss sI}",
	                          "name", s->instance->host.name,
	                          "plugin", s->instance->plugin->name,
	                          "state", service_state_names[s->state],
	                          "why", s->why, "since_ms",
	                          (json_int_t)((clock_mono_us() - s->since) /
	                                       1000));
	pthread_mutex_unlock(&s->lock);
	return state;
}

bool services_get(struct services *services, size_t i, const char **name,
                  const char **state)
{
	if (services == NULL || i >= services->count) {
		return false;
	}
	struct service *s = &services->items[i];
	pthread_mutex_lock(&s->lock);
	*name = s->instance->host.name;
	*state = service_state_names[s->state];
	pthread_mutex_unlock(&s->lock);
	return true;
}

json_t *services_state(struct services *services)
{
	json_t *list = json_array();

	for (size_t i = 0; services != NULL && i < services->count; i++) {
		json_array_append_new(list, state_of(&services->items[i]));
	}
	return list;
}
