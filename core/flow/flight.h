/* SPDX-License-Identifier: Apache-2.0 */

/*
 * flight.h - messages between their source and their settlement
 *
 * A flight is what one read() of a source brought: the messages as they were
 * delivered, what they became, and all the memory of both.  Its intake makes
 * it, writers store its records, its intake settles its messages and frees it.
 *
 * A message is finished when nothing is waited for any more: each of its
 * records is stored, or refused, by each sink that must have it.  A writer
 * rings the bells of the intakes that it finished parts for.
 *
 * Threads: the intake fills a flight and then hands it to writers; after that
 * the only things that change are the atomics of its messages, and each record
 * by the one sink that has it.
 */
#ifndef CORE_FLOW_FLIGHT_H
#define CORE_FLOW_FLIGHT_H

#include <stdatomic.h>

#include <bursar/schema.h>
#include <bursar/source.h>

#include "base/arena.h"

/* What happened to the records of a message, by any sink. */
enum {
	FLIGHT_STORED    = 1 << 0,
	FLIGHT_DUPLICATE = 1 << 1,
	FLIGHT_CONFLICT  = 1 << 2,
	FLIGHT_REFUSED   = 1 << 3,
	FLIGHT_RETURNED  = 1 << 4,
	FLIGHT_DISCARDED = 1 << 5,
	FLIGHT_LETTERED  = 1 << 6,	/* kept as a dead letter */
};

struct flight;
struct metric;
struct packed_message;

struct flight_message {
	struct flight_message *next;	/* in order of arrival */
	struct flight         *flight;
	uint64_t               token;
	uint64_t               lane;
	/*
	 * As it was delivered, and out of its envelope and decrypted, the same
	 * one where that is it; after flight_settle_down() ask for them by
	 * flight_delivered() and flight_clear().
	 */
	union {
		struct bursar_message       *delivered;
		const struct packed_message *packed_delivered;
	};
	union {
		struct bursar_message       *clear;
		const struct packed_message *packed_clear;
	};
	struct flight_record  *records;
	struct flight_record  *last_record;	/* where there are any */
	_Atomic unsigned       waiting;	/* (record, required sink) pairs */
	_Atomic unsigned       happened;	/* FLIGHT_* */
	_Atomic(const char *)  reason;	/* of REFUSED: static, or kept */
	_Atomic(const char *)  refuser;	/* sink that refused it, if no letter
					 * says so; or NULL */
	bool                   settled;
	bool                   sealed;	/* it was delivered encrypted */
};

struct flight_record {
	struct flight_record  *next;	/* of the same message */
	struct flight_message *message;
	uint32_t               sinks;	/* bit n: goes to sink n, which has it
					 * for itself */
	struct bursar_record  *record;	/* a draft, until flight_pack() */
};

struct flight_text {
	struct flight_text *next;
	char                text[];
};

struct flight {
	struct flight         *next;	/* of the same intake, newer */
	struct arena           arena;
	struct arena           drafts;	/* records of one message; its format
					 * is at work on them */
	struct arena           scratch;	/* until flight_settle_down() */
	bool                   packed;	/* after it */
	struct flight_message *first;
	struct flight_message *last;
	size_t                 count;		/* messages */
	int64_t                read_at;		/* us, monotonic */
	_Atomic size_t         unfinished;	/* messages */
	size_t                 unsettled;	/* messages; the intake's */
	bool                   one_lane;	/* all are of the first's */
	_Atomic unsigned       holders;		/* the intake, and writers */
	_Atomic(struct flight_text *) texts;
	int                    bell;		/* the intake's */
	const char            *source;		/* its name; outlives all */
	bool                   answers;		/* the source tells refusals */
	size_t                 stamped;		/* messages with a time */
	struct metric *const  *letters;		/* counts of dead letters, in
						 * the order of dead_reasons;
						 * NULL: not counted */
};

/* An empty flight with one holder; NULL: out of memory. */
struct flight *flight_create(int64_t now);

/* Lets go of it; the last holder frees it. */
void flight_release(struct flight *flight);

/*
 * Copies a message into the flight.  NULL: out of memory, nothing was added.
 */
struct flight_message *flight_add(struct flight *flight,
                                  const struct bursar_message *message);

/*
 * Packs the messages, and forgets all that is of no use once they are prepared.
 * Where memory is short they stay as they are.
 */
void flight_settle_down(struct flight *flight);

/* The message as delivered, and in clear; in `room` where it was packed. */
const struct bursar_message *
flight_delivered(const struct flight_message *message,
                 struct bursar_message *room);
const struct bursar_message *flight_clear(const struct flight_message *message,
                                          struct bursar_message *room);

/* Adds the draft of a record to a message, which has no packed ones; NULL: out
 * of memory. */
struct flight_record *flight_add_record(struct flight_message *message,
                                        const struct bursar_kind *kind);

/* Puts a copy of a record behind it, for those sinks; false: out of memory.
 * What its values point to is shared. */
bool flight_copy_record(struct flight_record *record, uint32_t sinks);

/* Packs all records of a message: the flight's drafts can go.  False: out of
 * memory, and some may be packed. */
bool flight_pack(struct flight_message *message);

/* One part of the message is done with; FLIGHT_* says how. */
void flight_part_done(struct flight_message *message, unsigned happened);

/* A copy of the text that lives as long as the message; "" where memory is
 * short.  Any thread. */
const char *flight_keep_text(struct flight_message *message, const char *text);

/* The outcome of a finished message. */
enum bursar_outcome flight_outcome(const struct flight_message *message);

/* Wakes who waits for descriptor `bell` (an eventfd). */
void flight_ring(int bell);

#endif
