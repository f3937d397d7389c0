/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From local time to UTC it goes by looking at the offset on both sides instead
 * of by mktime(), whose answer for a time that does not exist, or comes twice,
 * is not specified.
 */
#include "config.h"

#include <time.h>

#include "common/local_time.h"

#define DAY_S       INT64_C(86400)
/* No zone was ever further from UTC than this, in seconds. */
#define OFFSET_MAX  (INT64_C(16) * 3600)
/* No two changes of a zone's clock are nearer than this. */
#define OFFSET_STEP INT64_C(900)

int64_t local_offset(int64_t second)
{
	const time_t time = (time_t)second;
	struct tm tm;

	return localtime_r(&time, &tm) == NULL ? 0 : (int64_t)tm.tm_gmtoff;
}

static int64_t search(int64_t local)
{
	int64_t after = local + OFFSET_MAX;
	int64_t before = after - OFFSET_STEP;

	while (before + local_offset(before) >= local) {
		after = before;
		before -= OFFSET_STEP;
	}
	while (after - before > 1) {
		const int64_t middle = before + (after - before) / 2;

		if (middle + local_offset(middle) >= local) {
			after = middle;
		} else {
			before = middle;
		}
	}
	return after;
}

int64_t local_instant(int64_t local)
{
	const int64_t offset = local_offset(local - DAY_S);

	/* Most days no clock is changed: a search takes a hundred looks. */
	return offset == local_offset(local) &&
	       offset == local_offset(local + DAY_S)
	       ? local - offset : search(local);
}
