/* SPDX-License-Identifier: Apache-2.0 */

/* Figures: the same name and labels are the same figure, and all are walked. */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/metrics.h"

static char walked[1024];

static void walk(void *context, const struct bursar_figure *figure)
{
	(void)context;
	snprintf(walked + strlen(walked), sizeof(walked) - strlen(walked),
	         "%s%s%s%s=%d ", figure->name,
	         figure->labels[0][0] != NULL ? "/" : "",
	         figure->labels[0][0] != NULL ? figure->labels[0][1] : "",
	         figure->labels[1][0] != NULL ? figure->labels[1][1] : "",
	         (int)figure->value);
}

START_TEST(same_name_and_labels_give_the_same_figure)
{
	struct metric *a = metrics_get("m", "M.", true, "k", "v", NULL);
	struct metric *same = metrics_get("m", "M.", true, "k", "v", NULL);
	struct metric *other = metrics_get("m", "M.", true, "k", "w", NULL);

	ck_assert_ptr_eq(a, same);
	ck_assert_ptr_ne(a, other);
}
END_TEST

START_TEST(walks_in_order_of_name_whatever_came_first)
{
	metric_set(metrics_get("b", "B.", false, NULL), 2);
	metric_add(metrics_get("c", "C.", true, "k", "y", "l", "!", NULL), 5);
	metric_add(metrics_get("a", "A.", true, NULL), 1);
	metric_add(metrics_get("b", "B.", false, "k", "x", NULL), 3);
	metric_add(metrics_get("c", "C.", true, "k", "x", NULL), 4);
	metric_add(metrics_get("a", "A.", true, NULL), 6);

	metrics_each(walk, NULL);

	ck_assert_str_eq(walked, "a=7 b=2 b/x=3 c/x=4 c/y!=5 ");
}
END_TEST

START_TEST(keeps_its_own_copy_of_names)
{
	char name[] = "held";
	char value[] = "one";

	metrics_get(name, "H.", true, "k", value, NULL);
	memset(name, 'x', 4);
	memset(value, 'x', 3);
	metrics_each(walk, NULL);

	ck_assert_str_eq(walked, "held/one=0 ");
}
END_TEST

static void *count(void *context)
{
	(void)context;
	for (int i = 0; i < 2000; i++) {
		char label[16];

		snprintf(label, sizeof(label), "%d", i % 50);
		metric_add(metrics_get("n", "N.", true, "k", label, NULL), 1);
	}
	return NULL;
}

static void sum(void *context, const struct bursar_figure *figure)
{
	*(int64_t *)context += figure->value;
}

START_TEST(counts_everything_from_several_threads)
{
	pthread_t threads[4];
	int64_t total = 0;

	for (size_t i = 0; i < 4; i++) {
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count, NULL),
		                 0);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	metrics_each(sum, &total);

	ck_assert_int_eq(total, 8000);
}
END_TEST

static const struct histogram_shape shape = {
	"h_seconds", "Seconds.", 6, 3, { 10, 20, 40 },
};

static struct bursar_figure seen;
static uint64_t seen_counts[4];

static void see(void *context, const struct bursar_figure *figure)
{
	(void)context;
	seen = *figure;
	if (figure->type == BURSAR_HISTOGRAM) {
		memcpy(seen_counts, figure->counts, sizeof(seen_counts));
	}
}

START_TEST(a_histogram_has_every_value_in_one_bucket_and_in_its_sum)
{
	static const int64_t values[] = { -5, 0, 10, 11, 20, 40, 41, 1000 };
	static const uint64_t buckets[] = { 3, 2, 1, 2 };
	struct histogram *h = metrics_histogram(&shape, "k", "v", NULL);

	ck_assert_ptr_eq(h, metrics_histogram(&shape, "k", "v", NULL));
	for (size_t i = 0; i < 8; i++) {
		histogram_add(h, values[i], 1);
	}
	histogram_add(h, 12, 3);
	metrics_each(see, NULL);

	ck_assert_str_eq(seen.name, "h_seconds");
	ck_assert_int_eq(seen.type, BURSAR_HISTOGRAM);
	ck_assert_uint_eq(seen.decimals, 6);
	ck_assert_uint_eq(seen.bound_count, 3);
	ck_assert_uint_eq(seen_counts[0], buckets[0]);
	ck_assert_uint_eq(seen_counts[1], buckets[1] + 3);
	ck_assert_uint_eq(seen_counts[2], buckets[2]);
	ck_assert_uint_eq(seen_counts[3], buckets[3]);
	ck_assert_int_eq(seen.value, 10 + 11 + 20 + 40 + 41 + 1000 + 3 * 12);
}
END_TEST

START_TEST(a_sum_that_is_too_large_begins_anew)
{
	struct histogram *h = metrics_histogram(&shape, NULL);

	histogram_add(h, INT64_MAX, 1);
	histogram_add(h, 8, 1);
	metrics_each(see, NULL);

	ck_assert_int_eq(seen.value, 7);
}
END_TEST

START_TEST(microseconds_are_told_as_such)
{
	metric_add(metrics_get("t_seconds_total", "T.", METRIC_MICROSECONDS,
	                       NULL), 5);
	metrics_each(see, NULL);

	ck_assert_int_eq(seen.type, BURSAR_COUNTER);
	ck_assert_uint_eq(seen.decimals, 6);
	ck_assert_int_eq(seen.value, 5);
}
END_TEST

START_TEST(what_is_hidden_is_not_walked_until_it_is_asked_for)
{
	struct metric *g = metrics_get("g", "G.", false, "k", "v", NULL);
	int64_t total = 0;

	metric_set(g, 3);
	metric_hide(g);
	metrics_each(sum, &total);
	ck_assert_int_eq(total, 0);

	ck_assert_ptr_eq(metrics_get("g", "G.", false, "k", "v", NULL), g);
	metrics_each(sum, &total);
	ck_assert_int_eq(total, 3);
}
END_TEST

START_TEST(waits_are_told_apart_by_their_verdict)
{
	struct metric *retries[BURSAR_CONFIG + 1];

	metrics_retries(retries, "r_total", "R.", "sink", "one");
	metric_add(retries[BURSAR_RETRY], 1);
	metric_add(retries[BURSAR_DOWN], 2);
	metric_add(retries[BURSAR_CONFIG], 3);
	ck_assert_ptr_nonnull(retries[BURSAR_DONE]);
	ck_assert_ptr_nonnull(retries[BURSAR_REJECT]);
	metrics_each(walk, NULL);

	ck_assert_str_eq(walked, "r_total/oneconfig=3 r_total/onedown=2 "
	                         "r_total/oneretry=1 ");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("metrics");
	TCase *t = tcase_create("figures");

	tcase_add_test(t, same_name_and_labels_give_the_same_figure);
	tcase_add_test(t, walks_in_order_of_name_whatever_came_first);
	tcase_add_test(t, keeps_its_own_copy_of_names);
	tcase_add_test(t, counts_everything_from_several_threads);
	tcase_add_test(t, a_histogram_has_every_value_in_one_bucket_and_in_its_sum);
	tcase_add_test(t, a_sum_that_is_too_large_begins_anew);
	tcase_add_test(t, microseconds_are_told_as_such);
	tcase_add_test(t, what_is_hidden_is_not_walked_until_it_is_asked_for);
	tcase_add_test(t, waits_are_told_apart_by_their_verdict);
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
