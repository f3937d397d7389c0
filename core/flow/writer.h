/* SPDX-License-Identifier: Apache-2.0 */

/*
 * writer.h - the thread that stores records in one sink
 *
 *	push --> [queue] --> join --> sort by key --> write --> finish parts
 *	                                ^    |
 *	                                |    '- refused: halve, dead letter
 *	                                '------ held: back off, try again
 *
 * A writer joins what waits into one transaction, up to `batch_records`; with
 * less it waits up to `linger`, ten times that for a stream of records until
 * there is half a batch, but only while an intake is at work on more.
 * It never gives a record up: what a sink cannot take now is tried again, what
 * it can never take becomes a dead letter, and nothing else is possible.
 *
 * A sink that is not required never holds anything up: its queue is bounded,
 * and what falls out is counted.
 */
#ifndef CORE_FLOW_WRITER_H
#define CORE_FLOW_WRITER_H

#include <bursar/sink.h>

#include "flow/letter.h"
#include "plugin/instance.h"

enum writer_state {
	WRITER_OPENING,		/* not open, or not open again yet */
	WRITER_OPEN,
	WRITER_HELD,		/* the sink cannot take it now: backing off */
	WRITER_BLOCKED,		/* a person must act: looked at now and then */
};

/* Names of the states, for people: "opening" ... */
extern const char *const writer_state_names[];

struct writer;

/* A flight's place in a queue. */
struct writer_ticket {
	struct writer_ticket *next;
	struct flight        *flight;
	size_t                records;
};

struct writer_options {
	struct instance *instance;	/* lent */
	struct bursar_sink *sink;	/* open already, or NULL; taken where
					 * create works */
	unsigned number;		/* its bit in flight_record.sinks */
	bool     required;
	size_t   batch_records;
	int64_t  linger_us;
	int64_t  look_us;		/* between looks at a blocked sink */
	struct letterbox *box;		/* lent */
	_Atomic int *decoding;		/* intakes at work; lent */
	int      changed;		/* rung when the state changes */
	char *const *tags;		/* to be dimensions; lent */
	size_t   tag_count;
};

/* NULL with *err filled. */
struct writer *writer_create(const struct writer_options *options,
                             struct bursar_error *err);

/* Starts the thread.  Returns 0, or -1 with *err filled. */
int writer_start(struct writer *writer, struct bursar_error *err);

/*
 * Offers the records of a flight that carry the writer's bit; holds the flight
 * until they are done.  A writer that is not required drops what it has no
 * room for.  ticket is memory for the queue, in the flight's arena.  Any
 * thread.
 */
void writer_push(struct writer *writer, struct flight *flight,
                 struct writer_ticket *ticket);

/* No intake is at work: there is nothing to linger for.  Any thread. */
void writer_poke(struct writer *writer);

/*
 * Ends the thread after the transaction at hand, however much is queued; what
 * was not stored stays unfinished.  The sink stays open.
 */
void writer_stop(struct writer *writer);

/* The open sink, NULL if it is not open; the writer is stopped and gives it
 * away. */
struct bursar_sink *writer_take_sink(struct writer *writer);

/* Stops, closes the sink, frees.  NULL is allowed. */
void writer_destroy(struct writer *writer);

/* What it is doing; any thread. */
struct writer_status {
	enum writer_state state;
	char     why[250];	/* of HELD and BLOCKED; else "" */
	int64_t  since;		/* us, monotonic: of the state */
	size_t   queued;	/* records, those at hand included */
	int64_t  busy_since;	/* us, monotonic: of what the sink is asked
				 * now; 0: nothing */
	int64_t  stored, duplicates, conflicts, refused, dropped;
	int64_t  transactions, write_us;
};
void writer_get_status(struct writer *writer, struct writer_status *status);

#endif
