/* SPDX-License-Identifier: Apache-2.0 */

/* The state folder and the socket in it. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

#include "core/daemon/statedir.h"
#include "core/daemon/status.h"
#include "core/plugin/instance.h"
#include "tests/folder.h"

static char base[FOLDER_SIZE];
static char path[8192];
static struct bursar_error err;

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	folder_make(base);
	snprintf(path, sizeof(path), "%s", base);
}

static void teardown(void)
{
	folder_remove(base);
}

/* Goes on with a folder or file below. */
static void go_into(const char *name)
{
	const size_t at = strlen(path);

	snprintf(path + at, sizeof(path) - at, "%s", name);
}

static mode_t mode_of(const char *name)
{
	char full[8300];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", path, name);
	ck_assert_int_eq(stat(full, &st), 0);
	return st.st_mode & 07777;
}

/* --- the socket ---------------------------------------------------------- */

static void *answer_one(void *listener)
{
	struct pollfd fd = { .fd = *(int *)listener, .events = POLLIN };

	poll(&fd, 1, 5000);
	status_answer(fd.fd, json_pack("{sb}", "ready", 1));
	return NULL;
}

static void assert_answers(void)
{
	pthread_t thread;
	int listener = status_listen(path, &err);

	ck_assert_msg(listener >= 0, "%s", err.text);
	ck_assert_int_eq(pthread_create(&thread, NULL, answer_one, &listener),
	                 0);
	json_t *state = status_ask(path, &err);
	pthread_join(thread, NULL);
	ck_assert_msg(state != NULL, "%s", err.text);
	ck_assert(json_is_true(json_object_get(state, "ready")));
	json_decref(state);
	close(listener);
}

START_TEST(answers_who_asks)
{
	assert_answers();
	ck_assert_uint_eq(mode_of("/status"), 0600);
}
END_TEST

START_TEST(takes_the_place_of_a_socket_that_a_dead_daemon_left)
{
	assert_answers();
	assert_answers();
}
END_TEST

START_TEST(answers_in_a_folder_whose_path_is_too_long_for_a_socket)
{
	for (int i = 0; i < 20; i++) {
		go_into("/a-folder-with-a-long-name");
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}

	assert_answers();
	ck_assert_uint_eq(mode_of("/status"), 0600);
}
END_TEST

START_TEST(says_what_is_in_the_place_of_the_socket)
{
	char full[8300];

	snprintf(full, sizeof(full), "%s/status", path);
	ck_assert_int_eq(mkdir(full, 0700), 0);

	ck_assert_int_eq(status_listen(path, &err), -1);
	ck_assert_int_eq(err.code, EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "/status: Is a directory"));
}
END_TEST

START_TEST(says_that_no_daemon_runs)
{
	ck_assert_ptr_null(status_ask(path, &err));
	ck_assert_int_eq(err.code, ENOENT);

	memset(&err, 0, sizeof(err));
	close(status_listen(path, &err));
	ck_assert_ptr_null(status_ask(path, &err));
	ck_assert_int_eq(err.code, ECONNREFUSED);
	ck_assert_ptr_nonnull(strstr(err.text, path));
}
END_TEST

static int connect_only(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/status", base);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static json_t *large_state(void)
{
	static char text[1 << 20];

	memset(text, 'x', sizeof(text) - 1);
	return json_pack("{ss}", "why", text);
}

START_TEST(is_held_up_only_for_a_moment_by_who_does_not_read)
{
	const int listener = status_listen(path, &err);
	const int lazy = connect_only();
	const int64_t before = clock_mono_us();

	status_answer(listener, large_state());

	/* A busy machine takes its time; who waits for the lazy one waits for
	 * ever. */
	ck_assert_int_lt(clock_mono_us() - before,
	                 (STATUS_PATIENCE_MS + 5000) * 1000);
	close(lazy);
	close(listener);
}
END_TEST

START_TEST(survives_a_client_that_is_gone)
{
	const int listener = status_listen(path, &err);

	close(connect_only());
	status_answer(listener, large_state());
	status_answer(listener, large_state());	/* nobody is there */
	close(listener);
}
END_TEST

static void *answer_large(void *listener)
{
	struct pollfd fd = { .fd = *(int *)listener, .events = POLLIN };

	poll(&fd, 1, 5000);
	status_answer(fd.fd, large_state());
	return NULL;
}

START_TEST(tells_a_state_that_is_longer_than_a_socket_holds)
{
	pthread_t thread;
	int listener = status_listen(path, &err);

	pthread_create(&thread, NULL, answer_large, &listener);
	json_t *state = status_ask(path, &err);
	pthread_join(thread, NULL);

	ck_assert_uint_eq(json_string_length(json_object_get(state, "why")),
	                  (1 << 20) - 1);
	json_decref(state);
	close(listener);
}
END_TEST

/* Says the beginning of an object and then nothing, or no end of it. */
static void *babble(void *listener)
{
	static char text[65536];
	struct pollfd entry = { .fd = *(int *)listener, .events = POLLIN };

	poll(&entry, 1, 5000);
	const int fd = accept(entry.fd, NULL, NULL);
	memset(text, ' ', sizeof(text));
	while (send(fd, text, sizeof(text), MSG_NOSIGNAL) > 0) {
	}
	close(fd);
	return NULL;
}

START_TEST(believes_no_answer_without_end)
{
	pthread_t thread;
	int listener = status_listen(path, &err);

	pthread_create(&thread, NULL, babble, &listener);
	ck_assert_ptr_null(status_ask(path, &err));
	ck_assert_int_eq(err.code, EPROTO);
	pthread_join(thread, NULL);
	close(listener);
}
END_TEST

/* --- the folder ---------------------------------------------------------- */

START_TEST(makes_the_folder_for_its_owner_alone)
{
	go_into("/above/state");
	const int lock = statedir_lock(path, &err);

	ck_assert_msg(lock >= 0, "%s", err.text);
	ck_assert_uint_eq(mode_of(""), 0700);
	ck_assert_uint_eq(mode_of("/lock"), 0600);
	close(lock);
}
END_TEST

static const mode_t open_modes[] = { 0770, 0702, 01777 };

START_TEST(refuses_a_folder_that_others_can_write_to)
{
	ck_assert_int_eq(chmod(path, open_modes[_i]), 0);

	ck_assert_int_eq(statedir_lock(path, &err), -1);
	ck_assert_int_eq(err.code, EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "others can write"));
	ck_assert_ptr_nonnull(strstr(err.text, path));
}
END_TEST

START_TEST(takes_a_folder_that_others_can_read)
{
	ck_assert_int_eq(chmod(path, 0755), 0);
	const int lock = statedir_lock(path, &err);

	ck_assert_msg(lock >= 0, "%s", err.text);
	close(lock);
}
END_TEST

START_TEST(refuses_what_is_no_folder)
{
	go_into("/file");
	close(open(path, O_CREAT | O_WRONLY, 0600));

	ck_assert_int_eq(statedir_lock(path, &err), -1);
	ck_assert_int_eq(err.code, ENOTDIR);
}
END_TEST

START_TEST(names_who_has_the_lock)
{
	char pid[32];
	const int lock = statedir_lock(path, &err);

	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(statedir_lock(path, &err), -1);
	snprintf(pid, sizeof(pid), "process %d)", (int)getpid());
	ck_assert_int_eq(err.code, EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, pid));
	close(lock);
	memset(&err, 0, sizeof(err));
	close(statedir_lock(path, &err));
	ck_assert_int_eq(err.code, 0);
}
END_TEST

START_TEST(loses_the_lock_with_the_process_and_not_before)
{
	int ready[2];
	char byte;

	ck_assert_int_eq(pipe(ready), 0);
	const pid_t child = fork();
	if (child == 0) {
		const int lock = statedir_lock(path, NULL);

		close(open(path, O_RDONLY));
		if (lock < 0 || write(ready[1], "x", 1) != 1) {
			_exit(1);
		}
		pause();
	}
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	ck_assert_int_eq(statedir_lock(path, &err), -1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	const int lock = statedir_lock(path, NULL);
	ck_assert_int_ge(lock, 0);
	close(lock);
	close(ready[0]);
	close(ready[1]);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("status");

	TCase *sockets = tcase_create("socket");
	tcase_add_checked_fixture(sockets, setup, teardown);
	tcase_set_timeout(sockets, 30);
	tcase_add_test(sockets, answers_who_asks);
	tcase_add_test(sockets,
	               takes_the_place_of_a_socket_that_a_dead_daemon_left);
	tcase_add_test(sockets,
	               answers_in_a_folder_whose_path_is_too_long_for_a_socket);
	tcase_add_test(sockets, says_that_no_daemon_runs);
	tcase_add_test(sockets, says_what_is_in_the_place_of_the_socket);
	tcase_add_test(sockets,
	               is_held_up_only_for_a_moment_by_who_does_not_read);
	tcase_add_test(sockets, survives_a_client_that_is_gone);
	tcase_add_test(sockets,
	               tells_a_state_that_is_longer_than_a_socket_holds);
	tcase_add_test(sockets, believes_no_answer_without_end);
	suite_add_tcase(s, sockets);

	TCase *folder = tcase_create("folder");
	tcase_add_checked_fixture(folder, setup, teardown);
	tcase_add_test(folder, makes_the_folder_for_its_owner_alone);
	tcase_add_loop_test(folder, refuses_a_folder_that_others_can_write_to,
	                    0, sizeof(open_modes) / sizeof(open_modes[0]));
	tcase_add_test(folder, takes_a_folder_that_others_can_read);
	tcase_add_test(folder, refuses_what_is_no_folder);
	tcase_add_test(folder, names_who_has_the_lock);
	tcase_add_test(folder, loses_the_lock_with_the_process_and_not_before);
	suite_add_tcase(s, folder);
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
