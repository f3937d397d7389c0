/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The main thread: it owns the pipeline, answers signals and `bursar status`,
 * and looks after the dead letters.  Nothing here is on the way of a message.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "daemon/daemon.h"
#include "daemon/figures.h"
#include "daemon/notify.h"
#include "daemon/services.h"
#include "daemon/statedir.h"
#include "daemon/status.h"
#include "flow/pipeline.h"
#include "jobs/jobs.h"
#include "price/prices.h"

#define TICK_MS        1000
#define HOUSEKEEP_US   INT64_C(3600000000)
/* A thread that has been at one thing for so many times the watchdog's time
 * will not come back. */
#define STUCK_TIMES    5

/* Setups whose options some unit was opened with; the newest first. */
struct kept {
	struct kept  *next;
	struct setup *setup;
};

struct daemon {
	bool   once;
	int    lock, signals, changed, listener;
	struct deadletters *letters;
	struct kept     *setups;
	struct pipeline *pipeline;
	struct services *services;	/* NULL: none, or not now */
	struct jobs     *jobs;		/* NULL: none, or not now */
	int64_t housekeep_at;
	int64_t progress, progress_at;	/* of --once: see stands_still() */
	_Atomic int64_t busy_since;	/* us, monotonic: of this turn */
	struct notify notify;
	bool    stuck;		/* some thread, which was said */
	bool    ready;
	bool    ended;
	int     status;
};

static struct setup *current(const struct daemon *d)
{
	return d->setups->setup;
}

static int keep_setup(struct daemon *d, struct setup *setup)
{
	struct kept *kept = malloc(sizeof(*kept));

	if (kept == NULL) {
		return -1;
	}
	*kept = (struct kept){ d->setups, setup };
	d->setups = kept;
	return 0;
}

/* Destroys setups that nothing refers to any more; all with pipeline NULL. */
static void forget_setups(struct daemon *d)
{
	struct kept **at = &d->setups;

	while (*at != NULL) {
		struct kept *kept = *at;

		if (d->pipeline != NULL &&
		    pipeline_uses(d->pipeline, kept->setup)) {
			at = &kept->next;
			continue;
		}
		*at = kept->next;
		setup_destroy(kept->setup);
		free(kept);
	}
}

static void log_error(const char *event, const struct bursar_error *err)
{
	log_event(BURSAR_ERROR, NULL, event, "why=%s", err->text);
}

/* --- beside the way: services and jobs ------------------------------------ */

/* State as a JSON object, the caller's; NULL: out of memory. */
static json_t *state_of(const struct daemon *d)
{
	json_t *state = pipeline_state(d->pipeline);
	const int64_t busy = clock_mono_us() -
		atomic_load(&((struct daemon *)d)->busy_since);

	if (state == NULL) {
		return NULL;
	}
	json_array_append_new(json_object_get(state, "threads"), json_pack(
		"{ss sI}", "name", "main", "busy_ms",
		(json_int_t)(busy / 1000)));
	if (d->services != NULL) {
		json_object_set_new(state, "services",
		                    services_state(d->services));
	}
	return state;
}

/* For services, in their threads: they end before the pipeline does. */
static char *state_as_text(void *context)
{
	json_t *state = state_of(context);
	char *text = state != NULL ? json_dumps(state, JSON_COMPACT) : NULL;

	json_decref(state);
	return text;
}

static void tell_figures(void *context, bursar_figure_fn *each,
                         void *each_context)
{
	struct daemon *d = context;

	figures_each(d->pipeline, d->services, atomic_load(&d->busy_since),
	             each, each_context);
	figures_of_process(each, each_context);
}

static void close_beside(struct daemon *d)
{
	jobs_destroy(d->jobs);
	d->jobs = NULL;
	services_stop(d->services);
	services_destroy(d->services);
	d->services = NULL;
}

/* Nothing waits for a service: what is wrong with them is logged.  A run of
 * --once has none, so that it can go beside a daemon. */
static void open_beside(struct daemon *d)
{
	const struct services_options options = {
		.state = state_as_text, .figures = tell_figures, .context = d,
	};
	struct bursar_error err = { 0 };

	if (d->once) {
		return;
	}
	d->jobs = jobs_create(current(d), &err);
	if (d->jobs == NULL) {
		log_error("jobs-failed", &err);
	}
	if (current(d)->service_count == 0) {
		return;
	}
	err = (struct bursar_error){ 0 };
	d->services = services_create(current(d), &options, &err);
	if (d->services == NULL || services_start(d->services, &err) != 0) {
		log_error("services-failed", &err);
	}
}

/* --- opening ------------------------------------------------------------- */

static int open_pipeline(struct daemon *d, struct setup *setup,
                         struct unit **pool, struct bursar_error *err)
{
	const struct pipeline_options options = {
		.letters = d->letters, .changed = d->changed, .once = d->once,
	};

	d->pipeline = pipeline_create(setup, &options, pool, err);
	if (d->pipeline == NULL) {
		return -1;
	}
	if (pipeline_start(d->pipeline, err) != 0) {
		pipeline_stop(d->pipeline, 0, -1);
		pipeline_release(d->pipeline, pool);
		d->pipeline = NULL;
		return -1;
	}
	return 0;
}

/* Signals come by descriptor, and to no thread. */
static int open_signals(int *fd, struct bursar_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* A limit of file sizes is an error like a full disk. */
	signal(SIGXFSZ, SIG_IGN);
	*fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return *fd < 0 ? bursar_fail(err, errno, "signalfd: %s",
	                             strerror(errno)) : 0;
}

static int open_daemon(struct daemon *d, struct bursar_error *err)
{
	const struct setup *setup = current(d);
	struct unit *pool = NULL;

	d->lock = statedir_lock(setup->state_dir, err);
	if (d->lock < 0 || open_signals(&d->signals, err) != 0) {
		return -1;
	}
	d->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->changed < 0) {
		return bursar_fail(err, errno, "eventfd: %s", strerror(errno));
	}
	d->letters = deadletters_open(setup->state_dir,
	                              setup->dead_letter_bytes,
	                              setup->dead_letter_reserve, err);
	if (d->letters == NULL) {
		return -1;
	}
	d->listener = status_listen(setup->state_dir, err);
	if (d->listener < 0) {
		return -1;
	}
	const int result = open_pipeline(d, current(d), &pool, err);
	units_close(&pool, NULL);
	if (result == 0) {
		open_beside(d);
	}
	return result;
}

static void close_daemon(struct daemon *d)
{
	struct unit *pool = NULL;

	close_beside(d);
	pipeline_release(d->pipeline, &pool);
	units_close(&pool, NULL);
	d->pipeline = NULL;
	deadletters_close(d->letters);
	forget_setups(d);
	const int fds[] = { d->listener, d->changed, d->signals, d->lock };
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] >= 0) {
			close(fds[i]);
		}
	}
	arena_pool_drain();
}

/* Which prices count from now on. */
static void log_prices(const struct setup *setup)
{
	for (size_t i = 0; setup->prices != NULL &&
	     i < setup->prices->book_count; i++) {
		const struct price_book *book = setup->prices->books[i];

		log_event(BURSAR_INFO, NULL, "prices", "book=%s version=%s"
		          " models=%zu", price_book_name(book),
		          price_book_version(book), price_book_count(book));
	}
}

/* --- reload -------------------------------------------------------------- */

/* Whether the daemon can go from one to the other while it runs. */
static bool can_follow(const struct setup *old, const struct setup *new)
{
	if (strcmp(old->state_dir, new->state_dir) == 0) {
		return true;
	}
	log_event(BURSAR_ERROR, NULL, "reload-refused",
	          "why=\"state-dir cannot change while the daemon runs: restart"
	          " it\"");
	return false;
}

/* As events, so that they are lines of the log like all others. */
static void log_mistakes(const struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->items[i];

		log_event(BURSAR_ERROR, NULL, "config-mistake",
		          "file=%s line=%u why=%s", findings->file,
		          finding->line, finding->text);
	}
	log_event(BURSAR_ERROR, NULL, "reload-refused", "findings=%zu "
	          "why=\"the configuration is wrong, the one before goes on: "
	          "`bursar check` says all of it\"",
	          findings->count + findings->left_out);
}

/* The configuration that is to come; NULL: it was said why not. */
static struct setup *load_next(const struct setup *old)
{
	struct findings findings = { 0 };
	struct setup *new = setup_load(old->file, &findings, NULL);

	if (new == NULL) {
		log_mistakes(&findings);
	} else if (!can_follow(old, new)) {
		setup_destroy(new);
		new = NULL;
	}
	findings_finish(&findings);
	return new;
}

/* Opens the old configuration again.  The new one is kept behind it: units
 * that were made for it may be in use. */
static void go_back(struct daemon *d, struct unit **pool)
{
	struct bursar_error err = { 0 };
	struct kept *new = d->setups;

	d->setups = new->next;
	new->next = d->setups->next;
	d->setups->next = new;
	deadletters_set_limit(d->letters, current(d)->dead_letter_bytes);
	if (open_pipeline(d, current(d), pool, &err) != 0) {
		log_error("cannot-go-on", &err);
		d->ended = true;
		d->status = EXIT_FAILURE;
	}
}

/*
 * The new configuration whole, or the old one stays.  What both have in common
 * stays open; what was in flight is stored or given back before.
 */
static void reload_all(struct daemon *d, bool *good)
{
	struct bursar_error err = { 0 };
	struct unit *pool = NULL;
	struct setup *new = load_next(current(d));

	if (new == NULL) {
		return;
	}
	const int64_t timeout_ms = current(d)->drain_timeout_ms;
	if (keep_setup(d, new) != 0) {
		setup_destroy(new);
		return;
	}
	close_beside(d);
	/* First, as a source that is paused by the limit cannot be drained. */
	deadletters_set_limit(d->letters, new->dead_letter_bytes);
	pipeline_stop(d->pipeline, timeout_ms, -1);
	pipeline_release(d->pipeline, &pool);
	if (open_pipeline(d, new, &pool, &err) == 0) {
		*good = true;
		log_set_level(new->log_level);
		log_event(BURSAR_INFO, NULL, "reloaded", "sources=%zu sinks=%zu",
		          new->source_count, new->sink_count);
		log_prices(new);
	} else {
		log_error("reload-failed", &err);
		go_back(d, &pool);
	}
	units_close(&pool, NULL);
	if (d->pipeline != NULL) {
		open_beside(d);
		forget_setups(d);
	}
}

static struct metric *reloads(const char *result)
{
	return metrics_get("bursar_config_reloads_total",
	                   "Configurations that were read again.", true,
	                   "result", result, NULL);
}

static struct metric *last_reload(void)
{
	return metrics_get("bursar_config_last_reload_successful",
	                   "Whether the configuration that was read last is "
	                   "in use.", false, NULL);
}

/* Figures that are there from the first moment on. */
static void begin_reloads(void)
{
	reloads("success");
	reloads("failure");
	metric_set(last_reload(), 1);
}

static void reload(struct daemon *d)
{
	bool good = false;

	notify_reloading(&d->notify, current(d)->drain_timeout_ms);
	reload_all(d, &good);
	if (!d->ended) {
		notify_ready(&d->notify);
	}
	metric_add(reloads(good ? "success" : "failure"), 1);
	metric_set(last_reload(), good);
}

/* --- events -------------------------------------------------------------- */

static void drain(struct daemon *d)
{
	sigset_t set;

	log_event(BURSAR_INFO, NULL, "draining", "timeout_ms=%lld",
	          (long long)current(d)->drain_timeout_ms);
	notify_stopping(&d->notify, current(d)->drain_timeout_ms);
	notify_status(&d->notify, "Draining");
	/* From now on only a second one of these counts. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signalfd(d->signals, &set, 0);
	/* What a job is at may take a moment: not before the drain. */
	jobs_stop(d->jobs);
	services_stop(d->services);
	const bool all = pipeline_stop(d->pipeline,
	                               current(d)->drain_timeout_ms,
	                               d->signals);
	log_event(BURSAR_INFO, NULL, "drained", "given_back=%s",
	          all ? "no" : "yes");
	close_beside(d);
	d->ended = true;
}

static void take_signals(struct daemon *d)
{
	struct signalfd_siginfo info;

	while (!d->ended && read(d->signals, &info, sizeof(info)) ==
	                    (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGHUP:
			reload(d);
			break;
		case SIGUSR1:
			pipeline_log_state(d->pipeline);
			break;
		default:
			drain(d);
			break;
		}
	}
}

static void housekeep(struct daemon *d)
{
	struct bursar_error err = { 0 };

	if (clock_mono_us() < d->housekeep_at) {
		return;
	}
	d->housekeep_at = clock_mono_us() + HOUSEKEEP_US;
	const int64_t gone = deadletters_purge(d->letters, clock_wall_us(),
	                                       &err);
	if (gone < 0) {
		log_error("dead-letters-purge-failed", &err);
	} else if (gone > 0) {
		log_event(BURSAR_INFO, NULL, "dead-letters-purged",
		          "letters=%lld", (long long)gone);
	}
}

static void look_at_ready(struct daemon *d)
{
	const bool ready = pipeline_is_ready(d->pipeline);

	if (ready != d->ready) {
		d->ready = ready;
		log_event(ready ? BURSAR_INFO : BURSAR_WARNING, NULL,
		          ready ? "ready" : "not-ready", "sinks=%zu",
		          current(d)->sink_count);
	}
}

/* --- the service manager ------------------------------------------------- */

/* The kind whose route is held up, and why; false: none is. */
static bool find_held_up(const struct daemon *d, const char **kind,
                         char why[300])
{
	for (size_t i = 0; i < SCHEMA_KINDS; i++) {
		enum writer_state state;

		if (pipeline_get_route(d->pipeline, i, &state, why) &&
		    state != WRITER_OPEN) {
			*kind = schema.kinds[i].name;
			return true;
		}
	}
	return false;
}

static void tell_status(struct daemon *d)
{
	const char *kind;
	char why[300];

	if (find_held_up(d, &kind, why)) {
		notify_status(&d->notify, "Waits to store %s: %s", kind,
		              why[0] != '\0' ? why : "the sink opens");
	} else {
		notify_status(&d->notify, "Takes messages: %zu sources, %zu "
		              "sinks", current(d)->source_count,
		              current(d)->sink_count);
	}
}

/* Since when the thread that has been longest at one thing has been at it, and
 * its name. */
static int64_t longest_busy(const struct daemon *d, const char **name)
{
	const struct setup *setup = current(d);
	int64_t since = INT64_MAX;

	for (size_t i = 0; i < setup->source_count; i++) {
		struct intake_status status;

		pipeline_get_source(d->pipeline, i, &status);
		if (status.busy_since != 0 && status.busy_since < since) {
			since = status.busy_since;
			*name = setup->sources[i].item.name;
		}
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		struct writer_status status;

		pipeline_get_sink(d->pipeline, i, &status);
		if (status.busy_since != 0 && status.busy_since < since) {
			since = status.busy_since;
			*name = setup->sinks[i].item.name;
		}
	}
	return since;
}

/* The watchdog hears of us only while every thread gets on. */
static void feed_watchdog(struct daemon *d)
{
	const char *name = "";
	const int64_t since = longest_busy(d, &name);
	const int64_t now = clock_mono_us();
	const bool stuck = since < now &&
		(now - since) / STUCK_TIMES > d->notify.watchdog_us;

	if (stuck && !d->stuck) {
		log_event(BURSAR_ERROR, NULL, "thread-stuck",
		          "thread=%s seconds=%lld why=\"one call does not come "
		          "back: the watchdog is not fed any more\"", name,
		          (long long)((now - since) / 1000000));
	}
	d->stuck = stuck;
	if (!stuck) {
		notify_alive(&d->notify);
	}
}

static void tell_manager(struct daemon *d)
{
	if (d->notify.fd < 0) {
		return;
	}
	tell_status(d);
	if (d->notify.watchdog_us > 0) {
		feed_watchdog(d);
	}
}

/* --- a run that ends ----------------------------------------------------- */

static json_int_t sum(const json_t *list, const char *name)
{
	json_int_t total = 0;
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) {
		total += json_integer_value(json_object_get(item, name));
	}
	return total;
}

/* Whether nothing was read, stored or settled for too long. */
static bool stands_still(struct daemon *d)
{
	json_t *state = pipeline_state(d->pipeline);
	const json_t *sources = json_object_get(state, "sources");
	const json_t *sinks = json_object_get(state, "sinks");
	const int64_t progress = sum(sources, "read") + sum(sinks, "stored") +
		sum(sinks, "duplicates") + sum(sinks, "conflicts") +
		sum(sinks, "refused") - sum(sources, "in_flight_messages");
	const int64_t now = clock_mono_us();

	json_decref(state);
	if (progress != d->progress || d->progress_at == 0) {
		d->progress = progress;
		d->progress_at = now;
	}
	return now - d->progress_at > current(d)->once_timeout_ms * 1000;
}

static void end_once(struct daemon *d, int status)
{
	pipeline_log_state(d->pipeline);
	pipeline_stop(d->pipeline, 0, -1);
	d->ended = true;
	d->status = status;
}

static void look_at_once(struct daemon *d)
{
	struct bursar_error err = { 0 };
	char why[400];

	const bool done = pipeline_is_done(d->pipeline);
	if (done && !pipeline_has_left(d->pipeline, why)) {
		end_once(d, EXIT_SUCCESS);
	} else if (done || pipeline_is_blocked(d->pipeline, why)) {
		bursar_fail(&err, EPERM, "%s", why);
		log_error("stopped", &err);
		end_once(d, EXIT_FAILURE);
	} else if (stands_still(d)) {
		bursar_fail(&err, ETIMEDOUT, "nothing moved for once-timeout;"
		            " the state follows");
		log_error("stopped", &err);
		end_once(d, EXIT_FAILURE);
	}
}

static void serve(struct daemon *d)
{
	while (!d->ended) {
		struct pollfd fds[] = {
			{ .fd = d->signals, .events = POLLIN },
			{ .fd = d->changed, .events = POLLIN },
			{ .fd = d->listener, .events = POLLIN },
		};
		uint64_t rings;

		atomic_store(&d->busy_since, clock_mono_us());
		poll(fds, 3, notify_tick(&d->notify, TICK_MS));
		if (fds[1].revents != 0 &&
		    read(d->changed, &rings, sizeof(rings)) < 0) {
			continue;
		}
		if (fds[2].revents != 0) {
			status_answer(d->listener, state_of(d));
		}
		look_at_ready(d);
		tell_manager(d);
		housekeep(d);
		take_signals(d);
		if (d->once && !d->ended) {
			look_at_once(d);
		}
	}
}

int daemon_run(struct setup *setup, bool once)
{
	struct daemon d = {
		.once = once, .lock = -1, .signals = -1, .changed = -1,
		.listener = -1, .status = EXIT_SUCCESS,
		.busy_since = clock_mono_us(),
	};
	struct bursar_error err = { 0 };

	log_set_level(setup->log_level);
	begin_reloads();
	if (keep_setup(&d, setup) != 0) {
		setup_destroy(setup);
		return EXIT_FAILURE;
	}
	notify_init(&d.notify);
	if (open_daemon(&d, &err) != 0) {
		log_error("cannot-start", &err);
		d.status = EXIT_FAILURE;
	} else {
		log_event(BURSAR_INFO, NULL, "started",
		          "version=" PACKAGE_VERSION " pid=%d sources=%zu"
		          " sinks=%zu", (int)getpid(), setup->source_count,
		          setup->sink_count);
		log_prices(setup);
		notify_ready(&d.notify);
		serve(&d);
	}
	const int status = d.status;
	close_daemon(&d);
	notify_finish(&d.notify);
	log_event(BURSAR_INFO, NULL, "ended", "status=%d", status);
	return status;
}
