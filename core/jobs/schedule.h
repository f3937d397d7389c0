/* SPDX-License-Identifier: Apache-2.0 */

/*
 * schedule.h - when a job is due
 *
 * The next run stands in the ledger, so that it is one for all daemons and
 * outlives them.  Times are of the wall clock, us; intervals are more than 0.
 */
#ifndef CORE_JOBS_SCHEDULE_H
#define CORE_JOBS_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* The run after one at `now`: an interval later, a tenth more or less by what
 * `random` says, so that daemons do not come in step. */
int64_t schedule_next(int64_t now, int64_t interval, uint32_t random);

/* The run after one that failed: sooner, where the interval is long. */
int64_t schedule_retry(int64_t now, int64_t interval, uint32_t random);

/*
 * Whether a run that was planned for `next` is due.  One that is planned for
 * later than there is any reason for was planned by a wrong clock, or for a
 * longer interval, and is due as well.
 */
bool schedule_is_due(int64_t next, int64_t now, int64_t interval);

/* How long to wait before looking again, at least a tenth of a second: to the
 * planned run, or for `patience` where that is less. */
int64_t schedule_wait(int64_t next, int64_t now, int64_t patience);

#endif
