/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "common/local_time.h"
#include "common/rfc3339.h"

static const struct {
	const char *text;
	int64_t us;
	const char *again;	/* NULL: the same text */
} instants[] = {
	{ "1970-01-01T00:00:00.000000Z", 0, NULL },
	{ "1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000Z" },
	{ "1969-12-31T23:59:59.999999Z", -1, NULL },
	{ "2026-11-01T00:00:03.700Z", INT64_C(1793491203700000),
	  "2026-11-01T00:00:03.700000Z" },
	{ "2024-02-29t12:00:00z", INT64_C(1709208000000000),
	  "2024-02-29T12:00:00.000000Z" },
	{ "2026-05-17 10:42:09.123456789+02:00", INT64_C(1779007329123456),
	  "2026-05-17T08:42:09.123456Z" },
	{ "2026-05-17T10:42:09-0530", INT64_C(1779034329000000),
	  "2026-05-17T16:12:09.000000Z" },
	{ "2026-05-17T10:42:09", INT64_C(1779014529000000),
	  "2026-05-17T10:42:09.000000Z" },
	{ "2026-05-17 10:42:09 UTC", INT64_C(1779014529000000),
	  "2026-05-17T10:42:09.000000Z" },
	{ "2026-05-17 12:42:09 +0200", INT64_C(1779014529000000),
	  "2026-05-17T10:42:09.000000Z" },
	{ "2016-12-31T23:59:60Z", INT64_C(1483228800000000),
	  "2017-01-01T00:00:00.000000Z" },
	{ "0001-01-01T00:00:00.000000Z", INT64_C(-62135596800000000), NULL },
	{ "9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999), NULL },
};

START_TEST(reads_an_instant_and_writes_it_again)
{
	int64_t us = 42;
	char out[RFC3339_SIZE];

	ck_assert(rfc3339_parse(instants[_i].text, strlen(instants[_i].text),
	                        &us));
	ck_assert_int_eq(us, instants[_i].us);
	ck_assert_str_eq(rfc3339_format(us, out),
	                 instants[_i].again != NULL ? instants[_i].again
	                                            : instants[_i].text);
}
END_TEST

static const char *const refused[] = {
	"", "2026", "2026-05-17", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
	"2026-02-29T00:00:00Z", "2026-05-32T00:00:00Z", "2026-05-17T24:00:00Z",
	"2026-05-17T10:60:00Z", "2026-05-17T10:42:61Z", "2026-05-17T10:42:09.Z",
	"2026-05-17T10:42:09.1234567890Z", "2026-05-17T10:42:09+24:00",
	"2026-05-17T10:42:09Zx", " 2026-05-17T10:42:09Z", "0000-01-01T00:00:00Z",
	"2026-5-17T10:42:09Z", "2026-05-17T10:42:09 ", "2026-05-17T10:42:09 UT",
	"2026-05-17T10:42:09 CET", "yesterday", "1779014529",
};

START_TEST(refuses_what_is_no_instant)
{
	int64_t us;

	ck_assert_msg(!rfc3339_parse(refused[_i], strlen(refused[_i]), &us),
	              "%s", refused[_i]);
}
END_TEST

START_TEST(says_so_when_a_time_has_no_text)
{
	char out[RFC3339_SIZE];

	ck_assert_str_eq(rfc3339_format(INT64_MAX, out), "out of range");
	ck_assert_str_eq(rfc3339_format(INT64_MIN, out), "out of range");
}
END_TEST

/* What a clock showed, and when that was. */
static const struct {
	const char *zone, *clock, *instant;
} shown[] = {
	{ "UTC0", "2026-05-17T12:00:00Z", "2026-05-17T12:00:00Z" },
	{ "Europe/Vienna", "2026-05-17T12:00:00Z", "2026-05-17T10:00:00Z" },
	{ "Europe/Vienna", "2026-01-17T12:00:00Z", "2026-01-17T11:00:00Z" },
	{ "Asia/Kathmandu", "2026-01-17T12:00:00Z", "2026-01-17T06:15:00Z" },
	{ "America/St_Johns", "1969-12-31T23:59:59Z", "1970-01-01T03:29:59Z" },
	/* Comes twice: the second time. */
	{ "Europe/Vienna", "2026-10-25T02:30:00Z", "2026-10-25T01:30:00Z" },
	{ "Australia/Lord_Howe", "2026-04-05T01:45:00Z",
	  "2026-04-04T15:15:00Z" },
	/* Never came: when the clock was put forward. */
	{ "Europe/Vienna", "2026-03-29T02:30:00Z", "2026-03-29T01:00:00Z" },
	{ "Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z" },
	/* Around them. */
	{ "Europe/Vienna", "2026-03-29T01:59:59Z", "2026-03-29T00:59:59Z" },
	{ "Europe/Vienna", "2026-03-29T03:00:00Z", "2026-03-29T01:00:00Z" },
	{ "Europe/Vienna", "2026-10-25T03:00:00Z", "2026-10-25T02:00:00Z" },
};

START_TEST(knows_when_clocks_showed_it)
{
	int64_t clock, instant;

	ck_assert_int_eq(setenv("TZ", shown[_i].zone, 1), 0);
	tzset();
	ck_assert(rfc3339_parse(shown[_i].clock, strlen(shown[_i].clock),
	                        &clock));
	ck_assert(rfc3339_parse(shown[_i].instant, strlen(shown[_i].instant),
	                        &instant));
	ck_assert_int_eq(local_instant(clock / 1000000), instant / 1000000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rfc3339");
	TCase *t = tcase_create("all");

	tcase_add_loop_test(t, reads_an_instant_and_writes_it_again, 0,
	                    sizeof(instants) / sizeof(instants[0]));
	tcase_add_loop_test(t, refuses_what_is_no_instant, 0,
	                    sizeof(refused) / sizeof(refused[0]));
	tcase_add_test(t, says_so_when_a_time_has_no_text);
	tcase_add_loop_test(t, knows_when_clocks_showed_it, 0,
	                    sizeof(shown) / sizeof(shown[0]));
	suite_add_tcase(s, t);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
