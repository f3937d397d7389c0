/* SPDX-License-Identifier: Apache-2.0 */

/* From the rates that a book gives to those that hold, for each mode and tier
 * of a period. */
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
	[PRICE_REQUEST] = "request",
};

/* The bucket whose rate holds where a bucket has none; itself: none does. */
static const enum price_rate stands_in[PRICE_RATES] = {
	[PRICE_INPUT] = PRICE_INPUT,
	[PRICE_CACHE_READ] = PRICE_INPUT,
	[PRICE_CACHE_WRITE] = PRICE_INPUT,
	[PRICE_CACHE_WRITE_1H] = PRICE_CACHE_WRITE,
	[PRICE_OUTPUT] = PRICE_OUTPUT,
	[PRICE_REASONING] = PRICE_OUTPUT,
	[PRICE_REQUEST] = PRICE_REQUEST,
};

/* In the order of the enumeration a stand-in comes before who needs it, but
 * for none. */
_Static_assert(PRICE_INPUT < PRICE_CACHE_READ &&
               PRICE_CACHE_WRITE < PRICE_CACHE_WRITE_1H &&
               PRICE_OUTPUT < PRICE_REASONING, "stand-ins come first");

static int64_t first_given(const struct price_period *p, size_t mode,
                           size_t tier, enum price_rate rate)
{
	const size_t n = p->tier_count;
	const struct price_card *const places[] = {
		&p->cards[mode * n + tier], &p->cards[tier],
		&p->cards[mode * n], &p->cards[0],
	};

	for (size_t i = 0; i < 4; i++) {
		if (places[i]->given[rate] != PRICE_UNKNOWN) {
			return places[i]->given[rate];
		}
	}
	return PRICE_UNKNOWN;
}

static void write_suffix(const struct price_period *p, size_t mode,
                         size_t tier, char out[PRICE_SUFFIX_SIZE])
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
	out[size] = '\0';
}

void price_make_cards(struct price_period *p)
{
	for (size_t mode = 0; mode < p->mode_count; mode++) {
		for (size_t tier = 0; tier < p->tier_count; tier++) {
			struct price_card *card =
				&p->cards[mode * p->tier_count + tier];

			for (int r = 0; r < PRICE_RATES; r++) {
				card->rate[r] = first_given(
					p, mode, tier, (enum price_rate)r);
				if (card->rate[r] == PRICE_UNKNOWN) {
					card->rate[r] =
						card->rate[stands_in[r]];
				}
			}
			write_suffix(p, mode, tier, card->suffix);
		}
	}
}
