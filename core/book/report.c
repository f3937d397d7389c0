/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The frame of all reports: what was asked for, and asking.
 */
#include "config.h"

#include <assert.h>
#include <string.h>

#include "book/days.h"
#include "book/report.h"

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

/* The field that a word means; that of a tag lives as long as the run. */
static const char *field_of(struct report_run *run, const char *word,
                            struct bursar_error *err)
{
	const char *field = query_field(word, err);

	if (field != word) {
		return field;
	}
	assert(run->word_count < COUNT_OF(run->words));
	char *kept = run->words[run->word_count++];
	snprintf(kept, sizeof(run->words[0]), "%s", word);
	return kept;
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
	const char *field = field_of(run, word, &err);
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
	char word[REPORT_WORD_SIZE];
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

	const char *field = field_of(run, word, &err);
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

/* Reads "team=red", or of a tag "customer=42". */
static int take_where(struct report_run *run, const char *text, bool is_tag)
{
	const char *equals = strchr(text, '=');
	char word[REPORT_WORD_SIZE];

	if (equals == NULL) {
		return cli_usage_error(run->cli, "--where is FIELD=VALUE, not "
		                       "'%.60s'", text);
	}
	snprintf(word, sizeof(word), "%s%.*s", is_tag ? TAGS_PREFIX : "",
	         (int)(equals - text), text);
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
		status = take_where(run, choice->where[i], choice->is_tag[i]);
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

	if (days_look(run->book, query->window.since, query->window.until,
	              &err) != 0) {
		return cli_fail(run->cli, "%s", err.text);
	}
	if (run->book->purged_us != INT64_MIN &&
	    query_reads_before(run->book, query, run->book->purged_us)) {
		run->incomplete_before = run->book->purged_us;
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

/* --- rows ---------------------------------------------------------------- */

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
