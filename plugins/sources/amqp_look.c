/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Exchange, queue and bindings.  The exchange is its publisher's and is only
 * looked for; the queue is taken as it is, and made where it is missing.
 *
 * Rounds of this go on for as long as the connection stands, because an
 * exchange may come late, and the bindings are lost without a word when it is
 * deleted and made again.  Each question has at most one answer due; "no" comes
 * as channel.close, after which the channel is opened again.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "amqp_source.h"

static void ask(struct bursar_source *source, enum rq_question question,
                amqp_method_number_t method, void *decoded)
{
	source->look.question = question;
	rq_send(source, RQ_CHANNEL_LOOK, method, decoded, true,
	        rq_now() + RQ_SECOND);
}

static void ask_exchange(struct bursar_source *source)
{
	amqp_exchange_declare_t declare = {
		.exchange = amqp_cstring_bytes(source->exchange),
		.type = amqp_cstring_bytes("topic"),	/* not looked at */
		.passive = 1,
	};

	source->look.exchange_asked = true;
	ask(source, RQ_ASK_EXCHANGE, AMQP_EXCHANGE_DECLARE_METHOD, &declare);
}

static void ask_queue(struct bursar_source *source)
{
	amqp_queue_declare_t declare = {
		.queue = amqp_cstring_bytes(source->queue),
		.passive = 1,
	};

	ask(source, RQ_ASK_QUEUE, AMQP_QUEUE_DECLARE_METHOD, &declare);
}

static void declare_queue(struct bursar_source *source)
{
	amqp_table_entry_t type = {
		.key = amqp_cstring_bytes("x-queue-type"),
		.value.kind = AMQP_FIELD_KIND_UTF8,
	};
	amqp_queue_declare_t declare = {
		.queue = amqp_cstring_bytes(source->queue),
		.durable = 1,
		.arguments = { 1, &type },
	};

	type.value.value.bytes = amqp_cstring_bytes(source->queue_type);
	ask(source, RQ_ASK_DECLARE, AMQP_QUEUE_DECLARE_METHOD, &declare);
}

static void bind_queue(struct bursar_source *source)
{
	amqp_queue_bind_t bind = {
		.queue = amqp_cstring_bytes(source->queue),
		.exchange = amqp_cstring_bytes(source->exchange),
		.routing_key = amqp_cstring_bytes(
			source->bindings[source->look.bound]),
	};

	ask(source, RQ_ASK_BIND, AMQP_QUEUE_BIND_METHOD, &bind);
}

static void end_round(struct bursar_source *source)
{
	struct rq_look *look = &source->look;

	look->question = RQ_ASK_NOTHING;
	look->next = rq_now() + source->look_us;
	if (source->phase == RQ_LOOKING) {
		source->phase = RQ_WORKING;
		rq_consumer_open(source);
	}
}

/* Who only checks changes nothing at the broker. */
static bool only_checks(const struct bursar_source *source)
{
	return source->host->state_dir == NULL;
}

/* The next question of this round. */
static void go_on(struct bursar_source *source)
{
	struct rq_look *look = &source->look;

	if (!look->is_open) {
		look->question = RQ_ASK_CHANNEL;
		rq_open_channel(source, RQ_CHANNEL_LOOK);
	} else if (source->exchange[0] != '\0' && !look->exchange_asked) {
		ask_exchange(source);
	} else if (look->queue_missing && only_checks(source)) {
		rq_fail(source, BURSAR_CONFIG, ENOENT, "there is no queue %s "
		        "yet; the daemon declares it when it starts",
		        source->queue);
	} else if (look->queue_missing) {
		declare_queue(source);
	} else if (!look->queue_there) {
		ask_queue(source);
	} else if (look->exchange_there && look->bound <
	           source->binding_count && !only_checks(source)) {
		bind_queue(source);
	} else {
		end_round(source);
	}
}

void rq_look(struct bursar_source *source, int64_t now)
{
	struct rq_look *look = &source->look;

	if (source->phase < RQ_LOOKING || look->question != RQ_ASK_NOTHING ||
	    now < look->next || source->verdict != BURSAR_DONE) {
		return;
	}
	if (source->phase == RQ_WORKING && source->exchange[0] == '\0') {
		look->next = INT64_MAX;
		return;
	}
	look->exchange_asked = false;
	look->bound = 0;
	go_on(source);
}

/* --- answers -------------------------------------------------------------- */

static void found_exchange(struct bursar_source *source)
{
	struct rq_look *look = &source->look;

	look->exchange_there = true;
	if (look->exchange_missed) {
		look->exchange_missed = false;
		source->host->log(source->host, BURSAR_INFO, "exchange-found",
		                  "exchange=\"%s\"", source->exchange);
	}
}

static void missed_exchange(struct bursar_source *source)
{
	struct rq_look *look = &source->look;

	look->exchange_there = false;
	if (!look->exchange_missed) {
		look->exchange_missed = true;
		source->host->log(source->host, BURSAR_WARNING,
		                  "exchange-missing", "exchange=\"%s\" "
		                  "queue=\"%s\" note=\"its publisher makes it; "
		                  "until then nothing is bound to it\"",
		                  source->exchange, source->queue);
	}
}

static void found_queue(struct bursar_source *source,
                        const amqp_queue_declare_ok_t *ok)
{
	source->look.queue_there = true;
	source->host->log(source->host, BURSAR_INFO,
	                  source->look.queue_missing ? "queue-declared"
	                                             : "queue-found",
	                  "queue=\"%s\" messages=%u consumers=%u",
	                  source->queue, ok->message_count,
	                  ok->consumer_count);
	source->look.queue_missing = false;
}

static const char *words_of(enum rq_question question)
{
	switch (question) {
	case RQ_ASK_EXCHANGE: return "the exchange cannot be looked at";
	case RQ_ASK_QUEUE:    return "the queue cannot be looked at";
	case RQ_ASK_DECLARE:  return "the queue cannot be declared";
	case RQ_ASK_BIND:     return "the queue cannot be bound";
	default:              return "no channel";
	}
}

/* A "no" that is none of those that are expected. */
static void refused(struct bursar_source *source, enum rq_question question,
                    const amqp_channel_close_t *close)
{
	char reply[150];

	rq_reply(reply, sizeof(reply), close->reply_code, close->reply_text);
	if (source->phase != RQ_WORKING) {
		rq_fail(source, rq_verdict_of(close->reply_code), EACCES,
		        "%s: %s", words_of(question), reply);
		return;
	}
	/* What is consumed goes on meanwhile. */
	source->host->log(source->host, BURSAR_WARNING, "binding-not-renewed",
	                  "queue=\"%s\" exchange=\"%s\" reason=\"%s: %s\"",
	                  source->queue, source->exchange, words_of(question),
	                  reply);
	end_round(source);
}

static void closed(struct bursar_source *source,
                   const amqp_channel_close_t *close)
{
	struct rq_look *look = &source->look;
	const enum rq_question question = look->question;
	const bool missing = close->reply_code == AMQP_NOT_FOUND;

	look->is_open = false;
	rq_channel_closed(source, RQ_CHANNEL_LOOK);
	if (question != RQ_ASK_NOTHING) {
		rq_answered(source);
	}
	if (missing && (question == RQ_ASK_EXCHANGE ||
	                question == RQ_ASK_BIND)) {
		missed_exchange(source);
	} else if (missing && question == RQ_ASK_QUEUE) {
		look->queue_missing = true;
	} else {
		refused(source, question, close);
		return;
	}
	go_on(source);
}

void rq_look_method(struct bursar_source *source, const amqp_method_t *method)
{
	static const struct {
		amqp_method_number_t method;
		enum rq_question     questions[2];
	} answers[] = {
		{ AMQP_CHANNEL_OPEN_OK_METHOD, { RQ_ASK_CHANNEL } },
		{ AMQP_EXCHANGE_DECLARE_OK_METHOD, { RQ_ASK_EXCHANGE } },
		{ AMQP_QUEUE_DECLARE_OK_METHOD,
		  { RQ_ASK_QUEUE, RQ_ASK_DECLARE } },
		{ AMQP_QUEUE_BIND_OK_METHOD, { RQ_ASK_BIND } },
	};
	const enum rq_question question = source->look.question;
	size_t i = 0;

	if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
		closed(source, method->decoded);
		return;
	}
	while (i < sizeof(answers) / sizeof(answers[0]) &&
	       answers[i].method != method->id) {
		i++;
	}
	if (i == sizeof(answers) / sizeof(answers[0]) ||
	    question == RQ_ASK_NOTHING ||
	    (answers[i].questions[0] != question &&
	     answers[i].questions[1] != question)) {
		rq_not_asked_for(source, method->id);
		return;
	}
	rq_answered(source);
	switch (question) {
	case RQ_ASK_CHANNEL:  source->look.is_open = true; break;
	case RQ_ASK_EXCHANGE: found_exchange(source); break;
	case RQ_ASK_BIND:     source->look.bound++; break;
	default:              found_queue(source, method->decoded); break;
	}
	go_on(source);
}
