/* SPDX-License-Identifier: Apache-2.0 */

/* From the rates that a book gives to those that hold, for each mode, tier and
 * window of a period. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "common/rfc3339.h"
#include "price/price_make.h"

#define DAY_US INT64_C(86400000000)

const char *const price_rate_names[PRICE_RATES] = {
	[PRICE_INPUT] = "input",
	[PRICE_CACHE_READ] = "cache_read",
	[PRICE_CACHE_WRITE] = "cache_write",
	[PRICE_CACHE_WRITE_1H] = "cache_write_1h",
	[PRICE_OUTPUT] = "output",
	[PRICE_REASONING] = "reasoning",
	[PRICE_AUDIO_INPUT] = "audio_input",
	[PRICE_AUDIO_CACHE_READ] = "audio_cache_read",
	[PRICE_AUDIO_OUTPUT] = "audio_output",
	[PRICE_IMAGE_INPUT] = "image_input",
	[PRICE_IMAGE_CACHE_READ] = "image_cache_read",
	[PRICE_IMAGE_OUTPUT] = "image_output",
	[PRICE_REQUEST] = "request",
	[PRICE_SEARCH] = "web_search",
	[PRICE_SEARCH_CALL] = "web_search_call",
	[PRICE_IMAGE] = "image",
	[PRICE_PAGE] = "page",
	[PRICE_SECOND] = "second",
	[PRICE_CHARACTER] = "character",
};

const struct price_unit price_units[PRICE_RATES] = {
	[PRICE_INPUT] = { "1M tokens", 1000000 },
	[PRICE_CACHE_READ] = { "1M tokens", 1000000 },
	[PRICE_CACHE_WRITE] = { "1M tokens", 1000000 },
	[PRICE_CACHE_WRITE_1H] = { "1M tokens", 1000000 },
	[PRICE_OUTPUT] = { "1M tokens", 1000000 },
	[PRICE_REASONING] = { "1M tokens", 1000000 },
	[PRICE_AUDIO_INPUT] = { "1M tokens", 1000000 },
	[PRICE_AUDIO_CACHE_READ] = { "1M tokens", 1000000 },
	[PRICE_AUDIO_OUTPUT] = { "1M tokens", 1000000 },
	[PRICE_IMAGE_INPUT] = { "1M tokens", 1000000 },
	[PRICE_IMAGE_CACHE_READ] = { "1M tokens", 1000000 },
	[PRICE_IMAGE_OUTPUT] = { "1M tokens", 1000000 },
	[PRICE_REQUEST] = { "request", 1 },
	[PRICE_SEARCH] = { "search", 1 },
	[PRICE_SEARCH_CALL] = { "call", 1 },
	[PRICE_IMAGE] = { "image", 1 },
	[PRICE_PAGE] = { "page", 1 },
	[PRICE_SECOND] = { "1000 ms", 1000 },
	[PRICE_CHARACTER] = { "1M characters", 1000000 },
};

/* In the order of the enumeration a stand-in comes before who needs it. */
_Static_assert(PRICE_INPUT < PRICE_CACHE_READ &&
               PRICE_CACHE_WRITE < PRICE_CACHE_WRITE_1H &&
               PRICE_OUTPUT < PRICE_REASONING &&
               PRICE_CACHE_READ < PRICE_MODAL && PRICE_OUTPUT < PRICE_MODAL &&
               PRICE_AUDIO_INPUT < PRICE_AUDIO_CACHE_READ &&
               PRICE_IMAGE_INPUT < PRICE_IMAGE_CACHE_READ,
               "stand-ins come first");

enum price_rate price_text_rate(enum price_rate modal)
{
	switch (modal) {
	case PRICE_AUDIO_INPUT:
	case PRICE_IMAGE_INPUT:
		return PRICE_INPUT;
	case PRICE_AUDIO_CACHE_READ:
	case PRICE_IMAGE_CACHE_READ:
		return PRICE_CACHE_READ;
	default:
		return PRICE_OUTPUT;
	}
}

struct place {
	size_t window, mode, tier;
};

/* The first of those cards that gives the rate, or NULL. */
static const struct price_card *first_of(const struct price_period *p,
                                         const struct place *places,
                                         size_t count, enum price_rate rate)
{
	for (size_t i = 0; i < count; i++) {
		const struct price_card *card = &p->cards[price_card_place(
			p, places[i].window, places[i].mode, places[i].tier)];

		if (card->given[rate] != PRICE_UNKNOWN) {
			return card;
		}
	}
	return NULL;
}

static size_t mode_of(const struct price_period *p,
                      const struct price_card *card)
{
	return (size_t)(card - p->cards) / p->tier_count % p->mode_count;
}

const struct price_card *price_given_by(const struct price_period *p,
                                        size_t window, size_t mode,
                                        size_t tier, enum price_rate rate)
{
	const struct place always[] = {
		{ 0, mode, tier }, { 0, 0, tier }, { 0, mode, 0 }, { 0, 0, 0 },
	};
	const struct place inside[] = {
		{ window, mode, tier }, { window, mode, 0 },
		{ window, 0, tier }, { window, 0, 0 },
	};
	const struct price_card *by = first_of(p, always, 4, rate);

	if (window == 0) {
		return by;
	}
	/* What a mode has of its own only its own rates of a window replace. */
	const bool own = by != NULL && mode_of(p, by) == mode;
	const struct price_card *in_window =
		first_of(p, inside, own ? 2 : 4, rate);
	return in_window != NULL ? in_window : by;
}

/* Of what is read from a cache: as text there, where it is as text before, else
 * as before. */
static enum price_rate modal_cache(const struct price_period *p, size_t window,
                                   size_t mode, size_t tier,
                                   enum price_rate rate)
{
	const enum price_rate input = rate == PRICE_AUDIO_CACHE_READ
		? PRICE_AUDIO_INPUT : PRICE_IMAGE_INPUT;
	const enum price_rate by = price_stand_in(p, window, mode, tier, input);

	return by == PRICE_INPUT ? PRICE_CACHE_READ
		: price_given_by(p, window, mode, tier, input) != NULL ? input
		: rate;
}

enum price_rate price_stand_in(const struct price_period *p, size_t window,
                               size_t mode, size_t tier, enum price_rate rate)
{
	const struct price_card *by = price_given_by(p, window, mode, tier,
	                                             rate);

	if (by != NULL) {
		return by->given[rate] == PRICE_AS_TEXT ? price_text_rate(rate)
		                                        : rate;
	}
	switch (rate) {
	case PRICE_CACHE_READ:
	case PRICE_CACHE_WRITE:
	case PRICE_IMAGE_INPUT:
		return PRICE_INPUT;
	case PRICE_CACHE_WRITE_1H:
		return PRICE_CACHE_WRITE;
	case PRICE_REASONING:
		return PRICE_OUTPUT;
	case PRICE_AUDIO_CACHE_READ:
	case PRICE_IMAGE_CACHE_READ:
		return modal_cache(p, window, mode, tier, rate);
	default:
		return rate;
	}
}

static void write_suffix(const struct price_period *p, size_t window,
                         size_t mode, size_t tier,
                         char out[PRICE_SUFFIX_SIZE])
{
	char from[RFC3339_SIZE] = "";
	size_t size = 0;

	if (p->from_us != INT64_MIN) {
		rfc3339_format(p->from_us, from);
		if (p->from_us % DAY_US == 0) {
			from[10] = '\0';
		}
		size += (size_t)snprintf(out, PRICE_SUFFIX_SIZE, "@%s", from);
	}
	if (mode > 0) {
		size += (size_t)snprintf(out + size, PRICE_SUFFIX_SIZE - size,
		                         "+%.40s", p->modes[mode]);
	}
	if (tier > 0) {
		size += (size_t)snprintf(out + size, PRICE_SUFFIX_SIZE - size,
		                         ">%s%lld",
		                         p->tiers[tier].inclusive ? "=" : "",
		                         (long long)p->tiers[tier].said);
	}
	if (window > 0) {
		size += (size_t)snprintf(out + size, PRICE_SUFFIX_SIZE - size,
		                         "~%s", p->windows[window].name);
	}
	out[size] = '\0';
}

/* What else there is than tokens. */
static void note_fees(struct price_card *card)
{
	card->by_pieces = false;
	for (int r = PRICE_BUCKETS; r < PRICE_RATES; r++) {
		card->has_fees |= card->rate[r] != PRICE_UNKNOWN;
		card->by_pieces |= r >= PRICE_PIECES && card->rate[r] > 0;
	}
	card->by_pieces = card->by_pieces && card->rate[PRICE_INPUT] <= 0 &&
		card->rate[PRICE_OUTPUT] <= 0;
	for (int r = PRICE_MODAL; r < PRICE_BUCKETS; r++) {
		card->by_pieces = card->by_pieces && card->rate[r] <= 0;
	}
}

/* Where text costs nothing, in and out, nothing is known to cost more. */
static int64_t modal_of_free(const struct price_card *card)
{
	return card->rate[PRICE_INPUT] == 0 && card->rate[PRICE_OUTPUT] == 0
		? 0 : PRICE_UNKNOWN;
}

static void make_card(struct price_period *p, size_t window, size_t mode,
                      size_t tier)
{
	struct price_card *card =
		&p->cards[price_card_place(p, window, mode, tier)];

	for (int r = 0; r < PRICE_RATES; r++) {
		const enum price_rate stand_in = price_stand_in(
			p, window, mode, tier, (enum price_rate)r);
		const struct price_card *by = price_given_by(
			p, window, mode, tier, stand_in);

		card->rate[r] = stand_in != (enum price_rate)r
			? card->rate[stand_in]
			: by != NULL ? by->given[r]
			: price_is_modal(r) ? modal_of_free(card)
			: PRICE_UNKNOWN;
	}
	note_fees(card);
	write_suffix(p, window, mode, tier, card->suffix);
}

void price_make_cards(struct price_period *p)
{
	for (size_t window = 0; window < p->window_count; window++) {
		for (size_t mode = 0; mode < p->mode_count; mode++) {
			for (size_t tier = 0; tier < p->tier_count; tier++) {
				make_card(p, window, mode, tier);
			}
		}
	}
}
