/* SPDX-License-Identifier: Apache-2.0 */

/*
 * zone.h - what clocks of a time zone show, without the process's own zone
 *
 * From the zoneinfo database (RFC 8536): TZDIR, else /usr/share/zoneinfo.  A
 * zone does not change once it is open; any thread may use it.
 */
#ifndef COMMON_ZONE_H
#define COMMON_ZONE_H

#include <bursar/plugin.h>

struct zone;

/* NULL with *err filled: EINVAL, there is no such zone, or its file makes no
 * sense; ENOENT, there is no database; ENOMEM. */
struct zone *zone_open(const char *name, struct bursar_error *err);
void zone_close(struct zone *zone);		/* NULL is allowed */

/* Seconds that its clocks are ahead of UTC at a second since 1970. */
int64_t zone_offset(const struct zone *zone, int64_t second);

/*
 * The instant at which clocks show `local`, both in microseconds: `local` is
 * what UTC would call what the clock shows.  A time that comes twice is its
 * second coming, one that the clocks leave out the moment at which they jump.
 */
int64_t zone_instant(const struct zone *zone, int64_t local);

#endif
