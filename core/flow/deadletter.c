/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Writing dead letters: one open file, that of the day.  Lines are written at
 * a place that we keep, so that what could not be written whole is written
 * over or cut off, and never stands before another line.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "common/regular.h"
#include "flow/deadletter.h"
#include "flow/deadletter_file.h"
#include "plugin/instance.h"

/* How often the space held back is tried to be had again. */
#define REFILL_US INT64_C(10000000)

struct deadletters {
	pthread_mutex_t lock;
	int    folder;		/* descriptor of the folder */
	char  *path;		/* of the folder, for messages */
	int    fd;		/* the day's file; -1: none open */
	char   day[11];		/* of the open file */
	off_t  end;		/* of the open file, in whole lines */
	off_t  synced;		/* what is durable of it */
	bool   torn;		/* there may be more behind the end */
	bool   unsure;		/* a sync failed: write again before the next */
	size_t bytes;		/* in all files */
	size_t max_bytes;
	int    reserve_fd;
	size_t reserve_wanted;
	size_t reserve_left;
	int64_t refill_at;	/* us, monotonic */
};

static int failed(const struct deadletters *letters, const char *name,
                  struct bursar_error *err)
{
	return bursar_fail(err, errno, "%s/%s: %s", letters->path, name,
	                   regular_why(errno));
}

/* --- the reserve --------------------------------------------------------- */

static bool reserve_set(struct deadletters *letters, size_t size)
{
	if (ftruncate(letters->reserve_fd, (off_t)size) != 0) {
		return false;
	}
	letters->reserve_left = size;
	return true;
}

/* How much is to be held back: no more than letters may still take. */
static size_t reserve_target(const struct deadletters *letters)
{
	const size_t left = letters->bytes < letters->max_bytes
		? letters->max_bytes - letters->bytes : 0;

	return letters->reserve_wanted < left ? letters->reserve_wanted : left;
}

/* Takes back the space held for bad times, as far as there is any now. */
static void reserve_refill(struct deadletters *letters)
{
	const size_t target = reserve_target(letters);

	if (letters->reserve_left > target) {
		reserve_set(letters, target);
	}
	if (letters->reserve_left >= target ||
	    clock_mono_us() < letters->refill_at) {
		return;
	}
	letters->refill_at = clock_mono_us() + REFILL_US;
	if (posix_fallocate(letters->reserve_fd, 0, (off_t)target) == 0) {
		letters->reserve_left = target;
	} else {
		/* Part of it may have been had; letters need it more. */
		reserve_set(letters, letters->reserve_left);
	}
}

/* Gives `size` bytes and something for the file system back to the disk. */
static bool reserve_give(struct deadletters *letters, size_t size)
{
	if (letters->reserve_left == 0) {
		return false;
	}
	if (letters->reserve_left == letters->reserve_wanted) {
		log_event(BURSAR_WARNING, NULL, "dead-letters-reserve-used",
		          "path=%s why=\"the disk is full\"", letters->path);
	}
	const size_t give = size + 65536;
	letters->refill_at = clock_mono_us() + REFILL_US;
	return reserve_set(letters, letters->reserve_left > give
	                            ? letters->reserve_left - give : 0);
}

static int open_reserve(struct deadletters *letters, size_t reserve,
                        struct bursar_error *err)
{
	struct stat st;

	letters->reserve_fd = regular_open(letters->folder, "reserve",
	                                   O_RDWR | O_CREAT);
	if (letters->reserve_fd < 0 || fstat(letters->reserve_fd, &st) != 0) {
		return failed(letters, "reserve", err);
	}
	letters->reserve_wanted = reserve;
	if ((size_t)st.st_size > reserve_target(letters)) {
		reserve_set(letters, reserve_target(letters));
	}
	/* What stands there may have holes. */
	letters->reserve_left = 0;
	reserve_refill(letters);
	if (letters->reserve_left < reserve_target(letters)) {
		log_event(BURSAR_WARNING, NULL, "dead-letters-no-reserve",
		          "path=%s bytes=%zu why=\"the disk has no room to hold"
		          " back\"", letters->path, reserve);
	}
	return 0;
}

/* --- opening ------------------------------------------------------------- */

static size_t size_of(const struct deadletters *letters, const char *name)
{
	struct stat st;

	return fstatat(letters->folder, name, &st, 0) == 0
	       ? (size_t)st.st_size : 0;
}

static void count_bytes(struct deadletters *letters)
{
	struct deadletter_days days;

	if (deadletter_days_list(letters->folder, &days) == 0) {
		letters->bytes = 0;
		for (size_t i = 0; i < days.count; i++) {
			letters->bytes += size_of(letters, days.names[i]);
		}
	}
	deadletter_days_finish(&days);
}

/* Takes away what a crash cut. */
static int mend_days(struct deadletters *letters, struct bursar_error *err)
{
	struct deadletter_days days;
	int result = 0;

	if (deadletter_days_list(letters->folder, &days) != 0) {
		result = failed(letters, "", err);
	}
	for (size_t i = 0; result == 0 && i < days.count; i++) {
		if (deadletter_file_mend(letters->folder, days.names[i]) != 0) {
			result = failed(letters, days.names[i], err);
		}
	}
	deadletter_days_finish(&days);
	return result;
}

/* What is in a folder is durable with the folder. */
static int sync_folder(const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return -1;
	}
	const int result = fsync(fd);
	const int cause = errno;
	close(fd);
	errno = cause;
	return result;
}

static int open_folder(struct deadletters *letters, const char *state_dir,
                       struct bursar_error *err)
{
	const int made = mkdir(letters->path, 0700);
	struct stat st;

	if ((made != 0 && errno != EEXIST) ||
	    (made == 0 && sync_folder(state_dir) != 0)) {
		return failed(letters, "", err);
	}
	letters->folder = open(letters->path,
	                       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (letters->folder < 0 || fstat(letters->folder, &st) != 0 ||
	    ((st.st_mode & 077) != 0 && fchmod(letters->folder, 0700) != 0)) {
		return failed(letters, "", err);
	}
	return 0;
}

struct deadletters *deadletters_open(const char *state_dir, size_t max_bytes,
                                     size_t reserve, struct bursar_error *err)
{
	struct deadletters *letters = calloc(1, sizeof(*letters));
	if (letters == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	letters->folder = letters->fd = letters->reserve_fd = -1;
	letters->max_bytes = max_bytes;
	pthread_mutex_init(&letters->lock, NULL);
	if (asprintf(&letters->path, "%s/dead-letters", state_dir) < 0) {
		letters->path = NULL;
		bursar_fail(err, ENOMEM, "out of memory");
		goto fail;
	}
	if (open_folder(letters, state_dir, err) != 0 ||
	    mend_days(letters, err) != 0) {
		goto fail;
	}
	count_bytes(letters);
	if (open_reserve(letters, reserve, err) != 0) {
		goto fail;
	}
	return letters;

fail:
	deadletters_close(letters);
	return NULL;
}

/* --- writing ------------------------------------------------------------- */

static void close_day(struct deadletters *letters)
{
	if (letters->fd >= 0) {
		close(letters->fd);
		letters->fd = -1;
	}
	letters->torn = false;
}

/* Writes at a place of the open file, all of it or -1. */
static int write_at(const struct deadletters *letters, const char *data,
                    size_t size, off_t at)
{
	while (size > 0) {
		const ssize_t n = pwrite(letters->fd, data, size, at);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			errno = n < 0 ? errno : ENOSPC;
			return -1;
		}
		data += n;
		size -= (size_t)n;
		at += n;
	}
	return 0;
}

/*
 * After a sync that failed the system may take for written what is not, and
 * would say yes to the next one.  It still has the lines, so they are written
 * once more.
 */
static int write_again(struct deadletters *letters)
{
	char part[65536];

	for (off_t at = letters->synced; at < letters->end;) {
		const off_t left = letters->end - at;
		const size_t want = left < (off_t)sizeof(part)
			? (size_t)left : sizeof(part);
		const ssize_t n = pread(letters->fd, part, want, at);

		if (n <= 0 || write_at(letters, part, (size_t)n, at) != 0) {
			errno = n == 0 ? EIO : errno;
			return -1;
		}
		at += n;
	}
	return 0;
}

static int sync_locked(struct deadletters *letters, struct bursar_error *err)
{
	if (letters->fd < 0 || letters->synced == letters->end) {
		return 0;
	}
	if (letters->unsure && write_again(letters) != 0) {
		return failed(letters, letters->day, err);
	}
	letters->unsure = fdatasync(letters->fd) != 0;
	if (letters->unsure) {
		return failed(letters, letters->day, err);
	}
	letters->synced = letters->end;
	return 0;
}

/* A line without newline at the end, which somebody wrote by hand. */
static int end_last_line(struct deadletters *letters)
{
	char last = '\n';

	if (letters->end > 0 &&
	    pread(letters->fd, &last, 1, letters->end - 1) != 1) {
		return -1;
	}
	if (last != '\n') {
		if (write_at(letters, "\n", 1, letters->end) != 0) {
			return -1;
		}
		letters->end++;
	}
	return 0;
}

/* Somebody may move or remove the file: nobody would look for letters there. */
static bool is_open(const struct deadletters *letters, const char *name)
{
	struct stat here, there;

	return letters->fd >= 0 && fstat(letters->fd, &here) == 0 &&
	       fstatat(letters->folder, name, &there, 0) == 0 &&
	       here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static int open_day(struct deadletters *letters, const char *day,
                    struct bursar_error *err)
{
	char name[32];

	snprintf(name, sizeof(name), "%s.jsonl", day);
	if (is_open(letters, name)) {
		return 0;
	}
	if (sync_locked(letters, err) != 0) {
		return -1;
	}
	close_day(letters);
	letters->fd = regular_open(letters->folder, name, O_RDWR | O_CREAT);
	if (letters->fd < 0) {
		return failed(letters, name, err);
	}
	letters->synced = letters->end = lseek(letters->fd, 0, SEEK_END);
	if (letters->end < 0 || end_last_line(letters) != 0 ||
	    fsync(letters->folder) != 0) {
		failed(letters, name, err);
		close_day(letters);
		return -1;
	}
	memcpy(letters->day, day, sizeof(letters->day));
	return 0;
}

/* Appends the line, or leaves the file as it was. */
static int append(struct deadletters *letters, const char *line, size_t size)
{
	if (letters->torn && ftruncate(letters->fd, letters->end) != 0) {
		return -1;
	}
	letters->torn = false;
	if (write_at(letters, line, size, letters->end) != 0) {
		const int cause = errno;

		letters->torn = ftruncate(letters->fd, letters->end) != 0;
		errno = cause;
		return -1;
	}
	letters->end += (off_t)size;
	letters->bytes += size;
	return 0;
}

/* --- purging ------------------------------------------------------------- */

/* Takes letters out of one file; nothing is added meanwhile. */
static int purge_locked(struct deadletters *letters, const char *name,
                        struct deadletter_purge *purge,
                        struct bursar_error *err)
{
	if (is_open(letters, name)) {
		if (sync_locked(letters, err) != 0) {
			return -1;
		}
		/* The file is made anew. */
		close_day(letters);
	}
	const size_t before = size_of(letters, name);
	int result = deadletter_file_purge(letters->folder, name, purge);
	if (result != 0 && errno == ENOSPC && reserve_give(letters, before)) {
		result = deadletter_file_purge(letters->folder, name, purge);
	}
	const int cause = errno;
	const size_t after = size_of(letters, name);
	letters->bytes = letters->bytes + after > before
		? letters->bytes + after - before : 0;
	reserve_refill(letters);
	errno = cause;
	return result == 0 ? 0 : failed(letters, name, err);
}

/* Most files are only looked at, and nobody has to wait for that. */
static int purge_day(struct deadletters *letters, const char *name,
                     struct deadletter_purge *purge, bool locked,
                     struct bursar_error *err)
{
	if (deadletter_file_look(letters->folder, name, purge) != 0) {
		return errno == ENOENT ? 0 : failed(letters, name, err);
	}
	if (purge->gone == 0 && purge->kept > 0) {
		return 0;
	}
	if (!locked) {
		pthread_mutex_lock(&letters->lock);
	}
	const int result = purge_locked(letters, name, purge, err);
	if (!locked) {
		pthread_mutex_unlock(&letters->lock);
	}
	return result;
}

static int64_t purge_all(struct deadletters *letters, int64_t now, bool locked,
                         struct bursar_error *err)
{
	struct deadletter_purge purge = {
		.replayed = deadletter_replayed_load(letters->folder),
		.now = now,
	};
	struct deadletter_days days = { NULL, 0 };
	int64_t gone = 0;
	int result = 0;

	if (purge.replayed == NULL) {
		result = failed(letters, "replayed", err);
	} else if (deadletter_days_list(letters->folder, &days) != 0) {
		result = failed(letters, "", err);
	}
	for (size_t i = 0; result == 0 && i < days.count; i++) {
		result = purge_day(letters, days.names[i], &purge, locked, err);
		gone += result == 0 ? purge.gone : 0;
	}
	if (result == 0 && fsync(letters->folder) != 0) {
		result = failed(letters, "", err);
	}
	/* No letter of these is left now. */
	if (result == 0 && json_object_size(purge.replayed) > 0 &&
	    deadletter_replayed_forget(letters->folder, purge.replayed) != 0) {
		result = failed(letters, "replayed", err);
	}
	deadletter_days_finish(&days);
	json_decref(purge.replayed);
	return result == 0 ? gone : -1;
}

/* --- adding -------------------------------------------------------------- */

/*
 * At the limit: counts what stands there now, as people may have removed files,
 * and takes out what was replayed since the last look.
 */
static void look_again(struct deadletters *letters)
{
	struct bursar_error unheard = { 0 };

	count_bytes(letters);
	if (size_of(letters, "replayed") > 0) {
		purge_all(letters, clock_wall_us(), true, &unheard);
	}
}

static int add_line(struct deadletters *letters, const char *line, size_t size,
                    int64_t now, struct bursar_error *err)
{
	char day[11];

	deadletter_day(now, day);
	if (letters->bytes + size > letters->max_bytes) {
		look_again(letters);
	}
	if (letters->bytes + size > letters->max_bytes) {
		return bursar_fail(err, EDQUOT,
		                   "%s: holds %zu bytes, and dead-letters max-size"
		                   " has no room for %zu more: replay some, or"
		                   " raise it", letters->path, letters->bytes,
		                   size);
	}
	if (open_day(letters, day, err) != 0) {
		return -1;
	}
	while (append(letters, line, size) != 0) {
		if ((errno != ENOSPC && errno != EDQUOT) ||
		    !reserve_give(letters, size)) {
			return failed(letters, day, err);
		}
	}
	reserve_refill(letters);
	return 0;
}

int deadletters_add(struct deadletters *letters,
                    const struct dead_letter *letter, struct bursar_error *err)
{
	const int64_t now = clock_wall_us();
	char *line = deadletter_line(letter, now);
	if (line == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}

	pthread_mutex_lock(&letters->lock);
	const int result = add_line(letters, line, strlen(line), now, err);
	pthread_mutex_unlock(&letters->lock);
	free(line);
	return result;
}

int deadletters_sync(struct deadletters *letters, struct bursar_error *err)
{
	if (letters == NULL) {
		return 0;
	}
	pthread_mutex_lock(&letters->lock);
	const int result = sync_locked(letters, err);
	pthread_mutex_unlock(&letters->lock);
	return result;
}

int64_t deadletters_purge(struct deadletters *letters, int64_t now,
                          struct bursar_error *err)
{
	return purge_all(letters, now, false, err);
}

void deadletters_set_limit(struct deadletters *letters, size_t max_bytes)
{
	pthread_mutex_lock(&letters->lock);
	letters->max_bytes = max_bytes;
	pthread_mutex_unlock(&letters->lock);
}

size_t deadletters_bytes(struct deadletters *letters)
{
	if (letters == NULL) {
		return 0;
	}
	pthread_mutex_lock(&letters->lock);
	const size_t bytes = letters->bytes;
	pthread_mutex_unlock(&letters->lock);
	return bytes;
}

void deadletters_close(struct deadletters *letters)
{
	if (letters == NULL) {
		return;
	}
	close_day(letters);
	if (letters->reserve_fd >= 0) {
		close(letters->reserve_fd);
	}
	if (letters->folder >= 0) {
		close(letters->folder);
	}
	pthread_mutex_destroy(&letters->lock);
	free(letters->path);
	free(letters);
}
