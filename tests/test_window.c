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

static struct window_periods divided(const char *since, const char *until,
                                     enum window_unit unit)
{
	const struct window window = { at(since), at(until) };
	struct window_periods periods;

	ck_assert_msg(window_divide(&window, unit, 9000, &periods, &err) == 0,
	              "%s", err.text);
	ck_assert_int_eq(periods.bounds[0], window.since);
	ck_assert_int_eq(periods.bounds[periods.count], window.until);
	return periods;
}

START_TEST(periods_add_up_to_the_range_in_any_zone)
{
	static const struct {
		enum window_unit unit;
		int64_t longest;
	} units[] = {
		{ WINDOW_HOURS, HOUR }, { WINDOW_DAYS, 26 * HOUR },
		{ WINDOW_WEEKS, 7 * DAY + 2 * HOUR },
		{ WINDOW_MONTHS, 31 * DAY + 2 * HOUR },
	};

	ck_assert_int_eq(window_zone(zones[_i], &err), 0);
	for (size_t u = 0; u < 4; u++) {
		struct window_periods periods = divided("2011-03-03T05:10:11",
			"2012-02-05T17:00:01", units[u].unit);
		char last[WINDOW_TEXT_SIZE] = "", label[WINDOW_TEXT_SIZE];

		for (size_t i = 0; i < periods.count; i++) {
			const int64_t length =
				periods.bounds[i + 1] - periods.bounds[i];

			ck_assert_int_ge(length, 0);
			ck_assert_int_le(length, units[u].longest);
			window_label(&periods, i, label);
			ck_assert_str_ne(label, last);
			/* All of them begin with quarter hours. */
			ck_assert(i == 0 ||
			          periods.bounds[i] % (15 * 60 * SECOND) == 0 ||
			          strcmp(zones[_i], "America/St_Johns") == 0);
			memcpy(last, label, sizeof(last));
		}
		window_periods_finish(&periods);
	}
}
END_TEST

static void has_period(const struct window_periods *periods, size_t n,
                       const char *label, int64_t hours)
{
	char text[WINDOW_TEXT_SIZE];

	ck_assert_uint_lt(n, periods->count);
	ck_assert_str_eq(window_label(periods, n, text), label);
	ck_assert_int_eq(periods->bounds[n + 1] - periods->bounds[n],
	                 hours * HOUR);
}

START_TEST(periods_have_the_names_that_people_give_them)
{
	ck_assert_int_eq(window_zone("Europe/Vienna", &err), 0);
	struct window_periods days = divided("2026-03-28", "2026-03-31",
	                                     WINDOW_DAYS);
	ck_assert_uint_eq(days.count, 3);
	has_period(&days, 1, "2026-03-29", 23);
	has_period(&days, 2, "2026-03-30", 24);
	window_periods_finish(&days);

	struct window_periods weeks = divided("2026-03-25T12:00",
	                                      "2026-04-13", WINDOW_WEEKS);
	ck_assert_uint_eq(weeks.count, 3);
	has_period(&weeks, 0, "2026-03-23", 4 * 24 + 12 - 1);
	has_period(&weeks, 1, "2026-03-30", 7 * 24);
	window_periods_finish(&weeks);

	struct window_periods months = divided("2025-11-30", "2026-02-01",
	                                       WINDOW_MONTHS);
	ck_assert_uint_eq(months.count, 3);
	has_period(&months, 0, "2025-11", 24);
	has_period(&months, 2, "2026-01", 31 * 24);
	window_periods_finish(&months);

	struct window_periods hours = divided("2026-10-25T01:00",
	                                      "2026-10-25T04:00", WINDOW_HOURS);
	ck_assert_uint_eq(hours.count, 4);
	has_period(&hours, 1, "2026-10-25T02:00:00+02:00", 1);
	has_period(&hours, 2, "2026-10-25T02:00:00+01:00", 1);
	window_periods_finish(&hours);

	/* The 30th of December 2011 was left out there. */
	ck_assert_int_eq(window_zone("Pacific/Apia", &err), 0);
	days = divided("2011-12-28", "2012-01-02", WINDOW_DAYS);
	ck_assert_uint_eq(days.count, 5);
	has_period(&days, 1, "2011-12-29", 24);
	has_period(&days, 2, "2011-12-30", 0);
	has_period(&days, 3, "2011-12-31", 24);
	window_periods_finish(&days);

	const struct window century = { at("1990-01-01"), at("2020-01-01") };
	ck_assert_int_eq(window_divide(&century, WINDOW_DAYS, 1200, &days,
	                               &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "1200 days"));
}
END_TEST

static const struct {
	const char *period, *since, *until, *now, *before, *before_until;
} befores[] = {
	{ "last-month", "2026-03-01", "2026-04-01", "2026-05-05",
	  "2026-02-01", "2026-03-01" },
	{ NULL, "2026-03-01", "2026-04-01", "2026-05-05",
	  "2026-01-29", "2026-03-01" },
	{ "this-month", "2026-03-01", "2026-04-01", "2026-03-11T12:00",
	  "2026-02-01", "2026-02-11T12:00" },
	{ "this-month", "2026-03-01", "2026-04-01", "2026-03-31",
	  "2026-02-01", "2026-03-01" },
	{ "today", "2026-03-30", "2026-03-31", "2026-03-30T06:00",
	  "2026-03-29", "2026-03-29T07:00" },	/* six hours, one left out */
	{ NULL, "2026-03-29", "2026-03-31", "2026-05-05",
	  "2026-03-27", "2026-03-29" },
	{ NULL, "2026-03-28T10:00", "2026-03-28T11:30", "2026-05-05",
	  "2026-03-28T08:30", "2026-03-28T10:00" },
};

START_TEST(the_window_before_is_as_long)
{
	ck_assert_int_eq(window_zone("Europe/Vienna", &err), 0);
	const struct window window = { at(befores[_i].since),
	                               at(befores[_i].until) };
	struct window before;

	ck_assert(window_before(befores[_i].period, &window,
	                        at(befores[_i].now), &before));
	ck_assert_int_eq(before.since, at(befores[_i].before));
	ck_assert_int_eq(before.until, at(befores[_i].before_until));

	const struct window open = { WINDOW_OPEN_SINCE, window.until };
	ck_assert(!window_before(NULL, &open, 0, &before));
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

	TCase *pieces = tcase_create("pieces");
	tcase_set_timeout(pieces, 60);
	tcase_add_checked_fixture(pieces, setup, NULL);
	tcase_add_loop_test(pieces, periods_add_up_to_the_range_in_any_zone, 0,
	                    COUNT(zones));
	tcase_add_test(pieces, periods_have_the_names_that_people_give_them);
	tcase_add_loop_test(pieces, the_window_before_is_as_long, 0,
	                    COUNT(befores));
	suite_add_tcase(s, pieces);

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
