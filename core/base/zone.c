/* SPDX-License-Identifier: Apache-2.0 */

/*
 * GLib keeps zones apart from each other and knows the rules behind the last
 * transition of a file.  A look takes it 200 to 300 ns, by far the most of what
 * a price costs; so the minute that was asked for last is kept.  Clocks have
 * been changed between two of them since 1972.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "base/zone.h"
#include "common/regular.h"

#define ZONE_CHARS  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
                    "0123456789_+-/"
#define ZONE_DIR    "/usr/share/zoneinfo"

#define HEADER_SIZE 44		/* of a file there: RFC 9636 */

#define MINUTE_S    60
#define KEEP_FROM   INT64_C(63072000)		/* 1972 */
#define KEEP_UNTIL  (INT64_C(1) << 40)
#define OFFSET_BITS 20				/* of seconds, above -2^19 */

struct zone {
	char name[ZONE_MAX];
	GTimeZone *clocks;
	/* A minute since 1970, above its offset; 0: none yet. */
	_Atomic int64_t last;
};

/* --- the database -------------------------------------------------------- */

static const char *zone_dir(void)
{
	const char *dir = getenv("TZDIR");

	return dir != NULL && dir[0] != '\0' ? dir : ZONE_DIR;
}

static bool name_is_acceptable(const char *name)
{
	return name[0] != '\0' && name[0] != '/' && strlen(name) < ZONE_MAX &&
	       name[strspn(name, ZONE_CHARS)] == '\0' &&
	       strncmp(name, "right/", 6) != 0;
}

/* The file of a zone, open, at its beginning; -1: there is none. */
static int open_file(const char *name)
{
	char path[4096], header[HEADER_SIZE];

	if (!name_is_acceptable(name) ||
	    snprintf(path, sizeof(path), "%s/%s", zone_dir(), name) >=
	    (int)sizeof(path)) {
		return -1;
	}
	const int fd = regular_open(AT_FDCWD, path, O_RDONLY);
	if (fd >= 0 && (pread(fd, header, HEADER_SIZE, 0) != HEADER_SIZE ||
	                memcmp(header, "TZif", 4) != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_zone(const char *name, struct bursar_error *err)
{
	const int fd = open_file(name);

	if (fd >= 0) {
		return fd;
	}
	if (access(zone_dir(), R_OK) != 0) {
		return bursar_fail(err, ENOENT, "there is no zoneinfo database "
		                   "in %s: install tzdata, or use UTC",
		                   zone_dir());
	}
	return bursar_fail(err, EINVAL, "unknown time zone '%.64s': give a name "
	                   "of the zoneinfo database, such as Europe/Vienna",
	                   name);
}

int zone_check(const char *name, struct bursar_error *err)
{
	const int fd = open_zone(name, err);

	if (fd < 0) {
		return -1;
	}
	close(fd);
	return 0;
}

/* --- zones --------------------------------------------------------------- */

struct zone *zone_create(const char *name, struct bursar_error *err)
{
	if (zone_check(name, err) != 0) {
		return NULL;
	}
	struct zone *zone = calloc(1, sizeof(*zone));

	if (zone == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	snprintf(zone->name, sizeof(zone->name), "%s", name);
	zone->clocks = g_time_zone_new_identifier(name);
	if (zone->clocks == NULL) {
		bursar_fail(err, EILSEQ, "time zone '%s': its file in %s is "
		            "damaged: install tzdata again", name, zone_dir());
		free(zone);
		return NULL;
	}
	return zone;
}

void zone_destroy(struct zone *zone)
{
	if (zone != NULL) {
		g_time_zone_unref(zone->clocks);
		free(zone);
	}
}

const char *zone_name(const struct zone *zone)
{
	return zone->name;
}

static int32_t look(const struct zone *zone, int64_t second)
{
	const int interval = g_time_zone_find_interval(
		zone->clocks, G_TIME_TYPE_UNIVERSAL, second);

	return g_time_zone_get_offset(zone->clocks, interval);
}

int32_t zone_offset(struct zone *zone, int64_t second)
{
	const int64_t half = INT64_C(1) << (OFFSET_BITS - 1);
	const int64_t minute = second / MINUTE_S;

	if (second < KEEP_FROM || second >= KEEP_UNTIL) {
		return look(zone, second);
	}
	int64_t last = atomic_load_explicit(&zone->last, memory_order_relaxed);
	if (last >> OFFSET_BITS != minute) {
		last = minute << OFFSET_BITS | (look(zone, second) + half);
		atomic_store_explicit(&zone->last, last, memory_order_relaxed);
	}
	return (int32_t)((last & ((INT64_C(1) << OFFSET_BITS) - 1)) - half);
}
