/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sinksuite.h - what every sink that keeps records is tested with
 *
 * Part of the test of one sink, which gives it set_up(), that fills ops and
 * host with the options of an empty ledger, tear_down(), that calls
 * sinksuite_finish(), and set_version(), that changes the ledger's version
 * behind the sink's back and returns what it was.  The rest of such a test uses
 * the same fixture.
 */
#ifndef TESTS_SINKSUITE_H
#define TESTS_SINKSUITE_H

#include <stdlib.h>

#include <check.h>

#include <bursar/sink.h>

#include "common/columns.h"
#include "core/flow/pack.h"
#include "core/plugin/schema.h"
#include "tests/fakehost.h"
#include "tests/sinkrecord.h"

#define CELL INT64_C(1992576)
#define NOON (CELL * COLUMNS_CELL_US)	/* when our records happen */
#define TODAY (NOON / COLUMNS_DAY_US)
#define MAX_RECORDS 20000

static const struct bursar_sink_ops *ops;
static struct fakehost *host;
static struct bursar_sink *sink;
static struct bursar_error err;

static struct bursar_record *records[MAX_RECORDS];
static enum bursar_outcome outcomes[MAX_RECORDS];
static size_t record_count;
static size_t culprit;

static void set_up(void);
static void tear_down(void);
static int set_version(int version);

/* --- fixture ------------------------------------------------------------- */

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

static void sinksuite_finish(void)
{
	close_sink();
	clear_records();
	fakehost_finish(host);
	free(host);
	host = NULL;
}

static struct bursar_sink *open_as(enum bursar_mode mode)
{
	enum bursar_verdict verdict = BURSAR_DOWN;
	struct bursar_sink *opened;

	memset(&err, 0, sizeof(err));
	opened = ops->open(&host->host, mode, &verdict, &err);
	ck_assert_msg(opened != NULL, "%s", err.text);
	ck_assert_int_eq(verdict, BURSAR_DONE);
	return opened;
}

static void open_sink(void)
{
	sink = open_as(BURSAR_WRITE);
}

static void reopen(void)
{
	close_sink();
	open_sink();
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

static void sort_records(void)
{
	memset(&err, 0, sizeof(err));
	qsort(records, record_count, sizeof(records[0]), compare_records);
}

/* As the core offers them: packed. */
static enum bursar_verdict write_to(struct bursar_sink *to)
{
	static struct bursar_record *packed[MAX_RECORDS];
	struct arena arena;

	sort_records();
	arena_init(&arena);
	for (size_t i = 0; i < record_count; i++) {
		packed[i] = pack_record(&arena, records[i], NULL);
		ck_assert_ptr_nonnull(packed[i]);
	}
	const enum bursar_verdict verdict =
		ops->write(to, packed, record_count, outcomes, &culprit, &err);
	arena_clear(&arena);
	return verdict;
}

static void write_all(void)
{
	const enum bursar_verdict verdict = write_to(sink);

	ck_assert_msg(verdict == BURSAR_DONE, "%s", err.text);
}

/* As a sink may be offered them as well. */
static void write_unpacked(void)
{
	sort_records();
	ck_assert_int_eq(ops->write(sink, records, record_count, outcomes,
	                            &culprit, &err), BURSAR_DONE);
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

/* --- asking ------------------------------------------------------------- */

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

static enum bursar_verdict say(struct bursar_sink *to, const char *sql)
{
	memset(&err, 0, sizeof(err));
	return ops->sql(to, sql, NULL, 0, NULL, NULL, &err);
}

static void expect_facts(struct bursar_sink *reader, int64_t count)
{
	struct bursar_sink *writer = sink;

	sink = reader;
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"),
	                 count);
	sink = writer;
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

START_TEST(a_field_that_was_set_before_is_null_again)
{
	open_sink();
	struct bursar_record *record = add("m1");
	set_text(record, "team", "blue");
	set_number(record, "latency_ms", 5);
	write_all();
	clear_records();
	add("m2");
	write_all();

	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records "
		"WHERE message_id = 'm2' AND team IS NULL "
		"AND latency_ms IS NULL"), 1);
}
END_TEST

/* A record for each field of a kind that others do not have as well. */
static void add_a_record_a_field(const struct bursar_kind *kind)
{
	for (size_t i = 0; i < kind->field_count; i++) {
		const struct bursar_field *field = &kind->fields[i];
		struct bursar_record *record =
			add_record(kind->name, field->name, i);

		if (record->values[i].is_set) {
			continue;
		}
		if (field->type <= BURSAR_JSON) {
			set_text(record, field->name, "{}");
		} else {
			set_number(record, field->name, 1);
		}
	}
}

static void expect_a_record_a_field(const struct bursar_kind *kind)
{
	char name[COLUMNS_NAME_MAX], ask[300];

	for (size_t i = 0; i < kind->field_count; i++) {
		const struct bursar_field *field = &kind->fields[i];

		if (records[0]->values[i].is_set && records[1]->values[i].is_set) {
			continue;
		}
		snprintf(ask, sizeof(ask), "SELECT count(*) FROM \"%s\" WHERE "
		         "(\"%s\" IS NOT NULL AND \"%s\" IS NOT NULL) <> "
		         "(message_id = '%s')", kind->table, field->name,
		         columns_stored(field, name), field->name);
		ck_assert_msg(integer(ask) == 0, "%s", field->name);
	}
}

START_TEST(records_of_a_batch_need_not_have_the_same_fields)
{
	const struct bursar_kind *kind = &schema.kinds[_i / 2];

	open_sink();
	add_a_record_a_field(kind);
	if (_i % 2 == 0) {
		write_all();
	} else {
		write_unpacked();
	}

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), kind->field_count);
	expect_a_record_a_field(kind);
}
END_TEST

START_TEST(all_kinds_go_into_one_batch)
{
	open_sink();
	add("m1");
	add_record("prompt", "m1", 2);
	struct bursar_record *tool = add_record("tool", "m1", 3);
	set_number(tool, "expires_at", NOON + 3 * COLUMNS_DAY_US);
	set_text(tool, "arguments_json", "{\"a\":1}");
	write_all();

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 3);
	ck_assert_int_eq(integer("SELECT id >> 40 FROM prompt_records"),
	                 COLUMNS_NEVER);
	ck_assert_int_eq(integer("SELECT id >> 40 FROM tool_records"),
	                 TODAY + 3);
	ck_assert_str_eq(text("SELECT arguments_json FROM tool_records"), "{\"a\":1}");
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 3);
}
END_TEST

START_TEST(the_same_record_again_is_a_duplicate)
{
	open_sink();
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_STORED);
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_DUPLICATE);
	reopen();
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_DUPLICATE);

	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
	ck_assert_int_eq(integer("SELECT request_count FROM rollup_cells "
	                         "WHERE dimension = 'all'"), 1);
}
END_TEST

START_TEST(the_same_id_with_other_content_is_a_conflict)
{
	open_sink();
	ck_assert_int_eq(write_one("m1", 7, 0), BURSAR_STORED);
	ck_assert_int_eq(write_one("m1", UINT64_MAX, 0), BURSAR_CONFLICT);

	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
}
END_TEST

START_TEST(of_equal_keys_in_a_batch_the_first_wins)
{
	open_sink();
	add_record("metering", "m1", 1);
	add_record("metering", "m1", 2);
	add_record("metering", "m2", 5);
	add_record("metering", "m2", 5);
	write_all();

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 2);
	ck_assert_uint_eq(outcome_count(BURSAR_CONFLICT), 1);
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 1);
	for (size_t i = 0; i < record_count; i++) {
		if (records[i]->check == 1) {
			ck_assert_int_eq(outcomes[i], BURSAR_STORED);
		}
	}
}
END_TEST

START_TEST(a_key_that_is_used_again_stays_young)
{
	open_sink();
	write_one("m1", 1, 0);
	host->now_us += 3 * COLUMNS_DAY_US;
	write_one("m1", 1, 0);

	ck_assert_int_eq(integer("SELECT day FROM record_keys"), TODAY + 3);
}
END_TEST

/* --- records without an id ----------------------------------------------- */

#define COUNTED BURSAR_RECORD_COUNTED
#define AGAIN   BURSAR_RECORD_AGAIN

START_TEST(equal_calls_without_id_are_separate_calls)
{
	open_sink();
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(write_one("h#0", 1, COUNTED), BURSAR_STORED);
	}

	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records WHERE "
		"message_id IN ('h#0', 'h#1', 'h#2')"), 3);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 3);
	ck_assert_int_eq(write_one("h#2", 1, 0), BURSAR_DUPLICATE);
	ck_assert_int_eq(write_one("h#3", 1, 0), BURSAR_STORED);
}
END_TEST

START_TEST(equal_calls_in_one_batch_are_separate_calls)
{
	open_sink();
	for (int i = 0; i < 1000; i++) {
		add_record("metering", "h#0", 1)->flags = COUNTED;
	}
	write_all();

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 1000);
	ck_assert_int_eq(integer("SELECT count(DISTINCT message_id) FROM "
	                         "metering_records"), 1000);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records WHERE "
	                         "message_id IN ('h#0', 'h#999')"), 2);
}
END_TEST

START_TEST(a_record_offered_again_is_found_under_any_number)
{
	open_sink();
	write_one("h#0", 1, COUNTED);
	write_one("h#0", 2, COUNTED);
	ck_assert_int_eq(write_one("h#0", 2, COUNTED | AGAIN),
	                 BURSAR_DUPLICATE);
	ck_assert_int_eq(write_one("h#0", 1, COUNTED | AGAIN),
	                 BURSAR_DUPLICATE);
	ck_assert_int_eq(write_one("h#0", 3, COUNTED | AGAIN), BURSAR_STORED);

	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 3);
}
END_TEST

START_TEST(the_record_itself_is_left_as_it_was)
{
	open_sink();
	write_one("h#0", 1, COUNTED);
	write_one("h#0", 1, COUNTED);

	ck_assert_uint_eq(records[0]->values[BURSAR_MESSAGE_ID].size, 3);
	ck_assert(memcmp(records[0]->values[BURSAR_MESSAGE_ID].text, "h#0",
	                 3) == 0);
}
END_TEST

/* --- sums ---------------------------------------------------------------- */

START_TEST(sums_of_every_dimension_are_those_of_all)
{
	static char ids[500][8];

	open_sink();
	for (int batch = 0; batch < 5; batch++) {
		for (int i = 0; i < 100; i++) {
			const int n = batch * 100 + i;
			struct bursar_record *record;

			snprintf(ids[n], sizeof(ids[n]), "m%d", n);
			record = add(ids[n]);
			bursar_set_number(record, BURSAR_RECORDED_AT,
			                  NOON + n * INT64_C(60000000));
			set_text(record, "worker_id", ids[n % 7]);
			set_text(record, "provider", n % 3 ? "a" : "b");
			set_number(record, "input_tokens", n);
			if (n % 2) {
				set_number(record, "cost_usd", n * 3);
			}
		}
		write_all();
		clear_records();
	}

	ck_assert_int_eq(integer("SELECT count(DISTINCT dimension) "
	                         "FROM rollup_cells"), 9);
	ck_assert_int_eq(integer("SELECT count(*) FROM (SELECT dimension FROM "
		"rollup_cells GROUP BY dimension HAVING "
		"sum(request_count) <> 500 OR sum(input_tokens) <> 124750 OR "
		"sum(cost_nano) <> 187500 OR sum(cost_nano_n) <> 250 OR "
		"sum(output_tokens_n) <> 0) wrong"), 0);
	ck_assert_int_eq(integer("SELECT count(*) FROM (SELECT "
		"worker_id, provider, recorded_us / 900000000 AS cell, "
		"count(*) AS n, sum(input_tokens) AS tokens "
		"FROM metering_records GROUP BY 1, 2, 3) r JOIN rollup_cells c "
		"ON c.dimension = 'worker' AND c.value = r.worker_id AND "
		"c.provider = r.provider AND c.cell = r.cell "
		"WHERE c.request_count <> n OR c.input_tokens <> tokens"), 0);
}
END_TEST

START_TEST(the_days_of_what_is_stored_are_open_again)
{
	open_sink();
	for (int64_t day = TODAY - 2; day <= TODAY + 2; day++) {
		char sql[120];

		snprintf(sql, sizeof(sql), "INSERT INTO rollup_closed (day, "
		         "fence, summed) VALUES (%lld, 1, 1) RETURNING day",
		         (long long)day);
		ck_assert_int_eq(integer(sql), day);
	}
	add_record("prompt", "p1", 1);
	write_all();
	ck_assert_int_eq(integer("SELECT count(*) FROM rollup_closed"), 5);
	clear_records();
	add("a");
	bursar_set_number(add("b"), BURSAR_RECORDED_AT,
	                  NOON - COLUMNS_DAY_US);
	write_all();
	ck_assert_int_eq(integer("SELECT count(*) FROM rollup_closed"), 3);
	ck_assert_int_eq(integer("SELECT sum(day) FROM rollup_closed"),
	                 3 * TODAY + 1);

	/* What is there already changes no sum. */
	ck_assert_int_eq(integer("INSERT INTO rollup_closed (day, fence, "
		"summed) SELECT recorded_us / 86400000000, 1, 1 FROM "
		"metering_records WHERE message_id = 'a' RETURNING summed"), 1);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_DUPLICATE), 2);
	ck_assert_int_eq(integer("SELECT count(*) FROM rollup_closed"), 4);
}
END_TEST

START_TEST(only_facts_are_summed)
{
	open_sink();
	add_record("prompt", "p1", 1);
	write_all();

	ck_assert_int_eq(integer("SELECT count(*) FROM rollup_cells"), 0);
}
END_TEST

START_TEST(the_hourly_view_sums_quarters)
{
	open_sink();
	for (int i = 0; i < 8; i++) {
		static char ids[8][4];
		struct bursar_record *record;

		snprintf(ids[i], sizeof(ids[i]), "m%d", i);
		record = add(ids[i]);
		bursar_set_number(record, BURSAR_RECORDED_AT,
			INT64_C(1793491200000000) + i * COLUMNS_CELL_US);
		set_text(record, "worker_id", "w");
		set_number(record, "latency_ms", 10 * i);
		set_number(record, "cost_usd", 1000);
	}
	write_all();

	ck_assert_int_eq(integer("SELECT count(*) FROM metering_hourly_rollup "
		"WHERE worker_id = 'w' AND provider IS NULL"), 2);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_hourly_rollup "
		"WHERE hour = '2026-11-01T01:00:00Z' AND total_calls = 4 AND "
		"avg_latency_ms = 55.0 AND total_cost_usd = 0.000004"), 1);
}
END_TEST

START_TEST(the_hourly_view_rounds_as_it_always_did)
{
	open_sink();
	for (int i = 0; i < 3; i++) {
		static char ids[3][4];
		struct bursar_record *record;

		snprintf(ids[i], sizeof(ids[i]), "m%d", i);
		record = add(ids[i]);
		bursar_set_number(record, BURSAR_RECORDED_AT,
		                  INT64_C(1793491200000000) + i);
		set_number(record, "latency_ms", 10 + i / 2);
		set_number(record, "cost_usd", 411523 + (i == 2));
		set_text(record, "model_id", "m");
	}
	bursar_set_number(add("silent"), BURSAR_RECORDED_AT,
	                  INT64_C(1793491200000000));
	write_all();

	/* 0.00123457 dollars, 31 ms of three calls; nobody said a worker. */
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_hourly_rollup "
		"WHERE worker_id IS NULL AND provider IS NULL AND "
		"model_id = 'm' AND total_calls = 3 AND "
		"total_cost_usd = 0.001235 AND avg_latency_ms = 10.33"), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_hourly_rollup "
		"WHERE model_id IS NULL AND total_calls = 1 AND "
		"avg_latency_ms = 0"), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_hourly_rollup"),
	                 2);
}
END_TEST

/* SQLite's round() to six places misses some by the last bit. */
START_TEST(the_hourly_view_says_the_nearest_number)
{
	static const int micros[] = { 2877, 5754, 11227, 265736 };
	char sql[200];

	open_sink();
	for (int i = 0; i < 4; i++) {
		static char ids[4][4];
		struct bursar_record *record;

		snprintf(ids[i], sizeof(ids[i]), "m%d", i);
		record = add(ids[i]);
		set_number(record, "cost_usd", INT64_C(1000) * micros[i]);
		set_text(record, "model_id", ids[i]);
	}
	write_all();

	for (int i = 0; i < 4; i++) {
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM "
		         "metering_hourly_rollup WHERE model_id = 'm%d' AND "
		         "total_cost_usd = %d / 1e6", i, micros[i]);
		ck_assert_msg(integer(sql) == 1, "%d", micros[i]);
	}
}
END_TEST

START_TEST(an_absurd_sum_stays_at_its_end_and_keeps_nobody_out)
{
	open_sink();
	set_number(add("m1"), "input_tokens", INT64_MAX);
	write_all();
	clear_records();
	set_number(add("m2"), "input_tokens", 5);
	write_all();
	clear_records();
	set_number(add("m3"), "output_tokens", 6);
	write_all();

	ck_assert_int_eq(integer("SELECT input_tokens FROM rollup_cells "
	                         "WHERE dimension = 'all'"), INT64_MAX);
	ck_assert_int_eq(integer("SELECT output_tokens FROM rollup_cells "
	                         "WHERE dimension = 'all'"), 6);
	ck_assert_int_eq(integer("SELECT request_count FROM rollup_cells "
	                         "WHERE dimension = 'all'"), 3);
}
END_TEST

START_TEST(an_absurd_record_keeps_out_none_that_comes_with_it)
{
	open_sink();
	set_number(add("m1"), "input_tokens", INT64_MAX);
	set_number(add("m2"), "input_tokens", INT64_MAX);
	set_number(add("m3"), "input_tokens", 5);
	write_all();

	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 3);
	ck_assert_int_eq(integer("SELECT input_tokens FROM rollup_cells "
	                         "WHERE dimension = 'all'"), INT64_MAX);
	ck_assert_int_eq(integer("SELECT request_count FROM rollup_cells "
	                         "WHERE dimension = 'all'"), 3);
}
END_TEST

/* --- another bursar ------------------------------------------------------ */

static void stopped_by(enum bursar_verdict verdict, const char *words)
{
	ck_assert_int_eq(verdict, BURSAR_CONFIG);
	ck_assert_msg(strstr(err.text, words) != NULL, "'%s' does not say '%s'",
	              err.text, words);
	memset(&err, 0, sizeof(err));
}

static enum bursar_verdict correct_one(void)
{
	const struct bursar_correction item = {
		.row = integer("SELECT id FROM metering_records"),
		.cost = { .type = BURSAR_INTEGER, .integer = 5 },
	};
	const struct bursar_correct what = {
		.batch = "b", .reason = "r", .items = &item, .count = 1,
	};
	size_t corrected = 0;

	return ops->correct(sink, &what, &corrected, &err);
}

/* While this one has it open: it knows nothing of what the other one made. */
START_TEST(a_ledger_that_came_to_be_of_another_version_takes_nothing)
{
	static const char *const words[] = { "made by a newer bursar",
	                                     "brought back to ledger version" };
	const struct bursar_purge what = { .now = NOON, .facts_before = NOON,
		.keys_before = NOON + 2 * COLUMNS_DAY_US, .limit = 10 };
	struct bursar_purged purged = { 0 };

	open_sink();
	add("m1");
	write_all();
	const int ours = set_version(_i == 0 ? 99 : 1);
	add("m2");
	stopped_by(write_to(sink), words[_i]);
	stopped_by(ops->purge(sink, &what, &purged, &err), words[_i]);
	stopped_by(correct_one(), words[_i]);
	ck_assert_int_eq(integer("SELECT count(*) FROM metering_records"), 1);
	ck_assert_int_eq(integer("SELECT count(*) FROM record_keys"), 1);
	ck_assert_int_eq(integer("SELECT count(cost_nano) "
	                         "FROM metering_records"), 0);

	set_version(ours);
	write_all();
	ck_assert_uint_eq(outcome_count(BURSAR_STORED), 1);
}
END_TEST

static struct bursar_cell number_cell(int64_t number)
{
	return (struct bursar_cell){ .type = BURSAR_INTEGER,
	                             .integer = number };
}

/* Gives each record of `ids` another cost, all of them in one batch. */
static void correct(const char *batch, const char *const *ids, size_t count,
                    int64_t old_cost, int64_t cost)
{
	struct bursar_correction items[2];
	const struct bursar_correct what = {
		.batch = batch, .reason = "test", .items = items,
		.count = count,
	};
	const struct bursar_cell text = { .type = BURSAR_STRING, .data = "b",
	                                  .size = 1 };
	size_t corrected = 0;

	ck_assert_uint_le(count, 2);
	for (size_t i = 0; i < count; i++) {
		char sql[120];

		snprintf(sql, sizeof(sql), "SELECT id FROM metering_records "
		         "WHERE message_id = '%s'", ids[i]);
		items[i] = (struct bursar_correction){
			.row = integer(sql), .old_cost = number_cell(old_cost),
			.cost = number_cell(cost),
			.computed = number_cell(cost), .book = text,
			.rule = text,
		};
	}
	const enum bursar_verdict verdict =
		ops->correct(sink, &what, &corrected, &err);
	ck_assert_msg(verdict == BURSAR_DONE, "%s", err.text);
	ck_assert_uint_eq(corrected, count);
}

static void put_absurd_costs(void)
{
	open_sink();
	set_text(add("m1"), "team", "red");
	set_number(add("m2"), "cost_usd", 5000);
	set_number(add("m3"), "latency_ms", 1);
	set_number(add("m4"), "cost_usd", INT64_MAX / 2);
	set_number(add("m5"), "cost_usd", INT64_MAX / 2);
	set_number(records[0], "cost_usd", INT64_MAX - 1000);
	set_text(records[3], "model_id", "other");
	set_number(records[4], "recorded_at", NOON + COLUMNS_DAY_US);
	write_all();
}

START_TEST(a_sum_at_its_end_comes_back_when_costs_are_corrected)
{
	put_absurd_costs();
	correct("one", (const char *const[]){ "m2" }, 1, 5000, 6000);
	ck_assert_int_eq(integer("SELECT cost_nano FROM metering_records WHERE "
	                         "message_id = 'm2'"), 6000);
	ck_assert_int_eq(integer("SELECT max(cost_nano) FROM rollup_cells "
	                         "WHERE dimension = 'all'"), INT64_MAX);
	correct("two", (const char *const[]){ "m1" }, 1, INT64_MAX - 1000, 7);
	ck_assert_int_eq(integer("SELECT count(*) FROM rollup_cells "
		"WHERE cost_nano = 6007 AND cost_nano_n = 2 AND "
		"dimension <> 'team'"), 8);
	ck_assert_int_eq(integer("SELECT cost_nano FROM rollup_cells WHERE "
		"dimension = 'team' AND value = 'red'"), 7);
	ck_assert_int_eq(integer("SELECT min(cost_nano) FROM rollup_cells "
		"WHERE dimension = 'team' AND value = '' AND cost_nano_n = 1"),
		6000);
	correct("three", (const char *const[]){ "m2" }, 1, 6000, -1);
	ck_assert_int_eq(integer("SELECT cost_nano FROM rollup_cells WHERE "
		"dimension = 'all' AND cost_nano_n = 2"), 6);
}
END_TEST

/* Not all facts of the sum are there any more. */
START_TEST(a_sum_at_its_end_stays_there_after_a_purge)
{
	char sql[160];

	put_absurd_costs();
	snprintf(sql, sizeof(sql), "INSERT INTO bursar_meta (name, value) "
	         "VALUES ('facts_purged_before_us', '%lld')",
	         (long long)(NOON / COLUMNS_DAY_US + 1) * COLUMNS_DAY_US);
	ck_assert_int_eq(say(sink, sql), BURSAR_DONE);
	correct("two", (const char *const[]){ "m1" }, 1, INT64_MAX - 1000, 7);
	ck_assert_int_eq(integer("SELECT max(cost_nano) FROM rollup_cells "
	                         "WHERE dimension = 'all'"), INT64_MAX);
}
END_TEST

START_TEST(corrected_costs_pass_no_63_bits)
{
	const char *const both[] = { "m1", "m2" };

	open_sink();
	set_number(add("m1"), "cost_usd", 10);
	set_number(add("m2"), "cost_usd", 10);
	write_all();

	correct("one", both, 2, 10, -4);
	ck_assert_int_eq(integer("SELECT cost_nano FROM rollup_cells "
	                         "WHERE dimension = 'all'"), -8);
	correct("two", both, 1, -4, INT64_MAX / 2);
	ck_assert_int_eq(integer("SELECT cost_nano FROM rollup_cells "
	                         "WHERE dimension = 'all'"), INT64_MAX / 2 - 4);
	correct("three", both + 1, 1, -4, INT64_MAX / 2 + 10);
	ck_assert_int_eq(integer("SELECT cost_nano FROM rollup_cells "
	                         "WHERE dimension = 'all'"), INT64_MAX);
}
END_TEST

START_TEST(a_reader_stands_still_until_it_is_told_otherwise)
{
	open_sink();
	struct bursar_sink *reader = open_as(BURSAR_READ);

	write_one("m1", 1, 0);
	ck_assert_int_eq(say(reader, "BEGIN"), BURSAR_DONE);
	expect_facts(reader, 1);
	write_one("m2", 1, 0);
	expect_facts(reader, 1);
	ck_assert_int_eq(say(reader, "COMMIT"), BURSAR_DONE);
	expect_facts(reader, 2);
	write_one("m3", 1, 0);
	expect_facts(reader, 3);
	ck_assert_int_eq(say(reader, "BEGIN"), BURSAR_DONE);
	ck_assert_int_eq(say(reader, "SELECT nothing"), BURSAR_REJECT);
	expect_facts(reader, 3);
	write_one("m4", 1, 0);
	expect_facts(reader, 3);
	ops->close(reader);
	expect_facts(sink, 4);
}
END_TEST

START_TEST(absurd_costs_are_corrected_together)
{
	const char *const both[] = { "m1", "m2" };

	open_sink();
	set_number(add("m1"), "cost_usd", 10);
	set_number(add("m2"), "cost_usd", 10);
	write_all();

	correct("one", both, 2, 10, INT64_MAX);
	ck_assert_int_eq(integer("SELECT cost_nano FROM rollup_cells "
	                         "WHERE dimension = 'all'"), INT64_MAX);
}
END_TEST

/* --- the suite ----------------------------------------------------------- */

static void add_case(Suite *suite, const char *name,
                     const TTest *const *tests)
{
	TCase *tests_of_case = tcase_create(name);

	tcase_add_checked_fixture(tests_of_case, set_up, tear_down);
	tcase_set_timeout(tests_of_case, 120);
	for (; *tests != NULL; tests++) {
		tcase_add_test(tests_of_case, *tests);
	}
	suite_add_tcase(suite, tests_of_case);
}

#define CASE(suite, name, ...)                                               \
	add_case(suite, name, (const TTest *const[]){ __VA_ARGS__, NULL })

static void sinksuite_add(Suite *suite)
{
	CASE(suite, "every sink: writing", a_record_is_stored_as_it_is,
	     a_field_that_was_set_before_is_null_again,
	     all_kinds_go_into_one_batch,
	     the_same_record_again_is_a_duplicate,
	     the_same_id_with_other_content_is_a_conflict,
	     of_equal_keys_in_a_batch_the_first_wins,
	     a_key_that_is_used_again_stays_young);
	CASE(suite, "every sink: without id",
	     equal_calls_without_id_are_separate_calls,
	     equal_calls_in_one_batch_are_separate_calls,
	     a_record_offered_again_is_found_under_any_number,
	     the_record_itself_is_left_as_it_was);
	CASE(suite, "every sink: sums",
	     sums_of_every_dimension_are_those_of_all,
	     the_days_of_what_is_stored_are_open_again,
	     only_facts_are_summed, the_hourly_view_sums_quarters,
	     the_hourly_view_says_the_nearest_number,
	     the_hourly_view_rounds_as_it_always_did,
	     an_absurd_sum_stays_at_its_end_and_keeps_nobody_out,
	     an_absurd_record_keeps_out_none_that_comes_with_it,
	     a_sum_at_its_end_comes_back_when_costs_are_corrected,
	     a_sum_at_its_end_stays_there_after_a_purge,
	     corrected_costs_pass_no_63_bits,
	     absurd_costs_are_corrected_together,
	     a_reader_stands_still_until_it_is_told_otherwise);

	TCase *fields = tcase_create("every sink: fields");
	tcase_add_checked_fixture(fields, set_up, tear_down);
	tcase_add_loop_test(fields,
		records_of_a_batch_need_not_have_the_same_fields, 0,
		2 * (int)schema.kind_count);
	suite_add_tcase(suite, fields);

	TCase *others = tcase_create("every sink: another bursar");
	tcase_add_checked_fixture(others, set_up, tear_down);
	tcase_add_loop_test(others,
		a_ledger_that_came_to_be_of_another_version_takes_nothing,
		0, 2);
	suite_add_tcase(suite, others);
}

#endif
