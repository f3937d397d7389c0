/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Figures of a line.
 */
#include "config.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "book/figures.h"

#define BAR_WIDTH  18
#define BLOCK      "\xe2\x96\x88"	/* a full block */
#define SLIVER     "\xe2\x96\x8f"	/* an eighth of one */
#define LETTER     3			/* bytes of either */

/* Latency of a provider, ms. */
#define HEALTHY_BELOW  2000
#define CRITICAL_FROM  8000

/* A circuit breaker would act on so many requests, and so many of a hundred
 * that fail. */
#define CIRCUIT_REQUESTS  5
#define CIRCUIT_OPEN      50
#define CIRCUIT_HALF_OPEN 10

/* --- what is shown ------------------------------------------------------- */

static bool is_shown(const struct shown *shown, const struct cli *cli,
                     bool grouped, bool compared)
{
	const bool table = cli->format == CLI_TABLE;

	if ((shown->when & (table ? SHOW_TABLE : SHOW_DATA)) == 0 ||
	    ((shown->when & SHOW_GROUPED) != 0 && !grouped) ||
	    ((shown->when & SHOW_COMPARED) != 0 && !compared)) {
		return false;
	}
	if (shown->figure == FIGURE_BAR) {
		return cli->width >= shown->width && cli->width > 0;
	}
	return !table || cli->width == 0 || cli->width >= shown->width;
}

size_t figures_shown(const struct shown *columns, size_t count,
                     const struct cli *cli, bool grouped, bool compared,
                     const struct shown **out)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		if (is_shown(&columns[i], cli, grouped, compared)) {
			out[used++] = &columns[i];
		}
	}
	return used;
}

static void want(const struct shown *shown, struct query *query)
{
	switch (shown->figure) {
	case FIGURE_SUM:
	case FIGURE_AVERAGE:
	case FIGURE_AVERAGE_1:
		query->columns |= QUERY_SUM(shown->arg);
		break;
	case FIGURE_LATENCY_CLASS:
		query->columns |= QUERY_SUM(ROLLUP_LATENCY);
		break;
	case FIGURE_PERCENTILE:
		query->columns |= QUERY_BUCKETS;
		break;
	case FIGURE_EXTRA:
		query->extras |= 1u << shown->arg;
		break;
	default:	/* of what every query asks */
		break;
	}
}

void figures_want(const struct shown *const *columns, size_t count,
                  struct query *query)
{
	query->columns |= QUERY_COUNT | QUERY_SUM(ROLLUP_COST);
	for (size_t i = 0; i < count; i++) {
		want(columns[i], query);
	}
}

/* --- values -------------------------------------------------------------- */

static const struct value nothing = { .type = VALUE_NULL };

static struct value number(int64_t number)
{
	return (struct value){ .type = VALUE_NUMBER, .number = number };
}

static struct value real(double real)
{
	return (struct value){ .type = VALUE_REAL, .real = real };
}

static struct value text(const char *text)
{
	struct value value = { .type = VALUE_TEXT };

	snprintf(value.text, sizeof(value.text), "%s", text);
	return value;
}

void value_add(struct table *table, const struct value *value)
{
	switch (value->type) {
	case VALUE_NULL:
		table_add_null(table);
		break;
	case VALUE_TEXT:
		table_add_text(table, value->text);
		break;
	case VALUE_NUMBER:
		table_add_number(table, value->number);
		break;
	case VALUE_REAL:
		table_add_real(table, value->real);
		break;
	}
}

/* --- figures ------------------------------------------------------------- */

double figure_percent(int64_t part, int64_t whole)
{
	assert(whole != 0);

	return round((double)part / (double)whole * 1000) / 10;
}

const char *figure_bar(double share, int width, char *out)
{
	const double blocks = share * width;
	size_t size = 0;

	for (int i = 0; i < width && i + 0.5 <= blocks; i++) {
		memcpy(out + size, BLOCK, LETTER);
		size += LETTER;
	}
	if (size == 0 && share > 0) {
		memcpy(out, SLIVER, LETTER);
		size = LETTER;
	}
	out[size] = '\0';
	return out;
}

static struct value sum_of(const struct line *line, enum rollup_sum sum)
{
	return line_known(line, sum) ? number(line_sum(line, sum))
		: line->filled ? number(0) : nothing;
}

/* Half away from zero, in units of 1 / per. */
static struct value average_of(const struct line *line, enum rollup_sum sum,
                               int per)
{
	const int64_t *column = &line->columns[ROLLUP_FIRST_SUM + 2 * sum];

	if (column[1] == 0) {
		return nothing;
	}
	const __int128 twice = (__int128)column[0] * per * 2;
	const __int128 half = twice < 0 ? -column[1] : column[1];
	return real((double)(int64_t)((twice + half) /
	                              (2 * (__int128)column[1])) / per);
}

static struct value cost_per_call(const struct line *line)
{
	const int64_t *column =
		&line->columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_COST];

	if (column[1] == 0) {
		return nothing;
	}
	const int64_t half = column[0] < 0 ? -column[1] / 2 : column[1] / 2;
	return number((int64_t)(((__int128)column[0] + half) / column[1]));
}

static struct value share_of(const struct line *line, const struct scale *scale)
{
	const int64_t total = line_sum(scale->total, ROLLUP_COST);

	return !line_known(line, ROLLUP_COST) || total == 0 ? nothing
		: real(figure_percent(line_sum(line, ROLLUP_COST), total));
}

static struct value bar_of(const struct line *line, const struct scale *scale)
{
	struct value bar = { .type = VALUE_TEXT };

	if (line != scale->total && scale->full > 0) {
		figure_bar((double)line_sum(line, ROLLUP_COST) /
		           (double)scale->full, BAR_WIDTH, bar.text);
	}
	return bar;
}

static struct value error_rate(const struct line *line)
{
	const int64_t requests = line->columns[ROLLUP_REQUESTS];

	return requests == 0 ? nothing
		: real(figure_percent(line->columns[ROLLUP_ERRORS], requests));
}

static const char *latency_class(const struct line *line)
{
	const int64_t *column =
		&line->columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_LATENCY];

	if (column[1] == 0) {
		return "unknown";
	}
	return column[0] < HEALTHY_BELOW * (__int128)column[1] ? "healthy"
		: column[0] < CRITICAL_FROM * (__int128)column[1] ? "degraded"
		: "critical";
}

static const char *circuit(const struct line *line)
{
	const __int128 requests = line->columns[ROLLUP_REQUESTS];
	const __int128 errors = line->columns[ROLLUP_ERRORS];

	if (requests < CIRCUIT_REQUESTS) {
		return errors == 0 && requests > 0 ? "closed" : "unknown";
	}
	return errors * 100 >= requests * CIRCUIT_OPEN ? "open"
		: errors * 100 >= requests * CIRCUIT_HALF_OPEN ? "half-open"
		: "closed";
}

/* The highest latency, where it was asked for, bounds what a bucket says. */
static struct value percentile_of(const struct line *line, int percent)
{
	const int64_t ms = query_percentile(line->columns, percent);
	const int64_t highest = line->extras[QUERY_LATENCY_MAX];

	if (ms < 0) {
		return nothing;
	}
	return number(line->extra_known[QUERY_LATENCY_MAX] && highest < ms
	              ? highest : ms);
}

static struct value change_of(const struct line *line)
{
	const int64_t cost = line_sum(line, ROLLUP_COST);
	int64_t more;

	if (!line->before_known || line->before == 0 ||
	    __builtin_sub_overflow(cost, line->before, &more)) {
		return nothing;
	}
	return real(figure_percent(more, line->before));
}

struct value figure_of(const struct shown *shown, const struct line *line,
                       const struct scale *scale)
{
	const int64_t *columns = line->columns;

	switch (shown->figure) {
	case FIGURE_REQUESTS:
		return number(columns[ROLLUP_REQUESTS]);
	case FIGURE_ERRORS:
		return number(columns[ROLLUP_ERRORS]);
	case FIGURE_ERROR_RATE:
		return error_rate(line);
	case FIGURE_UNPRICED:
		return number(columns[ROLLUP_REQUESTS] -
		              columns[ROLLUP_FIRST_SUM + 2 * ROLLUP_COST + 1]);
	case FIGURE_SUM:
		return sum_of(line, (enum rollup_sum)shown->arg);
	case FIGURE_AVERAGE:
		return average_of(line, (enum rollup_sum)shown->arg, 100);
	case FIGURE_AVERAGE_1:
		return average_of(line, (enum rollup_sum)shown->arg, 10);
	case FIGURE_PERCENTILE:
		return percentile_of(line, shown->arg);
	case FIGURE_COST_PER_CALL:
		return cost_per_call(line);
	case FIGURE_SHARE:
		return share_of(line, scale);
	case FIGURE_BAR:
		return bar_of(line, scale);
	case FIGURE_BEFORE:
		return line->before_known ? number(line->before) : nothing;
	case FIGURE_CHANGE:
		return change_of(line);
	case FIGURE_LATENCY_CLASS:
		return text(latency_class(line));
	case FIGURE_CIRCUIT:
		return text(circuit(line));
	case FIGURE_EXTRA:
		return line->extra_known[shown->arg]
			? number(line->extras[shown->arg]) : nothing;
	case FIGURE_UNKNOWN:
		return text("unknown");
	case FIGURE_ZERO:
	default:
		return number(0);
	}
}
