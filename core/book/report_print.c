/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The frame of all reports: from lines to what is printed.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "book/report.h"

/* As high as a letter is filled, in eighths. */
static const char *const heights[] = {
	"\xe2\x96\x81", "\xe2\x96\x82", "\xe2\x96\x83", "\xe2\x96\x84",
	"\xe2\x96\x85", "\xe2\x96\x86", "\xe2\x96\x87", "\xe2\x96\x88",
};

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

void report_add_key(const struct report_run *run, struct table *table,
                    struct bursar_span text)
{
	if (text.data != NULL) {
		table_add_bytes(table, text.data, text.size);
	} else {
		table_add_text(table, run->cli->format == CLI_TABLE
		               ? "(unknown)" : NULL);
	}
}

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
