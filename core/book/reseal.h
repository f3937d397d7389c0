/* SPDX-License-Identifier: Apache-2.0 */

/*
 * reseal.h - bodies of a ledger brought under another key
 *
 * Rows of a kind that lie under another key than the present one, or in clear,
 * are opened, sealed and put back with a new row_hash, a page at a time, each
 * page in one statement: so it may be killed at any moment and begun again, and
 * finds what is left by sealed_by.  A row is put back only where it is still as
 * it was read; one whose row_hash does not hold is left alone, so that nothing
 * that was changed becomes good by it.
 */
#ifndef CORE_BOOK_RESEAL_H
#define CORE_BOOK_RESEAL_H

#include "book/book.h"
#include "flow/opener.h"

struct reseal_counts {
	uint64_t sealed;	/* rows that were in clear */
	uint64_t resealed;	/* rows that were under another key */
	uint64_t closed;	/* left: they do not open */
	uint64_t changed;	/* left: their row_hash does not hold */
	uint64_t too_long;	/* left: the crypto does not take them */
	uint64_t passed;	/* left: somebody else was at them meanwhile */
	char     key[BODIES_KEY_MAX + 1];	/* of the first that is closed */
	struct bursar_error why;		/* it does not open */
};

struct reseal {
	struct book    *book;		/* open for writing */
	struct opener  *opener;		/* of what lies there */
	struct keyring *keyring;	/* seals */
	const struct bursar_kind *kind;	/* with bodies */
	/* Asked before each page; false ends it.  May be NULL. */
	bool (*go_on)(void *context, const struct reseal_counts *counts);
	void *context;
};

/*
 * Does all that is left to do.  Returns 0 with *counts filled; -1 with *err
 * filled, *counts being what was done before.
 */
int reseal_run(const struct reseal *reseal, struct reseal_counts *counts,
               struct bursar_error *err);

/* Called with a name of sealed_by (data is NULL: in clear) and its rows. */
typedef void reseal_key_fn(void *context, struct bursar_span key,
                           int64_t rows);

/* Counts what reseal_run() would look at, by key.  0, or -1 with *err. */
int reseal_count(const struct reseal *reseal, reseal_key_fn *each,
                 void *context, struct bursar_error *err);

#endif
