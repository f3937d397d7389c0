/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a book of prices, and as the file of another project: a book or
 * a finding.  Of a book every row is found under its key, costs what its card
 * says, and differs in nothing from itself.  The first byte says as which.
 */
#include "config.h"

#include <string.h>

#include <jansson.h>

#include "core/price/price_diff.h"
#include "core/price/price_import.h"
#include "core/price/prices.h"
#include "tests/fuzz.h"

static void nothing(void *context, const struct price_difference *difference)
{
	(void)context, (void)difference;
}

static void require_good_findings(const struct findings *findings)
{
	FUZZ_REQUIRE(findings->count > 0);
	for (size_t i = 0; i < findings->count; i++) {
		const char *text = findings->items[i].text;

		FUZZ_REQUIRE(text[0] != '\0' && strlen(text) < 1024);
		FUZZ_REQUIRE(strpbrk(text, "\n\r\t\x1b\x7f") == NULL);
	}
}

static void require_price(struct price_book *book,
                          const struct price_model *model)
{
	const struct prices prices = { .books = { book }, .book_count = 1 };
	struct price_question q = {
		.provider = { model->key, model->provider_size },
		.model = { model->key, strlen(model->key) },
		.mode = { "batch", 5 }, .at_us = INT64_C(1780000000000000),
	};
	char rule[PRICES_RULE_SIZE];
	struct price_answer a;

	if (model->provider_size > 0) {
		q.model.data += model->provider_size + 1;
		q.model.size -= model->provider_size + 1;
	}
	price_usage_set(&q.usage, PRICE_SAID_INPUT, 300000);
	price_usage_set(&q.usage, PRICE_SAID_OUTPUT, 7);
	price_usage_set(&q.usage, PRICE_SAID_AUDIO_INPUT, 100000);
	price_usage_set(&q.usage, PRICE_SAID_IMAGE_CACHE_READ, 5);
	price_usage_set(&q.usage, PRICE_SAID_IMAGE_OUTPUT, 8);
	prices_ask(&prices, &q, &a);
	FUZZ_REQUIRE(a.model == model || q.model.size == 0);
	if (a.model != NULL && a.card != NULL) {
		FUZZ_REQUIRE(prices_rule(&a, rule) < sizeof(rule));
		FUZZ_REQUIRE(a.tokens[PRICE_INPUT] == 200000);
		FUZZ_REQUIRE(a.prompt == 300005);
		FUZZ_REQUIRE(a.result != PRICE_DONE || a.nano >= 0);
		FUZZ_REQUIRE((a.result == PRICE_NO_RATE) == (a.missing != 0));
	}
}

static void require_good_book(struct price_book *book)
{
	for (size_t i = 0; i < price_book_count(book); i++) {
		const struct price_model *model = price_book_model(book, i);

		FUZZ_REQUIRE(price_book_find(book, PRICE_BY_KEY, model->key,
		                             strlen(model->key)) == model);
		FUZZ_REQUIRE(model->period_count > 0);
		require_price(book, model);
	}
	FUZZ_REQUIRE(price_diff(book, book, nothing, NULL) == 0);
}

static void import(const char *data, size_t size, const char *format,
                   const struct price_findings *to)
{
	json_t *from = json_loadb(data, size, 0, NULL);
	struct bursar_error err = { 0 };
	struct price_imported imported;

	if (from == NULL) {
		return;
	}
	json_t *tree = price_import(format, from, "fuzz", &imported, &err);
	FUZZ_REQUIRE((tree == NULL) == (err.code != 0));
	struct price_book *book = tree == NULL ? NULL :
		price_book_make(tree, "fuzz", to);
	if (book != NULL) {
		FUZZ_REQUIRE(price_book_count(book) == imported.models);
		require_good_book(book);
	}
	price_book_destroy(book);
	json_decref(tree);
	json_decref(from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct findings findings = { 0 };
	const struct price_findings to = { .findings = &findings,
	                                   .before = "" };
	const char *text = (const char *)data + 1;

	if (size == 0) {
		return 0;
	}
	if (data[0] >= '1' && data[0] <= '3') {
		import(text, size - 1, price_import_formats[data[0] - '1'],
		       &to);
	} else {
		struct price_book *book = price_book_parse(text, size - 1,
		                                           "fuzz", &to);

		if (book != NULL) {
			require_good_book(book);
		} else {
			require_good_findings(&findings);
		}
		price_book_destroy(book);
	}
	findings_finish(&findings);
	return 0;
}
