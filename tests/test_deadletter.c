/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Dead letters on a disk that does what a test tells it: some calls of the
 * system are played here (see letters.mk).  What is read back is always read
 * as another process would.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>
#include <jansson.h>
#include <sodium.h>

#include "core/base/arena.h"
#include "core/base/log.h"
#include "core/flow/deadletter.h"
#include "core/flow/letter.h"
#include "core/plugin/instance.h"
#include "core/plugin/schema.h"
#include "tests/folder.h"

#define DAY  INT64_C(86400000000)
#define YEAR (365 * DAY)

/* --- the disk ------------------------------------------------------------ */

static struct {
	bool    limited;
	int64_t left;		/* bytes that still fit, if limited */
	int     syncs_fail;	/* so many */
	bool    truncates_fail;
	char    synced[65536];	/* names of what was synced, each with a / */
	size_t  written;
} disk;

ssize_t __real_pwrite(int fd, const void *data, size_t size, off_t at);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_posix_fallocate(int fd, off_t at, off_t size);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_posix_fallocate(int fd, off_t at, off_t size);

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t at)
{
	if (disk.limited && disk.left == 0) {
		errno = ENOSPC;
		return -1;
	}
	if (disk.limited && (int64_t)size > disk.left) {
		size = (size_t)disk.left;
	}
	const ssize_t n = __real_pwrite(fd, data, size, at);
	disk.left -= n > 0 ? n : 0;
	disk.written += n > 0 ? (size_t)n : 0;
	return n;
}

static int64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_size : 0;
}

int __wrap_ftruncate(int fd, off_t size)
{
	if (disk.truncates_fail) {
		errno = EIO;
		return -1;
	}
	disk.left += size_of(fd) - size;
	return __real_ftruncate(fd, size);
}

int __wrap_posix_fallocate(int fd, off_t at, off_t size)
{
	const int64_t more = at + size - size_of(fd);

	if (disk.limited && more > disk.left) {
		return ENOSPC;
	}
	disk.left -= more > 0 ? more : 0;
	return __real_posix_fallocate(fd, at, size);
}

static pthread_mutex_t disk_lock = PTHREAD_MUTEX_INITIALIZER;

static int note_sync(int fd)
{
	char link[64], path[4096] = "";

	if (disk.syncs_fail > 0) {
		disk.syncs_fail--;
		errno = EIO;
		return -1;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	const ssize_t size = readlink(link, path, sizeof(path) - 1);
	ck_assert_int_gt(size, 0);
	const char *name = strrchr(path, '/');
	pthread_mutex_lock(&disk_lock);
	ck_assert_uint_lt(strlen(disk.synced) + strlen(name),
	                  sizeof(disk.synced));
	memcpy(disk.synced + strlen(disk.synced), name, strlen(name) + 1);
	pthread_mutex_unlock(&disk_lock);
	return 0;
}

int __wrap_fdatasync(int fd)
{
	return note_sync(fd) != 0 ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
	return note_sync(fd) != 0 ? -1 : __real_fsync(fd);
}

/* --- arranging ----------------------------------------------------------- */

static char state[FOLDER_SIZE];
static struct deadletters *letters;
static struct bursar_error err;
static struct arena arena;

static void open_limited(size_t max_bytes, size_t reserve)
{
	letters = deadletters_open(state, max_bytes, reserve, &err);
	ck_assert_msg(letters != NULL, "%s", err.text);
}

static void open_again(void)
{
	deadletters_close(letters);
	open_limited(1 << 20, 0);
}

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	memset(&disk, 0, sizeof(disk));
	folder_make(state);
	log_set_level(BURSAR_ERROR);
	arena_init(&arena);
	open_limited(1 << 20, 0);
}

static void teardown(void)
{
	deadletters_close(letters);
	letters = NULL;
	arena_clear(&arena);
	arena_pool_drain();
	folder_remove(state);
}

static struct bursar_span span(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

static int add_message(const struct bursar_message *message, int64_t expires)
{
	const struct dead_letter letter = {
		.message = message, .source = "src", .reason = DEAD_MALFORMED,
		.text = "no sense in it", .expires = expires,
	};

	memset(&err, 0, sizeof(err));
	return deadletters_add(letters, &letter, &err);
}

static int add_expiring(const char *id, int64_t expires)
{
	const struct bursar_message message = {
		.message_id = span(id), .body = span("{}"),
	};

	return add_message(&message, expires);
}

static int add(const char *id)
{
	return add_expiring(id, DEAD_NEVER);
}

static const char *today(void)
{
	static char path[400];
	DIR *dir;
	const struct dirent *entry;

	snprintf(path, sizeof(path), "%s/dead-letters", state);
	dir = opendir(path);
	while ((entry = readdir(dir)) != NULL) {
		if (strstr(entry->d_name, ".jsonl") != NULL) {
			snprintf(path, sizeof(path), "%s/dead-letters/%s",
			         state, entry->d_name);
		}
	}
	closedir(dir);
	return path;
}

static const char *in_folder(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/dead-letters/%s", state, name);
	return path;
}

static void write_file(const char *path, const char *mode, const char *text)
{
	FILE *file = fopen(path, mode);

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	ck_assert_int_eq(fclose(file), 0);
}

static int64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

/* What stands there: ids of messages, in order. */
static struct {
	char    ids[100][40];
	char    letter_ids[100][40];
	size_t  count;
	struct deadletter_broken broken;
	json_t *last;
} found;

static int take_letter(void *context, json_t *letter)
{
	struct bursar_message m;
	struct bursar_error why = { 0 };

	(void)context;
	ck_assert_msg(deadletter_message(letter, &arena.base, &m, &why) == 0,
	              "%s", why.text);
	ck_assert_uint_lt(found.count, 100);
	snprintf(found.ids[found.count], 40, "%.*s", (int)m.message_id.size,
	         m.message_id.data != NULL ? m.message_id.data : "");
	snprintf(found.letter_ids[found.count++], 40, "%s",
	         json_string_value(json_object_get(letter, "id")));
	json_decref(found.last);
	found.last = json_incref(letter);
	return 0;
}

static size_t look(void)
{
	json_decref(found.last);
	memset(&found, 0, sizeof(found));
	ck_assert_int_eq(deadletters_read(state, take_letter, NULL,
	                                  &found.broken, &err), 0);
	return found.count;
}

static void replayed(const char *id)
{
	ck_assert_int_eq(deadletters_replayed(state, &id, 1, &err), 0);
}

/* --- writing ------------------------------------------------------------- */

START_TEST(keeps_letters_for_its_owner_alone)
{
	struct stat st;

	ck_assert_int_eq(add("a"), 0);

	ck_assert_int_eq(stat(today(), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(stat(in_folder(""), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
}
END_TEST

START_TEST(closes_a_folder_that_others_could_look_into)
{
	struct stat st;

	ck_assert_int_eq(chmod(in_folder(""), 0755), 0);
	open_again();

	ck_assert_int_eq(stat(in_folder(""), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
}
END_TEST

START_TEST(syncs_the_folders_before_and_the_file_after_a_letter)
{
	/* The new folder is durable in the state folder. */
	ck_assert_ptr_eq(strstr(disk.synced, strrchr(state, '/')), disk.synced);
	disk.synced[0] = '\0';

	ck_assert_int_eq(add("a"), 0);
	ck_assert_str_eq(disk.synced, "/dead-letters");
	ck_assert_int_eq(deadletters_sync(letters, &err), 0);
	ck_assert_ptr_nonnull(strstr(disk.synced, ".jsonl"));

	/* Nothing new, nothing to sync. */
	disk.synced[0] = '\0';
	ck_assert_int_eq(deadletters_sync(letters, &err), 0);
	ck_assert_str_eq(disk.synced, "");
}
END_TEST

START_TEST(writes_again_what_a_sync_that_failed_may_have_lost)
{
	ck_assert_int_eq(add("a"), 0);
	ck_assert_int_eq(deadletters_sync(letters, &err), 0);
	ck_assert_int_eq(add("b"), 0);
	disk.syncs_fail = 1;
	ck_assert_int_eq(deadletters_sync(letters, &err), -1);
	ck_assert_int_eq(err.code, EIO);
	disk.written = 0;

	ck_assert_int_eq(deadletters_sync(letters, &err), 0);
	ck_assert_int_eq((int64_t)disk.written * 2, file_size(today()));
	ck_assert_uint_eq(look(), 2);
	ck_assert_uint_eq(found.broken.count, 0);
}
END_TEST

START_TEST(does_not_call_durable_what_it_cannot_sync)
{
	ck_assert_int_eq(add("a"), 0);
	disk.syncs_fail = 3;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(deadletters_sync(letters, &err), -1);
	}
	ck_assert_int_eq(deadletters_sync(letters, &err), 0);
}
END_TEST

START_TEST(leaves_no_part_of_a_letter_that_did_not_fit)
{
	ck_assert_int_eq(add("a"), 0);
	const int64_t before = file_size(today());
	disk.limited = true;
	disk.left = 100;

	ck_assert_int_eq(add("b"), -1);
	ck_assert_int_eq(err.code, ENOSPC);
	ck_assert_int_eq(file_size(today()), before);
	ck_assert_uint_eq(deadletters_bytes(letters), (size_t)before);

	disk.limited = false;
	ck_assert_int_eq(add("c"), 0);
	ck_assert_uint_eq(look(), 2);
	ck_assert_str_eq(found.ids[1], "c");
	ck_assert_uint_eq(found.broken.count, 0);
}
END_TEST

START_TEST(glues_no_letter_to_a_part_that_it_could_not_cut_off)
{
	ck_assert_int_eq(add("a"), 0);
	disk.limited = true;
	disk.left = 100;
	disk.truncates_fail = true;
	ck_assert_int_eq(add("b"), -1);

	disk.limited = false;
	ck_assert_int_eq(add("c"), -1);		/* still cannot */
	ck_assert_int_eq(deadletters_sync(letters, &err), 0);
	disk.truncates_fail = false;
	ck_assert_int_eq(add("d"), 0);

	ck_assert_uint_eq(look(), 2);
	ck_assert_str_eq(found.ids[1], "d");
	ck_assert_uint_eq(found.broken.count, 0);
}
END_TEST

START_TEST(leaves_no_part_of_a_letter_beyond_the_largest_file)
{
	struct rlimit limit;

	ck_assert_int_eq(add("a"), 0);
	const int64_t before = file_size(today());
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	const rlim_t free_of_limits = limit.rlim_cur;
	signal(SIGXFSZ, SIG_IGN);
	limit.rlim_cur = (rlim_t)before + 50;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);

	ck_assert_int_eq(add("b"), -1);
	ck_assert_int_eq(err.code, EFBIG);
	ck_assert_int_eq(file_size(today()), before);
	limit.rlim_cur = free_of_limits;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(add("c"), 0);
	ck_assert_uint_eq(look(), 2);
	ck_assert_uint_eq(found.broken.count, 0);
}
END_TEST

START_TEST(gives_the_reserve_to_letters_when_the_disk_is_full)
{
	deadletters_close(letters);
	disk.limited = true;
	disk.left = 300000;
	open_limited(1 << 20, 200000);
	ck_assert_int_eq(file_size(in_folder("reserve")), 200000);
	disk.left = 0;			/* others took the rest */

	for (int i = 0; i < 20; i++) {
		char id[8];

		snprintf(id, sizeof(id), "%d", i);
		ck_assert_msg(add(id) == 0, "%d: %s", i, err.text);
	}
	ck_assert_int_eq(deadletters_sync(letters, &err), 0);
	ck_assert_uint_eq(look(), 20);
	ck_assert_int_lt(file_size(in_folder("reserve")), 200000);
}
END_TEST

START_TEST(says_that_the_disk_is_full_when_the_reserve_is_used_up)
{
	deadletters_close(letters);
	open_limited(1 << 20, 1000);
	disk.limited = true;
	disk.left = 0;

	int added = 0;
	while (add("x") == 0 && added < 100) {
		added++;
	}
	ck_assert_int_eq(err.code, ENOSPC);
	ck_assert_int_ge(added, 1);
	ck_assert_int_eq(file_size(in_folder("reserve")), 0);
	disk.limited = false;
	ck_assert_int_eq(add("y"), 0);
}
END_TEST

START_TEST(holds_back_no_more_than_letters_may_take)
{
	deadletters_close(letters);
	open_limited(10000, 8000);
	ck_assert_int_eq(file_size(in_folder("reserve")), 8000);

	while (add("x") == 0) {
	}
	ck_assert_int_eq(err.code, EDQUOT);
	ck_assert_int_le(file_size(in_folder("reserve")) +
	                 file_size(today()), 10000);

	/* A smaller one gives back what is too much. */
	deadletters_close(letters);
	open_limited(1 << 20, 5000);
	ck_assert_int_eq(file_size(in_folder("reserve")), 5000);
	deadletters_close(letters);
	open_limited(1 << 20, 0);
	ck_assert_int_eq(file_size(in_folder("reserve")), 0);
}
END_TEST

START_TEST(refuses_a_letter_beyond_the_limit_and_adds_nothing)
{
	deadletters_close(letters);
	open_limited(1000, 0);

	int added = 0;
	while (add("x") == 0) {
		added++;
	}
	ck_assert_int_eq(err.code, EDQUOT);
	ck_assert_ptr_nonnull(strstr(err.text, "max-size"));
	ck_assert_int_gt(added, 0);
	ck_assert_int_le(file_size(today()), 1000);

	deadletters_set_limit(letters, 2000);
	ck_assert_int_eq(add("x"), 0);
}
END_TEST

START_TEST(at_the_limit_goes_on_when_letters_were_replayed)
{
	deadletters_close(letters);
	open_limited(1000, 0);
	ck_assert_int_eq(add("first"), 0);
	ck_assert_int_eq(add("second"), 0);
	while (add("more") == 0) {
	}
	look();

	replayed(found.letter_ids[0]);
	ck_assert_int_eq(add("last"), 0);
	look();
	ck_assert_str_eq(found.ids[0], "second");
	ck_assert_str_eq(found.ids[found.count - 1], "last");
}
END_TEST

/* --- after a crash ------------------------------------------------------- */

START_TEST(takes_away_what_a_crash_cut)
{
	ck_assert_int_eq(add("a"), 0);
	ck_assert_int_eq(add("b"), 0);
	const int64_t whole = file_size(today());
	ck_assert_int_eq(truncate(today(), whole - 20), 0);

	/* Nobody had been told of it, so nobody misses it. */
	ck_assert_uint_eq(look(), 1);
	ck_assert_uint_eq(found.broken.count, 0);

	open_again();
	ck_assert_int_eq(file_size(today()), whole / 2);
	ck_assert_int_eq(add("c"), 0);
	ck_assert_uint_eq(look(), 2);
	ck_assert_str_eq(found.ids[1], "c");
	ck_assert_uint_eq(found.broken.count, 0);
}
END_TEST

START_TEST(takes_away_what_a_crash_cut_on_another_day)
{
	ck_assert_int_eq(add("a"), 0);
	const char *old = in_folder("2020-02-02.jsonl");
	ck_assert_int_eq(rename(today(), old), 0);
	write_file(old, "a", "{\"id\":\"12345");

	open_again();
	ck_assert_int_eq(add("b"), 0);
	ck_assert_uint_eq(look(), 2);
	ck_assert_str_eq(found.ids[0], "a");
	ck_assert_uint_eq(found.broken.count, 0);
	ck_assert_int_eq(file_size(in_folder("2020-02-02.jsonl")),
	                 file_size(today()));
}
END_TEST

START_TEST(keeps_a_letter_that_lacks_nothing_but_the_newline)
{
	ck_assert_int_eq(add("a"), 0);
	ck_assert_int_eq(truncate(today(), file_size(today()) - 1), 0);
	ck_assert_uint_eq(look(), 1);

	open_again();
	ck_assert_int_eq(add("b"), 0);
	ck_assert_uint_eq(look(), 2);
}
END_TEST

START_TEST(counts_whole_lines_that_nobody_can_read)
{
	ck_assert_int_eq(add("a"), 0);
	deadletters_close(letters);
	write_file(today(), "a", "{broken\n\n[]\n{\"id\":7}\n");
	open_limited(1 << 20, 0);
	ck_assert_int_eq(add("b"), 0);

	ck_assert_uint_eq(look(), 2);
	ck_assert_uint_eq(found.broken.count, 3);
	ck_assert_str_eq(found.broken.file, strrchr(today(), '/') + 1);
}
END_TEST

/* --- purging ------------------------------------------------------------- */

static int64_t purge(int64_t now)
{
	const int64_t gone = deadletters_purge(letters, now, &err);

	ck_assert_msg(gone >= 0, "%s", err.text);
	return gone;
}

START_TEST(purges_letters_when_they_expire_and_no_others)
{
	const int64_t now = clock_wall_us();

	add_expiring("soon", now + DAY);
	add_expiring("later", now + 3 * DAY);
	add_expiring("never", DEAD_NEVER);

	ck_assert_int_eq(purge(now), 0);
	ck_assert_int_eq(purge(now + DAY), 1);
	ck_assert_uint_eq(look(), 2);
	ck_assert_str_eq(found.ids[0], "later");
	ck_assert_uint_eq(deadletters_bytes(letters),
	                  (size_t)file_size(today()));
	ck_assert_int_eq(purge(now + 9 * YEAR), 1);
	ck_assert_uint_eq(look(), 1);
	ck_assert_int_eq(add("another"), 0);
	ck_assert_uint_eq(look(), 2);
}
END_TEST

START_TEST(purges_letters_of_another_hand)
{
	write_file(in_folder("2020-02-02.jsonl"), "w",
	           "{ \"id\": \"x\", \"expires\": \"2020-03-01T00:00:00Z\","
	           " \"body_base64\": \"\" }\n"
	           "{\"body_base64\":\"\",\"id\":\"y\"}\n");

	ck_assert_int_eq(purge(clock_wall_us()), 1);
	ck_assert_uint_eq(look(), 1);
	ck_assert_str_eq(found.letter_ids[0], "y");
}
END_TEST

START_TEST(writes_no_file_anew_of_which_nothing_goes)
{
	struct stat before, after;

	add_expiring("later", clock_wall_us() + DAY);
	ck_assert_int_eq(stat(today(), &before), 0);
	disk.synced[0] = '\0';

	ck_assert_int_eq(purge(clock_wall_us()), 0);
	ck_assert_int_eq(stat(today(), &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_ptr_null(strstr(disk.synced, "tmp"));
}
END_TEST

START_TEST(removes_a_file_that_holds_nothing_any_more)
{
	add_expiring("a", 1);
	write_file(in_folder("2020-02-02.jsonl"), "w", "");

	ck_assert_int_eq(purge(2), 1);
	ck_assert_int_eq(file_size(in_folder("2020-02-02.jsonl")), -1);
	ck_assert_ptr_null(strstr(today(), ".jsonl"));
	ck_assert_uint_eq(deadletters_bytes(letters), 0);
}
END_TEST

START_TEST(keeps_lines_that_nobody_can_read_for_a_while)
{
	write_file(in_folder("2020-02-02.jsonl"), "w", "{\"secret\n");
	const int64_t day = INT64_C(1580601600000000);

	ck_assert_int_eq(purge(day + (DEAD_UNREADABLE_DAYS - 1) * DAY), 0);
	ck_assert_int_eq(purge(day + DEAD_UNREADABLE_DAYS * DAY), 1);
}
END_TEST

START_TEST(purges_when_the_disk_is_full)
{
	char id[8];

	deadletters_close(letters);
	open_limited(1 << 20, 200000);
	for (int i = 0; i < 50; i++) {
		snprintf(id, sizeof(id), "%d", i);
		add_expiring(id, i % 2 == 0 ? 1 : DEAD_NEVER);
	}
	disk.limited = true;
	disk.left = 0;
	ck_assert_int_eq(purge(2), 25);
	ck_assert_uint_eq(look(), 25);
}
END_TEST

START_TEST(keeps_letters_when_the_disk_fails_a_purge)
{
	add_expiring("a", 1);
	add("b");
	disk.syncs_fail = 1;
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(deadletters_purge(letters, 2, &err), -1);
	ck_assert_int_eq(err.code, EIO);
	ck_assert_uint_eq(look(), 2);
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(add("c"), 0);
	ck_assert_int_eq(purge(2), 1);
	ck_assert_uint_eq(look(), 2);
}
END_TEST

START_TEST(takes_no_read_error_for_the_end_of_a_file)
{
	add_expiring("a", 1);
	/* Opens like a file, but cannot be read. */
	ck_assert_int_eq(mkdir(in_folder("2020-02-02.jsonl"), 0700), 0);

	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(deadletters_purge(letters, 2, &err), -1);
	ck_assert_int_eq(err.code, EISDIR);
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(deadletters_read(state, take_letter, NULL,
	                                  &found.broken, &err), -1);
	ck_assert_int_eq(err.code, EISDIR);
	ck_assert_ptr_nonnull(strstr(err.text, "2020-02-02.jsonl"));
}
END_TEST

/* --- replayed letters ---------------------------------------------------- */

START_TEST(shows_a_replayed_letter_no_more)
{
	add("a");
	add("b");
	look();
	replayed(found.letter_ids[0]);

	ck_assert_uint_eq(look(), 1);
	ck_assert_str_eq(found.ids[0], "b");
	ck_assert_int_eq(purge(1), 1);
	ck_assert_uint_eq(look(), 1);
}
END_TEST

START_TEST(forgets_replayed_letters_that_are_gone)
{
	struct stat st;

	add("a");
	look();
	replayed(found.letter_ids[0]);
	ck_assert_int_eq(file_size(in_folder("replayed")), 33);
	ck_assert_int_eq(stat(in_folder("replayed"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);

	purge(1);
	ck_assert_int_eq(file_size(in_folder("replayed")), 0);
	replayed("00000000000000000000000000000000");
	purge(1);
	ck_assert_int_eq(file_size(in_folder("replayed")), 0);
	ck_assert_int_eq(stat(in_folder("replayed"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

START_TEST(remembers_replayed_letters_whose_file_could_not_be_purged)
{
	add("a");
	add("b");
	look();
	replayed(found.letter_ids[0]);
	disk.syncs_fail = 1;
	ck_assert_int_eq(deadletters_purge(letters, 1, &err), -1);

	ck_assert_uint_eq(look(), 1);
}
END_TEST

START_TEST(is_not_misled_by_a_note_that_a_crash_cut)
{
	add("a");
	look();
	char id[40];
	memcpy(id, found.letter_ids[0], sizeof(id));
	write_file(in_folder("replayed"), "w", "0123456789");

	replayed(id);
	ck_assert_uint_eq(look(), 0);
}
END_TEST

/* Runs in a process of its own: notes every fourth letter of those found. */
static void note_some(size_t first)
{
	for (size_t i = first; i < found.count; i += 4) {
		const char *id = found.letter_ids[i];

		if (deadletters_replayed(state, &id, 1, NULL) != 0) {
			_exit(1);
		}
	}
	_exit(0);
}

START_TEST(loses_no_note_when_many_take_them_while_it_purges)
{
	pid_t children[4];
	char id[8];

	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "%d", i);
		ck_assert_int_eq(add(id), 0);
	}
	ck_assert_uint_eq(look(), 100);
	for (size_t w = 0; w < 4; w++) {
		children[w] = fork();
		if (children[w] == 0) {
			note_some(w);
		}
	}
	for (int w = 0; w < 4; w++) {
		int status;

		while (waitpid(children[w], &status, WNOHANG) == 0) {
			purge(1);
			disk.synced[0] = '\0';
		}
		ck_assert_int_eq(status, 0);
	}
	purge(1);
	ck_assert_uint_eq(look(), 0);
	ck_assert_int_eq(file_size(in_folder("replayed")), 0);
}
END_TEST

START_TEST(takes_notes_of_many_at_once)
{
	enum { WRITERS = 4, EACH = 50 };
	pid_t children[WRITERS];

	for (int w = 0; w < WRITERS; w++) {
		children[w] = fork();
		if (children[w] == 0) {
			for (int i = 0; i < EACH; i++) {
				char id[33];
				const char *ids[] = { id, id };

				snprintf(id, sizeof(id), "%032x",
				         (unsigned)(w * EACH + i));
				if (deadletters_replayed(state, ids, 2,
				                         NULL) != 0) {
					_exit(1);
				}
			}
			_exit(0);
		}
	}
	for (int w = 0; w < WRITERS; w++) {
		int status;

		waitpid(children[w], &status, 0);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_int_eq(file_size(in_folder("replayed")),
	                 2 * WRITERS * EACH * 33);
}
END_TEST

/* --- reading while it is written ------------------------------------------ */

static atomic_bool stop;

static void *write_letters(void *context)
{
	int i = 0;

	(void)context;
	while (!atomic_load(&stop)) {
		const struct bursar_message message = {
			.body = span(state),
			.message_id = span("m"), .origin = span("o"),
			.offset = (uint64_t)(i++ % 60),
		};
		const struct dead_letter letter = {
			.message = &message, .source = "src",
			.reason = DEAD_MALFORMED, .text = "",
			.expires = i % 2 == 0 ? 1 : DEAD_NEVER,
		};
		struct bursar_error why = { 0 };

		if (deadletters_add(letters, &letter, &why) != 0 ||
		    deadletters_sync(letters, &why) != 0) {
			break;
		}
		/* Of a folder in memory there are thousands a second. */
		pthread_mutex_lock(&disk_lock);
		disk.synced[0] = '\0';
		pthread_mutex_unlock(&disk_lock);
	}
	return NULL;
}

START_TEST(can_be_read_and_purged_while_it_is_written)
{
	pthread_t writer;

	open_again();
	deadletters_set_limit(letters, 64 << 20);
	atomic_store(&stop, false);
	ck_assert_int_eq(pthread_create(&writer, NULL, write_letters, NULL), 0);
	for (int i = 0; i < 40; i++) {
		look();
		ck_assert_uint_eq(found.broken.count, 0);
		arena_clear(&arena);
		if (i % 4 == 0) {
			purge(2);
		}
	}
	atomic_store(&stop, true);
	pthread_join(writer, NULL);
	/* A purge may have taken the last letter, and its file. */
	const char *day = today();
	ck_assert_uint_eq(deadletters_bytes(letters),
	                  strstr(day, ".jsonl") != NULL
	                  ? (size_t)file_size(day) : 0);
}
END_TEST

START_TEST(goes_on_in_a_new_file_when_somebody_moved_the_old_one)
{
	add("a");
	ck_assert_int_eq(rename(today(), in_folder("2020-02-02.jsonl")), 0);
	ck_assert_int_eq(add("b"), 0);

	ck_assert_uint_eq(look(), 2);
}
END_TEST

/* --- what a letter says -------------------------------------------------- */

static bool same(struct bursar_span a, struct bursar_span b)
{
	return (a.data == NULL) == (b.data == NULL) && a.size == b.size &&
	       (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Writes a message and reads it back. */
static struct bursar_message there_and_back(const struct bursar_message *m)
{
	struct bursar_message back;

	ck_assert_int_eq(add_message(m, DEAD_NEVER), 0);
	ck_assert_uint_eq(look(), 1);
	ck_assert_uint_eq(found.broken.count, 0);
	ck_assert_int_eq(deadletter_message(found.last, &arena.base, &back,
	                                    &err), 0);
	return back;
}

static void assert_same(const struct bursar_message *a,
                        const struct bursar_message *b)
{
	ck_assert(same(a->body, b->body));
	ck_assert(same(a->message_id, b->message_id));
	ck_assert(same(a->correlation_id, b->correlation_id));
	ck_assert(same(a->content_type, b->content_type));
	ck_assert(same(a->content_encoding, b->content_encoding));
	ck_assert(same(a->app_id, b->app_id));
	ck_assert(same(a->routing_key, b->routing_key));
	ck_assert(same(a->place, b->place));
	ck_assert(same(a->origin, b->origin));
	ck_assert_int_eq(a->timestamp_us, b->timestamp_us);
	ck_assert_uint_eq(a->offset, b->offset);
	ck_assert_uint_eq(a->line, b->line);
	ck_assert_uint_eq(a->flags, b->flags);
	ck_assert_uint_eq(a->kinds, b->kinds);
	ck_assert_uint_eq(a->header_count, b->header_count);
	ck_assert_uint_eq(a->fixed_count, b->fixed_count);
	for (size_t i = 0; i < a->fixed_count; i++) {
		ck_assert(same(a->fixed[i].name, b->fixed[i].name));
		ck_assert(same(a->fixed[i].value, b->fixed[i].value));
	}
}

START_TEST(gives_back_a_message_as_it_was_delivered)
{
	const struct bursar_header headers[] = {
		{ span("iv"), span("abc") },
		{ span("x-legion-retention"), span("days_7") },
	};
	const struct bursar_header fixed = { span("team"), span("blue") };
	const struct bursar_message m = {
		.body = span("{\"a\":\"\xc3\xbc\"}"), .message_id = span("m1"),
		.correlation_id = span(""), .content_type = span("text/json"),
		.content_encoding = span("encrypted/cs"), .app_id = span("app"),
		.routing_key = span("metering.x"), .place = span("/var/a b"),
		.origin = span("f-1"), .offset = UINT64_MAX - 7, .line = 12,
		.timestamp_us = 1793491203700001,
		.flags = BURSAR_MESSAGE_REDELIVERED,
		.headers = headers, .header_count = 2,
		.fixed = &fixed, .fixed_count = 1,
		.kinds = UINT64_C(1) << schema.kinds[2].number |
		         UINT64_C(1) << schema.kinds[0].number,
	};
	const struct bursar_message back = there_and_back(&m);

	assert_same(&m, &back);
	ck_assert(same(bursar_header_get(&back, "iv"), span("abc")));
	ck_assert_str_eq(json_string_value(json_object_get(
		json_object_get(found.last, "properties"), "timestamp")),
		"2026-11-01T00:00:03.700001Z");
	ck_assert_ptr_null(json_object_get(found.last, "properties_base64"));
	ck_assert_ptr_null(json_object_get(found.last, "headers_base64"));
}
END_TEST

START_TEST(gives_back_whatever_bytes_were_delivered)
{
	static const char bytes[] = "\xff\x00\xc3(\n\"\\";
	const struct bursar_span raw = { bytes, sizeof(bytes) - 1 };
	static const char nul[] = "a\0b";
	const struct bursar_span with_nul = { nul, 3 };
	char long_name[400];
	const struct bursar_header headers[] = {
		{ span("iv"), raw },
		{ span("iv"), span("the second of a name") },
		{ raw, span("name") },
		{ with_nul, with_nul },
		{ { long_name, sizeof(long_name) }, span("long") },
		{ span("plain"), with_nul },
		{ span(""), span("no name") },
	};
	const size_t count = sizeof(headers) / sizeof(headers[0]);
	const struct bursar_message m = {
		.body = raw, .message_id = raw, .correlation_id = with_nul,
		.content_type = raw, .content_encoding = raw, .app_id = raw,
		.routing_key = raw, .place = raw, .origin = raw,
		.timestamp_us = INT64_MIN + 1,
		.headers = headers, .header_count = count,
	};

	memset(long_name, 'x', sizeof(long_name));
	const struct bursar_message back = there_and_back(&m);
	assert_same(&m, &back);
	ck_assert(same(bursar_header_get(&back, "iv"), raw));
	for (size_t i = 0; i < count; i++) {
		size_t times = 0;

		for (size_t j = 0; j < count; j++) {
			times += same(headers[i].name, back.headers[j].name) &&
			         same(headers[i].value, back.headers[j].value);
		}
		ck_assert_uint_eq(times, 1);
	}
}
END_TEST

START_TEST(keeps_of_an_oversize_message_its_length_hash_and_beginning)
{
	static char body[100000];
	const char *hash = "8f434346648f6b96df89dda901c5176b"
	                   "10a6d83961dd3c1ac88b59b2dc327aa4";
	const struct bursar_message m = {
		.body = { body, sizeof(body) }, .place = span("queue"),
		.flags = BURSAR_MESSAGE_OVERSIZE, .full_size = 9000000,
		.digest = span(hash),
	};

	memset(body, 'b', sizeof(body));
	const struct bursar_message back = there_and_back(&m);
	ck_assert_uint_eq(back.flags, BURSAR_MESSAGE_OVERSIZE);
	ck_assert_uint_eq(back.full_size, 9000000);
	ck_assert(same(back.digest, span(hash)));
	ck_assert(same(back.place, m.place));
	ck_assert_uint_eq(back.body.size, DEAD_OVERSIZE_KEPT);
}
END_TEST

START_TEST(keeps_a_sentence_that_was_cut_in_a_character)
{
	const struct bursar_message m = { .body = span("x") };
	const struct dead_letter letter = {
		.message = &m, .source = "src", .reason = DEAD_REFUSED,
		.text = "the database says: \xc3", .sink = "ledger",
		.kind = &schema.kinds[0], .expires = DEAD_NEVER,
	};

	ck_assert_int_eq(deadletters_add(letters, &letter, &err), 0);
	ck_assert_uint_eq(look(), 1);
	ck_assert_str_eq(json_string_value(json_object_get(found.last, "text")),
	                 "the database says: \\xc3");
	ck_assert_str_eq(json_string_value(json_object_get(found.last, "sink")),
	                 "ledger");
	ck_assert_str_eq(json_string_value(json_object_get(found.last, "kind")),
	                 "metering");
}
END_TEST

START_TEST(shows_the_same_message_once)
{
	add("a");
	add("a");
	ck_assert_uint_eq(look(), 1);
}
END_TEST

/* An iv that somebody spoilt must not hide the message that has a good one. */
START_TEST(tells_messages_apart_that_differ_in_a_header_only)
{
	struct bursar_header iv = { span("iv"), span("bad") };
	const struct bursar_message m = {
		.body = span("x"), .message_id = span("a"),
		.headers = &iv, .header_count = 1,
	};

	ck_assert_int_eq(add_message(&m, DEAD_NEVER), 0);
	iv.value = span("good");
	ck_assert_int_eq(add_message(&m, DEAD_NEVER), 0);
	ck_assert_uint_eq(look(), 2);
}
END_TEST

START_TEST(knows_a_message_again_that_a_broker_delivers_once_more)
{
	struct bursar_header count = { span("x-delivery-count"), span("1") };
	struct bursar_message m = {
		.body = span("x"), .message_id = span("a"),
		.headers = &count, .header_count = 1,
	};

	ck_assert_int_eq(add_message(&m, DEAD_NEVER), 0);
	count.value = span("2");
	m.flags = BURSAR_MESSAGE_REDELIVERED;
	ck_assert_int_eq(add_message(&m, DEAD_NEVER), 0);
	ck_assert_uint_eq(look(), 1);
}
END_TEST

START_TEST(keeps_equal_messages_without_id_or_place_apart)
{
	const struct bursar_message m = {
		.body = span("x"), .place = span("queue"),
	};

	ck_assert_int_eq(add_message(&m, DEAD_NEVER), 0);
	ck_assert_int_eq(add_message(&m, DEAD_NEVER), 0);
	ck_assert_uint_eq(look(), 2);
}
END_TEST

static const char *const unreadable[] = {
	"{\"id\":\"a\"}",
	"{\"id\":\"a\",\"body_base64\":7}",
	"{\"id\":\"a\",\"body_base64\":\"!\"}",
	"{\"id\":\"a\",\"body_base64\":\"\",\"headers_base64\":[7]}",
	"{\"id\":\"a\",\"body_base64\":\"\",\"headers_base64\":[[\"YQ==\"]]}",
	("{\"id\":\"a\",\"body_base64\":\"\","
	 "\"properties_base64\":{\"app_id\":1}}"),
	"{\"id\":\"a\",\"body_base64\":\"\",\"place_base64\":\"?\"}",
};

START_TEST(says_that_a_letter_cannot_be_read)
{
	json_t *letter = json_loads(unreadable[_i], 0, NULL);
	struct bursar_message m;

	ck_assert_int_eq(deadletter_message(letter, &arena.base, &m, &err), -1);
	ck_assert_int_eq(err.code, EINVAL);
	json_decref(letter);
}
END_TEST

/* --- when a letter expires ------------------------------------------------ */

static const struct retention policy = {
	.default_days = 90, .phi_ttl_days = 30, .session_only_ms = 1000,
};

static const struct {
	const char *kind;	/* NULL: none */
	const char *label;	/* "": no header */
	bool        sealed;
	int64_t     days;	/* 0: never */
} terms[] = {
	{ "metering", "", false, 90 },
	{ "metering", "days_400", false, 400 },
	{ "metering", "permanent", false, 0 },
	{ "metering", "permanent", true, 30 },
	{ "metering", "days_7", true, 7 },
	{ "prompt", "", false, 30 },
	{ "prompt", "permanent", false, 30 },
	{ "tool", "days_7", false, 7 },
	{ NULL, "", false, 30 },
	{ NULL, "permanent", true, 30 },
};

START_TEST(expires_by_its_label_and_as_if_it_held_health_data)
{
	struct letterbox box = { letters, &policy };
	const struct bursar_header header = {
		span("x-legion-retention"), span(terms[_i].label),
	};
	const struct bursar_message m = {
		.body = span("x"), .headers = &header,
		.header_count = terms[_i].label[0] != '\0',
	};
	const char *kind = terms[_i].kind;
	struct flight *flight = flight_create(1);
	struct flight_message *message = flight_add(flight, &m);

	flight->source = "src";
	message->sealed = terms[_i].sealed;
	message->clear->kind = kind == NULL ? NULL :
		bursar_kind_find(&schema, kind, strlen(kind));
	ck_assert_int_eq(letter_write(&box, message, DEAD_MALFORMED, "", NULL,
	                              NULL, &err), 0);
	flight_release(flight);

	const int64_t now = clock_wall_us(), term = terms[_i].days * DAY;
	ck_assert_int_eq(purge(now + (term > 0 ? term - DAY : 100 * YEAR)), 0);
	ck_assert_int_eq(purge(now + term + DAY), terms[_i].days > 0);
}
END_TEST

START_TEST(expires_with_the_first_of_the_records_of_its_message)
{
	struct letterbox box = { letters, &policy };
	const struct bursar_kind *prompt = &schema.kinds[1];
	const struct bursar_message m = { .body = span("x") };
	struct flight *flight = flight_create(1);
	struct flight_message *message = flight_add(flight, &m);
	struct flight_record *first = flight_add_record(message, prompt);
	struct flight_record *second = flight_add_record(message, prompt);
	const int64_t now = clock_wall_us();

	ck_assert(!prompt->fact);
	flight->source = "src";
	message->clear->kind = prompt;
	bursar_set_number(first->record, BURSAR_EXPIRES_AT, now + 50 * DAY);
	bursar_set_number(second->record, BURSAR_EXPIRES_AT, now + 3 * DAY);
	ck_assert_int_eq(letter_write(&box, message, DEAD_REFUSED, "",
	                              first->record, "ledger", &err), 0);
	/* Another sink refuses it too: one letter is enough. */
	ck_assert_int_eq(letter_write(&box, message, DEAD_REFUSED, "",
	                              second->record, "audit", &err), 0);
	flight_release(flight);

	ck_assert_uint_eq(look(), 1);
	ck_assert_int_eq(purge(now + 2 * DAY), 0);
	ck_assert_int_eq(purge(now + 4 * DAY), 1);
}
END_TEST

static void add_writing(Suite *s)
{
	TCase *writing = tcase_create("writing");
	tcase_add_checked_fixture(writing, setup, teardown);
	tcase_add_test(writing, keeps_letters_for_its_owner_alone);
	tcase_add_test(writing, closes_a_folder_that_others_could_look_into);
	tcase_add_test(writing,
	               syncs_the_folders_before_and_the_file_after_a_letter);
	tcase_add_test(writing,
	               writes_again_what_a_sync_that_failed_may_have_lost);
	tcase_add_test(writing, does_not_call_durable_what_it_cannot_sync);
	tcase_add_test(writing, leaves_no_part_of_a_letter_that_did_not_fit);
	tcase_add_test(writing,
	               leaves_no_part_of_a_letter_beyond_the_largest_file);
	tcase_add_test(writing,
	               glues_no_letter_to_a_part_that_it_could_not_cut_off);
	tcase_add_test(writing,
	               gives_the_reserve_to_letters_when_the_disk_is_full);
	tcase_add_test(writing,
	               says_that_the_disk_is_full_when_the_reserve_is_used_up);
	tcase_add_test(writing, holds_back_no_more_than_letters_may_take);
	tcase_add_test(writing,
	               refuses_a_letter_beyond_the_limit_and_adds_nothing);
	tcase_add_test(writing,
	               at_the_limit_goes_on_when_letters_were_replayed);
	suite_add_tcase(s, writing);

	TCase *crash = tcase_create("crash");
	tcase_add_checked_fixture(crash, setup, teardown);
	tcase_add_test(crash, takes_away_what_a_crash_cut);
	tcase_add_test(crash, takes_away_what_a_crash_cut_on_another_day);
	tcase_add_test(crash,
	               keeps_a_letter_that_lacks_nothing_but_the_newline);
	tcase_add_test(crash, counts_whole_lines_that_nobody_can_read);
	suite_add_tcase(s, crash);
}

static void add_purging(Suite *s)
{
	TCase *purging = tcase_create("purging");
	tcase_add_checked_fixture(purging, setup, teardown);
	tcase_set_timeout(purging, 60);
	tcase_add_test(purging,
	               purges_letters_when_they_expire_and_no_others);
	tcase_add_test(purging, purges_letters_of_another_hand);
	tcase_add_test(purging, writes_no_file_anew_of_which_nothing_goes);
	tcase_add_test(purging, removes_a_file_that_holds_nothing_any_more);
	tcase_add_test(purging, keeps_lines_that_nobody_can_read_for_a_while);
	tcase_add_test(purging, purges_when_the_disk_is_full);
	tcase_add_test(purging, keeps_letters_when_the_disk_fails_a_purge);
	tcase_add_test(purging, takes_no_read_error_for_the_end_of_a_file);
	tcase_add_test(purging, shows_a_replayed_letter_no_more);
	tcase_add_test(purging, forgets_replayed_letters_that_are_gone);
	tcase_add_test(purging,
	               remembers_replayed_letters_whose_file_could_not_be_purged);
	tcase_add_test(purging, is_not_misled_by_a_note_that_a_crash_cut);
	tcase_add_test(purging,
	               loses_no_note_when_many_take_them_while_it_purges);
	tcase_add_test(purging, takes_notes_of_many_at_once);
	tcase_add_test(purging, can_be_read_and_purged_while_it_is_written);
	tcase_add_test(purging,
	               goes_on_in_a_new_file_when_somebody_moved_the_old_one);
	suite_add_tcase(s, purging);
}

static Suite *suite(void)
{
	Suite *s = suite_create("deadletter");

	add_writing(s);
	add_purging(s);

	TCase *form = tcase_create("form");
	tcase_add_checked_fixture(form, setup, teardown);
	tcase_add_test(form, gives_back_a_message_as_it_was_delivered);
	tcase_add_test(form, gives_back_whatever_bytes_were_delivered);
	tcase_add_test(form,
	               keeps_of_an_oversize_message_its_length_hash_and_beginning);
	tcase_add_test(form, keeps_a_sentence_that_was_cut_in_a_character);
	tcase_add_test(form, shows_the_same_message_once);
	tcase_add_test(form,
	               tells_messages_apart_that_differ_in_a_header_only);
	tcase_add_test(form,
	               knows_a_message_again_that_a_broker_delivers_once_more);
	tcase_add_test(form, keeps_equal_messages_without_id_or_place_apart);
	tcase_add_loop_test(form, says_that_a_letter_cannot_be_read, 0,
	                    sizeof(unreadable) / sizeof(unreadable[0]));
	suite_add_tcase(s, form);

	TCase *expiry = tcase_create("expiry");
	tcase_add_checked_fixture(expiry, setup, teardown);
	tcase_add_loop_test(expiry,
	                    expires_by_its_label_and_as_if_it_held_health_data,
	                    0, sizeof(terms) / sizeof(terms[0]));
	tcase_add_test(expiry,
	               expires_with_the_first_of_the_records_of_its_message);
	suite_add_tcase(s, expiry);
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
