/* SPDX-License-Identifier: Apache-2.0 */

/* Records, batches, and a sink that takes them. */
#include "config.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "core/flow/pack.h"
#include "records.h"


const char *outcome_name(int outcome)
{
	static const char *const names[] = {
		"STORED", "DUPLICATE", "CONFLICT", "REFUSED", "RETURNED",
	};

	return outcome >= 0 && outcome <= BURSAR_RETURNED ? names[outcome]
	                                                  : "nothing";
}

const char *verdict_name(int verdict)
{
	static const char *const names[] = {
		"DONE", "RETRY", "DOWN", "REJECT", "CONFIG",
	};

	return verdict >= 0 && verdict <= BURSAR_CONFIG ? names[verdict]
	                                                : "no verdict";
}

/* --- records ------------------------------------------------------------- */

static void *take(size_t size)
{
	void *memory = calloc(1, size);

	if (memory == NULL) {
		kit_broken("malloc");
	}
	return memory;
}

/* The n-th text field that is the kind's own and no body. */
static int text_field(const struct bursar_kind *kind, int n)
{
	const int first = kind->fact ? BURSAR_COMMON_FIELDS
	                             : BURSAR_BODY_FIELDS;

	for (int i = first; i < (int)kind->field_count; i++) {
		if (kind->fields[i].type == BURSAR_TEXT &&
		    (kind->fields[i].flags &
		     (BURSAR_FIELD_BODY | BURSAR_FIELD_GROUP)) == 0 &&
		    n-- == 0) {
			return i;
		}
	}
	kit_broken("a kind without texts");
}

int record_tag_field(const struct bursar_kind *kind)
{
	return text_field(kind, 0);
}

int record_text_field(const struct bursar_kind *kind)
{
	return text_field(kind, 1);
}

static void set_copy(struct bursar_record *record, int field, const char *text)
{
	const size_t size = strlen(text);
	char *copy = take(size + 1);

	memcpy(copy, text, size);
	bursar_set_text(record, field, copy, size);
}

struct bursar_record *record_make(const struct bursar_host *host,
                                  const struct bursar_kind *kind,
                                  const char *id, const char *tag,
                                  const char *text)
{
	struct bursar_record *record = take(sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));
	const int64_t now = host->now(host);

	record->kind = kind;
	host->key(kind, id, strlen(id), record->key);
	record->check = hash_bytes(tag, strlen(tag)) ^
		hash_bytes(text, strlen(text)) * 31;
	set_copy(record, BURSAR_MESSAGE_ID, id);
	bursar_set_number(record, BURSAR_RECORDED_AT, now - 60000000);
	bursar_set_number(record, BURSAR_INSERTED_AT, now);
	set_copy(record, BURSAR_SOURCE_NAME, "conformance");
	bursar_set_number(record, BURSAR_DQ_FLAGS, 0);
	if (!kind->fact) {
		bursar_set_number(record, BURSAR_ROW_HASH, 1);
	}
	set_copy(record, record_tag_field(kind), tag);
	set_copy(record, record_text_field(kind), text);
	return record;
}

/* --- batches ------------------------------------------------------------- */

void batch_add(struct batch *batch, struct bursar_record *record)
{
	if (batch->count == batch->room) {
		batch->room = batch->room * 2 + 16;
		batch->records = realloc(batch->records, batch->room *
		                         sizeof(*batch->records));
		batch->outcomes = realloc(batch->outcomes, batch->room *
		                          sizeof(*batch->outcomes));
		if (batch->records == NULL || batch->outcomes == NULL) {
			kit_broken("malloc");
		}
	}
	batch->records[batch->count++] = record;
}

void batch_fill(struct batch *batch, const struct bursar_host *host,
                const char *tag, size_t count)
{
	const struct bursar_schema *all = host->schema;
	char id[200];

	for (size_t i = 0; i < count; i++) {
		snprintf(id, sizeof(id), "%s-%zu", tag, i);
		batch_add(batch, record_make(host, &all->kinds[i %
			all->kind_count], id, tag, "some text"));
	}
}

void batch_clear(struct batch *batch)
{
	batch->count = 0;
}

size_t batch_count(const struct batch *batch, enum bursar_outcome outcome)
{
	size_t count = 0;

	for (size_t i = 0; i < batch->count; i++) {
		count += batch->outcomes[i] == outcome;
	}
	return count;
}

void batch_expect_all(const struct batch *batch, enum bursar_outcome outcome,
                      const char *when)
{
	for (size_t i = 0; i < batch->count; i++) {
		expect(batch->outcomes[i] == outcome,
		       "%s: record %zu of %zu is %s, not %s", when, i,
		       batch->count, outcome_name((int)batch->outcomes[i]),
		       outcome_name((int)outcome));
	}
}

/* --- the sink ------------------------------------------------------------ */

void sink_open_to(struct open_sink *open, struct kit *kit,
                  enum bursar_mode mode)
{
	enum bursar_verdict verdict = BURSAR_DONE;
	struct bursar_error err = { 0 };

	memset(open, 0, sizeof(*open));
	open->kit = kit;
	open->ops = kit->plugin->ops.sink;
	stand_init(&open->stand, kit,
	           mode == BURSAR_WRITE ? INSTANCE_RUN : INSTANCE_READ);
	for (int i = 0; i < 100; i++) {
		err = (struct bursar_error){ 0 };
		open->sink = open->ops->open(open->stand.host, mode, &verdict,
		                             &err);
		if (open->sink != NULL || verdict != BURSAR_RETRY) {
			break;
		}
		poll(NULL, 0, 20);
	}
	expect(open->sink != NULL, "open() to %s says %s: %s",
	       mode == BURSAR_WRITE ? "write" : "read", verdict_name(verdict),
	       err.text);
}

void sink_close(struct open_sink *open)
{
	open->ops->close(open->sink);
	stand_finish(&open->stand);
}

struct place {
	struct bursar_record *record;
	size_t index;
};

static int compare(const void *left, const void *right)
{
	const struct place *a = left;
	const struct place *b = right;
	const int order = memcmp(a->record->key, b->record->key,
	                         sizeof(a->record->key));

	if (order != 0) {
		return order;
	}
	return a->index < b->index ? -1 : a->index > b->index;
}

static uint64_t print_of(struct bursar_record *const *records, size_t count)
{
	struct bursar_value values[BURSAR_FIELDS_MAX];
	uint64_t print = 0;

	for (size_t i = 0; i < count; i++) {
		const struct bursar_record *r = records[i];

		print = print * 31 + hash_bytes(r, sizeof(*r));
		bursar_unpack(r, r->kind->field_count, values);
		for (size_t f = 0; f < r->kind->field_count; f++) {
			const struct bursar_value *v = &values[f];

			print = print * 31 + v->size + v->is_set +
				hash_bytes(&v->number, sizeof(v->number));
		}
	}
	return print;
}

/* Lists of exactly `count`: what is beyond cannot be touched.  Records are
 * packed, as the core offers them. */
static enum bursar_verdict write_exactly(struct open_sink *open,
                                         const struct place *places,
                                         size_t count,
                                         enum bursar_outcome *outcomes,
                                         struct bursar_error *err)
{
	struct bursar_record **records = take(count * sizeof(*records));
	size_t culprit = SIZE_MAX;
	struct arena arena;

	arena_init(&arena);
	for (size_t i = 0; i < count; i++) {
		records[i] = pack_record(&arena, places[i].record, NULL);
		if (records[i] == NULL) {
			kit_broken("malloc");
		}
	}
	memset(outcomes, 0x55, (count + 1) * sizeof(*outcomes));
	const uint64_t before = print_of(records, count);
	const enum bursar_verdict verdict =
		open->ops->write(open->sink, records, count, outcomes,
		                 &culprit, err);
	expect(print_of(records, count) == before,
	       "write() changed a record, which may be offered again");
	expect(outcomes[count] == (enum bursar_outcome)0x55555555,
	       "write() wrote behind the last outcome");
	expect(verdict != BURSAR_REJECT || culprit == SIZE_MAX ||
	       culprit < count, "*culprit is %zu of %zu", culprit, count);
	free(records);
	arena_clear(&arena);
	arena_pool_drain();
	return verdict;
}

enum bursar_verdict sink_offer(struct open_sink *open, struct batch *batch,
                               struct bursar_error *err)
{
	const size_t count = batch->count;
	struct place *places = take(count * sizeof(*places));
	enum bursar_outcome *outcomes = take((count + 1) * sizeof(*outcomes));

	for (size_t i = 0; i < count; i++) {
		places[i] = (struct place){ batch->records[i], i };
	}
	qsort(places, count, sizeof(*places), compare);
	const enum bursar_verdict verdict =
		write_exactly(open, places, count, outcomes, err);
	for (size_t i = 0; i < count; i++) {
		batch->outcomes[places[i].index] = outcomes[i];
	}
	free(places);
	free(outcomes);
	if (verdict != BURSAR_DONE) {
		kit_expect_error(err, "write()");
	}
	return verdict;
}

void sink_store(struct open_sink *open, struct batch *batch)
{
	enum bursar_verdict verdict = BURSAR_RETRY;
	struct bursar_error err = { 0 };

	for (int i = 0; i < 200 && verdict == BURSAR_RETRY; i++) {
		err = (struct bursar_error){ 0 };
		verdict = sink_offer(open, batch, &err);
	}
	expect(verdict == BURSAR_DONE, "write() of %zu says %s: %s",
	       batch->count, verdict_name(verdict), err.text);
	for (size_t i = 0; i < batch->count; i++) {
		expect(batch->outcomes[i] <= BURSAR_CONFLICT,
		       "record %zu of %zu has no outcome, or one that no sink "
		       "gives: %d", i, batch->count, (int)batch->outcomes[i]);
	}
}

/* --- the book ------------------------------------------------------------ */

void sink_needs_sql(const struct kit *kit)
{
	if (kit->plugin->ops.sink->sql == NULL) {
		kit_skip("it has no sql()");
	}
}

void sink_needs_keys(const struct kit *kit)
{
	if (kit->keeps_nothing) {
		kit_skip("it keeps nothing");
	}
}

struct answer {
	int64_t number;
	size_t  rows;
	bool    is_number;
};

static int take_number(void *context, const struct bursar_cell *cells,
                       size_t count)
{
	struct answer *answer = context;

	answer->rows++;
	answer->is_number = count == 1 && cells[0].type == BURSAR_INTEGER;
	if (answer->is_number) {
		answer->number = cells[0].integer;
	}
	return 0;
}

int64_t sink_number(struct open_sink *open, const char *statement,
                    const char *text)
{
	const struct bursar_cell cell = {
		.type = BURSAR_STRING, .data = text,
		.size = text != NULL ? strlen(text) : 0,
	};
	struct answer answer = { 0 };
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict = BURSAR_RETRY;

	for (int i = 0; i < 100 && verdict == BURSAR_RETRY; i++) {
		answer = (struct answer){ 0 };
		err = (struct bursar_error){ 0 };
		verdict = open->ops->sql(open->sink, statement, &cell,
		                         text != NULL, take_number, &answer,
		                         &err);
	}
	expect(verdict == BURSAR_DONE, "%s: %s: %s", statement,
	       verdict_name(verdict), err.text);
	expect(answer.rows == 1 && answer.is_number,
	       "%s: %zu rows, and %s integer", statement, answer.rows,
	       answer.is_number ? "an" : "no");
	return answer.number;
}

int64_t sink_tagged(struct open_sink *open, const char *tag)
{
	const struct bursar_schema *all = open->stand.host->schema;
	char statement[300];
	int64_t rows = 0;

	for (size_t i = 0; i < all->kind_count; i++) {
		const struct bursar_kind *kind = &all->kinds[i];

		snprintf(statement, sizeof(statement),
		         "SELECT count(*) FROM %s WHERE %s = $1", kind->table,
		         kind->fields[record_tag_field(kind)].name);
		rows += sink_number(open, statement, tag);
	}
	return rows;
}

int64_t sink_rows(struct open_sink *open, const struct bursar_kind *kind)
{
	char statement[300];

	snprintf(statement, sizeof(statement), "SELECT count(*) FROM %s",
	         kind->table);
	return sink_number(open, statement, NULL);
}
