/* SPDX-License-Identifier: Apache-2.0 */

/* Names of columns, and the block of a row's id. */
#include "config.h"

#include <stdlib.h>

#include <check.h>

#include "common/columns.h"
#include "core/plugin/schema.h"

static const char *stored(const char *name, enum bursar_field_type type)
{
	static char column[COLUMNS_NAME_MAX];
	const struct bursar_field field = { .name = name, .type = type };

	return columns_stored(&field, column);
}

START_TEST(times_and_money_are_stored_under_other_names)
{
	ck_assert_str_eq(stored("recorded_at", BURSAR_TIME), "recorded_us");
	ck_assert_str_eq(stored("cost_usd", BURSAR_MONEY), "cost_nano");
	ck_assert_str_eq(stored("cost_reported_usd", BURSAR_MONEY),
	                 "cost_reported_nano");
}
END_TEST

START_TEST(names_without_the_usual_ending_get_one)
{
	ck_assert_str_eq(stored("started", BURSAR_TIME), "started_us");
	ck_assert_str_eq(stored("_at", BURSAR_TIME), "_at_us");
	ck_assert_str_eq(stored("price", BURSAR_MONEY), "price_nano");
}
END_TEST

START_TEST(other_types_keep_their_names)
{
	ck_assert_str_eq(stored("looked_at", BURSAR_TEXT), "looked_at");
	ck_assert_str_eq(stored("in_usd", BURSAR_INT), "in_usd");
}
END_TEST

START_TEST(no_two_columns_of_a_kind_share_a_name)
{
	char a[COLUMNS_NAME_MAX], b[COLUMNS_NAME_MAX];

	for (size_t k = 0; k < schema.kind_count; k++) {
		const struct bursar_kind *kind = &schema.kinds[k];

		for (size_t i = 0; i < kind->field_count; i++) {
			columns_stored(&kind->fields[i], a);
			ck_assert_int_eq(columns_differ(&kind->fields[i]),
			                 strcmp(a, kind->fields[i].name) != 0);
			for (size_t j = 0; j < i; j++) {
				columns_stored(&kind->fields[j], b);
				ck_assert_str_ne(a, b);
			}
		}
	}
}
END_TEST

static int64_t block(const char *kind, int field, int64_t number)
{
	const struct bursar_kind *of = bursar_kind_find(&schema, kind,
	                                                strlen(kind));
	struct bursar_record *record = calloc(1, sizeof(*record) +
		of->field_count * sizeof(record->values[0]));
	int64_t result;

	ck_assert_ptr_nonnull(record);
	record->kind = of;
	if (field >= 0) {
		bursar_set_number(record, field, number);
	}
	result = columns_block(record);
	free(record);
	return result;
}

START_TEST(facts_are_ordered_by_quarter_hour)
{
	const int64_t cell = INT64_C(1992576);

	ck_assert_int_eq(block("metering", BURSAR_RECORDED_AT,
	                       cell * COLUMNS_CELL_US), cell);
	ck_assert_int_eq(block("metering", BURSAR_RECORDED_AT,
	                       (cell + 1) * COLUMNS_CELL_US - 1), cell);
	ck_assert_int_eq(block("metering", BURSAR_RECORDED_AT, -1), -1);
}
END_TEST

START_TEST(bodies_are_ordered_by_day_of_expiry)
{
	ck_assert_int_eq(block("prompt", BURSAR_EXPIRES_AT,
	                       20000 * COLUMNS_DAY_US), 20000);
	ck_assert_int_eq(block("tool", BURSAR_EXPIRES_AT,
	                       20001 * COLUMNS_DAY_US - 1), 20000);
	ck_assert_int_eq(block("prompt", -1, 0), COLUMNS_NEVER);
}
END_TEST

START_TEST(times_that_no_block_holds_go_to_the_ends)
{
	ck_assert_int_eq(block("prompt", BURSAR_EXPIRES_AT, INT64_MAX),
	                 COLUMNS_NEVER - 1);
	ck_assert_int_eq(block("metering", BURSAR_RECORDED_AT, INT64_MAX),
	                 COLUMNS_NEVER - 1);
	ck_assert_int_eq(block("metering", BURSAR_RECORDED_AT, INT64_MIN),
	                 -COLUMNS_NEVER);
	/* The largest id is still one. */
	ck_assert_int_gt((int64_t)((uint64_t)COLUMNS_NEVER <<
	                           COLUMNS_ID_SHIFT), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("columns");
	TCase *names = tcase_create("names");
	TCase *blocks = tcase_create("blocks");

	tcase_add_test(names, times_and_money_are_stored_under_other_names);
	tcase_add_test(names, names_without_the_usual_ending_get_one);
	tcase_add_test(names, other_types_keep_their_names);
	tcase_add_test(names, no_two_columns_of_a_kind_share_a_name);
	suite_add_tcase(suite, names);

	tcase_add_test(blocks, facts_are_ordered_by_quarter_hour);
	tcase_add_test(blocks, bodies_are_ordered_by_day_of_expiry);
	tcase_add_test(blocks, times_that_no_block_holds_go_to_the_ends);
	suite_add_tcase(suite, blocks);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
