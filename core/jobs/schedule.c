/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Due, or not yet.
 */
#include "config.h"

#include <assert.h>

#include "jobs/schedule.h"

#define RETRY_US INT64_C(60000000)
#define LEAST_US INT64_C(100000)

int64_t schedule_next(int64_t now, int64_t interval, uint32_t random)
{
	assert(interval > 0);

	const int64_t fifth = interval / 5;
	return now + interval - fifth / 2 +
	       (fifth > 0 ? (int64_t)(random % (uint64_t)fifth) : 0);
}

int64_t schedule_retry(int64_t now, int64_t interval, uint32_t random)
{
	return schedule_next(now, interval < RETRY_US ? interval : RETRY_US,
	                     random);
}

bool schedule_is_due(int64_t next, int64_t now, int64_t interval)
{
	assert(interval > 0);

	return next <= now || next > now + interval + interval / 5;
}

int64_t schedule_wait(int64_t next, int64_t now, int64_t patience)
{
	int64_t wait = next - now;

	if (wait > patience) {
		wait = patience;
	}
	return wait > LEAST_US ? wait : LEAST_US;
}
