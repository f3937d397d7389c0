/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Labels, the cap for health data, and records that come too late.
 */
#include "config.h"

#include <stdlib.h>

#include <check.h>

#include "core/flow/retention.h"
#include "core/plugin/schema.h"

#define COUNT(array) (int)(sizeof(array) / sizeof(array[0]))

#define HOUR  INT64_C(3600000000)
#define DAY   (24 * HOUR)
#define NEVER RETENTION_NEVER
#define NOW   INT64_C(1793491200000000)

static const struct retention usual = {
	.default_days = 90, .phi_ttl_days = 30, .session_only_ms = 0,
};

static const struct retention own = {
	.default_days = 60, .phi_ttl_days = 14, .session_only_ms = 3600000,
};

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

static const struct {
	const char *label;
	bool phi;
	int64_t with_usual, with_own;	/* from now */
	bool known;
} vectors[] = {
	{ "", false, 90 * DAY, 60 * DAY, true },
	{ "default", false, 90 * DAY, 60 * DAY, true },
	{ "default", true, 30 * DAY, 14 * DAY, true },
	{ "", true, 30 * DAY, 14 * DAY, true },
	{ "session_only", false, 0, HOUR, true },
	{ "session_only", true, 0, HOUR, true },
	{ "days_30", false, 30 * DAY, 30 * DAY, true },
	{ "days_30", true, 30 * DAY, 14 * DAY, true },
	{ "days_90", false, 90 * DAY, 90 * DAY, true },
	{ "days_90", true, 30 * DAY, 14 * DAY, true },
	{ "days_7", true, 7 * DAY, 7 * DAY, true },
	{ "permanent", false, NEVER, NEVER, true },
	{ "permanent", true, 30 * DAY, 14 * DAY, true },
	{ "unknown_label", false, 90 * DAY, 60 * DAY, false },
	{ "unknown_label", true, 30 * DAY, 14 * DAY, false },
	{ "days_1", false, DAY, DAY, true },
	{ "days_36500", false, 36500 * DAY, 36500 * DAY, true },
	{ "days_36501", false, 90 * DAY, 60 * DAY, false },
	{ "days_0", false, 90 * DAY, 60 * DAY, false },
	{ "days_", false, 90 * DAY, 60 * DAY, false },
	{ "days_-1", false, 90 * DAY, 60 * DAY, false },
	{ "days_30x", false, 90 * DAY, 60 * DAY, false },
	{ "days_99999999999999999999", false, 90 * DAY, 60 * DAY, false },
	{ "DAYS_30", false, 90 * DAY, 60 * DAY, false },
	{ "hours_1", false, HOUR, HOUR, true },
	{ "hours_876000", false, 36500 * DAY, 36500 * DAY, true },
	{ "hours_876001", false, 90 * DAY, 60 * DAY, false },
	{ "P30D", false, 30 * DAY, 30 * DAY, true },
	{ "P2W", false, 14 * DAY, 14 * DAY, true },
	{ "PT12H", false, 12 * HOUR, 12 * HOUR, true },
	{ "P1DT12H", false, 36 * HOUR, 36 * HOUR, true },
	{ "P36501D", false, 90 * DAY, 60 * DAY, false },
	{ "P0D", false, 90 * DAY, 60 * DAY, false },
	{ "P1M", false, 90 * DAY, 60 * DAY, false },
	{ "P1Y", false, 90 * DAY, 60 * DAY, false },
	{ "P", false, 90 * DAY, 60 * DAY, false },
	{ "PT", false, 90 * DAY, 60 * DAY, false },
	{ "P1DT", false, 90 * DAY, 60 * DAY, false },
	{ "P1D ", false, 90 * DAY, 60 * DAY, false },
	{ "permanently", false, 90 * DAY, 60 * DAY, false },
};

static int64_t from_now(int64_t term)
{
	return term == NEVER ? NEVER : NOW + term;
}

START_TEST(a_label_says_when_a_record_goes)
{
	bool known;

	ck_assert_int_eq(retention_expiry(&usual, span(vectors[_i].label),
	                                  vectors[_i].phi, NOW, NOW, &known),
	                 from_now(vectors[_i].with_usual));
	ck_assert(known == vectors[_i].known);
	ck_assert_int_eq(retention_expiry(&own, span(vectors[_i].label),
	                                  vectors[_i].phi, NOW, NOW, NULL),
	                 from_now(vectors[_i].with_own));
}
END_TEST

START_TEST(a_term_counts_from_the_time_of_the_record)
{
	const int64_t earlier = NOW - 10 * DAY;

	ck_assert_int_eq(retention_expiry(&usual, span("days_30"), false,
	                                  earlier, NOW, NULL),
	                 earlier + 30 * DAY);
	ck_assert_int_eq(retention_expiry(&usual, span("permanent"), true,
	                                  earlier, NOW, NULL),
	                 earlier + 30 * DAY);
}
END_TEST

START_TEST(a_record_from_the_future_goes_as_if_it_were_of_now)
{
	ck_assert_int_eq(retention_expiry(&usual, span("days_30"), false,
	                                  NOW + DAY, NOW, NULL),
	                 NOW + 30 * DAY);
	ck_assert_int_eq(retention_expiry(&usual, span("permanent"), true,
	                                  NOW + DAY, NOW, NULL),
	                 NOW + 30 * DAY);
}
END_TEST

START_TEST(a_session_counts_from_ingest)
{
	ck_assert_int_eq(retention_expiry(&own, span("session_only"), false,
	                                  NOW - DAY, NOW, NULL), NOW + HOUR);
	ck_assert_int_eq(retention_expiry(&own, span("session_only"), true,
	                                  NOW - 20 * DAY, NOW, NULL),
	                 NOW - 6 * DAY);
}
END_TEST

START_TEST(a_time_at_the_end_of_time_does_not_wrap)
{
	ck_assert_int_eq(retention_expiry(&usual, span("days_30"), false,
	                                  INT64_MAX - 1, INT64_MAX - 1, NULL),
	                 NEVER);
}
END_TEST

static struct bursar_record *record;
static const struct bursar_kind *prompt;

static void start(void)
{
	prompt = bursar_kind_find(&schema, "prompt", 6);
	record = calloc(1, sizeof(*record) +
	                prompt->field_count * sizeof(record->values[0]));
	ck_assert_ptr_nonnull(record);
	record->kind = prompt;
	bursar_set_number(record, BURSAR_INSERTED_AT, NOW);
	bursar_set_number(record, BURSAR_RECORDED_AT, NOW - DAY);
	bursar_set_number(record, BURSAR_DQ_FLAGS, BURSAR_DQ_NUL);
	bursar_set_text(record, BURSAR_EXTRA_JSON, "{}", 2);
	for (size_t i = BURSAR_BODY_FIELDS; i < prompt->field_count; i++) {
		bursar_set_text(record, (int)i, "\"x\"", 3);
	}
}

static void stop(void)
{
	free(record);
}

static void assert_bodies(bool there)
{
	size_t bodies = 0;

	for (size_t i = BURSAR_COMMON_FIELDS; i < prompt->field_count; i++) {
		const bool is_body =
			(prompt->fields[i].flags & BURSAR_FIELD_BODY) != 0;

		bodies += is_body;
		if (i >= BURSAR_BODY_FIELDS) {
			ck_assert(record->values[i].is_set ==
			          (there || !is_body));
		}
	}
	ck_assert_uint_gt(bodies, 2);
	ck_assert(record->values[BURSAR_EXTRA_JSON].is_set == there);
}

START_TEST(a_record_without_label_gets_the_default)
{
	ck_assert(!retention_apply(&usual, record));

	ck_assert_int_eq(record->values[BURSAR_EXPIRES_AT].number,
	                 NOW + 89 * DAY);
	ck_assert_uint_eq(record->values[BURSAR_RETENTION_POLICY].size, 7);
	ck_assert_mem_eq(record->values[BURSAR_RETENTION_POLICY].text,
	                 "default", 7);
	ck_assert_int_eq(record->values[BURSAR_DQ_FLAGS].number, BURSAR_DQ_NUL);
	assert_bodies(true);
}
END_TEST

START_TEST(a_permanent_record_has_no_expiry)
{
	bursar_set_text(record, BURSAR_RETENTION_POLICY, "permanent", 9);
	bursar_set_number(record, BURSAR_EXPIRES_AT, 1);
	bursar_set_number(record, BURSAR_CONTAINS_PHI, 0);

	ck_assert(!retention_apply(&usual, record));

	ck_assert(!record->values[BURSAR_EXPIRES_AT].is_set);
	assert_bodies(true);
}
END_TEST

START_TEST(health_data_caps_a_permanent_record)
{
	bursar_set_text(record, BURSAR_RETENTION_POLICY, "permanent", 9);
	bursar_set_number(record, BURSAR_CONTAINS_PHI, 1);

	ck_assert(!retention_apply(&usual, record));

	ck_assert_int_eq(record->values[BURSAR_EXPIRES_AT].number,
	                 NOW + 29 * DAY);
}
END_TEST

START_TEST(an_unknown_label_is_kept_and_flagged)
{
	bursar_set_text(record, BURSAR_RETENTION_POLICY, "odd", 3);

	ck_assert(!retention_apply(&usual, record));

	ck_assert_mem_eq(record->values[BURSAR_RETENTION_POLICY].text, "odd", 3);
	ck_assert_int_eq(record->values[BURSAR_DQ_FLAGS].number,
	                 BURSAR_DQ_NUL | BURSAR_DQ_LABEL);
	ck_assert_int_eq(record->values[BURSAR_EXPIRES_AT].number,
	                 NOW + 89 * DAY);
}
END_TEST

START_TEST(a_record_that_arrives_expired_loses_its_bodies)
{
	bursar_set_text(record, BURSAR_RETENTION_POLICY, "days_1", 6);

	ck_assert(retention_apply(&usual, record));

	ck_assert_int_eq(record->values[BURSAR_EXPIRES_AT].number, NOW);
	ck_assert_int_eq(record->values[BURSAR_DQ_FLAGS].number,
	                 BURSAR_DQ_NUL | BURSAR_DQ_EXPIRED);
	assert_bodies(false);
}
END_TEST

START_TEST(a_record_with_a_moment_left_keeps_its_bodies)
{
	bursar_set_text(record, BURSAR_RETENTION_POLICY, "days_1", 6);
	bursar_set_number(record, BURSAR_RECORDED_AT, NOW - DAY + 1);

	ck_assert(!retention_apply(&usual, record));

	assert_bodies(true);
}
END_TEST

START_TEST(a_record_without_a_time_counts_from_ingest)
{
	record->values[BURSAR_RECORDED_AT] = (struct bursar_value){ 0 };

	ck_assert(!retention_apply(&usual, record));

	ck_assert_int_eq(record->values[BURSAR_EXPIRES_AT].number,
	                 NOW + 90 * DAY);
}
END_TEST

START_TEST(facts_are_left_alone)
{
	record->kind = bursar_kind_find(&schema, "metering", 8);
	const struct bursar_value before = record->values[BURSAR_EXPIRES_AT];

	ck_assert(!retention_apply(&usual, record));

	ck_assert(record->values[BURSAR_EXPIRES_AT].is_set == before.is_set);
	ck_assert_int_eq(record->values[BURSAR_DQ_FLAGS].number, BURSAR_DQ_NUL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("retention");

	TCase *terms = tcase_create("terms");
	tcase_add_loop_test(terms, a_label_says_when_a_record_goes, 0,
	                    COUNT(vectors));
	tcase_add_test(terms, a_term_counts_from_the_time_of_the_record);
	tcase_add_test(terms, a_record_from_the_future_goes_as_if_it_were_of_now);
	tcase_add_test(terms, a_session_counts_from_ingest);
	tcase_add_test(terms, a_time_at_the_end_of_time_does_not_wrap);
	suite_add_tcase(s, terms);

	TCase *records = tcase_create("records");
	tcase_add_checked_fixture(records, start, stop);
	tcase_add_test(records, a_record_without_label_gets_the_default);
	tcase_add_test(records, a_permanent_record_has_no_expiry);
	tcase_add_test(records, health_data_caps_a_permanent_record);
	tcase_add_test(records, an_unknown_label_is_kept_and_flagged);
	tcase_add_test(records, a_record_that_arrives_expired_loses_its_bodies);
	tcase_add_test(records, a_record_with_a_moment_left_keeps_its_bodies);
	tcase_add_test(records, a_record_without_a_time_counts_from_ingest);
	tcase_add_test(records, facts_are_left_alone);
	suite_add_tcase(s, records);

	SRunner *runner = srunner_create(s);

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
