/* SPDX-License-Identifier: Apache-2.0 */

/*
 * window.h - the span of time that a question is about
 *
 * A window is half-open: [since, until).  Calendar words and dates mean days
 * of one time zone, which window_zone() sets for the whole process; so only a
 * command with one thread may use this file.
 *
 * A day begins at the moment from which on the clocks of the zone show it or a
 * later one for good.  That holds where midnight is skipped (the day begins
 * when the clock jumps), where it comes twice (the second one) and where a
 * whole day is left out (it is empty), so days always add up to their range.
 */
#ifndef CORE_BOOK_WINDOW_H
#define CORE_BOOK_WINDOW_H

#include <bursar/plugin.h>

#define WINDOW_TEXT_SIZE 40

/* Microseconds since 1970 UTC; WINDOW_OPEN_* where there is no bound. */
struct window {
	int64_t since;
	int64_t until;
};

#define WINDOW_OPEN_SINCE INT64_MIN
#define WINDOW_OPEN_UNTIL INT64_MAX

/* What a user asked for; each may be NULL. */
struct window_choice {
	const char *period;	/* hour, day, week, month: as many seconds
				 * before now as the longest of them has
				 * (3600, 86400, 604800, 2592000); today,
				 * yesterday, this-week, last-week, this-month,
				 * last-month: of the calendar, weeks from
				 * Monday */
	const char *since;	/* see window_time() */
	const char *until;
	const char *tz;		/* IANA name; NULL: UTC */
};

/*
 * Makes `tz` (NULL: UTC) the zone of this process.  -1 with *err filled: the
 * zoneinfo database does not have it (EINVAL) or is not there (ENOENT).
 */
int window_zone(const char *tz, struct bursar_error *err);

/*
 * Sets the zone and *window as of `now`.  -1 with *err filled (EINVAL): a word
 * that is not known, a period together with bounds, bounds out of order.
 */
int window_choose(const struct window_choice *choice, int64_t now,
                  struct window *window, struct bursar_error *err);

/*
 * Reads RFC 3339 (2026-03-29T14:00:00.5+02:00; seconds may be missing), the
 * same without offset (a time in the zone), or a date (the start of that day
 * in the zone).  -1 with *err filled.
 */
int window_time(const char *text, int64_t *us, struct bursar_error *err);

/* The start of the day that is `days` after the one of `us`, in the zone. */
int64_t window_day(int64_t us, int days);

/* The same for months: of the first day of the month. */
int64_t window_month(int64_t us, int months);

/* The time in the zone, "2026-03-29T14:00:00+02:00"; returns out. */
const char *window_text(int64_t us, char out[WINDOW_TEXT_SIZE]);

#endif
