/* SPDX-License-Identifier: Apache-2.0 */

/* Memory that is freed as a whole, and flights that live in it. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "core/base/arena.h"
#include "core/flow/flight.h"
#include "core/plugin/schema.h"

static struct arena arena;

static void setup(void)
{
	arena_init(&arena);
}

static void teardown(void)
{
	arena_clear(&arena);
	arena_pool_drain();
}

START_TEST(gives_aligned_memory_that_nothing_else_has)
{
	enum { COUNT = 3000 };
	static struct { unsigned char *data; size_t size; } pieces[COUNT];

	srand(1);
	for (size_t i = 0; i < COUNT; i++) {
		const size_t size = (size_t)rand() %
			(i % 500 == 0 ? 3 * ARENA_BLOCK : 300);

		pieces[i].size = size;
		pieces[i].data = arena_alloc(&arena, size);
		ck_assert_ptr_nonnull(pieces[i].data);
		ck_assert_uint_eq((uintptr_t)pieces[i].data % 16, 0);
		memset(pieces[i].data, (int)(i % 251), size);
	}
	for (size_t i = 0; i < COUNT; i++) {
		size_t at = 0;

		while (at < pieces[i].size && pieces[i].data[at] == i % 251) {
			at++;
		}
		ck_assert_uint_eq(at, pieces[i].size);
	}
}
END_TEST

START_TEST(gives_nothing_a_place_of_its_own_too)
{
	char *first = arena_alloc(&arena, 0);
	char *second = arena_alloc(&arena, 0);

	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_ne(first, second);
}
END_TEST

START_TEST(has_64_readable_bytes_behind_each_piece)
{
	const size_t sizes[] = { 1, 16, ARENA_BLOCK - 16, ARENA_BLOCK,
	                         ARENA_BLOCK + 1 };
	volatile unsigned char sum = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		unsigned char *data = arena_alloc(&arena, sizes[i]);

		memset(data, 1, sizes[i]);
		for (size_t at = 0; at < sizes[i] + 64; at++) {
			sum = (unsigned char)(sum + data[at]);
		}
	}
}
END_TEST

START_TEST(loses_no_block_to_a_big_piece)
{
	arena_alloc(&arena, 16);
	const size_t before = arena.bytes;

	arena_alloc(&arena, 5 * ARENA_BLOCK);
	arena_alloc(&arena, 16);

	ck_assert_uint_eq(arena.bytes, before + 5 * ARENA_BLOCK);
}
END_TEST

START_TEST(refuses_what_no_memory_can_hold)
{
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX - 8));
}
END_TEST

START_TEST(can_be_used_again_after_it_was_cleared)
{
	arena_alloc(&arena, 100);
	arena_alloc(&arena, 2 * ARENA_BLOCK);
	arena_clear(&arena);

	ck_assert_uint_eq(arena.bytes, 0);
	ck_assert_ptr_nonnull(arena_alloc(&arena, 100));
	ck_assert_uint_eq(arena.bytes, ARENA_BLOCK);
}
END_TEST

START_TEST(copies_spans_and_tells_empty_from_absent)
{
	char text[] = "abc";
	const struct bursar_span absent =
		arena_copy(&arena, (struct bursar_span){ NULL, 0 });
	const struct bursar_span empty =
		arena_copy(&arena, (struct bursar_span){ text, 0 });
	const struct bursar_span copy =
		arena_copy(&arena, (struct bursar_span){ text, 3 });

	text[0] = 'x';
	ck_assert_ptr_null(absent.data);
	ck_assert_ptr_nonnull(empty.data);
	ck_assert_uint_eq(empty.size, 0);
	ck_assert_uint_eq(copy.size, 3);
	ck_assert_int_eq(memcmp(copy.data, "abc", 3), 0);
}
END_TEST

START_TEST(serves_plugins_through_its_base)
{
	struct bursar_arena *base = &arena.base;

	ck_assert_ptr_nonnull(base->alloc(base, 10));
	ck_assert_uint_eq(arena.bytes, ARENA_BLOCK);
}
END_TEST

/* --- flights ------------------------------------------------------------- */

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

START_TEST(a_flight_keeps_what_a_source_takes_back)
{
	char body[] = "body", id[] = "id", name[] = "n", value[] = "v";
	const struct bursar_header header = { span(name), span(value) };
	const struct bursar_message message = {
		.token = 7, .body = span(body), .message_id = span(id),
		.headers = &header, .header_count = 1, .place = span("queue"),
		.fixed = &header, .fixed_count = 1,
	};
	struct flight *flight = flight_create(1);
	const struct flight_message *added = flight_add(flight, &message);

	ck_assert_ptr_nonnull(added);
	memset(body, 'x', 4);
	memset(id, 'x', 2);
	name[0] = value[0] = 'x';
	ck_assert_int_eq(memcmp(added->delivered->body.data, "body", 4), 0);
	ck_assert_int_eq(memcmp(added->delivered->message_id.data, "id", 2), 0);
	ck_assert_int_eq(bursar_header_get(added->delivered, "n").data[0],
	                 'v');
	ck_assert_int_eq(added->delivered->fixed[0].value.data[0], 'v');
	flight_release(flight);
}
END_TEST

START_TEST(a_flight_says_what_was_delivered_when_it_has_settled_down)
{
	const struct bursar_header header = { span("n"), span("v") };
	const struct bursar_message messages[] = {
		{ .token = 7, .lane = 3, .body = span("body"),
		  .message_id = span("id"), .headers = &header,
		  .header_count = 1, .place = span("queue"), .offset = 5,
		  .timestamp_us = -1, .flags = BURSAR_MESSAGE_REDELIVERED },
		{ .body = span("") },
		{ .token = UINT64_MAX, .lane = 1, .kinds = UINT64_MAX },
	};
	enum { COUNT = sizeof(messages) / sizeof(messages[0]) };
	struct bursar_message before[COUNT], room;
	struct flight *flight = flight_create(1);
	struct bursar_message clear = messages[0];
	size_t i = 0;

	for (; i < COUNT; i++) {
		flight_add(flight, &messages[i]);
		before[i] = *flight->last->delivered;
	}
	clear.kind = &schema.kinds[1];
	flight->last->clear = &clear;
	flight_settle_down(flight);
	ck_assert_uint_eq(flight->scratch.bytes, 0);
	i = 0;
	for (const struct flight_message *m = flight->first; m != NULL;
	     m = m->next) {
		ck_assert_mem_eq(flight_delivered(m, &room), &before[i],
		                 sizeof(room));
		ck_assert_uint_eq(m->token, messages[i].token);
		ck_assert_uint_eq(m->lane, messages[i].lane);
		i++;
	}
	const struct bursar_message *last = flight_clear(flight->last, &room);
	ck_assert_ptr_eq(last->kind, clear.kind);
	ck_assert_ptr_eq(last->headers, &header);
	ck_assert_ptr_eq(flight_clear(flight->first, &room)->kind, NULL);
	flight_release(flight);
}
END_TEST

START_TEST(a_flight_gives_records_in_the_order_of_their_making)
{
	enum { COUNT = 20000 };
	const struct bursar_message message = { .body = span("x") };
	struct flight *flight = flight_create(1);
	struct flight_message *m = flight_add(flight, &message);
	int64_t n = 0;

	for (int i = 0; i < COUNT; i++) {
		struct flight_record *r =
			flight_add_record(m, &schema.kinds[0]);

		ck_assert_ptr_nonnull(r);
		bursar_set_number(r->record, BURSAR_RECORDED_AT, i);
	}
	for (struct flight_record *r = m->records; r != NULL; r = r->next) {
		ck_assert_int_eq(r->record->values[BURSAR_RECORDED_AT].number,
		                 n);
		n++;
	}
	ck_assert_int_eq(n, COUNT);
	flight_release(flight);
}
END_TEST

/* Of each field a value that is hard to keep, or none. */
static struct bursar_record *draft(struct flight_message *m,
                                   const struct bursar_kind *kind, size_t skip)
{
	static const int64_t numbers[] = {
		0, 1, -1, 63, 64, -64, -65, 127, 128, INT64_C(1) << 31,
		INT64_MAX, INT64_MIN, INT64_MIN + 1,
	};
	static const char far[300] = "a constant";
	const struct bursar_span body = m->clear->body;
	struct bursar_record *record = flight_add_record(m, kind)->record;

	memset(record->key, 0xa5, sizeof(record->key));
	record->check = UINT64_MAX;
	record->flags = BURSAR_RECORD_COUNTED;
	for (size_t i = 0; i < kind->field_count; i++) {
		if (skip != 0 && i % skip == 0) {
			continue;
		}
		if (kind->fields[i].type > BURSAR_JSON) {
			bursar_set_number(record, (int)i, numbers[i % 13]);
		} else if (i % 3 == 0) {
			bursar_set_text(record, (int)i, far, i % 2 * 300);
		} else {
			bursar_set_text(record, (int)i, body.data + i,
			                body.size - i);
		}
	}
	return record;
}

static void assert_same(const struct bursar_record *packed,
                        const struct bursar_record *wanted)
{
	struct bursar_value room[BURSAR_FIELDS_MAX];
	const struct bursar_value *values = bursar_values(packed, room);

	ck_assert_uint_ne(packed->flags & BURSAR_RECORD_PACKED, 0);
	ck_assert_uint_eq(packed->flags & ~BURSAR_RECORD_PACKED,
	                  wanted->flags);
	ck_assert_ptr_eq(packed->kind, wanted->kind);
	ck_assert_uint_eq(packed->check, wanted->check);
	ck_assert_mem_eq(packed->key, wanted->key, sizeof(wanted->key));
	for (size_t i = 0; i < wanted->kind->field_count; i++) {
		const struct bursar_value *w = &wanted->values[i];
		const struct bursar_value one = bursar_value(packed, i);

		ck_assert_int_eq(values[i].is_set, w->is_set);
		ck_assert_int_eq(one.is_set, w->is_set);
		ck_assert_int_eq(values[i].number, w->number);
		ck_assert_int_eq(one.number, w->number);
		ck_assert_uint_eq(values[i].size, w->size);
	}
}

START_TEST(a_packed_record_says_what_its_draft_said)
{
	static const char body[256] = "a body";
	const struct bursar_message message = { .body = { body, sizeof(body) } };

	for (size_t k = 0; k < schema.kind_count; k++) {
		for (size_t skip = 0; skip < 9; skip++) {
			struct flight *flight = flight_create(1);
			struct flight_message *m = flight_add(flight, &message);
			struct bursar_record *wanted =
				draft(m, &schema.kinds[k], skip);

			ck_assert(flight_pack(m));
			ck_assert_ptr_ne(m->records->record, wanted);
			assert_same(m->records->record, wanted);
			flight_release(flight);
		}
	}
}
END_TEST

START_TEST(drafts_take_no_more_than_those_of_one_message)
{
	const struct bursar_message message = { .body = span("x") };
	struct flight *flight = flight_create(1);

	for (int i = 0; i < 10000; i++) {
		struct flight_message *m = flight_add(flight, &message);

		arena_reset(&flight->drafts);
		draft(m, &schema.kinds[0], 2);
		ck_assert(flight_pack(m));
	}
	ck_assert_uint_eq(flight->drafts.bytes, ARENA_BLOCK);
	ck_assert_uint_lt(flight->arena.bytes, 10000u * 900);
	flight_release(flight);
}
END_TEST

static const struct {
	unsigned happened;
	enum bursar_outcome outcome;
} outcomes[] = {
	{ 0, BURSAR_STORED },
	{ FLIGHT_STORED, BURSAR_STORED },
	{ FLIGHT_DUPLICATE, BURSAR_DUPLICATE },
	{ FLIGHT_STORED | FLIGHT_DUPLICATE, BURSAR_STORED },
	{ FLIGHT_STORED | FLIGHT_CONFLICT, BURSAR_CONFLICT },
	{ FLIGHT_CONFLICT | FLIGHT_REFUSED, BURSAR_REFUSED },
	{ FLIGHT_REFUSED | FLIGHT_RETURNED, BURSAR_RETURNED },
};

START_TEST(the_worst_that_happened_decides_the_outcome)
{
	const struct bursar_message message = { .body = span("x") };
	struct flight *flight = flight_create(1);
	struct flight_message *m = flight_add(flight, &message);

	flight_part_done(m, outcomes[_i].happened);

	ck_assert_int_eq(flight_outcome(m), outcomes[_i].outcome);
	ck_assert_uint_eq(atomic_load(&flight->unfinished), 0);
	flight_release(flight);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("arena");

	TCase *pieces = tcase_create("pieces");
	tcase_add_checked_fixture(pieces, setup, teardown);
	tcase_add_test(pieces, gives_aligned_memory_that_nothing_else_has);
	tcase_add_test(pieces, gives_nothing_a_place_of_its_own_too);
	tcase_add_test(pieces, has_64_readable_bytes_behind_each_piece);
	tcase_add_test(pieces, loses_no_block_to_a_big_piece);
	tcase_add_test(pieces, refuses_what_no_memory_can_hold);
	tcase_add_test(pieces, can_be_used_again_after_it_was_cleared);
	tcase_add_test(pieces, copies_spans_and_tells_empty_from_absent);
	tcase_add_test(pieces, serves_plugins_through_its_base);
	suite_add_tcase(s, pieces);

	TCase *flights = tcase_create("flights");
	tcase_add_checked_fixture(flights, setup, teardown);
	tcase_add_test(flights, a_flight_keeps_what_a_source_takes_back);
	tcase_add_test(flights,
	           a_flight_says_what_was_delivered_when_it_has_settled_down);
	tcase_add_test(flights,
	               a_flight_gives_records_in_the_order_of_their_making);
	tcase_add_test(flights, a_packed_record_says_what_its_draft_said);
	tcase_add_test(flights, drafts_take_no_more_than_those_of_one_message);
	tcase_add_loop_test(flights,
	                    the_worst_that_happened_decides_the_outcome, 0,
	                    sizeof(outcomes) / sizeof(outcomes[0]));
	suite_add_tcase(s, flights);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
