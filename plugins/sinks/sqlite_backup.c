/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A copy of the live ledger in a new file, which has its name when it is whole:
 * of a copy that was killed PATH.part is left, and the next one goes over it.
 *
 * All pages are taken in one read transaction, so that the copy is of one
 * moment and writers go on meanwhile (in WAL mode nobody waits for a reader).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlite.h"

#include "common/regular.h"

static int sync_path(const char *path, int flags)
{
	const int fd = open(path, flags | O_CLOEXEC);
	int result = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0 && close(fd) != 0) {
		result = -1;
	}
	return result;
}

/* The file and its name in the folder are durable. */
static int sync_file(const char *path)
{
	char *copy = strdup(path);
	int result = copy == NULL ? -1 : sync_path(path, O_RDONLY);

	if (result == 0) {
		result = sync_path(dirname(copy), O_RDONLY | O_DIRECTORY);
	}
	free(copy);
	return result;
}

static enum bursar_verdict copy_pages(sqlite3 *from, sqlite3 *to,
                                      const char *path, const char *to_path,
                                      struct bursar_error *err)
{
	sqlite3_backup *backup;
	int rc = db_exec(to, "PRAGMA journal_mode = OFF; "
	                 "PRAGMA synchronous = OFF");

	backup = rc == SQLITE_OK ? sqlite3_backup_init(to, "main", from, "main")
	                         : NULL;
	if (backup == NULL) {
		return db_fail(to, sqlite3_extended_errcode(to), to_path,
		               DB_OURS, err);
	}
	rc = sqlite3_backup_step(backup, -1);
	sqlite3_backup_finish(backup);
	if (rc == SQLITE_DONE) {
		return BURSAR_DONE;
	}
	/* Which of the two it was shows in which of them says so. */
	return sqlite3_errcode(to) != SQLITE_OK
		? db_fail(to, rc, to_path, DB_OURS, err)
		: db_fail(NULL, rc, path, DB_OURS, err);
}

static int fail_name(const char *path, struct bursar_error *err)
{
	return bursar_fail(err, errno, "%s: %s%s", path, regular_why(errno),
	                   errno == EEXIST ? ": a backup never replaces a file"
	                                   : "");
}

/* Makes the part, empty.  The descriptor keeps others from writing to it as
 * long as it is open; -1 with *err filled. */
static int create(const char *part, const char *to, struct bursar_error *err)
{
	struct stat info;

	if (lstat(to, &info) == 0) {
		errno = EEXIST;
		return fail_name(to, err);
	}
	const int fd = regular_open(AT_FDCWD, part,
	                            O_WRONLY | O_CREAT | O_NOFOLLOW);
	if (fd < 0) {
		return fail_name(part, err);
	}
	if (flock(fd, LOCK_EX | LOCK_NB) != 0 || ftruncate(fd, 0) != 0) {
		bursar_fail(err, errno, "%s: %s", part, errno == EWOULDBLOCK
		            ? "another backup is writing it" : strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* Gives the copy its name, durably; one that somebody took meanwhile stays. */
static enum bursar_verdict publish(const char *part, const char *to,
                                   struct bursar_error *err)
{
	int result = renameat2(AT_FDCWD, part, AT_FDCWD, to, RENAME_NOREPLACE);

	if (result != 0 && errno == EINVAL) {
		/* Some file systems cannot say that. */
		result = rename(part, to);
	}
	if (result != 0) {
		fail_name(to, err);
		return BURSAR_CONFIG;
	}
	if (sync_file(to) != 0) {
		fail_name(to, err);
		unlink(to);
		return BURSAR_RETRY;
	}
	return BURSAR_DONE;
}

static enum bursar_verdict copy_to(sqlite3 *db, const char *path,
                                   const char *part, const char *to,
                                   struct bursar_error *err)
{
	enum bursar_verdict verdict;
	sqlite3 *copy = NULL;
	const int fd = create(part, to, err);

	if (fd < 0) {
		return BURSAR_CONFIG;
	}
	const int rc = sqlite3_open_v2(part, &copy, SQLITE_OPEN_READWRITE |
	                               SQLITE_OPEN_NOMUTEX, NULL);
	verdict = rc == SQLITE_OK ? copy_pages(db, copy, path, part, err)
	                          : db_fail(copy, rc, part, DB_OURS, err);
	sqlite3_close(copy);
	if (verdict == BURSAR_DONE && sync_file(part) != 0) {
		fail_name(part, err);
		verdict = BURSAR_RETRY;
	}
	if (verdict == BURSAR_DONE) {
		verdict = publish(part, to, err);
	}
	if (verdict != BURSAR_DONE) {
		unlink(part);
	}
	close(fd);
	return verdict;
}

enum bursar_verdict backup_run(sqlite3 *db, const char *path, const char *to,
                               struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_RETRY;
	char *part;

	if (asprintf(&part, "%s.part", to) < 0) {
		bursar_fail(err, ENOMEM, "out of memory");
		return verdict;
	}
	verdict = copy_to(db, path, part, to, err);
	free(part);
	return verdict;
}
