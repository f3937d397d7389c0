/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Rows of the records' tables, by COPY, and of rollup_cells.
 *
 * The lower 40 bits of ids come from a sequence, a chunk at a time, so that
 * daemons do not wait for each other; a chunk that is not used up is lost.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

#define CHUNK 65536	/* INCREMENT of bursar_row */
#define MANY  1000	/* rows that are worth finding their partition for */
#define SUMS  "bursar_sums"
#define FULL  "bursar_full_sums"

#define CELL_KEYS 5

/* Fields of a kind, by number. */
struct fields {
	uint8_t list[BURSAR_FIELDS_MAX];
	size_t  count;
};

_Static_assert(BURSAR_FIELDS_MAX <= 256, "a byte for the number of a field");

struct kind_rows {
	struct parts  parts;
	struct fields fields;	/* that the rows of a COPY have */
	struct fields readable;	/* of these, what is stored for people too */
	struct text   columns;	/* both by name, and how it is done */
};

struct chunk {
	int64_t next;
	int64_t end;
};

struct rows {
	struct db *db;
	struct kind_rows *kinds;	/* in the order of the schema */
	size_t kind_count;
	struct chunk *chunks;	/* numbers for ids, the first is in use */
	size_t chunk_count;
	struct copy copy;
	struct dimensions dimensions;
	struct rollup *rollup;	/* NULL: no kind has facts */
	struct text arrays[CELL_KEYS + ROLLUP_COLUMNS];	/* its cells */
	size_t cell_count;
	bool   cells_lost;	/* memory was short */
};

/* --- life ---------------------------------------------------------------- */

/*
 * Adding that cannot fail: bigints would refuse the batch, and one absurd
 * record must not keep out all that come after it.
 */
static void add_saturated(struct text *sql, const char *n)
{
	text_add(sql, "%s = CASE WHEN excluded.%s > 0 THEN CASE WHEN r.%s > "
	         "9223372036854775807 - excluded.%s THEN 9223372036854775807 "
	         "ELSE r.%s + excluded.%s END ELSE CASE WHEN r.%s < "
	         "(-9223372036854775807 - 1) - excluded.%s THEN "
	         "(-9223372036854775807 - 1) ELSE r.%s + excluded.%s END END",
	         n, n, n, n, n, n, n, n, n, n);
}

static enum bursar_verdict prepare_sums(struct db *db, bool saturate,
                                        struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct text sql = { 0 };

	/* Their days are open again, see common/rollup.h. */
	text_add(&sql, "WITH days AS (DELETE FROM rollup_closed "
	         "WHERE day = ANY(ARRAY(SELECT DISTINCT cell / %d "
	         "FROM unnest($3::bigint[]) c(cell)))) ", ROLLUP_DAY);
	text_add(&sql, "INSERT INTO rollup_cells AS r (dimension, value, cell, "
	         "provider, model_id");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		text_add(&sql, ", %s", rollup_columns[i]);
	}
	/* In the list they go in step; in FROM each would be stored first. */
	text_add(&sql, ") SELECT unnest($1::text[]), unnest($2::text[]), "
	         "unnest($3::bigint[]), unnest($4::text[]), "
	         "unnest($5::text[])");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		text_add(&sql, ", unnest($%zu::bigint[])", CELL_KEYS + 1 + i);
	}
	text_add(&sql, " ON CONFLICT (dimension, value, cell, provider, "
	         "model_id) DO UPDATE SET ");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		const char *name = rollup_columns[i];

		text_add(&sql, i == 0 ? "" : ", ");
		if (saturate) {
			add_saturated(&sql, name);
		} else {
			text_add(&sql, "%s = r.%s + excluded.%s", name, name,
			         name);
		}
	}
	if (!sql.failed) {
		verdict = db_prepare(db, saturate ? FULL : SUMS, sql.data, err);
	} else {
		bursar_fail(err, ENOMEM, "out of memory");
	}
	text_finish(&sql);
	return verdict;
}

static bool open_kind(struct rows *rows, const struct bursar_kind *kind)
{
	rows->kinds[kind->number].parts.kind = kind;
	if (kind->fact) {
		rows->rollup = rollup_create(kind);
	}
	return !kind->fact || rows->rollup != NULL;
}

enum bursar_verdict rows_open(struct rows **opened, struct db *db,
                              struct bursar_error *err)
{
	const struct bursar_schema *schema = db->host->schema;
	struct rows *rows = calloc(1, sizeof(*rows));
	bool good = rows != NULL;

	*opened = rows;
	if (good) {
		rows->db = db;
		rows->kinds = calloc(schema->kind_count, sizeof(*rows->kinds));
		good = rows->kinds != NULL;
	}
	for (size_t i = 0; i < schema->kind_count && good; i++) {
		rows->kind_count = i + 1;
		good = open_kind(rows, &schema->kinds[i]);
	}
	if (!good) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	const enum bursar_verdict verdict = prepare_sums(db, false, err);
	return verdict == BURSAR_DONE ? prepare_sums(db, true, err) : verdict;
}

void rows_close(struct rows *rows)
{
	if (rows == NULL) {
		return;
	}
	for (size_t i = 0; i < rows->kind_count; i++) {
		parts_finish(&rows->kinds[i].parts);
		text_finish(&rows->kinds[i].columns);
	}
	for (size_t i = 0; i < CELL_KEYS + ROLLUP_COLUMNS; i++) {
		text_finish(&rows->arrays[i]);
	}
	copy_finish(&rows->copy);
	rollup_destroy(rows->rollup);
	free(rows->chunks);
	free(rows->kinds);
	free(rows);
}

bool rows_know_parts(const struct rows *rows)
{
	bool known = true;

	for (size_t i = 0; i < rows->kind_count; i++) {
		known &= rows->kinds[i].parts.known;
	}
	return known;
}

/* --- before the transaction ---------------------------------------------- */

static enum bursar_verdict need_part(struct rows *rows,
                                     const struct bursar_record *record,
                                     int64_t now, struct bursar_error *err)
{
	struct parts *parts = &rows->kinds[record->kind->number].parts;
	const int64_t block = parts_block(record, now);
	enum bursar_verdict verdict = BURSAR_DONE;

	if (!parts_has(parts, block)) {
		verdict = parts_make(rows->db, parts, block, now, err);
	}
	return verdict;
}

static int64_t numbers_left(const struct rows *rows)
{
	int64_t left = 0;

	for (size_t i = 0; i < rows->chunk_count; i++) {
		left += rows->chunks[i].end - rows->chunks[i].next;
	}
	return left;
}

static bool add_chunk(struct rows *rows, int64_t first)
{
	struct chunk *chunks = realloc(rows->chunks, (rows->chunk_count + 1) *
	                               sizeof(*chunks));

	if (chunks == NULL) {
		return false;
	}
	rows->chunks = chunks;
	chunks[rows->chunk_count++] = (struct chunk){ first, first + CHUNK };
	return true;
}

static enum bursar_verdict need_numbers(struct rows *rows, size_t count,
                                        struct bursar_error *err)
{
	while (numbers_left(rows) < (int64_t)count) {
		int64_t first;
		const enum bursar_verdict verdict = db_integer(rows->db,
			"SELECT nextval('bursar_row')", NULL, 0, &first, err);

		if (verdict != BURSAR_DONE) {
			return verdict == BURSAR_REJECT ? BURSAR_CONFIG
			                                : verdict;
		}
		if (!add_chunk(rows, first)) {
			bursar_fail(err, ENOMEM, "out of memory");
			return BURSAR_RETRY;
		}
	}
	return BURSAR_DONE;
}

static int64_t take_number(struct rows *rows)
{
	while (rows->chunks[0].next == rows->chunks[0].end) {
		rows->chunk_count--;
		memmove(rows->chunks, rows->chunks + 1,
		        rows->chunk_count * sizeof(*rows->chunks));
	}
	return rows->chunks[0].next++;
}

enum bursar_verdict rows_prepare(struct rows *rows, const struct batch *batch,
                                 struct bursar_error *err)
{
	const int64_t now = rows->db->host->now(rows->db->host);
	enum bursar_verdict verdict = need_numbers(rows, batch->count, err);

	if (verdict == BURSAR_DONE) {
		verdict = dimensions_read(&rows->dimensions, rows->db, err);
	}
	for (size_t i = 0; i < rows->kind_count && verdict == BURSAR_DONE;
	     i++) {
		if (!rows->kinds[i].parts.known) {
			verdict = parts_read(rows->db, &rows->kinds[i].parts,
			                     err);
		}
	}
	for (size_t i = 0; i < batch->count && verdict == BURSAR_DONE; i++) {
		verdict = need_part(rows, batch->records[i], now, err);
	}
	return verdict;
}

/* --- sums ---------------------------------------------------------------- */

static void put_span(struct text *array, struct bursar_span span)
{
	text_put32(array, (int64_t)span.size);
	text_put(array, span.data, span.size);
}

static void put_integer(struct text *array, int64_t value)
{
	text_put32(array, 8);
	text_put64(array, value);
}

static void put_key(struct text *arrays, const struct rollup_cell *cell)
{
	put_span(&arrays[0], (struct bursar_span){ cell->dimension,
	                                           strlen(cell->dimension) });
	put_span(&arrays[1], cell->value);
	put_integer(&arrays[2], cell->cell);
	put_span(&arrays[3], cell->provider);
	put_span(&arrays[4], cell->model_id);
}

/* There are some forty of these for each cell. */
static void put_column(struct text *array, const struct rollup_cell *const *cells,
                       size_t count, size_t column)
{
	struct { uint32_t size; uint64_t value; } __attribute__((packed)) word;
	char *room = text_room(array, count * sizeof(word));

	for (size_t i = 0; i < count && room != NULL; i++) {
		word.size = htobe32(sizeof(word.value));
		word.value = htobe64((uint64_t)cells[i]->columns[column]);
		memcpy(room, &word, sizeof(word));
		room += sizeof(word);
	}
}

/* The cells of the batch as the parameters of the statement. */
static void fill_arrays(struct rows *rows)
{
	const struct rollup_cell *const *cells;

	cells = rollup_cells(rows->rollup, &rows->cell_count);
	rows->cells_lost = cells == NULL;
	for (int i = 0; i < CELL_KEYS + ROLLUP_COLUMNS; i++) {
		text_begin_array(&rows->arrays[i], i < CELL_KEYS && i != 2
		            ? DB_TEXT : DB_INT8, rows->cell_count);
	}
	for (size_t i = 0; i < rows->cell_count; i++) {
		put_key(rows->arrays, cells[i]);
	}
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		put_column(&rows->arrays[CELL_KEYS + i], cells,
		           rows->cell_count, i);
	}
	for (int i = 0; i < CELL_KEYS + ROLLUP_COLUMNS; i++) {
		rows->cells_lost |= rows->arrays[i].failed;
	}
}

enum bursar_verdict rows_sum(struct rows *rows, bool saturate,
                             struct bursar_error *err)
{
	struct db_values values = { 0 };

	if (rows->cells_lost) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	if (rows->cell_count == 0) {
		return BURSAR_DONE;
	}
	for (int i = 0; i < CELL_KEYS + ROLLUP_COLUMNS; i++) {
		db_add_binary(&values, 0, rows->arrays[i].data,
		              rows->arrays[i].size);
	}
	return db_run(rows->db, saturate ? FULL : SUMS, &values, false, NULL,
	              err);
}

/* --- within it ----------------------------------------------------------- */

/* What is new, in the order in which it stands in the tables. */
static void order_places(struct rows *rows, struct batch *batch)
{
	const int64_t now = rows->db->host->now(rows->db->host);

	for (size_t i = 0; i < batch->fresh; i++) {
		struct place *place = &batch->places[i];
		const struct bursar_record *record =
			batch->records[place->index];

		place->block = parts_block(record, now);
		place->kind = record->kind->number;
	}
	places_sort(batch->places, batch->fresh);
}

static bool is_text(const struct bursar_field *field)
{
	return field->type == BURSAR_TEXT || field->type == BURSAR_JSON;
}

static void add_field(struct copy *copy, const struct bursar_field *field,
                      const struct bursar_value *value)
{
	if (!value->is_set) {
		copy_null(copy);
	} else if (is_text(field)) {
		copy_bytes(copy, value->text, value->size);
	} else if (field->type == BURSAR_BOOL) {
		copy_int2(copy, value->number);
	} else {
		copy_int8(copy, value->number);
	}
}

static size_t text_bytes(const struct kind_rows *rows,
                         const struct bursar_value *values)
{
	const struct bursar_field *fields = rows->parts.kind->fields;
	size_t bytes = 0;

	for (size_t i = 0; i < rows->fields.count; i++) {
		const size_t at = rows->fields.list[i];

		if (values[at].is_set && is_text(&fields[at])) {
			bytes += values[at].size;
		}
	}
	return bytes;
}

static void add_readable(struct copy *copy, const struct bursar_field *field,
                         const struct bursar_value *value)
{
	if (!value->is_set) {
		copy_null(copy);
	} else if (field->type == BURSAR_TIME) {
		copy_time(copy, value->number);
	} else {
		copy_dollars(copy, value->number);
	}
}

/* False: out of memory. */
static bool add_row(struct rows *rows, const struct bursar_record *record,
                    const struct place *place)
{
	const struct bursar_kind *kind = record->kind;
	const struct kind_rows *of_kind = &rows->kinds[kind->number];
	const struct fields *fields = &of_kind->fields;
	const struct fields *readable = &of_kind->readable;
	struct copy *copy = &rows->copy;
	struct bursar_value room[BURSAR_FIELDS_MAX];
	const struct bursar_value *values = bursar_values(record, room);

	if (!copy_row(copy, fields->count + readable->count + 1,
	              text_bytes(of_kind, values) + place->id.size +
	              readable->count * COPY_READABLE)) {
		return false;
	}
	copy_int8(copy, parts_first_id(place->block) | take_number(rows));
	for (size_t i = 0; i < fields->count; i++) {
		const size_t at = fields->list[i];

		if (at == BURSAR_MESSAGE_ID && place->id.data != NULL) {
			copy_bytes(copy, place->id.data, place->id.size);
		} else {
			add_field(copy, &kind->fields[at], &values[at]);
		}
	}
	for (size_t i = 0; i < readable->count; i++) {
		const size_t at = readable->list[i];

		add_readable(copy, &kind->fields[at], &values[at]);
	}
	return true;
}

static enum bursar_verdict sum_up(struct rows *rows,
                                  const struct bursar_record *record,
                                  struct bursar_error *err)
{
	if (!record->kind->fact || rollup_add(rows->rollup, record)) {
		return BURSAR_DONE;
	}
	bursar_fail(err, ENOMEM, "out of memory");
	return BURSAR_RETRY;
}

/* The fields that any of the rows has. */
static void choose_fields(struct kind_rows *rows, const struct batch *batch,
                          size_t from, size_t to)
{
	const struct bursar_kind *kind = rows->parts.kind;
	uint8_t set[BURSAR_FIELDS_BYTES] = { 0 };

	for (size_t i = from; i < to; i++) {
		bursar_add_set(batch->records[batch->places[i].index], set);
	}
	rows->fields.count = rows->readable.count = 0;
	for (size_t i = 0; i < kind->field_count; i++) {
		if ((set[i / 8] >> i % 8 & 1) == 0) {
			continue;
		}
		rows->fields.list[rows->fields.count++] = (uint8_t)i;
		if (columns_differ(&kind->fields[i])) {
			rows->readable.list[rows->readable.count++] =
				(uint8_t)i;
		}
	}
}

/*
 * Names the columns of these: one that no row of a batch has a value for, as
 * most have not, is NULL without being sent and read.  False: out of memory.
 */
static bool name_columns(struct kind_rows *rows)
{
	const struct bursar_field *fields = rows->parts.kind->fields;
	char name[COLUMNS_NAME_MAX];

	text_clear(&rows->columns);
	text_add(&rows->columns, "(id");
	for (size_t i = 0; i < rows->fields.count; i++) {
		text_add(&rows->columns, ", \"%s\"", columns_stored(
			&fields[rows->fields.list[i]], name));
	}
	for (size_t i = 0; i < rows->readable.count; i++) {
		text_add(&rows->columns, ", \"%s\"",
		         fields[rows->readable.list[i]].name);
	}
	text_add(&rows->columns, ") FROM STDIN (FORMAT binary)");
	return !rows->columns.failed;
}

/* The partition that all of the places [from, to) are in, or NULL. */
static const struct part *part_of(struct parts *parts,
                                  const struct batch *batch, size_t from,
                                  size_t to)
{
	const int64_t first = batch->places[from].block;
	const int64_t last = batch->places[to - 1].block;

	if (to - from < MANY || !parts_has(parts, first)) {
		return NULL;
	}
	const struct part *part = &parts->list[parts->latest];
	return parts_first_id(last) < part->to &&
	       strpbrk(part->name, "\"'\\") == NULL ? part : NULL;
}

/*
 * Where all go into one partition they go straight into it: to find the one of
 * each row takes as long as a fifth of storing it.  The lock and the question
 * make sure that the table still is one, and stays one to the end of the
 * transaction.
 */
static enum bursar_verdict begin_copy(struct rows *rows,
                                      const struct batch *batch, size_t from,
                                      size_t to, struct bursar_error *err)
{
	struct kind_rows *kind = &rows->kinds[batch->places[from].kind];
	const struct part *part = part_of(&kind->parts, batch, from, to);
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct text sql = { 0 };

	if (part != NULL) {
		text_add(&sql, "LOCK TABLE ONLY \"%s\" IN ROW EXCLUSIVE MODE; "
		         "SELECT 1 FROM pg_class WHERE oid = '\"%s\"'"
		         "::regclass AND relispartition; ", part->name,
		         part->name);
	}
	choose_fields(kind, batch, from, to);
	const bool named = name_columns(kind);

	text_add(&sql, "COPY \"%s\" %s", part != NULL ? part->name
	         : kind->parts.kind->table, named ? kind->columns.data : "");
	if (!named || sql.failed) {
		bursar_fail(err, ENOMEM, "out of memory");
	} else {
		verdict = copy_begin(&rows->copy, rows->db, sql.data, err);
	}
	text_finish(&sql);
	return verdict;
}

/* Places [from, to) are of one kind. */
static enum bursar_verdict store_kind(struct rows *rows,
                                      const struct batch *batch, size_t from,
                                      size_t to, struct bursar_error *err)
{
	enum bursar_verdict verdict = begin_copy(rows, batch, from, to, err);

	if (verdict != BURSAR_DONE) {
		return verdict;
	}
	for (size_t i = from; i < to; i++) {
		const struct place *place = &batch->places[i];

		if (!add_row(rows, batch->records[place->index], place) ||
		    !copy_push(&rows->copy)) {
			break;
		}
	}
	copy_last(&rows->copy, false);
	/* While the server stores what it was sent. */
	if (batch->records[batch->places[from].index]->kind->fact) {
		fill_arrays(rows);
	}
	return copy_end(&rows->copy, err);
}

/*
 * A row without a partition breaks no constraint by name, and a table that is
 * not there is not one of ours for long: somebody took the partition away, and
 * it has to be made again.
 */
static enum bursar_verdict blame_part(struct rows *rows,
                                      enum bursar_verdict verdict)
{
	const struct db *db = rows->db;

	if ((verdict != BURSAR_DONE && rows->copy.refused) ||
	    (verdict == BURSAR_REJECT && strcmp(db->state, "23514") == 0 &&
	     db->constraint[0] == '\0') ||
	    (verdict == BURSAR_CONFIG && strcmp(db->state, "42P01") == 0)) {
		for (size_t i = 0; i < rows->kind_count; i++) {
			rows->kinds[i].parts.known = false;
		}
		return BURSAR_RETRY;
	}
	return verdict;
}

enum bursar_verdict rows_plan(struct rows *rows, struct batch *batch,
                              struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	if (rows->rollup != NULL) {
		rollup_clear(rows->rollup);
		rollup_set_tags(rows->rollup, rows->dimensions.tags,
		                rows->dimensions.count);
	}
	rows->cell_count = 0;
	rows->cells_lost = false;
	order_places(rows, batch);
	for (size_t i = 0; i < batch->fresh && verdict == BURSAR_DONE; i++) {
		const size_t index = batch->places[i].index;

		verdict = sum_up(rows, batch->records[index], err);
	}
	return verdict;
}

enum bursar_verdict rows_store(struct rows *rows, const struct batch *batch,
                               struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	size_t from = 0;

	while (from < batch->fresh && verdict == BURSAR_DONE) {
		size_t to = from + 1;

		while (to < batch->fresh &&
		       batch->places[to].kind == batch->places[from].kind) {
			to++;
		}
		verdict = store_kind(rows, batch, from, to, err);
		from = to;
	}
	return blame_part(rows, verdict);
}
