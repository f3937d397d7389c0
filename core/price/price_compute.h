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
	PRICE_SAID_MODAL,		/* in the order of their rates */
	PRICE_SAID_AUDIO_INPUT = PRICE_SAID_MODAL, PRICE_SAID_AUDIO_CACHE_READ,
	PRICE_SAID_AUDIO_OUTPUT,
	PRICE_SAID_IMAGE_INPUT, PRICE_SAID_IMAGE_CACHE_READ,
	PRICE_SAID_IMAGE_OUTPUT,
	PRICE_SAID_SEARCHES,
	PRICE_SAID_IMAGES, PRICE_SAID_PAGES, PRICE_SAID_MEDIA_MS,
	PRICE_SAID_CHARACTERS,
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

struct price_question {
	struct bursar_span provider;	/* "" where unknown, as the others */
	struct bursar_span model;
	struct bursar_span mode;
	struct bursar_span region;
	int64_t            at_us;
	struct price_usage usage;
};

/* Tokens by bucket, never overlapping; below zero counts as none, a part that
 * is more than its whole, or than what other parts leave of it, as that. */
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
	size_t   window;		/* 0: none */
	const struct price_card *card;
	const struct price_region *region;	/* NULL: none that counts */
	int64_t  prompt;		/* tokens that choose the tier */
	int64_t  tokens[PRICE_BUCKETS];
	int64_t  pieces[PRICE_FEES];	/* from PRICE_REQUEST on; of seconds,
					 * thousandths */
	unsigned missing;		/* bits of enum price_rate: NO_RATE */
	price_sum sum;			/* of tokens */
	price_sum fees;			/* of what no region raises */
	price_sum raised;		/* DONE: all, price_amount_raise() */
	int64_t  nano;			/* ... and rounded */
};

/* Whether the name is one that providers give to what has no name of its own:
 * the rates beside `modes`, never a mode of a book. */
bool price_mode_is_standard(const char *mode, size_t size);

/* The mode that the text means among those of a period; 0: standard. */
size_t price_mode(const struct price_period *period, struct bursar_span mode);

/* Fills what comes after `how` in *answer, which has a model. */
void price_compute(struct price_answer *answer,
                   const struct price_question *question);

#endif
