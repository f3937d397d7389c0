/* SPDX-License-Identifier: Apache-2.0 */

/* Figures: the same name and labels are the same figure, and all are walked. */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "metrics.h"

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

static Suite *suite(void)
{
	Suite *s = suite_create("metrics");
	TCase *t = tcase_create("figures");

	tcase_add_test(t, same_name_and_labels_give_the_same_figure);
	tcase_add_test(t, walks_in_order_of_name_whatever_came_first);
	tcase_add_test(t, keeps_its_own_copy_of_names);
	tcase_add_test(t, counts_everything_from_several_threads);
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
