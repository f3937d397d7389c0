/* SPDX-License-Identifier: Apache-2.0 */

/*
 * First what is to be corrected is noted, with what stands there now; then rows
 * and sums follow from the notes of this batch.  A row that is gone, or that
 * has another cost by now, gets no note and so changes nothing.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "common/columns.h"
#include "common/corrections.h"
#include "common/rollup.h"

#define AT_ONCE   100		/* corrections in one statement */
#define EACH      6		/* parameters of one */
#define FIXED     3		/* parameters of all */
#define TEXT_SIZE 16384
#define NAMES     (TAGS_ASKED_MAX)

static const char make_table[] =
	"CREATE TABLE IF NOT EXISTS bursar_corrections ("
	"batch TEXT NOT NULL, row_id BIGINT NOT NULL, at_us BIGINT NOT NULL, "
	"reason TEXT NOT NULL, message_id TEXT, old_cost_nano BIGINT, "
	"new_cost_nano BIGINT, old_computed_nano BIGINT, "
	"new_computed_nano BIGINT, old_book TEXT, new_book TEXT, "
	"old_rule TEXT, new_rule TEXT, PRIMARY KEY (batch, row_id))";

static const char make_index[] =
	"CREATE INDEX IF NOT EXISTS bursar_corrections_by_row "
	"ON bursar_corrections (row_id)";

/* Held until the transaction ends: comes first, as two cannot make one table
 * at a time. */
static const char note_time[] =
	"INSERT INTO bursar_meta (name, value) VALUES "
	"('" CORRECTIONS_NOTE "', $1) ON CONFLICT (name) "
	"DO UPDATE SET value = excluded.value";

static const char note_head[] =
	"WITH v (row_id, old_cost, new_cost, computed, book, rule) AS "
	"(VALUES ";

static const char note_tail[] =
	") INSERT INTO bursar_corrections SELECT CAST($1 AS TEXT), m.id, "
	"CAST($2 AS BIGINT), CAST($3 AS TEXT), m.message_id, m.cost_nano, "
	"v.new_cost, m.cost_computed_nano, v.computed, m.price_book, v.book, "
	"m.price_rule, v.rule FROM v JOIN metering_records m "
	"ON m.id = v.row_id WHERE m.cost_nano = v.old_cost OR "
	"(m.cost_nano IS NULL AND v.old_cost IS NULL)";

static const char change_rows[] =
	"UPDATE metering_records SET cost_nano = c.new_cost_nano, "
	"cost_computed_nano = c.new_computed_nano, price_book = c.new_book, "
	"price_rule = c.new_rule%s FROM bursar_corrections c "
	"WHERE c.batch = $1 AND c.row_id = metering_records.id";

static const char and_dollars[] =
	", cost_usd = c.new_cost_nano * 0.000000001, "
	"cost_computed_usd = c.new_computed_nano * 0.000000001";

#define END "9223372036854775807"
#define HIGH "(more_h + more_l / 4294967296)"
/* Of halves, which cannot overflow; what passes 63 bits stays at their end. */
#define JOINED \
	"CASE WHEN " HIGH " > 2147483646 THEN " END " " \
	"WHEN " HIGH " < -2147483646 THEN -" END " " \
	"ELSE " HIGH " * 4294967296 + more_l %% 4294967296 END"
#define AT_END "(rollup_cells.cost_nano >= " END " " \
	"OR rollup_cells.cost_nano <= -" END ")"

/*
 * Dimension, the text of its value, since which cell; cells come in key order.
 * A sum that passed 63 bits stays at their end, and is told: nobody knows what
 * it was.
 */
static const char change_sums[] =
	"INSERT INTO rollup_cells (dimension, value, cell, provider, model_id, "
	"cost_nano, cost_nano_n) SELECT dimension, value, cell, provider, "
	"model_id, " JOINED ", more_n "
	"FROM (SELECT '%s' AS dimension, %s AS value, m.id >> %d AS cell, "
	"coalesce(m.provider, '') AS provider, "
	"coalesce(m.model_id, '') AS model_id, "
	"CAST(sum(coalesce(c.new_cost_nano, 0) / 4294967296 - "
	"coalesce(c.old_cost_nano, 0) / 4294967296) AS BIGINT) AS more_h, "
	"CAST(sum(coalesce(c.new_cost_nano, 0) %% 4294967296 - "
	"coalesce(c.old_cost_nano, 0) %% 4294967296) AS BIGINT) AS more_l, "
	"CAST(sum(CASE WHEN c.new_cost_nano IS NULL THEN 0 ELSE 1 END - "
	"CASE WHEN c.old_cost_nano IS NULL THEN 0 ELSE 1 END) AS BIGINT) "
	"AS more_n "
	"FROM bursar_corrections c JOIN metering_records m ON m.id = c.row_id "
	"WHERE c.batch = $1 AND m.id >> %d >= %lld GROUP BY 1, 2, 3, 4, 5) q "
	"WHERE true ORDER BY 2, 3, 4, 5 "
	"ON CONFLICT (dimension, value, cell, provider, model_id) DO UPDATE "
	"SET cost_nano = CASE WHEN " AT_END " THEN rollup_cells.cost_nano "
	"WHEN excluded.cost_nano >= " END " OR (excluded.cost_nano > 0 AND "
	"rollup_cells.cost_nano > " END " - excluded.cost_nano) THEN " END " "
	"WHEN excluded.cost_nano <= -" END " OR (excluded.cost_nano < 0 AND "
	"rollup_cells.cost_nano < -" END " - excluded.cost_nano) "
	"THEN -" END " - 1 "
	"ELSE rollup_cells.cost_nano + excluded.cost_nano END, "
	"cost_nano_n = rollup_cells.cost_nano_n + excluded.cost_nano_n "
	"RETURNING CASE WHEN " AT_END " THEN 1 ELSE 0 END";

/*
 * The sums of this batch that stand at the end, from all their facts, where
 * these are there: dimension, and twice the text of its value.  Who adds to
 * them waits since change_sums.
 */
static const char sum_again[] =
	"UPDATE rollup_cells SET cost_nano = (SELECT " JOINED " FROM (SELECT "
	"CAST(coalesce(sum(m.cost_nano / 4294967296), 0) AS BIGINT) AS more_h, "
	"CAST(coalesce(sum(m.cost_nano %% 4294967296), 0) AS BIGINT) AS more_l "
	"FROM metering_records m WHERE m.id >= rollup_cells.cell << %d "
	"AND m.id < (rollup_cells.cell + 1) << %d "
	"AND coalesce(m.provider, '') = rollup_cells.provider "
	"AND coalesce(m.model_id, '') = rollup_cells.model_id "
	"AND %s = rollup_cells.value) q) "
	"WHERE dimension = '%s' AND " AT_END " AND cell >= coalesce(("
	"SELECT CAST(value AS BIGINT) FROM bursar_meta "
	"WHERE name = 'facts_purged_before_us'), 0) / %lld "
	"AND (value, cell, provider, model_id) IN (SELECT %s, m.id >> %d, "
	"coalesce(m.provider, ''), coalesce(m.model_id, '') "
	"FROM bursar_corrections c JOIN metering_records m ON m.id = c.row_id "
	"WHERE c.batch = $1)";

/* The days of what changed are open again, see rollup.h. */
static const char open_days[] =
	"DELETE FROM rollup_closed WHERE day IN (SELECT (row_id >> %d) / %d "
	"FROM bursar_corrections WHERE batch = $1)";

static const char count_notes[] =
	"SELECT count(*) FROM bursar_corrections WHERE batch = $1";

static struct bursar_cell text_cell(const char *text)
{
	return (struct bursar_cell){ .type = BURSAR_STRING, .data = text,
	                             .size = strlen(text) };
}

static struct bursar_cell number_cell(int64_t number)
{
	return (struct bursar_cell){ .type = BURSAR_INTEGER,
	                             .integer = number };
}

static enum bursar_verdict run(const struct corrections_db *db,
                               const char *statement,
                               const struct bursar_cell *cells, size_t count,
                               struct bursar_error *err)
{
	return db->run(db->context, statement, cells, count, NULL, NULL, err);
}

static enum bursar_verdict prepare(const struct corrections_db *db,
                                   int64_t now, struct bursar_error *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)now);
	const struct bursar_cell cell = text_cell(text);
	enum bursar_verdict verdict = run(db, note_time, &cell, 1, err);
	if (verdict == BURSAR_DONE) {
		verdict = run(db, make_table, NULL, 0, err);
	}
	return verdict == BURSAR_DONE ? run(db, make_index, NULL, 0, err)
	                              : verdict;
}

/* --- notes --------------------------------------------------------------- */

/* "(CAST($4 AS BIGINT), ...), ..." for so many corrections. */
static void write_values(char *out, size_t count)
{
	static const char *const types[EACH] = {
		"BIGINT", "BIGINT", "BIGINT", "BIGINT", "TEXT", "TEXT",
	};
	size_t at = 0;

	for (size_t i = 0; i < count * EACH; i++) {
		at += (size_t)snprintf(out + at, TEXT_SIZE - at,
			"%sCAST($%zu AS %s)%s",
			i % EACH > 0 ? ", " : i > 0 ? ", (" : "(",
			FIXED + i + 1, types[i % EACH],
			i % EACH == EACH - 1 ? ")" : "");
	}
}

static enum bursar_verdict note_some(const struct corrections_db *db,
                                     const struct bursar_correct *what,
                                     int64_t now, size_t from, size_t count,
                                     struct bursar_error *err)
{
	struct bursar_cell cells[FIXED + AT_ONCE * EACH];
	char *statement = malloc(TEXT_SIZE);
	char *values = malloc(TEXT_SIZE);
	enum bursar_verdict verdict = BURSAR_RETRY;

	if (statement == NULL || values == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto done;
	}
	cells[0] = text_cell(what->batch);
	cells[1] = number_cell(now);
	cells[2] = text_cell(what->reason);
	for (size_t i = 0; i < count; i++) {
		const struct bursar_correction *c = &what->items[from + i];
		struct bursar_cell *at = &cells[FIXED + i * EACH];

		at[0] = number_cell(c->row);
		at[1] = c->old_cost;
		at[2] = c->cost;
		at[3] = c->computed;
		at[4] = c->book;
		at[5] = c->rule;
	}
	write_values(values, count);
	snprintf(statement, TEXT_SIZE, "%s%s%s", note_head, values, note_tail);
	verdict = run(db, statement, cells, FIXED + count * EACH, err);
done:
	free(statement);
	free(values);
	return verdict;
}

/* --- rows and sums ------------------------------------------------------- */

static enum bursar_verdict change_facts(const struct corrections_db *db,
                                        const struct bursar_cell *batch,
                                        struct bursar_error *err)
{
	char statement[1024];

	snprintf(statement, sizeof(statement), change_rows,
	         db->readable ? and_dollars : "");
	return run(db, statement, batch, 1, err);
}

/* A dimension whose sums have costs. */
struct dimension {
	char    name[ROLLUP_NAME_SIZE];
	char    value[128];		/* as SQL, of a record m */
	int64_t since;
};

#define MAX_DIMENSIONS 32

struct dimensions {
	struct dimension list[MAX_DIMENSIONS];
	size_t count;
};

static int compare_names(const void *left, const void *right)
{
	return strcmp(((const struct dimension *)left)->name,
	              ((const struct dimension *)right)->name);
}

static void add_fields(struct dimensions *all)
{
	for (const struct rollup_dimension *d = rollup_dimensions;
	     d->name != NULL; d++) {
		struct dimension *to = &all->list[all->count++];

		to->since = -COLUMNS_NEVER;
		snprintf(to->name, sizeof(to->name), "%s", d->name);
		snprintf(to->value, sizeof(to->value), d->field == NULL ? "''"
		         : "coalesce(m.%.*s, '')", NAMES, d->field);
	}
}

/* The note of a tag that is a dimension: its value is a number or its text. */
static int take_tag(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct dimensions *all = context;
	char since[24] = "";
	struct rollup_tag tag;

	(void)count;
	if (cells[1].type == BURSAR_STRING) {
		snprintf(since, sizeof(since), "%.*s", (int)cells[1].size,
		         cells[1].data);
	}
	if (all->count == MAX_DIMENSIONS || cells[0].type != BURSAR_STRING ||
	    !rollup_tag_make(&tag, (struct bursar_span){ cells[0].data,
			cells[0].size }, cells[1].type == BURSAR_INTEGER
			? cells[1].integer : strtoll(since, NULL, 10))) {
		return 0;
	}
	struct dimension *to = &all->list[all->count++];
	to->since = tag.since;
	memcpy(to->name, tag.name, sizeof(to->name));
	snprintf(to->value, sizeof(to->value),
	         "coalesce(bursar_tag(m.tags, '%s'), '')",
	         tag.name + strlen(TAGS_PREFIX));
	return 0;
}

static int take_at_end(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	bool *at_end = context;

	(void)count;
	*at_end |= cells[0].integer != 0;
	return 0;
}

static enum bursar_verdict change_dimension(const struct corrections_db *db,
                                            const struct bursar_cell *batch,
                                            const struct dimension *d,
                                            struct bursar_error *err)
{
	char statement[4096];
	bool at_end = false;
	enum bursar_verdict verdict;

	snprintf(statement, sizeof(statement), change_sums, d->name, d->value,
	         COLUMNS_ID_SHIFT, COLUMNS_ID_SHIFT, (long long)d->since);
	verdict = db->run(db->context, statement, batch, 1, take_at_end,
	                  &at_end, err);
	if (verdict != BURSAR_DONE || !at_end) {
		return verdict;
	}
	snprintf(statement, sizeof(statement), sum_again, COLUMNS_ID_SHIFT,
	         COLUMNS_ID_SHIFT, d->value, d->name,
	         (long long)COLUMNS_CELL_US, d->value, COLUMNS_ID_SHIFT);
	return run(db, statement, batch, 1, err);
}

static enum bursar_verdict change_cells(const struct corrections_db *db,
                                        const struct bursar_cell *batch,
                                        struct bursar_error *err)
{
	struct dimensions all = { .count = 0 };
	enum bursar_verdict verdict;

	add_fields(&all);
	verdict = db->run(db->context, ROLLUP_READ_TAGS, NULL, 0, take_tag,
	                  &all, err);
	qsort(all.list, all.count, sizeof(all.list[0]), compare_names);
	for (size_t i = 0; i < all.count && verdict == BURSAR_DONE; i++) {
		verdict = change_dimension(db, batch, &all.list[i], err);
	}
	return verdict;
}

static enum bursar_verdict change_days(const struct corrections_db *db,
                                       const struct bursar_cell *batch,
                                       struct bursar_error *err)
{
	char statement[sizeof(open_days) + 20];

	snprintf(statement, sizeof(statement), open_days, COLUMNS_ID_SHIFT,
	         ROLLUP_DAY);
	return run(db, statement, batch, 1, err);
}

static int take_count(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	size_t *corrected = context;

	(void)count;
	*corrected = (size_t)cells[0].integer;
	return 0;
}

enum bursar_verdict corrections_run(const struct corrections_db *db,
                                    const struct bursar_correct *what,
                                    int64_t now, size_t *corrected,
                                    struct bursar_error *err)
{
	const struct bursar_cell batch = text_cell(what->batch);
	enum bursar_verdict verdict = prepare(db, now, err);

	for (size_t i = 0; i < what->count && verdict == BURSAR_DONE;
	     i += AT_ONCE) {
		const size_t left = what->count - i;

		verdict = note_some(db, what, now, i,
		                    left < AT_ONCE ? left : AT_ONCE, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = change_facts(db, &batch, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = change_cells(db, &batch, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = change_days(db, &batch, err);
	}
	if (verdict == BURSAR_DONE) {
		verdict = db->run(db->context, count_notes, &batch, 1,
		                  take_count, corrected, err);
	}
	return verdict;
}
