/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Zones by themselves.  What the C library says of the same instant in the
 * same zone is what is right.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "core/base/zone.h"
#include "tests/folder.h"

/* With and without summer time, on both halves of the earth; summers that are
 * behind, whose days have fifty hours, or that begin the day before; quarters
 * of an hour; days that were left out. */
static const char *const zones[] = {
	"UTC", "Europe/Vienna", "Europe/Dublin", "America/New_York",
	"America/St_Johns", "America/Sao_Paulo", "America/Nuuk",
	"America/Caracas", "Asia/Shanghai", "Asia/Kathmandu", "Asia/Gaza",
	"Asia/Tehran", "Africa/Casablanca", "Australia/Lord_Howe",
	"Australia/Sydney", "Pacific/Apia", "Pacific/Auckland",
	"Pacific/Chatham", "Antarctica/Troll", "Etc/GMT+12",
};

static void is_as_in_c(struct zone *zone, int64_t second)
{
	const time_t time = (time_t)second;
	struct tm tm = { 0 };

	ck_assert_ptr_nonnull(localtime_r(&time, &tm));
	ck_assert_msg(zone_offset(zone, second) == tm.tm_gmtoff,
	              "%s at %lld: %d, not %ld", zone_name(zone),
	              (long long)second, zone_offset(zone, second),
	              tm.tm_gmtoff);
}

/* To GLib 2.74 the rule of Ireland, whose winter is what differs, means
 * summer in all the year; it is asked from 2038 on. */
static int64_t end_of(const char *name)
{
	return strcmp(name, "Europe/Dublin") == 0 ? INT64_C(2145916800)
	                                          : INT64_C(7258118400);
}

/* From 1900 to 2200, in steps that meet all hours of the week, and around each
 * change. */
START_TEST(a_zone_is_as_far_from_utc_as_the_c_library_says)
{
	struct bursar_error err = { 0 };
	struct zone *zone = zone_create(zones[_i], &err);
	int32_t before;

	ck_assert_msg(zone != NULL, "%s", err.text);
	ck_assert_int_eq(setenv("TZ", zones[_i], 1), 0);
	tzset();
	before = zone_offset(zone, INT64_C(-2208988800));
	for (int64_t at = INT64_C(-2208988800); at < end_of(zones[_i]);
	     at += 86399 * 3) {
		is_as_in_c(zone, at);
		if (zone_offset(zone, at) == before) {
			continue;
		}
		int64_t low = at - 86399 * 3, high = at;

		while (high - low > 1) {
			const int64_t middle = (low + high) / 2;

			if (zone_offset(zone, middle) == before) {
				low = middle;
			} else {
				high = middle;
			}
		}
		is_as_in_c(zone, low);
		is_as_in_c(zone, high);
		before = zone_offset(zone, at);
	}
	zone_destroy(zone);
}
END_TEST

static const char *const bad_names[] = {
	"", "/etc/passwd", "../zoneinfo/UTC", "Europe/Nowhere", "Europe",
	"right/UTC", "tzdata.zi", "a b",
};

START_TEST(what_is_no_zone_is_refused)
{
	struct bursar_error err = { 0 };

	ck_assert_ptr_null(zone_create(bad_names[_i], &err));
	ck_assert_int_eq(err.code, EINVAL);
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(zone_check(bad_names[_i], &err), -1);
}
END_TEST

/* It begins like one. */
START_TEST(a_file_that_is_cut_short_is_no_zone)
{
	char dir[FOLDER_SIZE], path[FOLDER_SIZE + 16];
	struct bursar_error err = { 0 };

	folder_make(dir);
	snprintf(path, sizeof(path), "%s/Short", dir);
	FILE *file = fopen(path, "we");
	ck_assert_ptr_nonnull(file);
	fputs("TZif2", file);
	fclose(file);
	setenv("TZDIR", dir, 1);

	ck_assert_ptr_null(zone_create("Short", &err));
	ck_assert_int_eq(err.code, EINVAL);
	folder_remove(dir);
}
END_TEST

START_TEST(without_a_database_it_says_so)
{
	struct bursar_error err = { 0 };

	setenv("TZDIR", "/nowhere", 1);
	ck_assert_ptr_null(zone_create("Europe/Vienna", &err));
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "install tzdata, or use UTC"));
}
END_TEST

#define LOOP(t, test, table) \
	tcase_add_loop_test(t, test, 0, sizeof(table) / sizeof((table)[0]))

static Suite *suite(void)
{
	Suite *s = suite_create("zone");
	TCase *t = tcase_create("zone");

	LOOP(t, a_zone_is_as_far_from_utc_as_the_c_library_says, zones);
	LOOP(t, what_is_no_zone_is_refused, bad_names);
	tcase_add_test(t, a_file_that_is_cut_short_is_no_zone);
	tcase_add_test(t, without_a_database_it_says_so);
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
