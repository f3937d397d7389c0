/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "price/prices.h"

void prices_destroy(struct prices *prices)
{
	if (prices == NULL) {
		return;
	}
	for (size_t i = 0; i < prices->book_count - prices->has_builtin; i++) {
		price_book_destroy(prices->books[i]);
	}
	free(prices);
}

void prices_ask(const struct prices *prices,
                const struct price_question *question,
                struct price_answer *answer)
{
	*answer = (struct price_answer){ .result = PRICE_NO_MATCH };
	if (question->model.size == 0) {
		answer->result = PRICE_NO_MODEL;
		return;
	}
	for (size_t i = 0; i < prices->book_count; i++) {
		answer->model = price_match(prices->books[i],
		                            question->provider,
		                            question->model, &answer->how);
		if (answer->model != NULL) {
			answer->book = prices->books[i];
			price_compute(answer, question);
			return;
		}
	}
}

static size_t put(char *out, size_t at, const char *text)
{
	const size_t size = strlen(text);

	memcpy(out + at, text, size);
	return at + size;
}

size_t prices_rule(const struct price_answer *answer,
                   char out[PRICES_RULE_SIZE])
{
	size_t at = put(out, 0, price_book_name(answer->book));

	out[at++] = ':';
	at = put(out, at, answer->model->key);
	at = put(out, at, answer->card->suffix);
	if (answer->region != NULL) {
		out[at++] = '^';
		at = put(out, at, answer->region->name);
	}
	out[at++] = ' ';
	return put(out, at, price_how_names[answer->how]);
}
