/* SPDX-License-Identifier: Apache-2.0 */

/* Every statement is short: the journal is small beside the records. */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

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

static int write_some(struct book *book, struct book_statement *statement,
                      const struct team_map *changes, size_t from, size_t to,
                      const char *who, int64_t now_us,
                      struct bursar_error *err)
{
	book_begin(statement);
	book_add(statement, "INSERT INTO bursar_journal (at_us, who, what, "
	         "subject, detail) VALUES ");
	for (size_t i = from; i < to; i++) {
		struct bursar_span worker, team;

		team_map_get(changes, i, &worker, &team);
		book_add(statement, "%s(", i > from ? ", " : "");
		book_add_value(statement, book_int(now_us));
		book_add(statement, ", ");
		book_add_value(statement, book_text(who));
		book_add(statement, ", " ENTRY ", ");
		book_add_value(statement, book_bytes(worker.data, worker.size));
		book_add(statement, ", ");
		book_add_value(statement, book_bytes(team.data, team.size));
		book_add(statement, ")");
	}
	return book_ask(book, statement, NULL, NULL, err);
}

int assign_write(struct book *book, const struct team_map *changes,
                 const char *who, int64_t now_us, struct bursar_error *err)
{
	struct book_statement *statement = malloc(sizeof(*statement));
	const size_t count = team_map_count(changes);
	int result = 0;

	if (statement == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < count && result == 0; i += AT_A_TIME) {
		const size_t to = count - i < AT_A_TIME ? count : i + AT_A_TIME;

		result = write_some(book, statement, changes, i, to, who,
		                    now_us, err);
	}
	free(statement);
	return result;
}
