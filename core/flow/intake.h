/* SPDX-License-Identifier: Apache-2.0 */

/*
 * intake.h - the thread that reads one source and settles its messages
 *
 *	read --> prepare --> push to writers
 *	  ^                      |
 *	  '------- settle <------'
 *
 * Its window (messages and bytes between read and settlement) is the only
 * bound on what is in flight: with no room it reads nothing, but still calls
 * read() once a second and settles what is finished.
 */
#ifndef CORE_FLOW_INTAKE_H
#define CORE_FLOW_INTAKE_H

#include <bursar/source.h>

#include "flow/prepare.h"
#include "flow/writer.h"

enum intake_state {
	INTAKE_OPEN,
	INTAKE_HELD,		/* the source cannot read now: backing off */
	INTAKE_BLOCKED,		/* a person must act */
	INTAKE_PARKED,		/* no key at hand, or a long outage of a sink;
				 * messages were given back */
	INTAKE_SLOW,		/* a wrong key, it seems: one at a time */
	INTAKE_PAUSED,		/* dead letters cannot be written */
	INTAKE_ENDED,		/* nothing more will come */
};

/* Names of the states, for people: "open" ... */
extern const char *const intake_state_names[];

struct intake;

struct intake_options {
	const struct setup_source *source;	/* lent */
	struct instance *instance;		/* lent */
	struct bursar_source *open;		/* open already, or NULL; taken
						 * where create works */
	struct bursar_format *format;		/* lent */
	const struct bursar_format_ops *format_ops;
	struct keyring  *keyring;		/* lent; NULL: none */
	struct letterbox *box;			/* lent */
	const struct prices *prices;		/* lent; NULL: none */
	struct teams    *teams;			/* lent; NULL: none */
	const uint32_t  *routes;		/* by kind */
	uint32_t         required;		/* bits of required sinks */
	struct keyring *const (*seals)[SETUP_MAX_SINKS]; /* see prepare.h */
	struct writer  **writers;		/* by bit; lent */
	size_t           writer_count;
	size_t           max_message;
	int64_t          look_us;		/* between looks when blocked */
	bool             once;			/* read to the end, then stop */
	_Atomic int     *decoding;		/* see writer.h */
	int              changed;		/* rung when the state changes */
};

/* Opens the source, unless it is open.  NULL with *err filled. */
struct intake *intake_create(const struct intake_options *options,
                             struct bursar_error *err);

/* Starts the thread.  Returns 0, or -1 with *err filled. */
int intake_start(struct intake *intake, struct bursar_error *err);

/* Reads nothing more; goes on settling.  Any thread. */
void intake_drain(struct intake *intake);

/* Everything read is settled, and nothing more will be read: the source has
 * ended, or intake_drain() was called.  Any thread. */
bool intake_is_done(struct intake *intake);

/*
 * Ends the thread; what is not settled then is given back.  Writers are
 * stopped before, so that nothing finishes any more.  The source stays open.
 */
void intake_stop(struct intake *intake);

/* The open source; the intake is stopped and gives it away. */
struct bursar_source *intake_take_source(struct intake *intake);

/* Stops, closes the source, frees.  NULL is allowed. */
void intake_destroy(struct intake *intake);

/* What it is doing; any thread. */
struct intake_status {
	enum intake_state state;
	char     why[250];
	int64_t  since;			/* us, monotonic: of the state */
	size_t   messages, bytes;	/* in flight */
	int64_t  oldest;		/* us, monotonic; 0: none in flight */
	int64_t  busy_since;		/* us, monotonic: of what its thread is
					 * at; 0: it does not run */
	int64_t  read, stored, duplicates, conflicts, refused, returned,
		discarded;
};
void intake_get_status(struct intake *intake, struct intake_status *status);

#endif
