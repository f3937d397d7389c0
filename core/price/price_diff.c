/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>
#include <string.h>

#include "common/rfc3339.h"
#include "price/price_diff.h"

#define WHAT_SIZE 200

struct diff {
	price_diff_fn *fn;
	void          *context;
	size_t         count;
};

static void tell(struct diff *diff, enum price_change change, const char *key,
                 const char *what, int64_t old_rate, int64_t new_rate)
{
	const struct price_difference difference = {
		change, key, what, old_rate, new_rate,
	};

	diff->count++;
	diff->fn(diff->context, &difference);
}

static void name_rate(const struct price_period *p, size_t mode, size_t tier,
                      int rate, char out[WHAT_SIZE])
{
	const struct price_card *card = &p->cards[mode * p->tier_count + tier];

	snprintf(out, WHAT_SIZE, "%s%s", price_rate_names[rate], card->suffix);
}

/* The period of a model that begins at that time, or NULL. */
static const struct price_period *period_from(const struct price_model *model,
                                              int64_t from_us)
{
	for (size_t i = 0; i < model->period_count; i++) {
		if (model->periods[i].from_us == from_us) {
			return &model->periods[i];
		}
	}
	return NULL;
}

/* What another period gives for the same mode, tier and rate. */
static int64_t given_in(const struct price_period *other,
                        const struct price_period *p, size_t mode, size_t tier,
                        int rate)
{
	for (size_t m = 0; other != NULL && m < other->mode_count; m++) {
		if (strcmp(other->modes[m], p->modes[mode]) != 0) {
			continue;
		}
		for (size_t t = 0; t < other->tier_count; t++) {
			if (other->tiers[t].tokens == p->tiers[tier].tokens) {
				return other->cards[m * other->tier_count + t]
					.given[rate];
			}
		}
	}
	return PRICE_UNKNOWN;
}

/*
 * Rates of p beside those of `other`.  With `only_missing` those that `other`
 * does not give at all, told as new ones.
 */
static void compare_period(struct diff *diff, const char *key,
                           const struct price_period *p,
                           const struct price_period *other,
                           bool only_missing)
{
	char what[WHAT_SIZE];

	for (size_t m = 0; m < p->mode_count; m++) {
		for (size_t t = 0; t < p->tier_count; t++) {
			const int64_t *given =
				p->cards[m * p->tier_count + t].given;

			for (int r = 0; r < PRICE_RATES; r++) {
				const int64_t there =
					given_in(other, p, m, t, r);

				if (given[r] == PRICE_UNKNOWN ||
				    given[r] == there || (only_missing &&
				    there != PRICE_UNKNOWN)) {
					continue;
				}
				name_rate(p, m, t, r, what);
				tell(diff, PRICE_CHANGED, key, what,
				     only_missing ? PRICE_UNKNOWN : given[r],
				     only_missing ? given[r] : there);
			}
		}
	}
}

static void compare_ends(struct diff *diff, const char *key,
                         const struct price_period *old,
                         const struct price_period *new)
{
	char what[WHAT_SIZE], time[RFC3339_SIZE];

	if (old != NULL && new != NULL && old->until_us != new->until_us) {
		const int64_t us = new->until_us != INT64_MAX ? new->until_us
		                                              : old->until_us;

		snprintf(what, sizeof(what), "until %s%s",
		         rfc3339_format(us, time),
		         new->until_us == INT64_MAX ? " no more" : "");
		tell(diff, PRICE_CHANGED, key, what, PRICE_UNKNOWN,
		     PRICE_UNKNOWN);
	}
}

static void compare_models(struct diff *diff, const struct price_model *old,
                           const struct price_model *new)
{
	for (size_t i = 0; i < old->period_count; i++) {
		const struct price_period *p = &old->periods[i];
		const struct price_period *other = period_from(new, p->from_us);

		compare_period(diff, old->key, p, other, false);
		compare_ends(diff, old->key, p, other);
	}
	for (size_t i = 0; i < new->period_count; i++) {
		const struct price_period *p = &new->periods[i];

		compare_period(diff, new->key, p, period_from(old, p->from_us),
		               true);
	}
}

size_t price_diff(const struct price_book *old, const struct price_book *new,
                  price_diff_fn *fn, void *context)
{
	struct diff diff = { fn, context, 0 };
	size_t i = 0, n = 0;

	while (i < price_book_count(old) || n < price_book_count(new)) {
		const struct price_model *a = i < price_book_count(old)
			? price_book_model(old, i) : NULL;
		const struct price_model *b = n < price_book_count(new)
			? price_book_model(new, n) : NULL;

		assert(a != NULL || b != NULL);

		const int order = a == NULL ? 1 : b == NULL ? -1 :
			strcmp(a->key, b->key);
		if (order < 0) {
			tell(&diff, PRICE_REMOVED, a->key, NULL, PRICE_UNKNOWN,
			     PRICE_UNKNOWN);
		} else if (order > 0) {
			tell(&diff, PRICE_ADDED, b->key, NULL, PRICE_UNKNOWN,
			     PRICE_UNKNOWN);
		} else {
			compare_models(&diff, a, b);
		}
		i += order <= 0;
		n += order >= 0;
	}
	return diff.count;
}
