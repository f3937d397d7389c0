/* SPDX-License-Identifier: Apache-2.0 */

/*
 * prices.h - the books of a configuration, and the prices of records
 *
 * Books are asked in order: overrides of the configuration, the file that it
 * names, the one that is built in.  The first that has a model answers, also
 * where its answer is that a rate is missing.
 *
 * A set of books does not change once it is made; a reload makes another one.
 * So pricing takes no lock.  A pricer belongs to one thread.
 */
#ifndef CORE_PRICE_PRICES_H
#define CORE_PRICE_PRICES_H

#include <bursar/schema.h>

#include "price/price_compute.h"

#define PRICES_BOOKS 3

/* What is done about a record that no book can price. */
enum prices_unknown {
	PRICES_IGNORE,		/* it is counted */
	PRICES_WARN,		/* and a warning says so, once for a model */
	PRICES_RAISE,		/* an error, rather */
};

struct prices {
	struct price_book *books[PRICES_BOOKS];
	size_t             book_count;
	bool               has_builtin;	/* the last one is lent */
	enum prices_unknown unknown;
};

/* Frees the books; `prices` may be NULL. */
void prices_destroy(struct prices *prices);

/* Asks the books, and computes. */
void prices_ask(const struct prices *prices,
                const struct price_question *question,
                struct price_answer *answer);

/* The rule of an answer with a card, as it stands in records:
 * "book:openai/gpt-5@2025-08-07+batch^eu dated_snapshot".  Returns its
 * length. */
#define PRICES_RULE_SIZE 700
size_t prices_rule(const struct price_answer *answer,
                   char out[PRICES_RULE_SIZE]);

/* --- records ------------------------------------------------------------- */

struct pricer;

/* For the records of a source; prices NULL: nothing is computed.  NULL: out of
 * memory. */
struct pricer *pricer_create(const struct prices *prices, const char *source,
                             bool computed_first);
void pricer_destroy(struct pricer *pricer);

/*
 * Fills cost_usd, and where a book has a price cost_computed_usd, price_book
 * and price_rule of a metering record, from what stands in it.  Where the
 * price_book points to lives as long as the books do.  False: out of memory.
 */
bool pricer_price(struct pricer *pricer, struct bursar_record *record,
                  struct bursar_arena *arena);

#endif
