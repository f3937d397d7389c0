/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_match.h - from provider and model to a model of a book
 *
 * In one book, the first of these that hits; nothing is guessed, and what hits
 * more than one row hits none:
 *
 *	provider_model	"provider/model" is a key
 *	alias		... or another name of one, by the book
 *	model		the model, as it is written, is a key
 *	normalized_model  its part behind the last '/' is one
 *	of a provider that the book knows:
 *	  dated_snapshot  without a date at its end it is a key
 *	  canonical	  in the book's spelling it is one row: lower case,
 *			  without models/ ... in front, @20250929, -v1:0 or
 *			  :latest behind, a region in front; 4.5 is 4-5
 *	  fallback_provider  the same for those whose prices it shares
 *	  provider_default   it has a row "*"
 *	unique_providerless_model  the last part is that of exactly one row
 *	dated_snapshot  without its date the name, or its last part, is a key
 *	unique_providerless_dated_snapshot  ... or that of exactly one row
 */
#ifndef CORE_PRICE_MATCH_H
#define CORE_PRICE_MATCH_H

#include "price/price_book.h"

enum price_how {
	PRICE_PROVIDER_MODEL, PRICE_ALIAS, PRICE_MODEL, PRICE_NORMALIZED,
	PRICE_DATED, PRICE_CANONICAL, PRICE_FALLBACK, PRICE_DEFAULT,
	PRICE_UNIQUE, PRICE_UNIQUE_DATED,
	PRICE_HOWS
};

extern const char *const price_how_names[PRICE_HOWS];

/*
 * The model of the book that provider and model mean (either may be empty), or
 * NULL; then *how is left alone.
 */
const struct price_model *price_match(const struct price_book *book,
                                      struct bursar_span provider,
                                      struct bursar_span model,
                                      enum price_how *how);

/* A name in the spelling by which rows are compared; at most size bytes.
 * Returns its length. */
size_t price_canonical(const char *name, size_t size,
                       char out[PRICE_MAX_NAME]);

#endif
