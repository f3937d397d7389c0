/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The query engine against plain sums over the records: for random windows,
 * groupings and filters both say the same, whether the engine answers from
 * rollups, from records or from both.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>

#include "book/budget.h"
#include "book/priced.h"
#include "book/query.h"
#include "common/columns.h"
#include "jobs/job.h"
#include "ledger.h"

#define START   (INT64_C(1774700000) * 1000000)	/* 2026-03-28T12:13:20Z */
#define DAYS    8
#define LATE    30	/* records after days were summed up */
#define RECORDS 2000
#define GROUPS  (RECORDS + 1)

static struct book book;
static struct bursar_error err;
static struct bursar_record *records[RECORDS];
static char ids[RECORDS][16];
static unsigned seed;

static int64_t any(int64_t below)
{
	const int64_t number = (int64_t)rand_r(&seed) << 31 ^ rand_r(&seed);

	return number % below;
}

/* NULL for 2 of 8, "" for one. */
static const char *any_of(const char *const *words, int count)
{
	switch (any(8)) {
	case 0: case 1:
		return NULL;
	case 2:
		return "";
	default:
		return words[any(count)];
	}
}

static const char *const providers[] = { "anthropic", "openai", "ollama" };
static const char *const models[] = { "large", "small", "gr\xc3\xb6\xc3\x9fte" };
static const char *const workers[] = { "w1", "w2", "w3", "w4", "w'5" };
static const char *const teams[] = { "red", "blue" };
static const char *const talks[] = { "c1", "c2", "c3", "c4", "c5", "c6" };
static const char *const states[] = { "success", "ok", "error", "timeout" };

/* What tags say, and how that is written: one that is named, one that was
 * named when half of the time was over, and one that is not. */
static const char *const features[] = { "chat", "se\"arch", "\n" };
static const char *const features_written[] = { "chat", "se\\\"arch", "\\n" };
static const char *const keys[] = { "feature", "late", "customer" };
static char tags[RECORDS][160];

#define NAMED_LATE ((START / COLUMNS_CELL_US) + DAYS * 48)

static const char *any_tags(int i)
{
	char *out = tags[i];
	const size_t room = sizeof(tags[i]);
	size_t size = 0;

	for (int n = 0; n < 3; n++) {
		if (any(3) == 0) {
			continue;
		}
		size += (size_t)snprintf(out + size, room - size,
		                         "%s\"%s\":\"%s\"",
		                         size == 0 ? "{" : ",", keys[n],
		                         any(5) == 0 ? ""
		                         : features_written[any(3)]);
	}
	if (size == 0) {
		return NULL;
	}
	snprintf(out + size, room - size, "}");
	return out;
}

static const char *const numbers[] = {
	"input_tokens", "output_tokens", "thinking_tokens", "total_tokens",
	"cache_read_input_tokens", "cache_write_input_tokens", "latency_ms",
	"wall_clock_ms", "cost_usd",
};

static struct bursar_record *any_record(int i)
{
	int64_t at = START + any(DAYS * COLUMNS_DAY_US);

	/* Borders of cells are where mistakes would be. */
	if (any(4) == 0) {
		at = at / COLUMNS_CELL_US * COLUMNS_CELL_US - any(2);
	}
	snprintf(ids[i], sizeof(ids[i]), "m%d", i);
	struct bursar_record *record = ledger_record("metering", ids[i], at);
	ledger_text(record, "provider", any_of(providers, 3));
	ledger_text(record, "model_id", any_of(models, 3));
	ledger_text(record, "worker_id", any_of(workers, 5));
	ledger_text(record, "team", any_of(teams, 2));
	ledger_text(record, "conversation_id", any_of(talks, 6));
	ledger_text(record, "status", any_of(states, 4));
	ledger_text(record, "tags", any_tags(i));
	for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
		if (any(4) != 0) {
			ledger_number(record, numbers[n],
			              any(40) == 0 ? -any(100) : any(150000));
		}
	}
	return record;
}

static void make(void)
{
	const char *given = getenv("BURSAR_TEST_SEED");

	memset(&err, 0, sizeof(err));
	seed = given != NULL ? (unsigned)strtoul(given, NULL, 10)
		: (unsigned)time(NULL);
	printf("BURSAR_TEST_SEED=%u\n", seed);
	ledger_open(&book);
	ck_assert(book_note_write(&book, "tag:feature", 0, &err) == 0);
	ck_assert(book_note_write(&book, "tag:late", NAMED_LATE,
	                          &err) == 0);
	for (int i = 0; i < RECORDS; i++) {
		records[i] = any_record(i);
	}
}

static void setup(void)
{
	make();
	ledger_write(&book, records, RECORDS);
}

static int64_t closed(void)
{
	return ledger_ask(&book, "SELECT count(*) FROM rollup_closed "
	                  "WHERE summed = 2");
}

/* Days are summed up before the last records come; some are open again. */
static void setup_days(void)
{
	const int late = any(2) == 0 ? LATE : 1;

	make();
	ledger_write(&book, records, RECORDS - (size_t)late);
	ledger_sum_days(&book);
	ck_assert_int_gt(closed(), DAYS);
	ledger_write(&book, records + RECORDS - late, (size_t)late);
}

static void teardown(void)
{
	for (int i = 0; i < RECORDS; i++) {
		free(records[i]);
	}
	ledger_close(&book);
}

/* --- the plain way ------------------------------------------------------- */

struct group {
	char    key[128];	/* the values, each with a \x01 behind */
	int64_t columns[ROLLUP_COLUMNS];
};

struct sums {
	size_t count;
	struct group groups[GROUPS];
};

static struct sums plain, engine;

/* Without what production code reads tags with: these have one escape. */
static struct bursar_span tag_of(const struct bursar_record *record,
                                 const char *key)
{
	const struct bursar_value *value =
		&record->values[bursar_field_find(record->kind, "tags")];
	char wanted[80];

	for (size_t i = 0; value->is_set && i < 3; i++) {
		snprintf(wanted, sizeof(wanted), "\"%s\":\"%s\"", key,
		         features_written[i]);
		if (strstr(value->text, wanted) != NULL) {
			return (struct bursar_span){ features[i],
				strlen(features[i]) };
		}
	}
	return (struct bursar_span){ "", 0 };
}

static struct bursar_span text_of(const struct bursar_record *record,
                                  const char *field)
{
	if (tags_key_of(field) != NULL) {
		return tag_of(record, tags_key_of(field));
	}
	const struct bursar_value *value =
		&record->values[bursar_field_find(record->kind, field)];

	return value->is_set
		? (struct bursar_span){ value->text, value->size }
		: (struct bursar_span){ "", 0 };
}

static struct group *group_of(struct sums *sums, const char *key)
{
	for (size_t i = 0; i < sums->count; i++) {
		if (strcmp(sums->groups[i].key, key) == 0) {
			return &sums->groups[i];
		}
	}
	ck_assert_uint_lt(sums->count, GROUPS);
	struct group *group = &sums->groups[sums->count++];
	memset(group, 0, sizeof(*group));
	snprintf(group->key, sizeof(group->key), "%s", key);
	return group;
}

static void add_plainly(struct group *group, const struct bursar_record *record)
{
	const struct bursar_span status = text_of(record, "status");

	group->columns[ROLLUP_REQUESTS]++;
	group->columns[ROLLUP_ERRORS] += status.size > 0 &&
		strncmp(status.data, "success", status.size) != 0 &&
		strncmp(status.data, "ok", status.size) != 0;
	for (int i = 0; i < ROLLUP_SUMS; i++) {
		const struct bursar_value *value = &record->values[
			bursar_field_find(record->kind, numbers[i])];
		int64_t *sum = &group->columns[ROLLUP_FIRST_SUM + 2 * i];

		if (value->is_set) {
			sum[0] += value->number;
			sum[1] += 1;
		}
		if (value->is_set && i == ROLLUP_LATENCY) {
			int bucket = 0;

			while (bucket < ROLLUP_LATENCY_BUCKETS - 1 &&
			       value->number > rollup_latency_bounds[bucket]) {
				bucket++;
			}
			group->columns[ROLLUP_FIRST_BUCKET + bucket]++;
		}
	}
}

static bool passes(const struct query *query,
                   const struct bursar_record *record)
{
	const int64_t at = record->values[BURSAR_RECORDED_AT].number;

	for (size_t i = 0; i < query->filter_count; i++) {
		const struct bursar_span text =
			text_of(record, query->filters[i].field);

		if (text.size != strlen(query->filters[i].value) ||
		    memcmp(text.data, query->filters[i].value, text.size) != 0) {
			return false;
		}
	}
	return at >= query->window.since && at < query->window.until;
}

static size_t period_of(const struct query *query,
                        const struct bursar_record *record)
{
	const int64_t at = record->values[BURSAR_RECORDED_AT].number;
	size_t period = 0;

	while (at >= query->periods[period + 1]) {
		period++;
	}
	return period;
}

static void ask_plainly(const struct query *query)
{
	char key[128];

	plain.count = 0;
	if (query->by_count == 0 && query->period_count == 0) {
		group_of(&plain, "");
	}
	for (int i = 0; i < RECORDS; i++) {
		size_t size = 0;

		if (!passes(query, records[i])) {
			continue;
		}
		key[0] = '\0';
		if (query->period_count > 0) {
			size += (size_t)snprintf(key, sizeof(key), "%zu\x01",
			                         period_of(query, records[i]));
		}
		for (size_t k = 0; k < query->by_count; k++) {
			const struct bursar_span text =
				text_of(records[i], query->by[k]);

			size += (size_t)snprintf(key + size, sizeof(key) - size,
				"%.*s\x01", (int)text.size, text.data);
		}
		add_plainly(group_of(&plain, key), records[i]);
	}
}

/* --- the engine's way ---------------------------------------------------- */

static size_t by_count;

static const struct query *asked;
static size_t last_period;

static int take(void *context, const struct query_row *row)
{
	char key[128] = "";
	size_t size = 0;

	(void)context;
	if (asked->period_count > 0) {
		size += (size_t)snprintf(key, sizeof(key), "%zu\x01",
		                         row->period);
		ck_assert_uint_ge(row->period, last_period);
		last_period = row->period;
	}
	for (size_t k = 0; k < by_count; k++) {
		size += (size_t)snprintf(key + size, sizeof(key) - size, "%.*s\x01",
			(int)row->by[k].size,
			row->by[k].data == NULL ? "" : row->by[k].data);
	}
	const size_t before = engine.count;
	struct group *group = group_of(&engine, key);
	ck_assert_msg(engine.count == before + 1, "%s comes twice", key);
	memcpy(group->columns, row->columns, sizeof(group->columns));
	return 0;
}

static void ask_engine(const struct query *query)
{
	engine.count = 0;
	by_count = query->by_count;
	asked = query;
	last_period = 0;
	ck_assert_msg(query_run(&book, query, take, NULL, &err) == 0, "%s",
	              err.text);
}

static const int cost = ROLLUP_FIRST_SUM + 2 * ROLLUP_COST;

static void assert_order(void)
{
	const int by = asked->order == QUERY_BY_REQUESTS ? ROLLUP_REQUESTS
		: cost;

	for (size_t i = 1; i < engine.count; i++) {
		const struct group *a = &engine.groups[i - 1];
		const struct group *b = &engine.groups[i];

		if (asked->period_count > 0 &&
		    strtoul(a->key, NULL, 10) != strtoul(b->key, NULL, 10)) {
			continue;
		}
		ck_assert_int_ge(a->columns[by], b->columns[by]);
		if (a->columns[by] == b->columns[by]) {
			ck_assert_int_lt(strcmp(a->key, b->key), 0);
		}
	}
}

static void assert_same(const struct query *query)
{
	ask_plainly(query);
	ask_engine(query);

	ck_assert_uint_eq(engine.count, plain.count);
	assert_order();
	for (size_t i = 0; i < plain.count; i++) {
		const struct group *want = &plain.groups[i];
		const struct group *got = group_of(&engine, want->key);

		for (int c = 0; c < ROLLUP_COLUMNS; c++) {
			ck_assert_msg(got->columns[c] == want->columns[c],
			              "[%s] %s is %lld, not %lld", want->key,
			              rollup_columns[c],
			              (long long)got->columns[c],
			              (long long)want->columns[c]);
		}
	}
	ck_assert_uint_eq(engine.count, plain.count);
}

/* --- questions ----------------------------------------------------------- */

static int64_t any_time(void)
{
	const int64_t at = START - COLUMNS_DAY_US / 2 +
		any((DAYS + 1) * COLUMNS_DAY_US);

	switch (any(3)) {
	case 0:
		return at / COLUMNS_CELL_US * COLUMNS_CELL_US;
	case 1:
		return records[any(RECORDS)]->values[BURSAR_RECORDED_AT].number;
	default:
		return at;
	}
}

static struct window any_window(void)
{
	struct window w = { any_time(), any_time() };

	switch (any(8)) {
	case 0:		/* about one cell */
		w.until = w.since + any(2 * COLUMNS_CELL_US);
		break;
	case 1:
		w.until = w.since;
		break;
	case 2:
		w.since = WINDOW_OPEN_SINCE;
		break;
	case 3:
		w.until = WINDOW_OPEN_UNTIL;
		break;
	case 4:
		return (struct window){ WINDOW_OPEN_SINCE, WINDOW_OPEN_UNTIL };
	}
	if (w.since > w.until) {
		const int64_t since = w.until;

		w.until = w.since;
		w.since = since;
	}
	return w;
}

static const char *const fields[] = {
	"provider", "model_id", "worker_id", "team", "conversation_id",
	"tag:feature", "tag:late", "tag:customer",
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static const char *any_value(const char *field)
{
	const char *value =
		strcmp(field, "provider") == 0 ? any_of(providers, 3)
		: strcmp(field, "model_id") == 0 ? any_of(models, 3)
		: strcmp(field, "worker_id") == 0 ? any_of(workers, 5)
		: strcmp(field, "team") == 0 ? any_of(teams, 2)
		: tags_key_of(field) != NULL ? any_of(features, 3)
		: any_of(talks, 6);

	return value == NULL ? "" : value;
}

/* Into periods, some of them empty; mostly at borders of cells. */
static void divide(struct query *query)
{
	static int64_t periods[QUERY_MAX_PERIODS + 1];
	const bool open = query->window.since == WINDOW_OPEN_SINCE ||
	                  query->window.until == WINDOW_OPEN_UNTIL;
	const int64_t first = open ? START : query->window.since;
	const int64_t last = open ? START + DAYS * COLUMNS_DAY_US
		: query->window.until;
	const int64_t step = any(3) == 0 ? any(COLUMNS_DAY_US) + 1
		: COLUMNS_CELL_US * (1 + any(100));
	int64_t next = step * (first / step + 1);
	size_t count = 0;

	periods[count++] = query->window.since;
	while (next < last && count < QUERY_MAX_PERIODS) {
		periods[count++] = next;
		next += any(8) == 0 ? 0 : step;
	}
	periods[count] = query->window.until;
	query->periods = periods;
	query->period_count = count;
}

static struct query any_query(void)
{
	struct query query = {
		.window = any_window(),
		.by_count = (size_t)any(3),
		.filter_count = any(3) == 0 ? 1 + (size_t)any(2) : 0,
		.columns = (UINT64_C(1) << ROLLUP_COLUMNS) - 1,
	};
	const int64_t first = any(FIELDS);

	query.order = any(4) == 0 ? QUERY_BY_REQUESTS : QUERY_BY_COST;
	if (any(3) == 0 && query.window.since < query.window.until) {
		divide(&query);
	}
	for (size_t i = 0; i < query.by_count; i++) {
		query.by[i] = fields[((size_t)first + i) % FIELDS];
	}
	for (size_t i = 0; i < query.filter_count; i++) {
		const char *field = fields[any(FIELDS)];

		query.filters[i] = (struct query_filter){ field,
		                                          any_value(field) };
	}
	return query;
}

START_TEST(answers_are_those_of_the_records_for_any_question)
{
	for (int i = 0; i < 400; i++) {
		const struct query query = any_query();

		assert_same(&query);
	}
}
END_TEST

START_TEST(rollups_and_records_say_the_same)
{
	for (int i = 0; i < 50; i++) {
		struct query query = any_query();

		ask_plainly(&query);
		query.from_records = true;
		assert_same(&query);
	}
}
END_TEST

/* The largest division there may be, on both sides of cells. */
START_TEST(a_window_may_have_very_many_periods)
{
	static int64_t periods[QUERY_MAX_PERIODS + 1];
	struct query query = {
		.period_count = QUERY_MAX_PERIODS,
		.periods = periods,
		.by = { "worker_id", "provider", "model_id" },
		.by_count = 3,
		.columns = (UINT64_C(1) << ROLLUP_COLUMNS) - 1,
	};

	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i <= QUERY_MAX_PERIODS; i++) {
			periods[i] = START / COLUMNS_CELL_US * COLUMNS_CELL_US +
				(int64_t)i * (COLUMNS_CELL_US - turn);
		}
		periods[0] += 1000000;
		periods[QUERY_MAX_PERIODS] += 1000000;
		query.window = (struct window){ periods[0],
		                                periods[QUERY_MAX_PERIODS] };
		assert_same(&query);
	}
}
END_TEST

static struct query_row only_row;

static int take_only(void *context, const struct query_row *row)
{
	(void)context;
	only_row = *row;
	return 0;
}

START_TEST(what_no_rollup_keeps_comes_from_records)
{
	const struct query query = {
		.window = { WINDOW_OPEN_SINCE, WINDOW_OPEN_UNTIL },
		.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_LATENCY),
		.extras = 1u << QUERY_LATENCY_MAX | 1u << QUERY_FLAGGED |
		          1u << QUERY_NO_RESPONSE_ID,
	};
	int64_t highest = INT64_MIN;

	for (int i = 0; i < RECORDS; i++) {
		const struct bursar_value *latency = &records[i]->values[
			bursar_field_find(records[i]->kind, "latency_ms")];

		if (latency->is_set && latency->number > highest) {
			highest = latency->number;
		}
	}
	ck_assert_int_eq(query_run(&book, &query, take_only, NULL, &err), 0);
	ck_assert_int_eq(only_row.columns[ROLLUP_REQUESTS], RECORDS);
	ck_assert(only_row.extra_known[QUERY_LATENCY_MAX]);
	ck_assert_int_eq(only_row.extras[QUERY_LATENCY_MAX], highest);
	ck_assert_int_eq(only_row.extras[QUERY_NO_RESPONSE_ID], RECORDS);
	ck_assert_int_eq(only_row.extras[QUERY_FLAGGED], 0);
}
END_TEST

START_TEST(the_extent_is_that_of_all_facts)
{
	struct window extent;

	ck_assert_int_eq(query_extent(&book, &extent, &err), 0);
	for (int i = 0; i < RECORDS; i++) {
		const int64_t at =
			records[i]->values[BURSAR_RECORDED_AT].number;

		ck_assert_int_ge(at, extent.since);
		ck_assert_int_lt(at, extent.until);
	}
	ck_assert_int_eq(extent.since % COLUMNS_CELL_US, 0);
	ck_assert_int_le(extent.until - extent.since,
	                 (DAYS + 1) * COLUMNS_DAY_US);
	ledger_run(&book, "DELETE FROM rollup_cells");
	ck_assert_int_eq(query_extent(&book, &extent, &err), 0);
	ck_assert_int_eq(extent.since, extent.until);
}
END_TEST

static int64_t last_cost;
static int calls_seen;

static int take_call(void *context, const struct query_call *call)
{
	(void)context;
	if (calls_seen++ > 0) {
		ck_assert_int_le(call->cost_nano, last_cost);
	}
	last_cost = call->cost_nano;
	ck_assert_uint_eq(call->provider.size, 6);
	return 0;
}

START_TEST(calls_come_by_cost)
{
	const struct query query = {
		.window = { START, START + COLUMNS_DAY_US },
		.filters = { { "provider", "openai" } },
		.filter_count = 1,
	};
	const int64_t stored = ledger_ask(&book, "SELECT COUNT(*) FROM "
		"metering_records WHERE provider = 'openai' AND cost_nano IS "
		"NOT NULL AND recorded_us >= 1774700000000000 AND "
		"recorded_us < 1774786400000000");

	calls_seen = 0;
	ck_assert_int_eq(query_calls(&book, &query, 10, take_call, NULL, &err),
	                 0);
	ck_assert_int_eq(calls_seen, 10);
	calls_seen = 0;
	ck_assert_int_eq(query_calls(&book, &query, RECORDS, take_call, NULL,
	                             &err), 0);
	ck_assert_int_eq(calls_seen, stored);
}
END_TEST

static int64_t priced_row;
static int scans;

static int take_priced(void *context, const struct priced *fact)
{
	(void)context;
	priced_row = fact->id;
	return 0;
}

static const struct bursar_sink_ops *uncounted;

static enum bursar_verdict count_scans(struct bursar_sink *sink,
                                       const char *statement,
                                       const struct bursar_cell *parameters,
                                       size_t count, bursar_row_fn *row,
                                       void *context,
                                       struct bursar_error *why)
{
	scans += strstr(statement, "metering_records") != NULL;
	return uncounted->sql(sink, statement, parameters, count, row, context,
	                      why);
}

static int64_t find_priced(const char *id)
{
	const struct priced_filter filter = {
		.window = { WINDOW_OPEN_SINCE, WINDOW_OPEN_UNTIL },
		.message_id = id, .after_id = INT64_MIN,
	};
	struct bursar_sink_ops counting = *book.ops;

	uncounted = book.ops;
	counting.sql = count_scans;
	book.ops = &counting;
	priced_row = -1;
	scans = 0;
	ck_assert_msg(priced_find(&book, &filter, take_priced, NULL,
	                          &err) == 0, "%s", err.text);
	book.ops = uncounted;
	return priced_row;
}

START_TEST(a_fact_is_found_by_its_id_however_late_it_came)
{
	/* All are stored on one day. */
	ck_assert_int_eq(find_priced("m7"), ledger_ask(&book, "SELECT id FROM "
		"metering_records WHERE message_id = 'm7'"));
	ck_assert_int_gt(scans, 0);
	ck_assert_int_eq(find_priced("nothing"), -1);
	ck_assert_int_eq(scans, 0);

	ledger_clock(START + 2 * COLUMNS_DAY_US);
	ledger_put(&book, ledger_record("metering", "soon",
	                                START + 2 * COLUMNS_DAY_US - 1));
	ck_assert_int_ge(find_priced("soon"), 0);
	ck_assert_int_le(scans, 2);

	/* Its key is gone, it is not. */
	ledger_run(&book, "INSERT INTO bursar_meta VALUES "
	           "('keys_purged_before_us', '1')");
	for (int i = 0; i < 3; i++) {
		ledger_run(&book, (const char *[]){
			"DELETE FROM keys_0a", "DELETE FROM keys_0b",
			"DELETE FROM keys_2" }[i]);
	}
	ck_assert_int_ge(find_priced("m7"), 0);
}
END_TEST

static void put_at(const char *id, int64_t stored_us, int64_t recorded_us)
{
	struct bursar_record *record = ledger_record("metering", id,
	                                             recorded_us);

	ledger_clock(stored_us);
	ledger_number(record, "inserted_at", stored_us);
	ledger_put(&book, record);
}

static void move_keys(int days)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "UPDATE keys_0a SET day = day + %d", days);
	ledger_run(&book, sql);
}

START_TEST(a_fact_that_came_late_is_found_among_those_that_came_with_it)
{
	const int64_t now = START + 100 * COLUMNS_DAY_US;
	const int64_t at = START + 50 * COLUMNS_DAY_US;

	put_at("first", at, at);
	put_at("before", now - COLUMNS_DAY_US, now - COLUMNS_DAY_US);
	put_at("late", now, at);
	put_at("present", now, now);
	put_at("after", now + 3 * COLUMNS_DAY_US, now + 3 * COLUMNS_DAY_US);
	put_at("later", now + 4 * COLUMNS_DAY_US, at);

	ck_assert_int_eq(find_priced("late"), ledger_ask(&book, "SELECT id "
		"FROM metering_records WHERE message_id = 'late'"));
	ck_assert_int_eq(scans, 5);
	ck_assert_int_ge(find_priced("later"), 0);
	ck_assert_int_eq(scans, 5);
	ck_assert_int_ge(find_priced("present"), 0);
	ck_assert_int_eq(scans, 1);

	/* A key that says something else makes it slow, and no more. */
	move_keys(30);
	ck_assert_int_ge(find_priced("late"), 0);
	ck_assert_int_ge(find_priced("first"), 0);
	move_keys(-60);
	ck_assert_int_ge(find_priced("present"), 0);
	ck_assert_int_ge(find_priced("after"), 0);
}
END_TEST

START_TEST(a_percentile_lies_in_the_bucket_of_the_true_one)
{
	int64_t columns[ROLLUP_COLUMNS] = { 0 };
	int64_t *bucket = &columns[ROLLUP_FIRST_BUCKET];

	ck_assert_int_eq(query_percentile(columns, 50), -1);
	bucket[8] = 100;	/* above 1000 and up to 1500 ms */
	ck_assert_int_eq(query_percentile(columns, 50), 1250);
	ck_assert_int_eq(query_percentile(columns, 100), 1500);
	ck_assert_int_eq(query_percentile(columns, 1), 1005);
	bucket[0] = 100;
	ck_assert_int_eq(query_percentile(columns, 50), 25);
	ck_assert_int_eq(query_percentile(columns, 51), 1010);
	bucket[ROLLUP_LATENCY_BUCKETS - 1] = 1000;
	ck_assert_int_eq(query_percentile(columns, 95), 120000);
	bucket[8] = bucket[0] = INT64_MAX / 4;
	ck_assert_int_eq(query_percentile(columns, 75), 1250);
}
END_TEST

/* Both on rollups that are wrong, so that it shows who was asked. */
START_TEST(whole_cells_are_answered_by_rollups_and_the_rest_by_records)
{
	const int64_t since = START / COLUMNS_CELL_US * COLUMNS_CELL_US;
	struct query query = {
		.window = { since, since + 90 * COLUMNS_CELL_US },
		.columns = QUERY_COUNT,
	};

	ledger_run(&book, "UPDATE rollup_cells SET request_count = 0");
	ask_engine(&query);
	ck_assert_int_eq(engine.groups[0].columns[ROLLUP_REQUESTS], 0);

	query.window.since = since - 1;
	query.window.until += 5 * 60 * INT64_C(1000000);
	ask_engine(&query);
	const int64_t edges = engine.groups[0].columns[ROLLUP_REQUESTS];
	ask_plainly(&query);
	ck_assert_int_lt(edges, plain.groups[0].columns[ROLLUP_REQUESTS]);

	query.by[0] = "conversation_id";
	query.by_count = 1;
	ask_engine(&query);
	ck_assert_int_gt(engine.groups[0].columns[ROLLUP_REQUESTS], 0);
}
END_TEST

/* Both ways, so that it shows which of them answers. */
static int64_t requests_of_all_days(void)
{
	const struct query query = {
		.window = { START, START + DAYS * COLUMNS_DAY_US },
		.columns = QUERY_COUNT,
	};

	ask_engine(&query);
	return engine.groups[0].columns[ROLLUP_REQUESTS];
}

START_TEST(a_day_is_summed_up_until_something_is_added_to_it)
{
	const int64_t before = requests_of_all_days();

	ledger_sum_days(&book);
	const int64_t days = closed();
	ck_assert_int_eq(requests_of_all_days(), before);
	ledger_run(&book, "UPDATE rollup_days SET request_count = "
	           "request_count + 10000 WHERE day = (SELECT min(day) + 2 "
	           "FROM rollup_closed) AND provider = 'openai' "
	           "AND model_id = 'small'");
	ck_assert_int_eq(requests_of_all_days(), before + 10000);

	ledger_put(&book, ledger_record("metering", "late",
	                                START + 2 * COLUMNS_DAY_US));
	ck_assert_int_eq(closed(), days - 1);
	ck_assert_int_eq(requests_of_all_days(), before + 1);
	ledger_sum_days(&book);
	ck_assert_int_eq(closed(), days);
	ck_assert_int_eq(requests_of_all_days(), before + 1);
}
END_TEST

static const struct bursar_sink_ops *real_ops;
static size_t statements;

static enum bursar_verdict count_sql(struct bursar_sink *sink,
                                     const char *statement,
                                     const struct bursar_cell *parameters,
                                     size_t count, bursar_row_fn *row,
                                     void *context, struct bursar_error *why)
{
	statements++;
	return real_ops->sql(sink, statement, parameters, count, row, context,
	                     why);
}

/* Each is a way to a server and back. */
START_TEST(a_budget_takes_two_statements_where_days_are_summed_up)
{
	const struct budget budget = {
		.id = "x", .field = "provider", .value = "openai",
		.since = "2025-01-01", .until = "2099-01-01",
	};
	struct bursar_sink_ops counting = *book.ops;
	struct budget_state state;

	real_ops = book.ops;
	counting.sql = count_sql;
	book.ops = &counting;
	book.named_known = false;	/* as in a command of its own */
	statements = 0;
	ck_assert_msg(budget_ask(&book, &budget, START, false, &state,
	                         &err) == 0, "%s", err.text);
	ck_assert_uint_eq(statements, 2);
	ck_assert_uint_gt(book.run_count, 0);
	book.ops = real_ops;
}
END_TEST

#define OF_CLOSED_DAYS "FROM metering_records WHERE cost_nano > 0 AND id / " \
	"1099511627776 / 96 IN (SELECT day FROM rollup_closed WHERE summed = 2)"

START_TEST(a_correction_opens_its_day)
{
	const struct bursar_correction item = {
		.row = ledger_ask(&book, "SELECT max(id) " OF_CLOSED_DAYS),
		.old_cost = book_int(ledger_ask(&book, "SELECT cost_nano FROM "
			"metering_records WHERE id = (SELECT max(id) "
			OF_CLOSED_DAYS ")")),
		.cost = book_int(77), .computed = book_int(77),
		.book = book_text("b"), .rule = book_text("r"),
	};
	const struct bursar_correct what = {
		.batch = "one", .reason = "test", .items = &item, .count = 1,
	};
	const int64_t days = closed();
	size_t corrected = 0;

	ck_assert_int_eq(book.ops->correct(book.sink, &what, &corrected, &err),
	                 BURSAR_DONE);
	ck_assert_uint_eq(corrected, 1);
	ck_assert_int_eq(closed(), days - 1);
}
END_TEST

START_TEST(a_day_with_absurd_numbers_is_summed_up_to_their_end)
{
	struct query query = {
		.window = { START, START + DAYS * COLUMNS_DAY_US },
		.columns = (UINT64_C(1) << ROLLUP_COLUMNS) - 1,
	};
	const int64_t *sums =
		&engine.groups[0].columns[ROLLUP_FIRST_SUM +
		                          2 * ROLLUP_INPUT_TOKENS];

	for (int i = 0; i < 2; i++) {
		struct bursar_record *record = ledger_record("metering",
			i == 0 ? "a" : "b", START + 2 * COLUMNS_DAY_US +
			i * COLUMNS_CELL_US);

		ledger_text(record, "provider", "absurd");
		ledger_number(record, "input_tokens", INT64_MAX - 1000);
		ledger_put(&book, record);
	}
	ledger_sum_days(&book);
	ck_assert_int_eq(ledger_ask(&book, "SELECT count(*) FROM rollup_days d "
		"JOIN rollup_closed c ON c.day = d.day AND c.summed = 2 "
		"WHERE d.provider = 'absurd' AND d.dimension = 'all' "
		"AND d.input_tokens = 9223372036854775807"), 1);
	ask_engine(&query);
	ck_assert_int_eq(sums[0], INT64_MAX);
	query.filters[0] = (struct query_filter){ "provider", "openai" };
	query.filter_count = 1;
	assert_same(&query);
}
END_TEST

/* As if the day had been opened after it was asked for. */
START_TEST(a_day_that_is_open_is_never_answered_from_its_sum)
{
	const int64_t before = requests_of_all_days();

	ledger_run(&book, "UPDATE rollup_days SET request_count = 99999");
	ck_assert_int_ne(requests_of_all_days(), before);
	ledger_run(&book, "UPDATE rollup_closed SET summed = 0 WHERE day = "
	           "(SELECT min(day) + 4 FROM rollup_closed)");
	ledger_run(&book, "DELETE FROM rollup_closed WHERE summed = 2");
	ck_assert_int_eq(requests_of_all_days(), before);
}
END_TEST

/* Between two statements of a question somebody adds to a day. */
static const struct bursar_sink_ops *calm;

static enum bursar_verdict add_meanwhile(struct bursar_sink *sink,
                                         const char *statement,
                                         const struct bursar_cell *parameters,
                                         size_t count, bursar_row_fn *row,
                                         void *context,
                                         struct bursar_error *why)
{
	const enum bursar_verdict verdict = calm->sql(
		sink, statement, parameters, count, row, context, why);

	if (strncmp(statement, "SELECT day", 10) == 0) {
		book.ops = calm;
		ledger_put(&book, ledger_record("metering", "late",
			START + DAYS / 2 * COLUMNS_DAY_US));
	}
	return verdict;
}

START_TEST(what_comes_while_it_is_asked_is_counted)
{
	const int64_t before = requests_of_all_days();
	struct bursar_sink_ops busy = *book.ops;

	calm = book.ops;
	busy.sql = add_meanwhile;
	book.ops = &busy;
	ck_assert_int_eq(requests_of_all_days(), before + 1);
	ck_assert_ptr_eq(book.ops, calm);
}
END_TEST

START_TEST(who_was_taken_over_closes_no_day)
{
	struct lease lease = { "rollup", "gone", INT64_C(60000000), 7 };
	struct job_run run = { .book = &book, .lease = &lease,
	                       .go_on = ledger_go_on };

	ledger_run(&book, "DELETE FROM rollup_closed");
	ck_assert_int_eq(job_rollup(&run, &err), JOB_OK);
	ck_assert_int_eq(closed(), 0);
}
END_TEST

START_TEST(windows_that_touch_add_up)
{
	for (int i = 0; i < 50; i++) {
		struct query query = any_query();
		int64_t whole, left;

		query.by_count = 0;
		query.period_count = 0;
		const int64_t middle = any_time();
		query.window = (struct window){ START, middle };
		if (middle < START) {
			continue;
		}
		ask_engine(&query);
		left = engine.groups[0].columns[cost];
		query.window = (struct window){ middle, WINDOW_OPEN_UNTIL };
		ask_engine(&query);
		left += engine.groups[0].columns[cost];
		query.window.since = START;
		ask_engine(&query);
		whole = engine.groups[0].columns[cost];

		ck_assert_int_eq(left, whole);
	}
}
END_TEST

START_TEST(an_empty_ledger_answers_with_one_row_of_nothing)
{
	struct query query = { .columns = QUERY_COUNT,
		.window = { WINDOW_OPEN_SINCE, WINDOW_OPEN_UNTIL } };
	struct query_row row = { 0 };

	ledger_run(&book, "DELETE FROM rollup_cells");
	ledger_run(&book, "DELETE FROM metering_records");
	ask_engine(&query);
	ck_assert_uint_eq(engine.count, 1);
	memcpy(row.columns, engine.groups[0].columns, sizeof(row.columns));
	ck_assert_int_eq(row.columns[ROLLUP_REQUESTS], 0);
	ck_assert(!query_known(&row, ROLLUP_COST));

	query.by[0] = "provider";
	query.by_count = 1;
	ask_engine(&query);
	ck_assert_uint_eq(engine.count, 0);
}
END_TEST

START_TEST(absurd_numbers_do_not_stop_a_report)
{
	struct query query = { .columns = QUERY_SUM(ROLLUP_INPUT_TOKENS),
		.window = { WINDOW_OPEN_SINCE, WINDOW_OPEN_UNTIL },
		.by = { "provider" }, .by_count = 1 };
	const int64_t huge = INT64_MAX - 1000;

	ask_plainly(&query);
	for (int i = 0; i < 4; i++) {
		struct bursar_record *record = ledger_record("metering",
			(const char *[]){ "a", "b", "c", "d" }[i],
			START + (i < 2 ? 0 : i) * COLUMNS_DAY_US);

		ledger_text(record, "provider", "anthropic");
		ledger_text(record, "model_id", i % 2 == 0 ? "x" : "y");
		ledger_number(record, "input_tokens", huge);
		ledger_put(&book, record);
	}
	for (int i = 0; i < 2; i++) {
		query.from_records = i == 1;
		ask_engine(&query);
		for (size_t g = 0; g < engine.count; g++) {
			const int64_t sum = engine.groups[g].columns[
				ROLLUP_FIRST_SUM + 2 * ROLLUP_INPUT_TOKENS];
			const bool ours = strcmp(engine.groups[g].key,
			                         "anthropic\x01") == 0;

			ck_assert_int_eq(sum, ours ? INT64_MAX : group_of(
				&plain, engine.groups[g].key)->columns[
				ROLLUP_FIRST_SUM + 2 * ROLLUP_INPUT_TOKENS]);
		}
		ck_assert_uint_eq(engine.count, plain.count);
	}
}
END_TEST

START_TEST(a_value_is_never_part_of_the_statement)
{
	struct query query = { .columns = QUERY_COUNT,
		.window = { WINDOW_OPEN_SINCE, WINDOW_OPEN_UNTIL },
		.filters = { { "provider", "' OR '1'='1" } },
		.filter_count = 1 };

	ask_engine(&query);

	ck_assert_int_eq(engine.groups[0].columns[ROLLUP_REQUESTS], 0);
}
END_TEST

START_TEST(a_word_is_a_dimension_or_a_text_field)
{
	ck_assert_str_eq(query_field("worker", &err), "worker_id");
	ck_assert_str_eq(query_field("worker_id", &err), "worker_id");
	ck_assert_str_eq(query_field("node", &err), "node_id");
	ck_assert_str_eq(query_field("team", &err), "team");
	ck_assert_str_eq(query_field("tag:x", &err), "tag:x");
	ck_assert_ptr_null(query_field("tag:x'y", &err));
	memset(&err, 0, sizeof(err));
	ck_assert_str_eq(query_field("conversation_id", &err),
	                 "conversation_id");
	ck_assert_int_eq(err.code, 0);

	const char *const wrong[] = {
		"", "all", "cost_usd", "input_tokens", "extra_json", "id",
		"recorded_at", "provider; DROP TABLE metering_records",
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memset(&err, 0, sizeof(err));
		ck_assert_ptr_null(query_field(wrong[i], &err));
		ck_assert_int_eq(err.code, EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, "cost_center"));
	}
}
END_TEST

START_TEST(an_error_names_the_sink)
{
	const struct query query = { .columns = QUERY_COUNT };

	ledger_run(&book, "DROP TABLE metering_records");
	ck_assert_int_eq(query_run(&book, &query, take, NULL, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.text, "sink 'fixture'"));
	ck_assert_ptr_nonnull(strstr(err.text, "metering_records"));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("query");
	TCase *query = tcase_create("query");
	TCase *days = tcase_create("days");

	tcase_set_timeout(query, 60);
	tcase_add_checked_fixture(query, setup, teardown);
	tcase_add_test(query, answers_are_those_of_the_records_for_any_question);
	tcase_add_test(query, rollups_and_records_say_the_same);
	tcase_add_test(query,
	       whole_cells_are_answered_by_rollups_and_the_rest_by_records);
	tcase_add_test(query, a_window_may_have_very_many_periods);
	tcase_add_test(query, what_no_rollup_keeps_comes_from_records);
	tcase_add_test(query, the_extent_is_that_of_all_facts);
	tcase_add_test(query, calls_come_by_cost);
	tcase_add_test(query,
	               a_fact_is_found_by_its_id_however_late_it_came);
	tcase_add_test(query,
		a_fact_that_came_late_is_found_among_those_that_came_with_it);
	tcase_add_test(query, a_percentile_lies_in_the_bucket_of_the_true_one);
	tcase_add_test(query, windows_that_touch_add_up);
	tcase_add_test(query, an_empty_ledger_answers_with_one_row_of_nothing);
	tcase_add_test(query, absurd_numbers_do_not_stop_a_report);
	tcase_add_test(query, a_value_is_never_part_of_the_statement);
	tcase_add_test(query, a_word_is_a_dimension_or_a_text_field);
	tcase_add_test(query, an_error_names_the_sink);
	suite_add_tcase(s, query);

	tcase_set_timeout(days, 60);
	tcase_add_checked_fixture(days, setup_days, teardown);
	tcase_add_test(days, answers_are_those_of_the_records_for_any_question);
	tcase_add_test(days, rollups_and_records_say_the_same);
	tcase_add_test(days, windows_that_touch_add_up);
	tcase_add_test(days, a_day_is_summed_up_until_something_is_added_to_it);
	tcase_add_test(days, a_correction_opens_its_day);
	tcase_add_test(days,
	               a_budget_takes_two_statements_where_days_are_summed_up);
	tcase_add_test(days,
	               a_day_with_absurd_numbers_is_summed_up_to_their_end);
	tcase_add_test(days, a_day_that_is_open_is_never_answered_from_its_sum);
	tcase_add_test(days, what_comes_while_it_is_asked_is_counted);
	tcase_add_test(days, who_was_taken_over_closes_no_day);
	suite_add_tcase(s, days);
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
