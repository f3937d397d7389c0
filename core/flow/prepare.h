/* SPDX-License-Identifier: Apache-2.0 */

/*
 * prepare.h - from messages to records, ready for their sinks
 *
 *	envelope --> crypto --> format --> id, times, cost, expiry
 *	         --> route --> seal
 *
 * What cannot go that way becomes a dead letter here, before any sink has seen
 * it.
 *
 * The id of a record is that of its message: the property message_id, else what
 * the format found in the body, else origin:offset, else a hash (COUNTED).  It
 * is text whatever bytes came: NUL becomes \u0000 and each byte that is no
 * UTF-8 becomes \xNN, before the key is made, so that the same message has the
 * same key for ever.  Records of a message that makes several have id#0, id#1
 * and so on; COUNTED ones hash#0#0, hash#1#0 and so on.
 *
 * A recorded_at that is out of range gives way to the time of ingest; its text
 * stands in extra_json then, which never passes 8192 bytes.
 *
 * One thread per preparer.
 */
#ifndef CORE_FLOW_PREPARE_H
#define CORE_FLOW_PREPARE_H

#include <bursar/format.h>

#include "conf/setup.h"
#include "flow/keyring.h"
#include "flow/letter.h"
#include "flow/teams.h"
#include "price/prices.h"

struct json_reader;

/* What a source's messages go through; filled by the intake, from json on by
 * preparer_init(). */
struct preparer {
	const struct setup_source *source;
	const struct bursar_format_ops *format_ops;
	struct bursar_format *format;
	struct keyring       *keyring;		/* NULL: none */
	struct letterbox     *box;
	const struct prices  *prices;		/* NULL: none */
	struct teams         *teams;		/* lent; NULL: none */
	const uint32_t       *routes;		/* by kind: setup.routes */
	uint32_t              required;		/* sinks that must have it */
	/* What seals bodies, by kind and sink; a NULL among them: nothing.
	 * NULL: nothing is sealed. */
	struct keyring *const (*seals)[SETUP_MAX_SINKS];
	size_t                max_message;
	struct json_reader   *json;
	char                 *scratch;		/* of identity_check() */
	size_t                scratch_size;
	struct pricer        *pricer;
	struct teams_lent    *lent;		/* of teams: for this flight */
	int                   worker_field[SCHEMA_KINDS];	/* of facts; */
	int                   team_field[SCHEMA_KINDS];		/* -1: none */

	/* Messages in a row that could not be opened: it is a wrong key. */
	unsigned              broken_in_row;

	int                   tags_field;	/* of facts */
	struct arena          tagging;		/* holds default_tags */
	struct bursar_span    default_tags;	/* of facts that say none */

	struct arena          sealing;		/* while one record is sealed */
	bool                  has_sealed[SCHEMA_KINDS];
	/* What could not seal, since when nothing is prepared; NULL: nothing.
	 * Whoever goes on sets it to NULL.  `must_act`: it said CONFIG. */
	struct keyring       *stuck;
	bool                  must_act;
};

/* Messages in a row that may be undecryptable before the source is slowed. */
#define PREPARE_BROKEN_MAX 8

enum prepared {
	PREPARED,		/* every message goes on, or is a letter */
	PREPARED_RETURN,	/* those from *from on are to be given back: no
				 * key at hand, a wrong key, memory is short */
	PREPARED_LETTERS,	/* a letter could not be written: prepare again
				 * from *from on when it can */
};

/* Sets up what a preparer owns; source, format, box ... are filled before.
 * Returns 0, or -1 with *err filled. */
int preparer_init(struct preparer *preparer, struct bursar_error *err);
void preparer_finish(struct preparer *preparer);

/*
 * Looks after the keys that this preparer needs to seal; returns whether
 * sealing can be expected to work.
 */
bool preparer_tick(struct preparer *preparer);

/*
 * Prepares the messages of a flight from `*from` (NULL: its first) on.  On
 * return, messages before *from are prepared: their records carry the bits of
 * their sinks and `waiting` counts the required ones beside the one part that
 * is the caller's to finish.  *outage is true where no key is at hand.
 *
 * What cannot be sealed now for a required sink is given back, never stored in
 * clear; for another sink it is dropped and counted.
 */
enum prepared prepare_flight(struct preparer *preparer, struct flight *flight,
                             struct flight_message **from, bool *outage,
                             struct bursar_error *err);

#endif
