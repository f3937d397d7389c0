/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Zones as files say them, against the C library, which has one zone at a
 * time.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <check.h>

#include "common/rfc3339.h"
#include "common/zone.h"

#define YEAR_S INT64_C(31556952)

static const char *const names[] = {
	"Europe/Vienna", "America/New_York", "America/St_Johns",
	"Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
	"Africa/Casablanca", "America/Sao_Paulo", "Europe/Dublin",
	"Asia/Tehran", "America/Nuuk", "Pacific/Chatham",
	"Antarctica/Troll", "Africa/Monrovia", "Etc/GMT+5", "UTC",
};

static struct zone *open_zone(const char *name)
{
	struct bursar_error err = { 0 };
	struct zone *zone = zone_open(name, &err);

	ck_assert_msg(zone != NULL, "%s", err.text);
	return zone;
}

static int64_t offset_by_library(int64_t second)
{
	const time_t time = (time_t)second;
	struct tm tm;

	ck_assert_ptr_nonnull(localtime_r(&time, &tm));
	return tm.tm_gmtoff;
}

/* Any time from 1900 to 2137, changes of the clocks among them. */
START_TEST(clocks_show_what_the_c_library_shows)
{
	struct zone *zone = open_zone(names[_i]);

	ck_assert_int_eq(setenv("TZ", strcmp(names[_i], "UTC") == 0 ? "UTC0"
	                        : names[_i], 1), 0);
	tzset();
	srand(7);
	for (int64_t t = -70 * YEAR_S; t < 167 * YEAR_S;
	     t += 1800 * (1 + rand() % 24)) {
		const int64_t want = offset_by_library(t);
		const int64_t got = zone_offset(zone, t);

		ck_assert_msg(got == want, "%s at %lld: %lld, not %lld",
		              names[_i], (long long)t, (long long)got,
		              (long long)want);
	}
	zone_close(zone);
}
END_TEST

/* What a clock shows is of the instant at which it shows it, and every instant
 * but those of a time that comes twice is found again. */
START_TEST(what_a_clock_shows_leads_back_to_its_instant)
{
	struct zone *zone = open_zone(names[_i]);
	int twice = 0, all = 0;

	for (int64_t t = INT64_C(1420070400); t < INT64_C(4102444800);
	     t += 7 * 1800) {
		const int64_t local = (t + zone_offset(zone, t)) * 1000000 +
			123456;
		const int64_t found = zone_instant(zone, local);

		all++;
		if (found != t * 1000000 + 123456) {
			twice++;
			ck_assert_int_gt(found, t * 1000000);
			ck_assert_int_eq(found + zone_offset(zone, found /
			                 1000000) * 1000000, local);
		}
	}
	ck_assert_msg(twice * 1000 < all, "%d of %d", twice, all);
	zone_close(zone);
}
END_TEST

static const struct { const char *zone, *local, *instant; } moments[] = {
	{ "Europe/Vienna", "2026-01-15T12:00:00", "2026-01-15T11:00:00" },
	{ "Europe/Vienna", "2026-07-15T12:00:00.5", "2026-07-15T10:00:00.5" },
	{ "Europe/Vienna", "2026-03-29T01:59:59", "2026-03-29T00:59:59" },
	/* They leave this hour out ... */
	{ "Europe/Vienna", "2026-03-29T02:30:00", "2026-03-29T01:00:00" },
	{ "Europe/Vienna", "2026-03-29T03:00:00", "2026-03-29T01:00:00" },
	/* ... and that one comes twice. */
	{ "Europe/Vienna", "2026-10-25T01:59:59", "2026-10-24T23:59:59" },
	{ "Europe/Vienna", "2026-10-25T02:00:00", "2026-10-25T01:00:00" },
	{ "Europe/Vienna", "2026-10-25T02:59:59", "2026-10-25T01:59:59" },
	{ "Europe/Vienna", "2090-07-01T00:00:00", "2090-06-30T22:00:00" },
	{ "America/New_York", "2026-11-01T01:30:00", "2026-11-01T06:30:00" },
	{ "Australia/Lord_Howe", "2026-10-04T02:10:00", "2026-10-03T15:30:00" },
	{ "Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T10:00:00" },
	{ "Asia/Kathmandu", "2026-01-01T05:45:00", "2026-01-01T00:00:00" },
	{ "UTC", "2026-01-01T00:00:00", "2026-01-01T00:00:00" },
};

START_TEST(a_local_time_is_an_instant)
{
	struct zone *zone = open_zone(moments[_i].zone);
	char got[RFC3339_SIZE], want[RFC3339_SIZE];
	int64_t local, instant;

	ck_assert(rfc3339_parse(moments[_i].local, strlen(moments[_i].local),
	                        &local));
	ck_assert(rfc3339_parse(moments[_i].instant,
	                        strlen(moments[_i].instant), &instant));
	ck_assert_str_eq(rfc3339_format(zone_instant(zone, local), got),
	                 rfc3339_format(instant, want));
	zone_close(zone);
}
END_TEST

static const char *const strangers[] = {
	"Europe/Wien", "", "/etc/passwd", "../../../etc/passwd", "Europe",
	"europe/vienna ", "zone.tab", "Europe/Vienna/x",
};

START_TEST(what_is_no_zone_is_refused)
{
	struct bursar_error err = { 0 };

	ck_assert_ptr_null(zone_open(strangers[_i], &err));
	ck_assert_int_eq(err.code, EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "Europe/Vienna"));
}
END_TEST

START_TEST(a_database_that_is_missing_is_told)
{
	struct bursar_error err = { 0 };

	setenv("TZDIR", "/not/there", 1);
	ck_assert_ptr_null(zone_open("Europe/Vienna", &err));
	ck_assert_int_eq(err.code, ENOENT);
	zone_close(open_zone("UTC"));
}
END_TEST

/* --- files that make no sense ---------------------------------------------- */

#define FILE_SIZE 5000

static char folder[] = "test_zone.XXXXXX";
static char path[sizeof(folder) + 2];
static unsigned char data[FILE_SIZE];
static size_t data_size;

static void setup(void)
{
	FILE *file = fopen("/usr/share/zoneinfo/Europe/Vienna", "rb");

	ck_assert_ptr_nonnull(file);
	data_size = fread(data, 1, sizeof(data), file);
	fclose(file);
	ck_assert_uint_lt(data_size, sizeof(data));
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/X", folder);
	setenv("TZDIR", folder, 1);
}

static void teardown(void)
{
	unlink(path);
	rmdir(folder);
}

static struct zone *open_data(size_t size)
{
	struct bursar_error err = { 0 };
	FILE *file = fopen(path, "wb");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	fclose(file);
	struct zone *zone = zone_open("X", &err);
	ck_assert((zone == NULL) == (err.code == EINVAL));
	return zone;
}

START_TEST(a_file_that_is_cut_is_no_zone)
{
	zone_close(open_data(data_size));
	for (size_t size = 0; size < data_size; size += 1 + size / 40) {
		ck_assert_ptr_null(open_data(size));
	}
	ck_assert_ptr_null(open_data(data_size - 1));
}
END_TEST

START_TEST(a_file_with_wrong_bytes_does_no_harm)
{
	srand(11);
	for (int i = 0; i < 3000; i++) {
		const size_t at = (size_t)rand() % data_size;
		const unsigned char was = data[at];

		data[at] = (unsigned char)rand();
		struct zone *zone = open_data(data_size);
		if (zone != NULL) {
			for (int64_t t = -5; t < 6; t++) {
				zone_instant(zone, t * INT64_C(900000000000000));
			}
		}
		zone_close(zone);
		data[at] = was;
	}
}
END_TEST

/* The rule behind the last change, in each way to write it. */
static const struct { const char *rule; int64_t winter, summer; } rules[] = {
	{ "CET-1CEST,M3.5.0,M10.5.0/3", 3600, 7200 },
	{ "<+0330>-3:30", 12600, 12600 },
	{ "AAA3BBB1,J60/2,J300/2", -10800, -3600 },
	{ "AAA3BBB,59,299", -10800, -7200 },
	{ "IST-1GMT0,M10.5.0,M3.5.0/1", 0, 3600 },
	{ "AAA-10:30:15", 37815, 37815 },
	{ "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", -7200, -3600 },
	/* No rules. */
	{ "CET", 0, -1 }, { "C-1", 0, -1 }, { "CET-1CEST,M3.5.0", 0, -1 },
	{ "CET-1CEST,M13.5.0,M10.5.0", 0, -1 }, { "<CET-1", 0, -1 },
	{ "CET-1CEST,M3.6.0,M10.5.0", 0, -1 }, { "CET-168", 0, -1 },
	{ "CET-1CEST,M3.5.0,M10.5.0x", 0, -1 },
	{ "CET-1CEST,M3.5.0/99999999999,M10.5.0", 0, -1 },
};

START_TEST(a_rule_says_what_comes_behind_the_last_change)
{
	/* One type, no change, twice; then the rule. */
	static const unsigned char head[44] = { 'T', 'Z', 'i', 'f', '2',
		[39] = 1, [43] = 4 };
	static const unsigned char types[10] = { 0, 0, 0, 0, 0, 0, 'L', 'M' };

	data_size = 0;
	for (int i = 0; i < 2; i++) {
		memcpy(data + data_size, head, sizeof(head));
		memcpy(data + data_size + sizeof(head), types, sizeof(types));
		data_size += sizeof(head) + sizeof(types);
	}
	data_size += (size_t)snprintf((char *)data + data_size, 100, "\n%s\n",
	                              rules[_i].rule);
	struct zone *zone = open_data(data_size);
	ck_assert((zone == NULL) == (rules[_i].summer == -1));
	if (zone != NULL) {
		/* 15 January and 15 July 2040. */
		ck_assert_int_eq(zone_offset(zone, INT64_C(2210198400)),
		                 rules[_i].winter);
		ck_assert_int_eq(zone_offset(zone, INT64_C(2225923200)),
		                 rules[_i].summer);
	}
	zone_close(zone);
}
END_TEST

#define LOOP(t, test, list) tcase_add_loop_test(t, test, 0, \
	(int)(sizeof(list) / sizeof((list)[0])))

int main(void)
{
	Suite *s = suite_create("zone");
	TCase *t = tcase_create("zones");
	TCase *f = tcase_create("files");
	struct stat database;

	if (stat("/usr/share/zoneinfo/Europe/Vienna", &database) != 0) {
		puts("skipped: there is no zoneinfo database");
		return 77;
	}
	tcase_set_timeout(t, 60);
	LOOP(t, clocks_show_what_the_c_library_shows, names);
	LOOP(t, what_a_clock_shows_leads_back_to_its_instant, names);
	LOOP(t, a_local_time_is_an_instant, moments);
	LOOP(t, what_is_no_zone_is_refused, strangers);
	tcase_add_test(t, a_database_that_is_missing_is_told);
	suite_add_tcase(s, t);
	tcase_add_checked_fixture(f, setup, teardown);
	tcase_set_timeout(f, 60);
	tcase_add_test(f, a_file_that_is_cut_is_no_zone);
	tcase_add_test(f, a_file_with_wrong_bytes_does_no_harm);
	LOOP(f, a_rule_says_what_comes_behind_the_last_change, rules);
	suite_add_tcase(s, f);
	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
