/* SPDX-License-Identifier: Apache-2.0 */

/*
 * assign.h - workers that are assigned to teams, in a ledger
 *
 * An assignment is an entry of the ledger's journal: `what` is "team",
 * `subject` the worker, `detail` the team, '' where it belongs to none any
 * more.  The last entry of a worker counts.  As a journal is only added to, it
 * says who was where, since when, and by whose hand.
 *
 * A record gets its team when it comes in, and keeps it: see teams.h.
 */
#ifndef CORE_BOOK_ASSIGN_H
#define CORE_BOOK_ASSIGN_H

#include "book/book.h"
#include "flow/team_map.h"

/*
 * What counts now; the caller's.  NULL with *err filled, and *verdict what the
 * ledger said of it: EFBIG and REJECT, more workers than a map holds.
 */
struct team_map *assign_read(struct book *book, enum bursar_verdict *verdict,
                             struct bursar_error *err);

/* What differs between two looks where something was assigned in between. */
struct assign_mark {
	int64_t entries, last;
};
enum bursar_verdict assign_look(struct book *book, struct assign_mark *mark,
                                struct bursar_error *err);

/* Adds an entry for each worker of the map, all or none.  -1 with *err filled:
 * none, but where the ledger did not say what became of the last statement. */
int assign_write(struct book *book, const struct team_map *changes,
                 const char *who, int64_t now_us, struct bursar_error *err);

/*
 * Hands over worker, team (a string, '' for none), since (us) and by whom, by
 * worker; only those of `team` ("": of any), and with `all` also those that
 * count no more, the oldest of a worker first.  -1 with *err filled.
 */
int assign_list(struct book *book, const char *team, bool all,
                bursar_row_fn *row, void *context, struct bursar_error *err);

#endif
