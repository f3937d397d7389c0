/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_make.h - what the files that make a book share
 */
#ifndef CORE_PRICE_MAKE_H
#define CORE_PRICE_MAKE_H

#include <jansson.h>

#include "price/price_book.h"

/* A book in the making; what is wrong stands in to->findings. */
struct price_maker {
	struct price_book *book;
	const struct price_findings *to;
	const char *model;	/* the key of the one at hand; NULL: none */
	int         shift;	/* of token prices, see price_amount_parse() */
	bool        no_memory;
};

/* Adds a finding about the model at hand, or the book. */
__attribute__((format(printf, 2, 3)))
void price_maker_say(struct price_maker *maker, const char *fmt, ...);

/*
 * Periods of a model: one object, or a list of them.  Fills model->periods,
 * with cards; what is at fault is left out, with findings.
 */
void price_make_periods(struct price_maker *maker, struct price_model *model,
                        const json_t *prices);
void price_periods_finish(struct price_model *model);

/* Takes the fallbacks and writes the suffixes; all `given` are filled. */
void price_make_cards(struct price_period *period);

/* An empty book, NULL: out of memory; and what is done when it is full. */
struct price_book *price_book_new(const char *name);
void price_book_done(struct price_book *book, const char *version);

/* A model of the book under that key, which is new; NULL with a finding. */
struct price_model *price_book_add(struct price_maker *maker,
                                   const char *provider, const char *name);
/* Another name of it. */
void price_book_add_alias(struct price_maker *maker,
                          const struct price_model *model, const char *name);
/* A provider, with its other names and those whose prices it shares; both are
 * lists of texts, or NULL. */
void price_book_add_provider(struct price_maker *maker, const char *name,
                             const json_t *aliases, const json_t *prices_of);

#endif
