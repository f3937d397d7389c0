/* SPDX-License-Identifier: Apache-2.0 */

/*
 * holds.h - legal holds, as a condition on rows
 *
 * A hold stands in the ledger itself, so that whoever purges it sees it in the
 * transaction that purges, and rows that come later are held as well:
 *
 *	bursar_holds		name, id, reason, kind ('': every kind),
 *				since_us, until_us (of recorded_at, half-open),
 *				added_us, added_by, released_us, released_by
 *	bursar_hold_filters	hold (an id), field, value
 *
 * A row is held while a hold that was not released covers it: of its kind, in
 * its window, and equal to each of its filters.  A value is compared as text,
 * a number in decimal, a yes or no as 1 or 0; '' is unknown.  A filter on a
 * field that a kind does not have matches unknown alone.
 *
 * A filter is stored before the hold that it belongs to, and never changes.
 */
#ifndef COMMON_HOLDS_H
#define COMMON_HOLDS_H

#include <bursar/schema.h>

/* Whether a hold can filter by the field: texts, numbers and flags that are no
 * part of a body. */
bool holds_by(const struct bursar_field *field);

/*
 * The condition, in the common subset of SQL, that a row of `kind` in the table
 * or alias `table` is held, or was until after `since_us`; INT64_MAX: is held.
 * A text for the caller to free; NULL: out of memory.
 */
char *holds_condition(const struct bursar_kind *kind, const char *table,
                      int64_t since_us);

#endif
