/* SPDX-License-Identifier: Apache-2.0 */

/* A source, and what it delivers, looked at as it comes in. */
#include "config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "intake.h"

#define OVERSIZE_KEPT ((size_t)64 << 10)

/* --- one message --------------------------------------------------------- */

static void look_at_span(struct bursar_span span, const char *what)
{
	expect(span.size == 0 || span.data != NULL,
	       "%s has %zu bytes at NULL", what, span.size);
	/* Every byte can be read. */
	if (span.size > 0) {
		hash_bytes(span.data, span.size);
	}
}

static bool is_digest(struct bursar_span digest)
{
	for (size_t i = 0; i < digest.size; i++) {
		if (!isxdigit((unsigned char)digest.data[i])) {
			return false;
		}
	}
	return digest.size == 64;
}

static void look_at_size(const struct intake *in,
                         const struct bursar_message *m)
{
	if ((m->flags & BURSAR_MESSAGE_OVERSIZE) == 0) {
		expect(m->body.size <= in->batch.max_message,
		       "a body of %zu bytes, where %zu are allowed, without "
		       "OVERSIZE", m->body.size, in->batch.max_message);
		return;
	}
	expect(m->full_size > in->batch.max_message,
	       "OVERSIZE with a full_size of %llu of %zu",
	       (unsigned long long)m->full_size, in->batch.max_message);
	expect(m->body.size == (m->full_size < OVERSIZE_KEPT ?
	                        m->full_size : OVERSIZE_KEPT),
	       "OVERSIZE with a body of %zu bytes, not its first 64 KB",
	       m->body.size);
	expect(is_digest(m->digest), "OVERSIZE without a digest of 64 hex "
	       "digits");
}

static void look_at_headers(const struct bursar_message *m)
{
	expect(m->header_count == 0 || m->headers != NULL, "no headers");
	for (size_t i = 0; i < m->header_count; i++) {
		look_at_span(m->headers[i].name, "a header's name");
		look_at_span(m->headers[i].value, "a header's value");
	}
	expect(m->fixed_count == 0 || m->fixed != NULL, "no fixed fields");
}

static void look_at_message(const struct intake *in,
                            const struct bursar_message *m)
{
	const unsigned known = BURSAR_MESSAGE_REDELIVERED |
		BURSAR_MESSAGE_OVERSIZE |
		(in->ops->answers ? BURSAR_MESSAGE_UNANSWERED : 0);

	look_at_span(m->body, "body");
	look_at_span(m->message_id, "message_id");
	look_at_span(m->correlation_id, "correlation_id");
	look_at_span(m->content_type, "content_type");
	look_at_span(m->content_encoding, "content_encoding");
	look_at_span(m->app_id, "app_id");
	look_at_span(m->routing_key, "routing_key");
	look_at_span(m->place, "place");
	look_at_span(m->origin, "origin");
	look_at_span(m->digest, "digest");
	look_at_headers(m);
	look_at_size(in, m);
	expect((m->flags & ~known) == 0, "unknown flags: %x", m->flags);
	expect(m->timestamp_us >= 0, "a timestamp before 1970");
	expect(m->kind == NULL, "kind is not the source's to fill");
	for (size_t i = 0; i < in->count; i++) {
		expect(in->items[i].settled ||
		       in->items[i].message.token != m->token,
		       "token %llu names two messages that are not settled",
		       (unsigned long long)m->token);
	}
}

static uint64_t name_of(const struct bursar_message *m)
{
	if (m->origin.data == NULL) {
		return hash_bytes(m->body.data, m->body.size);
	}
	return hash_bytes(m->origin.data, m->origin.size) * 31 ^
		hash_bytes(&m->offset, sizeof(m->offset));
}

static struct bursar_span copy(struct bursar_span span)
{
	if (span.data == NULL) {
		return span;
	}
	char *data = malloc(span.size + 1);
	if (data == NULL) {
		kit_broken("malloc");
	}
	memcpy(data, span.data, span.size);
	data[span.size] = '\0';
	return (struct bursar_span){ data, span.size };
}

static bool add(struct bursar_batch *batch,
                const struct bursar_message *message)
{
	struct intake *in = (struct intake *)batch;

	if (batch->room == 0 || in->added == in->refuse_after) {
		return false;
	}
	look_at_message(in, message);
	if (in->count == in->items_room) {
		in->items_room = in->items_room * 2 + 64;
		in->items = realloc(in->items, in->items_room *
		                    sizeof(*in->items));
		if (in->items == NULL) {
			kit_broken("malloc");
		}
	}
	struct delivered *item = &in->items[in->count++];
	*item = (struct delivered){
		.message = *message, .name = name_of(message),
	};
	item->message.body = copy(message->body);
	item->message.origin = copy(message->origin);
	item->message.digest = copy(message->digest);
	batch->room--;
	in->added++;
	return true;
}

/* --- the source ---------------------------------------------------------- */

void intake_open(struct intake *in, struct kit *kit)
{
	enum bursar_verdict verdict;
	struct bursar_error err = { 0 };

	memset(in, 0, sizeof(*in));
	in->kit = kit;
	in->ops = kit->plugin->ops.source;
	in->room = 1024;
	in->max_message = INTAKE_MAX_MESSAGE;
	in->refuse_after = SIZE_MAX;
	in->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	stand_init(&in->stand, kit, INSTANCE_RUN);
	in->source = stand_open(&in->stand, &verdict, &err);
	expect(in->source != NULL, "open() failed: %s", err.text);
}

void intake_close(struct intake *in)
{
	in->ops->close(in->source);
	stand_finish(&in->stand);
	close(in->wake);
}

enum bursar_verdict intake_ask(struct intake *in, int64_t ms,
                               struct bursar_error *err)
{
	*err = (struct bursar_error){ 0 };
	in->added = 0;
	in->batch = (struct bursar_batch){
		.add = add, .room = in->room, .max_message = in->max_message,
	};
	const enum bursar_verdict verdict =
		in->ops->read(in->source, &in->batch, in->wake,
		              clock_mono_us() + ms * 1000, err);
	if (verdict != BURSAR_DONE) {
		kit_expect_error(err, "read()");
	}
	return verdict;
}

size_t intake_read(struct intake *in, int64_t ms)
{
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct bursar_error err = { 0 };
	size_t added = 0;

	for (int i = 0; i < 20 && verdict == BURSAR_RETRY; i++) {
		verdict = intake_ask(in, ms, &err);
		added += in->added;
	}
	in->added = added;
	expect(verdict == BURSAR_DONE, "read() says %d: %s", verdict,
	       err.text);
	expect(!in->ended || in->added == 0,
	       "a message came after the source had ended");
	expect(!in->ended || in->batch.ended,
	       "the source had ended, and says now that it has not");
	in->ended = in->batch.ended;
	return in->added;
}

void intake_read_all(struct intake *in, size_t limit)
{
	const size_t wanted = in->kit->messages < limit ? in->kit->messages
	                                                : limit;
	const size_t room = in->room;
	int quiet = 0;

	while (in->count < limit && !in->ended && quiet < 10 &&
	       (in->count < wanted || quiet < 2)) {
		in->room = limit - in->count < room ? limit - in->count : room;
		quiet = intake_read(in, 150) > 0 ? 0 : quiet + 1;
	}
	in->room = room;
}

void intake_expect_all(struct intake *in)
{
	intake_read_all(in, SIZE_MAX);
	expect(in->count == in->kit->messages,
	       "%zu messages came, not %zu", in->count, in->kit->messages);
}

enum bursar_verdict intake_tell(struct intake *in, size_t from, size_t to,
                                enum bursar_outcome outcome,
                                struct bursar_error *err)
{
	struct bursar_settled *settled = calloc(to - from + 1,
	                                        sizeof(*settled));
	const bool refused = outcome == BURSAR_REFUSED ||
	                     outcome == BURSAR_CONFLICT;
	enum bursar_verdict verdict = BURSAR_RETRY;

	if (settled == NULL) {
		kit_broken("malloc");
	}
	for (size_t i = from; i < to; i++) {
		settled[i - from] = (struct bursar_settled){
			.token = in->items[i].message.token,
			.outcome = outcome,
			.reason = refused ? "the kit wants it so" : NULL,
			.message = refused || outcome == BURSAR_RETURNED
			           ? &in->items[i].message : NULL,
		};
	}
	for (int i = 0; i < 20 && verdict == BURSAR_RETRY; i++) {
		*err = (struct bursar_error){ 0 };
		verdict = in->ops->settle(in->source, settled, to - from, err);
	}
	for (size_t i = from; i < to; i++) {
		in->items[i].settled = verdict == BURSAR_DONE;
	}
	free(settled);
	return verdict;
}

void intake_settle(struct intake *in, size_t from, size_t to,
                   enum bursar_outcome outcome)
{
	struct bursar_error err;
	const int64_t begun = clock_mono_us();
	const enum bursar_verdict verdict =
		intake_tell(in, from, to, outcome, &err);

	expect(verdict == BURSAR_DONE, "settle() says %d: %s", verdict,
	       err.text);
	expect(clock_mono_us() - begun < 1250000,
	       "settle() took %lld ms",
	       (long long)(clock_mono_us() - begun) / 1000);
}

void intake_forget(struct intake *in)
{
	in->count = 0;
	in->ended = false;
}

size_t intake_times(const struct intake *in, uint64_t name, size_t from)
{
	size_t times = 0;

	for (size_t i = from; i < in->count; i++) {
		times += in->items[i].name == name;
	}
	return times;
}

/* The next of items [at, count) that is of that lane. */
static size_t next_of_lane(const struct intake *in, size_t at, uint64_t lane)
{
	while (at < in->count && in->items[at].message.lane != lane) {
		at++;
	}
	return at;
}

static size_t place_of(const struct intake *in, size_t from, uint64_t name)
{
	while (from < in->count && in->items[from].name != name) {
		from++;
	}
	return from;
}

void intake_expect_names(const struct intake *in, size_t from,
                         const struct delivered *wanted, size_t count,
                         const char *when)
{
	expect(in->count - from == count, "%s: %zu messages came, not %zu",
	       when, in->count - from, count);
	for (size_t i = 0; i < count; i++) {
		const size_t at = place_of(in, from, wanted[i].name);

		expect(at < in->count, "%s: message %zu did not come", when,
		       i);
		/* The next one of its lane was to come after it. */
		size_t k = i + 1;
		while (k < count && wanted[k].message.lane !=
		                    wanted[i].message.lane) {
			k++;
		}
		if (k == count) {
			continue;
		}
		const size_t next = next_of_lane(in, at + 1,
			in->items[at].message.lane);
		expect(next < in->count &&
		       in->items[next].name == wanted[k].name,
		       "%s: message %zu is not followed by the one that "
		       "follows it in its lane", when, i);
	}
}
