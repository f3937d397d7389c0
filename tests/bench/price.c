/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bench/price - what pricing a record costs
 *
 * Records of the built-in book's models, some under dated names, some in a
 * batch, some of no book, are priced as a source's are.  Prints nanoseconds of
 * CPU a record: the median of the rounds, once with names seen before and once
 * asked of the books each time.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/plugin/schema.h"
#include "core/price/prices.h"

#define RECORDS    4096
#define ROUNDS     101
#define NAME_SIZE  256
#define ARENA_SIZE ((size_t)RECORDS * 256)

static char memory[ARENA_SIZE];
static size_t used;

static void *take(struct bursar_arena *arena, size_t size)
{
	void *at = memory + used;

	(void)arena;
	used += (size + 15) & ~(size_t)15;
	return used <= ARENA_SIZE ? at : NULL;
}

static struct bursar_arena arena = { take };
static struct bursar_record *records[RECORDS];

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void set_text(struct bursar_record *record, const char *field,
                     const char *text)
{
	bursar_set_text(record, bursar_field_find(record->kind, field), text,
	                strlen(text));
}

static void set_number(struct bursar_record *record, const char *field,
                       int64_t number)
{
	bursar_set_number(record, bursar_field_find(record->kind, field),
	                  number);
}

static struct bursar_record *make(const struct price_book *book, unsigned n)
{
	const struct bursar_kind *kind = &schema.kinds[0];
	const struct price_model *m = price_book_model(
		book, n * 7919u % price_book_count(book));
	struct bursar_record *record = calloc(1, sizeof(*record) +
		kind->field_count * sizeof(record->values[0]));
	char *name = malloc(NAME_SIZE);
	char *provider = strndup(m->key, m->provider_size);

	if (record == NULL || name == NULL || provider == NULL) {
		exit(EXIT_FAILURE);
	}
	record->kind = kind;
	snprintf(name, NAME_SIZE, "%s%s%s", n % 20 == 0 ? "house-" : "",
	         m->key + m->provider_size + 1,
	         n % 4 == 0 ? "-2026-01-15" : "");
	set_text(record, "provider", provider);
	set_text(record, "model_id", name);
	if (n % 10 == 0) {
		set_text(record, "pricing_mode", "batch");
	}
	set_number(record, "input_tokens", n * 31 % 300000);
	set_number(record, "output_tokens", n * 17 % 4000);
	set_number(record, "cache_read_input_tokens", n * 13 % 90000);
	bursar_set_number(record, BURSAR_RECORDED_AT,
	                  INT64_C(1793491200000000));
	return record;
}

/* Nothing is kept of it: as the first record of its sort. */
static void price_anew(const struct prices *prices)
{
	struct price_answer answer;

	for (unsigned i = 0; i < RECORDS; i++) {
		const struct bursar_value *values = records[i]->values;
		const struct bursar_kind *kind = records[i]->kind;
		const struct bursar_value *of =
			&values[bursar_field_find(kind, "provider")];
		const struct bursar_value *name =
			&values[bursar_field_find(kind, "model_id")];
		struct price_question q = {
			.provider = { of->text, of->size },
			.model = { name->text, name->size },
			.mode = { "", 0 }, .at_us = INT64_C(1793491200000000),
		};

		price_usage_set(&q.usage, PRICE_SAID_INPUT, i);
		prices_ask(prices, &q, &answer);
	}
}

static void price_all(struct pricer *pricer)
{
	used = 0;
	for (unsigned i = 0; i < RECORDS; i++) {
		if (!pricer_price(pricer, records[i], &arena)) {
			exit(EXIT_FAILURE);
		}
	}
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(const char *what, struct pricer *pricer,
                    const struct prices *prices)
{
	double took[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		const double begin = cpu_seconds();

		if (pricer != NULL) {
			price_all(pricer);
		} else {
			price_anew(prices);
		}
		took[i] = (cpu_seconds() - begin) / RECORDS;
	}
	qsort(took, ROUNDS, sizeof(took[0]), compare);
	printf("%-5s %4.0f ns of CPU a record\n", what,
	       took[ROUNDS / 2] * 1e9);
}

int main(void)
{
	struct price_book *book = price_book_builtin();
	const struct prices prices = {
		.books = { book }, .book_count = 1, .has_builtin = true,
		.unknown = PRICES_IGNORE,
	};
	struct pricer *pricer = pricer_create(&prices, "bench", false);

	for (unsigned i = 0; i < RECORDS; i++) {
		records[i] = make(book, i);
	}
	measure("known", pricer, NULL);
	measure("new", NULL, &prices);
	pricer_destroy(pricer);
	return EXIT_SUCCESS;
}
