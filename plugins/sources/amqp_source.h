/* SPDX-License-Identifier: Apache-2.0 */

/*
 * amqp_source.h - what the files of the AMQP source share
 *
 *	amqp.c           operations, and where frames go
 *	amqp_place.c     the uri and who we are
 *	amqp_link.c      one connection: frames in and out, heartbeats, its end
 *	amqp_login.c     from a connection to an open virtual host
 *	amqp_look.c      exchange, queue and bindings, on a channel of their own
 *	amqp_consumer.c  the consumer: prefetch, acknowledgement, parking
 *	amqp_message.c   frames to a message
 *
 * Nothing but the making of the connection itself waits for the broker: what
 * is asked is sent, and the answer is met among the frames that read() takes.
 * So a read() ends when it has to, whatever the broker does.
 */
#ifndef AMQP_SOURCE_H
#define AMQP_SOURCE_H

#include <bursar/source.h>

#include "amqp_lib.h"
#include "amqp_message.h"
#include "amqp_place.h"

#define RQ_CHANNEL_WORK 1	/* what is consumed comes here */
#define RQ_CHANNEL_LOOK 2	/* a refusal closes a channel: not that one */

#define RQ_SECOND INT64_C(1000000)

enum rq_phase {
	RQ_AWAY,		/* no connection */
	RQ_LOGIN,		/* until the virtual host is open */
	RQ_LOOKING,		/* until the queue is there */
	RQ_WORKING,		/* from then on tokens are out */
};

struct rq_link {
	amqp_connection_state_t state;	/* NULL: away */
	int      fd;
	bool     sound;		/* nothing has failed on it */
	int64_t  beat_us;	/* how often we send something, at least */
	int64_t  sent_at;	/* us, monotonic */
	int64_t  heard_at;	/* a frame came, or nobody listened */
	unsigned asked;		/* answers that are due */
};

enum rq_question {
	RQ_ASK_NOTHING,
	RQ_ASK_CHANNEL,
	RQ_ASK_EXCHANGE,
	RQ_ASK_QUEUE,
	RQ_ASK_DECLARE,
	RQ_ASK_BIND,
};

struct rq_look {
	enum rq_question question;
	bool     is_open;		/* its channel */
	bool     exchange_asked;	/* in this round */
	bool     exchange_there;
	bool     exchange_missed;	/* said so */
	bool     queue_missing;		/* to be declared */
	bool     queue_there;
	size_t   bound;			/* bindings made in this round */
	int64_t  next;			/* when the next round begins */
};

struct rq_consumer {
	unsigned number;	/* of the last one that was begun */
	bool     active;
	bool     begun;		/* its consume-ok has come */
	bool     stopping;	/* its cancel-ok is to come */
	bool     parked;	/* by the core */
	bool     is_open;	/* its channel */
	bool     proven;	/* something was stored since it began */
	unsigned prefetch;
	int64_t  changed_at;	/* the prefetch was */
	double   mean;		/* of the sizes of messages */
	uint64_t settled;	/* the last tag */
	uint64_t delivered;	/* the last tag that the core has */
};

struct bursar_source {
	const struct bursar_host *host;
	struct rq_place place;

	/* Options. */
	const char *queue;
	const char *exchange;		/* "": none */
	const char *const *bindings;
	size_t   binding_count;
	const char *queue_type;
	bool     broker_letters;
	int      heartbeat_s;
	int64_t  timeout_us;		/* for a connection, for an answer */
	int64_t  look_us;		/* between two rounds */
	unsigned prefetch_max;
	int64_t  prefetch_bytes;

	enum rq_phase phase;
	uint64_t generation;		/* upper 16 bits of every token */
	struct rq_link link;
	struct rq_look look;
	struct rq_consumer consumer;
	struct rq_message incoming;
	size_t   max_message;

	/* Why the connection cannot go on; DONE: it can. */
	enum bursar_verdict verdict;
	struct bursar_error why;
};

/* --- amqp_link.c ---------------------------------------------------------- */

int64_t rq_now(void);

/*
 * The connection cannot go on, for that reason; the first one stays.  CONFIG
 * is taken for DOWN once tokens are out, for only DOWN makes them void.
 * Returns -1.
 */
__attribute__((format(printf, 4, 5)))
int rq_fail(struct bursar_source *source, enum bursar_verdict verdict,
            int code, const char *fmt, ...);

/* Connects, as far as the first bytes of the protocol; waits timeout_us at
 * most.  Returns 0, or -1 after rq_fail(). */
int rq_link_open(struct bursar_source *source);

/* Takes leave, for half a second at most where the link is sound, lets go of it
 * and forgets why; nothing where there is none. */
void rq_link_close(struct bursar_source *source);

/* Sends a method.  An `answer` is counted as due.  Waits until `until` (us,
 * monotonic) for room in the socket.  Returns 0, or -1 after rq_fail(). */
int rq_send(struct bursar_source *source, amqp_channel_t channel,
            amqp_method_number_t method, void *decoded, bool answer,
            int64_t until);

/* An answer came. */
void rq_answered(struct bursar_source *source);

/* The next frame, if it is here: 1; 0: none is; -1 after rq_fail(). */
int rq_next_frame(struct bursar_source *source, amqp_frame_t *frame);

/* What the frames held so far may go. */
void rq_forget_frames(struct bursar_source *source);

/* Sends a heartbeat where it is time.  Returns 0, or -1 after rq_fail(). */
int rq_beat(struct bursar_source *source, int64_t now);

/* Text of the broker, fit for a line of ours.  Returns out. */
const char *rq_printable(char *out, size_t room, amqp_bytes_t text);
/* "404 NOT_FOUND - no queue ...".  Returns out. */
const char *rq_reply(char *out, size_t room, int code, amqp_bytes_t text);

/* A method came that nobody waits for. */
void rq_not_asked_for(struct bursar_source *source,
                      amqp_method_number_t method);

/* The verdict for a code of channel.close or connection.close. */
enum bursar_verdict rq_verdict_of(int code);

/* --- amqp_login.c --------------------------------------------------------- */

/* A method of channel 0. */
void rq_connection_method(struct bursar_source *source,
                          const amqp_method_t *method);

/* --- amqp_look.c ---------------------------------------------------------- */

/* Begins a round where it is time. */
void rq_look(struct bursar_source *source, int64_t now);
void rq_look_method(struct bursar_source *source, const amqp_method_t *method);

/* --- amqp_consumer.c ------------------------------------------------------ */

/* The queue is there: consume, unless parked. */
void rq_consumer_open(struct bursar_source *source);
void rq_consumer_method(struct bursar_source *source,
                        const amqp_method_t *method);

/* Whether what comes is for the core. */
bool rq_consumer_wants(const struct bursar_source *source);

/* A message went to the core. */
void rq_consumer_handed_out(struct bursar_source *source, uint64_t tag,
                            size_t size);
void rq_consumer_settle(struct bursar_source *source,
                        const struct bursar_settled *settled, size_t count);
void rq_consumer_park(struct bursar_source *source, bool on);

/* --- both channels -------------------------------------------------------- */

/* Asks for a channel to be opened. */
void rq_open_channel(struct bursar_source *source, amqp_channel_t channel);
/* Answers channel.close. */
void rq_channel_closed(struct bursar_source *source, amqp_channel_t channel);

#endif
