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

/* Whether the text can name something: 1 to `most` bytes, and nothing that
 * moves the cursor of who reads it. */
bool price_is_name(const char *text, size_t most);

/* A number, or a text that stands for one, see price_amount_parse(). */
bool price_make_amount(const json_t *value, int shift, int64_t *price);

/* Takes the fallbacks and writes the suffixes; all `given` are filled. */
void price_make_cards(struct price_period *period);

/* The regions of an object, NULL for none; what is wrong is a finding. */
void price_regions_read(struct price_maker *maker, const json_t *object,
                        struct price_regions *regions);

/* What stands beside the rates of a window; false after a finding. */
bool price_window_read(struct price_maker *maker, const json_t *object,
                       struct price_window *window);

/* The zone of that name, read where the book has none yet, whose it is.  NULL
 * with *err filled: as zone_create(); E2BIG: PRICE_MAX_ZONES are there. */
struct zone *price_book_zone(struct price_book *book, const char *name,
                             struct bursar_error *err);

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
/* Once all are there: a finding for each name that two of them have, and for
 * each provider whose prices are shared and that the book does not have. */
void price_book_check_providers(struct price_maker *maker);

#endif
