/* SPDX-License-Identifier: Apache-2.0 */

/*
 * zone.h - time zones by name, each by itself
 *
 * The C library has one zone for a process; prices hold by the clocks of any.
 * So they are taken from the zoneinfo database (TZDIR, else
 * /usr/share/zoneinfo) one by one.
 *
 * Any thread, also several with the same zone.
 */
#ifndef CORE_BASE_ZONE_H
#define CORE_BASE_ZONE_H

#include <bursar/plugin.h>

#define ZONE_MAX 64		/* bytes of a name, with its NUL */

/* Whether there is such a zone.  -1 with *err filled: the database does not
 * have it (EINVAL) or is not there (ENOENT). */
int zone_check(const char *name, struct bursar_error *err);

struct zone;

/* Reads a zone, to be given to zone_destroy().  NULL with *err filled: as
 * zone_check(); its file cannot be read (EILSEQ); ENOMEM. */
struct zone *zone_create(const char *name, struct bursar_error *err);
void zone_destroy(struct zone *zone);

const char *zone_name(const struct zone *zone);

/* What its clocks are ahead of UTC at that second since 1970, in seconds. */
int32_t zone_offset(struct zone *zone, int64_t second);

#endif
