/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The frame of all reports.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/report.h"

/* As high as a letter is filled, in eighths. */
static const char *const heights[] = {
	"\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84",
	"\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88",
};

/* --- what was asked for -------------------------------------------------- */

const struct report *report_find(const char *name)
{
	for (size_t i = 0; reports[i] != NULL; i++) {
		if (strcmp(reports[i]->name, name) == 0) {
			return reports[i];
		}
	}
	return NULL;
}

const char *report_names(char out[REPORT_NAMES_SIZE])
{
	size_t size = 0;

	for (size_t i = 0; reports[i] != NULL && size < REPORT_NAMES_SIZE;
	     i++) {
		size += (size_t)snprintf(out + size, REPORT_NAMES_SIZE - size,
		                         "%s%s", i == 0 ? "" : ", ",
		                         reports[i]->name);
	}
	return out;
}

/* One word of --by: a field, or a unit of time. */
static int take_word(struct report_run *run, const char *word)
{
	struct query *query = &run->query;
	struct bursar_error err = { 0 };

	if (window_unit(word) >= 0) {
		if (run->unit >= 0) {
			return cli_usage_error(run->cli, "--by takes one of "
			                       "hour, day, week and month");
		}
		run->unit = window_unit(word);
		return CLI_OK;
	}
	if (query->by_count == QUERY_MAX_BY) {
		return cli_usage_error(run->cli, "--by takes %d fields at most",
		                       QUERY_MAX_BY);
	}
	const char *field = query_field(word, &err);
	if (field == NULL) {
		return cli_usage_error(run->cli, "%s", err.text);
	}
	for (size_t i = 0; i < query->by_count; i++) {
		if (strcmp(query->by[i], field) == 0) {
			return cli_usage_error(run->cli, "--by has %s twice",
			                       field);
		}
	}
	query->by[query->by_count++] = field;
	return CLI_OK;
}

/* Reads "provider,day". */
static int take_by(struct report_run *run, const char *text)
{
	char word[64];
	int status = CLI_OK;

	while (text != NULL && *text != '\0' && status == CLI_OK) {
		const size_t size = strcspn(text, ",");

		snprintf(word, sizeof(word), "%.*s", (int)size, text);
		status = take_word(run, word);
		text = text[size] == ',' ? text + size + 1 : NULL;
	}
	return status;
}

static int add_filter(struct report_run *run, const char *word, const char *value)
{
	struct query *query = &run->query;
	struct bursar_error err = { 0 };

	const char *field = query_field(word, &err);
	if (field == NULL) {
		return cli_usage_error(run->cli, "%s", err.text);
	}
	if (query->filter_count == QUERY_MAX_FILTERS) {
		return cli_usage_error(run->cli, "there are more than %d "
		                       "conditions", QUERY_MAX_FILTERS);
	}
	query->filters[query->filter_count++] =
		(struct query_filter){ field, value };
	return CLI_OK;
}

/* Reads "team=red". */
static int take_where(struct report_run *run, const char *text)
{
	const char *equals = strchr(text, '=');
	char word[64];

	if (equals == NULL) {
		return cli_usage_error(run->cli, "--where is FIELD=VALUE, not "
		                       "'%.60s'", text);
	}
	snprintf(word, sizeof(word), "%.*s", (int)(equals - text), text);
	return add_filter(run, word, equals + 1);
}

static int take_filters(struct report_run *run)
{
	const struct report_choice *choice = run->choice;
	int status = CLI_OK;

	if (run->report->field != NULL) {
		status = add_filter(run, run->report->field, choice->operand);
	}
	for (size_t i = 0; i < choice->where_count && status == CLI_OK; i++) {
		status = take_where(run, choice->where[i]);
	}
	return status;
}

static int take_window(struct report_run *run)
{
	const struct report_choice *choice = run->choice;
	struct window_choice window = { choice->period, choice->since,
	                                choice->until, choice->tz };
	struct bursar_error err = { 0 };

	if (window.period == NULL && window.since == NULL &&
	    window.until == NULL) {
		window.period = run->report->period;
	}
	run->period = window.period;
	if (window_choose(&window, run->now, &run->query.window, &err) != 0) {
		return cli_usage_error(run->cli, "%s", err.text);
	}
	if (!choice->compare) {
		return CLI_OK;
	}
	if (run->unit >= 0) {
		return cli_usage_error(run->cli, "--compare cannot be used "
		                       "with hours, days, weeks or months");
	}
	run->compared = window_before(window.period, &run->query.window,
	                              run->now, &run->before);
	return run->compared ? CLI_OK
		: cli_usage_error(run->cli, "--compare needs a window that is "
		                  "not open: give --period, or --since and "
		                  "--until");
}

int report_prepare(struct report_run *run, const struct report *report,
                   struct cli *cli, const struct report_choice *choice)
{
	*run = (struct report_run){
		.report = report,
		.cli = cli,
		.choice = choice,
		.now = clock_wall_us(),
		.unit = -1,
		.query = {
			.order = report->order,
			.from_records = choice->from_records,
		},
	};
	if (choice->by != NULL && report->by_fixed) {
		return cli_usage_error(cli, "report %s takes no --by",
		                       report->name);
	}
	run->limit = choice->limit > 0 ? choice->limit
		: report->limit > 0 ? report->limit : LINES_MAX;
	int status = take_by(run, choice->by != NULL ? choice->by : report->by);
	if (status == CLI_OK) {
		status = take_filters(run);
	}
	return status == CLI_OK ? take_window(run) : status;
}

/* --- asking -------------------------------------------------------------- */

void report_by(struct query *query, const char *field)
{
	query->by_count = field != NULL ? 1 : 0;
	query->by[0] = field;
}

static void note_unpriced(struct report_run *run, const struct lines *lines)
{
	const struct line *total = &lines->total;

	run->requests = total->columns[ROLLUP_REQUESTS];
	run->unpriced = run->requests -
		total->columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1];
	run->overflow |= lines->overflow;
}

int report_note_purged(struct report_run *run, const struct query *query)
{
	struct bursar_error err = { 0 };
	int64_t purged = INT64_MIN;

	if (book_note_read(run->book, BOOK_FACTS_PURGED, &purged, &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	if (purged != INT64_MIN && query_reads_before(query, purged)) {
		run->incomplete_before = purged;
	}
	return CLI_OK;
}

int report_ask(struct report_run *run, struct query *query, size_t limit,
               struct lines *lines)
{
	struct bursar_error err = { 0 };

	lines_init(lines, query->by_count, limit);
	const int status = report_note_purged(run, query);
	if (status != CLI_OK) {
		return status;
	}
	if (query_run(run->book, query, lines_take, lines, &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	note_unpriced(run, lines);
	return CLI_OK;
}

/* The same groups in the window before. */
static int compare(struct report_run *run, const struct query *query,
                   struct lines *lines)
{
	struct query before = *query;
	struct lines old;

	before.window = run->before;
	before.periods = NULL;
	before.period_count = 0;
	before.columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	before.extras = 0;
	const int64_t requests = run->requests, unpriced = run->unpriced;
	const int status = report_ask(run, &before, LINES_MAX, &old);
	run->requests = requests;
	run->unpriced = unpriced;
	if (status == CLI_OK) {
		lines_compare(lines, &old);
	}
	lines_finish(&old);
	return status;
}

int report_narrow(struct report_run *run, struct window *window)
{
	struct bursar_error err = { 0 };
	struct window extent;

	if (query_extent(run->book, &extent, &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	if (window->since == WINDOW_OPEN_SINCE) {
		window->since = extent.since < window->until ? extent.since
			: window->until;
	}
	const int64_t last = extent.until > run->now ? extent.until : run->now;
	if (window->until == WINDOW_OPEN_UNTIL) {
		window->until = extent.until;
	} else if (window->until > last) {
		window->until = last;
	}
	if (window->until < window->since) {
		window->until = window->since;
	}
	return CLI_OK;
}

int report_divide(struct report_run *run, struct query *query,
                  enum window_unit unit, struct window_periods *periods)
{
	struct bursar_error err = { 0 };

	*periods = (struct window_periods){ 0 };
	const int status = report_narrow(run, &query->window);
	if (status != CLI_OK) {
		return status;
	}
	if (window_divide(&query->window, unit, QUERY_MAX_PERIODS, periods,
	                  &err) != 0) {
		return cli_usage_error(run->cli, "%s", err.text);
	}
	query->periods = periods->bounds;
	query->period_count = periods->count;
	return CLI_OK;
}

/* --- tables -------------------------------------------------------------- */

/* A bar of periods is held against the highest, else against all. */
static struct scale scale_of(const struct lines *lines, bool by_highest)
{
	struct scale scale = { &lines->total,
	                       line_sum(&lines->total, ROLLUP_COST) };

	for (size_t i = 0; by_highest && i < lines->count; i++) {
		const int64_t cost = line_sum(&lines->lines[i], ROLLUP_COST);

		scale.full = i == 0 || cost > scale.full ? cost : scale.full;
	}
	return scale;
}

struct drawing {
	const struct report_run *run;
	const struct query *query;
	const struct window_periods *periods;	/* NULL: none */
	const struct shown *shown[TABLE_MAX_COLUMNS];
	size_t count;
	struct scale scale;
	struct table *table;
};

/* title stands for the keys; NULL: the line has its own. */
static void add_line(const struct drawing *d, const struct line *line,
                     const char *title)
{
	const bool person = d->run->cli->format == CLI_TABLE;
	char label[WINDOW_TEXT_SIZE];

	if (d->periods != NULL) {
		table_add_text(d->table, title != NULL ? title
		               : window_label(d->periods, line->period, label));
	}
	for (size_t i = 0; i < d->query->by_count; i++) {
		const char *key = line->keys[i];

		if (title != NULL) {
			key = i == 0 && d->periods == NULL ? title : "";
		}
		table_add_text(d->table, key != NULL ? key
		               : person ? "(unknown)" : NULL);
	}
	for (size_t i = 0; i < d->count; i++) {
		const struct value value = figure_of(d->shown[i], line,
		                                     &d->scale);

		value_add(d->table, &value);
	}
}

static void add_lines(const struct drawing *d, const struct lines *lines,
                      bool total)
{
	const bool person = d->run->cli->format == CLI_TABLE;
	char others[40];

	for (size_t i = 0; i < lines->count; i++) {
		add_line(d, &lines->lines[i], NULL);
	}
	if (!person || (d->query->by_count == 0 && d->periods == NULL)) {
		return;
	}
	if (lines->others > 0) {
		snprintf(others, sizeof(others), "(%zu others)", lines->others);
		add_line(d, &lines->rest, others);
	}
	if (total) {
		add_line(d, &lines->total, "total");
	}
}

static const char *const unit_columns[] = {
	[WINDOW_HOURS] = "hour", [WINDOW_DAYS] = "day",
	[WINDOW_WEEKS] = "week", [WINDOW_MONTHS] = "month",
};

struct table *report_table(struct report_run *run, const struct query *query,
                           const struct window_periods *periods,
                           const struct lines *lines,
                           const struct shown *columns, size_t count,
                           bool total)
{
	struct table_column head[TABLE_MAX_COLUMNS];
	struct drawing d = { .run = run, .query = query, .periods = periods };
	size_t width = 0;

	d.count = figures_shown(columns, count, run->cli, query->by_count > 0,
	                        run->compared, d.shown);
	d.scale = scale_of(lines, periods != NULL);
	if (periods != NULL) {
		head[width++] = (struct table_column){
			unit_columns[periods->unit], NULL, TABLE_TEXT };
	}
	for (size_t i = 0; i < query->by_count; i++) {
		head[width++] = (struct table_column){ query->by[i], NULL,
		                                       TABLE_TEXT };
	}
	for (size_t i = 0; i < d.count; i++) {
		head[width++] = d.shown[i]->column;
	}
	d.table = table_create(head, width);
	add_lines(&d, lines, total);
	return d.table;
}

/* --- printing ------------------------------------------------------------ */

/* NULL for the end of a window that is open. */
static const char *moment(int64_t us, char text[WINDOW_TEXT_SIZE])
{
	return us == WINDOW_OPEN_SINCE || us == WINDOW_OPEN_UNTIL ? NULL
		: window_text(us, text);
}

json_t *report_head(const struct report_run *run, const struct lines *lines)
{
	const struct window *window = &run->query.window;
	char text[WINDOW_TEXT_SIZE];
	json_t *head = json_object();

	head_text(head, "report", run->report->name);
	head_text(head, "since", moment(window->since, text));
	head_text(head, "until", moment(window->until, text));
	if (run->compared) {
		head_text(head, "previous_since",
		          moment(run->before.since, text));
		head_text(head, "previous_until",
		          moment(run->before.until, text));
	}
	if (lines != NULL && lines->others > 0) {
		head_number(head, "omitted", (int64_t)lines->others);
	}
	if (run->incomplete_before != 0) {
		head_text(head, "incomplete_before",
		          moment(run->incomplete_before, text));
	}
	return head;
}

void report_remark(const struct report_run *run, const struct lines *lines)
{
	FILE *err = run->cli->err;
	char text[WINDOW_TEXT_SIZE];

	if (run->cli->format == CLI_TABLE && run->unpriced > 0) {
		fprintf(err, "%lld of %lld requests have no known cost\n",
		        (long long)run->unpriced, (long long)run->requests);
	}
	if (lines != NULL && lines->others > 0 && lines->limit == LINES_MAX) {
		fprintf(err, "bursar: %zu more groups are not listed\n",
		        lines->others);
	}
	if (run->overflow) {
		fputs("bursar: a sum is larger than can be shown: a producer "
		      "said absurd numbers\n", err);
	}
	if (run->incomplete_before != 0) {
		fprintf(err, "bursar: facts recorded before %s are purged and "
		        "not part of this: whole quarter hours of a dimension "
		        "would be\n",
		        window_text(run->incomplete_before, text));
	}
}

void report_sparkline(const struct lines *lines, size_t width,
                      char out[SPARKLINE_MAX * 3 + 1])
{
	const size_t count = lines->count;
	double sums[SPARKLINE_MAX] = { 0 };
	double highest = 0;

	if (width > SPARKLINE_MAX) {
		width = SPARKLINE_MAX;
	}
	width = count < width ? count : width;
	for (size_t i = 0; i < count; i++) {
		double *sum = &sums[i * width / count];

		*sum += (double)line_sum(&lines->lines[i], ROLLUP_COST);
		highest = *sum > highest ? *sum : highest;
	}
	out[0] = '\0';
	for (size_t i = 0; i < width && highest > 0; i++) {
		const int height = sums[i] <= 0 ? 0
			: (int)(sums[i] / highest * 7 + 0.5);

		memcpy(out + 3 * i, heights[height], 4);
	}
}

static void print_sparkline(const struct report_run *run,
                            const struct lines *lines)
{
	const int width = run->cli->width > 0 ? run->cli->width : 80;
	char text[SPARKLINE_MAX * 3 + 1];

	report_sparkline(lines, (size_t)width, text);
	if (run->cli->format == CLI_TABLE && text[0] != '\0' &&
	    lines->count > 1) {
		fprintf(run->cli->out, "%s\n", text);
	}
}

static int print_rows(struct report_run *run, const struct query *query,
                      const struct window_periods *periods,
                      const struct lines *lines)
{
	struct table *table = report_table(
		run, query, periods, lines, run->report->columns,
		run->report->column_count, true);
	json_t *head = report_head(run, lines);
	const int status = table_print(table, run->cli, head);

	json_decref(head);
	table_destroy(table);
	if (periods != NULL && query->by_count == 0) {
		print_sparkline(run, lines);
	}
	report_remark(run, lines);
	return status;
}

int report_rows(struct report_run *run)
{
	const struct report *report = run->report;
	struct query query = run->query;
	const struct shown *shown[TABLE_MAX_COLUMNS];
	struct window_periods periods = { 0 };
	struct lines lines = { 0 };
	int status = CLI_OK;

	const size_t count = figures_shown(
		report->columns, report->column_count, run->cli,
		query.by_count > 0, run->compared, shown);
	figures_want(shown, count, &query);
	if (run->unit >= 0) {
		status = report_divide(run, &query, (enum window_unit)run->unit,
		                       &periods);
	}
	if (status == CLI_OK) {
		status = report_ask(run, &query, (size_t)run->limit, &lines);
	}
	if (status == CLI_OK && run->compared && run->unit < 0) {
		status = compare(run, &query, &lines);
	}
	if (status == CLI_OK && run->unit >= 0 && query.by_count == 0 &&
	    lines.others == 0 && !lines_fill(&lines, periods.count)) {
		status = cli_fail(run->cli, "out of memory");
	}
	if (status == CLI_OK) {
		status = print_rows(run, &query,
		                    run->unit >= 0 ? &periods : NULL, &lines);
	}
	lines_finish(&lines);
	window_periods_finish(&periods);
	return status;
}

/* --- sheets -------------------------------------------------------------- */

static struct value *sheet_add(struct sheet *sheet, const char *name,
                               const char *title, enum table_kind kind)
{
	assert(sheet->count < SHEET_MAX_COLUMNS);

	sheet->columns[sheet->count] =
		(struct table_column){ name, title, kind };
	sheet->values[sheet->count] = (struct value){ .type = VALUE_NULL };
	sheet->texts[sheet->count] = NULL;
	return &sheet->values[sheet->count++];
}

void sheet_text(struct sheet *sheet, const char *name, const char *title,
                const char *text)
{
	sheet_add(sheet, name, title, TABLE_TEXT);
	sheet->texts[sheet->count - 1] = text;
}

void sheet_number(struct sheet *sheet, const char *name, const char *title,
                  enum table_kind kind, int64_t number)
{
	*sheet_add(sheet, name, title, kind) =
		(struct value){ .type = VALUE_NUMBER, .number = number };
}

void sheet_real(struct sheet *sheet, const char *name, const char *title,
                enum table_kind kind, double real)
{
	*sheet_add(sheet, name, title, kind) =
		(struct value){ .type = VALUE_REAL, .real = real };
}

void sheet_null(struct sheet *sheet, const char *name, const char *title,
                enum table_kind kind)
{
	sheet_add(sheet, name, title, kind);
}

void sheet_line(struct sheet *sheet, const struct report_run *run,
                const struct shown *columns, size_t count,
                const struct line *line)
{
	const struct scale scale = { line, 0 };
	const struct shown *shown[TABLE_MAX_COLUMNS];

	const size_t used = figures_shown(columns, count, run->cli, false,
	                                  run->compared, shown);
	for (size_t i = 0; i < used; i++) {
		const struct table_column *column = &shown[i]->column;

		*sheet_add(sheet, column->name, column->title, column->kind) =
			figure_of(shown[i], line, &scale);
	}
}

void sheet_list(struct sheet *sheet, const char *name, const char *title,
                struct table *table)
{
	assert(sheet->list_count < SHEET_MAX_LISTS);

	sheet->lists[sheet->list_count++] =
		(struct table_list){ name, title, table };
}

int sheet_drop(struct sheet *sheet, int status)
{
	for (size_t i = 0; i < sheet->list_count; i++) {
		table_destroy(sheet->lists[i].table);
	}
	sheet->list_count = 0;
	return status;
}

int sheet_print(struct sheet *sheet, struct report_run *run)
{
	struct table *table = table_create(sheet->columns, sheet->count);
	json_t *head = report_head(run, NULL);

	for (size_t i = 0; i < sheet->count; i++) {
		if (sheet->texts[i] != NULL) {
			table_add_text(table, sheet->texts[i]);
		} else {
			value_add(table, &sheet->values[i]);
		}
	}
	const int status = table_print_lists(table, sheet->lists,
	                                     sheet->list_count, run->cli, head);
	json_decref(head);
	table_destroy(table);
	sheet_drop(sheet, status);
	report_remark(run, NULL);
	return status;
}
