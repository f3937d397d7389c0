/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tables of a ledger, and the steps that bring an older one here.
 *
 * PRAGMA user_version says how many steps a ledger has taken.  A step never
 * changes once it was released; a new one is added behind it.  Columns are no
 * step: whatever the schema has and a table lacks is added last.
 */
#include "config.h"

#include <errno.h>

#include "sqlite.h"

#include "common/columns.h"

/* In the header of the file; file(1) can tell by it what this is. */
#define APPLICATION_ID 0x62727372	/* "brsr" */

/* --- step 1: tables ----------------------------------------------------- */

static const char *column_type(const struct bursar_field *field)
{
	return field->type == BURSAR_TEXT || field->type == BURSAR_JSON
		? "TEXT" : "INTEGER";
}

/*
 * The column that shows a time or money to people.  Dollars are computed where
 * they are read; a time is text beside the number, since SQLite would compute
 * it for every row that comes in as well, which takes longer than the row.
 */
static void append_readable(sqlite3_str *sql, const struct bursar_field *field)
{
	char name[COLUMNS_NAME_MAX];

	if (field->type == BURSAR_TIME) {
		sqlite3_str_appendf(sql, "\"%w\" TEXT", field->name);
	} else {
		sqlite3_str_appendf(sql, "\"%w\" REAL GENERATED ALWAYS AS "
		                    "(\"%w\" / 1e9) VIRTUAL", field->name,
		                    columns_stored(field, name));
	}
}

/* "id INTEGER PRIMARY KEY, message_id TEXT, ..." */
static int make_records(sqlite3 *db, const struct bursar_kind *kind)
{
	sqlite3_str *sql = sqlite3_str_new(db);
	char name[COLUMNS_NAME_MAX];

	sqlite3_str_appendf(sql, "CREATE TABLE \"%w\" (id INTEGER PRIMARY KEY",
	                    kind->table);
	for (size_t i = 0; i < kind->field_count; i++) {
		sqlite3_str_appendf(sql, ", \"%w\" %s",
		                    columns_stored(&kind->fields[i], name),
		                    column_type(&kind->fields[i]));
	}
	for (size_t i = 0; i < kind->field_count; i++) {
		if (columns_differ(&kind->fields[i])) {
			sqlite3_str_appendall(sql, ", ");
			append_readable(sql, &kind->fields[i]);
		}
	}
	sqlite3_str_appendall(sql, ") STRICT");
	return db_exec_take(db, sqlite3_str_finish(sql));
}

/* Sums by the number of a piece of time: `cell`, or `day`. */
static int make_rollups(sqlite3 *db, const char *table, const char *time)
{
	sqlite3_str *sql = sqlite3_str_new(db);

	sqlite3_str_appendf(sql,
		"CREATE TABLE %s (dimension TEXT NOT NULL, "
		"value TEXT NOT NULL, %s INTEGER NOT NULL, "
		"provider TEXT NOT NULL, model_id TEXT NOT NULL", table, time);
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		sqlite3_str_appendf(sql, ", %s INTEGER NOT NULL DEFAULT 0",
		                    rollup_columns[i]);
	}
	sqlite3_str_appendf(sql, ", PRIMARY KEY (dimension, value, %s, "
		"provider, model_id)) STRICT, WITHOUT ROWID", time);
	return db_exec_take(db, sqlite3_str_finish(sql));
}

/* What sqlite_keys.c works with; it says there what each is for. */
static const char keys_tables[] =
	"CREATE TABLE keys_0a (run INTEGER NOT NULL, key BLOB NOT NULL, "
	"  content_check INTEGER NOT NULL, day INTEGER NOT NULL, "
	"  PRIMARY KEY (run, key)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE keys_0b (run INTEGER NOT NULL, key BLOB NOT NULL, "
	"  content_check INTEGER NOT NULL, day INTEGER NOT NULL, "
	"  PRIMARY KEY (run, key)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE keys_1a (key BLOB PRIMARY KEY NOT NULL, "
	"  content_check INTEGER NOT NULL, day INTEGER NOT NULL) "
	"  STRICT, WITHOUT ROWID;"
	"CREATE TABLE keys_1b (key BLOB PRIMARY KEY NOT NULL, "
	"  content_check INTEGER NOT NULL, day INTEGER NOT NULL) "
	"  STRICT, WITHOUT ROWID;"
	"CREATE TABLE keys_2 (key BLOB PRIMARY KEY NOT NULL, "
	"  content_check INTEGER NOT NULL, day INTEGER NOT NULL) "
	"  STRICT, WITHOUT ROWID;"
	"CREATE TABLE key_tables (name TEXT PRIMARY KEY NOT NULL, "
	"  active INTEGER NOT NULL, keys INTEGER NOT NULL, "
	"  moved BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"INSERT INTO key_tables VALUES ('keys_0a', 1, 0, x''), "
	"  ('keys_0b', 0, 0, x''), ('keys_1a', 1, 0, x''), "
	"  ('keys_1b', 0, 0, x''), ('keys_2', 1, 0, x'');"
	"CREATE TABLE key_runs (name TEXT NOT NULL, run INTEGER NOT NULL, "
	"  keys INTEGER NOT NULL, PRIMARY KEY (name, run)) "
	"  STRICT, WITHOUT ROWID;"
	"CREATE TABLE key_filter (chunk INTEGER PRIMARY KEY, "
	"  changed INTEGER NOT NULL, bits BLOB NOT NULL) STRICT;";

static int make_meta(sqlite3 *db, const struct bursar_host *host)
{
	return db_exec_take(db, sqlite3_mprintf(
		"CREATE TABLE bursar_meta (name TEXT PRIMARY KEY NOT NULL, "
		"value ANY) STRICT, WITHOUT ROWID;"
		"INSERT INTO bursar_meta VALUES "
		"('ledger_uuid', lower(hex(randomblob(16)))), "
		"('created_us', %lld), "
		"('next_row', 1), "		/* n of the next id */
		"('key_writes', 0), "		/* transactions that took keys */
		"('key_next_run', 1), "
		"('key_filter_bytes', 0), "
		"('keys_per_run', 65536), "
		"('keys_young', 1048576), "	/* more of them move on */
		"('keys_middle', 8388608);",
		(long long)host->now(host)));
}

static int step_tables(sqlite3 *db, const struct bursar_host *host)
{
	const struct bursar_schema *schema = host->schema;
	int rc = make_meta(db, host);

	for (size_t i = 0; i < schema->kind_count && rc == SQLITE_OK; i++) {
		rc = make_records(db, &schema->kinds[i]);
	}
	if (rc == SQLITE_OK) {
		rc = make_rollups(db, "rollup_cells", "cell");
	}
	if (rc == SQLITE_OK) {
		rc = db_exec(db, keys_tables);
	}
	return rc;
}

/* --- step 2: what people and reports look at ---------------------------- */

#define YOUNG(table)                                                         \
	"SELECT k.key, k.content_check, k.day FROM key_runs r "              \
	"CROSS JOIN " table " k ON k.run = r.run "                           \
	"WHERE r.name = '" table "' AND +k.key >= "                          \
	"(SELECT moved FROM key_tables WHERE name = '" table "')"
#define OLD(table)                                                           \
	"SELECT key, content_check, day FROM " table " WHERE key >= "        \
	"(SELECT moved FROM key_tables WHERE name = '" table "')"

/*
 * A key that has moved on is still in its old table until that is emptied.
 * The + of +k.key keeps SQLite from reading whole runs for a list of keys.
 */
static const char keys_view[] =
	"CREATE VIEW record_keys AS "
	YOUNG("keys_0a") " UNION ALL " YOUNG("keys_0b") " UNION ALL "
	OLD("keys_1a") " UNION ALL " OLD("keys_1b") " UNION ALL "
	"SELECT key, content_check, day FROM keys_2";

/* round() to places of its own misses some numbers by their last bit; what is
 * divided by a power of ten is the nearest one. */
static const char hourly_view[] =
	"CREATE VIEW metering_hourly_rollup AS SELECT "
	"nullif(value, '') AS worker_id, nullif(provider, '') AS provider, "
	"nullif(model_id, '') AS model_id, "
	"strftime('%Y-%m-%dT%H:00:00Z', cell / 4 * 3600, 'unixepoch') AS hour, "
	"sum(input_tokens) AS total_input_tokens, "
	"sum(output_tokens) AS total_output_tokens, "
	"sum(thinking_tokens) AS total_thinking_tokens, "
	"sum(total_tokens) AS total_tokens, "
	"sum(cache_read_input_tokens) AS total_cache_read_input_tokens, "
	"sum(cache_write_input_tokens) AS total_cache_write_input_tokens, "
	"sum(request_count) AS total_calls, "
	"sum(error_count) AS error_count, "
	"round(sum(cost_nano) / 1e3) / 1e6 AS total_cost_usd, "
	"coalesce(round(100.0 * sum(latency_ms) / "
	"nullif(sum(latency_ms_n), 0)) / 100, 0.0) AS avg_latency_ms "
	"FROM rollup_cells WHERE dimension = 'worker' "
	"GROUP BY value, provider, model_id, cell / 4";

static int index_bodies(sqlite3 *db, const struct bursar_kind *kind)
{
	char name[COLUMNS_NAME_MAX];

	columns_stored(&kind->fields[BURSAR_RECORDED_AT], name);
	return db_exec_take(db, sqlite3_mprintf(
		"CREATE INDEX \"%w_by_time\" ON \"%w\" (\"%w\")",
		kind->table, kind->table, name));
}

static int step_views(sqlite3 *db, const struct bursar_host *host)
{
	const struct bursar_schema *schema = host->schema;
	int rc = db_exec(db, keys_view);

	if (rc == SQLITE_OK) {
		rc = db_exec(db, hourly_view);
	}
	for (size_t i = 0; i < schema->kind_count && rc == SQLITE_OK; i++) {
		if (!schema->kinds[i].fact) {
			rc = index_bodies(db, &schema->kinds[i]);
		}
	}
	return rc;
}

/* --- step 3: jobs, holds, and what was done ------------------------------ */

/* A journal is written by whoever changes what it is about, in the same
 * transaction, and only added to. */
static const char jobs_tables[] =
	"CREATE TABLE bursar_leases (job TEXT PRIMARY KEY NOT NULL, "
	"  holder TEXT NOT NULL, until_us INTEGER NOT NULL, "
	"  fence INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE bursar_jobs (job TEXT PRIMARY KEY NOT NULL, "
	"  fence INTEGER NOT NULL, holder TEXT NOT NULL, "
	"  started_us INTEGER NOT NULL, ended_us INTEGER, "
	"  result TEXT NOT NULL, note TEXT NOT NULL, "
	"  next_us INTEGER NOT NULL, good_us INTEGER, "
	"  runs INTEGER NOT NULL, failures INTEGER NOT NULL) "
	"  STRICT, WITHOUT ROWID;"
	"CREATE TABLE bursar_journal (entry INTEGER PRIMARY KEY, "
	"  at_us INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, "
	"  subject TEXT NOT NULL, detail TEXT NOT NULL) STRICT;"
	"CREATE TRIGGER bursar_journal_update BEFORE UPDATE ON bursar_journal "
	"BEGIN SELECT raise(ABORT, 'the journal is only added to'); END;"
	"CREATE TRIGGER bursar_journal_delete BEFORE DELETE ON bursar_journal "
	"BEGIN SELECT raise(ABORT, 'the journal is only added to'); END;"
	"CREATE TABLE bursar_holds (name TEXT PRIMARY KEY NOT NULL, "
	"  id TEXT NOT NULL, reason TEXT NOT NULL, kind TEXT NOT NULL, "
	"  since_us INTEGER NOT NULL, until_us INTEGER NOT NULL, "
	"  added_us INTEGER NOT NULL, added_by TEXT NOT NULL, "
	"  released_us INTEGER, released_by TEXT) STRICT, WITHOUT ROWID;"
	"CREATE TABLE bursar_hold_filters (hold TEXT NOT NULL, "
	"  field TEXT NOT NULL, value TEXT NOT NULL, "
	"  PRIMARY KEY (hold, field)) STRICT, WITHOUT ROWID;"
	"CREATE TRIGGER bursar_holds_added AFTER INSERT ON bursar_holds BEGIN "
	"INSERT INTO bursar_journal (at_us, who, what, subject, detail) "
	"VALUES (new.added_us, new.added_by, 'hold-added', new.name, "
	"'reason: ' || new.reason || '; kind: ' || new.kind || '; since_us: ' "
	"|| new.since_us || '; until_us: ' || new.until_us || '; where: ' || "
	"coalesce((SELECT group_concat(field || '=' || value, ', ') "
	"FROM bursar_hold_filters WHERE hold = new.id), '')); END;"
	"CREATE TRIGGER bursar_holds_released AFTER UPDATE ON bursar_holds "
	"BEGIN INSERT INTO bursar_journal (at_us, who, what, subject, detail) "
	"VALUES (coalesce(new.released_us, 0), coalesce(new.released_by, ''), "
	"CASE WHEN new.released_us IS NULL THEN 'hold-changed' ELSE "
	"'hold-released' END, new.name, 'reason: ' || new.reason); END;"
	"CREATE TRIGGER bursar_holds_stay BEFORE DELETE ON bursar_holds "
	"BEGIN SELECT raise(ABORT, 'a hold is released, not deleted'); END;"
	"CREATE TABLE tool_links (tool_row INTEGER PRIMARY KEY, "
	"  prompt_row INTEGER, method TEXT NOT NULL, tries INTEGER NOT NULL, "
	"  next_us INTEGER NOT NULL, linked_us INTEGER) STRICT;"
	"CREATE VIEW tool_prompts AS SELECT t.message_id AS tool_id, "
	"p.message_id AS prompt_id, l.method FROM tool_links l "
	"JOIN tool_records t ON t.id = l.tool_row "
	"JOIN prompt_records p ON p.id = l.prompt_row;";

static int step_jobs(sqlite3 *db, const struct bursar_host *host)
{
	(void)host;
	return db_exec(db, jobs_tables);
}

/* --- step 4: sums of days ------------------------------------------------ */

static int step_days(sqlite3 *db, const struct bursar_host *host)
{
	const int rc = make_rollups(db, "rollup_days", "day");

	(void)host;
	return rc != SQLITE_OK ? rc : db_exec(db,
		"CREATE TABLE rollup_closed (day INTEGER PRIMARY KEY, "
		"fence INTEGER NOT NULL, summed INTEGER NOT NULL) STRICT;"
		"CREATE INDEX rollup_closed_days "
		"ON rollup_closed (day, summed);");
}

/* --- every time: columns ------------------------------------------------ */

/*
 * From what SQLite knows of the table already: a statement for each column
 * would cost a reader more than its question.  The version was read before, in
 * the same transaction or at opening, so that what it knows is current.
 */
static int has_column(sqlite3 *db, const char *table, const char *column,
                      bool *there)
{
	const int rc = sqlite3_table_column_metadata(
		db, NULL, table, column, NULL, NULL, NULL, NULL, NULL);

	*there = rc == SQLITE_OK;
	return rc == SQLITE_ERROR ? SQLITE_OK : rc;
}

/* Whether the field lacks its column, or the one that shows it. */
static int lacks_column(sqlite3 *db, const struct bursar_kind *kind,
                        size_t field, bool *stored, bool *shown)
{
	char name[COLUMNS_NAME_MAX];
	bool there;
	int rc = has_column(db, kind->table,
	                    columns_stored(&kind->fields[field], name), &there);

	*stored = !there;
	*shown = false;
	if (rc == SQLITE_OK && columns_differ(&kind->fields[field])) {
		rc = has_column(db, kind->table, kind->fields[field].name,
		                &there);
		*shown = !there;
	}
	return rc;
}

/* The place of the first field that lacks a column, or field_count. */
static int first_missing(sqlite3 *db, const struct bursar_kind *kind,
                         size_t from, size_t *missing)
{
	bool stored = false, shown = false;
	int rc = SQLITE_OK;

	for (*missing = from; *missing < kind->field_count; (*missing)++) {
		rc = lacks_column(db, kind, *missing, &stored, &shown);
		if (rc != SQLITE_OK || stored || shown) {
			break;
		}
	}
	return rc;
}

/* Rows that are there get the text of their times; the remainder is made
 * positive for times before 1970. */
static int show_times(sqlite3 *db, const struct bursar_kind *kind,
                      const struct bursar_field *field)
{
	char name[COLUMNS_NAME_MAX];

	columns_stored(field, name);
	return db_exec_take(db, sqlite3_mprintf(
		"UPDATE \"%w\" SET \"%w\" = strftime('%%Y-%%m-%%dT%%H:%%M:%%S',"
		" (\"%w\" - (\"%w\" %% 1000000 + 1000000) %% 1000000) / 1000000,"
		" 'unixepoch') || printf('.%%06dZ',"
		" (\"%w\" %% 1000000 + 1000000) %% 1000000)",
		kind->table, field->name, name, name, name));
}

static int add_readable(sqlite3 *db, const struct bursar_kind *kind,
                        const struct bursar_field *field)
{
	sqlite3_str *sql = sqlite3_str_new(db);

	sqlite3_str_appendf(sql, "ALTER TABLE \"%w\" ADD COLUMN ",
	                    kind->table);
	append_readable(sql, field);
	const int rc = db_exec_take(db, sqlite3_str_finish(sql));
	return rc == SQLITE_OK && field->type == BURSAR_TIME
	       ? show_times(db, kind, field) : rc;
}

static int add_column(sqlite3 *db, const struct bursar_kind *kind, size_t field)
{
	char name[COLUMNS_NAME_MAX];
	bool stored, shown;
	int rc = lacks_column(db, kind, field, &stored, &shown);

	if (rc == SQLITE_OK && stored) {
		rc = db_exec_take(db, sqlite3_mprintf(
			"ALTER TABLE \"%w\" ADD COLUMN \"%w\" %s",
			kind->table, columns_stored(&kind->fields[field], name),
			column_type(&kind->fields[field])));
	}
	if (rc == SQLITE_OK && shown) {
		rc = add_readable(db, kind, &kind->fields[field]);
	}
	return rc;
}

static int complete_kind(sqlite3 *db, const struct bursar_host *host,
                         const struct bursar_kind *kind)
{
	size_t missing;
	int rc = first_missing(db, kind, 0, &missing);

	while (rc == SQLITE_OK && missing < kind->field_count) {
		rc = add_column(db, kind, missing);
		if (rc == SQLITE_OK) {
			host->log(host, BURSAR_INFO, "column-added",
			          "table=%s field=%s", kind->table,
			          kind->fields[missing].name);
			rc = first_missing(db, kind, missing + 1, &missing);
		}
	}
	return rc;
}

/* --- migrating ---------------------------------------------------------- */

typedef int step_fn(sqlite3 *db, const struct bursar_host *host);

static step_fn *const steps[LEDGER_VERSION] = {
	step_tables,
	step_views,
	step_jobs,
	step_days,
};

static int refuse_newer(const char *path, int64_t version,
                        struct bursar_error *err)
{
	bursar_fail(err, EINVAL, "%s: made by a newer bursar (ledger version "
	            "%lld, this one knows %d): update bursar", path,
	            (long long)version, LEDGER_VERSION);
	return SQLITE_AUTH;
}

/* The version of the ledger; refuses what is none, and what is newer. */
static int read_version(sqlite3 *db, const char *path, int64_t *version,
                        struct bursar_error *err)
{
	int64_t application, objects;
	int rc = db_integer(db, "PRAGMA user_version", 0, version);

	if (rc == SQLITE_OK) {
		rc = db_integer(db, "PRAGMA application_id", 0, &application);
	}
	if (rc == SQLITE_OK) {
		rc = db_integer(db, "SELECT count(*) FROM sqlite_schema", 0,
		                &objects);
	}
	if (rc != SQLITE_OK) {
		return rc;
	}
	if (application != APPLICATION_ID &&
	    (objects != 0 || *version != 0 || application != 0)) {
		bursar_fail(err, EINVAL, "%s: an SQLite database, but no "
		            "ledger of bursar: give another path", path);
		return SQLITE_AUTH;
	}
	return *version > LEDGER_VERSION ? refuse_newer(path, *version, err)
	                                 : SQLITE_OK;
}

int schema_confirm(sqlite3_stmt *get_version, const char *path,
                   struct bursar_error *err)
{
	const int rc = sqlite3_step(get_version);
	const int64_t version = rc == SQLITE_ROW
		? sqlite3_column_int64(get_version, 0) : 0;

	sqlite3_reset(get_version);
	if (rc != SQLITE_ROW) {
		return rc;
	}
	if (version > LEDGER_VERSION) {
		return refuse_newer(path, version, err);
	}
	if (version < LEDGER_VERSION) {
		bursar_fail(err, ESTALE, "%s: brought back to ledger version "
		            "%lld while it was open: start the daemon again, "
		            "it brings the ledger up to date", path,
		            (long long)version);
		return SQLITE_AUTH;
	}
	return SQLITE_OK;
}

static int take_steps(sqlite3 *db, const struct bursar_host *host,
                      int64_t version)
{
	int rc = SQLITE_OK;

	for (int64_t at = version; at < LEDGER_VERSION && rc == SQLITE_OK;
	     at++) {
		rc = steps[at](db, host);
	}
	for (size_t i = 0; i < host->schema->kind_count && rc == SQLITE_OK;
	     i++) {
		rc = complete_kind(db, host, &host->schema->kinds[i]);
	}
	if (rc == SQLITE_OK && version < LEDGER_VERSION) {
		rc = db_exec_take(db, sqlite3_mprintf(
			"PRAGMA application_id = %d; PRAGMA user_version = %d",
			APPLICATION_ID, LEDGER_VERSION));
	}
	return rc;
}

enum bursar_verdict schema_recognise(sqlite3 *db, const char *path,
                                     struct bursar_error *err)
{
	int64_t version = 0;
	const int rc = read_version(db, path, &version, err);

	return rc == SQLITE_OK ? BURSAR_DONE
	                       : db_fail(db, rc, path, DB_OURS, err);
}

enum bursar_verdict schema_migrate(sqlite3 *db, const struct bursar_host *host,
                                   const char *path, struct bursar_error *err)
{
	enum bursar_verdict verdict;
	int64_t version = 0;
	int rc = db_exec(db, "BEGIN IMMEDIATE");

	if (rc == SQLITE_OK) {
		rc = read_version(db, path, &version, err);
	}
	if (rc == SQLITE_OK) {
		rc = take_steps(db, host, version);
	}
	if (rc == SQLITE_OK) {
		rc = db_exec(db, "COMMIT");
	}
	if (rc != SQLITE_OK) {
		verdict = db_fail(db, rc, path, DB_OURS, err);
		db_exec(db, "ROLLBACK");
		return verdict;
	}
	if (version > 0 && version < LEDGER_VERSION) {
		host->log(host, BURSAR_INFO, "ledger-migrated",
		          "path=\"%s\" from=%lld to=%d", path,
		          (long long)version, LEDGER_VERSION);
	}
	return BURSAR_DONE;
}

enum bursar_verdict schema_check(sqlite3 *db, const struct bursar_host *host,
                                 const char *path, struct bursar_error *err)
{
	int64_t version = 0;
	size_t missing = 0;
	char lacks[100] = "";
	int rc = read_version(db, path, &version, err);

	for (size_t i = 0; version == LEDGER_VERSION && rc == SQLITE_OK &&
	     i < host->schema->kind_count; i++) {
		const struct bursar_kind *kind = &host->schema->kinds[i];

		rc = first_missing(db, kind, 0, &missing);
		if (missing < kind->field_count) {
			snprintf(lacks, sizeof(lacks), "%s has no column %s",
			         kind->table, kind->fields[missing].name);
		}
	}
	if (rc != SQLITE_OK) {
		return db_fail(db, rc, path, DB_OURS, err);
	}
	if (version < LEDGER_VERSION) {
		snprintf(lacks, sizeof(lacks), "ledger version %lld, this one "
		         "reads %d", (long long)version, LEDGER_VERSION);
	}
	if (lacks[0] != '\0') {
		bursar_fail(err, EINVAL, "%s: %s (%s): start the daemon of "
		            "this version once, it brings the ledger up to "
		            "date", path, version == 0 ? "not yet made"
		            : "made by an older bursar", lacks);
		return BURSAR_CONFIG;
	}
	return BURSAR_DONE;
}
