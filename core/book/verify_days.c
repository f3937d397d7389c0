/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Walks the sums of each dimension in the order in which they are stored, by
 * value and time, a piece of so many cells after the other; of each piece one
 * statement answers whether anything differs.  So each row is read once or
 * twice, however many days and values there are.  Where something differs, or
 * sums are so absurd that the statement fails, another one tells what, in
 * halves that cannot overflow.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>

#include "book/days.h"
#include "book/query.h"
#include "book/verify_days.h"
#include "book/words.h"
#include "common/rollup.h"

#define PIECE 20000		/* cells */
#define KEYS 4			/* value, day, provider, model_id */
#define HALF "4294967296"
#define CELL_DAY "r.cell / 96"

_Static_assert(ROLLUP_DAY == 96, "as CELL_DAY says");

/* Sums that are nearer to the end of 63 bits may stand there. */
#define ABSURD (INT64_MAX - (INT64_C(1) << 34))

/* Where a piece begins: a day of a value. */
struct place {
	struct bursar_span value;	/* kept in words */
	int64_t day;
};

struct look {
	verify_days_fn *differs;
	void   *context;
	struct words *words;
	const char *dimension;
	int64_t since;			/* its first day */
	struct place first;
	struct place end;		/* where `last` is not set */
	bool    last;			/* the piece has all that is left */
	bool    failed;			/* memory is short */
	bool    stopped;
};

static struct bursar_span span_of(const struct bursar_cell *cell)
{
	return cell->type == BURSAR_STRING
		? (struct bursar_span){ cell->data, cell->size }
		: (struct bursar_span){ "", 0 };
}

static bool is_absurd(int64_t sum)
{
	return sum > ABSURD || sum < -ABSURD;
}

static int take_sums(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct look *look = context;

	assert(count == KEYS + 4 * ROLLUP_COLUMNS);
	for (size_t i = 0; i < ROLLUP_COLUMNS && !look->stopped; i++) {
		const struct verify_place place = {
			.check = VERIFY_DAY,
			.dimension = look->dimension,
			.value = span_of(&cells[0]),
			.cell = book_get(&cells[1]) * ROLLUP_DAY,
			.provider = span_of(&cells[2]),
			.model_id = span_of(&cells[3]),
			.column = rollup_columns[i],
			.stored = query_join(&cells[KEYS + 4 * i]),
			.computed = query_join(&cells[KEYS + 4 * i + 2]),
		};

		if (place.stored != place.computed &&
		    !(is_absurd(place.stored) && is_absurd(place.computed))) {
			look->stopped = !look->differs(look->context, &place);
		}
	}
	return look->stopped;
}

/* --- one piece ------------------------------------------------------------ */

/* "(r.value, r.cell) >= ($1, $2)"; a day is `length` of that piece of time. */
static void add_place(struct book_statement *st, const char *value,
                      const char *time, const char *order,
                      const struct place *place, int64_t length)
{
	book_add(st, " AND (%s, %s) %s (", value, time, order);
	book_add_value(st, book_bytes(place->value.data, place->value.size));
	book_add(st, ", ");
	book_add_value(st, book_int(place->day * length));
	book_add(st, ")");
}

/* FROM the sums of the dimension from the beginning of the piece on. */
static void add_from(struct book_statement *st, const struct look *look,
                     bool of_cells)
{
	book_add(st, " FROM %s r WHERE r.dimension = '%s'",
	         of_cells ? "rollup_cells" : "rollup_days", look->dimension);
	add_place(st, "r.value", of_cells ? "r.cell" : "r.day", ">=",
	          &look->first, of_cells ? ROLLUP_DAY : 1);
}

/* The same for the whole piece, days that are closed. */
static void add_piece(struct book_statement *st, const struct look *look,
                      bool of_cells)
{
	add_from(st, look, of_cells);
	if (!look->last) {
		add_place(st, "r.value", of_cells ? "r.cell" : "r.day", "<",
		          &look->end, of_cells ? ROLLUP_DAY : 1);
	}
	book_add(st, " AND %s IN (SELECT c.day FROM rollup_closed c "
	         "WHERE c.summed = " DAYS_SUMMED " AND c.day >= ",
	         of_cells ? CELL_DAY : "r.day");
	book_add_value(st, book_int(look->since));
	book_add(st, ")");
}

/* Of the piece alone: PostgreSQL may read all that it is not told to leave. */
static void add_join(struct book_statement *st, const struct look *look)
{
	book_add(st, " LEFT JOIN rollup_days d ON d.dimension = '%s' "
	         "AND d.value = g.value AND d.day = g.day "
	         "AND d.provider = g.provider AND d.model_id = g.model_id",
	         look->dimension);
	add_place(st, "d.value", "d.day", ">=", &look->first, 1);
	if (!look->last) {
		add_place(st, "d.value", "d.day", "<", &look->end, 1);
	}
}

static int take_any(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	bool *any = context;

	assert(count == 4);
	*any = book_get(&cells[0]) != book_get(&cells[1]) ||
	       book_get(&cells[1]) != book_get(&cells[2]) ||
	       book_get(&cells[3]) != 0;
	return 1;
}

/* The sums of the cells, how many; of how many days there are sums; how many
 * days there are at all; and how many differ. */
static int find_any(struct book *book, const struct look *look, bool *any,
                    struct bursar_error *err)
{
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "SELECT COUNT(*), COUNT(d.day), (SELECT COUNT(*)");
	add_piece(&st, look, false);
	book_add(&st, "), COALESCE(SUM(CASE WHEN ");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		book_add(&st, "%sd.%s <> g.c%zu", i > 0 ? " OR " : "",
		         rollup_columns[i], i);
	}
	book_add(&st, " THEN 1 ELSE 0 END), 0) FROM (SELECT r.value AS value, "
	         CELL_DAY " AS day, r.provider AS provider, "
	         "r.model_id AS model_id");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		book_add(&st, ", SUM(r.%s) AS c%zu", rollup_columns[i], i);
	}
	add_piece(&st, look, true);
	book_add(&st, " GROUP BY r.value, " CELL_DAY ", r.provider, "
	         "r.model_id) g");
	add_join(&st, look);
	return book_ask(book, &st, take_any, any, err);
}

/* The sums of the days with zeros in place of those of cells, or the other way
 * round. */
static void add_part(struct book_statement *st, const struct look *look,
                     bool of_cells)
{
	book_add(st, "SELECT r.value AS value, %s AS day, "
	         "r.provider AS provider, r.model_id AS model_id",
	         of_cells ? CELL_DAY : "r.day");
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		const char *sum = rollup_columns[i];

		book_add(st, ", %s%s AS s%zu, %s%s AS c%zu",
		         of_cells ? "" : "r.", of_cells ? "0" : sum, i,
		         of_cells ? "r." : "", of_cells ? sum : "0", i);
	}
	add_piece(st, look, of_cells);
}

static int tell_all(struct book *book, struct look *look,
                    struct bursar_error *err)
{
	static const char sums[] = "sc";
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "SELECT value, day, provider, model_id");
	for (size_t i = 0; i < (size_t)2 * ROLLUP_COLUMNS; i++) {
		book_add(&st, ", CAST(SUM(%c%zu / " HALF ") AS BIGINT), "
		         "CAST(SUM(%c%zu %% " HALF ") AS BIGINT)",
		         sums[i % 2], i / 2, sums[i % 2], i / 2);
	}
	book_add(&st, " FROM (");
	add_part(&st, look, false);
	book_add(&st, " UNION ALL ");
	add_part(&st, look, true);
	book_add(&st, ") q GROUP BY value, day, provider, model_id");
	return book_ask(book, &st, take_sums, look, err);
}

static int compare_piece(struct book *book, struct look *look,
                         struct bursar_error *err)
{
	struct bursar_error absurd = { 0 };
	bool any = false;

	return find_any(book, look, &any, &absurd) == 0 && !any ? 0
		: tell_all(book, look, err);
}

/* --- piece by piece ------------------------------------------------------- */

static int take_end(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct look *look = context;

	assert(count == 2);
	look->end.value = words_keep(look->words, cells[0].data,
	                             cells[0].size);
	look->end.day = book_get(&cells[1]) / ROLLUP_DAY + 1;
	look->last = false;
	look->failed = look->end.value.data == NULL;
	return 1;
}

/* The piece ends with the day of its last cell, so that it has whole days. */
static int find_end(struct book *book, struct look *look,
                    struct bursar_error *err)
{
	struct book_statement st;

	look->last = true;
	book_begin(&st);
	book_add(&st, "SELECT r.value, r.cell");
	add_from(&st, look, true);
	book_add(&st, " ORDER BY r.value, r.cell LIMIT 1 OFFSET %d", PIECE);
	if (book_ask(book, &st, take_end, look, err) != 0) {
		return -1;
	}
	return look->failed ? bursar_fail(err, ENOMEM, "out of memory") : 0;
}

static int compare_dimension(struct book *book, struct look *look,
                             const char *dimension, int64_t since,
                             struct bursar_error *err)
{
	look->dimension = dimension;
	look->since = since;
	look->first = (struct place){ { "", 0 }, INT64_MIN / ROLLUP_DAY };
	do {
		if (find_end(book, look, err) != 0 ||
		    compare_piece(book, look, err) != 0) {
			return -1;
		}
		look->first = look->end;
	} while (!look->last && !look->stopped);
	words_clear(look->words);
	return 0;
}

static int compare_all(struct book *book, struct look *look,
                       struct bursar_error *err)
{
	int status = 0;

	for (const struct rollup_dimension *d = rollup_dimensions;
	     d->name != NULL && !look->stopped && status == 0; d++) {
		status = compare_dimension(book, look, d->name, INT64_MIN, err);
	}
	for (size_t i = 0; i < book->tag_count && !look->stopped &&
	     status == 0; i++) {
		const struct rollup_tag *tag = &book->tags[i];

		status = compare_dimension(book, look, tag->name,
			(tag->since + ROLLUP_DAY - 1) / ROLLUP_DAY, err);
	}
	return status;
}

static int count_closed(struct book *book, uint64_t *days,
                        struct bursar_error *err)
{
	int64_t closed = 0;
	bool known;
	const int status = book_number(book, "SELECT COUNT(*) "
		"FROM rollup_closed WHERE summed = " DAYS_SUMMED, NULL, 0,
		&closed, &known, err);

	*days = (uint64_t)closed;
	return status;
}

int verify_days(struct book *book, verify_days_fn *differs, void *context,
                uint64_t *compared, struct bursar_error *err)
{
	struct look look = { .differs = differs, .context = context };
	uint64_t days = 0;
	int status = count_closed(book, &days, err);

	if (status != 0 || days == 0) {
		return status;
	}
	look.words = words_create();
	status = look.words != NULL ? compare_all(book, &look, err)
		: bursar_fail(err, ENOMEM, "out of memory");
	if (status == 0 && !look.stopped) {
		*compared = days;
	}
	words_destroy(look.words);
	return status;
}
