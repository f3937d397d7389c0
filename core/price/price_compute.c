/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <string.h>

#include "price/price_compute.h"

/* What pieces are counted by stands in the order of their rates. */
_Static_assert(PRICE_SAID_CHARACTERS - PRICE_SAID_IMAGES ==
               PRICE_CHARACTER - PRICE_IMAGE &&
               PRICE_SAID_MEDIA_MS - PRICE_SAID_IMAGES ==
               PRICE_SECOND - PRICE_IMAGE, "pieces are in order");
_Static_assert(PRICE_SAID_SEARCHES - PRICE_SAID_MODAL ==
               PRICE_BUCKETS - PRICE_MODAL &&
               PRICE_SAID_IMAGE_INPUT - PRICE_SAID_MODAL ==
               PRICE_IMAGE_INPUT - PRICE_MODAL, "sound comes first");

/* Bits of what is said of sound and images. */
#define MODAL ((1u << PRICE_SAID_SEARCHES) - (1u << PRICE_SAID_MODAL))

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
	[PRICE_NO_USAGE] = "nobody said how much was used",
	[PRICE_NO_RATE] = "something was used that has no rate",
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
	[PRICE_SAID_AUDIO_INPUT] = "audio_input_tokens",
	[PRICE_SAID_AUDIO_CACHE_READ] = "audio_cache_read_input_tokens",
	[PRICE_SAID_AUDIO_OUTPUT] = "audio_output_tokens",
	[PRICE_SAID_IMAGE_INPUT] = "image_input_tokens",
	[PRICE_SAID_IMAGE_CACHE_READ] = "image_cache_read_input_tokens",
	[PRICE_SAID_IMAGE_OUTPUT] = "image_output_tokens",
	[PRICE_SAID_SEARCHES] = "web_searches",
	[PRICE_SAID_IMAGES] = "images",
	[PRICE_SAID_PAGES] = "pages",
	[PRICE_SAID_MEDIA_MS] = "media_ms",
	[PRICE_SAID_CHARACTERS] = "characters",
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

static int64_t said(const struct price_usage *usage, enum price_count which)
{
	return usage->known >> which & 1 ? at_least_0(usage->count[which]) : 0;
}

/* At most its whole, where that was said. */
static int64_t part_of(const struct price_usage *usage, enum price_count part,
                       enum price_count whole)
{
	const int64_t most = usage->known >> whole & 1 ? said(usage, whole)
	                                               : INT64_MAX;

	return said(usage, part) < most ? said(usage, part) : most;
}

/* Takes sound and images out of the sorts whose parts they are; where a whole
 * was not said, its parts were. */
static void split_modal(const struct price_usage *usage,
                        int64_t tokens[PRICE_BUCKETS])
{
	static const enum price_count counts[PRICE_MODAL] = {
		[PRICE_INPUT] = PRICE_SAID_INPUT,
		[PRICE_CACHE_READ] = PRICE_SAID_CACHE_READ,
		[PRICE_OUTPUT] = PRICE_SAID_OUTPUT,
	};

	for (int modal = PRICE_MODAL; modal < PRICE_BUCKETS; modal++) {
		const enum price_rate text = price_text_rate(
			(enum price_rate)modal);
		int64_t part = said(usage, (enum price_count)(
			PRICE_SAID_MODAL + modal - PRICE_MODAL));

		if (usage->known >> counts[text] & 1) {
			part = part < tokens[text] ? part : tokens[text];
			tokens[text] -= part;
		}
		tokens[modal] = part;
	}
}

void price_usage_split(const struct price_usage *usage,
                       int64_t tokens[PRICE_BUCKETS])
{
	int64_t c[PRICE_SAID_MODAL];

	for (int i = 0; i < PRICE_SAID_MODAL; i++) {
		c[i] = said(usage, (enum price_count)i);
	}
	const int64_t hour = part_of(usage, PRICE_SAID_CACHE_WRITE_1H,
	                             PRICE_SAID_CACHE_WRITE);
	const int64_t hidden = part_of(usage, PRICE_SAID_HIDDEN,
	                               PRICE_SAID_OUTPUT);

	tokens[PRICE_INPUT] = c[PRICE_SAID_INPUT];
	tokens[PRICE_CACHE_READ] = c[PRICE_SAID_CACHE_READ];
	tokens[PRICE_CACHE_WRITE] =
		at_least_0(c[PRICE_SAID_CACHE_WRITE] - hour);
	tokens[PRICE_CACHE_WRITE_1H] = hour;
	tokens[PRICE_OUTPUT] = at_least_0(c[PRICE_SAID_OUTPUT] - hidden);
	tokens[PRICE_REASONING] = add(c[PRICE_SAID_THINKING], hidden);
	if ((usage->known & MODAL) != 0) {
		split_modal(usage, tokens);
	} else {
		memset(&tokens[PRICE_MODAL], 0, (PRICE_BUCKETS - PRICE_MODAL) *
		       sizeof(tokens[0]));
	}
}

/* All that was read: what chooses the tier. */
static int64_t prompt_of(const int64_t tokens[PRICE_BUCKETS], bool modal)
{
	int64_t prompt = add(add(tokens[PRICE_INPUT], tokens[PRICE_CACHE_READ]),
	                     add(tokens[PRICE_CACHE_WRITE],
	                         tokens[PRICE_CACHE_WRITE_1H]));

	for (int b = PRICE_MODAL; modal && b < PRICE_BUCKETS; b++) {
		if (b != PRICE_AUDIO_OUTPUT && b != PRICE_IMAGE_OUTPUT) {
			prompt = add(prompt, tokens[b]);
		}
	}
	return prompt;
}

bool price_mode_is_standard(const char *mode, size_t size)
{
	static const char *const standard[] = {
		"standard", "default", "auto", "on_demand", "ON_DEMAND",
	};

	for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
		if (strlen(standard[i]) == size &&
		    memcmp(standard[i], mode, size) == 0) {
			return true;
		}
	}
	return false;
}

/* The mode that is meant, "" the standard one: "fast" is another word. */
static struct bursar_span mode_name(struct bursar_span mode)
{
	static const char fast[] = "priority";

	while (mode.size > 0 && mode.data[0] == ' ') {
		mode.data++;
		mode.size--;
	}
	while (mode.size > 0 && mode.data[mode.size - 1] == ' ') {
		mode.size--;
	}
	if (price_mode_is_standard(mode.data, mode.size)) {
		mode.size = 0;
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
	/* A book may have a mode "fast" beside "priority". */
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

static size_t choose_window(const struct price_period *period, int64_t at_us)
{
	for (size_t i = 1; i < period->window_count; i++) {
		if (price_window_holds(&period->windows[i], at_us)) {
			return i;
		}
	}
	return 0;
}

/* Tokens times rates; of what is billed by pieces tokens cost nothing. */
static void multiply(struct price_answer *a, bool modal)
{
	const int buckets = modal ? PRICE_BUCKETS : PRICE_MODAL;

	a->sum = a->fees = 0;
	a->missing = 0;
	for (int b = 0; b < buckets; b++) {
		if (a->tokens[b] == 0) {
			continue;
		}
		if (a->card->rate[b] != PRICE_UNKNOWN) {
			a->sum += (price_sum)a->tokens[b] * a->card->rate[b];
		} else if (!a->card->by_pieces) {
			a->missing |= 1u << b;
		}
	}
}

static void count_pieces(const struct price_usage *usage,
                         int64_t pieces[PRICE_FEES])
{
	const int64_t searches = said(usage, PRICE_SAID_SEARCHES);

	pieces[PRICE_REQUEST - PRICE_BUCKETS] = 1;
	pieces[PRICE_SEARCH - PRICE_BUCKETS] = searches;
	pieces[PRICE_SEARCH_CALL - PRICE_BUCKETS] = searches > 0;
	for (int r = PRICE_PIECES; r < PRICE_RATES; r++) {
		pieces[r - PRICE_BUCKETS] = said(usage, (enum price_count)(
			PRICE_SAID_IMAGES + r - PRICE_PIECES));
	}
}

static bool any_token(const struct price_answer *a)
{
	for (int b = 0; b < PRICE_BUCKETS; b++) {
		if (a->tokens[b] > 0) {
			return true;
		}
	}
	return false;
}

/*
 * What is billed beside tokens, or in their place.  A search has to have a
 * rate, of one sort or the other.  How many images or pages there were may be
 * said of what is billed by tokens, or other pieces, too: they have to have one
 * where nothing else is billed.
 */
static void add_fees(struct price_answer *a, const struct price_usage *usage)
{
	const int64_t *rate = a->card->rate;
	unsigned billed = 0, missing = 0;

	count_pieces(usage, a->pieces);
	for (int r = PRICE_BUCKETS; r < PRICE_RATES; r++) {
		const int64_t count = a->pieces[r - PRICE_BUCKETS];

		if (count > 0 && rate[r] != PRICE_UNKNOWN) {
			a->fees += (price_sum)count * rate[r];
			billed |= 1u << r;
		} else if (count > 0) {
			missing |= 1u << r;
		}
	}
	if ((missing >> PRICE_SEARCH & 1) && (missing >> PRICE_SEARCH_CALL & 1)) {
		a->missing |= 1u << PRICE_SEARCH;
	}
	if (billed >> PRICE_PIECES == 0 &&
	    (a->card->by_pieces || !any_token(a))) {
		a->missing |= missing >> PRICE_PIECES << PRICE_PIECES;
	}
}

/* Whether it is billed by pieces, of which nothing was said. */
static bool is_unknown(const struct price_card *card, unsigned known)
{
	unsigned billed = 0;

	for (int r = PRICE_PIECES; card->by_pieces && r < PRICE_RATES; r++) {
		billed |= (unsigned)(card->rate[r] > 0) <<
			(PRICE_SAID_IMAGES + r - PRICE_PIECES);
	}
	return card->by_pieces && (known & billed) == 0;
}

static bool add_up(struct price_answer *a)
{
	const int64_t factor = a->region != NULL ? a->region->factor
	                                         : PRICE_FACTOR_ONE;

	return price_amount_raise(a->sum, factor, a->fees, &a->raised) &&
	       (factor == PRICE_FACTOR_ONE
	        ? price_amount_round(a->sum + a->fees, &a->nano)
	        : price_amount_round_raised(a->raised, &a->nano));
}

void price_compute(struct price_answer *a, const struct price_question *q)
{
	const bool modal = (q->usage.known & MODAL) != 0;

	a->period = price_model_at(a->model, q->at_us);
	if (a->period == NULL) {
		a->result = PRICE_NOT_THEN;
		return;
	}
	price_usage_split(&q->usage, a->tokens);
	a->prompt = prompt_of(a->tokens, modal);
	a->mode = price_mode(a->period, q->mode);
	a->tier = choose_tier(a->period, a->prompt);
	a->window = choose_window(a->period, q->at_us);
	a->card = &a->period->cards[price_card_place(a->period, a->window,
	                                             a->mode, a->tier)];
	a->region = price_regions_find(&a->period->regions, q->region);
	if (q->usage.known == 0) {
		a->result = PRICE_NO_USAGE;
		return;
	}
	multiply(a, modal);
	if (a->card->has_fees || q->usage.known >> PRICE_SAID_SEARCHES != 0) {
		add_fees(a, &q->usage);
	}
	a->result = a->missing != 0 ? PRICE_NO_RATE :
		is_unknown(a->card, q->usage.known) ? PRICE_NO_USAGE :
		add_up(a) ? PRICE_DONE : PRICE_TOO_MUCH;
}
