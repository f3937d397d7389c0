/* SPDX-License-Identifier: Apache-2.0 */

/*
 * lease.h - who does a job that is to be done once
 *
 *	lease_take --> lease_renew ... --> lease_release
 *
 * A lease is a row of the ledger that the job works on: job, holder, until
 * when, and a fencing number that grows each time it is taken.  A holder that
 * dies frees it by time.  Who was held up for longer than that learns it from
 * lease_renew(), and what it still writes can name its number: with
 * lease_condition() a statement does nothing once somebody else took over.
 *
 * Times are those of the ledger's database, so that daemons whose clocks differ
 * agree.  A lease that ends later than any can was made by a wrong clock, and
 * is free.
 *
 * The book is open for writing.  Functions return 0, or -1 with *err filled.
 */
#ifndef CORE_JOBS_LEASE_H
#define CORE_JOBS_LEASE_H

#include "book/book.h"

#define LEASE_MAX_US      INT64_C(3600000000)	/* a lease is shorter */
#define LEASE_HOLDER_SIZE 96

struct lease {
	const char *job;		/* lent */
	const char *holder;		/* lent */
	int64_t     span_us;		/* how long it holds once renewed */
	int64_t     fence;
};

/* The name of this process among all that ever were: "host/pid/random". */
void lease_holder(char holder[LEASE_HOLDER_SIZE]);

/* The time of the database, in whole seconds at least. */
int lease_now(struct book *book, int64_t *now_us, struct bursar_error *err);

/* Takes it where it is free: *taken, and lease->fence.  Who holds it already
 * gets no second one. */
int lease_take(struct book *book, struct lease *lease, bool *taken,
               struct bursar_error *err);

/* Holds it for another span.  *held false: it is somebody else's now. */
int lease_renew(struct book *book, const struct lease *lease, bool *held,
                struct bursar_error *err);

/* Frees it at once, where it is still held. */
int lease_release(struct book *book, const struct lease *lease,
                  struct bursar_error *err);

/* Adds the condition that the lease is still this one. */
void lease_condition(struct book_statement *st, const struct lease *lease);

#endif
