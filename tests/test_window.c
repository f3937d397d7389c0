/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Windows of time: words, dates, zones whose clocks jump, and the promise that
 * days add up to the range in every zone.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "book/window.h"

#define SECOND INT64_C(1000000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

static struct bursar_error err;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(window_zone(NULL, &err), 0);
}

static int64_t at(const char *text)
{
	int64_t us = 0;

	ck_assert_msg(window_time(text, &us, &err) == 0, "%s", err.text);
	return us;
}

static struct window choose(const char *period, const char *since,
                            const char *until, const char *tz, int64_t now)
{
	const struct window_choice choice = { period, since, until, tz };
	struct window window = { 0 };

	ck_assert_msg(window_choose(&choice, now, &window, &err) == 0, "%s",
	              err.text);
	return window;
}

static const struct {
	const char *text;
	int64_t us;
} times[] = {
	{ "1970-01-01", 0 },
	{ "1970-01-02", DAY },
	{ "1969-12-31T23:59:59.999999Z", -1 },
	{ "2026-03-29T00:59:59Z", 1774745999 * SECOND },
	{ "2026-03-29t00:59:59z", 1774745999 * SECOND },
	{ "2026-03-29 02:59:59+02:00", 1774745999 * SECOND },
	{ "2026-03-28T20:29:59-04:30", 1774745999 * SECOND },
	{ "2026-03-29T00:59:59.5Z", 1774745999 * SECOND + 500000 },
	{ "2026-03-29T00:59:59.123456789Z", 1774745999 * SECOND + 123456 },
	{ "2026-03-29T00:59", 1774745940 * SECOND },
	{ "2024-02-29", 1709164800 * SECOND },
	{ "2016-12-31T23:59:60Z", 1483228800 * SECOND },
};

START_TEST(reads_rfc_3339_and_dates)
{
	int64_t us = -7;

	ck_assert_msg(window_time(times[_i].text, &us, &err) == 0, "%s",
	              err.text);

	ck_assert_int_eq(us, times[_i].us);
}
END_TEST

static const char *const no_times[] = {
	"", "now", "2026", "2026-03", "2026-3-29", "2026-02-29", "2026-13-01",
	"2026-04-31", "2026-00-10", "2026-03-00", "2026-03-29T", "20260329",
	"2026-03-29T24:00:00Z", "2026-03-29T00:60:00Z", "2026-03-29T00:00:61Z",
	"2026-03-29T00:00:00.Z", "2026-03-29Z",
	"2026-03-29T00:00:00+02:60", "2026-03-29T00:00:00+02:00x",
	"2026-03-29T00:00:00Z ", " 2026-03-29", "2026-03-29T0x:00:00Z",
	"-026-03-29", "0000-01-01",
};

START_TEST(refuses_what_is_no_time)
{
	int64_t us = 0;

	ck_assert_int_eq(window_time(no_times[_i], &us, &err), -1);
	ck_assert_int_eq(err.code, EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "2026-03-29T14:00:00Z"));
}
END_TEST

START_TEST(periods_of_the_reference_roll)
{
	const int64_t now = at("2026-11-20T10:20:30Z");
	const struct {
		const char *name;
		int64_t seconds;
	} periods[] = {
		{ "hour", 3600 }, { "day", 86400 }, { "week", 604800 },
		{ "month", 2592000 },
	};

	for (size_t i = 0; i < 4; i++) {
		const struct window window =
			choose(periods[i].name, NULL, NULL, NULL, now);

		ck_assert_int_eq(window.until, now);
		ck_assert_int_eq(now - window.since,
		                 periods[i].seconds * SECOND);
	}
}
END_TEST

static const struct {
	const char *period, *tz, *now, *since, *until;
} calendar[] = {
	{ "today", NULL, "2026-11-20T10:00:00Z",
	  "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z" },
	{ "yesterday", NULL, "2026-11-20T10:00:00Z",
	  "2026-11-19T00:00:00Z", "2026-11-20T00:00:00Z" },
	{ "this-month", NULL, "2026-12-31T23:59:59Z",
	  "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z" },
	{ "last-month", NULL, "2026-01-15T00:00:00Z",
	  "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z" },
	/* 2026-11-20 is a Friday, the 22nd a Sunday, the 23rd a Monday. */
	{ "this-week", NULL, "2026-11-20T10:00:00Z",
	  "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z" },
	{ "this-week", NULL, "2026-11-22T23:00:00Z",
	  "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z" },
	{ "last-week", NULL, "2026-11-23T00:00:00Z",
	  "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z" },
	/* Late in Vienna it is tomorrow there already. */
	{ "today", "Europe/Vienna", "2026-11-20T23:30:00Z",
	  "2026-11-20T23:00:00Z", "2026-11-21T23:00:00Z" },
	/* A day of 23 hours, one of 25. */
	{ "today", "Europe/Vienna", "2026-03-29T12:00:00Z",
	  "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z" },
	{ "today", "Europe/Vienna", "2026-10-25T12:00:00Z",
	  "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z" },
	{ "this-month", "America/New_York", "2026-11-20T10:00:00Z",
	  "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z" },
	{ "today", "Asia/Kathmandu", "2026-11-20T10:00:00Z",
	  "2026-11-19T18:15:00Z", "2026-11-20T18:15:00Z" },
	{ "today", "Australia/Lord_Howe", "2026-04-05T00:00:00Z",
	  "2026-04-04T13:00:00Z", "2026-04-05T13:30:00Z" },
	/* No midnight: the day begins at one o'clock. */
	{ "today", "Africa/Cairo", "2023-04-28T10:00:00Z",
	  "2023-04-27T22:00:00Z", "2023-04-28T21:00:00Z" },
	/* At midnight back to eleven: the day begins the second time. */
	{ "today", "America/Sao_Paulo", "2018-02-18T12:00:00Z",
	  "2018-02-18T03:00:00Z", "2018-02-19T03:00:00Z" },
	{ "yesterday", "America/Sao_Paulo", "2018-02-18T12:00:00Z",
	  "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z" },
	/* One minute of the new day, then an hour of the old one again. */
	{ "today", "America/St_Johns", "2010-11-07T02:30:30Z",
	  "2010-11-06T02:30:00Z", "2010-11-07T03:30:00Z" },
	{ "today", "America/St_Johns", "2010-11-07T12:00:00Z",
	  "2010-11-07T03:30:00Z", "2010-11-08T03:30:00Z" },
	/* Samoa left out the 30th of December. */
	{ "today", "Pacific/Apia", "2011-12-31T00:00:00Z",
	  "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z" },
	{ "yesterday", "Pacific/Apia", "2011-12-31T00:00:00Z",
	  "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z" },
};

START_TEST(calendar_periods_follow_the_clocks_of_the_zone)
{
	const struct window want = { at(calendar[_i].since),
	                             at(calendar[_i].until) };

	const struct window got = choose(calendar[_i].period, NULL, NULL,
	                                 calendar[_i].tz, at(calendar[_i].now));

	ck_assert_int_eq(got.since, want.since);
	ck_assert_int_eq(got.until, want.until);
}
END_TEST

START_TEST(dates_are_starts_of_days_in_the_zone)
{
	const struct window window = choose(NULL, "2026-03-01", "2026-04-01",
	                                    "Europe/Vienna", 0);

	ck_assert_int_eq(window.since, at("2026-02-28T23:00:00Z"));
	ck_assert_int_eq(window.until, at("2026-03-31T22:00:00Z"));
}
END_TEST

START_TEST(a_local_time_that_does_not_exist_is_the_moment_of_the_jump)
{
	ck_assert_int_eq(window_zone("Europe/Vienna", &err), 0);

	ck_assert_int_eq(at("2026-03-29T02:30"), at("2026-03-29T01:00:00Z"));
	ck_assert_int_eq(at("2026-03-29T03:30"), at("2026-03-29T01:30:00Z"));
}
END_TEST

START_TEST(without_any_word_the_window_is_all_time)
{
	const struct window window = choose(NULL, NULL, NULL, NULL, 5);

	ck_assert_int_eq(window.since, WINDOW_OPEN_SINCE);
	ck_assert_int_eq(window.until, WINDOW_OPEN_UNTIL);
}
END_TEST

static const struct {
	struct window_choice choice;
	const char *says;
} mistakes[] = {
	{ { .period = "fortnight" }, "last-month" },
	{ { .period = "" }, "hour, day, week or month" },
	{ { .period = "day", .since = "2026-01-01" }, "not both" },
	{ { .since = "2026-01-02", .until = "2026-01-01" }, "after --until" },
	{ { .since = "soon" }, "is not a time" },
	{ { .tz = "Europe/Wien" }, "Europe/Vienna" },
	{ { .tz = "europe/vienna" }, "unknown time zone" },
	{ { .tz = "" }, "unknown time zone" },
	{ { .tz = "Europe" }, "unknown time zone" },
	{ { .tz = "../../../etc/passwd" }, "unknown time zone" },
	{ { .tz = "/usr/share/zoneinfo/UTC" }, "unknown time zone" },
	{ { .tz = "CET-1CEST" }, "unknown time zone" },
};

START_TEST(says_what_is_wrong_with_a_choice)
{
	struct window window;

	ck_assert_int_eq(window_choose(&mistakes[_i].choice, 0, &window, &err),
	                 -1);
	ck_assert_int_eq(err.code, EINVAL);
	ck_assert_msg(strstr(err.text, mistakes[_i].says) != NULL, "%s",
	              err.text);
}
END_TEST

START_TEST(says_that_the_zoneinfo_database_is_missing)
{
	ck_assert_int_eq(setenv("TZDIR", "/nonexistent", 1), 0);

	ck_assert_int_eq(window_zone("Europe/Vienna", &err), -1);
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_int_eq(window_zone("UTC", NULL), 0);
	unsetenv("TZDIR");
}
END_TEST

START_TEST(writes_times_with_the_offset_of_the_moment)
{
	char text[WINDOW_TEXT_SIZE];

	ck_assert_str_eq(window_text(0, text), "1970-01-01T00:00:00Z");
	window_zone("Europe/Vienna", &err);
	ck_assert_str_eq(window_text(at("2026-07-01T00:00:00Z"), text),
	                 "2026-07-01T02:00:00+02:00");
	window_zone("America/St_Johns", &err);
	ck_assert_str_eq(window_text(at("2026-01-01T00:00:00Z"), text),
	                 "2025-12-31T20:30:00-03:30");
}
END_TEST

static const char *const zones[] = {
	"UTC", "Europe/Vienna", "America/New_York", "Asia/Kathmandu",
	"Pacific/Apia", "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut",
	"America/St_Johns", "Australia/Lord_Howe", "Pacific/Chatham",
	"America/Havana", "Asia/Gaza", "America/Asuncion", "Europe/Dublin",
	"Africa/Casablanca", "Antarctica/Troll", "Asia/Pyongyang",
};

static void days_add_up(const char *from, const char *to, int count)
{
	const int64_t since = window_day(at(from), 0);
	const int64_t until = at(to);

	int64_t day = since;
	int days = 0;
	for (; day < until; days++) {
		const int64_t next = window_day(since, days + 1);
		ck_assert_int_ge(next, day);
		ck_assert_int_le(next - day, 26 * HOUR);
		if (next > day) {
			ck_assert_int_eq(window_day(day, 0), day);
			ck_assert_int_eq(window_day(next - SECOND, 0), day);
			ck_assert_int_eq(window_day((day + next) / 2, 0), day);
		}
		day = next;
	}
	ck_assert_int_eq(days, count);
	ck_assert_int_eq(day, until);
}

START_TEST(days_add_up_to_the_range_in_any_zone)
{
	ck_assert_int_eq(window_zone(zones[_i], &err), 0);

	days_add_up("2010-01-01", "2012-01-01", 730);
	days_add_up("2018-01-01", "2019-01-01", 365);
	days_add_up("2023-01-01", "2024-01-01", 365);
}
END_TEST

START_TEST(months_are_made_of_whole_days)
{
	ck_assert_int_eq(window_zone(zones[_i], &err), 0);
	int64_t month = at("2010-01-01");

	for (int i = 0; i < 12 * 17; i++) {
		const int64_t next = window_month(month, 1);

		ck_assert_int_ge(next - month, 27 * DAY + 22 * HOUR);
		ck_assert_int_le(next - month, 31 * DAY + 2 * HOUR);
		ck_assert_int_eq(window_day(next, 0), next);
		ck_assert_int_eq(window_month(next - SECOND, 0), month);
		month = next;
	}
	ck_assert_int_eq(month, at("2027-01-01"));
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

static Suite *suite(void)
{
	Suite *s = suite_create("window");

	TCase *text = tcase_create("text");
	tcase_add_checked_fixture(text, setup, NULL);
	tcase_add_loop_test(text, reads_rfc_3339_and_dates, 0, COUNT(times));
	tcase_add_loop_test(text, refuses_what_is_no_time, 0, COUNT(no_times));
	tcase_add_test(text, writes_times_with_the_offset_of_the_moment);
	suite_add_tcase(s, text);

	TCase *choice = tcase_create("choice");
	tcase_add_checked_fixture(choice, setup, NULL);
	tcase_add_test(choice, periods_of_the_reference_roll);
	tcase_add_loop_test(choice,
	                    calendar_periods_follow_the_clocks_of_the_zone,
	                    0, COUNT(calendar));
	tcase_add_test(choice, dates_are_starts_of_days_in_the_zone);
	tcase_add_test(choice,
	               a_local_time_that_does_not_exist_is_the_moment_of_the_jump);
	tcase_add_test(choice, without_any_word_the_window_is_all_time);
	tcase_add_loop_test(choice, says_what_is_wrong_with_a_choice,
	                    0, COUNT(mistakes));
	tcase_add_test(choice, says_that_the_zoneinfo_database_is_missing);
	suite_add_tcase(s, choice);

	TCase *days = tcase_create("days");
	tcase_set_timeout(days, 30);
	tcase_add_checked_fixture(days, setup, NULL);
	tcase_add_loop_test(days, days_add_up_to_the_range_in_any_zone,
	                    0, COUNT(zones));
	tcase_add_loop_test(days, months_are_made_of_whole_days,
	                    0, COUNT(zones));
	suite_add_tcase(s, days);
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
