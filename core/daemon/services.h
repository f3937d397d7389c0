/* SPDX-License-Identifier: Apache-2.0 */

/*
 * services.h - the services of a configuration, each in a thread of its own
 *
 *	create --> start --> (run) --> stop --> destroy
 *
 * A service takes no part in the way of a message, so nothing that goes wrong
 * with one stops the daemon: one that cannot be opened is looked at again, one
 * that says DOWN is opened again, one that says RETRY is run again after a
 * back-off, one that says CONFIG after the time between two looks.
 *
 * Main thread only, but for services_state().
 */
#ifndef CORE_DAEMON_SERVICES_H
#define CORE_DAEMON_SERVICES_H

#include <jansson.h>

#include <bursar/service.h>

#include "conf/setup.h"

struct services;

struct services_options {
	/* The daemon's state as JSON, for bursar_house.state(); called from
	 * the threads of services; NULL when memory is short. */
	char *(*state)(void *context);
	/* Figures beside those of metrics.h, for bursar_house.figures(); as
	 * state().  NULL: there are none. */
	void (*figures)(void *context, bursar_figure_fn *each,
	                void *each_context);
	void  *context;
};

/* Names of all states, for people: "opening" ... */
#define SERVICE_STATES 4
extern const char *const service_state_names[SERVICE_STATES];

/*
 * Makes the hosts of all services; opens nothing.  *setup is lent.  Returns
 * NULL with *err filled.
 */
struct services *services_create(const struct setup *setup,
                                 const struct services_options *options,
                                 struct bursar_error *err);

/* Starts a thread for each, which opens and runs it.  Returns 0, or -1 with
 * *err filled; those that started run on then until services_stop(). */
int services_start(struct services *services, struct bursar_error *err);

/* Tells all to stop and waits until they have.  NULL is allowed, and so are
 * services that were never started. */
void services_stop(struct services *services);

/* Stops them, closes what they used, and frees them; NULL is allowed. */
void services_destroy(struct services *services);

/* The name and the state, one of service_state_names, of service i; false:
 * there is none of that number.  NULL has none.  Any thread. */
bool services_get(struct services *services, size_t i, const char **name,
                  const char **state);

/* A list of {"name", "plugin", "state", "why", "since_ms"}, the caller's;
 * NULL: out of memory.  Any thread. */
json_t *services_state(struct services *services);

#endif
