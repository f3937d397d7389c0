/* SPDX-License-Identifier: Apache-2.0 */

/*
 * letter.h - writing a dead letter for a message in flight
 *
 * It expires with the first of the message's records that does.  Where there
 * are none, it expires by the label in the headers, and within phi-ttl-days
 * unless it is a fact that came in clear.
 */
#ifndef CORE_FLOW_LETTER_H
#define CORE_FLOW_LETTER_H

#include "flow/deadletter.h"
#include "flow/flight.h"
#include "flow/retention.h"

/* Where letters go, and how long they may stay; lent to all who write. */
struct letterbox {
	struct deadletters     *letters;
	const struct retention *retention;
};

/*
 * Adds a letter for the message, unless it has one or its sender is told;
 * durable after deadletters_sync().
 *
 * reason	DEAD_*
 * text		kept as the message's reason: static, or in its arena
 * record	what was decoded of it, NULL if nothing was
 * sink		name of the sink that refused it, or NULL
 *
 * Returns 0, or -1 with *err filled; try again, a letter is never given up.
 */
int letter_write(struct letterbox *box, struct flight_message *message,
                 const char *reason, const char *text,
                 const struct bursar_record *record, const char *sink,
                 struct bursar_error *err);

/*
 * Adds the letter that a finished message needs although its sender is told:
 * one sink has it and another refused it, which the sender cannot mend.  Does
 * nothing for any other message.  As letter_write(); *added tells whether there
 * is something to make durable.
 */
int letter_besides(struct letterbox *box, struct flight_message *message,
                   bool *added, struct bursar_error *err);

#endif
