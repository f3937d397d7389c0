/* SPDX-License-Identifier: Apache-2.0 */

/*
 * team_file.h - workers and their teams from a file
 *
 * What begins with { or [ is JSON:
 *
 *	{"ann": "red", "bob": "red"}			worker: team
 *	{"red": ["ann", "bob"], "blue": ["eve"]}	team: workers
 *	[{"worker": "ann", "team": "red"}]		also as "rows"
 *
 * All else is CSV (RFC 4180) with one worker in a line, `worker,team`; where
 * the first line names these columns they may stand at any place beside
 * others.
 */
#ifndef CORE_CMD_TEAM_FILE_H
#define CORE_CMD_TEAM_FILE_H

#include "flow/team_map.h"

#define TEAM_FILE_SIZE (32u << 20)	/* bytes at most */

/*
 * Reads `path` whole into a map, sorted.  NULL with *err filled by words that
 * do not name it, but the line where there is one.
 */
struct team_map *team_file_read(const char *path, struct bursar_error *err);

#endif
