/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "price/price_make.h"

#define DAY_S     INT64_C(86400)
#define SECOND_US INT64_C(1000000)
#define WEEK      7
#define ALL_DAYS  ((1u << WEEK) - 1)
#define THURSDAY  3		/* 1970-01-01, from Monday */

static const char *const day_names[WEEK] = {
	"mon", "tue", "wed", "thu", "fri", "sat", "sun",
};

/* --- asking -------------------------------------------------------------- */

static int64_t divide(int64_t a, int64_t by)
{
	return a / by - (a % by < 0);
}

/* What the clocks of a zone show, in seconds. */
static int64_t shown(struct zone *zone, int64_t second)
{
	return second + (zone != NULL ? zone_offset(zone, second) : 0);
}

static bool is_within(const struct price_hours *hours, int64_t second)
{
	return hours->from < hours->until
		? second >= hours->from && second < hours->until
		: second >= hours->from || second < hours->until;
}

bool price_window_holds(const struct price_window *w, int64_t us)
{
	const int64_t second = divide(us, SECOND_US);
	const int64_t clock = shown(w->zone, second);
	const int64_t of_day = clock - divide(clock, DAY_S) * DAY_S;
	bool holds = w->hour_count == 0;

	if (w->days != ALL_DAYS) {
		const int64_t day = divide(shown(w->days_zone, second), DAY_S) +
			THURSDAY;

		if ((w->days >> (day - divide(day, WEEK) * WEEK) & 1) == 0) {
			return false;
		}
	}
	for (size_t i = 0; i < w->hour_count && !holds; i++) {
		holds = is_within(&w->hours[i], of_day);
	}
	return holds;
}

/* --- reading ------------------------------------------------------------- */

/* "16:30"; 24:00 is where a day ends. */
static const char *read_clock(const char *at, int32_t *seconds)
{
	int digit[4];

	for (int i = 0; i < 4; i++) {
		if (i == 2 && *at++ != ':') {
			return NULL;
		}
		if (*at < '0' || *at > '9') {
			return NULL;
		}
		digit[i] = *at++ - '0';
	}
	const int minutes = (digit[0] * 10 + digit[1]) * 60 + digit[2] * 10 +
		digit[3];

	*seconds = minutes % (24 * 60) * 60;
	return digit[2] > 5 || minutes > 24 * 60 ? NULL : at;
}

static bool read_hours(const json_t *value, struct price_hours *hours)
{
	const char *at = json_string_value(value);

	at = at == NULL ? NULL : read_clock(at, &hours->from);
	if (at == NULL || *at++ != '-') {
		return false;
	}
	at = read_clock(at, &hours->until);
	return at != NULL && *at == '\0';
}

static bool read_all_hours(const json_t *value, struct price_window *w)
{
	const json_t *item;
	size_t i;

	if (value == NULL) {
		return true;
	}
	if (!json_is_array(value)) {
		w->hour_count = 1;
		return read_hours(value, &w->hours[0]);
	}
	json_array_foreach(value, i, item) {
		if (i >= PRICE_MAX_HOURS || !read_hours(item, &w->hours[i])) {
			return false;
		}
		w->hour_count++;
	}
	return w->hour_count > 0;
}

static unsigned day_bit(const json_t *value)
{
	const char *name = json_string_value(value);

	for (unsigned i = 0; name != NULL && i < WEEK; i++) {
		if (strcmp(name, day_names[i]) == 0) {
			return 1u << i;
		}
	}
	return 0;
}

static bool read_days(const json_t *value, struct price_window *w)
{
	const json_t *item;
	size_t i;

	w->days = value == NULL ? ALL_DAYS : 0;
	json_array_foreach(value, i, item) {
		if (day_bit(item) == 0) {
			return false;
		}
		w->days |= day_bit(item);
	}
	return w->days != 0;
}

static bool read_zone(struct price_maker *maker, const json_t *object,
                      const char *member, struct zone **zone)
{
	const json_t *value = json_object_get(object, member);
	const char *name = json_string_value(value);
	struct bursar_error err = { 0 };

	if (value == NULL) {
		return true;
	}
	if (name == NULL) {
		price_maker_say(maker, "'%s' of a window is the name of a time "
		                "zone", member);
		return false;
	}
	*zone = NULL;
	if (strcmp(name, "UTC") == 0) {
		return true;
	}
	*zone = price_book_zone(maker->book, name, &err);
	if (*zone == NULL) {
		price_maker_say(maker, "%s", err.text);
	}
	return *zone != NULL;
}

static bool read_name(const json_t *value, struct price_window *w)
{
	const char *name = value == NULL ? "off-peak"
	                                 : json_string_value(value);

	if (!price_is_name(name, sizeof(w->name) - 1)) {
		return false;
	}
	snprintf(w->name, sizeof(w->name), "%s", name);
	return true;
}

bool price_window_read(struct price_maker *maker, const json_t *object,
                       struct price_window *w)
{
	const char *wrong =
		!json_is_object(object) ? "is an object with hours and rates" :
		!read_name(json_object_get(object, "name"), w)
			? "has a 'name' of 1 to 40 bytes without control "
			  "characters, or none" :
		!read_all_hours(json_object_get(object, "hours"), w)
			? "has 'hours' such as 16:30-00:30, or a list of at "
			  "most 8 of them" :
		!read_days(json_object_get(object, "days"), w)
			? "has 'days', a list of mon, tue, wed, thu, fri, sat "
			  "and sun" : NULL;

	if (wrong != NULL) {
		price_maker_say(maker, "a window %s", wrong);
		return false;
	}
	if (!read_zone(maker, object, "zone", &w->zone)) {
		return false;
	}
	w->days_zone = w->zone;
	return read_zone(maker, object, "days-zone", &w->days_zone);
}

/* --- showing ------------------------------------------------------------- */

static const char *name_of(const struct zone *zone)
{
	return zone != NULL ? zone_name(zone) : "UTC";
}

const char *price_window_text(const struct price_window *w,
                              char out[PRICE_WINDOW_TEXT])
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < w->hour_count; i++) {
		const int from = w->hours[i].from / 60;
		const int until = w->hours[i].until / 60;

		at += (size_t)snprintf(out + at, PRICE_WINDOW_TEXT - at,
		                       "%02d:%02d-%02d:%02d ", from / 60,
		                       from % 60, until / 60, until % 60);
	}
	at += (size_t)snprintf(out + at, PRICE_WINDOW_TEXT - at, "%s%s",
	                       w->hour_count == 0 ? "all day " : "",
	                       name_of(w->zone));
	for (unsigned i = 0; i < WEEK && w->days != ALL_DAYS; i++) {
		if (w->days >> i & 1) {
			at += (size_t)snprintf(out + at,
			                       PRICE_WINDOW_TEXT - at, "%s%s",
			                       strchr(out, ',') == NULL
			                       ? ", " : " ", day_names[i]);
		}
	}
	if (w->days_zone != w->zone && w->days != ALL_DAYS) {
		snprintf(out + at, PRICE_WINDOW_TEXT - at, " in %s",
		         name_of(w->days_zone));
	}
	return out;
}
