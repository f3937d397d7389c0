/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_compute.h - what a call costs
 *
 * From a model of a book, a time, a mode and what was used to a cost, with all
 * that led to it, so that it can be explained.  Any thread.
 */
#ifndef CORE_PRICE_COMPUTE_H
#define CORE_PRICE_COMPUTE_H

#include "price/price_match.h"

enum price_result {
	PRICE_DONE,
	PRICE_NO_MODEL,		/* the record names none */
	PRICE_NO_MATCH,		/* no book has it */
	PRICE_NOT_THEN,		/* its book has no price for that time */
	PRICE_NO_USAGE,		/* nobody said what was used */
	PRICE_NO_RATE,		/* a sort of token was used that has no rate */
	PRICE_TOO_MUCH,		/* more dollars than a number holds */
	PRICE_RESULTS
};

/* "done", "no-model" ... and a sentence on each. */
extern const char *const price_result_names[PRICE_RESULTS];
extern const char *const price_result_texts[PRICE_RESULTS];

/* What a record says was used, field by field; bits of `known` by number. */
enum price_count {
	PRICE_SAID_INPUT, PRICE_SAID_CACHE_READ, PRICE_SAID_CACHE_WRITE,
	PRICE_SAID_CACHE_WRITE_1H, PRICE_SAID_OUTPUT, PRICE_SAID_THINKING,
	PRICE_SAID_HIDDEN,
	PRICE_COUNTS
};

/* The metering field of each. */
extern const char *const price_count_fields[PRICE_COUNTS];

struct price_usage {
	int64_t  count[PRICE_COUNTS];
	unsigned known;
};

static inline void price_usage_set(struct price_usage *usage,
                                   enum price_count which, int64_t count)
{
	usage->count[which] = count;
	usage->known |= 1u << which;
}

/* Tokens by bucket, never overlapping; below zero counts as none, a part that
 * is more than its whole as the whole. */
void price_usage_split(const struct price_usage *usage,
                       int64_t tokens[PRICE_BUCKETS]);

struct price_answer {
	enum price_result          result;
	const struct price_book   *book;	/* NULL: none has it */
	const struct price_model  *model;
	enum price_how             how;
	const struct price_period *period;	/* NULL: NOT_THEN */
	size_t   mode;			/* of the period; 0: standard */
	size_t   tier;
	const struct price_card *card;
	int64_t  prompt;		/* tokens that choose the tier */
	int64_t  tokens[PRICE_BUCKETS];
	unsigned missing;		/* bits of enum price_rate: NO_RATE */
	price_sum sum;
	int64_t  nano;			/* DONE */
};

/* The mode that the text means among those of a period; 0: standard. */
size_t price_mode(const struct price_period *period, struct bursar_span mode);

/* Fills what comes after `how` in *answer, which has a model. */
void price_compute(struct price_answer *answer, int64_t at_us,
                   struct bursar_span mode, const struct price_usage *usage);

#endif
