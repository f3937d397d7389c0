/* SPDX-License-Identifier: Apache-2.0 */

/*
 * monotonic.h - the clock of deadlines
 */
#ifndef COMMON_MONOTONIC_H
#define COMMON_MONOTONIC_H

#include <stdint.h>
#include <time.h>

/* Microseconds of CLOCK_MONOTONIC, as bursar/plugin.h counts deadlines.  Any
 * thread. */
static inline int64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The same in milliseconds, as poll() counts them. */
static inline int64_t monotonic_ms(void)
{
	return monotonic_us() / 1000;
}

#endif
