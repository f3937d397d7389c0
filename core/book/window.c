/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Windows of time: words, dates and zones into microseconds.
 *
 * The one file of the core that knows the local time of the process.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/zone.h"
#include "book/window.h"
#include "common/local_time.h"
#include "common/rfc3339.h"

#define SECOND_US   INT64_C(1000000)
#define DAY_S       INT64_C(86400)

static int64_t floor_second(int64_t us)
{
	return us / SECOND_US - (us % SECOND_US < 0);
}

/* --- zones --------------------------------------------------------------- */

/* UTC needs no database: the C library takes it for a rule. */
static bool is_utc(const char *tz)
{
	return tz == NULL || strcmp(tz, "UTC") == 0;
}

int window_zone_check(const char *tz, struct bursar_error *err)
{
	return is_utc(tz) ? 0 : zone_check(tz, err);
}

int window_zone(const char *tz, struct bursar_error *err)
{
	const bool utc = is_utc(tz);

	if (window_zone_check(tz, err) != 0) {
		return -1;
	}
	if (setenv("TZ", utc ? "UTC0" : tz, 1) != 0) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	tzset();
	return 0;
}

/*
 * The day of a time: the local second at which its date begins.  In the minute
 * of a day that begins twice the clocks show a date that has not begun.
 */
static int64_t local_day(int64_t us)
{
	const time_t time = (time_t)floor_second(us);
	struct tm tm = { 0 };

	localtime_r(&time, &tm);
	struct tm date = { .tm_year = tm.tm_year, .tm_mon = tm.tm_mon,
	                   .tm_mday = tm.tm_mday };
	const int64_t local = (int64_t)timegm(&date);
	return local_instant(local) > (int64_t)time ? local - DAY_S : local;
}

int64_t window_day(int64_t us, int days)
{
	return local_instant(local_day(us) + days * DAY_S) * SECOND_US;
}

int64_t window_month(int64_t us, int months)
{
	const time_t local = (time_t)local_day(us);
	struct tm date = { 0 };

	gmtime_r(&local, &date);
	date.tm_mday = 1;
	date.tm_mon += months;
	return local_instant((int64_t)timegm(&date)) * SECOND_US;
}

const char *window_text(int64_t us, char out[WINDOW_TEXT_SIZE])
{
	const time_t time = (time_t)floor_second(us);
	struct tm tm = { 0 };

	localtime_r(&time, &tm);
	const size_t size = strftime(out, WINDOW_TEXT_SIZE - 7,
	                             "%Y-%m-%dT%H:%M:%S", &tm);
	const long minutes = tm.tm_gmtoff / 60;
	if (minutes == 0) {
		snprintf(out + size, WINDOW_TEXT_SIZE - size, "Z");
	} else {
		snprintf(out + size, WINDOW_TEXT_SIZE - size, "%c%02ld:%02ld",
		         minutes < 0 ? '-' : '+', labs(minutes) / 60 % 100,
		         labs(minutes) % 60);
	}
	return out;
}

/* --- dates and times ----------------------------------------------------- */

#define DATE_SIZE    10		/* 2026-03-29 */
#define MINUTES_SIZE 16		/* 2026-03-29T14:00 */

int window_time(const char *text, int64_t *us, struct bursar_error *err)
{
	const size_t size = strlen(text);
	char whole[64];

	snprintf(whole, sizeof(whole), "%s%s", text,
	         size == DATE_SIZE ? "T00:00:00"
	         : size == MINUTES_SIZE ? ":00" : "");
	if (size >= sizeof(whole) ||
	    !rfc3339_parse(whole, strlen(whole), us)) {
		return bursar_fail(err, EINVAL, "'%.40s' is not a time: write a "
		                   "date, 2026-03-29, or RFC 3339, "
		                   "2026-03-29T14:00:00Z", text);
	}
	if (strpbrk(whole + DATE_SIZE, "Zz+-") == NULL) {
		const int64_t local = floor_second(*us);

		*us += (local_instant(local) - local) * SECOND_US;
	}
	return 0;
}

/* --- periods ------------------------------------------------------------- */

static struct window rolling(int64_t now, int64_t seconds)
{
	return (struct window){ now - seconds * SECOND_US, now };
}

static struct window days(int64_t now, int from, int to)
{
	return (struct window){ window_day(now, from), window_day(now, to) };
}

/* Days since the last Monday. */
static int weekday(int64_t local)
{
	/* The first day of 1970 was a Thursday. */
	return (int)(((local / DAY_S + 3) % 7 + 7) % 7);
}

static struct window weeks(int64_t now, int from, int to)
{
	const int monday = -weekday(local_day(now));

	return days(now, monday + 7 * from, monday + 7 * to);
}

static struct window months(int64_t now, int from, int to)
{
	return (struct window){ window_month(now, from),
	                        window_month(now, to) };
}

static int period_from(const char *name, int64_t now, struct window *window,
                       struct bursar_error *err)
{
	const struct {
		const char *name;
		struct window window;
	} periods[] = {
		{ "hour", rolling(now, 3600) },
		{ "hourly", rolling(now, 3600) },
		{ "day", rolling(now, DAY_S) },
		{ "daily", rolling(now, DAY_S) },
		{ "week", rolling(now, 7 * DAY_S) },
		{ "weekly", rolling(now, 7 * DAY_S) },
		{ "month", rolling(now, 30 * DAY_S) },
		{ "monthly", rolling(now, 30 * DAY_S) },
		{ "today", days(now, 0, 1) },
		{ "yesterday", days(now, -1, 0) },
		{ "last-7-days", days(now, -6, 1) },
		{ "last-30-days", days(now, -29, 1) },
		{ "this-week", weeks(now, 0, 1) },
		{ "last-week", weeks(now, -1, 0) },
		{ "this-month", months(now, 0, 1) },
		{ "last-month", months(now, -1, 0) },
	};

	for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++) {
		if (strcmp(name, periods[i].name) == 0) {
			*window = periods[i].window;
			return 0;
		}
	}
	return bursar_fail(err, EINVAL, "unknown period '%.40s': it is hour, "
	                   "day, week or month (rolling), or today, yesterday, "
	                   "last-7-days, last-30-days, this-week, last-week, "
	                   "this-month or last-month", name);
}

int window_choose(const struct window_choice *choice, int64_t now,
                  struct window *window, struct bursar_error *err)
{
	*window = (struct window){ WINDOW_OPEN_SINCE, WINDOW_OPEN_UNTIL };
	if (window_zone(choice->tz, err) != 0) {
		return -1;
	}
	if (choice->period != NULL) {
		if (choice->since != NULL || choice->until != NULL) {
			return bursar_fail(err, EINVAL, "give --period, or "
			                   "--since and --until, not both");
		}
		return period_from(choice->period, now, window, err);
	}
	if (choice->since != NULL &&
	    window_time(choice->since, &window->since, err) != 0) {
		return -1;
	}
	if (choice->until != NULL &&
	    window_time(choice->until, &window->until, err) != 0) {
		return -1;
	}
	if (window->since > window->until) {
		return bursar_fail(err, EINVAL, "--since %.40s is after --until "
		                   "%.40s", choice->since, choice->until);
	}
	return 0;
}

/* --- the window before --------------------------------------------------- */

/* As much of [since, until) as has passed of `window` by now. */
static struct window passed(struct window before, const struct window *window,
                            int64_t now)
{
	if (now >= window->since && now < window->until) {
		const int64_t until = before.since + (now - window->since);

		before.until = until < before.until ? until : before.until;
	}
	return before;
}

/* How many whole days of the zone the window is; 0: it is not of such. */
static int whole_days(const struct window *window)
{
	if (window_day(window->since, 0) != window->since ||
	    window_day(window->until, 0) != window->until) {
		return 0;
	}
	return (int)((local_day(window->until) - local_day(window->since)) /
	             DAY_S);
}

bool window_before(const char *period, const struct window *window,
                   int64_t now, struct window *before)
{
	if (window->since == WINDOW_OPEN_SINCE ||
	    window->until == WINDOW_OPEN_UNTIL ||
	    window->since == window->until) {
		return false;
	}
	if (period != NULL && strstr(period, "-month") != NULL) {
		*before = passed((struct window){
			window_month(window->since, -1), window->since,
		}, window, now);
		return true;
	}
	const int count = whole_days(window);
	if (count > 0) {
		*before = passed((struct window){
			window_day(window->since, -count), window->since,
		}, window, now);
		return true;
	}
	*before = (struct window){
		window->since - (window->until - window->since), window->since,
	};
	return true;
}

/* --- a window in pieces -------------------------------------------------- */

static const char *const unit_names[] = {
	[WINDOW_HOURS] = "hour", [WINDOW_DAYS] = "day",
	[WINDOW_WEEKS] = "week", [WINDOW_MONTHS] = "month",
};

#define UNITS (sizeof(unit_names) / sizeof(unit_names[0]))

int window_unit(const char *word)
{
	for (size_t i = 0; i < UNITS; i++) {
		if (strcmp(word, unit_names[i]) == 0) {
			return (int)i;
		}
	}
	return -1;
}

/* The next time at which the clocks show a full hour. */
static int64_t next_hour(int64_t us)
{
	const int64_t second = floor_second(us);
	const int64_t past = (second + local_offset(second)) % 3600;

	return (second + 3600 - (past + 3600) % 3600) * SECOND_US;
}

/* The start of the n-th period of its unit after the one of `us`. */
static int64_t nth(int64_t us, enum window_unit unit, int n)
{
	switch (unit) {
	case WINDOW_WEEKS:
		return window_day(us, 7 * n - weekday(local_day(us)));
	case WINDOW_MONTHS:
		return window_month(us, n);
	case WINDOW_DAYS:
	default:
		return window_day(us, n);
	}
}

int window_divide(const struct window *window, enum window_unit unit,
                  size_t max, struct window_periods *periods,
                  struct bursar_error *err)
{
	int64_t next = window->since;

	*periods = (struct window_periods){
		.unit = unit,
		.bounds = calloc(max + 1, sizeof(int64_t)),
	};
	if (periods->bounds == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	while (next < window->until) {
		if (periods->count == max) {
			window_periods_finish(periods);
			return bursar_fail(err, EINVAL, "more than %zu %ss: "
			                   "choose a shorter window, or longer "
			                   "periods", max, unit_names[unit]);
		}
		periods->bounds[periods->count++] = next;
		next = unit == WINDOW_HOURS ? next_hour(next)
			: nth(window->since, unit, (int)periods->count);
	}
	periods->bounds[periods->count] = window->until;
	return 0;
}

void window_periods_finish(struct window_periods *periods)
{
	free(periods->bounds);
	periods->bounds = NULL;
	periods->count = 0;
}

/*
 * Days are counted from the first one, so that a day that the clocks leave out
 * has its own name.
 */
const char *window_label(const struct window_periods *periods, size_t n,
                         char out[WINDOW_TEXT_SIZE])
{
	struct tm date = { 0 };

	if (periods->unit == WINDOW_HOURS) {
		return window_text(periods->bounds[n], out);
	}
	time_t local = (time_t)local_day(periods->bounds[0]);
	if (periods->unit == WINDOW_DAYS) {
		local += (time_t)n * DAY_S;
	} else if (periods->unit == WINDOW_WEEKS) {
		local += ((time_t)n * 7 - weekday(local)) * DAY_S;
	}
	gmtime_r(&local, &date);
	if (periods->unit == WINDOW_MONTHS) {
		date.tm_mday = 1;
		date.tm_mon += (int)n;
		local = timegm(&date);
		gmtime_r(&local, &date);
	}
	strftime(out, WINDOW_TEXT_SIZE,
	         periods->unit == WINDOW_MONTHS ? "%Y-%m" : "%Y-%m-%d", &date);
	return out;
}
