/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar/message.h - a message as a source delivered it
 *
 * Names of properties are those of AMQP 0-9-1, whatever the source.
 */
#ifndef BURSAR_MESSAGE_H
#define BURSAR_MESSAGE_H

#include <bursar/plugin.h>

struct bursar_header {
	struct bursar_span name;
	struct bursar_span value;	/* numbers and booleans as text */
};

/* The source delivered it before, and it was not settled then. */
#define BURSAR_MESSAGE_REDELIVERED 1u
/*
 * It is longer than max-message: body is its first 64 KB, full_size its
 * length, digest its SHA-256 as 64 hex digits.  It becomes a dead letter.
 */
#define BURSAR_MESSAGE_OVERSIZE    2u
/* Its source answers senders, but nobody will tell this one: should it be
 * refused, it is kept as a dead letter like those of other sources. */
#define BURSAR_MESSAGE_UNANSWERED  4u

/* Why a message of a kind that its sender may not send is refused. */
#define BURSAR_NOT_ALLOWED "its sender may not send records of that kind"

struct bursar_message {
	uint64_t token;		/* names it in settle(); the source's choice */
	uint64_t lane;		/* settled in order within a lane */
	unsigned flags;		/* BURSAR_MESSAGE_* */

	struct bursar_span body;
	struct bursar_span message_id;
	struct bursar_span correlation_id;
	struct bursar_span content_type;
	struct bursar_span content_encoding;
	struct bursar_span app_id;
	struct bursar_span routing_key;
	int64_t            timestamp_us;	/* 0: none */
	const struct bursar_header *headers;
	size_t             header_count;

	/*
	 * Fields that the source fixes, whatever the body says: name and text
	 * of a TEXT field (a producer's team, by its token).
	 */
	const struct bursar_header *fixed;
	size_t             fixed_count;

	/*
	 * Kinds that its sender may send: bit n for kind number n; 0: all.
	 * One that becomes a record of another kind is REFUSED, with the text
	 * BURSAR_NOT_ALLOWED.
	 */
	uint64_t           kinds;

	/*
	 * Where it stood, for people: a file's path, a queue's name; offset
	 * in bytes and line from 1, both 0 where that means nothing.
	 */
	struct bursar_span place;
	uint64_t           offset;
	uint64_t           line;
	/*
	 * Where it stood, for ever: (origin, offset) names this one message
	 * and no other, also after a restart or a rename.  It is the id of a
	 * message that brings none.  Not there: the source has no such place.
	 */
	struct bursar_span origin;

	uint64_t           full_size;	/* with OVERSIZE */
	struct bursar_span digest;	/* with OVERSIZE */

	/*
	 * Not the source's to fill: the kind that the core found, by the
	 * source's `kind`, the envelope or the routing key; may be NULL.
	 */
	const struct bursar_kind *kind;
};

/* The value of a header, name in lower case; data is NULL if absent. */
static inline struct bursar_span
bursar_header_get(const struct bursar_message *message, const char *name)
{
	const size_t size = __builtin_strlen(name);

	for (size_t i = 0; i < message->header_count; i++) {
		const struct bursar_header *h = &message->headers[i];

		if (h->name.size == size &&
		    __builtin_memcmp(h->name.data, name, size) == 0) {
			return h->value;
		}
	}
	return (struct bursar_span){ 0 };
}

#endif
