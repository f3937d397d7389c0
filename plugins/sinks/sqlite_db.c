/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Statements of SQLite, and its failures as a verdict and a sentence that
 * says what to do.
 */
#include "config.h"

#include <errno.h>

#include "sqlite.h"

static enum bursar_verdict verdict_of(int rc, enum db_work work)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_FULL:
	case SQLITE_NOMEM:
	case SQLITE_PROTOCOL:
	case SQLITE_SCHEMA:
	case SQLITE_INTERRUPT:
		return BURSAR_RETRY;
	case SQLITE_IOERR:
		return rc == SQLITE_IOERR_CORRUPTFS ? BURSAR_CONFIG
		                                    : BURSAR_RETRY;
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return BURSAR_REJECT;
	case SQLITE_ERROR:
		return work == DB_THEIRS ? BURSAR_REJECT : BURSAR_CONFIG;
	default:
		return BURSAR_CONFIG;
	}
}

/* What to do about it; NULL: SQLite's own words say enough. */
static const char *advice(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "another process holds it locked";
	case SQLITE_FULL:
		return "the disk is full: make room";
	case SQLITE_CORRUPT:
		return "the ledger is damaged and nothing more is written to "
		       "it: check the disk, then restore a backup or run "
		       "`sqlite3 LEDGER .recover`";
	case SQLITE_NOTADB:
		return "the file is not an SQLite database: give another path";
	case SQLITE_READONLY:
		return "the ledger or its folder cannot be written: give both "
		       "to the user that runs this";
	case SQLITE_CANTOPEN:
		return "the ledger, or PATH-wal and PATH-shm beside it, "
		       "cannot be opened: the user that runs this must be "
		       "able to write the file and its folder";
	default:
		return NULL;
	}
}

static int errno_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
		return EACCES;
	case SQLITE_IOERR:
		return EIO;
	default:
		return EINVAL;
	}
}

/* What the system said of a file, or 0. */
static int cause_of(sqlite3 *db, int rc)
{
	const int class = rc & 0xff;

	return db != NULL && (class == SQLITE_IOERR || class == SQLITE_CANTOPEN)
		? sqlite3_system_errno(db) : 0;
}

/* Of those that SQLite does not tell from others: the files beside a ledger
 * report a full disk as a mishap of the disk, a folder is reported as one, too,
 * and without a descriptor nothing can be opened. */
static int class_of(int rc, int cause)
{
	return (rc & 0xff) == SQLITE_IOERR && cause == ENOSPC ? SQLITE_FULL
		: cause == EISDIR ? SQLITE_NOTADB
		: cause == EMFILE || cause == ENFILE ? SQLITE_NOMEM : rc;
}

enum bursar_verdict db_fail(sqlite3 *db, int rc, const char *path,
                            enum db_work work, struct bursar_error *err)
{
	const int cause = cause_of(db, rc);
	const int class = class_of(rc, cause);
	const char *help = advice(class);
	const char *text = rc == SQLITE_NOMEM ? "out of memory"
	                 : db == NULL         ? sqlite3_errstr(rc)
	                                      : sqlite3_errmsg(db);

	if (help != NULL) {
		bursar_fail(err, errno_of(rc), "%s: %s (%s)", path, help, text);
	} else if (cause != 0) {
		bursar_fail(err, cause, "%s: %s: %s", path, text,
		            strerror(cause));
	} else {
		bursar_fail(err, errno_of(rc), "%s: %s", path, text);
	}
	return verdict_of(class, work);
}

int db_exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int db_exec_take(sqlite3 *db, char *sql)
{
	int rc = SQLITE_NOMEM;

	if (sql != NULL) {
		rc = db_exec(db, sql);
		sqlite3_free(sql);
	}
	return rc;
}

int db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **statement)
{
	return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT,
	                          statement, NULL);
}

int db_prepare_take(sqlite3 *db, char *sql, sqlite3_stmt **statement)
{
	int rc = SQLITE_NOMEM;

	if (sql != NULL) {
		rc = db_prepare(db, sql, statement);
		sqlite3_free(sql);
	}
	return rc;
}

int db_run(sqlite3_stmt *statement)
{
	const int rc = sqlite3_step(statement);

	sqlite3_reset(statement);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int db_integer(sqlite3 *db, const char *sql, int64_t fallback, int64_t *value)
{
	sqlite3_stmt *statement = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	*value = fallback;
	if (rc == SQLITE_OK) {
		rc = sqlite3_step(statement);
		if (rc == SQLITE_ROW) {
			*value = sqlite3_column_int64(statement, 0);
		}
	}
	sqlite3_finalize(statement);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}
