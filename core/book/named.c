/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "book/days.h"
#include "book/named.h"
#include "common/columns.h"

/* --- naming --------------------------------------------------------------- */

/* Cells between the newest fact and the first one that is fed. */
#define MARGIN "3"

static const char note[] =
	"INSERT INTO bursar_meta (name, value) SELECT CAST($1 AS TEXT), "
	"CASE WHEN m.cell IS NULL THEN '0' ELSE CAST(CASE WHEN m.cell > "
	"CAST($2 AS BIGINT) THEN m.cell ELSE CAST($2 AS BIGINT) END + " MARGIN
	" AS TEXT) END FROM (SELECT MAX(cell) AS cell FROM rollup_cells "
	"WHERE dimension = 'all' AND value = '') m WHERE 1 = 1 "
	"ON CONFLICT (name) DO NOTHING";

enum bursar_verdict named_note(const struct bursar_sink_ops *ops,
                               struct bursar_sink *sink, char *const *keys,
                               size_t count, int64_t now_us,
                               struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	char name[ROLLUP_NAME_SIZE];

	for (size_t i = 0; i < count && verdict == BURSAR_DONE; i++) {
		snprintf(name, sizeof(name), TAGS_PREFIX "%.*s",
		         TAGS_ASKED_MAX, keys[i]);
		const struct bursar_cell parameters[] = {
			book_text(name), book_int(columns_cell(now_us)) };
		verdict = ops->sql(sink, note, parameters, 2, NULL, NULL, err);
	}
	return verdict;
}

/* --- taking back ---------------------------------------------------------- */

#define AT_A_TIME 1000		/* sums that go in one transaction */
#define HEARD_S   2		/* until who writes knows of it */

static int take_gone(void *context, const struct bursar_cell *cells,
                     size_t count)
{
	(void)cells;
	(void)count;
	(*(uint64_t *)context)++;
	return 0;
}

/* The journal first, so that nothing is done that it does not tell of. */
static int forget_name(struct book *book, const char *name, const char *who,
                       int64_t now_us, uint64_t *gone,
                       struct bursar_error *err)
{
	const struct bursar_cell entry[] = {
		book_text(name), book_text(who), book_int(now_us),
		book_text(name + strlen(TAGS_PREFIX)) };

	if (book_run(book, "INSERT INTO bursar_journal (at_us, who, what, "
	             "subject, detail) SELECT CAST($3 AS BIGINT), "
	             "CAST($2 AS TEXT), 'tag-forgotten', CAST($4 AS TEXT), "
	             "'summed since cell ' || value FROM bursar_meta "
	             "WHERE name = $1", entry, 4, NULL, NULL, err) != 0) {
		return -1;
	}
	return book_run(book, "DELETE FROM bursar_meta WHERE name = $1 "
	                "RETURNING name", entry, 1, take_gone, gone, err);
}

/* `time`: the column that says which piece of time. */
static int forget_sums(struct book *book, const char *name, const char *table,
                       const char *time, uint64_t *sums,
                       struct bursar_error *err)
{
	struct book_statement st;
	uint64_t gone;

	do {
		gone = 0;
		book_begin(&st);
		book_add(&st, "DELETE FROM %s WHERE dimension = ", table);
		book_add_value(&st, book_text(name));
		book_add(&st, " AND (value, %s, provider, model_id) IN ("
		         "SELECT value, %s, provider, model_id FROM %s "
		         "WHERE dimension = $1 LIMIT %d) RETURNING 1", time,
		         time, table, AT_A_TIME);
		if (book_ask(book, &st, take_gone, &gone, err) != 0) {
			return -1;
		}
		*sums += gone;
	} while (gone == AT_A_TIME);
	return 0;
}

int named_forget(struct book *book, const char *key, const char *who,
                 int64_t now_us, bool *known, uint64_t *sums,
                 struct bursar_error *err)
{
	const struct timespec heard = { .tv_sec = HEARD_S };
	char name[ROLLUP_NAME_SIZE];
	uint64_t gone = 0;

	snprintf(name, sizeof(name), TAGS_PREFIX "%.*s", TAGS_ASKED_MAX, key);
	*sums = 0;
	if (forget_name(book, name, who, now_us, &gone, err) != 0) {
		return -1;
	}
	if (gone > 0) {
		nanosleep(&heard, NULL);
	}
	if (forget_sums(book, name, "rollup_cells", "cell", sums, err) != 0 ||
	    forget_sums(book, name, "rollup_days", "day", sums, err) != 0) {
		return -1;
	}
	book->named_known = false;
	*known = gone > 0 || *sums > 0;
	return 0;
}

/* --- reading -------------------------------------------------------------- */

static bool is_purged(const struct bursar_cell *name)
{
	return name->size == strlen(BOOK_FACTS_PURGED) &&
	       memcmp(name->data, BOOK_FACTS_PURGED, name->size) == 0;
}

struct reading {
	struct book *book;
	struct days_search days;
};

static void take_note(struct book *book, const struct bursar_cell *cells)
{
	char text[24] = "";

	if (cells[1].type == BURSAR_STRING) {
		snprintf(text, sizeof(text), "%.*s", (int)cells[1].size,
		         cells[1].data);
	}
	const int64_t value = cells[1].type == BURSAR_INTEGER
		? cells[1].integer : strtoll(text, NULL, 10);
	if (is_purged(&cells[0])) {
		book->purged_us = value;
	} else if (book->tag_count < ROLLUP_MAX_TAGS) {
		book->tag_count += rollup_tag_make(
			&book->tags[book->tag_count],
			(struct bursar_span){ cells[0].data, cells[0].size },
			value);
	}
}

static int take(void *context, const struct bursar_cell *cells, size_t count)
{
	struct reading *reading = context;

	assert(count == 3);
	if (cells[0].type == BURSAR_STRING && cells[0].size > 0) {
		take_note(reading->book, cells);
	} else {
		days_take(&reading->days, book_get(&cells[2]));
	}
	return 0;
}

int named_look(struct book *book, int64_t first, int64_t last,
               struct bursar_error *err)
{
	const struct bursar_cell parameters[] = { book_int(first),
	                                          book_int(last) };
	struct reading reading = { book, { .runs = book->runs } };

	if (book->named_known) {
		return 0;
	}
	book->tag_count = 0;
	book->purged_us = INT64_MIN;
	if (book_run(book, "SELECT name, value, 0 AS day FROM (SELECT name, "
	             "value FROM bursar_meta WHERE name = '" BOOK_FACTS_PURGED
	             "' OR (name > 'tag:' AND name < 'tag;') ORDER BY name "
	             "LIMIT 17) n UNION ALL SELECT '', NULL, day "
	             "FROM rollup_closed WHERE day >= $1 AND day < $2 "
	             "AND summed = " DAYS_SUMMED " ORDER BY 3, 1", parameters,
	             2, take, &reading, err) != 0) {
		return -1;
	}
	days_end(&reading.days);
	book->run_count = reading.days.count;
	book->looked = (struct days_run){ first, last };
	book->named_known = true;
	return 0;
}

int named_read(struct book *book, struct bursar_error *err)
{
	return named_look(book, 0, 0, err);
}

const struct rollup_tag *named_find(const struct book *book, const char *name)
{
	for (size_t i = 0; i < book->tag_count; i++) {
		if (strcmp(book->tags[i].name, name) == 0) {
			return &book->tags[i];
		}
	}
	return NULL;
}
