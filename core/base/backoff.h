/* SPDX-License-Identifier: Apache-2.0 */

/*
 * backoff.h - how long to wait before the next try
 *
 * Full jitter: a random time between 0 and a limit that doubles with each
 * failure up to a cap, so that many clients of one server do not come back in
 * step.  (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015.)
 */
#ifndef CORE_BASE_BACKOFF_H
#define CORE_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
	unsigned failures;	/* in a row */
};

#define BACKOFF_FIRST_US  INT64_C(100000)
#define BACKOFF_CAP_US    INT64_C(30000000)

/* Counts a failure and returns how long to wait, in us: never less than a
 * tenth of the first limit. */
int64_t backoff_next(struct backoff *backoff);

/* It worked. */
static inline void backoff_reset(struct backoff *backoff)
{
	backoff->failures = 0;
}

#endif
