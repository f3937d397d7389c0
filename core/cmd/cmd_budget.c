/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar budget: what was spent, what may still be, and for how long.
 */
#include "config.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "book/budget.h"
#include "book/command.h"
#include "book/figures.h"
#include "book/lines.h"
#include "cli/table.h"
#include "cmd/commands.h"

#define BAR_WIDTH 16
#define DAY_US    INT64_C(86400000000)

enum { MAY, PERIOD, SINCE, UNTIL, THRESHOLD, TZ, WHERE, DAYS, SINK, FORMAT };

static const struct cli_option options[] = {
	[MAY]    = { "limit", 0, "USD", "The limit in dollars, instead of the "
	             "configured one." },
	[PERIOD] = { "period", 'p', "PERIOD", "The time it is for: hour, day, "
	             "week or month (30 days) up to now; or today, this-week, "
	             "this-month ... (default: as configured, else month)." },
	[SINCE]  = COMMAND_OPTION_SINCE,
	[UNTIL]  = COMMAND_OPTION_UNTIL,
	[THRESHOLD] = { "threshold", 0, "PERCENT", "The part of the limit from "
	                "which it is said (default: as configured, else 80)." },
	[TZ]     = { "tz", 0, "ZONE", "Time zone of calendar periods (default: "
	             "as configured, else UTC)." },
	[WHERE]  = { "where", 'w', "FIELD=VALUE", "The calls that it is about "
	             "(default: as configured, else those of that "
	             "budget_id)." },
	[DAYS]   = { "days", 0, "N", "How far a forecast looks (default: 30)." },
	[SINK]   = COMMAND_OPTION_SINK,
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

/* What all forms of the command share. */
struct work {
	struct cli *cli;
	const char *const *value;
	const struct setup *setup;
	struct book book;
	int64_t now;
	int64_t days;
	int64_t unpriced;	/* requests without a known cost */
	bool    incomplete;
	char    word[ROLLUP_NAME_SIZE + 8];	/* the field of --where */
};

/* --- the budget ---------------------------------------------------------- */

static int take_where(struct work *work, struct budget *budget)
{
	const char *text = work->value[WHERE];
	struct bursar_error err = { 0 };

	if (text == NULL) {
		return CLI_OK;
	}
	const char *equals = strchr(text, '=');
	if (equals == NULL) {
		return cli_usage_error(work->cli, "--where is FIELD=VALUE, not "
		                       "'%.60s'", text);
	}
	snprintf(work->word, sizeof(work->word), "%.*s", (int)(equals - text),
	         text);
	budget->field = query_field(work->word, &err);
	budget->value = equals + 1;
	return budget->field != NULL ? CLI_OK
		: cli_usage_error(work->cli, "%s", err.text);
}

/* What the command line changes. */
static int change(struct work *work, struct budget *budget)
{
	const char *const *value = work->value;
	int64_t threshold = budget->threshold;

	if (value[MAY] != NULL) {
		if (!table_money_parse(value[MAY], &budget->limit_nano) ||
		    budget->limit_nano < 0) {
			return cli_usage_error(work->cli, "--limit is an "
			                       "amount in dollars, such as 100 "
			                       "or 49.90, not '%.40s'",
			                       value[MAY]);
		}
		budget->limited = true;
	}
	if (!cli_number(work->cli, "threshold", value[THRESHOLD], 1, 100,
	                &threshold)) {
		return work->cli->status;
	}
	budget->threshold = (int)threshold;
	if (value[PERIOD] != NULL || value[SINCE] != NULL ||
	    value[UNTIL] != NULL) {
		budget->period = value[PERIOD];
		budget->since = value[SINCE];
		budget->until = value[UNTIL];
	}
	if (value[TZ] != NULL) {
		budget->tz = value[TZ];
	}
	return take_where(work, budget);
}

static int ask(struct work *work, const struct budget *budget, bool forecast,
               struct budget_state *state)
{
	const struct window_choice choice = { budget->period, budget->since,
	                                      budget->until, budget->tz };
	struct bursar_error err = { 0 };

	/* What the user got wrong is told from what went wrong. */
	const int status = command_window(work->cli, &choice, &state->window);
	if (status != CLI_OK) {
		return status;
	}
	if (budget_ask(&work->book, budget, work->now, forecast, state,
	               &err) != 0) {
		return cli_fail(work->cli, "%s", err.text);
	}
	work->unpriced += state->unpriced;
	work->incomplete |= state->incomplete;
	return CLI_OK;
}

/* --- columns ------------------------------------------------------------- */

enum column {
	ID, LIMIT, SPENT, REMAINING, EXCEEDED, REACHED, STATE, PERCENT, BAR,
	OF_PERIOD, REQUESTS, UNPRICED, PROJECTED_COST, AVERAGE, OF_DAYS, TREND,
	PROJECTED, PROJECTED_PERCENT, PROJECTED_DELTA, LASTS
};

/* For whom a column is. */
enum { PERSON = 1, PROGRAM = 2, BOTH = 3 };

struct column_of {
	struct table_column column;
	enum column what;
	int who;
	int width;	/* of a terminal below which it is left out */
};

static const struct column_of check_columns[] = {
	{ { "budget_id", "budget", TABLE_TEXT }, ID, BOTH, 0 },
	{ { "budget_usd", "limit USD", TABLE_MONEY }, LIMIT, BOTH, 0 },
	{ { "spent_usd", "spent USD", TABLE_MONEY }, SPENT, BOTH, 0 },
	{ { "remaining_usd", "left USD", TABLE_MONEY }, REMAINING, BOTH, 70 },
	{ { "exceeded", NULL, TABLE_FLAG }, EXCEEDED, PROGRAM, 0 },
	{ { "threshold_reached", NULL, TABLE_FLAG }, REACHED, PROGRAM, 0 },
	{ { "state", NULL, TABLE_TEXT }, STATE, PERSON, 0 },
	{ { "spent_percent", "spent", TABLE_POINTS }, PERCENT, BOTH, 0 },
	{ { "period", NULL, TABLE_TEXT }, OF_PERIOD, BOTH, 0 },
	{ { "bar", "", TABLE_TEXT }, BAR, PERSON, 100 },
	{ { "request_count", NULL, TABLE_COUNT }, REQUESTS, PROGRAM, 0 },
	{ { "unpriced_count", NULL, TABLE_COUNT }, UNPRICED, PROGRAM, 0 },
};

static const struct column_of forecast_columns[] = {
	{ { "budget_id", "budget", TABLE_TEXT }, ID, BOTH, 0 },
	{ { "projected_cost", "coming USD", TABLE_MONEY }, PROJECTED_COST,
	  BOTH, 110 },
	{ { "daily_average", "a day USD", TABLE_MONEY }, AVERAGE, BOTH, 72 },
	{ { "days", NULL, TABLE_COUNT }, OF_DAYS, PROGRAM, 0 },
	{ { "trend", NULL, TABLE_TEXT }, TREND, PROGRAM, 0 },
	{ { "period", NULL, TABLE_TEXT }, OF_PERIOD, BOTH, 90 },
	{ { "budget_usd", "limit USD", TABLE_MONEY }, LIMIT, BOTH, 0 },
	{ { "spent_usd", "spent USD", TABLE_MONEY }, SPENT, BOTH, 0 },
	{ { "projected_usd", "at the end", TABLE_MONEY }, PROJECTED, BOTH, 0 },
	{ { "projected_percent", "of it", TABLE_POINTS }, PROJECTED_PERCENT,
	  BOTH, 80 },
	{ { "projected_delta", NULL, TABLE_MONEY }, PROJECTED_DELTA, PROGRAM,
	  0 },
	{ { "days_left", "days left", TABLE_REAL }, LASTS, BOTH, 0 },
};

static void add_money(struct table *table, bool known, int64_t nano)
{
	if (known) {
		table_add_number(table, nano);
	} else {
		table_add_null(table);
	}
}

static void add_percent(struct table *table, const struct budget *budget,
                        int64_t part)
{
	if (!budget->limited) {
		table_add_null(table);
	} else if (budget->limit_nano == 0) {
		table_add_real(table, 0);
	} else {
		table_add_real(table, figure_percent(part, budget->limit_nano));
	}
}

static void add_bar(struct table *table, const struct budget *budget,
                    const struct budget_state *state)
{
	char bar[BAR_SIZE(BAR_WIDTH)] = "";

	if (budget->limited && budget->limit_nano > 0) {
		const double share = (double)state->spent /
		                     (double)budget->limit_nano;

		figure_bar(share > 1 ? 1 : share, BAR_WIDTH, bar);
	}
	table_add_text(table, bar);
}

/* How long what is left lasts at the pace of the last day; null: for ever. */
static void add_days_left(struct table *table, const struct budget *budget,
                          const struct budget_state *state)
{
	if (!budget->limited || state->last_day <= 0) {
		table_add_null(table);
	} else {
		const double days = (double)state->remaining /
		                    (double)state->last_day;

		table_add_real(table, floor(days * 10 + 0.5) / 10);
	}
}

static int64_t times(int64_t amount, int64_t days)
{
	int64_t product;

	return __builtin_mul_overflow(amount, days, &product) ? INT64_MAX
		: product;
}

/* What is known of a budget, the future left aside; false: another column. */
static bool add_present(struct table *table, enum column column,
                        const struct budget *budget,
                        const struct budget_state *state)
{
	switch (column) {
	case ID:
		table_add_text(table, budget->id);
		break;
	case LIMIT:
		add_money(table, budget->limited, budget->limit_nano);
		break;
	case SPENT:
		table_add_number(table, state->spent);
		break;
	case REMAINING:
		add_money(table, budget->limited, state->remaining);
		break;
	case EXCEEDED:
		add_money(table, budget->limited, state->exceeded);
		break;
	case REACHED:
		add_money(table, budget->limited, state->threshold_reached);
		break;
	case STATE:
		table_add_text(table, !budget->limited ? "no limit"
		               : state->exceeded ? "exceeded"
		               : state->threshold_reached ? "near" : "fine");
		break;
	case PERCENT:
		add_percent(table, budget, state->spent);
		break;
	case BAR:
		add_bar(table, budget, state);
		break;
	case OF_PERIOD:
		table_add_text(table, budget->period);
		break;
	case REQUESTS:
		table_add_number(table, state->requests);
		break;
	case UNPRICED:
		table_add_number(table, state->unpriced);
		break;
	default:
		return false;
	}
	return true;
}

static void add_cell(const struct work *work, struct table *table,
                     enum column column, const struct budget *budget,
                     const struct budget_state *state)
{
	const int64_t projected = budget_projected(state, work->now);

	if (add_present(table, column, budget, state)) {
		return;
	}
	switch (column) {
	case PROJECTED_COST:
		table_add_number(table, times(state->last_day, work->days));
		break;
	case AVERAGE:
		table_add_number(table, state->last_day);
		break;
	case OF_DAYS:
		table_add_number(table, work->days);
		break;
	case TREND:
		table_add_text(table, state->last_day > 0 ? "active" : "flat");
		break;
	case PROJECTED:
		table_add_number(table, projected);
		break;
	case PROJECTED_PERCENT:
		add_percent(table, budget, projected);
		break;
	case PROJECTED_DELTA:
		add_money(table, budget->limited,
		          projected - budget->limit_nano);
		break;
	default:
		assert(column == LASTS);
		add_days_left(table, budget, state);
	}
}

#define MAX_COLUMNS 16

/* The table of one form of the command. */
struct sheet_of {
	const struct column_of *columns[MAX_COLUMNS];
	size_t        count;
	struct table *table;
};

static void sheet_init(struct sheet_of *sheet, const struct work *work,
                       const struct column_of *columns, size_t count)
{
	const int who = work->cli->format == CLI_TABLE ? PERSON : PROGRAM;
	const int width = work->cli->format == CLI_TABLE ? work->cli->width : 0;
	struct table_column heads[MAX_COLUMNS];

	sheet->count = 0;
	for (size_t i = 0; i < count; i++) {
		if ((columns[i].who & who) != 0 &&
		    (width == 0 || width >= columns[i].width)) {
			heads[sheet->count] = columns[i].column;
			sheet->columns[sheet->count++] = &columns[i];
		}
	}
	sheet->table = table_create(heads, sheet->count);
}

static void sheet_add(struct sheet_of *sheet, const struct work *work,
                      const struct budget *budget,
                      const struct budget_state *state)
{
	for (size_t i = 0; i < sheet->count; i++) {
		add_cell(work, sheet->table, sheet->columns[i]->what, budget,
		         state);
	}
}

/* window NULL: each has its own. */
static int sheet_print(struct sheet_of *sheet, const struct work *work,
                       const char *report, const struct window *window)
{
	char text[WINDOW_TEXT_SIZE];
	FILE *err = work->cli->err;
	json_t *head = json_object();

	head_text(head, "report", report);
	head_text(head, "since", window == NULL ||
	          window->since == WINDOW_OPEN_SINCE ? NULL
	          : window_text(window->since, text));
	head_text(head, "until", window == NULL ||
	          window->until == WINDOW_OPEN_UNTIL ? NULL
	          : window_text(window->until, text));
	const int status = table_print(sheet->table, work->cli, head);
	json_decref(head);
	table_destroy(sheet->table);
	if (work->cli->format == CLI_TABLE && work->unpriced > 0) {
		fprintf(err, "%lld requests have no known cost and count for "
		        "nothing\n", (long long)work->unpriced);
	}
	if (work->incomplete) {
		fputs("bursar: some facts of the window are purged and not "
		      "part of this\n", err);
	}
	return status;
}

#define COLUMNS(list) list, sizeof(list) / sizeof((list)[0])

/* --- check and forecast -------------------------------------------------- */

static int run_check(struct work *work, const char *id)
{
	struct budget budget = budget_find(work->setup, id);
	struct budget_state state;
	struct sheet_of sheet;

	int status = change(work, &budget);
	if (status == CLI_OK && !budget.limited) {
		status = cli_usage_error(work->cli, "budget '%.60s' is not "
		                         "configured: give --limit USD", id);
	}
	if (status == CLI_OK) {
		status = ask(work, &budget, false, &state);
	}
	if (status != CLI_OK) {
		return status;
	}
	sheet_init(&sheet, work, COLUMNS(check_columns));
	sheet_add(&sheet, work, &budget, &state);
	status = sheet_print(&sheet, work, "budget-check", &state.window);
	return status == CLI_OK && state.exceeded ? CLI_NO : status;
}

/* Every budget of the configuration. */
static int add_configured(struct work *work, struct sheet_of *sheet,
                          bool forecast)
{
	int status = CLI_OK;

	for (size_t i = 0; i < work->setup->budget_count &&
	     status == CLI_OK; i++) {
		struct budget budget = budget_of(&work->setup->budgets[i]);
		struct budget_state state;

		status = change(work, &budget);
		if (status == CLI_OK) {
			status = ask(work, &budget, forecast, &state);
		}
		if (status == CLI_OK) {
			sheet_add(sheet, work, &budget, &state);
		}
	}
	return status;
}

static int run_forecast(struct work *work, const char *id)
{
	struct budget_state state;
	struct sheet_of sheet;
	int status = CLI_OK;

	sheet_init(&sheet, work, COLUMNS(forecast_columns));
	if (id == NULL) {
		status = add_configured(work, &sheet, true);
	} else {
		struct budget budget = budget_find(work->setup, id);

		status = change(work, &budget);
		if (status == CLI_OK) {
			status = ask(work, &budget, true, &state);
		}
		if (status == CLI_OK) {
			sheet_add(&sheet, work, &budget, &state);
		}
	}
	if (status != CLI_OK) {
		table_destroy(sheet.table);
		return status;
	}
	return sheet_print(&sheet, work, "budget-forecast",
	                   id != NULL ? &state.window : NULL);
}

/* --- list ---------------------------------------------------------------- */

static bool is_configured(const struct setup *setup, const char *id)
{
	for (size_t i = 0; i < setup->budget_count; i++) {
		if (strcmp(setup->budgets[i].id, id) == 0) {
			return true;
		}
	}
	return false;
}

/* Budgets that calls of the last month name, and the configuration does not. */
static int add_others(struct work *work, struct sheet_of *sheet)
{
	struct bursar_error err = { 0 };
	struct query query = {
		.window = { work->now - 30 * DAY_US, work->now },
		.by = { "budget_id" }, .by_count = 1,
		.columns = (UINT64_C(1) << ROLLUP_REQUESTS) |
		           QUERY_SUM(ROLLUP_COST),
	};
	struct lines lines;

	lines_init(&lines, 1, LINES_MAX);
	const int status = query_run(&work->book, &query, lines_take, &lines,
	                             &err) == 0 ? CLI_OK
		: cli_fail(work->cli, "%s", err.text);
	for (size_t i = 0; i < lines.count; i++) {
		const struct line *line = &lines.lines[i];
		const struct budget budget = {
			.id = line->keys[0], .period = "month",
		};
		const struct budget_state state = {
			.window = query.window,
			.spent = line_sum(line, ROLLUP_COST),
			.requests = line->columns[ROLLUP_REQUESTS],
			.unpriced = line->columns[ROLLUP_REQUESTS] - line->
				columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1],
		};

		if (budget.id != NULL &&
		    !is_configured(work->setup, budget.id)) {
			sheet_add(sheet, work, &budget, &state);
		}
	}
	lines_finish(&lines);
	return status;
}

static int run_list(struct work *work)
{
	struct sheet_of sheet;

	sheet_init(&sheet, work, COLUMNS(check_columns));
	int status = add_configured(work, &sheet, false);
	if (status == CLI_OK) {
		status = add_others(work, &sheet);
	}
	if (status != CLI_OK) {
		table_destroy(sheet.table);
		return status;
	}
	return sheet_print(&sheet, work, "budget-list", NULL);
}

/* --- the command --------------------------------------------------------- */

enum form { CHECK, LIST, FORECAST, FORMS };

static const struct {
	const char *name;
	int least, most;	/* operands */
} forms[FORMS] = {
	[CHECK] = { "check", 1, 1 },
	[LIST] = { "list", 0, 0 },
	[FORECAST] = { "forecast", 0, 1 },
};

static int run_form(struct work *work, enum form form, const char *id)
{
	switch (form) {
	case CHECK:
		return run_check(work, id);
	case LIST:
		return run_list(work);
	default:
		return run_forecast(work, id);
	}
}

/* FORMS after saying what is wrong. */
static enum form find_form(struct cli *cli, int argc, char **argv)
{
	int form = 0;

	if (argc < 1) {
		cli_usage_error(cli, "say check, list or forecast");
		return FORMS;
	}
	while (form < FORMS && strcmp(forms[form].name, argv[0]) != 0) {
		form++;
	}
	if (form == FORMS) {
		cli_usage_error(cli, "say check, list or forecast, not '%s'",
		                argv[0]);
	} else if (argc - 1 < forms[form].least) {
		cli_usage_error(cli, "name a budget");
		return FORMS;
	} else if (argc - 1 > forms[form].most) {
		cli_usage_error(cli, "'%s' is one word too many",
		                argv[forms[form].most + 1]);
		return FORMS;
	}
	return (enum form)form;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];
	struct work work = { .cli = cli, .value = value, .days = 30 };

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	const enum form form = find_form(cli, argc, argv);
	if (form == FORMS) {
		return CLI_USAGE;
	}
	if (!cli_number(cli, "days", value[DAYS], 1, 36500, &work.days)) {
		return cli->status;
	}
	int status = command_open(cli, value[SINK], BURSAR_READ, &work.book);
	if (status != CLI_OK) {
		return status;
	}
	work.setup = cli_setup(cli);
	work.now = clock_wall_us();
	if (form != CHECK) {	/* which asks for one sum, and quickly */
		book_hold_still(&work.book);
	}
	status = run_form(&work, form, argc > 1 ? argv[1] : NULL);
	book_close(&work.book);
	return status;
}

const struct command command_budget = {
	.name = "budget",
	.summary = "tell what is spent of a budget, and how long it lasts",
	.usage = "check ID [--limit USD] [--period PERIOD | --since TIME "
	         "--until TIME]\n"
	         "list\n"
	         "forecast [ID] [--days N]",
	.options = options,
	.manual =
	"A budget is a limit in dollars for a window of time.  It is about the "
	"calls whose budget_id is its name, or about those that `where` says.  "
	"Budgets stand in the section `budgets` of the configuration; one that "
	"does not can be checked all the same, with --limit.  Nothing is held "
	"up by a budget that is exceeded: this command tells, and ends with 3.\n"
	"\n"
	"`check` prints what was spent and what is left, and whether the limit "
	"is exceeded: above it, or with `exceeded: reached` also at it.  The "
	"answer stands on standard output whatever the exit status.  Calls "
	"without a known cost count for nothing, and are counted.\n"
	"\n"
	"\tbursar budget check research --limit 500 || echo stop\n"
	"\tbursar budget check research --limit 20 --period today "
	"--tz Europe/Vienna\n"
	"\tbursar budget check research --since 2026-03-01 "
	"--until 2026-04-01\n"
	"\tbursar budget check all-of-red --limit 100 --where team=red\n"
	"\n"
	"`list` prints every budget that is configured, then those that calls "
	"of the last month name.  `forecast` draws the last 24 hours out: what "
	"the next days will cost, what a budget will have spent when its window "
	"ends (a calendar window as quickly as so far), and in how many days "
	"nothing is left.\n"
	"\n"
	"\tbursar budget list\n"
	"\tbursar budget forecast research --days 7",
	.book_only = true,
	.run = run,
};
