/* SPDX-License-Identifier: Apache-2.0 */

/* What bursar/service.h asks of a service. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kit.h"

#define TO_END_US 1000000	/* "then ends within a second" */

/* --- the house ----------------------------------------------------------- */

static void house_figures(const struct bursar_house *house,
                          bursar_figure_fn *each, void *context)
{
	static const int64_t bounds[] = { 1000, 1000000 };
	static const uint64_t counts[] = { 0, 2, UINT64_MAX / 4 };
	const struct bursar_figure figures[] = {
		{ .name = "bursar_commit_seconds", .help = "Seconds.\n\\",
		  .type = BURSAR_HISTOGRAM, .decimals = 6, .value = 1500000,
		  .labels = { { "sink", "one" } },
		  .bounds = bounds, .counts = counts, .bound_count = 2 },
		{ .name = "bursar_messages_total", .help = "Messages.",
		  .type = BURSAR_COUNTER, .value = 7,
		  .labels = { { "source", "one" }, { "outcome", "stored" } } },
		{ .name = "bursar_messages_total", .help = "Messages.",
		  .type = BURSAR_COUNTER, .value = INT64_MAX,
		  .labels = { { "source", "a \"b\"\n\\c" } } },
		{ .name = "bursar_queue_records", .help = "Records.",
		  .value = -1 },
	};

	(void)house;
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		each(context, &figures[i]);
	}
}

static char *house_state(const struct bursar_house *house)
{
	(void)house;
	return strdup("{\"ready\":true,\"sources\":[],\"sinks\":[]}");
}

static enum bursar_verdict house_sql(const struct bursar_house *house,
                                     const char *statement,
                                     const struct bursar_cell *parameters,
                                     size_t parameter_count,
                                     bursar_row_fn *row, void *context,
                                     struct bursar_error *err)
{
	(void)house, (void)statement, (void)parameters, (void)parameter_count;
	(void)row, (void)context;
	bursar_fail(err, ENOENT, "no book is configured");
	return BURSAR_CONFIG;
}

const struct bursar_house kit_house = {
	.figures = house_figures, .state = house_state, .sql = house_sql,
};

/* --- running ------------------------------------------------------------- */

/* A service in its thread, as the daemon runs it. */
struct running {
	struct kit   *kit;
	struct stand  stand;
	struct bursar_service *service;
	int           stop;
	pthread_t     thread;
	enum bursar_verdict verdict;
	struct bursar_error err;
	_Atomic int64_t ended_at;
};

static void *run_it(void *arg)
{
	struct running *r = arg;

	r->verdict = r->kit->plugin->ops.service->run(r->service, r->stop,
	                                              &r->err);
	atomic_store(&r->ended_at, clock_mono_us());
	return NULL;
}

static void open_it(struct running *r, struct kit *kit)
{
	enum bursar_verdict verdict;

	memset(r, 0, sizeof(*r));
	r->kit = kit;
	stand_init(&r->stand, kit, INSTANCE_RUN);
	r->service = stand_open(&r->stand, &verdict, &r->err);
	expect(r->service != NULL, "open() failed: %s", r->err.text);
}

static void start_it(struct running *r)
{
	r->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->stop < 0 || pthread_create(&r->thread, NULL, run_it, r) != 0) {
		kit_broken("a thread");
	}
}

static void stop_it(struct running *r)
{
	uint64_t rung = 0;

	eventfd_write(r->stop, 1);
	const int64_t asked = clock_mono_us();
	pthread_join(r->thread, NULL);
	if (r->verdict != BURSAR_DONE) {
		kit_expect_error(&r->err, "run()");
	}
	expect(r->verdict == BURSAR_DONE, "run() ended with verdict %d: %s",
	       r->verdict, r->err.text);
	const int64_t took = atomic_load(&r->ended_at) - asked;
	expect(took <= TO_END_US, "it went on for %lld ms",
	       (long long)took / 1000);
	expect(read(r->stop, &rung, sizeof(rung)) == (ssize_t)sizeof(rung),
	       "it read from the stop descriptor");
	close(r->stop);
}

static void runs_until_it_is_stopped(struct kit *kit)
{
	struct running r;

	open_it(&r, kit);
	start_it(&r);
	poll(NULL, 0, 300);
	const bool ended = atomic_load(&r.ended_at) != 0;
	expect(!ended, "run() returned %d before it was told: %s",
	       ended ? r.verdict : BURSAR_DONE, ended ? r.err.text : "");
	stop_it(&r);
	stand_close(&r.stand, r.service);
}

static void ends_at_once(struct kit *kit)
{
	struct running r;

	open_it(&r, kit);
	r.stop = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pthread_create(&r.thread, NULL, run_it, &r) != 0) {
		kit_broken("a thread");
	}
	stop_it(&r);
	stand_close(&r.stand, r.service);
}

void service_works(struct kit *kit)
{
	struct running r;

	open_it(&r, kit);
	for (int i = 0; i < 5; i++) {
		r.ended_at = 0;
		start_it(&r);
		poll(NULL, 0, 30);
		stop_it(&r);
	}
	stand_close(&r.stand, r.service);
}

static void run_and_close(void *context)
{
	struct running r;

	open_it(&r, context);
	start_it(&r);
	poll(NULL, 0, 5);
	stop_it(&r);
	stand_close(&r.stand, r.service);
	stand_finish(&r.stand);
}

static void leaves_nothing(struct kit *kit)
{
	footprint_expect_flat(run_and_close, kit, 20);
}

const struct kit_check service_checks[] = {
	{ "runs until it is told to stop",
	  "run() serves until descriptor `stop` is readable (poll it; do not "
	  "read from it), then ends within a second.", runs_until_it_is_stopped
	},
	{ "ends at once when it is stopped before it runs",
	  "run() serves until descriptor `stop` is readable.", ends_at_once },
	{ "runs again after it ended",
	  "It is run again later.", service_works },
	{ "leaves nothing behind after it ran",
	  "close() releases the service.", leaves_nothing, 60 },
	{ NULL }
};
