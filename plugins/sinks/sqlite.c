/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sqlite - keeps the ledger in one SQLite file
 *
 * A batch is one transaction: keys, rows, sums, counters.  When write()
 * returns DONE it is on the disk (write-ahead log, synchronous=FULL).  Other
 * processes may read the file at any time, and write to it in turn.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlite.h"

#include "common/columns.h"
#include "common/corrections.h"
#include "common/places.h"
#include "common/regular.h"

#define PAGE_SIZE 8192
#define WAL_LARGE 8	/* times `checkpoint`: worth a warning */

struct bursar_sink {
	const struct bursar_host *host;
	const char *path;	/* lent by the host */
	sqlite3 *db;
	struct statements *statements;
	bool damaged;		/* nothing more is written */
	dev_t  device;		/* of the file that was opened */
	ino_t  inode;

	/* Only of a sink that writes: */
	struct keys *keys;
	struct rows *rows;
	sqlite3_stmt *begin;
	sqlite3_stmt *get_version;
	sqlite3_stmt *commit;
	struct places places;	/* room for a batch */
	char **ids;		/* texts of ids that were given a number */
	size_t id_count;
	size_t id_room;

	struct purge_walk walk;

	int64_t checkpoint_bytes;
	int64_t checkpoint_at;	/* size of the log at which to try next */
	bool    wal_large;	/* the warning was given */
	bool    stuck;		/* ... and that it cannot be copied */
};

static const struct bursar_option sqlite_options[] = {
	{ "path", BURSAR_TYPE_OUTPUT, NULL,
	  "The file of the ledger; its folder must exist." },
	{ "cache", BURSAR_TYPE_SIZE, "32M",
	  "Memory for pages of the ledger.", 1 << 20, INT64_C(1) << 40 },
	{ "busy-timeout", BURSAR_TYPE_DURATION, "5s",
	  "How long to wait for another process that writes.", 0, 600000 },
	{ "checkpoint", BURSAR_TYPE_SIZE, "128M",
	  "Size of the write-ahead log at which it is copied into the ledger.",
	  1 << 20, INT64_C(1) << 40 },
	{ "key-filter", BURSAR_TYPE_SIZE, "16M",
	  "Memory for telling new records from known ones; 2 bytes a record "
	  "are plenty, 1 is enough.", 1 << 16, INT64_C(1) << 32 },
	{ NULL }
};

/* --- opening ------------------------------------------------------------ */

/* Says what is wrong with the folder of a file that could not be made. */
static enum bursar_verdict fail_create(const char *path,
                                       struct bursar_error *err)
{
	const int cause = errno;
	char *copy = strdup(path);

	if (copy != NULL && cause == ENOENT) {
		bursar_fail(err, cause, "%s: the folder %s does not exist: make "
		            "it, owned by the user that runs this", path,
		            dirname(copy));
	} else if (copy != NULL && cause == EACCES) {
		bursar_fail(err, cause, "%s: no permission to make a file in "
		            "%s: give the folder to the user that runs this",
		            path, dirname(copy));
	} else {
		bursar_fail(err, cause, "%s: %s", path, strerror(cause));
	}
	free(copy);
	return cause == ENOSPC || cause == EDQUOT || cause == EIO ||
		cause == EMFILE || cause == ENFILE
		? BURSAR_RETRY : BURSAR_CONFIG;
}

static enum bursar_verdict check_file(const char *path,
                                      struct bursar_error *err)
{
	if (regular_check(path) == 0) {
		return BURSAR_DONE;
	}
	bursar_fail(err, errno, "%s: %s; give another path", path,
	            regular_why(errno));
	return BURSAR_CONFIG;
}

/*
 * Makes the file for us alone.  One that is there is not opened: closing it
 * would drop locks that another instance in this process holds on it.
 */
static enum bursar_verdict create_file(const char *path,
                                       struct bursar_error *err)
{
	struct stat info;
	int fd;

	if (stat(path, &info) == 0) {
		return check_file(path, err);
	}
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno != EEXIST) {
		return fail_create(path, err);
	}
	if (fd >= 0) {
		close(fd);
	}
	return BURSAR_DONE;
}

/* Says that there is no ledger yet; ENOENT where one can be made. */
static void fail_find(const char *path, struct bursar_error *err)
{
	char *copy = strdup(path);
	const char *folder = copy != NULL ? dirname(copy) : "/";

	if (access(folder, W_OK | X_OK) == 0) {
		bursar_fail(err, ENOENT, "%s: there is no ledger yet; the "
		            "daemon makes it when it starts", path);
	} else if (errno == ENOENT) {
		bursar_fail(err, ENOTDIR, "%s: there is no ledger, and no "
		            "folder %s to make it in", path, folder);
	} else {
		bursar_fail(err, errno, "%s: there is no ledger, and none can "
		            "be made in %s: %s", path, folder, strerror(errno));
	}
	free(copy);
}

static enum bursar_verdict find_file(const char *path,
                                     struct bursar_error *err)
{
	struct stat info;

	if (stat(path, &info) == 0) {
		return check_file(path, err);
	}
	if (errno == ENOENT) {
		fail_find(path, err);
	} else {
		bursar_fail(err, errno, "%s: %s", path, strerror(errno));
	}
	return BURSAR_CONFIG;
}

static int busy_timeout(const struct bursar_sink *sink)
{
	return (int)sink->host->number(sink->host, "busy-timeout");
}

static enum bursar_verdict connect_db(struct bursar_sink *sink, int flags,
                                      struct bursar_error *err)
{
	struct stat info;

	if (stat(sink->path, &info) == 0) {
		sink->device = info.st_dev;
		sink->inode = info.st_ino;
	}
	int rc = sqlite3_open_v2(sink->path, &sink->db,
	                         flags | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc == SQLITE_OK) {
		sqlite3_extended_result_codes(sink->db, 1);
		sqlite3_busy_timeout(sink->db, busy_timeout(sink));
		rc = db_exec(sink->db, "PRAGMA foreign_keys = OFF; "
		             "PRAGMA trusted_schema = OFF");
	}
	if (rc == SQLITE_OK) {
		rc = tags_function(sink->db);
	}
	return rc == SQLITE_OK ? BURSAR_DONE
	                       : db_fail(sink->db, rc, sink->path, DB_OURS, err);
}

/* Once the size of a page is known: SQLite counts the cache in pages, and does
 * not count again when it learns that they are larger than it thought. */
static int set_cache(struct bursar_sink *sink)
{
	const int64_t bytes = sink->host->number(sink->host, "cache");

	return db_exec_take(sink->db, sqlite3_mprintf(
		"PRAGMA cache_size = -%lld", (long long)(bytes / 1024)));
}

static enum bursar_verdict set_wal(struct bursar_sink *sink,
                                   struct bursar_error *err)
{
	sqlite3_stmt *statement = NULL;
	bool is_wal = false;
	int rc = db_exec_take(sink->db, sqlite3_mprintf(
		"PRAGMA page_size = %d", PAGE_SIZE));

	if (rc == SQLITE_OK) {
		rc = db_prepare(sink->db, "PRAGMA journal_mode = WAL",
		                &statement);
	}
	if (rc == SQLITE_OK) {
		rc = sqlite3_step(statement);
		is_wal = rc == SQLITE_ROW && strcmp((const char *)
			sqlite3_column_text(statement, 0), "wal") == 0;
		rc = rc == SQLITE_ROW ? SQLITE_OK : rc;
	}
	sqlite3_finalize(statement);
	if (rc != SQLITE_OK) {
		return db_fail(sink->db, rc, sink->path, DB_OURS, err);
	}
	if (!is_wal) {
		bursar_fail(err, ENOTSUP, "%s: no write-ahead log is possible "
		            "here: put the ledger on a local file system",
		            sink->path);
		return BURSAR_CONFIG;
	}
	return BURSAR_DONE;
}

/* Copies as much as nobody reads; false: some is left. */
static bool copy_log(struct bursar_sink *sink)
{
	int total = 0, copied = 0;
	const int rc = sqlite3_wal_checkpoint_v2(
		sink->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &total, &copied);
	const bool stuck = rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY;

	if (stuck && !sink->stuck) {
		struct bursar_error why = { 0 };

		db_fail(sink->db, rc, sink->path, DB_OURS, &why);
		sink->host->log(sink->host, BURSAR_WARNING, "wal-stuck",
		                "why=\"%s\" note=\"what is stored stays in "
		                "the write-ahead log, which grows\"",
		                why.text);
	}
	sink->stuck = stuck;
	return rc == SQLITE_OK && total == copied;
}

/*
 * The log is copied into the ledger when it is large.  While a reader holds it
 * back it grows; then each try waits until it has grown some more.
 */
static int after_commit(void *context, sqlite3 *db, const char *name,
                        int pages)
{
	struct bursar_sink *sink = context;
	const struct bursar_host *host = sink->host;
	const int64_t bytes = (int64_t)pages * (PAGE_SIZE + 24);

	(void)db;
	(void)name;
	host->gauge(host, "wal_bytes", bytes);
	if (bytes < sink->checkpoint_at) {
		if (bytes < sink->checkpoint_bytes) {
			sink->checkpoint_at = sink->checkpoint_bytes;
			sink->wal_large = false;
		}
		return SQLITE_OK;
	}
	sink->checkpoint_at = copy_log(sink) ? sink->checkpoint_bytes
		: bytes + sink->checkpoint_bytes / 4;
	if (bytes > WAL_LARGE * sink->checkpoint_bytes && !sink->wal_large &&
	    !sink->stuck) {
		sink->wal_large = true;
		host->log(host, BURSAR_WARNING, "wal-large",
		          "path=\"%s-wal\" bytes=%lld cause=\"a program reads "
		          "the ledger for a long time\"", sink->path,
		          (long long)bytes);
	}
	return SQLITE_OK;
}

/*
 * Opens the file to write.  What may not be written SQLite would open to read,
 * and make files beside it that nobody can write later either.
 */
static enum bursar_verdict connect_writer(struct bursar_sink *sink,
                                          struct bursar_error *err)
{
	const enum bursar_verdict verdict = create_file(sink->path, err);

	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	if (access(sink->path, W_OK) != 0 &&
	    (errno == EACCES || errno == EROFS)) {
		return db_fail(NULL, SQLITE_READONLY, sink->path, DB_OURS, err);
	}
	return connect_db(sink, SQLITE_OPEN_READWRITE, err);
}

/*
 * Whether what is open is still the ledger.  A file that was moved, removed or
 * replaced can be written to all the same, and nobody would find it there; who
 * reads it would for ever be told what it was.
 */
static bool is_in_place(const struct bursar_sink *sink,
                        struct bursar_error *err)
{
	struct stat info;

	if (stat(sink->path, &info) == 0 && info.st_dev == sink->device &&
	    info.st_ino == sink->inode) {
		return true;
	}
	bursar_fail(err, ESTALE, "%s: it was moved, removed or replaced while "
	            "it was open: opening what is there now", sink->path);
	return false;
}

/* Connected, of our layout, and brought up to it. */
static enum bursar_verdict open_ledger(struct bursar_sink *sink,
                                       struct bursar_error *err)
{
	const struct bursar_host *host = sink->host;
	enum bursar_verdict verdict = connect_writer(sink, err);

	if (verdict == BURSAR_DONE) {
		verdict = schema_recognise(sink->db, sink->path, err);
	}
	/* What may not be written is opened all the same, to be read. */
	if (verdict == BURSAR_DONE && sqlite3_db_readonly(sink->db, "main")) {
		verdict = db_fail(NULL, SQLITE_READONLY, sink->path, DB_OURS,
		                  err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = set_wal(sink, err);
	}
	if (verdict == BURSAR_DONE) {
		sink->checkpoint_bytes = host->number(host, "checkpoint");
		sink->checkpoint_at = sink->checkpoint_bytes;
		sqlite3_wal_hook(sink->db, after_commit, sink);
		verdict = schema_migrate(sink->db, host, sink->path, err);
	}
	return verdict;
}

static enum bursar_verdict open_writer(struct bursar_sink *sink,
                                       struct bursar_error *err)
{
	const enum bursar_verdict verdict = open_ledger(sink, err);
	int rc;

	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	rc = db_exec(sink->db, "PRAGMA synchronous = FULL; "
	             "PRAGMA secure_delete = OFF");
	if (rc == SQLITE_OK) {
		rc = set_cache(sink);
	}
	if (rc == SQLITE_OK) {
		rc = keys_open(&sink->keys, sink->db, sink->host);
	}
	if (rc == SQLITE_OK) {
		rc = rows_open(&sink->rows, sink->db, sink->host);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare(sink->db, "BEGIN IMMEDIATE", &sink->begin);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare(sink->db, "COMMIT", &sink->commit);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare(sink->db, SCHEMA_GET_VERSION,
		                &sink->get_version);
	}
	return rc == SQLITE_OK ? BURSAR_DONE
	                       : db_fail(sink->db, rc, sink->path, DB_OURS, err);
}

static enum bursar_verdict open_reader(struct bursar_sink *sink,
                                       struct bursar_error *err)
{
	enum bursar_verdict verdict = find_file(sink->path, err);
	int rc;

	if (verdict == BURSAR_DONE) {
		verdict = connect_db(sink, SQLITE_OPEN_READONLY, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = schema_check(sink->db, sink->host, sink->path, err);
	}
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	rc = db_exec(sink->db, "PRAGMA query_only = ON");
	if (rc == SQLITE_OK) {
		rc = set_cache(sink);
	}
	return rc == SQLITE_OK ? BURSAR_DONE
	                       : db_fail(sink->db, rc, sink->path, DB_OURS, err);
}

static void sqlite_close(struct bursar_sink *sink);

static struct bursar_sink *sqlite_open(const struct bursar_host *host,
                                       enum bursar_mode mode,
                                       enum bursar_verdict *verdict,
                                       struct bursar_error *err)
{
	struct bursar_sink *sink = calloc(1, sizeof(*sink));

	if (sink == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		*verdict = BURSAR_RETRY;
		return NULL;
	}
	sink->host = host;
	sink->path = host->text(host, "path");
	*verdict = mode == BURSAR_WRITE ? open_writer(sink, err)
	                                : open_reader(sink, err);
	if (*verdict == BURSAR_DONE) {
		sink->statements = statements_create(sink->db);
		if (sink->statements == NULL) {
			bursar_fail(err, ENOMEM, "out of memory");
			*verdict = BURSAR_RETRY;
		}
	}
	if (*verdict != BURSAR_DONE) {
		sqlite_close(sink);
		return NULL;
	}
	return sink;
}

/* --- a transaction ------------------------------------------------------ */

/* Begins one; where it fails one may be open. */
static int begin(struct bursar_sink *sink, struct bursar_error *err)
{
	const int rc = db_run(sink->begin);

	return rc == SQLITE_OK
		? schema_confirm(sink->get_version, sink->path, err) : rc;
}

/* Begins one that takes keys, or takes some away. */
static int begin_keys(struct bursar_sink *sink, struct bursar_error *err)
{
	const struct bursar_host *host = sink->host;
	int rc = keys_load(sink->keys,
	                   (size_t)host->number(host, "key-filter"));

	if (rc == SQLITE_OK) {
		rc = begin(sink, err);
	}
	return rc == SQLITE_OK ? keys_begin(sink->keys) : rc;
}

/* Commits where rc says that all went well, else takes all back. */
static enum bursar_verdict end(struct bursar_sink *sink, int rc,
                               struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	if (rc == SQLITE_OK) {
		rc = keys_end(sink->keys);
	}
	if (rc == SQLITE_OK) {
		rc = db_run(sink->commit);
	}
	if (rc != SQLITE_OK) {
		verdict = db_fail(sink->db, rc, sink->path, DB_OURS, err);
		sink->damaged = (rc & 0xff) == SQLITE_CORRUPT;
		if (!sqlite3_get_autocommit(sink->db)) {
			db_exec(sink->db, "ROLLBACK");
		}
	}
	keys_settle(sink->keys, rc == SQLITE_OK);
	return verdict;
}

/* --- write -------------------------------------------------------------- */

static void clear_ids(struct bursar_sink *sink)
{
	while (sink->id_count > 0) {
		free(sink->ids[--sink->id_count]);
	}
}

/* Keeps a copy of an id until the batch is done; NULL: out of memory. */
static const char *keep_id(struct bursar_sink *sink, const char *text,
                           size_t size)
{
	char *copy;

	if (sink->id_count == sink->id_room) {
		const size_t room = sink->id_room * 2 + 64;
		char **ids = realloc(sink->ids, room * sizeof(*ids));

		if (ids == NULL) {
			return NULL;
		}
		sink->ids = ids;
		sink->id_room = room;
	}
	copy = malloc(size + 1);
	if (copy != NULL) {
		memcpy(copy, text, size);
		copy[size] = '\0';
		sink->ids[sink->id_count++] = copy;
	}
	return copy;
}

/* An id that ends in "#0", with other numbers in its place. */
struct numbered {
	const struct bursar_record *record;
	char    text[1024 + 24];
	size_t  stem;		/* bytes before the number */
	size_t  size;
	uint8_t key[KEY_SIZE];
};

static bool number_init(struct numbered *id, const struct bursar_record *record)
{
	const struct bursar_value value =
		bursar_value(record, BURSAR_MESSAGE_ID);

	assert(value.size >= 2 &&
	       memcmp(value.text + value.size - 2, "#0", 2) == 0);
	if (value.size > 1024) {
		return false;
	}
	id->record = record;
	id->stem = value.size - 1;
	memcpy(id->text, value.text, id->stem);
	return true;
}

static int number_find(struct bursar_sink *sink, struct numbered *id,
                       uint64_t number, enum key_state *state)
{
	id->size = id->stem + (size_t)snprintf(id->text + id->stem, 24, "%llu",
	                                       (unsigned long long)number);
	sink->host->key(id->record->kind, id->text, id->size, id->key);
	return keys_find(sink->keys, id->key, id->record->check, state);
}

/*
 * Offered before, and nobody knows with what result: it is a duplicate of any
 * number that has its content.  Otherwise *number is the first that is free.
 */
static int find_twin(struct bursar_sink *sink, struct numbered *id,
                     uint64_t *number, enum key_state *state)
{
	int rc;

	*number = 0;
	while ((rc = number_find(sink, id, *number, state)) == SQLITE_OK &&
	       *state == KEY_OTHER) {
		(*number)++;
	}
	return rc;
}

/*
 * A number that is free while the one before it is taken.  Doubling and then
 * halving: a thousand equal calls are not a million looks.
 */
static int find_number(struct bursar_sink *sink, struct numbered *id,
                       uint64_t *number)
{
	enum key_state state;
	uint64_t taken = 0, free_one = 0;
	int rc = number_find(sink, id, 0, &state);

	while (rc == SQLITE_OK && state != KEY_NEW) {
		taken = free_one;
		free_one = free_one * 2 + 1;
		rc = number_find(sink, id, free_one, &state);
	}
	while (rc == SQLITE_OK && free_one > taken + 1) {
		const uint64_t middle = taken + (free_one - taken) / 2;

		rc = number_find(sink, id, middle, &state);
		if (state == KEY_NEW) {
			free_one = middle;
		} else {
			taken = middle;
		}
	}
	*number = free_one;
	return rc;
}

static int take_numbered(struct bursar_sink *sink,
                         const struct bursar_record *record, int64_t day,
                         enum key_state *state, struct bursar_span *text)
{
	struct numbered id;
	uint64_t number = 0;
	int rc;

	if (!number_init(&id, record)) {
		return SQLITE_TOOBIG;
	}
	if ((record->flags & BURSAR_RECORD_AGAIN) != 0) {
		rc = find_twin(sink, &id, &number, state);
		if (rc != SQLITE_OK || *state == KEY_SAME) {
			return rc;
		}
	} else {
		rc = find_number(sink, &id, &number);
	}
	if (rc == SQLITE_OK) {
		rc = number_find(sink, &id, number, state);
	}
	if (rc == SQLITE_OK) {
		rc = keys_take(sink->keys, id.key, record->check, day, state);
	}
	if (rc == SQLITE_OK && number > 0) {
		text->data = keep_id(sink, id.text, id.size);
		text->size = id.size;
		rc = text->data != NULL ? SQLITE_OK : SQLITE_NOMEM;
	}
	return rc;
}

static int take_key(struct bursar_sink *sink,
                    const struct bursar_record *record, int64_t day,
                    enum bursar_outcome *outcome, struct bursar_span *id)
{
	static const enum bursar_outcome outcomes[] = {
		[KEY_NEW] = BURSAR_STORED, [KEY_SAME] = BURSAR_DUPLICATE,
		[KEY_OTHER] = BURSAR_CONFLICT,
	};
	enum key_state state = KEY_NEW;
	int rc;

	*id = (struct bursar_span){ NULL, 0 };
	if ((record->flags & BURSAR_RECORD_COUNTED) != 0) {
		rc = take_numbered(sink, record, day, &state, id);
	} else {
		rc = keys_take(sink->keys, record->key, record->check, day,
		               &state);
	}
	*outcome = outcomes[state];
	return rc;
}

/* Says of each record what it is, and fills places with those that are new. */
static int take_keys(struct bursar_sink *sink,
                     struct bursar_record *const *records, size_t count,
                     enum bursar_outcome *outcomes, size_t *fresh,
                     size_t *culprit)
{
	const int64_t day = columns_day(sink->host->now(sink->host));
	int rc = SQLITE_OK;

	*fresh = 0;
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
		struct place *place = &sink->places.at[*fresh];

		rc = take_key(sink, records[i], day, &outcomes[i], &place->id);
		if (rc == SQLITE_TOOBIG) {
			*culprit = i;
		}
		if (outcomes[i] == BURSAR_STORED) {
			place->block = columns_block(records[i]);
			place->kind = records[i]->kind->number;
			place->index = i;
			(*fresh)++;
		}
	}
	return rc;
}

/* Stores what is new, in the order in which it stands in the tables. */
static int add_rows(struct bursar_sink *sink,
                    struct bursar_record *const *records, size_t fresh,
                    size_t *culprit)
{
	int rc = SQLITE_OK;

	places_sort(sink->places.at, fresh);
	for (size_t i = 0; i < fresh && rc == SQLITE_OK; i++) {
		const struct place *place = &sink->places.at[i];

		rc = rows_add(sink->rows, records[place->index], place->id);
		if (rc != SQLITE_OK) {
			*culprit = place->index;
		}
	}
	return rc;
}

static enum bursar_verdict sqlite_write(struct bursar_sink *sink,
                                        struct bursar_record *const *records,
                                        size_t count,
                                        enum bursar_outcome *outcomes,
                                        size_t *culprit,
                                        struct bursar_error *err)
{
	enum bursar_verdict verdict;
	size_t fresh = 0;
	int rc;

	*culprit = SIZE_MAX;
	if (!is_in_place(sink, err)) {
		outcomes[0] = BURSAR_RETURNED;
		return BURSAR_DOWN;
	}
	if (sink->damaged) {
		return db_fail(NULL, SQLITE_CORRUPT, sink->path, DB_OURS, err);
	}
	if (!places_reserve(&sink->places, count)) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	rc = begin_keys(sink, err);
	if (rc == SQLITE_OK) {
		rc = rows_begin(sink->rows);
	}
	if (rc == SQLITE_OK) {
		rc = take_keys(sink, records, count, outcomes, &fresh, culprit);
	}
	if (rc == SQLITE_OK) {
		rc = add_rows(sink, records, fresh, culprit);
	}
	if (rc == SQLITE_OK) {
		rc = rows_end(sink->rows);
	}
	if (rc == SQLITE_TOOBIG) {
		bursar_fail(err, ERANGE, "%s: a record is too large for the "
		            "ledger", sink->path);
	}
	verdict = end(sink, rc, err);
	clear_ids(sink);
	return verdict;
}

/* --- the other operations ----------------------------------------------- */

static enum bursar_verdict count_purge(struct bursar_sink *sink,
                                       const struct bursar_purge *what,
                                       struct bursar_purged *purged,
                                       struct bursar_error *err)
{
	const int rc = purge_count(sink->db, sink->host, what, purged);

	purged->more = false;
	return rc == SQLITE_OK ? BURSAR_DONE
	                       : db_fail(sink->db, rc, sink->path, DB_OURS, err);
}

/*
 * Old pages, with text that was purged, stand in the log as well.  Where a
 * reader is in the way they go with the next purge, or when the log starts
 * again from its beginning.
 */
static void empty_log(struct bursar_sink *sink)
{
	sqlite3_busy_timeout(sink->db, 0);
	sqlite3_wal_checkpoint_v2(sink->db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
	                          NULL, NULL);
	sqlite3_busy_timeout(sink->db, busy_timeout(sink));
}

/* One transaction, which leaves nothing of what it purged in the file. */
static enum bursar_verdict purge_some(struct bursar_sink *sink,
                                      const struct bursar_purge *what,
                                      struct bursar_purged *purged,
                                      struct bursar_error *err)
{
	enum bursar_verdict verdict;
	int rc;

	db_exec(sink->db, "PRAGMA secure_delete = ON");
	rc = what->keys_before != 0 ? begin_keys(sink, err)
	                            : begin(sink, err);
	if (rc == SQLITE_OK) {
		rc = purge_run(sink->db, sink->host, sink->keys, what,
		               &sink->walk, purged);
	}
	verdict = end(sink, rc, err);
	db_exec(sink->db, "PRAGMA secure_delete = OFF");
	return verdict;
}

static enum bursar_verdict sqlite_purge(struct bursar_sink *sink,
                                        const struct bursar_purge *what,
                                        struct bursar_purged *purged,
                                        struct bursar_error *err)
{
	struct bursar_purged now = { 0 };
	enum bursar_verdict verdict;
	int rc;

	if (what->dry_run) {
		return count_purge(sink, what, purged, err);
	}
	if (!is_in_place(sink, err)) {
		return BURSAR_DOWN;
	}
	if (sink->damaged) {
		return db_fail(NULL, SQLITE_CORRUPT, sink->path, DB_OURS, err);
	}
	rc = purge_find(sink->db, sink->host, what, &sink->walk);
	if (rc != SQLITE_OK) {
		return db_fail(sink->db, rc, sink->path, DB_OURS, err);
	}
	verdict = purge_some(sink, what, &now, err);
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	purge_settle(&sink->walk);
	purged->bodies += now.bodies;
	purged->facts += now.facts;
	purged->keys += now.keys;
	purged->more = now.more;
	if (!now.more) {
		purge_forget(&sink->walk);
	}
	if (now.bodies > 0 && !now.more) {
		empty_log(sink);
	}
	return BURSAR_DONE;
}

static enum bursar_verdict sqlite_sql(struct bursar_sink *sink,
                                      const char *statement,
                                      const struct bursar_cell *parameters,
                                      size_t parameter_count,
                                      bursar_row_fn *row, void *context,
                                      struct bursar_error *err)
{
	if (!is_in_place(sink, err)) {
		return BURSAR_DOWN;
	}
	return statements_run(sink->statements, sink->path, statement,
	                      parameters, parameter_count, row, context, err);
}

static enum bursar_verdict run_correction(void *context, const char *statement,
                                          const struct bursar_cell *parameters,
                                          size_t count, bursar_row_fn *row,
                                          void *row_context,
                                          struct bursar_error *err)
{
	return sqlite_sql(context, statement, parameters, count, row,
	                  row_context, err);
}

static enum bursar_verdict sqlite_correct(struct bursar_sink *sink,
                                          const struct bursar_correct *what,
                                          size_t *corrected,
                                          struct bursar_error *err)
{
	const struct corrections_db db = { .run = run_correction,
	                                   .context = sink };
	enum bursar_verdict verdict = BURSAR_DONE;

	if (!is_in_place(sink, err)) {
		return BURSAR_DOWN;
	}
	int rc = begin(sink, err);
	if (rc == SQLITE_OK) {
		verdict = corrections_run(&db, what,
		                          sink->host->now(sink->host),
		                          corrected, err);
	}
	if (rc == SQLITE_OK && verdict == BURSAR_DONE) {
		rc = db_run(sink->commit);
	}
	if (rc != SQLITE_OK) {
		verdict = db_fail(sink->db, rc, sink->path, DB_OURS, err);
	}
	if (!sqlite3_get_autocommit(sink->db)) {
		db_exec(sink->db, "ROLLBACK");
	}
	return verdict;
}

static enum bursar_verdict sqlite_backup(struct bursar_sink *sink,
                                         const char *path,
                                         struct bursar_error *err)
{
	return backup_run(sink->db, sink->path, path, err);
}

static void sqlite_close(struct bursar_sink *sink)
{
	if (sink == NULL) {
		return;
	}
	/* What was written over stands in the log as well. */
	if (sink->commit != NULL && statements_changed(sink->statements)) {
		empty_log(sink);
	}
	statements_destroy(sink->statements);
	rows_close(sink->rows);
	keys_close(sink->keys);
	sqlite3_finalize(sink->begin);
	sqlite3_finalize(sink->commit);
	sqlite3_finalize(sink->get_version);
	purge_forget(&sink->walk);
	clear_ids(sink);
	free(sink->ids);
	places_finish(&sink->places);
	/* The last one to close copies the log into the ledger. */
	sqlite3_close(sink->db);
	free(sink);
}

static const char sqlite_manual[] =
	"Keeps everything in one SQLite file, in write-ahead mode with "
	"synchronous=FULL: what is acknowledged survives a power cut.  The "
	"file, and PATH-wal and PATH-shm beside it, belong on a local file "
	"system and are made readable for their owner alone.  Any program may "
	"read them at any time, `sqlite3 -readonly PATH` for one; while one "
	"transaction of a reader stays open, PATH-wal grows.\n"
	"\n"
	"Facts stand in the table `metering_records`, bodies in "
	"`prompt_records` and `tool_records`, sums by quarter-hour in "
	"`rollup_cells`.  A time stands there twice: in microseconds since 1970 "
	"(UTC), as `recorded_us`, which counts, and in ISO 8601, as "
	"`recorded_at`, to be read; money in nano-dollars, as `cost_nano`, and "
	"computed from it in dollars, as `cost_usd`.  The view "
	"`metering_hourly_rollup` shows the sums by worker and hour, "
	"`record_keys` what tells duplicates.\n"
	"\n"
	"How memory is used: `cache` for pages, `key-filter` for telling new "
	"records from known ones (2 bytes for each record of the ledger are "
	"plenty; with much less, known keys are looked up on the disk more "
	"often), and 4 MB for the latest million keys.\n"
	"\n"
	"What is purged or sealed anew is overwritten with zeros "
	"(secure_delete), and PATH-wal is emptied after it, unless somebody "
	"reads from it just then.  Pieces may remain where rows were moved "
	"within the file.  It does not become smaller, as its pages are used "
	"again; `VACUUM` makes it small and leaves nothing behind, and needs the "
	"daemon to be stopped.";

/*
 * SQLite counts its memory under a lock, several times a record, for figures
 * that nobody reads.  It can be told so before its first call only; once it is
 * in use it refuses, which does no harm.
 */
__attribute__((constructor))
static void leave_memory_uncounted(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static const struct bursar_sink_ops sqlite_ops = {
	.open   = sqlite_open,
	.write  = sqlite_write,
	.purge  = sqlite_purge,
	.sql    = sqlite_sql,
	.correct = sqlite_correct,
	.backup = sqlite_backup,
	.close  = sqlite_close,
};

static const struct bursar_plugin_figure sqlite_figures[] = {
	{ "wal_bytes",
	  "Size of the write-ahead log that is in use, after the last commit." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(sink_sqlite,
	.kind     = BURSAR_SINK,
	.name     = "sqlite",
	.summary  = "keeps the ledger in one SQLite file",
	.options  = sqlite_options,
	.figures  = sqlite_figures,
	.manual   = sqlite_manual,
	.ops.sink = &sqlite_ops);
