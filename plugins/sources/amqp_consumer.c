/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The consumer of the queue.  Its prefetch is given when it begins, so another
 * one takes another consumer: the new one is asked for, then the old one is
 * cancelled, on the same channel.  What the old one was sent stays ours, and
 * its tags stay good.
 *
 * One lane, settled in its order: so all tags below the one that is settled
 * now are settled already, and `multiple` says no more than what is true.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "amqp_source.h"

/* What may be out before anything was stored: all of it counts as delivered
 * once more after a crash. */
#define FIRST_PREFETCH 50

/* Fewer than this and nothing overlaps. */
#define LEAST_PREFETCH 2

/* The prefetch follows the size of messages no more often. */
#define CHANGE_GAP (10 * RQ_SECOND)

/* A mean size follows the last hundred messages or so. */
#define MEAN_SHARE 64

/* Settlement waits for room in the socket no longer than that. */
#define SETTLE_US (RQ_SECOND * 9 / 10)

/* A broker drops what was delivered 20 times, by default. */
#define MANY_DELIVERIES 15

#define TAG_BITS 48
#define TAG_MASK ((UINT64_C(1) << TAG_BITS) - 1)

/* --- channels ------------------------------------------------------------- */

void rq_open_channel(struct bursar_source *source, amqp_channel_t channel)
{
	amqp_channel_open_t open = { .out_of_band = amqp_empty_bytes };

	rq_send(source, channel, AMQP_CHANNEL_OPEN_METHOD, &open, true,
	        rq_now() + RQ_SECOND);
}

void rq_channel_closed(struct bursar_source *source, amqp_channel_t channel)
{
	amqp_channel_close_ok_t ok = { 0 };

	rq_send(source, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok, false,
	        rq_now() + RQ_SECOND);
}

/* --- beginning and ending ------------------------------------------------- */

static const char *tag_of(char *out, size_t room, unsigned number)
{
	char host[65] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(out, room, "bursar.%s.%ld.%u", host, (long)getpid(), number);
	return out;
}

/*
 * Of one that has begun, and no other: RabbitMQ (3.10) loses the channel where
 * it is told to end a consumer of which it has not yet told us.
 */
static void cancel(struct bursar_source *source, unsigned number,
                   int64_t until)
{
	char tag[128];
	amqp_basic_cancel_t cancel = {
		.consumer_tag = amqp_cstring_bytes(
			tag_of(tag, sizeof(tag), number)),
	};

	rq_send(source, RQ_CHANNEL_WORK, AMQP_BASIC_CANCEL_METHOD, &cancel,
	        true, until);
}

static void begin(struct bursar_source *source, unsigned prefetch,
                  int64_t until)
{
	struct rq_consumer *consumer = &source->consumer;
	char tag[128];
	amqp_basic_qos_t qos = { .prefetch_count = (uint16_t)prefetch };
	amqp_basic_consume_t consume = {
		.queue = amqp_cstring_bytes(source->queue),
		.consumer_tag = amqp_cstring_bytes(
			tag_of(tag, sizeof(tag), consumer->number + 1)),
	};

	if (rq_send(source, RQ_CHANNEL_WORK, AMQP_BASIC_QOS_METHOD, &qos, true,
	            until) != 0 ||
	    rq_send(source, RQ_CHANNEL_WORK, AMQP_BASIC_CONSUME_METHOD,
	            &consume, true, until) != 0) {
		return;
	}
	consumer->number++;
	consumer->active = true;
	consumer->begun = false;
	consumer->prefetch = prefetch;
	consumer->changed_at = rq_now();
	source->host->gauge(source->host, "prefetch_messages", prefetch);
}

static void begin_small(struct bursar_source *source, int64_t until)
{
	source->consumer.proven = false;
	begin(source, source->prefetch_max < FIRST_PREFETCH ?
	      source->prefetch_max : FIRST_PREFETCH, until);
}

void rq_consumer_open(struct bursar_source *source)
{
	rq_open_channel(source, RQ_CHANNEL_WORK);
}

bool rq_consumer_wants(const struct bursar_source *source)
{
	return source->consumer.active && !source->consumer.stopping &&
	       !source->consumer.parked;
}

/* --- prefetch ------------------------------------------------------------- */

static unsigned best_prefetch(const struct bursar_source *source)
{
	const double mean = source->consumer.mean;
	const double most = mean > 0 ? (double)source->prefetch_bytes / mean
	                             : source->prefetch_max;
	unsigned best = source->prefetch_max;

	if (most < best) {
		best = (unsigned)most;
	}
	return best < LEAST_PREFETCH ? LEAST_PREFETCH : best;
}

/* Something was stored: what is in flight may grow, or has to shrink. */
static void follow_sizes(struct bursar_source *source, int64_t until)
{
	struct rq_consumer *consumer = &source->consumer;
	const unsigned best = best_prefetch(source);
	const unsigned now = consumer->prefetch;

	if (!rq_consumer_wants(source) || !consumer->begun || best == now ||
	    (consumer->proven &&
	     ((best < now * 2 && best * 2 > now) ||
	      rq_now() - consumer->changed_at < CHANGE_GAP))) {
		return;
	}
	const unsigned old = consumer->number;
	consumer->proven = true;
	begin(source, best, until);
	cancel(source, old, until);
}

void rq_consumer_handed_out(struct bursar_source *source, uint64_t tag,
                            size_t size)
{
	struct rq_consumer *consumer = &source->consumer;
	const struct rq_message *m = &source->incoming;

	consumer->delivered = tag;
	consumer->mean = consumer->mean > 0
		? consumer->mean + ((double)size - consumer->mean) / MEAN_SHARE
		: (double)size;
	if (m->message.flags & BURSAR_MESSAGE_REDELIVERED) {
		source->host->count(source->host, "redelivered_total", 1);
	}
	if (m->deliveries >= MANY_DELIVERIES) {
		source->host->count(source->host, "often_delivered_total", 1);
	}
	if (m->left_out > 0) {
		source->host->count(source->host, "headers_left_out_total",
		                    (int64_t)m->left_out);
	}
}

/* --- settlement ----------------------------------------------------------- */

enum rq_fate { RQ_ACK, RQ_REQUEUE, RQ_REJECT };

static enum rq_fate fate_of(const struct bursar_source *source,
                            enum bursar_outcome outcome)
{
	switch (outcome) {
	case BURSAR_RETURNED:
		return RQ_REQUEUE;
	case BURSAR_REFUSED:
	case BURSAR_CONFLICT:
		return source->broker_letters ? RQ_REJECT : RQ_ACK;
	default:
		return RQ_ACK;
	}
}

static int send_fate(struct bursar_source *source, enum rq_fate fate,
                     uint64_t tag, int64_t until)
{
	amqp_basic_ack_t ack = { .delivery_tag = tag, .multiple = 1 };
	amqp_basic_nack_t nack = {
		.delivery_tag = tag, .multiple = 1,
		.requeue = fate == RQ_REQUEUE,
	};

	/* Not basic.reject: it counts against a quorum queue's limit. */
	return fate == RQ_ACK
		? rq_send(source, RQ_CHANNEL_WORK, AMQP_BASIC_ACK_METHOD, &ack,
		          false, until)
		: rq_send(source, RQ_CHANNEL_WORK, AMQP_BASIC_NACK_METHOD,
		          &nack, false, until);
}

/* Tags die with their channel. */
static bool is_alive(const struct bursar_source *source, uint64_t token)
{
	const uint64_t tag = token & TAG_MASK;

	return (token & ~TAG_MASK) == source->generation &&
	       tag > source->consumer.settled &&
	       tag <= source->consumer.delivered;
}

static bool has_stored(const struct bursar_source *source,
                       const struct bursar_settled *settled, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if ((settled[i].outcome == BURSAR_STORED ||
		     settled[i].outcome == BURSAR_DUPLICATE) &&
		    is_alive(source, settled[i].token)) {
			return true;
		}
	}
	return false;
}

void rq_consumer_settle(struct bursar_source *source,
                        const struct bursar_settled *settled, size_t count)
{
	struct rq_consumer *consumer = &source->consumer;
	const int64_t until = rq_now() + SETTLE_US;

	/* First, so that what is acknowledged makes no room with the old
	 * consumer. */
	if (has_stored(source, settled, count)) {
		follow_sizes(source, until);
	}
	for (size_t i = 0; i < count; i++) {
		const enum rq_fate fate = fate_of(source, settled[i].outcome);

		if (!is_alive(source, settled[i].token)) {
			source->host->count(source->host, "late_settled_total",
			                    1);
			continue;
		}
		consumer->settled = settled[i].token & TAG_MASK;
		/* As far as what follows meets the same fate. */
		if (i + 1 < count && is_alive(source, settled[i + 1].token) &&
		    fate_of(source, settled[i + 1].outcome) == fate) {
			continue;
		}
		if (send_fate(source, fate, consumer->settled, until) != 0) {
			return;
		}
	}
}

/* --- parking -------------------------------------------------------------- */

void rq_consumer_park(struct bursar_source *source, bool on)
{
	struct rq_consumer *consumer = &source->consumer;
	const int64_t until = rq_now() + SETTLE_US;

	consumer->parked = on;
	if (!consumer->is_open) {
		return;
	}
	if (on && consumer->active && !consumer->stopping) {
		consumer->stopping = true;
		if (consumer->begun) {
			cancel(source, consumer->number, until);
		}
	} else if (!on && !consumer->active) {
		begin_small(source, until);
	}
}

/* The last delivery has come: all that is not settled goes back. */
static void stopped(struct bursar_source *source)
{
	const int64_t until = rq_now() + RQ_SECOND;

	source->consumer.stopping = false;
	source->consumer.active = false;
	if (send_fate(source, RQ_REQUEUE, 0, until) == 0 &&
	    !source->consumer.parked) {
		begin_small(source, until);
	}
}

/* --- methods -------------------------------------------------------------- */

static bool is_current(const struct bursar_source *source, amqp_bytes_t name)
{
	char tag[128];

	tag_of(tag, sizeof(tag), source->consumer.number);
	return name.len == strlen(tag) &&
	       memcmp(name.bytes, tag, name.len) == 0;
}

static void begun(struct bursar_source *source,
                  const amqp_basic_consume_ok_t *ok)
{
	struct rq_consumer *consumer = &source->consumer;

	if (!is_current(source, ok->consumer_tag)) {
		return;
	}
	consumer->begun = true;
	if (consumer->stopping) {
		cancel(source, consumer->number, rq_now() + RQ_SECOND);
	}
}

static void opened(struct bursar_source *source)
{
	struct rq_consumer *consumer = &source->consumer;

	consumer->is_open = true;
	consumer->settled = consumer->delivered = 0;
	if (!consumer->parked) {
		begin_small(source, rq_now() + RQ_SECOND);
	}
}

/* 406 of no method: nobody asked for anything, the time is over. */
static bool is_consumer_timeout(const amqp_channel_close_t *close)
{
	return close->reply_code == AMQP_PRECONDITION_FAILED &&
	       close->class_id == 0 && close->method_id == 0;
}

static void closed(struct bursar_source *source,
                   const amqp_channel_close_t *close)
{
	char reply[150];

	rq_channel_closed(source, RQ_CHANNEL_WORK);
	source->consumer.is_open = false;
	rq_reply(reply, sizeof(reply), close->reply_code, close->reply_text);
	if (is_consumer_timeout(close)) {
		source->host->log(source->host, BURSAR_ERROR,
		                  "consumer-timeout", "queue=\"%s\" "
		                  "reason=\"%s\" note=\"messages were held for "
		                  "longer than the broker allows; they come "
		                  "again\"", source->queue, reply);
	}
	rq_fail(source, BURSAR_DOWN, ECONNRESET,
	        "the broker closed the channel: %s", reply);
}

/* Refused before there was a consumer: a person must act, perhaps. */
static void refused(struct bursar_source *source,
                    const amqp_channel_close_t *close)
{
	char reply[150];
	enum bursar_verdict verdict = rq_verdict_of(close->reply_code);

	rq_channel_closed(source, RQ_CHANNEL_WORK);
	source->consumer.is_open = false;
	rq_reply(reply, sizeof(reply), close->reply_code, close->reply_text);
	if (close->reply_code == AMQP_NOT_FOUND) {
		verdict = BURSAR_DOWN;	/* deleted since; it will be declared */
	}
	source->phase = RQ_LOOKING;	/* no token is out */
	rq_fail(source, verdict, EACCES, "the queue cannot be consumed: %s",
	        reply);
}

void rq_consumer_method(struct bursar_source *source,
                        const amqp_method_t *method)
{
	struct rq_consumer *consumer = &source->consumer;

	switch (method->id) {
	case AMQP_CHANNEL_OPEN_OK_METHOD:
		rq_answered(source);
		opened(source);
		break;
	case AMQP_BASIC_QOS_OK_METHOD:
		rq_answered(source);
		break;
	case AMQP_BASIC_CONSUME_OK_METHOD:
		rq_answered(source);
		begun(source, method->decoded);
		break;
	case AMQP_BASIC_CANCEL_OK_METHOD: {
		const amqp_basic_cancel_ok_t *ok = method->decoded;

		rq_answered(source);
		if (consumer->stopping && is_current(source,
		                                     ok->consumer_tag)) {
			stopped(source);
		}
		break;
	}
	case AMQP_BASIC_CANCEL_METHOD:
		rq_fail(source, BURSAR_DOWN, ECONNRESET, "the broker cancelled "
		        "the consumer: queue '%s' was deleted, or has moved",
		        source->queue);
		break;
	case AMQP_CHANNEL_CLOSE_METHOD:
		if (consumer->delivered == 0) {
			refused(source, method->decoded);
		} else {
			closed(source, method->decoded);
		}
		break;
	default:
		rq_not_asked_for(source, method->id);
		break;
	}
}
