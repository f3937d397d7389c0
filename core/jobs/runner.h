/* SPDX-License-Identifier: Apache-2.0 */

/*
 * runner.h - one run of one job on one ledger
 *
 * Under a lease, so that of all daemons and commands one runs it.  How it went
 * stands in the ledger (bursar_jobs); a run that was killed leaves `running`
 * there, is due at once, and is gone on with as soon as its lease is free.
 */
#ifndef CORE_JOBS_RUNNER_H
#define CORE_JOBS_RUNNER_H

#include "jobs/job.h"

/* A row of bursar_jobs; times 0 where there is none. */
struct job_status {
	bool    known;			/* it ever ran */
	int64_t started_us;
	int64_t ended_us;
	int64_t next_us;		/* planned; as of the last run */
	int64_t good_us;		/* the end of the last that was ok */
	int64_t runs;
	int64_t failures;
	char    result[16];
	char    note[JOB_NOTE_SIZE];
	char    holder[LEASE_HOLDER_SIZE];	/* of the lease now, or "" */
};

/* Reads it as it stands.  -1 with *err filled. */
int runner_status(struct book *book, const char *job,
                  struct job_status *status, struct bursar_error *err);

enum runner_answer {
	RUNNER_RAN,		/* result and note say how it went */
	RUNNER_NOT_DUE,		/* not yet, or not any more */
	RUNNER_HELD,		/* somebody else runs it */
	RUNNER_FAILED,		/* the ledger cannot be asked: *err */
};

struct runner {
	struct book        *book;	/* open for writing */
	const struct setup *setup;
	const struct job   *job;
	const char *holder;		/* see lease.h */
	int64_t     span_us;		/* of the lease */
	int         stop;		/* readable: come to an end; -1: none */
	bool        by_hand;		/* now, whatever is planned, in large
					 * transactions without pauses */
	bool        force;

	/* Filled: */
	enum job_result result;
	char        note[JOB_NOTE_SIZE];
	bool        did;
	struct bursar_error why;	/* of JOB_FAILED */
};

enum runner_answer runner_run(struct runner *runner, struct bursar_error *err);

#endif
