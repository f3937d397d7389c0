/* SPDX-License-Identifier: Apache-2.0 */

/*
 * jobs.h - the jobs of a daemon, in a thread of their own
 *
 *	jobs_create --> jobs_stop --> jobs_destroy
 *
 * Each sink that can be asked has each job that is on for it.  Between two runs
 * the ledger is not open; beside a writer a run works in small transactions and
 * rests twice as long as each took.
 *
 * What goes wrong is logged and counted, and tried again; nothing waits for a
 * job.  Main thread only.
 */
#ifndef CORE_JOBS_JOBS_H
#define CORE_JOBS_JOBS_H

#include "conf/setup.h"

struct jobs;

/* Starts the thread; *setup is lent.  NULL with *err filled. */
struct jobs *jobs_create(const struct setup *setup, struct bursar_error *err);

/* Tells it to end, and does not wait.  NULL is allowed. */
void jobs_stop(struct jobs *jobs);

/* Waits until the transaction at hand has ended, and frees all.  NULL is
 * allowed. */
void jobs_destroy(struct jobs *jobs);

#endif
