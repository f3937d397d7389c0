/* SPDX-License-Identifier: Apache-2.0 */

/*
 * team_map.h - workers and their teams, as they are at one moment
 *
 *	team_map_create --> team_map_add ... --> team_map_sort
 *	--> team_map_find, team_map_get --> team_map_destroy
 *
 * Once it is sorted it does not change, and any thread may read it.
 */
#ifndef CORE_FLOW_TEAM_MAP_H
#define CORE_FLOW_TEAM_MAP_H

#include <bursar/plugin.h>

#define TEAM_MAP_WORKERS 100000		/* at most */
#define TEAM_NAME_SIZE   200		/* bytes of a worker's name or a
					 * team's, at most */

struct team_map;

/* An empty one; NULL: out of memory. */
struct team_map *team_map_create(void);
/* NULL is allowed. */
void team_map_destroy(struct team_map *map);

/*
 * Adds a worker and its team ("": none), which are copied.  Returns 0, or -1
 * with *err filled: ENOMEM, EFBIG (too many), EINVAL (a name that is empty, too
 * long, or no text; a team may be empty).
 */
int team_map_add(struct team_map *map, struct bursar_span worker,
                 struct bursar_span team, struct bursar_error *err);

/* Sorts it by worker.  -1 with *err filled, EEXIST: a worker stands in it
 * twice, in two teams; twice in one team is once. */
int team_map_sort(struct team_map *map, struct bursar_error *err);

/* The team of a worker, lent as long as the map lives.  False: it is not in
 * it. */
bool team_map_find(const struct team_map *map, struct bursar_span worker,
                   struct bursar_span *team);

size_t team_map_count(const struct team_map *map);

/* The i-th, by the bytes of the worker's name; lent.  Ends with a NUL. */
void team_map_get(const struct team_map *map, size_t i,
                  struct bursar_span *worker, struct bursar_span *team);

#endif
