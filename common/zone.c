/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A file has a list of changes, and behind it the rule for all times after
 * the last of them, as POSIX writes it in TZ: "CET-1CEST,M3.5.0,M10.5.0/3".
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/zone.h"

#define SECOND_US  INT64_C(1000000)
#define DAY_S      INT64_C(86400)
#define DIRECTORY  "/usr/share/zoneinfo"
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
                   "0123456789_+-/"
#define NAME_MAX_SIZE 64
#define FILE_MAX   (64u << 10)
#define HEADER     44		/* bytes */
#define CHANGES    4096		/* at most */
#define TYPES      256

/* A day of the year, and a time of it. */
struct date {
	char kind;		/* 'M', 'J', or '0' */
	int  month, week, day;	/* of M; else day alone */
	int64_t time;		/* seconds of the local day */
};

struct rule {
	int64_t standard, summer;	/* offsets, seconds */
	bool    has_summer;
	struct date begin, end;		/* of summer */
};

struct zone {
	int64_t  first;			/* offset before all changes */
	size_t   count;
	int64_t  at[CHANGES];		/* seconds since 1970 */
	int64_t  offset[CHANGES];	/* from then on */
	struct rule rule;		/* behind the last */
};

/* --- the rule ------------------------------------------------------------- */

static bool take_char(const char **at, char c)
{
	if (**at != c) {
		return false;
	}
	(*at)++;
	return true;
}

static bool take_number(const char **at, int most, int *number)
{
	*number = 0;
	if (!isdigit((unsigned char)**at)) {
		return false;
	}
	while (isdigit((unsigned char)**at) && *number <= most) {
		*number = *number * 10 + (*(*at)++ - '0');
	}
	return *number <= most;
}

/* [+-]hh[:mm[:ss]] in seconds; hours up to a week. */
static bool take_time(const char **at, int64_t *seconds)
{
	const int sign = take_char(at, '-') ? -1 : (take_char(at, '+'), 1);
	int hours, minutes = 0, rest = 0;

	if (!take_number(at, 167, &hours) ||
	    (take_char(at, ':') && !take_number(at, 59, &minutes)) ||
	    (take_char(at, ':') && !take_number(at, 59, &rest))) {
		return false;
	}
	*seconds = sign * (hours * INT64_C(3600) + minutes * 60 + rest);
	return true;
}

/* CET, or <+0330> */
static bool take_name(const char **at)
{
	const char *begin = *at;

	if (take_char(at, '<')) {
		*at += strcspn(*at, ">");
		return take_char(at, '>');
	}
	while (isalpha((unsigned char)**at)) {
		(*at)++;
	}
	return *at - begin >= 3;
}

/* ,M3.5.0/2 or ,J60 or ,59 */
static bool take_date(const char **at, struct date *date)
{
	*date = (struct date){ .kind = '0', .time = 2 * 3600 };
	if (!take_char(at, ',')) {
		return false;
	}
	if (take_char(at, 'M')) {
		date->kind = 'M';
		if (!take_number(at, 12, &date->month) || date->month < 1 ||
		    !take_char(at, '.') || !take_number(at, 5, &date->week) ||
		    date->week < 1 || !take_char(at, '.')) {
			return false;
		}
	} else if (take_char(at, 'J')) {
		date->kind = 'J';
	}
	return take_number(at, date->kind == 'M' ? 6 : 365, &date->day) &&
	       (!take_char(at, '/') || take_time(at, &date->time));
}

/* POSIX counts to the west. */
static bool read_rule(const char *text, struct rule *rule)
{
	int64_t west;

	if (!take_name(&text) || !take_time(&text, &west)) {
		return false;
	}
	rule->standard = -west;
	rule->has_summer = *text != '\0';
	if (!rule->has_summer) {
		return true;
	}
	if (!take_name(&text)) {
		return false;
	}
	rule->summer = rule->standard + 3600;
	if (*text != ',') {
		if (!take_time(&text, &west)) {
			return false;
		}
		rule->summer = -west;
	}
	return take_date(&text, &rule->begin) &&
	       take_date(&text, &rule->end) && *text == '\0';
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* The day since 1970 on which a year begins. */
static int64_t year_begin(int64_t year)
{
	const int64_t before = year - 1;

	return 365 * (year - 1970) + (before / 4 - 1969 / 4) -
		(before / 100 - 1969 / 100) + (before / 400 - 1969 / 400);
}

/* The year of a day, from 1 on. */
static int64_t year_of(int64_t day)
{
	int64_t year = 1970 + day / 366;

	year = year < 1 ? 1 : year;
	while (year_begin(year + 1) <= day) {
		year++;
	}
	while (year > 1 && year_begin(year) > day) {
		year--;
	}
	return year;
}

/* The w-th weekday of the month, 5 being the last. */
static int64_t month_day(int64_t year, const struct date *date)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243,
	                              273, 304, 334, 365 };
	const int leap = is_leap(year) ? 1 : 0;
	const int64_t begin = year_begin(year) + before[date->month - 1] +
		(date->month > 2 ? leap : 0);
	const int days = before[date->month] - before[date->month - 1] +
		(date->month == 2 ? leap : 0);
	/* 1970 began on a Thursday. */
	const int64_t weekday = ((begin + 4) % 7 + 7) % 7;
	int64_t day = (date->day - weekday + 7) % 7 + (date->week - 1) * 7;

	while (day >= days) {
		day -= 7;
	}
	return begin + day;
}

/* The local second of a date. */
static int64_t date_second(int64_t year, const struct date *date)
{
	int64_t day = year_begin(year) + date->day;

	if (date->kind == 'M') {
		day = month_day(year, date);
	} else if (date->kind == 'J') {
		/* Counted from 1, and 29 February has no number. */
		day += (is_leap(year) && date->day >= 60 ? 1 : 0) - 1;
	}
	return day * DAY_S + date->time;
}

static int64_t rule_offset(const struct rule *rule, int64_t second)
{
	const int64_t local = second + rule->standard;
	const int64_t year = year_of(local / DAY_S - (local % DAY_S < 0));

	if (!rule->has_summer) {
		return rule->standard;
	}
	const int64_t begin = date_second(year, &rule->begin) - rule->standard;
	const int64_t end = date_second(year, &rule->end) - rule->summer;
	const bool summer = begin < end ? second >= begin && second < end
	                                : second >= begin || second < end;
	return summer ? rule->summer : rule->standard;
}

/* --- the file ------------------------------------------------------------- */

static int64_t big_endian(const unsigned char *at, int bytes)
{
	uint64_t number = at[0] >= 128 ? UINT64_MAX : 0;

	for (int i = 0; i < bytes; i++) {
		number = number << 8 | at[i];
	}
	return (int64_t)number;
}

/* The counts of a header, in the order in which they stand there. */
enum { IS_UT, IS_STANDARD, LEAPS, TIMES, TYPE_COUNT, CHARS, COUNTS };

/* Where the data behind it ends, or NULL. */
static const unsigned char *read_header(const unsigned char *at,
                                        const unsigned char *end, int bytes,
                                        int64_t counts[COUNTS])
{
	int64_t size;

	if (end - at < HEADER || memcmp(at, "TZif", 4) != 0 || at[4] < '2') {
		return NULL;
	}
	for (int i = 0; i < COUNTS; i++) {
		counts[i] = big_endian(at + 20 + 4 * i, 4);
		if (counts[i] < 0 || counts[i] > FILE_MAX) {
			return NULL;
		}
	}
	size = counts[TIMES] * (bytes + 1) + counts[TYPE_COUNT] * 6 +
		counts[CHARS] + counts[LEAPS] * (bytes + 4) +
		counts[IS_STANDARD] + counts[IS_UT];
	return end - at - HEADER < size ? NULL : at + HEADER + size;
}

static bool read_changes(struct zone *zone, const unsigned char *at,
                         const int64_t counts[COUNTS])
{
	const size_t count = (size_t)counts[TIMES];
	const unsigned char *types = at + count * 8;
	const unsigned char *infos = types + count;

	if (count > CHANGES || counts[TYPE_COUNT] < 1 ||
	    counts[TYPE_COUNT] > TYPES) {
		return false;
	}
	zone->first = big_endian(infos, 4);
	zone->count = count;
	for (size_t i = 0; i < count; i++) {
		if (types[i] >= counts[TYPE_COUNT]) {
			return false;
		}
		zone->at[i] = big_endian(at + 8 * i, 8);
		zone->offset[i] = big_endian(infos + 6 * types[i], 4);
		if (i > 0 && zone->at[i] <= zone->at[i - 1]) {
			return false;
		}
	}
	return true;
}

/* data ends with a NUL. */
static bool read_zone(struct zone *zone, const unsigned char *data, size_t size)
{
	const unsigned char *end = data + size;
	int64_t counts[COUNTS];
	char rule[200];

	/* What is for programs of another age comes first. */
	const unsigned char *second = read_header(data, end, 4, counts);
	const unsigned char *foot = second == NULL ? NULL
		: read_header(second, end, 8, counts);
	if (foot == NULL || !read_changes(zone, second + HEADER, counts) ||
	    foot == end || *foot++ != '\n') {
		return false;
	}
	const size_t length = strcspn((const char *)foot, "\n");
	if (length >= sizeof(rule) || foot[length] != '\n') {
		return false;
	}
	memcpy(rule, foot, length);
	rule[length] = '\0';
	if (length == 0) {
		zone->rule.standard = zone->count > 0
			? zone->offset[zone->count - 1] : zone->first;
		return true;
	}
	return read_rule(rule, &zone->rule);
}

static const char *directory(void)
{
	const char *dir = getenv("TZDIR");

	return dir != NULL && dir[0] != '\0' ? dir : DIRECTORY;
}

/* Its size, or -1. */
static ssize_t load(const char *name, unsigned char data[FILE_MAX])
{
	char path[4096];
	size_t size = 0;
	ssize_t got = -1;

	if (name[0] == '\0' || name[0] == '/' ||
	    strlen(name) >= NAME_MAX_SIZE ||
	    name[strspn(name, NAME_CHARS)] != '\0' ||
	    snprintf(path, sizeof(path), "%s/%s", directory(), name) >=
	    (int)sizeof(path)) {
		return -1;
	}
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return -1;
	}
	while (size < FILE_MAX - 1 &&
	       (got = read(fd, data + size, FILE_MAX - 1 - size)) > 0) {
		size += (size_t)got;
	}
	close(fd);
	data[size] = '\0';
	return got == 0 ? (ssize_t)size : -1;
}

struct zone *zone_open(const char *name, struct bursar_error *err)
{
	struct zone *zone = calloc(1, sizeof(*zone));
	unsigned char *data = malloc(FILE_MAX);

	if (zone == NULL || data == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto fail;
	}
	/* The one that needs no database. */
	if (strcmp(name, "UTC") == 0) {
		free(data);
		return zone;
	}
	const ssize_t size = load(name, data);
	if (size < 0 && access(directory(), R_OK) != 0) {
		bursar_fail(err, ENOENT, "there is no zoneinfo database in %s: "
		            "install tzdata", directory());
		goto fail;
	}
	if (size < 0 || !read_zone(zone, data, (size_t)size)) {
		bursar_fail(err, EINVAL, "unknown time zone '%.64s': give a "
		            "name of the zoneinfo database, such as "
		            "Europe/Vienna", name);
		goto fail;
	}
	free(data);
	return zone;

fail:
	free(data);
	free(zone);
	return NULL;
}

void zone_close(struct zone *zone)
{
	free(zone);
}

/* --- asking --------------------------------------------------------------- */

int64_t zone_offset(const struct zone *zone, int64_t second)
{
	size_t from = 0, to = zone->count;

	if (zone->count == 0 || second >= zone->at[zone->count - 1]) {
		return rule_offset(&zone->rule, second);
	}
	/* How many changes are not later. */
	while (from < to) {
		const size_t middle = from + (to - from) / 2;

		if (zone->at[middle] <= second) {
			from = middle + 1;
		} else {
			to = middle;
		}
	}
	return from == 0 ? zone->first : zone->offset[from - 1];
}

/* Of two seconds with other offsets, the first that has the later one's. */
static int64_t jump(const struct zone *zone, int64_t before, int64_t after)
{
	const int64_t was = zone_offset(zone, before);

	while (after - before > 1) {
		const int64_t middle = before + (after - before) / 2;

		if (zone_offset(zone, middle) == was) {
			before = middle;
		} else {
			after = middle;
		}
	}
	return after;
}

int64_t zone_instant(const struct zone *zone, int64_t local)
{
	const int64_t part = (local % SECOND_US + SECOND_US) % SECOND_US;
	const int64_t second = (local - part) / SECOND_US;
	const int64_t before = zone_offset(zone, second - DAY_S);
	const int64_t after = zone_offset(zone, second + DAY_S);

	if (zone_offset(zone, second - after) == after) {
		return (second - after) * SECOND_US + part;
	}
	if (zone_offset(zone, second - before) == before) {
		return (second - before) * SECOND_US + part;
	}
	return jump(zone, second - (before > after ? before : after) - 1,
	            second - (before < after ? before : after) + 1) *
		SECOND_US;
}
