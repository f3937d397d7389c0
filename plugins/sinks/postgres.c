/* SPDX-License-Identifier: Apache-2.0 */

/*
 * postgres - keeps the ledger in a PostgreSQL database
 *
 * A batch is one transaction: keys, rows, sums.  When write() returns DONE the
 * server has it on disk (synchronous_commit).  Other daemons may write to the
 * same ledger at the same time.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

#include "common/corrections.h"

#define ATTEMPTS      8		/* at a batch, each in another way */
#define STAY_SATURATE 64	/* batches after a sum that passed 63 bits */

struct bursar_sink {
	struct db db;

	/* Only of a sink that writes: */
	struct keys *keys;
	struct rows *rows;
	struct places places;	/* room for a batch */
	unsigned saturate;	/* batches whose sums are added with care */
};

static const struct bursar_option postgres_options[] = {
	{ "conninfo", BURSAR_TYPE_TEXT, NULL,
	  "Where the database is, as libpq takes it: \"host=db dbname=ledger "
	  "user=bursar sslmode=verify-full\", \"service=NAME\" or an URI." },
	{ "password", BURSAR_TYPE_SECRET, "",
	  "Password of the role, where conninfo, a service or ~/.pgpass does "
	  "not give one." },
	{ "schema", BURSAR_TYPE_TEXT, "public",
	  "Schema of the ledger, which the role owns." },
	{ "connect-timeout", BURSAR_TYPE_DURATION, "10s",
	  "How long to wait for a connection.", 100, 600000 },
	{ "statement-timeout", BURSAR_TYPE_DURATION, "1m",
	  "How long a statement may take; 0 for any time.", 0, 86400000 },
	{ "lock-timeout", BURSAR_TYPE_DURATION, "5s",
	  "How long to wait for a lock.", 10, 600000 },
	{ "network-timeout", BURSAR_TYPE_DURATION, "30s",
	  "How long sent data may stay unacknowledged until the connection "
	  "counts as lost.", 1000, 600000 },
	{ "key-filter", BURSAR_TYPE_SIZE, "4M",
	  "Memory for keys that were written lately: a batch with one of them "
	  "is written with care at once.", 1 << 12, 1 << 30 },
	{ NULL }
};

/* --- opening ------------------------------------------------------------- */

/* A role that may only read finds the tables there, and would be told with the
 * first record that it may not. */
static enum bursar_verdict may_write(struct db *db, struct bursar_error *err)
{
	int64_t may = 0;
	const enum bursar_verdict verdict = db_integer(db,
		"SELECT bool_and(has_table_privilege(c.oid, 'INSERT'))::int::"
		"bigint FROM pg_class c JOIN pg_namespace n ON n.oid = "
		"c.relnamespace WHERE n.nspname = current_schema() AND "
		"c.relname IN ('metering_records', 'bursar_keys', "
		"'rollup_cells')", NULL, 0, &may, err);

	if (verdict != BURSAR_DONE || may != 0) {
		return verdict;
	}
	bursar_fail(err, EACCES, "%s: the role may read this ledger and not "
	            "write to it: let the owner of the schema log in",
	            db->label);
	return BURSAR_CONFIG;
}

static enum bursar_verdict open_writer(struct bursar_sink *sink,
                                       struct bursar_error *err)
{
	enum bursar_verdict verdict = schema_migrate(&sink->db, err);

	if (verdict == BURSAR_DONE) {
		verdict = may_write(&sink->db, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = keys_open(&sink->keys, &sink->db, err);
	}
	return verdict == BURSAR_DONE
	       ? rows_open(&sink->rows, &sink->db, err) : verdict;
}

static void postgres_close(struct bursar_sink *sink)
{
	if (sink == NULL) {
		return;
	}
	rows_close(sink->rows);
	keys_close(sink->keys);
	places_finish(&sink->places);
	PQfinish(sink->db.conn);
	free(sink);
}

static struct bursar_sink *postgres_open(const struct bursar_host *host,
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
	sink->db.host = host;
	*verdict = connect_open(&sink->db, mode, err);
	if (*verdict == BURSAR_DONE) {
		*verdict = mode == BURSAR_WRITE ? open_writer(sink, err)
			: schema_check(&sink->db, err);
	}
	if (*verdict != BURSAR_DONE) {
		*verdict = *verdict == BURSAR_REJECT ? BURSAR_CONFIG
		                                     : *verdict;
		postgres_close(sink);
		return NULL;
	}
	return sink;
}

/* --- write --------------------------------------------------------------- */

/* How a batch is tried, and what to do otherwise the next time. */
struct attempt {
	bool copy_keys;		/* on the assumption that all are new */
	bool saturate;
	bool again;		/* it failed, and the other way may do */
	bool committing;	/* COMMIT was sent */
};

/* While the server takes the keys, in the hope that all are new, the rest is
 * made ready. */
static enum bursar_verdict copy_keys(struct bursar_sink *sink,
                                     struct batch *batch,
                                     struct attempt *attempt,
                                     struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	bool known;
	enum bursar_verdict planned;
	enum bursar_verdict verdict = keys_copy(sink->keys, batch, err);

	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	planned = rows_plan(sink->rows, batch, &why);
	verdict = keys_copied(sink->keys, &known, err);
	if (known) {
		attempt->copy_keys = false;
		attempt->again = true;
	}
	if (verdict == BURSAR_DONE && planned != BURSAR_DONE) {
		bursar_fail(err, why.code, "%s", why.text);
		verdict = planned;
	}
	return verdict;
}

/* Begins the transaction. */
static enum bursar_verdict take_keys(struct bursar_sink *sink,
                                     struct batch *batch,
                                     struct attempt *attempt, size_t *culprit,
                                     struct bursar_error *err)
{
	enum bursar_verdict verdict;

	if (attempt->copy_keys) {
		return copy_keys(sink, batch, attempt, err);
	}
	verdict = db_exec(&sink->db, "BEGIN", err);
	if (verdict == BURSAR_DONE) {
		verdict = keys_take(sink->keys, batch, culprit, err);
	}
	return verdict == BURSAR_DONE
	       ? rows_plan(sink->rows, batch, err) : verdict;
}

static enum bursar_verdict add_sums(struct bursar_sink *sink,
                                    struct attempt *attempt,
                                    struct bursar_error *err)
{
	const enum bursar_verdict verdict = rows_sum(sink->rows,
	                                             attempt->saturate, err);

	if (verdict == BURSAR_REJECT && !attempt->saturate) {
		attempt->saturate = true;
		attempt->again = true;
		sink->saturate = STAY_SATURATE;
	}
	return verdict;
}

/* Where the server did not say what it did nobody knows whether all is stored,
 * and only DOWN says that. */
static enum bursar_verdict commit(struct bursar_sink *sink,
                                  struct bursar_error *err)
{
	struct db *db = &sink->db;

	const enum bursar_verdict verdict = schema_commit(db, err);
	const bool unknown = db->state[0] == '\0' ||
		strcmp(db->state, "40003") == 0;
	return verdict == BURSAR_RETRY && unknown ? BURSAR_DOWN : verdict;
}

/* The batch in one transaction. */
static enum bursar_verdict try(struct bursar_sink *sink, struct batch *batch,
                               struct attempt *attempt, size_t *culprit,
                               struct bursar_error *err)
{
	enum bursar_verdict verdict = rows_prepare(sink->rows, batch, err);

	if (verdict == BURSAR_DONE) {
		verdict = take_keys(sink, batch, attempt, culprit, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = rows_store(sink->rows, batch, err);
		attempt->again |= verdict == BURSAR_RETRY &&
			!rows_know_parts(sink->rows);
	}
	if (verdict == BURSAR_DONE) {
		verdict = add_sums(sink, attempt, err);
	}
	if (verdict == BURSAR_DONE) {
		attempt->committing = true;
		verdict = commit(sink, err);
	}
	db_rollback(&sink->db);
	return verdict;
}

/* What a newer bursar made of the tables is no fault of records. */
static enum bursar_verdict judge(struct bursar_sink *sink,
                                 enum bursar_verdict verdict,
                                 struct attempt *attempt,
                                 struct bursar_error *why)
{
	struct bursar_error other = { 0 };

	if (verdict != BURSAR_REJECT && verdict != BURSAR_CONFIG) {
		return verdict;
	}
	const enum bursar_verdict found = schema_confirm(&sink->db, &other);
	if (found == BURSAR_DONE) {
		return verdict;
	}
	*why = other;
	attempt->committing = false;
	return found;
}

static enum bursar_verdict postgres_write(struct bursar_sink *sink,
                                          struct bursar_record *const *records,
                                          size_t count,
                                          enum bursar_outcome *outcomes,
                                          size_t *culprit,
                                          struct bursar_error *err)
{
	struct attempt attempt = { .saturate = sink->saturate > 0 };
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct bursar_error why = { 0 };

	assert(sink->rows != NULL);
	*culprit = SIZE_MAX;
	if (!places_reserve(&sink->places, count)) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	struct batch batch = { .records = records, .count = count,
		.outcomes = outcomes, .places = sink->places.at };
	sink->saturate -= sink->saturate > 0;
	attempt.copy_keys = keys_look_new(sink->keys, &batch);
	for (int i = 0; i < ATTEMPTS; i++) {
		attempt.again = false;
		memset(&why, 0, sizeof(why));
		verdict = try(sink, &batch, &attempt, culprit, &why);
		if (!attempt.again) {
			break;
		}
	}
	verdict = judge(sink, verdict, &attempt, &why);
	if (verdict == BURSAR_DONE) {
		keys_settle(sink->keys, &batch);
		sink->db.host->count(sink->db.host, attempt.copy_keys
		                     ? "batches_by_copy_total"
		                     : "batches_with_care_total", 1);
	} else {
		bursar_fail(err, why.code, "%s", why.text);
	}
	if (verdict == BURSAR_DOWN && !attempt.committing) {
		outcomes[0] = BURSAR_RETURNED;
	}
	return verdict;
}

/* --- the other operations ------------------------------------------------ */

static enum bursar_verdict postgres_purge(struct bursar_sink *sink,
                                          const struct bursar_purge *what,
                                          struct bursar_purged *purged,
                                          struct bursar_error *err)
{
	struct bursar_purged now = { 0 };
	enum bursar_verdict verdict;

	verdict = what->dry_run ? purge_count(&sink->db, what, &now, err)
		: purge_run(&sink->db, sink->keys, what, &now, err);
	if (verdict == BURSAR_REJECT) {
		verdict = BURSAR_CONFIG;
	}
	if (verdict == BURSAR_DONE) {
		purged->bodies += now.bodies;
		purged->facts += now.facts;
		purged->keys += now.keys;
		purged->more = now.more;
	}
	return verdict;
}

static enum bursar_verdict postgres_sql(struct bursar_sink *sink,
                                        const char *statement,
                                        const struct bursar_cell *parameters,
                                        size_t parameter_count,
                                        bursar_row_fn *row, void *context,
                                        struct bursar_error *err)
{
	return sql_run(&sink->db, statement, parameters, parameter_count, row,
	               context, err);
}

static enum bursar_verdict run_correction(void *context, const char *statement,
                                          const struct bursar_cell *parameters,
                                          size_t count, bursar_row_fn *row,
                                          void *row_context,
                                          struct bursar_error *err)
{
	return sql_run_within(context, statement, parameters, count, row,
	                      row_context, err);
}

static enum bursar_verdict postgres_correct(struct bursar_sink *sink,
                                            const struct bursar_correct *what,
                                            size_t *corrected,
                                            struct bursar_error *err)
{
	const struct corrections_db db = {
		.run = run_correction, .context = &sink->db, .readable = true,
	};
	enum bursar_verdict verdict = db_exec(&sink->db, "BEGIN", err);

	if (verdict == BURSAR_DONE) {
		verdict = corrections_run(&db, what,
		                          sink->db.host->now(sink->db.host),
		                          corrected, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = schema_commit(&sink->db, err);
	}
	db_rollback(&sink->db);
	return verdict;
}

static const char postgres_manual[] =
	"Keeps the ledger in a schema of a PostgreSQL database (14 or later, "
	"encoding UTF8).  Any number of daemons may write to one ledger.\n"
	"\n"
	"Facts stand in the table `metering_records`, bodies in "
	"`prompt_records` and `tool_records`, sums by quarter-hour in "
	"`rollup_cells`.  A time stands there twice: in microseconds since 1970 "
	"(UTC), as `recorded_us`, which counts, and as a timestamp, "
	"`recorded_at`, to be read; money in nano-dollars, as `cost_nano`, and "
	"in dollars, as `cost_usd`.  The view `metering_hourly_rollup` shows "
	"the sums by worker and hour, `record_keys` what tells duplicates.\n"
	"\n"
	"The role that writes owns the schema and needs nothing else; one that "
	"reads may only read.  As a superuser, once:\n"
	"\n"
	"    CREATE ROLE bursar LOGIN; CREATE ROLE bursar_reader LOGIN;\n"
	"    CREATE SCHEMA bursar AUTHORIZATION bursar;\n"
	"    GRANT USAGE ON SCHEMA bursar TO bursar_reader;\n"
	"    ALTER DEFAULT PRIVILEGES FOR ROLE bursar IN SCHEMA bursar "
	"GRANT SELECT ON TABLES TO bursar_reader;\n"
	"\n"
	"and for a ledger that is there already: GRANT SELECT ON ALL TABLES IN "
	"SCHEMA bursar TO bursar_reader.\n"
	"\n"
	"Tables are partitioned: facts by the month of `recorded_at`, bodies by "
	"the day on which they expire (those that expire in more than 100 days "
	"by the month, those that never do in one of their own).  Partitions "
	"are made when they are needed and dropped when all in them is to go, "
	"however many rows that are; so what expired today stays, hidden from "
	"reports, until the day (UTC) is over, and facts until their month is. "
	"What is marked as health data goes at the beginning of its day.  Rows "
	"of small partitions go at once.\n"
	"\n"
	"synchronous_commit is raised to `on` where the server would do with "
	"less.  After a failover the daemon looks for the server that takes "
	"writes: name all of them in conninfo (host=a,b).  A pooler in between "
	"has to give each client a connection of its own (PgBouncer: session "
	"pooling).  A backup is made by the tools of PostgreSQL, pg_dump for "
	"one.";

static const struct bursar_sink_ops postgres_ops = {
	.open  = postgres_open,
	.write = postgres_write,
	.purge = postgres_purge,
	.sql   = postgres_sql,
	.correct = postgres_correct,
	.close = postgres_close,
};

static const struct bursar_plugin_figure postgres_figures[] = {
	{ "batches_by_copy_total",
	  "Batches stored by COPY alone, as no key was known." },
	{ "batches_with_care_total",
	  "Batches whose keys were compared one by one, as some seemed to be "
	  "known." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(sink_postgres,
	.kind     = BURSAR_SINK,
	.name     = "postgres",
	.summary  = "keeps the ledger in a PostgreSQL database",
	.options  = postgres_options,
	.figures  = postgres_figures,
	.manual   = postgres_manual,
	.ops.sink = &postgres_ops);
