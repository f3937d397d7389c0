/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_window.h - hours of the week in which other rates hold
 *
 *	{"name": "off-peak", "hours": ["16:30-00:30"], "days": ["mon", "fri"],
 *	 "zone": "UTC", "days-zone": "Asia/Shanghai", "input": 0.1, ...}
 *
 * Hours begin with their first minute and end before their last one; those
 * that end before they begin go on past midnight, and from a time to itself is
 * a whole day.  Hours and days are read off the clocks at the moment of the
 * call, each in its zone: a Friday's hours past midnight are Saturday's.
 */
#ifndef CORE_PRICE_WINDOW_H
#define CORE_PRICE_WINDOW_H

#include "base/zone.h"

#define PRICE_MAX_HOURS   8
#define PRICE_WINDOW_NAME 41		/* bytes, with the NUL */

struct price_hours {
	int32_t from;			/* seconds of the day */
	int32_t until;
};

struct price_window {
	char   name[PRICE_WINDOW_NAME];
	struct price_hours hours[PRICE_MAX_HOURS];
	size_t hour_count;		/* 0: all day */
	unsigned days;			/* bits, Monday first */
	struct zone *zone;		/* the book's; NULL: UTC */
	struct zone *days_zone;
};

/* Whether it holds at that time. */
bool price_window_holds(const struct price_window *window, int64_t us);

/* "16:30-00:30 UTC, mon fri in Asia/Shanghai"; returns out. */
#define PRICE_WINDOW_TEXT 320
const char *price_window_text(const struct price_window *window,
                              char out[PRICE_WINDOW_TEXT]);

#endif
