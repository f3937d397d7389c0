/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lease, row of state, job, row of state, lease.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <time.h>

#include <sodium.h>

#include "base/log.h"
#include "jobs/runner.h"
#include "jobs/schedule.h"

/* Of one transaction beside a writer that must not wait. */
#define ROWS       500u
#define PAUSE_MIN_US 2000
#define PAUSE_MAX_US 1000000
#define TRIES      5

/* One run at work. */
struct work {
	struct runner *runner;
	struct lease   lease;
	int64_t        renewed;		/* monotonic */
	int64_t        began;		/* the transaction at hand */
	bool           first;
};

/* --- the row -------------------------------------------------------------- */

static void copy(char *out, size_t size, const struct bursar_cell *cell)
{
	snprintf(out, size, "%.*s",
	         cell->type == BURSAR_STRING ? (int)cell->size : 0,
	         cell->type == BURSAR_STRING ? cell->data : "");
}

static int take_status(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct job_status *status = context;

	assert(count == 9);
	status->known = cells[0].type == BURSAR_INTEGER;
	status->started_us = book_get(&cells[0]);
	status->ended_us = book_get(&cells[1]);
	status->next_us = book_get(&cells[2]);
	status->good_us = book_get(&cells[3]);
	status->runs = book_get(&cells[4]);
	status->failures = book_get(&cells[5]);
	copy(status->result, sizeof(status->result), &cells[6]);
	copy(status->note, sizeof(status->note), &cells[7]);
	copy(status->holder, sizeof(status->holder), &cells[8]);
	return 0;
}

int runner_status(struct book *book, const char *job,
                  struct job_status *status, struct bursar_error *err)
{
	int64_t now = 0;

	memset(status, 0, sizeof(*status));
	if (lease_now(book, &now, err) != 0) {
		return -1;
	}
	const struct bursar_cell parameters[] = { book_text(job),
	                                          book_int(now) };
	return book_run(book, "SELECT j.started_us, j.ended_us, j.next_us, "
	                "j.good_us, j.runs, j.failures, j.result, j.note, "
	                "l.holder FROM bursar_jobs j LEFT JOIN bursar_leases l "
	                "ON l.job = j.job AND l.until_us > $2 "
	                "WHERE j.job = $1", parameters, 2, take_status, status,
	                err);
}

/* A ledger that is busy is asked again: what a run did is to be known. */
static int ask(struct work *work, const struct book_statement *st,
               struct bursar_error *err)
{
	const struct timespec moment = { .tv_nsec = 100000000 };
	struct bursar_error why;
	int status = -1;

	for (int i = 0; i < TRIES && status != 0; i++) {
		if (i > 0) {
			nanosleep(&moment, NULL);
		}
		memset(&why, 0, sizeof(why));
		status = book_ask(work->runner->book, st, NULL, NULL, &why);
	}
	return status == 0 ? 0 : bursar_fail(err, why.code, "%s", why.text);
}

/* Due until it is done: whoever finds it killed goes on. */
static int say_started(struct work *work, int64_t now, struct bursar_error *err)
{
	const struct lease *lease = &work->lease;
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "INSERT INTO bursar_jobs (job, fence, holder, started_us, "
	         "result, note, next_us, runs, failures) VALUES (");
	book_add_value(&st, book_text(lease->job));
	book_add(&st, ", ");
	book_add_value(&st, book_int(lease->fence));
	book_add(&st, ", ");
	book_add_value(&st, book_text(lease->holder));
	book_add(&st, ", ");
	book_add_value(&st, book_int(now));
	book_add(&st, ", 'running', '', ");
	book_add_value(&st, book_int(now));
	book_add(&st, ", 1, 0) ON CONFLICT (job) DO UPDATE SET "
	         "fence = excluded.fence, holder = excluded.holder, "
	         "started_us = excluded.started_us, ended_us = NULL, "
	         "result = excluded.result, note = '', "
	         "next_us = excluded.next_us, runs = bursar_jobs.runs + 1 "
	         "WHERE bursar_jobs.fence < excluded.fence");
	return ask(work, &st, err);
}

static int64_t next_run(const struct runner *runner, int64_t now)
{
	const int64_t interval =
		runner->job->interval_ms(runner->setup) * 1000;
	const uint32_t random = randombytes_random();

	if (interval == 0 || runner->result == JOB_STOPPED) {
		return now;
	}
	return runner->result == JOB_FAILED
		? schedule_retry(now, interval, random)
		: schedule_next(now, interval, random);
}

/* Nothing where somebody else has begun since. */
static int say_ended(struct work *work, struct bursar_error *err)
{
	const struct runner *runner = work->runner;
	const int64_t now = clock_wall_us();
	struct book_statement st;

	book_begin(&st);
	book_add(&st, "UPDATE bursar_jobs SET ended_us = ");
	book_add_value(&st, book_int(now));
	book_add(&st, ", result = ");
	book_add_value(&st, book_text(job_result_names[runner->result]));
	book_add(&st, ", note = ");
	book_add_value(&st, book_text(runner->note));
	book_add(&st, ", next_us = ");
	book_add_value(&st, book_int(next_run(runner, now)));
	if (runner->result == JOB_OK) {
		book_add(&st, ", good_us = ");
		book_add_value(&st, book_int(now));
	}
	book_add(&st, runner->result == JOB_FAILED
	         ? ", failures = failures + 1" : "");
	book_add(&st, " WHERE job = ");
	book_add_value(&st, book_text(work->lease.job));
	book_add(&st, " AND fence = ");
	book_add_value(&st, book_int(work->lease.fence));
	return ask(work, &st, err);
}

/* --- between two transactions -------------------------------------------- */

static bool shall_stop(const struct runner *runner, int64_t wait_us)
{
	struct pollfd fd = { .fd = runner->stop, .events = POLLIN };

	return poll(&fd, 1, (int)((wait_us + 999) / 1000)) > 0;
}

/* Twice as long as the last one took, so that others have their turn. */
static bool take_a_break(struct work *work)
{
	const int64_t now = clock_mono_us();
	int64_t pause = 2 * (now - work->began);

	pause = pause < PAUSE_MIN_US ? PAUSE_MIN_US : pause;
	pause = pause > PAUSE_MAX_US ? PAUSE_MAX_US : pause;
	if (work->first || work->runner->by_hand) {
		pause = 0;
	}
	work->first = false;
	const bool stop = shall_stop(work->runner, pause);
	work->began = clock_mono_us();
	return !stop;
}

/* A ledger that cannot be asked now is asked again before the lease ends. */
static bool keep_lease(struct work *work)
{
	const int64_t age = clock_mono_us() - work->renewed;
	const int64_t span = work->lease.span_us;
	struct bursar_error err = { 0 };
	bool held = true;

	if (age < span / 3) {
		return true;
	}
	const int64_t asked = clock_mono_us();
	if (lease_renew(work->runner->book, &work->lease, &held, &err) == 0) {
		work->renewed = asked;
		return held;
	}
	return age < span;
}

static bool go_on(struct job_run *run)
{
	struct work *work = run->context;

	if (!take_a_break(work)) {
		run->ended = JOB_STOPPED;
		return false;
	}
	if (!keep_lease(work)) {
		run->ended = JOB_LOST;
		return false;
	}
	return true;
}

/* --- a run ---------------------------------------------------------------- */

static void work_on(struct work *work)
{
	struct runner *runner = work->runner;
	struct job_run run = {
		.book = runner->book,
		.setup = runner->setup,
		.lease = &work->lease,
		.force = runner->force,
		.rows = runner->by_hand ? 0 : ROWS,
		.go_on = go_on,
		.context = work,
	};

	memset(&runner->why, 0, sizeof(runner->why));
	runner->result = runner->job->run(&run, &runner->why);
	runner->did = run.did;
	memcpy(runner->note, run.note, sizeof(run.note));
	if (runner->result == JOB_FAILED) {
		snprintf(runner->note, sizeof(runner->note), "%.190s",
		         runner->why.text);
	}
}

/* Whether it is due, and what time it is by the clock of the plan. */
static int look(struct runner *runner, bool *due, struct bursar_error *err)
{
	const int64_t interval =
		runner->job->interval_ms(runner->setup) * 1000;
	struct job_status status;

	*due = runner->by_hand;
	if (*due) {
		return 0;
	}
	if (runner_status(runner->book, runner->job->name, &status, err) != 0) {
		return -1;
	}
	*due = !status.known || schedule_is_due(status.next_us,
	                                        clock_wall_us(), interval);
	return 0;
}

static enum runner_answer run_under_lease(struct work *work,
                                          struct bursar_error *err)
{
	struct runner *runner = work->runner;
	bool due = false;

	/* Somebody may have done it while we came for the lease. */
	if (look(runner, &due, err) != 0) {
		return RUNNER_FAILED;
	}
	if (!due) {
		return RUNNER_NOT_DUE;
	}
	if (say_started(work, clock_wall_us(), err) != 0) {
		return RUNNER_FAILED;
	}
	log_event(BURSAR_DEBUG, runner->book->name, "job-started",
	          "job=%s fence=%" PRId64, work->lease.job, work->lease.fence);
	work_on(work);
	return say_ended(work, err) == 0 ? RUNNER_RAN : RUNNER_FAILED;
}

enum runner_answer runner_run(struct runner *runner, struct bursar_error *err)
{
	struct work work = {
		.runner = runner,
		.lease = {
			.job = runner->job->name, .holder = runner->holder,
			.span_us = runner->span_us,
		},
		.renewed = clock_mono_us(),
		.began = clock_mono_us(),
		.first = true,
	};
	struct bursar_error unheard = { 0 };
	bool due = false, taken = false;

	if (look(runner, &due, err) != 0) {
		return RUNNER_FAILED;
	}
	/* An idle ledger is only read. */
	if (!due) {
		return RUNNER_NOT_DUE;
	}
	if (lease_take(runner->book, &work.lease, &taken, err) != 0) {
		return RUNNER_FAILED;
	}
	if (!taken) {
		return RUNNER_HELD;
	}
	const enum runner_answer answer = run_under_lease(&work, err);
	/* Else it ends by itself. */
	lease_release(runner->book, &work.lease, &unheard);
	return answer;
}
