/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>

#include "book/priced.h"
#include "common/columns.h"
#include "flow/identity.h"

enum {
	ID, MESSAGE_ID, SOURCE, PROVIDER, MODEL, MODE, REGION, AT, COST, REPORTED,
	COMPUTED, BOOK, RULE, FIRST_COUNT,
	FIRST_VALUE = FIRST_COUNT + PRICE_COUNTS
};

static const char columns[] =
	"SELECT id, message_id, source, provider, model_id, pricing_mode, "
	"region, recorded_us, cost_nano, cost_reported_nano, cost_computed_nano, "
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
	q->region = text_or_empty(&cells[REGION]);
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

/* Rows stand in order of the quarter hours of their facts.  One bound below:
 * of two SQLite would take the first alone, and read all that is before. */
static int64_t first_row(const struct priced_filter *filter)
{
	int64_t first = INT64_MIN;

	if (filter->window.since != WINDOW_OPEN_SINCE) {
		first = columns_cell(filter->window.since) *
		        (INT64_C(1) << COLUMNS_ID_SHIFT);
	}
	return filter->after_id < first ? first : filter->after_id + 1;
}

static void add_window(struct book_statement *s, const struct window *window)
{
	if (window->since != WINDOW_OPEN_SINCE) {
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
	book_add(&s, " WHERE id >= ");
	book_add_value(&s, book_int(first_row(filter)));
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

/* --- keys ----------------------------------------------------------------- */

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

/* --- among those that were stored at about the same time ----------------- */

#define SAMPLE 100		/* facts of before the day that are looked at */

/* Numbers of rows, the lower bits of ids, between which a fact must be. */
struct numbers {
	int64_t from;
	int64_t to;
};

static int64_t first_id(int64_t day)
{
	return day * ROLLUP_DAY * (INT64_C(1) << COLUMNS_ID_SHIFT);
}

static int64_t number_of(int64_t id)
{
	return id & ((INT64_C(1) << COLUMNS_ID_SHIFT) - 1);
}

static int take_number(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	int64_t *from = context;
	const int64_t number = number_of(book_get(&cells[0]));

	(void)count;
	*from = number > *from ? number : *from;
	return 0;
}

/*
 * Rows are numbered as they are stored: facts of the days after were stored
 * later, and some of those before it earlier.
 */
static int find_numbers(struct book *book, int64_t day,
                        struct numbers *numbers, struct bursar_error *err)
{
	const struct bursar_cell after[] = { book_int(first_id(day + 2)) };
	const struct bursar_cell before[] = {
		book_int(first_id(day)), book_int(day * COLUMNS_DAY_US),
		book_int(SAMPLE) };
	int64_t id;
	bool known;

	if (book_number(book, "SELECT MIN(id) FROM metering_records "
	                "WHERE id >= $1", after, 1, &id, &known, err) != 0) {
		return -1;
	}
	numbers->from = 0;
	numbers->to = known ? number_of(id) : number_of(-1);
	return book_run(book, "SELECT id FROM (SELECT id, inserted_us "
	                "FROM metering_records WHERE id < $1 ORDER BY id DESC "
	                "LIMIT $3) q WHERE inserted_us < $2", before, 3,
	                take_number, &numbers->from, err);
}

static int take_id(void *context, const struct bursar_cell *cells,
                   size_t count)
{
	int64_t *id = context;

	(void)count;
	*id = book_get(&cells[0]);
	return 1;
}

/* Of each quarter hour before the day the rows with these numbers, which are a
 * range of ids; -1 where it is not among them. */
static int find_row(struct book *book, const char *message_id, int64_t day,
                    const struct numbers *numbers, int64_t *id,
                    struct bursar_error *err)
{
	struct book_statement s;

	*id = -1;
	book_begin(&s);
	book_add(&s, "WITH RECURSIVE c(cell) AS (SELECT MAX(cell) "
	         "FROM rollup_cells WHERE dimension = 'all' AND value = '' "
	         "AND cell < ");
	book_add_value(&s, book_int(day * ROLLUP_DAY));
	book_add(&s, " UNION ALL SELECT (SELECT MAX(r.cell) "
	         "FROM rollup_cells r WHERE r.dimension = 'all' "
	         "AND r.value = '' AND r.cell < c.cell) FROM c "
	         "WHERE c.cell IS NOT NULL) SELECT id FROM (SELECT (SELECT m.id "
	         "FROM metering_records m WHERE m.id >= (c.cell << %d) + ",
	         COLUMNS_ID_SHIFT);
	book_add_value(&s, book_int(numbers->from));
	book_add(&s, " AND m.id <= (c.cell << %d) + ", COLUMNS_ID_SHIFT);
	book_add_value(&s, book_int(numbers->to));
	book_add(&s, " AND m.message_id = ");
	book_add_value(&s, book_text(message_id));
	book_add(&s, " LIMIT 1) AS id FROM c WHERE c.cell IS NOT NULL) q "
	         "WHERE id IS NOT NULL LIMIT 1");
	return book_ask(book, &s, take_id, id, err);
}

/* --- by id ---------------------------------------------------------------- */

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

/* Only the facts of [first, last) days of recorded_at. */
static int look_at(struct book *book, const struct priced_filter *filter,
                   int64_t first, int64_t last, struct one *one,
                   struct bursar_error *err)
{
	struct priced_filter part = *filter;

	part.window.since = first <= 0 ? WINDOW_OPEN_SINCE
		: first * COLUMNS_DAY_US;
	part.window.until = last == INT64_MAX ? WINDOW_OPEN_UNTIL
		: last * COLUMNS_DAY_US;
	return priced_each(book, &part, take_one, one, err);
}

/* What was stored on that day, and recorded long before. */
static int look_among_late(struct book *book,
                           const struct priced_filter *filter, int64_t day,
                           struct one *one, struct bursar_error *err)
{
	struct priced_filter part = *filter;
	struct numbers numbers;
	int64_t id;

	if (find_numbers(book, day, &numbers, err) != 0 ||
	    find_row(book, filter->message_id, day, &numbers, &id, err) != 0) {
		return -1;
	}
	if (id < 0) {
		return 0;
	}
	part.window = (struct window){ WINDOW_OPEN_SINCE, WINDOW_OPEN_UNTIL };
	part.after_id = id - 1;
	part.limit = 1;
	return priced_each(book, &part, take_one, one, err);
}

/* Ever further back from that day, then what is after it. */
static int look_everywhere(struct book *book,
                           const struct priced_filter *filter, int64_t day,
                           struct one *one, struct bursar_error *err)
{
	int64_t last = day;

	for (int64_t days = 1; last > 0 && !one->found; days *= 4) {
		if (look_at(book, filter, last - days, last, one, err) != 0) {
			return -1;
		}
		last -= days;
	}
	return one->found ? 0
		: look_at(book, filter, day + 2, INT64_MAX, one, err);
}

int priced_find(struct book *book, const struct priced_filter *filter,
                priced_fn *each, void *context, struct bursar_error *err)
{
	struct one one = { each, context, false };
	int64_t purged = INT64_MIN;
	int64_t day;
	bool known;

	assert(filter->message_id != NULL);

	if (find_key(book, filter->message_id, &day, &known, err) != 0 ||
	    book_note_read(book, BOOK_KEYS_PURGED, &purged, err) != 0) {
		return -1;
	}
	if (!known) {
		return purged == INT64_MIN ? 0
			: look_at(book, filter, 0, INT64_MAX, &one, err);
	}
	if (look_at(book, filter, day, day + 2, &one, err) != 0 ||
	    (!one.found &&
	     look_among_late(book, filter, day, &one, err) != 0)) {
		return -1;
	}
	return one.found ? 0 : look_everywhere(book, filter, day, &one, err);
}
