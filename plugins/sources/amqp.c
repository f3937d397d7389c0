/* SPDX-License-Identifier: Apache-2.0 */

/*
 * amqp - takes messages from a queue of an AMQP 0-9-1 broker
 *
 * An instance is one connection at most: open() reads the options, read()
 * connects, and after DOWN the core opens another instance.  Acknowledged is
 * what the core settled, and nothing else.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "amqp_source.h"

#define LANE  1
#define SHORT 255		/* bytes in a name, says the protocol */

/* Frames between two looks at the clock and at the core's descriptor. */
#define FRAMES_IN_A_ROW 64

/* --- options -------------------------------------------------------------- */

static int check_name(const char *option, const char *name, bool needed,
                      struct bursar_error *err)
{
	if (needed && name[0] == '\0') {
		return bursar_fail(err, EINVAL, "%s: is empty", option);
	}
	if (strlen(name) > SHORT) {
		return bursar_fail(err, EINVAL, "%s: longer than %d bytes",
		                   option, SHORT);
	}
	return 0;
}

static int check_bindings(const struct bursar_source *source,
                          struct bursar_error *err)
{
	if (source->binding_count > 0 && source->exchange[0] == '\0') {
		return bursar_fail(err, EINVAL, "binding: give the exchange "
		                   "too");
	}
	for (size_t i = 0; i < source->binding_count; i++) {
		if (check_name("binding", source->bindings[i], false,
		               err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int read_options(struct bursar_source *source, struct bursar_error *err)
{
	const struct bursar_host *host = source->host;

	source->queue = host->text(host, "queue");
	source->exchange = host->text(host, "exchange");
	source->binding_count = host->list(host, "binding", &source->bindings);
	source->queue_type = host->text(host, "queue-type");
	source->broker_letters =
		strcmp(host->text(host, "dead-letter"), "broker") == 0;
	source->heartbeat_s = (int)(host->number(host, "heartbeat") / 1000);
	source->timeout_us = host->number(host, "connect-timeout") * 1000;
	source->look_us = host->number(host, "look-interval") * 1000;
	source->prefetch_max = (unsigned)host->number(host, "prefetch");
	source->prefetch_bytes = host->number(host, "prefetch-bytes");
	if (check_name("queue", source->queue, true, err) != 0 ||
	    check_name("exchange", source->exchange, false, err) != 0 ||
	    check_bindings(source, err) != 0) {
		return -1;
	}
	return rq_place_init(&source->place, host, err);
}

/* --- frames --------------------------------------------------------------- */

static void take_content(struct bursar_source *source,
                         const amqp_frame_t *frame)
{
	struct rq_message *m = &source->incoming;
	int status = -1;

	errno = EPROTO;
	if (frame->frame_type == AMQP_FRAME_METHOD) {
		status = rq_message_deliver(m, frame->payload.method.decoded);
	} else if (frame->frame_type == AMQP_FRAME_HEADER) {
		status = rq_message_header(m, frame->payload.properties.body_size,
		                           frame->payload.properties.decoded,
		                           source->max_message);
	} else {
		status = rq_message_body(m, frame->payload.body_fragment);
	}
	if (status != 0) {
		rq_fail(source, BURSAR_DOWN, errno, errno == ENOMEM
		        ? "out of memory"
		        : "the broker sent a message that makes no sense");
	} else if (m->stage == RQ_WHOLE && !rq_consumer_wants(source)) {
		rq_message_clear(m);
	}
}

static void take_frame(struct bursar_source *source, const amqp_frame_t *frame)
{
	const amqp_method_t *method = &frame->payload.method;
	const bool is_method = frame->frame_type == AMQP_FRAME_METHOD;

	if (frame->channel == RQ_CHANNEL_WORK &&
	    (frame->frame_type == AMQP_FRAME_HEADER ||
	     frame->frame_type == AMQP_FRAME_BODY ||
	     (is_method && method->id == AMQP_BASIC_DELIVER_METHOD))) {
		take_content(source, frame);
	} else if (!is_method) {
		rq_fail(source, BURSAR_DOWN, EPROTO, "the broker speaks "
		        "another protocol, or another version of it");
	} else if (frame->channel == 0) {
		rq_connection_method(source, method);
	} else if (frame->channel == RQ_CHANNEL_LOOK) {
		rq_look_method(source, method);
	} else if (frame->channel == RQ_CHANNEL_WORK) {
		rq_consumer_method(source, method);
	} else {
		rq_not_asked_for(source, method->id);
	}
}

/* --- reading -------------------------------------------------------------- */

enum step {
	STEP_MORE,		/* there may be more frames */
	STEP_FULL,		/* a whole message has no room */
	STEP_IDLE,		/* no frame is here */
	STEP_FAILED,		/* source->verdict says why */
};

/* Hands the whole message over, if there is room. */
static enum step hand_out(struct bursar_source *source,
                          struct bursar_batch *batch)
{
	struct rq_message *m = &source->incoming;

	m->message.token = source->generation | m->tag;
	m->message.lane = LANE;
	m->message.place = (struct bursar_span){
		source->queue, strlen(source->queue),
	};
	if (batch->room == 0 || !batch->add(batch, &m->message)) {
		return STEP_FULL;
	}
	rq_consumer_handed_out(source, m->tag, m->kept + m->text_used);
	if (m->message.flags & BURSAR_MESSAGE_OVERSIZE) {
		source->host->count(source->host, "oversize_total", 1);
	}
	rq_message_clear(m);
	return STEP_MORE;
}

/* Takes frames until there is reason to stop. */
static enum step take_frames(struct bursar_source *source,
                             struct bursar_batch *batch)
{
	amqp_frame_t frame;

	for (int i = 0; i < FRAMES_IN_A_ROW; i++) {
		if (source->incoming.stage == RQ_WHOLE &&
		    hand_out(source, batch) == STEP_FULL) {
			return STEP_FULL;
		}
		const int got = rq_next_frame(source, &frame);

		if (got == 0) {
			return STEP_IDLE;
		}
		if (got < 0) {
			return STEP_FAILED;
		}
		take_frame(source, &frame);
		rq_forget_frames(source);
		if (source->verdict != BURSAR_DONE) {
			return STEP_FAILED;
		}
	}
	return STEP_MORE;
}

/* What has to be done whatever comes.  `listening`: frames are taken. */
static void tend(struct bursar_source *source, bool listening)
{
	struct rq_link *link = &source->link;
	const int64_t now = rq_now();
	const bool partial = source->incoming.stage == RQ_NEEDS_HEADER ||
		source->incoming.stage == RQ_NEEDS_BODY;

	if (source->verdict != BURSAR_DONE || rq_beat(source, now) != 0) {
		return;
	}
	if (!listening) {
		link->heard_at = now;
	} else if ((link->asked > 0 || partial) &&
	           now - link->heard_at > source->timeout_us) {
		link->sound = false;
		rq_fail(source, BURSAR_DOWN, ETIMEDOUT, partial
		        ? "the broker stopped in the middle of a message"
		        : "the broker does not answer");
		return;
	}
	rq_look(source, now);
}

static int64_t sooner(int64_t one, int64_t other)
{
	return one < other ? one : other;
}

/* Until when there is nothing to do but to wait. */
static int64_t next_duty(const struct bursar_source *source, int64_t deadline)
{
	const struct rq_link *link = &source->link;
	int64_t until = sooner(deadline, link->sent_at + link->beat_us);

	if (link->asked > 0 || source->incoming.stage != RQ_NOTHING) {
		until = sooner(until, link->heard_at + source->timeout_us + 1);
	}
	if (source->phase == RQ_WORKING &&
	    source->look.question == RQ_ASK_NOTHING) {
		until = sooner(until, source->look.next);
	}
	return until;
}

/*
 * Waits for the socket, for `wake` or until then.  Without `listening` only for
 * the end of the connection.  True: the core wants its thread back.
 */
static bool rest(struct bursar_source *source, int wake, bool listening,
                 int64_t until)
{
	struct pollfd fds[] = {
		{ .fd = wake, .events = POLLIN },
		{ .fd = source->link.fd,
		  .events = listening ? POLLIN : POLLRDHUP },
	};
	const int64_t left = until - rq_now();
	const int64_t ms = left > 0 ? (left + 999) / 1000 : 0;

	if (poll(fds, 2, ms > 60000 ? 60000 : (int)ms) <= 0) {
		return false;
	}
	if (!listening && fds[1].revents != 0) {
		source->link.sound = false;
		rq_fail(source, BURSAR_DOWN, ECONNRESET,
		        "the broker closed the connection");
	}
	return fds[0].revents != 0;
}

static bool is_woken(int wake)
{
	struct pollfd pollfd = { .fd = wake, .events = POLLIN };

	return poll(&pollfd, 1, 0) > 0;
}

/* Reads until there is a message, or it is time. */
static void read_some(struct bursar_source *source, struct bursar_batch *batch,
                      int wake, int64_t deadline)
{
	const size_t room = batch->room;

	for (;;) {
		const enum step step = take_frames(source, batch);
		const bool listening = step != STEP_FULL;

		tend(source, listening);
		if (source->verdict != BURSAR_DONE ||
		    (step == STEP_FULL && room > 0)) {
			return;
		}
		if (step == STEP_MORE) {
			if (rq_now() >= deadline || is_woken(wake)) {
				return;
			}
			continue;
		}
		if (batch->room < room ||
		    rest(source, wake, listening,
		         next_duty(source, deadline)) ||
		    rq_now() >= deadline) {
			return;
		}
	}
}

/* --- operations ----------------------------------------------------------- */

static void source_close(struct bursar_source *source)
{
	if (source == NULL) {
		return;
	}
	rq_link_close(source);
	rq_message_finish(&source->incoming);
	rq_place_finish(&source->place);
	free(source);
}

static struct bursar_source *source_open(const struct bursar_host *host,
                                       struct bursar_error *err)
{
	struct bursar_source *source = calloc(1, sizeof(*source));

	if (source == NULL || sodium_init() < 0 ||
	    rq_message_init(&source->incoming) != 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		free(source);
		return NULL;
	}
	source->host = host;
	source->link.fd = -1;
	source->generation = (uint64_t)rq_now() << 48;
	if (read_options(source, err) != 0) {
		source_close(source);
		return NULL;
	}
	/* Once: it is opened again after each connection that was lost. */
	static atomic_bool said;
	if (source->place.has_password && !atomic_exchange(&said, true)) {
		host->log(host, BURSAR_WARNING, "password-in-uri",
		          "note=\"the uri holds a password: give it by "
		          "password-file instead\"");
	}
	return source;
}

/* A connection with nothing known of it. */
static void begin(struct bursar_source *source)
{
	const bool parked = source->consumer.parked;

	source->generation += UINT64_C(1) << 48;
	source->look = (struct rq_look){ 0 };
	source->consumer = (struct rq_consumer){ .parked = parked };
	rq_message_clear(&source->incoming);
	rq_link_open(source);
}

/* What the core is told; a connection of which it was told is gone. */
static enum bursar_verdict verdict_of(struct bursar_source *source,
                                      struct bursar_error *err)
{
	const enum bursar_verdict verdict = source->verdict;

	if (verdict == BURSAR_DONE) {
		return verdict;
	}
	bursar_fail(err, source->why.code, "%s", source->why.text);
	rq_message_clear(&source->incoming);
	rq_link_close(source);
	return verdict;
}

static enum bursar_verdict source_read(struct bursar_source *source,
                                     struct bursar_batch *batch, int wake,
                                     int64_t deadline,
                                     struct bursar_error *err)
{
	const size_t room = batch->room;

	source->max_message = batch->max_message;
	batch->ended = false;
	if (source->verdict == BURSAR_DONE && source->phase == RQ_AWAY) {
		if (room == 0) {
			rest(source, wake, true, deadline);
			return BURSAR_DONE;
		}
		begin(source);
	}
	if (source->verdict == BURSAR_DONE) {
		read_some(source, batch, wake, deadline);
	}
	if (source->verdict == BURSAR_DONE && source->phase != RQ_WORKING &&
	    room > 0 && rq_now() >= deadline) {
		bursar_fail(err, EAGAIN, "%.100s: not ready yet",
		            source->place.name);
		return BURSAR_RETRY;
	}
	return verdict_of(source, err);
}

static enum bursar_verdict source_settle(struct bursar_source *source,
                                       const struct bursar_settled *settled,
                                       size_t count, struct bursar_error *err)
{
	if (source->phase == RQ_WORKING && source->verdict == BURSAR_DONE) {
		rq_consumer_settle(source, settled, count);
		if (source->verdict == BURSAR_DONE) {
			rq_beat(source, rq_now());
		}
	}
	return verdict_of(source, err);
}

static void source_park(struct bursar_source *source, bool on)
{
	/* One that waits for room goes back with the others; one that is half
	 * here will meet a consumer that is stopping. */
	if (on && source->incoming.stage == RQ_WHOLE) {
		rq_message_clear(&source->incoming);
	}
	rq_consumer_park(source, on);
}

static const struct bursar_option options[] = {
	{ "uri", BURSAR_TYPE_TEXT, "amqp://guest:guest@localhost/",
	  "The broker: amqp://USER@HOST:PORT/VHOST, or amqps:// for TLS; "
	  "without VHOST it is /." },
	{ "user", BURSAR_TYPE_TEXT, "",
	  "Who logs in, in place of the user in uri." },
	{ "password", BURSAR_TYPE_SECRET, "",
	  "The password of the user." },
	{ "sasl", BURSAR_TYPE_CHOICE, "plain",
	  "How to log in: by password, or by the certificate of cert-file.",
	  .choices = "plain|external" },
	{ "ca-file", BURSAR_TYPE_PATH, "",
	  "Certificates that the broker's is checked against; by default those "
	  "of the system." },
	{ "cert-file", BURSAR_TYPE_PATH, "",
	  "Our own certificate, in PEM." },
	{ "key-file", BURSAR_TYPE_PATH, "",
	  "The key of our own certificate, in PEM." },
	{ "queue", BURSAR_TYPE_TEXT, NULL,
	  "The queue; declared durable where it is missing." },
	{ "queue-type", BURSAR_TYPE_CHOICE, "classic",
	  "The type of a queue that has to be declared.",
	  .choices = "classic|quorum" },
	{ "exchange", BURSAR_TYPE_TEXT, "",
	  "The exchange that the queue is bound to; its publisher makes it." },
	{ "binding", BURSAR_TYPE_LIST, "",
	  "Routing keys by which the queue is bound to the exchange, such as "
	  "metering.#; without any it is left as it is bound." },
	{ "dead-letter", BURSAR_TYPE_CHOICE, "letters",
	  "Where refused messages go: only among the dead letters, or to the "
	  "dead-letter exchange of the queue as well.",
	  .choices = "letters|broker" },
	{ "heartbeat", BURSAR_TYPE_DURATION, "15s",
	  "How long broker and source may be silent to each other; a peer that "
	  "is silent for twice as long is given up.",
	  .min = 1000, .max = 600000 },
	{ "connect-timeout", BURSAR_TYPE_DURATION, "10s",
	  "How long to wait for a connection, and for each answer.",
	  .min = 100, .max = 300000 },
	{ "look-interval", BURSAR_TYPE_DURATION, "30s",
	  "How often the exchange is looked for and the binding renewed.",
	  .min = 50, .max = 86400000 },
	{ "prefetch", BURSAR_TYPE_NUMBER, "40000",
	  "Messages that are taken before the first of them is stored, at "
	  "most: two batches.",
	  .min = 1, .max = 65535 },
	{ "prefetch-bytes", BURSAR_TYPE_SIZE, "32M",
	  "The same in bytes, by the mean size of the messages seen.",
	  .min = 65536, .max = INT64_C(1) << 32 },
	{ NULL }
};

static const char manual[] =
"Takes messages from one queue of RabbitMQ, or another broker of AMQP 0-9-1, "
"and acknowledges each after it is durable.  Several daemons may share a "
"queue.\n"
"\n"
"The queue is taken as it is, whatever its arguments; where it is missing it "
"is declared durable.  The exchange belongs to its publisher and is only looked "
"for: while it is missing there is a warning, exchange-missing, and the queue "
"is bound when it has come.  The user needs the right to read the queue, to "
"bind also to write to it and to read the exchange, and to configure the queue "
"if it has to be declared.\n"
"\n"
"With a uri of amqps:// the certificate of the broker is checked, its name "
"too; that cannot be turned off.  A password does not belong into the uri: "
"give password-file.\n"
"\n"
"After a start 50 messages at most are taken before one is stored, so that a "
"daemon that crashes at once does not use up the limit of deliveries that a "
"quorum queue has; from then on as many as prefetch and prefetch-bytes allow.  "
"Messages that are given back are requeued, never rejected.\n"
"\n"
"A message is known by its message_id.  Without one, equal messages are told "
"apart by counting; then two equal ones of which one comes again after a crash "
"may be taken for one.  Let producers set message_id.\n"
"\n"
"Headers with numbers and booleans become text, their names lower case; tables "
"and lists among them are left out, and so are headers after the 64th or "
"beyond 64 KB in all.\n"
"\n"
"What the broker refuses for want of a right, a virtual host or a queue that "
"fits waits for a person; everything else is tried again by itself: a "
"connection that is lost, a queue that is deleted and declared again, a "
"consumer that the broker cancels.  An error consumer-timeout means that the "
"broker lost patience with messages that could not be stored: see its "
"consumer_timeout.";

static const struct bursar_source_ops ops = {
	.answers = false,
	.open = source_open,
	.read = source_read,
	.settle = source_settle,
	.park = source_park,
	.close = source_close,
};

static const struct bursar_plugin_figure figures[] = {
	{ "connections_total", "Connections made to the broker." },
	{ "redelivered_total",
	  "Messages that the broker says it delivered before." },
	{ "often_delivered_total",
	  "Messages that come close to the delivery limit of their queue." },
	{ "headers_left_out_total",
	  "Headers that no text can hold, or that were too many." },
	{ "late_settled_total",
	  "Messages settled after their connection was gone." },
	{ "oversize_total", "Messages longer than max-message." },
	{ "prefetch_messages", "Messages that the broker may send ahead." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(source_amqp,
	.kind = BURSAR_SOURCE,
	.name = "amqp",
	.summary = "messages of a queue of RabbitMQ (AMQP 0-9-1)",
	.options = options,
	.figures = figures,
	.manual = manual,
	.ops.source = &ops,
);
