/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which tags there are, and what the values of one cost.
 *
 * The list comes from the sums: the dimension "tag" counts by key.  Records are
 * read for the first and the last quarter hour of each key alone, and for the
 * number of values of a tag that is no dimension, as long as few calls bear it.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "book/named.h"
#include "book/report_list.h"
#include "common/columns.h"

/* Calls whose records are read to count values; more take too long. */
#define MAX_COUNTED 1000000

/* --- the keys ------------------------------------------------------------ */

struct key {
	char    name[TAGS_ASKED_MAX + 1];
	int64_t calls;
	int64_t first;		/* cells */
	int64_t last;
};

struct keys {
	struct key *list;
	size_t count;
	size_t room;
	int64_t first;		/* cells of the window, [first, last) */
	int64_t last;
};

static int take_key(void *context, const struct bursar_cell *cells,
                    size_t count)
{
	struct keys *keys = context;

	(void)count;
	if (keys->count == keys->room || cells[0].type != BURSAR_STRING ||
	    !tags_key_is_good(cells[0].data, cells[0].size)) {
		return 0;
	}
	struct key *key = &keys->list[keys->count++];
	memcpy(key->name, cells[0].data, cells[0].size);
	key->name[cells[0].size] = '\0';
	key->calls = book_get(&cells[1]);
	key->first = book_get(&cells[2]);
	key->last = book_get(&cells[3]);
	return 0;
}

/* Each key by one look into the sums. */
static int read_keys(struct report_run *run, struct keys *keys)
{
	struct bursar_error err = { 0 };
	struct book_statement st;

	book_begin(&st);
	query_add_values(&st, ROLLUP_KEYS);
	book_add(&st, "SELECT r.value, CAST(SUM(r.request_count) AS BIGINT), "
	         "MIN(r.cell), MAX(r.cell) FROM v CROSS JOIN rollup_cells r "
	         "WHERE r.dimension = '" ROLLUP_KEYS "' AND r.value = v.value "
	         "AND r.cell >= ");
	book_add_value(&st, book_int(keys->first));
	book_add(&st, " AND r.cell < ");
	book_add_value(&st, book_int(keys->last));
	book_add(&st, " GROUP BY r.value ORDER BY 2 DESC, 1 LIMIT ");
	book_add_value(&st, book_int((int64_t)keys->room));
	return book_ask(run->book, &st, take_key, keys, &err) == 0 ? CLI_OK
		: cli_fail(run->cli, "%s", err.text);
}

/* One number of the records of cells [first, last) that bear the key. */
static int ask_records(struct report_run *run, const struct key *key,
                       const char *what, int64_t first, int64_t last,
                       struct value *answer)
{
	struct bursar_error err = { 0 };
	struct book_statement st;
	int64_t number = 0;
	bool known;

	book_begin(&st);
	book_add(&st, "SELECT %s", what);
	query_add_tagged(&st, key->name, first * COLUMNS_CELL_US,
	                 last * COLUMNS_CELL_US);
	if (book_number(run->book, st.text, st.parameters, st.count, &number,
	                &known, &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	*answer = (struct value){ .type = known ? VALUE_NUMBER : VALUE_NULL,
	                          .number = number };
	return CLI_OK;
}

/* How many values it has; NULL where that would take too long. */
static int count_values(struct report_run *run, const struct keys *keys,
                        const struct key *key, struct value *answer)
{
	char name[ROLLUP_NAME_SIZE];
	char what[TAGS_ASKED_MAX + 80];
	struct bursar_error err = { 0 };
	struct book_statement st;
	bool known;

	snprintf(name, sizeof(name), TAGS_PREFIX "%s", key->name);
	const struct rollup_tag *tag = named_find(run->book, name);
	if (tag == NULL || tag->since > key->first) {
		*answer = (struct value){ .type = VALUE_NULL };
		snprintf(what, sizeof(what), "COUNT(DISTINCT "
		         "bursar_tag(tags, '%s'))", key->name);
		return key->calls > MAX_COUNTED ? CLI_OK
			: ask_records(run, key, what, key->first,
			              key->last + 1, answer);
	}
	book_begin(&st);
	book_add(&st, "SELECT COUNT(DISTINCT value) FROM rollup_cells "
	         "WHERE dimension = '%s' AND value <> '' AND cell >= ", name);
	book_add_value(&st, book_int(keys->first));
	book_add(&st, " AND cell < ");
	book_add_value(&st, book_int(keys->last));
	*answer = (struct value){ .type = VALUE_NUMBER };
	return book_number(run->book, st.text, st.parameters, st.count,
	                   &answer->number, &known, &err) == 0 ? CLI_OK
		: cli_fail(run->cli, "%s", err.text);
}

/* The quarter hour says it where the records are gone. */
static void add_moment(struct table *table, const struct value *moment,
                       int64_t cell)
{
	table_add_number(table, moment->type == VALUE_NUMBER ? moment->number
	                 : cell * COLUMNS_CELL_US);
}

static int add_row(struct report_run *run, const struct keys *keys,
                   const struct key *key, struct table *table)
{
	char name[ROLLUP_NAME_SIZE];
	struct value values = { .type = VALUE_NULL };
	struct value first = values;
	struct value last = values;
	int status = count_values(run, keys, key, &values);

	if (status == CLI_OK) {
		status = ask_records(run, key, "MIN(recorded_us)", key->first,
		                     key->first + 1, &first);
	}
	if (status == CLI_OK) {
		status = ask_records(run, key, "MAX(recorded_us)", key->last,
		                     key->last + 1, &last);
	}
	if (status != CLI_OK) {
		return status;
	}
	snprintf(name, sizeof(name), TAGS_PREFIX "%s", key->name);
	table_add_text(table, key->name);
	table_add_number(table, key->calls);
	value_add(table, &values);
	add_moment(table, &first, key->first);
	add_moment(table, &last, key->last);
	table_add_number(table, named_find(run->book, name) != NULL);
	return CLI_OK;
}

static const struct table_column key_columns[] = {
	{ "key", NULL, TABLE_TEXT },
	{ "calls_count", "requests", TABLE_COUNT },
	{ "distinct_values", "values", TABLE_COUNT },
	{ "first_seen", "first", TABLE_TIME },
	{ "last_seen", "last", TABLE_TIME },
	{ "dimension", NULL, TABLE_FLAG },
};

/* A cell that ids can say, as the window may be open. */
static int64_t cell_of(int64_t us)
{
	return us <= 0 ? 0 : us >= COLUMNS_NEVER * COLUMNS_CELL_US
		? COLUMNS_NEVER : columns_cell(us);
}

static int list_keys(struct report_run *run)
{
	struct window *window = &run->query.window;
	struct keys keys = { .room = (size_t)run->limit };
	struct bursar_error err = { 0 };

	if (run->query.filter_count > 0) {
		return cli_usage_error(run->cli, "the list of tags takes no "
		                       "conditions; say --tag KEY as well");
	}
	if (run->choice->period == NULL && run->choice->since == NULL &&
	    run->choice->until == NULL) {
		*window = (struct window){ WINDOW_OPEN_SINCE,
		                           WINDOW_OPEN_UNTIL };
	}
	keys.first = cell_of(window->since);
	keys.last = window->until <= 0 ? 0 : cell_of(window->until - 1) + 1;
	keys.list = calloc(keys.room, sizeof(*keys.list));
	if (keys.list == NULL) {
		return cli_fail(run->cli, "out of memory");
	}
	struct table *table = table_create(key_columns, COUNT_OF(key_columns));
	int status = named_read(run->book, &err) == 0 ? read_keys(run, &keys)
		: cli_fail(run->cli, "%s", err.text);
	for (size_t i = 0; i < keys.count && status == CLI_OK; i++) {
		status = add_row(run, &keys, &keys.list[i], table);
	}
	if (status == CLI_OK) {
		json_t *head = report_head(run, NULL);

		status = table_print(table, run->cli, head);
		json_decref(head);
	}
	table_destroy(table);
	free(keys.list);
	return status;
}

/* --- the values of one --------------------------------------------------- */

static const struct shown sum_columns[] = {
	{ { "total_calls", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0,
	  SHOW_BOTH, 0 },
	{ { "total_cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM,
	  ROLLUP_COST, SHOW_BOTH, 0 },
};

static const struct shown value_columns[] = {
	{ { "calls", "requests", TABLE_COUNT }, FIGURE_REQUESTS, 0, SHOW_BOTH,
	  0 },
	{ { "total_tokens", "tokens", TABLE_COUNT }, FIGURE_SUM,
	  ROLLUP_TOTAL_TOKENS, SHOW_BOTH, 60 },
	{ { "total_cost_usd", "cost USD", TABLE_MONEY }, FIGURE_SUM,
	  ROLLUP_COST, SHOW_BOTH, 0 },
	{ { "average_cost_per_call_usd", "USD a call", TABLE_MONEY },
	  FIGURE_COST_PER_CALL, 0, SHOW_BOTH, 80 },
	{ { "share_percent", "share", TABLE_POINTS }, FIGURE_SHARE, 0,
	  SHOW_BOTH, 70 },
};

/* Takes the calls that do not bear the tag out of the list, and what is beyond
 * the limit; returns how many bear it. */
static int64_t keep_tagged(struct lines *lines, size_t limit, size_t *distinct)
{
	int64_t untagged = 0;
	size_t kept = 0;

	for (size_t i = 0; i < lines->count; i++) {
		struct line *line = &lines->lines[i];

		if (line->keys[0] == NULL) {
			untagged += line->columns[ROLLUP_REQUESTS];
		} else {
			lines->lines[kept++] = *line;
		}
	}
	*distinct = kept + lines->others;
	lines->count = kept;
	while (lines->count > limit) {
		free(lines->lines[--lines->count].keys[0]);
	}
	return lines->total.columns[ROLLUP_REQUESTS] - untagged;
}

static int list_values(struct report_run *run)
{
	char *name = run->words[run->word_count++];
	struct query query = run->query;
	struct sheet sheet = { 0 };
	struct lines lines = { 0 };
	size_t distinct = 0;

	if (!tags_key_is_good(run->choice->tag, strlen(run->choice->tag))) {
		return cli_usage_error(run->cli, "'%.60s' is no key of a tag: "
		                       "it has 1 to %d letters, digits, '_', "
		                       "'.' or '-'", run->choice->tag,
		                       TAGS_ASKED_MAX);
	}
	snprintf(name, sizeof(run->words[0]), TAGS_PREFIX "%s",
	         run->choice->tag);
	report_by(&query, name);
	query.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_TOTAL_TOKENS) |
	                QUERY_SUM(ROLLUP_COST);
	int status = report_ask(run, &query, LINES_MAX, &lines);
	if (status == CLI_OK) {
		const int64_t tagged = keep_tagged(&lines, (size_t)run->limit,
		                                   &distinct);

		query.by[0] = "value";
		sheet_text(&sheet, "tag", NULL, run->choice->tag);
		sheet_line(&sheet, run, sum_columns, COUNT_OF(sum_columns),
		           &lines.total);
		sheet_number(&sheet, "tagged_calls", "with the tag",
		             TABLE_COUNT, tagged);
		sheet_number(&sheet, "distinct_values", "values", TABLE_COUNT,
		             (int64_t)distinct);
		sheet_list(&sheet, "by_value", "by value",
		           report_table(run, &query, NULL, &lines,
		                        value_columns, COUNT_OF(value_columns),
		                        false));
		status = sheet_print(&sheet, run);
	}
	lines_finish(&lines);
	return status;
}

static int run_tags(struct report_run *run)
{
	return run->choice->tag != NULL ? list_values(run) : list_keys(run);
}

const struct report report_tags = {
	.name = "tags",
	.help = "The tags that calls bear, or with --tag KEY the values of one "
	        "and what they cost.",
	.period = "last-30-days",
	.by = "",
	.by_fixed = true,
	.limit = 100,
	.run = run_tags,
};
