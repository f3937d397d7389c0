/* SPDX-License-Identifier: Apache-2.0 */

/*
 * price_book.h - a table of prices, in memory
 *
 * A book has models, under keys such as "openai/gpt-4o" or, where nobody said
 * whose, "gpt-4o".  A model has periods, each from a time on until its end or
 * the next; a period has a card of rates for each of its modes, context tiers
 * and windows of hours.  Cards are made when a book is read, with all fallbacks
 * in them, so that pricing is a look-up and a few multiplications:
 *
 *	a rate that is not given for a mode in a tier is that of the tier, else
 *	of the mode, else that of the standard mode below all tiers; a cache
 *	rate that is given nowhere is the input rate (one for an hour that of
 *	the shorter cache first), reasoning is the output rate
 *
 *	images that are read cost as text where a book says nothing of them;
 *	sound, and images that are made, have no rate then
 *
 *	what a window gives comes before what holds at other hours; but a mode
 *	that has rates of its own keeps them where the window does not name it
 *
 * A book does not change once it is made.  Any thread.
 */
#ifndef CORE_PRICE_BOOK_H
#define CORE_PRICE_BOOK_H

#include "conf/conf.h"
#include "price/price_amount.h"
#include "price/price_region.h"
#include "price/price_window.h"

#define PRICE_MAX_BYTES   ((size_t)16 << 20)	/* of a file */
#define PRICE_MAX_MODELS  20000
#define PRICE_MAX_PROVIDERS 2000
#define PRICE_MAX_PERIODS 64
#define PRICE_MAX_MODES   8		/* besides the standard one */
#define PRICE_MAX_TIERS   8
#define PRICE_MAX_WINDOWS 4
#define PRICE_MAX_CARDS   512	/* of a period */
#define PRICE_MAX_ZONES   32	/* of a book */
#define PRICE_MAX_ALIASES 64
#define PRICE_MAX_NAME    200		/* bytes of a key or a name */
#define PRICE_MAX_VERSION 40
#define PRICE_SUFFIX_SIZE 150

/* What is billed.  The sorts of tokens never overlap. */
enum price_rate {
	PRICE_INPUT, PRICE_CACHE_READ, PRICE_CACHE_WRITE, PRICE_CACHE_WRITE_1H,
	PRICE_OUTPUT, PRICE_REASONING,
	PRICE_MODAL,			/* what is no text, up to BUCKETS */
	PRICE_AUDIO_INPUT = PRICE_MODAL, PRICE_AUDIO_CACHE_READ,
	PRICE_AUDIO_OUTPUT,
	PRICE_IMAGE_INPUT, PRICE_IMAGE_CACHE_READ, PRICE_IMAGE_OUTPUT,
	PRICE_BUCKETS,
	PRICE_REQUEST = PRICE_BUCKETS,	/* once a call; not given: nothing */
	PRICE_SEARCH,			/* for each search of the web ... */
	PRICE_SEARCH_CALL,		/* ... or once for a call that did */
	PRICE_PIECES,
	PRICE_IMAGE = PRICE_PIECES, PRICE_PAGE, PRICE_SECOND, PRICE_CHARACTER,
	PRICE_RATES
};
#define PRICE_FEES (PRICE_RATES - PRICE_BUCKETS)

/* "input", "cache_read" ... as books call them. */
extern const char *const price_rate_names[PRICE_RATES];

/* What a price is shown for, and how many times the rate that is. */
struct price_unit {
	const char *name;		/* "1M tokens", "image", "1000 ms" */
	int64_t     times;
};
extern const struct price_unit price_units[PRICE_RATES];

/* What a book gives instead of a rate of sound or images: that of the text, by
 * its name. */
#define PRICE_AS_TEXT INT64_C(-2)

static inline bool price_is_modal(int rate)
{
	return rate >= PRICE_MODAL && rate < PRICE_BUCKETS;
}

/* The rate of text beside that of sound or images. */
enum price_rate price_text_rate(enum price_rate modal);

struct price_card {
	/* What each record asks for stands first. */
	bool    has_fees;		/* rates of more than tokens */
	bool    by_pieces;		/* of images and the like, and none of
					 * tokens that is above 0 */
	int64_t rate[PRICE_RATES];	/* all fallbacks taken */
	char    suffix[PRICE_SUFFIX_SIZE];	/* "@2025-08-07+batch>272000" and
						 * "~off-peak" */
	int64_t given[PRICE_RATES];	/* as the book has it for this mode and
					 * tier; PRICE_UNKNOWN: not at all;
					 * PRICE_AS_TEXT */
};

struct price_tier {
	int64_t tokens;		/* of the whole prompt, from which it holds;
				 * 0 for the first */
	int64_t said;		/* as it was written ... */
	bool    inclusive;	/* ... with "from"; else "above" */
};

struct price_period {
	int64_t from_us;	/* INT64_MIN: always */
	int64_t until_us;	/* INT64_MAX: for ever */
	char  **modes;		/* [0] is "standard" */
	size_t  mode_count;
	struct price_tier *tiers;	/* ascending; [0] is no tier */
	size_t  tier_count;
	struct price_window *windows;	/* the first that holds counts; [0] is
					 * none of them: all other hours */
	size_t  window_count;
	struct price_card *cards;	/* see price_card_place() */
	struct price_regions regions;
};

static inline size_t price_card_place(const struct price_period *p,
                                      size_t window, size_t mode, size_t tier)
{
	return (window * p->mode_count + mode) * p->tier_count + tier;
}

struct price_model {
	char  *key;		/* "openai/gpt-4o", "gpt-4o" */
	size_t provider_size;	/* bytes of it before the '/'; 0: none */
	struct price_period *periods;	/* by from_us */
	size_t period_count;
};

struct price_book;
struct json_t;			/* of jansson */

/* Where what is wrong goes: findings of `line`, each text after `before`. */
struct price_findings {
	struct findings   *findings;
	const char        *before;	/* "FILE: " or "" */
	unsigned           line;
	const struct conf *lines;	/* a model's line is that of its key
					 * here; NULL: all have `line` */
};

/*
 * Makes a book of a tree (see docs/accounting.md for its shape).  `name` says
 * which it is in the rules of records: "book".  Returns it, to be given to
 * price_book_destroy(), or NULL with findings.
 */
struct price_book *price_book_make(const struct json_t *tree, const char *name,
                                   const struct price_findings *to);

/* The same from a file, and from text. */
struct price_book *price_book_load(const char *path, const char *name,
                                   const struct price_findings *to);
struct price_book *price_book_parse(const char *text, size_t size,
                                    const char *name,
                                    const struct price_findings *to);

/* The one that was built in; lent, made by the first call.  Main thread. */
struct price_book *price_book_builtin(void);

void price_book_destroy(struct price_book *book);

const char *price_book_name(const struct price_book *book);
/* As the file says, with 8 hex digits of a hash of what it says. */
const char *price_book_version(const struct price_book *book);
size_t price_book_count(const struct price_book *book);
/* Models in order of their keys. */
const struct price_model *price_book_model(const struct price_book *book,
                                           size_t i);

/* Whose rate a rate is there: its own, also where it has none, or that of
 * another sort, which may itself be another's. */
enum price_rate price_stand_in(const struct price_period *period,
                               size_t window, size_t mode, size_t tier,
                               enum price_rate rate);

/* The card of the period that gave a rate of another one, by the order above;
 * NULL: none did, so one of another sort stands in, if any. */
const struct price_card *price_given_by(const struct price_period *period,
                                        size_t window, size_t mode,
                                        size_t tier, enum price_rate rate);

/* The period that holds at that time, of several the one that began last; or
 * NULL. */
const struct price_period *price_model_at(const struct price_model *model,
                                          int64_t us);

/* --- for price_match.c --------------------------------------------------- */

enum price_index {
	PRICE_BY_KEY, PRICE_BY_ALIAS, PRICE_BY_SEGMENT, PRICE_BY_CANON,
	PRICE_INDEXES
};

/* The model under that text, or NULL; also where there are several. */
const struct price_model *price_book_find(const struct price_book *book,
                                          enum price_index index,
                                          const char *text, size_t size);

struct price_provider {
	char  *name;
	char **prices_of;	/* any names of those whose prices hold where
				 * it has none of its own */
	size_t prices_of_count;
};

/* A provider by its name or another of its names, or NULL. */
const struct price_provider *
price_book_provider(const struct price_book *book, const char *name,
                    size_t size);

#endif
