/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One thread, one sink.  The batch at hand is a list of entries in key order;
 * an entry that is stored or refused is done, and what is not done is offered
 * again until it is.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/metrics.h"
#include "book/named.h"
#include "flow/writer.h"

#define DEATHS_TO_HALVE   3	/* connections that one batch may kill */
#define REFUSED_IN_A_ROW  20	/* then it is not the records: see probe() */
#define OPTIONAL_QUEUE    (16u << 20)	/* bytes, of a sink not required */
#define STREAM_RECORDS    256	/* that wait when `linger` is over */
#define STREAM_LINGERS    10	/* how often it lingers then */
#define STREAM_SHARE      2	/* of a full batch: worth a transaction */
#define BUCKET_BITS       12		/* of keys, when a batch is sorted */

const char *const writer_state_names[] = {
	[WRITER_OPENING] = "opening", [WRITER_OPEN] = "open",
	[WRITER_HELD] = "held", [WRITER_BLOCKED] = "blocked",
};

struct entry {
	uint64_t prefix;		/* of the key, as a number */
	struct flight_record *part;
	uint32_t order;			/* of arrival */
	bool     done;
};

struct writer {
	struct writer_options o;
	const struct bursar_sink_ops *ops;
	pthread_t       thread;
	bool            running;

	pthread_mutex_t lock;		/* guards what follows */
	pthread_cond_t  cond;
	bool            stop;
	struct writer_ticket  *first, *last;
	size_t          queued_records;	/* in the queue */
	size_t          queued_bytes;
	size_t          at_hand;	/* records of the batch */
	int64_t         first_at;	/* when the queue stopped being empty */
	enum writer_state state;
	char            why[250];
	int64_t         since;

	/* The thread's own: */
	struct bursar_sink *sink;
	bool            noted;		/* its tags are in the ledger */
	struct backoff  backoff;
	struct writer_ticket  *batch;		/* flights of the batch */
	struct entry   *entries;
	struct entry   *arrived;	/* the same, as they came */
	size_t          count, room;
	struct bursar_record **records;	/* what is offered */
	struct entry  **offered;	/* and whose it is */
	enum bursar_outcome *outcomes;
	unsigned        refused_in_row;
	size_t          probe_at;
	_Atomic int64_t busy_since;	/* us, monotonic; 0: it waits */

	struct {
		struct metric *stored, *duplicate, *conflict, *refused,
			*dropped, *write_us, *reopens;
		struct metric *batches[BURSAR_CONFIG + 1];	/* by verdict */
		struct metric *retries[BURSAR_CONFIG + 1];
		struct histogram *commit_time;
	} m;
};

static const char *const verdict_names[] = {
	[BURSAR_DONE] = "done", [BURSAR_RETRY] = "retry",
	[BURSAR_DOWN] = "down", [BURSAR_REJECT] = "reject",
	[BURSAR_CONFIG] = "config",
};

/* Microseconds. */
static const struct histogram_shape commit_time_shape = {
	"bursar_commit_seconds",
	"Time of a batch in its sink, from its offer to the end of its commit.",
	6, 13, { 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
	         1000000, 2500000, 5000000, 10000000 },
};

/* --- state --------------------------------------------------------------- */

static void set_state(struct writer *w, enum writer_state state,
                      const char *why)
{
	pthread_mutex_lock(&w->lock);
	const bool changed = w->state != state;
	w->state = state;
	snprintf(w->why, sizeof(w->why), "%s", why);
	if (changed) {
		w->since = clock_mono_us();
	}
	pthread_mutex_unlock(&w->lock);

	if (!changed) {
		return;
	}
	log_event(state == WRITER_BLOCKED ? BURSAR_ERROR :
	          state == WRITER_HELD ? BURSAR_WARNING : BURSAR_INFO,
	          w->o.instance->host.name,
	          state == WRITER_OPEN ? "sink-open" :
	          state == WRITER_HELD ? "sink-held" :
	          state == WRITER_BLOCKED ? "sink-blocked" : "sink-opening",
	          "why=%s", why);
	flight_ring(w->o.changed);
}

/* Waits, or less when stopped.  Returns false when stopped. */
static bool pause_for(struct writer *w, int64_t us)
{
	const int64_t until = clock_mono_us() + us;
	const struct timespec ts = { until / 1000000, until % 1000000 * 1000 };

	pthread_mutex_lock(&w->lock);
	while (!w->stop && clock_mono_us() < until) {
		pthread_cond_timedwait(&w->cond, &w->lock, &ts);
	}
	const bool go_on = !w->stop;
	pthread_mutex_unlock(&w->lock);
	return go_on;
}

/* What is not the records' fault: wait as the verdict says.  False: stopped. */
static bool hold(struct writer *w, enum bursar_verdict verdict,
                 const struct bursar_error *err)
{
	metric_add(w->m.retries[verdict], 1);
	if (verdict == BURSAR_CONFIG) {
		set_state(w, WRITER_BLOCKED, err->text);
		return pause_for(w, w->o.look_us);
	}
	set_state(w, WRITER_HELD, err->text);
	return pause_for(w, backoff_next(&w->backoff));
}

/* --- the sink ------------------------------------------------------------ */

/* Around whatever may take its time. */
static void begin_work(struct writer *w)
{
	atomic_store(&w->busy_since, clock_mono_us());
}

static void end_work(struct writer *w)
{
	atomic_store(&w->busy_since, 0);
}

static void close_sink(struct writer *w)
{
	begin_work(w);
	w->ops->close(w->sink);
	end_work(w);
	w->sink = NULL;
}

static bool open_sink(struct writer *w, enum bursar_verdict *verdict,
                      struct bursar_error *err)
{
	*verdict = BURSAR_RETRY;
	begin_work(w);
	w->sink = w->ops->open(&w->o.instance->host, BURSAR_WRITE, verdict,
	                       err);
	end_work(w);
	return w->sink != NULL;
}

/*
 * Tells the ledger which tags are dimensions.  What cannot be noted is not
 * worth to hold records up for: reports read the records then.  False: the
 * sink is not at hand.
 */
static bool note_tags(struct writer *w, enum bursar_verdict *verdict,
                      struct bursar_error *err)
{
	begin_work(w);
	*verdict = w->ops->sql == NULL || w->o.tag_count == 0 ? BURSAR_DONE
		: named_note(w->ops, w->sink, w->o.tags, w->o.tag_count,
		             clock_wall_us(), err);
	end_work(w);
	if (*verdict == BURSAR_RETRY || *verdict == BURSAR_DOWN) {
		return false;
	}
	if (*verdict != BURSAR_DONE) {
		log_event(BURSAR_WARNING, w->o.instance->host.name,
		          "tags-not-named", "reason=\"%s\"", err->text);
	}
	w->noted = true;
	return true;
}

/* Opens the sink, however long it takes.  False: stopped. */
static bool need_sink(struct writer *w)
{
	while (w->sink == NULL || !w->noted) {
		struct bursar_error err = { 0 };
		enum bursar_verdict verdict;

		if (w->sink == NULL ? open_sink(w, &verdict, &err)
		    : note_tags(w, &verdict, &err)) {
			continue;
		}
		if (verdict == BURSAR_DOWN && w->sink != NULL) {
			close_sink(w);
		}
		if (!hold(w, verdict, &err)) {
			return false;
		}
	}
	return true;
}

/* --- finishing ----------------------------------------------------------- */

static void finish_entry(struct writer *w, struct entry *entry,
                         unsigned happened)
{
	entry->done = true;
	if (w->o.required) {
		flight_part_done(entry->part->message, happened);
	}
}

/* Letters are never given up.  False: stopped, and nothing is finished. */
static bool keep_letter(struct writer *w, const struct entry *entry,
                        const char *reason, const char *text)
{
	struct bursar_error err = { 0 };

	while (letter_write(w->o.box, entry->part->message, reason, text,
	                    entry->part->record, w->o.instance->host.name,
	                    &err) != 0) {
		if (!hold(w, BURSAR_RETRY, &err)) {
			return false;
		}
		err = (struct bursar_error){ 0 };
	}
	return true;
}

static bool sync_letters(struct writer *w)
{
	struct bursar_error err = { 0 };

	while (deadletters_sync(w->o.box->letters, &err) != 0) {
		if (!hold(w, BURSAR_RETRY, &err)) {
			return false;
		}
		err = (struct bursar_error){ 0 };
	}
	return true;
}

static const char conflict_text[] =
	"the id is known with other content; nothing was stored";

static bool finish_stored(struct writer *w, size_t count)
{
	size_t seen[BURSAR_CONFLICT + 1] = { 0 };

	for (size_t i = 0; i < count; i++) {
		assert(w->outcomes[i] <= BURSAR_CONFLICT);
		seen[w->outcomes[i]]++;
		if (w->outcomes[i] == BURSAR_CONFLICT && w->o.required &&
		    !keep_letter(w, w->offered[i], DEAD_ID_CONFLICT,
		                 conflict_text)) {
			return false;
		}
	}
	if (seen[BURSAR_CONFLICT] > 0 && w->o.required && !sync_letters(w)) {
		return false;
	}

	static const unsigned happened[] = {
		[BURSAR_STORED] = FLIGHT_STORED,
		[BURSAR_DUPLICATE] = FLIGHT_DUPLICATE,
		[BURSAR_CONFLICT] = FLIGHT_CONFLICT,
	};
	for (size_t i = 0; i < count; i++) {
		finish_entry(w, w->offered[i], happened[w->outcomes[i]]);
	}
	metric_add(w->m.stored, (int64_t)seen[BURSAR_STORED]);
	metric_add(w->m.duplicate, (int64_t)seen[BURSAR_DUPLICATE]);
	metric_add(w->m.conflict, (int64_t)seen[BURSAR_CONFLICT]);
	w->refused_in_row = 0;
	backoff_reset(&w->backoff);
	set_state(w, WRITER_OPEN, "");
	return true;
}

static bool refuse(struct writer *w, struct entry *entry,
                   const struct bursar_error *err)
{
	log_event(BURSAR_WARNING, w->o.instance->host.name, "record-refused",
	          "source=%s why=%s", entry->part->message->flight->source,
	          err->text);
	if (w->o.required) {
		const char *text = flight_keep_text(entry->part->message,
		                                    err->text);

		if (!keep_letter(w, entry, DEAD_REFUSED, text) ||
		    !sync_letters(w)) {
			return false;
		}
	}
	finish_entry(w, entry, FLIGHT_REFUSED);
	metric_add(w->m.refused, 1);
	w->refused_in_row++;
	return true;
}

/* --- storing ------------------------------------------------------------- */

/* Lists what is not done of entries [from, to). */
static size_t offer(struct writer *w, size_t from, size_t to)
{
	size_t count = 0;

	for (size_t i = from; i < to; i++) {
		if (!w->entries[i].done) {
			w->offered[count] = &w->entries[i];
			w->records[count] = w->entries[i].part->record;
			count++;
		}
	}
	return count;
}

static enum bursar_verdict write_offered(struct writer *w, size_t count,
                                         size_t *culprit,
                                         struct bursar_error *err)
{
	const int64_t begin = clock_mono_us();

	*culprit = SIZE_MAX;
	w->outcomes[0] = BURSAR_STORED;
	atomic_store(&w->busy_since, begin);
	const enum bursar_verdict verdict =
		w->ops->write(w->sink, w->records, count, w->outcomes, culprit,
		              err);
	end_work(w);
	const int64_t took = clock_mono_us() - begin;
	metric_add(w->m.write_us, took);
	metric_add(w->m.batches[verdict], 1);
	if (verdict == BURSAR_DONE) {
		histogram_add(w->m.commit_time, took, 1);
	}
	/* Else nothing was stored: calls that are equal and came without ids
	 * must not be taken for each other then. */
	const bool unknown = verdict == BURSAR_DOWN &&
		w->outcomes[0] != BURSAR_RETURNED;
	for (size_t i = 0; unknown && i < count; i++) {
		w->records[i]->flags |= BURSAR_RECORD_AGAIN;
	}
	return verdict;
}

/*
 * The sink refused so many in a row that the fault is not the records': a
 * schema or a permission of a kind that it reports as bad data.  Nothing more
 * is refused; one record after the other is tried, one at each look, and
 * the first that is stored opens the route again.  False: stopped.
 */
static bool probe(struct writer *w, size_t from, size_t to)
{
	while (w->refused_in_row >= REFUSED_IN_A_ROW) {
		struct bursar_error err = { 0 };
		size_t culprit;

		set_state(w, WRITER_BLOCKED, "it refuses nearly every record;"
		          " trying one now and then");
		if (!pause_for(w, w->o.look_us) || !need_sink(w)) {
			return false;
		}
		const size_t count = offer(w, from, to);
		if (count == 0) {
			return true;
		}
		w->offered[0] = w->offered[w->probe_at++ % count];
		w->records[0] = w->offered[0]->part->record;
		switch (write_offered(w, 1, &culprit, &err)) {
		case BURSAR_DONE:
			if (!finish_stored(w, 1)) {
				return false;
			}
			break;
		case BURSAR_DOWN:
			close_sink(w);
			break;
		case BURSAR_REJECT:
		case BURSAR_RETRY:
		case BURSAR_CONFIG:
			break;
		}
	}
	return true;
}

/*
 * As write_offered().  A batch that killed its connection three times counts
 * as refused, for a record that is not known.
 */
static enum bursar_verdict write_mortal(struct writer *w, size_t count,
                                        unsigned *deaths, size_t *culprit,
                                        struct bursar_error *err)
{
	const enum bursar_verdict verdict = write_offered(w, count, culprit,
	                                                  err);
	if (verdict != BURSAR_DOWN) {
		return verdict;
	}
	metric_add(w->m.reopens, 1);
	close_sink(w);
	if (++*deaths < DEATHS_TO_HALVE) {
		return BURSAR_DOWN;
	}
	*culprit = SIZE_MAX;
	return BURSAR_REJECT;
}

static bool store(struct writer *w, size_t from, size_t to);

/*
 * Of entries [from, to) `count` were offered and refused for one of them: it
 * is refused, or the batch halved until it stands alone.  False: stopped.
 */
static bool set_apart(struct writer *w, size_t from, size_t to, size_t count,
                      size_t culprit, const struct bursar_error *err)
{
	const size_t middle = from + (to - from) / 2;

	if (count == 1) {
		culprit = 0;
	}
	if (culprit < count) {
		return refuse(w, w->offered[culprit], err);
	}
	return store(w, from, middle) && store(w, middle, to);
}

/* Stores entries [from, to), however long it takes.  False: stopped. */
static bool store(struct writer *w, size_t from, size_t to)
{
	unsigned deaths = 0;
	size_t count;
	bool goes_on = true;

	while (goes_on && (count = offer(w, from, to)) > 0) {
		struct bursar_error err = { 0 };
		size_t culprit;

		if (w->refused_in_row >= REFUSED_IN_A_ROW) {
			goes_on = probe(w, from, to);
			continue;
		}
		if (!need_sink(w)) {
			return false;
		}
		const enum bursar_verdict verdict =
			write_mortal(w, count, &deaths, &culprit, &err);
		switch (verdict) {
		case BURSAR_DONE:
			goes_on = finish_stored(w, count);
			break;
		case BURSAR_REJECT:
			goes_on = set_apart(w, from, to, count, culprit, &err);
			break;
		case BURSAR_RETRY:
		case BURSAR_DOWN:
		case BURSAR_CONFIG:
			goes_on = hold(w, verdict, &err);
			break;
		}
	}
	return goes_on;
}

/* --- the batch ----------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;

	if (x->prefix != y->prefix) {
		return x->prefix < y->prefix ? -1 : 1;
	}
	const int order = memcmp(x->part->record->key, y->part->record->key,
	                         sizeof(x->part->record->key));
	if (order != 0) {
		return order;
	}
	return x->order < y->order ? -1 : 1;
}

static uint64_t prefix_of(const uint8_t key[16])
{
	uint64_t prefix = 0;

	for (int i = 0; i < 8; i++) {
		prefix = prefix << 8 | key[i];
	}
	return prefix;
}

static void free_room(struct writer *w)
{
	free(w->entries);
	free(w->arrived);
	free(w->records);
	free(w->offered);
	free(w->outcomes);
	w->entries = NULL;
	w->arrived = NULL;
	w->records = NULL;
	w->offered = NULL;
	w->outcomes = NULL;
	w->count = w->room = 0;
}

static bool need_room(struct writer *w, size_t count)
{
	if (count <= w->room) {
		return true;
	}
	const size_t room = count + count / 4;
	free_room(w);
	w->entries = calloc(room, sizeof(*w->entries));
	w->arrived = calloc(room, sizeof(*w->arrived));
	w->records = calloc(room, sizeof(*w->records));
	w->offered = calloc(room, sizeof(*w->offered));
	w->outcomes = calloc(room, sizeof(*w->outcomes));
	if (w->entries == NULL || w->arrived == NULL || w->records == NULL ||
	    w->offered == NULL || w->outcomes == NULL) {
		free_room(w);
		return false;
	}
	w->room = room;
	return true;
}

static void list_flight(struct writer *w, struct flight *flight)
{
	const uint32_t bit = UINT32_C(1) << w->o.number;

	for (struct flight_message *m = flight->first; m != NULL; m = m->next) {
		for (struct flight_record *r = m->records; r != NULL;
		     r = r->next) {
			if (r->sinks & bit) {
				w->arrived[w->count] = (struct entry){
					.prefix = prefix_of(r->record->key),
					.part = r,
					.order = (uint32_t)w->count,
				};
				w->count++;
			}
		}
	}
}

static size_t bucket_of(const struct entry *entry)
{
	return entry->prefix >> (64 - BUCKET_BITS);
}

/*
 * By key.  Keys are hashes: by their first bits they fall into small heaps,
 * which are quick to sort; should somebody have chosen them, a large one takes
 * as long as it would have.  The sink has nothing to do meanwhile.
 */
static void sort_entries(struct writer *w)
{
	uint32_t ends[1 << BUCKET_BITS] = { 0 };
	uint32_t end = 0;

	for (size_t i = 0; i < w->count; i++) {
		ends[bucket_of(&w->arrived[i])]++;
	}
	for (size_t b = 0; b < 1 << BUCKET_BITS; b++) {
		end += ends[b];
		ends[b] = end;
	}
	/* From the last one on, so that each end becomes a begin. */
	for (size_t i = w->count; i-- > 0;) {
		const struct entry *entry = &w->arrived[i];

		w->entries[--ends[bucket_of(entry)]] = *entry;
	}
	for (size_t b = 0; b < 1 << BUCKET_BITS; b++) {
		const size_t next = b + 1 < 1 << BUCKET_BITS ? ends[b + 1]
			: w->count;
		if (next - ends[b] > 1) {
			qsort(&w->entries[ends[b]], next - ends[b],
			      sizeof(*w->entries), by_key);
		}
	}
}

/* Lists the batch in key order.  False: stopped before there was memory. */
static bool list_batch(struct writer *w, size_t records)
{
	w->count = 0;
	while (!need_room(w, records)) {
		struct bursar_error err = { 0 };

		bursar_fail(&err, ENOMEM, "out of memory");
		if (!hold(w, BURSAR_RETRY, &err)) {
			return false;
		}
	}
	w->probe_at = 0;
	for (struct writer_ticket *q = w->batch; q != NULL; q = q->next) {
		list_flight(w, q->flight);
	}
	sort_entries(w);
	return true;
}

/* Everything of the batch is done: tell the intakes and let go. */
static void release_batch(struct writer *w)
{
	while (w->batch != NULL) {
		struct writer_ticket *q = w->batch;

		w->batch = q->next;
		flight_ring(q->flight->bell);
		flight_release(q->flight);	/* and with it q */
	}
}

/*
 * When what waits is taken, however little it is.  A stream that is slower than
 * the sink would be stored in many small transactions, each of which changes
 * nearly as many sums as a large one.
 */
static int64_t lingers_until(const struct writer *w)
{
	const size_t worth = w->o.batch_records / STREAM_SHARE;
	const bool stream = w->queued_records >= STREAM_RECORDS &&
		w->queued_records < worth;

	return w->first_at + (stream ? STREAM_LINGERS : 1) * w->o.linger_us;
}

static bool enough(const struct writer *w)
{
	return w->stop || w->queued_records >= w->o.batch_records ||
	       atomic_load(w->o.decoding) == 0 ||
	       clock_mono_us() >= lingers_until(w);
}

static void unqueue(struct writer *w, size_t *records)
{
	struct writer_ticket **end = &w->batch;

	while (w->first != NULL && *records < w->o.batch_records) {
		struct writer_ticket *q = w->first;

		w->first = q->next;
		q->next = NULL;
		*end = q;
		end = &q->next;
		*records += q->records;
		w->queued_records -= q->records;
		w->queued_bytes -= q->flight->arena.bytes;
	}
	if (w->first == NULL) {
		w->last = NULL;
	}
	w->first_at = clock_mono_us();
	w->at_hand = *records;
}

/* Waits for something to store and takes it.  False: stopped. */
static bool take_batch(struct writer *w, size_t *records)
{
	*records = 0;
	pthread_mutex_lock(&w->lock);
	while (!w->stop && w->first == NULL) {
		pthread_cond_wait(&w->cond, &w->lock);
	}
	while (!enough(w)) {
		const int64_t until = lingers_until(w);
		const struct timespec ts = { until / 1000000,
		                             until % 1000000 * 1000 };

		pthread_cond_timedwait(&w->cond, &w->lock, &ts);
	}
	const bool go_on = !w->stop;
	if (go_on) {
		unqueue(w, records);
	}
	pthread_mutex_unlock(&w->lock);
	return go_on;
}

/* Records that a sink which is not required will never be offered. */
static void count_dropped(struct writer *w, size_t records)
{
	if (!w->o.required) {
		metric_add(w->m.dropped, (int64_t)records);
	}
}

/* Counts what the end of the thread left of the batch at hand. */
static void drop_rest(struct writer *w)
{
	size_t rest = 0;

	for (size_t i = 0; i < w->count; i++) {
		rest += !w->entries[i].done;
	}
	count_dropped(w, rest);
	pthread_mutex_lock(&w->lock);
	w->at_hand = 0;
	pthread_mutex_unlock(&w->lock);
}

static void *run(void *arg)
{
	struct writer *w = arg;
	size_t records;

	/* Opened before the first record, so that what is wrong shows early;
	 * and again, should the last batch have closed it. */
	while (need_sink(w)) {
		set_state(w, WRITER_OPEN, "");
		if (!take_batch(w, &records)) {
			break;
		}
		if (list_batch(w, records)) {
			store(w, 0, w->count);
		}
		drop_rest(w);
		release_batch(w);
	}
	return NULL;
}

/* --- from outside -------------------------------------------------------- */

static struct metric *record_metric(const char *sink, const char *outcome)
{
	return metrics_get("bursar_records_total",
	                   "Records offered to a sink, by what became of them.",
	                   true, "sink", sink, "outcome", outcome, NULL);
}

static void get_metrics(struct writer *w)
{
	const char *sink = w->o.instance->host.name;

	w->m.stored = record_metric(sink, "stored");
	w->m.duplicate = record_metric(sink, "duplicate");
	w->m.conflict = record_metric(sink, "conflict");
	w->m.refused = record_metric(sink, "refused");
	w->m.dropped = record_metric(sink, "dropped");
	w->m.write_us = metrics_get(
		"bursar_write_seconds_total",
		"Time spent in batches, those that failed included.",
		METRIC_MICROSECONDS, "sink", sink, NULL);
	for (size_t i = BURSAR_DONE; i <= BURSAR_CONFIG; i++) {
		w->m.batches[i] = metrics_get(
			"bursar_batches_total",
			"Batches offered to a sink, by its verdict.", true,
			"sink", sink, "verdict", verdict_names[i], NULL);
	}
	metrics_retries(w->m.retries, "bursar_sink_retries_total",
	                "Times that a batch had to wait for its sink.", "sink",
	                sink);
	w->m.commit_time = metrics_histogram(&commit_time_shape, "sink", sink,
	                                     NULL);
	w->m.reopens = metrics_get(
		"bursar_sink_reopens_total", "Connections lost.", true, "sink",
		sink, NULL);
}

struct writer *writer_create(const struct writer_options *options,
                             struct bursar_error *err)
{
	struct writer *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (w == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	w->o = *options;
	w->ops = options->instance->plugin->ops.sink;
	w->sink = options->sink;
	w->since = clock_mono_us();
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->cond, &attr);
	pthread_condattr_destroy(&attr);
	get_metrics(w);
	return w;
}

int writer_start(struct writer *w, struct bursar_error *err)
{
	assert(!w->running);

	w->stop = false;
	const int error = pthread_create(&w->thread, NULL, run, w);
	if (error != 0) {
		return bursar_fail(err, error, "cannot start a thread: %s",
		                   strerror(error));
	}
	w->running = true;
	return 0;
}

static size_t records_for(const struct writer *w, const struct flight *flight)
{
	const uint32_t bit = UINT32_C(1) << w->o.number;
	size_t count = 0;

	for (struct flight_message *m = flight->first; m != NULL; m = m->next) {
		for (struct flight_record *r = m->records; r != NULL;
		     r = r->next) {
			count += (r->sinks & bit) != 0;
		}
	}
	return count;
}

void writer_push(struct writer *w, struct flight *flight,
                 struct writer_ticket *q)
{
	*q = (struct writer_ticket){
		.flight = flight, .records = records_for(w, flight),
	};
	if (q->records == 0) {
		return;
	}
	pthread_mutex_lock(&w->lock);
	/* After the end nobody would let go of it: what is required stays
	 * unfinished, and its intake gives it back. */
	if (w->stop ||
	    (!w->o.required && w->queued_bytes > OPTIONAL_QUEUE)) {
		pthread_mutex_unlock(&w->lock);
		count_dropped(w, q->records);
		return;
	}
	atomic_fetch_add(&flight->holders, 1);
	if (w->last != NULL) {
		w->last->next = q;
	} else {
		w->first = q;
		w->first_at = clock_mono_us();
	}
	w->last = q;
	w->queued_records += q->records;
	w->queued_bytes += flight->arena.bytes;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

void writer_poke(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
}

void writer_stop(struct writer *w)
{
	if (!w->running) {
		return;
	}
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->cond);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->running = false;

	count_dropped(w, w->queued_records);
	w->batch = w->first;
	w->first = w->last = NULL;
	w->queued_records = w->queued_bytes = w->at_hand = 0;
	release_batch(w);
}

struct bursar_sink *writer_take_sink(struct writer *w)
{
	assert(!w->running);

	struct bursar_sink *sink = w->sink;
	w->sink = NULL;
	return sink;
}

void writer_destroy(struct writer *w)
{
	if (w == NULL) {
		return;
	}
	writer_stop(w);
	w->ops->close(w->sink);
	pthread_cond_destroy(&w->cond);
	pthread_mutex_destroy(&w->lock);
	free_room(w);
	free(w);
}

void writer_get_status(struct writer *w, struct writer_status *status)
{
	pthread_mutex_lock(&w->lock);
	status->state = w->state;
	memcpy(status->why, w->why, sizeof(status->why));
	status->since = w->since;
	status->queued = w->queued_records + w->at_hand;
	pthread_mutex_unlock(&w->lock);

	status->busy_since = atomic_load(&w->busy_since);
	status->stored = metric_get(w->m.stored);
	status->duplicates = metric_get(w->m.duplicate);
	status->conflicts = metric_get(w->m.conflict);
	status->refused = metric_get(w->m.refused);
	status->dropped = metric_get(w->m.dropped);
	status->transactions = metric_get(w->m.batches[BURSAR_DONE]);
	status->write_us = metric_get(w->m.write_us);
}
