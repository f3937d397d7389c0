/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The rows of an answer.
 */
#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "book/lines.h"

void lines_init(struct lines *lines, size_t by_count, size_t limit)
{
	assert(by_count <= QUERY_MAX_BY && limit <= LINES_MAX);

	memset(lines, 0, sizeof(*lines));
	lines->by_count = by_count;
	lines->limit = limit;
}

void lines_finish(struct lines *lines)
{
	for (size_t i = 0; i < lines->count; i++) {
		for (size_t k = 0; k < QUERY_MAX_BY; k++) {
			free(lines->lines[i].keys[k]);
		}
	}
	free(lines->lines);
	memset(lines, 0, sizeof(*lines));
}

/* --- adding -------------------------------------------------------------- */

static void add(struct lines *lines, int64_t *sum, int64_t more)
{
	if (__builtin_add_overflow(*sum, more, sum)) {
		*sum = more > 0 ? INT64_MAX : INT64_MIN;
		lines->overflow = true;
	}
}

static void add_extra(struct lines *lines, struct line *line,
                      const struct query_row *row, size_t extra)
{
	int64_t *sum = &line->extras[extra];

	if (!row->extra_known[extra]) {
		return;
	}
	if (extra != QUERY_LATENCY_MAX) {
		add(lines, sum, row->extras[extra]);
	} else if (!line->extra_known[extra] || row->extras[extra] > *sum) {
		*sum = row->extras[extra];
	}
	line->extra_known[extra] = true;
}

static void add_up(struct lines *lines, struct line *line,
                   const struct query_row *row)
{
	for (size_t i = 0; i < ROLLUP_COLUMNS; i++) {
		add(lines, &line->columns[i], row->columns[i]);
	}
	for (size_t i = 0; i < QUERY_EXTRAS; i++) {
		add_extra(lines, line, row, i);
	}
	lines->overflow |= row->saturated;
}

/* --- keeping ------------------------------------------------------------- */

static bool make_room(struct lines *lines)
{
	if (lines->count < lines->room) {
		return true;
	}
	const size_t room = lines->room > 0 ? 2 * lines->room : 64;
	struct line *more = reallocarray(lines->lines, room, sizeof(*more));
	if (more == NULL) {
		return false;
	}
	lines->lines = more;
	lines->room = room;
	return true;
}

static bool keep(struct lines *lines, const struct query_row *row)
{
	if (!make_room(lines)) {
		return false;
	}
	struct line line = { .period = row->period };
	memcpy(line.columns, row->columns, sizeof(line.columns));
	memcpy(line.extras, row->extras, sizeof(line.extras));
	memcpy(line.extra_known, row->extra_known, sizeof(line.extra_known));
	for (size_t i = 0; i < lines->by_count; i++) {
		if (row->by[i].data == NULL) {
			continue;
		}
		line.keys[i] = strndup(row->by[i].data, row->by[i].size);
		if (line.keys[i] == NULL) {
			goto fail;
		}
	}
	lines->lines[lines->count++] = line;
	return true;
fail:
	for (size_t i = 0; i < lines->by_count; i++) {
		free(line.keys[i]);
	}
	return false;
}

int lines_take(void *context, const struct query_row *row)
{
	struct lines *lines = context;

	add_up(lines, &lines->total, row);
	if (lines->by_count > 0 && row->by[0].data == NULL) {
		add_up(lines, &lines->nobody, row);
	}
	if (lines->count < lines->limit && keep(lines, row)) {
		return 0;
	}
	/* Also where memory is short: nothing is lost but its name. */
	lines->others++;
	lines->unnamed += lines->by_count > 0 && row->by[0].data == NULL;
	add_up(lines, &lines->rest, row);
	return 0;
}

/* --- all of them --------------------------------------------------------- */

bool lines_fill(struct lines *lines, size_t periods)
{
	struct line *all = calloc(periods + 1, sizeof(*all));

	assert(lines->by_count == 0);

	if (all == NULL) {
		return false;
	}
	for (size_t i = 0; i < periods; i++) {
		all[i].period = i;
		all[i].filled = true;
	}
	for (size_t i = 0; i < lines->count; i++) {
		assert(lines->lines[i].period < periods);
		all[lines->lines[i].period] = lines->lines[i];
	}
	free(lines->lines);
	lines->lines = all;
	lines->count = lines->room = periods;
	return true;
}

int64_t lines_named(const struct lines *lines)
{
	int64_t count = (int64_t)(lines->others - lines->unnamed);

	for (size_t i = 0; i < lines->count; i++) {
		count += lines->lines[i].keys[0] != NULL;
	}
	return count;
}

/* Unknown comes before any text. */
static int compare(const struct line *a, const struct line *b)
{
	for (size_t i = 0; i < QUERY_MAX_BY; i++) {
		const int order = strcmp(a->keys[i] != NULL ? a->keys[i] : "",
		                         b->keys[i] != NULL ? b->keys[i] : "");

		if (order != 0) {
			return order;
		}
	}
	return 0;
}

static int by_keys(const void *left, const void *right)
{
	return compare(*(const struct line *const *)left,
	               *(const struct line *const *)right);
}

static int by_keys_and_period(const void *left, const void *right)
{
	const struct line *a = left, *b = right;
	const int order = compare(a, b);

	return order != 0 ? order : a->period < b->period ? -1
		: a->period > b->period;
}

void lines_sort(struct lines *lines)
{
	if (lines->count > 0) {
		qsort(lines->lines, lines->count, sizeof(lines->lines[0]),
		      by_keys_and_period);
	}
}

bool lines_same_keys(const struct line *a, const struct line *b)
{
	return compare(a, b) == 0;
}

static void note(struct line *line, const struct line *before)
{
	if (before != NULL) {
		line->before = line_sum(before, ROLLUP_COST);
		line->before_known = line_known(before, ROLLUP_COST);
	}
}

void lines_compare(struct lines *lines, const struct lines *before)
{
	const struct line **sorted = calloc(before->count + 1, sizeof(*sorted));

	if (sorted == NULL) {
		return;
	}
	for (size_t i = 0; i < before->count; i++) {
		sorted[i] = &before->lines[i];
	}
	qsort(sorted, before->count, sizeof(*sorted), by_keys);
	for (size_t i = 0; i < lines->count; i++) {
		const struct line *line = &lines->lines[i];
		const struct line **found = bsearch(
			&line, sorted, before->count, sizeof(*sorted), by_keys);

		note(&lines->lines[i], found != NULL ? *found : NULL);
	}
	note(&lines->total, &before->total);
	free(sorted);
}
