/* SPDX-License-Identifier: Apache-2.0 */

/*
 * All names stand in one text, which moves as it grows: an entry has places
 * in it.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "common/utf8.h"
#include "flow/team_map.h"

struct entry {
	size_t   worker, team;		/* places in the text */
	uint32_t worker_size, team_size;
};

struct team_map {
	struct entry *entries;
	size_t        count, room;
	char         *text;
	size_t        text_size, text_room;
	bool          sorted;
};

struct team_map *team_map_create(void)
{
	return calloc(1, sizeof(struct team_map));
}

void team_map_destroy(struct team_map *map)
{
	if (map == NULL) {
		return;
	}
	free(map->entries);
	free(map->text);
	free(map);
}

static bool grow(void **list, size_t size, size_t needed, size_t *room)
{
	size_t more = *room > 0 ? *room : 64;

	if (needed <= *room) {
		return true;
	}
	while (more < needed) {
		more *= 2;
	}
	void *grown = reallocarray(*list, more, size);
	if (grown == NULL) {
		return false;
	}
	*list = grown;
	*room = more;
	return true;
}

/* The place of the copy, which ends with a NUL. */
static size_t keep(struct team_map *map, struct bursar_span name)
{
	const size_t at = map->text_size;

	if (name.size > 0) {
		memcpy(map->text + at, name.data, name.size);
	}
	map->text[at + name.size] = '\0';
	map->text_size += name.size + 1;
	return at;
}

static int check_name(const char *what, struct bursar_span name,
                      struct bursar_error *err)
{
	if (name.size > TEAM_NAME_SIZE) {
		return bursar_fail(err, EINVAL, "the name of a %s has at most "
		                   "%d bytes, not %zu", what, TEAM_NAME_SIZE,
		                   name.size);
	}
	if (!utf8_is_clean(name)) {
		return bursar_fail(err, EINVAL, "the name of a %s is text in "
		                   "UTF-8", what);
	}
	return 0;
}

int team_map_add(struct team_map *map, struct bursar_span worker,
                 struct bursar_span team, struct bursar_error *err)
{
	if (worker.size == 0) {
		return bursar_fail(err, EINVAL, "a worker needs a name");
	}
	if (check_name("worker", worker, err) != 0 ||
	    check_name("team", team, err) != 0) {
		return -1;
	}
	if (map->count == TEAM_MAP_WORKERS) {
		return bursar_fail(err, EFBIG, "more than %d workers",
		                   TEAM_MAP_WORKERS);
	}
	if (!grow((void **)&map->entries, sizeof(*map->entries), map->count + 1,
	          &map->room) ||
	    !grow((void **)&map->text, 1,
	          map->text_size + worker.size + team.size + 2,
	          &map->text_room)) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	struct entry *entry = &map->entries[map->count++];
	entry->worker = keep(map, worker);
	entry->worker_size = (uint32_t)worker.size;
	entry->team = keep(map, team);
	entry->team_size = (uint32_t)team.size;
	map->sorted = false;
	return 0;
}

static int compare(struct bursar_span a, struct bursar_span b)
{
	const int order = memcmp(a.data, b.data,
	                         a.size < b.size ? a.size : b.size);

	return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static struct bursar_span worker_of(const struct team_map *map,
                                    const struct entry *entry)
{
	return (struct bursar_span){ map->text + entry->worker,
	                             entry->worker_size };
}

static struct bursar_span team_of(const struct team_map *map,
                                  const struct entry *entry)
{
	return (struct bursar_span){ map->text + entry->team,
	                             entry->team_size };
}

static int by_worker(const void *a, const void *b, void *map)
{
	return compare(worker_of(map, a), worker_of(map, b));
}

/* Whether an entry says what the one before it said. */
static int is_repeated(const struct team_map *map, const struct entry *before,
                       const struct entry *entry, bool *repeated,
                       struct bursar_error *err)
{
	const struct bursar_span worker = worker_of(map, entry);

	*repeated = compare(worker_of(map, before), worker) == 0;
	if (*repeated &&
	    compare(team_of(map, before), team_of(map, entry)) != 0) {
		return bursar_fail(err, EEXIST, "the worker '%.60s' is given "
		                   "two teams, '%.40s' and '%.40s'",
		                   worker.data, team_of(map, before).data,
		                   team_of(map, entry).data);
	}
	return 0;
}

int team_map_sort(struct team_map *map, struct bursar_error *err)
{
	size_t kept = 0;

	if (map->count > 0) {
		qsort_r(map->entries, map->count, sizeof(*map->entries),
		        by_worker, map);
	}
	for (size_t i = 0; i < map->count; i++) {
		bool repeated = false;

		if (kept > 0 &&
		    is_repeated(map, &map->entries[kept - 1], &map->entries[i],
		                &repeated, err) != 0) {
			return -1;
		}
		if (!repeated) {
			map->entries[kept++] = map->entries[i];
		}
	}
	map->count = kept;
	map->sorted = true;
	return 0;
}

bool team_map_find(const struct team_map *map, struct bursar_span worker,
                   struct bursar_span *team)
{
	size_t from = 0, to = map->count;

	assert(map->sorted);

	while (from < to) {
		const size_t middle = from + (to - from) / 2;
		const struct entry *entry = &map->entries[middle];
		const int order = compare(worker, worker_of(map, entry));

		if (order == 0) {
			*team = team_of(map, entry);
			return true;
		}
		if (order < 0) {
			to = middle;
		} else {
			from = middle + 1;
		}
	}
	return false;
}

size_t team_map_count(const struct team_map *map)
{
	return map->count;
}

void team_map_get(const struct team_map *map, size_t i,
                  struct bursar_span *worker, struct bursar_span *team)
{
	assert(i < map->count && map->sorted);

	*worker = worker_of(map, &map->entries[i]);
	*team = team_of(map, &map->entries[i]);
}
