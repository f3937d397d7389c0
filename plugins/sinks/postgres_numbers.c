/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Records that came without an id: which of id#1, id#2 ... they are.
 *
 * Records of one batch that share an id make a stem.  All stems ask at once,
 * a round is one statement.  One whose records were never offered before looks
 * for a number that is free while the one before it is taken, by doubling and
 * then halving; one with a record that was, reads all numbers until a free one,
 * as any of them may have its content.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "postgres.h"

#define MAX_ID     1024u
#define MAX_ROUNDS 200
#define MAX_WINDOW 1024u

enum phase { DOUBLE, HALVE, SCAN, FOUND };

struct stem {
	size_t     first;	/* of its records, in pending */
	size_t     count;
	enum phase phase;
	uint64_t   taken;	/* a number that is */
	uint64_t   ask;		/* the next to ask for, or the one found */
	uint64_t   free;	/* a number that is, while halving */
	uint64_t   window;	/* how many to ask for, while scanning */
};

struct pending {
	size_t index;		/* in the batch */
	bool   done;
};

/* A number that is asked for, or taken. */
struct ask {
	struct key_row row;
	size_t   stem;
	uint64_t number;
	size_t   pending;
};

struct numbers {
	struct keys *keys;
	const struct bursar_host *host;
	struct pending *pending;
	size_t pending_count, pending_room;
	struct stem *stems;
	size_t stem_count, stem_room;
	struct ask *asks;
	size_t ask_count, ask_room;
	struct key_row *rows;
	size_t row_room;
	char **ids;		/* texts of ids that were given a number */
	size_t id_count, id_room;
};

struct numbers *numbers_create(struct keys *keys,
                               const struct bursar_host *host)
{
	struct numbers *numbers = calloc(1, sizeof(*numbers));

	if (numbers != NULL) {
		numbers->keys = keys;
		numbers->host = host;
	}
	return numbers;
}

void numbers_clear(struct numbers *numbers)
{
	while (numbers->id_count > 0) {
		free(numbers->ids[--numbers->id_count]);
	}
	numbers->pending_count = 0;
}

void numbers_destroy(struct numbers *numbers)
{
	if (numbers == NULL) {
		return;
	}
	numbers_clear(numbers);
	free(numbers->pending);
	free(numbers->stems);
	free(numbers->asks);
	free(numbers->rows);
	free(numbers->ids);
	free(numbers);
}

/* Room for one more; false: out of memory. */
static bool grow(void *array, size_t count, size_t *room, size_t size)
{
	void **list = array;
	void *more;

	if (count < *room) {
		return true;
	}
	more = reallocarray(*list, *room * 2 + 64, size);
	if (more == NULL) {
		return false;
	}
	*list = more;
	*room = *room * 2 + 64;
	return true;
}

bool numbers_push(struct numbers *n, size_t index)
{
	if (!grow(&n->pending, n->pending_count, &n->pending_room,
	          sizeof(*n->pending))) {
		return false;
	}
	n->pending[n->pending_count++] = (struct pending){ .index = index };
	return true;
}

/* --- stems --------------------------------------------------------------- */

static const struct bursar_record *record_of(const struct numbers *n,
                                             const struct batch *batch,
                                             size_t pending)
{
	return batch->records[n->pending[pending].index];
}

static bool is_again(const struct bursar_record *record)
{
	return (record->flags & BURSAR_RECORD_AGAIN) != 0;
}

/* Looks for a number behind one that is taken. */
static void start(const struct numbers *n, const struct batch *batch,
                  struct stem *stem, uint64_t taken)
{
	stem->phase = DOUBLE;
	stem->taken = taken;
	stem->ask = taken + 1;
	stem->window = 4;
	for (size_t i = 0; i < stem->count; i++) {
		if (!n->pending[stem->first + i].done &&
		    is_again(record_of(n, batch, stem->first + i))) {
			stem->phase = SCAN;
		}
	}
}

static bool make_stems(struct numbers *n, const struct batch *batch)
{
	n->stem_count = 0;
	for (size_t i = 0; i < n->pending_count; i++) {
		const struct bursar_record *record = record_of(n, batch, i);

		if (i > 0 && memcmp(record->key, record_of(n, batch, i - 1)
		                    ->key, KEY_SIZE) == 0) {
			n->stems[n->stem_count - 1].count++;
			continue;
		}
		if (!grow(&n->stems, n->stem_count, &n->stem_room,
		          sizeof(*n->stems))) {
			return false;
		}
		n->stems[n->stem_count++] = (struct stem){ .first = i,
		                                           .count = 1 };
	}
	for (size_t i = 0; i < n->stem_count; i++) {
		start(n, batch, &n->stems[i], 0);
	}
	return true;
}

/* --- asking -------------------------------------------------------------- */

/* The id with that number; returns its length. */
static size_t write_id(const struct bursar_record *record, uint64_t number,
                       char text[MAX_ID + 24])
{
	const struct bursar_value id = bursar_value(record, BURSAR_MESSAGE_ID);

	assert(id.size >= 2 && id.size <= MAX_ID &&
	       memcmp(id.text + id.size - 2, "#0", 2) == 0);
	memcpy(text, id.text, id.size - 1);
	return id.size - 1 + (size_t)snprintf(text + id.size - 1, 24, "%llu",
	                                      (unsigned long long)number);
}

static struct ask *add_ask(struct numbers *n, const struct batch *batch,
                           size_t stem, uint64_t number)
{
	const struct bursar_record *record =
		record_of(n, batch, n->stems[stem].first);
	char text[MAX_ID + 24];
	struct ask *ask;

	if (!grow(&n->asks, n->ask_count, &n->ask_room, sizeof(*n->asks))) {
		return NULL;
	}
	ask = &n->asks[n->ask_count++];
	*ask = (struct ask){ .stem = stem, .number = number };
	n->host->key(record->kind, text, write_id(record, number, text),
	             ask->row.key);
	return ask;
}

static bool add_asks(struct numbers *n, const struct batch *batch)
{
	n->ask_count = 0;
	for (size_t i = 0; i < n->stem_count; i++) {
		const struct stem *stem = &n->stems[i];
		const uint64_t count = stem->phase == FOUND ? 0
			: stem->phase == SCAN ? stem->window : 1;

		for (uint64_t j = 0; j < count; j++) {
			if (add_ask(n, batch, i, stem->ask + j) == NULL) {
				return false;
			}
		}
	}
	return true;
}

static int by_key(const void *left, const void *right)
{
	const struct ask *a = left;
	const struct ask *b = right;

	return memcmp(a->row.key, b->row.key, KEY_SIZE);
}

static int by_number(const void *left, const void *right)
{
	const struct ask *a = left;
	const struct ask *b = right;

	if (a->stem != b->stem) {
		return a->stem < b->stem ? -1 : 1;
	}
	return (a->number > b->number) - (a->number < b->number);
}

/* Asks the ledger, or with `add` takes what is free; answers stand in order of
 * stems and numbers. */
static enum bursar_verdict put(struct numbers *n, bool add, int64_t day,
                               struct bursar_error *err)
{
	enum bursar_verdict verdict;

	if (n->row_room < n->ask_count) {
		free(n->rows);
		n->rows = calloc(n->ask_count, sizeof(*n->rows));
		n->row_room = n->rows != NULL ? n->ask_count : 0;
	}
	if (n->row_room < n->ask_count) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	qsort(n->asks, n->ask_count, sizeof(*n->asks), by_key);
	for (size_t i = 0; i < n->ask_count; i++) {
		n->rows[i] = n->asks[i].row;
	}
	verdict = add ? keys_add(n->keys, n->rows, n->ask_count, day, err)
		: keys_find(n->keys, n->rows, n->ask_count, err);
	for (size_t i = 0; i < n->ask_count; i++) {
		n->asks[i].row = n->rows[i];
	}
	qsort(n->asks, n->ask_count, sizeof(*n->asks), by_number);
	return verdict;
}

/* --- answers ------------------------------------------------------------- */

/* Records that were offered before, and stand there under this number. */
static void find_twins(struct numbers *n, struct batch *batch,
                       const struct stem *stem, uint64_t check)
{
	for (size_t i = 0; i < stem->count; i++) {
		struct pending *pending = &n->pending[stem->first + i];
		const struct bursar_record *record =
			batch->records[pending->index];

		if (!pending->done && is_again(record) &&
		    record->check == check) {
			batch->outcomes[pending->index] = BURSAR_DUPLICATE;
			pending->done = true;
		}
	}
}

static void narrow(struct stem *stem)
{
	if (stem->free == stem->taken + 1) {
		stem->phase = FOUND;
		stem->ask = stem->free;
	} else {
		stem->phase = HALVE;
		stem->ask = stem->taken + (stem->free - stem->taken) / 2;
	}
}

static void take_answer(struct numbers *n, struct batch *batch,
                        const struct ask *ask)
{
	struct stem *stem = &n->stems[ask->stem];

	switch (stem->phase) {
	case FOUND:
		break;
	case SCAN:
		if (ask->row.found) {
			find_twins(n, batch, stem, ask->row.check);
			stem->ask = ask->number + 1;
		} else {
			stem->ask = ask->number;
			stem->phase = FOUND;
		}
		break;
	case DOUBLE:
		if (ask->row.found) {
			stem->taken = ask->number;
			stem->ask = ask->number * 2 + 1;
			break;
		}
		stem->free = ask->number;
		narrow(stem);
		break;
	case HALVE:
		if (ask->row.found) {
			stem->taken = ask->number;
		} else {
			stem->free = ask->number;
		}
		narrow(stem);
		break;
	}
}

/* Until each stem knows a number that is free. */
static enum bursar_verdict find_free(struct numbers *n, struct batch *batch,
                                     struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;

	while (verdict == BURSAR_DONE) {
		if (!add_asks(n, batch)) {
			bursar_fail(err, ENOMEM, "out of memory");
			return BURSAR_RETRY;
		}
		if (n->ask_count == 0) {
			break;
		}
		verdict = put(n, false, 0, err);
		for (size_t i = 0; i < n->ask_count && verdict == BURSAR_DONE;
		     i++) {
			take_answer(n, batch, &n->asks[i]);
		}
		for (size_t i = 0; i < n->stem_count; i++) {
			if (n->stems[i].window < MAX_WINDOW) {
				n->stems[i].window *= 2;
			}
		}
	}
	return verdict;
}

/* --- taking -------------------------------------------------------------- */

/* Whether the record is among those that this batch numbers; it is offered
 * again, so it is a twin of them. */
static bool is_twin(const struct numbers *n, const struct batch *batch,
                    const struct bursar_record *record, size_t from)
{
	for (size_t i = from; is_again(record) && i < n->ask_count; i++) {
		if (record_of(n, batch, n->asks[i].pending)->check ==
		    record->check) {
			return true;
		}
	}
	return false;
}

static bool claim(struct numbers *n, struct batch *batch, size_t at)
{
	struct stem *stem = &n->stems[at];
	const size_t from = n->ask_count;

	for (size_t i = stem->first; i < stem->first + stem->count; i++) {
		const struct bursar_record *record = record_of(n, batch, i);

		if (n->pending[i].done) {
			continue;
		}
		if (is_twin(n, batch, record, from)) {
			batch->outcomes[n->pending[i].index] = BURSAR_DUPLICATE;
			n->pending[i].done = true;
			continue;
		}
		struct ask *ask = add_ask(n, batch, at, stem->ask++);
		if (ask == NULL) {
			return false;
		}
		ask->row.check = record->check;
		ask->pending = i;
	}
	return true;
}

static bool store(struct numbers *n, struct batch *batch, const struct ask *ask)
{
	struct pending *pending = &n->pending[ask->pending];
	char text[MAX_ID + 24];
	const size_t size = write_id(batch->records[pending->index],
	                             ask->number, text);
	char *id;

	if (!grow(&n->ids, n->id_count, &n->id_room, sizeof(*n->ids))) {
		return false;
	}
	id = malloc(size);
	if (id == NULL) {
		return false;
	}
	memcpy(id, text, size);
	n->ids[n->id_count++] = id;
	pending->done = true;
	batch->outcomes[pending->index] = BURSAR_STORED;
	batch->places[batch->fresh++] = (struct place){
		.index = pending->index, .id = { id, size },
	};
	return true;
}

/* Takes the numbers; *left: somebody was faster with some of them. */
static enum bursar_verdict take_free(struct numbers *n, struct batch *batch,
                                     int64_t day, bool *left,
                                     struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	bool good = true;

	*left = false;
	n->ask_count = 0;
	for (size_t i = 0; i < n->stem_count && good; i++) {
		good = claim(n, batch, i);
	}
	if (good && n->ask_count > 0) {
		verdict = put(n, true, day, err);
	}
	/* From the end: a stem goes on at the first number that it lost. */
	for (size_t i = n->ask_count; i > 0 && good && verdict == BURSAR_DONE;
	     i--) {
		const struct ask *ask = &n->asks[i - 1];

		if (!ask->row.found) {
			good = store(n, batch, ask);
		} else {
			start(n, batch, &n->stems[ask->stem], ask->number - 1);
			*left = true;
		}
	}
	if (!good) {
		bursar_fail(err, ENOMEM, "out of memory");
		verdict = BURSAR_RETRY;
	}
	return verdict;
}

/* The first record whose id is too long to be numbered, or SIZE_MAX. */
static size_t find_too_long(const struct numbers *n, const struct batch *batch)
{
	for (size_t i = 0; i < n->pending_count; i++) {
		const struct bursar_record *record = record_of(n, batch, i);

		if (bursar_value(record, BURSAR_MESSAGE_ID).size > MAX_ID) {
			return n->pending[i].index;
		}
	}
	return SIZE_MAX;
}

enum bursar_verdict numbers_take(struct numbers *n, struct batch *batch,
                                 int64_t day, size_t *culprit,
                                 struct bursar_error *err)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	bool left = n->pending_count > 0;

	*culprit = find_too_long(n, batch);
	if (*culprit != SIZE_MAX) {
		bursar_fail(err, ERANGE, "an id is longer than %u bytes",
		            MAX_ID);
		return BURSAR_REJECT;
	}
	if (left && !make_stems(n, batch)) {
		bursar_fail(err, ENOMEM, "out of memory");
		return BURSAR_RETRY;
	}
	for (int i = 0; i < MAX_ROUNDS && left && verdict == BURSAR_DONE;
	     i++) {
		verdict = find_free(n, batch, err);
		if (verdict == BURSAR_DONE) {
			verdict = take_free(n, batch, day, &left, err);
		}
	}
	if (left && verdict == BURSAR_DONE) {
		bursar_fail(err, EAGAIN, "others number the same records");
		verdict = BURSAR_RETRY;
	}
	return verdict;
}
