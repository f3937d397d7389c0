/* SPDX-License-Identifier: Apache-2.0 */

/* The set of blocked lanes beside one that only a fool would build. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <sodium.h>

#include "core/base/backoff.h"
#include "core/flow/lanes.h"

#define MAX_LANES 5000

/* Names of lanes: pointers, small numbers, numbers that differ high up. */
static uint64_t name_of(uint32_t n)
{
	switch (n % 3) {
	case 0:
		return n;
	case 1:
		return (uint64_t)n << 40;
	default:
		return UINT64_C(0x7f0000000000) + n * 64;
	}
}

START_TEST(knows_the_same_lanes_as_a_naive_set)
{
	static bool blocked[MAX_LANES];
	struct lanes lanes;

	lanes_init(&lanes);
	srand((unsigned)_i);
	for (int round = 0; round < 60; round++) {
		const uint32_t range = 1 + (uint32_t)rand() % MAX_LANES;

		memset(blocked, 0, sizeof(blocked));
		for (int i = rand() % 3000; i > 0; i--) {
			const uint32_t n = (uint32_t)rand() % range;

			blocked[n] = true;
			lanes_block(&lanes, name_of(n));
		}
		for (uint32_t n = 0; n < MAX_LANES; n++) {
			ck_assert_int_eq(lanes_is_blocked(&lanes, name_of(n)),
			                 blocked[n]);
		}
		lanes_clear(&lanes);
		ck_assert(!lanes_is_blocked(&lanes, name_of(0)));
	}
	lanes_finish(&lanes);
}
END_TEST

START_TEST(knows_none_before_the_first)
{
	struct lanes lanes;

	lanes_init(&lanes);
	ck_assert(!lanes_is_blocked(&lanes, 0));
	lanes_clear(&lanes);
	ck_assert(!lanes_is_blocked(&lanes, 0));
	lanes_block(&lanes, 0);
	ck_assert(lanes_is_blocked(&lanes, 0));
	ck_assert(!lanes_is_blocked(&lanes, 1));
	lanes_finish(&lanes);
}
END_TEST

/* --- waiting ------------------------------------------------------------- */

START_TEST(waits_longer_from_failure_to_failure_up_to_a_cap)
{
	int64_t most[20] = { 0 };

	for (int i = 0; i < 300; i++) {
		struct backoff backoff = { 0 };

		for (int n = 0; n < 20; n++) {
			const int64_t wait = backoff_next(&backoff);

			ck_assert_int_ge(wait, BACKOFF_FIRST_US / 10);
			ck_assert_int_le(wait, BACKOFF_CAP_US +
			                       BACKOFF_FIRST_US / 10);
			if (wait > most[n]) {
				most[n] = wait;
			}
		}
	}
	/* Of 300 waits the longest is near its limit. */
	ck_assert_int_le(most[0], 2 * BACKOFF_FIRST_US);
	ck_assert_int_gt(most[3], most[0]);
	ck_assert_int_gt(most[19], BACKOFF_CAP_US / 2);
}
END_TEST

START_TEST(begins_anew_after_it_worked)
{
	struct backoff backoff = { 12 };

	backoff_reset(&backoff);

	ck_assert_int_le(backoff_next(&backoff), 2 * BACKOFF_FIRST_US);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("lanes");

	TCase *lanes = tcase_create("lanes");
	tcase_add_loop_test(lanes, knows_the_same_lanes_as_a_naive_set, 1, 6);
	tcase_add_test(lanes, knows_none_before_the_first);
	suite_add_tcase(s, lanes);

	TCase *backoff = tcase_create("backoff");
	tcase_add_test(backoff,
	               waits_longer_from_failure_to_failure_up_to_a_cap);
	tcase_add_test(backoff, begins_anew_after_it_worked);
	suite_add_tcase(s, backoff);
	return s;
}

int main(void)
{
	if (sodium_init() < 0) {
		return EXIT_FAILURE;
	}
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
