/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Short transactions until nothing is left that is due.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "book/purge.h"
#include "common/columns.h"
#include "common/holds.h"

#define ROWS        5000u	/* of one transaction */
#define WAIT_US     (PURGE_DAYS * COLUMNS_DAY_US)

static int64_t day_start(int64_t us)
{
	return us / COLUMNS_DAY_US * COLUMNS_DAY_US;
}

struct bursar_purge purge_order(const struct purge_rule *rule)
{
	struct bursar_purge order = {
		.now = rule->keep_bodies ? 0 : rule->now,
		.limit = rule->limit != 0 ? rule->limit : ROWS,
	};

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

/* Adds that a row is not held, nor was after `since`. */
static int add_not_held(struct book_statement *st,
                        const struct bursar_kind *kind, int64_t since,
                        struct bursar_error *err)
{
	char *held = holds_condition(kind, kind->table, since);

	if (held == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	book_add(st, " AND NOT %s", held);
	free(held);
	return 0;
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
	if (add_not_held(&st, kind, old, err) != 0) {
		return -1;
	}
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

		if (kind->fact ? order.facts_before == 0 : order.now == 0) {
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

struct taking {
	bool (*go_on)(void *context, const struct bursar_purged *);
	void  *context;
};

static bool goes_on(const struct taking *taking,
                    const struct bursar_purged *purged)
{
	return taking->go_on == NULL ||
	       taking->go_on(taking->context, purged);
}

/* One transaction; one that is busy is tried again for some seconds.  *ended:
 * nobody wants it to go on. */
static int step(struct book *book, const struct bursar_purge *order,
                const struct taking *taking, struct bursar_purged *purged,
                bool *ended, struct bursar_error *err)
{
	struct bursar_error why;
	enum bursar_verdict verdict = BURSAR_RETRY;

	if (book->ops->purge == NULL) {
		return bursar_fail(err, ENOTSUP, "sink '%s' keeps all that it "
		                   "is given", book->name);
	}
	for (int i = 0; i < BOOK_TRIES && verdict == BURSAR_RETRY; i++) {
		if (i > 0) {
			book_pause();
		}
		*ended = !goes_on(taking, purged);
		if (*ended) {
			return 0;
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
	const struct taking always = { .go_on = NULL };
	bool ended;

	memset(purged, 0, sizeof(*purged));
	order.dry_run = true;
	return step(book, &order, &always, purged, &ended, err);
}

/* Which rows of a kind are due, as the sinks see it. */
static void add_due(struct book_statement *st, const struct bursar_kind *kind,
                    const struct bursar_purge *order)
{
	const int64_t block = kind->fact ? columns_cell(order->facts_before)
		: columns_day(order->now) + 1;

	book_add(st, " FROM %s WHERE id < ", kind->table);
	book_add_value(st, book_int(block * (INT64_C(1) << COLUMNS_ID_SHIFT)));
	if (!kind->fact) {
		book_add(st, " AND expires_us <= ");
		book_add_value(st, book_int(order->now));
	}
}

static int count_held(struct book *book, const struct bursar_kind *kind,
                      const struct bursar_purge *order, int64_t *held,
                      struct bursar_error *err)
{
	char *condition = holds_condition(kind, kind->table, INT64_MAX);
	struct book_statement st;
	int64_t count = 0;
	bool known;

	if (condition == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	book_begin(&st);
	book_add(&st, "SELECT COUNT(*)");
	add_due(&st, kind, order);
	book_add(&st, " AND %s", condition);
	free(condition);
	const int status = book_number(book, st.text, st.parameters, st.count,
	                               &count, &known, err);
	*held += count;
	return status;
}

int purge_count_held(struct book *book, const struct purge_rule *rule,
                     int64_t *held, struct bursar_error *err)
{
	const struct bursar_purge order = purge_order(rule);
	int64_t holds = 0;
	bool known;

	*held = 0;
	/* Without any there is no need to look at rows. */
	if (book_number(book, "SELECT COUNT(*) FROM bursar_holds "
	                "WHERE released_us IS NULL", NULL, 0, &holds, &known,
	                err) != 0 || holds == 0) {
		return holds == 0 && known ? 0 : -1;
	}
	for (size_t i = 0; i < schema.kind_count; i++) {
		const struct bursar_kind *kind = &schema.kinds[i];

		if (kind->fact ? order.facts_before == 0 : order.now == 0) {
			continue;
		}
		if (count_held(book, kind, &order, held, err) != 0) {
			return -1;
		}
	}
	return 0;
}

/* The first in order of days is old enough to stand for the oldest. */
static int oldest_of(struct book *book, const struct bursar_kind *kind,
                     int64_t now, int64_t *due, struct bursar_error *err)
{
	struct book_statement st;
	int64_t expires = INT64_MAX;
	bool known;

	book_begin(&st);
	book_add(&st, "SELECT expires_us FROM %s WHERE id < ", kind->table);
	book_add_value(&st, book_int(columns_day(now) *
	                             (INT64_C(1) << COLUMNS_ID_SHIFT)));
	if (add_not_held(&st, kind, INT64_MAX, err) != 0) {
		return -1;
	}
	book_add(&st, " ORDER BY id LIMIT 1");
	if (book_number(book, st.text, st.parameters, st.count, &expires,
	                &known, err) != 0) {
		return -1;
	}
	*due = expires < *due ? expires : *due;
	return 0;
}

int purge_oldest(struct book *book, int64_t now, int64_t *due_us,
                 struct bursar_error *err)
{
	*due_us = INT64_MAX;
	for (size_t i = 0; i < schema.kind_count; i++) {
		if (!schema.kinds[i].fact &&
		    oldest_of(book, &schema.kinds[i], now, due_us, err) != 0) {
			return -1;
		}
	}
	return 0;
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
	const struct taking taking = { go_on, context };
	bool ended = false;

	memset(purged, 0, sizeof(*purged));
	if (mark(book, BOOK_FACTS_PURGED, order.facts_before, err) != 0 ||
	    mark(book, BOOK_KEYS_PURGED, order.keys_before, err) != 0) {
		return -1;
	}
	do {
		if (step(book, &order, &taking, purged, &ended, err) != 0) {
			return -1;
		}
	} while (purged->more && !ended);
	return 0;
}
