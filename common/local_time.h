/* SPDX-License-Identifier: Apache-2.0 */

/*
 * local_time.h - what clocks show in the time zone of the process
 *
 * That zone is TZ's, else the machine's (tzset(3)).  It must not change while
 * other threads ask.  A local time is counted as UTC would count what the clock
 * shows: seconds since 1970-01-01 00:00:00 on that clock.
 */
#ifndef COMMON_LOCAL_TIME_H
#define COMMON_LOCAL_TIME_H

#include <stdint.h>

/* Seconds that clocks are ahead of UTC at a second since 1970. */
int64_t local_offset(int64_t second);

/*
 * The second since 1970 from which on clocks show `local` or more, for good:
 * of a time that comes twice the second coming, of one that clocks leave out
 * the moment at which they jump.
 */
int64_t local_instant(int64_t local);

#endif
