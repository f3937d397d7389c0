/* SPDX-License-Identifier: Apache-2.0 */

/*
 * verify_days.h - whether the sums of days are those of their cells
 */
#ifndef CORE_BOOK_VERIFY_DAYS_H
#define CORE_BOOK_VERIFY_DAYS_H

#include "book/verify.h"

/* Lent for the call.  False: look no further. */
typedef bool verify_days_fn(void *context, const struct verify_place *place);

/*
 * Looks at each day that is closed (days.h) and hands on each sum that differs,
 * as VERIFY_DAY.  One statement sees some ten thousand cells and the sums of
 * their days as of one moment; sums that pass 63 bits on both sides, and so
 * stand at their end, are alike.  *compared is the number of days, set where
 * all of them were looked at to the end.  0, or -1 with *err filled.
 */
int verify_days(struct book *book, verify_days_fn *differs, void *context,
                uint64_t *compared, struct bursar_error *err);

#endif
