/* SPDX-License-Identifier: Apache-2.0 */

/*
 * job.h - what is to be done to a ledger now and then
 *
 *	purge		takes prompts and tool calls that have expired
 *	facts		takes facts older than facts-days, keys older than
 *			dedup-days
 *	reconcile	ties tool calls to the prompts that they belong to
 *	rollup		sums up the days that are over
 *
 * A job works in short transactions, each of which leaves the ledger as it
 * should be, so that it can be cut short or killed at any moment and the next
 * run goes on.
 */
#ifndef CORE_JOBS_JOB_H
#define CORE_JOBS_JOB_H

#include "jobs/lease.h"

#define JOB_NOTE_SIZE 200

enum job_result {
	JOB_OK,
	JOB_WAITS,		/* a person must say that it may */
	JOB_STOPPED,		/* somebody asked it to stop */
	JOB_LOST,		/* somebody else has its lease */
	JOB_FAILED,
};
#define JOB_RESULTS 5
/* "ok", "waits" ... as the ledger and figures have them. */
extern const char *const job_result_names[JOB_RESULTS];

/* What a job is given. */
struct job_run {
	struct book        *book;	/* open for writing */
	const struct setup *setup;
	const struct lease *lease;	/* that it holds */
	bool    force;			/* a person said that it may */
	size_t  rows;			/* of one transaction; 0: many */

	/* Asked before each transaction: false ends the run, with what
	 * *result then says. */
	bool  (*go_on)(struct job_run *run);
	void   *context;		/* of go_on() */
	enum job_result ended;		/* why it said no */

	/* What the job says of itself: */
	char    note[JOB_NOTE_SIZE];	/* "bodies=12" */
	bool    did;			/* it changed something */
};

struct job {
	const char *name;
	const char *summary;
	int64_t (*interval_ms)(const struct setup *setup);	/* 0: off */
	/* Whether there is anything for it to do in sink number `sink`. */
	bool    (*applies)(const struct setup *setup, size_t sink);
	/* Returns what became of it, JOB_FAILED with *err filled. */
	enum job_result (*run)(struct job_run *run, struct bursar_error *err);
};

extern const struct job jobs_all[];	/* ended by name NULL */

/* NULL: there is none; then *nearest is the name that was perhaps meant. */
const struct job *jobs_find(const char *name, const char **nearest);

/* Whether it is to be run by itself on that sink. */
bool jobs_is_on(const struct job *job, const struct setup *setup, size_t sink);

/* The time that a purge goes by: of a clock that is ahead the other one is
 * believed, that of the ledger's database or ours.  -1 with *err filled. */
int jobs_purge_now(struct book *book, int64_t *now, struct bursar_error *err);

/* The jobs. */
enum job_result job_purge(struct job_run *run, struct bursar_error *err);
enum job_result job_facts(struct job_run *run, struct bursar_error *err);
enum job_result job_reconcile(struct job_run *run, struct bursar_error *err);
enum job_result job_rollup(struct job_run *run, struct bursar_error *err);

#endif
