/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Walking all tables in order of id and comparing what belongs together.
 *
 * Facts come in order of their quarter hour, so a stretch of whole quarter
 * hours is summed by the code that sinks use and compared with the cells of
 * the same stretch; then it is forgotten.  Stretches leave no gap: cells of
 * quarter hours without facts are seen as well.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/named.h"
#include "book/query.h"
#include "book/verify.h"
#include "book/verify_days.h"
#include "book/words.h"
#include "common/columns.h"
#include "common/rollup.h"
#include "flow/identity.h"

#define PAGE        500u	/* rows of a statement, keys of a look */
#define BODY_PAGE   50u		/* the same for rows that may be large */
#define STRETCH     20000u	/* facts after which a stretch may end */
#define KEY_SIZE    16u
#define MAX_COLUMNS 128

/* A row whose key is to be looked for. */
struct sought {
	uint8_t key[KEY_SIZE];
	int64_t id;
	int64_t inserted;
	char   *message_id;
	size_t  size;
	bool    found;
};

struct verify {
	struct book *book;
	const struct verify_report *report;
	struct verify_counts *counts;
	struct bursar_error  *err;

	const struct bursar_kind *kind;		/* of the table that is read */
	struct bursar_record *record;		/* of that kind */
	int64_t last_id;
	size_t  page_rows;
	bool    page_done;			/* no row is left in the table */

	struct sought sought[PAGE];
	size_t  sought_count;
	int64_t keys_purged_us;			/* older keys may be gone; as
						 * last read */

	struct rollup *rollup;
	struct words  *words;
	int64_t stretch_first;			/* its first cell */
	int64_t stretch_cell;			/* the cell of its last fact */
	size_t  stretch_facts;
	bool    stretch_whole;			/* the next fact is of another */

	const struct rollup_cell *const *cells;	/* sums of the stretch */
	bool   *seen;				/* which a stored one matched */
	size_t  cell_count;
	struct rollup_cell *suspects;		/* texts in words */
	size_t  suspect_count;
	size_t  suspect_room;
	bool    failed;				/* *err is filled */
};

static int out_of_memory(struct verify *v)
{
	v->failed = true;
	return bursar_fail(v->err, ENOMEM, "out of memory");
}

static bool stopped(const struct verify *v)
{
	return v->counts->stopped || v->failed;
}

static void found(struct verify *v, const struct verify_place *place)
{
	if (v->counts->places == VERIFY_MAX_PLACES) {
		v->counts->stopped = true;
		return;
	}
	v->counts->places++;
	v->report->place(v->report->context, place);
}

static void say(const struct verify *v)
{
	if (v->report->progress != NULL) {
		v->report->progress(v->report->context, v->counts);
	}
}

/* --- rows as records ----------------------------------------------------- */

static bool is_text(const struct bursar_field *field)
{
	return field->type == BURSAR_TEXT || field->type == BURSAR_JSON;
}

/* Whether a field has a part in the rollups. */
static bool is_summed(const struct bursar_field *field)
{
	return field->type == BURSAR_INT || field->type == BURSAR_MONEY ||
	       (field->flags & BURSAR_FIELD_GROUP) != 0 ||
	       strcmp(field->name, "tags") == 0 ||
	       strcmp(field->name, "provider") == 0 ||
	       strcmp(field->name, "model_id") == 0 ||
	       strcmp(field->name, "status") == 0;
}

/* Which fields are read: of facts those that matter, of others all. */
static bool is_read(const struct bursar_kind *kind, size_t field)
{
	return !kind->fact || field == BURSAR_MESSAGE_ID ||
	       field == BURSAR_RECORDED_AT || field == BURSAR_INSERTED_AT ||
	       is_summed(&kind->fields[field]);
}

/* Fills the record from a row; its texts are those of the cells. */
static void fill(struct verify *v, const struct bursar_cell *cells,
                 size_t count)
{
	size_t next = 1;

	for (size_t i = 0; i < v->kind->field_count; i++) {
		if (is_read(v->kind, i)) {
			assert(next < count);
			v->record->values[i] = book_value(&v->kind->fields[i],
			                                  &cells[next++]);
		}
	}
}

static struct bursar_span message_id(const struct verify *v)
{
	const struct bursar_value *value =
		&v->record->values[BURSAR_MESSAGE_ID];

	return value->is_set
		? (struct bursar_span){ value->text, value->size }
		: (struct bursar_span){ "", 0 };
}

/* --- keys ---------------------------------------------------------------- */

static void seek(struct verify *v, int64_t id)
{
	const struct bursar_span text = message_id(v);
	struct sought *sought = &v->sought[v->sought_count];

	const int64_t inserted =
		v->record->values[BURSAR_INSERTED_AT].number;

	if (inserted < v->keys_purged_us) {
		return;
	}
	sought->message_id = strndup(text.data, text.size);
	if (sought->message_id == NULL) {
		out_of_memory(v);
		return;
	}
	v->sought_count++;
	sought->size = text.size;
	sought->id = id;
	sought->inserted = inserted;
	sought->found = false;
	identity_key(v->kind, text.data, text.size, sought->key);
}

static int take_key(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct verify *v = context;

	assert(count == 1);
	for (size_t i = 0; i < v->sought_count; i++) {
		if (cells[0].size == KEY_SIZE &&
		    memcmp(cells[0].data, v->sought[i].key, KEY_SIZE) == 0) {
			v->sought[i].found = true;
		}
	}
	return 0;
}

/* Always with PAGE parameters, so that it is one statement to the sink. */
static int find_keys(struct verify *v)
{
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "SELECT key FROM record_keys WHERE key IN (");
	for (size_t i = 0; i < PAGE; i++) {
		const struct sought *sought =
			&v->sought[i < v->sought_count ? i : 0];

		book_add(&st, i == 0 ? "" : ", ");
		book_add_value(&st, (struct bursar_cell){
			.type = BURSAR_BLOB, .data = (const char *)sought->key,
			.size = KEY_SIZE });
	}
	book_add(&st, ")");
	return book_ask(v->book, &st, take_key, v, v->err);
}

static int read_keys_mark(struct verify *v)
{
	return book_note_read(v->book, BOOK_KEYS_PURGED, &v->keys_purged_us,
	                      v->err);
}

/* A purge that goes on meanwhile has moved its mark before it took any. */
static int look_for_keys(struct verify *v)
{
	int status = find_keys(v);
	bool all = true;

	for (size_t i = 0; i < v->sought_count; i++) {
		all &= v->sought[i].found;
	}
	if (status == 0 && !all) {
		status = read_keys_mark(v);
	}
	for (size_t i = 0; i < v->sought_count; i++) {
		v->sought[i].found |=
			v->sought[i].inserted < v->keys_purged_us;
	}
	return status;
}

static int check_keys(struct verify *v)
{
	int status = 0;

	if (v->sought_count > 0) {
		status = look_for_keys(v);
	}
	for (size_t i = 0; i < v->sought_count; i++) {
		struct sought *sought = &v->sought[i];

		v->counts->keys++;
		if (status == 0 && !sought->found) {
			found(v, &(struct verify_place){
				.check = VERIFY_KEY,
				.kind = v->kind,
				.id = sought->id,
				.message_id = { sought->message_id,
				                sought->size },
			});
		}
		free(sought->message_id);
	}
	v->sought_count = 0;
	return status;
}

/* --- cells --------------------------------------------------------------- */

static int order_of(struct bursar_span a, struct bursar_span b)
{
	const size_t size = a.size < b.size ? a.size : b.size;
	const int order = memcmp(a.data, b.data, size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* The order in which rollup_cells() hands them out. */
static int cell_order(const void *left, const void *right)
{
	const struct rollup_cell *a = left;
	const struct rollup_cell *b = *(const struct rollup_cell *const *)right;
	int order = strcmp(a->dimension, b->dimension);

	if (order == 0) {
		order = order_of(a->value, b->value);
	}
	if (order == 0) {
		order = (a->cell > b->cell) - (a->cell < b->cell);
	}
	if (order == 0) {
		order = order_of(a->provider, b->provider);
	}
	return order != 0 ? order : order_of(a->model_id, b->model_id);
}

static struct bursar_span keep(struct verify *v, struct bursar_span text)
{
	const struct bursar_span kept = words_keep(v->words, text.data,
	                                           text.size);

	if (kept.data == NULL) {
		out_of_memory(v);
	}
	return kept;
}

/* Remembers a cell to be looked at again; more than can be told of are not
 * needed. */
static void suspect(struct verify *v, const struct rollup_cell *cell)
{
	if (v->suspect_count == VERIFY_MAX_PLACES || v->failed) {
		return;
	}
	if (v->suspect_count == v->suspect_room) {
		const size_t room = v->suspect_room > 0
			? 2 * v->suspect_room : 16;
		struct rollup_cell *suspects = reallocarray(
			v->suspects, room, sizeof(*suspects));

		if (suspects == NULL) {
			out_of_memory(v);
			return;
		}
		v->suspects = suspects;
		v->suspect_room = room;
	}
	struct rollup_cell *kept = &v->suspects[v->suspect_count++];
	*kept = *cell;
	kept->value = keep(v, cell->value);
	kept->provider = keep(v, cell->provider);
	kept->model_id = keep(v, cell->model_id);
}

static struct bursar_span span_of(const struct bursar_cell *cell)
{
	return cell->type == BURSAR_STRING
		? (struct bursar_span){ cell->data, cell->size }
		: (struct bursar_span){ "", 0 };
}

struct stored {
	struct verify *verify;
	const char    *dimension;
};

/* Of a sum that passed 63 bits, and stays at their end, nobody knows by how
 * much. */
static bool is_saturated(int64_t sum)
{
	return sum == INT64_MAX || sum == INT64_MIN;
}

static bool agree(int64_t stored, int64_t computed)
{
	return stored == computed || is_saturated(stored) ||
	       is_saturated(computed);
}

static int take_stored(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	const struct stored *stored = context;
	struct verify *v = stored->verify;
	struct rollup_cell cell = {
		.dimension = stored->dimension,
		.value = span_of(&cells[0]),
		.cell = book_get(&cells[1]),
		.provider = span_of(&cells[2]),
		.model_id = span_of(&cells[3]),
	};
	static const int64_t nothing[ROLLUP_COLUMNS];
	const int64_t *computed = nothing;

	assert(count == 4 + ROLLUP_COLUMNS);
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		cell.columns[i] = book_get(&cells[4 + i]);
	}
	const struct rollup_cell *const *match = v->cell_count == 0 ? NULL
		: bsearch(&cell, v->cells, v->cell_count, sizeof(*v->cells),
		          cell_order);
	if (match != NULL) {
		v->seen[match - v->cells] = true;
		computed = (*match)->columns;
	}
	if (memcmp(cell.columns, computed, sizeof(cell.columns)) != 0) {
		suspect(v, &cell);
	}
	v->counts->cells++;
	return v->failed;
}

static void add_columns(struct book_statement *st)
{
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		book_add(st, ", r.%s", rollup_columns[i]);
	}
}

/* The name of the n-th dimension, fields before tags; NULL: there is none. */
static const char *dimension(const struct verify *v, size_t n)
{
	size_t fields = 0;

	for (; rollup_dimensions[fields].name != NULL; fields++) {
		if (fields == n) {
			return rollup_dimensions[n].name;
		}
	}
	return n == fields ? ROLLUP_KEYS
		: n - fields <= v->book->tag_count
		? v->book->tags[n - fields - 1].name : NULL;
}

/* Compares what is stored of a dimension in [first, last). */
static int compare_dimension(struct verify *v, const char *dimension,
                             int64_t last)
{
	struct stored stored = { v, dimension };
	struct book_statement st;

	book_begin(&st);
	query_add_values(&st, dimension);
	book_add(&st, "SELECT r.value, r.cell, r.provider, r.model_id");
	add_columns(&st);
	book_add(&st, " FROM v CROSS JOIN rollup_cells r "
	         "WHERE r.dimension = '%s' AND r.value = v.value "
	         "AND r.cell >= ", dimension);
	book_add_value(&st, book_int(v->stretch_first));
	book_add(&st, " AND r.cell < ");
	book_add_value(&st, book_int(last));
	return book_ask(v->book, &st, take_stored, &stored, v->err);
}

/* NULL: of a dimension that has none. */
static const char *field_of(const char *dimension)
{
	if (tags_key_of(dimension) != NULL) {
		return dimension;
	}
	for (const struct rollup_dimension *d = rollup_dimensions;
	     d->name != NULL; d++) {
		if (strcmp(d->name, dimension) == 0) {
			return d->field;
		}
	}
	return NULL;
}

struct second_look {
	int64_t stored[ROLLUP_COLUMNS];
	int64_t computed[ROLLUP_COLUMNS];
};

static int take_look(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct second_look *look = context;
	int64_t *columns = book_get(&cells[0]) == 0 ? look->stored
		: look->computed;

	assert(count == 1 + 2 * ROLLUP_COLUMNS);
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		columns[i] = query_join(&cells[1 + 2 * i]);
	}
	return 0;
}

static void add_equal(struct book_statement *st, const char *column,
                      struct bursar_span value)
{
	book_add(st, " AND %s = ", column);
	book_add_value(st, book_bytes(value.data, value.size));
}

/* Of a fact, where unknown is NULL or empty. */
static void add_says(struct book_statement *st, const char *field,
                     struct bursar_span value)
{
	book_add(st, " AND ");
	query_add_field(st, field);
	book_add(st, " = ");
	book_add_value(st, book_bytes(value.data, value.size));
}

static bool is_keys(const struct rollup_cell *cell)
{
	return strcmp(cell->dimension, ROLLUP_KEYS) == 0;
}

/* What the facts of a cell add to a column of it. */
static void add_computed(struct book_statement *st,
                         const struct rollup_cell *cell, size_t column)
{
	book_add(st, ", ");
	if (is_keys(cell) && column != ROLLUP_REQUESTS) {
		book_add(st, "0, 0");
	} else {
		query_add_record_sum(st, column);
	}
}

/* The stored cell and the sums of its facts, as of one moment. */
static int look_again(struct verify *v, const struct rollup_cell *cell,
                      struct second_look *look)
{
	const char *field = field_of(cell->dimension);
	struct book_statement st;

	memset(look, 0, sizeof(*look));
	book_begin(&st);
	book_add(&st, "SELECT 0");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		book_add(&st, ", 0, r.%s", rollup_columns[i]);
	}
	book_add(&st, " FROM rollup_cells r WHERE r.dimension = '%s'",
	         cell->dimension);
	add_equal(&st, "r.value", cell->value);
	book_add(&st, " AND r.cell = ");
	book_add_value(&st, book_int(cell->cell));
	add_equal(&st, "r.provider", cell->provider);
	add_equal(&st, "r.model_id", cell->model_id);

	book_add(&st, " UNION ALL SELECT 1");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		add_computed(&st, cell, i);
	}
	book_add(&st, " FROM %s WHERE id >= ", v->kind->table);
	book_add_value(&st, book_int(cell->cell * (INT64_C(1) <<
	                                           COLUMNS_ID_SHIFT)));
	book_add(&st, " AND id < ");
	book_add_value(&st, book_int((cell->cell + 1) * (INT64_C(1) <<
	                                                 COLUMNS_ID_SHIFT)));
	if (is_keys(cell)) {
		book_add(&st, " AND bursar_tag(tags, ");
		book_add_value(&st, book_bytes(cell->value.data,
		                               cell->value.size));
		book_add(&st, ") IS NOT NULL");
	} else if (field != NULL) {
		add_says(&st, field, cell->value);
	}
	add_says(&st, "provider", cell->provider);
	add_says(&st, "model_id", cell->model_id);
	return book_ask(v->book, &st, take_look, look, v->err);
}

static void tell(struct verify *v, const struct rollup_cell *cell,
                 const struct second_look *look)
{
	for (size_t i = 0; i < ROLLUP_COLUMNS && !stopped(v); i++) {
		if (agree(look->stored[i], look->computed[i])) {
			continue;
		}
		found(v, &(struct verify_place){
			.check = VERIFY_CELL,
			.kind = v->kind,
			.dimension = cell->dimension,
			.value = cell->value,
			.cell = cell->cell,
			.provider = cell->provider,
			.model_id = cell->model_id,
			.column = rollup_columns[i],
			.stored = look->stored[i],
			.computed = look->computed[i],
		});
	}
}

static int take_dimension(void *context, const struct bursar_cell *cells,
                          size_t count)
{
	struct verify *v = context;
	const struct bursar_span name = span_of(&cells[0]);

	assert(count == 1);
	for (size_t i = 0; dimension(v, i) != NULL; i++) {
		if (strlen(dimension(v, i)) == name.size &&
		    memcmp(dimension(v, i), name.data, name.size) == 0) {
			return 0;
		}
	}
	if (cells[0].type != BURSAR_NULL) {
		found(v, &(struct verify_place){
			.check = VERIFY_DIMENSION,
			.kind = v->kind,
			.value = name,
		});
	}
	return stopped(v);
}

/* Cells that no fact can have made. */
static int check_dimensions(struct verify *v)
{
	return book_run(v->book, "WITH RECURSIVE d(name) AS ("
		"SELECT MIN(dimension) FROM rollup_cells UNION ALL "
		"SELECT (SELECT MIN(r.dimension) FROM rollup_cells r "
		"WHERE r.dimension > d.name) FROM d WHERE d.name IS NOT NULL) "
		"SELECT name FROM d", NULL, 0, take_dimension, v, v->err);
}

/* A purge may have gone on since. */
static int read_mark(struct verify *v)
{
	v->counts->closed_us = INT64_MIN;
	return book_note_read(v->book, BOOK_FACTS_PURGED,
	                      &v->counts->closed_us, v->err);
}

static int64_t first_open_cell(const struct verify *v)
{
	return v->counts->closed_us == INT64_MIN ? -COLUMNS_NEVER
		: columns_cell(v->counts->closed_us + COLUMNS_CELL_US - 1);
}

static int check_suspects(struct verify *v)
{
	struct second_look look;

	if (v->suspect_count > 0 && read_mark(v) != 0) {
		return -1;
	}
	for (size_t i = 0; i < v->suspect_count && !stopped(v); i++) {
		const struct rollup_cell *cell = &v->suspects[i];

		if (cell->cell < first_open_cell(v)) {
			continue;
		}
		if (look_again(v, cell, &look) != 0) {
			return -1;
		}
		tell(v, cell, &look);
	}
	v->suspect_count = 0;
	return v->failed ? -1 : 0;
}

/* Compares the stretch up to the cell `last`, and begins the next one there. */
static int end_stretch(struct verify *v, int64_t last)
{
	int status = 0;

	v->cells = rollup_cells(v->rollup, &v->cell_count);
	v->seen = calloc(v->cell_count + 1, sizeof(*v->seen));
	if ((v->cells == NULL && v->stretch_facts > 0) || v->seen == NULL) {
		return out_of_memory(v);
	}
	assert(v->cells != NULL || v->cell_count == 0);
	for (size_t i = 0; dimension(v, i) != NULL && status == 0; i++) {
		status = compare_dimension(v, dimension(v, i), last);
	}
	for (size_t i = 0; i < v->cell_count && status == 0; i++) {
		if (!v->seen[i]) {
			suspect(v, v->cells[i]);
		}
	}
	if (status == 0) {
		status = check_suspects(v);
	}
	free(v->seen);
	v->seen = NULL;
	rollup_clear(v->rollup);
	words_clear(v->words);
	v->stretch_first = last;
	v->stretch_facts = 0;
	v->stretch_whole = false;
	say(v);
	return status;
}

/* --- facts --------------------------------------------------------------- */

static void check_time(struct verify *v, int64_t id)
{
	const int64_t stored = id >> COLUMNS_ID_SHIFT;
	const int64_t computed = columns_block(v->record);

	if (stored != computed) {
		found(v, &(struct verify_place){
			.check = VERIFY_TIME,
			.kind = v->kind,
			.id = id,
			.message_id = message_id(v),
			.stored = stored,
			.computed = computed,
		});
	}
}

/* Adds the fact to the cell that its id says. */
static void sum_up(struct verify *v, int64_t id)
{
	const int64_t cell = id >> COLUMNS_ID_SHIFT;

	for (size_t i = 0; i < v->kind->field_count; i++) {
		struct bursar_value *value = &v->record->values[i];

		if (value->is_set && is_text(&v->kind->fields[i])) {
			value->text = keep(v, (struct bursar_span){
				value->text, value->size }).data;
		}
	}
	bursar_set_number(v->record, BURSAR_RECORDED_AT,
	                  cell * COLUMNS_CELL_US);
	if (!v->failed && !rollup_add(v->rollup, v->record)) {
		out_of_memory(v);
	}
	v->stretch_cell = cell;
	v->stretch_facts++;
}

static int take_fact(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct verify *v = context;
	const int64_t id = book_get(&cells[0]);

	if (v->stretch_facts >= STRETCH &&
	    id >> COLUMNS_ID_SHIFT != v->stretch_cell) {
		v->stretch_whole = true;	/* this row comes again */
		return 1;
	}
	fill(v, cells, count);
	seek(v, id);
	check_time(v, id);
	/* Ids are all different, and would only fill the words. */
	v->record->values[BURSAR_MESSAGE_ID].is_set = false;
	sum_up(v, id);
	v->last_id = id;
	v->page_rows++;
	v->counts->facts++;
	return stopped(v);
}

/* --- rows with bodies ---------------------------------------------------- */

static int64_t hash_as_first(struct verify *v)
{
	int64_t hash = 0;

	if (!identity_row_hash_as_first(v->record, &hash)) {
		out_of_memory(v);
	}
	return hash;
}

static void check_row(struct verify *v, int64_t id)
{
	const struct bursar_value *values = v->record->values;
	const int64_t stored = values[BURSAR_ROW_HASH].number;
	int64_t computed = identity_row_hash(v->record);

	if (values[BURSAR_ROW_HASH].is_set && stored == computed) {
		return;
	}
	if ((values[BURSAR_DQ_FLAGS].number & BURSAR_DQ_ID_DERIVED) != 0 &&
	    values[BURSAR_MESSAGE_ID].is_set &&
	    values[BURSAR_ROW_HASH].is_set && stored == hash_as_first(v)) {
		return;
	}
	found(v, &(struct verify_place){
		.check = VERIFY_ROW,
		.kind = v->kind,
		.id = id,
		.message_id = message_id(v),
		.stored = stored,
		.computed = computed,
	});
}

static int take_body(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct verify *v = context;
	const int64_t id = book_get(&cells[0]);

	fill(v, cells, count);
	seek(v, id);
	check_row(v, id);
	v->last_id = id;
	v->page_rows++;
	v->counts->bodies++;
	return stopped(v);
}

/* --- walking ------------------------------------------------------------- */

static int read_page(struct verify *v, unsigned limit, bursar_row_fn *take)
{
	char name[COLUMNS_NAME_MAX];
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "SELECT id");
	for (size_t i = 0; i < v->kind->field_count; i++) {
		if (is_read(v->kind, i)) {
			book_add(&st, ", %s", columns_stored(
				&v->kind->fields[i], name));
		}
	}
	book_add(&st, " FROM %s WHERE id > ", v->kind->table);
	book_add_value(&st, book_int(v->last_id));
	book_add(&st, " ORDER BY id LIMIT %u", limit);

	v->page_rows = 0;
	if (book_ask(v->book, &st, take, v, v->err) != 0 || v->failed) {
		return -1;
	}
	v->page_done = v->page_rows < limit && !v->stretch_whole;
	return check_keys(v);
}

static int begin_kind(struct verify *v, const struct bursar_kind *kind)
{
	struct bursar_record *record = realloc(v->record, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));

	if (record == NULL) {
		return out_of_memory(v);
	}
	memset(record, 0, sizeof(*record) +
	       kind->field_count * sizeof(record->values[0]));
	record->kind = kind;
	v->record = record;
	v->kind = kind;
	v->last_id = INT64_MIN;
	v->page_done = false;
	return 0;
}

static int count_closed(struct verify *v)
{
	const struct bursar_cell parameters[] = {
		book_int(first_open_cell(v)) };
	int64_t closed = 0;
	bool known;

	if (v->counts->closed_us == INT64_MIN) {
		return 0;
	}
	const int status = book_number(v->book, "SELECT COUNT(*) "
		"FROM rollup_cells WHERE cell < $1", parameters, 1, &closed,
		&known, v->err);
	v->counts->closed = (uint64_t)closed;
	return status;
}

static int walk_facts(struct verify *v, const struct bursar_kind *kind)
{
	if (begin_kind(v, kind) != 0 || count_closed(v) != 0 ||
	    check_dimensions(v) != 0) {
		return -1;
	}
	v->stretch_first = first_open_cell(v);
	v->last_id = v->stretch_first * (INT64_C(1) << COLUMNS_ID_SHIFT) - 1;
	while (!v->page_done && !stopped(v)) {
		if (read_page(v, PAGE, take_fact) != 0) {
			return -1;
		}
		if (v->stretch_whole && !stopped(v) &&
		    end_stretch(v, v->stretch_cell + 1) != 0) {
			return -1;
		}
		say(v);
	}
	return stopped(v) ? 0 : end_stretch(v, COLUMNS_NEVER);
}

static int walk_bodies(struct verify *v, const struct bursar_kind *kind)
{
	if (begin_kind(v, kind) != 0) {
		return -1;
	}
	while (!v->page_done && !stopped(v)) {
		if (read_page(v, BODY_PAGE, take_body) != 0) {
			return -1;
		}
		say(v);
	}
	return 0;
}

struct totals {
	int64_t *keys;
	int64_t *records;
};

static int take_totals(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	const struct totals *totals = context;

	assert(count >= 2);
	*totals->keys = book_get(&cells[0]);
	*totals->records = 0;
	for (size_t i = 1; i < count; i++) {
		*totals->records += book_get(&cells[i]);
	}
	return 1;
}

/* Keys and records as of one moment. */
static int count_all(struct verify *v)
{
	struct totals totals = { &v->counts->stored_keys,
	                         &v->counts->stored_records };
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "SELECT (SELECT COUNT(*) FROM record_keys)");
	for (size_t i = 0; i < schema.kind_count; i++) {
		book_add(&st, ", (SELECT COUNT(*) FROM %s)",
		         schema.kinds[i].table);
	}
	return book_ask(v->book, &st, take_totals, &totals, v->err);
}

static bool take_day(void *context, const struct verify_place *place)
{
	struct verify *v = context;
	struct verify_place whole = *place;

	whole.kind = &schema.kinds[0];
	found(v, &whole);
	return !stopped(v);
}

static int walk(struct verify *v)
{
	int status = read_mark(v);

	if (status == 0) {
		status = read_keys_mark(v);
	}
	for (size_t i = 0; i < schema.kind_count && status == 0; i++) {
		const struct bursar_kind *kind = &schema.kinds[i];

		status = kind->fact ? walk_facts(v, kind)
			: walk_bodies(v, kind);
	}
	if (status == 0 && !stopped(v)) {
		status = verify_days(v->book, take_day, v, &v->counts->days,
		                     v->err);
	}
	return status == 0 ? count_all(v) : status;
}

int verify_run(struct book *book, const struct verify_report *report,
               struct verify_counts *counts, struct bursar_error *err)
{
	struct verify *v = calloc(1, sizeof(*v));
	int status = -1;

	memset(counts, 0, sizeof(*counts));
	if (v == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	v->book = book;
	v->report = report;
	v->counts = counts;
	v->err = err;
	v->keys_purged_us = INT64_MIN;
	v->rollup = rollup_create(&schema.kinds[0]);
	v->words = words_create();
	if (v->rollup == NULL || v->words == NULL) {
		out_of_memory(v);
	} else if (named_read(book, err) == 0) {
		rollup_set_tags(v->rollup, book->tags, book->tag_count);
		status = walk(v);
	}

	for (size_t i = 0; i < v->sought_count; i++) {
		free(v->sought[i].message_id);
	}
	words_destroy(v->words);
	rollup_destroy(v->rollup);
	free(v->suspects);
	free(v->seen);
	free(v->record);
	free(v);
	return status;
}
