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
				 * (3600, 86400, 604800, 2592000), also called
				 * hourly, daily, weekly, monthly; today,
				 * yesterday, last-7-days, last-30-days (with
				 * today), this-week, last-week, this-month,
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

/* Whether there is such a zone; fails as window_zone() does.  Any thread. */
int window_zone_check(const char *tz, struct bursar_error *err);

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

/*
 * The window before: of a calendar word the unit before, and as much of it as
 * has passed of this one; of whole days in the zone as many days; of any other
 * one as long a time.  False: it is open, and nothing is before it.  The zone
 * is that of window_choose().
 */
bool window_before(const char *period, const struct window *window,
                   int64_t now, struct window *before);

enum window_unit { WINDOW_HOURS, WINDOW_DAYS, WINDOW_WEEKS, WINDOW_MONTHS };

/* A window, divided by the clocks of the zone. */
struct window_periods {
	enum window_unit unit;
	size_t   count;
	int64_t *bounds;	/* count + 1: period n is [n, n + 1); the first
				 * and the last one are as the window cuts */
};

/* "hour", "day", "week", "month"; -1: none of them. */
int window_unit(const char *word);

/*
 * Divides a window that is not open into `max` periods at most; an hour lasts
 * until the clocks next show a full one, a week from Monday on.  -1 with *err
 * filled (EINVAL): there would be more; ENOMEM.
 */
int window_divide(const struct window *window, enum window_unit unit,
                  size_t max, struct window_periods *periods,
                  struct bursar_error *err);
void window_periods_finish(struct window_periods *periods);

/* What a period is called: "2026-03-29T14:00:00+02:00" of an hour,
 * "2026-03-29" of a day or of a week by its Monday, "2026-03".  Returns out. */
const char *window_label(const struct window_periods *periods, size_t n,
                         char out[WINDOW_TEXT_SIZE]);

/* The time in the zone, "2026-03-29T14:00:00+02:00"; returns out. */
const char *window_text(int64_t us, char out[WINDOW_TEXT_SIZE]);

#endif
