/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One question, one statement.
 *
 * The window falls into parts that do not overlap: the records before its first
 * whole cell, its whole cells, the records behind its last whole cell.  Of the
 * cells, those of days that are summed up make parts of their own, each of them
 * twice: from the sums of days, and from the cells in case that a day was
 * opened again since it was asked for; a guard leaves one of both empty.  Each
 * part is summed by the same keys, and the sums are summed.  A part of records
 * is a range of ids, whose high bits are the cell.
 *
 * Where the window is divided into periods, the number of a row's period is one
 * more key: CASEs that halve the periods until one is left.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/days.h"
#include "book/named.h"
#include "book/query.h"
#include "common/columns.h"

/* Of a question that is answered by days: its statement has each period twice
 * for each run of them. */
#define MAX_DAY_PERIODS 120

/* A window in whole microseconds that ids can say. */
struct bounds {
	int64_t since;
	int64_t until;
	bool    open;	/* nothing is outside */
};

/* Where the sums come from. */
struct plan {
	const struct query *query;
	struct rollup_dimension tag;	/* the dimension, where it is one */
	const struct rollup_dimension *dimension;	/* NULL: from records */
	struct bounds bounds;
	int64_t first;		/* whole cells [first, last) */
	int64_t last;
	struct days_run runs[DAYS_RUNS];	/* of days, within them */
	size_t  run_count;
	bool    skip;		/* go from value to value of the dimension */
	bool    wide;		/* sum in halves that cannot overflow */
};

/* Where a statement takes sums and keys from. */
enum from { CELLS, DAYS, RECORDS };

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
	if (strncmp(word, TAGS_PREFIX, strlen(TAGS_PREFIX)) == 0) {
		if (tags_key_of(word) != NULL) {
			return word;
		}
		bursar_fail(err, EINVAL, "'%.40s' is no tag: a key has 1 to %d "
		            "letters, digits, '_', '.' or '-'",
		            word + strlen(TAGS_PREFIX), TAGS_ASKED_MAX);
		return NULL;
	}
	for (; d->name != NULL; d++) {
		if (d->field != NULL && strcmp(d->name, word) == 0) {
			return d->field;
		}
	}
	const int field = bursar_field_find(facts(), word);
	if (field >= 0 && facts()->fields[field].type == BURSAR_TEXT) {
		return facts()->fields[field].name;
	}
	bursar_fail(err, EINVAL, "there is no field '%.40s' to ask by: use "
	            "provider, model_id, worker, node, agent, tier, "
	            "request_type, cost_center, budget_id, team, tag:KEY or "
	            "another text column of %s", word, facts()->table);
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

/* Whether the rollups can answer, and by the cells of which field. */
static bool choose(const struct query *query, const char **needed)
{
	*needed = NULL;
	if (query->from_records || query->extras != 0) {
		return false;
	}
	for (size_t i = 1; i < query->period_count; i++) {
		if (query->periods[i] % COLUMNS_CELL_US != 0) {
			return false;
		}
	}
	for (size_t i = 0; i < query->by_count; i++) {
		if (!need(needed, query->by[i])) {
			return false;
		}
	}
	for (size_t i = 0; i < query->filter_count; i++) {
		if (!need(needed, query->filters[i].field)) {
			return false;
		}
	}
	return true;
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

/* The cells of a tag can answer from when it was named on. */
static void plan_tag(struct plan *plan, const struct book *book,
                     const char *field)
{
	const struct rollup_tag *tag = named_find(book, field);

	if (tag == NULL) {
		return;
	}
	plan->tag = (struct rollup_dimension){ tag->name, tag->name };
	plan->dimension = &plan->tag;
	if (plan->first < tag->since) {
		plan->first = tag->since;
	}
	plan->bounds.open &= tag->since <= 0;
}

static void plan_init(struct plan *plan, const struct book *book,
                      const struct query *query)
{
	const char *field;

	*plan = (struct plan){
		.query = query,
		.bounds = clamp(&query->window),
	};
	plan->first = (plan->bounds.since + COLUMNS_CELL_US - 1) /
	              COLUMNS_CELL_US;
	plan->last = plan->bounds.until / COLUMNS_CELL_US;
	if (choose(query, &field)) {
		if (field != NULL && tags_key_of(field) != NULL) {
			plan_tag(plan, book, field);
		} else {
			plan->dimension = dimension_of(field);
		}
	}
	if (plan->last <= plan->first) {
		plan->dimension = NULL;
	}
}

/* Whether a day has parts in two periods. */
static bool divides_days(const struct query *query)
{
	for (size_t i = 1; i < query->period_count; i++) {
		if (query->periods[i] % COLUMNS_DAY_US != 0) {
			return true;
		}
	}
	return false;
}

/* Days that the plan can use; and how it goes through cells. */
static void plan_days(struct plan *plan, struct book *book)
{
	const struct query *query = plan->query;

	if (plan->dimension == NULL) {
		return;
	}
	if (query->period_count <= MAX_DAY_PERIODS && !divides_days(query)) {
		plan->run_count = days_find(book, plan->first, plan->last,
		                            plan->runs);
	}
	/*
	 * Cells are ordered by dimension, value and time: the window is not
	 * one range but one of each value.
	 */
	plan->skip = plan->dimension->field != NULL &&
	             (!plan->bounds.open || plan->run_count > 0) &&
	             !filters_on(query, plan->dimension->field);
}

bool query_reads_before(const struct book *book, const struct query *query,
                        int64_t us)
{
	struct plan plan;

	plan_init(&plan, book, query);
	const int64_t cells = plan.first * COLUMNS_CELL_US;
	const int64_t behind = plan.last * COLUMNS_CELL_US;
	if (plan.dimension == NULL) {
		return plan.bounds.since < us &&
		       plan.bounds.since < plan.bounds.until;
	}
	return (plan.bounds.since < cells && plan.bounds.since < us) ||
	       (plan.bounds.until > behind && behind < us);
}

/* --- the statement ------------------------------------------------------- */

static bool wanted(const struct query *query, size_t column)
{
	return (query->columns >> column & 1) != 0 ||
	       column == ROLLUP_FIRST_SUM + 2 * ROLLUP_COST ||
	       (column == ROLLUP_REQUESTS && query->order == QUERY_BY_REQUESTS);
}

static const char *const extra_sums[QUERY_EXTRAS] = {
	[QUERY_LATENCY_MAX] = "MAX(latency_ms)",
	[QUERY_NO_RESPONSE_ID] = "COALESCE(SUM(CASE WHEN "
		"COALESCE(provider_response_id, '') = '' THEN 1 ELSE 0 END), 0)",
	[QUERY_FLAGGED] = "COALESCE(SUM(CASE WHEN dq_flags <> 0 "
		"THEN 1 ELSE 0 END), 0)",
	[QUERY_UNTAGGED] = "COALESCE(SUM(CASE WHEN tags IS NULL "
		"THEN 1 ELSE 0 END), 0)",
};

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
	book_add(st, "CAST(");
	add_record_sum(st, column, HIGH);
	book_add(st, " AS BIGINT), CAST(");
	add_record_sum(st, column, LOW);
	book_add(st, " AS BIGINT)");
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

static bool has_keys(const struct query *query)
{
	return query->by_count > 0 || query->period_count > 0;
}

static void add_sums(struct book_statement *st, const struct plan *plan,
                     bool records)
{
	const char *before = has_keys(plan->query) ? ", " : "";

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
	for (size_t i = 0; i < QUERY_EXTRAS; i++) {
		if ((plan->query->extras >> i & 1) != 0) {
			assert(records);
			book_add(st, "%sCAST(%s AS BIGINT) AS x%zu", before,
			         extra_sums[i], i);
		}
	}
}

static const struct { const char *name; int64_t us; } times[] = {
	[CELLS] = { "r.cell", COLUMNS_CELL_US },
	[DAYS] = { "r.day", COLUMNS_DAY_US },
	[RECORDS] = { "recorded_us", 1 },
};

/* The number of the period, of those in [first, last), that a time is in. */
static void add_period(struct book_statement *st, const int64_t *periods,
                       size_t first, size_t last, enum from from)
{
	if (last - first <= 1) {
		book_add(st, "%zu", first);
		return;
	}
	const size_t middle = first + (last - first) / 2;
	book_add(st, "CASE WHEN %s<%lld THEN ", times[from].name,
	         (long long)(periods[middle] / times[from].us));
	add_period(st, periods, first, middle, from);
	book_add(st, " ELSE ");
	add_period(st, periods, middle, last, from);
	book_add(st, " END");
}

/* The number of the period as a key that is named "period_no"; of those that
 * have a part in [since, until). */
static void add_period_key(struct book_statement *st, const struct query *query,
                           int64_t since, int64_t until, enum from from)
{
	size_t first = 0;
	size_t last = query->period_count;

	if (query->period_count > 0) {
		while (first + 1 < last && query->periods[first + 1] <= since) {
			first++;
		}
		while (first + 1 < last && query->periods[last - 1] >= until) {
			last--;
		}
		book_add(st, "CAST(");
		add_period(st, query->periods, first, last, from);
		book_add(st, " AS BIGINT) AS period_no");
		book_add(st, query->by_count > 0 ? ", " : "");
	}
}

void query_add_field(struct book_statement *st, const char *field)
{
	const char *key = tags_key_of(field);

	if (key != NULL) {
		book_add(st, "COALESCE(bursar_tag(tags, '%s'), '')", key);
	} else {
		book_add(st, "COALESCE(%s, '')", field);
	}
}

/* The key of a field, '' for unknown, in the records or in the rollups. */
static void add_key(struct book_statement *st, const char *field, bool records)
{
	if (records) {
		query_add_field(st, field);
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

static void add_filters(struct book_statement *st, const struct query *query,
                        bool records)
{
	for (size_t i = 0; i < query->filter_count; i++) {
		book_add(st, " AND ");
		add_key(st, query->filters[i].field, records);
		book_add(st, " = ");
		book_add_value(st, book_text(query->filters[i].value));
	}
}

static void add_groups(struct book_statement *st, const struct query *query,
                       bool records)
{
	if (has_keys(query)) {
		book_add(st, " GROUP BY %s", query->period_count == 0 ? ""
		         : query->by_count > 0 ? "period_no, " : "period_no");
		add_keys(st, query, records, false);
	}
}

/* Conditions of the records of [since, until), which has a part of a cell at
 * its ends or not. */
static void add_bounds(struct book_statement *st, int64_t since, int64_t until)
{
	if (since % COLUMNS_CELL_US != 0) {
		book_add(st, " AND recorded_us >= ");
		book_add_value(st, book_int(since));
	}
	if (until % COLUMNS_CELL_US != 0) {
		book_add(st, " AND recorded_us < ");
		book_add_value(st, book_int(until));
	}
}

/* By id, as ids begin with the cell. */
void query_add_tagged(struct book_statement *st, const char *key,
                      int64_t since, int64_t until)
{
	book_add(st, " FROM (SELECT DISTINCT cell AS seen FROM rollup_cells "
	         "WHERE dimension = '" ROLLUP_KEYS "' AND value = '%s' "
	         "AND cell >= ", key);
	book_add_value(st, book_int(columns_cell(since)));
	book_add(st, " AND cell < ");
	book_add_value(st, book_int(columns_cell(until - 1) + 1));
	book_add(st, ") s CROSS JOIN %s WHERE id >= s.seen << %d AND "
	         "id < (s.seen + 1) << %d AND bursar_tag(tags, '%s') "
	         "IS NOT NULL", facts()->table, COLUMNS_ID_SHIFT,
	         COLUMNS_ID_SHIFT, key);
	add_bounds(st, since, until);
}

/* A tag that a fact must have, or NULL. */
static const char *key_of_filters(const struct query *query)
{
	for (size_t i = 0; i < query->filter_count; i++) {
		const char *key = tags_key_of(query->filters[i].field);

		if (key != NULL && query->filters[i].value[0] != '\0') {
			return key;
		}
	}
	return NULL;
}

/* FROM the records of [since, until) WHERE the filters hold. */
static void add_from_records(struct book_statement *st,
                             const struct query *query, int64_t since,
                             int64_t until)
{
	const int64_t last = columns_cell(until - 1) + 1;
	const char *key = key_of_filters(query);

	if (key != NULL) {
		query_add_tagged(st, key, since, until);
	} else {
		book_add(st, " FROM %s WHERE id >= ", facts()->table);
		book_add_value(st, book_int(columns_cell(since)
		                            << COLUMNS_ID_SHIFT));
		book_add(st, " AND id < ");
		book_add_value(st, book_int(last << COLUMNS_ID_SHIFT));
		add_bounds(st, since, until);
	}
	add_filters(st, query, true);
}

/* Sums of the records of [since, until). */
static void add_records(struct book_statement *st, const struct plan *plan,
                        int64_t since, int64_t until)
{
	book_add(st, "SELECT ");
	add_period_key(st, plan->query, since, until, RECORDS);
	add_keys(st, plan->query, true, true);
	add_sums(st, plan, true);
	add_from_records(st, plan->query, since, until);
	add_groups(st, plan->query, true);
}

/* Sums of the cells, or of the days, [first, last); with a run only as it is
 * to be found in them. */
static void add_cells(struct book_statement *st, const struct plan *plan,
                      enum from from, int64_t first, int64_t last,
                      const struct days_run *run)
{
	const bool all = plan->bounds.open && plan->run_count == 0;

	book_add(st, "SELECT ");
	add_period_key(st, plan->query, first * times[from].us,
	               last * times[from].us, from);
	add_keys(st, plan->query, false, true);
	add_sums(st, plan, false);
	book_add(st, " FROM ");
	if (run != NULL) {
		days_add_guard(st, run, from == CELLS);
		book_add(st, " CROSS JOIN ");
	}
	book_add(st, "%s%s r WHERE r.dimension = '%s'",
	         plan->skip ? "v CROSS JOIN " : "",
	         from == DAYS ? "rollup_days" : "rollup_cells",
	         plan->dimension->name);
	if (plan->skip) {
		book_add(st, " AND r.value = v.value");
	} else if (plan->dimension->field == NULL) {
		book_add(st, " AND r.value = ''");
	}
	if (!all) {
		book_add(st, " AND %s >= ", times[from].name);
		book_add_value(st, book_int(first));
		book_add(st, " AND %s < ", times[from].name);
		book_add_value(st, book_int(last));
	}
	add_filters(st, plan->query, false);
	add_groups(st, plan->query, false);
}

/* Whole cells, of which some are those of whole days. */
static void add_all_cells(struct book_statement *st, const struct plan *plan)
{
	int64_t at = plan->first;

	for (size_t i = 0; i < plan->run_count; i++) {
		const struct days_run *run = &plan->runs[i];
		const int64_t first = run->first * ROLLUP_DAY;
		const int64_t last = run->last * ROLLUP_DAY;

		if (at < first) {
			add_cells(st, plan, CELLS, at, first, NULL);
			book_add(st, " UNION ALL ");
		}
		add_cells(st, plan, DAYS, run->first, run->last, run);
		book_add(st, " UNION ALL ");
		add_cells(st, plan, CELLS, first, last, run);
		book_add(st, "%s", last < plan->last ? " UNION ALL " : "");
		at = last;
	}
	if (at < plan->last) {
		add_cells(st, plan, CELLS, at, plan->last, NULL);
	}
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
	add_all_cells(st, plan);
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
	       (plan->run_count > 0 ||
	        plan->bounds.since < plan->first * COLUMNS_CELL_US ||
	        plan->bounds.until > plan->last * COLUMNS_CELL_US);
}

static void add_output(struct book_statement *st, const char *before,
                       size_t column, const char *piece, bool sum)
{
	book_add(st, sum ? "%sCAST(SUM(c%zu%s) AS BIGINT)" : "%sc%zu%s",
	         before, column, piece);
	book_add(st, " AS s%zu%s", column, piece);
}

/* "period_no, k0, k1" */
static void add_key_names(struct book_statement *st, const struct query *query)
{
	if (query->period_count > 0) {
		book_add(st, "period_no%s", query->by_count > 0 ? ", " : "");
	}
	for (size_t i = 0; i < query->by_count; i++) {
		book_add(st, "%sk%zu", i == 0 ? "" : ", ", i);
	}
}

/* What is asked of the parts together. */
static void add_outputs(struct book_statement *st, const struct plan *plan,
                        bool sum)
{
	const char *before = has_keys(plan->query) ? ", " : "";

	add_key_names(st, plan->query);
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
	for (size_t i = 0; i < QUERY_EXTRAS; i++) {
		if ((plan->query->extras >> i & 1) != 0) {
			book_add(st, ", x%zu", i);
		}
	}
}

static void add_order(struct book_statement *st, const struct plan *plan)
{
	const struct query *query = plan->query;
	const int by = query->order == QUERY_BY_REQUESTS ? ROLLUP_REQUESTS
		: ROLLUP_FIRST_SUM + 2 * ROLLUP_COST;

	book_add(st, " ORDER BY %s", query->period_count > 0 ? "period_no, "
	         : "");
	if (plan->wide) {
		book_add(st, "s%dh DESC, s%dl DESC", by, by);
	} else {
		book_add(st, "s%d DESC", by);
	}
	for (size_t i = 0; i < query->by_count; i++) {
		book_add(st, ", k%zu", i);
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
	if (!has_keys(query)) {
		return;
	}
	if (sum) {
		book_add(st, " GROUP BY ");
		add_key_names(st, query);
	}
	add_order(st, plan);
}

/* --- the answer ---------------------------------------------------------- */

struct answer {
	const struct plan *plan;
	query_row_fn *row;
	void *context;
	bool  begun;		/* a row was handed on */
};

int64_t query_join(const struct bursar_cell halves[2])
{
	const __int128 sum = (__int128)book_get(&halves[0]) * HALF +
	                     book_get(&halves[1]);

	return sum > INT64_MAX ? INT64_MAX : sum < INT64_MIN ? INT64_MIN
		: (int64_t)sum;
}

/* The number of a column, which stands in one cell or in two. */
static int64_t join(const struct bursar_cell *cells, bool wide,
                    struct query_row *row)
{
	const int64_t sum = wide ? query_join(cells) : book_get(&cells[0]);

	row->saturated |= sum == INT64_MAX || sum == INT64_MIN;
	return sum;
}

static int take_row(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct answer *answer = context;
	const struct query *query = answer->plan->query;
	const bool wide = answer->plan->wide;
	struct query_row row = { 0 };
	size_t next = 0;

	if (query->period_count > 0) {
		row.period = (size_t)book_get(&cells[next++]);
	}
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
	for (size_t i = 0; i < QUERY_EXTRAS; i++) {
		if ((query->extras >> i & 1) != 0) {
			assert(next < count);
			row.extra_known[i] = cells[next].type == BURSAR_INTEGER;
			row.extras[i] = book_get(&cells[next++]);
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
	assert(query->period_count <= QUERY_MAX_PERIODS);
	assert(query->period_count == 0 ||
	       (query->periods[0] == query->window.since &&
	        query->periods[query->period_count] == query->window.until));

	if (named_read(book, err) != 0) {
		return -1;
	}
	plan_init(&plan, book, query);
	plan_days(&plan, book);
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

/* --- extent -------------------------------------------------------------- */

static int take_extent(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct window *extent = context;

	assert(count == 2);
	if (cells[0].type == BURSAR_INTEGER) {
		extent->since = cells[0].integer * COLUMNS_CELL_US;
		extent->until = (cells[1].integer + 1) * COLUMNS_CELL_US;
	}
	return 1;
}

int query_extent(struct book *book, struct window *extent,
                 struct bursar_error *err)
{
	*extent = (struct window){ 0, 0 };
	return book_run(book, "SELECT "
	                "(SELECT MIN(cell) FROM rollup_cells "
	                "WHERE dimension = 'all' AND value = ''), "
	                "(SELECT MAX(cell) FROM rollup_cells "
	                "WHERE dimension = 'all' AND value = '')",
	                NULL, 0, take_extent, extent, err);
}

/* --- percentiles --------------------------------------------------------- */

int64_t query_percentile(const int64_t *columns, int percent)
{
	const int64_t *buckets = &columns[ROLLUP_FIRST_BUCKET];
	int64_t facts = 0, before = 0;

	assert(percent >= 1 && percent <= 100);

	for (size_t i = 0; i < ROLLUP_LATENCY_BUCKETS; i++) {
		facts += buckets[i];
	}
	if (facts <= 0) {
		return -1;
	}
	const int64_t rank = facts / 100 * percent +
	                     (facts % 100 * percent + 99) / 100;
	for (size_t i = 0; i < ROLLUP_LATENCY_BUCKETS - 1; i++) {
		const int64_t low = i == 0 ? 0 : rollup_latency_bounds[i - 1];

		if (before + buckets[i] >= rank) {
			return low + (int64_t)(
				(__int128)(rollup_latency_bounds[i] - low) *
				(rank - before) / buckets[i]);
		}
		before += buckets[i];
	}
	return rollup_latency_bounds[ROLLUP_LATENCY_BUCKETS - 2];
}

/* --- single facts -------------------------------------------------------- */

struct calls {
	query_call_fn *call;
	void *context;
};

static struct bursar_span text_of(const struct bursar_cell *cell)
{
	if (cell->type != BURSAR_STRING || cell->size == 0) {
		return (struct bursar_span){ NULL, 0 };
	}
	return (struct bursar_span){ cell->data, cell->size };
}

static int take_call(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	const struct calls *calls = context;

	assert(count == 11);
	const struct query_call call = {
		.recorded_us = book_get(&cells[0]),
		.message_id = text_of(&cells[1]),
		.provider = text_of(&cells[2]),
		.model_id = text_of(&cells[3]),
		.worker_id = text_of(&cells[4]),
		.provider_response_id = text_of(&cells[5]),
		.input_tokens = book_get(&cells[6]),
		.output_tokens = book_get(&cells[7]),
		.total_tokens = book_get(&cells[8]),
		.latency_ms = book_get(&cells[9]),
		.cost_nano = book_get(&cells[10]),
		.input_known = cells[6].type == BURSAR_INTEGER,
		.output_known = cells[7].type == BURSAR_INTEGER,
		.total_known = cells[8].type == BURSAR_INTEGER,
		.latency_known = cells[9].type == BURSAR_INTEGER,
	};
	return calls->call(calls->context, &call);
}

int query_calls(struct book *book, const struct query *query, int64_t limit,
                query_call_fn *call, void *context, struct bursar_error *err)
{
	const struct bounds b = clamp(&query->window);
	struct calls calls = { call, context };
	char cost[COLUMNS_NAME_MAX];
	struct book_statement st;

	stored("cost_usd", cost);
	book_begin(&st);
	book_add(&st, "SELECT recorded_us, message_id, provider, model_id, "
	         "worker_id, provider_response_id, input_tokens, "
	         "output_tokens, total_tokens, latency_ms, %s", cost);
	add_from_records(&st, query, b.since, b.until);
	book_add(&st, " AND %s IS NOT NULL ORDER BY %s DESC, recorded_us, id "
	         "LIMIT ", cost, cost);
	book_add_value(&st, book_int(limit));
	return book_ask(book, &st, take_call, &calls, err);
}
