/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A page of rows is read whole and copied, opened, sealed, and written in one
 * statement.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/reseal.h"
#include "common/columns.h"
#include "flow/identity.h"

#define PAGE       40u			/* rows, at most */
#define PAGE_BYTES ((size_t)4 << 20)	/* ... or one */

_Static_assert(PAGE * (4 + BODIES_MAX) + 2 <= BOOK_MAX_PARAMETERS,
               "a page fits into one statement");

/* One row, as it stands and then as it shall stand. */
struct row {
	int64_t id;
	int64_t old_hash;
	bool    was_sealed;
	bool    ready;
	struct bursar_record *record;
};

struct state {
	const struct reseal  *reseal;
	struct reseal_counts *counts;
	struct bursar_error  *err;
	struct arena arena;		/* of one page */
	struct arena scratch;
	char       key[BODIES_KEY_MAX + 1];	/* the present one */
	struct row rows[PAGE];
	size_t     count;
	size_t     bytes;
	bool       full;		/* more rows were there */
	int64_t    last_id;
	uint64_t   written;
};

/* --- statements ---------------------------------------------------------- */

static void begin_page(struct state *s)
{
	arena_clear(&s->arena);
	s->count = 0;
	s->bytes = 0;
	s->full = false;
}

/* One that is busy is tried again for some seconds: rows may come, and come
 * again.  `begin` (NULL: nothing to do) is called before each try. */
static int ask(struct state *s, const struct book_statement *st,
               void (*begin)(struct state *s), bursar_row_fn *row)
{
	const struct book *book = s->reseal->book;
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct bursar_error why;

	for (int i = 0; i < BOOK_TRIES && verdict == BURSAR_RETRY; i++) {
		if (i > 0) {
			book_pause();
		}
		if (begin != NULL) {
			begin(s);
		}
		why = (struct bursar_error){ 0 };
		verdict = book->ops->sql(book->sink, st->text, st->parameters,
		                         st->count, row, s, &why);
	}
	return verdict == BURSAR_DONE ? 0
		: book_blame(book, verdict, &why, s->err);
}

static bool is_body(const struct bursar_kind *kind, size_t field)
{
	return (kind->fields[field].flags & BURSAR_FIELD_BODY) != 0;
}

/* " WHERE ...": what lies otherwise than it should. */
static void add_wanted(struct book_statement *st, const struct bursar_kind *kind,
                       const char *key)
{
	const char *between = "";

	book_add(st, " WHERE (sealed_by <> ");
	book_add_value(st, book_text(key));
	book_add(st, " OR (sealed_by IS NULL AND (");
	for (size_t i = 0; i < kind->field_count; i++) {
		if (is_body(kind, i)) {
			book_add(st, "%s%s IS NOT NULL", between,
			         kind->fields[i].name);
			between = " OR ";
		}
	}
	book_add(st, ")))");
}

/* --- reading a page ------------------------------------------------------ */

static int no_memory(struct state *s)
{
	return bursar_fail(s->err, ENOMEM, "out of memory");
}

static bool copy_row(struct state *s, const struct bursar_cell *cells,
                     struct row *row)
{
	const struct bursar_kind *kind = s->reseal->kind;
	struct bursar_record *record = arena_alloc(&s->arena,
		sizeof(*record) + kind->field_count *
		sizeof(record->values[0]));

	if (record == NULL) {
		return false;
	}
	memset(record, 0, sizeof(*record));
	record->kind = kind;
	for (size_t i = 0; i < kind->field_count; i++) {
		struct bursar_value value = book_value(&kind->fields[i],
		                                       &cells[i]);

		if (value.is_set && cells[i].type == BURSAR_STRING) {
			char *text = arena_alloc(&s->arena, value.size);

			if (text == NULL) {
				return false;
			}
			if (value.size > 0) {
				memcpy(text, value.text, value.size);
			}
			value.text = text;
			s->bytes += value.size;
		}
		record->values[i] = value;
	}
	*row = (struct row){ .id = row->id, .record = record };
	return true;
}

static int take_row(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct state *s = context;
	struct row *row = &s->rows[s->count];

	assert(count == s->reseal->kind->field_count + 1 && s->count < PAGE);
	if (s->count > 0 && s->bytes >= PAGE_BYTES) {
		s->full = true;
		return 1;
	}
	row->id = book_get(&cells[0]);
	if (!copy_row(s, cells + 1, row)) {
		no_memory(s);
		return 1;
	}
	s->count++;
	return 0;
}

static int read_page(struct state *s)
{
	const struct bursar_kind *kind = s->reseal->kind;
	char name[COLUMNS_NAME_MAX];
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "SELECT id");
	for (size_t i = 0; i < kind->field_count; i++) {
		book_add(&st, ", %s", columns_stored(&kind->fields[i], name));
	}
	book_add(&st, " FROM %s", kind->table);
	add_wanted(&st, kind, s->key);
	book_add(&st, " AND id > ");
	book_add_value(&st, book_int(s->last_id));
	book_add(&st, " ORDER BY id LIMIT %u", PAGE);
	if (ask(s, &st, begin_page, take_row) != 0 || s->err->code != 0) {
		return -1;
	}
	if (s->count > 0) {
		s->last_id = s->rows[s->count - 1].id;
	}
	s->full |= s->count == PAGE;
	return 0;
}

/* --- one row ------------------------------------------------------------- */

static struct bursar_span span_of(const struct bursar_record *record, int field)
{
	return record->values[field].is_set
		? (struct bursar_span){ record->values[field].text,
		                        record->values[field].size }
		: (struct bursar_span){ NULL, 0 };
}

/* Whether the row is what was stored; -1: memory is short. */
static int is_intact(struct row *row)
{
	const struct bursar_value *values = row->record->values;
	int64_t hash = identity_row_hash(row->record);

	if (!values[BURSAR_ROW_HASH].is_set) {
		return 0;
	}
	row->old_hash = values[BURSAR_ROW_HASH].number;
	if (hash == row->old_hash) {
		return 1;
	}
	if ((values[BURSAR_DQ_FLAGS].number & BURSAR_DQ_ID_DERIVED) == 0 ||
	    !values[BURSAR_MESSAGE_ID].is_set) {
		return 0;
	}
	return !identity_row_hash_as_first(row->record, &hash) ? -1
		: hash == row->old_hash;
}

static void note_closed(struct state *s, struct bursar_span key,
                        const struct bursar_error *why)
{
	if (s->counts->closed++ == 0) {
		snprintf(s->counts->key, sizeof(s->counts->key), "%.*s",
		         (int)key.size, key.data);
		s->counts->why = *why;
	}
}

/* Puts the clear texts into the record.  False: it stays as it is, or *err. */
static bool open_row(struct state *s, struct row *row)
{
	struct bursar_record *record = row->record;
	const struct opener_row place = {
		.kind = record->kind, .id = span_of(record, BURSAR_MESSAGE_ID),
		.dq_flags = record->values[BURSAR_DQ_FLAGS].number,
		.sealed_by = span_of(record, BURSAR_SEALED_BY),
	};
	struct opener_body bodies[BODIES_MAX];
	size_t fields[BODIES_MAX];
	struct bursar_error why = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < record->kind->field_count; i++) {
		if (is_body(record->kind, i) && record->values[i].is_set) {
			assert(count < BODIES_MAX);
			bodies[count] = (struct opener_body){
				&record->kind->fields[i],
				span_of(record, (int)i), 0,
			};
			fields[count++] = i;
		}
	}
	if (opener_open(s->reseal->opener, &place, bodies, count, &s->arena,
	                &why, s->err) != 0) {
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (bodies[i].result != OPENED) {
			note_closed(s, place.sealed_by, &why);
			return false;
		}
		bursar_set_text(record, (int)fields[i], bodies[i].text.data,
		                bodies[i].text.size);
	}
	return true;
}

/* Sets row->ready, or counts why not.  -1 with *err: it cannot go on. */
static int prepare_row(struct state *s, struct row *row)
{
	struct bursar_error why = { 0 };
	const int intact = is_intact(row);

	if (intact < 0) {
		return no_memory(s);
	}
	if (intact == 0) {
		s->counts->changed++;
		return 0;
	}
	row->was_sealed = row->record->values[BURSAR_SEALED_BY].is_set;
	if (row->was_sealed && !open_row(s, row)) {
		return s->err->code != 0 ? -1 : 0;
	}
	switch (bodies_seal(s->reseal->keyring, row->record, &s->arena,
	                    &s->scratch, &why)) {
	case BURSAR_DONE:
		row->ready = true;
		return 0;
	case BURSAR_REJECT:
		s->counts->too_long++;
		return 0;
	default:
		return bursar_fail(s->err, why.code != 0 ? why.code : EAGAIN,
		                   "crypto '%s' cannot seal now: %.160s; what "
		                   "is done is done, try again",
		                   s->reseal->keyring->name, why.text);
	}
}

/* --- writing a page ------------------------------------------------------ */

static struct bursar_cell cell_of(const struct bursar_record *record,
                                  size_t field)
{
	const struct bursar_value *value = &record->values[field];

	return value->is_set ? book_bytes(value->text, value->size)
	                     : (struct bursar_cell){ .type = BURSAR_NULL };
}

static void add_row(struct book_statement *st, const struct row *row)
{
	const struct bursar_record *record = row->record;

	book_add_value(st, book_int(row->id));
	book_add(st, ", ");
	book_add_value(st, book_int(row->old_hash));
	book_add(st, ", ");
	book_add_value(st, book_int(record->values[BURSAR_ROW_HASH].number));
	book_add(st, ", ");
	book_add_value(st, cell_of(record, BURSAR_SEALED_BY));
	for (size_t i = 0; i < record->kind->field_count; i++) {
		if (is_body(record->kind, i)) {
			book_add(st, ", ");
			book_add_value(st, cell_of(record, i));
		}
	}
}

/* The ids are there twice, so that a server looks into few partitions. */
static void write_update(const struct state *s, struct book_statement *st)
{
	const struct bursar_kind *kind = s->reseal->kind;
	const char *between = "";

	book_begin(st);
	book_add(st, "WITH v(row_id, old_hash, row_hash, sealed_by");
	for (size_t i = 0; i < kind->field_count; i++) {
		if (is_body(kind, i)) {
			book_add(st, ", %s", kind->fields[i].name);
		}
	}
	book_add(st, ") AS (VALUES ");
	for (size_t i = 0; i < s->count; i++) {
		if (s->rows[i].ready) {
			book_add(st, "%s(", between);
			add_row(st, &s->rows[i]);
			book_add(st, ")");
			between = ", ";
		}
	}
	book_add(st, ") UPDATE %s SET row_hash = v.row_hash, "
	         "sealed_by = v.sealed_by", kind->table);
	for (size_t i = 0; i < kind->field_count; i++) {
		if (is_body(kind, i)) {
			book_add(st, ", %s = v.%s", kind->fields[i].name,
			         kind->fields[i].name);
		}
	}
	book_add(st, " FROM v WHERE %s.id = v.row_id AND %s.row_hash = v.old_hash "
	         "AND %s.id >= ", kind->table, kind->table, kind->table);
	book_add_value(st, book_int(s->rows[0].id));
	book_add(st, " AND %s.id <= ", kind->table);
	book_add_value(st, book_int(s->rows[s->count - 1].id));
	book_add(st, " RETURNING id");
}

static int take_written(void *context, const struct bursar_cell *cells,
                        size_t count)
{
	struct state *s = context;
	const int64_t id = book_get(&cells[0]);

	assert(count == 1);
	for (size_t i = 0; i < s->count; i++) {
		struct row *row = &s->rows[i];

		if (row->id == id && row->ready) {
			s->counts->sealed += !row->was_sealed;
			s->counts->resealed += row->was_sealed;
			row->ready = false;
		}
	}
	return 0;
}

static int write_page(struct state *s)
{
	struct book_statement st;
	bool any = false;

	for (size_t i = 0; i < s->count; i++) {
		any |= s->rows[i].ready;
	}
	if (!any) {
		return 0;
	}
	write_update(s, &st);
	if (ask(s, &st, NULL, take_written) != 0) {
		return -1;
	}
	for (size_t i = 0; i < s->count; i++) {
		s->counts->passed += s->rows[i].ready;
	}
	return 0;
}

/* --- all of it ----------------------------------------------------------- */

/* Without a name, what lies under the key cannot be told from the rest. */
static int find_key(const struct reseal *reseal, char key[BODIES_KEY_MAX + 1],
                    struct bursar_error *err)
{
	struct bursar_error why = { 0 };

	if (bodies_key(reseal->keyring, key, &why) != BURSAR_DONE) {
		return bursar_fail(err, why.code != 0 ? why.code : EAGAIN,
		                   "crypto '%s' cannot seal now: %.180s",
		                   reseal->keyring->name, why.text);
	}
	return 0;
}

static bool may_go_on(const struct state *s)
{
	const struct reseal *reseal = s->reseal;

	return reseal->go_on == NULL || reseal->go_on(reseal->context,
	                                              s->counts);
}

static int run_page(struct state *s)
{
	int status = read_page(s);

	for (size_t i = 0; i < s->count && status == 0; i++) {
		status = prepare_row(s, &s->rows[i]);
	}
	return status == 0 ? write_page(s) : status;
}

int reseal_run(const struct reseal *reseal, struct reseal_counts *counts,
               struct bursar_error *err)
{
	struct state *s = calloc(1, sizeof(*s));
	int status;

	memset(counts, 0, sizeof(*counts));
	if (s == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	s->reseal = reseal;
	s->counts = counts;
	s->err = err;
	s->last_id = INT64_MIN;
	s->full = true;
	arena_init(&s->arena);
	arena_init(&s->scratch);
	status = find_key(reseal, s->key, err);
	while (status == 0 && s->full && may_go_on(s)) {
		status = run_page(s);
	}
	arena_clear(&s->arena);
	arena_clear(&s->scratch);
	free(s);
	return status;
}

struct counting {
	reseal_key_fn *each;
	void          *context;
};

static int take_count(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	const struct counting *counting = context;
	const bool named = cells[0].type == BURSAR_STRING;

	assert(count == 2);
	counting->each(counting->context, (struct bursar_span){
		named ? cells[0].data : NULL, named ? cells[0].size : 0,
	}, book_get(&cells[1]));
	return 0;
}

int reseal_count(const struct reseal *reseal, reseal_key_fn *each,
                 void *context, struct bursar_error *err)
{
	struct counting counting = { each, context };
	char key[BODIES_KEY_MAX + 1];
	struct book_statement st;

	if (find_key(reseal, key, err) != 0) {
		return -1;
	}
	book_begin(&st);
	book_add(&st, "SELECT sealed_by, COUNT(*) FROM %s",
	         reseal->kind->table);
	add_wanted(&st, reseal->kind, key);
	book_add(&st, " GROUP BY sealed_by ORDER BY sealed_by");
	return book_ask(reseal->book, &st, take_count, &counting, err);
}
