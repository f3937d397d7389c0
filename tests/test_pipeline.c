/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What becomes of a message, with a source, a crypto, a format and two sinks
 * that do what a test tells them.  A message's body is "KIND ID CONTENT"; the
 * format makes one record of it.  What the sinks store stands in a list.
 *
 * Every row of the table of outcomes in docs/architecture.md that needs no
 * particular plugin has its test here.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <check.h>
#include <jansson.h>
#include <sodium.h>

#include "core/base/log.h"
#include "core/base/metrics.h"
#include "core/daemon/figures.h"
#include "tests/folder.h"

#define MAX 4096

/* --- the world that tests look at ---------------------------------------- */

static struct {
	pthread_mutex_t lock;

	/* What the source will deliver, and was told. */
	struct { char body[64]; char encoding[24]; uint64_t lane;
	         unsigned flags; } queue[MAX];
	size_t queued, read;
	bool ends;
	struct { uint64_t token; enum bursar_outcome outcome; char reason[80]; }
		settled[MAX];
	size_t settled_count;
	size_t most_in_flight;
	int    reads_with_room, reads_without;
	int    source_opens, parks, unparks;
	bool   rewinds;			/* delivers what was returned again */
	bool   patient;			/* read() waits for what comes late */
	bool   read_dies, settle_dies;	/* DOWN once; then all comes again */
	bool   read_dies_late;		/* with what it delivered */
	char   team[8];			/* fixed; gone with the source */

	/* What each sink stored, and is to say. */
	struct world_sink {
		char   ids[MAX][32];
		char   content[MAX][32];
		size_t count;
		int    opens, closes, writes;
		enum bursar_verdict open_says, write_says;
		int    says_times;	/* then DONE again; -1: for ever */
		bool   is_sure;		/* that nothing was stored */
		bool   knows_culprit;
		bool   dies_of_bad;	/* DOWN instead of REJECT for "bad" */
		bool   refuses_all;
		size_t largest;
		bool   unordered;
		bool   waits;		/* inside write() */
		int    again;		/* records that were offered before */
		char   team[8];		/* of the last record */
	} sinks[2];

	/* The format stays in decode(), and is there. */
	bool   decode_waits, decodes;

	/* What the crypto says. */
	bool   keys;			/* are at hand */
	bool   wrong_key;
	int    unseals;
} w;

static void locked(void)
{
	pthread_mutex_lock(&w.lock);
}

static void unlocked(void)
{
	pthread_mutex_unlock(&w.lock);
}

/* --- the source ---------------------------------------------------------- */

struct bursar_source {
	int dummy;
};

static struct bursar_source *source_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	(void)host, (void)err;
	locked();
	w.source_opens++;
	w.read = 0;
	snprintf(w.team, sizeof(w.team), "red");
	unlocked();
	return calloc(1, sizeof(struct bursar_source));
}

/* Stays as long as *flag is set. */
static void wait_while(const bool *flag)
{
	bool wait = true;

	while (wait) {
		locked();
		wait = *flag;
		unlocked();
		usleep(wait ? 1000 : 0);
	}
}

static enum bursar_verdict die(bool *flag, struct bursar_error *err)
{
	*flag = false;
	bursar_fail(err, EPIPE, "gone");
	return BURSAR_DOWN;
}

static const struct bursar_header fixed = {
	{ "team", 4 }, { w.team, 3 },
};

static void deliver(struct bursar_batch *batch)
{
	while (w.read < w.queued) {
		struct bursar_message m = {
			/* Of one life of the source. */
			.token = w.read + (uint64_t)(w.source_opens - 1) * MAX,
			.fixed = &fixed,
			.fixed_count = 1,
			.lane = w.queue[w.read].lane,
			.flags = w.queue[w.read].flags,
			.body = { w.queue[w.read].body,
			          strlen(w.queue[w.read].body) },
			.place = { "here", 4 },
		};
		if (w.queue[w.read].encoding[0] != '\0') {
			m.content_encoding = (struct bursar_span){
				w.queue[w.read].encoding,
				strlen(w.queue[w.read].encoding),
			};
		}
		if (!batch->add(batch, &m)) {
			return;
		}
		w.read++;
	}
	batch->ended = w.ends;
}

static bool has_more(void)
{
	locked();
	const bool more = w.read < w.queued;
	unlocked();
	return more;
}

/* Until the deadline, something to do or something to read. */
static void wait_for_more(struct bursar_batch *batch, int wake,
                          int64_t deadline)
{
	struct pollfd fd = { .fd = wake, .events = POLLIN };

	while (clock_mono_us() < deadline && !has_more() &&
	       poll(&fd, 1, 5) == 0) {
	}
	locked();
	deliver(batch);
	unlocked();
}

static enum bursar_verdict source_read(struct bursar_source *source,
                                       struct bursar_batch *batch, int wake,
                                       int64_t deadline,
                                       struct bursar_error *err)
{
	(void)source;
	locked();
	if (w.read_dies) {
		const enum bursar_verdict verdict = die(&w.read_dies, err);

		unlocked();
		return verdict;
	}
	w.reads_with_room += batch->room > 0;
	w.reads_without += batch->room == 0;
	const size_t before = w.read;
	if (batch->room > 0) {
		deliver(batch);
	}
	if (w.read - w.settled_count > w.most_in_flight) {
		w.most_in_flight = w.read - w.settled_count;
	}
	if (w.read_dies_late && w.read > before) {
		const enum bursar_verdict verdict = die(&w.read_dies_late, err);

		unlocked();
		return verdict;
	}
	const bool nothing = w.read == before && batch->room > 0;
	const bool patient = w.patient;
	unlocked();
	if (nothing && patient) {
		wait_for_more(batch, wake, deadline);
	} else if (nothing) {
		struct pollfd fd = { .fd = wake, .events = POLLIN };
		int64_t wait = (deadline - clock_mono_us()) / 1000;

		poll(&fd, 1, (int)(wait > 20 ? 20 : wait < 0 ? 0 : wait));
	}
	return BURSAR_DONE;
}

/* Where a source may need the message again. */
static bool is_lent(const struct bursar_settled *settled)
{
	return settled->outcome != BURSAR_STORED &&
	       settled->outcome != BURSAR_DUPLICATE;
}

static enum bursar_verdict source_settle(struct bursar_source *source,
                                         const struct bursar_settled *settled,
                                         size_t count, struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	(void)source;
	locked();
	if (w.settle_dies) {
		verdict = die(&w.settle_dies, err);
		count = 0;
	}
	for (size_t i = 0; i < count && w.settled_count < MAX; i++) {
		w.settled[w.settled_count].token = settled[i].token;
		w.settled[w.settled_count].outcome = settled[i].outcome;
		ck_assert_int_eq(settled[i].message != NULL,
		                 is_lent(&settled[i]));
		ck_assert(settled[i].message == NULL ||
		          settled[i].message->token == settled[i].token);
		snprintf(w.settled[w.settled_count].reason,
		         sizeof(w.settled[0].reason), "%s",
		         settled[i].reason != NULL ? settled[i].reason : "");
		w.settled_count++;
		if (settled[i].outcome == BURSAR_RETURNED && w.rewinds &&
		    settled[i].token < w.read) {
			w.read = settled[i].token;
		}
	}
	unlocked();
	return verdict;
}

static void source_park(struct bursar_source *source, bool on)
{
	(void)source;
	locked();
	w.parks += on;
	w.unparks += !on;
	unlocked();
}

static void source_close(struct bursar_source *source)
{
	locked();
	snprintf(w.team, sizeof(w.team), "???");
	unlocked();
	free(source);
}

/* --- the crypto ---------------------------------------------------------- */

struct bursar_crypto {
	int dummy;
};

static struct bursar_crypto *crypto_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	(void)host, (void)err;
	return calloc(1, sizeof(struct bursar_crypto));
}

static enum bursar_verdict crypto_unseal(struct bursar_crypto *crypto,
                                         struct bursar_sealed *items,
                                         size_t count,
                                         struct bursar_arena *arena,
                                         struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	(void)crypto, (void)arena;
	locked();
	w.unseals++;
	if (!w.keys) {
		bursar_fail(err, EAGAIN, "no key at hand");
		verdict = BURSAR_RETRY;
	}
	for (size_t i = 0; i < count && verdict == BURSAR_DONE; i++) {
		const struct bursar_span body = items[i].message->body;
		const bool broken = w.wrong_key ||
			memmem(body.data, body.size, "broken", 6) != NULL;

		items[i].plain = body;
		items[i].result =
			memmem(body.data, body.size, "nokey", 5) != NULL
			? BURSAR_NO_KEY : broken ? BURSAR_BROKEN
			                         : BURSAR_OPENED;
	}
	unlocked();
	return verdict;
}

static int64_t crypto_tick(struct bursar_crypto *crypto, bool *usable)
{
	(void)crypto;
	locked();
	*usable = w.keys;
	unlocked();
	return clock_mono_us() + 20000;
}

static void crypto_close(struct bursar_crypto *crypto)
{
	free(crypto);
}

/* --- the format ---------------------------------------------------------- */

struct bursar_format {
	const struct bursar_schema *schema;
};

static struct bursar_format *format_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	struct bursar_format *format = calloc(1, sizeof(*format));

	(void)err;
	format->schema = host->schema;
	return format;
}

/* "KIND ID CONTENT"; KIND "none" makes no record, "junk" is refused. */
static enum bursar_verdict format_decode(struct bursar_format *format,
                                         const struct bursar_message *message,
                                         struct bursar_records *records,
                                         struct bursar_error *err)
{
	const char *body = message->body.data;
	const char *end = body + message->body.size;
	const char *id = memchr(body, ' ', (size_t)(end - body));

	locked();
	w.decodes = true;
	unlocked();
	wait_while(&w.decode_waits);
	if (id == NULL) {
		bursar_fail(err, EINVAL, "no sense in it");
		return BURSAR_REJECT;
	}
	const struct bursar_kind *kind =
		bursar_kind_find(format->schema, body, (size_t)(id - body));
	if (kind == NULL) {
		return BURSAR_DONE;
	}
	id++;
	const char *content = memchr(id, ' ', (size_t)(end - id));
	struct bursar_record *record = records->add(records, kind);
	bursar_set_text(record, BURSAR_MESSAGE_ID, id, (size_t)(content - id));
	bursar_set_text(record, bursar_field_find(kind, "request_id"),
	                content + 1, (size_t)(end - content - 1));
	bursar_set_number(record, BURSAR_RECORDED_AT,
	                  INT64_C(1793491203700000));
	return BURSAR_DONE;
}

static void format_close(struct bursar_format *format)
{
	free(format);
}

/* --- the sinks ----------------------------------------------------------- */

struct bursar_sink {
	struct world_sink *world;
};

static struct bursar_sink *sink_open(const struct bursar_host *host,
                                     enum bursar_mode mode,
                                     enum bursar_verdict *verdict,
                                     struct bursar_error *err)
{
	struct world_sink *world = &w.sinks[host->name[0] - 'a'];
	struct bursar_sink *sink = NULL;

	(void)mode;
	locked();
	world->opens++;
	*verdict = world->open_says;
	if (*verdict == BURSAR_DONE) {
		sink = calloc(1, sizeof(*sink));
		sink->world = world;
	} else {
		bursar_fail(err, EIO, "ferm\xe9 today");
	}
	unlocked();
	return sink;
}

static struct bursar_value value_of(const struct bursar_record *record,
                                    const char *field)
{
	const int at = bursar_field_find(record->kind, field);

	return at >= 0 ? bursar_value(record, (size_t)at)
		: (struct bursar_value){ .text = "" };
}

static bool same_text(struct bursar_value value, const char *text)
{
	return value.size == strlen(text) &&
	       memcmp(value.text, text, value.size) == 0;
}

static bool says(const struct bursar_record *record, const char *content)
{
	return same_text(value_of(record, "request_id"), content);
}

/* Bad records decide for the whole batch. */
static enum bursar_verdict look_for_bad(struct world_sink *world,
                                        struct bursar_record *const *records,
                                        size_t count, size_t *culprit,
                                        struct bursar_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (world->refuses_all || says(records[i], "bad")) {
			bursar_fail(err, EINVAL, "a bad record");
			if (world->knows_culprit) {
				*culprit = i;
			}
			return world->dies_of_bad ? BURSAR_DOWN : BURSAR_REJECT;
		}
	}
	return BURSAR_DONE;
}

static enum bursar_outcome store_one(struct world_sink *world,
                                     const struct bursar_record *record)
{
	const struct bursar_value id = value_of(record, "message_id");

	for (size_t i = 0; i < world->count; i++) {
		if (same_text(id, world->ids[i])) {
			return says(record, world->content[i])
				? BURSAR_DUPLICATE : BURSAR_CONFLICT;
		}
	}
	const struct bursar_value content = value_of(record, "request_id");
	snprintf(world->ids[world->count], 32, "%.*s", (int)id.size, id.text);
	snprintf(world->content[world->count], 32, "%.*s", (int)content.size,
	         content.text);
	world->count++;
	return BURSAR_STORED;
}

static void note(struct world_sink *world,
                 struct bursar_record *const *records, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct bursar_value team = value_of(records[i], "team");

		world->again += (records[i]->flags & BURSAR_RECORD_AGAIN) != 0;
		snprintf(world->team, sizeof(world->team), "%.*s",
		         (int)team.size, team.is_set ? team.text : "");
	}
}

static enum bursar_verdict sink_write(struct bursar_sink *sink,
                                      struct bursar_record *const *records,
                                      size_t count,
                                      enum bursar_outcome *outcomes,
                                      size_t *culprit, struct bursar_error *err)
{
	struct world_sink *world = sink->world;

	locked();
	world->writes++;
	unlocked();
	wait_while(&world->waits);
	locked();
	note(world, records, count);
	if (count > world->largest) {
		world->largest = count;
	}
	enum bursar_verdict verdict = BURSAR_DONE;
	if (world->write_says != BURSAR_DONE && world->says_times != 0) {
		world->says_times -= world->says_times > 0;
		verdict = world->write_says;
		bursar_fail(err, EIO, "not today");
		if (world->is_sure) {
			outcomes[0] = BURSAR_RETURNED;
		}
	} else {
		verdict = look_for_bad(world, records, count, culprit, err);
	}
	for (size_t i = 0; verdict == BURSAR_DONE && i < count; i++) {
		if (i > 0 && memcmp(records[i - 1]->key, records[i]->key,
		                    16) > 0) {
			world->unordered = true;
		}
		outcomes[i] = store_one(world, records[i]);
	}
	unlocked();
	return verdict;
}

static void sink_close(struct bursar_sink *sink)
{
	if (sink != NULL) {
		locked();
		sink->world->closes++;
		unlocked();
	}
	free(sink);
}

/* --- plugins ------------------------------------------------------------- */

static const struct bursar_option no_options[] = { { NULL } };
static const char *const encodings[] = { "encrypted/test", NULL };
static struct bursar_source_ops source_ops = {
	.open = source_open, .read = source_read, .settle = source_settle,
	.park = source_park, .close = source_close,
};
static const struct bursar_crypto_ops crypto_ops = {
	.encodings = encodings, .open = crypto_open, .unseal = crypto_unseal,
	.tick = crypto_tick, .close = crypto_close,
};
static struct bursar_format_ops format_ops = {
	.open = format_open, .decode = format_decode, .close = format_close,
};
static const struct bursar_sink_ops sink_ops = {
	.open = sink_open, .write = sink_write, .close = sink_close,
};
static const struct bursar_plugin source_plugin = {
	.abi = BURSAR_PLUGIN_ABI, .kind = BURSAR_SOURCE, .name = "test",
	.options = no_options, .ops.source = &source_ops,
};
static const struct bursar_plugin crypto_plugin = {
	.abi = BURSAR_PLUGIN_ABI, .kind = BURSAR_CRYPTO, .name = "test",
	.options = no_options, .ops.crypto = &crypto_ops,
};
static const struct bursar_plugin format_plugin = {
	.abi = BURSAR_PLUGIN_ABI, .kind = BURSAR_FORMAT, .name = "test",
	.options = no_options, .ops.format = &format_ops,
};
static const struct bursar_plugin sink_plugin = {
	.abi = BURSAR_PLUGIN_ABI, .kind = BURSAR_SINK, .name = "test",
	.options = no_options, .ops.sink = &sink_ops,
};

/* --- the pipeline under test --------------------------------------------- */

static char state_dir[FOLDER_SIZE];
static struct setup_item crypto_item, format_item;
static struct setup_source source;
static struct setup_sink sinks[2];
static struct setup setup;
static struct deadletters *letters;
static struct pipeline *pipeline;
static struct unit *pool;
static int changed;

static struct options *options_of(const struct bursar_plugin *plugin)
{
	struct findings findings = { .file = "test" };
	struct options *options = options_create(NULL, NULL, plugin->options,
	                                         "test", "/", &findings);

	ck_assert_uint_eq(findings.count, 0);
	return options;
}

static struct setup_item item(const char *name,
                              const struct bursar_plugin *plugin)
{
	return (struct setup_item){
		.name = strdup(name), .plugin = plugin,
		.options = options_of(plugin), .text = strdup("{}"),
	};
}

static void release_item(struct setup_item *what)
{
	free(what->name);
	free(what->text);
	options_destroy(what->options);
}

/* One source; sink "a" takes metering, sink "b" prompts and tools. */
static void prepare(void)
{
	pthread_mutexattr_t attr;

	memset(&w, 0, sizeof(w));
	source_ops.answers = false;
	pthread_mutexattr_init(&attr);
	/* What a test waits for may ask for more. */
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&w.lock, &attr);
	pthread_mutexattr_destroy(&attr);
	w.keys = true;
	ck_assert_int_ge(sodium_init(), 0);
	log_set_level(BURSAR_ERROR);
	folder_make(state_dir);

	crypto_item = item("key", &crypto_plugin);
	format_item = item("format", &format_plugin);
	source = (struct setup_source){
		.item = item("src", &source_plugin), .format = &format_item,
		.window_messages = 1000, .window_bytes = 8 << 20,
		.give_back_us = INT64_C(600000000),
	};
	sinks[0] = (struct setup_sink){ item("a", &sink_plugin), true };
	sinks[1] = (struct setup_sink){ item("b", &sink_plugin), true };
	setup = (struct setup){
		.file = (char *)"test", .state_dir = state_dir,
		.batch_records = 500, .linger_ms = 1, .max_message = 1 << 20,
		.look_ms = 50, .default_days = 36500, .phi_ttl_days = 36500,
		.sources = &source, .source_count = 1,
		.crypto = &crypto_item, .crypto_count = 1,
		.formats = &format_item, .format_count = 1,
		.sinks = sinks, .sink_count = 2,
		.routes = { 1, 2, 2 },
	};
	changed = eventfd(0, EFD_NONBLOCK);
	letters = deadletters_open(state_dir, 1 << 20, 4096, NULL);
	ck_assert_ptr_nonnull(letters);
}

static void start(void)
{
	const struct pipeline_options options = {
		.letters = letters, .changed = changed, .once = true,
	};
	struct bursar_error err = { 0 };

	pipeline = pipeline_create(&setup, &options, &pool, &err);
	ck_assert_msg(pipeline != NULL, "%s", err.text);
	ck_assert_int_eq(pipeline_start(pipeline, &err), 0);
}

struct asked {
	const char *name;
	const char *label;		/* any value of one; NULL: all */
	int64_t     total;		/* of a histogram: how many values */
};

static void add_up(void *context, const struct bursar_figure *figure)
{
	struct asked *asked = context;
	bool wanted = asked->label == NULL;

	for (size_t i = 0; i < 3 && figure->labels[i][0] != NULL; i++) {
		wanted = wanted || strcmp(figure->labels[i][1],
		                          asked->label) == 0;
	}
	if (!wanted || strcmp(figure->name, asked->name) != 0) {
		return;
	}
	if (figure->type != BURSAR_HISTOGRAM) {
		asked->total += figure->value;
		return;
	}
	for (size_t i = 0; i <= figure->bound_count; i++) {
		asked->total += (int64_t)figure->counts[i];
	}
}

static int64_t figure(const char *name, const char *label)
{
	struct asked asked = { .name = name, .label = label };

	metrics_each(add_up, &asked);
	return asked.total;
}

/* Whatever happened: each message that was read has one outcome, and each that
 * was done with has its time. */
static void check_conservation(void)
{
	const int64_t outcomes = figure("bursar_messages_total", NULL);

	ck_assert_int_eq(outcomes, figure("bursar_messages_read_total", NULL));
	ck_assert_int_eq(figure("bursar_end_to_end_seconds", NULL), outcomes -
	                 figure("bursar_messages_total", "returned") -
	                 figure("bursar_messages_total", "void"));
	ck_assert_int_eq(figure("bursar_commit_seconds", NULL),
	                 figure("bursar_batches_total", "done"));
}

static void cleanup(void)
{
	pipeline_release(pipeline, &pool);
	pipeline = NULL;
	check_conservation();
	units_close(&pool, NULL);
	deadletters_close(letters);
	release_item(&crypto_item);
	release_item(&format_item);
	release_item(&source.item);
	release_item(&sinks[0].item);
	release_item(&sinks[1].item);
	close(changed);
	folder_remove(state_dir);
	arena_pool_drain();
}

static void send_in(const char *body, const char *encoding, uint64_t lane)
{
	locked();
	snprintf(w.queue[w.queued].body, sizeof(w.queue[0].body), "%s", body);
	snprintf(w.queue[w.queued].encoding, sizeof(w.queue[0].encoding), "%s",
	         encoding);
	w.queue[w.queued].lane = lane;
	w.queued++;
	unlocked();
}

static void send(const char *body)
{
	send_in(body, "", 0);
}

static void send_many(const char *kind, int from, int to)
{
	char body[64];

	for (int i = from; i < to; i++) {
		snprintf(body, sizeof(body), "%s id%d fine", kind, i);
		send(body);
	}
}

static size_t settled(void)
{
	locked();
	const size_t count = w.settled_count;
	unlocked();
	return count;
}

static int reads(void)
{
	locked();
	const int count = w.reads_with_room;
	unlocked();
	return count;
}

/* Waits for something to be so, half a minute at most; locked, that is. */
#define WAIT_FOR(what)                                                       \
	do {                                                                 \
		bool so_ = false;                                            \
		for (int i_ = 0; i_ < 30000 && !so_; i_++) {                  \
			usleep(i_ > 0 ? 1000 : 0);                           \
			locked();                                            \
			so_ = (what);                                        \
			unlocked();                                          \
		}                                                            \
		ck_assert_msg(so_, "waited in vain for " #what);             \
	} while (0)

static enum bursar_outcome outcome_of(uint64_t token)
{
	for (size_t i = 0; i < w.settled_count; i++) {
		if (w.settled[i].token == token) {
			return w.settled[i].outcome;
		}
	}
	ck_abort_msg("message %d was not settled", (int)token);
	return BURSAR_STORED;
}

struct found {
	const char *reason;
	size_t      count;
	char        last_text[200];
};

static int count_letter(void *context, json_t *letter)
{
	struct found *found = context;

	if (strcmp(json_string_value(json_object_get(letter, "reason")),
	           found->reason) == 0) {
		found->count++;
		snprintf(found->last_text, sizeof(found->last_text), "%s",
		         json_string_value(json_object_get(letter, "text")));
	}
	return 0;
}

static size_t letters_of(const char *reason)
{
	struct found found = { .reason = reason };
	struct bursar_error err = { 0 };
	struct deadletter_broken broken;

	ck_assert_int_eq(deadletters_read(state_dir, count_letter, &found,
	                                  &broken, &err), 0);
	ck_assert_uint_eq(broken.count, 0);
	return found.count;
}

/* A member of the n-th source or sink in the state; the caller's. */
static json_t *member_of(const char *list, size_t n, const char *name)
{
	json_t *state = pipeline_state(pipeline);
	json_t *member = json_object_get(
		json_array_get(json_object_get(state, list), n), name);

	json_incref(member);
	json_decref(state);
	return member;
}

static bool state_is(const char *list, const char *want)
{
	json_t *state = member_of(list, 0, "state");
	const bool is = state != NULL &&
		strcmp(json_string_value(state), want) == 0;

	json_decref(state);
	return is;
}

static json_int_t number_of(const char *list, size_t n, const char *name)
{
	json_t *number = member_of(list, n, name);
	const json_int_t value = json_integer_value(number);

	json_decref(number);
	return value;
}

/* --- tests --------------------------------------------------------------- */

START_TEST(stores_every_message_and_settles_it_in_order)
{
	send_many("metering", 0, 800);
	start();

	WAIT_FOR(settled() == 800);
	ck_assert_uint_eq(w.sinks[0].count, 800);
	for (size_t i = 0; i < 800; i++) {
		ck_assert_uint_eq(w.settled[i].token, i);
		ck_assert_int_eq(w.settled[i].outcome, BURSAR_STORED);
	}
	ck_assert(!w.sinks[0].unordered);
	ck_assert_uint_le(w.sinks[0].largest, 800);
}
END_TEST

START_TEST(settles_nothing_before_the_sink_has_it)
{
	w.sinks[0].write_says = BURSAR_RETRY;
	w.sinks[0].says_times = -1;
	send_many("metering", 0, 10);
	start();

	WAIT_FOR(w.sinks[0].writes > 2);
	ck_assert_uint_eq(settled(), 0);
	locked();
	w.sinks[0].says_times = 0;
	unlocked();
	WAIT_FOR(settled() == 10);
	ck_assert_uint_eq(w.sinks[0].count, 10);
}
END_TEST

START_TEST(opens_a_sink_again_whose_connection_is_gone)
{
	w.sinks[0].write_says = BURSAR_DOWN;
	w.sinks[0].says_times = 2;
	send_many("metering", 0, 10);
	start();

	WAIT_FOR(settled() == 10);
	ck_assert_int_eq(w.sinks[0].opens, 3);
	ck_assert_int_eq(w.sinks[0].closes, 2);
	ck_assert_uint_eq(letters_of(DEAD_REFUSED), 0);
}
END_TEST

/* A few records, a stream, or half a batch: and one more after twice
 * `linger`. */
START_TEST(lingers_longer_for_a_stream)
{
	static const size_t counts[] = { 100, 300, 1000 };
	const size_t count = counts[_i];

	setup.linger_ms = 300;
	setup.batch_records = 2000;
	w.patient = true;
	send_many("metering", 0, (int)count);
	start();
	usleep(600000);
	send("metering late fine");

	WAIT_FOR(settled() == count + 1);
	ck_assert_uint_eq(w.sinks[0].count, count + 1);
	ck_assert_int_eq(w.sinks[0].writes, _i == 1 ? 1 : 2);
}
END_TEST

/* A writer that rings for its own commit says nothing of what streams in. */
START_TEST(a_commit_ends_no_stream)
{
	setup.linger_ms = 300;
	setup.batch_records = 2000;
	w.patient = true;
	send_many("metering", 0, 300);
	send("prompt other fine");
	start();
	WAIT_FOR(w.sinks[1].writes == 1);
	usleep(100000);
	send("metering late fine");

	WAIT_FOR(settled() == 302);
	ck_assert_int_eq(w.sinks[0].writes, 1);
}
END_TEST

START_TEST(waits_for_a_sink_that_is_closed)
{
	w.sinks[0].open_says = BURSAR_DOWN;
	send_many("metering", 0, 10);
	start();

	WAIT_FOR(w.sinks[0].opens > 2);
	ck_assert_uint_eq(settled(), 0);
	ck_assert(!pipeline_is_ready(pipeline));
	locked();
	w.sinks[0].open_says = BURSAR_DONE;
	unlocked();
	WAIT_FOR(settled() == 10);
	WAIT_FOR(pipeline_is_ready(pipeline));
}
END_TEST

START_TEST(blocks_the_route_when_a_person_must_act_and_loses_nothing)
{
	char why[400];

	w.sinks[0].write_says = BURSAR_CONFIG;
	w.sinks[0].says_times = 3;
	send_many("metering", 0, 10);
	start();

	WAIT_FOR(pipeline_is_blocked(pipeline, why));
	ck_assert_ptr_nonnull(strstr(why, "not today"));
	WAIT_FOR(settled() == 10);
	ck_assert_uint_eq(w.sinks[0].count, 10);
	ck_assert_uint_eq(letters_of(DEAD_REFUSED), 0);
}
END_TEST

/* _i: bit 0, the sink knows which one it is; bit 1, it dies of it. */
START_TEST(a_bad_record_stands_alone_and_the_others_are_stored)
{
	w.sinks[0].knows_culprit = _i & 1;
	w.sinks[0].dies_of_bad = _i & 2;
	send_many("metering", 0, 100);
	send("metering poison bad");
	send_many("metering", 100, 200);
	start();

	WAIT_FOR(settled() == 201);
	ck_assert_uint_eq(w.sinks[0].count, 200);
	ck_assert_int_eq(outcome_of(100), BURSAR_REFUSED);
	ck_assert_uint_eq(letters_of(DEAD_REFUSED), 1);
}
END_TEST

START_TEST(a_sender_is_told_instead_of_a_letter)
{
	source_ops.answers = true;
	send("metering poison bad");
	send("junk");
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_int_eq(outcome_of(0), BURSAR_REFUSED);
	ck_assert_int_eq(outcome_of(1), BURSAR_REFUSED);
	ck_assert_uint_eq(letters_of(DEAD_REFUSED), 0);
	ck_assert_uint_eq(letters_of(DEAD_MALFORMED), 0);
}
END_TEST

START_TEST(what_nobody_is_told_is_a_letter)
{
	source_ops.answers = true;
	send("metering poison bad");
	send("junk");
	w.queue[0].flags = w.queue[1].flags = BURSAR_MESSAGE_UNANSWERED;
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_uint_eq(letters_of(DEAD_REFUSED), 1);
	ck_assert_uint_eq(letters_of(DEAD_MALFORMED), 1);
}
END_TEST

START_TEST(what_one_sink_has_and_another_refuses_is_a_letter_besides)
{
	source_ops.answers = true;
	setup.routes[0] = 3;
	w.sinks[1] = (struct world_sink){
		.ids = { "one" }, .content = { "other" }, .count = 1,
	};
	send("metering one fine");
	send("metering two fine");
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_int_eq(outcome_of(0), BURSAR_CONFLICT);
	ck_assert_int_eq(outcome_of(1), BURSAR_STORED);
	ck_assert_uint_eq(w.sinks[0].count, 2);
	ck_assert_uint_eq(letters_of(DEAD_ID_CONFLICT), 1);
}
END_TEST

START_TEST(a_sink_that_refuses_everything_blocks_and_opens_by_itself)
{
	char why[400];

	w.sinks[0].refuses_all = true;
	send_many("metering", 0, 200);
	start();

	WAIT_FOR(pipeline_is_blocked(pipeline, why));
	usleep(200000);
	ck_assert_uint_le(letters_of(DEAD_REFUSED), 20);
	locked();
	w.sinks[0].refuses_all = false;
	unlocked();
	WAIT_FOR(settled() == 200);
	ck_assert_uint_eq(w.sinks[0].count + letters_of(DEAD_REFUSED), 200);
	ck_assert_uint_ge(w.sinks[0].count, 180);
}
END_TEST

START_TEST(a_duplicate_is_settled_and_stored_once)
{
	send("metering one fine");
	send("metering one fine");
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_int_eq(outcome_of(0), BURSAR_STORED);
	ck_assert_int_eq(outcome_of(1), BURSAR_DUPLICATE);
	ck_assert_uint_eq(w.sinks[0].count, 1);
	ck_assert_uint_eq(letters_of(DEAD_ID_CONFLICT), 0);
}
END_TEST

START_TEST(an_id_with_other_content_is_a_dead_letter)
{
	send("metering one fine");
	send("metering one other");
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_int_eq(outcome_of(1), BURSAR_CONFLICT);
	ck_assert_uint_eq(letters_of(DEAD_ID_CONFLICT), 1);
	ck_assert_int_eq(figure("bursar_dead_letters_total", NULL), 1);
	ck_assert_int_eq(figure("bursar_dead_letters_total",
	                        DEAD_ID_CONFLICT), 1);
	ck_assert_str_eq(w.sinks[0].content[0], "fine");
}
END_TEST

START_TEST(the_same_id_in_two_kinds_is_two_records)
{
	send("metering one fine");
	send("prompt one fine");
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_int_eq(outcome_of(1), BURSAR_STORED);
	ck_assert_uint_eq(w.sinks[1].count, 1);
}
END_TEST

START_TEST(what_makes_no_sense_is_a_dead_letter)
{
	send("metering one fine");
	send("nonsense");
	send("metering two fine");
	start();

	WAIT_FOR(settled() == 3);
	ck_assert_int_eq(outcome_of(1), BURSAR_REFUSED);
	ck_assert_uint_eq(letters_of(DEAD_MALFORMED), 1);
	ck_assert_uint_eq(w.sinks[0].count, 2);
}
END_TEST

START_TEST(an_envelope_without_sense_is_a_dead_letter)
{
	send("{\"headers\":3,\"body\":\"metering one fine\"}");
	send("{\"headers\":{},\"body\":\"metering two fine\"}");
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_int_eq(outcome_of(0), BURSAR_REFUSED);
	ck_assert_uint_eq(letters_of(DEAD_ENVELOPE), 1);
	ck_assert_uint_eq(w.sinks[0].count, 1);
}
END_TEST

START_TEST(what_tells_no_kind_is_a_dead_letter)
{
	format_ops.needs_kind = true;
	send("{\"a\":1}");
	send("{\"kind\":\"metering\",\"body\":\"metering two fine\"}");
	start();

	WAIT_FOR(settled() == 2);
	format_ops.needs_kind = false;
	ck_assert_int_eq(outcome_of(0), BURSAR_REFUSED);
	ck_assert_uint_eq(letters_of(DEAD_NO_KIND), 1);
	ck_assert_uint_eq(w.sinks[0].count, 1);
}
END_TEST

START_TEST(what_is_too_long_is_a_dead_letter)
{
	send("metering one fine");
	w.queue[0].flags = BURSAR_MESSAGE_OVERSIZE;
	start();

	WAIT_FOR(settled() == 1);
	ck_assert_int_eq(outcome_of(0), BURSAR_REFUSED);
	ck_assert_uint_eq(letters_of(DEAD_OVERSIZE), 1);
}
END_TEST

START_TEST(a_kind_that_is_discarded_is_settled_and_not_stored)
{
	setup.routes[2] = 0;
	setup.discard[2] = true;
	send("tool one fine");
	start();

	WAIT_FOR(settled() == 1);
	ck_assert_int_eq(outcome_of(0), BURSAR_STORED);
	ck_assert_uint_eq(w.sinks[0].count + w.sinks[1].count, 0);
	WAIT_FOR(number_of("sources", 0, "discarded") == 1);
}
END_TEST

START_TEST(opens_what_is_encrypted_and_leaves_the_rest_alone)
{
	source.crypto = &crypto_item;
	send("metering one fine");
	send_in("metering two fine", "encrypted/test", 0);
	send_in("metering three broken", "encrypted/test", 0);
	send_in("metering four nokey", "encrypted/test", 0);
	send_in("metering five fine", "encrypted/other", 0);
	start();

	WAIT_FOR(settled() == 5);
	ck_assert_uint_eq(w.sinks[0].count, 2);
	ck_assert_uint_eq(letters_of(DEAD_UNDECRYPTABLE), 1);
	ck_assert_uint_eq(letters_of(DEAD_NO_KEY), 2);
}
END_TEST

START_TEST(takes_nothing_in_clear_where_encryption_is_required)
{
	source.crypto = &crypto_item;
	source.require_encryption = true;
	send("metering one fine");
	send_in("metering two fine", "encrypted/test", 0);
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_uint_eq(w.sinks[0].count, 1);
	ck_assert_uint_eq(letters_of(DEAD_NOT_ENCRYPTED), 1);
}
END_TEST

START_TEST(without_a_key_the_source_is_parked_and_nothing_is_read_in_a_loop)
{
	source.crypto = &crypto_item;
	w.keys = false;
	w.rewinds = true;
	for (int i = 0; i < 5; i++) {
		send_in("metering one fine", "encrypted/test", 0);
	}
	start();

	WAIT_FOR(settled() == 5);
	ck_assert_int_eq(w.settled[0].outcome, BURSAR_RETURNED);
	WAIT_FOR(w.parks == 1);
	const int before = reads();
	usleep(200000);
	ck_assert_int_eq(reads(), before);
	ck_assert_uint_eq(letters_of(DEAD_UNDECRYPTABLE), 0);

	locked();
	w.keys = true;
	unlocked();
	WAIT_FOR(settled() == 10);
	ck_assert_int_eq(w.unparks, 1);
	ck_assert_uint_eq(w.sinks[0].count, 1);
	ck_assert_int_eq(w.settled[5].outcome, BURSAR_STORED);
}
END_TEST

START_TEST(a_wrong_key_slows_the_source_instead_of_emptying_it)
{
	source.crypto = &crypto_item;
	w.wrong_key = true;
	w.rewinds = true;
	for (int i = 0; i < 200; i++) {
		char body[64];

		snprintf(body, sizeof(body), "metering id%d fine", i);
		send_in(body, "encrypted/test", 0);
	}
	start();

	WAIT_FOR(letters_of(DEAD_UNDECRYPTABLE) >= 8);
	usleep(300000);
	ck_assert_uint_le(letters_of(DEAD_UNDECRYPTABLE), 30);

	locked();
	w.wrong_key = false;
	unlocked();
	WAIT_FOR(w.sinks[0].count + letters_of(DEAD_UNDECRYPTABLE) == 200);
}
END_TEST

START_TEST(a_slow_lane_does_not_hold_up_another)
{
	w.sinks[1].write_says = BURSAR_RETRY;
	w.sinks[1].says_times = -1;
	send_in("prompt p1 fine", "", 1);
	send_in("metering m1 fine", "", 2);
	send_in("metering m2 fine", "", 1);
	send_in("metering m3 fine", "", 2);
	start();

	WAIT_FOR(settled() == 2);
	ck_assert_int_eq(outcome_of(1), BURSAR_STORED);
	ck_assert_int_eq(outcome_of(3), BURSAR_STORED);
	usleep(50000);
	ck_assert_uint_eq(settled(), 2);
	locked();
	w.sinks[1].says_times = 0;
	unlocked();
	WAIT_FOR(settled() == 4);
	ck_assert_uint_eq(w.settled[2].token, 0);
	ck_assert_uint_eq(w.settled[3].token, 2);
}
END_TEST

START_TEST(a_slow_lane_does_not_hold_up_what_follows_in_another)
{
	setup.routes[1] = 2;
	w.sinks[1].write_says = BURSAR_RETRY;
	w.sinks[1].says_times = -1;
	send_in("prompt slow fine", "", 1);
	start();
	WAIT_FOR(w.sinks[1].writes > 0);
	for (size_t i = 1; i <= 3; i++) {
		char body[64];

		/* All of a flight is settled before the next one comes. */
		snprintf(body, sizeof(body), "metering quick-%zu fine", i);
		send_in(body, "", 2);
		WAIT_FOR(settled() == i);
	}
	locked();
	w.sinks[1].says_times = 0;
	unlocked();
	WAIT_FOR(settled() == 4);
}
END_TEST

START_TEST(a_record_for_two_sinks_is_settled_after_both)
{
	setup.routes[0] = 3;
	w.sinks[1].write_says = BURSAR_RETRY;
	w.sinks[1].says_times = -1;
	send("metering one fine");
	start();

	WAIT_FOR(w.sinks[0].count == 1);
	usleep(50000);
	ck_assert_uint_eq(settled(), 0);
	locked();
	w.sinks[1].says_times = 0;
	unlocked();
	WAIT_FOR(settled() == 1);
	ck_assert_uint_eq(w.sinks[1].count, 1);
}
END_TEST

START_TEST(a_sink_that_is_not_required_holds_nothing_up)
{
	setup.routes[0] = 3;
	sinks[1].required = false;
	w.sinks[1].open_says = BURSAR_DOWN;
	send_many("metering", 0, 500);
	start();

	WAIT_FOR(settled() == 500);
	ck_assert_uint_eq(w.sinks[0].count, 500);
	ck_assert(pipeline_is_ready(pipeline));
}
END_TEST

START_TEST(never_more_is_in_flight_than_the_window_allows)
{
	source.window_messages = 50;
	w.sinks[0].write_says = BURSAR_RETRY;
	w.sinks[0].says_times = 2;
	send_many("metering", 0, 1000);
	start();

	WAIT_FOR(settled() == 1000);
	ck_assert_uint_le(w.most_in_flight, 50);
}
END_TEST

START_TEST(a_full_window_costs_no_time)
{
	source.window_messages = 1;
	w.sinks[0].open_says = BURSAR_DOWN;
	send("metering one fine");
	start();

	WAIT_FOR(w.read == 1);
	const int64_t begun = clock_mono_us();
	usleep(1500000);
	WAIT_FOR(w.reads_without >= 1);
	locked();
	ck_assert_int_le(w.reads_without,
	                 10 + (clock_mono_us() - begun) / 500000);
	unlocked();
}
END_TEST

START_TEST(what_cannot_be_stored_before_the_end_is_given_back)
{
	w.sinks[0].write_says = BURSAR_RETRY;
	w.sinks[0].says_times = -1;
	send_many("metering", 0, 20);
	start();
	WAIT_FOR(w.sinks[0].writes > 0);

	ck_assert(!pipeline_stop(pipeline, 50, -1));

	ck_assert_uint_eq(settled(), 20);
	for (size_t i = 0; i < 20; i++) {
		ck_assert_int_eq(w.settled[i].outcome, BURSAR_RETURNED);
	}
}
END_TEST

START_TEST(a_drain_lets_what_is_in_flight_be_stored)
{
	w.sinks[0].write_says = BURSAR_RETRY;
	w.sinks[0].says_times = 2;
	send_many("metering", 0, 20);
	start();
	WAIT_FOR(w.sinks[0].writes > 0);

	ck_assert(pipeline_stop(pipeline, 5000, -1));

	ck_assert_uint_eq(w.sinks[0].count, 20);
	ck_assert_uint_eq(settled(), 20);
}
END_TEST

static int64_t told_of(const char *name, const char *label);

START_TEST(the_source_pauses_rather_than_lose_a_dead_letter)
{
	deadletters_close(letters);
	letters = deadletters_open(state_dir, 10, 4096, NULL);
	send("metering one fine");
	send("nonsense");
	start();

	usleep(300000);
	ck_assert_uint_eq(settled(), 0);
	ck_assert_uint_eq(letters_of(DEAD_MALFORMED), 0);
	json_t *state = pipeline_state(pipeline);
	const json_t *src = json_array_get(json_object_get(state, "sources"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(src, "state")),
	                 "paused");
	json_decref(state);
	/* They are in flight, however long it takes, and grow older. */
	ck_assert_int_eq(told_of("bursar_in_flight_messages", "src"), 2);
	ck_assert_int_ge(told_of("bursar_oldest_unsettled_seconds", "src"),
	                 200000);
}
END_TEST

START_TEST(is_done_when_the_source_has_ended_and_all_is_durable)
{
	w.ends = true;
	w.sinks[0].write_says = BURSAR_RETRY;
	w.sinks[0].says_times = -1;
	send_many("metering", 0, 20);
	start();

	WAIT_FOR(w.sinks[0].writes > 0);
	ck_assert(!pipeline_is_done(pipeline));
	locked();
	w.sinks[0].says_times = 0;
	unlocked();
	WAIT_FOR(pipeline_is_done(pipeline));
	ck_assert_uint_eq(settled(), 20);
}
END_TEST

START_TEST(a_new_pipeline_keeps_open_what_did_not_change)
{
	static struct setup_sink new_sinks[2];
	struct setup new_setup = setup;
	const struct pipeline_options options = {
		.letters = letters, .changed = changed, .once = true,
	};
	struct bursar_error err = { 0 };

	send_many("metering", 0, 10);
	start();
	WAIT_FOR(settled() == 10);
	pipeline_stop(pipeline, 1000, -1);
	pipeline_release(pipeline, &pool);

	/* Sink b changes, the rest stays. */
	memcpy(new_sinks, sinks, sizeof(new_sinks));
	new_sinks[1].item.text = (char *)"{changed}";
	new_setup.sinks = new_sinks;
	pipeline = pipeline_create(&new_setup, &options, &pool, &err);
	ck_assert_msg(pipeline != NULL, "%s", err.text);
	ck_assert(pipeline_uses(pipeline, &setup));
	ck_assert_int_eq(pipeline_start(pipeline, &err), 0);
	send_many("metering", 10, 20);

	WAIT_FOR(settled() == 20);
	WAIT_FOR(w.sinks[1].opens == 2);
	ck_assert_int_eq(w.sinks[1].closes, 1);
	ck_assert_int_eq(w.source_opens, 1);
	ck_assert_int_eq(w.sinks[0].opens, 1);
	ck_assert_ptr_null(pool);
	pipeline_release(pipeline, &pool);
	pipeline = NULL;
	units_close(&pool, NULL);
}
END_TEST

START_TEST(what_comes_after_what_is_given_back_in_its_lane_is_given_back)
{
	w.sinks[1].write_says = BURSAR_RETRY;
	w.sinks[1].says_times = -1;
	send_in("prompt p1 fine", "", 1);
	send_in("metering m1 fine", "", 1);
	send_in("metering m2 fine", "", 2);
	start();
	WAIT_FOR(settled() == 1);

	ck_assert(!pipeline_stop(pipeline, 50, -1));

	ck_assert_uint_eq(w.sinks[0].count, 2);
	ck_assert_int_eq(outcome_of(0), BURSAR_RETURNED);
	ck_assert_int_eq(outcome_of(1), BURSAR_RETURNED);
	ck_assert_int_eq(outcome_of(2), BURSAR_STORED);
}
END_TEST

START_TEST(a_source_that_ended_reads_again_what_it_was_given_back)
{
	source.crypto = &crypto_item;
	w.keys = false;
	w.rewinds = true;
	w.ends = true;
	send_in("metering one fine", "encrypted/test", 0);
	start();

	WAIT_FOR(settled() == 1);
	usleep(50000);
	ck_assert(!pipeline_is_done(pipeline));
	locked();
	w.keys = true;
	unlocked();
	WAIT_FOR(pipeline_is_done(pipeline));
	ck_assert_uint_eq(w.sinks[0].count, 1);
}
END_TEST

START_TEST(a_source_that_ended_and_went_down_is_read_again)
{
	w.settle_dies = true;
	w.ends = true;
	send_many("metering", 0, 10);
	start();

	WAIT_FOR(pipeline_is_done(pipeline));
	ck_assert_int_eq(w.source_opens, 2);
	ck_assert_uint_eq(settled(), 10);
	ck_assert_int_eq(outcome_of(MAX), BURSAR_DUPLICATE);
}
END_TEST

START_TEST(what_a_source_fixed_stays_when_the_source_goes)
{
	w.sinks[0].write_says = BURSAR_RETRY;
	w.sinks[0].says_times = -1;
	send("metering one fine");
	start();
	WAIT_FOR(w.sinks[0].writes > 0);

	locked();
	w.read_dies = true;
	w.queued = 0;			/* nor comes anything again */
	unlocked();
	WAIT_FOR(w.source_opens == 2);
	locked();
	snprintf(w.team, sizeof(w.team), "???");
	w.sinks[0].says_times = 0;
	unlocked();
	WAIT_FOR(w.sinks[0].count == 1);
	ck_assert_str_eq(w.sinks[0].team, "red");
}
END_TEST

START_TEST(no_token_is_told_to_a_source_that_was_opened_again)
{
	deadletters_close(letters);
	letters = deadletters_open(state_dir, 10, 4096, NULL);
	w.sinks[0].write_says = BURSAR_RETRY;
	w.sinks[0].says_times = -1;
	send("metering one fine");
	start();
	WAIT_FOR(w.sinks[0].writes > 0);
	send("nonsense");
	WAIT_FOR(state_is("sources", "paused"));

	/* While the second waits for its letter, the source dies. */
	locked();
	w.settle_dies = true;
	w.sinks[0].says_times = 0;
	snprintf(w.queue[1].body, sizeof(w.queue[1].body), "metering two fine");
	unlocked();

	WAIT_FOR(settled() == 2);
	ck_assert_int_eq(outcome_of(MAX), BURSAR_DUPLICATE);
	ck_assert_int_eq(outcome_of(MAX + 1), BURSAR_STORED);
}
END_TEST

START_TEST(what_waits_too_long_goes_back_and_is_stored_once_all_the_same)
{
	source.give_back_us = 1000000;
	w.sinks[0].open_says = BURSAR_DOWN;
	w.rewinds = true;
	send_many("metering", 0, 5);
	start();

	WAIT_FOR(settled() == 5 && w.parks == 1);
	ck_assert_int_eq(w.settled[0].outcome, BURSAR_RETURNED);
	ck_assert_int_eq(w.settled[4].outcome, BURSAR_RETURNED);
	ck_assert(state_is("sources", "parked"));
	const int before = reads();
	usleep(200000);
	ck_assert_int_eq(reads(), before);

	locked();
	w.sinks[0].open_says = BURSAR_DONE;
	unlocked();
	WAIT_FOR(settled() == 10);
	ck_assert_int_eq(w.unparks, 1);
	ck_assert_uint_eq(w.sinks[0].count, 5);
	ck_assert_int_eq(w.settled[9].outcome, BURSAR_DUPLICATE);
}
END_TEST

/* Its token is of a connection that is gone; a letter now would be a second
 * one later. */
START_TEST(what_came_with_the_end_of_a_connection_is_left_to_come_again)
{
	w.read_dies_late = true;
	send("metering one fine");
	send("nonsense");
	start();
	WAIT_FOR(settled() == 2);

	ck_assert_int_eq(w.source_opens, 2);
	ck_assert_uint_eq(w.settled[0].token, MAX);
	ck_assert_int_eq(w.settled[0].outcome, BURSAR_STORED);
	ck_assert_uint_eq(w.sinks[0].count, 1);
	ck_assert_uint_eq(letters_of(DEAD_MALFORMED), 1);
}
END_TEST

START_TEST(what_writers_still_have_takes_its_part_of_the_window)
{
	source.window_bytes = 1;	/* one flight */
	w.sinks[0].open_says = BURSAR_DOWN;
	send("metering one fine");
	start();
	WAIT_FOR(w.read == 1);

	locked();
	const int before = w.reads_with_room;
	w.read_dies = true;
	unlocked();
	WAIT_FOR(w.source_opens == 2);
	usleep(200000);
	ck_assert_int_eq(reads(), before);

	locked();
	w.sinks[0].open_says = BURSAR_DONE;
	unlocked();
	WAIT_FOR(settled() == 1);
	ck_assert_int_eq(w.settled[0].outcome, BURSAR_DUPLICATE);
}
END_TEST

START_TEST(what_one_sink_did_to_a_record_is_nothing_to_another)
{
	setup.routes[0] = 3;
	w.sinks[0].write_says = BURSAR_DOWN;
	w.sinks[0].says_times = 2;
	w.sinks[1].open_says = BURSAR_DOWN;
	send_many("metering", 0, 10);
	start();
	WAIT_FOR(w.sinks[0].count == 10);

	locked();
	w.sinks[1].open_says = BURSAR_DONE;
	unlocked();
	WAIT_FOR(settled() == 10);
	ck_assert_uint_eq(w.sinks[1].count, 10);
	ck_assert_int_gt(w.sinks[0].again, 0);
	ck_assert_int_eq(w.sinks[1].again, 0);
}
END_TEST

/* What a sink says it did not store is new to it: an equal call without an id
 * must not be taken for it. */
START_TEST(what_was_not_stored_for_certain_is_not_offered_again)
{
	static const enum bursar_verdict says[] = {
		BURSAR_RETRY, BURSAR_CONFIG, BURSAR_REJECT, BURSAR_DOWN,
	};

	w.sinks[0].write_says = says[_i];
	w.sinks[0].is_sure = says[_i] == BURSAR_DOWN;
	w.sinks[0].says_times = 2;
	send_many("metering", 0, 10);
	start();
	WAIT_FOR(settled() == 10);

	ck_assert_int_gt(w.sinks[0].writes, 2);
	ck_assert_int_eq(w.sinks[0].again, 0);
}
END_TEST

START_TEST(a_sink_that_died_of_its_last_record_is_opened_again)
{
	w.sinks[0].dies_of_bad = true;
	send("metering poison bad");
	start();

	WAIT_FOR(settled() == 1);
	ck_assert_int_eq(outcome_of(0), BURSAR_REFUSED);
	WAIT_FOR(pipeline_is_ready(pipeline));
	ck_assert_int_eq(w.sinks[0].opens, w.sinks[0].closes + 1);
}
END_TEST

static void *open_gates(void *unused)
{
	usleep(50000);
	locked();
	w.decode_waits = false;
	unlocked();
	usleep(50000);
	locked();
	w.sinks[1].waits = false;
	unlocked();
	return unused;
}

/* A flight is ready when one writer has ended and the other has not. */
START_TEST(what_comes_too_late_for_a_writer_is_given_back)
{
	pthread_t thread;

	w.sinks[1].waits = true;
	send("prompt one fine");
	start();
	WAIT_FOR(w.sinks[1].writes == 1);
	locked();
	w.decode_waits = true;
	w.decodes = false;
	unlocked();
	send("metering two fine");
	WAIT_FOR(w.decodes);
	ck_assert_int_eq(pthread_create(&thread, NULL, open_gates, NULL), 0);

	ck_assert(!pipeline_stop(pipeline, 0, -1));

	pthread_join(thread, NULL);
	ck_assert_int_eq(outcome_of(0), BURSAR_STORED);
	ck_assert_int_eq(outcome_of(1), BURSAR_RETURNED);
	ck_assert_int_eq(number_of("sinks", 0, "queued_records"), 0);
}
END_TEST

START_TEST(tells_its_state_whatever_characters_a_reason_has)
{
	w.sinks[0].open_says = BURSAR_DOWN;
	start();
	WAIT_FOR(w.sinks[0].opens > 1);

	WAIT_FOR(state_is("sinks", "held"));
	json_t *state = pipeline_state(pipeline);
	const json_t *list = json_object_get(state, "sinks");
	ck_assert_uint_eq(json_array_size(list), 2);
	ck_assert_str_eq(json_string_value(json_object_get(
	                         json_array_get(list, 0), "why")),
	                 "ferm\\xe9 today");
	json_decref(state);
}
END_TEST

static struct asked told;

/* What figures_each() tells, `total` being the last value. */
static void take_told(void *context, const struct bursar_figure *figure)
{
	const struct asked *asked = context;

	told.total = 0;
	add_up(&told, figure);
	if (told.total != 0) {
		((struct asked *)(uintptr_t)asked)->total = told.total;
	}
}

static int64_t told_of(const char *name, const char *label)
{
	struct asked last = { .name = name, .label = label };

	told = last;
	figures_each(pipeline, NULL, clock_mono_us() - 5000000, take_told,
	             &last);
	return last.total;
}

START_TEST(tells_what_is_in_flight_how_old_it_is_and_what_it_waits_for)
{
	w.sinks[0].open_says = BURSAR_CONFIG;
	send_many("metering", 0, 10);
	start();
	WAIT_FOR(w.read == 10);
	WAIT_FOR(state_is("sinks", "blocked"));
	WAIT_FOR(told_of("bursar_in_flight_messages", "src") == 10);

	const int64_t age = told_of("bursar_oldest_unsettled_seconds", "src");
	usleep(100000);
	ck_assert_int_ge(told_of("bursar_oldest_unsettled_seconds", "src"),
	                 age + 100000);
	ck_assert_int_gt(told_of("bursar_in_flight_bytes", "src"), 0);
	ck_assert_int_eq(told_of("bursar_queue_records", "a"), 10);
	ck_assert_int_eq(told_of("bursar_ready", NULL), 0);
	ck_assert(state_is("routes", "blocked"));
	/* Sink a and the kind that goes there; not sink b and its two. */
	ck_assert_int_eq(told_of("bursar_route_state", "blocked"), 1);
	ck_assert_int_eq(told_of("bursar_sink_state", "blocked"), 1);
	ck_assert_int_ge(told_of("bursar_thread_busy_seconds", "main"),
	                 5000000);
	ck_assert_int_lt(told_of("bursar_thread_busy_seconds", "source src"),
	                 5000000);
	ck_assert_int_gt(figure("bursar_sink_retries_total", "config"), 0);
	ck_assert_int_eq(figure("bursar_sink_retries_total", "down"), 0);

	locked();
	w.sinks[0].open_says = BURSAR_DONE;
	unlocked();
	WAIT_FOR(settled() == 10);
	WAIT_FOR(told_of("bursar_oldest_unsettled_seconds", "src") == 0);
	ck_assert_int_eq(told_of("bursar_in_flight_messages", "src"), 0);
	ck_assert_int_eq(told_of("bursar_ready", NULL), 1);
	WAIT_FOR(told_of("bursar_thread_busy_seconds", "sink a") == 0);
}
END_TEST

START_TEST(a_sink_that_hangs_shows_by_its_thread)
{
	w.sinks[0].waits = true;
	send("metering one fine");
	start();
	WAIT_FOR(w.sinks[0].writes == 1);
	usleep(50000);
	ck_assert_int_ge(told_of("bursar_thread_busy_seconds", "sink a"),
	                 50000);
	locked();
	w.sinks[0].waits = false;
	unlocked();
	WAIT_FOR(settled() == 1);
	WAIT_FOR(told_of("bursar_thread_busy_seconds", "sink a") == 0);
}
END_TEST

static void count_process(void *context, const struct bursar_figure *figure)
{
	*(int *)context += figure->value > 0;
}

START_TEST(tells_what_the_process_takes)
{
	int count = 0;

	figures_of_process(count_process, &count);
	ck_assert_int_eq(count, 8);
}
END_TEST

static void add_tests(TCase *t)
{
	tcase_add_test(t, tells_what_is_in_flight_how_old_it_is_and_what_it_waits_for);
	tcase_add_test(t, a_sink_that_hangs_shows_by_its_thread);
	tcase_add_test(t, tells_what_the_process_takes);
	tcase_add_test(t, stores_every_message_and_settles_it_in_order);
	tcase_add_test(t, settles_nothing_before_the_sink_has_it);
	tcase_add_test(t, opens_a_sink_again_whose_connection_is_gone);
	tcase_add_test(t, waits_for_a_sink_that_is_closed);
	tcase_add_test(t, blocks_the_route_when_a_person_must_act_and_loses_nothing);
	tcase_add_loop_test(t, lingers_longer_for_a_stream, 0, 3);
	tcase_add_test(t, a_commit_ends_no_stream);
	tcase_add_loop_test(t, a_bad_record_stands_alone_and_the_others_are_stored,
	                    0, 4);
	tcase_add_test(t, a_sender_is_told_instead_of_a_letter);
	tcase_add_test(t, what_nobody_is_told_is_a_letter);
	tcase_add_test(t,
	               what_one_sink_has_and_another_refuses_is_a_letter_besides);
	tcase_add_test(t, a_sink_that_refuses_everything_blocks_and_opens_by_itself);
	tcase_add_test(t, a_duplicate_is_settled_and_stored_once);
	tcase_add_test(t, an_id_with_other_content_is_a_dead_letter);
	tcase_add_test(t, the_same_id_in_two_kinds_is_two_records);
	tcase_add_test(t, what_makes_no_sense_is_a_dead_letter);
	tcase_add_test(t, an_envelope_without_sense_is_a_dead_letter);
	tcase_add_test(t, what_tells_no_kind_is_a_dead_letter);
	tcase_add_test(t, what_is_too_long_is_a_dead_letter);
	tcase_add_test(t, a_kind_that_is_discarded_is_settled_and_not_stored);
	tcase_add_test(t, opens_what_is_encrypted_and_leaves_the_rest_alone);
	tcase_add_test(t, takes_nothing_in_clear_where_encryption_is_required);
	tcase_add_test(t, without_a_key_the_source_is_parked_and_nothing_is_read_in_a_loop);
	tcase_add_test(t, a_wrong_key_slows_the_source_instead_of_emptying_it);
	tcase_add_test(t, a_slow_lane_does_not_hold_up_another);
	tcase_add_test(
		t, a_slow_lane_does_not_hold_up_what_follows_in_another);
	tcase_add_test(t, a_record_for_two_sinks_is_settled_after_both);
	tcase_add_test(t, a_sink_that_is_not_required_holds_nothing_up);
	tcase_add_test(t, never_more_is_in_flight_than_the_window_allows);
	tcase_add_test(t, a_full_window_costs_no_time);
	tcase_add_test(t, what_cannot_be_stored_before_the_end_is_given_back);
	tcase_add_test(t, a_drain_lets_what_is_in_flight_be_stored);
	tcase_add_test(t, the_source_pauses_rather_than_lose_a_dead_letter);
	tcase_add_test(t, is_done_when_the_source_has_ended_and_all_is_durable);
	tcase_add_test(t, a_new_pipeline_keeps_open_what_did_not_change);
	tcase_add_test(t, what_comes_after_what_is_given_back_in_its_lane_is_given_back);
	tcase_add_test(t, a_source_that_ended_reads_again_what_it_was_given_back);
	tcase_add_test(t, a_source_that_ended_and_went_down_is_read_again);
	tcase_add_test(t, what_a_source_fixed_stays_when_the_source_goes);
	tcase_add_test(t, no_token_is_told_to_a_source_that_was_opened_again);
	tcase_add_test(t,
	               what_waits_too_long_goes_back_and_is_stored_once_all_the_same);
	tcase_add_test(t,
	               what_writers_still_have_takes_its_part_of_the_window);
	tcase_add_test(
		t, what_came_with_the_end_of_a_connection_is_left_to_come_again);
	tcase_add_test(t, what_one_sink_did_to_a_record_is_nothing_to_another);
	tcase_add_loop_test(
		t, what_was_not_stored_for_certain_is_not_offered_again, 0, 4);
	tcase_add_test(t, a_sink_that_died_of_its_last_record_is_opened_again);
	tcase_add_test(t, what_comes_too_late_for_a_writer_is_given_back);
	tcase_add_test(t, tells_its_state_whatever_characters_a_reason_has);
}

int main(void)
{
	Suite *s = suite_create("pipeline");
	TCase *t = tcase_create("messages");

	tcase_add_checked_fixture(t, prepare, cleanup);
	tcase_set_timeout(t, 120);
	add_tests(t);
	suite_add_tcase(s, t);

	SRunner *runner = srunner_create(s);
	srunner_run_all(runner, CK_ENV);
	const int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
