/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Tool calls and the prompts that they belong to come apart, in any order, and
 * neither waits for the other.  A link between them is a row of tool_links,
 * found by the first of these that holds, of several the nearest in time:
 *
 *	request		both name the same request
 *	exchange	both name the same exchange
 *	correlation	both have the same correlation id
 *	conversation	same conversation, within a quarter of an hour; only
 *			once the others were looked for in vain
 *
 * What was recorded in the last hour is looked at in every run, and the rest
 * some pages at a time, from the place where the last run ended.  A call that
 * finds no prompt is tried again, later each time up to a day, for as long as
 * it is there.
 *
 * Calls are gathered, and the prompts around them then read once for all of
 * them (jobs/matching.h): both tables are walked in order of time, behind the
 * row that was read last.
 *
 * Records are not touched: links are added, in statements that do nothing once
 * somebody else has the lease.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "book/words.h"
#include "common/columns.h"
#include "jobs/job.h"
#include "jobs/matching.h"

#define PAGE         500u	/* rows looked at by a statement */
#define BATCH        20000u	/* tool calls that are looked for together */
#define LINKS        80u	/* stored by a statement */
#define SWEEP_PAGES  4
#define HOUR_US      INT64_C(3600000000)
#define NEAR_US      (HOUR_US / 4)	/* of a conversation */
#define FIRST_TRY_US INT64_C(60000000)
#define GONE_ROWS    500
#define FORGET_PAGES 40

#define SWEPT_US "tools_swept_us"
#define SWEPT_ID "tools_swept_id"

enum { BY_CONVERSATION = 3, BY_NOTHING = MATCHING_REFS };

static const char *const methods[] = {
	"request", "exchange", "correlation", "conversation", "nothing",
};

/* A tool call without a prompt. */
struct tool {
	int64_t id;
	int64_t tries;
	int     method;		/* by which it was found */
	int64_t prompt;
};

/* Where a walk in order of time stands: behind that row. */
struct place {
	int64_t us;
	int64_t id;
};

struct reconcile {
	struct job_run *run;
	struct bursar_error *err;
	int64_t now;
	struct place at;
	struct words *words;
	struct matching *matching;
	struct tool   tools[BATCH];
	struct match  wanted[BATCH];	/* the same calls */
	size_t  count;
	size_t  seen;			/* rows of the page */
	bool    failed;
	uint64_t linked;
	uint64_t waiting;
	uint64_t read;			/* rows */
};

/* --- tool calls ----------------------------------------------------------- */

static struct bursar_span keep(struct reconcile *r,
                               const struct bursar_cell *cell)
{
	struct bursar_span kept = { "", 0 };

	if (cell->type == BURSAR_STRING && cell->size > 0) {
		kept = words_keep(r->words, cell->data, cell->size);
		r->failed |= kept.data == NULL;
	}
	return kept;
}

static int take_tool(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct reconcile *r = context;
	struct tool *tool = &r->tools[r->count];
	struct match *wanted = &r->wanted[r->count];

	assert(count == 4 + MATCHING_REFS && r->seen < PAGE);
	r->at = (struct place){ book_get(&cells[1]), book_get(&cells[0]) };
	r->seen++;
	r->read++;
	if (book_get(&cells[3]) == 0) {
		return 0;
	}
	assert(r->count < BATCH);
	*tool = (struct tool){
		.id = r->at.id, .tries = book_get(&cells[2]),
		.method = BY_NOTHING,
	};
	*wanted = (struct match){ .us = r->at.us };
	for (int i = 0; i < MATCHING_REFS; i++) {
		wanted->refs[i] = keep(r, &cells[4 + i]);
	}
	r->count++;
	return r->failed;
}

#define REFS "request_id, exchange_id, correlation_id, conversation_id"

static int read_tools(struct reconcile *r)
{
	const struct bursar_cell parameters[] = {
		book_int(r->at.us), book_int(r->at.id), book_int(r->now) };

	r->seen = 0;
	return book_run(r->run->book,
		"SELECT t.id, t.recorded_us, COALESCE(l.tries, 0), "
		"CASE WHEN l.tool_row IS NULL OR (l.prompt_row IS NULL AND "
		"l.next_us <= $3) THEN 1 ELSE 0 END, " REFS " FROM ("
		"SELECT id, recorded_us, " REFS " FROM tool_records "
		"WHERE recorded_us >= $1 AND (recorded_us, id) > ($1, $2) "
		"ORDER BY recorded_us, id LIMIT 500) t "
		"LEFT JOIN tool_links l ON l.tool_row = t.id "
		"ORDER BY t.recorded_us, t.id", parameters, 3, take_tool, r,
		r->err);
}

/* --- prompts -------------------------------------------------------------- */

static int take_prompt(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct reconcile *r = context;
	struct bursar_span refs[MATCHING_REFS];

	assert(count == 2 + MATCHING_REFS);
	r->read++;
	for (int i = 0; i < MATCHING_REFS; i++) {
		const struct bursar_cell *cell = &cells[2 + i];

		refs[i] = cell->type == BURSAR_STRING
			? (struct bursar_span){ cell->data, cell->size }
			: (struct bursar_span){ "", 0 };
	}
	matching_offer(r->matching, book_get(&cells[0]), book_get(&cells[1]),
	               refs);
	return 0;
}

/* By the first method that finds one near enough. */
static void choose(struct tool *tool, const struct match *match)
{
	for (int i = 0; i < MATCHING_REFS; i++) {
		const int64_t apart = match->apart[i];

		if (apart >= 0 && apart <= HOUR_US &&
		    (i != BY_CONVERSATION ||
		     (tool->tries > 0 && apart <= NEAR_US))) {
			tool->method = i;
			tool->prompt = match->found[i];
			return;
		}
	}
}

/* Where the hours around [first, last) and those around what follows do not
 * meet: so no prompt is read twice. */
static size_t end_of_cluster(const struct reconcile *r, size_t first)
{
	size_t last = first + 1;

	while (last < r->count &&
	       r->wanted[last].us <= r->wanted[last - 1].us + 2 * HOUR_US) {
		last++;
	}
	return last;
}

static int find_prompts(struct reconcile *r, size_t first, size_t last)
{
	const struct bursar_cell parameters[] = {
		book_int(r->wanted[first].us - HOUR_US),
		book_int(r->wanted[last - 1].us + HOUR_US) };

	r->matching = matching_create(&r->wanted[first], last - first);
	if (r->matching == NULL) {
		return bursar_fail(r->err, ENOMEM, "out of memory");
	}
	const int status = book_run(
		r->run->book, "SELECT id, recorded_us, " REFS " FROM "
		"prompt_records WHERE recorded_us >= $1 AND recorded_us <= $2 "
		"ORDER BY recorded_us, id", parameters, 2, take_prompt, r,
		r->err);
	matching_end(r->matching);
	r->matching = NULL;
	for (size_t i = first; i < last && status == 0; i++) {
		choose(&r->tools[i], &r->wanted[i]);
	}
	return status;
}

/* --- links ---------------------------------------------------------------- */

static int64_t next_try(const struct reconcile *r, const struct tool *tool)
{
	const int64_t shift = tool->tries < 11 ? tool->tries : 11;
	const int64_t wait = FIRST_TRY_US * (INT64_C(1) << shift);

	return r->now + (wait < COLUMNS_DAY_US ? wait : COLUMNS_DAY_US);
}

static void add_link(struct reconcile *r, struct book_statement *st,
                     const struct tool *tool)
{
	const bool linked = tool->method != BY_NOTHING;

	book_add(st, "(");
	book_add_value(st, book_int(tool->id));
	book_add(st, ", ");
	book_add_value(st, book_int(tool->prompt));
	book_add(st, ", ");
	book_add_value(st, book_text(methods[tool->method]));
	book_add(st, ", ");
	book_add_value(st, book_int(tool->tries + 1));
	book_add(st, ", ");
	book_add_value(st, book_int(linked ? 0 : next_try(r, tool)));
	book_add(st, ", ");
	book_add_value(st, book_int(linked ? r->now : 0));
	book_add(st, ")");
	*(linked ? &r->linked : &r->waiting) += 1;
}

static int store_links(struct reconcile *r, size_t first, size_t last)
{
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "INSERT INTO tool_links (tool_row, prompt_row, method, "
	         "tries, next_us, linked_us) SELECT column1, "
	         "NULLIF(column2, 0), column3, column4, column5, "
	         "NULLIF(column6, 0) FROM (VALUES ");
	for (size_t i = first; i < last; i++) {
		book_add(&st, i > first ? ", " : "");
		add_link(r, &st, &r->tools[i]);
	}
	book_add(&st, ") AS v WHERE ");
	lease_condition(&st, r->run->lease);
	book_add(&st, " ON CONFLICT (tool_row) DO UPDATE SET "
	         "prompt_row = excluded.prompt_row, method = excluded.method, "
	         "tries = excluded.tries, next_us = excluded.next_us, "
	         "linked_us = excluded.linked_us "
	         "WHERE tool_links.prompt_row IS NULL");
	return book_ask(r->run->book, &st, NULL, NULL, r->err);
}

static int link_batch(struct reconcile *r)
{
	size_t last;

	for (size_t i = 0; i < r->count; i = last) {
		last = end_of_cluster(r, i);
		if (find_prompts(r, i, last) != 0) {
			return -1;
		}
	}
	for (size_t i = 0; i < r->count; i = last) {
		last = i + LINKS < r->count ? i + LINKS : r->count;
		if (!r->run->go_on(r->run)) {
			return 0;
		}
		if (store_links(r, i, last) != 0) {
			return -1;
		}
	}
	return 0;
}

/* Up to so many pages from where it stands, as far as there is room. */
static int gather(struct reconcile *r, size_t pages, bool *end)
{
	r->count = 0;
	words_clear(r->words);
	*end = false;
	for (size_t i = 0; i < pages && r->count + PAGE <= BATCH && !*end;
	     i++) {
		if (!r->run->go_on(r->run)) {
			return 0;
		}
		if (read_tools(r) != 0) {
			return -1;
		}
		if (r->failed) {
			return bursar_fail(r->err, ENOMEM, "out of memory");
		}
		*end = r->seen < PAGE;
	}
	return 0;
}

/* All that stands behind the place. */
static int walk(struct reconcile *r)
{
	bool end = false;

	while (!end && r->run->ended == JOB_OK) {
		if (gather(r, SIZE_MAX, &end) != 0 ||
		    (r->run->ended == JOB_OK && link_batch(r) != 0)) {
			return -1;
		}
	}
	return 0;
}

/* --- what was long ago ---------------------------------------------------- */

static int sweep(struct reconcile *r)
{
	struct book *book = r->run->book;
	bool end;

	r->at = (struct place){ INT64_MIN, INT64_MIN };
	if (book_note_read(book, SWEPT_US, &r->at.us, r->err) != 0 ||
	    book_note_read(book, SWEPT_ID, &r->at.id, r->err) != 0 ||
	    gather(r, SWEEP_PAGES, &end) != 0 ||
	    (r->run->ended == JOB_OK && link_batch(r) != 0)) {
		return -1;
	}
	if (r->run->ended != JOB_OK) {
		return 0;	/* they come again */
	}
	if (end) {
		r->at = (struct place){ INT64_MIN, INT64_MIN };
	}
	return book_note_write(book, SWEPT_US, r->at.us, r->err) == 0
		? book_note_write(book, SWEPT_ID, r->at.id, r->err) : -1;
}

static int take_gone(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	(void)cells;
	(void)count;
	(*(size_t *)context)++;
	return 0;
}

/* Some of the links of tool calls that have expired and gone. */
static int forget_some(struct reconcile *r, size_t *gone)
{
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "DELETE FROM tool_links WHERE tool_row IN ("
	         "SELECT l.tool_row FROM tool_links l WHERE l.tool_row < ");
	book_add_value(&st, book_int(columns_day(r->now) *
	                             (INT64_C(1) << COLUMNS_ID_SHIFT)));
	book_add(&st, " AND NOT EXISTS (SELECT 1 FROM tool_records t "
	         "WHERE t.id = l.tool_row) ORDER BY l.tool_row LIMIT %d) AND ",
	         GONE_ROWS);
	lease_condition(&st, r->run->lease);
	book_add(&st, " RETURNING tool_row");
	*gone = 0;
	return book_ask(r->run->book, &st, take_gone, gone, r->err);
}

/* As many as may have come in a run. */
static int forget(struct reconcile *r)
{
	size_t gone = GONE_ROWS;

	for (int i = 0; i < FORGET_PAGES && gone == GONE_ROWS &&
	     r->run->go_on(r->run); i++) {
		if (forget_some(r, &gone) != 0) {
			return -1;
		}
	}
	return 0;
}

static int reconcile(struct reconcile *r)
{
	r->at = (struct place){ r->now - HOUR_US, INT64_MIN };
	if (walk(r) != 0) {
		return -1;
	}
	if (r->run->ended == JOB_OK && sweep(r) != 0) {
		return -1;
	}
	return r->run->ended == JOB_OK ? forget(r) : 0;
}

enum job_result job_reconcile(struct job_run *run, struct bursar_error *err)
{
	struct reconcile *r = calloc(1, sizeof(*r));
	enum job_result result = JOB_FAILED;

	run->ended = JOB_OK;
	if (r == NULL || (r->words = words_create()) == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto out;
	}
	r->run = run;
	r->err = err;
	r->now = clock_wall_us();
	if (reconcile(r) == 0) {
		result = run->ended;
	}
	run->did = r->linked > 0;
	snprintf(run->note, sizeof(run->note), "linked=%" PRIu64 " waiting=%"
	         PRIu64 " read=%" PRIu64, r->linked, r->waiting, r->read);
out:
	if (r != NULL) {
		words_destroy(r->words);
	}
	free(r);
	return result;
}
