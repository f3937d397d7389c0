/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Purging takes what is due and nothing else, leaves marks by which the rest
 * still verifies, and does not believe a clock that jumped.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "book/purge.h"
#include "book/verify.h"
#include "common/columns.h"
#include "ledger.h"

#define DAY   COLUMNS_DAY_US
#define NOW   (INT64_C(20000) * DAY + DAY / 2)	/* noon of some day */

static struct book book;
static struct bursar_error err;
static struct bursar_purged purged;
static int next_id;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	next_id = 0;
	ledger_open(&book);
}

static void teardown(void)
{
	ledger_close(&book);
}

static void put(const char *kind, int64_t recorded, int64_t inserted,
                int64_t expires)
{
	char id[24];

	snprintf(id, sizeof(id), "id-%d", next_id++);
	struct bursar_record *record = ledger_record(kind, id, recorded);
	ledger_clock(inserted);
	ledger_number(record, "inserted_at", inserted);
	if (expires != 0) {
		ledger_number(record, "expires_at", expires);
	}
	ledger_put(&book, record);
}

static int64_t rows(const char *table)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM %s", table);
	return ledger_ask(&book, sql);
}

static void take(const struct purge_rule *rule)
{
	ck_assert_msg(purge_take(&book, rule, NULL, NULL, &purged, &err) == 0,
	              "%s", err.text);
}

/* Since when something has waited too long, or INT64_MAX. */
static int64_t look(const struct purge_rule *rule)
{
	const char *what;
	int64_t due;

	ck_assert_msg(purge_look(&book, rule, &due, &what, &err) == 0, "%s",
	              err.text);
	ck_assert((what == NULL) == (due == INT64_MAX));
	return due;
}

static void count_place(void *context, const struct verify_place *place)
{
	(void)place;
	(*(int *)context)++;
}

static int places(void)
{
	int found = 0;
	const struct verify_report report = { .place = count_place,
	                                      .context = &found };
	struct verify_counts counts;

	ck_assert_msg(verify_run(&book, &report, &counts, &err) == 0, "%s",
	              err.text);
	return found;
}

START_TEST(takes_bodies_that_have_expired_and_no_others)
{
	const struct purge_rule rule = { .now = NOW };

	put("prompt", NOW - 9 * DAY, NOW - 9 * DAY, NOW - 1);
	put("prompt", NOW - 9 * DAY, NOW - 9 * DAY, NOW);
	put("prompt", NOW - 9 * DAY, NOW - 9 * DAY, NOW + 1);
	put("prompt", NOW - 9 * DAY, NOW - 9 * DAY, 0);
	put("tool", NOW - 9 * DAY, NOW - 9 * DAY, NOW - 3 * DAY);
	put("metering", NOW - 900 * DAY, NOW - 900 * DAY, 0);

	ck_assert_int_eq(look(&rule), INT64_MAX);
	take(&rule);

	ck_assert_uint_eq(purged.bodies, 3);
	ck_assert_uint_eq(purged.facts, 0);
	ck_assert_uint_eq(purged.keys, 0);
	ck_assert_int_eq(rows("prompt_records"), 2);
	ck_assert_int_eq(rows("tool_records"), 0);
	ck_assert_int_eq(rows("metering_records"), 1);
	ck_assert_int_eq(places(), 0);
}
END_TEST

START_TEST(a_dry_run_counts_and_takes_nothing)
{
	const struct purge_rule rule = { .now = NOW, .facts_days = 10 };

	put("prompt", NOW - 9 * DAY, NOW - 9 * DAY, NOW - 1);
	put("metering", NOW - 12 * DAY, NOW - 12 * DAY, 0);
	ck_assert_int_eq(purge_count(&book, &rule, &purged, &err), 0);

	ck_assert_uint_eq(purged.bodies, 1);
	ck_assert_uint_eq(purged.facts, 1);
	ck_assert_int_eq(rows("prompt_records"), 1);
	ck_assert_int_eq(rows("metering_records"), 1);
}
END_TEST

START_TEST(facts_go_by_whole_days_and_their_sums_stay)
{
	const struct purge_rule rule = { .now = NOW, .facts_days = 10 };
	const int64_t border = INT64_C(19990) * DAY;
	int64_t mark = 0;

	put("metering", border - 1, border, 0);
	put("metering", border - 4 * DAY, border, 0);
	put("metering", border, border, 0);
	put("metering", NOW, NOW, 0);
	const int64_t cells = rows("rollup_cells");
	take(&rule);

	ck_assert_uint_eq(purged.facts, 2);
	ck_assert_int_eq(rows("metering_records"), 2);
	ck_assert_int_eq(rows("rollup_cells"), cells);
	ck_assert_int_eq(book_note_read(&book, BOOK_FACTS_PURGED, &mark, &err),
	                 0);
	ck_assert_int_eq(mark, border);
	ck_assert_int_eq(places(), 0);
}
END_TEST

START_TEST(keys_go_only_where_that_is_asked_for)
{
	const struct purge_rule rule = { .now = NOW, .dedup_days = 10 };

	put("metering", NOW - 12 * DAY, NOW - 12 * DAY, 0);
	put("metering", NOW, NOW, 0);
	take(&rule);

	ck_assert_uint_eq(purged.keys, 1);
	ck_assert_int_eq(rows("metering_records"), 2);
	ck_assert_int_eq(places(), 0);
}
END_TEST

START_TEST(marks_never_move_back)
{
	struct purge_rule rule = { .now = NOW, .facts_days = 10 };
	int64_t mark = 0;

	take(&rule);
	rule.now = NOW - 100 * DAY;
	take(&rule);

	book_note_read(&book, BOOK_FACTS_PURGED, &mark, &err);
	ck_assert_int_eq(mark, INT64_C(19990) * DAY);
}
END_TEST

static const struct bursar_sink_ops *real_ops;

/* Somebody else writes a later mark just before. */
static enum bursar_verdict sql_late(struct bursar_sink *sink,
                                    const char *statement,
                                    const struct bursar_cell *parameters,
                                    size_t count, bursar_row_fn *row,
                                    void *context, struct bursar_error *why)
{
	if (strstr(statement, "INSERT INTO bursar_meta") != NULL) {
		ck_assert_int_eq(real_ops->sql(sink, "INSERT INTO bursar_meta "
			"VALUES ('" BOOK_FACTS_PURGED "', '1900000000000000')",
			NULL, 0, NULL, NULL, why), BURSAR_DONE);
	}
	return real_ops->sql(sink, statement, parameters, count, row, context,
	                     why);
}

START_TEST(a_mark_that_somebody_moves_meanwhile_stays)
{
	const struct purge_rule rule = { .now = NOW, .facts_days = 10 };
	struct bursar_sink_ops ops = *book.ops;
	int64_t mark = 0;

	real_ops = book.ops;
	ops.sql = sql_late;
	book.ops = &ops;
	take(&rule);
	book.ops = real_ops;
	book_note_read(&book, BOOK_FACTS_PURGED, &mark, &err);
	ck_assert_int_eq(mark, INT64_C(1900000000000000));
}
END_TEST

START_TEST(what_waited_for_more_than_a_week_needs_a_person)
{
	const struct purge_rule rule = { .now = NOW };

	put("prompt", NOW - 90 * DAY, NOW - 90 * DAY, NOW - 7 * DAY + 1);
	ck_assert_int_eq(look(&rule), INT64_MAX);
	put("tool", NOW - 90 * DAY, NOW - 90 * DAY, NOW - 7 * DAY);
	ck_assert_int_eq(look(&rule), NOW - 7 * DAY);
	put("prompt", NOW - 90 * DAY, NOW - 90 * DAY, NOW - 31 * DAY);
	ck_assert_int_eq(look(&rule), NOW - 31 * DAY);

	take(&rule);
	ck_assert_uint_eq(purged.bodies, 3);
	ck_assert_int_eq(look(&rule), INT64_MAX);
}
END_TEST

START_TEST(a_clock_that_jumps_empties_nothing)
{
	struct purge_rule rule = { .now = NOW, .facts_days = 30,
	                           .dedup_days = 60 };

	put("prompt", NOW, NOW, NOW + 30 * DAY);
	put("metering", NOW, NOW, 0);
	ck_assert_int_eq(look(&rule), INT64_MAX);
	take(&rule);

	rule.now = NOW + 3650 * DAY;
	ck_assert_int_ne(look(&rule), INT64_MAX);

	rule.facts_days = rule.dedup_days = 0;
	ck_assert_int_ne(look(&rule), INT64_MAX);
	ledger_run(&book, "DELETE FROM prompt_records");
	ck_assert_int_eq(look(&rule), INT64_MAX);
	rule.facts_days = 30;
	ck_assert_int_ne(look(&rule), INT64_MAX);
	rule.facts_days = 0;
	rule.dedup_days = 60;
	ck_assert_int_ne(look(&rule), INT64_MAX);
}
END_TEST

START_TEST(an_old_backlog_is_no_sign_of_a_wrong_clock)
{
	const struct purge_rule rule = { .now = NOW, .facts_days = 30 };

	put("prompt", NOW - 900 * DAY, NOW - DAY, NOW - 800 * DAY);
	put("metering", NOW - 900 * DAY, NOW - DAY, 0);

	ck_assert_int_eq(look(&rule), INT64_MAX);
	take(&rule);
	ck_assert_uint_eq(purged.bodies, 1);
	ck_assert_uint_eq(purged.facts, 1);
}
END_TEST

static bool twice(void *context, const struct bursar_purged *so_far)
{
	int *asked = context;

	(void)so_far;
	return (*asked)++ < 2;
}

START_TEST(works_in_short_steps_and_can_be_cut_short)
{
	const struct purge_rule rule = { .now = NOW };
	int asked = 0;

	ledger_run(&book, "INSERT INTO prompt_records (id, message_id, "
		"recorded_us, inserted_us, expires_us) "
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
		"FROM n WHERE i < 12345) SELECT 19999 * 1099511627776 + i, "
		"'m' || i, 0, 0, 19999 * 86400000000 FROM n");
	ck_assert_int_eq(purge_take(&book, &rule, twice, &asked, &purged, &err),
	                 0);
	ck_assert_uint_eq(purged.bodies, 10000);
	ck_assert_int_eq(rows("prompt_records"), 2345);

	take(&rule);
	ck_assert_int_eq(rows("prompt_records"), 0);
}
END_TEST

#define STEPS 8

struct steps {
	uint64_t bodies[STEPS];		/* so far, before each step */
	size_t   count;
};

static bool note_step(void *context, const struct bursar_purged *so_far)
{
	struct steps *steps = context;

	ck_assert_uint_lt(steps->count, STEPS);
	steps->bodies[steps->count++] = so_far->bodies;
	return true;
}

START_TEST(twelve_hundred_and_one_go_by_five_hundred)
{
	const struct purge_rule rule = { .now = NOW, .limit = 500 };
	struct steps steps = { .count = 0 };

	for (int i = 0; i < 1201; i++) {
		put("prompt", NOW - DAY, NOW - DAY, NOW - 1 - i);
	}
	put("prompt", NOW - DAY, NOW - DAY, NOW + DAY);
	put("prompt", NOW - DAY, NOW - DAY, 0);
	ck_assert_int_eq(purge_take(&book, &rule, note_step, &steps, &purged,
	                            &err), 0);
	ck_assert_uint_eq(purged.bodies, 1201);
	ck_assert_uint_ge(steps.count, 3);
	ck_assert_uint_eq(steps.bodies[0], 0);
	ck_assert_uint_eq(steps.bodies[1], 500);
	ck_assert_uint_eq(steps.bodies[2], 1000);
	for (size_t i = 3; i < steps.count; i++) {
		ck_assert_uint_eq(steps.bodies[i], 1201);
	}
	ck_assert_int_eq(rows("prompt_records"), 2);
	/* Once more takes nothing. */
	ck_assert_int_eq(purge_take(&book, &rule, NULL, NULL, &purged, &err),
	                 0);
	ck_assert_uint_eq(purged.bodies, 0);
}
END_TEST

START_TEST(what_is_held_stays_and_goes_when_it_is_released)
{
	const struct purge_rule rule = { .now = NOW, .limit = 10 };

	ledger_run(&book, "INSERT INTO prompt_records (id, message_id, "
		"conversation_id, recorded_us, inserted_us, expires_us) "
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
		"FROM n WHERE i < 4200) SELECT 19999 * 1099511627776 + i, "
		"'m' || i, CASE WHEN i <= 4000 THEN 'case' END, 0, 0, "
		"19999 * 86400000000 FROM n");
	ledger_run(&book, "INSERT INTO bursar_hold_filters VALUES ('h', "
	           "'conversation_id', 'case')");
	ledger_run(&book, "INSERT INTO bursar_holds (name, id, reason, kind, "
	           "since_us, until_us, added_us, added_by) VALUES ('h', 'h', "
	           "'because', '', 0, 9000000000000000, 5, 'me')");
	take(&rule);
	ck_assert_uint_eq(purged.bodies, 200);
	ck_assert_int_eq(rows("prompt_records"), 4000);

	/* What is released meanwhile goes with the next purge. */
	ledger_run(&book, "UPDATE bursar_holds SET released_us = 9");
	take(&(struct purge_rule){ .now = NOW });
	ck_assert_uint_eq(purged.bodies, 4000);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("purge");
	TCase *purge = tcase_create("purge");

	tcase_set_timeout(purge, 60);
	tcase_add_checked_fixture(purge, setup, teardown);
	tcase_add_test(purge, takes_bodies_that_have_expired_and_no_others);
	tcase_add_test(purge, a_dry_run_counts_and_takes_nothing);
	tcase_add_test(purge, facts_go_by_whole_days_and_their_sums_stay);
	tcase_add_test(purge, keys_go_only_where_that_is_asked_for);
	tcase_add_test(purge, marks_never_move_back);
	tcase_add_test(purge, a_mark_that_somebody_moves_meanwhile_stays);
	tcase_add_test(purge, what_waited_for_more_than_a_week_needs_a_person);
	tcase_add_test(purge, a_clock_that_jumps_empties_nothing);
	tcase_add_test(purge, an_old_backlog_is_no_sign_of_a_wrong_clock);
	tcase_add_test(purge, works_in_short_steps_and_can_be_cut_short);
	tcase_add_test(purge, twelve_hundred_and_one_go_by_five_hundred);
	tcase_add_test(purge,
	               what_is_held_stays_and_goes_when_it_is_released);
	suite_add_tcase(s, purge);
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
