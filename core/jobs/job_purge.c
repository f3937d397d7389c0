/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The jobs that take from a ledger.
 *
 * Their transactions do not look at the fencing number: what they take is due
 * whoever takes it, two that purge at once take each row once, and the marks
 * only move forward.
 */
#include "config.h"

#include <inttypes.h>

#include "book/purge.h"
#include "cli/table.h"
#include "jobs/job.h"

/* The database's clock has whole seconds. */
#define SECOND_US INT64_C(1000000)

int jobs_purge_now(struct book *book, int64_t *now, struct bursar_error *err)
{
	int64_t theirs = 0;

	*now = clock_wall_us();
	if (lease_now(book, &theirs, err) != 0) {
		return -1;
	}
	if (theirs + SECOND_US < *now) {
		*now = theirs + SECOND_US;
	}
	return 0;
}

static bool go_on(void *context, const struct bursar_purged *purged)
{
	struct job_run *run = context;

	(void)purged;
	return run->go_on(run);
}

static enum job_result take(struct job_run *run, struct purge_rule *rule,
                            struct bursar_purged *purged,
                            struct bursar_error *err)
{
	char time[TABLE_TIME_SIZE];
	const char *what = NULL;
	int64_t due = INT64_MAX;

	run->ended = JOB_OK;
	if (jobs_purge_now(run->book, &rule->now, err) != 0 ||
	    (!run->force &&
	     purge_look(run->book, rule, &due, &what, err) != 0)) {
		return JOB_FAILED;
	}
	if (due != INT64_MAX) {
		snprintf(run->note, sizeof(run->note), "%s due since %s: look "
		         "at the clock, then `bursar purge --force`", what,
		         table_time(due / SECOND_US * SECOND_US, time));
		return JOB_WAITS;
	}
	return purge_take(run->book, rule, go_on, run, purged, err) == 0
		? run->ended : JOB_FAILED;
}

enum job_result job_purge(struct job_run *run, struct bursar_error *err)
{
	struct purge_rule rule = { .limit = run->rows };
	struct bursar_purged purged = { 0 };
	const enum job_result result = take(run, &rule, &purged, err);

	if (result != JOB_WAITS) {
		snprintf(run->note, sizeof(run->note), "bodies=%" PRIu64,
		         purged.bodies);
	}
	run->did = purged.bodies > 0;
	return result;
}

enum job_result job_facts(struct job_run *run, struct bursar_error *err)
{
	struct purge_rule rule = {
		.facts_days = run->setup->facts_days,
		.dedup_days = run->setup->dedup_days,
		.keep_bodies = true,
		.limit = run->rows,
	};
	struct bursar_purged purged = { 0 };
	const enum job_result result = take(run, &rule, &purged, err);

	if (result != JOB_WAITS) {
		snprintf(run->note, sizeof(run->note), "facts=%" PRIu64
		         " keys=%" PRIu64, purged.facts, purged.keys);
	}
	run->did = purged.facts + purged.keys > 0;
	return result;
}
