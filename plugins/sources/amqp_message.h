/* SPDX-License-Identifier: Apache-2.0 */

/*
 * amqp_message.h - one message, put together from its frames
 *
 * A delivery comes as a method, a header and any number of pieces of its body.
 * All is copied, so that no memory of the library is held between frames, and
 * a message that is half here can wait for its rest in any number of read()s.
 */
#ifndef AMQP_MESSAGE_H
#define AMQP_MESSAGE_H

#include <sodium.h>

#include <bursar/message.h>

#include "amqp_lib.h"

#define RQ_HEADERS     64		/* of one message; more are left out */
#define RQ_TEXT_SIZE   (64 << 10)	/* of all their names and values */
#define RQ_KEPT_OF_OVERSIZE ((size_t)64 << 10)

enum rq_stage {
	RQ_NOTHING,		/* between messages */
	RQ_NEEDS_HEADER,
	RQ_NEEDS_BODY,
	RQ_WHOLE,
};

struct rq_message {
	enum rq_stage stage;
	uint64_t tag;			/* of the delivery */
	int64_t  deliveries;		/* x-delivery-count; 0: none said */
	size_t   left_out;		/* headers that were */

	/* As the core gets it; token, lane and place are not ours to fill. */
	struct bursar_message message;

	struct bursar_header headers[RQ_HEADERS];
	char    *text;			/* RQ_TEXT_SIZE */
	size_t   text_used;
	char    *body;
	size_t   body_room;
	size_t   wanted;		/* of the body, to be kept */
	size_t   kept;
	uint64_t full;			/* its size */
	uint64_t seen;
	crypto_hash_sha256_state hash;	/* with OVERSIZE */
	char     digest[2 * crypto_hash_sha256_BYTES + 1];
};

/* Returns 0, or -1: out of memory. */
int rq_message_init(struct rq_message *m);
void rq_message_finish(struct rq_message *m);

/* Back to RQ_NOTHING. */
void rq_message_clear(struct rq_message *m);

/* The three kinds of frames, in their order.  Each returns 0, or -1: the frame
 * makes no sense there; or (header) there is no memory, with errno ENOMEM. */
int rq_message_deliver(struct rq_message *m,
                       const amqp_basic_deliver_t *deliver);
int rq_message_header(struct rq_message *m, uint64_t size,
                      const amqp_basic_properties_t *properties,
                      size_t max_message);
int rq_message_body(struct rq_message *m, amqp_bytes_t piece);

#endif
