/* SPDX-License-Identifier: Apache-2.0 */

/*
 * reprice.h - costs of stored facts by the books of now
 *
 * A fact whose computed cost is another by now gets it, and with it the cost
 * that counts, as its source says; the journal keeps both, and the sums follow
 * in the same transaction.  A price that no book has any more changes nothing:
 * what was known stays known.
 */
#ifndef CORE_BOOK_REPRICE_H
#define CORE_BOOK_REPRICE_H

#include "book/priced.h"

#define REPRICE_AT_ONCE 1000	/* facts in one transaction */

struct reprice_rule {
	struct window window;
	bool        unpriced_only;	/* facts whose cost is unknown */
	bool        dry_run;
	const char *batch;		/* a name never used before */
	const char *reason;		/* for people */
};

/* A fact that changes, or would; lent for the call. */
struct repriced {
	const struct priced *fact;
	struct priced_cost   cost;	/* the new one */
	struct priced_cost   computed;
};

struct reprice_report {
	void (*changed)(void *context, const struct repriced *fact);
	/* After each transaction; may be NULL. */
	void (*progress)(void *context, uint64_t facts);
	void  *context;
};

struct repriced_counts {
	uint64_t facts;			/* looked at */
	uint64_t changed;		/* were told, and with a real run: */
	uint64_t corrected;		/* ... changed; others were changed by
					 * somebody else meanwhile, or purged */
	uint64_t unknown;		/* no book has a price for them */
};

/* The book is open for writing, unless it is a dry run.  -1 with *err filled;
 * what was done before stays done. */
int reprice_run(struct book *book, const struct setup *setup,
                const struct reprice_rule *rule,
                const struct reprice_report *report,
                struct repriced_counts *counts, struct bursar_error *err);

/* One entry of the journal; texts are lent, data NULL where it is NULL. */
struct correction_entry {
	int64_t            at_us;
	struct bursar_span reason;
	struct priced_cost old_cost, new_cost;
	struct bursar_span old_book, new_book;
	struct bursar_span old_rule, new_rule;
};

/* Calls each() for what the journal has of a row, the oldest first. */
int reprice_history(struct book *book, int64_t row,
                    int (*each)(void *context,
                                const struct correction_entry *entry),
                    void *context, struct bursar_error *err);

#endif
