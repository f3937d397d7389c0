/* SPDX-License-Identifier: Apache-2.0 */

/* Words for types, bounds and defaults. */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "conf/describe.h"

const char *const describe_types[] = {
	[BURSAR_TYPE_TEXT] = "text",         [BURSAR_TYPE_PATH] = "path",
	[BURSAR_TYPE_CHOICE] = "choice",     [BURSAR_TYPE_NUMBER] = "number",
	[BURSAR_TYPE_SIZE] = "size",         [BURSAR_TYPE_DURATION] = "duration",
	[BURSAR_TYPE_FLAG] = "flag",         [BURSAR_TYPE_LIST] = "list",
	[BURSAR_TYPE_SECRET] = "secret",     [BURSAR_TYPE_INPUT] = "input",
	[BURSAR_TYPE_OUTPUT] = "output",     [BURSAR_TYPE_LISTEN] = "listen",
};

static const struct unit {
	int64_t     of;
	const char *name;
} sizes[] = {
	{ INT64_C(1) << 40, "T" }, { 1 << 30, "G" }, { 1 << 20, "M" },
	{ 1 << 10, "K" }, { 1, "" },
}, durations[] = {
	{ 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" },
	{ 1, "ms" },
};

/* In the largest unit that says it exactly. */
static void in_units(const struct unit *units, int64_t bound, char *out,
                     size_t size)
{
	while (bound % units->of != 0) {
		units++;
	}
	snprintf(out, size, "%" PRId64 "%s", bound / units->of,
	         bound == 0 ? "" : units->name);
}

/* A bound of the option as a user would write it: 64K, 250ms, 12. */
static void write_bound(const struct bursar_option *option, int64_t bound,
                        char *out, size_t size)
{
	if (option->type == BURSAR_TYPE_SIZE) {
		in_units(sizes, bound, out, size);
	} else if (option->type == BURSAR_TYPE_DURATION) {
		in_units(durations, bound, out, size);
	} else {
		snprintf(out, size, "%" PRId64, bound);
	}
}

static bool has_bounds(const struct bursar_option *option)
{
	return (option->type == BURSAR_TYPE_NUMBER ||
	        option->type == BURSAR_TYPE_SIZE ||
	        option->type == BURSAR_TYPE_DURATION) &&
	       (option->min != 0 || option->max != 0);
}

static void bounds(const struct bursar_option *option, char *out, size_t size)
{
	char min[32];
	char max[32];

	out[0] = '\0';
	if (option->type == BURSAR_TYPE_CHOICE) {
		snprintf(out, size, ", %s", option->choices);
		return;
	}
	if (!has_bounds(option)) {
		return;
	}
	write_bound(option, option->min, min, sizeof(min));
	write_bound(option, option->max, max, sizeof(max));
	if (option->max == INT64_MAX) {
		snprintf(out, size, ", %s or more", min);
	} else {
		snprintf(out, size, ", %s to %s", min, max);
	}
}

const char *describe_terms(const struct bursar_option *option, char *out,
                           size_t size)
{
	char between[256];
	const char *fallback = option->fallback;

	bounds(option, between, sizeof(between));
	snprintf(out, size, "%s%s%s%s", describe_types[option->type], between,
	         fallback == NULL ? ", required" :
	         fallback[0] == '\0' ? "" : ", default ",
	         fallback != NULL ? fallback : "");
	return out;
}
