/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One thread, one source.  Flights stand in a list in the order in which they
 * were read; the oldest is settled first, and a message only when no earlier
 * one of its lane is unfinished.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/metrics.h"
#include "flow/intake.h"
#include "flow/lanes.h"

#define FLIGHT_MESSAGES 1024
#define FLIGHT_BYTES    (1u << 20)
#define TICK_US         INT64_C(1000000)
#define FIRST_WAIT_US   INT64_C(2000)	/* for the teams of a book */
#define SETTLE_MAX      4096

const char *const intake_state_names[] = {
	[INTAKE_OPEN] = "open", [INTAKE_HELD] = "held",
	[INTAKE_BLOCKED] = "blocked", [INTAKE_PARKED] = "parked",
	[INTAKE_SLOW] = "slow", [INTAKE_PAUSED] = "paused",
	[INTAKE_ENDED] = "ended",
};

/* What messages are counted under, one of these each. */
enum {
	STORED, DUPLICATE, CONFLICT, REFUSED, RETURNED, DISCARDED,
	VOID,			/* its source forgot it, with the connection */
	OUTCOMES
};

static const char *const outcome_names[OUTCOMES] = {
	[STORED] = "stored", [DUPLICATE] = "duplicate",
	[CONFLICT] = "conflict", [REFUSED] = "refused",
	[RETURNED] = "returned", [DISCARDED] = "discarded", [VOID] = "void",
};

struct intake {
	struct bursar_batch batch;	/* what read() fills; first, see
					 * intake_of() */
	struct flight  *filling;	/* ... and with it */

	struct intake_options o;
	const struct bursar_source_ops *ops;
	pthread_t     thread;
	bool          running;
	int           bell;		/* eventfd: something finished, or stop */

	_Atomic bool  draining;
	_Atomic bool  stopping;
	_Atomic bool  done;

	pthread_mutex_t lock;		/* guards what follows */
	enum intake_state state;
	char          why[250];
	int64_t       since;
	size_t        messages, bytes;	/* in flight */
	int64_t       oldest;
	size_t        hand_messages, hand_bytes;	/* being prepared */
	int64_t       hand_since;

	/* The thread's own: */
	struct flight  *hand;		/* read, and not in the list yet */
	struct bursar_source *source;
	struct preparer preparer;
	struct flight  *first, *last;
	struct backoff  backoff;
	int64_t         wait_until;	/* no read before; monotonic */
	bool            ended;
	bool            returning;	/* wait until all is settled */
	bool            parked;		/* ... and until there is a key */
	bool            recalling;	/* all in flight is being given back */
	bool            recalled;	/* ... and was: until writers have it */
	bool            told;		/* the source knows that it is parked */
	bool            decoding;	/* counted in *o.decoding */
	int64_t         unknown_us;	/* until the next look whether teams
					 * are known */
	int64_t         read_bytes;	/* of bodies, by this read */
	int64_t         redelivered;	/* messages, by this read */
	struct lanes    lanes;
	struct bursar_settled  settled[SETTLE_MAX];
	struct flight_message *settling[SETTLE_MAX];
	struct bursar_message *settling_rooms;	/* as many */

	_Atomic int64_t busy_since;	/* us, monotonic: of this turn */

	struct {
		struct metric *read, *bytes, *redelivered, *reopens;
		struct metric *outcomes[OUTCOMES];
		struct metric *retries[BURSAR_CONFIG + 1];
		struct metric *letters[DEAD_REASONS];
		struct histogram *settle_time, *age;
	} m;
};

/* Microseconds. */
static const struct histogram_shape settle_time_shape = {
	"bursar_end_to_end_seconds",
	"Time from the receipt of a message to its settlement.", 6,
	14, { 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
	      1000000, 2500000, 5000000, 10000000, 60000000 },
};

/* Milliseconds: a sum of microseconds would soon be too large. */
static const struct histogram_shape age_shape = {
	"bursar_message_age_seconds",
	"Time from what a message says of itself to its settlement.", 3,
	12, { 100, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 1800000,
	      7200000, 86400000 },
};

static struct intake *intake_of(struct bursar_batch *batch)
{
	return (struct intake *)batch;
}

/* --- state --------------------------------------------------------------- */

static void set_state(struct intake *in, enum intake_state state,
                      const char *why)
{
	pthread_mutex_lock(&in->lock);
	const bool changed = in->state != state;
	in->state = state;
	snprintf(in->why, sizeof(in->why), "%s", why);
	if (changed) {
		in->since = clock_mono_us();
	}
	pthread_mutex_unlock(&in->lock);
	if (!changed) {
		return;
	}

	static const enum bursar_level levels[] = {
		[INTAKE_OPEN] = BURSAR_INFO, [INTAKE_HELD] = BURSAR_WARNING,
		[INTAKE_BLOCKED] = BURSAR_ERROR, [INTAKE_PARKED] = BURSAR_ERROR,
		[INTAKE_SLOW] = BURSAR_ERROR, [INTAKE_PAUSED] = BURSAR_ERROR,
		[INTAKE_ENDED] = BURSAR_INFO,
	};
	const bool left = state == INTAKE_ENDED && why[0] != '\0';
	char event[32];
	snprintf(event, sizeof(event), "source-%s", intake_state_names[state]);
	log_event(left ? BURSAR_ERROR : levels[state],
	          in->o.instance->host.name, event, "why=%s", why);
	flight_ring(in->o.changed);
}

/* At work on messages that no writer has yet: worth lingering for. */
static void set_decoding(struct intake *in, bool decoding)
{
	if (in->decoding == decoding) {
		return;
	}
	in->decoding = decoding;
	if (decoding) {
		atomic_fetch_add(in->o.decoding, 1);
	} else if (atomic_fetch_sub(in->o.decoding, 1) == 1) {
		for (size_t i = 0; i < in->o.writer_count; i++) {
			writer_poke(in->o.writers[i]);
		}
	}
}

/* Not before then; doubled with every failure. */
static void wait_after_failure(struct intake *in, enum bursar_verdict verdict)
{
	metric_add(in->m.retries[verdict], 1);
	in->wait_until = clock_mono_us() +
		(verdict == BURSAR_CONFIG ? in->o.look_us
		                          : backoff_next(&in->backoff));
}

/* Waits for the bell, or until then. */
static void sleep_until(struct intake *in, int64_t until)
{
	struct pollfd fd = { .fd = in->bell, .events = POLLIN };
	const int64_t left = until - clock_mono_us();

	if (left > 0) {
		poll(&fd, 1, (int)(left / 1000 + 1));
	}
}

static void silence_bell(struct intake *in)
{
	uint64_t rings;

	if (read(in->bell, &rings, sizeof(rings)) < 0) {
		return;		/* it was silent */
	}
}

/* --- flights ------------------------------------------------------------- */

static void account(struct intake *in)
{
	size_t messages = 0, bytes = 0;

	for (const struct flight *f = in->first; f != NULL; f = f->next) {
		messages += f->unsettled;
		bytes += f->arena.bytes;
	}
	pthread_mutex_lock(&in->lock);
	in->messages = messages;
	in->bytes = bytes;
	in->oldest = in->first != NULL ? in->first->read_at : 0;
	in->hand_messages = in->hand != NULL ? in->hand->count : 0;
	in->hand_bytes = in->hand != NULL ? in->hand->arena.bytes : 0;
	in->hand_since = in->hand != NULL ? in->hand->read_at : 0;
	pthread_mutex_unlock(&in->lock);
}

/* What is in hand is in flight, too, for who looks at us: it may take long to
 * be prepared, where a key or the disk of the dead letters is slow. */
static void take_in_hand(struct intake *in, struct flight *flight)
{
	in->hand = flight;
	account(in);
}

static void append(struct intake *in, struct flight *flight)
{
	if (in->last != NULL) {
		in->last->next = flight;
	} else {
		in->first = flight;
	}
	in->last = flight;
	take_in_hand(in, NULL);
}

/* A flight that writers still have stays, though nothing of it is to be
 * settled: it takes its part of the window. */
static void drop_settled(struct intake *in)
{
	while (in->first != NULL && in->first->unsettled == 0 &&
	       atomic_load(&in->first->unfinished) == 0) {
		struct flight *flight = in->first;

		in->first = flight->next;
		flight_release(flight);
	}
	if (in->first == NULL) {
		in->last = NULL;
	}
	account(in);
}

static void count_void(struct intake *in, const struct flight *flight)
{
	metric_add(in->m.outcomes[VOID], (int64_t)flight->unsettled);
}

/* The tokens of all flights mean nothing any more. */
static void void_tokens(struct intake *in)
{
	for (struct flight *f = in->first; f != NULL; f = f->next) {
		count_void(in, f);
		for (struct flight_message *m = f->first; m != NULL;
		     m = m->next) {
			m->settled = true;
		}
		f->unsettled = 0;
	}
	drop_settled(in);
}

static void forget_flights(struct intake *in)
{
	while (in->first != NULL) {
		struct flight *flight = in->first;

		in->first = flight->next;
		count_void(in, flight);
		flight_release(flight);
	}
	in->last = NULL;
	account(in);
}

/* --- settling ------------------------------------------------------------ */

static bool is_finished(const struct flight_message *m)
{
	return atomic_load(&((struct flight_message *)m)->waiting) == 0;
}

/* Whether its writers are not done with it, or one before it in its lane. */
static bool must_wait(struct intake *in, const struct flight_message *m)
{
	if (in->recalling) {
		return false;
	}
	if (!is_finished(m)) {
		lanes_block(&in->lanes, m->lane);
		return true;
	}
	return lanes_is_blocked(&in->lanes, m->lane);
}

/* What the source is told of it; the message itself where it may ask. */
static void list_message(struct intake *in, struct flight_message *m,
                         size_t at)
{
	const enum bursar_outcome outcome =
		in->recalling ? BURSAR_RETURNED : flight_outcome(m);
	const bool refused = outcome == BURSAR_REFUSED ||
	                     outcome == BURSAR_CONFLICT;

	in->settling[at] = m;
	in->settled[at] = (struct bursar_settled){
		.token = m->token,
		.outcome = outcome,
		.reason = refused ? atomic_load(&m->reason) : NULL,
		.message = refused || outcome == BURSAR_RETURNED
		         ? flight_delivered(m, &in->settling_rooms[at]) : NULL,
	};
}

/* Messages of this flight that can be settled now, into in->settling. */
static size_t list_settled(struct intake *in, struct flight *flight,
                           size_t count)
{
	if (flight->unsettled == 0) {
		return count;
	}
	if (flight->one_lane && !in->recalling &&
	    atomic_load(&flight->unfinished) == flight->unsettled) {
		lanes_block(&in->lanes, flight->first->lane);
		return count;
	}
	for (struct flight_message *m = flight->first;
	     m != NULL && count < SETTLE_MAX; m = m->next) {
		if (!m->settled && !must_wait(in, m)) {
			list_message(in, m, count++);
		}
	}
	return count;
}

static unsigned counted_under(const struct flight_message *m,
                              enum bursar_outcome outcome)
{
	static const uint8_t outcomes[] = {
		[BURSAR_STORED] = STORED, [BURSAR_DUPLICATE] = DUPLICATE,
		[BURSAR_CONFLICT] = CONFLICT, [BURSAR_REFUSED] = REFUSED,
		[BURSAR_RETURNED] = RETURNED,
	};
	const unsigned happened =
		atomic_load(&((struct flight_message *)m)->happened);

	return outcome != BURSAR_RETURNED && happened & FLIGHT_DISCARDED
	       ? DISCARDED : outcomes[outcome];
}

/* Ages of messages, by what they say of themselves: those of one second, as a
 * broker tells it, often come together. */
static void count_ages(struct intake *in, size_t count)
{
	const int64_t now = clock_wall_us();
	int64_t time = 0;
	uint64_t same = 0;

	for (size_t i = 0; i < count; i++) {
		struct bursar_message room;
		const int64_t said = flight_delivered(in->settling[i],
		                                      &room)->timestamp_us;

		if (said == 0 || in->settled[i].outcome == BURSAR_RETURNED) {
			continue;
		}
		if (said != time && same > 0) {
			histogram_add(in->m.age, (now - time) / 1000, same);
			same = 0;
		}
		time = said;
		same++;
	}
	if (same > 0) {
		histogram_add(in->m.age, (now - time) / 1000, same);
	}
}

/* What a flight brought was received at one time. */
static void count_times(struct intake *in, size_t count)
{
	const int64_t now = clock_mono_us();
	const struct flight *flight = in->settling[0]->flight;
	uint64_t same = 0;
	bool stamped = false;

	for (size_t i = 0; i < count; i++) {
		const struct flight *next = in->settling[i]->flight;

		if (next != flight) {
			histogram_add(in->m.settle_time,
			              now - flight->read_at, same);
			flight = next;
			same = 0;
		}
		same += in->settled[i].outcome != BURSAR_RETURNED;
		stamped |= next->stamped > 0;
	}
	histogram_add(in->m.settle_time, now - flight->read_at, same);
	if (stamped) {
		count_ages(in, count);
	}
}

static void mark_settled(struct intake *in, size_t count)
{
	int64_t outcomes[OUTCOMES] = { 0 };

	for (size_t i = 0; i < count; i++) {
		struct flight_message *m = in->settling[i];

		m->settled = true;
		m->flight->unsettled--;
		outcomes[counted_under(m, in->settled[i].outcome)]++;
	}
	for (size_t i = 0; i < OUTCOMES; i++) {
		if (outcomes[i] > 0) {
			metric_add(in->m.outcomes[i], outcomes[i]);
		}
	}
}

static void reopen_later(struct intake *in, const struct bursar_error *err)
{
	metric_add(in->m.reopens, 1);
	in->ops->close(in->source);
	in->source = NULL;
	in->told = false;
	in->ended = false;	/* it begins again */
	void_tokens(in);
	set_state(in, INTAKE_HELD, err->text);
	wait_after_failure(in, BURSAR_DOWN);
}

/* What has to be on disk before senders are told.  Returns 0, or -1 with *err
 * filled. */
static int write_letters(struct intake *in, size_t count,
                         struct bursar_error *err)
{
	bool added = false;

	if (!in->ops->answers) {
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (letter_besides(in->o.box, in->settling[i], &added,
		                   err) != 0) {
			return -1;
		}
	}
	return added ? deadletters_sync(in->o.box->letters, err) : 0;
}

static void settle_later(struct intake *in, const struct bursar_error *err)
{
	set_state(in, INTAKE_HELD, err->text);
	wait_after_failure(in, BURSAR_RETRY);
}

/* Tells the source of up to SETTLE_MAX messages.  Returns how many. */
static size_t settle_some(struct intake *in)
{
	struct bursar_error err = { 0 };
	size_t count = 0;

	lanes_clear(&in->lanes);
	for (struct flight *f = in->first; f != NULL && count < SETTLE_MAX;
	     f = f->next) {
		count = list_settled(in, f, count);
	}
	if (count == 0 || in->source == NULL) {
		return 0;
	}
	if (!in->recalling && write_letters(in, count, &err) != 0) {
		settle_later(in, &err);
		return 0;
	}
	switch (in->ops->settle(in->source, in->settled, count, &err)) {
	case BURSAR_DONE:
		break;
	case BURSAR_DOWN:
		reopen_later(in, &err);
		return 0;
	case BURSAR_RETRY:
	case BURSAR_REJECT:
	case BURSAR_CONFIG:
		settle_later(in, &err);
		return 0;
	}
	mark_settled(in, count);
	count_times(in, count);
	drop_settled(in);
	return count;
}

static void settle(struct intake *in)
{
	while (settle_some(in) == SETTLE_MAX) {
	}
}

static bool is_held_too_long(const struct intake *in)
{
	return in->ops->park != NULL && in->messages > 0 &&
		clock_mono_us() - in->oldest > in->o.source->give_back_us;
}

/*
 * A peer that waits for an answer does not wait for ever.  Before it takes the
 * messages back itself, with the connection, they are given back.  Writers keep
 * them all the same: by storing them they find out when the outage is over, and
 * what comes again then is a duplicate.
 */
static void recall(struct intake *in)
{
	if (in->source == NULL || !is_held_too_long(in)) {
		return;
	}
	set_state(in, INTAKE_PARKED, "messages waited too long for a sink and "
	          "were given back");
	in->recalled = true;
	in->recalling = true;
	settle(in);
	in->recalling = false;
}

/* --- reading ------------------------------------------------------------- */

static bool add_message(struct bursar_batch *batch,
                        const struct bursar_message *message)
{
	struct intake *in = intake_of(batch);

	if (batch->room == 0 ||
	    (in->filling->count > 0 &&
	     (in->filling->arena.bytes + message->body.size > FLIGHT_BYTES ||
	      in->bytes + in->filling->arena.bytes + message->body.size >
	      in->o.source->window_bytes)) ||
	    flight_add(in->filling, message) == NULL) {
		return false;
	}
	batch->room--;
	in->read_bytes += (int64_t)message->body.size;
	in->redelivered += (message->flags & BURSAR_MESSAGE_REDELIVERED) != 0;
	in->filling->stamped += message->timestamp_us != 0;
	return true;
}

/* How many messages may be read now. */
static size_t room(const struct intake *in)
{
	const struct setup_source *source = in->o.source;

	if (atomic_load(&((struct intake *)in)->draining) || in->ended ||
	    in->returning || in->parked || in->recalled ||
	    clock_mono_us() < in->wait_until ||
	    in->messages >= source->window_messages ||
	    in->bytes >= source->window_bytes) {
		return 0;
	}
	if (in->preparer.broken_in_row >= PREPARE_BROKEN_MAX) {
		return in->first == NULL ? 1 : 0;
	}
	const size_t left = source->window_messages - in->messages;
	return left < FLIGHT_MESSAGES ? left : FLIGHT_MESSAGES;
}

/* Gives back every message from m on.  No writer has seen the flight: from
 * then on its messages do not change but for their atomics. */
static void give_back(struct intake *in, struct flight_message *m)
{
	for (; m != NULL; m = m->next) {
		m->records = NULL;
		atomic_store(&m->waiting, 1);
		flight_part_done(m, FLIGHT_RETURNED);
	}
	in->returning = true;
	in->ended = false;	/* they come again */
}

/* Hands the records of messages before `end` to writers, and finishes the
 * intake's part of these messages. */
static void push(struct intake *in, struct flight *flight,
                 struct writer_ticket *tickets,
                 const struct flight_message *end)
{
	for (size_t i = 0; i < in->o.writer_count; i++) {
		writer_push(in->o.writers[i], flight, &tickets[i]);
	}
	for (struct flight_message *m = flight->first; m != end; m = m->next) {
		flight_part_done(m, 0);
	}
}

/* Reads nothing, so that a connection stays alive. */
static void keep_alive(struct intake *in)
{
	struct bursar_error err = { 0 };

	in->batch = (struct bursar_batch){
		.add = add_message, .max_message = in->o.max_message,
	};
	if (in->ops->read(in->source, &in->batch, in->bell, clock_mono_us(),
	                  &err) == BURSAR_DOWN) {
		reopen_later(in, &err);
	}
}

/* Letters must be durable before their messages are settled.  False: there is
 * nothing to wait for any more, the thread ends or the source was closed. */
static bool wait_for_letters(struct intake *in, const struct bursar_error *err)
{
	if (atomic_load(&in->stopping)) {
		return false;
	}
	set_state(in, INTAKE_PAUSED, err->text);
	settle(in);
	if (in->source == NULL) {
		return false;
	}
	const int64_t now = clock_mono_us();
	const int64_t tick = now + TICK_US;
	const int64_t next = now + backoff_next(&in->backoff);
	atomic_store(&in->busy_since, now);
	keep_alive(in);
	sleep_until(in, next < tick ? next : tick);
	silence_bell(in);
	return in->source != NULL;
}

/* A key that cannot be had now: others may have the messages meanwhile. */
static void park(struct intake *in, const struct bursar_error *err)
{
	const bool must_act = in->preparer.stuck != NULL &&
		in->preparer.must_act;

	in->parked = true;
	set_state(in, must_act ? INTAKE_BLOCKED : INTAKE_PARKED, err->text);
}

static void after_return(struct intake *in, bool outage,
                         const struct bursar_error *err)
{
	if (outage) {
		park(in, err);
	} else if (in->preparer.broken_in_row < PREPARE_BROKEN_MAX) {
		set_state(in, INTAKE_HELD, err->text);
		wait_after_failure(in, BURSAR_RETRY);
	}
}

static void slow_down(struct intake *in)
{
	if (in->preparer.broken_in_row >= PREPARE_BROKEN_MAX) {
		set_state(in, INTAKE_SLOW,
		          "message after message cannot be decrypted: is it the"
		          " right key?");
		in->wait_until = clock_mono_us() + backoff_next(&in->backoff);
	} else if (in->state == INTAKE_SLOW) {
		backoff_reset(&in->backoff);
		set_state(in, INTAKE_OPEN, "");
	}
}

/*
 * Makes records or durable letters of the messages before *end; NULL: of all.
 * Takes as long as letters need; *outage: no key is at hand.
 */
static void prepare(struct intake *in, struct flight *flight,
                    struct flight_message **end, bool *outage,
                    struct bursar_error *err)
{
	enum prepared prepared;

	*end = NULL;
	while ((prepared = prepare_flight(&in->preparer, flight, end, outage,
	                                  err)) == PREPARED_LETTERS &&
	       wait_for_letters(in, err)) {
		*err = (struct bursar_error){ 0 };
	}
	flight_settle_down(flight);
	if (prepared == PREPARED) {
		*end = NULL;
	}
	struct bursar_error why = { 0 };
	while (deadletters_sync(in->o.box->letters, &why) != 0) {
		if (!wait_for_letters(in, &why)) {
			*end = flight->first;
			return;
		}
		why = (struct bursar_error){ 0 };
	}
}

/* Brings a flight on its way; what cannot go is given back. */
static void process(struct intake *in, struct flight *flight)
{
	struct flight_message *end;
	struct bursar_error err = { 0 };
	bool outage;

	prepare(in, flight, &end, &outage, &err);
	if (in->source == NULL) {
		/* Closed while letters could not be written: what it brought
		 * comes again, under other tokens. */
		count_void(in, flight);
		take_in_hand(in, NULL);
		flight_release(flight);
		return;
	}
	if (in->state == INTAKE_PAUSED) {
		set_state(in, INTAKE_OPEN, "");
	}
	struct writer_ticket *tickets =
		arena_alloc(&flight->arena,
		            in->o.writer_count * sizeof(*tickets));
	if (tickets == NULL) {
		bursar_fail(&err, ENOMEM, "out of memory");
		end = flight->first;
	} else if (atomic_load(&in->stopping)) {
		end = flight->first;
	}
	append(in, flight);
	if (end != NULL) {
		give_back(in, end);
	}
	if (end != flight->first) {
		push(in, flight, tickets, end);
	}
	if (end != NULL) {
		after_return(in, outage, &err);
	}
	slow_down(in);
}

static bool open_source(struct intake *in)
{
	struct bursar_error err = { 0 };

	in->source = in->ops->open(&in->o.instance->host, &err);
	if (in->source == NULL) {
		set_state(in, INTAKE_HELD, err.text);
		wait_after_failure(in, BURSAR_DOWN);
		return false;
	}
	return true;
}

/* What the source said of a read that did not work. */
static void read_failed(struct intake *in, enum bursar_verdict verdict,
                        const struct bursar_error *err)
{
	if (verdict == BURSAR_DOWN) {
		reopen_later(in, err);
		return;
	}
	set_state(in, verdict == BURSAR_CONFIG ? INTAKE_BLOCKED : INTAKE_HELD,
	          err->text);
	wait_after_failure(in, verdict);
}

/* `left`: what a source that has ended could not read, or "". */
static void read_worked(struct intake *in, const char *left)
{
	if (in->state == INTAKE_HELD || in->state == INTAKE_BLOCKED) {
		set_state(in, INTAKE_OPEN, "");
	}
	if (in->preparer.broken_in_row < PREPARE_BROKEN_MAX) {
		backoff_reset(&in->backoff);
	}
	if (in->batch.ended && !in->ended) {
		in->ended = true;
		set_state(in, INTAKE_ENDED, left);
	}
}

/* When read() shall come back with nothing. */
static int64_t next_deadline(const struct intake *in)
{
	const int64_t now = clock_mono_us();
	const int64_t tick = now + TICK_US;

	return in->wait_until > now && in->wait_until < tick ? in->wait_until
	                                                     : tick;
}

/* Senders that wait for their answers send nothing more until they have them:
 * a look is enough to know whether writers need not linger. */
static bool only_looks(const struct intake *in)
{
	return in->decoding && in->ops->answers;
}

/*
 * Read came back with nothing because a writer rang, not because nothing comes:
 * what streams in is worth lingering for as it was before.  Else each commit
 * would be followed by a small one.
 */
static bool was_called(const struct intake *in, enum bursar_verdict verdict,
                       int64_t deadline)
{
	return in->decoding && verdict == BURSAR_DONE && !in->ops->answers &&
	       !in->batch.ended && clock_mono_us() < deadline;
}

static void count_read(struct intake *in, const struct flight *flight)
{
	if (flight->count > 0) {
		metric_add(in->m.read, (int64_t)flight->count);
		metric_add(in->m.bytes, in->read_bytes);
		metric_add(in->m.redelivered, in->redelivered);
		in->read_bytes = 0;
		in->redelivered = 0;
	}
}

/* Facts that come before the book can be read would have no team for ever; it
 * could not take them either. */
static void wait_for_teams(struct intake *in)
{
	const struct bursar_kind *kind = in->o.source->kind;

	if (teams_known(in->o.teams) || (kind != NULL && !kind->fact)) {
		return;
	}
	in->unknown_us = in->unknown_us == 0 ? FIRST_WAIT_US
	                                     : 2 * in->unknown_us;
	in->unknown_us = in->unknown_us < TICK_US ? in->unknown_us : TICK_US;
	const int64_t until = clock_mono_us() + in->unknown_us;
	in->wait_until = in->wait_until > until ? in->wait_until : until;
	if (in->unknown_us == TICK_US) {
		set_state(in, INTAKE_HELD, "the book has not answered yet "
		          "which teams its workers are of");
	}
}

/* An empty flight and batch for the next read; false: memory is short. */
static bool begin_filling(struct intake *in)
{
	in->filling = flight_create(clock_mono_us());
	if (in->filling == NULL) {
		return false;
	}
	in->filling->bell = in->bell;
	in->filling->source = in->o.source->item.name;
	in->filling->answers = in->ops->answers;
	in->filling->letters = in->m.letters;
	in->batch = (struct bursar_batch){
		.add = add_message,
		.room = room(in),
		.max_message = in->o.max_message,
		.drain = in->o.once,
	};
	return true;
}

/* What was read, to be taken in hand; NULL: nothing that could be settled. */
static struct flight *end_filling(struct intake *in,
                                  enum bursar_verdict verdict)
{
	struct flight *flight = in->filling;

	in->filling = NULL;
	if (verdict != BURSAR_DOWN && flight->count > 0) {
		return flight;
	}
	count_read(in, flight);
	count_void(in, flight);
	flight_release(flight);
	return NULL;
}

static void read_once(struct intake *in)
{
	struct bursar_error err = { 0 };
	const int64_t deadline = next_deadline(in);

	if (!begin_filling(in)) {
		sleep_until(in, deadline);
		return;
	}
	const bool wanted = in->batch.room > 0;
	set_decoding(in, in->decoding && wanted);
	const enum bursar_verdict verdict =
		in->ops->read(in->source, &in->batch, in->bell,
		              wanted && !only_looks(in) ? deadline
		                                        : clock_mono_us(),
		              &err);

	struct flight *flight = end_filling(in, verdict);
	const bool left = verdict == BURSAR_CONFIG && in->batch.ended;
	if (verdict != BURSAR_DONE && !left) {
		set_decoding(in, false);
		read_failed(in, verdict, &err);
	} else if (wanted) {
		read_worked(in, err.text);
	}
	set_decoding(in, flight != NULL || was_called(in, verdict, deadline));
	if (flight != NULL) {
		flight->read_at = clock_mono_us();
		take_in_hand(in, flight);
		count_read(in, flight);
		process(in, flight);
	} else if (!wanted) {
		sleep_until(in, deadline);
	}
}

/* What was given back is settled: let others have it, or go on. */
static void after_settling(struct intake *in)
{
	const bool opens = in->o.keyring == NULL ||
		keyring_tick(in->o.keyring);
	const bool usable = preparer_tick(&in->preparer) && opens;

	if (in->messages > 0) {
		return;
	}
	in->returning = false;
	const bool was_parked = in->parked || in->recalled;
	in->parked = in->parked && !usable;
	if (!in->parked) {
		in->preparer.stuck = NULL;
	}
	in->recalled = in->recalled && in->first != NULL;
	const bool parked = in->parked || in->recalled;
	if (was_parked && !parked) {
		set_state(in, INTAKE_OPEN, "");
	}
	if (parked != in->told && in->source != NULL) {
		in->told = parked;
		if (in->ops->park != NULL) {
			in->ops->park(in->source, parked);
		}
	}
}

static bool is_done(const struct intake *in)
{
	return in->first == NULL &&
	       (in->ended || atomic_load(&((struct intake *)in)->draining));
}

static void *run(void *arg)
{
	struct intake *in = arg;

	while (!atomic_load(&in->stopping)) {
		atomic_store(&in->busy_since, clock_mono_us());
		silence_bell(in);
		settle(in);
		drop_settled(in);
		recall(in);
		after_settling(in);
		if (is_done(in)) {
			set_decoding(in, false);
			if (!atomic_exchange(&in->done, true)) {
				flight_ring(in->o.changed);
			}
		}
		if (in->source == NULL) {
			set_decoding(in, false);
			sleep_until(in, next_deadline(in));
			if (clock_mono_us() >= in->wait_until &&
			    !atomic_load(&in->draining)) {
				open_source(in);
			}
			continue;
		}
		wait_for_teams(in);
		read_once(in);
	}
	set_decoding(in, false);
	atomic_store(&in->busy_since, 0);
	return NULL;
}

/* --- from outside -------------------------------------------------------- */

static struct metric *message_metric(const char *source, const char *outcome)
{
	return metrics_get("bursar_messages_total",
	                   "Messages settled, by what became of them.", true,
	                   "source", source, "outcome", outcome, NULL);
}

static void get_metrics(struct intake *in)
{
	const char *source = in->o.source->item.name;

	in->m.read = metrics_get("bursar_messages_read_total",
	                         "Messages read.", true, "source", source,
	                         NULL);
	in->m.bytes = metrics_get("bursar_read_bytes_total",
	                          "Bytes of the bodies read.", true, "source",
	                          source, NULL);
	in->m.redelivered = metrics_get(
		"bursar_messages_redelivered_total",
		"Messages read that had been delivered before.", true,
		"source", source, NULL);
	for (size_t i = 0; i < OUTCOMES; i++) {
		in->m.outcomes[i] = message_metric(source, outcome_names[i]);
	}
	metrics_retries(in->m.retries, "bursar_source_retries_total",
	                "Times that a source had to wait.", "source", source);
	for (size_t i = 0; i < DEAD_REASONS; i++) {
		in->m.letters[i] = metrics_get(
			"bursar_dead_letters_total", "Dead letters written.",
			true, "source", source, "reason", dead_reasons[i],
			NULL);
	}
	in->m.settle_time = metrics_histogram(&settle_time_shape, "source",
	                                      source, NULL);
	in->m.age = metrics_histogram(&age_shape, "source", source, NULL);
	in->m.reopens = metrics_get("bursar_source_reopens_total",
	                            "Connections lost.", true, "source",
	                            source, NULL);
}

static struct preparer preparer_of(const struct intake_options *options)
{
	return (struct preparer){
		.source = options->source,
		.format = options->format,
		.format_ops = options->format_ops,
		.keyring = options->keyring,
		.box = options->box,
		.prices = options->prices,
		.teams = options->teams,
		.routes = options->routes,
		.required = options->required,
		.seals = options->seals,
		.max_message = options->max_message,
	};
}

struct intake *intake_create(const struct intake_options *options,
                             struct bursar_error *err)
{
	struct intake *in = calloc(1, sizeof(*in));
	if (in == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	in->o = *options;
	in->ops = options->instance->plugin->ops.source;
	in->source = options->open;
	in->since = clock_mono_us();
	pthread_mutex_init(&in->lock, NULL);
	lanes_init(&in->lanes);
	in->preparer = preparer_of(options);
	in->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (in->bell < 0) {
		bursar_fail(err, errno, "eventfd: %s", strerror(errno));
		goto fail;
	}
	if (preparer_init(&in->preparer, err) != 0) {
		goto fail;
	}
	in->settling_rooms = calloc(SETTLE_MAX, sizeof(*in->settling_rooms));
	if (in->settling_rooms == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto fail;
	}
	if (in->source == NULL) {
		in->source = in->ops->open(&options->instance->host, err);
		if (in->source == NULL) {
			goto fail;
		}
	}
	get_metrics(in);
	return in;

fail:
	in->source = NULL;	/* options->open, which is not taken */
	intake_destroy(in);
	return NULL;
}

int intake_start(struct intake *in, struct bursar_error *err)
{
	assert(!in->running);

	const int error = pthread_create(&in->thread, NULL, run, in);
	if (error != 0) {
		return bursar_fail(err, error, "cannot start a thread: %s",
		                   strerror(error));
	}
	in->running = true;
	return 0;
}

void intake_drain(struct intake *in)
{
	atomic_store(&in->draining, true);
	flight_ring(in->bell);
}

bool intake_is_done(struct intake *in)
{
	return atomic_load(&in->done);
}

/* What nobody will finish any more goes back to the source, and with it what
 * came after it in its lane. */
static void return_rest(struct intake *in)
{
	lanes_clear(&in->lanes);
	for (struct flight *f = in->first; f != NULL; f = f->next) {
		for (struct flight_message *m = f->first; m != NULL;
		     m = m->next) {
			if (!is_finished(m)) {
				lanes_block(&in->lanes, m->lane);
				atomic_store(&m->waiting, 1);
				flight_part_done(m, FLIGHT_RETURNED);
			} else if (!m->settled &&
			           lanes_is_blocked(&in->lanes,
			                            m->lane)) {
				atomic_fetch_or(&m->happened, FLIGHT_RETURNED);
			}
		}
	}
	settle(in);
	forget_flights(in);
}

void intake_stop(struct intake *in)
{
	if (!in->running) {
		return;
	}
	atomic_store(&in->stopping, true);
	flight_ring(in->bell);
	pthread_join(in->thread, NULL);
	in->running = false;
	return_rest(in);
}

struct bursar_source *intake_take_source(struct intake *in)
{
	assert(!in->running);

	struct bursar_source *source = in->source;
	in->source = NULL;
	return source;
}

void intake_destroy(struct intake *in)
{
	if (in == NULL) {
		return;
	}
	intake_stop(in);
	in->ops->close(in->source);
	preparer_finish(&in->preparer);
	lanes_finish(&in->lanes);
	free(in->settling_rooms);
	if (in->bell >= 0) {
		close(in->bell);
	}
	pthread_mutex_destroy(&in->lock);
	free(in);
}

void intake_get_status(struct intake *in, struct intake_status *status)
{
	pthread_mutex_lock(&in->lock);
	status->state = in->state;
	memcpy(status->why, in->why, sizeof(status->why));
	status->since = in->since;
	status->messages = in->messages + in->hand_messages;
	status->bytes = in->bytes + in->hand_bytes;
	status->oldest = in->messages > 0 ? in->oldest : in->hand_since;
	pthread_mutex_unlock(&in->lock);
	status->busy_since = atomic_load(&in->busy_since);
	status->read = metric_get(in->m.read);
	status->stored = metric_get(in->m.outcomes[STORED]);
	status->duplicates = metric_get(in->m.outcomes[DUPLICATE]);
	status->conflicts = metric_get(in->m.outcomes[CONFLICT]);
	status->refused = metric_get(in->m.outcomes[REFUSED]);
	status->returned = metric_get(in->m.outcomes[RETURNED]);
	status->discarded = metric_get(in->m.outcomes[DISCARDED]);
}
