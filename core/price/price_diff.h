/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_diff.h - what one book has that another has not
 *
 * Everything that is given is compared: each rate of each mode, tier, window
 * and period, not only the four of the standard mode, factors of regions, and
 * in which order windows stand.
 */
#ifndef CORE_PRICE_PRICE_DIFF_H
#define CORE_PRICE_PRICE_DIFF_H

#include "price/price_book.h"

enum price_change { PRICE_ADDED, PRICE_REMOVED, PRICE_CHANGED };

struct price_difference {
	enum price_change change;
	const char *key;
	const char *what;	/* "input", "output+batch", "input>200000",
				 * each with "@2025-08-07" where a period has a
				 * beginning, and the hours of a window; NULL:
				 * the whole model */
	const struct price_unit *unit;	/* of the rates; NULL: they are factors
				 * of a region, or none */
	int64_t     old_rate;	/* PRICE_UNKNOWN: not given; PRICE_AS_TEXT */
	int64_t     new_rate;
};

typedef void price_diff_fn(void *context,
                           const struct price_difference *difference);

/* Calls fn for each difference, in order of keys.  Returns how many. */
size_t price_diff(const struct price_book *old, const struct price_book *new,
                  price_diff_fn *fn, void *context);

#endif
