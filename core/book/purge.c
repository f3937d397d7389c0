/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Short transactions until nothing is left that is due.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
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

/* --- one transaction ----------------------------------------------------- */

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

/* --- what waits for a person --------------------------------------------- */

/* What of a row's own time makes it due, and which rows have been for long. */
struct overdue {
	char    name[COLUMNS_NAME_MAX];	/* of the column of that time */
	int64_t after;			/* from it until the row is due */
	int64_t limit;			/* of that time */
	int64_t old;			/* of the time at which it came in */
	int64_t block;			/* of ids; rows are below it */
};

static struct overdue overdue_of(const struct bursar_kind *kind,
                                 const struct purge_rule *rule,
                                 const struct bursar_purge *order)
{
	struct overdue o = { .old = rule->now - WAIT_US };

	columns_stored(&kind->fields[kind->fact ? BURSAR_RECORDED_AT
	                             : BURSAR_EXPIRES_AT], o.name);
	if (kind->fact) {
		o.after = rule->now - order->facts_before;
		o.limit = order->facts_before - WAIT_US;
		o.block = columns_cell(o.limit) + 1;
	} else {
		o.limit = o.old;
		o.block = o.limit / COLUMNS_DAY_US + 1;
	}
	return o;
}

/* " FROM ... WHERE ...", the rows that are not held, nor were when they should
 * have gone. */
static int add_overdue(struct book_statement *st,
                       const struct bursar_kind *kind,
                       const struct overdue *o, struct bursar_error *err)
{
	book_add(st, " FROM %s WHERE id < ", kind->table);
	book_add_value(st, book_int(o->block * (INT64_C(1) <<
	                                        COLUMNS_ID_SHIFT)));
	book_add(st, " AND %s <= ", o->name);
	book_add_value(st, book_int(o->limit));
	book_add(st, " AND inserted_us <= ");
	book_add_value(st, book_int(o->old));
	return add_not_held(st, kind, o->old, err);
}

/* Facts before that time, as far as the sink takes them. */
static int count_facts(struct book *book, int64_t before, uint64_t *facts,
                       struct bursar_error *err)
{
	const struct bursar_purge order = {
		.facts_before = before, .limit = ROWS, .dry_run = true,
	};
	const struct taking always = { .go_on = NULL };
	struct bursar_purged purged = { 0 };
	bool ended;
	const int status = step(book, &order, &always, &purged, &ended, err);

	*facts = purged.facts;
	return status;
}

/*
 * Whether a sink that was asked in time would have taken the oldest of the
 * facts that are overdue: one that drops whole months keeps it until its month
 * is over, and then nobody has to say that it may go.
 */
static int would_be_gone(struct book *book, const struct overdue *o,
                         bool *gone, struct bursar_error *err)
{
	const struct bursar_kind *kind = &schema.kinds[0];
	struct book_statement st;
	uint64_t before = 0, all = 0;
	int64_t first = 0;
	bool known;

	assert(kind->fact);
	book_begin(&st);
	book_add(&st, "SELECT MIN(%s)", o->name);
	if (add_overdue(&st, kind, o, err) != 0 ||
	    book_number(book, st.text, st.parameters, st.count, &first, &known,
	                err) != 0 ||
	    count_facts(book, day_start(first), &before, err) != 0 ||
	    count_facts(book, o->limit, &all, err) != 0) {
		return -1;
	}
	*gone = all > before;
	return 0;
}

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
	const struct overdue o = overdue_of(kind, rule, order);
	struct book_statement st;
	bool known, gone = true;

	book_begin(&st);
	book_add(&st, "SELECT MIN(CASE WHEN %s + ", o.name);
	book_add_value(&st, book_int(o.after));
	book_add(&st, " > inserted_us THEN %s + $1 ELSE inserted_us END)",
	         o.name);
	if (add_overdue(&st, kind, &o, err) != 0 ||
	    book_number(book, st.text, st.parameters, st.count, due, &known,
	                err) != 0) {
		return -1;
	}
	if (known && kind->fact && would_be_gone(book, &o, &gone, err) != 0) {
		return -1;
	}
	if (!gone) {
		*due = INT64_MAX;
	}
	return 0;
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

/* --- counting ------------------------------------------------------------ */

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

/* --- purging ------------------------------------------------------------- */

/* Marks only move forward, also where two purge at once by other rules. */
static int mark(struct book *book, const char *name, int64_t before,
                struct bursar_error *err)
{
	struct book_statement st;
	char text[24];

	if (before == 0) {
		return 0;
	}
	snprintf(text, sizeof(text), "%" PRId64, before);
	book_begin(&st);
	book_add(&st, "INSERT INTO bursar_meta (name, value) VALUES (");
	book_add_value(&st, book_text(name));
	book_add(&st, ", ");
	book_add_value(&st, book_text(text));
	book_add(&st, ") ON CONFLICT (name) DO UPDATE SET value = "
	         "excluded.value WHERE CAST(bursar_meta.value AS BIGINT) < "
	         "CAST(excluded.value AS BIGINT)");
	return book_ask(book, &st, NULL, NULL, err);
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
