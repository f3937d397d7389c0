/* SPDX-License-Identifier: Apache-2.0 */

/*
 * budget.h - what was spent of a budget
 *
 * A budget has a limit, a window of time and a condition; what was spent is
 * the cost of the facts of that window that meet it.  Facts without a known
 * cost count for nothing, and are counted.
 */
#ifndef CORE_BOOK_BUDGET_H
#define CORE_BOOK_BUDGET_H

#include "book/query.h"

struct budget {
	const char *id;
	const char *field;	/* see query_field() */
	const char *value;
	const char *period;	/* a word of window.h; NULL: ... */
	const char *since;	/* ... these, see struct window_choice */
	const char *until;
	const char *tz;		/* NULL: UTC */
	int64_t     limit_nano;
	bool        limited;	/* there is a limit */
	int         threshold;	/* of a hundred */
	bool        when_reached;
};

struct budget_state {
	struct window window;
	int64_t spent;		/* nano-dollars */
	int64_t requests;
	int64_t unpriced;	/* requests without a known cost */
	int64_t remaining;	/* never below 0; 0 without a limit */
	bool    exceeded;	/* false without a limit */
	bool    threshold_reached;
	int64_t last_day;	/* spent in the last 24 hours */
	bool    incomplete;	/* facts of the window were purged that no
				 * rollup tells of */
};

/* The budget of the configuration; where there is none, one without a limit
 * that is about the budget_id `id`, for a rolling month. */
struct budget budget_find(const struct setup *setup, const char *id);
struct budget budget_of(const struct setup_budget *configured);

/*
 * What was spent as of `now`; `forecast` also asks for last_day.  Sets the zone
 * of the process.  -1 with *err filled.
 */
int budget_ask(struct book *book, const struct budget *budget, int64_t now,
               bool forecast, struct budget_state *state,
               struct bursar_error *err);

/*
 * What will have been spent when the window ends: of a calendar window as
 * quickly as so far, of a rolling one as in the last 24 hours; what was spent
 * where it is over, or has no end.
 */
int64_t budget_projected(const struct budget_state *state, int64_t now);

#endif
