/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every statement is short: the journal is small beside the records.
 *
 * One statement takes a hundred assignments.  More are first put down as notes
 * of bursar_meta, `assign:RANDOM:WORKER` with the team, and then enter the
 * journal by one statement: all of them, or none.  Notes that were left behind
 * go with the next ones; who finds that his are gone has done nothing.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <sodium.h>

#include "book/assign.h"

#define AT_A_TIME 100

#define ENTRY "'team'"
#define LAST                                                                 \
	"entry IN (SELECT max(entry) FROM bursar_journal WHERE what = " ENTRY\
	" GROUP BY subject)"

/* --- reading -------------------------------------------------------------- */

struct reading {
	struct team_map     *map;
	struct bursar_error *err;
};

static struct bursar_span span_of(const struct bursar_cell *cell)
{
	return cell->type == BURSAR_STRING
		? (struct bursar_span){ cell->data, cell->size }
		: (struct bursar_span){ "", 0 };
}

static int take_worker(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct reading *reading = context;

	assert(count == 2);
	return team_map_add(reading->map, span_of(&cells[0]),
	                    span_of(&cells[1]), reading->err) != 0;
}

struct team_map *assign_read(struct book *book, enum bursar_verdict *verdict,
                             struct bursar_error *err)
{
	struct bursar_error why = { 0 };
	struct reading reading = { team_map_create(), &why };

	*verdict = BURSAR_RETRY;
	if (reading.map == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	*verdict = book->ops->sql(book->sink, "SELECT subject, detail FROM "
		"bursar_journal WHERE what = " ENTRY " AND detail <> '' AND "
		LAST, NULL, 0, take_worker, &reading, err);
	if (*verdict == BURSAR_DONE && (why.code != 0 ||
	    team_map_sort(reading.map, &why) != 0)) {
		*verdict = why.code == ENOMEM ? BURSAR_RETRY : BURSAR_REJECT;
		bursar_fail(err, why.code, "%s", why.text);
	}
	if (*verdict != BURSAR_DONE) {
		team_map_destroy(reading.map);
		return NULL;
	}
	return reading.map;
}

static int take_mark(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	struct assign_mark *mark = context;

	assert(count == 2);
	mark->entries = book_get(&cells[0]);
	mark->last = book_get(&cells[1]);
	return 1;
}

/* Entries may be seen in another order than they are numbered in, so that the
 * last number alone would not do. */
enum bursar_verdict assign_look(struct book *book, struct assign_mark *mark,
                                struct bursar_error *err)
{
	return book->ops->sql(book->sink, "SELECT count(*), max(entry) FROM "
	                      "bursar_journal WHERE what = " ENTRY, NULL, 0,
	                      take_mark, mark, err);
}

int assign_list(struct book *book, const char *team, bool all,
                bursar_row_fn *row, void *context, struct bursar_error *err)
{
	const struct bursar_cell parameters[] = { book_text(team) };

	return book_run(book, all
		? "SELECT subject, detail, at_us, who FROM bursar_journal "
		  "WHERE what = " ENTRY " AND $1 IN ('', detail) "
		  "ORDER BY subject, entry"
		: "SELECT subject, detail, at_us, who FROM bursar_journal "
		  "WHERE what = " ENTRY " AND $1 IN ('', detail) "
		  "AND detail <> '' AND " LAST " ORDER BY subject",
		parameters, 1, row, context, err);
}

/* --- writing -------------------------------------------------------------- */

#define STAGED      "assign:"
#define STAGED_SIZE (sizeof(STAGED) + 16)	/* "assign:0123456789abcdef" */

struct writing {
	struct book *book;
	const struct team_map *changes;
	const char  *who;
	int64_t      now_us;
	char         staged[STAGED_SIZE];
	struct book_statement st;
};

static int write_few(struct writing *w, struct bursar_error *err)
{
	struct book_statement *st = &w->st;

	book_begin(st);
	book_add(st, "INSERT INTO bursar_journal (at_us, who, what, subject, "
	         "detail) VALUES ");
	for (size_t i = 0; i < team_map_count(w->changes); i++) {
		struct bursar_span worker, team;

		team_map_get(w->changes, i, &worker, &team);
		book_add(st, "%s(", i > 0 ? ", " : "");
		book_add_value(st, book_int(w->now_us));
		book_add(st, ", ");
		book_add_value(st, book_text(w->who));
		book_add(st, ", " ENTRY ", ");
		book_add_value(st, book_bytes(worker.data, worker.size));
		book_add(st, ", ");
		book_add_value(st, book_bytes(team.data, team.size));
		book_add(st, ")");
	}
	return book_ask(w->book, st, NULL, NULL, err);
}

static int stage_some(struct writing *w, size_t from, size_t to,
                      struct bursar_error *err)
{
	struct book_statement *st = &w->st;

	book_begin(st);
	book_add(st, "INSERT INTO bursar_meta (name, value) VALUES ");
	for (size_t i = from; i < to; i++) {
		struct bursar_span worker, team;

		team_map_get(w->changes, i, &worker, &team);
		book_add(st, "%s('%s:' || CAST(", i > from ? ", " : "",
		         w->staged);
		book_add_value(st, book_bytes(worker.data, worker.size));
		book_add(st, " AS TEXT), ");
		book_add_value(st, book_bytes(team.data, team.size));
		book_add(st, ")");
	}
	return book_ask(w->book, st, NULL, NULL, err);
}

static int take_entry(void *context, const struct bursar_cell *cells,
                      size_t count)
{
	(void)cells;
	(void)count;
	(*(size_t *)context)++;
	return 0;
}

/* " FROM bursar_meta WHERE name is one of what was staged". */
static void add_staged(const struct writing *w, struct book_statement *st)
{
	book_add(st, " FROM bursar_meta WHERE name >= '%s:' AND name < '%s;'",
	         w->staged, w->staged);
}

static int enter_staged(struct writing *w, struct bursar_error *err)
{
	const size_t count = team_map_count(w->changes);
	struct book_statement *st = &w->st;
	size_t entered = 0;

	book_begin(st);
	book_add(st, "INSERT INTO bursar_journal (at_us, who, what, subject, "
	         "detail) SELECT CAST(");
	book_add_value(st, book_int(w->now_us));
	book_add(st, " AS BIGINT), CAST(");
	book_add_value(st, book_text(w->who));
	book_add(st, " AS TEXT), " ENTRY ", substr(name, %zu), value",
	         STAGED_SIZE + 1);
	add_staged(w, st);
	book_add(st, " AND (SELECT COUNT(*)");
	add_staged(w, st);
	book_add(st, ") = ");
	book_add_value(st, book_int((int64_t)count));
	book_add(st, " ORDER BY name RETURNING 1");
	if (book_ask(w->book, st, take_entry, &entered, err) != 0) {
		return -1;
	}
	return entered == count ? 0
		: bursar_fail(err, EBUSY, "nothing was assigned: somebody else "
		              "assigns at this moment; try again");
}

/* Those of others, too, which nobody needs but who is at it right now. */
static int clear_staged(struct writing *w, struct bursar_error *err)
{
	return book_run(w->book, "DELETE FROM bursar_meta WHERE name >= '"
	                STAGED "' AND name < 'assign;'", NULL, 0, NULL, NULL,
	                err);
}

static int write_many(struct writing *w, struct bursar_error *err)
{
	const size_t count = team_map_count(w->changes);
	struct bursar_error unheard = { 0 };
	int result = clear_staged(w, err);

	for (size_t i = 0; i < count && result == 0; i += AT_A_TIME) {
		const size_t to = count - i < AT_A_TIME ? count : i + AT_A_TIME;

		result = stage_some(w, i, to, err);
	}
	if (result == 0) {
		result = enter_staged(w, err);
	}
	clear_staged(w, &unheard);
	return result;
}

int assign_write(struct book *book, const struct team_map *changes,
                 const char *who, int64_t now_us, struct bursar_error *err)
{
	struct writing *w = malloc(sizeof(*w));
	int result = 0;

	if (w == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	w->book = book;
	w->changes = changes;
	w->who = who;
	w->now_us = now_us;
	snprintf(w->staged, sizeof(w->staged), STAGED "%08" PRIx32 "%08" PRIx32,
	         randombytes_random(), randombytes_random());
	if (team_map_count(changes) > AT_A_TIME) {
		result = write_many(w, err);
	} else if (team_map_count(changes) > 0) {
		result = write_few(w, err);
	}
	free(w);
	return result;
}
