/* SPDX-License-Identifier: Apache-2.0 */

/*
 * purge.h - taking from a ledger what is to go
 *
 * Bodies go at their expiry, facts after retention.facts-days, keys after
 * dedup-days; rollups stay.  Facts and keys go by whole days of UTC, so that a
 * cell of the rollups is before the mark or after it.
 *
 * What is held (common/holds.h) stays, whatever else is said of it; once it is
 * released it is due from then.
 *
 * The marks are written before anything is taken: a purge that is cut short
 * leaves no cell that looks wrong.
 *
 * A clock that jumps must not empty a ledger.  Purged now and then, a ledger
 * never has anything that was due for longer than PURGE_DAYS; where it has, the
 * clock is wrong or nothing ran for long, and a person must say so.
 */
#ifndef CORE_BOOK_PURGE_H
#define CORE_BOOK_PURGE_H

#include "book/book.h"

#define PURGE_DAYS 7

struct purge_rule {
	int64_t now;
	int64_t facts_days;	/* 0: facts stay */
	int64_t dedup_days;	/* 0: keys stay */
	bool    keep_bodies;	/* bodies stay */
	uint64_t limit;		/* rows of one transaction; 0: many */
};

/* What purge() of the sink is asked for. */
struct bursar_purge purge_order(const struct purge_rule *rule);

/*
 * Looks for something that has been due for longer than PURGE_DAYS.  *due_us is
 * since when, INT64_MAX where there is nothing; *what is "facts" ... for a
 * sentence.  -1 with *err filled.
 */
int purge_look(struct book *book, const struct purge_rule *rule,
               int64_t *due_us, const char **what, struct bursar_error *err);

/* Counts what would go, into *purged. */
int purge_count(struct book *book, const struct purge_rule *rule,
                struct bursar_purged *purged, struct bursar_error *err);

/* Counts the records that are due and held. */
int purge_count_held(struct book *book, const struct purge_rule *rule,
                     int64_t *held, struct bursar_error *err);

/*
 * Since when the oldest body that is not held has been due, of those that
 * expired on a day that is over; INT64_MAX: there is none.
 */
int purge_oldest(struct book *book, int64_t now, int64_t *due_us,
                 struct bursar_error *err);

/*
 * Takes all that is due, in short transactions, asking go_on() (may be NULL)
 * before each whether to, and before each new try of one.  The book is open for
 * writing.
 */
int purge_take(struct book *book, const struct purge_rule *rule,
               bool (*go_on)(void *context, const struct bursar_purged *),
               void *context, struct bursar_purged *purged,
               struct bursar_error *err);

#endif
