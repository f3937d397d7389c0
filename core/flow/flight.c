/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flow/flight.h"
#include "flow/pack.h"

struct flight *flight_create(int64_t now)
{
	struct flight *flight = calloc(1, sizeof(*flight));
	if (flight == NULL) {
		return NULL;
	}
	arena_init(&flight->arena);
	arena_init(&flight->drafts);
	arena_init(&flight->scratch);
	flight->bell = -1;
	flight->read_at = now;
	atomic_init(&flight->holders, 1);
	return flight;
}

void flight_release(struct flight *flight)
{
	if (flight == NULL || atomic_fetch_sub(&flight->holders, 1) != 1) {
		return;
	}
	struct flight_text *text = atomic_load(&flight->texts);
	while (text != NULL) {
		struct flight_text *next = text->next;

		free(text);
		text = next;
	}
	arena_clear(&flight->drafts);
	arena_clear(&flight->scratch);
	arena_clear(&flight->arena);
	free(flight);
}

const char *flight_keep_text(struct flight_message *message, const char *text)
{
	struct flight *flight = message->flight;
	const size_t size = strlen(text) + 1;
	struct flight_text *kept = malloc(sizeof(*kept) + size);

	if (kept == NULL) {
		return "";
	}
	memcpy(kept->text, text, size);
	kept->next = atomic_load(&flight->texts);
	while (!atomic_compare_exchange_weak(&flight->texts, &kept->next,
	                                     kept)) {
	}
	return kept->text;
}

/* Places and origins repeat from message to message. */
static struct bursar_span copy_again(struct arena *arena,
                                     struct bursar_span span,
                                     struct bursar_span before)
{
	if (span.data != NULL && before.data != NULL &&
	    span.size == before.size &&
	    memcmp(span.data, before.data, span.size) == 0) {
		return before;
	}
	return arena_copy(arena, span);
}

static bool failed(struct bursar_span span)
{
	return span.data == NULL && span.size != 0;
}

/* Makes a list of headers the arena's own. */
static bool copy_headers(struct arena *arena,
                         const struct bursar_header **list, size_t count)
{
	if (count == 0) {
		*list = NULL;
		return true;
	}
	struct bursar_header *headers =
		arena_alloc(arena, count * sizeof(*headers));
	if (headers == NULL) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		headers[i].name = arena_copy(arena, (*list)[i].name);
		headers[i].value = arena_copy(arena, (*list)[i].value);
		if (failed(headers[i].name) || failed(headers[i].value)) {
			return false;
		}
	}
	*list = headers;
	return true;
}

/* Makes everything that *copy points to its own. */
static bool copy_all(struct arena *arena, struct bursar_message *copy,
                     const struct bursar_message *before)
{
	struct bursar_span *const spans[] = {
		&copy->body, &copy->message_id, &copy->correlation_id,
		&copy->content_type, &copy->content_encoding, &copy->app_id,
		&copy->routing_key, &copy->digest,
	};
	for (size_t i = 0; i < sizeof(spans) / sizeof(spans[0]); i++) {
		*spans[i] = arena_copy(arena, *spans[i]);
		if (failed(*spans[i])) {
			return false;
		}
	}

	static const struct bursar_message none;
	before = before != NULL ? before : &none;
	copy->place = copy_again(arena, copy->place, before->place);
	copy->origin = copy_again(arena, copy->origin, before->origin);
	return !failed(copy->place) && !failed(copy->origin) &&
	       copy_headers(arena, &copy->headers, copy->header_count) &&
	       copy_headers(arena, &copy->fixed, copy->fixed_count);
}

struct flight_message *flight_add(struct flight *flight,
                                  const struct bursar_message *message)
{
	struct flight_message *added =
		arena_alloc(&flight->arena, sizeof(*added));
	struct bursar_message *copy =
		arena_alloc(&flight->scratch, sizeof(*copy));
	if (added == NULL || copy == NULL) {
		return NULL;
	}
	*copy = *message;
	if (!copy_all(&flight->arena, copy,
	              flight->last != NULL ? flight->last->delivered : NULL)) {
		return NULL;
	}
	copy->kind = NULL;
	*added = (struct flight_message){
		.flight = flight, .token = copy->token, .lane = copy->lane,
		.delivered = copy, .clear = copy,
	};
	/* One part until the intake has counted its records. */
	atomic_init(&added->waiting, 1);

	if (flight->last != NULL) {
		flight->last->next = added;
	} else {
		flight->first = added;
	}
	flight->last = added;
	flight->one_lane = flight->count == 0 ||
		(flight->one_lane &&
		 added->lane == flight->first->lane);
	flight->count++;
	flight->unsettled++;
	atomic_fetch_add(&flight->unfinished, 1);
	return added;
}

/* Once the first is packed all have to be. */
static bool pack_messages(struct flight *flight)
{
	struct arena *arena = &flight->arena;
	const struct packed_message **packed = arena_alloc(&flight->scratch,
		2 * flight->count * sizeof(const struct packed_message *));
	size_t at = 0;

	if (packed == NULL) {
		return false;
	}
	for (struct flight_message *m = flight->first; m != NULL; m = m->next) {
		packed[at] = pack_message(arena, m->delivered);
		packed[at + 1] = m->clear == m->delivered ? packed[at]
			: pack_message(arena, m->clear);
		if (packed[at] == NULL || packed[at + 1] == NULL) {
			return false;
		}
		at += 2;
	}
	at = 0;
	for (struct flight_message *m = flight->first; m != NULL; m = m->next) {
		m->packed_delivered = packed[at++];
		m->packed_clear = packed[at++];
	}
	return true;
}

void flight_settle_down(struct flight *flight)
{
	assert(!flight->packed);

	arena_clear(&flight->drafts);
	if (pack_messages(flight)) {
		flight->packed = true;
		arena_clear(&flight->scratch);
	}
}

static const struct bursar_message *
unpacked(const struct flight_message *message,
         const struct packed_message *packed, struct bursar_message *room)
{
	unpack_message(packed, room);
	room->token = message->token;
	room->lane = message->lane;
	return room;
}

const struct bursar_message *
flight_delivered(const struct flight_message *message,
                 struct bursar_message *room)
{
	return message->flight->packed
		? unpacked(message, message->packed_delivered, room)
		: message->delivered;
}

const struct bursar_message *flight_clear(const struct flight_message *message,
                                          struct bursar_message *room)
{
	return message->flight->packed
		? unpacked(message, message->packed_clear, room)
		: message->clear;
}

static size_t record_size(const struct bursar_kind *kind)
{
	return sizeof(struct bursar_record) +
	       kind->field_count * sizeof(struct bursar_value);
}

struct flight_record *flight_add_record(struct flight_message *message,
                                        const struct bursar_kind *kind)
{
	struct flight *flight = message->flight;
	const size_t size = record_size(kind);
	struct flight_record *added =
		arena_alloc(&flight->arena, sizeof(*added));
	struct bursar_record *record = arena_alloc(&flight->drafts, size);

	if (added == NULL || record == NULL) {
		return NULL;
	}
	memset(record, 0, size);
	record->kind = kind;
	*added = (struct flight_record){ .message = message, .record = record };

	if (message->records == NULL) {
		message->records = added;
	} else {
		message->last_record->next = added;
	}
	message->last_record = added;
	return added;
}

bool flight_copy_record(struct flight_record *record, uint32_t sinks)
{
	struct flight *flight = record->message->flight;
	const size_t size = record_size(record->record->kind);
	struct flight_record *copy = arena_alloc(&flight->arena, sizeof(*copy));
	struct bursar_record *values = arena_alloc(&flight->drafts, size);

	if (copy == NULL || values == NULL) {
		return false;
	}
	memcpy(values, record->record, size);
	*copy = (struct flight_record){
		.next = record->next, .message = record->message,
		.sinks = sinks, .record = values,
	};
	record->next = copy;
	if (record->message->last_record == record) {
		record->message->last_record = copy;
	}
	return true;
}

bool flight_pack(struct flight_message *message)
{
	struct flight *flight = message->flight;
	const char *texts = message->clear->body.data;

	for (struct flight_record *r = message->records; r != NULL;
	     r = r->next) {
		struct bursar_record *packed =
			pack_record(&flight->arena, r->record, texts);
		if (packed == NULL) {
			return false;
		}
		r->record = packed;
	}
	return true;
}

void flight_part_done(struct flight_message *message, unsigned happened)
{
	atomic_fetch_or(&message->happened, happened);
	assert(atomic_load(&message->waiting) > 0);
	if (atomic_fetch_sub(&message->waiting, 1) == 1) {
		atomic_fetch_sub(&message->flight->unfinished, 1);
	}
}

enum bursar_outcome flight_outcome(const struct flight_message *message)
{
	const unsigned happened =
		atomic_load(&((struct flight_message *)message)->happened);

	if (happened & FLIGHT_RETURNED) {
		return BURSAR_RETURNED;
	}
	if (happened & FLIGHT_REFUSED) {
		return BURSAR_REFUSED;
	}
	if (happened & FLIGHT_CONFLICT) {
		return BURSAR_CONFLICT;
	}
	/* Stored in one sink and known to another: new somewhere. */
	if (happened & FLIGHT_DUPLICATE && !(happened & FLIGHT_STORED)) {
		return BURSAR_DUPLICATE;
	}
	return BURSAR_STORED;
}

void flight_ring(int bell)
{
	const uint64_t one = 1;

	/* Full means that it rings already. */
	if (write(bell, &one, sizeof(one)) < 0) {
		return;
	}
}
