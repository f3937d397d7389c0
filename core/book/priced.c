/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>

#include "book/priced.h"
#include "common/columns.h"
#include "flow/identity.h"

enum {
	ID, MESSAGE_ID, SOURCE, PROVIDER, MODEL, MODE, AT, COST, REPORTED,
	COMPUTED, BOOK, RULE, FIRST_COUNT,
	FIRST_VALUE = FIRST_COUNT + PRICE_COUNTS
};

static const char columns[] =
	"SELECT id, message_id, source, provider, model_id, pricing_mode, "
	"recorded_us, cost_nano, cost_reported_nano, cost_computed_nano, "
	"price_book, price_rule";

struct reading {
	priced_fn *each;
	void      *context;
};

static struct bursar_span text_of(const struct bursar_cell *cell)
{
	return cell->type == BURSAR_STRING
		? (struct bursar_span){ cell->data, cell->size }
		: (struct bursar_span){ NULL, 0 };
}

static struct bursar_span text_or_empty(const struct bursar_cell *cell)
{
	const struct bursar_span text = text_of(cell);

	return text.data != NULL ? text : (struct bursar_span){ "", 0 };
}

static struct priced_cost cost_of(const struct bursar_cell *cell)
{
	return (struct priced_cost){ book_get(cell),
	                             cell->type == BURSAR_INTEGER };
}

static void read_question(const struct bursar_cell *cells,
                          struct price_question *q)
{
	q->provider = text_or_empty(&cells[PROVIDER]);
	q->model = text_or_empty(&cells[MODEL]);
	q->mode = text_or_empty(&cells[MODE]);
	q->at_us = book_get(&cells[AT]);
	q->usage.known = 0;
	for (int i = 0; i < PRICE_COUNTS; i++) {
		const struct bursar_cell *cell = &cells[FIRST_COUNT + i];

		if (cell->type == BURSAR_INTEGER) {
			price_usage_set(&q->usage, (enum price_count)i,
			                cell->integer);
		}
	}
}

static int read_row(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	const struct reading *reading = context;
	struct priced fact = {
		.id = book_get(&cells[ID]),
		.message_id = text_of(&cells[MESSAGE_ID]),
		.source = text_or_empty(&cells[SOURCE]),
		.cost = cost_of(&cells[COST]),
		.reported = cost_of(&cells[REPORTED]),
		.computed = cost_of(&cells[COMPUTED]),
		.book = text_of(&cells[BOOK]),
		.rule = text_of(&cells[RULE]),
	};

	read_question(cells, &fact.question);
	for (size_t i = FIRST_VALUE; i < count; i++) {
		fact.values[i - FIRST_VALUE] = text_or_empty(&cells[i]);
	}
	return reading->each(reading->context, &fact);
}

static void add_columns(struct book_statement *s)
{
	book_add(s, "%s", columns);
	for (int i = 0; i < PRICE_COUNTS; i++) {
		book_add(s, ", %s", price_count_fields[i]);
	}
	for (size_t i = 0; rollup_dimensions[i].name != NULL; i++) {
		assert(i < PRICED_DIMENSIONS);
		book_add(s, ", %s", rollup_dimensions[i].field != NULL
		         ? rollup_dimensions[i].field : "NULL");
	}
	book_add(s, " FROM metering_records");
}

/* Rows stand in order of the quarter hours of their facts. */
static void add_window(struct book_statement *s, const struct window *window)
{
	if (window->since != WINDOW_OPEN_SINCE) {
		book_add(s, " AND id >= ");
		book_add_value(s, book_int(columns_cell(window->since) *
		                           (INT64_C(1) << COLUMNS_ID_SHIFT)));
		book_add(s, " AND recorded_us >= ");
		book_add_value(s, book_int(window->since));
	}
	if (window->until != WINDOW_OPEN_UNTIL) {
		book_add(s, " AND id < ");
		book_add_value(s, book_int((columns_cell(window->until) + 1) *
		                           (INT64_C(1) << COLUMNS_ID_SHIFT)));
		book_add(s, " AND recorded_us < ");
		book_add_value(s, book_int(window->until));
	}
}

int priced_each(struct book *book, const struct priced_filter *filter,
                priced_fn *each, void *context, struct bursar_error *err)
{
	struct reading reading = { each, context };
	struct book_statement s;

	book_begin(&s);
	add_columns(&s);
	book_add(&s, " WHERE id > ");
	book_add_value(&s, book_int(filter->after_id));
	add_window(&s, &filter->window);
	if (filter->message_id != NULL) {
		book_add(&s, " AND message_id = ");
		book_add_value(&s, book_text(filter->message_id));
	}
	book_add(&s, " ORDER BY id");
	if (filter->limit > 0) {
		book_add(&s, " LIMIT ");
		book_add_value(&s, book_int(filter->limit));
	}
	return book_ask(book, &s, read_row, &reading, err);
}

/* --- by id ---------------------------------------------------------------- */

#define KEY_SIZE 16u

/* The day of the key of that id; *known false: there is no such key. */
static int find_key(struct book *book, const char *id, int64_t *day,
                    bool *known, struct bursar_error *err)
{
	uint8_t key[KEY_SIZE];

	identity_key(&schema.kinds[0], id, strlen(id), key);
	const struct bursar_cell parameters[] = { {
		.type = BURSAR_BLOB, .data = (const char *)key,
		.size = sizeof(key) } };
	return book_number(book, "SELECT day FROM record_keys WHERE key = $1",
	                   parameters, 1, day, known, err);
}

struct one {
	priced_fn *each;
	void *context;
	bool  found;
};

static int take_one(void *context, const struct priced *fact)
{
	struct one *one = context;

	one->found = true;
	one->each(one->context, fact);
	return 1;
}

int priced_find(struct book *book, const struct priced_filter *filter,
                priced_fn *each, void *context, struct bursar_error *err)
{
	struct one one = { each, context, false };
	struct priced_filter part = *filter;
	int64_t purged = INT64_MIN;
	int64_t day, days = 1;
	bool known;

	assert(filter->message_id != NULL);

	if (find_key(book, filter->message_id, &day, &known, err) != 0 ||
	    book_note_read(book, BOOK_KEYS_PURGED, &purged, err) != 0) {
		return -1;
	}
	if (!known && purged == INT64_MIN) {
		return 0;
	}
	part.window.until = WINDOW_OPEN_UNTIL;
	part.window.since = known ? day * COLUMNS_DAY_US : WINDOW_OPEN_SINCE;
	for (;;) {
		if (priced_each(book, &part, take_one, &one, err) != 0) {
			return -1;
		}
		if (one.found || part.window.since == WINDOW_OPEN_SINCE) {
			return 0;
		}
		part.window.until = part.window.since;
		part.window.since = days > day ? WINDOW_OPEN_SINCE
			: part.window.since - days * COLUMNS_DAY_US;
		days *= 4;
	}
}
