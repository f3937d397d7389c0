/* SPDX-License-Identifier: Apache-2.0 */

/*
 * clock.h - the two clocks, as the core and the host of an instance read them
 *
 * Microseconds both; any thread.
 */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include "common/monotonic.h"

/* Since 1970-01-01 UTC: stamps.  It may be set, and jumps then. */
static inline int64_t clock_wall_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Since some moment of no meaning: deadlines and how long things took. */
static inline int64_t clock_mono_us(void)
{
	return monotonic_us();
}

#endif
