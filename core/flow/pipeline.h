/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pipeline.h - everything that the configuration asks for, opened and running
 *
 *	create --> start --> (runs) --> stop --> release
 *
 * Main thread only, but for pipeline_state(), pipeline_letter_bytes() and the
 * three pipeline_get_...(): those any thread may call between start and stop.
 */
#ifndef CORE_FLOW_PIPELINE_H
#define CORE_FLOW_PIPELINE_H

#include <jansson.h>

#include "flow/intake.h"
#include "flow/unit.h"

struct pipeline;

struct pipeline_options {
	struct deadletters *letters;	/* lent; NULL where every source
					 * answers */
	int  changed;			/* eventfd: rung on every change */
	bool once;
};

/*
 * Opens crypto, formats and sources; sinks are opened by their writers, which
 * wait for what is down.  *setup is lent, as long as any unit has it for its
 * owner.  Units of the pool that the setup has no use for are closed first;
 * those it has are taken as they are.
 *
 * Returns NULL with *err filled; all units are in the pool then.
 */
struct pipeline *pipeline_create(const struct setup *setup,
                                 const struct pipeline_options *options,
                                 struct unit **pool, struct bursar_error *err);

/* Starts all threads.  Returns 0, or -1 with *err filled. */
int pipeline_start(struct pipeline *pipeline, struct bursar_error *err);

/*
 * Stops reading, lets what is in flight be stored for at most `timeout_ms`,
 * and gives back the rest.  Returns true if nothing had to be given back.
 * hurry: a descriptor that ends the wait when it is readable, or -1.
 */
bool pipeline_stop(struct pipeline *pipeline, int64_t timeout_ms, int hurry);

/* Frees the pipeline, which is stopped; its units go to the pool, open as they
 * are.  NULL is allowed. */
void pipeline_release(struct pipeline *pipeline, struct unit **pool);

/* Whether any unit belongs to that setup. */
bool pipeline_uses(const struct pipeline *pipeline, const struct setup *setup);

/* Every source has ended and everything is durable. */
bool pipeline_is_done(const struct pipeline *pipeline);

/* Whether a source has ended that could not read all there is; `why` gets a
 * sentence then. */
bool pipeline_has_left(const struct pipeline *pipeline, char why[400]);

/* Whether nothing can go on before a person acts (a required sink or a source
 * is blocked); `why` gets a sentence then. */
bool pipeline_is_blocked(const struct pipeline *pipeline, char why[400]);

/* Whether every required sink takes records. */
bool pipeline_is_ready(const struct pipeline *pipeline);

/* What the pipeline was made of. */
const struct setup *pipeline_setup(const struct pipeline *pipeline);

/* Bytes of dead letters on the disk. */
size_t pipeline_letter_bytes(const struct pipeline *pipeline);

/* What a source and a sink of that number are doing. */
void pipeline_get_source(const struct pipeline *pipeline, size_t i,
                         struct intake_status *status);
void pipeline_get_sink(const struct pipeline *pipeline, size_t i,
                       struct writer_status *status);

/* Of the sinks that a kind needs, the state that holds it up most, and why.
 * False: the kind goes to none that is required. */
bool pipeline_get_route(const struct pipeline *pipeline, size_t kind,
                        enum writer_state *state, char why[300]);

/* State as a JSON object, the caller's; NULL: out of memory. */
json_t *pipeline_state(const struct pipeline *pipeline);

/* Logs the state, an event for each source and sink. */
void pipeline_log_state(const struct pipeline *pipeline);

#endif
