/* SPDX-License-Identifier: Apache-2.0 */

/* shelf - what is known of every record, in one SQLite table: its key, which
 * decides what is a duplicate, a hash of its content, and its id */
#include <errno.h>
#include <stdlib.h>

#include <sqlite3.h>

#include <bursar/sink.h>

struct bursar_sink {
	const struct bursar_host *host;
	sqlite3      *db;
	sqlite3_stmt *put;
};

static const struct bursar_option options[] = {
	{ "path", BURSAR_TYPE_OUTPUT, NULL, "The file of the database." }, { NULL } };
static const char table[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
	"CREATE TABLE IF NOT EXISTS shelf (key BLOB PRIMARY KEY, hash, id, "
	"seen DEFAULT 0) WITHOUT ROWID";
static const char put_statement[] = "INSERT INTO shelf VALUES (?1, ?2, ?3, 0) "
	"ON CONFLICT (key) DO UPDATE SET seen = 1 "
	"RETURNING CASE WHEN seen = 0 THEN 0 WHEN hash = ?2 THEN 1 ELSE 2 END";

static enum bursar_verdict fail(const struct bursar_sink *sink, struct bursar_error *err)
{
	const int why = sqlite3_errcode(sink->db);

	bursar_fail(err, why == SQLITE_CANTOPEN ? ENOENT : EIO, "path: %s", sqlite3_errstr(why));
	return why == SQLITE_CANTOPEN || why == SQLITE_NOTADB || why == SQLITE_READONLY
	       ? BURSAR_CONFIG : BURSAR_RETRY;
}

static void shelf_close(struct bursar_sink *sink)
{
	sqlite3_finalize(sink != NULL ? sink->put : NULL);
	sqlite3_close(sink != NULL ? sink->db : NULL);
	free(sink);
}

static struct bursar_sink *shelf_open(const struct bursar_host *host, enum bursar_mode mode,
                                      enum bursar_verdict *verdict, struct bursar_error *err)
{
	struct bursar_sink *sink = calloc(1, sizeof(*sink));
	const int flags = mode == BURSAR_READ ? SQLITE_OPEN_READONLY
	                : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;

	if (sink == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		*verdict = BURSAR_RETRY;
		return NULL;
	}
	sink->host = host;
	if (!sqlite3_open_v2(host->text(host, "path"), &sink->db, flags, NULL) &&
	    !sqlite3_busy_timeout(sink->db, 5000) && (mode == BURSAR_READ ||
	    (!sqlite3_exec(sink->db, table, NULL, NULL, NULL) &&
	     !sqlite3_prepare_v2(sink->db, put_statement, -1, &sink->put, NULL)))) {
		return sink;
	}
	*verdict = fail(sink, err);
	shelf_close(sink);
	return NULL;
}

/* A counted record goes under the first free number; the statement returns the outcome. */
static bool store(struct bursar_sink *sink, const struct bursar_record *record,
                  enum bursar_outcome *outcome)
{
	const struct bursar_value id = bursar_value(record, BURSAR_MESSAGE_ID);
	const bool counted = record->flags & BURSAR_RECORD_COUNTED;
	const bool again = record->flags & BURSAR_RECORD_AGAIN;
	bool good;
	int n = 0;

	do {
		char text[256];
		const char *name = counted ? text : id.text;
		const int size = !counted ? (int)id.size : snprintf(text, sizeof(text),
			"%.*s#%d", (int)id.size - 2, id.text, n++);
		uint8_t key[16];
		sink->host->key(record->kind, name, (size_t)size, key);
		sqlite3_bind_blob(sink->put, 1, key, 16, SQLITE_STATIC);
		sqlite3_bind_int64(sink->put, 2, (int64_t)record->check);
		sqlite3_bind_text(sink->put, 3, name, size, SQLITE_STATIC);
		good = sqlite3_step(sink->put) == SQLITE_ROW;
		*outcome = good ? sqlite3_column_int(sink->put, 0) : 0;
		sqlite3_reset(sink->put);
	} while (good && counted && *outcome != BURSAR_STORED &&
	         !(again && *outcome == BURSAR_DUPLICATE));
	return good;
}

static enum bursar_verdict shelf_write(struct bursar_sink *sink,
                                       struct bursar_record *const *records, size_t count,
                                       enum bursar_outcome *outcomes, size_t *culprit,
                                       struct bursar_error *err)
{
	bool good = sqlite3_exec(sink->db, "BEGIN IMMEDIATE", 0, 0, 0) == 0;

	(void)culprit;	/* SQLite refuses no value */
	for (size_t i = 0; good && i < count; i++) {
		good = store(sink, records[i], &outcomes[i]);
	}
	if (good && sqlite3_exec(sink->db, "COMMIT", 0, 0, 0) == 0) {
		return BURSAR_DONE;
	}
	const enum bursar_verdict verdict = fail(sink, err);
	sqlite3_exec(sink->db, "ROLLBACK", 0, 0, 0);
	return verdict;
}

static const struct bursar_sink_ops ops = {
	.open = shelf_open, .write = shelf_write, .close = shelf_close };

BURSAR_PLUGIN_DEFINE(sink_shelf, .kind = BURSAR_SINK, .name = "shelf", .options = options,
	.ops.sink = &ops, .summary = "id and content of every record in one SQLite table",
	.manual = "The table shelf has key, hash and id of each record, whatever its kind.");
