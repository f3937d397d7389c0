/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <assert.h>
#include <string.h>

#include "common/rfc3339.h"
#include "price/price_diff.h"

#define WHAT_SIZE 520

struct diff {
	price_diff_fn *fn;
	void          *context;
	size_t         count;
};

static void tell(struct diff *diff, enum price_change change, const char *key,
                 const char *what, const struct price_unit *unit,
                 int64_t old_rate, int64_t new_rate)
{
	const struct price_difference difference = {
		change, key, what, unit, old_rate, new_rate,
	};

	diff->count++;
	diff->fn(diff->context, &difference);
}

/* One list of rates of a period, by the places of what it is for. */
struct place {
	size_t window, mode, tier;
};

static const struct price_card *card_at(const struct price_period *p,
                                        struct place at)
{
	return &p->cards[price_card_place(p, at.window, at.mode, at.tier)];
}

static void name_rate(const struct price_period *p, struct place at, int rate,
                      char out[WHAT_SIZE])
{
	char hours[PRICE_WINDOW_TEXT] = "";

	if (at.window > 0) {
		price_window_text(&p->windows[at.window], hours);
	}
	snprintf(out, WHAT_SIZE, "%s%s%s%s", price_rate_names[rate],
	         card_at(p, at)->suffix, at.window > 0 ? " " : "", hours);
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

static bool same_hours(const struct price_window *a,
                       const struct price_window *b)
{
	char one[PRICE_WINDOW_TEXT], other[PRICE_WINDOW_TEXT];

	return strcmp(a->name, b->name) == 0 &&
	       strcmp(price_window_text(a, one), price_window_text(b, other))
	       == 0;
}

static bool is_same(const struct price_period *a, struct place in_a,
                    const struct price_period *b, struct place in_b)
{
	return a->tiers[in_a.tier].tokens == b->tiers[in_b.tier].tokens &&
	       strcmp(a->modes[in_a.mode], b->modes[in_b.mode]) == 0 &&
	       (in_a.window == 0 || in_b.window == 0
	        ? in_a.window == in_b.window
	        : same_hours(&a->windows[in_a.window],
	                     &b->windows[in_b.window]));
}

/* The place of the n-th list of a period; false behind the last one. */
static bool place_of(const struct price_period *p, size_t n, struct place *at)
{
	at->tier = n % p->tier_count;
	at->mode = n / p->tier_count % p->mode_count;
	at->window = n / p->tier_count / p->mode_count;
	return at->window < p->window_count;
}

/* What another period gives for the same mode, tier, window and rate. */
static int64_t given_in(const struct price_period *other,
                        const struct price_period *p, struct place at,
                        int rate)
{
	struct place there;

	for (size_t n = 0; other != NULL && place_of(other, n, &there); n++) {
		if (is_same(p, at, other, there)) {
			return card_at(other, there)->given[rate];
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
	struct place at;

	for (size_t n = 0; place_of(p, n, &at); n++) {
		const int64_t *given = card_at(p, at)->given;

		for (int r = 0; r < PRICE_RATES; r++) {
			const int64_t there = given[r] == PRICE_UNKNOWN
				? PRICE_UNKNOWN : given_in(other, p, at, r);

			if (given[r] == there || (only_missing &&
			                          there != PRICE_UNKNOWN)) {
				continue;
			}
			name_rate(p, at, r, what);
			tell(diff, PRICE_CHANGED, key, what, &price_units[r],
			     only_missing ? PRICE_UNKNOWN : given[r],
			     only_missing ? given[r] : there);
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
		tell(diff, PRICE_CHANGED, key, what, NULL, PRICE_UNKNOWN,
		     PRICE_UNKNOWN);
	}
}

/* The place of a window of p in another period; 0: it has none of its hours. */
static size_t window_in(const struct price_period *other,
                        const struct price_window *window)
{
	for (size_t i = 1; i < other->window_count; i++) {
		if (same_hours(window, &other->windows[i])) {
			return i;
		}
	}
	return 0;
}

/* The first window that holds counts, so that their order is a price, too. */
static void compare_order(struct diff *diff, const char *key,
                          const struct price_period *p,
                          const struct price_period *other)
{
	char what[WHAT_SIZE];
	size_t last = 0;

	for (size_t i = 1; other != NULL && i < p->window_count; i++) {
		const size_t there = window_in(other, &p->windows[i]);

		if (there != 0 && there < last) {
			snprintf(what, sizeof(what), "order of windows%s",
			         p->cards[0].suffix);
			tell(diff, PRICE_CHANGED, key, what, NULL,
			     PRICE_UNKNOWN, PRICE_UNKNOWN);
			return;
		}
		last = there != 0 ? there : last;
	}
}

static int64_t factor_of(const struct price_period *p, const char *name)
{
	for (size_t i = 0; p != NULL && i < p->regions.count; i++) {
		if (strcmp(p->regions.items[i].name, name) == 0) {
			return p->regions.items[i].factor;
		}
	}
	return PRICE_UNKNOWN;
}

/* Factors of p beside those of `other`, told as compare_period() does. */
static void compare_regions(struct diff *diff, const char *key,
                            const struct price_period *p,
                            const struct price_period *other,
                            bool only_missing)
{
	char what[WHAT_SIZE];

	for (size_t i = 0; i < p->regions.count; i++) {
		const struct price_region *region = &p->regions.items[i];
		const int64_t there = factor_of(other, region->name);

		if (there == region->factor ||
		    (only_missing && there != PRICE_UNKNOWN)) {
			continue;
		}
		snprintf(what, sizeof(what), "region %s%s", region->name,
		         p->cards[0].suffix);
		tell(diff, PRICE_CHANGED, key, what, NULL,
		     only_missing ? PRICE_UNKNOWN : region->factor,
		     only_missing ? region->factor : there);
	}
}

static void compare_models(struct diff *diff, const struct price_model *old,
                           const struct price_model *new)
{
	for (size_t i = 0; i < old->period_count; i++) {
		const struct price_period *p = &old->periods[i];
		const struct price_period *other = period_from(new, p->from_us);

		compare_period(diff, old->key, p, other, false);
		compare_regions(diff, old->key, p, other, false);
		compare_ends(diff, old->key, p, other);
		compare_order(diff, old->key, p, other);
	}
	for (size_t i = 0; i < new->period_count; i++) {
		const struct price_period *p = &new->periods[i];
		const struct price_period *other = period_from(old, p->from_us);

		compare_period(diff, new->key, p, other, true);
		compare_regions(diff, new->key, p, other, true);
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
			tell(&diff, PRICE_REMOVED, a->key, NULL, NULL,
			     PRICE_UNKNOWN, PRICE_UNKNOWN);
		} else if (order > 0) {
			tell(&diff, PRICE_ADDED, b->key, NULL, NULL,
			     PRICE_UNKNOWN, PRICE_UNKNOWN);
		} else {
			compare_models(&diff, a, b);
		}
		i += order <= 0;
		n += order >= 0;
	}
	return diff.count;
}
