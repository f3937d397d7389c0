/* SPDX-License-Identifier: Apache-2.0 */

/*
 * columns.h - from the schema to the columns of a database
 *
 * Times and money are stored as integers: the field `recorded_at` in a column
 * `recorded_us` (microseconds since 1970 UTC), the field `cost_usd` in
 * `cost_nano` (nano-dollars).  A column of the field's own name shows the same
 * value to people: ISO 8601, dollars.  The integer is what counts.
 *
 * Every table of records has a primary key `id` that orders its rows by what
 * they are asked and purged by: id = block << 40 | n, where n grows for ever
 * and block is, for facts, the quarter-hour cell of recorded_at; for kinds
 * with bodies, the day of expires_at since 1970 (COLUMNS_NEVER without one).
 * So a window of time, or the days that have expired, is a range of ids and
 * needs no other index.
 */
#ifndef COMMON_COLUMNS_H
#define COMMON_COLUMNS_H

#include <bursar/schema.h>

#define COLUMNS_ID_SHIFT 40
#define COLUMNS_CELL_US  INT64_C(900000000)	/* a quarter of an hour */
#define COLUMNS_DAY_US   INT64_C(86400000000)
#define COLUMNS_NEVER    (INT64_C(1) << 22)	/* the day of no expiry */

#define COLUMNS_NAME_MAX 64

/* Writes the name of the column that stores the field; returns name. */
const char *columns_stored(const struct bursar_field *field,
                           char name[COLUMNS_NAME_MAX]);

/* Whether the stored column differs from the readable one. */
bool columns_differ(const struct bursar_field *field);

/*
 * The block of a record's id; see above.  Times that no block can hold go into
 * the first or the last one.
 */
int64_t columns_block(const struct bursar_record *record);

/* The cell of a time: cell * COLUMNS_CELL_US is its first microsecond. */
static inline int64_t columns_cell(int64_t us)
{
	return us / COLUMNS_CELL_US - (us % COLUMNS_CELL_US < 0);
}

/* The day of a time: day * COLUMNS_DAY_US is its first microsecond. */
static inline int64_t columns_day(int64_t us)
{
	return us / COLUMNS_DAY_US - (us % COLUMNS_DAY_US < 0);
}

#endif
