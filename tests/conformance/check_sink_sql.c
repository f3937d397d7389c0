/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What bursar/sink.h asks of a sink that can be the book: every field is read
 * back as it was written, and statements do what they say.
 */
#include "config.h"

#include <string.h>

#include "records.h"

#include "common/columns.h"

#define DAY_US INT64_C(86400000000)

/* --- reading back -------------------------------------------------------- */

/* A row as it should be. */
struct wanted {
	const struct bursar_record *record;
	size_t rows;
};

static void expect_cell(const struct bursar_field *field,
                        const struct bursar_value *value,
                        const struct bursar_cell *cell)
{
	if (!value->is_set) {
		expect(cell->type == BURSAR_NULL,
		       "%s was not set and is not NULL", field->name);
		return;
	}
	if (field->type == BURSAR_TEXT || field->type == BURSAR_JSON) {
		expect(cell->type == BURSAR_STRING,
		       "%s is a cell of type %d, not STRING", field->name,
		       (int)cell->type);
		expect(cell->size == value->size &&
		       memcmp(cell->data, value->text, value->size) == 0,
		       "%s reads otherwise than it was written: %zu bytes of "
		       "%u", field->name, cell->size, value->size);
		return;
	}
	expect(cell->type == BURSAR_INTEGER,
	       "%s is a cell of type %d, not INTEGER", field->name,
	       (int)cell->type);
	expect(cell->integer == value->number, "%s is %lld, not %lld",
	       field->name, (long long)cell->integer,
	       (long long)value->number);
}

static int compare_row(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct wanted *wanted = context;
	const struct bursar_kind *kind = wanted->record->kind;

	expect(count == kind->field_count, "%zu cells of %zu", count,
	       kind->field_count);
	for (size_t i = 0; i < count; i++) {
		expect_cell(&kind->fields[i], &wanted->record->values[i],
		            &cells[i]);
	}
	wanted->rows++;
	return 0;
}

/* Reads the record of that id and compares every field. */
static void expect_row(struct open_sink *open,
                       const struct bursar_record *record)
{
	const struct bursar_kind *kind = record->kind;
	const struct bursar_value *id = &record->values[BURSAR_MESSAGE_ID];
	const struct bursar_cell cell = {
		.type = BURSAR_STRING, .data = id->text, .size = id->size,
	};
	struct wanted wanted = { .record = record };
	struct bursar_error err = { 0 };
	char statement[8000] = "SELECT";
	size_t at = strlen(statement);
	char column[COLUMNS_NAME_MAX];

	for (size_t i = 0; i < kind->field_count; i++) {
		at += (size_t)snprintf(statement + at, sizeof(statement) - at,
			"%s \"%s\"", i ? "," : "",
			columns_stored(&kind->fields[i], column));
	}
	snprintf(statement + at, sizeof(statement) - at,
	         " FROM %s WHERE message_id = $1", kind->table);
	const enum bursar_verdict verdict =
		open->ops->sql(open->sink, statement, &cell, 1, compare_row,
		               &wanted, &err);
	expect(verdict == BURSAR_DONE, "%s: %s: %s", statement,
	       verdict_name(verdict), err.text);
	expect(wanted.rows == 1, "%zu rows of %s", wanted.rows, kind->table);
}

static const char *const texts[] = {
	"O'Brien said \"no\"; -- $1 ? %s \\ \\n {} []",
	"\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9 \xf4\x8f\xbf\xbf",
	"two\nlines\tand\r\nmore", "", " ", "\x01\x1f\x7f", "NULL", "0",
};

static const char *const jsons[] = {
	"{\"a\":\"O'Brien \\\"x\\\" \\\\ \\u0000 \\ud800\",\"n\":1e400}",
	"[1.50, 100000000000000000000000, {\"\xf0\x9f\x98\x80\": null}]",
	"null", "\"\"", "{\"a\":1,\"a\":2}", " { } ",
};

static const int64_t numbers[] = {
	INT64_MAX, INT64_MIN, 0, -1, 1, INT64_C(9007199254740993),
};

#define VARIANTS 8

/* Times that have to make sense: where a row stands follows from them. */
static int64_t time_of(const struct bursar_host *host, size_t field,
                       size_t variant)
{
	const int64_t now = host->now(host);

	switch (field) {
	case BURSAR_RECORDED_AT:
		/* A cell of the rollups for each: the numbers are large. */
		return now - (int64_t)(variant + 1) * DAY_US - 1;
	case BURSAR_INSERTED_AT:
		return now;
	case BURSAR_EXPIRES_AT:
		return now + (int64_t)(variant + 1) * DAY_US + 7;
	default:
		return numbers[(field + variant) % 6];
	}
}

static void set_value(struct bursar_record *record,
                      const struct bursar_host *host, size_t i, size_t variant)
{
	const size_t pick = i + variant;
	const char *text;

	switch (record->kind->fields[i].type) {
	case BURSAR_TEXT:
		text = texts[pick % (sizeof(texts) / sizeof(texts[0]))];
		bursar_set_text(record, (int)i, text, strlen(text));
		break;
	case BURSAR_JSON:
		text = jsons[pick % (sizeof(jsons) / sizeof(jsons[0]))];
		bursar_set_text(record, (int)i, text, strlen(text));
		break;
	case BURSAR_BOOL:
		bursar_set_number(record, (int)i, (int64_t)(pick % 2));
		break;
	case BURSAR_TIME:
		bursar_set_number(record, (int)i, time_of(host, i, variant));
		break;
	case BURSAR_INT:
	case BURSAR_MONEY:
		bursar_set_number(record, (int)i, numbers[pick % 6]);
		break;
	}
}

static struct bursar_record *full_record(const struct bursar_host *host,
                                         const struct bursar_kind *kind,
                                         size_t variant)
{
	char id[60];

	snprintf(id, sizeof(id), "full-%s-%zu", kind->name, variant);
	struct bursar_record *record = record_make(host, kind, id, "x", "y");
	for (size_t i = BURSAR_RECORDED_AT; i < kind->field_count; i++) {
		if (kind->fact || i != BURSAR_EXPIRES_AT || variant != 0) {
			set_value(record, host, i, variant);
		}
	}
	return record;
}

static void keeps_every_field(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };

	sink_needs_sql(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	for (size_t k = 0; k < host->schema->kind_count; k++) {
		for (size_t v = 0; v < VARIANTS; v++) {
			batch_add(&batch, full_record(host,
				&host->schema->kinds[k], v));
		}
	}
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "records with all fields");
	for (size_t i = 0; i < batch.count; i++) {
		expect_row(&open, batch.records[i]);
	}
	sink_close(&open);
	sink_open_to(&open, kit, BURSAR_READ);
	for (size_t i = 0; i < batch.count; i++) {
		expect_row(&open, batch.records[i]);
	}
	sink_close(&open);
}

static void keeps_what_was_not_said(struct kit *kit)
{
	struct open_sink open;
	struct batch batch = { 0 };

	sink_needs_sql(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	for (size_t k = 0; k < host->schema->kind_count; k++) {
		const struct bursar_kind *kind = &host->schema->kinds[k];
		struct bursar_record *record = record_make(host, kind, "bare",
		                                           "x", "y");

		for (size_t i = BURSAR_EXTRA_JSON; i < kind->field_count;
		     i++) {
			record->values[i].is_set = false;
			/* What stands there means nothing then. */
			record->values[i].text = (const char *)8;
			record->values[i].size = 0xffffffff;
		}
		batch_add(&batch, record);
	}
	sink_store(&open, &batch);
	for (size_t i = 0; i < batch.count; i++) {
		expect_row(&open, batch.records[i]);
	}
	sink_close(&open);
}

static void keeps_large_bodies(struct kit *kit)
{
	enum { LARGE = 1 << 20 };
	struct open_sink open;
	struct batch batch = { 0 };
	struct guard guard;

	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	guard_init(&guard, LARGE);
	char *body = guard_place(&guard, NULL, LARGE, '"');
	memset(body, 'x', LARGE);
	body[0] = body[LARGE - 1] = '"';
	for (size_t k = 0; k < host->schema->kind_count; k++) {
		const struct bursar_kind *kind = &host->schema->kinds[k];
		struct bursar_record *record = record_make(host, kind, "large",
		                                           "x", "y");

		for (size_t i = BURSAR_COMMON_FIELDS; i < kind->field_count;
		     i++) {
			if (kind->fields[i].flags & BURSAR_FIELD_BODY) {
				bursar_set_text(record, (int)i, body, LARGE);
			}
		}
		batch_add(&batch, record);
	}
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "bodies of 1 MB");
	for (size_t i = 0; i < batch.count && open.ops->sql != NULL; i++) {
		expect_row(&open, batch.records[i]);
	}
	sink_close(&open);
}

static void keeps_the_first_of_equal_keys(struct kit *kit)
{
	static const char *const order[] = { "first", "second", "first" };
	struct open_sink open;
	struct batch batch = { 0 };

	sink_needs_sql(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	const struct bursar_host *host = open.stand.host;
	for (size_t k = 0; k < host->schema->kind_count; k++) {
		for (size_t i = 0; i < 3; i++) {
			batch_add(&batch, record_make(host,
				&host->schema->kinds[k], "same", "x",
				order[i]));
		}
	}
	sink_store(&open, &batch);
	for (size_t i = 0; i < batch.count; i += 3) {
		expect_row(&open, batch.records[i]);
	}
	sink_close(&open);
}

/* --- statements ---------------------------------------------------------- */

static int expect_parameters(void *context, const struct bursar_cell *cells,
                             size_t count)
{
	const struct bursar_cell *given = context;

	expect(count == 4, "%zu cells of 4", count);
	expect(cells[0].type == BURSAR_INTEGER &&
	       cells[0].integer == given[0].integer, "an INTEGER came back as "
	       "another");
	expect(cells[1].type == BURSAR_STRING &&
	       cells[1].size == given[1].size &&
	       memcmp(cells[1].data, given[1].data, given[1].size) == 0,
	       "a STRING came back as another");
	expect(cells[2].type == BURSAR_REAL &&
	       memcmp(&cells[2].real, &given[2].real, sizeof(double)) == 0,
	       "a REAL came back as another");
	expect(cells[3].type == BURSAR_NULL, "NULL came back as a value");
	return 0;
}

static void takes_parameters(struct kit *kit)
{
	static const char text[] = "it's $1 and '\"\\; \xf0\x9f\x98\x80";
	struct bursar_error err = { 0 };
	struct open_sink open;

	sink_needs_sql(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	struct bursar_cell cells[] = {
		{ .type = BURSAR_INTEGER, .integer = INT64_MIN },
		{ .type = BURSAR_STRING, .data = text,
		  .size = sizeof(text) - 1 },
		{ .type = BURSAR_REAL, .real = 0.1 },
		{ .type = BURSAR_NULL },
	};
	const enum bursar_verdict verdict = open.ops->sql(open.sink,
		"SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT), "
		"CAST($3 AS DOUBLE PRECISION), CAST($4 AS TEXT)", cells, 4,
		expect_parameters, cells, &err);
	expect(verdict == BURSAR_DONE, "SELECT of four parameters: %s: %s",
	       verdict_name(verdict), err.text);
	/* Out of order, and one of them twice. */
	expect(sink_number(&open, "SELECT CAST(count(*) AS BIGINT) FROM "
	                   "metering_records WHERE message_id = $1 AND "
	                   "$1 = message_id", "nobody") == 0,
	       "a parameter that is used twice");
	sink_close(&open);
}

static int stop_at_third(void *context, const struct bursar_cell *cells,
                         size_t count)
{
	int *rows = context;

	(void)cells, (void)count;
	return ++*rows == 3;
}

static void stops_when_it_is_told(struct kit *kit)
{
	struct bursar_error err = { 0 };
	struct open_sink open;
	struct batch batch = { 0 };
	int rows = 0;

	sink_needs_sql(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	batch_fill(&batch, open.stand.host, "rows", 300);
	sink_store(&open, &batch);
	const char *statement = "SELECT message_id FROM metering_records";
	enum bursar_verdict verdict =
		open.ops->sql(open.sink, statement, NULL, 0, stop_at_third,
		              &rows, &err);
	expect(verdict == BURSAR_DONE, "it says %s: %s", verdict_name(verdict),
	       err.text);
	expect(rows == 3, "row() was called %d times and asked to stop at the "
	       "third", rows);
	verdict = open.ops->sql(open.sink, statement, NULL, 0, NULL, NULL,
	                        &err);
	expect(verdict == BURSAR_DONE, "without row() it says %s: %s",
	       verdict_name(verdict), err.text);
	/* Nothing of it stands in the way of a write. */
	batch_clear(&batch);
	batch_fill(&batch, open.stand.host, "more", 3);
	sink_store(&open, &batch);
	sink_close(&open);
}

static void refuses_wrong_statements(struct kit *kit)
{
	static const char *const wrong[] = {
		"SELEC 1", "", "SELECT", "SELECT * FROM no_such_table",
		"SELECT no_such_column FROM metering_records",
		"INSERT INTO metering_records VALUES (1)",
	};
	struct open_sink open;
	struct batch batch = { 0 };

	sink_needs_sql(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct bursar_error err = { 0 };
		const enum bursar_verdict verdict =
			open.ops->sql(open.sink, wrong[i], NULL, 0, NULL, NULL,
			              &err);

		expect(verdict == BURSAR_REJECT, "\"%s\": %s: %s", wrong[i],
		       verdict_name(verdict), err.text);
		kit_expect_error(&err, wrong[i]);
	}
	expect(sink_rows(&open, &open.stand.host->schema->kinds[0]) == 0,
	       "a wrong statement left a row");
	batch_fill(&batch, open.stand.host, "after", 3);
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_STORED, "after wrong statements");
	sink_close(&open);
}

/* --- reading ------------------------------------------------------------- */

static void changes_nothing_when_it_reads(struct kit *kit)
{
	static const char *const statements[] = {
		"DELETE FROM metering_records",
		"UPDATE metering_records SET message_id = 'x'",
		"INSERT INTO metering_records SELECT * FROM metering_records",
		"DROP TABLE metering_records",
		"CREATE TABLE mine (a BIGINT)",
	};
	struct open_sink open;
	struct batch batch = { 0 };

	sink_needs_sql(kit);
	sink_open_to(&open, kit, BURSAR_WRITE);
	batch_fill(&batch, open.stand.host, "read", 30);
	sink_store(&open, &batch);
	sink_close(&open);
	sink_open_to(&open, kit, BURSAR_READ);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]);
	     i++) {
		struct bursar_error err = { 0 };
		const enum bursar_verdict verdict =
			open.ops->sql(open.sink, statements[i], NULL, 0, NULL,
			              NULL, &err);

		expect(verdict != BURSAR_DONE, "\"%s\" is DONE",
		       statements[i]);
		kit_expect_error(&err, statements[i]);
	}
	expect(sink_tagged(&open, "read") == 30, "%lld rows of 30",
	       (long long)sink_tagged(&open, "read"));
	sink_close(&open);
	sink_open_to(&open, kit, BURSAR_WRITE);
	sink_store(&open, &batch);
	batch_expect_all(&batch, BURSAR_DUPLICATE, "after it was read");
	sink_close(&open);
}

static void reads_while_it_is_written(struct kit *kit)
{
	struct open_sink writer, reader;
	struct batch batch = { 0 };
	char tag[20];

	sink_needs_sql(kit);
	sink_open_to(&writer, kit, BURSAR_WRITE);
	batch_fill(&batch, writer.stand.host, "w0", 30);
	sink_store(&writer, &batch);
	sink_open_to(&reader, kit, BURSAR_READ);
	for (int i = 1; i <= 20; i++) {
		snprintf(tag, sizeof(tag), "w%d", i);
		batch_clear(&batch);
		batch_fill(&batch, writer.stand.host, tag, 30);
		sink_store(&writer, &batch);
		expect(sink_tagged(&reader, tag) == 30,
		       "a reader sees %lld rows of a batch of 30 that is DONE",
		       (long long)sink_tagged(&reader, tag));
	}
	sink_close(&reader);
	sink_close(&writer);
}

const struct kit_check sink_sql_checks[] = {
	{ "keeps every field of every kind as it was written",
	  "A sink walks the table of fields; sql() finds a kind in the table "
	  "kind->table, a field in the column of its name, TIME in NAME_us, "
	  "MONEY in NAME_nano.", keeps_every_field },
	{ "keeps what was not said as NULL",
	  "is_set false: nothing was said, stored as NULL.",
	  keeps_what_was_not_said },
	{ "keeps bodies of 1 MB",
	  "JSON: one JSON value, as it was written.", keeps_large_bodies, 60 },
	{ "keeps the first of equal keys",
	  "Equal keys stand in order of arrival, and the first wins.",
	  keeps_the_first_of_equal_keys },
	{ "takes parameters of every type",
	  "Runs one statement of the common subset of SQLite 3.35 and "
	  "PostgreSQL, parameters $1, $2 ..., and hands over its rows.",
	  takes_parameters },
	{ "stops at the row where it is told to",
	  "row(): not 0: stop.  DONE also when row() stopped it.  row may be "
	  "NULL.", stops_when_it_is_told },
	{ "refuses wrong statements",
	  "REJECT: the statement is wrong.", refuses_wrong_statements },
	{ "changes nothing where it is opened to read",
	  "READ: never changes anything, makes no table.",
	  changes_nothing_when_it_reads },
	{ "reads what was stored while it is written",
	  "Stores records[0..count) in one transaction, durably.",
	  reads_while_it_is_written },
	{ NULL }
};
