/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <string.h>

#include "price/price_compute.h"

const char *const price_result_names[PRICE_RESULTS] = {
	[PRICE_DONE] = "done", [PRICE_NO_MODEL] = "no-model",
	[PRICE_NO_MATCH] = "no-match", [PRICE_NOT_THEN] = "not-then",
	[PRICE_NO_USAGE] = "no-usage", [PRICE_NO_RATE] = "no-rate",
	[PRICE_TOO_MUCH] = "too-much",
};

const char *const price_result_texts[PRICE_RESULTS] = {
	[PRICE_DONE] = "priced",
	[PRICE_NO_MODEL] = "the record names no model",
	[PRICE_NO_MATCH] = "no entry matched provider and model",
	[PRICE_NOT_THEN] = "its book has no price for that time",
	[PRICE_NO_USAGE] = "nobody said how many tokens were used",
	[PRICE_NO_RATE] = "a sort of tokens was used that has no rate",
	[PRICE_TOO_MUCH] = "more dollars than a number holds",
};

const char *const price_count_fields[PRICE_COUNTS] = {
	[PRICE_SAID_INPUT] = "input_tokens",
	[PRICE_SAID_CACHE_READ] = "cache_read_input_tokens",
	[PRICE_SAID_CACHE_WRITE] = "cache_write_input_tokens",
	[PRICE_SAID_CACHE_WRITE_1H] = "cache_write_1h_input_tokens",
	[PRICE_SAID_OUTPUT] = "output_tokens",
	[PRICE_SAID_THINKING] = "thinking_tokens",
	[PRICE_SAID_HIDDEN] = "hidden_output_tokens",
};

static int64_t at_least_0(int64_t number)
{
	return number > 0 ? number : 0;
}

static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

void price_usage_split(const struct price_usage *usage,
                       int64_t tokens[PRICE_BUCKETS])
{
	int64_t c[PRICE_COUNTS];

	for (int i = 0; i < PRICE_COUNTS; i++) {
		c[i] = usage->known >> i & 1 ? at_least_0(usage->count[i]) : 0;
	}
	const int64_t hour = c[PRICE_SAID_CACHE_WRITE_1H];
	const int64_t hidden = c[PRICE_SAID_HIDDEN] < c[PRICE_SAID_OUTPUT] ||
		!(usage->known >> PRICE_SAID_OUTPUT & 1)
		? c[PRICE_SAID_HIDDEN] : c[PRICE_SAID_OUTPUT];

	tokens[PRICE_INPUT] = c[PRICE_SAID_INPUT];
	tokens[PRICE_CACHE_READ] = c[PRICE_SAID_CACHE_READ];
	tokens[PRICE_CACHE_WRITE] =
		at_least_0(c[PRICE_SAID_CACHE_WRITE] - hour);
	tokens[PRICE_CACHE_WRITE_1H] = hour;
	tokens[PRICE_OUTPUT] = at_least_0(c[PRICE_SAID_OUTPUT] - hidden);
	tokens[PRICE_REASONING] = add(c[PRICE_SAID_THINKING], hidden);
}

/* What providers call the tier that has no name of its own, and one that has
 * two. */
static struct bursar_span mode_name(struct bursar_span mode)
{
	static const char *const standard[] = {
		"standard", "default", "auto", "on_demand", "ON_DEMAND",
	};
	static const char fast[] = "priority";

	while (mode.size > 0 && mode.data[0] == ' ') {
		mode.data++;
		mode.size--;
	}
	while (mode.size > 0 && mode.data[mode.size - 1] == ' ') {
		mode.size--;
	}
	for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
		if (strlen(standard[i]) == mode.size &&
		    memcmp(standard[i], mode.data, mode.size) == 0) {
			mode.size = 0;
		}
	}
	if (mode.size == 4 && memcmp(mode.data, "fast", 4) == 0) {
		return (struct bursar_span){ fast, sizeof(fast) - 1 };
	}
	return mode;
}

static size_t find_mode(const struct price_period *period,
                        struct bursar_span mode)
{
	for (size_t i = 1; i < period->mode_count; i++) {
		if (strlen(period->modes[i]) == mode.size &&
		    memcmp(period->modes[i], mode.data, mode.size) == 0) {
			return i;
		}
	}
	return 0;
}

size_t price_mode(const struct price_period *period, struct bursar_span mode)
{
	/* A book may have a mode of that very name. */
	const size_t own = mode.size == 0 ? 0 : find_mode(period, mode);

	if (own != 0 || mode.size == 0) {
		return own;
	}
	mode = mode_name(mode);
	return mode.size == 0 ? 0 : find_mode(period, mode);
}

static size_t choose_tier(const struct price_period *period, int64_t prompt)
{
	size_t tier = period->tier_count - 1;

	while (tier > 0 && prompt < period->tiers[tier].tokens) {
		tier--;
	}
	return tier;
}

static void multiply(struct price_answer *a)
{
	a->sum = 0;
	a->missing = 0;
	for (int b = 0; b < PRICE_BUCKETS; b++) {
		if (a->tokens[b] == 0) {
			continue;
		}
		if (a->card->rate[b] == PRICE_UNKNOWN) {
			a->missing |= 1u << b;
		} else {
			a->sum += (price_sum)a->tokens[b] * a->card->rate[b];
		}
	}
	if (a->card->rate[PRICE_REQUEST] != PRICE_UNKNOWN) {
		a->sum += a->card->rate[PRICE_REQUEST];
	}
}

void price_compute(struct price_answer *a, int64_t at_us,
                   struct bursar_span mode, const struct price_usage *usage)
{
	a->period = price_model_at(a->model, at_us);
	if (a->period == NULL) {
		a->result = PRICE_NOT_THEN;
		return;
	}
	price_usage_split(usage, a->tokens);
	a->prompt = add(add(a->tokens[PRICE_INPUT],
	                    a->tokens[PRICE_CACHE_READ]),
	                add(a->tokens[PRICE_CACHE_WRITE],
	                    a->tokens[PRICE_CACHE_WRITE_1H]));
	a->mode = price_mode(a->period, mode);
	a->tier = choose_tier(a->period, a->prompt);
	a->card = &a->period->cards[a->mode * a->period->tier_count + a->tier];
	if (usage->known == 0) {
		a->result = PRICE_NO_USAGE;
		return;
	}
	multiply(a);
	a->result = a->missing != 0 ? PRICE_NO_RATE :
		price_amount_round(a->sum, &a->nano) ? PRICE_DONE :
		PRICE_TOO_MUCH;
}
