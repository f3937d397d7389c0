/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which tags there are, and what the values of one cost.
 *
 * The list comes from the sums: the dimension "tag" counts by key.  Records are
 * read for the first and the last quarter hour of each key alone, for those
 * that the window cuts, and for the number of values of a tag that is no
 * dimension, as long as few calls bear it.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "book/days.h"
#include "book/named.h"
#include "book/report_list.h"
#include "common/columns.h"

/* Calls whose records are read to count values; more take too long. */
#define MAX_COUNTED 1000000

/* --- the keys ------------------------------------------------------------ */

/* What was seen of a key: calls, and when, in us. */
struct seen {
	int64_t calls;
	int64_t first;		/* without calls of no meaning, as last */
	int64_t last;
};

struct key {
	char    name[TAGS_ASKED_MAX + 1];
	int64_t first;		/* cells */
	int64_t last;
	struct seen seen;	/* in the whole cells of the window */
};

/* The window: its whole cells, and the parts of cells before and behind them,
 * of which records tell. */
struct keys {
	struct key *list;
	size_t count;
	size_t room;
	int64_t first;		/* whole cells [first, last) */
	int64_t last;
	struct window parts[2];
};

/* A time that ids can say, as the window may be open. */
static int64_t time_of(int64_t us)
{
	const int64_t end = COLUMNS_NEVER * COLUMNS_CELL_US;

	return us < 0 ? 0 : us > end ? end : us;
}

static void divide(struct keys *keys, const struct window *window)
{
	const int64_t since = time_of(window->since);
	const int64_t until = time_of(window->until);

	keys->first = columns_cell(since + COLUMNS_CELL_US - 1);
	keys->last = columns_cell(until);
	if (keys->first > keys->last) {
		keys->first = keys->last;
		keys->parts[0] = (struct window){ since, until };
		return;
	}
	keys->parts[0] = (struct window){ since, keys->first *
	                                         COLUMNS_CELL_US };
	keys->parts[1] = (struct window){ keys->last * COLUMNS_CELL_US, until };
}

static bool is_empty(const struct window *window)
{
	return window->since >= window->until;
}

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
	key->first = book_get(&cells[2]);
	key->last = book_get(&cells[3]);
	key->seen = (struct seen){
		.calls = book_get(&cells[4]),
		.first = book_get(&cells[5]),
		.last = book_get(&cells[6]),
	};
	return 0;
}

/* What of the cells that are whole in the window. */
static void add_whole(struct book_statement *st, const struct keys *keys,
                      const char *function, const char *column)
{
	book_add(st, ", CAST(%s(CASE WHEN r.cell >= ", function);
	book_add_value(st, book_int(keys->first));
	book_add(st, " AND r.cell < ");
	book_add_value(st, book_int(keys->last));
	book_add(st, " THEN r.%s END) AS BIGINT)", column);
}

/* Each key by one look into the sums, also of cells that are cut. */
static int read_keys(struct report_run *run, struct keys *keys)
{
	const struct window *window = &run->query.window;
	struct bursar_error err = { 0 };
	struct book_statement st;

	book_begin(&st);
	query_add_values(&st, ROLLUP_KEYS);
	book_add(&st, "SELECT r.value, CAST(SUM(r.request_count) AS BIGINT), "
	         "MIN(r.cell), MAX(r.cell)");
	add_whole(&st, keys, "SUM", "request_count");
	add_whole(&st, keys, "MIN", "cell");
	add_whole(&st, keys, "MAX", "cell");
	book_add(&st, " FROM v CROSS JOIN rollup_cells r "
	         "WHERE r.dimension = '" ROLLUP_KEYS "' AND r.value = v.value "
	         "AND r.cell >= ");
	book_add_value(&st, book_int(columns_cell(time_of(window->since))));
	book_add(&st, " AND r.cell < ");
	book_add_value(&st, book_int(columns_cell(
		time_of(window->until) + COLUMNS_CELL_US - 1)));
	book_add(&st, " GROUP BY r.value ORDER BY 2 DESC, 1 LIMIT ");
	book_add_value(&st, book_int((int64_t)keys->room));
	return book_ask(run->book, &st, take_key, keys, &err) == 0 ? CLI_OK
		: cli_fail(run->cli, "%s", err.text);
}

static int take_seen(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	(void)count;
	*(struct seen *)context = (struct seen){
		book_get(&cells[0]), book_get(&cells[1]), book_get(&cells[2]),
	};
	return 0;
}

/* What the records of a part of the window say of a key. */
static int ask_records(struct report_run *run, const struct key *key,
                       const struct window *part, struct seen *seen)
{
	struct bursar_error err = { 0 };
	struct book_statement st;

	*seen = (struct seen){ 0 };
	if (is_empty(part)) {
		return CLI_OK;
	}
	if (part->since < run->book->purged_us) {
		run->incomplete_before = run->book->purged_us;
	}
	book_begin(&st);
	book_add(&st, "SELECT COUNT(*), MIN(recorded_us), MAX(recorded_us)");
	query_add_tagged(&st, key->name, part->since, part->until);
	return book_ask(run->book, &st, take_seen, seen, &err) == 0 ? CLI_OK
		: cli_fail(run->cli, "%s", err.text);
}

static struct window cell_of(int64_t cell)
{
	return (struct window){ cell * COLUMNS_CELL_US,
	                        (cell + 1) * COLUMNS_CELL_US };
}

/* When it was seen in whole cells; they say it themselves where the records are
 * gone. */
static int find_moments(struct report_run *run, struct key *key)
{
	const struct window first = cell_of(key->seen.first);
	const struct window last = cell_of(key->seen.last);
	const int64_t incomplete = run->incomplete_before;
	struct seen of_first, of_last;

	if (key->seen.calls == 0) {
		return CLI_OK;
	}
	int status = ask_records(run, key, &first, &of_first);
	if (status == CLI_OK) {
		status = ask_records(run, key, &last, &of_last);
	}
	if (status == CLI_OK) {
		key->seen.first = of_first.calls > 0 ? of_first.first
			: first.since;
		key->seen.last = of_last.calls > 0 ? of_last.last : last.since;
	}
	run->incomplete_before = incomplete;
	return status;
}

static void add_seen(struct seen *seen, const struct seen *more)
{
	if (more->calls == 0) {
		return;
	}
	if (seen->calls == 0 || more->first < seen->first) {
		seen->first = more->first;
	}
	if (seen->calls == 0 || more->last > seen->last) {
		seen->last = more->last;
	}
	seen->calls += more->calls;
}

static int complete(struct report_run *run, const struct keys *keys,
                    struct key *key)
{
	int status = find_moments(run, key);

	for (size_t i = 0; i < 2 && status == CLI_OK; i++) {
		struct seen seen;

		status = ask_records(run, key, &keys->parts[i], &seen);
		if (status == CLI_OK) {
			add_seen(&key->seen, &seen);
		}
	}
	return status;
}

static int by_calls(const void *left, const void *right)
{
	const struct key *a = left, *b = right;

	return a->seen.calls != b->seen.calls
		? (a->seen.calls > b->seen.calls ? -1 : 1)
		: strcmp(a->name, b->name);
}

/* --- their values -------------------------------------------------------- */

static int ask_number(struct report_run *run, const struct book_statement *st,
                      struct value *answer)
{
	struct bursar_error err = { 0 };
	bool known;

	*answer = (struct value){ .type = VALUE_NUMBER };
	return book_number(run->book, st->text, st->parameters, st->count,
	                   &answer->number, &known, &err) == 0 ? CLI_OK
		: cli_fail(run->cli, "%s", err.text);
}

/* Those of the sums, and of the records of what is cut. */
static int count_summed(struct report_run *run, const struct keys *keys,
                        const struct key *key, const char *name,
                        struct value *answer)
{
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "SELECT COUNT(*) FROM (SELECT value AS said "
	         "FROM rollup_cells WHERE dimension = '%s' AND value <> '' "
	         "AND cell >= ", name);
	book_add_value(&st, book_int(keys->first));
	book_add(&st, " AND cell < ");
	book_add_value(&st, book_int(keys->last));
	for (size_t i = 0; i < 2; i++) {
		const struct window *part = &keys->parts[i];

		if (!is_empty(part)) {
			book_add(&st, " UNION SELECT bursar_tag(tags, '%s')",
			         key->name);
			query_add_tagged(&st, key->name, part->since,
			                 part->until);
		}
	}
	book_add(&st, " UNION SELECT '') q WHERE said <> ''");
	return ask_number(run, &st, answer);
}

/* How many values it has; NULL where that would take too long. */
static int count_values(struct report_run *run, const struct keys *keys,
                        const struct key *key, struct value *answer)
{
	char name[ROLLUP_NAME_SIZE];
	struct book_statement st;
	int64_t since = time_of(run->query.window.since);
	int64_t until = time_of(run->query.window.until);

	snprintf(name, sizeof(name), TAGS_PREFIX "%s", key->name);
	const struct rollup_tag *tag = named_find(run->book, name);
	if (tag != NULL && tag->since <= key->first) {
		return count_summed(run, keys, key, name, answer);
	}
	*answer = (struct value){ .type = VALUE_NULL };
	if (key->seen.calls > MAX_COUNTED) {
		return CLI_OK;
	}
	const struct window first = cell_of(key->first);
	const struct window last = cell_of(key->last);
	since = first.since > since ? first.since : since;
	until = last.until < until ? last.until : until;
	if (since < run->book->purged_us) {
		run->incomplete_before = run->book->purged_us;
	}
	book_begin(&st);
	book_add(&st, "SELECT COUNT(DISTINCT NULLIF(bursar_tag(tags, '%s'), "
	         "''))", key->name);
	query_add_tagged(&st, key->name, since, until);
	return ask_number(run, &st, answer);
}

/* --- the list ------------------------------------------------------------ */

static int add_row(struct report_run *run, const struct keys *keys,
                   const struct key *key, struct table *table)
{
	char name[ROLLUP_NAME_SIZE];
	struct value values;
	const int status = count_values(run, keys, key, &values);

	if (status != CLI_OK) {
		return status;
	}
	snprintf(name, sizeof(name), TAGS_PREFIX "%s", key->name);
	table_add_text(table, key->name);
	table_add_number(table, key->seen.calls);
	value_add(table, &values);
	table_add_number(table, key->seen.first);
	table_add_number(table, key->seen.last);
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

static int fill_list(struct report_run *run, struct keys *keys,
                     struct table *table)
{
	int status = read_keys(run, keys);

	for (size_t i = 0; i < keys->count && status == CLI_OK; i++) {
		status = complete(run, keys, &keys->list[i]);
	}
	if (keys->count > 0) {
		qsort(keys->list, keys->count, sizeof(*keys->list), by_calls);
	}
	for (size_t i = 0; i < keys->count && status == CLI_OK &&
	     keys->list[i].seen.calls > 0; i++) {
		status = add_row(run, keys, &keys->list[i], table);
	}
	return status;
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
	if (days_look(run->book, window->since, window->until, &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	divide(&keys, window);
	keys.list = calloc(keys.room, sizeof(*keys.list));
	if (keys.list == NULL) {
		return cli_fail(run->cli, "out of memory");
	}
	struct table *table = table_create(key_columns, COUNT_OF(key_columns));
	int status = fill_list(run, &keys, table);
	if (status == CLI_OK) {
		json_t *head = report_head(run, NULL);

		status = table_print(table, run->cli, head);
		json_decref(head);
		report_remark(run, NULL);
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
