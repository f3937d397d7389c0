/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One question, one statement.
 *
 * The window falls into up to three parts that do not overlap: the records
 * before its first whole cell, its whole cells, the records behind its last
 * whole cell.  Each part is summed by the same keys, and the sums are summed.
 * A part of records is a range of ids, whose high bits are the cell.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/query.h"
#include "common/columns.h"

/* A window in whole microseconds that ids can say. */
struct bounds {
	int64_t since;
	int64_t until;
	bool    open;	/* nothing is outside */
};

/* Where the sums come from. */
struct plan {
	const struct query *query;
	const struct rollup_dimension *dimension;	/* NULL: from records */
	struct bounds bounds;
	int64_t first;		/* whole cells [first, last) */
	int64_t last;
	bool    skip;		/* go from value to value of the dimension */
	bool    wide;		/* sum in halves that cannot overflow */
};

/* What is summed of a value: all of it, or a half of its bits. */
enum piece { WHOLE, HIGH, LOW };

#define HALF INT64_C(4294967296)

static const struct bursar_kind *facts(void)
{
	return &schema.kinds[0];
}

/* --- fields -------------------------------------------------------------- */

const char *query_field(const char *word, struct bursar_error *err)
{
	const struct rollup_dimension *d = rollup_dimensions;

	assert(facts()->fact);
	for (; d->name != NULL; d++) {
		if (d->field != NULL && strcmp(d->name, word) == 0) {
			return d->field;
		}
	}
	const int field = bursar_field_find(facts(), word);
	if (field >= 0 && facts()->fields[field].type == BURSAR_TEXT) {
		return facts()->fields[field].name;
	}
	bursar_fail(err, EINVAL, "cannot group by '%.40s': use provider, "
	            "model_id, worker, node, agent, tier, request_type, "
	            "cost_center, budget_id, team or another text column of "
	            "%s", word, facts()->table);
	return NULL;
}

/* Whether every cell of the rollups holds it, whatever the dimension. */
static bool in_every_cell(const char *field)
{
	return strcmp(field, "provider") == 0 || strcmp(field, "model_id") == 0;
}

/* --- the plan ------------------------------------------------------------ */

/* Notes that the dimension must have the field; false: none has both. */
static bool need(const char **needed, const char *field)
{
	if (in_every_cell(field)) {
		return true;
	}
	if (*needed != NULL && strcmp(*needed, field) != 0) {
		return false;
	}
	*needed = field;
	return true;
}

static const struct rollup_dimension *dimension_of(const char *field)
{
	for (const struct rollup_dimension *d = rollup_dimensions;
	     d->name != NULL; d++) {
		if (field == NULL ? d->field == NULL
		    : d->field != NULL && strcmp(d->field, field) == 0) {
			return d;
		}
	}
	return NULL;
}

/* The dimension whose cells can answer, or NULL. */
static const struct rollup_dimension *choose(const struct query *query)
{
	const char *needed = NULL;

	if (query->from_records) {
		return NULL;
	}
	for (size_t i = 0; i < query->by_count; i++) {
		if (!need(&needed, query->by[i])) {
			return NULL;
		}
	}
	for (size_t i = 0; i < query->filter_count; i++) {
		if (!need(&needed, query->filters[i].field)) {
			return NULL;
		}
	}
	return dimension_of(needed);
}

static struct bounds clamp(const struct window *window)
{
	const int64_t end = COLUMNS_NEVER * COLUMNS_CELL_US;
	struct bounds b = { window->since, window->until, false };

	b.since = b.since < 0 ? 0 : b.since > end ? end : b.since;
	b.until = b.until < b.since ? b.since : b.until > end ? end : b.until;
	b.open = b.since == 0 && b.until == end;
	return b;
}

static bool filters_on(const struct query *query, const char *field)
{
	for (size_t i = 0; i < query->filter_count; i++) {
		if (strcmp(query->filters[i].field, field) == 0) {
			return true;
		}
	}
	return false;
}

static void plan_init(struct plan *plan, const struct query *query)
{
	*plan = (struct plan){
		.query = query,
		.dimension = choose(query),
		.bounds = clamp(&query->window),
	};
	plan->first = (plan->bounds.since + COLUMNS_CELL_US - 1) /
	              COLUMNS_CELL_US;
	plan->last = plan->bounds.until / COLUMNS_CELL_US;
	if (plan->last <= plan->first) {
		plan->dimension = NULL;
	}
	/*
	 * Cells are ordered by dimension, value and time: the window is not
	 * one range but one of each value.
	 */
	plan->skip = plan->dimension != NULL &&
	             plan->dimension->field != NULL && !plan->bounds.open &&
	             !filters_on(query, plan->dimension->field);
}

bool query_reads_before(const struct query *query, int64_t us)
{
	struct plan plan;

	plan_init(&plan, query);
	const int64_t cells = plan.first * COLUMNS_CELL_US;
	const int64_t behind = plan.last * COLUMNS_CELL_US;
	if (plan.dimension == NULL) {
		return plan.bounds.since < us;
	}
	return (plan.bounds.since < cells && plan.bounds.since < us) ||
	       (plan.bounds.until > behind && behind < us);
}

/* --- the statement ------------------------------------------------------- */

static bool wanted(const struct query *query, size_t column)
{
	return (query->columns >> column & 1) != 0 ||
	       column == ROLLUP_FIRST_SUM + 2 * ROLLUP_COST;
}

static const char *stored(const char *field, char name[COLUMNS_NAME_MAX])
{
	const int place = bursar_field_find(facts(), field);

	assert(place >= 0);
	return columns_stored(&facts()->fields[place], name);
}

/* The records whose latency falls into a bucket; none where it is unknown. */
static void add_bucket(struct book_statement *st, size_t bucket)
{
	book_add(st, "COALESCE(SUM(CASE WHEN ");
	if (bucket > 0) {
		book_add(st, "latency_ms > %lld",
		         (long long)rollup_latency_bounds[bucket - 1]);
	}
	if (bucket > 0 && bucket < ROLLUP_LATENCY_BUCKETS - 1) {
		book_add(st, " AND ");
	}
	if (bucket < ROLLUP_LATENCY_BUCKETS - 1) {
		book_add(st, "latency_ms <= %lld",
		         (long long)rollup_latency_bounds[bucket]);
	}
	book_add(st, " THEN 1 ELSE 0 END), 0)");
}

static const char *piece_text(enum piece piece)
{
	return piece == WHOLE ? "" : piece == HIGH ? " / 4294967296"
		: " % 4294967296";
}

static bool is_count(size_t column)
{
	return column < ROLLUP_FIRST_SUM || column >= ROLLUP_FIRST_BUCKET ||
	       (column - ROLLUP_FIRST_SUM) % 2 != 0;
}

static void add_count(struct book_statement *st, size_t column)
{
	char name[COLUMNS_NAME_MAX];

	if (column == ROLLUP_REQUESTS) {
		book_add(st, "COUNT(*)");
	} else if (column == ROLLUP_ERRORS) {
		book_add(st, "COALESCE(SUM(CASE WHEN status IS NULL OR "
		         "status IN ('', 'success', 'ok') THEN 0 ELSE 1 END), "
		         "0)");
	} else if (column >= ROLLUP_FIRST_BUCKET) {
		add_bucket(st, column - ROLLUP_FIRST_BUCKET);
	} else {
		book_add(st, "COUNT(%s)", stored(
			rollup_sum_fields[(column - ROLLUP_FIRST_SUM) / 2], name));
	}
}

static void add_record_sum(struct book_statement *st, size_t column,
                           enum piece piece)
{
	char name[COLUMNS_NAME_MAX];

	if (is_count(column) && piece == HIGH) {
		book_add(st, "0");
	} else if (is_count(column)) {
		add_count(st, column);
	} else {
		book_add(st, "COALESCE(SUM(%s%s), 0)", stored(
			rollup_sum_fields[(column - ROLLUP_FIRST_SUM) / 2], name),
			piece_text(piece));
	}
}

void query_add_record_sum(struct book_statement *st, size_t column)
{
	add_record_sum(st, column, WHOLE);
}

/* One sum of a part, under the name c4, c4h or c4l. */
static void add_sum(struct book_statement *st, size_t column, bool records,
                    enum piece piece)
{
	book_add(st, "CAST(");
	if (records) {
		add_record_sum(st, column, piece);
	} else {
		book_add(st, "COALESCE(SUM(r.%s%s), 0)",
		         rollup_columns[column], piece_text(piece));
	}
	book_add(st, " AS BIGINT) AS c%zu%s", column,
	         piece == WHOLE ? "" : piece == HIGH ? "h" : "l");
}

static void add_sums(struct book_statement *st, const struct plan *plan,
                     bool records)
{
	const char *before = plan->query->by_count == 0 ? "" : ", ";

	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		if (!wanted(plan->query, i)) {
			continue;
		}
		book_add(st, "%s", before);
		if (plan->wide) {
			add_sum(st, i, records, HIGH);
			book_add(st, ", ");
			add_sum(st, i, records, LOW);
		} else {
			add_sum(st, i, records, WHOLE);
		}
		before = ", ";
	}
}

/* The key of a field, '' for unknown, in the records or in the rollups. */
static void add_key(struct book_statement *st, const char *field, bool records)
{
	if (records) {
		book_add(st, "COALESCE(%s, '')", field);
	} else {
		book_add(st, "r.%s", in_every_cell(field) ? field : "value");
	}
}

static void add_keys(struct book_statement *st, const struct query *query,
                     bool records, bool named)
{
	for (size_t i = 0; i < query->by_count; i++) {
		book_add(st, i == 0 ? "" : ", ");
		add_key(st, query->by[i], records);
		if (named) {
			book_add(st, " AS k%zu", i);
		}
	}
}

static void add_end(struct book_statement *st, const struct query *query,
                    bool records)
{
	for (size_t i = 0; i < query->filter_count; i++) {
		book_add(st, " AND ");
		add_key(st, query->filters[i].field, records);
		book_add(st, " = ");
		book_add_value(st, book_text(query->filters[i].value));
	}
	if (query->by_count > 0) {
		book_add(st, " GROUP BY ");
		add_keys(st, query, records, false);
	}
}

/* Records of [since, until). */
static void add_records(struct book_statement *st, const struct plan *plan,
                        int64_t since, int64_t until)
{
	const int64_t last = columns_cell(until - 1) + 1;

	book_add(st, "SELECT ");
	add_keys(st, plan->query, true, true);
	add_sums(st, plan, true);
	book_add(st, " FROM %s WHERE id >= ", facts()->table);
	book_add_value(st, book_int(columns_cell(since) << COLUMNS_ID_SHIFT));
	book_add(st, " AND id < ");
	book_add_value(st, book_int(last << COLUMNS_ID_SHIFT));
	if (since % COLUMNS_CELL_US != 0) {
		book_add(st, " AND recorded_us >= ");
		book_add_value(st, book_int(since));
	}
	if (until % COLUMNS_CELL_US != 0) {
		book_add(st, " AND recorded_us < ");
		book_add_value(st, book_int(until));
	}
	add_end(st, plan->query, true);
}

static void add_cells(struct book_statement *st, const struct plan *plan)
{
	book_add(st, "SELECT ");
	add_keys(st, plan->query, false, true);
	add_sums(st, plan, false);
	book_add(st, " FROM %srollup_cells r WHERE r.dimension = '%s'",
	         plan->skip ? "v CROSS JOIN " : "", plan->dimension->name);
	if (plan->skip) {
		book_add(st, " AND r.value = v.value");
	} else if (plan->dimension->field == NULL) {
		book_add(st, " AND r.value = ''");
	}
	if (!plan->bounds.open) {
		book_add(st, " AND r.cell >= ");
		book_add_value(st, book_int(plan->first));
		book_add(st, " AND r.cell < ");
		book_add_value(st, book_int(plan->last));
	}
	add_end(st, plan->query, false);
}

void query_add_values(struct book_statement *st, const char *dimension)
{
	book_add(st, "WITH RECURSIVE v(value) AS (SELECT MIN(value) "
	         "FROM rollup_cells WHERE dimension = '%s' UNION ALL "
	         "SELECT (SELECT MIN(s.value) FROM rollup_cells s "
	         "WHERE s.dimension = '%s' AND s.value > v.value) "
	         "FROM v WHERE v.value IS NOT NULL) ", dimension, dimension);
}

/* Adds the parts of the window. */
static void add_parts(struct book_statement *st, const struct plan *plan)
{
	const struct bounds *b = &plan->bounds;

	if (plan->dimension == NULL) {
		add_records(st, plan, b->since, b->until);
		return;
	}
	add_cells(st, plan);
	if (b->since < plan->first * COLUMNS_CELL_US) {
		book_add(st, " UNION ALL ");
		add_records(st, plan, b->since, plan->first * COLUMNS_CELL_US);
	}
	if (b->until > plan->last * COLUMNS_CELL_US) {
		book_add(st, " UNION ALL ");
		add_records(st, plan, plan->last * COLUMNS_CELL_US, b->until);
	}
}

static bool has_parts(const struct plan *plan)
{
	return plan->dimension != NULL &&
	       (plan->bounds.since < plan->first * COLUMNS_CELL_US ||
	        plan->bounds.until > plan->last * COLUMNS_CELL_US);
}

static void add_output(struct book_statement *st, const char *before,
                       size_t column, const char *piece, bool sum)
{
	book_add(st, sum ? "%sCAST(SUM(c%zu%s) AS BIGINT)" : "%sc%zu%s",
	         before, column, piece);
	book_add(st, " AS s%zu%s", column, piece);
}

/* What is asked of the parts together. */
static void add_outputs(struct book_statement *st, const struct plan *plan,
                        bool sum)
{
	const char *before = "";

	for (size_t i = 0; i < plan->query->by_count; i++) {
		book_add(st, "%sk%zu", before, i);
		before = ", ";
	}
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		if (!wanted(plan->query, i)) {
			continue;
		}
		if (plan->wide) {
			add_output(st, before, i, "h", sum);
			add_output(st, ", ", i, "l", sum);
		} else {
			add_output(st, before, i, "", sum);
		}
		before = ", ";
	}
}

static void write_statement(struct book_statement *st, const struct plan *plan)
{
	const struct query *query = plan->query;
	const bool sum = has_parts(plan);

	book_begin(st);
	if (plan->skip) {
		query_add_values(st, plan->dimension->name);
	}
	book_add(st, "SELECT ");
	add_outputs(st, plan, sum);
	book_add(st, " FROM (");
	add_parts(st, plan);
	book_add(st, ") q");
	if (query->by_count == 0) {
		return;
	}
	for (size_t i = 0; sum && i < query->by_count; i++) {
		book_add(st, "%sk%zu", i == 0 ? " GROUP BY " : ", ", i);
	}
	const int cost = ROLLUP_FIRST_SUM + 2 * ROLLUP_COST;
	if (plan->wide) {
		book_add(st, " ORDER BY s%dh DESC, s%dl DESC", cost, cost);
	} else {
		book_add(st, " ORDER BY s%d DESC", cost);
	}
	for (size_t i = 0; i < query->by_count; i++) {
		book_add(st, ", k%zu", i);
	}
}

/* --- the answer ---------------------------------------------------------- */

struct answer {
	const struct plan *plan;
	query_row_fn *row;
	void *context;
	bool  begun;		/* a row was handed on */
};

/* The number of a column, which stands in one cell or in two. */
static int64_t join(const struct bursar_cell *cells, bool wide,
                    struct query_row *row)
{
	if (!wide) {
		return book_get(&cells[0]);
	}
	const __int128 sum = (__int128)book_get(&cells[0]) * HALF +
	                     book_get(&cells[1]);
	if (sum > INT64_MAX || sum < INT64_MIN) {
		row->saturated = true;
		return sum > 0 ? INT64_MAX : INT64_MIN;
	}
	return (int64_t)sum;
}

static int take_row(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct answer *answer = context;
	const struct query *query = answer->plan->query;
	const bool wide = answer->plan->wide;
	struct query_row row = { 0 };
	size_t next = 0;

	for (size_t i = 0; i < query->by_count; i++, next++) {
		assert(next < count);
		if (cells[next].type == BURSAR_STRING && cells[next].size > 0) {
			row.by[i] = (struct bursar_span){ cells[next].data,
			                                  cells[next].size };
		}
	}
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		if (wanted(query, i)) {
			assert(next + wide < count);
			row.columns[i] = join(&cells[next], wide, &row);
			next += wide ? 2 : 1;
		}
	}
	answer->begun = true;
	return answer->row(answer->context, &row);
}

static int ask(struct book *book, const struct plan *plan,
               struct answer *answer, struct bursar_error *err)
{
	struct book_statement st;

	answer->plan = plan;
	write_statement(&st, plan);
	return book_ask(book, &st, take_row, answer, err);
}

int query_run(struct book *book, const struct query *query, query_row_fn *row,
              void *context, struct bursar_error *err)
{
	struct answer answer = { .row = row, .context = context };
	struct bursar_error why = { 0 };
	struct plan plan;

	assert(query->by_count <= QUERY_MAX_BY);
	assert(query->filter_count <= QUERY_MAX_FILTERS);

	plan_init(&plan, query);
	if (ask(book, &plan, &answer, &why) == 0) {
		return 0;
	}
	/* A few absurd numbers must not stop all reports. */
	plan.wide = true;
	if (!answer.begun && ask(book, &plan, &answer, NULL) == 0) {
		return 0;
	}
	return bursar_fail(err, why.code, "%s", why.text);
}
