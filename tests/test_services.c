/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Services in their threads, by the module service_clock, which writes down
 * what the house tells it; the book is a sink of this file.
 */
#include "config.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>

#include <bursar/sink.h>

#include "core/base/log.h"
#include "core/daemon/services.h"
#include "core/plugin/instance.h"
#include "core/plugin/module.h"
#include "tests/folder.h"
#include "tests/soon.h"

/* --- a book -------------------------------------------------------------- */

static struct {
	atomic_int opens, closes, inside;
	atomic_int refuse_to_open;	/* so many times */
	atomic_int down;		/* so many times */
	atomic_bool overlap, written;
} book;

struct bursar_sink {
	int nothing;
};

static struct bursar_sink *book_open(const struct bursar_host *host,
                                     enum bursar_mode mode,
                                     enum bursar_verdict *verdict,
                                     struct bursar_error *err)
{
	book.written = book.written || mode != BURSAR_READ ||
		host->state_dir != NULL;
	if (book.refuse_to_open > 0) {
		book.refuse_to_open--;
		bursar_fail(err, ENOENT, "there is no ledger yet");
		*verdict = BURSAR_CONFIG;
		return NULL;
	}
	book.opens++;
	return calloc(1, sizeof(struct bursar_sink));
}

static enum bursar_verdict book_write(struct bursar_sink *sink,
                                      struct bursar_record *const *records,
                                      size_t count,
                                      enum bursar_outcome *outcomes,
                                      size_t *culprit, struct bursar_error *err)
{
	(void)sink, (void)records, (void)count, (void)outcomes, (void)culprit;
	bursar_fail(err, EPERM, "nobody writes here");
	return BURSAR_CONFIG;
}

static enum bursar_verdict book_sql(struct bursar_sink *sink,
                                    const char *statement,
                                    const struct bursar_cell *parameters,
                                    size_t parameter_count, bursar_row_fn *row,
                                    void *context, struct bursar_error *err)
{
	const struct bursar_cell cell = {
		.type = BURSAR_INTEGER, .integer = (int64_t)strlen(statement),
	};

	(void)sink, (void)parameters, (void)parameter_count;
	if (atomic_fetch_add(&book.inside, 1) != 0) {
		book.overlap = true;
	}
	usleep(500);
	atomic_fetch_sub(&book.inside, 1);
	if (book.down > 0) {
		book.down--;
		bursar_fail(err, ECONNRESET, "the connection is gone");
		return BURSAR_DOWN;
	}
	row(context, &cell, 1);
	return BURSAR_DONE;
}

static void book_close(struct bursar_sink *sink)
{
	book.closes += sink != NULL;
	free(sink);
}

static const struct bursar_sink_ops book_ops = {
	.open = book_open, .write = book_write, .sql = book_sql,
	.close = book_close,
};

static const struct bursar_option no_options[] = { { NULL } };

static const struct bursar_plugin book_plugin = {
	.kind = BURSAR_SINK, .name = "book", .options = no_options,
	.ops.sink = &book_ops,
};

/* --- a setup ------------------------------------------------------------- */

#define MAX_CLOCKS 2

static char dir[FOLDER_SIZE];
static struct findings findings;
static struct conf *confs[MAX_CLOCKS];
static struct setup_item clocks[MAX_CLOCKS];
static struct setup_sink ledger;
static struct setup config;
static struct services *services;
static struct bursar_error err;

static char *tell_state(void *context)
{
	(void)context;
	return strdup("{\"ready\":true}");
}

static void add_clock(const char *name, const char *path, const char *more)
{
	const size_t i = config.service_count++;
	char text[400];

	snprintf(text, sizeof(text), "path: %s/%s\n%s", dir, path, more);
	confs[i] = conf_parse(text, strlen(text), &findings);
	clocks[i] = (struct setup_item){
		.name = (char *)(uintptr_t)name,
		.plugin = module_load(BURSAR_SERVICE, "clock", &err),
	};
	ck_assert_msg(clocks[i].plugin != NULL, "%s", err.text);
	clocks[i].options = options_create(confs[i], NULL,
	                                   clocks[i].plugin->options, "it",
	                                   "/", &findings);
	ck_assert_uint_eq(findings.count, 0);
}

static void start(void)
{
	const struct services_options options = { .state = tell_state };

	services = services_create(&config, &options, &err);
	ck_assert_msg(services != NULL, "%s", err.text);
	ck_assert_msg(services_start(services, &err) == 0, "%s", err.text);
}

static void setup(void)
{
	folder_make(dir);
	setenv("BURSAR_PLUGIN_PATH", TESTS_DIR "/modules", 1);
	memset(&book, 0, sizeof(book));
	memset(&err, 0, sizeof(err));
	ledger = (struct setup_sink){
		.item = { .name = (char *)(uintptr_t)"ledger",
		          .plugin = &book_plugin },
	};
	config = (struct setup){
		.state_dir = dir, .look_ms = 50, .services = clocks,
		.book = &ledger,
	};
	log_set_level(BURSAR_ERROR);
}

static void teardown(void)
{
	services_destroy(services);
	services = NULL;
	for (size_t i = 0; i < config.service_count; i++) {
		options_destroy(clocks[i].options);
		conf_destroy(confs[i]);
	}
	folder_remove(dir);
}

/* What a clock wrote so far. */
static const char *written(const char *path)
{
	static char text[1 << 16];
	char name[200];

	snprintf(name, sizeof(name), "%s/%s", dir, path);
	FILE *file = fopen(name, "re");
	const size_t size = file != NULL ?
		fread(text, 1, sizeof(text) - 1, file) : 0;
	text[size] = '\0';
	if (file != NULL) {
		fclose(file);
	}
	return text;
}

static int count_of(const char *path, const char *what)
{
	int count = 0;

	for (const char *at = written(path);
	     (at = strstr(at, what)) != NULL; at += strlen(what)) {
		count++;
	}
	return count;
}

/* Waits until it was written so many times, thirty seconds at most. */
static void await(const char *path, const char *what, int times)
{
	for (int i = 0; i < 6000 && count_of(path, what) < times; i++) {
		usleep(5000);
	}
	ck_assert_msg(count_of(path, what) >= times, "'%s' is missing in: %s",
	              what, written(path));
}

/* Until the one service is blocked, with a reason that begins so. */
static void await_why(const char *begin)
{
	const int64_t limit = clock_mono_us() + SOON;
	bool seen = false;

	while (!seen && clock_mono_us() < limit) {
		const char *state = "", *why = "";
		json_t *all = services_state(services);

		json_unpack(json_array_get(all, 0), "{s:s, s?s}", "state",
		            &state, "why", &why);
		seen = strcmp(state, "blocked") == 0 &&
		       strncmp(why, begin, strlen(begin)) == 0;
		json_decref(all);
		usleep(5000);
	}
	ck_assert_msg(seen, "nothing is blocked by '%s'", begin);
}

static void set_mood(const char *path, const char *word)
{
	char name[200];

	snprintf(name, sizeof(name), "%s/%s.mood", dir, path);
	FILE *file = fopen(name, "we");
	ck_assert_ptr_nonnull(file);
	fputs(word, file);
	fclose(file);
}

/* --- tests --------------------------------------------------------------- */

START_TEST(a_service_runs_until_it_is_stopped)
{
	add_clock("one", "a", "");
	start();
	await("a", "tick", 3);
	ck_assert_int_eq(count_of("a", "opened"), 1);

	const int64_t before = clock_mono_us();
	services_stop(services);
	ck_assert_int_lt(clock_mono_us() - before, SOON);

	const int ticks = count_of("a", "tick");
	usleep(50000);
	ck_assert_int_eq(count_of("a", "tick"), ticks);
}
END_TEST

START_TEST(the_house_tells_figures_and_state)
{
	add_clock("one", "a", "");
	start();
	await("a", "state 14 verdict 0 answer 0", 2);
	ck_assert_int_eq(count_of("a", "figures 0 "), 0);
}
END_TEST

START_TEST(the_book_answers_and_is_opened_to_read_once)
{
	add_clock("one", "a", "ask: four\ninterval: 1ms\n");
	add_clock("two", "b", "ask: three\ninterval: 1ms\n");
	start();
	await("a", "verdict 0 answer 4", 50);
	await("b", "verdict 0 answer 5", 50);
	services_stop(services);
	ck_assert_int_eq(book.opens, 1);
	ck_assert(!book.overlap);
	ck_assert(!book.written);
	services_destroy(services);
	services = NULL;
	ck_assert_int_eq(book.closes, 1);
}
END_TEST

START_TEST(a_book_that_comes_later_or_goes_is_opened_again)
{
	book.refuse_to_open = 2;
	book.down = 2;
	add_clock("one", "a", "ask: four\ninterval: 1ms\n");
	start();
	await("a", "verdict 0 answer 4", 1);
	services_stop(services);
	ck_assert_int_eq(count_of("a", "verdict 4"), 2);
	ck_assert_int_eq(count_of("a", "verdict 2"), 2);
	ck_assert_int_eq(book.opens, 3);
	ck_assert_int_eq(book.closes, 2);
}
END_TEST

START_TEST(without_a_book_a_person_must_act)
{
	config.book = NULL;
	add_clock("one", "a", "ask: four\n");
	start();
	await("a", "verdict 4", 1);
}
END_TEST

START_TEST(what_says_retry_is_run_again)
{
	add_clock("one", "a", "");
	start();
	await("a", "tick", 1);
	set_mood("a", "retry");
	usleep(100000);
	await("a", "tick", count_of("a", "tick") + 2);
	ck_assert_int_eq(count_of("a", "opened"), 1);
}
END_TEST

START_TEST(what_says_down_is_opened_again)
{
	add_clock("one", "a", "");
	start();
	await("a", "tick", 1);
	set_mood("a", "down");
	await("a", "opened", 2);
	await("a", "tick 1 ", 2);
}
END_TEST

START_TEST(what_says_config_is_looked_at_again_and_says_why)
{
	config.look_ms = 2000;
	config.file = (char *)(uintptr_t)"/etc/bursar.yaml";
	add_clock("one", "a", "interval: 10ms\n");
	start();
	await("a", "tick", 1);
	set_mood("a", "config");
	await_why("/etc/bursar.yaml:2: interval: the clock is out of order");
	await("a", "tick", count_of("a", "tick") + 2);
	ck_assert_int_eq(count_of("a", "opened"), 1);
}
END_TEST

START_TEST(what_cannot_be_opened_is_looked_at_again)
{
	char folder[200];

	config.file = (char *)(uintptr_t)"/etc/bursar.yaml";
	add_clock("one", "folder/a", "");
	clocks[0].line = 17;
	start();
	await_why("/etc/bursar.yaml:17: ");
	snprintf(folder, sizeof(folder), "%s/folder", dir);
	ck_assert_int_eq(mkdir(folder, 0700), 0);
	await("folder/a", "tick", 2);
}
END_TEST

START_TEST(one_that_is_blocked_is_stopped_at_once)
{
	config.look_ms = 60000;
	add_clock("one", "folder/a", "");
	start();
	usleep(50000);
	const int64_t before = clock_mono_us();
	services_stop(services);
	ck_assert_int_lt(clock_mono_us() - before, SOON);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("services");
	TCase *tc = tcase_create("all");
	SRunner *runner = srunner_create(suite);

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_service_runs_until_it_is_stopped);
	tcase_add_test(tc, the_house_tells_figures_and_state);
	tcase_add_test(tc, the_book_answers_and_is_opened_to_read_once);
	tcase_add_test(tc, a_book_that_comes_later_or_goes_is_opened_again);
	tcase_add_test(tc, without_a_book_a_person_must_act);
	tcase_add_test(tc, what_says_retry_is_run_again);
	tcase_add_test(tc, what_says_down_is_opened_again);
	tcase_add_test(tc, what_says_config_is_looked_at_again_and_says_why);
	tcase_add_test(tc, what_cannot_be_opened_is_looked_at_again);
	tcase_add_test(tc, one_that_is_blocked_is_stopped_at_once);
	suite_add_tcase(suite, tc);

	srunner_run_all(runner, CK_NORMAL);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
