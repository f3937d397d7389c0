/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The postgres sink against a real server, through its operations alone.
 *
 * The server is that of `tests/servers run`, which this program starts itself
 * where nobody did.  Each test has a schema of its own, owned by the role that
 * writes and readable by the one that reads, and nothing else.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>
#include <libpq-fe.h>

#include <bursar/sink.h>

#include "common/columns.h"
#include "core/schema.h"
#include "tests/fakehost.h"
#include "tests/sinkrecord.h"

#define CELL INT64_C(1992576)
#define NOON (CELL * COLUMNS_CELL_US)	/* when our records happen */
#define TODAY (NOON / COLUMNS_DAY_US)
#define MAX_RECORDS 20000

static char schema_name[40];
static PGconn *admin;
static const struct bursar_sink_ops *ops;
static struct fakehost *host;
static struct bursar_sink *sink;
static struct bursar_error err;

static struct bursar_record *records[MAX_RECORDS];
static enum bursar_outcome outcomes[MAX_RECORDS];
static size_t record_count;
static size_t culprit;

/* --- fixture ------------------------------------------------------------- */

/* Something done behind the sink's back; returns the first value, or "". */
__attribute__((format(printf, 1, 2)))
static const char *behind(const char *fmt, ...)
{
	static char value[200];
	char sql[4000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sql, sizeof(sql), fmt, ap);
	va_end(ap);
	PGresult *result = PQexec(admin, sql);
	ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK ||
	              PQresultStatus(result) == PGRES_TUPLES_OK, "%s: %s", sql,
	              PQerrorMessage(admin));
	snprintf(value, sizeof(value), "%s", PQntuples(result) > 0
	         ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return value;
}

static struct fakehost *make_host(const char *variable)
{
	struct fakehost *made = calloc(1, sizeof(*made));

	ck_assert_ptr_nonnull(made);
	fakehost_init(made, &schema);
	fakehost_declare(made, fakehost_load("sink", "postgres")->options);
	fakehost_set(made, "conninfo", getenv(variable));
	fakehost_set(made, "schema", schema_name);
	fakehost_set(made, "lock-timeout", "200ms");
	fakehost_set(made, "statement-timeout", "20s");
	made->now_us = NOON + 5000000;
	return made;
}

static void free_host(struct fakehost *made)
{
	fakehost_finish(made);
	free(made);
}

static void make_schema(void)
{
	behind("SET client_min_messages = error;"
	       "CREATE SCHEMA %s AUTHORIZATION bursar;"
	       "GRANT USAGE ON SCHEMA %s TO bursar_reader;"
	       "ALTER DEFAULT PRIVILEGES FOR ROLE bursar IN SCHEMA %s "
	       "GRANT SELECT ON TABLES TO bursar_reader;"
	       "SET search_path = %s", schema_name, schema_name, schema_name,
	       schema_name);
}

static void set_up(void)
{
	ops = fakehost_load("sink", "postgres")->ops.sink;
	snprintf(schema_name, sizeof(schema_name), "t%ld", (long)getpid());
	admin = PQconnectdb(getenv("BURSAR_TEST_PG_ADMIN"));
	ck_assert_msg(PQstatus(admin) == CONNECTION_OK, "%s",
	              PQerrorMessage(admin));
	make_schema();
	host = make_host("BURSAR_TEST_PG");
	memset(&err, 0, sizeof(err));
}

static void clear_records(void)
{
	while (record_count > 0) {
		free(records[--record_count]);
	}
}

static void close_sink(void)
{
	ops->close(sink);
	sink = NULL;
}

static void tear_down(void)
{
	close_sink();
	clear_records();
	free_host(host);
	behind("DROP SCHEMA IF EXISTS %s CASCADE", schema_name);
	PQfinish(admin);
}

static struct bursar_sink *open_with(struct fakehost *with,
                                     enum bursar_mode mode)
{
	enum bursar_verdict verdict = BURSAR_DOWN;
	struct bursar_sink *opened;

	memset(&err, 0, sizeof(err));
	opened = ops->open(&with->host, mode, &verdict, &err);
	ck_assert_msg(opened != NULL, "%s", err.text);
	ck_assert_int_eq(verdict, BURSAR_DONE);
	return opened;
}

static void open_sink(void)
{
	sink = open_with(host, BURSAR_WRITE);
}

static void reopen(void)
{
	close_sink();
	open_sink();
}

/* Fails to open; the sentence says `words`. */
static void refused(struct fakehost *with, enum bursar_mode mode,
                    enum bursar_verdict expected, const char *words)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	memset(&err, 0, sizeof(err));
	ck_assert_ptr_null(ops->open(&with->host, mode, &verdict, &err));
	ck_assert_int_ne(err.code, 0);
	ck_assert_msg(strstr(err.text, words) != NULL, "'%s' does not say '%s'",
	              err.text, words);
	ck_assert_msg((int)verdict == (int)expected, "verdict %d: %s",
	              (int)verdict, err.text);
}

/* --- records ------------------------------------------------------------- */

static struct bursar_record *add_record(const char *kind, const char *id,
                                        uint64_t check)
{
	struct bursar_record *record = sinkrecord_create(
		bursar_kind_find(&schema, kind, strlen(kind)));

	ck_assert_uint_lt(record_count, MAX_RECORDS);
	records[record_count++] = record;
	bursar_set_text(record, BURSAR_MESSAGE_ID, id, strlen(id));
	bursar_set_number(record, BURSAR_RECORDED_AT, NOON);
	bursar_set_number(record, BURSAR_INSERTED_AT, NOON + 1);
	bursar_set_number(record, BURSAR_DQ_FLAGS, 0);
	host->host.key(record->kind, id, strlen(id), record->key);
	record->check = check;
	return record;
}

static struct bursar_record *add(const char *id)
{
	return add_record("metering", id, 1);
}

static void set_text(struct bursar_record *record, const char *field,
                     const char *text)
{
	bursar_set_text(record, bursar_field_find(record->kind, field), text,
	                strlen(text));
}

static void set_number(struct bursar_record *record, const char *field,
                       int64_t number)
{
	bursar_set_number(record, bursar_field_find(record->kind, field),
	                  number);
}

static int compare_records(const void *left, const void *right)
{
	const struct bursar_record *const *a = left;
	const struct bursar_record *const *b = right;
	const int order = sinkrecord_compare(left, right);

	/* Equal keys in order of arrival: of allocation in `check` here. */
	return order != 0 ? order : ((*a)->check > (*b)->check) -
		((*a)->check < (*b)->check);
}

static enum bursar_verdict write_to(struct bursar_sink *to)
{
	memset(&err, 0, sizeof(err));
	qsort(records, record_count, sizeof(records[0]), compare_records);
	return ops->write(to, records, record_count, outcomes, &culprit, &err);
}

static void write_all(void)
{
	const enum bursar_verdict verdict = write_to(sink);

	ck_assert_msg(verdict == BURSAR_DONE, "%s", err.text);
}

/* How many outcomes of the last batch were that. */
static size_t outcome_count(enum bursar_outcome outcome)
{
	size_t count = 0;

	for (size_t i = 0; i < record_count; i++) {
		count += outcomes[i] == outcome;
	}
	return count;
}

/* Writes one record and says what became of it. */
static enum bursar_outcome write_one(const char *id, uint64_t check,
                                     unsigned flags)
{
	clear_records();
	add_record("metering", id, check)->flags = flags;
	write_all();
	return outcomes[0];
}

/* --- asking -------------------------------------------------------------- */

static int keep_integer(void *context, const struct bursar_cell *cells,
                        size_t count)
{
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(cells[0].type, BURSAR_INTEGER);
	*(int64_t *)context = cells[0].integer;
	return 0;
}

static int64_t integer(const char *sql)
{
	int64_t value = -1;
	const enum bursar_verdict verdict =
		ops->sql(sink, sql, NULL, 0, keep_integer, &value, &err);

	ck_assert_msg(verdict == BURSAR_DONE, "%s", err.text);
	return value;
}

static int keep_text(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(cells[0].type, BURSAR_STRING);
	ck_assert_uint_lt(cells[0].size, 1000);
	memcpy(context, cells[0].data, cells[0].size);
	((char *)context)[cells[0].size] = '\0';
	return 0;
}

static const char *text(const char *sql)
{
	static char value[1000];
	const enum bursar_verdict verdict =
		ops->sql(sink, sql, NULL, 0, keep_text, value, &err);

	ck_assert_msg(verdict == BURSAR_DONE, "%s", err.text);
	return value;
}

/* --- writing ------------------------------------------------------------- */

START_TEST(a_record_is_stored_as_it_is)
{
	open_sink();
	struct bursar_record *record = add("m'1 \xe2\x82\xac");
	set_text(record, "worker_id", "");
	set_number(record, "input_tokens", -5);
	set_number(record, "cost_usd", INT64_C(13083000));
	bursar_set_number(record, BURSAR_RECORDED_AT, NOON + 1234567);
	write_all();

	ck_assert_int_eq(outcomes[0], BURSAR_STORED);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records WHERE "
		"message_id = 'm''1 \xe2\x82\xac' AND worker_id = '' AND "
		"input_tokens = -5 AND cost_nano = 13083000 AND "
		"output_tokens IS NULL AND team IS NULL"), 1);
	ck_assert_int_eq(integer("SELECT recorded_us FROM metering_records"),
	                 NOON + 1234567);
	ck_assert_int_eq(integer("SELECT id >> 40 FROM metering_records"),
	                 CELL);
}
END_TEST

START_TEST(people_read_times_and_dollars)
{
	open_sink();
	struct bursar_record *record = add("m1");
	set_number(record, "cost_usd", INT64_C(13083000));
	bursar_set_number(record, BURSAR_RECORDED_AT,
	                  INT64_C(1793491200000000) + 1002003);
	bursar_set_number(record, BURSAR_INSERTED_AT, -1);
	write_all();

	ck_assert_str_eq(text("SELECT recorded_at FROM metering_records"),
	                 "2026-11-01 00:00:01.002003+00");
	ck_assert_str_eq(text("SELECT inserted_at FROM metering_records"),
	                 "1969-12-31 23:59:59.999999+00");
	ck_assert_str_eq(text("SELECT CAST(cost_usd AS TEXT) FROM metering_records"),
	                 "0.013083000");
	ck_assert_int_eq(integer("SELECT CAST(cost_computed_usd IS NULL AS INT) "
	                         "FROM metering_records"), 1);
}
END_TEST

START_TEST(all_kinds_go_into_one_batch)
{
	open_sink();
	add("same");
	add_record("prompt", "same", 1);
	add_record("tool", "same", 1);
	write_all();

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 3);
	ck_assert_int_eq(integer("SELECT (SELECT count(*) FROM metering_records)"
		" + (SELECT count(*) FROM prompt_records)"
		" + (SELECT count(*) FROM tool_records)"), 3);
}
END_TEST

START_TEST(the_same_record_again_is_a_duplicate)
{
	open_sink();
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_STORED);
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_DUPLICATE);
	reopen();
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_DUPLICATE);
	ck_assert_int_eq(write_one("m1", 7, BURSAR_RECORD_AGAIN),
	                 BURSAR_DUPLICATE);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
	ck_assert_int_eq(integer("SELECT request_count FROM rollup_cells "
	                         "WHERE dimension = 'all'"), 1);
}
END_TEST

START_TEST(the_same_id_with_other_content_is_a_conflict)
{
	open_sink();
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_STORED);
	ck_assert_int_eq(write_one("m1", 8, 0), BURSAR_CONFLICT);
	reopen();
	ck_assert_int_eq(write_one("m1", 8, 0), BURSAR_CONFLICT);
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_DUPLICATE);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
}
END_TEST

/* By COPY and with care, as nothing tells of a duplicate or something does. */
START_TEST(of_equal_keys_in_a_batch_the_first_wins)
{
	open_sink();
	if (_i == 1) {
		write_one("x", 1, 0);
		write_one("x", 1, 0);
		clear_records();
	}
	add_record("metering", "m1", 1);
	add_record("metering", "m1", 2);
	add_record("metering", "m1", 1)->check = 1;
	write_all();

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 1);
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 1);
	ck_assert_uint_eq(outcome_count(BURSAR_CONFLICT), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records "
	                         "WHERE message_id = 'm1'"), 1);
	ck_assert_int_eq(fakehost_figure(host, "batches_by_copy_total"), 1);
	ck_assert_int_eq(fakehost_figure(host, "batches_with_care_total"),
	                 _i == 0 ? 0 : 2);
}
END_TEST

/* --- opening ------------------------------------------------------------- */

START_TEST(a_newer_ledger_is_refused)
{
	open_sink();
	close_sink();
	behind("UPDATE bursar_meta SET value = '99' "
	       "WHERE name = 'ledger_version'");
	refused(host, BURSAR_WRITE, BURSAR_CONFIG, "newer bursar");
	refused(host, BURSAR_READ, BURSAR_CONFIG, "newer bursar");
}
END_TEST

START_TEST(a_reader_makes_nothing)
{
	struct fakehost *reader = make_host("BURSAR_TEST_PG_READER");

	refused(reader, BURSAR_READ, BURSAR_CONFIG, "no ledger");
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_str_eq(behind("SELECT count(*) FROM pg_class "
	                        "WHERE relnamespace = '%s'::regnamespace",
	                        schema_name), "0");
	open_sink();
	struct bursar_sink *reading = open_with(reader, BURSAR_READ);
	add("m1");
	write_all();
	struct bursar_sink *writing = sink;
	sink = reading;
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
	ck_assert_int_eq(ops->sql(reading, "DELETE FROM metering_records",
	                          NULL, 0, NULL, NULL, &err), BURSAR_REJECT);
	sink = writing;
	ops->close(reading);
	free_host(reader);
}
END_TEST

START_TEST(a_schema_that_is_not_there_is_for_a_person)
{
	fakehost_set(host, "schema", "nowhere");
	refused(host, BURSAR_WRITE, BURSAR_CONFIG,
	        "CREATE SCHEMA nowhere AUTHORIZATION bursar");
	refused(host, BURSAR_READ, BURSAR_CONFIG, "no schema nowhere");
	ck_assert_int_ne(err.code, ENOENT);
}
END_TEST

/* --- the whole ----------------------------------------------------------- */

static void add_case(Suite *suite, const char *name,
                     const TTest *const *tests, size_t count)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_set_timeout(tcase, 60);
	for (size_t i = 0; i < count; i++) {
		tcase_add_test(tcase, tests[i]);
	}
	suite_add_tcase(suite, tcase);
}

#define ADD_CASE(suite, name, ...)                                           \
	do {                                                                 \
		const TTest *const tests[] = { __VA_ARGS__ };                \
		add_case(suite, name, tests,                                 \
		         sizeof(tests) / sizeof(tests[0]));                  \
	} while (0)

static Suite *make_suite(void)
{
	Suite *suite = suite_create("sink_postgres");

	ADD_CASE(suite, "write",
	         a_record_is_stored_as_it_is,
	         people_read_times_and_dollars,
	         all_kinds_go_into_one_batch,
	         the_same_record_again_is_a_duplicate,
	         the_same_id_with_other_content_is_a_conflict);
	ADD_CASE(suite, "opening",
	         a_newer_ledger_is_refused,
	         a_reader_makes_nothing,
	         a_schema_that_is_not_there_is_for_a_person);
	TCase *both = tcase_create("both ways");
	tcase_add_checked_fixture(both, set_up, tear_down);
	tcase_add_loop_test(both, of_equal_keys_in_a_batch_the_first_wins,
	                    0, 2);
	suite_add_tcase(suite, both);
	return suite;
}

/* Runs this program again with servers around it. */
static int run_with_servers(char **argv)
{
	static const char servers[] = TOP_SRCDIR "/tests/servers";

	if (access(servers, X_OK) != 0) {
		printf("skipped: no server: BURSAR_TEST_PG says where one is\n");
		return 77;
	}
	execl(servers, servers, "run", "--only", "postgres", "--", argv[0],
	      (char *)NULL);
	perror(servers);
	return 99;
}

int main(int argc, char **argv)
{
	(void)argc;
	if (getenv("BURSAR_TEST_PG") == NULL ||
	    getenv("BURSAR_TEST_PG_ADMIN") == NULL) {
		return run_with_servers(argv);
	}
	SRunner *runner = srunner_create(make_suite());
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
