/* SPDX-License-Identifier: Apache-2.0 */

/*
 * days.h - days that are over, summed up
 *
 * A month has some three thousand quarter hours, each with a cell for every
 * provider and model.  A question that goes over many days reads one row for
 * each day instead where the job `rollup` has summed the day up:
 *
 *	rollup_days	as rollup_cells, with `day` (since 1970, UTC) for `cell`
 *	rollup_closed	the days of which rollup_days has everything: summed = 1;
 *			0 while the job is at it
 *
 * Whoever adds to a cell, or corrects it, deletes the row of its day from
 * rollup_closed in the same transaction, after the cell.  So what came late is
 * never missing from an answer, and the job sums the day up anew.
 *
 * A statement that reads rollup_days has to make sure that the days are closed
 * as it sees the ledger: days_add_guard().
 */
#ifndef CORE_BOOK_DAYS_H
#define CORE_BOOK_DAYS_H

#include "book/book.h"

#define DAYS_RUNS 3

/* Days [first, last), all of them closed when it was looked. */
struct days_run {
	int64_t first;
	int64_t last;
};

/*
 * The longest runs of closed days within the cells [first, last), in order of
 * time; returns how many.  0 also where a ledger cannot be asked for them: they
 * only make answers quick.
 */
size_t days_find(struct book *book, int64_t first, int64_t last,
                 struct days_run runs[DAYS_RUNS]);

/* Adds a table "g" to a FROM that has a row while all days of the run are
 * closed; with `open` one while they are not. */
void days_add_guard(struct book_statement *st, const struct days_run *run,
                    bool open);

#endif
