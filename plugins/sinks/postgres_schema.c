/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tables of a ledger, and the steps that bring an older one here.
 *
 * bursar_meta says under `ledger_version` how many steps a ledger has taken.  A
 * step never changes once it was released; a new one is added behind it.
 * Columns are no step: whatever the schema has and a table lacks is added last.
 *
 * Texts compare by their bytes (COLLATE "C"), as in every other sink.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

/* One half of an advisory lock; the other is the schema. */
#define LOCK_CLASS 0x62727372	/* "brsr" */

/* --- step 1: tables ------------------------------------------------------ */

static bool is_text(const struct bursar_field *field)
{
	return field->type == BURSAR_TEXT || field->type == BURSAR_JSON;
}

static const char *column_type(const struct bursar_field *field)
{
	return is_text(field) ? "text COLLATE \"C\""
		: field->type == BURSAR_BOOL ? "smallint" : "bigint";
}

/*
 * The column that shows a time or money to people.  It is written as any other:
 * to have the server compute it takes a tenth of all that storing a fact does.
 */
static void add_readable(struct text *sql, const struct bursar_field *field)
{
	text_add(sql, "\"%s\" %s", field->name,
	         field->type == BURSAR_TIME ? "timestamptz" : "numeric");
}

/* Numbers stand before texts, so that nothing is lost between them. */
static void add_columns(struct text *sql, const struct bursar_kind *kind,
                        bool texts)
{
	char name[COLUMNS_NAME_MAX];

	for (size_t i = 0; i < kind->field_count; i++) {
		const bool needed = i == BURSAR_RECORDED_AT ||
			i == BURSAR_INSERTED_AT;

		if (is_text(&kind->fields[i]) == texts) {
			text_add(sql, ", \"%s\" %s%s",
			         columns_stored(&kind->fields[i], name),
			         column_type(&kind->fields[i]),
			         needed ? " NOT NULL" : "");
		}
	}
}

static void add_records(struct text *sql, const struct bursar_kind *kind)
{
	text_add(sql, "CREATE TABLE \"%s\" (id bigint PRIMARY KEY",
	         kind->table);
	add_columns(sql, kind, false);
	add_columns(sql, kind, true);
	for (size_t i = 0; i < kind->field_count; i++) {
		if (columns_differ(&kind->fields[i])) {
			text_add(sql, ", ");
			add_readable(sql, &kind->fields[i]);
		}
	}
	text_add(sql, ") PARTITION BY RANGE (id);");
	if (!kind->fact) {
		text_add(sql, "CREATE INDEX \"%s_by_time\" ON \"%s\" "
		         "(recorded_us);", kind->table, kind->table);
	}
}

/*
 * Sums by the number of a piece of time: `cell`, or `day`.  `fill` percent of
 * each page are filled at first.
 */
static void add_rollups(struct text *sql, const char *table, const char *time,
                        int fill)
{
	text_add(sql, "CREATE TABLE %s ("
		"dimension text COLLATE \"C\" NOT NULL, "
		"value text COLLATE \"C\" NOT NULL, %s bigint NOT NULL, "
		"provider text COLLATE \"C\" NOT NULL, "
		"model_id text COLLATE \"C\" NOT NULL", table, time);
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		text_add(sql, ", %s bigint NOT NULL DEFAULT 0",
		         rollup_columns[i]);
	}
	text_add(sql, ", PRIMARY KEY (dimension, value, %s, provider, "
	         "model_id)) WITH (fillfactor = %d);", time, fill);
}

/* bursar_row hands out the lower 40 bits of ids, so many at a time. */
static const char other_tables[] =
	"CREATE TABLE bursar_keys (content_check bigint NOT NULL, "
	"  day integer NOT NULL, key bytea NOT NULL, "
	"  CONSTRAINT bursar_keys_pkey PRIMARY KEY (key));"
	"CREATE SEQUENCE bursar_row AS bigint INCREMENT BY 65536 MINVALUE 0 "
	"  MAXVALUE 1099511562240 START WITH 0 NO CYCLE;"
	"CREATE TABLE bursar_leases (job text COLLATE \"C\" PRIMARY KEY, "
	"  holder text COLLATE \"C\" NOT NULL, until_us bigint NOT NULL, "
	"  fence bigint NOT NULL);"
	"CREATE VIEW record_keys AS "
	"  SELECT key, content_check, day FROM bursar_keys;"
	"CREATE VIEW metering_hourly_rollup AS SELECT "
	"nullif(value, '') AS worker_id, nullif(provider, '') AS provider, "
	"nullif(model_id, '') AS model_id, "
	"to_timestamp(cell / 4 * 3600) AS hour, "
	"sum(input_tokens) AS total_input_tokens, "
	"sum(output_tokens) AS total_output_tokens, "
	"sum(thinking_tokens) AS total_thinking_tokens, "
	"sum(total_tokens) AS total_tokens, "
	"sum(cache_read_input_tokens) AS total_cache_read_input_tokens, "
	"sum(cache_write_input_tokens) AS total_cache_write_input_tokens, "
	"sum(request_count) AS total_calls, "
	"sum(error_count) AS error_count, "
	"round(sum(cost_nano) / 1e9, 6) AS total_cost_usd, "
	"coalesce(round(sum(latency_ms) / nullif(sum(latency_ms_n), 0), 2), 0) "
	"AS avg_latency_ms "
	"FROM rollup_cells WHERE dimension = 'worker' "
	"GROUP BY value, provider, model_id, cell / 4;";

static void step_tables(struct text *sql, const struct bursar_host *host)
{
	const struct bursar_schema *schema = host->schema;

	text_add(sql, "CREATE TABLE bursar_meta ("
	         "name text COLLATE \"C\" PRIMARY KEY, "
	         "value text COLLATE \"C\");"
	         "INSERT INTO bursar_meta VALUES "
	         "('ledger_uuid', replace(gen_random_uuid()::text, '-', '')), "
	         "('created_us', '%lld');", (long long)host->now(host));
	for (size_t i = 0; i < schema->kind_count; i++) {
		add_records(sql, &schema->kinds[i]);
	}
	/* Room is left for the cells of the present to grow in. */
	add_rollups(sql, "rollup_cells", "cell", 50);
	text_add(sql, "%s", other_tables);
}

/* --- step 2: jobs, holds, and what was done ------------------------------- */

/* A journal is written by whoever changes what it is about, in the same
 * transaction, and only added to. */
static const char jobs_tables[] =
	"CREATE TABLE bursar_jobs (job text COLLATE \"C\" PRIMARY KEY, "
	"  fence bigint NOT NULL, holder text COLLATE \"C\" NOT NULL, "
	"  started_us bigint NOT NULL, ended_us bigint, "
	"  result text COLLATE \"C\" NOT NULL, "
	"  note text COLLATE \"C\" NOT NULL, next_us bigint NOT NULL, "
	"  good_us bigint, runs bigint NOT NULL, failures bigint NOT NULL);"
	"CREATE TABLE bursar_journal ("
	"  entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
	"  at_us bigint NOT NULL, who text COLLATE \"C\" NOT NULL, "
	"  what text COLLATE \"C\" NOT NULL, "
	"  subject text COLLATE \"C\" NOT NULL, "
	"  detail text COLLATE \"C\" NOT NULL);"
	"CREATE FUNCTION bursar_stays() RETURNS trigger LANGUAGE plpgsql AS $$ "
	"BEGIN RAISE EXCEPTION 'rows of % stay as they are', TG_TABLE_NAME; "
	"END $$;"
	"CREATE TRIGGER bursar_journal_stays BEFORE UPDATE OR DELETE OR "
	"  TRUNCATE ON bursar_journal EXECUTE FUNCTION bursar_stays();"
	"CREATE TABLE bursar_holds (name text COLLATE \"C\" PRIMARY KEY, "
	"  id text COLLATE \"C\" NOT NULL, "
	"  reason text COLLATE \"C\" NOT NULL, "
	"  kind text COLLATE \"C\" NOT NULL, since_us bigint NOT NULL, "
	"  until_us bigint NOT NULL, added_us bigint NOT NULL, "
	"  added_by text COLLATE \"C\" NOT NULL, released_us bigint, "
	"  released_by text COLLATE \"C\");"
	"CREATE TABLE bursar_hold_filters (hold text COLLATE \"C\" NOT NULL, "
	"  field text COLLATE \"C\" NOT NULL, "
	"  value text COLLATE \"C\" NOT NULL, PRIMARY KEY (hold, field));"
	"CREATE FUNCTION bursar_holds_journal() RETURNS trigger "
	"LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN "
	"IF TG_OP = 'INSERT' THEN "
	"INSERT INTO bursar_journal (at_us, who, what, subject, detail) "
	"VALUES (new.added_us, new.added_by, 'hold-added', new.name, "
	"'reason: ' || new.reason || '; kind: ' || new.kind || '; since_us: ' "
	"|| new.since_us || '; until_us: ' || new.until_us || '; where: ' || "
	"coalesce((SELECT string_agg(field || '=' || value, ', ') "
	"FROM bursar_hold_filters WHERE hold = new.id), '')); "
	"ELSE "
	"INSERT INTO bursar_journal (at_us, who, what, subject, detail) "
	"VALUES (coalesce(new.released_us, 0), coalesce(new.released_by, ''), "
	"CASE WHEN new.released_us IS NULL THEN 'hold-changed' ELSE "
	"'hold-released' END, new.name, 'reason: ' || new.reason); "
	"END IF; RETURN NULL; END $$;"
	"CREATE TRIGGER bursar_holds_journal AFTER INSERT OR UPDATE "
	"  ON bursar_holds FOR EACH ROW "
	"  EXECUTE FUNCTION bursar_holds_journal();"
	"CREATE TRIGGER bursar_holds_stay BEFORE DELETE OR TRUNCATE "
	"  ON bursar_holds EXECUTE FUNCTION bursar_stays();"
	"CREATE TABLE tool_links (tool_row bigint PRIMARY KEY, "
	"  prompt_row bigint, method text COLLATE \"C\" NOT NULL, "
	"  tries bigint NOT NULL, next_us bigint NOT NULL, linked_us bigint);"
	"CREATE VIEW tool_prompts AS SELECT t.message_id AS tool_id, "
	"p.message_id AS prompt_id, l.method FROM tool_links l "
	"JOIN tool_records t ON t.id = l.tool_row "
	"JOIN prompt_records p ON p.id = l.prompt_row;";

static void step_jobs(struct text *sql, const struct bursar_host *host)
{
	(void)host;
	text_add(sql, "%s", jobs_tables);
}

/* --- step 3: what SQL can ask of tags ------------------------------------- */

static const char tags_function[] =
	"CREATE OR REPLACE FUNCTION bursar_tag(tags text, key text) RETURNS text "
	"LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT "
	"tags::pg_catalog.json OPERATOR(pg_catalog.->>) key $$;";

static void step_tags(struct text *sql, const struct bursar_host *host)
{
	(void)host;
	text_add(sql, "%s", tags_function);
}

/* --- step 4: sums of days ------------------------------------------------- */

static void step_days(struct text *sql, const struct bursar_host *host)
{
	(void)host;
	add_rollups(sql, "rollup_days", "day", 100);
	text_add(sql, "CREATE TABLE rollup_closed (day bigint PRIMARY KEY, "
	         "fence bigint NOT NULL, summed bigint NOT NULL);"
	         "CREATE INDEX rollup_closed_days "
	         "ON rollup_closed (day, summed);");
}

/* --- every time: columns ------------------------------------------------- */

static bool has_column(const PGresult *columns, const char *table,
                       const char *name)
{
	for (int i = 0; i < PQntuples(columns); i++) {
		if (strcmp(PQgetvalue(columns, i, 1), name) == 0 &&
		    strcmp(PQgetvalue(columns, i, 0), table) == 0) {
			return true;
		}
	}
	return false;
}

/* Table and column, of all kinds at once: each question is a way to the server
 * and back. */
static enum bursar_verdict read_columns(struct db *db, PGresult **columns,
                                        struct bursar_error *err)
{
	const struct bursar_schema *schema = db->host->schema;
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct text sql = { 0 };

	text_add(&sql, "SELECT t.name, a.attname FROM (VALUES ");
	for (size_t i = 0; i < schema->kind_count; i++) {
		text_add(&sql, "%s('%s')", i == 0 ? "" : ", ",
		         schema->kinds[i].table);
	}
	text_add(&sql, ") t (name) JOIN pg_attribute a "
	         "ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 "
	         "AND NOT a.attisdropped");
	if (sql.failed) {
		bursar_fail(err, ENOMEM, "out of memory");
	} else {
		verdict = db_query(db, sql.data, NULL, false, columns, err);
	}
	text_finish(&sql);
	return verdict;
}

/* Adds to sql what makes the columns that are missing; counts them. */
static size_t add_missing(struct text *sql, const struct bursar_kind *kind,
                          const PGresult *columns)
{
	size_t missing = 0;

	for (size_t i = 0; i < kind->field_count; i++) {
		const struct bursar_field *field = &kind->fields[i];
		char name[COLUMNS_NAME_MAX];

		columns_stored(field, name);
		if (!has_column(columns, kind->table, name)) {
			text_add(sql, "ALTER TABLE \"%s\" ADD COLUMN \"%s\" "
			         "%s;", kind->table, name, column_type(field));
			missing++;
		}
		if (columns_differ(field) &&
		    !has_column(columns, kind->table, field->name)) {
			text_add(sql, "ALTER TABLE \"%s\" ADD COLUMN ",
			         kind->table);
			add_readable(sql, field);
			text_add(sql, ";");
			missing++;
		}
	}
	return missing;
}

static enum bursar_verdict complete_kind(struct db *db,
                                         const struct bursar_kind *kind,
                                         const PGresult *columns,
                                         struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	struct text sql = { 0 };

	const size_t missing = add_missing(&sql, kind, columns);
	if (missing > 0) {
		verdict = db_exec_text(db, &sql, err);
		db->host->log(db->host, BURSAR_INFO, "columns-added",
		              "table=%s columns=%zu", kind->table, missing);
	}
	text_finish(&sql);
	return verdict;
}

static enum bursar_verdict complete_kinds(struct db *db,
                                          struct bursar_error *err)
{
	const struct bursar_schema *schema = db->host->schema;
	PGresult *columns = NULL;
	enum bursar_verdict verdict = read_columns(db, &columns, err);

	for (size_t i = 0; i < schema->kind_count && verdict == BURSAR_DONE;
	     i++) {
		verdict = complete_kind(db, &schema->kinds[i], columns, err);
	}
	PQclear(columns);
	return verdict;
}

/* --- the stamp ----------------------------------------------------------- */

/* FNV-1a, with an end to each text. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	do {
		hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
	} while (*text++ != '\0');
	return hash;
}

static uint64_t hash_columns(const struct bursar_schema *schema)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	char name[COLUMNS_NAME_MAX];

	for (size_t i = 0; i < schema->kind_count; i++) {
		const struct bursar_kind *kind = &schema->kinds[i];

		hash = hash_text(hash, kind->table);
		for (size_t at = 0; at < kind->field_count; at++) {
			hash = hash_text(hash, kind->fields[at].name);
			hash = hash_text(hash, columns_stored(
				&kind->fields[at], name));
		}
	}
	return hash;
}

void schema_stamp(const struct bursar_schema *schema, char stamp[32])
{
	snprintf(stamp, 32, "%016llx %d",
	         (unsigned long long)hash_columns(schema), LEDGER_VERSION);
}

static enum bursar_verdict note_stamp(struct db *db, struct bursar_error *err)
{
	struct text sql = { 0 };

	text_add(&sql, "INSERT INTO bursar_meta AS m (name, value) VALUES "
	         "('ledger_stamp', '%016llx') ON CONFLICT (name) DO UPDATE "
	         "SET value = excluded.value WHERE m.value <> excluded.value",
	         (unsigned long long)hash_columns(db->host->schema));
	return db_exec_text(db, &sql, err);
}

/* --- migrating ----------------------------------------------------------- */

typedef void step_fn(struct text *sql, const struct bursar_host *host);

static step_fn *const steps[LEDGER_VERSION] = {
	step_tables,
	step_jobs,
	step_tags,
	step_days,
};

static enum bursar_verdict ask_version(struct db *db, int64_t *version,
                                       struct bursar_error *err)
{
	return db_integer(db, "SELECT value FROM bursar_meta WHERE name = "
	                  "'ledger_version'", NULL, 0, version, err);
}

/* 0: nothing is there. */
static enum bursar_verdict read_version(struct db *db, int64_t *version,
                                        struct bursar_error *err)
{
	int64_t there;
	enum bursar_verdict verdict = db_integer(db, "SELECT 1 WHERE "
		"to_regclass('bursar_meta') IS NOT NULL", NULL, 0, &there, err);

	*version = 0;
	if (verdict != BURSAR_DONE || there == 0) {
		return verdict;
	}
	verdict = ask_version(db, version, err);
	if (verdict == BURSAR_DONE && *version > LEDGER_VERSION) {
		bursar_fail(err, EINVAL, "%s: made by a newer bursar (ledger "
		            "version %lld, this one knows %d): update bursar",
		            db->label, (long long)*version, LEDGER_VERSION);
		return BURSAR_CONFIG;
	}
	return verdict;
}

/* A schema that is not there is no place for tables. */
static enum bursar_verdict find_schema(struct db *db, struct bursar_error *err)
{
	const char *schema = db->host->text(db->host, "schema");
	struct db_values values = { 0 };
	int64_t there;
	enum bursar_verdict verdict;

	db_add_text(&values, schema);
	verdict = db_integer(db, "SELECT CASE WHEN has_schema_privilege(oid, "
	                     "'USAGE') THEN 2 ELSE 1 END FROM pg_namespace "
	                     "WHERE nspname = $1", &values, 0, &there, err);
	if (verdict != BURSAR_DONE || there == 2) {
		return verdict;
	}
	if (there == 0) {
		bursar_fail(err, ENOTDIR, "%s: there is no schema %.40s: "
		            "CREATE SCHEMA %.40s AUTHORIZATION %.40s",
		            db->label, schema, schema, PQuser(db->conn));
	} else {
		bursar_fail(err, EACCES, "%s: no permission: GRANT USAGE ON "
		            "SCHEMA %.40s TO %.40s", db->label, schema,
		            PQuser(db->conn));
	}
	return BURSAR_CONFIG;
}

enum bursar_verdict schema_confirm(struct db *db, struct bursar_error *err)
{
	enum bursar_verdict verdict = find_schema(db, err);
	int64_t version = 0;

	if (verdict == BURSAR_DONE) {
		verdict = read_version(db, &version, err);
	}
	if (verdict != BURSAR_DONE || version == LEDGER_VERSION) {
		return verdict;
	}
	bursar_fail(err, ESTALE, "%s: brought back to ledger version %lld "
	            "while it was open: start the daemon again, it brings the "
	            "ledger up to date", db->label, (long long)version);
	return BURSAR_CONFIG;
}

/* The server cannot be told not to commit but by a failure. */
#define OTHER_VERSION "22012"	/* division by zero */
#define TEXT_OF(macro) QUOTED(macro)
#define QUOTED(text)   #text

static const char commit_ours[] =
	"SELECT 1 / (value = '" TEXT_OF(LEDGER_VERSION) "')::int "
	"FROM bursar_meta WHERE name = 'ledger_version'; COMMIT";

enum bursar_verdict schema_commit(struct db *db, struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	enum bursar_verdict verdict;

	db->state[0] = '\0';
	verdict = db_exec(db, commit_ours, &why);
	if (verdict == BURSAR_DONE) {
		return verdict;
	}
	if (strcmp(db->state, OTHER_VERSION) == 0) {
		db_rollback(db);
		/* Nothing was stored, whatever came between. */
		verdict = schema_confirm(db, err) == BURSAR_CONFIG
			? BURSAR_CONFIG : BURSAR_RETRY;
	}
	bursar_fail(err, why.code, "%s", why.text);
	return verdict;
}

enum bursar_verdict schema_lock(struct db *db, struct bursar_error *err)
{
	struct db_values values = { 0 };

	db_add_integer(&values, LOCK_CLASS);
	return db_query(db, "SELECT pg_advisory_xact_lock($1::int, "
	                "hashtext(current_schema()))", &values, false, NULL,
	                err);
}

static enum bursar_verdict take_steps(struct db *db, int64_t version,
                                      struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	struct text sql = { 0 };

	for (int64_t at = version; at < LEDGER_VERSION; at++) {
		steps[at](&sql, db->host);
	}
	if (version < LEDGER_VERSION) {
		text_add(&sql, "INSERT INTO bursar_meta VALUES "
		         "('ledger_version', '%d') ON CONFLICT (name) "
		         "DO UPDATE SET value = excluded.value;",
		         LEDGER_VERSION);
		verdict = db_exec_text(db, &sql, err);
	}
	return verdict == BURSAR_DONE ? complete_kinds(db, err) : verdict;
}

enum bursar_verdict schema_migrate(struct db *db, struct bursar_error *err)
{
	const int64_t patience_ms = db->patience_ms;
	int64_t version = 0;
	enum bursar_verdict verdict = find_schema(db, err);

	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	/* To rewrite a large table takes its time. */
	db->patience_ms = 0;
	verdict = db_exec(db, "BEGIN; SET LOCAL statement_timeout = 0", err);
	if (verdict == BURSAR_DONE) {
		verdict = schema_lock(db, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = read_version(db, &version, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = take_steps(db, version, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = note_stamp(db, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = db_exec(db, "COMMIT", err);
	}
	db_rollback(db);
	db->patience_ms = patience_ms;
	if (verdict == BURSAR_DONE && version > 0 && version < LEDGER_VERSION) {
		db->host->log(db->host, BURSAR_INFO, "ledger-migrated",
		              "from=%lld to=%d", (long long)version,
		              LEDGER_VERSION);
	}
	return verdict == BURSAR_REJECT ? BURSAR_CONFIG : verdict;
}

static enum bursar_verdict count_missing(struct db *db, size_t *missing,
                                         struct bursar_error *err)
{
	const struct bursar_schema *schema = db->host->schema;
	PGresult *columns = NULL;
	const enum bursar_verdict verdict = read_columns(db, &columns, err);

	*missing = 0;
	for (size_t i = 0; i < schema->kind_count && verdict == BURSAR_DONE;
	     i++) {
		struct text unused = { 0 };

		*missing += add_missing(&unused, &schema->kinds[i], columns);
		text_finish(&unused);
	}
	PQclear(columns);
	return verdict;
}

enum bursar_verdict schema_check(struct db *db, struct bursar_error *err)
{
	struct bursar_error unheard = { 0 };
	enum bursar_verdict verdict;
	int64_t version = 0;
	size_t missing = 0;
	char stamp[32];

	schema_stamp(db->host->schema, stamp);
	if (strcmp(db->stamp, stamp) == 0) {
		return BURSAR_DONE;
	}
	/* It has none, or another one. */
	verdict = ask_version(db, &version, &unheard);
	if (verdict != BURSAR_DONE || version != LEDGER_VERSION) {
		verdict = find_schema(db, err);
		if (verdict == BURSAR_DONE) {
			verdict = read_version(db, &version, err);
		}
	}
	if (verdict == BURSAR_DONE && version == LEDGER_VERSION) {
		verdict = count_missing(db, &missing, err);
	}
	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	if (version == 0) {
		bursar_fail(err, ENOENT, "%s: there is no ledger in schema "
		            "%.60s yet; the daemon makes it when it starts",
		            db->label, db->host->text(db->host, "schema"));
		return BURSAR_CONFIG;
	}
	if (version < LEDGER_VERSION || missing > 0) {
		bursar_fail(err, EINVAL, "%s: made by an older bursar: start "
		            "the daemon of this version once, it brings the "
		            "ledger up to date", db->label);
		return BURSAR_CONFIG;
	}
	return BURSAR_DONE;
}
