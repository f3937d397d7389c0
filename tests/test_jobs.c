/* SPDX-License-Identifier: Apache-2.0 */

/*
 * When a job is due, who may do it, and what it leaves behind; what is held
 * stays.  On a ledger of the sqlite sink.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <check.h>

#include "base/metrics.h"
#include "book/days.h"
#include "book/purge.h"
#include "book/verify.h"
#include "common/columns.h"
#include "common/holds.h"
#include "jobs/jobs.h"
#include "jobs/matching.h"
#include "jobs/runner.h"
#include "jobs/schedule.h"
#include "ledger.h"

#define DAY    COLUMNS_DAY_US
#define MINUTE INT64_C(60000000)

static struct book book;
static struct bursar_error err;
static int64_t now;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	now = clock_wall_us();
	ledger_open(&book);
	ledger_clock(now);
}

static void teardown(void)
{
	ledger_close(&book);
}

static void must(int status)
{
	ck_assert_msg(status == 0, "%s", err.text);
}

/* --- when ----------------------------------------------------------------- */

START_TEST(the_next_run_is_an_interval_away_give_or_take_a_tenth)
{
	int64_t least = INT64_MAX, most = INT64_MIN;

	for (uint32_t random = 0; random < 1000; random++) {
		const int64_t next = schedule_next(5000, 1000,
		                                   random * 4294967u);

		least = next < least ? next : least;
		most = next > most ? next : most;
	}
	ck_assert_int_ge(least, 5900);
	ck_assert_int_lt(least, 5920);
	ck_assert_int_le(most, 6100);
	ck_assert_int_gt(most, 6080);
	ck_assert_int_eq(schedule_next(5000, 1, 77), 5001);
	ck_assert_int_le(schedule_retry(0, 60 * MINUTE, 0), MINUTE * 11 / 10);
	ck_assert_int_le(schedule_retry(0, 1000, 0), 1100);
}
END_TEST

START_TEST(what_was_planned_by_a_wrong_clock_is_due)
{
	ck_assert(schedule_is_due(0, 1, 1000));
	ck_assert(schedule_is_due(5000, 5000, 1000));
	ck_assert(!schedule_is_due(5001, 5000, 1000));
	ck_assert(!schedule_is_due(6200, 5000, 1000));
	ck_assert(schedule_is_due(6201, 5000, 1000));
	ck_assert_int_eq(schedule_wait(9000000, 1000000, 5000000), 5000000);
	ck_assert_int_eq(schedule_wait(3000000, 1000000, 5000000), 2000000);
	ck_assert_int_eq(schedule_wait(0, 1000000, 5000000), 100000);
}
END_TEST

/* --- who ------------------------------------------------------------------ */

static bool take(struct lease *lease)
{
	bool taken;

	must(lease_take(&book, lease, &taken, &err));
	return taken;
}

static bool renew(const struct lease *lease)
{
	bool held;

	must(lease_renew(&book, lease, &held, &err));
	return held;
}

static bool is_ours(const struct lease *lease)
{
	struct book_statement st;
	int64_t number = 0;
	bool known;

	book_begin(&st);
	book_add(&st, "SELECT 1 WHERE ");
	lease_condition(&st, lease);
	must(book_number(&book, st.text, st.parameters, st.count, &number,
	                 &known, &err));
	return known;
}

START_TEST(one_of_two_has_a_lease_until_it_gives_it_back)
{
	struct lease a = { "purge", "a", MINUTE, 0 };
	struct lease b = { "purge", "b", MINUTE, 0 };
	struct lease other = { "facts", "b", MINUTE, 0 };

	ck_assert(take(&a));
	ck_assert_int_eq(a.fence, 1);
	ck_assert(!take(&b));
	ck_assert(take(&other));
	ck_assert(renew(&a));
	must(lease_release(&book, &a, &err));
	ck_assert(take(&b));
	ck_assert_int_eq(b.fence, 2);
	ck_assert(!take(&a));
}
END_TEST

START_TEST(who_was_taken_over_can_do_nothing_any_more)
{
	struct lease a = { "purge", "a", MINUTE, 0 };
	struct lease b = { "purge", "b", MINUTE, 0 };

	ck_assert(take(&a));
	ck_assert(is_ours(&a));
	/* It sleeps for longer than it has the lease. */
	ledger_run(&book, "UPDATE bursar_leases SET until_us = 1");
	ck_assert(is_ours(&a));
	ck_assert(take(&b));
	ck_assert(!is_ours(&a));
	ck_assert(!renew(&a));
	must(lease_release(&book, &a, &err));
	ck_assert(is_ours(&b));
	ck_assert(renew(&b));
	ck_assert_int_eq(ledger_ask(&book, "SELECT until_us > 1 FROM "
	                            "bursar_leases"), 1);
}
END_TEST

START_TEST(a_lease_of_the_far_future_is_free)
{
	struct lease a = { "purge", "a", MINUTE, 0 };

	ledger_run(&book, "INSERT INTO bursar_leases VALUES ('purge', 'x', "
	           "9000000000000000, 7)");
	ck_assert(take(&a));
	ck_assert_int_eq(a.fence, 8);
}
END_TEST

START_TEST(the_time_is_that_of_the_database)
{
	int64_t theirs;

	must(lease_now(&book, &theirs, &err));
	ck_assert_int_le(theirs, clock_wall_us());
	ck_assert_int_gt(theirs, clock_wall_us() - MINUTE);
}
END_TEST

/* --- a run ---------------------------------------------------------------- */

static const struct setup configured = {
	.purge_ms = 60000, .facts_ms = 60000, .reconcile_ms = 60000,
	.lease_ms = 60000, .facts_days = 10,
};

static struct runner runner_of(const char *job)
{
	return (struct runner){
		.book = &book, .setup = &configured,
		.job = jobs_find(job, NULL), .holder = "me/1/2",
		.span_us = MINUTE, .stop = -1,
	};
}

static struct job_status status_of(const char *job)
{
	struct job_status status;

	must(runner_status(&book, job, &status, &err));
	return status;
}

static void put_expired(const char *id, int64_t expires)
{
	struct bursar_record *record = ledger_record("prompt", id,
	                                             now - 3 * DAY);

	ledger_number(record, "inserted_at", now - 2 * DAY);
	ledger_number(record, "expires_at", expires);
	ledger_text(record, "conversation_id", "talk");
	ledger_put(&book, record);
}

START_TEST(a_run_is_written_down_and_not_repeated_before_its_time)
{
	struct runner runner = runner_of("purge");

	put_expired("a", now - DAY);
	ck_assert(!status_of("purge").known);
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_int_eq(runner.result, JOB_OK);
	ck_assert_str_eq(runner.note, "bodies=1");

	const struct job_status status = status_of("purge");
	ck_assert_str_eq(status.result, "ok");
	ck_assert_str_eq(status.note, "bodies=1");
	ck_assert_str_eq(status.holder, "");
	ck_assert_int_eq(status.runs, 1);
	ck_assert_int_ge(status.good_us, now);
	ck_assert_int_gt(status.next_us, now + 50 * 1000000);
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_NOT_DUE);
	ck_assert_int_eq(status_of("purge").runs, 1);

	runner.by_hand = true;
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_int_eq(status_of("purge").runs, 2);
}
END_TEST

START_TEST(an_idle_ledger_is_only_read)
{
	struct runner runner = runner_of("purge");

	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	const int64_t fence = ledger_ask(&book, "SELECT fence FROM "
	                                 "bursar_leases");
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_NOT_DUE);
	ck_assert_int_eq(ledger_ask(&book, "SELECT fence FROM bursar_leases"),
	                 fence);
}
END_TEST

START_TEST(what_somebody_else_runs_is_left_alone)
{
	struct runner runner = runner_of("purge");
	struct lease lease = { "purge", "other", MINUTE, 0 };

	put_expired("a", now - DAY);
	ck_assert(take(&lease));
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_HELD);
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM "
	                            "prompt_records"), 1);
}
END_TEST

START_TEST(a_run_that_was_killed_is_due_at_once)
{
	struct runner runner = runner_of("purge");

	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ledger_run(&book, "UPDATE bursar_jobs SET result = 'running', "
	           "ended_us = NULL, next_us = started_us");
	put_expired("a", now - DAY);
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_str_eq(runner.note, "bodies=1");
}
END_TEST

START_TEST(a_run_that_was_taken_over_says_nothing_of_the_new_one)
{
	struct lease lease = { "purge", "other", MINUTE, 0 };
	struct runner runner = runner_of("purge");

	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert(take(&lease));
	ledger_run(&book, "UPDATE bursar_jobs SET fence = 99, note = 'other', "
	           "next_us = 0");
	ledger_run(&book, "UPDATE bursar_leases SET until_us = 1");
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_str_eq(status_of("purge").note, "other");
}
END_TEST

START_TEST(more_than_a_week_waits_for_a_person)
{
	struct runner runner = runner_of("purge");

	put_expired("a", now - DAY);
	ledger_run(&book, "UPDATE prompt_records SET id = id - "
	           "20 * 1099511627776, expires_us = expires_us - "
	           "20 * 86400000000, inserted_us = 0");
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_int_eq(runner.result, JOB_WAITS);
	ck_assert_ptr_nonnull(strstr(runner.note, "--force"));
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM "
	                            "prompt_records"), 1);

	runner.by_hand = runner.force = true;
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_str_eq(runner.note, "bodies=1");
}
END_TEST

START_TEST(a_run_stops_between_two_transactions)
{
	struct runner runner = runner_of("purge");
	int fds[2];

	put_expired("a", now - DAY);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(write(fds[1], "x", 1), 1);
	runner.stop = fds[0];
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_int_eq(runner.result, JOB_STOPPED);
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM "
	                            "prompt_records"), 1);
	/* Whoever comes next goes on. */
	runner.stop = -1;
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_str_eq(runner.note, "bodies=1");
	close(fds[0]);
	close(fds[1]);
}
END_TEST

/* --- what is held --------------------------------------------------------- */

static void hold(const char *name, const char *kind, const char *field,
                 const char *value)
{
	char sql[500];

	snprintf(sql, sizeof(sql), "INSERT INTO bursar_hold_filters VALUES "
	         "('id-%s', '%s', '%s')", name, field, value);
	ledger_run(&book, sql);
	snprintf(sql, sizeof(sql), "INSERT INTO bursar_holds (name, id, "
	         "reason, kind, since_us, until_us, added_us, added_by) VALUES "
	         "('%s', 'id-%s', 'because', '%s', %lld, %lld, 5, 'me')", name,
	         name, kind, (long long)INT64_MIN, (long long)INT64_MAX);
	ledger_run(&book, sql);
}

static uint64_t purge(void)
{
	const struct purge_rule rule = { .now = now, .facts_days = 1 };
	struct bursar_purged purged;

	must(purge_take(&book, &rule, NULL, NULL, &purged, &err));
	return purged.bodies + purged.facts;
}

static int64_t held(void)
{
	const struct purge_rule rule = { .now = now, .facts_days = 1 };
	int64_t count;

	must(purge_count_held(&book, &rule, &count, &err));
	return count;
}

START_TEST(what_is_held_stays_until_it_is_released)
{
	const struct purge_rule rule = { .now = now };
	struct bursar_purged purged;

	put_expired("a", now - DAY);
	put_expired("b", now - DAY);
	ledger_run(&book, "UPDATE prompt_records SET contains_phi = 1");
	hold("case", "", "message_id", "a");
	ck_assert_int_eq(held(), 1);
	must(purge_count(&book, &rule, &purged, &err));
	ck_assert_uint_eq(purged.bodies, 1);
	ck_assert_uint_eq(purge(), 1);
	ck_assert_uint_eq(purge(), 0);
	ck_assert_int_eq(held(), 1);

	/* What comes later is held as well. */
	hold("talk", "prompt", "conversation_id", "talk");
	put_expired("c", now - DAY);
	ck_assert_uint_eq(purge(), 0);
	ck_assert_int_eq(held(), 2);

	ledger_run(&book, "UPDATE bursar_holds SET released_us = 9, "
	           "released_by = 'you' WHERE name = 'talk'");
	ck_assert_uint_eq(purge(), 1);
	ledger_run(&book, "UPDATE bursar_holds SET released_us = 9, "
	           "released_by = 'you'");
	ck_assert_uint_eq(purge(), 1);
	ck_assert_int_eq(held(), 0);
}
END_TEST

START_TEST(a_hold_covers_its_kind_its_window_and_all_its_filters)
{
	put_expired("a", now - DAY);
	hold("tool", "tool", "conversation_id", "talk");
	hold("no", "", "conversation_id", "other");
	hold("phi", "", "contains_phi", "1");
	hold("early", "", "message_id", "a");
	ledger_run(&book, "UPDATE bursar_holds SET until_us = since_us "
	           "WHERE name = 'early'");
	hold("unknown", "", "tool_name", "");
	ledger_run(&book, "UPDATE bursar_holds SET since_us = 9000000000000000 "
	           "WHERE name = 'unknown'");
	hold("both", "", "conversation_id", "talk");
	ledger_run(&book, "INSERT INTO bursar_hold_filters VALUES "
	           "('id-both', 'agent_id', 'nobody')");
	ck_assert_int_eq(held(), 0);
	ledger_run(&book, "UPDATE bursar_hold_filters SET value = '' "
	           "WHERE field = 'agent_id'");
	ck_assert_int_eq(held(), 1);
	ck_assert_uint_eq(purge(), 0);
}
END_TEST

static void ignore(void *context, const struct verify_place *place)
{
	(void)place;
	(*(int *)context)++;
}

START_TEST(facts_that_are_held_stay_and_verify)
{
	int found = 0;
	const struct verify_report report = { .place = ignore,
	                                      .context = &found };
	struct verify_counts counts;

	for (int i = 0; i < 4; i++) {
		char id[8];

		snprintf(id, sizeof(id), "f%d", i);
		struct bursar_record *fact = ledger_record("metering", id,
		                                           now - 5 * DAY);

		ledger_number(fact, "inserted_at", now);
		ledger_text(fact, "team", i % 2 == 0 ? "red" : "blue");
		ledger_put(&book, fact);
	}
	hold("red", "", "team", "red");
	ck_assert_uint_eq(purge(), 2);
	ck_assert_int_eq(held(), 2);
	must(verify_run(&book, &report, &counts, &err));
	ck_assert_int_eq(found, 0);
	ledger_run(&book, "UPDATE bursar_holds SET released_us = 1");
	ck_assert_uint_eq(purge(), 2);
}
END_TEST

START_TEST(what_was_released_lately_is_no_sign_of_a_wrong_clock)
{
	const struct purge_rule rule = { .now = now };
	const char *what;
	int64_t due;

	put_expired("a", now - DAY);
	ledger_run(&book, "UPDATE prompt_records SET id = id - "
	           "400 * 1099511627776, expires_us = expires_us - "
	           "400 * 86400000000, inserted_us = 0");
	must(purge_look(&book, &rule, &due, &what, &err));
	ck_assert_int_ne(due, INT64_MAX);
	hold("case", "", "message_id", "a");
	must(purge_look(&book, &rule, &due, &what, &err));
	ck_assert_int_eq(due, INT64_MAX);

	char sql[200];
	snprintf(sql, sizeof(sql), "UPDATE bursar_holds SET released_us = %lld",
	         (long long)(now - DAY));
	ledger_run(&book, sql);
	must(purge_look(&book, &rule, &due, &what, &err));
	ck_assert_int_eq(due, INT64_MAX);
	ledger_run(&book, "UPDATE bursar_holds SET released_us = 1");
	must(purge_look(&book, &rule, &due, &what, &err));
	ck_assert_int_ne(due, INT64_MAX);
}
END_TEST

static bool refuses(const char *sql)
{
	struct bursar_error why = { 0 };

	return book_run(&book, sql, NULL, 0, NULL, NULL, &why) != 0;
}

START_TEST(the_journal_tells_of_each_change_and_is_only_added_to)
{
	hold("case", "", "message_id", "a");
	ledger_run(&book, "UPDATE bursar_holds SET released_us = 9, "
	           "released_by = 'you'");
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM "
		"bursar_journal WHERE what = 'hold-added' AND who = 'me' AND "
		"at_us = 5 AND subject = 'case' AND detail LIKE "
		"'%because%message_id=a%'"), 1);
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM "
		"bursar_journal WHERE what = 'hold-released' AND who = 'you' "
		"AND at_us = 9"), 1);
	ck_assert(refuses("DELETE FROM bursar_journal"));
	ck_assert(refuses("UPDATE bursar_journal SET who = 'nobody'"));
	ck_assert(refuses("DELETE FROM bursar_holds"));
}
END_TEST

START_TEST(the_lag_is_that_of_what_should_be_gone)
{
	int64_t due;

	must(purge_oldest(&book, now, &due, &err));
	ck_assert_int_eq(due, INT64_MAX);
	put_expired("a", now - 2 * DAY);
	put_expired("b", now + 2 * DAY);
	must(purge_oldest(&book, now, &due, &err));
	ck_assert_int_eq(due, now - 2 * DAY);
	hold("case", "", "message_id", "a");
	must(purge_oldest(&book, now, &due, &err));
	ck_assert_int_eq(due, INT64_MAX);
}
END_TEST

static int64_t open_days(void)
{
	int64_t days = -1;

	must(days_open(&book, now, &days, &err));
	return days;
}

START_TEST(the_lag_of_sums_is_the_days_that_are_over_and_not_summed)
{
	ck_assert_int_eq(open_days(), 0);
	ledger_put(&book, ledger_record("metering", "today", now));
	ck_assert_int_eq(open_days(), 0);
	ledger_put(&book, ledger_record("metering", "a", now - 3 * DAY));
	ck_assert_int_eq(open_days(), 3);
	ledger_sum_days(&book);
	ck_assert_int_eq(open_days(), 0);
	ledger_put(&book, ledger_record("metering", "late", now - 2 * DAY));
	ck_assert_int_eq(open_days(), 1);
	ledger_run(&book, "UPDATE rollup_closed SET summed = 0");
	ck_assert_int_eq(open_days(), 3);
}
END_TEST

/* --- reconciliation ------------------------------------------------------- */

static void put_ref(const char *kind, const char *id, int64_t at,
                    const char *field, const char *value)
{
	struct bursar_record *record = ledger_record(kind, id, at);

	ledger_number(record, "expires_at", now + DAY);
	if (field != NULL) {
		ledger_text(record, field, value);
	}
	ledger_put(&book, record);
}

static int64_t rows_read;	/* of the last run */

/* "linked=1 waiting=2" of its note. */
static const char *reconcile(void)
{
	static struct runner runner;

	runner = runner_of("reconcile");
	runner.by_hand = true;
	ck_assert_int_eq(runner_run(&runner, &err), RUNNER_RAN);
	ck_assert_msg(runner.result == JOB_OK, "%s", runner.why.text);
	char *read = strstr(runner.note, " read=");
	ck_assert_ptr_nonnull(read);
	rows_read = strtoll(read + 6, NULL, 10);
	*read = '\0';
	return runner.note;
}

static int64_t links(const char *tool, const char *prompt, const char *method)
{
	char sql[300];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM tool_prompts WHERE "
	         "tool_id = '%s' AND prompt_id = '%s' AND method = '%s'", tool,
	         prompt, method);
	return ledger_ask(&book, sql);
}

START_TEST(a_tool_call_finds_its_prompt_whichever_came_first)
{
	put_ref("tool", "t1", now - MINUTE, "request_id", "r1");
	put_ref("prompt", "p2", now - 2 * MINUTE, "request_id", "r2");
	put_ref("tool", "t2", now - MINUTE, "request_id", "r2");
	put_ref("tool", "t3", now - MINUTE, NULL, NULL);
	ck_assert_str_eq(reconcile(), "linked=1 waiting=2");
	ck_assert_int_eq(links("t2", "p2", "request"), 1);

	put_ref("prompt", "p1", now - 2 * MINUTE, "request_id", "r1");
	ck_assert_str_eq(reconcile(), "linked=0 waiting=0");
	/* It waits for longer and longer; its time has come. */
	ledger_run(&book, "UPDATE tool_links SET next_us = 0");
	ck_assert_str_eq(reconcile(), "linked=1 waiting=1");
	ck_assert_int_eq(links("t1", "p1", "request"), 1);
	ck_assert_str_eq(reconcile(), "linked=0 waiting=0");
	ck_assert_int_eq(ledger_ask(&book, "SELECT tries FROM tool_links WHERE "
	                            "prompt_row IS NULL"), 2);
}
END_TEST

/* Minutes go by, a run in every second one, until a call is linked. */
static int wait_for_link(const char *tool, int most)
{
	for (int minute = 0; minute <= most; minute += 2) {
		reconcile();
		if (links(tool, "late", "request") == 1) {
			return minute;
		}
		ledger_run(&book, "UPDATE tool_links SET next_us = next_us - "
		           "120000000 WHERE prompt_row IS NULL");
	}
	return -1;
}

START_TEST(a_prompt_that_is_ten_minutes_late_gets_all_its_tool_calls)
{
	put_ref("tool", "t1", now - 11 * MINUTE, "request_id", "r1");
	put_ref("tool", "t2", now - 11 * MINUTE, "request_id", "r1");
	put_ref("tool", "other", now - 11 * MINUTE, "request_id", "r2");
	ck_assert_int_eq(wait_for_link("t1", 10), -1);

	put_ref("prompt", "late", now - 12 * MINUTE, "request_id", "r1");
	const int minutes = wait_for_link("t1", 20);
	ck_assert_msg(minutes >= 0, "it is not found in 20 minutes");
	ck_assert_int_eq(links("t2", "late", "request"), 1);
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(DISTINCT tool_row) "
	                            "FROM tool_links WHERE prompt_row IS NOT "
	                            "NULL"), 2);
	ck_assert_int_eq(links("other", "late", "request"), 0);
}
END_TEST

START_TEST(the_surest_link_wins_and_then_the_nearest)
{
	put_ref("prompt", "far", now - 20 * MINUTE, "exchange_id", "x");
	put_ref("prompt", "near", now - 11 * MINUTE, "exchange_id", "x");
	put_ref("prompt", "talk", now - 10 * MINUTE, "conversation_id", "c");
	struct bursar_record *tool = ledger_record("tool", "t",
	                                           now - 10 * MINUTE);
	ledger_number(tool, "expires_at", now + DAY);
	ledger_text(tool, "exchange_id", "x");
	ledger_text(tool, "conversation_id", "c");
	ledger_put(&book, tool);
	put_ref("tool", "u", now - 12 * MINUTE, "conversation_id", "c");

	ck_assert_str_eq(reconcile(), "linked=1 waiting=1");
	ck_assert_int_eq(links("t", "near", "exchange"), 1);
	ledger_run(&book, "UPDATE tool_links SET next_us = 0");
	ck_assert_str_eq(reconcile(), "linked=1 waiting=0");
	ck_assert_int_eq(links("u", "talk", "conversation"), 1);
}
END_TEST

START_TEST(what_is_old_is_found_by_and_by)
{
	for (int i = 0; i < 2600; i++) {
		char id[24];

		snprintf(id, sizeof(id), "t%d", i);
		put_ref("tool", id, now - 30 * DAY +
		        (i == 2599 ? 8 : i % 7) * 1000000,
		        "correlation_id", i == 2599 ? "last" : "none");
	}
	put_ref("prompt", "p", now - 30 * DAY, "correlation_id", "last");
	ck_assert_str_eq(reconcile(), "linked=0 waiting=2000");
	ck_assert_str_eq(reconcile(), "linked=1 waiting=599");
	ck_assert_int_eq(links("t2599", "p", "correlation"), 1);
	ck_assert_str_eq(reconcile(), "linked=0 waiting=0");
}
END_TEST

#define CALLS 1700		/* some pages */

START_TEST(each_prompt_is_read_once_for_all_the_calls_around_it)
{
	for (int i = 0; i < CALLS; i++) {
		char id[24], ref[24];

		snprintf(id, sizeof(id), "t%d", i);
		snprintf(ref, sizeof(ref), "r%d", i);
		put_ref("tool", id, now - 50 * MINUTE + i * 1000000,
		        "request_id", ref);
		put_ref("prompt", id, now - 50 * MINUTE + i * 1000000,
		        "request_id", i % 2 == 0 ? ref : "none");
	}
	ck_assert_str_eq(reconcile(), "linked=850 waiting=850");
	/* The sweep looks at the calls once more. */
	ck_assert_int_eq(rows_read, 3 * CALLS);
	ck_assert_str_eq(reconcile(), "linked=0 waiting=0");
	ck_assert_int_le(rows_read, 2 * CALLS);
}
END_TEST

#define MANY 200

static struct bursar_span some_ref(char out[8])
{
	const int size = rand() % 4 == 0 ? 0
		: snprintf(out, 8, "%d", rand() % 30);

	return (struct bursar_span){ out, (size_t)size };
}

static bool same_ref(struct bursar_span a, struct bursar_span b)
{
	return a.size > 0 && a.size == b.size &&
	       memcmp(a.data, b.data, a.size) == 0;
}

/* What a comparison of all with all finds. */
static void assert_nearest(const struct match *row,
                           const struct match *others, int method)
{
	int64_t apart = -1, id = 0;

	for (int i = 0; i < MANY; i++) {
		const int64_t away = llabs(others[i].us - row->us);

		if (same_ref(others[i].refs[method], row->refs[method]) &&
		    (apart < 0 || away < apart)) {
			apart = away;
			id = i;
		}
	}
	ck_assert_int_eq(row->apart[method], apart);
	if (apart >= 0) {
		ck_assert_int_eq(row->found[method], id);
	}
}

START_TEST(the_nearest_of_a_reference_is_that_of_a_comparison_of_all)
{
	static char words[2][MANY][MATCHING_REFS][8];
	static struct match rows[2][MANY];	/* some, and the others */

	srand((unsigned)_i);
	for (int side = 0; side < 2; side++) {
		int64_t us = rand() % 50;

		for (int i = 0; i < MANY; i++) {
			rows[side][i] = (struct match){ .us = us };
			for (int r = 0; r < MATCHING_REFS; r++) {
				rows[side][i].refs[r] =
					some_ref(words[side][i][r]);
			}
			us += rand() % 4;
		}
	}
	struct matching *matching = matching_create(rows[0], MANY);
	ck_assert_ptr_nonnull(matching);
	for (int i = 0; i < MANY; i++) {
		matching_offer(matching, i, rows[1][i].us, rows[1][i].refs);
	}
	matching_end(matching);

	for (int i = 0; i < MANY; i++) {
		for (int r = 0; r < MATCHING_REFS; r++) {
			assert_nearest(&rows[0][i], rows[1], r);
		}
	}
}
END_TEST

START_TEST(a_link_goes_with_its_tool_call)
{
	put_ref("prompt", "p", now - MINUTE, "request_id", "r");
	put_ref("tool", "t", now - MINUTE, "request_id", "r");
	ck_assert_str_eq(reconcile(), "linked=1 waiting=0");
	ledger_run(&book, "UPDATE tool_links SET tool_row = tool_row - "
	           "3 * 1099511627776");
	reconcile();
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM tool_links "
	                            "WHERE method = 'request'"), 1);
	ck_assert_int_eq(links("t", "p", "request"), 1);
}
END_TEST

START_TEST(as_many_links_go_as_may_come)
{
	reconcile();
	ledger_run(&book, "INSERT INTO tool_links (tool_row, method, tries, "
		"next_us) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL "
		"SELECT i + 1 FROM n WHERE i < 1700) SELECT i, 'nothing', 1, "
		"0 FROM n");
	reconcile();
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM tool_links"),
	                 0);
}
END_TEST

/* Somebody takes the lease over before the page is stored. */
static bool steal(struct job_run *run)
{
	(void)run;
	ledger_run(&book, "UPDATE bursar_leases SET fence = fence + 1");
	return true;
}

START_TEST(links_of_who_was_taken_over_are_not_stored)
{
	struct lease lease = { "reconcile", "a", MINUTE, 0 };
	struct job_run run = { .book = &book, .setup = &configured,
	                       .lease = &lease, .go_on = steal };

	put_ref("prompt", "p", now - MINUTE, "request_id", "r");
	put_ref("tool", "t", now - MINUTE, "request_id", "r");
	ck_assert(take(&lease));
	ck_assert_int_eq(job_reconcile(&run, &err), JOB_OK);
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM tool_links"),
	                 0);
}
END_TEST

/* --- the daemon's thread -------------------------------------------------- */

/* A sink that is the fixture's, which stays open. */
static struct bursar_sink *open_fixture(const struct bursar_host *host,
                                        enum bursar_mode mode,
                                        enum bursar_verdict *verdict,
                                        struct bursar_error *why)
{
	(void)host;
	(void)verdict;
	(void)why;
	ck_assert_int_eq(mode, BURSAR_WRITE);
	return book.sink;
}

static void leave_open(struct bursar_sink *sink)
{
	(void)sink;
}

static struct metric *runs(const char *job, const char *result)
{
	return metrics_get("bursar_job_runs_total", "", true, "sink",
	                   "fixture", "task", job, "result", result, NULL);
}

static struct metric *gauge(const char *name, const char *job)
{
	return job != NULL
		? metrics_get(name, "", false, "sink", "fixture", "task", job,
		              NULL)
		: metrics_get(name, "", false, "sink", "fixture", NULL);
}

static void wait_for(const struct metric *metric)
{
	for (int i = 0; i < 1000 && metric_get(metric) == 0; i++) {
		usleep(10000);
	}
	ck_assert_int_gt(metric_get(metric), 0);
}

START_TEST(a_thread_runs_what_is_on_and_tells_how_it_goes)
{
	struct bursar_sink_ops ops = *book.ops;
	const struct bursar_plugin plugin = {
		.kind = BURSAR_SINK, .name = "fixture", .ops.sink = &ops,
	};
	struct setup_sink sink = {
		.item = { .name = (char *)(uintptr_t)"fixture",
		          .plugin = &plugin },
	};
	struct setup setup = configured;

	ops.open = open_fixture;
	ops.close = leave_open;
	setup.sinks = &sink;
	setup.sink_count = 1;
	setup.purge_ms = 200;
	setup.facts_ms = 0;

	put_expired("a", now - DAY);
	struct jobs *jobs = jobs_create(&setup, &err);
	ck_assert_msg(jobs != NULL, "%s", err.text);
	wait_for(runs("purge", "ok"));
	wait_for(gauge("bursar_job_last_success_timestamp_seconds", "purge"));
	jobs_destroy(jobs);
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM "
	                            "prompt_records"), 0);
	ck_assert_int_eq(metric_get(runs("purge", "failed")), 0);
	ck_assert_int_eq(metric_get(gauge("bursar_purge_waiting", "purge")), 0);
	ck_assert_int_eq(metric_get(gauge("bursar_purge_lag_seconds", NULL)),
	                 0);
	/* Off, and nothing for it in that sink. */
	ck_assert_int_eq(metric_get(runs("facts", "ok")), 0);
	ck_assert_int_eq(metric_get(runs("reconcile", "ok")), 0);

	/* What has been due for long waits, and is told. */
	put_expired("b", now - DAY);
	ledger_run(&book, "UPDATE prompt_records SET id = id - "
	           "20 * 1099511627776, expires_us = expires_us - "
	           "20 * 86400000000, inserted_us = 0");
	jobs = jobs_create(&setup, &err);
	wait_for(runs("purge", "waits"));
	wait_for(gauge("bursar_purge_waiting", "purge"));
	jobs_destroy(jobs);
	ck_assert_int_gt(metric_get(gauge("bursar_purge_lag_seconds", NULL)),
	                 20 * 86400);

	ledger_run(&book, "DROP TABLE bursar_jobs");
	jobs = jobs_create(&setup, &err);
	wait_for(runs("purge", "failed"));
	jobs_destroy(jobs);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("jobs");
	TCase *t = tcase_create("jobs");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_next_run_is_an_interval_away_give_or_take_a_tenth);
	tcase_add_test(t, what_was_planned_by_a_wrong_clock_is_due);
	tcase_add_test(t, one_of_two_has_a_lease_until_it_gives_it_back);
	tcase_add_test(t, who_was_taken_over_can_do_nothing_any_more);
	tcase_add_test(t, a_lease_of_the_far_future_is_free);
	tcase_add_test(t, the_time_is_that_of_the_database);
	tcase_add_test(t, a_run_is_written_down_and_not_repeated_before_its_time);
	tcase_add_test(t, an_idle_ledger_is_only_read);
	tcase_add_test(t, what_somebody_else_runs_is_left_alone);
	tcase_add_test(t, a_run_that_was_killed_is_due_at_once);
	tcase_add_test(t, a_run_that_was_taken_over_says_nothing_of_the_new_one);
	tcase_add_test(t, more_than_a_week_waits_for_a_person);
	tcase_add_test(t, a_run_stops_between_two_transactions);
	tcase_add_test(t, what_is_held_stays_until_it_is_released);
	tcase_add_test(t, a_hold_covers_its_kind_its_window_and_all_its_filters);
	tcase_add_test(t, facts_that_are_held_stay_and_verify);
	tcase_add_test(t, what_was_released_lately_is_no_sign_of_a_wrong_clock);
	tcase_add_test(t, the_journal_tells_of_each_change_and_is_only_added_to);
	tcase_add_test(t, the_lag_is_that_of_what_should_be_gone);
	tcase_add_test(t, the_lag_of_sums_is_the_days_that_are_over_and_not_summed);
	tcase_add_test(t, a_tool_call_finds_its_prompt_whichever_came_first);
	tcase_add_test(t, a_prompt_that_is_ten_minutes_late_gets_all_its_tool_calls);
	tcase_add_test(t, the_surest_link_wins_and_then_the_nearest);
	tcase_add_test(t, what_is_old_is_found_by_and_by);
	tcase_add_test(t, each_prompt_is_read_once_for_all_the_calls_around_it);
	tcase_add_loop_test(t, the_nearest_of_a_reference_is_that_of_a_comparison_of_all,
	                    0, 20);
	tcase_add_test(t, a_link_goes_with_its_tool_call);
	tcase_add_test(t, as_many_links_go_as_may_come);
	tcase_add_test(t, links_of_who_was_taken_over_are_not_stored);
	tcase_add_test(t, a_thread_runs_what_is_on_and_tells_how_it_goes);
	suite_add_tcase(s, t);
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
