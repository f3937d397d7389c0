/* SPDX-License-Identifier: Apache-2.0 */

/*
 * days.h - days that are over, summed up
 *
 * A month has some three thousand quarter hours, each with a cell for every
 * provider and model.  A question that goes over many days reads one row for
 * each day instead where the job `rollup` has summed the day up:
 *
 *	rollup_days	as rollup_cells, with `day` (since 1970, UTC) for `cell`
 *	rollup_closed	the days of which rollup_days has everything: summed is
 *			DAYS_SUMMED; 0 while the job is at it
 *
 * Of a tag that is a dimension, everything is what cells have of it: those from
 * its `since` on (common/rollup.h).  Who asks begins with the day after.
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

/* 1: by a bursar that left out tags. */
#define DAYS_SUMMED "2"

/* Days that come in order, on their way into runs; begins as {runs}. */
struct days_search {
	struct days_run *runs;
	size_t count;
	struct days_run at;	/* the run that the last day belongs to */
};

void days_take(struct days_search *search, int64_t day);
void days_end(struct days_search *search);

/*
 * Reads the days of a window that are closed together with what named_read()
 * reads: each way to a server and back takes its time.  Nothing where that was
 * read before.  -1 with *err filled.
 */
int days_look(struct book *book, int64_t since_us, int64_t until_us,
              struct bursar_error *err);

/*
 * The longest runs of closed days within the cells [first, last), in order of
 * time; returns how many.  0 also where a ledger cannot be asked for them: they
 * only make answers quick.
 */
size_t days_find(struct book *book, int64_t first, int64_t last,
                 struct days_run runs[DAYS_RUNS]);

/* How many days, from that of the first fact on, are over at `now_us` and not
 * closed.  -1 with *err filled. */
int days_open(struct book *book, int64_t now_us, int64_t *days,
              struct bursar_error *err);

/* Adds a table "g" to a FROM that has a row while all days of the run are
 * closed; with `open` one while they are not. */
void days_add_guard(struct book_statement *st, const struct days_run *run,
                    bool open);

#endif
