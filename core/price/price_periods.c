/* SPDX-License-Identifier: Apache-2.0 */

/* The periods of a model: times, modes, tiers, windows, rates. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "common/rfc3339.h"
#include "price/price_compute.h"
#include "price/price_make.h"

#define SHOWN_SIZE 80
/* Prices of requests and of pieces are in dollars, those of a second become
 * such of a millisecond; characters go by the unit of the book, as tokens. */
#define PIECE_SHIFT  15
#define SECOND_SHIFT 12

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
bool price_make_amount(const json_t *value, int shift, int64_t *price)
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

static int shift_of(const struct price_maker *maker, int rate)
{
	return rate < PRICE_BUCKETS || rate == PRICE_CHARACTER ? maker->shift
		: rate == PRICE_SECOND ? SECOND_SHIFT : PIECE_SHIFT;
}

/* A price, or for sound and images the name of the rate of text. */
static bool read_rate(const struct price_maker *maker, int rate,
                      const json_t *value, int64_t *given)
{
	const char *text = json_string_value(value);

	if (price_is_modal(rate) && text != NULL &&
	    strcmp(text, price_rate_names[price_text_rate(
			(enum price_rate)rate)]) == 0) {
		*given = PRICE_AS_TEXT;
		return true;
	}
	return price_make_amount(value, shift_of(maker, rate), given);
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
					"cache_write_1h, reasoning, "
					"audio_input, "
					"audio_cache_read, "
					"audio_output, image_input, "
					"image_cache_read, "
					"image_output, "
					"request, web_search, "
					"web_search_call, image, page, second "
					"and character", where, dot, name);
			}
			continue;
		}
		if (!read_rate(maker, rate, value, &given[rate])) {
			given[rate] = PRICE_UNKNOWN;
			price_maker_say(maker, "%s%s%s is %s, which is no "
			                "price: a number from 0 to a dollar "
			                "for each token, request or piece",
			                where, dot, name, shown(value, text));
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

static bool is_filled(const int64_t given[PRICE_RATES])
{
	for (int r = 0; r < PRICE_RATES; r++) {
		if (given[r] != PRICE_UNKNOWN) {
			return true;
		}
	}
	return false;
}

static void fill_tier(struct price_maker *maker, struct price_period *p,
                      size_t window, size_t mode, const json_t *object)
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
	int64_t *given =
		p->cards[price_card_place(p, window, mode, place)].given;
	if (is_filled(given)) {
		price_maker_say(maker, "%s: another one holds from the same "
		                "prompt on", where);
	}
	read_rates(maker, object, where, others, given);
}

static void fill_tiers(struct price_maker *maker, struct price_period *p,
                       size_t window, size_t mode, const json_t *of)
{
	const json_t *list = json_object_get(of, "tiers");
	const json_t *tier;
	size_t i;

	if (list != NULL && !json_is_array(list)) {
		price_maker_say(maker, "'tiers' is a list of tiers");
	}
	json_array_foreach(list, i, tier) {
		fill_tier(maker, p, window, mode, tier);
	}
}

static int compare_tiers(const void *a, const void *b)
{
	const int64_t x = ((const struct price_tier *)a)->tokens;
	const int64_t y = ((const struct price_tier *)b)->tokens;

	return (x > y) - (x < y);
}

/* --- modes --------------------------------------------------------------- */

static const json_t *modes_of(const json_t *of)
{
	return json_object_get(of, "modes");
}

static bool has_mode(const struct price_period *p, const char *name)
{
	for (size_t m = 1; m < p->mode_count; m++) {
		if (strcmp(p->modes[m], name) == 0) {
			return true;
		}
	}
	return false;
}

/* The modes that an object names get their places; false: out of memory. */
static bool note_modes(struct price_maker *maker, struct price_period *p,
                       const json_t *of)
{
	const char *name;
	json_t *value;

	if (modes_of(of) != NULL && !json_is_object(modes_of(of))) {
		price_maker_say(maker, "'modes' is an object of modes");
	}
	json_object_foreach((json_t *)modes_of(of), name, value) {
		if (!json_is_object(value) || !price_is_name(name, 40)) {
			price_maker_say(maker, "mode '%.40s': a mode has a "
			                "name of at most 40 bytes without "
			                "control characters and an object of "
			                "rates", name);
			continue;
		}
		if (price_mode_is_standard(name, strlen(name))) {
			price_maker_say(maker, "mode '%s' is the standard one, "
			                "whose rates stand beside 'modes'",
			                name);
			continue;
		}
		if (has_mode(p, name)) {
			continue;
		}
		if (p->mode_count > PRICE_MAX_MODES) {
			price_maker_say(maker, "more than %d modes",
			                PRICE_MAX_MODES);
			break;
		}
		p->modes[p->mode_count] = strdup(name);
		if (p->modes[p->mode_count++] == NULL) {
			return false;
		}
	}
	return true;
}

static void fill_modes(struct price_maker *maker, struct price_period *p,
                       size_t window, const json_t *of)
{
	static const char *const others[] = { "tiers", "notes", NULL };
	char where[SHOWN_SIZE];

	for (size_t m = 1; m < p->mode_count; m++) {
		const json_t *mode = json_object_get(modes_of(of), p->modes[m]);

		snprintf(where, sizeof(where), "modes.%s", p->modes[m]);
		read_rates(maker, mode, where, others,
		           p->cards[price_card_place(p, window, m, 0)].given);
		fill_tiers(maker, p, window, m, mode);
	}
}

/* --- windows ------------------------------------------------------------- */

static const json_t *windows_of(const json_t *period)
{
	return json_object_get(period, "windows");
}

/* The first window that holds counts: another one of its hours never does. */
static bool has_hours(const struct price_period *p, size_t window)
{
	char hours[PRICE_WINDOW_TEXT], others[PRICE_WINDOW_TEXT];

	price_window_text(&p->windows[window], hours);
	for (size_t i = 1; i < window; i++) {
		if (strcmp(price_window_text(&p->windows[i], others),
		           hours) == 0) {
			return true;
		}
	}
	return false;
}

/* Of a window that is wrong the place stays empty, which makes no book. */
static void note_windows(struct price_maker *maker, struct price_period *p,
                         const json_t *period)
{
	const json_t *list = windows_of(period);
	const json_t *window;
	size_t i;

	if (list != NULL && !json_is_array(list)) {
		price_maker_say(maker, "'windows' is a list of windows");
	}
	json_array_foreach(list, i, window) {
		if (p->window_count > PRICE_MAX_WINDOWS) {
			price_maker_say(maker, "more than %d windows",
			                PRICE_MAX_WINDOWS);
			break;
		}
		const size_t n = p->window_count++;

		if (price_window_read(maker, window, &p->windows[n]) &&
		    has_hours(p, n)) {
			price_maker_say(maker, "window '%s': another one holds "
			                "at the same hours",
			                p->windows[n].name);
		}
	}
}

static void fill_window(struct price_maker *maker, struct price_period *p,
                        size_t n, const json_t *window)
{
	static const char *const others[] = {
		"name", "hours", "days", "zone", "days-zone", "modes", "tiers",
		"notes", NULL,
	};
	char where[SHOWN_SIZE];

	snprintf(where, sizeof(where), "windows.%s", p->windows[n].name);
	read_rates(maker, window, where, others,
	           p->cards[price_card_place(p, n, 0, 0)].given);
	fill_tiers(maker, p, n, 0, window);
	fill_modes(maker, p, n, window);
}

/* --- periods ------------------------------------------------------------- */

/* Room for all that a period may have; false: out of memory. */
static bool begin_period(struct price_period *p)
{
	p->modes = calloc(PRICE_MAX_MODES + 1, sizeof(*p->modes));
	p->tiers = calloc(PRICE_MAX_TIERS + 1, sizeof(*p->tiers));
	p->windows = calloc(PRICE_MAX_WINDOWS + 1, sizeof(*p->windows));
	if (p->modes == NULL || p->tiers == NULL || p->windows == NULL ||
	    (p->modes[0] = strdup("standard")) == NULL) {
		return false;
	}
	p->mode_count = p->tier_count = p->window_count = 1;
	return true;
}

/* The modes and tiers of a price, or of a window of it. */
static bool note(struct price_maker *maker, struct price_period *p,
                 const json_t *of)
{
	const char *name;
	json_t *mode;

	note_tiers(p, of);
	json_object_foreach((json_t *)modes_of(of), name, mode) {
		note_tiers(p, mode);
	}
	return note_modes(maker, p, of);
}

static bool make_grid(struct price_maker *maker, struct price_period *p,
                      const json_t *period)
{
	const json_t *window;
	size_t i;

	if (!begin_period(p) || !note(maker, p, period)) {
		maker->no_memory = true;
		return false;
	}
	note_windows(maker, p, period);
	json_array_foreach(windows_of(period), i, window) {
		if (!note(maker, p, window)) {
			maker->no_memory = true;
			return false;
		}
	}
	qsort(p->tiers + 1, p->tier_count - 1, sizeof(*p->tiers),
	      compare_tiers);

	const size_t cards = price_card_place(p, p->window_count, 0, 0);
	if (cards > PRICE_MAX_CARDS) {
		price_maker_say(maker, "its modes, tiers and windows make more "
		                "than %d lists of rates", PRICE_MAX_CARDS);
		return false;
	}
	p->cards = calloc(cards, sizeof(*p->cards));
	if (p->cards == NULL) {
		maker->no_memory = true;
		return false;
	}
	for (i = 0; i < cards; i++) {
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
		"from", "until", "modes", "tiers", "windows", "regions",
		"notes", "source", NULL,
	};

	if (read_rates(maker, period, "", others, p->cards[0].given) == 0) {
		price_maker_say(maker, "a price without a rate");
	}
	price_regions_read(maker, json_object_get(period, "regions"),
	                   &p->regions);
	fill_tiers(maker, p, 0, 0, period);
	fill_modes(maker, p, 0, period);
	for (size_t n = 1; n < p->window_count; n++) {
		fill_window(maker, p, n,
		            json_array_get(windows_of(period), n - 1));
	}
}

static void make_period(struct price_maker *maker, struct price_period *p,
                        const json_t *period)
{
	if (!json_is_object(period)) {
		price_maker_say(maker, "a price is an object with rates");
		return;
	}
	p->from_us = read_time(maker, period, "from", INT64_MIN);
	p->until_us = read_time(maker, period, "until", INT64_MAX);
	if (p->until_us <= p->from_us) {
		price_maker_say(maker, "'until' is not after 'from'");
	}
	if (make_grid(maker, p, period)) {
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
		free(p->windows);
		price_regions_finish(&p->regions);
		free(p->cards);
	}
	free(model->periods);
}
