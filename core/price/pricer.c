/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Prices of records, one after another.
 *
 * Few models make nearly all calls, so what a book said of a name is kept in a
 * small table by hash; a name that falls on another's place takes it.  The
 * hash is seeded, as senders choose the names.
 */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/metrics.h"
#include "plugin/schema.h"
#include "price/prices.h"

#define SLOTS    2048u		/* a power of two; 300 names rarely meet */
#define KEPT     112u		/* bytes of provider and model */
#define TOLD_MAX 1000u		/* models that are told of */
#define MAX_SHOWN 200		/* bytes of a name that the log tells */

struct slot {
	uint64_t hash;
	const struct price_book  *book;		/* NULL: none has it */
	const struct price_model *model;
	enum price_how how;
	uint8_t  told;			/* bits of enum price_result */
	uint8_t  provider_size;
	uint8_t  model_size;		/* 0: an empty slot */
	char     text[KEPT];
};

struct pricer {
	const struct prices *prices;
	const char *source;
	bool        computed_first;
	uint64_t    seed;
	struct slot *slots;
	struct metric *counts[PRICE_RESULTS];
	struct {
		int provider, model, mode, region, cost, reported, computed,
			book, rule, count[PRICE_COUNTS];
	} field;
};

/* --- what was told already ----------------------------------------------- */

/* One list for the process: a model is told of once, whoever sends it. */
static pthread_mutex_t told_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t told[TOLD_MAX];
static size_t   told_count;

static bool is_news(uint64_t what)
{
	bool news = true;

	pthread_mutex_lock(&told_lock);
	for (size_t i = 0; i < told_count && news; i++) {
		news = told[i] != what;
	}
	news = news && told_count < TOLD_MAX;
	if (news) {
		told[told_count++] = what;
	}
	pthread_mutex_unlock(&told_lock);
	return news;
}

/* The same for one text in every pricer, which all have other seeds. */
static uint64_t told_hash(struct bursar_span a, struct bursar_span b,
                          enum price_result result)
{
	uint64_t hash = UINT64_C(14695981039346656037) + (uint64_t)result;

	for (size_t i = 0; i < a.size; i++) {
		hash = (hash ^ (unsigned char)a.data[i]) *
			UINT64_C(1099511628211);
	}
	hash = (hash ^ 0x100) * UINT64_C(1099511628211);
	for (size_t i = 0; i < b.size; i++) {
		hash = (hash ^ (unsigned char)b.data[i]) *
			UINT64_C(1099511628211);
	}
	return hash;
}

/* What a producer sent may be of any length. */
static int shown(struct bursar_span text)
{
	return text.size < MAX_SHOWN ? (int)text.size : MAX_SHOWN;
}

static void tell(const struct pricer *pricer,
                 const struct price_question *question,
                 enum price_result result)
{
	const struct bursar_span provider = question->provider;
	const struct bursar_span model = question->model;

	if (pricer->prices->unknown == PRICES_IGNORE ||
	    !is_news(told_hash(provider, model, result))) {
		return;
	}
	log_event(pricer->prices->unknown == PRICES_RAISE ? BURSAR_ERROR
	                                                  : BURSAR_WARNING,
	          pricer->source, "price-unknown",
	          "reason=%s provider=%.*s model=%.*s",
	          price_result_names[result], shown(provider),
	          provider.data != NULL ? provider.data : "", shown(model),
	          model.data != NULL ? model.data : "");
}

/* --- what is kept -------------------------------------------------------- */

static uint64_t load(const char *data, size_t size)
{
	uint64_t word = 0;

	memcpy(&word, data, size);
	return word;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ const unsigned __int128 product =
		(unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_span(uint64_t hash, struct bursar_span text)
{
	const char *data = text.data;
	size_t left = text.size;

	hash = mix(hash ^ left, UINT64_C(0xa0761d6478bd642f));
	for (; left > 8; data += 8, left -= 8) {
		hash = mix(hash ^ load(data, 8),
		           UINT64_C(0x9e3779b97f4a7c15));
	}
	return left == 0 ? hash : mix(hash ^ load(data, left),
	                              UINT64_C(0xbf58476d1ce4e5b9));
}

static bool is_slot(const struct slot *slot, uint64_t hash,
                    const struct price_question *q)
{
	return slot->hash == hash && slot->provider_size == q->provider.size &&
	       slot->model_size == q->model.size &&
	       memcmp(slot->text, q->provider.data, q->provider.size) == 0 &&
	       memcmp(slot->text + slot->provider_size, q->model.data,
	              q->model.size) == 0;
}

static void fill(struct slot *slot, uint64_t hash,
                 const struct price_question *q,
                 const struct price_answer *answer)
{
	slot->hash = hash;
	slot->book = answer->book;
	slot->model = answer->model;
	slot->how = answer->how;
	slot->told = 0;
	slot->provider_size = (uint8_t)q->provider.size;
	slot->model_size = (uint8_t)q->model.size;
	memcpy(slot->text, q->provider.data, q->provider.size);
	memcpy(slot->text + q->provider.size, q->model.data, q->model.size);
}

/* As prices_ask().  Returns the slot, or NULL where there is none for it. */
static struct slot *ask(struct pricer *pricer, const struct price_question *q,
                        struct price_answer *answer)
{
	if (q->model.size == 0 || q->provider.size + q->model.size > KEPT) {
		prices_ask(pricer->prices, q, answer);
		return NULL;
	}
	const uint64_t hash = hash_span(hash_span(pricer->seed, q->provider),
	                                q->model);
	struct slot *slot = &pricer->slots[hash & (SLOTS - 1)];

	if (!is_slot(slot, hash, q)) {
		prices_ask(pricer->prices, q, answer);
		fill(slot, hash, q, answer);
		return slot;
	}
	answer->book = slot->book;
	answer->model = slot->model;
	answer->how = slot->how;
	if (slot->model == NULL) {
		answer->result = PRICE_NO_MATCH;
	} else {
		price_compute(answer, q);
	}
	return slot;
}

/* --- records ------------------------------------------------------------- */

static struct bursar_span text_of(const struct bursar_record *record,
                                  int field)
{
	const struct bursar_value *value = &record->values[field];

	return value->is_set
		? (struct bursar_span){ value->text, value->size }
		: (struct bursar_span){ "", 0 };
}

static void read_question(const struct pricer *pricer,
                          const struct bursar_record *record,
                          struct price_question *q)
{
	/* What is said of sound and images stands far from what is read
	 * first, and comes while that is looked at. */
	for (int i = PRICE_SAID_SEARCHES - 1; i >= PRICE_SAID_MODAL; i -= 2) {
		__builtin_prefetch(&record->values[pricer->field.count[i]]);
	}
	q->provider = text_of(record, pricer->field.provider);
	q->model = text_of(record, pricer->field.model);
	q->mode = text_of(record, pricer->field.mode);
	q->region = text_of(record, pricer->field.region);
	q->at_us = record->values[BURSAR_RECORDED_AT].number;
	q->usage.known = 0;
	for (int i = 0; i < PRICE_COUNTS; i++) {
		const struct bursar_value *value =
			&record->values[pricer->field.count[i]];

		if (value->is_set) {
			price_usage_set(&q->usage, (enum price_count)i,
			                value->number);
		}
	}
}

static bool write_answer(const struct pricer *pricer,
                         const struct price_answer *answer,
                         struct bursar_record *record,
                         struct bursar_arena *arena)
{
	const char *version = price_book_version(answer->book);
	char rule[PRICES_RULE_SIZE];
	const size_t size = prices_rule(answer, rule);
	char *kept = arena->alloc(arena, size);

	if (kept == NULL) {
		return false;
	}
	memcpy(kept, rule, size);
	bursar_set_number(record, pricer->field.computed, answer->nano);
	bursar_set_text(record, pricer->field.book, version, strlen(version));
	bursar_set_text(record, pricer->field.rule, kept, size);
	return true;
}

static bool compute(struct pricer *pricer, struct bursar_record *record,
                    struct bursar_arena *arena)
{
	struct price_question question;
	struct price_answer answer;

	read_question(pricer, record, &question);
	struct slot *slot = ask(pricer, &question, &answer);

	metric_add(pricer->counts[answer.result], 1);
	if (answer.result == PRICE_DONE) {
		return write_answer(pricer, &answer, record, arena);
	}
	if (answer.result != PRICE_NO_USAGE &&
	    (slot == NULL || (slot->told >> answer.result & 1) == 0)) {
		tell(pricer, &question, answer.result);
		if (slot != NULL) {
			slot->told |= (uint8_t)(1u << answer.result);
		}
	}
	return true;
}

bool pricer_price(struct pricer *pricer, struct bursar_record *record,
                  struct bursar_arena *arena)
{
	struct bursar_value *values = record->values;

	if (pricer->prices != NULL && !compute(pricer, record, arena)) {
		return false;
	}

	const int first = pricer->computed_first ? pricer->field.computed
	                                         : pricer->field.reported;
	const int second = pricer->computed_first ? pricer->field.reported
	                                          : pricer->field.computed;
	if (values[first].is_set) {
		values[pricer->field.cost] = values[first];
	} else if (values[second].is_set) {
		values[pricer->field.cost] = values[second];
	}
	return true;
}

/* --- life ---------------------------------------------------------------- */

static void find_fields(struct pricer *pricer)
{
	const struct bursar_kind *kind =
		bursar_kind_find(&schema, "metering", 8);

	pricer->field.provider = bursar_field_find(kind, "provider");
	pricer->field.model = bursar_field_find(kind, "model_id");
	pricer->field.mode = bursar_field_find(kind, "pricing_mode");
	pricer->field.region = bursar_field_find(kind, "region");
	pricer->field.cost = bursar_field_find(kind, "cost_usd");
	pricer->field.reported = bursar_field_find(kind, "cost_reported_usd");
	pricer->field.computed = bursar_field_find(kind, "cost_computed_usd");
	pricer->field.book = bursar_field_find(kind, "price_book");
	pricer->field.rule = bursar_field_find(kind, "price_rule");
	for (int i = 0; i < PRICE_COUNTS; i++) {
		pricer->field.count[i] =
			bursar_field_find(kind, price_count_fields[i]);
	}
}

static void find_figures(struct pricer *pricer)
{
	pricer->counts[PRICE_DONE] = metrics_get(
		"bursar_records_priced_total",
		"Metering records whose cost was computed.", true, "source",
		pricer->source, NULL);
	for (int i = PRICE_DONE + 1; i < PRICE_RESULTS; i++) {
		pricer->counts[i] = metrics_get(
			"bursar_records_unpriced_total",
			"Metering records that no book could price.", true,
			"source", pricer->source, "reason",
			price_result_names[i], NULL);
	}
}

struct pricer *pricer_create(const struct prices *prices, const char *source,
                             bool computed_first)
{
	struct pricer *pricer = calloc(1, sizeof(*pricer));

	if (pricer == NULL) {
		return NULL;
	}
	pricer->prices = prices;
	pricer->source = source;
	pricer->computed_first = computed_first;
	find_fields(pricer);
	if (prices == NULL) {
		return pricer;
	}
	pricer->slots = calloc(SLOTS, sizeof(*pricer->slots));
	if (pricer->slots == NULL) {
		free(pricer);
		return NULL;
	}
	if (getrandom(&pricer->seed, sizeof(pricer->seed), 0) < 0) {
		pricer->seed = (uintptr_t)pricer;
	}
	find_figures(pricer);
	return pricer;
}

void pricer_destroy(struct pricer *pricer)
{
	if (pricer != NULL) {
		free(pricer->slots);
		free(pricer);
	}
}
