/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Writing dead letters: one open file, that of the day.  A line that could not
 * be written whole is cut off again.
 */
#include "config.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <sodium.h>

#include "deadletter.h"
#include "deadletter_file.h"
#include "instance.h"
#include "log.h"

struct deadletters {
	pthread_mutex_t lock;
	int    folder;		/* descriptor of the folder */
	char  *path;		/* of the folder, for messages */
	int    fd;		/* the day's file; -1: none open */
	char   day[11];		/* of the open file */
	off_t  end;		/* of the open file, in whole lines */
	bool   dirty;		/* written since the last sync */
	bool   cut;		/* the file may end in half a line */
	size_t bytes;		/* in all files */
	size_t max_bytes;
	off_t  replayed_size;	/* of `replayed`, when last purged */
	int    reserve_fd;
	size_t reserve_wanted;
	size_t reserve_left;
};

static int failed(const struct deadletters *letters, const char *name,
                  struct bursar_error *err)
{
	return bursar_fail(err, errno, "%s/%s: %s", letters->path, name,
	                   strerror(errno));
}

/* Takes back the space held for bad times, as far as there is any now. */
static void reserve_refill(struct deadletters *letters)
{
	if (letters->reserve_left < letters->reserve_wanted &&
	    posix_fallocate(letters->reserve_fd, 0,
	                    (off_t)letters->reserve_wanted) == 0) {
		letters->reserve_left = letters->reserve_wanted;
	}
}

/* Gives `size` bytes and something for the file system back to the disk. */
static bool reserve_give(struct deadletters *letters, size_t size)
{
	if (letters->reserve_left == 0) {
		return false;
	}
	const size_t give = size + 65536;
	letters->reserve_left =
		letters->reserve_left > give ? letters->reserve_left - give : 0;
	return ftruncate(letters->reserve_fd,
	                 (off_t)letters->reserve_left) == 0;
}

static int open_reserve(struct deadletters *letters, size_t reserve,
                        struct bursar_error *err)
{
	letters->reserve_fd = openat(letters->folder, "reserve",
	                             O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (letters->reserve_fd < 0) {
		return failed(letters, "reserve", err);
	}
	letters->reserve_wanted = reserve;
	reserve_refill(letters);
	if (letters->reserve_left < reserve) {
		char quoted[400];

		log_event(BURSAR_WARNING, NULL, "dead-letters-no-reserve",
		          "path=%s bytes=%zu why=\"the disk has no room to hold"
		          " back\"", log_quote(letters->path, quoted,
		                              sizeof(quoted)), reserve);
	}
	return 0;
}

static int count_bytes(struct deadletters *letters, struct bursar_error *err)
{
	DIR *dir = deadletter_folder_list(letters->folder);
	if (dir == NULL) {
		return failed(letters, "", err);
	}
	const struct dirent *entry;
	while ((entry = readdir(dir)) != NULL) {
		struct stat st;

		if (deadletter_is_day(entry->d_name) &&
		    fstatat(letters->folder, entry->d_name, &st, 0) == 0) {
			letters->bytes += (size_t)st.st_size;
		}
	}
	closedir(dir);
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
	if (mkdir(letters->path, 0700) != 0 && errno != EEXIST) {
		failed(letters, "", err);
		goto fail;
	}
	letters->folder = open(letters->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (letters->folder < 0) {
		failed(letters, "", err);
		goto fail;
	}
	if (open_reserve(letters, reserve, err) != 0 ||
	    count_bytes(letters, err) != 0) {
		goto fail;
	}
	return letters;

fail:
	deadletters_close(letters);
	return NULL;
}

static void close_day(struct deadletters *letters)
{
	if (letters->fd >= 0) {
		close(letters->fd);
		letters->fd = -1;
	}
}

static int sync_locked(struct deadletters *letters, struct bursar_error *err)
{
	if (!letters->dirty || letters->fd < 0) {
		return 0;
	}
	if (fdatasync(letters->fd) != 0) {
		return failed(letters, letters->day, err);
	}
	letters->dirty = false;
	return 0;
}

/* A line that a crash cut is ended, so that the next one stands alone. */
static int end_cut_line(struct deadletters *letters)
{
	char last = '\n';

	letters->end = lseek(letters->fd, 0, SEEK_END);
	if (letters->end < 0) {
		return -1;
	}
	if (letters->end > 0 &&
	    pread(letters->fd, &last, 1, letters->end - 1) != 1) {
		return -1;
	}
	if (last != '\n') {
		if (write(letters->fd, "\n", 1) != 1) {
			return -1;
		}
		letters->end++;
	}
	letters->cut = false;
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
		return letters->cut && end_cut_line(letters) != 0
			? failed(letters, name, err) : 0;
	}
	if (sync_locked(letters, err) != 0) {
		return -1;
	}
	close_day(letters);
	letters->fd = openat(letters->folder, name,
	                     O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (letters->fd < 0) {
		return failed(letters, name, err);
	}
	if (end_cut_line(letters) != 0 || fsync(letters->folder) != 0) {
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
	size_t done = 0;

	while (done < size) {
		const ssize_t n = write(letters->fd, line + done, size - done);

		if (n >= 0) {
			done += (size_t)n;
		} else if (errno != EINTR) {
			const int cause = errno;

			/* The next line must not be glued to this half.  The
			 * file stays open: it may have lines to sync. */
			letters->cut = ftruncate(letters->fd,
			                         letters->end) != 0;
			errno = cause;
			return -1;
		}
	}
	letters->end += (off_t)size;
	letters->bytes += size;
	letters->dirty = true;
	return 0;
}

static int64_t purge_locked(struct deadletters *letters, int64_t now,
                            struct bursar_error *err)
{
	size_t bytes = 0;
	int64_t gone = -1;

	if (sync_locked(letters, err) == 0) {
		/* The files are written anew under other inodes. */
		close_day(letters);
		gone = deadletter_folder_purge(letters->folder, letters->path,
		                               now, &bytes, err);
	}
	if (gone >= 0) {
		letters->bytes = bytes;
		reserve_refill(letters);
	}
	return gone;
}

/*
 * At the limit: counts what stands there now, as people may have removed files,
 * and takes out what was replayed since the last look.
 */
static void look_again(struct deadletters *letters)
{
	struct bursar_error unheard = { 0 };
	const size_t before = letters->bytes;
	struct stat st;

	letters->bytes = 0;
	if (count_bytes(letters, &unheard) != 0) {
		letters->bytes = before;
	}
	if (fstatat(letters->folder, "replayed", &st, 0) == 0 &&
	    st.st_size != letters->replayed_size &&
	    purge_locked(letters, clock_wall_us(), &unheard) >= 0) {
		letters->replayed_size = st.st_size;
	}
}

static int add_line(struct deadletters *letters, const char *line, size_t size,
                    struct bursar_error *err)
{
	char day[11];

	deadletter_day(clock_wall_us(), day);
	if (letters->bytes + size > letters->max_bytes) {
		look_again(letters);
	}
	if (letters->bytes + size > letters->max_bytes) {
		return bursar_fail(err, EDQUOT,
		                   "%s: holds %zu bytes, and dead-letters max-size"
		                   " allows no more: replay some, or raise it",
		                   letters->path, letters->bytes);
	}
	if (open_day(letters, day, err) != 0) {
		return -1;
	}
	if (append(letters, line, size) == 0) {
		reserve_refill(letters);
		return 0;
	}
	if (errno == ENOSPC && reserve_give(letters, size) &&
	    open_day(letters, day, err) == 0 &&
	    append(letters, line, size) == 0) {
		return 0;
	}
	return failed(letters, day, err);
}

int deadletters_add(struct deadletters *letters,
                    const struct dead_letter *letter, struct bursar_error *err)
{
	char *line = deadletter_line(letter, clock_wall_us());
	if (line == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}

	pthread_mutex_lock(&letters->lock);
	const int result = add_line(letters, line, strlen(line), err);
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
	pthread_mutex_lock(&letters->lock);
	const int64_t gone = purge_locked(letters, now, err);
	pthread_mutex_unlock(&letters->lock);
	return gone;
}

void deadletters_set_limit(struct deadletters *letters, size_t max_bytes)
{
	pthread_mutex_lock(&letters->lock);
	letters->max_bytes = max_bytes;
	pthread_mutex_unlock(&letters->lock);
}

size_t deadletters_bytes(struct deadletters *letters)
{
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
