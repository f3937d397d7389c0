/* SPDX-License-Identifier: Apache-2.0 */

/* The periods of a model: times, modes, tiers, rates. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "common/rfc3339.h"
#include "price/price_make.h"

#define SHOWN_SIZE 80
/* Prices of requests are in dollars. */
#define REQUEST_SHIFT 15

/* A value as one may show it: cut where it is long. */
static const char *shown(const json_t *value, char out[SHOWN_SIZE])
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	snprintf(out, SHOWN_SIZE, "%.60s%s", text != NULL ? text : "",
	         text != NULL && strlen(text) > 60 ? "..." : "");
	free(text);
	return out;
}

/* --- values -------------------------------------------------------------- */

/* 15 digits are what every decimal survives being a double with. */
static bool read_amount(const json_t *value, int shift, int64_t *price)
{
	char text[64];

	if (json_is_string(value)) {
		return price_amount_parse(json_string_value(value), shift,
		                          price);
	}
	if (json_is_integer(value)) {
		snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT,
		         json_integer_value(value));
	} else if (json_is_real(value)) {
		snprintf(text, sizeof(text), "%.15g", json_real_value(value));
	} else {
		return false;
	}
	return price_amount_parse(text, shift, price);
}

static int find_rate(const char *name)
{
	for (int r = 0; r < PRICE_RATES; r++) {
		if (strcmp(price_rate_names[r], name) == 0) {
			return r;
		}
	}
	return -1;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names != NULL; names++) {
		if (strcmp(*names, name) == 0) {
			return true;
		}
	}
	return false;
}

/*
 * Takes the rates of an object; `others` are the members that somebody else
 * reads.  `where` says what it is: "", "modes.batch".  Returns how many.
 */
static size_t read_rates(struct price_maker *maker, const json_t *object,
                         const char *where, const char *const *others,
                         int64_t given[PRICE_RATES])
{
	const char *dot = where[0] != '\0' ? "." : "";
	char text[SHOWN_SIZE];
	const char *name;
	json_t *value;
	size_t count = 0;

	json_object_foreach((json_t *)object, name, value) {
		const int rate = find_rate(name);

		if (rate < 0) {
			if (!is_one_of(name, others)) {
				price_maker_say(maker, "'%s%s%.40s' is not "
					"known; rates are input, output, "
					"cache_read, cache_write, "
					"cache_write_1h, reasoning and "
					"request", where, dot, name);
			}
			continue;
		}
		if (!read_amount(value, rate == PRICE_REQUEST ? REQUEST_SHIFT
		                                              : maker->shift,
		                 &given[rate])) {
			given[rate] = PRICE_UNKNOWN;
			price_maker_say(maker, "%s%s%s is %s, which is no "
			                "price: a number from 0 to a dollar a "
			                "token", where, dot, name,
			                shown(value, text));
		}
		count++;
	}
	return count;
}

static int64_t read_time(struct price_maker *maker, const json_t *period,
                         const char *name, int64_t fallback)
{
	const json_t *value = json_object_get(period, name);
	const char *text = json_string_value(value);
	char out[SHOWN_SIZE], whole[40];
	int64_t us;

	if (value == NULL) {
		return fallback;
	}
	if (text != NULL && strlen(text) == 10) {
		snprintf(whole, sizeof(whole), "%sT00:00:00Z", text);
		text = whole;
	}
	if (text == NULL || !rfc3339_parse(text, strlen(text), &us)) {
		price_maker_say(maker, "'%s' is %s, which is no time: give a "
		                "date such as 2025-08-07, or RFC 3339", name,
		                shown(value, out));
		return fallback;
	}
	return us;
}

/* --- tiers --------------------------------------------------------------- */

/* From which prompt on a tier holds; false: it does not say. */
static bool tier_tokens(const json_t *tier, struct price_tier *out)
{
	const json_t *above = json_object_get(tier, "above");
	const json_t *from = json_object_get(tier, "from");
	const json_t *value = above != NULL ? above : from;

	if ((above == NULL) == (from == NULL) || !json_is_integer(value) ||
	    json_integer_value(value) <= 0 ||
	    json_integer_value(value) > INT64_C(1000000000000)) {
		return false;
	}
	out->said = json_integer_value(value);
	out->inclusive = above == NULL;
	out->tokens = out->said + (above != NULL);
	return true;
}

/* The place of that tier, made where there is none yet; 0: no room. */
static size_t tier_place(struct price_period *p, const struct price_tier *tier)
{
	for (size_t i = 1; i < p->tier_count; i++) {
		if (p->tiers[i].tokens == tier->tokens) {
			return i;
		}
	}
	if (p->tier_count > PRICE_MAX_TIERS) {
		return 0;
	}
	p->tiers[p->tier_count] = *tier;
	return p->tier_count++;
}

/* All tiers that an object names get their places; mistakes are told when they
 * are filled. */
static void note_tiers(struct price_period *p, const json_t *of)
{
	const json_t *tier;
	size_t i;

	json_array_foreach(json_object_get(of, "tiers"), i, tier) {
		struct price_tier what;

		if (tier_tokens(tier, &what)) {
			tier_place(p, &what);
		}
	}
}

static void fill_tier(struct price_maker *maker, struct price_period *p,
                      size_t mode, const json_t *object)
{
	static const char *const others[] = { "above", "from", NULL };
	struct price_tier tier;
	char where[SHOWN_SIZE];

	if (!tier_tokens(object, &tier)) {
		price_maker_say(maker, "a tier says 'above' (or 'from', where "
		                "that many count already) how many tokens of "
		                "prompt it holds");
		return;
	}
	const size_t place = tier_place(p, &tier);
	if (place == 0) {
		price_maker_say(maker, "more than %d tiers", PRICE_MAX_TIERS);
		return;
	}
	snprintf(where, sizeof(where), "%.30s tier of %lld", p->modes[mode],
	         (long long)tier.said);
	read_rates(maker, object, where, others,
	           p->cards[mode * p->tier_count + place].given);
}

static void fill_tiers(struct price_maker *maker, struct price_period *p,
                       size_t mode, const json_t *of)
{
	const json_t *list = json_object_get(of, "tiers");
	const json_t *tier;
	size_t i;

	if (list != NULL && !json_is_array(list)) {
		price_maker_say(maker, "'tiers' is a list of tiers");
	}
	json_array_foreach(list, i, tier) {
		fill_tier(maker, p, mode, tier);
	}
}

static int compare_tiers(const void *a, const void *b)
{
	const int64_t x = ((const struct price_tier *)a)->tokens;
	const int64_t y = ((const struct price_tier *)b)->tokens;

	return (x > y) - (x < y);
}

/* --- periods ------------------------------------------------------------- */

static const json_t *modes_of(const json_t *period)
{
	return json_object_get(period, "modes");
}

static bool name_modes(struct price_maker *maker, struct price_period *p,
                       const json_t *period)
{
	const char *name;
	json_t *value;

	p->modes = calloc(PRICE_MAX_MODES + 1, sizeof(*p->modes));
	p->tiers = calloc(PRICE_MAX_TIERS + 1, sizeof(*p->tiers));
	if (p->modes == NULL || p->tiers == NULL ||
	    (p->modes[0] = strdup("standard")) == NULL) {
		maker->no_memory = true;
		return false;
	}
	p->mode_count = p->tier_count = 1;
	json_object_foreach((json_t *)modes_of(period), name, value) {
		if (!json_is_object(value) || name[0] == '\0' ||
		    strlen(name) > 40) {
			price_maker_say(maker, "mode '%.40s': a mode has a "
			                "name of at most 40 bytes and an "
			                "object of rates", name);
			continue;
		}
		if (p->mode_count > PRICE_MAX_MODES) {
			price_maker_say(maker, "more than %d modes",
			                PRICE_MAX_MODES);
			break;
		}
		p->modes[p->mode_count] = strdup(name);
		if (p->modes[p->mode_count++] == NULL) {
			maker->no_memory = true;
			return false;
		}
	}
	return true;
}

static bool make_grid(struct price_maker *maker, struct price_period *p,
                      const json_t *period)
{
	note_tiers(p, period);
	for (size_t m = 1; m < p->mode_count; m++) {
		note_tiers(p, json_object_get(modes_of(period), p->modes[m]));
	}
	qsort(p->tiers + 1, p->tier_count - 1, sizeof(*p->tiers),
	      compare_tiers);

	const size_t cards = p->mode_count * p->tier_count;
	p->cards = calloc(cards, sizeof(*p->cards));
	if (p->cards == NULL) {
		maker->no_memory = true;
		return false;
	}
	for (size_t i = 0; i < cards; i++) {
		for (int r = 0; r < PRICE_RATES; r++) {
			p->cards[i].given[r] = PRICE_UNKNOWN;
		}
	}
	return true;
}

static void fill_period(struct price_maker *maker, struct price_period *p,
                        const json_t *period)
{
	static const char *const others[] = {
		"from", "until", "modes", "tiers", "notes", "source", NULL,
	};
	static const char *const of_modes[] = { "tiers", "notes", NULL };
	char where[SHOWN_SIZE];

	if (read_rates(maker, period, "", others, p->cards[0].given) == 0) {
		price_maker_say(maker, "a price without a rate");
	}
	fill_tiers(maker, p, 0, period);
	for (size_t m = 1; m < p->mode_count; m++) {
		const json_t *mode = json_object_get(modes_of(period),
		                                     p->modes[m]);

		snprintf(where, sizeof(where), "modes.%s", p->modes[m]);
		read_rates(maker, mode, where, of_modes,
		           p->cards[m * p->tier_count].given);
		fill_tiers(maker, p, m, mode);
	}
}

static void make_period(struct price_maker *maker, struct price_period *p,
                        const json_t *period)
{
	if (!json_is_object(period)) {
		price_maker_say(maker, "a price is an object with rates");
		return;
	}
	if (modes_of(period) != NULL && !json_is_object(modes_of(period))) {
		price_maker_say(maker, "'modes' is an object of modes");
		return;
	}
	p->from_us = read_time(maker, period, "from", INT64_MIN);
	p->until_us = read_time(maker, period, "until", INT64_MAX);
	if (p->until_us <= p->from_us) {
		price_maker_say(maker, "'until' is not after 'from'");
	}
	if (name_modes(maker, p, period) && make_grid(maker, p, period)) {
		fill_period(maker, p, period);
		price_make_cards(p);
	}
}

static int compare_periods(const void *a, const void *b)
{
	const int64_t x = ((const struct price_period *)a)->from_us;
	const int64_t y = ((const struct price_period *)b)->from_us;

	return (x > y) - (x < y);
}

void price_make_periods(struct price_maker *maker, struct price_model *model,
                        const json_t *prices)
{
	const size_t count = json_is_array(prices) ? json_array_size(prices)
	                                           : 1;

	if (count == 0 || count > PRICE_MAX_PERIODS) {
		price_maker_say(maker, "a model has 1 to %d prices, not %zu",
		                PRICE_MAX_PERIODS, count);
		return;
	}
	model->periods = calloc(count, sizeof(*model->periods));
	if (model->periods == NULL) {
		maker->no_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		make_period(maker, &model->periods[model->period_count++],
		            json_is_array(prices) ? json_array_get(prices, i)
		                                  : prices);
	}
	qsort(model->periods, count, sizeof(*model->periods),
	      compare_periods);
	for (size_t i = 1; i < count; i++) {
		if (model->periods[i].from_us == model->periods[i - 1].from_us) {
			price_maker_say(maker, "two prices hold from the same "
			                "time on");
		}
	}
}

void price_periods_finish(struct price_model *model)
{
	for (size_t i = 0; i < model->period_count; i++) {
		struct price_period *p = &model->periods[i];

		for (size_t m = 0; m < p->mode_count; m++) {
			free(p->modes[m]);
		}
		free(p->modes);
		free(p->tiers);
		free(p->cards);
	}
	free(model->periods);
}
