/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Budgets: one sum each.
 */
#include "config.h"

#include <string.h>

#include "book/budget.h"
#include "book/days.h"
#include "book/window.h"

#define DAY_US INT64_C(86400000000)

struct budget budget_of(const struct setup_budget *configured)
{
	return (struct budget){
		.id = configured->id,
		.field = configured->field,
		.value = configured->value,
		.period = configured->period,
		.tz = configured->tz,
		.limit_nano = configured->limit_nano,
		.limited = true,
		.threshold = configured->threshold,
		.when_reached = configured->when_reached,
	};
}

struct budget budget_find(const struct setup *setup, const char *id)
{
	for (size_t i = 0; i < setup->budget_count; i++) {
		if (strcmp(setup->budgets[i].id, id) == 0) {
			return budget_of(&setup->budgets[i]);
		}
	}
	return (struct budget){
		.id = id, .field = "budget_id", .value = id, .period = "month",
		.threshold = 80,
	};
}

/* --- asking -------------------------------------------------------------- */

static int take(void *context, const struct query_row *row)
{
	*(struct query_row *)context = *row;
	return 0;
}

static int ask(struct book *book, const struct budget *budget,
               const struct window *window, struct query_row *row,
               struct bursar_error *err)
{
	const struct query query = {
		.window = *window,
		.filters = { { budget->field, budget->value } },
		.filter_count = 1,
		.columns = (UINT64_C(1) << ROLLUP_REQUESTS) |
		           QUERY_SUM(ROLLUP_COST),
	};

	memset(row, 0, sizeof(*row));
	return query_run(book, &query, take, row, err);
}

static void judge(const struct budget *budget, struct budget_state *state)
{
	const __int128 spent = state->spent;
	const __int128 limit = budget->limit_nano;

	if (!budget->limited) {
		return;
	}
	state->remaining = spent >= limit ? 0
		: spent <= 0 ? budget->limit_nano : (int64_t)(limit - spent);
	state->exceeded = budget->when_reached ? spent >= limit : spent > limit;
	state->threshold_reached = spent * 100 >= limit * budget->threshold;
}

static int note_purged(struct book *book, const struct budget *budget,
                       struct budget_state *state, struct bursar_error *err)
{
	const struct query query = {
		.window = state->window,
		.filters = { { budget->field, budget->value } },
		.filter_count = 1,
	};

	if (days_look(book, state->window.since, state->window.until,
	              err) != 0) {
		return -1;
	}
	state->incomplete = book->purged_us != INT64_MIN &&
		query_reads_before(book, &query, book->purged_us);
	return 0;
}

int budget_ask(struct book *book, const struct budget *budget, int64_t now,
               bool forecast, struct budget_state *state,
               struct bursar_error *err)
{
	const struct window_choice choice = { budget->period, budget->since,
	                                      budget->until, budget->tz };
	const struct window day = { now - DAY_US, now };
	struct query_row row;

	memset(state, 0, sizeof(*state));
	if (window_choose(&choice, now, &state->window, err) != 0 ||
	    note_purged(book, budget, state, err) != 0 ||
	    ask(book, budget, &state->window, &row, err) != 0) {
		return -1;
	}
	state->spent = query_sum(&row, ROLLUP_COST);
	state->requests = row.columns[ROLLUP_REQUESTS];
	state->unpriced = state->requests -
		row.columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1];
	judge(budget, state);
	if (forecast) {
		if (ask(book, budget, &day, &row, err) != 0) {
			return -1;
		}
		state->last_day = query_sum(&row, ROLLUP_COST);
	}
	return 0;
}

int64_t budget_projected(const struct budget_state *state, int64_t now)
{
	const struct window *window = &state->window;
	const __int128 length = (__int128)window->until - window->since;
	const __int128 passed = (__int128)now - window->since;
	__int128 projected;

	if (window->until == now) {
		projected = (__int128)state->last_day * length / DAY_US;
	} else if (window->until < now || passed <= 0 ||
	           window->until == WINDOW_OPEN_UNTIL ||
	           window->since == WINDOW_OPEN_SINCE) {
		projected = state->spent;	/* over, or without an end */
	} else {
		projected = (__int128)state->spent * length / passed;
	}
	return projected > INT64_MAX ? INT64_MAX
		: projected < INT64_MIN ? INT64_MIN : (int64_t)projected;
}
