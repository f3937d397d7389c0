/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Numbers, sizes, durations, flags, choices and paths as people write them,
 * and back again for messages about bounds.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "conf/options.h"
#include "conf/options_value.h"

#define DIGITS    "0123456789"
#define SHOW_SIZE 32

struct unit {
	const char *name;
	int64_t     base;
};

/* Largest first, for messages. */
static const struct unit size_units[] = {
	{ "T", INT64_C(1) << 40 }, { "G", 1 << 30 }, { "M", 1 << 20 },
	{ "K", 1 << 10 }, { "", 1 }, { NULL },
};

static const struct unit duration_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
	{ "ms", 1 }, { NULL },
};

static const struct unit no_units[] = { { "", 1 }, { NULL } };

static bool parse_decimal(const char *text, char **end, int64_t *value)
{
	const char *digits = text + (*text == '-');

	if (strspn(digits, DIGITS) == 0) {
		return false;
	}
	errno = 0;
	*value = strtoll(text, end, 10);
	return errno == 0;
}

/* Digits and one of `units`, in capitals or not. */
static bool parse_units(const char *text, const struct unit *units,
                        int64_t *value)
{
	char *end;
	int64_t count;

	if (*text == '-' || !parse_decimal(text, &end, &count)) {
		return false;
	}
	for (const struct unit *u = units; u->name != NULL; u++) {
		if (strcasecmp(end, u->name) == 0) {
			return !__builtin_mul_overflow(count, u->base, value);
		}
	}
	return false;
}

bool options_parse_size(const char *text, int64_t *bytes)
{
	assert(text != NULL && bytes != NULL);

	return parse_units(text, size_units, bytes);
}

bool options_parse_duration(const char *text, int64_t *ms)
{
	assert(text != NULL && ms != NULL);

	if (strcmp(text, "0") == 0) {
		*ms = 0;
		return true;
	}
	return parse_units(text, duration_units, ms);
}

static bool parse_number(const char *text, int64_t *number)
{
	char *end;

	return parse_decimal(text, &end, number) && *end == '\0';
}

static bool parse_flag(const char *text, int64_t *flag)
{
	static const struct {
		const char *word;
		int64_t     flag;
	} words[] = {
		{ "true", 1 }, { "false", 0 }, { "yes", 1 }, { "no", 0 },
		{ "on", 1 }, { "off", 0 },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i].word) == 0) {
			*flag = words[i].flag;
			return true;
		}
	}
	return false;
}

static bool parse(enum bursar_type type, const char *text, int64_t *number)
{
	switch (type) {
	case BURSAR_TYPE_NUMBER:
		return parse_number(text, number);
	case BURSAR_TYPE_SIZE:
		return options_parse_size(text, number);
	case BURSAR_TYPE_DURATION:
		return options_parse_duration(text, number);
	case BURSAR_TYPE_FLAG:
		return parse_flag(text, number);
	default:
		assert(!"a type without number");
		return false;
	}
}

static const char *remedy(enum bursar_type type)
{
	switch (type) {
	case BURSAR_TYPE_NUMBER:
		return "is not a whole number";
	case BURSAR_TYPE_SIZE:
		return "is not a size; write 512, 64K, 10M or 1G";
	case BURSAR_TYPE_DURATION:
		return "is not a duration; write 20ms, 5s, 2m, 1h or 7d";
	default:
		return "is neither true nor false";
	}
}

/* As a user would write it, in the largest unit that divides it. */
static const char *show(enum bursar_type type, int64_t value, char *out)
{
	const struct unit *unit = type == BURSAR_TYPE_SIZE ? size_units :
		type == BURSAR_TYPE_DURATION ? duration_units : no_units;

	if (value == 0) {
		return "0";
	}
	while (value % unit->base != 0) {
		unit++;
	}
	snprintf(out, SHOW_SIZE, "%" PRId64 "%s", value / unit->base,
	         unit->name);
	return out;
}

static int check_bounds(const struct bursar_option *option, const char *shown,
                        int64_t number, struct bursar_error *err)
{
	const bool has_bounds = option->min != 0 || option->max != 0;
	const int64_t max = has_bounds ? option->max : INT64_MAX;
	char low[SHOW_SIZE];
	char high[SHOW_SIZE];

	if (option->type == BURSAR_TYPE_FLAG ||
	    (number >= option->min && number <= max)) {
		return 0;
	}
	if (max == INT64_MAX) {
		return bursar_fail(err, ERANGE, "%s is too small; %s is the "
		                   "least", shown,
		                   show(option->type, option->min, low));
	}
	return bursar_fail(err, ERANGE, "%s is too %s; it goes from %s to %s",
	                   shown, number < option->min ? "small" : "large",
	                   show(option->type, option->min, low),
	                   show(option->type, max, high));
}

int value_number(const struct bursar_option *option, const char *text,
                 const char *shown, int64_t *number, struct bursar_error *err)
{
	assert(option != NULL && text != NULL && number != NULL);

	if (!parse(option->type, text, number)) {
		return bursar_fail(err, EINVAL, "%s %s", shown,
		                   remedy(option->type));
	}
	return check_bounds(option, shown, *number, err);
}

/* "one|two|three" for a person: "one, two or three". */
static void show_choices(const char *choices, char *out, size_t size)
{
	size_t used = 0;

	while (*choices != '\0' && used + 1 < size) {
		const size_t length = strcspn(choices, "|");
		const char *next = choices + length + (choices[length] == '|');
		const char *divider =
			*next == '\0' ? "" : strchr(next, '|') ? ", " : " or ";

		used += (size_t)snprintf(out + used, size - used, "%.*s%s",
		                         (int)length, choices, divider);
		choices = next;
	}
}

int value_choice(const struct bursar_option *option, const char *text,
                 const char *shown, struct bursar_error *err)
{
	assert(option != NULL && option->choices != NULL && text != NULL);

	const size_t size = strlen(text);
	char all[160] = "";

	for (const char *c = option->choices; *c != '\0';) {
		const size_t length = strcspn(c, "|");

		if (length == size && memcmp(c, text, size) == 0) {
			return 0;
		}
		c += length + (c[length] == '|');
	}
	show_choices(option->choices, all, sizeof(all));
	return bursar_fail(err, EINVAL, "%s is not a choice; write %s", shown,
	                   all);
}

char *value_path(const char *text, const char *dir)
{
	char *path;

	assert(text != NULL && dir != NULL);

	if (text[0] == '/' || text[0] == '\0') {
		return strdup(text);
	}
	return asprintf(&path, "%s/%s", dir, text) < 0 ? NULL : path;
}
