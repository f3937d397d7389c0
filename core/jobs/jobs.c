/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One thread that runs what is due, one job after the other.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sodium.h>

#include "base/log.h"
#include "base/metrics.h"
#include "book/days.h"
#include "book/purge.h"
#include "jobs/jobs.h"
#include "jobs/runner.h"
#include "jobs/schedule.h"

#define FIRST_LOOK_US INT64_C(2000000)	/* within which all begin */
#define PATIENCE_US   INT64_C(60000000)	/* of a look at what others do */
#define WAIT_US       INT64_C(300000000)	/* between two failures, at most */

/* A job of a sink. */
struct entry {
	const struct job *job;
	const char *sink;
	int64_t look_at;		/* monotonic */
	unsigned failures;		/* in a row */
	struct metric *results[JOB_RESULTS];
	struct metric *good;
	struct metric *lag;		/* of purge */
	struct metric *waiting;		/* of purge and facts */
	struct metric *open_days;	/* of rollup */
};

struct jobs {
	const struct setup *setup;
	char    holder[LEASE_HOLDER_SIZE];
	int     stop;			/* eventfd */
	pthread_t thread;
	bool    started;
	struct entry *entries;
	size_t  count;
};

/* --- figures -------------------------------------------------------------- */

/* Prometheus has a label `job` of its own. */
static void make_figures(struct entry *entry)
{
	const char *job = entry->job->name;

	for (size_t i = 0; i < JOB_RESULTS; i++) {
		entry->results[i] = metrics_get("bursar_job_runs_total",
			"Runs of jobs, by how they went.", true,
			"sink", entry->sink, "task", job, "result",
			job_result_names[i], NULL);
	}
	entry->good = metrics_get("bursar_job_last_success_timestamp_seconds",
		"When the last run that went well ended, whoever ran it; 0: "
		"none did.", false, "sink", entry->sink, "task", job, NULL);
	if (entry->job->run == job_purge || entry->job->run == job_facts) {
		entry->waiting = metrics_get("bursar_purge_waiting",
			"Whether a purge waits for a person, as it would take "
			"more than a week's worth.", false, "sink",
			entry->sink, "task", job, NULL);
	}
	if (entry->job->run == job_purge) {
		entry->lag = metrics_get("bursar_purge_lag_seconds",
			"For how long the oldest body that should be gone has "
			"been due, of days that are over.", false, "sink",
			entry->sink, NULL);
	}
	if (entry->job->run == job_rollup) {
		entry->open_days = metrics_get("bursar_rollup_unsummed",
			"Days (UTC) that are over and not summed up.", false,
			"sink", entry->sink, NULL);
	}
}

/* What holds whoever runs the job. */
static void tell_state(const struct entry *entry, struct book *book)
{
	struct bursar_error err = { 0 };
	struct job_status status;
	int64_t due, days;

	if (runner_status(book, entry->job->name, &status, &err) == 0) {
		metric_set(entry->good, status.good_us / 1000000);
		if (entry->waiting != NULL) {
			metric_set(entry->waiting, strcmp(status.result,
				job_result_names[JOB_WAITS]) == 0);
		}
	}
	const int64_t now = clock_wall_us();
	if (entry->lag != NULL && purge_oldest(book, now, &due, &err) == 0) {
		metric_set(entry->lag, due < now ? (now - due) / 1000000 : 0);
	}
	if (entry->open_days != NULL &&
	    days_open(book, now, &days, &err) == 0) {
		metric_set(entry->open_days, days);
	}
}

/* --- one look ------------------------------------------------------------- */

static void log_failure(const struct entry *entry, const char *why)
{
	log_event(BURSAR_WARNING, entry->sink, "job-failed", "job=%s why=%s",
	          entry->job->name, why);
}

static void log_run(const struct entry *entry, const struct runner *runner,
                    int64_t took_us)
{
	switch (runner->result) {
	case JOB_FAILED:
		log_failure(entry, runner->note);
		break;
	case JOB_WAITS:
		log_event(BURSAR_ERROR, entry->sink, "purge-waits",
		          "job=%s why=%s", entry->job->name, runner->note);
		break;
	case JOB_LOST:
		log_event(BURSAR_WARNING, entry->sink, "job-lost",
		          "job=%s note=%s", entry->job->name, runner->note);
		break;
	default:
		log_event(runner->did ? BURSAR_INFO : BURSAR_DEBUG,
		          entry->sink, "job-ended",
		          "job=%s result=%s took_ms=%" PRId64 " note=%s",
		          entry->job->name, job_result_names[runner->result],
		          took_us / 1000, runner->note);
		break;
	}
}

/* How long until the next look. */
static int64_t plan(const struct jobs *jobs, struct entry *entry,
                    struct book *book)
{
	struct bursar_error err = { 0 };
	struct job_status status;
	const int64_t interval = entry->job->interval_ms(jobs->setup) * 1000;
	int64_t patience = interval;

	if (runner_status(book, entry->job->name, &status, &err) != 0) {
		return interval < PATIENCE_US ? interval : PATIENCE_US;
	}
	/* Somebody else is at it, and may be killed. */
	if (status.holder[0] != '\0') {
		patience = jobs->setup->lease_ms * 1000 / 2;
		return schedule_wait(INT64_MAX / 2, clock_wall_us(), patience);
	}
	return schedule_wait(status.next_us, clock_wall_us(), patience);
}

static int64_t look(const struct jobs *jobs, struct entry *entry,
                    struct book *book, struct bursar_error *err)
{
	struct runner runner = {
		.book = book, .setup = jobs->setup, .job = entry->job,
		.holder = jobs->holder,
		.span_us = jobs->setup->lease_ms * 1000,
		.stop = jobs->stop,
	};
	const int64_t began = clock_mono_us();
	const enum runner_answer answer = runner_run(&runner, err);

	if (answer == RUNNER_FAILED) {
		return -1;
	}
	if (answer == RUNNER_RAN) {
		metric_add(entry->results[runner.result], 1);
		log_run(entry, &runner, clock_mono_us() - began);
	}
	tell_state(entry, book);
	return plan(jobs, entry, book);
}

/* The C library keeps what a thread freed: pages of a ledger that was opened for
 * a job, until the next run. */
static void give_memory_back(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}

static int64_t open_and_look(const struct jobs *jobs, struct entry *entry)
{
	struct bursar_error err = { 0 };
	struct book book;
	int64_t wait = -1;

	if (book_open(&book, jobs->setup, entry->sink, BURSAR_WRITE,
	              &err) == 0) {
		wait = look(jobs, entry, &book, &err);
		book_close(&book);
		give_memory_back();
	}
	if (wait >= 0) {
		entry->failures = 0;
		return wait;
	}
	log_failure(entry, err.text);
	metric_add(entry->results[JOB_FAILED], 1);
	const int64_t interval = entry->job->interval_ms(jobs->setup) * 1000;
	wait = INT64_C(1000000) << (entry->failures < 9 ? entry->failures : 9);
	entry->failures++;
	wait = wait < WAIT_US ? wait : WAIT_US;
	return wait < interval || interval == 0 ? wait : interval;
}

/* --- the thread ----------------------------------------------------------- */

static struct entry *next_of(const struct jobs *jobs)
{
	struct entry *next = &jobs->entries[0];

	for (size_t i = 1; i < jobs->count; i++) {
		if (jobs->entries[i].look_at < next->look_at) {
			next = &jobs->entries[i];
		}
	}
	return next;
}

/* False: all shall stop. */
static bool wait_until(const struct jobs *jobs, int64_t mono)
{
	struct pollfd fd = { .fd = jobs->stop, .events = POLLIN };
	int64_t wait;

	while ((wait = mono - clock_mono_us()) > 0) {
		const int64_t ms = (wait + 999) / 1000;

		if (poll(&fd, 1, ms < 1000000 ? (int)ms : 1000000) > 0) {
			return false;
		}
	}
	return poll(&fd, 1, 0) <= 0;
}

static void *run(void *arg)
{
	const struct jobs *jobs = arg;
	struct entry *entry = next_of(jobs);

	while (wait_until(jobs, entry->look_at)) {
		const int64_t wait = open_and_look(jobs, entry);

		entry->look_at = clock_mono_us() + wait;
		entry = next_of(jobs);
	}
	return NULL;
}

/* --- from outside --------------------------------------------------------- */

static int64_t first_look(const struct job *job, const struct setup *setup)
{
	const int64_t tenth = job->interval_ms(setup) * 100;
	const int64_t most = tenth < FIRST_LOOK_US ? tenth : FIRST_LOOK_US;

	return clock_mono_us() + randombytes_uniform((uint32_t)most + 1);
}

static int make_entries(struct jobs *jobs, struct bursar_error *err)
{
	const struct setup *setup = jobs->setup;
	size_t kinds = 0;

	while (jobs_all[kinds].name != NULL) {
		kinds++;
	}
	jobs->entries = calloc(setup->sink_count * kinds + 1,
	                       sizeof(*jobs->entries));
	if (jobs->entries == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < setup->sink_count * kinds; i++) {
		const struct job *job = &jobs_all[i % kinds];

		if (!jobs_is_on(job, setup, i / kinds)) {
			continue;
		}
		struct entry *entry = &jobs->entries[jobs->count++];
		entry->job = job;
		entry->sink = setup->sinks[i / kinds].item.name;
		entry->look_at = first_look(job, setup);
		make_figures(entry);
	}
	return 0;
}

struct jobs *jobs_create(const struct setup *setup, struct bursar_error *err)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	int error = 0;

	if (jobs == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	jobs->setup = setup;
	lease_holder(jobs->holder);
	jobs->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (jobs->stop < 0) {
		bursar_fail(err, errno, "eventfd: %s", strerror(errno));
		goto fail;
	}
	if (make_entries(jobs, err) != 0) {
		goto fail;
	}
	if (jobs->count > 0) {
		error = pthread_create(&jobs->thread, NULL, run, jobs);
		jobs->started = error == 0;
	}
	if (error != 0) {
		bursar_fail(err, error, "cannot start a thread: %s",
		            strerror(error));
		goto fail;
	}
	return jobs;

fail:
	jobs_destroy(jobs);
	return NULL;
}

void jobs_stop(struct jobs *jobs)
{
	if (jobs != NULL && jobs->stop >= 0) {
		eventfd_write(jobs->stop, 1);
	}
}

void jobs_destroy(struct jobs *jobs)
{
	if (jobs == NULL) {
		return;
	}
	jobs_stop(jobs);
	if (jobs->started) {
		pthread_join(jobs->thread, NULL);
	}
	for (size_t i = 0; i < jobs->count; i++) {
		struct entry *entry = &jobs->entries[i];

		/* A reload may bring them back. */
		metric_hide(entry->good);
		if (entry->lag != NULL) {
			metric_hide(entry->lag);
		}
		if (entry->waiting != NULL) {
			metric_hide(entry->waiting);
		}
	}
	if (jobs->stop >= 0) {
		close(jobs->stop);
	}
	free(jobs->entries);
	free(jobs);
}
