/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Short transactions until nothing is left that is due.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "book/purge.h"
#include "common/columns.h"

#define ROWS        5000u	/* of one transaction */
#define TRIES       50		/* of one that is busy */
#define PAUSE_MS    100
#define WAIT_US     (PURGE_DAYS * COLUMNS_DAY_US)

static int64_t day_start(int64_t us)
{
	return us / COLUMNS_DAY_US * COLUMNS_DAY_US;
}

struct bursar_purge purge_order(const struct purge_rule *rule)
{
	struct bursar_purge order = { .now = rule->now, .limit = ROWS };

	if (rule->facts_days > 0) {
		order.facts_before = day_start(
			rule->now - rule->facts_days * COLUMNS_DAY_US);
	}
	if (rule->dedup_days > 0) {
		order.keys_before = day_start(
			rule->now - rule->dedup_days * COLUMNS_DAY_US);
	}
	return order;
}

/* --- what waits for a person --------------------------------------------- */

/*
 * Since when the oldest row of a kind has been due, as far as that is longer
 * than PURGE_DAYS.  A row that was due when it came in counts from then: an
 * old backlog is no sign of a wrong clock.
 */
static int look_at_rows(struct book *book, const struct bursar_kind *kind,
                        const struct purge_rule *rule,
                        const struct bursar_purge *order, int64_t *due,
                        struct bursar_error *err)
{
	const int64_t old = rule->now - WAIT_US;
	char name[COLUMNS_NAME_MAX];
	struct book_statement st;
	int64_t block, after, limit;
	bool known;

	/* after: what of a row's own time makes it due; block: of its id */
	columns_stored(&kind->fields[kind->fact ? BURSAR_RECORDED_AT
	                             : BURSAR_EXPIRES_AT], name);
	if (kind->fact) {
		after = rule->now - order->facts_before;
		limit = order->facts_before - WAIT_US;
		block = columns_cell(limit) + 1;
	} else {
		after = 0;
		limit = old;
		block = limit / COLUMNS_DAY_US + 1;
	}
	book_begin(&st);
	book_add(&st, "SELECT MIN(CASE WHEN %s + ", name);
	book_add_value(&st, book_int(after));
	book_add(&st, " > inserted_us THEN %s + $1 ELSE inserted_us END) "
	         "FROM %s WHERE id < ", name, kind->table);
	book_add_value(&st, book_int(block * (INT64_C(1) <<
	                                      COLUMNS_ID_SHIFT)));
	book_add(&st, " AND %s <= ", name);
	book_add_value(&st, book_int(limit));
	book_add(&st, " AND inserted_us <= ");
	book_add_value(&st, book_int(old));
	return book_number(book, st.text, st.parameters, st.count, due, &known,
	                   err);
}

/* Keys: by the last mark, else by the oldest day. */
static int look_at_keys(struct book *book, const struct bursar_purge *order,
                        int64_t now, int64_t *due, struct bursar_error *err)
{
	int64_t mark = INT64_MIN;
	bool known = true;

	if (book_note_read(book, BOOK_KEYS_PURGED, &mark, err) != 0) {
		return -1;
	}
	if (mark == INT64_MIN) {
		int64_t day = 0;

		if (book_number(book, "SELECT MIN(day) FROM record_keys", NULL,
		                0, &day, &known, err) != 0) {
			return -1;
		}
		mark = day * COLUMNS_DAY_US;
	}
	if (known && order->keys_before - mark > WAIT_US) {
		*due = now - (order->keys_before - mark);
	}
	return 0;
}

int purge_look(struct book *book, const struct purge_rule *rule,
               int64_t *due_us, const char **what, struct bursar_error *err)
{
	const struct bursar_purge order = purge_order(rule);

	*due_us = INT64_MAX;
	*what = NULL;
	for (size_t i = 0; i < schema.kind_count; i++) {
		const struct bursar_kind *kind = &schema.kinds[i];
		int64_t due = INT64_MAX;

		if (kind->fact && order.facts_before == 0) {
			continue;
		}
		if (look_at_rows(book, kind, rule, &order, &due, err) != 0) {
			return -1;
		}
		if (due < *due_us) {
			*due_us = due;
			*what = kind->table;
		}
	}
	if (order.keys_before != 0) {
		int64_t due = INT64_MAX;

		if (look_at_keys(book, &order, rule->now, &due, err) != 0) {
			return -1;
		}
		if (due < *due_us) {
			*due_us = due;
			*what = "record_keys";
		}
	}
	return 0;
}

/* --- purging ------------------------------------------------------------- */

static void pause_a_moment(void)
{
	const struct timespec moment = { .tv_nsec = PAUSE_MS * 1000000L };

	nanosleep(&moment, NULL);
}

/* One transaction; one that is busy is tried again for some seconds. */
static int step(struct book *book, const struct bursar_purge *order,
                struct bursar_purged *purged, struct bursar_error *err)
{
	struct bursar_error why;
	enum bursar_verdict verdict = BURSAR_RETRY;

	if (book->ops->purge == NULL) {
		return bursar_fail(err, ENOTSUP, "sink '%s' keeps all that it "
		                   "is given", book->name);
	}
	for (int i = 0; i < TRIES && verdict == BURSAR_RETRY; i++) {
		if (i > 0) {
			pause_a_moment();
		}
		memset(&why, 0, sizeof(why));
		verdict = book->ops->purge(book->sink, order, purged, &why);
	}
	return verdict == BURSAR_DONE ? 0
		: book_blame(book, verdict, &why, err);
}

int purge_count(struct book *book, const struct purge_rule *rule,
                struct bursar_purged *purged, struct bursar_error *err)
{
	struct bursar_purge order = purge_order(rule);

	memset(purged, 0, sizeof(*purged));
	order.dry_run = true;
	return step(book, &order, purged, err);
}

/* Marks only move forward. */
static int mark(struct book *book, const char *name, int64_t before,
                struct bursar_error *err)
{
	int64_t there = INT64_MIN;

	if (before == 0) {
		return 0;
	}
	if (book_note_read(book, name, &there, err) != 0) {
		return -1;
	}
	return there >= before ? 0 : book_note_write(book, name, before, err);
}

int purge_take(struct book *book, const struct purge_rule *rule,
               bool (*go_on)(void *context, const struct bursar_purged *),
               void *context, struct bursar_purged *purged,
               struct bursar_error *err)
{
	const struct bursar_purge order = purge_order(rule);

	memset(purged, 0, sizeof(*purged));
	if (mark(book, BOOK_FACTS_PURGED, order.facts_before, err) != 0 ||
	    mark(book, BOOK_KEYS_PURGED, order.keys_before, err) != 0) {
		return -1;
	}
	do {
		if (go_on != NULL && !go_on(context, purged)) {
			return 0;
		}
		if (step(book, &order, purged, err) != 0) {
			return -1;
		}
	} while (purged->more);
	return 0;
}
