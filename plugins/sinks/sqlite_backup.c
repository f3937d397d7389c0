/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A copy of the live ledger in a new file.
 *
 * All pages are taken in one read transaction, so that the copy is of one
 * moment and writers go on meanwhile (in WAL mode nobody waits for a reader).
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <unistd.h>

#include "sqlite.h"

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

static int create(const char *path, struct bursar_error *err)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		return bursar_fail(err, errno, "%s: %s%s", path,
		                   strerror(errno), errno == EEXIST
		                   ? ": a backup never replaces a file" : "");
	}
	close(fd);
	return 0;
}

enum bursar_verdict backup_run(sqlite3 *db, const char *path, const char *to,
                               struct bursar_error *err)
{
	enum bursar_verdict verdict;
	sqlite3 *copy = NULL;
	int rc;

	if (create(to, err) != 0) {
		return BURSAR_CONFIG;
	}
	rc = sqlite3_open_v2(to, &copy, SQLITE_OPEN_READWRITE |
	                     SQLITE_OPEN_NOMUTEX, NULL);
	verdict = rc == SQLITE_OK ? copy_pages(db, copy, path, to, err)
	                          : db_fail(copy, rc, to, DB_OURS, err);
	sqlite3_close(copy);
	if (verdict == BURSAR_DONE && sync_file(to) != 0) {
		bursar_fail(err, errno, "%s: %s", to, strerror(errno));
		verdict = BURSAR_RETRY;
	}
	if (verdict != BURSAR_DONE) {
		unlink(to);
	}
	return verdict;
}
