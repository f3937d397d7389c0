/* SPDX-License-Identifier: Apache-2.0 */

/* The host as a plugin sees it: options, state folder, figures, log. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include "base/metrics.h"
#include "plugin/instance.h"
#include "tests/folder.h"

static const struct bursar_option table[] = {
	{ "name", BURSAR_TYPE_TEXT, "nobody", "A name." },
	{ "pause", BURSAR_TYPE_DURATION, "5s", "A pause." },
	{ "hosts", BURSAR_TYPE_LIST, "", "Hosts." },
	{ "key", BURSAR_TYPE_SECRET, "", "A key." },
	{ NULL }
};

static const struct bursar_plugin plugin = {
	.kind = BURSAR_SOURCE, .name = "pond", .options = table,
	.figures = (const struct bursar_plugin_figure[]){
		{ "fish_total", "Fish." }, { "frogs_total", "Frogs." },
		{ NULL }
	},
};

static char state_dir[FOLDER_SIZE];
static struct findings findings;
static struct conf *conf;
static struct setup_item item;
static struct instance *instance;
static struct bursar_error err;

static void setup(void)
{
	static const char text[] = "name: carp\nhosts: [a, b]\n";

	folder_make(state_dir);
	memset(&err, 0, sizeof(err));
	conf = conf_parse(text, strlen(text), &findings);
	item = (struct setup_item){
		.name = (char *)"backlog", .plugin = &plugin,
		.options = options_create(conf, NULL, table, "it", "/",
		                          &findings),
	};
	ck_assert_uint_eq(findings.count, 0);
	instance = instance_create(&item, state_dir, INSTANCE_RUN, &err);
	ck_assert_msg(instance != NULL, "%s", err.text);
}

static void teardown(void)
{
	instance_destroy(instance);
	options_destroy(item.options);
	conf_destroy(conf);
	folder_remove(state_dir);
}

START_TEST(gives_the_options_of_its_section)
{
	const struct bursar_host *host = &instance->host;
	const char *const *items;

	ck_assert_str_eq(host->name, "backlog");
	ck_assert_str_eq(host->text(host, "name"), "carp");
	ck_assert_int_eq(host->number(host, "pause"), 5000);
	ck_assert_uint_eq(host->list(host, "hosts", &items), 2);
	ck_assert_str_eq(items[1], "b");
	ck_assert_ptr_null(host->secret(host, "key").data);
	ck_assert_uint_eq(host->schema->kind_count, SCHEMA_KINDS);
}
END_TEST

START_TEST(has_a_folder_of_its_own)
{
	struct stat st;

	ck_assert_ptr_nonnull(strstr(instance->host.state_dir,
	                             "/source-backlog"));
	ck_assert_int_eq(stat(instance->host.state_dir, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFDIR | 0700);

	struct instance *again = instance_create(&item, state_dir,
	                                         INSTANCE_RUN, &err);
	ck_assert_ptr_nonnull(again);
	instance_destroy(again);
}
END_TEST

START_TEST(has_no_folder_when_it_only_reads)
{
	struct instance *reader = instance_create(&item, "/nowhere",
	                                          INSTANCE_READ, &err);

	ck_assert_ptr_nonnull(reader);
	ck_assert_ptr_null(reader->host.state_dir);
	instance_destroy(reader);
}
END_TEST

static void refuses(int code, const char *says)
{
	struct instance *none = instance_create(&item, state_dir, INSTANCE_RUN,
	                                        &err);

	ck_assert_ptr_null(none);
	ck_assert_int_eq(err.code, code);
	ck_assert_msg(strstr(err.text, says) != NULL, "%s", err.text);
}

START_TEST(refuses_a_folder_that_others_can_write)
{
	ck_assert_int_eq(chmod(instance->host.state_dir, 0770), 0);
	refuses(EPERM, "others can write it; chmod go-w");
}
END_TEST

START_TEST(refuses_a_folder_of_another_user)
{
	if (geteuid() != 0) {
		return;
	}
	ck_assert_int_eq(chown(instance->host.state_dir, 4711, 4711), 0);
	refuses(EPERM, "belongs to user 4711, this runs as user 0");
}
END_TEST

START_TEST(refuses_a_link_or_file_in_place_of_its_folder)
{
	ck_assert_int_eq(rmdir(instance->host.state_dir), 0);
	ck_assert_int_eq(symlink("/tmp", instance->host.state_dir), 0);
	refuses(ENOTDIR, "not a folder");
}
END_TEST

START_TEST(refuses_a_name_that_leads_elsewhere)
{
	item.name = (char *)"../elsewhere";
	refuses(EINVAL, "'/'");
}
END_TEST

START_TEST(says_when_the_folder_cannot_be_made)
{
	ck_assert_ptr_null(instance_create(&item, "/nowhere", INSTANCE_RUN,
	                                   &err));
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/source-backlog"));
}
END_TEST

static char figures[8192];

static void walk(void *context, const struct bursar_figure *figure)
{
	(void)context;
	snprintf(figures + strlen(figures), sizeof(figures) - strlen(figures),
	         "%s{%s=%s,%s=%s}%s=%d ", figure->name, figure->labels[0][0],
	         figure->labels[0][1], figure->labels[1][0],
	         figure->labels[1][1], figure->type == BURSAR_COUNTER ? "+" : "",
	         (int)figure->value);
}

START_TEST(counts_under_its_name_and_kind)
{
	const struct bursar_host *host = &instance->host;

	host->count(host, "files_total", 2);
	host->count(host, "files_total", 3);
	host->gauge(host, "lag_bytes", 7);
	host->gauge(host, "lag_bytes", 9);
	metrics_each(walk, NULL);

	ck_assert_str_eq(figures,
	                 "bursar_plugin_files_total"
	                 "{source=backlog,plugin=pond}+=5 "
	                 "bursar_plugin_lag_bytes"
	                 "{source=backlog,plugin=pond}=9 ");
}
END_TEST

static void take_help(void *context, const struct bursar_figure *figure)
{
	(void)context;
	snprintf(figures + strlen(figures), sizeof(figures) - strlen(figures),
	         "%s ", figure->help);
}

START_TEST(a_figure_has_the_help_that_the_plugin_gives)
{
	figures[0] = '\0';
	instance->host.count(&instance->host, "frogs_total", 1);
	instance->host.count(&instance->host, "toads_total", 1);
	metrics_each(take_help, NULL);

	ck_assert_str_eq(figures, "Frogs. As the plugin counts it. ");
}
END_TEST

START_TEST(a_gauge_goes_with_its_instance_a_counter_stays)
{
	struct bursar_error none = { 0 };

	instance->host.count(&instance->host, "files_total", 2);
	instance->host.gauge(&instance->host, "lag_bytes", 7);
	struct instance *reader = instance_create(&item, "/nowhere",
	                                          INSTANCE_READ, &none);
	ck_assert_ptr_nonnull(reader);
	reader->host.gauge(&reader->host, "lag_bytes", 8);
	instance_destroy(reader);
	metrics_each(walk, NULL);
	ck_assert_ptr_nonnull(strstr(figures, "lag_bytes"));

	instance_destroy(instance);
	instance = NULL;
	figures[0] = '\0';
	metrics_each(walk, NULL);
	ck_assert_ptr_nonnull(strstr(figures, "files_total"));
	ck_assert_ptr_null(strstr(figures, "lag_bytes"));
}
END_TEST

static void count_one(void *context, const struct bursar_figure *figure)
{
	(void)figure;
	(*(int *)context)++;
}

START_TEST(counts_under_no_more_than_32_names)
{
	const struct bursar_host *host = &instance->host;
	int all = 0;

	for (int i = 0; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "n%d_total", i);
		host->count(host, name, 1);
	}
	metrics_each(count_one, &all);

	ck_assert_int_eq(all, 32);
}
END_TEST

START_TEST(logs_under_its_name_and_kind)
{
	char line[512] = "";
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
	instance->host.log(&instance->host, BURSAR_WARNING, "pond-dry",
	                   "depth=%d", 0);
	ck_assert_int_gt(read(ends[0], line, sizeof(line) - 1), 0);

	ck_assert_ptr_nonnull(strstr(line, "level=warning event=pond-dry "
	                             "instance=backlog kind=source depth=0\n"));
}
END_TEST

START_TEST(knows_the_time)
{
	const int64_t wall = instance->host.now(&instance->host);
	const int64_t mono = clock_mono_us();

	ck_assert_int_gt(wall, INT64_C(1700000000) * 1000000);
	ck_assert_int_ge(clock_wall_us(), wall);
	ck_assert_int_ge(clock_mono_us(), mono);
}
END_TEST

START_TEST(makes_the_key_of_an_id)
{
	uint8_t a[16];
	uint8_t b[16];

	instance->host.key(&schema.kinds[0], "id", 2, a);
	instance->host.key(&schema.kinds[1], "id", 2, b);
	ck_assert_mem_ne(a, b, 16);
	instance->host.key(&schema.kinds[0], "id", 2, b);
	ck_assert_mem_eq(a, b, 16);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("instance");
	TCase *t = tcase_create("host");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, gives_the_options_of_its_section);
	tcase_add_test(t, has_a_folder_of_its_own);
	tcase_add_test(t, has_no_folder_when_it_only_reads);
	tcase_add_test(t, refuses_a_folder_that_others_can_write);
	tcase_add_test(t, refuses_a_folder_of_another_user);
	tcase_add_test(t, refuses_a_link_or_file_in_place_of_its_folder);
	tcase_add_test(t, refuses_a_name_that_leads_elsewhere);
	tcase_add_test(t, says_when_the_folder_cannot_be_made);
	tcase_add_test(t, counts_under_its_name_and_kind);
	tcase_add_test(t, a_figure_has_the_help_that_the_plugin_gives);
	tcase_add_test(t, a_gauge_goes_with_its_instance_a_counter_stays);
	tcase_add_test(t, counts_under_no_more_than_32_names);
	tcase_add_test(t, logs_under_its_name_and_kind);
	tcase_add_test(t, knows_the_time);
	tcase_add_test(t, makes_the_key_of_an_id);
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
