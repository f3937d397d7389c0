/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_import.h - books from what others keep
 *
 *	litellm		model_prices_and_context_window.json: dollars a token,
 *			or a search, image, page, second, character, query;
 *			_flex, _priority, _batches; _above_200k_tokens;
 *			tiered_pricing; off_peak_pricing; multipliers of
 *			regions and of fast
 *	models.dev	api.json: dollars a million; context_over_200k, tiers,
 *			modes that are tried out.  It has no price of an hour
 *			in a cache: for anthropic that is twice the input
 *	cost-tracker	{"metadata", "models": {"openai/gpt-4o": {"input",
 *			"batch_output" ...}}}: dollars a million
 *
 * What has no price of tokens or pieces is left out, and counted: nothing
 * becomes free by being unknown.  Of two entries for one name the first counts.
 */
#ifndef CORE_PRICE_PRICE_IMPORT_H
#define CORE_PRICE_PRICE_IMPORT_H

#include <jansson.h>

#include <bursar/plugin.h>

struct price_imported {
	size_t models;		/* in the book */
	size_t left_out;	/* without a price, or twice there */
	size_t free;		/* of the models: they cost nothing */
	size_t ignored;		/* members that look like prices of something
				 * else: images, seconds; or of a mode that is
				 * called as what is no mode */
};

/* "litellm", "models.dev", "cost-tracker", NULL. */
extern const char *const price_import_formats[];

/*
 * The book as a tree, to be given to json_decref(), from the tree of such a
 * file.  version names it; NULL: as the file says, else as the format is
 * called.  NULL with *err filled: no such format (EINVAL), or not of that shape
 * (EILSEQ).
 */
json_t *price_import(const char *format, const json_t *from,
                     const char *version, struct price_imported *imported,
                     struct bursar_error *err);

#endif
