/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar report: what was used and what it cost.
 *
 * Sums come from the query engine; this file knows what a report shows, in
 * which order, and under which names.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/command.h"
#include "book/query.h"
#include "commands.h"
#include "table.h"

/* More groups than this are counted and summed, but not listed. */
#define MAX_ROWS   100000
/* Terminals from this width on also see shares, and bars. */
#define WIDE       110
#define VERY_WIDE  132
#define BAR_WIDTH  20
#define BAR        "\xe2\x96\x88"	/* a full block */
#define SLIVER     "\xe2\x96\x8f"	/* an eighth of one */

enum { BY, LIMIT, PERIOD, SINCE, UNTIL, TZ, SINK, FORMAT };

static const struct cli_option options[] = {
	[BY]     = { "by", 'b', "FIELD[,FIELD]", "Group by provider, model_id, "
	             "worker, node, agent, tier, request_type, cost_center, "
	             "budget_id, team or another text column." },
	[LIMIT]  = { "limit", 'n', "N", "List the N most expensive groups." },
	[PERIOD] = { "period", 'p', "PERIOD", "hour, day, week or month up to "
	             "now; or today, yesterday, this-week, last-week, "
	             "this-month or last-month (default: all time)." },
	[SINCE]  = COMMAND_OPTION_SINCE,
	[UNTIL]  = COMMAND_OPTION_UNTIL,
	[TZ]     = COMMAND_OPTION_TZ,
	[SINK]   = COMMAND_OPTION_SINK,
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

/* --- what a summary shows ------------------------------------------------ */

enum figure { SUM, REQUESTS, ERRORS, UNPRICED, LATENCY, SHARE, SHARE_BAR };

struct shown {
	struct table_column column;
	enum figure     figure;
	enum rollup_sum sum;	/* of SUM */
};

/* For a person. */
static const struct shown for_table[] = {
	{ { "request_count", "requests", TABLE_COUNT }, REQUESTS },
	{ { "error_count", "errors", TABLE_COUNT }, ERRORS },
	{ { "total_input_tokens", "input", TABLE_COUNT }, SUM,
	  ROLLUP_INPUT_TOKENS },
	{ { "total_output_tokens", "output", TABLE_COUNT }, SUM,
	  ROLLUP_OUTPUT_TOKENS },
	{ { "grand_total_tokens", "tokens", TABLE_COUNT }, SUM,
	  ROLLUP_TOTAL_TOKENS },
	{ { "avg_latency_ms", "latency ms", TABLE_REAL }, LATENCY },
	{ { "total_cost_usd", "cost USD", TABLE_MONEY }, SUM, ROLLUP_COST },
	{ { "share", "share", TABLE_PERCENT }, SHARE },
	{ { "bar", "", TABLE_TEXT }, SHARE_BAR },
};

/* For programs. */
static const struct shown for_data[] = {
	{ { "total_input_tokens", NULL, TABLE_COUNT }, SUM,
	  ROLLUP_INPUT_TOKENS },
	{ { "total_output_tokens", NULL, TABLE_COUNT }, SUM,
	  ROLLUP_OUTPUT_TOKENS },
	{ { "total_thinking_tokens", NULL, TABLE_COUNT }, SUM,
	  ROLLUP_THINKING_TOKENS },
	{ { "total_cache_read_input_tokens", NULL, TABLE_COUNT }, SUM,
	  ROLLUP_CACHE_READ },
	{ { "total_cache_write_input_tokens", NULL, TABLE_COUNT }, SUM,
	  ROLLUP_CACHE_WRITE },
	{ { "grand_total_tokens", NULL, TABLE_COUNT }, SUM,
	  ROLLUP_TOTAL_TOKENS },
	{ { "total_cost_usd", NULL, TABLE_MONEY }, SUM, ROLLUP_COST },
	{ { "avg_latency_ms", NULL, TABLE_REAL }, LATENCY },
	{ { "request_count", NULL, TABLE_COUNT }, REQUESTS },
	{ { "error_count", NULL, TABLE_COUNT }, ERRORS },
	{ { "unpriced_count", NULL, TABLE_COUNT }, UNPRICED },
};

#define COUNT(list)  (sizeof(list) / sizeof((list)[0]))
#define MAX_COLUMNS  (QUERY_MAX_BY + COUNT(for_data) + COUNT(for_table))

/* One group; its keys are its own. */
struct line {
	char   *keys[QUERY_MAX_BY];	/* NULL: unknown */
	int64_t columns[ROLLUP_FIRST_BUCKET];
};

struct summary {
	struct cli  *cli;
	struct query query;
	const char  *names[QUERY_MAX_BY];	/* of the keys */
	struct line *lines;
	size_t       count;
	size_t       room;
	size_t       limit;		/* lines at most */
	size_t       others;		/* groups beyond */
	struct line  rest;		/* their sums */
	struct line  total;
	bool         overflow;		/* a sum passed 63 bits */
	int64_t      incomplete_before;	/* 0: it is complete */
};

/* --- collecting ---------------------------------------------------------- */

static void add_up(struct summary *summary, struct line *line,
                   const struct query_row *row)
{
	for (size_t i = 0; i < ROLLUP_FIRST_BUCKET; i++) {
		const int64_t more = row->columns[i];

		if (__builtin_add_overflow(line->columns[i], more,
		                           &line->columns[i])) {
			line->columns[i] = more > 0 ? INT64_MAX : INT64_MIN;
			summary->overflow = true;
		}
	}
	summary->overflow |= row->saturated;
}

static bool make_room(struct summary *summary)
{
	if (summary->count < summary->room) {
		return true;
	}
	const size_t room = summary->room > 0 ? 2 * summary->room : 64;
	struct line *lines = reallocarray(summary->lines, room,
	                                  sizeof(*lines));
	if (lines == NULL) {
		return false;
	}
	summary->lines = lines;
	summary->room = room;
	return true;
}

static bool keep(struct summary *summary, const struct query_row *row)
{
	if (!make_room(summary)) {
		return false;
	}
	struct line *line = &summary->lines[summary->count++];
	memset(line, 0, sizeof(*line));
	memcpy(line->columns, row->columns, sizeof(line->columns));
	for (size_t i = 0; i < summary->query.by_count; i++) {
		if (row->by[i].data == NULL) {
			continue;
		}
		line->keys[i] = strndup(row->by[i].data, row->by[i].size);
		if (line->keys[i] == NULL) {
			return false;
		}
	}
	return true;
}

static int take(void *context, const struct query_row *row)
{
	struct summary *summary = context;

	add_up(summary, &summary->total, row);
	if (summary->count < summary->limit && keep(summary, row)) {
		return 0;
	}
	/* Also where memory is short: nothing is lost but its name. */
	summary->others++;
	add_up(summary, &summary->rest, row);
	return 0;
}

static void summary_finish(struct summary *summary)
{
	for (size_t i = 0; i < summary->count; i++) {
		for (size_t k = 0; k < QUERY_MAX_BY; k++) {
			free(summary->lines[i].keys[k]);
		}
	}
	free(summary->lines);
}

/* --- printing ------------------------------------------------------------ */

static bool is_table(const struct summary *summary)
{
	return summary->cli->format == CLI_TABLE;
}

static bool is_shown(const struct summary *summary, const struct shown *shown)
{
	const int width = summary->cli->width;

	if (shown->figure == SHARE) {
		return summary->query.by_count > 0 &&
		       (width == 0 || width >= WIDE);
	}
	if (shown->figure == SHARE_BAR) {
		return summary->query.by_count > 0 && width >= VERY_WIDE;
	}
	return true;
}

static size_t choose_columns(const struct summary *summary,
                             struct shown columns[MAX_COLUMNS])
{
	const struct shown *from = is_table(summary) ? for_table : for_data;
	const size_t count = is_table(summary) ? COUNT(for_table)
		: COUNT(for_data);
	size_t chosen = 0;

	for (size_t i = 0; i < count; i++) {
		if (is_shown(summary, &from[i])) {
			columns[chosen++] = from[i];
		}
	}
	return chosen;
}

/* No more than is shown: each column costs time in every cell. */
static uint64_t wanted_columns(const struct summary *summary)
{
	struct shown shown[MAX_COLUMNS];
	uint64_t columns = QUERY_COUNT | QUERY_SUM(ROLLUP_COST);

	const size_t count = choose_columns(summary, shown);
	for (size_t i = 0; i < count; i++) {
		if (shown[i].figure == SUM) {
			columns |= QUERY_SUM(shown[i].sum);
		} else if (shown[i].figure == LATENCY) {
			columns |= QUERY_SUM(ROLLUP_LATENCY);
		}
	}
	return columns;
}

static double share_of(const struct summary *summary, const struct line *line)
{
	const size_t cost = ROLLUP_FIRST_SUM + 2 * ROLLUP_COST;

	return (double)line->columns[cost] /
	       (double)summary->total.columns[cost];
}

static void add_bar(struct table *table, double share)
{
	char bar[BAR_WIDTH * sizeof(BAR) + 1] = "";
	const double blocks = share * BAR_WIDTH;

	if (!(share > 0)) {
		table_add_text(table, "");
		return;
	}
	for (int i = 0; i < BAR_WIDTH && i + 0.5 <= blocks; i++) {
		memcpy(bar + strlen(bar), BAR, sizeof(BAR));
	}
	table_add_text(table, bar[0] != '\0' ? bar : SLIVER);
}

static void add_sum(struct table *table, const struct line *line,
                    enum rollup_sum sum)
{
	const int64_t *column = &line->columns[ROLLUP_FIRST_SUM + 2 * sum];

	if (column[1] == 0) {
		table_add_null(table);
	} else {
		table_add_number(table, column[0]);
	}
}

/* Two decimals, whatever the table prints. */
static void add_average(struct table *table, const struct line *line,
                        enum rollup_sum sum)
{
	const int64_t *column = &line->columns[ROLLUP_FIRST_SUM + 2 * sum];

	if (column[1] == 0) {
		table_add_null(table);
	} else {
		const __int128 sum_of = (__int128)column[0] * 200 + column[1];
		const int64_t hundredths =
			(int64_t)(sum_of / (2 * (__int128)column[1]));

		table_add_real(table, (double)hundredths / 100);
	}
}

static void add_figure(const struct summary *summary, struct table *table,
                       const struct line *line, const struct shown *shown)
{
	const size_t priced = ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1;

	switch (shown->figure) {
	case SUM:
		add_sum(table, line, shown->sum);
		break;
	case REQUESTS:
		table_add_number(table, line->columns[ROLLUP_REQUESTS]);
		break;
	case ERRORS:
		table_add_number(table, line->columns[ROLLUP_ERRORS]);
		break;
	case UNPRICED:
		table_add_number(table, line->columns[ROLLUP_REQUESTS] -
		                 line->columns[priced]);
		break;
	case LATENCY:
		add_average(table, line, ROLLUP_LATENCY);
		break;
	case SHARE:
		if (line->columns[priced] == 0) {
			table_add_null(table);
		} else {
			table_add_real(table, share_of(summary, line));
		}
		break;
	case SHARE_BAR:
		add_bar(table, line == &summary->total ? 0
		        : share_of(summary, line));
		break;
	}
}

/* title stands for the keys; NULL: the line has its own. */
static void add_line(const struct summary *summary, struct table *table,
                     const struct line *line, const char *title,
                     const struct shown *shown, size_t count)
{
	const char *unknown = is_table(summary) ? "(unknown)" : NULL;

	for (size_t i = 0; i < summary->query.by_count; i++) {
		const char *key = line->keys[i];

		if (title != NULL) {
			key = i == 0 ? title : "";
		}
		table_add_text(table, key != NULL ? key : unknown);
	}
	for (size_t i = 0; i < count; i++) {
		add_figure(summary, table, line, &shown[i]);
	}
}

/* NULL for the end of a window that is open. */
static const char *moment(int64_t us, char text[WINDOW_TEXT_SIZE])
{
	return us == WINDOW_OPEN_SINCE || us == WINDOW_OPEN_UNTIL ? NULL
		: window_text(us, text);
}

static json_t *head_of(const struct summary *summary)
{
	const struct window *window = &summary->query.window;
	char text[WINDOW_TEXT_SIZE];
	json_t *head = json_object();

	head_text(head, "report", "summary");
	head_text(head, "since", moment(window->since, text));
	head_text(head, "until", moment(window->until, text));
	if (summary->others > 0) {
		head_number(head, "omitted", (int64_t)summary->others);
	}
	if (summary->incomplete_before != 0) {
		head_text(head, "incomplete_before",
		          moment(summary->incomplete_before, text));
	}
	return head;
}

static void add_lines(const struct summary *summary, struct table *table,
                      const struct shown *shown, size_t count)
{
	char others[40];

	for (size_t i = 0; i < summary->count; i++) {
		add_line(summary, table, &summary->lines[i], NULL, shown,
		         count);
	}
	if (!is_table(summary) || summary->query.by_count == 0) {
		return;
	}
	if (summary->others > 0) {
		snprintf(others, sizeof(others), "(%zu others)",
		         summary->others);
		add_line(summary, table, &summary->rest, others, shown, count);
	}
	add_line(summary, table, &summary->total, "total", shown, count);
}

/* What the figures do not say by themselves. */
static void remark(const struct summary *summary)
{
	const size_t priced = ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1;
	const int64_t unpriced = summary->total.columns[ROLLUP_REQUESTS] -
	                         summary->total.columns[priced];
	FILE *err = summary->cli->err;
	char text[WINDOW_TEXT_SIZE];

	if (is_table(summary) && unpriced > 0) {
		fprintf(err, "%lld of %lld requests have no known cost\n",
		        (long long)unpriced, (long long)
		        summary->total.columns[ROLLUP_REQUESTS]);
	}
	if (summary->others > 0 && summary->limit == MAX_ROWS) {
		fprintf(err, "bursar: %zu more groups are not listed\n",
		        summary->others);
	}
	if (summary->overflow) {
		fputs("bursar: a sum is larger than can be shown: a producer "
		      "said absurd numbers\n", err);
	}
	if (summary->incomplete_before != 0) {
		fprintf(err, "bursar: facts recorded before %s are purged and "
		        "not part of this: whole quarter hours of a dimension "
		        "would be\n",
		        window_text(summary->incomplete_before, text));
	}
}

static int print(const struct summary *summary)
{
	struct shown shown[MAX_COLUMNS];
	struct table_column columns[MAX_COLUMNS];
	size_t width = 0;

	const size_t count = choose_columns(summary, shown);
	for (size_t i = 0; i < summary->query.by_count; i++) {
		columns[width++] = (struct table_column){
			summary->names[i], NULL, TABLE_TEXT };
	}
	for (size_t i = 0; i < count; i++) {
		columns[width++] = shown[i].column;
	}

	struct table *table = table_create(columns, width);
	json_t *head = head_of(summary);
	add_lines(summary, table, shown, count);
	const int status = table_print(table, summary->cli, head);
	json_decref(head);
	table_destroy(table);
	remark(summary);
	return status;
}

/* --- the command --------------------------------------------------------- */

/* Reads "provider,worker"; returns CLI_OK or another status. */
static int take_by(struct summary *summary, const char *text)
{
	struct query *query = &summary->query;
	struct bursar_error err = { 0 };
	char word[64];

	while (text != NULL) {
		const size_t size = strcspn(text, ",");

		if (query->by_count == QUERY_MAX_BY) {
			return cli_usage_error(summary->cli, "--by takes %d "
			                       "fields at most", QUERY_MAX_BY);
		}
		snprintf(word, sizeof(word), "%.*s", (int)size, text);
		const char *field = query_field(word, &err);
		if (field == NULL) {
			return cli_usage_error(summary->cli, "%s", err.text);
		}
		summary->names[query->by_count] = field;
		query->by[query->by_count++] = field;
		text = text[size] == ',' ? text + size + 1 : NULL;
	}
	return CLI_OK;
}

static int ask(struct summary *summary, struct book *book)
{
	struct bursar_error err = { 0 };
	int64_t purged = INT64_MIN;

	if (book_note_read(book, BOOK_FACTS_PURGED, &purged, &err) != 0 ||
	    query_run(book, &summary->query, take, summary, &err) != 0) {
		return cli_fail(summary->cli, "%s", err.text);
	}
	if (purged != INT64_MIN && query_reads_before(&summary->query, purged)) {
		summary->incomplete_before = purged;
	}
	return print(summary);
}

static int run_summary(struct cli *cli, const char *const *value)
{
	const struct window_choice choice = { value[PERIOD], value[SINCE],
	                                      value[UNTIL], value[TZ] };
	struct summary summary = { .cli = cli };
	int64_t limit = MAX_ROWS;
	struct book book;

	if (!cli_number(cli, "limit", value[LIMIT], 1, MAX_ROWS, &limit)) {
		return cli->status;
	}
	summary.limit = (size_t)limit;
	summary.query.columns = wanted_columns(&summary);
	int status = take_by(&summary, value[BY]);
	if (status == CLI_OK) {
		status = command_window(cli, &choice, &summary.query.window);
	}
	if (status == CLI_OK) {
		status = command_open(cli, value[SINK], BURSAR_READ, &book);
	}
	if (status != CLI_OK) {
		return status;
	}
	status = ask(&summary, &book);
	summary_finish(&summary);
	book_close(&book);
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc < 1) {
		return cli_usage_error(cli, "name a report: summary");
	}
	if (argc > 1) {
		return cli_usage_error(cli, "'%s' is one word too many",
		                       argv[1]);
	}
	if (strcmp(argv[0], "summary") != 0) {
		return cli_usage_error(cli, "there is no report '%s'; there "
		                       "is: summary", argv[0]);
	}
	return run_summary(cli, value);
}

const struct command command_report = {
	.name = "report",
	.summary = "print what was used and what it cost",
	.usage = "summary [--by FIELD] [--limit N] [--period PERIOD | "
	         "--since TIME --until TIME]",
	.options = options,
	.manual =
	"Sums tokens, costs and requests of the facts of a window of time, by "
	"the time at which they were recorded.  Without any word of time, all "
	"of the ledger is meant.  A window is half-open: it has the facts from "
	"--since on and those before --until, so that windows that touch add "
	"up.  A date alone is the start of that day in the zone.\n"
	"\n"
	"Rows come by cost, the highest first.  What nobody said is not zero: "
	"a sum to which no fact contributed is null, and averages are over the "
	"facts that said anything.  Money is exact in JSON and CSV.\n"
	"\n"
	"Groups by one field that has rollups, and by provider and model_id, "
	"are answered at once however large the ledger is; other columns read "
	"every fact of the window.\n"
	"\n"
	"\tbursar report summary --by provider --period this-month\n"
	"\tbursar report summary --by team --since 2026-03-01 "
	"--until 2026-04-01 --tz Europe/Vienna --format csv",
	.run = run,
};
