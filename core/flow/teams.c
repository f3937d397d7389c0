/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Maps do not change; whoever prepares a flight has one for as long as that
 * takes, and the thread puts a new one in its place.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "book/assign.h"
#include "flow/teams.h"

#define FIRST_RETRY_US INT64_C(20000)	/* a new ledger is made just now */

struct teams_lent {
	_Atomic unsigned users;
	struct team_map *map;
};

struct teams {
	const struct setup *setup;
	int          stop;		/* eventfd */
	pthread_t    thread;
	bool         started;
	_Atomic bool known;
	struct metric *workers;

	pthread_mutex_t lock;		/* guards: */
	struct teams_lent *now;		/* NULL: nobody has a team */

	/* The thread's own: */
	struct book  book;
	bool         is_open;
	struct assign_mark mark;
	int64_t      retry_us;
	bool         told;		/* that it cannot be read */
};

/* --- lending -------------------------------------------------------------- */

struct teams_lent *teams_take(struct teams *teams)
{
	if (teams == NULL) {
		return NULL;
	}
	pthread_mutex_lock(&teams->lock);
	struct teams_lent *lent = teams->now;
	if (lent != NULL) {
		atomic_fetch_add(&lent->users, 1);
	}
	pthread_mutex_unlock(&teams->lock);
	return lent;
}

void teams_release(struct teams_lent *lent)
{
	if (lent != NULL && atomic_fetch_sub(&lent->users, 1) == 1) {
		team_map_destroy(lent->map);
		free(lent);
	}
}

bool teams_find(const struct teams_lent *lent, struct bursar_span worker,
                struct bursar_span *team)
{
	return lent != NULL && team_map_find(lent->map, worker, team);
}

bool teams_known(struct teams *teams)
{
	return teams == NULL || atomic_load(&teams->known);
}

/* --- looking -------------------------------------------------------------- */

/* Takes the map. */
static void put(struct teams *teams, struct team_map *map)
{
	const size_t count = team_map_count(map);
	struct teams_lent *lent = count > 0 ? malloc(sizeof(*lent)) : NULL;

	if (lent == NULL) {
		team_map_destroy(map);
	} else {
		atomic_init(&lent->users, 1);
		lent->map = map;
	}
	pthread_mutex_lock(&teams->lock);
	struct teams_lent *before = teams->now;
	teams->now = lent;
	pthread_mutex_unlock(&teams->lock);
	teams_release(before);
	metric_set(teams->workers, (int64_t)count);
	if (count > 0 || before != NULL) {
		log_event(BURSAR_INFO, teams->book.name, "teams", "workers=%zu",
		          count);
	}
}

static enum bursar_verdict look(struct teams *teams, struct bursar_error *err)
{
	struct assign_mark mark = { 0 };
	enum bursar_verdict verdict = assign_look(&teams->book, &mark, err);

	if (verdict != BURSAR_DONE ||
	    (atomic_load(&teams->known) && !teams->told &&
	     mark.entries == teams->mark.entries &&
	     mark.last == teams->mark.last)) {
		return verdict;
	}
	struct team_map *map = assign_read(&teams->book, &verdict, err);
	if (map == NULL) {
		return verdict;
	}
	teams->mark = mark;
	put(teams, map);
	return BURSAR_DONE;
}

static void tell(struct teams *teams, const struct bursar_error *err)
{
	if (!teams->told) {
		log_event(BURSAR_WARNING, teams->setup->book->item.name,
		          "teams-unknown", "why=%s", err->text);
	}
	teams->told = true;
}

/*
 * A book that is away or is being made will be there.  One that answers and
 * does not know of teams has none; then, and where they are too many, what was
 * known before goes on.
 */
static void failed(struct teams *teams, enum bursar_verdict verdict,
                   const struct bursar_error *err)
{
	book_close(&teams->book);
	teams->is_open = false;
	teams->mark = (struct assign_mark){ .entries = -1 };
	if (verdict != BURSAR_REJECT && verdict != BURSAR_CONFIG) {
		return;
	}
	tell(teams, err);
	atomic_store(&teams->known, true);
}

/* How long until the next look. */
static int64_t open_and_look(struct teams *teams)
{
	struct bursar_error err = { 0 };

	if (!teams->is_open) {
		teams->is_open = book_open(&teams->book, teams->setup, NULL,
		                           BURSAR_READ, &err) == 0;
	}
	if (teams->is_open) {
		const enum bursar_verdict verdict = look(teams, &err);

		if (verdict == BURSAR_DONE) {
			teams->told = false;
			teams->retry_us = FIRST_RETRY_US;
			atomic_store(&teams->known, true);
			return TEAMS_LOOK_US;
		}
		failed(teams, verdict, &err);
	} else if (teams->retry_us == TEAMS_LOOK_US) {
		/* Not only being made or opened: sources may wait for it. */
		tell(teams, &err);
	}
	const int64_t wait = teams->retry_us;
	teams->retry_us = 2 * wait < TEAMS_LOOK_US ? 2 * wait : TEAMS_LOOK_US;
	return wait;
}

static void *run(void *arg)
{
	struct teams *teams = arg;
	struct pollfd fd = { .fd = teams->stop, .events = POLLIN };
	int64_t wait;

	do {
		wait = open_and_look(teams);
	} while (poll(&fd, 1, (int)(wait / 1000)) <= 0);
	if (teams->is_open) {
		book_close(&teams->book);
	}
	return NULL;
}

/* --- from outside --------------------------------------------------------- */

/* Whether facts wait for the book anyway, so that waiting to know it is no
 * other thing. */
static bool facts_wait(const struct setup *setup)
{
	const size_t number = (size_t)(setup->book - setup->sinks);

	for (size_t i = 0; i < schema.kind_count; i++) {
		if (schema.kinds[i].fact && setup->book->required &&
		    (setup->routes[i] >> number & 1) != 0) {
			return true;
		}
	}
	return false;
}

struct teams *teams_create(const struct setup *setup, struct bursar_error *err)
{
	if (setup->book == NULL) {
		return NULL;
	}
	struct teams *teams = calloc(1, sizeof(*teams));
	if (teams == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	teams->setup = setup;
	teams->retry_us = FIRST_RETRY_US;
	pthread_mutex_init(&teams->lock, NULL);
	atomic_init(&teams->known, !facts_wait(setup));
	teams->workers = metrics_get("bursar_team_workers",
		"Workers that are assigned to a team, as the daemon knows.",
		false, NULL);
	teams->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (teams->stop < 0) {
		bursar_fail(err, errno, "eventfd: %s", strerror(errno));
		goto fail;
	}
	const int error = pthread_create(&teams->thread, NULL, run, teams);
	if (error != 0) {
		bursar_fail(err, error, "cannot start a thread: %s",
		            strerror(error));
		goto fail;
	}
	teams->started = true;
	return teams;

fail:
	teams_destroy(teams);
	return NULL;
}

void teams_destroy(struct teams *teams)
{
	if (teams == NULL) {
		return;
	}
	if (teams->started) {
		eventfd_write(teams->stop, 1);
		pthread_join(teams->thread, NULL);
	}
	teams_release(teams->now);
	pthread_mutex_destroy(&teams->lock);
	if (teams->stop >= 0) {
		close(teams->stop);
	}
	free(teams);
}
