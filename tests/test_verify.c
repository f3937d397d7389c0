/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Verification finds what was changed behind the ledger's back: a fact that is
 * gone, a fact, a cell or a body that says something else, a key that is
 * missing; and finds nothing where nothing was changed.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "book/purge.h"
#include "book/verify.h"
#include "common/columns.h"
#include "ledger.h"

#define START (INT64_C(1774700000) * 1000000)
#define FACTS 60

static struct book book;
static struct bursar_error err;
static struct verify_counts counts;
static char said[8192];		/* a line for each place */

static void put_fact(int i)
{
	static char ids[FACTS][24];

	snprintf(ids[i], sizeof(ids[i]), "fact-%02d", i);
	struct bursar_record *record = ledger_record("metering", ids[i],
		START + i * COLUMNS_CELL_US / 7);
	ledger_text(record, "provider", i % 2 == 0 ? "anthropic" : "openai");
	ledger_text(record, "model_id", i % 3 == 0 ? NULL : "large");
	ledger_text(record, "team", i % 5 == 0 ? "red" : "blue");
	ledger_number(record, "input_tokens", 100 + i);
	ledger_number(record, "latency_ms", 100 * i);
	ledger_number(record, "cost_usd", 1000000 * i);
	ledger_put(&book, record);
}

static void put_prompt(const char *id, int64_t flags)
{
	struct bursar_record *record = ledger_record("prompt", id, START);

	ledger_text(record, "request_json", "{\"ask\": \"what?\"}");
	ledger_text(record, "response_json", "\"that\"");
	ledger_number(record, "input_tokens", 3);
	ledger_number(record, "contains_phi", 0);
	ledger_number(record, "dq_flags", flags);
	ledger_number(record, "expires_at", START + 30 * COLUMNS_DAY_US);
	ledger_put(&book, record);
}

static void put_tool(const char *id)
{
	struct bursar_record *record = ledger_record("tool", id, START);

	ledger_text(record, "arguments_json", "[]");
	ledger_put(&book, record);
}

static void setup(void)
{
	memset(&err, 0, sizeof(err));
	ledger_open(&book);
	for (int i = 0; i < FACTS; i++) {
		put_fact(i);
	}
	put_prompt("prompt-1", 0);
	put_prompt("prompt-2", 0);
	put_tool("tool-1");
}

static void teardown(void)
{
	ledger_close(&book);
}

static void note(void *context, const struct verify_place *place)
{
	const size_t size = strlen(said);
	const int64_t cell = place->cell - columns_cell(START);

	(void)context;
	switch (place->check) {
	case VERIFY_CELL:
	case VERIFY_DAY:
		snprintf(said + size, sizeof(said) - size, "%s %s:%.*s %"
		         PRId64 " %.*s/%.*s %s %" PRId64 " %" PRId64 "\n",
		         place->check == VERIFY_DAY ? "day" : "cell",
		         place->dimension, (int)place->value.size,
		         place->value.data, cell, (int)place->provider.size,
		         place->provider.data, (int)place->model_id.size,
		         place->model_id.data, place->column, place->stored,
		         place->computed);
		break;
	case VERIFY_DIMENSION:
		snprintf(said + size, sizeof(said) - size, "dimension %.*s\n",
		         (int)place->value.size, place->value.data);
		break;
	default:
		snprintf(said + size, sizeof(said) - size, "%s %s %.*s\n",
		         place->check == VERIFY_TIME ? "time"
		         : place->check == VERIFY_KEY ? "key" : "row",
		         place->kind->table, (int)place->message_id.size,
		         place->message_id.data);
		break;
	}
}

static void verify(void)
{
	const struct verify_report report = { .place = note };

	said[0] = '\0';
	ck_assert_msg(verify_run(&book, &report, &counts, &err) == 0, "%s",
	              err.text);
}

static void assert_said(const char *line)
{
	ck_assert_msg(strstr(said, line) != NULL, "lacks '%s':\n%s", line,
	              said);
}

START_TEST(finds_nothing_in_a_sound_ledger)
{
	verify();

	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(counts.places, 0);
	ck_assert_uint_eq(counts.facts, FACTS);
	ck_assert_uint_eq(counts.bodies, 3);
	ck_assert_uint_eq(counts.keys, FACTS + 3);
	ck_assert_int_eq(counts.cells,
	                 ledger_ask(&book, "SELECT COUNT(*) FROM rollup_cells"));
	ck_assert_int_eq(counts.stored_keys, FACTS + 3);
	ck_assert_int_eq(counts.stored_records, FACTS + 3);
	ck_assert_int_eq(counts.closed_us, INT64_MIN);
}
END_TEST

START_TEST(finds_nothing_in_an_empty_ledger)
{
	teardown();
	ledger_open(&book);

	verify();

	ck_assert_uint_eq(counts.places, 0);
	ck_assert_uint_eq(counts.facts, 0);
}
END_TEST

START_TEST(finds_a_fact_that_was_deleted)
{
	ledger_run(&book, "DELETE FROM metering_records "
	           "WHERE message_id = 'fact-20'");
	verify();

	/* fact 20: cell 2 or 3 of the first, anthropic, large, red */
	assert_said("cell all: ");
	assert_said("anthropic/large request_count");
	assert_said("cell team:red ");
	assert_said(" input_tokens ");
	assert_said(" cost_nano ");
	ck_assert_ptr_null(strstr(said, "openai"));
	ck_assert_int_eq(counts.stored_keys, counts.stored_records + 1);
}
END_TEST

START_TEST(finds_a_fact_that_was_changed)
{
	ledger_run(&book, "UPDATE metering_records SET cost_nano = 1 "
	           "WHERE message_id = 'fact-21'");
	verify();

	assert_said("cell all: ");
	assert_said("cell team:blue ");
	assert_said("cost_nano ");
	ck_assert_ptr_null(strstr(said, "request_count"));
	ck_assert_ptr_null(strstr(said, "input_tokens"));
}
END_TEST

START_TEST(finds_a_fact_that_was_slipped_in)
{
	ledger_run(&book, "INSERT INTO metering_records (id, message_id, "
		"recorded_us, inserted_us, team) SELECT MAX(id) + 1, 'bad', "
		"recorded_us, inserted_us, 'grey' FROM metering_records");
	verify();

	assert_said("cell team:grey ");
	assert_said("key metering_records bad\n");
}
END_TEST

START_TEST(finds_a_cell_that_was_changed)
{
	ledger_run(&book, "UPDATE rollup_cells SET lat_3 = lat_3 + 5 "
		"WHERE dimension = 'team' AND value = 'red' AND cell = "
		"(SELECT MIN(cell) FROM rollup_cells) "
		"AND provider = 'anthropic'");
	verify();

	ck_assert_uint_eq(counts.places, 1);
	assert_said("cell team:red 0 anthropic/ lat_3 5 0\n");
}
END_TEST

START_TEST(finds_a_cell_without_facts_and_facts_without_a_cell)
{
	ledger_run(&book, "DELETE FROM rollup_cells WHERE dimension = 'all' "
		"AND cell = (SELECT MAX(cell) FROM rollup_cells)");
	ledger_run(&book, "INSERT INTO rollup_cells (dimension, value, cell, "
		"provider, model_id, request_count) VALUES "
		"('worker', 'ghost', 7, 'p', 'm', 1)");
	verify();

	assert_said("cell worker:ghost ");
	assert_said(" p/m request_count 1 0\n");
	assert_said("cell all: ");
	assert_said(" request_count 0 ");
}
END_TEST

START_TEST(finds_a_day_that_is_not_the_sum_of_its_cells)
{
	ledger_sum_days(&book);
	verify();
	ck_assert_str_eq(said, "");
	ck_assert_uint_gt(counts.days, 2);

	ledger_run(&book, "UPDATE rollup_days SET cost_nano = cost_nano + 7 "
	           "WHERE dimension = 'team' AND value = 'red' "
	           "AND provider = 'openai' AND model_id = ''");
	ledger_run(&book, "DELETE FROM rollup_days WHERE dimension = 'node'");
	verify();
	assert_said("day team:red ");
	assert_said("openai/ cost_nano ");
	assert_said("day node: ");
	assert_said("anthropic/large request_count 0 ");
	ck_assert_ptr_null(strstr(said, "cell "));

	said[0] = '\0';
	ledger_run(&book, "DELETE FROM rollup_closed");
	ledger_sum_days(&book);
	verify();
	ck_assert_str_eq(said, "");
}
END_TEST

/* More cells than are compared at once, of many values and of one; their facts
 * are purged. */
static void put_many_cells(void)
{
	ledger_run(&book,
		"INSERT INTO rollup_cells (dimension, value, cell, provider, "
		"model_id, request_count) WITH RECURSIVE n(i) AS (SELECT 0 "
		"UNION ALL SELECT i + 1 FROM n WHERE i < 14399) "
		"SELECT d.column1, CASE d.column1 WHEN 'all' THEN '' ELSE "
		"'w' || (i * 7 % 14400) END, i, 'p' || p.column1, '', 1 "
		"FROM n, (VALUES ('all'), ('worker')) d, "
		"(VALUES (1), (2), (3), (4)) p");
	ledger_run(&book,
		"INSERT INTO rollup_days (dimension, value, day, provider, "
		"model_id, request_count) SELECT dimension, value, cell / 96, "
		"provider, model_id, SUM(request_count) FROM rollup_cells "
		"WHERE cell < 14400 GROUP BY 1, 2, 3, 4, 5");
	ledger_run(&book, "INSERT INTO rollup_closed SELECT DISTINCT day, 1, 2 "
	           "FROM rollup_days");
	ck_assert_int_eq(book_note_write(&book, BOOK_FACTS_PURGED,
	                                 150 * COLUMNS_DAY_US, &err), 0);
}

START_TEST(days_are_compared_piece_by_piece)
{
	put_many_cells();
	verify();
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(counts.days, 150);

	ledger_run(&book, "UPDATE rollup_days SET request_count = 5 WHERE "
	           "dimension = 'worker' AND provider = 'p2' AND day % 30 = 7");
	ledger_run(&book, "DELETE FROM rollup_days WHERE dimension = 'all' "
	           "AND provider = 'p4'");
	ledger_run(&book, "UPDATE rollup_days SET day = 150 WHERE "
	           "dimension = 'all' AND day = 149 AND provider = 'p1'");
	verify();
	ck_assert_uint_eq(counts.places, 5 * 96 + 150 + 1);
}
END_TEST

START_TEST(a_day_of_absurd_sums_is_compared_as_well)
{
	for (int i = 0; i < 3; i++) {
		char id[24];

		snprintf(id, sizeof(id), "absurd-%d", i);
		struct bursar_record *record = ledger_record("metering", id,
			START + i * COLUMNS_CELL_US);
		ledger_text(record, "provider", "absurd");
		ledger_number(record, "input_tokens", INT64_MAX);
		ledger_put(&book, record);
	}
	ledger_sum_days(&book);
	verify();
	ck_assert_str_eq(said, "");

	ledger_run(&book, "UPDATE rollup_days SET request_count = "
	           "request_count + 1 WHERE dimension = 'all' AND "
	           "provider = 'absurd'");
	verify();
	assert_said("absurd/ request_count 4 3");
	ck_assert_uint_eq(counts.places, 1);
}
END_TEST

START_TEST(a_day_that_cannot_be_asked_for_is_not_called_sound)
{
	const struct verify_report report = { .place = note };

	ledger_sum_days(&book);
	ledger_run(&book, "DROP TABLE rollup_days");
	ck_assert_int_eq(verify_run(&book, &report, &counts, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "rollup_days"));
	ck_assert_uint_eq(counts.days, 0);
}
END_TEST

START_TEST(finds_a_dimension_that_does_not_exist)
{
	ledger_run(&book, "INSERT INTO rollup_cells (dimension, value, cell, "
		"provider, model_id) VALUES ('moon', 'x', 7, 'p', 'm')");
	verify();

	ck_assert_str_eq(said, "dimension moon\n");
}
END_TEST

START_TEST(finds_a_fact_in_the_wrong_quarter_hour)
{
	ledger_run(&book, "UPDATE metering_records SET recorded_us = "
	           "recorded_us + 86400000000 WHERE message_id = 'fact-02'");
	verify();

	ck_assert_str_eq(said, "time metering_records fact-02\n");
}
END_TEST

START_TEST(finds_a_key_that_is_missing)
{
	ledger_run(&book, "UPDATE metering_records SET message_id = 'other' "
	           "WHERE message_id = 'fact-10'");
	verify();

	ck_assert_str_eq(said, "key metering_records other\n");
}
END_TEST

static const char *const changes[] = {
	"request_json = '{\"ask\": \"who?\"}'", "request_json = NULL",
	"input_tokens = 4", "contains_phi = 1", "expires_us = expires_us + 1",
	"row_hash = row_hash + 1", "row_hash = NULL", "error_message = ''",
	"recorded_us = recorded_us - 1",
};

START_TEST(finds_a_prompt_that_was_changed)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "UPDATE prompt_records SET %s "
	         "WHERE message_id = 'prompt-2'", changes[_i]);
	ledger_run(&book, sql);
	verify();

	ck_assert_str_eq(said, "row prompt_records prompt-2\n");
}
END_TEST

START_TEST(finds_a_tool_record_that_was_changed)
{
	ledger_run(&book, "UPDATE tool_records SET arguments_json = '[1]'");
	verify();

	ck_assert_str_eq(said, "row tool_records tool-1\n");
}
END_TEST

/* The core hashes it as #0; the sink may have to store it as #1. */
START_TEST(a_numbered_id_is_hashed_as_the_first_of_its_numbers)
{
	put_prompt("hash#0", BURSAR_DQ_ID_DERIVED);
	ledger_run(&book, "UPDATE prompt_records SET message_id = 'hash#12' "
	           "WHERE message_id = 'hash#0'");
	verify();
	ck_assert_str_eq(said, "key prompt_records hash#12\n");

	ledger_run(&book, "UPDATE prompt_records SET message_id = 'other#12' "
	           "WHERE message_id = 'hash#12'");
	verify();
	assert_said("row prompt_records other#12\n");
}
END_TEST

START_TEST(cells_before_the_purge_mark_are_closed)
{
	const int64_t mark = (columns_cell(START) + 3) * COLUMNS_CELL_US;
	char sql[200];

	snprintf(sql, sizeof(sql), "DELETE FROM metering_records "
	         "WHERE recorded_us < %" PRId64, mark);
	ledger_run(&book, sql);
	ck_assert_int_eq(book_note_write(&book, BOOK_FACTS_PURGED, mark, &err),
	                 0);
	verify();

	ck_assert_str_eq(said, "");
	ck_assert_int_eq(counts.closed_us, mark);
	ck_assert_uint_gt(counts.closed, 0);
	ck_assert_int_eq(counts.closed + counts.cells,
	                 ledger_ask(&book, "SELECT COUNT(*) FROM rollup_cells"));

	/* What comes after the mark is still compared. */
	ledger_run(&book, "DELETE FROM metering_records "
	           "WHERE message_id = 'fact-59'");
	verify();
	assert_said("cell all: ");
}
END_TEST

START_TEST(keys_before_the_purge_mark_may_be_gone)
{
	ledger_run(&book, "UPDATE metering_records SET message_id = 'other' "
	           "WHERE message_id = 'fact-10'");
	book_note_write(&book, BOOK_KEYS_PURGED, START + COLUMNS_DAY_US, &err);
	verify();

	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(counts.keys, 0);
}
END_TEST

static void purge_keys(void *context, const struct verify_counts *so_far)
{
	const struct purge_rule rule = {
		.now = clock_wall_us() + 30 * COLUMNS_DAY_US,
		.dedup_days = 10, .keep_bodies = true,
	};
	struct bursar_purged purged;

	(void)context;
	if (so_far->facts > 0) {
		ck_assert_int_eq(purge_take(&book, &rule, NULL, NULL, &purged,
		                            &err), 0);
	}
}

/* Facts first, then bodies: their keys go in between. */
START_TEST(keys_that_are_purged_meanwhile_are_no_difference)
{
	const struct verify_report report = { .place = note,
	                                      .progress = purge_keys };

	said[0] = '\0';
	ck_assert_msg(verify_run(&book, &report, &counts, &err) == 0, "%s",
	              err.text);
	ck_assert_int_eq(counts.stored_keys, 0);
	ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(absurd_numbers_keep_nobody_from_looking)
{
	for (int i = 0; i < 3; i++) {
		char id[24];

		snprintf(id, sizeof(id), "absurd-%d", i);
		struct bursar_record *record = ledger_record("metering", id,
			START);
		ledger_text(record, "provider", "absurd");
		ledger_number(record, "input_tokens", INT64_MAX);
		ledger_number(record, "cost_usd", -INT64_MAX);
		ledger_put(&book, record);
	}
	verify();
	ck_assert_str_eq(said, "");

	/* What is beside them is still compared. */
	ledger_run(&book, "UPDATE rollup_cells SET request_count = "
	           "request_count + 1 WHERE dimension = 'all' AND "
	           "input_tokens = 9223372036854775807");
	verify();
	assert_said("cell all: 0 absurd/ request_count 4 3");
	ck_assert_uint_eq(counts.places, 1);
}
END_TEST

START_TEST(ends_after_a_thousand_places)
{
	ledger_run(&book, "UPDATE rollup_cells SET request_count = 99, "
		"error_count = 98, input_tokens = 97, output_tokens = 96, "
		"cost_nano = 95, lat_0 = 94, lat_1 = 93, lat_19 = 92");
	verify();

	ck_assert_uint_eq(counts.places, VERIFY_MAX_PLACES);
	ck_assert(counts.stopped);
}
END_TEST

/* More facts than a stretch has, of more quarter hours than one. */
START_TEST(a_large_ledger_is_compared_stretch_by_stretch)
{
	ledger_run(&book,
		"INSERT INTO metering_records (id, message_id, recorded_us, "
		"inserted_us, provider, input_tokens) "
		"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 "
		"FROM n WHERE i < 49999) SELECT (i / 9000 + 3000000) * "
		"1099511627776 + i, 'big-' || i, (i / 9000 + 3000000) * "
		"900000000, 0, 'p' || (i % 7), i FROM n");
	verify();
	ck_assert(counts.stopped);

	book_note_write(&book, BOOK_KEYS_PURGED, START - 1, &err);
	ledger_run(&book,
		"INSERT INTO rollup_cells (dimension, value, cell, provider, "
		"model_id, request_count, input_tokens, input_tokens_n) "
		"SELECT d.column1, '', m.id >> 40, m.provider, '', COUNT(*), "
		"SUM(input_tokens), COUNT(*) FROM metering_records m, "
		"(VALUES ('all'), ('worker'), ('node'), ('agent'), ('tier'), "
		"('request_type'), ('cost_center'), ('budget_id'), ('team')) d "
		"WHERE m.message_id LIKE 'big-%' "
		"GROUP BY d.column1, m.id >> 40, m.provider");
	verify();
	ck_assert_str_eq(said, "");
	ck_assert(!counts.stopped);
	ck_assert_uint_eq(counts.facts, FACTS + 50000);

	ledger_run(&book, "UPDATE metering_records SET input_tokens = 1 "
	           "WHERE message_id = 'big-30000'");
	verify();
	ck_assert_uint_eq(counts.places, 9);
}
END_TEST

START_TEST(says_that_it_could_not_look)
{
	const struct verify_report report = { .place = note };

	ledger_run(&book, "ALTER TABLE rollup_cells RENAME COLUMN lat_7 TO x");
	ck_assert_int_eq(verify_run(&book, &report, &counts, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "lat_7"));
}
END_TEST

#define COUNT(list) (int)(sizeof(list) / sizeof((list)[0]))

static Suite *suite(void)
{
	Suite *s = suite_create("verify");
	TCase *verify_case = tcase_create("verify");

	tcase_set_timeout(verify_case, 60);
	tcase_add_checked_fixture(verify_case, setup, teardown);
	tcase_add_test(verify_case, finds_nothing_in_a_sound_ledger);
	tcase_add_test(verify_case, finds_nothing_in_an_empty_ledger);
	tcase_add_test(verify_case, finds_a_fact_that_was_deleted);
	tcase_add_test(verify_case, finds_a_fact_that_was_changed);
	tcase_add_test(verify_case, finds_a_fact_that_was_slipped_in);
	tcase_add_test(verify_case, finds_a_cell_that_was_changed);
	tcase_add_test(verify_case,
	               finds_a_cell_without_facts_and_facts_without_a_cell);
	tcase_add_test(verify_case, finds_a_day_that_is_not_the_sum_of_its_cells);
	tcase_add_test(verify_case, days_are_compared_piece_by_piece);
	tcase_add_test(verify_case, a_day_of_absurd_sums_is_compared_as_well);
	tcase_add_test(verify_case,
	               a_day_that_cannot_be_asked_for_is_not_called_sound);
	tcase_add_test(verify_case, finds_a_dimension_that_does_not_exist);
	tcase_add_test(verify_case, finds_a_fact_in_the_wrong_quarter_hour);
	tcase_add_test(verify_case, finds_a_key_that_is_missing);
	tcase_add_loop_test(verify_case, finds_a_prompt_that_was_changed, 0,
	                    COUNT(changes));
	tcase_add_test(verify_case, finds_a_tool_record_that_was_changed);
	tcase_add_test(verify_case,
	               a_numbered_id_is_hashed_as_the_first_of_its_numbers);
	tcase_add_test(verify_case, cells_before_the_purge_mark_are_closed);
	tcase_add_test(verify_case, absurd_numbers_keep_nobody_from_looking);
	tcase_add_test(verify_case, keys_before_the_purge_mark_may_be_gone);
	tcase_add_test(verify_case,
	               keys_that_are_purged_meanwhile_are_no_difference);
	tcase_add_test(verify_case, ends_after_a_thousand_places);
	tcase_add_test(verify_case,
	               a_large_ledger_is_compared_stretch_by_stretch);
	tcase_add_test(verify_case, says_that_it_could_not_look);
	suite_add_tcase(s, verify_case);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());

	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
