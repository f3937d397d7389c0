/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From messages to records, with a format and a crypto that do what the body
 * says: "KIND [n=COUNT] [id=ID] [at=MICROSECONDS] [extra=SIZE]"; "reject"; and
 * where it is encrypted "broken", "nokey", "legacy" or "outage" as well.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <jansson.h>
#include <sodium.h>

#include "core/base/log.h"
#include "core/flow/identity.h"
#include "core/flow/prepare.h"
#include "core/plugin/instance.h"
#include "core/plugin/schema.h"
#include "tests/folder.h"

#define DAY INT64_C(86400000000)

/* --- the format ---------------------------------------------------------- */

struct bursar_format {
	int dummy;
};

static const char *word_of(const char *body, const char *name)
{
	const char *at = strstr(body, name);

	return at != NULL ? at + strlen(name) : NULL;
}

static char *extra_of(struct bursar_arena *arena, size_t size)
{
	char *extra = arena->alloc(arena, size);

	memset(extra, 'x', size);
	memcpy(extra, "{\"a\":\"", 6);
	memcpy(extra + size - 2, "\"}", 2);
	return extra;
}

static void fill(struct bursar_record *record, const char *body,
                 struct bursar_records *records)
{
	const char *id = word_of(body, "id="), *at = word_of(body, "at=");
	const char *extra = word_of(body, "extra=");

	if (id != NULL) {
		bursar_set_text(record, BURSAR_MESSAGE_ID, id,
		                strcspn(id, " "));
	}
	if (at != NULL) {
		bursar_set_number(record, BURSAR_RECORDED_AT,
		                  strtoll(at, NULL, 10));
	}
	if (extra != NULL) {
		const size_t size = strtoul(extra, NULL, 10);

		bursar_set_text(record, BURSAR_EXTRA_JSON,
		                extra_of(records->arena, size), size);
	}
	/* Prompts have no worker. */
	const int worker = bursar_field_find(record->kind, "worker_id");
	if (worker >= 0) {
		bursar_set_text(record, worker, "whoever", 7);
	}
}

static enum bursar_verdict decode(struct bursar_format *format,
                                  const struct bursar_message *message,
                                  struct bursar_records *records,
                                  struct bursar_error *err)
{
	char *body = records->arena->alloc(records->arena,
	                                   message->body.size + 1);
	const char *count;

	(void)format;
	memcpy(body, message->body.data, message->body.size);
	body[message->body.size] = '\0';
	if (strstr(body, "reject") != NULL) {
		bursar_fail(err, EINVAL, "no sense in it");
		return BURSAR_REJECT;
	}
	count = word_of(body, "n=");
	for (long i = count != NULL ? strtol(count, NULL, 10) : 1; i > 0; i--) {
		fill(records->add(records, message->kind), body, records);
	}
	return BURSAR_DONE;
}

static const struct bursar_format_ops format_ops = {
	.needs_kind = true, .decode = decode,
};

/* --- the crypto ---------------------------------------------------------- */

static bool says(struct bursar_span body, const char *what)
{
	return memmem(body.data, body.size, what, strlen(what)) != NULL;
}

/* How many were offered that need no proof of who sealed them. */
static size_t unproven_items;

static enum bursar_verdict unseal(struct bursar_crypto *crypto,
                                  struct bursar_sealed *items, size_t count,
                                  struct bursar_arena *arena,
                                  struct bursar_error *err)
{
	(void)crypto, (void)arena;
	for (size_t i = 0; i < count; i++) {
		const struct bursar_span body = items[i].message->body;

		if (says(body, "outage")) {
			bursar_fail(err, EAGAIN, "no key at hand");
			return BURSAR_RETRY;
		}
		unproven_items += !items[i].proven;
		items[i].plain = body;
		items[i].legacy = says(body, "legacy");
		items[i].result = says(body, "broken") ? BURSAR_BROKEN :
		                  says(body, "nokey") ? BURSAR_NO_KEY
		                                      : BURSAR_OPENED;
	}
	return BURSAR_DONE;
}

/* What seal() says, so many texts later. */
static enum bursar_verdict seal_verdict;
static size_t seals_before;

static enum bursar_verdict seal(struct bursar_crypto *crypto,
                                struct bursar_span plain,
                                struct bursar_seal *out,
                                struct bursar_arena *arena,
                                struct bursar_error *err)
{
	char *body = arena->alloc(arena, 6);

	(void)crypto, (void)plain;
	if (seals_before == 0) {
		bursar_fail(err, EAGAIN, "cannot be sealed");
		return seal_verdict;
	}
	seals_before--;
	memcpy(body, "closed", 6);
	out->encoding = "encrypted/test";
	out->body = (struct bursar_span){ body, 6 };
	out->key_id = (struct bursar_span){ "k", 1 };
	return BURSAR_DONE;
}

static const char *const encodings[] = { "encrypted/test", NULL };
static const struct bursar_crypto_ops crypto_ops = {
	.encodings = encodings, .unseal = unseal, .seal = seal,
};

/* --- arranging ----------------------------------------------------------- */

static const struct retention policy = {
	.default_days = 90, .phi_ttl_days = 30, .session_only_ms = 1000,
};
static const uint32_t routes[SCHEMA_KINDS] = { 1, 6, 0 };

static char state[FOLDER_SIZE];
static struct setup_source source;
static struct letterbox box;
static struct keyring keyring;
static struct preparer preparer;
static struct flight *flight;
static struct flight_message *from;
static struct bursar_error err;
static bool outage;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	folder_make(state);
	log_set_level(BURSAR_ERROR);
	box = (struct letterbox){ deadletters_open(state, 1 << 20, 0, &err),
	                          &policy };
	source = (struct setup_source){
		.item.name = (char *)"src", .kind = &schema.kinds[0],
	};
	keyring_init(&keyring, "lock", &crypto_ops, NULL);
	preparer = (struct preparer){
		.source = &source, .format_ops = &format_ops,
		.keyring = &keyring, .box = &box, .routes = routes,
		.required = 3, .max_message = 1000,
	};
	ck_assert_int_eq(preparer_init(&preparer, &err), 0);
	flight = flight_create(1);
	flight->source = "src";
	from = NULL;
}

static void teardown(void)
{
	flight_release(flight);
	preparer_finish(&preparer);
	keyring_finish(&keyring);
	deadletters_close(box.letters);
	arena_pool_drain();
	folder_remove(state);
}

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

static struct flight_message *add(const struct bursar_message *message)
{
	struct flight_message *added = flight_add(flight, message);

	ck_assert_ptr_nonnull(added);
	return added;
}

static struct flight_message *send(const char *body)
{
	const struct bursar_message message = {
		.body = span(body), .message_id = span("m"),
	};

	return add(&message);
}

static struct flight_message *send_sealed(const char *body)
{
	const struct bursar_message message = {
		.body = span(body), .message_id = span("m"),
		.content_encoding = span("encrypted/test"),
	};

	return add(&message);
}

static enum prepared prepare(void)
{
	return prepare_flight(&preparer, flight, &from, &outage, &err);
}

static struct bursar_record *record_of(const struct flight_message *message)
{
	ck_assert_ptr_nonnull(message->records);
	return message->records->record;
}

static void assert_text(const struct bursar_record *record, int field,
                        const char *want)
{
	const struct bursar_value value = bursar_value(record, (size_t)field);

	ck_assert(value.is_set);
	ck_assert_msg(value.size == strlen(want) &&
	              memcmp(value.text, want, value.size) == 0,
	              "'%.*s' is not '%s'", (int)value.size, value.text, want);
}

static int64_t flags_of(const struct bursar_record *record)
{
	return bursar_value(record, BURSAR_DQ_FLAGS).number;
}

struct seen {
	char   reason[40];
	size_t count;
};

static int see(void *context, json_t *letter)
{
	struct seen *seen = context;

	seen->count++;
	snprintf(seen->reason, sizeof(seen->reason), "%s",
	         json_string_value(json_object_get(letter, "reason")));
	return 0;
}

static struct seen letters(void)
{
	struct seen seen = { "", 0 };
	struct deadletter_broken broken;

	ck_assert_int_eq(deadletters_read(state, see, &seen, &broken, &err), 0);
	return seen;
}

/* --- ids ----------------------------------------------------------------- */

START_TEST(takes_the_id_of_the_message_before_that_of_the_body)
{
	const struct flight_message *m = send("metering id=inner");

	ck_assert_int_eq(prepare(), PREPARED);
	assert_text(record_of(m), BURSAR_MESSAGE_ID, "m");
	ck_assert_int_eq(flags_of(record_of(m)) & BURSAR_DQ_ID_DERIVED, 0);
}
END_TEST

START_TEST(takes_the_id_that_the_format_found)
{
	const struct bursar_message message = {
		.body = span("metering id=inner"), .origin = span("f"),
	};
	const struct flight_message *m = add(&message);

	ck_assert_int_eq(prepare(), PREPARED);
	assert_text(record_of(m), BURSAR_MESSAGE_ID, "inner");
}
END_TEST

START_TEST(takes_the_place_for_an_id)
{
	const struct bursar_message message = {
		.body = span("metering"), .origin = span("f1"), .offset = 720,
	};
	const struct flight_message *m = add(&message);

	ck_assert_int_eq(prepare(), PREPARED);
	assert_text(record_of(m), BURSAR_MESSAGE_ID, "f1:720");
	ck_assert_int_ne(flags_of(record_of(m)) & BURSAR_DQ_ID_DERIVED, 0);
	ck_assert_uint_eq(record_of(m)->flags & BURSAR_RECORD_COUNTED, 0);
}
END_TEST

static const struct {
	const char *bytes;
	size_t      size;
	const char *text;
	bool        nul;
} ids[] = {
	{ "plain", 5, "plain", false },
	{ "\xc3\xbc-\xf0\x9f\x92\xb0", 7, "\xc3\xbc-\xf0\x9f\x92\xb0", false },
	{ "a\xff", 2, "a\\xff", false },
	{ "\xc3", 1, "\\xc3", false },
	{ "\xed\xa0\x80", 3, "\\xed\\xa0\\x80", false },
	{ "\xc0\xaf", 2, "\\xc0\\xaf", false },
	{ "a\0b", 3, "a\\u0000b", true },
	{ "\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80", false },
	{ "back\\slash", 10, "back\\slash", false },
};

START_TEST(makes_text_of_an_id_whatever_its_bytes)
{
	const struct bursar_message message = {
		.body = span("metering"),
		.message_id = { ids[_i].bytes, ids[_i].size },
	};
	const struct flight_message *m = add(&message);
	uint8_t key[16];

	ck_assert_int_eq(prepare(), PREPARED);
	assert_text(record_of(m), BURSAR_MESSAGE_ID, ids[_i].text);
	ck_assert_int_eq((flags_of(record_of(m)) & BURSAR_DQ_NUL) != 0,
	                 ids[_i].nul);
	identity_key(&schema.kinds[0], ids[_i].text, strlen(ids[_i].text), key);
	ck_assert_int_eq(memcmp(record_of(m)->key, key, 16), 0);
}
END_TEST

START_TEST(makes_text_of_a_place_whatever_its_bytes)
{
	const struct bursar_message message = {
		.body = span("metering"), .origin = span("f\xe9"), .offset = 1,
	};
	const struct flight_message *m = add(&message);

	ck_assert_int_eq(prepare(), PREPARED);
	assert_text(record_of(m), BURSAR_MESSAGE_ID, "f\\xe9:1");
}
END_TEST

START_TEST(numbers_the_records_of_one_message)
{
	static const char *const want[] = { "m#0", "m#1", "m#2" };
	const struct flight_message *m = send("metering n=3");
	size_t n = 0;
	uint8_t key[16];

	ck_assert_int_eq(prepare(), PREPARED);
	for (const struct flight_record *r = m->records; r != NULL; r = r->next) {
		assert_text(r->record, BURSAR_MESSAGE_ID, want[n]);
		identity_key(r->record->kind, want[n], 3, key);
		ck_assert_int_eq(memcmp(r->record->key, key, 16), 0);
		n++;
	}
	ck_assert_uint_eq(n, 3);
}
END_TEST

static void add_without_id(const char *body, const char *place,
                           int64_t timestamp, unsigned flags)
{
	const struct bursar_message message = {
		.body = span(body), .place = span(place),
		.timestamp_us = timestamp, .flags = flags,
	};

	add(&message);
}

/* Hash and number of the n-th record of a message. */
static void counted_id(const struct flight_message *m, size_t n, char id[80])
{
	const struct flight_record *r = m->records;

	for (size_t i = 0; i < n; i++) {
		r = r->next;
	}
	const struct bursar_value value =
		bursar_value(r->record, BURSAR_MESSAGE_ID);
	ck_assert_uint_ne(r->record->flags & BURSAR_RECORD_COUNTED, 0);
	snprintf(id, 80, "%.*s", (int)value.size, value.text);
}

START_TEST(has_the_sink_count_what_has_neither_id_nor_place)
{
	char a[80], b[80], c[80], d[80];

	add_without_id("metering", "q", 5, 0);
	add_without_id("metering", "q", 5, 0);
	add_without_id("metering", "q", 6, 0);
	add_without_id("metering", "p", 5, 0);
	ck_assert_int_eq(prepare(), PREPARED);
	const struct flight_message *m = flight->first;
	counted_id(m, 0, a);
	counted_id(m = m->next, 0, b);
	counted_id(m = m->next, 0, c);
	counted_id(m->next, 0, d);

	ck_assert_uint_eq(strlen(a), 34);
	ck_assert_str_eq(a + 32, "#0");
	ck_assert_str_eq(a, b);
	ck_assert_str_ne(a, c);
	ck_assert_str_ne(a, d);
}
END_TEST

/* The sink counts up what stands behind the last #. */
START_TEST(keeps_the_number_to_count_up_at_the_end)
{
	char first[80], second[80];

	add_without_id("metering n=2", "q", 5, 0);
	ck_assert_int_eq(prepare(), PREPARED);
	counted_id(flight->first, 0, first);
	counted_id(flight->first, 1, second);

	ck_assert_str_eq(first + 32, "#0#0");
	ck_assert_str_eq(second + 32, "#1#0");
	ck_assert_int_eq(memcmp(first, second, 32), 0);
}
END_TEST

START_TEST(tells_the_sink_that_a_message_came_again)
{
	add_without_id("metering", "q", 5, BURSAR_MESSAGE_REDELIVERED);
	add_without_id("metering", "q", 5, 0);
	ck_assert_int_eq(prepare(), PREPARED);

	ck_assert_uint_ne(record_of(flight->first)->flags &
	                  BURSAR_RECORD_AGAIN, 0);
	ck_assert_uint_eq(record_of(flight->last)->flags &
	                  BURSAR_RECORD_AGAIN, 0);
}
END_TEST

/* --- times --------------------------------------------------------------- */

START_TEST(gives_a_record_without_time_that_of_ingest)
{
	const struct bursar_record *r;
	const struct flight_message *m = send("metering");

	ck_assert_int_eq(prepare(), PREPARED);
	r = record_of(m);
	ck_assert_int_ne(flags_of(r) & BURSAR_DQ_TIME_MISSING, 0);
	ck_assert_int_eq(bursar_value(r, BURSAR_RECORDED_AT).number,
	                 bursar_value(r, BURSAR_INSERTED_AT).number);
	ck_assert(!bursar_value(r, BURSAR_EXTRA_JSON).is_set);
}
END_TEST

START_TEST(keeps_the_text_of_a_time_out_of_range)
{
	const struct bursar_record *r;
	const struct flight_message *m =
		send("metering at=1420070399999999 extra=20");

	ck_assert_int_eq(prepare(), PREPARED);
	r = record_of(m);
	ck_assert_int_ne(flags_of(r) & BURSAR_DQ_TIME_RANGE, 0);
	ck_assert_int_eq(bursar_value(r, BURSAR_RECORDED_AT).number,
	                 bursar_value(r, BURSAR_INSERTED_AT).number);
	assert_text(r, BURSAR_EXTRA_JSON,
	            "{\"recorded_at\":\"2014-12-31T23:59:59.999999Z\","
	            "\"a\":\"xxxxxxxxxxxx\"}");
}
END_TEST

START_TEST(takes_times_from_2015_until_tomorrow)
{
	char body[80];
	const int64_t now = clock_wall_us();
	const struct flight_message *first = send("metering at=1420070400000000");

	snprintf(body, sizeof(body), "metering at=%lld",
	         (long long)(now + DAY - 1000000));
	const struct flight_message *second = send(body);
	snprintf(body, sizeof(body), "metering at=%lld",
	         (long long)(now + DAY + 60000000));
	const struct flight_message *third = send(body);

	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_int_eq(flags_of(record_of(first)), 0);
	ck_assert_int_eq(flags_of(record_of(second)), 0);
	ck_assert_int_eq(flags_of(record_of(third)), BURSAR_DQ_TIME_RANGE);
}
END_TEST

START_TEST(lets_extra_json_grow_to_8192_bytes_and_no_further)
{
	/* {"recorded_at":"2014-12-31T23:59:59.999999Z", */
	const size_t more = 45 - 1;
	char body[80];
	const struct bursar_record *r;

	snprintf(body, sizeof(body), "metering at=1420070399999999 extra=%zu",
	         8192 - more);
	const struct flight_message *fits = send(body);
	snprintf(body, sizeof(body), "metering at=1420070399999999 extra=%zu",
	         8192 - more + 1);
	const struct flight_message *over = send(body);

	ck_assert_int_eq(prepare(), PREPARED);
	r = record_of(fits);
	ck_assert_uint_eq(bursar_value(r, BURSAR_EXTRA_JSON).size, 8192);
	ck_assert_int_eq(flags_of(r) & BURSAR_DQ_EXTRA_CUT, 0);
	r = record_of(over);
	ck_assert_uint_eq(bursar_value(r, BURSAR_EXTRA_JSON).size, 8192 - more + 1);
	ck_assert_int_ne(flags_of(r) & BURSAR_DQ_EXTRA_CUT, 0);
	ck_assert_int_ne(flags_of(r) & BURSAR_DQ_TIME_RANGE, 0);
}
END_TEST

/* --- what else a record gets ----------------------------------------------- */

START_TEST(sets_what_a_source_fixes_over_what_the_producer_said)
{
	const struct bursar_header fixed[] = {
		{ span("team"), span("blue") },
		{ span("worker_id"), span("known") },
		{ span("message_id"), span("stolen") },
		{ span("input_tokens"), span("text") },
		{ span("nothing"), span("x") },
	};
	const struct bursar_message message = {
		.body = span("metering"), .message_id = span("m"),
		.fixed = fixed, .fixed_count = 5,
	};
	const struct flight_message *m = add(&message);
	const struct bursar_kind *kind = &schema.kinds[0];

	ck_assert_int_eq(prepare(), PREPARED);
	assert_text(record_of(m), bursar_field_find(kind, "team"), "blue");
	assert_text(record_of(m), bursar_field_find(kind, "worker_id"),
	            "known");
	assert_text(record_of(m), BURSAR_MESSAGE_ID, "m");
	assert_text(record_of(m), BURSAR_SOURCE_NAME, "src");
	ck_assert(!bursar_value(record_of(m), (size_t)bursar_field_find(
		kind, "input_tokens")).is_set);
}
END_TEST

START_TEST(hashes_a_row_with_bodies_when_all_else_is_set)
{
	source.kind = &schema.kinds[1];
	const struct bursar_header fixed = { span("worker_id"), span("known") };
	const struct bursar_message message = {
		.body = span("prompt"), .message_id = span("m"),
		.fixed = &fixed, .fixed_count = 1,
	};
	const struct flight_message *m = add(&message);

	ck_assert_int_eq(prepare(), PREPARED);
	const struct bursar_record *r = record_of(m);
	ck_assert(bursar_value(r, BURSAR_ROW_HASH).is_set);
	ck_assert(bursar_value(r, BURSAR_EXPIRES_AT).is_set);
	ck_assert_int_eq(bursar_value(r, BURSAR_ROW_HASH).number,
	                 identity_row_hash(r));
}
END_TEST

START_TEST(gives_records_of_one_body_its_check)
{
	char scratch[200];
	const char body[100] = "metering n=2";
	const struct flight_message *m = send(body);

	ck_assert_int_eq(prepare(), PREPARED);
	const uint64_t check = identity_check(body, strlen(body), scratch);
	ck_assert_uint_eq(m->records->record->check, check);
	ck_assert_uint_eq(m->records->next->record->check, check);
}
END_TEST

START_TEST(routes_by_kind_and_waits_for_required_sinks_only)
{
	const struct bursar_message prompt = {
		.body = span("prompt n=2"), .message_id = span("p"),
		.routing_key = span("audit.prompt.x"),
	}, tool = {
		.body = span("tool"), .message_id = span("t"),
		.routing_key = span("audit.tool.x"),
	};

	source.kind = NULL;
	const struct flight_message *p = add(&prompt), *t = add(&tool);
	ck_assert_int_eq(prepare(), PREPARED);

	/* Sinks 1 and 2, each with a copy, and sink 1 is required. */
	ck_assert_uint_eq(p->records->sinks, 2);
	ck_assert_uint_eq(p->records->next->sinks, 4);
	ck_assert_uint_eq(p->records->next->next->sinks, 2);
	ck_assert_uint_eq(atomic_load(&p->waiting), 1 + 2);
	/* Nowhere: it is discarded. */
	ck_assert_uint_eq(t->records->sinks, 0);
	ck_assert_uint_eq(atomic_load(&t->waiting), 1);
	ck_assert_uint_ne(atomic_load(&t->happened) & FLIGHT_DISCARDED, 0);
	ck_assert_uint_eq(atomic_load(&p->happened) & FLIGHT_DISCARDED, 0);
}
END_TEST

/* --- what becomes a letter -------------------------------------------------- */

static const struct {
	const char *body;
	const char *encoding;
	bool        kind, crypto, only_encrypted;
	const char *reason;
} refused[] = {
	{ "reject", "", true, true, false, DEAD_MALFORMED },
	{ "reject", "encrypted/test", true, true, false, DEAD_MALFORMED },
	{ "broken", "encrypted/test", true, true, false, DEAD_UNDECRYPTABLE },
	{ "nokey", "encrypted/test", true, true, false, DEAD_NO_KEY },
	{ "metering", "encrypted/other", true, true, false, DEAD_NO_KEY },
	{ "metering", "encrypted/test", true, false, false, DEAD_NO_KEY },
	{ "metering", "", true, true, true, DEAD_NOT_ENCRYPTED },
	{ "{}", "", false, true, false, DEAD_NO_KIND },
	{ "{", "", false, true, false, DEAD_MALFORMED },
	{ "{\"body\":1,\"kind\":\"x\"}", "", false, true, false, DEAD_ENVELOPE },
};

START_TEST(makes_a_letter_of_what_can_never_be_stored)
{
	const struct bursar_message message = {
		.body = span(refused[_i].body), .message_id = span("m"),
		.content_encoding = span(refused[_i].encoding),
	};

	source.kind = refused[_i].kind ? &schema.kinds[0] : NULL;
	source.require_encryption = refused[_i].only_encrypted;
	preparer.keyring = refused[_i].crypto ? &keyring : NULL;
	const struct flight_message *m = add(&message);
	ck_assert_int_eq(prepare(), PREPARED);

	const struct seen seen = letters();
	ck_assert_uint_eq(seen.count, 1);
	ck_assert_str_eq(seen.reason, refused[_i].reason);
	ck_assert_ptr_null(m->records);
	ck_assert_int_eq(flight_outcome(m), BURSAR_REFUSED);
	ck_assert_uint_eq(atomic_load(&m->waiting), 1);
}
END_TEST

static const char *reason_of(const struct flight_message *m)
{
	ck_assert_uint_ne(m->happened & FLIGHT_REFUSED, 0);
	ck_assert_ptr_null(m->records);
	return m->reason;
}

START_TEST(refuses_a_kind_that_its_sender_may_not_send)
{
	struct bursar_message message = {
		.body = span("metering"), .message_id = span("m"), .kinds = 6,
	};
	const struct flight_message *other = add(&message);
	message.kinds = 1;
	const struct flight_message *own = add(&message);

	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_str_eq(reason_of(other), BURSAR_NOT_ALLOWED);
	ck_assert_ptr_nonnull(record_of(own));
}
END_TEST

START_TEST(tells_a_sender_one_thing_of_all_that_does_not_open)
{
	static const char *const bodies[] = {
		"broken", "nokey", "legacy", "reject",
	};
	const struct flight_message *sent[5];
	const struct bursar_message alien = {
		.body = span("x"), .content_encoding = span("encrypted/alien"),
	};

	unproven_items = 0;
	source.strangers = flight->answers = true;
	for (int i = 0; i < 4; i++) {
		sent[i] = send_sealed(bodies[i]);
	}
	sent[4] = add(&alien);
	ck_assert_int_eq(prepare(), PREPARED);
	for (int i = 0; i < 5; i++) {
		ck_assert_str_eq(reason_of(sent[i]), "it cannot be decrypted");
	}
	ck_assert_uint_eq(letters().count, 0);
	ck_assert_uint_eq(unproven_items, 0);
}
END_TEST

START_TEST(opens_the_old_cipher_for_who_is_not_answered)
{
	const struct flight_message *m = send_sealed("legacy");

	unproven_items = 0;
	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_uint_eq(unproven_items, 1);
	ck_assert_int_ne(flags_of(record_of(m)) & BURSAR_DQ_LEGACY_CIPHER, 0);
}
END_TEST

START_TEST(a_sender_that_is_answered_slows_nobody_down)
{
	source.strangers = true;
	for (int i = 0; i < 20; i++) {
		send_sealed("broken");
	}
	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_uint_eq(preparer.broken_in_row, 0);
}
END_TEST

START_TEST(cuts_what_a_source_should_have_cut)
{
	static char body[200000];
	const struct bursar_message message = {
		.body = { body, sizeof(body) }, .message_id = span("m"),
	};
	uint8_t hash[32];
	char hex[65];

	memset(body, 'b', sizeof(body));
	const struct flight_message *m = add(&message);
	ck_assert_int_eq(prepare(), PREPARED);

	crypto_hash_sha256(hash, (uint8_t *)body, sizeof(body));
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	ck_assert_str_eq(letters().reason, DEAD_OVERSIZE);
	ck_assert_uint_eq(m->delivered->full_size, sizeof(body));
	ck_assert_uint_eq(m->delivered->body.size, DEAD_OVERSIZE_KEPT);
	ck_assert_int_eq(memcmp(m->delivered->digest.data, hex, 64), 0);
}
END_TEST

START_TEST(opens_what_is_sealed_and_remembers_that_it_was)
{
	const struct flight_message *m = send_sealed("metering");

	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_ptr_nonnull(m->records);
	ck_assert(m->sealed);
	ck_assert_uint_eq(m->clear->content_encoding.size, 0);
	ck_assert_uint_ne(m->delivered->content_encoding.size, 0);
}
END_TEST

START_TEST(gives_everything_back_when_no_key_is_at_hand)
{
	const struct flight_message *clear = send("metering");

	send_sealed("outage");
	ck_assert_int_eq(prepare(), PREPARED_RETURN);
	ck_assert(outage);
	ck_assert_ptr_eq(from, clear);
	ck_assert_uint_eq(letters().count, 0);
}
END_TEST

START_TEST(slows_down_after_eight_that_cannot_be_opened)
{
	for (int i = 0; i < 12; i++) {
		char body[20];

		snprintf(body, sizeof(body), "broken %d", i);
		send_sealed(body);
	}
	ck_assert_int_eq(prepare(), PREPARED_RETURN);
	ck_assert(!outage);
	ck_assert_uint_eq(letters().count, PREPARE_BROKEN_MAX);

	/* One more each time, until one can be opened. */
	ck_assert_int_eq(prepare(), PREPARED_RETURN);
	ck_assert_uint_eq(letters().count, PREPARE_BROKEN_MAX + 1);
	flight_release(flight);
	flight = flight_create(1);
	flight->source = "src";
	from = NULL;
	send_sealed("metering");
	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_uint_eq(preparer.broken_in_row, 0);
}
END_TEST

/* --- when letters cannot be written -------------------------------------- */

START_TEST(goes_on_where_a_letter_could_not_be_written)
{
	source.require_encryption = true;
	deadletters_set_limit(box.letters, 0);
	const struct flight_message *first = send_sealed("metering");
	const struct flight_message *bad = send_sealed("reject");
	const struct flight_message *last = send_sealed("metering");

	ck_assert_int_eq(prepare(), PREPARED_LETTERS);
	ck_assert_ptr_eq(from, bad);
	ck_assert_ptr_nonnull(first->records);
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(prepare(), PREPARED_LETTERS);

	deadletters_set_limit(box.letters, 1 << 20);
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_uint_eq(letters().count, 1);
	ck_assert_str_eq(letters().reason, DEAD_MALFORMED);
	ck_assert_ptr_nonnull(last->records);
	ck_assert_ptr_null(last->records->next);
	ck_assert_ptr_null(first->records->next);
}
END_TEST

START_TEST(goes_on_before_a_letter_that_could_not_be_written_at_first)
{
	deadletters_set_limit(box.letters, 0);
	const struct flight_message *first = send("metering");
	const struct bursar_message odd = {
		.body = span("metering"), .message_id = span("odd"),
		.content_encoding = span("encrypted/other"),
	};
	const struct flight_message *bad = add(&odd);

	ck_assert_int_eq(prepare(), PREPARED_LETTERS);
	ck_assert_ptr_eq(from, bad);
	ck_assert_ptr_nonnull(first->records);
	deadletters_set_limit(box.letters, 1 << 20);
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_uint_eq(letters().count, 1);
	ck_assert_ptr_null(first->records->next);
}
END_TEST

/* --- sealing ------------------------------------------------------------- */

/* Tool calls go to sinks 1, which is required, and 2, which is not. */
static struct keyring *seals[SCHEMA_KINDS][SETUP_MAX_SINKS];

static void start_sealing(size_t before, enum bursar_verdict verdict)
{
	static const uint32_t tools[SCHEMA_KINDS] = { 0, 0, 6 };

	seals_before = before;
	seal_verdict = verdict;
	seals[2][1] = seals[2][2] = &keyring;
	source.kind = &schema.kinds[2];
	preparer.routes = tools;
	preparer.seals = (struct keyring *const (*)[SETUP_MAX_SINKS])seals;
}

static void assert_sealed(const struct bursar_record *record)
{
	assert_text(record, BURSAR_EXTRA_JSON,
	            "sealed:1:encrypted/test:closed");
	assert_text(record, BURSAR_SEALED_BY, "lock/k");
	ck_assert_int_eq(bursar_value(record, BURSAR_ROW_HASH).number,
	                 identity_row_hash(record));
}

START_TEST(seals_for_each_sink_alone)
{
	start_sealing(SIZE_MAX, BURSAR_DONE);
	seals[2][2] = NULL;
	struct flight_message *m = send("tool extra=40");

	ck_assert_int_eq(prepare(), PREPARED);
	assert_sealed(record_of(m));
	const struct bursar_record *clear = m->records->next->record;
	ck_assert_ptr_null(m->records->next->next);
	ck_assert_uint_eq(bursar_value(clear, BURSAR_EXTRA_JSON).size, 40);
	ck_assert(!bursar_value(clear, BURSAR_SEALED_BY).is_set);
	ck_assert_int_eq(bursar_value(clear, BURSAR_ROW_HASH).number,
	                 identity_row_hash(clear));
	ck_assert(clear->check == record_of(m)->check);
}
END_TEST

/* The first of three goes on, the others come again. */
START_TEST(gives_back_what_it_cannot_seal_now)
{
	start_sealing(2, _i == 0 ? BURSAR_RETRY : BURSAR_CONFIG);
	struct flight_message *first = send("tool extra=40");
	struct flight_message *second = send("tool extra=40");
	struct flight_message *third = send("tool extra=40");

	ck_assert_int_eq(prepare(), PREPARED_RETURN);
	ck_assert(outage);
	ck_assert_ptr_eq(from, second);
	assert_sealed(record_of(first));
	ck_assert_ptr_null(second->records);
	ck_assert_ptr_null(third->records);
	ck_assert_uint_eq(atomic_load(&second->waiting),
	                  atomic_load(&third->waiting));
	ck_assert_ptr_eq(preparer.stuck, &keyring);
	ck_assert(preparer.must_act == (_i == 1));
	ck_assert(says(span(err.text), "'lock' cannot seal"));

	/* Nothing is read for it before it can. */
	keyring.next_tick = 0;
	ck_assert(!preparer_tick(&preparer));
	keyring.next_tick = 0;
	seals_before = SIZE_MAX;
	ck_assert(preparer_tick(&preparer));
}
END_TEST

START_TEST(a_text_that_cannot_be_sealed_is_a_letter)
{
	struct seen seen = { .count = 0 };
	struct deadletter_broken broken;

	start_sealing(0, BURSAR_REJECT);
	struct flight_message *m = send("tool extra=40");

	ck_assert_int_eq(prepare(), PREPARED);
	ck_assert_ptr_null(m->records);
	ck_assert_int_eq(deadletters_read(state, see, &seen, &broken, &err), 0);
	ck_assert_uint_eq(seen.count, 1);
	ck_assert_str_eq(seen.reason, DEAD_REFUSED);
}
END_TEST

START_TEST(a_sink_that_is_not_required_does_without)
{
	start_sealing(1, _i == 0 ? BURSAR_RETRY : _i == 1 ? BURSAR_CONFIG
	              : BURSAR_REJECT);
	struct flight_message *m = send("tool extra=40");

	ck_assert_int_eq(prepare(), PREPARED);
	assert_sealed(record_of(m));
	ck_assert_uint_eq(m->records->sinks, 2);
	ck_assert_uint_eq(m->records->next->sinks, 0);
	ck_assert_ptr_null(preparer.stuck);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("prepare");

	TCase *id = tcase_create("ids");
	tcase_add_checked_fixture(id, setup, teardown);
	tcase_add_test(id, takes_the_id_of_the_message_before_that_of_the_body);
	tcase_add_test(id, takes_the_id_that_the_format_found);
	tcase_add_test(id, takes_the_place_for_an_id);
	tcase_add_loop_test(id, makes_text_of_an_id_whatever_its_bytes, 0,
	                    sizeof(ids) / sizeof(ids[0]));
	tcase_add_test(id, makes_text_of_a_place_whatever_its_bytes);
	tcase_add_test(id, numbers_the_records_of_one_message);
	tcase_add_test(id, has_the_sink_count_what_has_neither_id_nor_place);
	tcase_add_test(id, keeps_the_number_to_count_up_at_the_end);
	tcase_add_test(id, tells_the_sink_that_a_message_came_again);
	suite_add_tcase(s, id);

	TCase *values = tcase_create("values");
	tcase_add_checked_fixture(values, setup, teardown);
	tcase_add_test(values, gives_a_record_without_time_that_of_ingest);
	tcase_add_test(values, keeps_the_text_of_a_time_out_of_range);
	tcase_add_test(values, takes_times_from_2015_until_tomorrow);
	tcase_add_test(values,
	               lets_extra_json_grow_to_8192_bytes_and_no_further);
	tcase_add_test(values,
	               sets_what_a_source_fixes_over_what_the_producer_said);
	tcase_add_test(values, hashes_a_row_with_bodies_when_all_else_is_set);
	tcase_add_test(values, gives_records_of_one_body_its_check);
	tcase_add_test(values,
	               routes_by_kind_and_waits_for_required_sinks_only);
	suite_add_tcase(s, values);

	TCase *sealing = tcase_create("sealing");
	tcase_add_checked_fixture(sealing, setup, teardown);
	tcase_add_test(sealing, seals_for_each_sink_alone);
	tcase_add_loop_test(sealing, gives_back_what_it_cannot_seal_now, 0, 2);
	tcase_add_test(sealing, a_text_that_cannot_be_sealed_is_a_letter);
	tcase_add_loop_test(sealing, a_sink_that_is_not_required_does_without,
	                    0, 3);
	suite_add_tcase(s, sealing);

	TCase *letter = tcase_create("letters");
	tcase_add_checked_fixture(letter, setup, teardown);
	tcase_add_loop_test(letter, makes_a_letter_of_what_can_never_be_stored,
	                    0, sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(letter, refuses_a_kind_that_its_sender_may_not_send);
	tcase_add_test(letter,
	               tells_a_sender_one_thing_of_all_that_does_not_open);
	tcase_add_test(letter, opens_the_old_cipher_for_who_is_not_answered);
	tcase_add_test(letter, a_sender_that_is_answered_slows_nobody_down);
	tcase_add_test(letter, cuts_what_a_source_should_have_cut);
	tcase_add_test(letter, opens_what_is_sealed_and_remembers_that_it_was);
	tcase_add_test(letter, gives_everything_back_when_no_key_is_at_hand);
	tcase_add_test(letter, slows_down_after_eight_that_cannot_be_opened);
	tcase_add_test(letter, goes_on_where_a_letter_could_not_be_written);
	tcase_add_test(letter,
	         goes_on_before_a_letter_that_could_not_be_written_at_first);
	suite_add_tcase(s, letter);
	return s;
}

int main(void)
{
	if (sodium_init() < 0) {
		return EXIT_FAILURE;
	}
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
