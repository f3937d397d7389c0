/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of the records' tables and of rollup_cells.
 *
 * One statement for each kind, made by walking its fields.  A parameter that
 * was not set for the row before is not unset for this one: most columns are
 * NULL in most rows, and each call costs.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>

#include "sqlite.h"

#include "common/columns.h"
#include "common/rfc3339.h"

#define MAX_TIMES 8		/* fields of a kind that are times */

struct kind_rows {
	const struct bursar_kind *kind;
	sqlite3_stmt *insert;	/* ?1 the id, ?2 ... the fields, then times
				 * once more, as text */
	bool *was_set;		/* of each field, in the row before */
	size_t times[MAX_TIMES];	/* places of fields */
	size_t time_count;
};

struct rows {
	sqlite3 *db;
	struct kind_rows *kinds;	/* in the order of the schema */
	size_t kind_count;
	int64_t next_row;	/* n of the next id; read in each transaction */
	int64_t first_row;	/* as this transaction found it */
	struct rollup *rollup;	/* NULL: no kind has facts */
	sqlite3_stmt *get_tags;
	sqlite3_stmt *get_next;
	sqlite3_stmt *set_next;
	sqlite3_stmt *add_cell;
	sqlite3_stmt *add_full_cell;
	sqlite3_stmt *open_day;
};

/* --- life --------------------------------------------------------------- */

static void find_times(struct kind_rows *rows)
{
	for (size_t i = 0; i < rows->kind->field_count; i++) {
		if (rows->kind->fields[i].type == BURSAR_TIME) {
			assert(rows->time_count < MAX_TIMES);
			rows->times[rows->time_count++] = i;
		}
	}
}

static int prepare_insert(sqlite3 *db, struct kind_rows *rows)
{
	const struct bursar_kind *kind = rows->kind;
	sqlite3_str *sql = sqlite3_str_new(db);
	char name[COLUMNS_NAME_MAX];

	sqlite3_str_appendf(sql, "INSERT INTO \"%w\" (id", kind->table);
	for (size_t i = 0; i < kind->field_count; i++) {
		sqlite3_str_appendf(sql, ", \"%w\"",
		                    columns_stored(&kind->fields[i], name));
	}
	for (size_t i = 0; i < rows->time_count; i++) {
		sqlite3_str_appendf(sql, ", \"%w\"",
		                    kind->fields[rows->times[i]].name);
	}
	sqlite3_str_appendall(sql, ") VALUES (?1");
	for (size_t i = 0; i < kind->field_count + rows->time_count; i++) {
		sqlite3_str_appendf(sql, ", ?%d", (int)i + 2);
	}
	sqlite3_str_appendall(sql, ")");
	return db_prepare_take(db, sqlite3_str_finish(sql), &rows->insert);
}

#define CELL_KEY "dimension, value, cell, provider, model_id"
#define CELL_KEYS 5

/* With `saturate`, a sum that passes 63 bits stays at their end. */
static int prepare_cell(sqlite3 *db, bool saturate, sqlite3_stmt **statement)
{
	sqlite3_str *sql = sqlite3_str_new(db);

	sqlite3_str_appendall(sql, "INSERT INTO rollup_cells (" CELL_KEY);
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		sqlite3_str_appendf(sql, ", %s", rollup_columns[i]);
	}
	sqlite3_str_appendall(sql, ") VALUES (?1");
	for (int i = 2; i <= CELL_KEYS + ROLLUP_COLUMNS; i++) {
		sqlite3_str_appendf(sql, ", ?%d", i);
	}
	sqlite3_str_appendall(sql, ") ON CONFLICT (" CELL_KEY ") DO UPDATE SET ");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		const char *name = rollup_columns[i];

		sqlite3_str_appendf(sql, saturate
			? "%s%s = CASE WHEN typeof(%s + excluded.%s) = "
			  "'integer' THEN %s + excluded.%s WHEN excluded.%s > 0 "
			  "THEN 9223372036854775807 "
			  "ELSE -9223372036854775808 END"
			: "%s%s = %s + excluded.%s",
			i == 0 ? "" : ", ", name, name, name, name, name, name);
	}
	return db_prepare_take(db, sqlite3_str_finish(sql), statement);
}

static int open_kind(struct rows *rows, const struct bursar_kind *kind)
{
	struct kind_rows *of_kind = &rows->kinds[kind->number];

	of_kind->kind = kind;
	of_kind->was_set = calloc(kind->field_count, sizeof(bool));
	if (of_kind->was_set == NULL) {
		return SQLITE_NOMEM;
	}
	if (kind->fact) {
		assert(rows->rollup == NULL);
		rows->rollup = rollup_create(kind);
		if (rows->rollup == NULL) {
			return SQLITE_NOMEM;
		}
	}
	find_times(of_kind);
	return prepare_insert(rows->db, of_kind);
}

int rows_open(struct rows **opened, sqlite3 *db, const struct bursar_host *host)
{
	const struct bursar_schema *schema = host->schema;
	struct rows *rows = calloc(1, sizeof(*rows));
	int rc = SQLITE_OK;

	*opened = rows;
	if (rows == NULL) {
		return SQLITE_NOMEM;
	}
	rows->db = db;
	rows->kinds = calloc(schema->kind_count, sizeof(*rows->kinds));
	if (rows->kinds == NULL) {
		return SQLITE_NOMEM;
	}
	rows->kind_count = schema->kind_count;
	for (size_t i = 0; i < schema->kind_count && rc == SQLITE_OK; i++) {
		rc = open_kind(rows, &schema->kinds[i]);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare(db, ROLLUP_READ_TAGS, &rows->get_tags);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare(db, "SELECT value FROM bursar_meta "
		                "WHERE name = 'next_row'", &rows->get_next);
	}
	if (rc == SQLITE_OK) {
		rc = db_prepare(db, "UPDATE bursar_meta SET value = ?1 "
		                "WHERE name = 'next_row'", &rows->set_next);
	}
	if (rc == SQLITE_OK) {
		rc = prepare_cell(db, false, &rows->add_cell);
	}
	if (rc == SQLITE_OK) {
		rc = prepare_cell(db, true, &rows->add_full_cell);
	}
	return rc == SQLITE_OK
		? db_prepare(db, "DELETE FROM rollup_closed WHERE day = ?1",
		             &rows->open_day) : rc;
}

void rows_close(struct rows *rows)
{
	if (rows == NULL) {
		return;
	}
	for (size_t i = 0; i < rows->kind_count; i++) {
		sqlite3_finalize(rows->kinds[i].insert);
		free(rows->kinds[i].was_set);
	}
	sqlite3_finalize(rows->get_tags);
	sqlite3_finalize(rows->get_next);
	sqlite3_finalize(rows->set_next);
	sqlite3_finalize(rows->add_cell);
	sqlite3_finalize(rows->add_full_cell);
	sqlite3_finalize(rows->open_day);
	rollup_destroy(rows->rollup);
	free(rows->kinds);
	free(rows);
}

/* --- a transaction ------------------------------------------------------ */

/* Another daemon may have named one. */
static int begin_sums(struct rows *rows)
{
	struct rollup_tag tags[ROLLUP_MAX_TAGS];
	size_t count;

	if (rows->rollup == NULL) {
		return SQLITE_OK;
	}
	rollup_clear(rows->rollup);
	const int rc = tags_dimensions(rows->get_tags, tags, &count);
	if (rc == SQLITE_OK) {
		rollup_set_tags(rows->rollup, tags, count);
	}
	return rc;
}

int rows_begin(struct rows *rows)
{
	int rc = sqlite3_step(rows->get_next);

	if (rc == SQLITE_ROW) {
		rows->next_row = sqlite3_column_int64(rows->get_next, 0);
		rows->first_row = rows->next_row;
		rc = SQLITE_OK;
	} else if (rc == SQLITE_DONE) {
		rc = SQLITE_CORRUPT;
	}
	sqlite3_reset(rows->get_next);
	return rc == SQLITE_OK ? begin_sums(rows) : rc;
}

static bool is_text(const struct bursar_field *field)
{
	return field->type == BURSAR_TEXT || field->type == BURSAR_JSON;
}

static int bind_field(struct kind_rows *rows, size_t field,
                      const struct bursar_value *value)
{
	const int at = (int)field + 2;
	const bool was_set = rows->was_set[field];

	rows->was_set[field] = value->is_set;
	if (!value->is_set) {
		return was_set ? sqlite3_bind_null(rows->insert, at)
		               : SQLITE_OK;
	}
	if (is_text(&rows->kind->fields[field])) {
		return sqlite3_bind_text64(rows->insert, at, value->text,
		                           value->size, SQLITE_STATIC,
		                           SQLITE_UTF8);
	}
	return sqlite3_bind_int64(rows->insert, at, value->number);
}

/* Times once more, as people read them. */
static int bind_times(struct kind_rows *rows, const struct bursar_value *values,
                      char texts[MAX_TIMES][RFC3339_SIZE])
{
	int rc = SQLITE_OK;

	for (size_t i = 0; i < rows->time_count && rc == SQLITE_OK; i++) {
		const struct bursar_value *value = &values[rows->times[i]];
		const int at = (int)(rows->kind->field_count + i) + 2;

		rc = value->is_set
			? sqlite3_bind_text(rows->insert, at,
			                    rfc3339_format(value->number,
			                                   texts[i]),
			                    -1, SQLITE_STATIC)
			: sqlite3_bind_null(rows->insert, at);
	}
	return rc;
}

int rows_add(struct rows *rows, const struct bursar_record *record,
             struct bursar_span id)
{
	struct kind_rows *of_kind = &rows->kinds[record->kind->number];
	char texts[MAX_TIMES][RFC3339_SIZE];
	struct bursar_value room[BURSAR_FIELDS_MAX];
	const struct bursar_value *values = bursar_values(record, room);
	int rc;

	rc = sqlite3_bind_int64(of_kind->insert, 1,
		(int64_t)((uint64_t)columns_block(record) << COLUMNS_ID_SHIFT) |
		rows->next_row);
	for (size_t i = 0; i < record->kind->field_count && rc == SQLITE_OK;
	     i++) {
		rc = bind_field(of_kind, i, &values[i]);
	}
	if (rc == SQLITE_OK) {
		rc = bind_times(of_kind, values, texts);
	}
	if (rc == SQLITE_OK && id.data != NULL) {
		rc = sqlite3_bind_text64(of_kind->insert, 2 + BURSAR_MESSAGE_ID,
		                         id.data, id.size, SQLITE_STATIC,
		                         SQLITE_UTF8);
	}
	if (rc == SQLITE_OK) {
		rc = db_run(of_kind->insert);
	}
	if (rc == SQLITE_OK) {
		rows->next_row++;
		if (record->kind->fact && !rollup_add(rows->rollup, record)) {
			rc = SQLITE_NOMEM;
		}
	}
	return rc;
}

static void bind_span(sqlite3_stmt *statement, int at, struct bursar_span span)
{
	sqlite3_bind_text64(statement, at, span.data, span.size, SQLITE_STATIC,
	                    SQLITE_UTF8);
}

static int run_cell(sqlite3_stmt *add, const struct rollup_cell *cell)
{
	sqlite3_bind_text(add, 1, cell->dimension, -1, SQLITE_STATIC);
	bind_span(add, 2, cell->value);
	sqlite3_bind_int64(add, 3, cell->cell);
	bind_span(add, 4, cell->provider);
	bind_span(add, 5, cell->model_id);
	for (int i = 0; i < ROLLUP_COLUMNS; i++) {
		sqlite3_bind_int64(add, CELL_KEYS + 1 + i, cell->columns[i]);
	}
	return db_run(add);
}

/*
 * A sum that would pass 63 bits becomes a real number, which the column does
 * not take.  It stays at the end then: one absurd record must not keep out all
 * that come after it.
 */
static int add_cell(struct rows *rows, const struct rollup_cell *cell)
{
	const int rc = run_cell(rows->add_cell, cell);

	return rc == SQLITE_CONSTRAINT_DATATYPE
		? run_cell(rows->add_full_cell, cell) : rc;
}

/*
 * The sums of the days that the cells are of no longer say all: see
 * common/rollup.h.  Those of a dimension that has one value come in order.
 */
static int open_days(struct rows *rows, const struct rollup_cell *const *cells,
                     size_t count)
{
	int64_t last = -1;
	int rc = SQLITE_OK;

	for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
		const int64_t day = cells[i]->cell / ROLLUP_DAY;

		if (cells[i]->dimension == rollup_dimensions[0].name &&
		    day != last) {
			sqlite3_bind_int64(rows->open_day, 1, day);
			rc = db_run(rows->open_day);
			last = day;
		}
	}
	return rc;
}

int rows_end(struct rows *rows)
{
	const struct rollup_cell *const *cells = NULL;
	size_t count = 0;
	int rc = SQLITE_OK;

	if (rows->next_row != rows->first_row) {
		sqlite3_bind_int64(rows->set_next, 1, rows->next_row);
		rc = db_run(rows->set_next);
	}
	if (rows->rollup != NULL) {
		cells = rollup_cells(rows->rollup, &count);
		if (cells == NULL) {
			return SQLITE_NOMEM;
		}
	}
	for (size_t i = 0; i < count && rc == SQLITE_OK; i++) {
		rc = add_cell(rows, cells[i]);
	}
	return rc == SQLITE_OK ? open_days(rows, cells, count) : rc;
}
