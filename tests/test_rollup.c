/* SPDX-License-Identifier: Apache-2.0 */

/* Sums by dimension, value, quarter-hour, provider and model. */
#include "config.h"

#include <stdlib.h>

#include <check.h>

#include "common/columns.h"
#include "common/rollup.h"
#include "core/plugin/schema.h"

#define CELL INT64_C(1992576)

static struct rollup *rollup;
static const struct bursar_kind *kind;
static struct bursar_record *made[64];
static size_t made_count;

static void set_up(void)
{
	kind = bursar_kind_find(&schema, "metering", 8);
	rollup = rollup_create(kind);
	ck_assert_ptr_nonnull(rollup);
}

static void tear_down(void)
{
	rollup_destroy(rollup);
	while (made_count > 0) {
		free(made[--made_count]);
	}
}

static struct bursar_record *record_at(int64_t us)
{
	struct bursar_record *record = calloc(1, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));

	ck_assert_ptr_nonnull(record);
	ck_assert_uint_lt(made_count, 64);
	made[made_count++] = record;
	record->kind = kind;
	bursar_set_number(record, BURSAR_RECORDED_AT, us);
	return record;
}

static struct bursar_record *record_now(void)
{
	return record_at(CELL * COLUMNS_CELL_US);
}

static void set_text(struct bursar_record *record, const char *field,
                     const char *text)
{
	bursar_set_text(record, bursar_field_find(kind, field), text,
	                strlen(text));
}

static void set_number(struct bursar_record *record, const char *field,
                       int64_t number)
{
	bursar_set_number(record, bursar_field_find(kind, field), number);
}

static bool is(struct bursar_span span, const char *text)
{
	return span.size == strlen(text) &&
		memcmp(span.data, text, span.size) == 0;
}

/* The cell of a dimension's value; NULL: there is none. */
static const struct rollup_cell *find(const char *dimension, const char *value)
{
	size_t count;
	const struct rollup_cell *const *cells = rollup_cells(rollup, &count);

	for (size_t i = 0; i < count; i++) {
		if (strcmp(cells[i]->dimension, dimension) == 0 &&
		    is(cells[i]->value, value)) {
			return cells[i];
		}
	}
	return NULL;
}

static int64_t column(const struct rollup_cell *cell, const char *name)
{
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		if (strcmp(rollup_columns[i], name) == 0) {
			return cell->columns[i];
		}
	}
	ck_abort_msg("no column %s", name);
	return 0;
}

START_TEST(a_record_adds_to_a_cell_of_every_dimension)
{
	struct bursar_record *record = record_now();
	size_t count;

	set_text(record, "worker_id", "w1");
	set_text(record, "provider", "openai");
	set_text(record, "model_id", "gpt-4o");
	ck_assert(rollup_add(rollup, record));

	rollup_cells(rollup, &count);
	ck_assert_uint_eq(count, 9);
	const struct rollup_cell *cell = find("worker", "w1");
	ck_assert_ptr_nonnull(cell);
	ck_assert_int_eq(cell->cell, CELL);
	ck_assert(is(cell->provider, "openai"));
	ck_assert(is(cell->model_id, "gpt-4o"));
	ck_assert_int_eq(column(cell, "request_count"), 1);
	ck_assert_ptr_nonnull(find("all", ""));
	ck_assert_ptr_nonnull(find("team", ""));
}
END_TEST

START_TEST(what_was_not_said_is_not_counted)
{
	struct bursar_record *said = record_now();

	set_number(said, "input_tokens", 0);
	ck_assert(rollup_add(rollup, said));
	ck_assert(rollup_add(rollup, record_now()));

	const struct rollup_cell *cell = find("all", "");
	ck_assert_int_eq(column(cell, "request_count"), 2);
	ck_assert_int_eq(column(cell, "input_tokens"), 0);
	ck_assert_int_eq(column(cell, "input_tokens_n"), 1);
	ck_assert_int_eq(column(cell, "output_tokens_n"), 0);
}
END_TEST

START_TEST(sums_add_up)
{
	for (int i = 1; i <= 3; i++) {
		struct bursar_record *record = record_now();

		set_number(record, "input_tokens", i);
		set_number(record, "output_tokens", 10 * i);
		set_number(record, "thinking_tokens", 100 * i);
		set_number(record, "total_tokens", 111 * i);
		set_number(record, "cache_read_input_tokens", 2 * i);
		set_number(record, "cache_write_input_tokens", 3 * i);
		set_number(record, "latency_ms", 4 * i);
		set_number(record, "wall_clock_ms", 5 * i);
		set_number(record, "cost_usd", INT64_C(1000000001) * i);
		ck_assert(rollup_add(rollup, record));
	}

	const struct rollup_cell *cell = find("all", "");
	ck_assert_int_eq(column(cell, "input_tokens"), 6);
	ck_assert_int_eq(column(cell, "output_tokens"), 60);
	ck_assert_int_eq(column(cell, "thinking_tokens"), 600);
	ck_assert_int_eq(column(cell, "total_tokens"), 666);
	ck_assert_int_eq(column(cell, "cache_read_input_tokens"), 12);
	ck_assert_int_eq(column(cell, "cache_write_input_tokens"), 18);
	ck_assert_int_eq(column(cell, "latency_ms"), 24);
	ck_assert_int_eq(column(cell, "wall_clock_ms"), 30);
	ck_assert_int_eq(column(cell, "cost_nano"), INT64_C(6000000006));
	ck_assert_int_eq(column(cell, "cost_nano_n"), 3);
}
END_TEST

START_TEST(an_error_is_a_status_that_is_not_good)
{
	static const struct { const char *status; int errors; } cases[] = {
		{ "success", 0 }, { "ok", 0 }, { "", 0 }, { "error", 1 },
		{ "timeout", 1 }, { "okay", 1 },
	};
	int64_t errors = 0;

	ck_assert(rollup_add(rollup, record_now()));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bursar_record *record = record_now();

		set_text(record, "status", cases[i].status);
		ck_assert(rollup_add(rollup, record));
		errors += cases[i].errors;
		ck_assert_int_eq(column(find("all", ""), "error_count"),
		                 errors);
	}
}
END_TEST

START_TEST(latencies_fall_into_buckets_with_inclusive_bounds)
{
	static const struct { int64_t ms; const char *bucket; } cases[] = {
		{ -5, "lat_0" }, { 0, "lat_0" }, { 25, "lat_0" },
		{ 26, "lat_1" }, { 120000, "lat_18" }, { 120001, "lat_19" },
		{ INT64_MAX / 2, "lat_19" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bursar_record *record = record_now();

		rollup_clear(rollup);
		set_number(record, "latency_ms", cases[i].ms);
		ck_assert(rollup_add(rollup, record));
		ck_assert_int_eq(column(find("all", ""), cases[i].bucket), 1);
	}
}
END_TEST

START_TEST(the_bounds_ascend)
{
	for (size_t i = 1; i < ROLLUP_LATENCY_BUCKETS - 1; i++) {
		ck_assert_int_gt(rollup_latency_bounds[i],
		                 rollup_latency_bounds[i - 1]);
	}
}
END_TEST

START_TEST(cells_differ_by_each_part_of_their_key)
{
	struct bursar_record *record;

	ck_assert(rollup_add(rollup, record_now()));
	ck_assert(rollup_add(rollup, record_at((CELL + 1) * COLUMNS_CELL_US)));
	record = record_now();
	set_text(record, "provider", "a");
	ck_assert(rollup_add(rollup, record));
	record = record_now();
	set_text(record, "model_id", "a");
	ck_assert(rollup_add(rollup, record));

	size_t count, all = 0;
	const struct rollup_cell *const *cells = rollup_cells(rollup, &count);
	for (size_t i = 0; i < count; i++) {
		all += strcmp(cells[i]->dimension, "all") == 0;
		ck_assert_int_eq(cells[i]->columns[ROLLUP_REQUESTS], 1);
	}
	ck_assert_uint_eq(all, 4);
}
END_TEST

static int compare_text(struct bursar_span a, struct bursar_span b)
{
	const int order = memcmp(a.data, b.data,
	                         a.size < b.size ? a.size : b.size);

	return order != 0 ? order : (int)a.size - (int)b.size;
}

START_TEST(cells_come_in_key_order)
{
	static const char *const workers[] = { "b", "a", "ab", "", "\xc3\xa4" };
	size_t count;

	for (size_t i = 0; i < 5; i++) {
		struct bursar_record *record =
			record_at((CELL + 5 - (int64_t)i) * COLUMNS_CELL_US);

		set_text(record, "worker_id", workers[i]);
		set_text(record, "provider", workers[4 - i]);
		ck_assert(rollup_add(rollup, record));
	}

	const struct rollup_cell *const *cells = rollup_cells(rollup, &count);
	for (size_t i = 1; i < count; i++) {
		const struct rollup_cell *a = cells[i - 1], *b = cells[i];
		int order = strcmp(a->dimension, b->dimension);

		order = order != 0 ? order : compare_text(a->value, b->value);
		order = order != 0 ? order : (a->cell > b->cell) -
			(a->cell < b->cell);
		order = order != 0 ? order : compare_text(a->provider,
		                                          b->provider);
		ck_assert_int_lt(order, 0);
	}
}
END_TEST

START_TEST(thousands_of_cells_are_kept_apart)
{
	static char names[3000][8];
	struct bursar_record *record = record_now();
	size_t count;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 3000; i++) {
			snprintf(names[i], sizeof(names[i]), "%zu", i);
			set_text(record, "worker_id", names[i]);
			set_text(record, "team", names[i]);
			ck_assert(rollup_add(rollup, record));
		}
	}

	const struct rollup_cell *const *cells = rollup_cells(rollup, &count);
	ck_assert_uint_eq(count, 2 * 3000 + 7);
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(cells[i]->columns[ROLLUP_REQUESTS],
		                 cells[i]->value.size == 0 ? 6000 : 2);
	}
	ck_assert_int_eq(column(find("all", ""), "request_count"), 6000);
	ck_assert_int_eq(column(find("team", "2999"), "request_count"), 2);
}
END_TEST

START_TEST(clearing_forgets_everything)
{
	struct bursar_record *record = record_now();
	size_t count;

	set_number(record, "cost_usd", 7);
	ck_assert(rollup_add(rollup, record));
	rollup_clear(rollup);
	rollup_cells(rollup, &count);
	ck_assert_uint_eq(count, 0);
	ck_assert(rollup_add(rollup, record));
	ck_assert_int_eq(column(find("all", ""), "cost_nano"), 7);
}
END_TEST

START_TEST(a_sum_beyond_63_bits_stays_at_their_end)
{
	struct bursar_record *record = record_now();

	set_number(record, "output_tokens", 1);
	set_number(record, "cost_usd", INT64_MAX);
	ck_assert(rollup_add(rollup, record));
	ck_assert(rollup_add(rollup, record));
	set_number(record, "output_tokens", INT64_MIN);
	ck_assert(rollup_add(rollup, record));
	ck_assert(rollup_add(rollup, record));

	const struct rollup_cell *cell = find("all", "");
	ck_assert_int_eq(column(cell, "request_count"), 4);
	ck_assert_int_eq(column(cell, "output_tokens"), INT64_MIN);
	ck_assert_int_eq(column(cell, "cost_nano"), INT64_MAX);
}
END_TEST

START_TEST(every_dimension_and_sum_is_a_field_of_metering)
{
	for (const struct rollup_dimension *d = rollup_dimensions;
	     d->name != NULL; d++) {
		ck_assert(d->field == NULL ||
		          bursar_field_find(kind, d->field) >= 0);
	}
	ck_assert_str_eq(rollup_dimensions[0].name, "all");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		ck_assert_ptr_nonnull(rollup_columns[i]);
	}
}
END_TEST

/* --- tags ---------------------------------------------------------------- */

static void name_tags(void)
{
	const struct rollup_tag tags[] = {
		{ "tag:feature", 0 }, { "tag:later", CELL + 1 },
	};

	rollup_set_tags(rollup, tags, 2);
}

static void add_tagged(const char *tags, int64_t cost)
{
	struct bursar_record *record = record_now();

	if (tags != NULL) {
		set_text(record, "tags", tags);
	}
	set_number(record, "cost_usd", cost);
	ck_assert(rollup_add(rollup, record));
}

START_TEST(a_tag_that_is_named_is_a_dimension)
{
	name_tags();
	add_tagged("{\"feature\":\"chat\",\"x\":\"y\"}", 1);
	add_tagged("{\"x\":\"y\",\"feature\":\"chat\"}", 2);
	add_tagged("{\"x\":\"y\"}", 4);
	add_tagged(NULL, 8);

	ck_assert_int_eq(column(find("tag:feature", "chat"), "cost_nano"), 3);
	ck_assert_int_eq(column(find("tag:feature", "chat"), "request_count"),
	                 2);
	ck_assert_int_eq(column(find("tag:feature", ""), "cost_nano"), 12);
	ck_assert_ptr_null(find("tag:x", "y"));
}
END_TEST

START_TEST(a_tag_is_fed_from_the_cell_on_that_the_ledger_says)
{
	struct bursar_record *record = record_at((CELL + 1) * COLUMNS_CELL_US);

	name_tags();
	add_tagged("{\"later\":\"a\"}", 1);
	set_text(record, "tags", "{\"later\":\"b\"}");
	ck_assert(rollup_add(rollup, record));

	ck_assert_ptr_null(find("tag:later", "a"));
	ck_assert_ptr_nonnull(find("tag:later", "b"));
}
END_TEST

START_TEST(a_value_with_escapes_is_what_it_says)
{
	name_tags();
	add_tagged("{\"feature\":\"a\\n\\\"b\\u0007\"}", 1);
	add_tagged("{\"feature\":{\"a\":\"\\\"\"}}", 1);

	ck_assert_ptr_nonnull(find("tag:feature", "a\n\"b\a"));
	ck_assert_ptr_nonnull(find("tag:feature", "{\"a\":\"\\\"\"}"));
	rollup_clear(rollup);
	name_tags();
	add_tagged("{\"feature\":\"\\\\\"}", 1);
	ck_assert_ptr_nonnull(find("tag:feature", "\\"));
}
END_TEST

START_TEST(keys_are_counted_and_nothing_else)
{
	add_tagged("{\"a\":\"1\",\"b\":{\"c\":\"2\"},\"d e\":\"3\"}", 7);
	add_tagged("{\"a\":\"2\"}", 7);
	add_tagged(NULL, 7);

	ck_assert_int_eq(column(find("tag", "a"), "request_count"), 2);
	ck_assert_int_eq(column(find("tag", "a"), "cost_nano"), 0);
	ck_assert_int_eq(column(find("tag", "a"), "cost_nano_n"), 0);
	ck_assert_int_eq(column(find("tag", "b"), "request_count"), 1);
	ck_assert_ptr_null(find("tag", "c"));
	ck_assert_ptr_null(find("tag", "d e"));
	ck_assert_int_eq(column(find("all", ""), "cost_nano"), 21);
}
END_TEST

START_TEST(a_note_of_a_tag_is_a_good_key_or_none)
{
	struct rollup_tag tag;
	char longest[ROLLUP_NAME_SIZE + 1] = "tag:";

	ck_assert(rollup_tag_make(&tag, (struct bursar_span){ "tag:a", 5 }, 3));
	ck_assert_str_eq(tag.name, "tag:a");
	ck_assert_int_eq(tag.since, 3);
	ck_assert(!rollup_tag_make(&tag, (struct bursar_span){ "tag:", 4 }, 0));
	ck_assert(!rollup_tag_make(&tag, (struct bursar_span){ "tag:'", 5 },
	                           0));
	ck_assert(!rollup_tag_make(&tag, (struct bursar_span){ "tag:a\0b", 7 },
	                           0));
	memset(longest + 4, 'x', sizeof(longest) - 4);
	ck_assert(rollup_tag_make(&tag, (struct bursar_span){
		longest, 4 + TAGS_ASKED_MAX }, 0));
	ck_assert(!rollup_tag_make(&tag, (struct bursar_span){
		longest, 5 + TAGS_ASKED_MAX }, 0));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rollup");
	TCase *sums = tcase_create("sums");
	TCase *cells = tcase_create("cells");
	TCase *tags = tcase_create("tags");

	tcase_add_checked_fixture(sums, set_up, tear_down);
	tcase_add_test(sums, a_record_adds_to_a_cell_of_every_dimension);
	tcase_add_test(sums, what_was_not_said_is_not_counted);
	tcase_add_test(sums, sums_add_up);
	tcase_add_test(sums, an_error_is_a_status_that_is_not_good);
	tcase_add_test(sums, latencies_fall_into_buckets_with_inclusive_bounds);
	tcase_add_test(sums, the_bounds_ascend);
	tcase_add_test(sums, a_sum_beyond_63_bits_stays_at_their_end);
	suite_add_tcase(suite, sums);

	tcase_add_checked_fixture(cells, set_up, tear_down);
	tcase_add_test(cells, cells_differ_by_each_part_of_their_key);
	tcase_add_test(cells, cells_come_in_key_order);
	tcase_add_test(cells, thousands_of_cells_are_kept_apart);
	tcase_add_test(cells, clearing_forgets_everything);
	tcase_add_test(cells, every_dimension_and_sum_is_a_field_of_metering);
	suite_add_tcase(suite, cells);

	tcase_add_checked_fixture(tags, set_up, tear_down);
	tcase_add_test(tags, a_tag_that_is_named_is_a_dimension);
	tcase_add_test(tags, a_tag_is_fed_from_the_cell_on_that_the_ledger_says);
	tcase_add_test(tags, a_value_with_escapes_is_what_it_says);
	tcase_add_test(tags, keys_are_counted_and_nothing_else);
	tcase_add_test(tags, a_note_of_a_tag_is_a_good_key_or_none);
	suite_add_tcase(suite, tags);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
