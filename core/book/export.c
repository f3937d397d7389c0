/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two statements a page: the ids with their keys and checks, then the rows.
 *
 * So the rows are never copied, and no statement runs inside another.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/export.h"
#include "common/columns.h"
#include "common/holds.h"
#include "flow/identity.h"

#define PAGE     500u
#define KEY_SIZE 16u

struct head {
	int64_t id;
	uint8_t key[KEY_SIZE];
	int64_t check;
	bool    has_check;
};

struct state {
	struct book *book;
	const struct export *export;
	char *held;		/* condition of what is; NULL: nothing is */
	export_row_fn *row;
	void    *context;
	int64_t  last_id;
	struct head heads[PAGE];	/* in order of id */
	size_t   count;
	size_t   next;			/* head of the next row */
	bool     stop;
};

static struct bursar_cell shifted(int64_t block)
{
	return book_int(block * (INT64_C(1) << COLUMNS_ID_SHIFT));
}

size_t export_fields(const struct export *export,
                     const struct bursar_field **fields, size_t room)
{
	size_t count = 0;

	for (size_t i = 0; i < export->kind->field_count; i++) {
		const struct bursar_field *field = &export->kind->fields[i];

		if (export->bodies || (field->flags & BURSAR_FIELD_BODY) == 0) {
			assert(count < room);
			fields[count++] = field;
		}
	}
	return count;
}

/* --- which records ------------------------------------------------------- */

static bool has_since(const struct export *export)
{
	return export->window.since != WINDOW_OPEN_SINCE;
}

static bool has_until(const struct export *export)
{
	return export->window.until != WINDOW_OPEN_UNTIL;
}

static void add_window(struct book_statement *st, const struct export *export,
                       const char *held)
{
	if (has_since(export)) {
		book_add(st, " AND recorded_us >= ");
		book_add_value(st, book_int(export->window.since));
	}
	if (has_until(export)) {
		book_add(st, " AND recorded_us < ");
		book_add_value(st, book_int(export->window.until));
	}
	if (!export->kind->fact) {
		book_add(st, " AND (expires_us IS NULL OR expires_us > ");
		book_add_value(st, book_int(export->now));
		if (held != NULL) {
			book_add(st, " OR %s", held);
		}
		book_add(st, ")");
	}
}

/* The last id before all that may be in the window. */
static int64_t before_first(const struct export *export)
{
	int64_t block = -COLUMNS_NEVER;

	if (!export->kind->fact) {
		block = export->now / COLUMNS_DAY_US;
	} else if (has_since(export) && export->window.since > 0) {
		block = columns_cell(export->window.since);
	}
	return (block > COLUMNS_NEVER ? COLUMNS_NEVER : block) *
	       (INT64_C(1) << COLUMNS_ID_SHIFT) - 1;
}

static int take_head(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct state *state = context;
	struct head *head = &state->heads[state->count++];

	assert(count == 2 && state->count <= PAGE);
	*head = (struct head){ .id = book_get(&cells[0]) };
	if (cells[1].type == BURSAR_STRING) {
		identity_key(state->export->kind, cells[1].data, cells[1].size,
		             head->key);
	}
	return 0;
}

static int read_heads(struct state *state, struct bursar_error *err)
{
	const struct export *export = state->export;
	struct book_statement st;

	state->count = 0;
	book_begin(&st);
	book_add(&st, "SELECT id, message_id FROM %s WHERE id > ",
	         export->kind->table);
	book_add_value(&st, book_int(state->last_id));
	if (export->kind->fact && has_until(export)) {
		const int64_t last = columns_cell(export->window.until) + 1;

		book_add(&st, " AND id < ");
		book_add_value(&st, shifted(last > COLUMNS_NEVER
		                            ? COLUMNS_NEVER : last));
	}
	add_window(&st, export, state->held);
	book_add(&st, " ORDER BY id LIMIT %u", PAGE);
	return book_ask(state->book, &st, take_head, state, err);
}

static int take_check(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	struct state *state = context;

	assert(count == 2);
	for (size_t i = 0; i < state->count; i++) {
		struct head *head = &state->heads[i];

		if (cells[0].size == KEY_SIZE &&
		    memcmp(cells[0].data, head->key, KEY_SIZE) == 0) {
			head->check = book_get(&cells[1]);
			head->has_check = true;
		}
	}
	return 0;
}

static int read_checks(struct state *state, struct bursar_error *err)
{
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "SELECT key, content_check FROM record_keys "
	         "WHERE key IN (");
	for (size_t i = 0; i < PAGE; i++) {
		const struct head *head =
			&state->heads[i < state->count ? i : 0];

		book_add(&st, i == 0 ? "" : ", ");
		book_add_value(&st, (struct bursar_cell){
			.type = BURSAR_BLOB, .data = (const char *)head->key,
			.size = KEY_SIZE });
	}
	book_add(&st, ")");
	return book_ask(state->book, &st, take_check, state, err);
}

/* --- the records --------------------------------------------------------- */

static int take_row(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct state *state = context;
	const int64_t id = book_get(&cells[0]);

	assert(count > 1);
	while (state->next < state->count && state->heads[state->next].id < id) {
		state->next++;
	}
	if (state->next == state->count || state->heads[state->next].id != id) {
		return 0;
	}
	const struct head *head = &state->heads[state->next];
	struct export_row row = {
		.content_check = head->check,
		.has_check = head->has_check,
		.cells = cells + 1,
	};
	memcpy(row.key, head->key, KEY_SIZE);
	state->stop = state->row(state->context, &row) != 0;
	return state->stop;
}

static int read_rows(struct state *state, struct bursar_error *err)
{
	const struct bursar_field *fields[EXPORT_MAX_FIELDS];
	char name[COLUMNS_NAME_MAX];
	struct book_statement st;

	const size_t count = export_fields(state->export, fields,
	                                   EXPORT_MAX_FIELDS);
	book_begin(&st);
	book_add(&st, "SELECT id");
	for (size_t i = 0; i < count; i++) {
		book_add(&st, ", %s", columns_stored(fields[i], name));
	}
	book_add(&st, " FROM %s WHERE id >= ", state->export->kind->table);
	book_add_value(&st, book_int(state->heads[0].id));
	book_add(&st, " AND id <= ");
	book_add_value(&st, book_int(state->heads[state->count - 1].id));
	add_window(&st, state->export, state->held);
	book_add(&st, " ORDER BY id");
	state->next = 0;
	return book_ask(state->book, &st, take_row, state, err);
}

/* What is held is there to be read, however long ago it expired. */
static int find_held(struct state *state, struct bursar_error *err)
{
	const struct bursar_kind *kind = state->export->kind;
	int64_t holds = 0;
	bool known;

	if (kind->fact) {
		return 0;
	}
	if (book_number(state->book, "SELECT COUNT(*) FROM bursar_holds "
	                "WHERE released_us IS NULL", NULL, 0, &holds, &known,
	                err) != 0) {
		return -1;
	}
	if (holds > 0) {
		state->held = holds_condition(kind, kind->table, INT64_MAX);
		state->last_id = INT64_MIN;
		return state->held != NULL ? 0
			: bursar_fail(err, ENOMEM, "out of memory");
	}
	return 0;
}

int export_run(struct book *book, const struct export *export,
               export_row_fn *row, void *context, struct bursar_error *err)
{
	struct state *state = calloc(1, sizeof(*state));
	int status = 0;

	if (state == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	*state = (struct state){ .book = book, .export = export, .row = row,
		.context = context, .last_id = before_first(export),
		.count = PAGE };
	status = find_held(state, err);
	while (status == 0 && state->count == PAGE && !state->stop) {
		status = read_heads(state, err);
		if (status != 0 || state->count == 0) {
			break;
		}
		status = read_checks(state, err);
		if (status == 0) {
			status = read_rows(state, err);
		}
		state->last_id = state->heads[state->count - 1].id;
	}
	free(state->held);
	free(state);
	return status;
}
