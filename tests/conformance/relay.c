/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Between the checks and the plugin: every operation passes here, so that a
 * thread is known to be in a call, and so that each call can be made from a
 * thread of its own, as the daemon may make it.
 */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>

#include <bursar/crypto.h>
#include <bursar/format.h>
#include <bursar/service.h>
#include <bursar/sink.h>
#include <bursar/source.h>

#include "kit.h"

/* One call: what makes it, and with what. */
struct call {
	void (*make)(void *arguments);
	void  *arguments;
};

static const struct bursar_plugin *real;
static struct bursar_plugin relayed;
static atomic_bool each_in_a_thread;
static _Thread_local unsigned depth;

/* Where threads wait for each other when they have opened; NULL: they do not. */
static pthread_barrier_t *meeting;
static _Thread_local bool has_met;

bool relay_is_inside(void)
{
	return depth > 0;
}

void relay_from_any_thread(void)
{
	atomic_store(&each_in_a_thread, true);
}

void relay_meet_when_open(unsigned threads)
{
	static pthread_barrier_t barrier;

	if (pthread_barrier_init(&barrier, NULL, threads) != 0) {
		kit_broken("a barrier");
	}
	meeting = &barrier;
}

/* Once for each thread. */
static void meet(void)
{
	if (meeting != NULL && !has_met) {
		has_met = true;
		pthread_barrier_wait(meeting);
	}
}

static void *make(void *arg)
{
	const struct call *call = arg;

	depth++;
	call->make(call->arguments);
	depth--;
	return NULL;
}

/* Waits for the end, so that calls on one instance never overlap. */
static void pass_on(void (*make_it)(void *arguments), void *arguments)
{
	struct call call = { make_it, arguments };
	pthread_t thread;

	if (!atomic_load(&each_in_a_thread)) {
		make(&call);
	} else if (pthread_create(&thread, NULL, make, &call) != 0 ||
	           pthread_join(thread, NULL) != 0) {
		kit_broken("a thread");
	}
}

/*
 * The arguments of an operation and its result; `at` makes the call.  One set
 * for all kinds: an operation uses what it needs of them.
 */
struct arguments {
	void *instance;
	const struct bursar_host *host;
	const struct bursar_house *house;
	enum bursar_mode mode;
	enum bursar_verdict *opened;	/* verdict of a sink's open() */
	struct bursar_batch *batch;
	const struct bursar_settled *settled;
	const struct bursar_message *message;
	struct bursar_records *made;
	struct bursar_record *const *records;
	struct bursar_sealed *sealed;
	struct bursar_span plain;
	struct bursar_seal *seal;
	struct bursar_arena *arena;
	const struct bursar_purge *purge;
	struct bursar_purged *purged;
	const struct bursar_correct *correct;
	size_t *corrected;
	const struct bursar_cell *cells;
	bursar_row_fn *row;
	void *context;
	const char *text;		/* statement, path */
	size_t count;
	enum bursar_outcome *outcomes;
	size_t *culprit;
	int fd;				/* wake, stop */
	int64_t deadline;
	bool *usable;
	bool on;
	struct bursar_error *err;

	enum bursar_verdict verdict;	/* results */
	int64_t number;
};

/* --- sources ------------------------------------------------------------- */

static void make_source_open(void *arguments)
{
	struct arguments *a = arguments;

	a->instance = real->ops.source->open(a->host, a->err);
}

static struct bursar_source *source_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct arguments a = { .host = host, .err = err };

	pass_on(make_source_open, &a);
	meet();
	return a.instance;
}

static void make_read(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.source->read(a->instance, a->batch, a->fd,
	                                    a->deadline, a->err);
}

static enum bursar_verdict source_read(struct bursar_source *source,
                                       struct bursar_batch *batch, int wake,
                                       int64_t deadline,
                                       struct bursar_error *err)
{
	struct arguments a = { .instance = source, .batch = batch, .fd = wake,
	                       .deadline = deadline, .err = err };

	pass_on(make_read, &a);
	return a.verdict;
}

static void make_settle(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.source->settle(a->instance, a->settled,
	                                      a->count, a->err);
}

static enum bursar_verdict source_settle(struct bursar_source *source,
                                         const struct bursar_settled *settled,
                                         size_t count,
                                         struct bursar_error *err)
{
	struct arguments a = { .instance = source, .settled = settled,
	                       .count = count, .err = err };

	pass_on(make_settle, &a);
	return a.verdict;
}

static void make_park(void *arguments)
{
	struct arguments *a = arguments;

	real->ops.source->park(a->instance, a->on);
}

static void source_park(struct bursar_source *source, bool on)
{
	struct arguments a = { .instance = source, .on = on };

	pass_on(make_park, &a);
}

static void make_source_close(void *arguments)
{
	struct arguments *a = arguments;

	real->ops.source->close(a->instance);
}

static void source_close(struct bursar_source *source)
{
	struct arguments a = { .instance = source };

	pass_on(make_source_close, &a);
}

static struct bursar_source_ops source_ops;

static void relay_source(void)
{
	source_ops = *real->ops.source;
	source_ops.open = source_open;
	source_ops.read = source_read;
	source_ops.settle = source_settle;
	source_ops.park = source_ops.park != NULL ? source_park : NULL;
	source_ops.close = source_close;
	relayed.ops.source = &source_ops;
}

/* --- crypto -------------------------------------------------------------- */

static void make_crypto_open(void *arguments)
{
	struct arguments *a = arguments;

	a->instance = real->ops.crypto->open(a->host, a->err);
}

static struct bursar_crypto *crypto_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct arguments a = { .host = host, .err = err };

	pass_on(make_crypto_open, &a);
	meet();
	return a.instance;
}

static void make_unseal(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.crypto->unseal(a->instance, a->sealed, a->count,
	                                      a->arena, a->err);
}

static enum bursar_verdict crypto_unseal(struct bursar_crypto *crypto,
                                         struct bursar_sealed *items,
                                         size_t count,
                                         struct bursar_arena *arena,
                                         struct bursar_error *err)
{
	struct arguments a = { .instance = crypto, .sealed = items,
	                       .count = count, .arena = arena, .err = err };

	pass_on(make_unseal, &a);
	return a.verdict;
}

static void make_seal(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.crypto->seal(a->instance, a->plain, a->seal,
	                                    a->arena, a->err);
}

static enum bursar_verdict crypto_seal(struct bursar_crypto *crypto,
                                       struct bursar_span plain,
                                       struct bursar_seal *out,
                                       struct bursar_arena *arena,
                                       struct bursar_error *err)
{
	struct arguments a = { .instance = crypto, .plain = plain, .seal = out,
	                       .arena = arena, .err = err };

	pass_on(make_seal, &a);
	return a.verdict;
}

static void make_tick(void *arguments)
{
	struct arguments *a = arguments;

	a->number = real->ops.crypto->tick(a->instance, a->usable);
}

static int64_t crypto_tick(struct bursar_crypto *crypto, bool *usable)
{
	struct arguments a = { .instance = crypto, .usable = usable };

	pass_on(make_tick, &a);
	return a.number;
}

static void make_crypto_close(void *arguments)
{
	struct arguments *a = arguments;

	real->ops.crypto->close(a->instance);
}

static void crypto_close(struct bursar_crypto *crypto)
{
	struct arguments a = { .instance = crypto };

	pass_on(make_crypto_close, &a);
}

static struct bursar_crypto_ops crypto_ops;

/* keygen() knows no instance, and stays as it is. */
static void relay_crypto(void)
{
	crypto_ops = *real->ops.crypto;
	crypto_ops.open = crypto_open;
	crypto_ops.unseal = crypto_unseal;
	crypto_ops.seal = crypto_ops.seal != NULL ? crypto_seal : NULL;
	crypto_ops.tick = crypto_ops.tick != NULL ? crypto_tick : NULL;
	crypto_ops.close = crypto_close;
	relayed.ops.crypto = &crypto_ops;
}

/* --- formats ------------------------------------------------------------- */

static void make_format_open(void *arguments)
{
	struct arguments *a = arguments;

	a->instance = real->ops.format->open(a->host, a->err);
}

static struct bursar_format *format_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct arguments a = { .host = host, .err = err };

	pass_on(make_format_open, &a);
	meet();
	return a.instance;
}

static void make_decode(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.format->decode(a->instance, a->message, a->made,
	                                      a->err);
}

static enum bursar_verdict format_decode(struct bursar_format *format,
                                         const struct bursar_message *message,
                                         struct bursar_records *records,
                                         struct bursar_error *err)
{
	struct arguments a = { .instance = format, .message = message,
	                       .made = records, .err = err };

	pass_on(make_decode, &a);
	return a.verdict;
}

static void make_format_close(void *arguments)
{
	struct arguments *a = arguments;

	real->ops.format->close(a->instance);
}

static void format_close(struct bursar_format *format)
{
	struct arguments a = { .instance = format };

	pass_on(make_format_close, &a);
}

static struct bursar_format_ops format_ops;

static void relay_format(void)
{
	format_ops = *real->ops.format;
	format_ops.open = format_open;
	format_ops.decode = format_decode;
	format_ops.close = format_close;
	relayed.ops.format = &format_ops;
}

/* --- sinks --------------------------------------------------------------- */

static void make_sink_open(void *arguments)
{
	struct arguments *a = arguments;

	a->instance = real->ops.sink->open(a->host, a->mode, a->opened, a->err);
}

static struct bursar_sink *sink_open(const struct bursar_host *host,
                                     enum bursar_mode mode,
                                     enum bursar_verdict *verdict,
                                     struct bursar_error *err)
{
	struct arguments a = { .host = host, .mode = mode, .opened = verdict,
	                       .err = err };

	pass_on(make_sink_open, &a);
	meet();
	return a.instance;
}

static void make_write(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.sink->write(a->instance, a->records, a->count,
	                                   a->outcomes, a->culprit, a->err);
}

static enum bursar_verdict sink_write(struct bursar_sink *sink,
                                      struct bursar_record *const *records,
                                      size_t count,
                                      enum bursar_outcome *outcomes,
                                      size_t *culprit,
                                      struct bursar_error *err)
{
	struct arguments a = { .instance = sink, .records = records,
	                       .count = count, .outcomes = outcomes,
	                       .culprit = culprit, .err = err };

	pass_on(make_write, &a);
	return a.verdict;
}

static void make_purge(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.sink->purge(a->instance, a->purge, a->purged,
	                                   a->err);
}

static enum bursar_verdict sink_purge(struct bursar_sink *sink,
                                      const struct bursar_purge *what,
                                      struct bursar_purged *purged,
                                      struct bursar_error *err)
{
	struct arguments a = { .instance = sink, .purge = what,
	                       .purged = purged, .err = err };

	pass_on(make_purge, &a);
	return a.verdict;
}

static void make_sql(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.sink->sql(a->instance, a->text, a->cells,
	                                 a->count, a->row, a->context, a->err);
}

static enum bursar_verdict sink_sql(struct bursar_sink *sink,
                                    const char *statement,
                                    const struct bursar_cell *parameters,
                                    size_t parameter_count,
                                    bursar_row_fn *row, void *context,
                                    struct bursar_error *err)
{
	struct arguments a = { .instance = sink, .text = statement,
	                       .cells = parameters, .count = parameter_count,
	                       .row = row, .context = context, .err = err };

	pass_on(make_sql, &a);
	return a.verdict;
}

static void make_correct(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.sink->correct(a->instance, a->correct,
	                                     a->corrected, a->err);
}

static enum bursar_verdict sink_correct(struct bursar_sink *sink,
                                        const struct bursar_correct *what,
                                        size_t *corrected,
                                        struct bursar_error *err)
{
	struct arguments a = { .instance = sink, .correct = what,
	                       .corrected = corrected, .err = err };

	pass_on(make_correct, &a);
	return a.verdict;
}

static void make_backup(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.sink->backup(a->instance, a->text, a->err);
}

static enum bursar_verdict sink_backup(struct bursar_sink *sink,
                                       const char *path,
                                       struct bursar_error *err)
{
	struct arguments a = { .instance = sink, .text = path, .err = err };

	pass_on(make_backup, &a);
	return a.verdict;
}

static void make_sink_close(void *arguments)
{
	struct arguments *a = arguments;

	real->ops.sink->close(a->instance);
}

static void sink_close(struct bursar_sink *sink)
{
	struct arguments a = { .instance = sink };

	pass_on(make_sink_close, &a);
}

static struct bursar_sink_ops sink_ops;

static void relay_sink(void)
{
	sink_ops = *real->ops.sink;
	sink_ops.open = sink_open;
	sink_ops.write = sink_write;
	sink_ops.purge = sink_ops.purge != NULL ? sink_purge : NULL;
	sink_ops.sql = sink_ops.sql != NULL ? sink_sql : NULL;
	sink_ops.correct = sink_ops.correct != NULL ? sink_correct : NULL;
	sink_ops.backup = sink_ops.backup != NULL ? sink_backup : NULL;
	sink_ops.close = sink_close;
	relayed.ops.sink = &sink_ops;
}

/* --- services ------------------------------------------------------------ */

static void make_service_open(void *arguments)
{
	struct arguments *a = arguments;

	a->instance = real->ops.service->open(a->host, a->house, a->err);
}

static struct bursar_service *service_open(const struct bursar_host *host,
                                           const struct bursar_house *house,
                                           struct bursar_error *err)
{
	struct arguments a = { .host = host, .house = house, .err = err };

	pass_on(make_service_open, &a);
	meet();
	return a.instance;
}

static void make_run(void *arguments)
{
	struct arguments *a = arguments;

	a->verdict = real->ops.service->run(a->instance, a->fd, a->err);
}

static enum bursar_verdict service_run(struct bursar_service *service,
                                       int stop, struct bursar_error *err)
{
	struct arguments a = { .instance = service, .fd = stop, .err = err };

	pass_on(make_run, &a);
	return a.verdict;
}

static void make_service_close(void *arguments)
{
	struct arguments *a = arguments;

	real->ops.service->close(a->instance);
}

static void service_close(struct bursar_service *service)
{
	struct arguments a = { .instance = service };

	pass_on(make_service_close, &a);
}

static struct bursar_service_ops service_ops;

static void relay_service(void)
{
	service_ops = *real->ops.service;
	service_ops.open = service_open;
	service_ops.run = service_run;
	service_ops.close = service_close;
	relayed.ops.service = &service_ops;
}

/* --- all of them --------------------------------------------------------- */

const struct bursar_plugin *relay_make(const struct bursar_plugin *plugin)
{
	static void (*const relays[BURSAR_PLUGIN_KINDS])(void) = {
		[BURSAR_SOURCE] = relay_source, [BURSAR_CRYPTO] = relay_crypto,
		[BURSAR_FORMAT] = relay_format, [BURSAR_SINK] = relay_sink,
		[BURSAR_SERVICE] = relay_service,
	};

	real = plugin;
	relayed = *plugin;
	relays[plugin->kind]();
	return &relayed;
}
