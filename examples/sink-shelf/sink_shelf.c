/* SPDX-License-Identifier: Apache-2.0 */

/* shelf - what is known of every record, in one SQLite table: its key, which
 * decides what is a duplicate, a hash of its content, and its id */
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <bursar/sink.h>

struct bursar_sink {
	const struct bursar_host *host;
	sqlite3      *db;
	sqlite3_stmt *put;
};

static const struct bursar_option options[] = {
	{ "path", BURSAR_TYPE_PATH, NULL, "The file of the database." }, { NULL }
};
static const char table[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
	"CREATE TABLE IF NOT EXISTS shelf (key BLOB PRIMARY KEY, hash, id, "
	"seen DEFAULT 0) WITHOUT ROWID";
static const char put_statement[] = "INSERT INTO shelf VALUES (?, ?, ?, 0) "
	"ON CONFLICT(key) DO UPDATE SET seen = seen + 1 RETURNING seen, hash";

static enum bursar_verdict fail(const struct bursar_sink *sink, struct bursar_error *err)
{
	const int code = sqlite3_errcode(sink->db);

	bursar_fail(err, code != 0 ? code : 1, "%s: %s",
	            sink->host->text(sink->host, "path"), sqlite3_errmsg(sink->db));
	return code == SQLITE_BUSY || code == SQLITE_FULL || code == SQLITE_NOMEM
	       ? BURSAR_RETRY : BURSAR_CONFIG;
}

static void shelf_close(struct bursar_sink *sink)
{
	if (sink != NULL) {
		sqlite3_finalize(sink->put);
		sqlite3_close(sink->db);
		free(sink);
	}
}

static struct bursar_sink *shelf_open(const struct bursar_host *host, enum bursar_mode mode,
                                      enum bursar_verdict *verdict,
                                      struct bursar_error *err)
{
	struct bursar_sink *sink = calloc(1, sizeof(*sink));
	const int flags = mode == BURSAR_READ ? SQLITE_OPEN_READONLY
	                : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

	*verdict = BURSAR_RETRY;
	if (sink == NULL) {
		bursar_fail(err, SQLITE_NOMEM, "out of memory");
		return NULL;
	}
	sink->host = host;
	if (sqlite3_open_v2(host->text(host, "path"), &sink->db, flags, NULL) ||
	    sqlite3_busy_timeout(sink->db, 5000) || (mode == BURSAR_WRITE &&
	    (sqlite3_exec(sink->db, table, NULL, NULL, NULL) ||
	     sqlite3_prepare_v2(sink->db, put_statement, -1, &sink->put, NULL)))) {
		*verdict = fail(sink, err);
		shelf_close(sink);
		return NULL;
	}
	return sink;
}

/* Whether the key was there, and with the same content; -1: SQLite fails. */
static int put(struct bursar_sink *sink, const struct bursar_record *record,
               const uint8_t key[16], const char *id, size_t size, bool *same)
{
	sqlite3_bind_blob(sink->put, 1, key, 16, SQLITE_STATIC);
	sqlite3_bind_int64(sink->put, 2, (int64_t)record->check);
	sqlite3_bind_text(sink->put, 3, id, (int)size, SQLITE_STATIC);
	const bool good = sqlite3_step(sink->put) == SQLITE_ROW;
	const int known = good ? sqlite3_column_int(sink->put, 0) > 0 : -1;
	*same = good && sqlite3_column_int64(sink->put, 1) ==
	                (int64_t)record->check;
	return sqlite3_reset(sink->put) == SQLITE_OK ? known : -1;
}

/* A counted record goes under the first number that is free. */
static int store(struct bursar_sink *sink, const struct bursar_record *record,
                 enum bursar_outcome *outcome)
{
	const struct bursar_value id = bursar_value(record, BURSAR_MESSAGE_ID);
	const bool counted = record->flags & BURSAR_RECORD_COUNTED;
	bool same = false;
	char text[256];
	int known = put(sink, record, record->key, id.text, id.size, &same);

	for (int n = 1; counted && known == 1 &&
	     !(same && (record->flags & BURSAR_RECORD_AGAIN)); n++) {
		uint8_t key[16];
		const int size = snprintf(text, sizeof(text), "%.*s#%d",
		                          (int)id.size - 2, id.text, n);
		sink->host->key(record->kind, text, (size_t)size, key);
		known = put(sink, record, key, text, (size_t)size, &same);
	}
	*outcome = known == 0 ? BURSAR_STORED :
	           same ? BURSAR_DUPLICATE : BURSAR_CONFLICT;
	return known < 0 ? -1 : 0;
}

static enum bursar_verdict shelf_write(struct bursar_sink *sink,
                                       struct bursar_record *const *records, size_t count,
                                       enum bursar_outcome *outcomes,
                                       size_t *culprit, struct bursar_error *err)
{
	bool good = sqlite3_exec(sink->db, "BEGIN IMMEDIATE", 0, 0, 0) == 0;

	(void)culprit;
	for (size_t i = 0; good && i < count; i++) {
		good = store(sink, records[i], &outcomes[i]) == 0;
	}
	if (good && sqlite3_exec(sink->db, "COMMIT", 0, 0, 0) == 0) {
		return BURSAR_DONE;
	}
	const enum bursar_verdict verdict = fail(sink, err);
	sqlite3_exec(sink->db, "ROLLBACK", 0, 0, 0);
	return verdict;
}

static const struct bursar_sink_ops ops = {
	.open = shelf_open, .write = shelf_write, .close = shelf_close,
};

BURSAR_PLUGIN_DEFINE(sink_shelf, .kind = BURSAR_SINK, .name = "shelf",
	.summary = "id and content of every record in one SQLite table",
	.options = options, .ops.sink = &ops);
