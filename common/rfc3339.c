/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Days from civil dates by Howard Hinnant's algorithms (chrono-compatible
 * low-level date algorithms): years of 400 begin in March, so that the leap
 * day is the last of its year.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "common/rfc3339.h"

#define US_PER_SECOND INT64_C(1000000)

/* Writes `count` digits of a number that is not negative. */
static char *put_digits(char *at, int64_t number, int count)
{
	for (int i = count - 1; i >= 0; i--) {
		at[i] = (char)('0' + number % 10);
		number /= 10;
	}
	return at + count;
}

/* Year, month and day of a day since 1970; see days_from_civil(). */
static void civil_from_days(int64_t days, int64_t *year, int64_t *month,
                            int64_t *day)
{
	const int64_t z = days + 719468;
	const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	const int64_t doe = z - era * 146097;
	const int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) /
		365;
	const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	const int64_t mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = yoe + era * 400 + (*month <= 2);
}

/* By hand, since it is done for every record: a tenth of snprintf()'s time. */
const char *rfc3339_format(int64_t us, char out[RFC3339_SIZE])
{
	const int64_t day_us = INT64_C(86400) * US_PER_SECOND;
	const int64_t part = us % day_us;
	const int64_t days = us / day_us - (part < 0 ? 1 : 0);
	const int64_t micros = part < 0 ? part + day_us : part;
	int64_t year, month, day;

	civil_from_days(days, &year, &month, &day);
	if (year < 0 || year > 9999) {
		snprintf(out, RFC3339_SIZE, "out of range");
		return out;
	}
	char *at = put_digits(out, year, 4);
	*at++ = '-';
	at = put_digits(at, month, 2);
	*at++ = '-';
	at = put_digits(at, day, 2);
	*at++ = 'T';
	at = put_digits(at, micros / (3600 * US_PER_SECOND), 2);
	*at++ = ':';
	at = put_digits(at, micros / (60 * US_PER_SECOND) % 60, 2);
	*at++ = ':';
	at = put_digits(at, micros / US_PER_SECOND % 60, 2);
	*at++ = '.';
	at = put_digits(at, micros % US_PER_SECOND, 6);
	*at++ = 'Z';
	*at = '\0';
	return out;
}

/* `count` digits at *at, which moves behind them; -1: none. */
static int digits(const char **at, const char *end, int count)
{
	int value = 0;

	if (end - *at < count) {
		return -1;
	}
	for (int i = 0; i < count; i++, (*at)++) {
		if (**at < '0' || **at > '9') {
			return -1;
		}
		value = value * 10 + (**at - '0');
	}
	return value;
}

static bool take(const char **at, const char *end, const char *any)
{
	if (*at == end) {
		return false;
	}
	for (; *any != '\0'; any++) {
		if (**at == *any) {
			(*at)++;
			return true;
		}
	}
	return false;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30,
	                            31, 31, 30, 31, 30, 31 };
	const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

static int64_t days_from_civil(int year, int month, int day)
{
	const int64_t y = year - (month <= 2);
	const int64_t era = (y >= 0 ? y : y - 399) / 400;
	const int64_t yoe = y - era * 400;
	const int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 +
		day - 1;
	const int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

/* ".123456789" to microseconds; none is 0. */
static bool fraction(const char **at, const char *end, int64_t *us)
{
	int64_t unit = US_PER_SECOND / 10;

	*us = 0;
	if (!take(at, end, ".,")) {
		return true;
	}
	const char *first = *at;
	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		*us += (**at - '0') * unit;
		unit /= 10;
	}
	return *at > first && *at - first <= 9;
}

/* "Z", "+02:00", "+0200", " +0200", " UTC" or nothing, in minutes. */
static bool zone(const char **at, const char *end, int *minutes)
{
	*minutes = 0;
	if (*at == end || take(at, end, "Zz")) {
		return true;
	}
	if (take(at, end, " ") && end - *at == 3 &&
	    memcmp(*at, "UTC", 3) == 0) {
		*at = end;
		return true;
	}
	const int sign = *at < end && **at == '-' ? -1 : 1;
	if (!take(at, end, "+-")) {
		return false;
	}
	const int hours = digits(at, end, 2);
	take(at, end, ":");
	const int rest = digits(at, end, 2);
	if (hours < 0 || hours > 23 || rest < 0 || rest > 59) {
		return false;
	}
	*minutes = sign * (hours * 60 + rest);
	return true;
}

bool rfc3339_parse(const char *text, size_t size, int64_t *us)
{
	bool zoned;

	return rfc3339_parse_zoned(text, size, us, &zoned);
}

bool rfc3339_parse_zoned(const char *text, size_t size, int64_t *us,
                         bool *zoned)
{
	const char *at = text;
	const char *end = text + size;

	const int year = digits(&at, end, 4);
	if (year < 1 || !take(&at, end, "-")) {
		return false;
	}
	const int month = digits(&at, end, 2);
	if (month < 1 || month > 12 || !take(&at, end, "-")) {
		return false;
	}
	const int day = digits(&at, end, 2);
	if (day < 1 || day > days_in_month(year, month) ||
	    !take(&at, end, "Tt ")) {
		return false;
	}
	const int hour = digits(&at, end, 2);
	if (hour < 0 || hour > 23 || !take(&at, end, ":")) {
		return false;
	}
	const int minute = digits(&at, end, 2);
	if (minute < 0 || minute > 59 || !take(&at, end, ":")) {
		return false;
	}
	const int second = digits(&at, end, 2);
	int64_t micros;
	int offset;
	if (second < 0 || second > 60 || !fraction(&at, end, &micros)) {
		return false;
	}
	*zoned = at != end;
	if (!zone(&at, end, &offset) || at != end) {
		return false;
	}
	const int64_t days = days_from_civil(year, month, day);
	*us = ((days * 24 + hour) * 60 + minute - offset) * 60 * US_PER_SECOND +
		second * US_PER_SECOND + micros;
	return true;
}
