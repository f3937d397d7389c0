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
#include <time.h>
#include <unistd.h>

#include <check.h>
#include <libpq-fe.h>

#include "common/monotonic.h"
#include "tests/proxy.h"
#include "tests/sinksuite.h"

static char schema_name[40];
static PGconn *admin;

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

static int set_version(int version)
{
	const long before = strtol(
		behind("SELECT value FROM bursar_meta "
		       "WHERE name = 'ledger_version'"), NULL, 10);

	behind("UPDATE bursar_meta SET value = '%d' "
	       "WHERE name = 'ledger_version'", version);
	return (int)before;
}

static struct fakehost *make_host(const char *conninfo)
{
	struct fakehost *made = calloc(1, sizeof(*made));

	ck_assert_ptr_nonnull(made);
	fakehost_init(made, &schema);
	fakehost_declare(made, fakehost_load("sink", "postgres")->options);
	fakehost_set(made, "conninfo", conninfo);
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
	host = make_host(getenv("BURSAR_TEST_PG"));
	memset(&err, 0, sizeof(err));
}

static void tear_down(void)
{
	sinksuite_finish();
	behind("DROP SCHEMA IF EXISTS %s CASCADE", schema_name);
	PQfinish(admin);
}

static struct bursar_sink *open_with(struct fakehost *with,
                                     enum bursar_mode mode)
{
	struct fakehost *ours = host;

	host = with;
	struct bursar_sink *opened = open_as(mode);
	host = ours;
	return opened;
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

static void expect_verdict(enum bursar_verdict verdict,
                           enum bursar_verdict expected, const char *what)
{
	ck_assert_msg((int)verdict == (int)expected, "%s: verdict %d: %s",
	              what, (int)verdict, err.text);
}

static char many_ids[MAX_RECORDS][16];

/* Records prefix0 ... of facts, with the content `check`. */
static void add_many(const char *prefix, int count, uint64_t check)
{
	for (int i = 0; i < count; i++) {
		snprintf(many_ids[record_count], sizeof(many_ids[0]), "%s%d",
		         prefix, i);
		set_number(add_record("metering", many_ids[record_count],
		                      check), "input_tokens", 1);
	}
}

/* Records in the tables, keys, and what the sums say of them, all the same. */
static void expect_whole(int64_t records_wanted)
{
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"),
	                 records_wanted);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"),
	                 records_wanted);
	ck_assert_int_eq(integer("SELECT coalesce(sum(request_count), 0) FROM "
		"rollup_cells WHERE dimension = 'all'"), records_wanted);
	ck_assert_int_eq(integer("SELECT coalesce(sum(input_tokens), 0) FROM "
		"rollup_cells WHERE dimension = 'worker'"), records_wanted);
}

static int64_t by_copy(void)
{
	return fakehost_figure(host, "batches_by_copy_total");
}

static int64_t with_care(void)
{
	return fakehost_figure(host, "batches_with_care_total");
}

/* --- rows ---------------------------------------------------------------- */

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
	ck_assert_int_eq(integer("SELECT cost_computed_usd IS NULL "
	                         "FROM metering_records"), 1);
}
END_TEST

START_TEST(dollars_and_times_to_their_ends)
{
	static const int64_t all[] = {
		0, 1, -1, 999999999, 1000000000, -1000000001, 9999000000000,
		10000000000000, 123456789012345678, INT64_MAX, INT64_MIN,
	};
	const size_t count = sizeof(all) / sizeof(all[0]);
	char ids[sizeof(all) / sizeof(all[0])][24];

	open_sink();
	for (size_t i = 0; i < count; i++) {
		snprintf(ids[i], sizeof(ids[i]), "m%zu", i);
		struct bursar_record *record = add(ids[i]);
		set_number(record, "cost_reported_usd", all[i]);
		bursar_set_number(record, BURSAR_INSERTED_AT, all[i]);
	}
	write_all();
	ck_assert_int_eq(integer("SELECT count(DISTINCT cost_reported_nano) "
		"FROM metering_records"), (int64_t)count);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records WHERE "
		"CAST(cost_reported_usd AS text) IS DISTINCT FROM "
		"CAST(cost_reported_nano * 0.000000001 AS text)"), 0);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records WHERE "
		"extract(epoch FROM inserted_at) * 1000000 = inserted_us"),
		(int64_t)count - 2);
	ck_assert_str_eq(text("SELECT max(inserted_at) FROM metering_records"),
	                 "294247-01-10 04:00:54.775807+00");
	ck_assert_int_eq(integer("SELECT inserted_us FROM metering_records "
		"WHERE inserted_at IS NULL"), INT64_MIN);
}
END_TEST

START_TEST(ids_grow_and_are_never_used_again)
{
	open_sink();
	add("m1");
	write_all();
	const int64_t first = integer("SELECT max(id) FROM metering_records");
	behind("DELETE FROM metering_records");
	clear_records();
	reopen();
	add("m2");
	write_all();
	ck_assert_int_gt(integer("SELECT id FROM metering_records"), first);
	ck_assert_int_eq(integer("SELECT id >> 40 FROM metering_records"),
	                 first >> 40);
}
END_TEST

START_TEST(columns_have_these_types)
{
	open_sink();
	ck_assert_str_eq(behind("SELECT string_agg(format_type(atttypid, "
		"atttypmod), ' ' ORDER BY c) FROM unnest(ARRAY['id', "
		"'recorded_us', 'recorded_at', 'cost_nano', 'cost_usd', "
		"'input_tokens', 'message_id', 'extra_json']) WITH ORDINALITY "
		"AS n (name, c) JOIN pg_attribute ON attname = name AND "
		"attrelid = 'metering_records'::regclass"),
		"bigint bigint timestamp with time zone bigint numeric bigint "
		"text text");
	ck_assert_str_eq(behind("SELECT string_agg(format_type(atttypid, "
		"atttypmod), ' ' ORDER BY c) FROM unnest(ARRAY['contains_phi', "
		"'request_json', 'row_hash', 'expires_at']) WITH ORDINALITY "
		"AS n (name, c) JOIN pg_attribute ON attname = name AND "
		"attrelid = 'prompt_records'::regclass"),
		"smallint text bigint timestamp with time zone");
	ck_assert_str_eq(behind("SELECT count(*) FROM pg_attribute a JOIN "
		"pg_class t ON t.oid = a.attrelid WHERE t.relnamespace = "
		"'%s'::regnamespace AND t.relkind IN ('r', 'p') AND "
		"a.atttypid = 'text'::regtype AND a.attcollation <> "
		"(SELECT oid FROM pg_collation WHERE collname = 'C')",
		schema_name), "0");
}
END_TEST

/* --- duplicates ---------------------------------------------------------- */

START_TEST(new_records_go_by_copy_and_known_ones_with_care)
{
	open_sink();
	add_many("a", 50, 1);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 50);
	ck_assert_int_eq(by_copy(), 1);
	ck_assert_int_eq(with_care(), 0);

	/* The filter of recent keys knows them. */
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 50);
	ck_assert_int_eq(by_copy(), 1);
	ck_assert_int_eq(with_care(), 1);

	/* For a while after a duplicate it stays careful, then no more. */
	for (int i = 0; i < 20; i++) {
		char prefix[8];

		clear_records();
		snprintf(prefix, sizeof(prefix), "b%d-", i);
		add_many(prefix, 5, 1);
		write_all();
		ck_assert_uint_eq(outcome_count(BURSAR_STORED), 5);
	}
	ck_assert_int_eq(by_copy() + with_care(), 22);
	ck_assert_int_gt(by_copy(), 10);
	expect_whole(150);
}
END_TEST

/* Two daemons: nothing tells the second of what the first has stored. */
START_TEST(a_duplicate_that_nobody_expects_is_found_by_the_database)
{
	open_sink();
	struct bursar_sink *second = open_as(BURSAR_WRITE);

	add_many("a", 40, 1);
	write_all();
	clear_records();
	add_many("a", 30, 1);		/* known, */
	add_many("b", 30, 1);		/* new, */
	add_record("metering", "a30", 2);	/* and in conflict */
	add_record("metering", "b0", 2);
	add_record("metering", "b0", 1);
	ck_assert_int_eq(write_to(second), BURSAR_DONE);

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 30);
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 31);
	ck_assert_uint_eq(outcome_count(BURSAR_CONFLICT), 2);
	ck_assert_int_eq(by_copy(), 1);
	ck_assert_int_eq(with_care(), 1);
	expect_whole(70);
	ops->close(second);
}
END_TEST

START_TEST(of_equal_keys_the_first_wins_both_ways)
{
	open_sink();
	if (_i == 1) {
		write_one("x", 1, 0);
		write_one("x", 1, 0);
		clear_records();
	}
	add_record("metering", "m1", 1);
	add_record("metering", "m1", 2);
	add_record("metering", "m1", 1);
	write_all();

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 1);
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 1);
	ck_assert_uint_eq(outcome_count(BURSAR_CONFLICT), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records "
	                         "WHERE message_id = 'm1'"), 1);
	ck_assert_int_eq(by_copy(), 1);
	ck_assert_int_eq(with_care(), _i == 0 ? 0 : 2);
}
END_TEST

/* What a ledger has, as the contract says it, for ids i0 .. and c0#n ... */
#define MODEL_IDS     12
#define MODEL_STEMS   3
#define MODEL_NUMBERS 400

struct model {
	uint64_t plain[MODEL_IDS];	/* content; 0: not there */
	uint64_t counted[MODEL_STEMS][MODEL_NUMBERS];
	size_t   numbers[MODEL_STEMS];
	size_t   stored;
};

static enum bursar_outcome model_plain(struct model *model, size_t id,
                                       uint64_t check)
{
	if (model->plain[id] == 0) {
		model->plain[id] = check;
		model->stored++;
		return BURSAR_STORED;
	}
	return model->plain[id] == check ? BURSAR_DUPLICATE : BURSAR_CONFLICT;
}

static enum bursar_outcome model_counted(struct model *model, size_t stem,
                                         uint64_t check, bool again)
{
	for (size_t i = 0; again && i < model->numbers[stem]; i++) {
		if (model->counted[stem][i] == check) {
			return BURSAR_DUPLICATE;
		}
	}
	ck_assert_uint_lt(model->numbers[stem], MODEL_NUMBERS);
	model->counted[stem][model->numbers[stem]++] = check;
	model->stored++;
	return BURSAR_STORED;
}

static enum bursar_outcome model_take(struct model *model,
                                      const struct bursar_record *record)
{
	const struct bursar_value *id = &record->values[BURSAR_MESSAGE_ID];
	const size_t number = (size_t)strtoul(id->text + 1, NULL, 10);

	return id->text[0] == 'i' ? model_plain(model, number, record->check)
		: model_counted(model, number, record->check,
		                (record->flags & AGAIN) != 0);
}

static void add_random(unsigned *seed)
{
	static const char *const ids[] = { "i0", "i1", "i2", "i3", "i4", "i5",
		"i6", "i7", "i8", "i9", "i10", "i11", "c0#0", "c1#0", "c2#0" };
	const size_t id = (size_t)rand_r(seed) %
		(MODEL_IDS + MODEL_STEMS);
	struct bursar_record *record = add_record("metering", ids[id],
		1 + (uint64_t)(rand_r(seed) % 3));

	record->flags = (id >= MODEL_IDS ? COUNTED : 0) |
		(rand_r(seed) % 3 == 0 ? AGAIN : 0);
	set_number(record, "input_tokens", 1);
}

START_TEST(outcomes_are_those_of_the_contract_in_any_order)
{
	unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid();
	struct bursar_sink *sinks[2];
	static struct model model;

	printf("seed %u\n", seed);
	open_sink();
	sinks[0] = sink;
	sinks[1] = open_as(BURSAR_WRITE);
	for (int batch = 0; batch < 150; batch++) {
		clear_records();
		const int count = 1 + rand_r(&seed) % 12;
		for (int i = 0; i < count; i++) {
			add_random(&seed);
		}
		expect_verdict(write_to(sinks[rand_r(&seed) % 2]), BURSAR_DONE,
		               "write");
		for (size_t i = 0; i < record_count; i++) {
			ck_assert_msg(outcomes[i] ==
				model_take(&model, records[i]),
				"seed %u batch %d record %zu: %d", seed, batch,
				i, (int)outcomes[i]);
		}
	}
	expect_whole((int64_t)model.stored);
	/* Numbers are taken in order, and none is left out. */
	for (int i = 0; i < MODEL_STEMS; i++) {
		ck_assert_int_eq(strtol(behind("SELECT max(split_part("
			"message_id, '#', 2)::int) FROM metering_records WHERE "
			"message_id LIKE 'c%d#%%'", i), NULL, 10) + 1,
			(long)model.numbers[i]);
	}
	ops->close(sinks[1]);
}
END_TEST

START_TEST(a_thousand_equal_calls_are_found_in_few_rounds)
{
	open_sink();
	for (int i = 0; i < 1000; i++) {
		add_record("metering", "h#0", (uint64_t)i + 1)->flags = COUNTED;
	}
	write_all();
	reopen();
	ck_assert_int_eq(write_one("h#0", 1, COUNTED), BURSAR_STORED);
	ck_assert_int_eq(write_one("h#0", 999, COUNTED | AGAIN),
	                 BURSAR_DUPLICATE);
	ck_assert_int_eq(write_one("h#0", 5000, COUNTED | AGAIN),
	                 BURSAR_STORED);
	ck_assert_int_eq(integer("SELECT count(DISTINCT message_id) FROM "
	                         "metering_records"), 1002);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records WHERE "
	                         "message_id IN ('h#1000', 'h#1001')"), 2);
}
END_TEST

START_TEST(an_id_too_long_to_be_numbered_is_named)
{
	static char id[1100];

	open_sink();
	memset(id, 'x', sizeof(id) - 3);
	memcpy(id + sizeof(id) - 3, "#0", 3);
	ck_assert_int_eq(write_one(id, 1, COUNTED), BURSAR_STORED);
	clear_records();
	add("good");
	add_record("metering", id, 1)->flags = COUNTED;
	expect_verdict(write_to(sink), BURSAR_REJECT, "write");
	ck_assert_uint_lt(culprit, 2);
	ck_assert_uint_gt(records[culprit]->values[BURSAR_MESSAGE_ID].size, 9);
}
END_TEST

/* --- several daemons ----------------------------------------------------- */

#define DAEMONS 3
#define ROUNDS  40

/* One daemon: batches of ids that the others have as well. */
static void write_overlapping(int number)
{
	unsigned seed = (unsigned)number;

	open_sink();
	for (int i = 0; i < ROUNDS; i++) {
		char prefix[12];

		clear_records();
		snprintf(prefix, sizeof(prefix), "r%d-",
		         (i + rand_r(&seed) % 3) % ROUNDS);
		add_many(prefix, 150, 1);
		enum bursar_verdict verdict;
		while ((verdict = write_to(sink)) == BURSAR_RETRY) {
			usleep(1000);
		}
		expect_verdict(verdict, BURSAR_DONE, "write");
	}
	close_sink();
	_exit(EXIT_SUCCESS);
}

static void wait_all(const pid_t *children, int count)
{
	for (int i = 0; i < count; i++) {
		int status;

		ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

START_TEST(daemons_that_write_the_same_do_not_harm_each_other)
{
	pid_t children[DAEMONS];

	fakehost_set(host, "lock-timeout", "10s");
	open_sink();
	close_sink();
	behind("SELECT pg_stat_reset()");
	for (int i = 0; i < DAEMONS; i++) {
		children[i] = fork();
		ck_assert_int_ge(children[i], 0);
		if (children[i] == 0) {
			write_overlapping(i + 1);
		}
	}
	wait_all(children, DAEMONS);
	open_sink();
	const int64_t stored = integer("SELECT count(DISTINCT message_id) "
	                               "FROM metering_records");
	ck_assert_int_ge(stored, 150 * ROUNDS / 2);
	expect_whole(stored);
	ck_assert_str_eq(behind("SELECT deadlocks FROM pg_stat_database "
	                        "WHERE datname = current_database()"), "0");
}
END_TEST

START_TEST(daemons_that_start_at_once_make_one_ledger)
{
	pid_t children[6];

	fakehost_set(host, "lock-timeout", "10s");
	for (int i = 0; i < 6; i++) {
		children[i] = fork();
		ck_assert_int_ge(children[i], 0);
		if (children[i] == 0) {
			open_sink();
			add_many("a", 5, 1);
			write_all();
			_exit(EXIT_SUCCESS);
		}
	}
	wait_all(children, 6);
	open_sink();
	expect_whole(5);
	ck_assert_int_eq(integer("SELECT count(*) FROM bursar_meta "
	                         "WHERE name = 'ledger_uuid'"), 1);
}
END_TEST

/* --- all or nothing ------------------------------------------------------ */

START_TEST(a_row_that_is_refused_undoes_its_batch)
{
	open_sink();
	behind("ALTER TABLE metering_records ADD CONSTRAINT poison "
	       "CHECK (message_id <> 'a50')");
	add_many("a", 100, 1);
	expect_verdict(write_to(sink), BURSAR_REJECT, "write");
	ck_assert_uint_eq(culprit, SIZE_MAX);
	ck_assert_ptr_nonnull(strstr(err.text, "poison"));
	expect_whole(0);

	/* The core halves the batch until the record stands alone. */
	clear_records();
	add_many("a", 50, 1);
	write_all();
	expect_whole(50);
}
END_TEST

START_TEST(a_sum_that_is_refused_undoes_its_batch)
{
	open_sink();
	behind("ALTER TABLE rollup_cells ADD CONSTRAINT poison "
	       "CHECK (dimension <> 'worker')");
	add_many("a", 100, 1);
	expect_verdict(write_to(sink), BURSAR_REJECT, "write");
	expect_whole(0);
}
END_TEST

/* The core lets none pass, and a sink believes nobody. */
START_TEST(bytes_that_are_no_text_are_refused)
{
	open_sink();
	struct bursar_record *record = add("m1");
	bursar_set_text(record, bursar_field_find(record->kind, "team"),
	                _i == 0 ? "a\0b" : "a\xff" "b", 3);
	expect_verdict(write_to(sink), BURSAR_REJECT, "write");
	expect_whole(0);
}
END_TEST

static const struct {
	const char *state;
	enum bursar_verdict verdict;
} states[] = {
	{ "40001", BURSAR_RETRY }, { "40P01", BURSAR_RETRY },
	{ "55P03", BURSAR_RETRY }, { "57014", BURSAR_RETRY },
	{ "53100", BURSAR_RETRY }, { "53200", BURSAR_RETRY },
	{ "53300", BURSAR_RETRY }, { "58030", BURSAR_RETRY },
	{ "ZZ999", BURSAR_RETRY }, { "XX000", BURSAR_RETRY },
	{ "08006", BURSAR_DOWN }, { "57P01", BURSAR_DOWN },
	{ "57P02", BURSAR_DOWN }, { "57P03", BURSAR_DOWN },
	{ "25006", BURSAR_DOWN },
	{ "22021", BURSAR_REJECT }, { "22P05", BURSAR_REJECT },
	{ "22003", BURSAR_REJECT }, { "22P02", BURSAR_REJECT },
	{ "23502", BURSAR_REJECT }, { "23503", BURSAR_REJECT },
	{ "23505", BURSAR_REJECT }, { "54000", BURSAR_REJECT },
	{ "P0001", BURSAR_REJECT },
	{ "28000", BURSAR_CONFIG }, { "3D000", BURSAR_CONFIG },
	{ "3F000", BURSAR_CONFIG }, { "42501", BURSAR_CONFIG },
	{ "42703", BURSAR_CONFIG }, { "42804", BURSAR_CONFIG },
	{ "0A000", BURSAR_CONFIG }, { "XX001", BURSAR_CONFIG },
};

START_TEST(each_sqlstate_has_its_verdict)
{
	open_sink();
	write_one("first", 1, 0);
	behind("CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
	       "'BEGIN RAISE EXCEPTION USING ERRCODE = "
	       "current_setting(''bursar.state''); END'");
	behind("GRANT EXECUTE ON FUNCTION fail() TO bursar");
	behind("CREATE TRIGGER fail BEFORE INSERT ON metering_records "
	       "FOR EACH ROW EXECUTE FUNCTION fail()");
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		behind("ALTER ROLE bursar SET bursar.state = '%s'",
		       states[i].state);
		reopen();
		clear_records();
		add("m1");
		expect_verdict(write_to(sink), states[i].verdict,
		               states[i].state);
		ck_assert_int_ne(err.code, 0);
		ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"),
		                 1);
	}
	behind("ALTER ROLE bursar RESET bursar.state");
	behind("DROP TRIGGER fail ON metering_records");
	ck_assert_int_eq(write_one("m1", 1, AGAIN), BURSAR_STORED);
}
END_TEST

START_TEST(a_lock_of_another_session_is_tried_again)
{
	open_sink();
	write_one("first", 1, 0);
	behind("BEGIN; LOCK TABLE %s IN ACCESS EXCLUSIVE MODE",
	       _i == 0 ? "bursar_keys" : _i == 1 ? "metering_records"
	       : "rollup_cells");
	clear_records();
	add_many("a", 10, 1);
	expect_verdict(write_to(sink), BURSAR_RETRY, "write");
	ck_assert_int_eq(err.code, EBUSY);
	behind("ROLLBACK");
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 10);
}
END_TEST

/* Cells are locked in their order; here somebody takes them the other way. */
START_TEST(a_deadlock_is_tried_again)
{
	open_sink();
	write_one("first", 1, 0);
	fakehost_set(host, "lock-timeout", "30s");
	reopen();
	behind("BEGIN; SET LOCAL deadlock_timeout = '30s'; "
	       "UPDATE rollup_cells SET lat_1 = 0 WHERE dimension = 'worker'");
	clear_records();
	add_many("a", 10, 1);
	const pid_t child = fork();
	if (child == 0) {
		open_sink();
		_exit(write_to(sink) == BURSAR_RETRY ? 0 : 1);
	}
	/* It has the cells before `worker` and waits for that. */
	while (strcmp(behind("SELECT count(*) FROM pg_locks WHERE NOT granted"), "0") == 0) {
		usleep(10000);
	}
	behind("UPDATE rollup_cells SET lat_1 = 0 WHERE dimension = 'all'");
	wait_all(&child, 1);
	behind("ROLLBACK");
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
}
END_TEST

/* --- connections --------------------------------------------------------- */

START_TEST(a_connection_that_was_ended_is_gone)
{
	open_sink();
	write_one("first", 1, 0);
	behind("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
	       "WHERE usename = 'bursar' AND datname = current_database() "
	       "AND pid <> pg_backend_pid()");
	clear_records();
	add_many("a", 10, 1);
	outcomes[0] = BURSAR_STORED;
	expect_verdict(write_to(sink), BURSAR_DOWN, "write");
	/* That was known before anything was to be committed. */
	ck_assert_int_eq(outcomes[0], BURSAR_RETURNED);
	expect_verdict(ops->sql(sink, "SELECT 1", NULL, 0, NULL, NULL, &err),
	               BURSAR_DOWN, "sql");
	struct bursar_purged purged = { 0 };
	const struct bursar_purge what = { .now = NOON, .limit = 1 };
	expect_verdict(ops->purge(sink, &what, &purged, &err), BURSAR_DOWN,
	               "purge");
	reopen();
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 10);
}
END_TEST

/* The last host of a conninfo, with another port. */
static const char *through(const struct proxy *proxy)
{
	static char conninfo[1000];

	snprintf(conninfo, sizeof(conninfo), "%s host=127.0.0.1 port=%d "
	         "application_name=far", getenv("BURSAR_TEST_PG"),
	         proxy_port(proxy));
	return conninfo;
}

/* What a batch that was cut left behind: all or nothing. */
static void expect_all_or_nothing(size_t count, bool done, bool nothing)
{
	const int64_t rows = integer("SELECT count(*) FROM metering_records");
	const int64_t keys = integer("SELECT count(*) FROM record_keys");

	ck_assert_int_eq(rows, keys);
	ck_assert_msg(rows == (int64_t)count || (rows == 0 && !done),
	              "%lld rows of %zu", (long long)rows, count);
	ck_assert_msg(!nothing || rows == 0, "%lld rows where there were none "
	              "for certain", (long long)rows);
	for (size_t i = 0; i < record_count; i++) {
		records[i]->flags |= AGAIN;
	}
	write_all();
	ck_assert_uint_eq(outcome_count(rows == 0 ? BURSAR_STORED
	                                : BURSAR_DUPLICATE), count);
	expect_whole((int64_t)count);
}

static void empty_ledger(void)
{
	behind("TRUNCATE metering_records, bursar_keys, rollup_cells");
}

/* Waits until the server has noticed; it may be about to commit. */
static void wait_for_cut(void)
{
	while (strcmp(behind("SELECT count(*) FROM pg_stat_activity WHERE "
	                     "usename = 'bursar' AND application_name = "
	                     "'far'"), "0") != 0) {
		usleep(1000);
	}
}

/* Cuts a write after `up` bytes or `down` bytes; returns whether it was cut
 * before the answer. */
static bool cut_write(struct fakehost *far, struct proxy *proxy, int64_t up,
                      int64_t down)
{
	struct bursar_sink *cut = open_with(far, BURSAR_WRITE);

	proxy_arm(proxy, up, down, PROXY_CUT);
	outcomes[0] = BURSAR_STORED;
	const enum bursar_verdict verdict = write_to(cut);
	const bool nothing = verdict == BURSAR_DOWN &&
		outcomes[0] == BURSAR_RETURNED;
	ck_assert_msg(verdict == BURSAR_DOWN || verdict == BURSAR_DONE,
	              "cut after %lld and %lld: verdict %d: %s", (long long)up,
	              (long long)down, (int)verdict, err.text);
	ops->close(cut);
	proxy_disarm(proxy);
	wait_for_cut();
	expect_all_or_nothing(record_count, verdict == BURSAR_DONE, nothing);
	empty_ledger();
	return verdict == BURSAR_DOWN;
}

START_TEST(a_connection_cut_anywhere_leaves_all_or_nothing)
{
	char port[8];
	int cuts = 0;

	open_sink();
	add_many("cut", 30, 1);
	snprintf(port, sizeof(port), "%s", behind("SHOW port"));
	struct proxy *proxy = proxy_create((int)strtol(port, NULL, 10));
	struct fakehost *far = make_host(through(proxy));
	write_all();		/* makes the partition */
	empty_ledger();
	for (size_t i = 0; _i == 1 && i < record_count; i++) {
		records[i]->flags |= AGAIN;
	}

	/* How long a whole one is. */
	struct bursar_sink *whole = open_with(far, BURSAR_WRITE);
	proxy_arm(proxy, -1, -1, PROXY_CUT);
	expect_verdict(write_to(whole), BURSAR_DONE, "write");
	const int64_t up = proxy_up(proxy), down = proxy_down(proxy);
	ops->close(whole);
	proxy_disarm(proxy);
	empty_ledger();
	ck_assert_int_gt(up, 1000);

	for (int64_t at = 1; at <= up; at += up / 40 + 1) {
		cuts += cut_write(far, proxy, at, -1);
	}
	for (int64_t at = up - 12; at <= up; at++) {
		cuts += cut_write(far, proxy, at, -1);	/* around COMMIT */
	}
	for (int64_t at = 1; at <= down; at += down / 40 + 1) {
		cuts += cut_write(far, proxy, -1, at);
	}
	for (int64_t at = down - 12; at <= down; at++) {
		cuts += cut_write(far, proxy, -1, at);
	}
	ck_assert_int_gt(cuts, 80);
	printf("%d cuts in %lld bytes up and %lld down\n", cuts, (long long)up,
	       (long long)down);
	proxy_destroy(proxy);
	free_host(far);
}
END_TEST

START_TEST(a_network_that_swallows_everything_is_noticed)
{
	char port[8];

	open_sink();
	write_one("first", 1, 0);
	snprintf(port, sizeof(port), "%s", behind("SHOW port"));
	struct proxy *proxy = proxy_create((int)strtol(port, NULL, 10));
	struct fakehost *far = make_host(through(proxy));
	fakehost_set(far, "statement-timeout", "500ms");
	struct bursar_sink *lost = open_with(far, BURSAR_WRITE);

	clear_records();
	add_many("a", 30, 1);
	proxy_arm(proxy, 2000, -1, PROXY_SWALLOW);
	const int64_t begin = monotonic_us();
	expect_verdict(write_to(lost), BURSAR_DOWN, "write");
	const int64_t took = monotonic_us() - begin;
	ck_assert(proxy_ended(proxy));
	ck_assert_int_lt(took, 15000000);
	ops->close(lost);
	proxy_disarm(proxy);
	proxy_destroy(proxy);
	free_host(far);
	/* The server gives up as well, and holds no lock any more. */
	fakehost_set(host, "lock-timeout", "20s");
	reopen();
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 30);
}
END_TEST

START_TEST(a_server_that_is_not_there_is_down)
{
	struct fakehost *nowhere = make_host(
		"host=127.0.0.1 port=1 user=bursar dbname=ledger "
		"password=hunter22");

	refused(nowhere, BURSAR_WRITE, BURSAR_DOWN, "127.0.0.1:1");
	ck_assert_ptr_null(strstr(err.text, "hunter22"));
	fakehost_set(nowhere, "conninfo", "host=127.0.0.1 hunter22=");
	refused(nowhere, BURSAR_WRITE, BURSAR_CONFIG, "conninfo");
	ck_assert_ptr_null(strstr(err.text, "hunter22"));
	free_host(nowhere);
}
END_TEST

START_TEST(a_wrong_password_is_for_a_person)
{
	char port[8];

	snprintf(port, sizeof(port), "%s", behind("SHOW port"));
	behind("CREATE ROLE %s LOGIN PASSWORD 'right'", schema_name);
	char conninfo[200];
	snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%s "
	         "dbname=%s user=%s", port, PQdb(admin), schema_name);
	struct fakehost *stranger = make_host(conninfo);
	fakehost_set(stranger, "password", "wrong-4711");
	enum bursar_verdict verdict;
	memset(&err, 0, sizeof(err));
	struct bursar_sink *opened = ops->open(&stranger->host, BURSAR_WRITE,
	                                       &verdict, &err);
	ck_assert_ptr_null(opened);
	/* A server that trusts everybody finds that the schema is another's. */
	expect_verdict(verdict, BURSAR_CONFIG, "open");
	ck_assert_int_eq(err.code, EACCES);
	ck_assert_ptr_null(strstr(err.text, "4711"));
	ck_assert_ptr_null(strstr(stranger->log, "4711"));
	fakehost_set(stranger, "conninfo", "host=127.0.0.1 port=1 user=x "
	             "dbname=no_such_database");
	free_host(stranger);
	behind("DROP ROLE %s", schema_name);
}
END_TEST

START_TEST(a_database_that_is_not_there_is_for_a_person)
{
	char conninfo[1000];

	snprintf(conninfo, sizeof(conninfo), "%s dbname=no_such_database",
	         getenv("BURSAR_TEST_PG"));
	struct fakehost *nowhere = make_host(conninfo);
	refused(nowhere, BURSAR_WRITE, BURSAR_CONFIG, "no_such_database");
	free_host(nowhere);
}
END_TEST

START_TEST(a_server_that_takes_no_writes_is_down)
{
	open_sink();
	close_sink();
	behind("ALTER ROLE bursar IN DATABASE %s SET "
	       "default_transaction_read_only = on", PQdb(admin));
	enum bursar_verdict verdict;
	memset(&err, 0, sizeof(err));
	sink = ops->open(&host->host, BURSAR_WRITE, &verdict, &err);
	behind("ALTER ROLE bursar IN DATABASE %s RESET "
	       "default_transaction_read_only", PQdb(admin));
	ck_assert_ptr_null(sink);
	expect_verdict(verdict, BURSAR_DOWN, "open");
	open_sink();
}
END_TEST

START_TEST(what_is_acknowledged_is_on_disk)
{
	behind("ALTER ROLE bursar SET synchronous_commit = %s",
	       _i == 0 ? "off" : "remote_apply");
	open_sink();
	behind("ALTER ROLE bursar RESET synchronous_commit");
	ck_assert_str_eq(text("SELECT current_setting('synchronous_commit')"),
	                 _i == 0 ? "on" : "remote_apply");
}
END_TEST

START_TEST(the_session_is_as_the_options_say)
{
	fakehost_set(host, "statement-timeout", "7s");
	open_sink();
	ck_assert_str_eq(text("SHOW statement_timeout"), "7s");
	ck_assert_str_eq(text("SHOW lock_timeout"), "200ms");
	ck_assert_str_eq(text("SHOW application_name"), "bursar");
	ck_assert_str_eq(text("SELECT current_schema()"), schema_name);
	ck_assert_int_eq(fakehost_logged(host, "no-tls"), 0);
	expect_verdict(ops->sql(sink, "SELECT pg_sleep(30)", NULL, 0, NULL,
	                        NULL, &err), BURSAR_RETRY, "a long statement");
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

/* Else all that comes would be a dead letter. */
START_TEST(what_a_newer_ledger_wants_is_no_fault_of_records)
{
	open_sink();
	add("m1");
	write_all();
	clear_records();
	behind("ALTER TABLE bursar_keys ADD COLUMN novel int");
	behind("UPDATE bursar_keys SET novel = 1");
	behind("ALTER TABLE bursar_keys ALTER COLUMN novel SET NOT NULL");
	add("m2");
	ck_assert_int_eq(write_to(sink), BURSAR_REJECT);
	set_version(99);
	stopped_by(write_to(sink), "made by a newer bursar");
}
END_TEST

START_TEST(an_older_ledger_gets_what_is_new)
{
	open_sink();
	close_sink();
	behind("DROP VIEW tool_prompts; DROP TABLE bursar_jobs, bursar_holds, "
	       "bursar_hold_filters, bursar_journal, tool_links, rollup_days, "
	       "rollup_closed; "
	       "DROP FUNCTION bursar_stays; DROP FUNCTION bursar_holds_journal; "
	       "UPDATE bursar_meta SET value = '1' "
	       "WHERE name = 'ledger_version'");
	refused(host, BURSAR_READ, BURSAR_CONFIG, "older bursar");
	open_sink();
	ck_assert_uint_eq(fakehost_logged(host, "ledger-migrated"), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM bursar_jobs"), 0);
	behind("INSERT INTO bursar_holds (name, id, reason, kind, since_us, "
	       "until_us, added_us, added_by) VALUES ('a', 'a', '', '', 0, 1, "
	       "2, 'me')");
	ck_assert_int_eq(integer("SELECT count(*) FROM bursar_journal"), 1);
}
END_TEST

START_TEST(a_reader_makes_nothing)
{
	struct fakehost *reader = make_host(getenv("BURSAR_TEST_PG_READER"));

	refused(reader, BURSAR_READ, BURSAR_CONFIG, "no ledger");
	ck_assert_int_eq(err.code, ENOENT);
	ck_assert_str_eq(behind("SELECT count(*) FROM pg_class "
	                        "WHERE relnamespace = '%s'::regnamespace",
	                        schema_name), "0");
	free_host(reader);
}
END_TEST

START_TEST(a_role_that_only_reads_can_read_everything)
{
	struct fakehost *reader = make_host(getenv("BURSAR_TEST_PG_READER"));

	open_sink();
	add_many("a", 10, 1);
	add_record("prompt", "p1", 1);
	write_all();
	close_sink();
	sink = open_with(reader, BURSAR_READ);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 10);
	ck_assert_int_eq(integer("SELECT count(*) FROM prompt_records"), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 11);
	ck_assert_int_eq(integer("SELECT count(*) FROM bursar_meta "
	                         "WHERE name = 'ledger_uuid'"), 1);
	ck_assert_int_eq(integer("SELECT total_calls FROM "
	                         "metering_hourly_rollup"), 10);
	expect_verdict(ops->sql(sink, "DELETE FROM metering_records", NULL, 0,
	                        NULL, NULL, &err), BURSAR_REJECT, "delete");
	close_sink();

	/* The writer's own role is kept from writing as well, if it reads. */
	sink = open_as(BURSAR_READ);
	expect_verdict(ops->sql(sink, "DELETE FROM metering_records", NULL, 0,
	                        NULL, NULL, &err), BURSAR_REJECT, "delete");
	free_host(reader);
}
END_TEST

START_TEST(what_is_not_permitted_is_said_with_its_remedy)
{
	struct fakehost *reader = make_host(getenv("BURSAR_TEST_PG_READER"));

	open_sink();
	close_sink();
	behind("REVOKE SELECT ON metering_records FROM bursar_reader");
	sink = open_with(reader, BURSAR_READ);
	memset(&err, 0, sizeof(err));
	expect_verdict(ops->sql(sink, "SELECT count(*) FROM metering_records",
	                        NULL, 0, NULL, NULL, &err), BURSAR_CONFIG,
	               "select");
	ck_assert_ptr_nonnull(strstr(err.text, "SELECT on its tables"));
	close_sink();
	behind("REVOKE USAGE ON SCHEMA %s FROM bursar_reader", schema_name);
	refused(reader, BURSAR_READ, BURSAR_CONFIG, "GRANT USAGE ON SCHEMA");
	free_host(reader);

	behind("DROP SCHEMA %s CASCADE; CREATE SCHEMA %s; "
	       "GRANT USAGE ON SCHEMA %s TO bursar", schema_name, schema_name,
	       schema_name);
	refused(host, BURSAR_WRITE, BURSAR_CONFIG, "owner");
	ck_assert_int_eq(err.code, EACCES);
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

START_TEST(tables_of_another_program_are_left_alone)
{
	behind("CREATE TABLE metering_records (id bigint)");
	refused(host, BURSAR_WRITE, BURSAR_CONFIG, "schema of its own");
	ck_assert_str_eq(behind("SELECT count(*) FROM pg_attribute WHERE "
		"attrelid = 'metering_records'::regclass AND attnum > 0"),
		"1");
	ck_assert_str_eq(behind("SELECT count(*) FROM pg_class "
		"WHERE relnamespace = '%s'::regnamespace", schema_name), "1");
}
END_TEST

START_TEST(a_column_that_is_missing_is_added)
{
	open_sink();
	write_one("m1", 1, 0);
	close_sink();
	/* As one that knows less has left it. */
	behind("ALTER TABLE metering_records DROP COLUMN cost_usd, "
	       "DROP COLUMN cost_nano, DROP COLUMN team; "
	       "UPDATE bursar_meta SET value = 'less' "
	       "WHERE name = 'ledger_stamp'");
	refused(host, BURSAR_READ, BURSAR_CONFIG, "older bursar");
	behind("DELETE FROM bursar_meta WHERE name = 'ledger_stamp'");
	refused(host, BURSAR_READ, BURSAR_CONFIG, "older bursar");
	open_sink();
	clear_records();
	struct bursar_record *record = add("m2");
	set_text(record, "team", "blue");
	set_number(record, "cost_usd", 5);
	write_all();
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records WHERE "
		"team = 'blue' AND cost_nano = 5 AND "
		"cost_usd = 0.000000005"), 1);
}
END_TEST

START_TEST(a_ledger_that_is_stamped_is_read_without_a_look_at_its_columns)
{
	open_sink();
	close_sink();
	behind("ALTER TABLE metering_records DROP COLUMN team");
	sink = open_as(BURSAR_READ);
	close_sink();
	behind("UPDATE bursar_meta SET value = 'more' "
	       "WHERE name = 'ledger_stamp'");
	refused(host, BURSAR_READ, BURSAR_CONFIG, "older bursar");
	open_sink();
	close_sink();
	sink = open_as(BURSAR_READ);
	ck_assert_str_eq(text("SHOW TimeZone"), "UTC");
	ck_assert_str_eq(text("SHOW default_transaction_read_only"), "on");
}
END_TEST

/* --- partitions ---------------------------------------------------------- */

static int64_t noon_of(int64_t day)
{
	return day * COLUMNS_DAY_US + COLUMNS_DAY_US / 2;
}

/* The partition that a record stands in, without the name of the table. */
static const char *part_of(const char *table, const char *id)
{
	return behind("SELECT substr(tableoid::regclass::text, %zu) FROM %s "
	              "WHERE message_id = '%s'", strlen(table) + 2, table, id);
}

#define NOVEMBER INT64_C(1793491200000000)	/* 2026-11-01 */

START_TEST(facts_stand_in_the_month_that_they_happened_in)
{
	open_sink();
	bursar_set_number(add("a"), BURSAR_RECORDED_AT, NOVEMBER - 1);
	bursar_set_number(add("b"), BURSAR_RECORDED_AT, NOVEMBER);
	bursar_set_number(add("c"), BURSAR_RECORDED_AT,
	                  NOVEMBER + 30 * COLUMNS_DAY_US - 1);
	bursar_set_number(add("d"), BURSAR_RECORDED_AT,
	                  NOVEMBER + 30 * COLUMNS_DAY_US);
	/* Times that the core lets nobody have. */
	bursar_set_number(add("e"), BURSAR_RECORDED_AT, -1);
	bursar_set_number(add("f"), BURSAR_RECORDED_AT, INT64_MIN);
	bursar_set_number(add("g"), BURSAR_RECORDED_AT, INT64_MAX);
	write_all();

	ck_assert_str_eq(part_of("metering_records", "a"), "2026_10");
	ck_assert_str_eq(part_of("metering_records", "b"), "2026_11");
	ck_assert_str_eq(part_of("metering_records", "c"), "2026_11");
	ck_assert_str_eq(part_of("metering_records", "d"), "2026_12");
	ck_assert_str_eq(part_of("metering_records", "e"), "old");
	ck_assert_str_eq(part_of("metering_records", "f"), "old");
	ck_assert_str_eq(part_of("metering_records", "g"), "2089_08");
	ck_assert_int_eq(integer("SELECT id >> 40 FROM metering_records WHERE "
		"message_id = 'b'"), NOVEMBER / COLUMNS_CELL_US);
}
END_TEST

static void add_body(const char *id, int64_t expires, bool phi)
{
	struct bursar_record *record = add_record("prompt", id, 1);

	if (expires != 0) {
		bursar_set_number(record, BURSAR_EXPIRES_AT, expires);
	}
	if (phi) {
		bursar_set_number(record, BURSAR_CONTAINS_PHI, 1);
	}
}

START_TEST(bodies_stand_in_the_day_on_which_they_expire)
{
	const int64_t day = INT64_C(20790);	/* 2026-12-03 */

	host->now_us = noon_of(20770);
	open_sink();
	add_body("day", noon_of(day), false);
	add_body("first", day * COLUMNS_DAY_US, false);
	add_body("last", (day + 1) * COLUMNS_DAY_US - 1, false);
	add_body("phi", noon_of(day), true);
	add_body("never", 0, false);
	add_body("never-phi", 0, true);
	add_body("far", noon_of(20770 + 150), false);
	add_body("past", noon_of(20000), false);
	add_body("yesterday", noon_of(20769), true);
	write_all();

	ck_assert_str_eq(part_of("prompt_records", "day"), "2026_12_03");
	ck_assert_str_eq(part_of("prompt_records", "first"), "2026_12_03");
	ck_assert_str_eq(part_of("prompt_records", "last"), "2026_12_03");
	ck_assert_str_eq(part_of("prompt_records", "phi"), "2026_12_02");
	ck_assert_str_eq(part_of("prompt_records", "never"), "never");
	ck_assert_str_eq(part_of("prompt_records", "never-phi"), "never");
	ck_assert_str_eq(part_of("prompt_records", "far"), "2027_04");
	ck_assert_str_eq(part_of("prompt_records", "past"), "2026_11_12");
	ck_assert_str_eq(part_of("prompt_records", "yesterday"), "2026_11_12");
	ck_assert_str_eq(behind("SELECT count(*) FROM pg_partitioned_table "
		"WHERE partdefid <> 0"), "0");
}
END_TEST

/* A day inside of a month that is there, and a month around days that are. */
START_TEST(partitions_never_overlap)
{
	host->now_us = noon_of(20770);
	open_sink();
	add_body("far", noon_of(20770 + 150), false);
	write_all();
	clear_records();
	host->now_us = noon_of(20770 + 100);
	add_body("near", noon_of(20770 + 151), false);
	add_body("edge", noon_of(20770 + 199), false);
	write_all();
	clear_records();
	add_body("around", noon_of(20770 + 201), false);
	write_all();

	ck_assert_str_eq(part_of("prompt_records", "near"), "2027_04");
	ck_assert_str_eq(part_of("prompt_records", "edge"), "2027_05_31");
	ck_assert_str_eq(part_of("prompt_records", "around"), "2027_06");
	ck_assert_int_eq(integer("SELECT count(*) FROM prompt_records"), 4);
}
END_TEST

/* Small batches go through the table, large ones into the partition. */
START_TEST(a_partition_that_somebody_took_away_is_made_again)
{
	static const int sizes[] = { 10, 3000 };

	open_sink();
	add_many("a", 5, 1);
	write_all();
	behind(_i % 2 == 0 ? "DROP TABLE metering_records_2026_10"
	       : "ALTER TABLE metering_records DETACH PARTITION "
	         "metering_records_2026_10");
	clear_records();
	add_many("b", sizes[_i / 2], 1);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), (size_t)sizes[_i / 2]);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"),
	                 sizes[_i / 2]);
}
END_TEST

/* --- purging ------------------------------------------------------------- */

static struct bursar_purged purge(const struct bursar_purge *what)
{
	struct bursar_purged purged = { 0 };

	memset(&err, 0, sizeof(err));
	expect_verdict(ops->purge(sink, what, &purged, &err), BURSAR_DONE,
	               "purge");
	return purged;
}

/* As the core does: until there is no more. */
static struct bursar_purged purge_all(const struct bursar_purge *what)
{
	struct bursar_purged all = { 0 };

	do {
		memset(&err, 0, sizeof(err));
		expect_verdict(ops->purge(sink, what, &all, &err), BURSAR_DONE,
		               "purge");
	} while (all.more);
	return all;
}

static int64_t part_count(const char *table)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_inherits "
	         "WHERE inhparent = '%s'::regclass", table);
	return integer(sql);
}

START_TEST(days_that_are_over_are_dropped)
{
	static char ids[40][8];

	host->now_us = noon_of(20770);
	open_sink();
	for (int i = 0; i < 40; i++) {
		snprintf(ids[i], sizeof(ids[i]), "p%d", i);
		add_body(ids[i], noon_of(20771 + i / 10), false);
	}
	add_body("never", 0, false);
	write_all();
	ck_assert_int_eq(part_count("prompt_records"), 5);

	const struct bursar_purge dry = { .now = noon_of(20773) + 1,
		.limit = 1, .dry_run = true };
	ck_assert_uint_eq(purge(&dry).bodies, 30);
	ck_assert_int_eq(part_count("prompt_records"), 5);

	const struct bursar_purge what = { .now = noon_of(20773) - 1,
		.limit = 1000 };
	const struct bursar_purged purged = purge_all(&what);
	ck_assert_uint_eq(purged.bodies, 20);
	ck_assert_int_eq(part_count("prompt_records"), 3);
	ck_assert_int_eq(integer("SELECT count(*) FROM prompt_records"), 21);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 41);
	ck_assert_uint_eq(fakehost_logged(host, "partition-dropped"), 2);

	/* They are known for ever. */
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 41);
	ck_assert_int_eq(integer("SELECT count(*) FROM prompt_records"), 21);
}
END_TEST

static void add_large_day(int64_t day, int count)
{
	static char body[1000];

	memset(body, 'x', sizeof(body));
	for (int i = 0; i < count; i++) {
		snprintf(many_ids[i], sizeof(many_ids[0]), "p%d", i);
		add_body(many_ids[i], noon_of(day), false);
		for (int j = 0; j < 12; j++) {
			body[j * 80 + i % 80] = (char)('a' + (i * 7 + j) % 26);
		}
		bursar_set_text(records[record_count - 1],
		                BURSAR_EXTRA_JSON, body, sizeof(body));
	}
	write_all();
	behind("ANALYZE prompt_records");
}

START_TEST(a_large_day_goes_at_its_end_and_at_once)
{
	host->now_us = noon_of(20770);
	open_sink();
	add_large_day(20771, 4000);
	ck_assert_int_eq(integer("SELECT pg_relation_size("
		"'prompt_records_2026_11_14') > 3000000"), 1);

	/* The day is not over: it waits, however much of it has expired. */
	struct bursar_purge what = { .now = noon_of(20771) + 1, .limit = 10 };
	struct bursar_purged purged = purge_all(&what);
	ck_assert_uint_eq(purged.bodies, 0);
	what.dry_run = true;
	ck_assert_uint_eq(purge(&what).bodies, 0);
	what.dry_run = false;

	what.now = 20772 * COLUMNS_DAY_US;
	purged = purge(&what);
	/* About: what was written and not yet told of as it was analysed, the
	 * database counts again when it is told. */
	ck_assert_uint_ge(purged.bodies, 4000);
	ck_assert_uint_le(purged.bodies, 8000);
	ck_assert_int_eq(integer("SELECT count(*) FROM prompt_records"), 0);
	ck_assert_int_eq(part_count("prompt_records"), 0);
}
END_TEST

START_TEST(health_data_is_gone_when_its_day_begins)
{
	host->now_us = noon_of(20770);
	open_sink();
	add_body("phi", noon_of(20775), true);
	add_body("other", noon_of(20775), false);
	write_all();
	const struct bursar_purge what = { .now = 20775 * COLUMNS_DAY_US,
		.limit = 100 };
	ck_assert_uint_eq(purge_all(&what).bodies, 1);
	ck_assert_str_eq(text("SELECT message_id FROM prompt_records"),
	                 "other");
}
END_TEST

START_TEST(a_month_far_off_goes_row_by_row)
{
	host->now_us = noon_of(20770);
	open_sink();
	add_large_day(20770 + 150, 4000);
	add_body("later", noon_of(20770 + 151), false);
	write_all();
	const struct bursar_purge what = {
		.now = noon_of(20770 + 150) + 1, .limit = 1500 };
	struct bursar_purged purged = purge(&what);
	ck_assert_uint_eq(purged.bodies, 1500);
	ck_assert(purged.more);
	ck_assert_uint_eq(purge_all(&what).bodies, 2500);
	ck_assert_str_eq(text("SELECT message_id FROM prompt_records"),
	                 "later");
}
END_TEST

START_TEST(a_purge_that_meets_a_reader_is_tried_again)
{
	host->now_us = noon_of(20770);
	open_sink();
	add_body("p1", noon_of(20771), false);
	write_all();
	behind("BEGIN; SELECT count(*) FROM prompt_records");
	struct bursar_purged purged = { .bodies = 3 };
	const struct bursar_purge what = { .now = noon_of(20775), .limit = 9 };
	memset(&err, 0, sizeof(err));
	expect_verdict(ops->purge(sink, &what, &purged, &err), BURSAR_RETRY,
	               "purge");
	ck_assert_uint_eq(purged.bodies, 3);
	behind("COMMIT");
	ck_assert_uint_eq(purge_all(&what).bodies, 1);
}
END_TEST

START_TEST(facts_go_by_months_and_sums_stay)
{
	open_sink();
	bursar_set_number(add("a"), BURSAR_RECORDED_AT,
	                  NOVEMBER - 40 * COLUMNS_DAY_US);
	bursar_set_number(add("b"), BURSAR_RECORDED_AT, NOVEMBER - 1);
	bursar_set_number(add("c"), BURSAR_RECORDED_AT, NOVEMBER);
	write_all();
	const struct bursar_purge what = { .facts_before = NOVEMBER,
		.limit = 100 };
	ck_assert_uint_eq(purge_all(&what).facts, 2);
	ck_assert_str_eq(text("SELECT message_id FROM metering_records"), "c");
	ck_assert_int_eq(part_count("metering_records"), 1);
	ck_assert_int_eq(integer("SELECT sum(request_count) FROM rollup_cells "
	                         "WHERE dimension = 'all'"), 3);
}
END_TEST

#define HOLD(name)                                                           \
	"INSERT INTO bursar_holds (name, id, reason, kind, since_us, "       \
	"until_us, added_us, added_by) VALUES ('" name "', '" name "', "     \
	"'because', '', 0, 9000000000000000, 5, 'me')"

START_TEST(what_is_held_of_a_large_day_stays_in_its_place)
{
	host->now_us = noon_of(20770);
	open_sink();
	add_large_day(20771, 4000);
	const int64_t id = integer("SELECT id FROM prompt_records WHERE "
	                           "message_id = 'p7'");
	behind("INSERT INTO bursar_hold_filters VALUES ('case', 'message_id', "
	       "'p7')");
	behind(HOLD("case"));

	struct bursar_purge what = { .now = 20773 * COLUMNS_DAY_US,
		.limit = 10, .dry_run = true };
	ck_assert_uint_eq(purge(&what).bodies, 3999);
	what.dry_run = false;
	ck_assert_uint_eq(purge_all(&what).bodies, 3999);
	ck_assert_uint_eq(fakehost_logged(host, "partition-reduced"), 1);
	ck_assert_int_eq(part_count("prompt_records"), 1);
	ck_assert_int_eq(integer("SELECT id FROM prompt_records"), id);
	ck_assert_int_eq(integer("SELECT pg_total_relation_size("
		"'prompt_records_2026_11_14') < 200000"), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM pg_index WHERE "
		"indrelid = 'prompt_records_2026_11_14'::regclass"), 2);
	ck_assert_uint_eq(purge_all(&what).bodies, 0);

	/* What comes late has its place there, and goes again. */
	clear_records();
	add_body("late", noon_of(20771), false);
	write_all();
	ck_assert_uint_eq(purge_all(&what).bodies, 1);
	behind("UPDATE bursar_holds SET released_us = 1, released_by = 'me'");
	ck_assert_uint_eq(purge_all(&what).bodies, 1);
	ck_assert_int_eq(part_count("prompt_records"), 0);
}
END_TEST

START_TEST(facts_and_health_data_that_are_held_stay)
{
	host->now_us = noon_of(20770);
	open_sink();
	bursar_set_number(add("a"), BURSAR_RECORDED_AT,
	                  NOVEMBER - 40 * COLUMNS_DAY_US);
	bursar_set_number(add("b"), BURSAR_RECORDED_AT, NOVEMBER - 1);
	add_body("phi", noon_of(20771), true);
	write_all();
	behind(HOLD("all"));
	const struct bursar_purge what = { .now = noon_of(20775),
		.facts_before = NOVEMBER, .limit = 100 };
	const struct bursar_purged held = purge_all(&what);
	ck_assert_uint_eq(held.facts + held.bodies, 0);
	behind("UPDATE bursar_holds SET released_us = 1, released_by = 'me'");
	const struct bursar_purged released = purge_all(&what);
	ck_assert_uint_eq(released.facts, 2);
	ck_assert_uint_eq(released.bodies, 1);
}
END_TEST

START_TEST(a_hold_and_a_purge_wait_for_each_other)
{
	host->now_us = noon_of(20770);
	open_sink();
	add_body("p1", noon_of(20771), false);
	write_all();
	behind("BEGIN; " HOLD("case"));
	struct bursar_purged purged = { 0 };
	const struct bursar_purge what = { .now = noon_of(20775), .limit = 9 };
	memset(&err, 0, sizeof(err));
	expect_verdict(ops->purge(sink, &what, &purged, &err), BURSAR_RETRY,
	               "purge");
	behind("COMMIT");
	ck_assert_uint_eq(purge_all(&what).bodies, 0);
	ck_assert_int_eq(integer("SELECT count(*) FROM bursar_journal"), 1);
}
END_TEST

START_TEST(the_journal_is_only_added_to)
{
	open_sink();
	behind(HOLD("case"));
	ck_assert_int_eq(integer("SELECT count(*) FROM bursar_journal WHERE "
		"what = 'hold-added' AND who = 'me' AND subject = 'case'"), 1);
	memset(&err, 0, sizeof(err));
	expect_verdict(ops->sql(sink, "DELETE FROM bursar_journal", NULL, 0,
	                        NULL, NULL, &err), BURSAR_REJECT, "sql");
	memset(&err, 0, sizeof(err));
	expect_verdict(ops->sql(sink, "DELETE FROM bursar_holds", NULL, 0,
	                        NULL, NULL, &err), BURSAR_REJECT, "sql");
}
END_TEST

START_TEST(old_keys_go_and_those_that_were_used_stay)
{
	open_sink();
	add_many("a", 3000, 1);
	write_all();
	host->now_us += 5 * COLUMNS_DAY_US;
	clear_records();
	add_many("a", 100, 1);
	add_many("b", 50, 1);
	write_all();

	struct bursar_purge what = {
		.keys_before = (TODAY + 5) * COLUMNS_DAY_US, .limit = 1000,
		.dry_run = true };
	ck_assert_uint_eq(purge(&what).keys, 2900);
	what.dry_run = false;
	const struct bursar_purged first = purge(&what);
	ck_assert_uint_eq(first.keys, 1000);
	ck_assert(first.more);
	ck_assert_uint_eq(purge_all(&what).keys, 1900);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 150);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 150);
}
END_TEST

/* --- sql ----------------------------------------------------------------- */

static int keep_types(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	char *types = context;

	for (size_t i = 0; i < count; i++) {
		types[i] = "NIRSB"[cells[i].type];
	}
	types[count] = '\0';
	if (cells[count - 1].type == BURSAR_BLOB) {
		ck_assert_uint_eq(cells[count - 1].size, 4);
		ck_assert(memcmp(cells[count - 1].data, "\0\x01\xfe\xff", 4)
		          == 0);
	}
	return 0;
}

START_TEST(columns_become_cells_by_their_type)
{
	char types[40];

	open_sink();
	memset(&err, 0, sizeof(err));
	expect_verdict(ops->sql(sink, "SELECT true, 1::smallint, 2, 3::bigint, "
		"sum(4::bigint), 1.5::numeric, 2.5::float8, 2.5::real, 'x', "
		"NULL::int, now(), current_date, '\\x0001feff'::bytea", NULL,
		0, keep_types, types, &err), BURSAR_DONE, "select");
	ck_assert_str_eq(types, "IIIIIRRRSNSSB");
}
END_TEST

START_TEST(a_statement_that_is_wrong_is_rejected)
{
	static const char *const wrong[] = {
		"SELEC 1", "", ";", "SELECT", "SELECT 1; SELECT 2",
		"SELECT * FROM nowhere", "SELECT nothing FROM metering_records",
		"SELECT $1", "SELECT 1 / 0", "COPY bursar_meta FROM STDIN",
		"COPY bursar_meta TO STDOUT",
		"INSERT INTO bursar_meta VALUES ('ledger_uuid', 'x')",
		"INSERT INTO metering_records (id) VALUES (1)",
	};

	open_sink();
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memset(&err, 0, sizeof(err));
		expect_verdict(ops->sql(sink, wrong[i], NULL, 0, NULL, NULL,
		                        &err), BURSAR_REJECT, wrong[i]);
		ck_assert_int_ne(err.code, 0);
	}
	ck_assert_int_eq(integer("SELECT 1"), 1);
	ck_assert_int_eq(write_one("m1", 1, 0), BURSAR_STORED);
}
END_TEST

START_TEST(a_transaction_does_not_stay_open)
{
	open_sink();
	memset(&err, 0, sizeof(err));
	expect_verdict(ops->sql(sink, "BEGIN", NULL, 0, NULL, NULL, &err),
	               BURSAR_DONE, "begin");
	ck_assert_int_eq(write_one("m1", 1, 0), BURSAR_STORED);
	reopen();
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
}
END_TEST

static int stop_at_three(void *context, const struct bursar_cell *cells,
                         size_t count)
{
	(void)count;
	*(int64_t *)context = cells[0].integer;
	return cells[0].integer == 3;
}

START_TEST(a_row_function_can_stop)
{
	static const char *const all[] = {
		"SELECT generate_series(1, 10)",
		"SELECT generate_series(1, 100000000)",	/* is cancelled */
	};
	int64_t last = 0;

	open_sink();
	expect_verdict(ops->sql(sink, all[_i], NULL, 0, stop_at_three, &last,
	                        &err), BURSAR_DONE, "select");
	ck_assert_int_eq(last, 3);
	ck_assert_int_eq(integer("SELECT 1"), 1);
}
END_TEST

static int ask_again(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct bursar_error inner = { 0 };

	(void)cells;
	(void)count;
	*(int *)context = (int)ops->sql(sink, "SELECT 1", NULL, 0, NULL, NULL,
	                                &inner);
	return 0;
}

START_TEST(a_statement_inside_another_is_rejected)
{
	int verdict = -1;

	open_sink();
	expect_verdict(ops->sql(sink, "SELECT 1", NULL, 0, ask_again, &verdict,
	                        &err), BURSAR_DONE, "select");
	ck_assert_int_eq(verdict, BURSAR_REJECT);
	ck_assert_int_eq(integer("SELECT 1"), 1);
}
END_TEST

/* --- the whole ----------------------------------------------------------- */

static void add_loop(Suite *suite, const char *name, const TTest *test,
                     int count)
{
	TCase *loop = tcase_create(name);

	tcase_add_checked_fixture(loop, set_up, tear_down);
	tcase_set_timeout(loop, 120);
	tcase_add_loop_test(loop, test, 0, count);
	suite_add_tcase(suite, loop);
}

static Suite *make_suite(void)
{
	Suite *suite = suite_create("sink_postgres");

	sinksuite_add(suite);
	CASE(suite, "rows", people_read_times_and_dollars,
	     dollars_and_times_to_their_ends,
	     ids_grow_and_are_never_used_again, columns_have_these_types);
	CASE(suite, "duplicates",
	     new_records_go_by_copy_and_known_ones_with_care,
	     a_duplicate_that_nobody_expects_is_found_by_the_database,
	     outcomes_are_those_of_the_contract_in_any_order,
	     a_thousand_equal_calls_are_found_in_few_rounds,
	     an_id_too_long_to_be_numbered_is_named);
	add_loop(suite, "both ways", of_equal_keys_the_first_wins_both_ways, 2);
	CASE(suite, "several daemons",
	     daemons_that_write_the_same_do_not_harm_each_other,
	     daemons_that_start_at_once_make_one_ledger);
	CASE(suite, "all or nothing", a_row_that_is_refused_undoes_its_batch,
	     a_sum_that_is_refused_undoes_its_batch,
	     each_sqlstate_has_its_verdict, a_deadlock_is_tried_again);
	add_loop(suite, "no text", bytes_that_are_no_text_are_refused, 2);
	add_loop(suite, "locks", a_lock_of_another_session_is_tried_again, 3);
	CASE(suite, "connections", a_connection_that_was_ended_is_gone,
	     a_network_that_swallows_everything_is_noticed,
	     a_server_that_is_not_there_is_down,
	     a_wrong_password_is_for_a_person,
	     a_database_that_is_not_there_is_for_a_person,
	     a_server_that_takes_no_writes_is_down,
	     the_session_is_as_the_options_say);
	add_loop(suite, "cut",
	         a_connection_cut_anywhere_leaves_all_or_nothing, 2);
	add_loop(suite, "durable", what_is_acknowledged_is_on_disk, 2);
	CASE(suite, "opening", a_newer_ledger_is_refused,
	     what_a_newer_ledger_wants_is_no_fault_of_records,
	     an_older_ledger_gets_what_is_new,
	     a_reader_makes_nothing, a_role_that_only_reads_can_read_everything,
	     what_is_not_permitted_is_said_with_its_remedy,
	     a_schema_that_is_not_there_is_for_a_person,
	     tables_of_another_program_are_left_alone,
	     a_column_that_is_missing_is_added,
	     a_ledger_that_is_stamped_is_read_without_a_look_at_its_columns);
	CASE(suite, "partitions",
	     facts_stand_in_the_month_that_they_happened_in,
	     bodies_stand_in_the_day_on_which_they_expire,
	     partitions_never_overlap);
	add_loop(suite, "taken away",
	         a_partition_that_somebody_took_away_is_made_again, 4);
	CASE(suite, "purging", days_that_are_over_are_dropped,
	     a_large_day_goes_at_its_end_and_at_once,
	     health_data_is_gone_when_its_day_begins,
	     a_month_far_off_goes_row_by_row,
	     a_purge_that_meets_a_reader_is_tried_again,
	     what_is_held_of_a_large_day_stays_in_its_place,
	     facts_and_health_data_that_are_held_stay,
	     a_hold_and_a_purge_wait_for_each_other,
	     the_journal_is_only_added_to,
	     facts_go_by_months_and_sums_stay,
	     old_keys_go_and_those_that_were_used_stay);
	CASE(suite, "sql", columns_become_cells_by_their_type,
	     a_statement_that_is_wrong_is_rejected,
	     a_transaction_does_not_stay_open,
	     a_statement_inside_another_is_rejected);
	add_loop(suite, "stopping", a_row_function_can_stop, 2);
	return suite;
}

/* Runs this program again with a server around it. */
static int run_with_server(const char *program)
{
	static const char servers[] = TOP_SRCDIR "/tests/servers";

	if (access(servers, X_OK) != 0) {
		printf("skipped: no server: BURSAR_TEST_PG says where one is\n");
		return 77;
	}
	execl(servers, servers, "run", "--only", "postgres", "--", program,
	      (char *)NULL);
	perror(servers);
	return 99;
}

int main(int argc, char **argv)
{
	(void)argc;
	if (getenv("BURSAR_TEST_PG") == NULL ||
	    getenv("BURSAR_TEST_PG_READER") == NULL ||
	    getenv("BURSAR_TEST_PG_ADMIN") == NULL) {
		return run_with_server(argv[0]);
	}
	SRunner *runner = srunner_create(make_suite());
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
