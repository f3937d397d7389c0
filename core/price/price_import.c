/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One function for each format turns an entry into a price; what they share
 * stands first.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "price/price_compute.h"
#include "price/price_import.h"
#include "price/price_make.h"

#define NAME_SIZE 200

const char *const price_import_formats[] = {
	"litellm", "models.dev", "cost-tracker", NULL,
};

struct import {
	json_t *providers;		/* of the book */
	struct price_imported *counts;
};

/* --- what all share ------------------------------------------------------ */

/* The member of an object, made where it is not there. */
static json_t *object_in(json_t *object, const char *name)
{
	json_t *member = json_object_get(object, name);

	if (member == NULL) {
		member = json_object();
		json_object_set_new(object, name, member);
	}
	return member;
}

/* Where the rates of a mode go; NULL, counted, where the name is no mode. */
static json_t *mode_in(struct import *import, json_t *price, const char *mode)
{
	if (price_mode_is_standard(mode, strlen(mode))) {
		import->counts->ignored++;
		return NULL;
	}
	return object_in(object_in(price, "modes"), mode);
}

/* The same of a list. */
static json_t *list_in(json_t *object, const char *name)
{
	json_t *list = json_object_get(object, name);

	if (list == NULL) {
		list = json_array();
		json_object_set_new(object, name, list);
	}
	return list;
}

/* The tier of a price above (or from) so many tokens. */
static json_t *tier_in(json_t *price, const char *rule, json_int_t tokens)
{
	json_t *list = list_in(price, "tiers");
	json_t *tier;
	size_t i;

	json_array_foreach(list, i, tier) {
		if (json_integer_value(json_object_get(tier, rule)) == tokens) {
			return tier;
		}
	}
	tier = json_pack("{sI}", rule, tokens);
	json_array_append_new(list, tier);
	return tier;
}

/* A number, or a text that stands for one. */
static bool is_amount(const json_t *value)
{
	return json_is_number(value) || json_is_string(value);
}

static double amount_of(const json_t *value)
{
	return json_is_string(value) ? strtod(json_string_value(value), NULL)
	                             : json_number_value(value);
}

static void set(json_t *price, const char *rate, json_t *value)
{
	json_object_set(price, rate, value);
}

/* Whether something else than tokens of text costs something. */
static bool has_pieces(const json_t *price)
{
	static const char *const rates[] = {
		"image", "page", "second", "character", "request",
		"audio_input", "audio_output", "image_input", "image_output",
	};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		if (amount_of(json_object_get(price, rates[i])) > 0) {
			return true;
		}
	}
	return false;
}

/* What costs as text without a cache does so with one: it is written down as
 * such, as their files say nothing of its caches. */
static void note_as_text(json_t *price)
{
	static const struct { const char *rate, *text; } rates[] = {
		{ "audio_input", "input" }, { "image_input", "input" },
		{ "audio_output", "output" }, { "image_output", "output" },
	};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		const json_t *rate = json_object_get(price, rates[i].rate);
		const json_t *text = json_object_get(price, rates[i].text);

		if (rate != NULL && text != NULL &&
		    amount_of(rate) == amount_of(text)) {
			json_object_set_new(price, rates[i].rate,
			                    json_string(rates[i].text));
		}
	}
}

/* Adds a model, whose reference is taken; without any price it is left out. */
static void add_model(struct import *import, const char *provider,
                      const char *name, json_t *price, const json_t *aliases)
{
	const json_t *input = json_object_get(price, "input");
	const json_t *output = json_object_get(price, "output");
	json_t *models = object_in(object_in(import->providers, provider),
	                           "models");

	if ((input == NULL && output == NULL && !has_pieces(price)) ||
	    name[0] == '\0' ||
	    strlen(name) > NAME_SIZE ||
	    json_object_get(models, name) != NULL) {
		import->counts->left_out++;
		json_decref(price);
		return;
	}
	note_as_text(price);
	import->counts->models++;
	import->counts->free += amount_of(input) == 0 &&
		amount_of(output) == 0 && !has_pieces(price);
	if (json_array_size(aliases) > 0) {
		price = json_pack("{sO so}", "aliases", aliases, "prices",
		                  price);
	}
	json_object_set_new(models, name, price);
}

/* --- LiteLLM ------------------------------------------------------------- */

static const struct {
	const char *field;
	const char *rate;
} litellm_fields[] = {
	/* Longer ones first, where one begins with the other. */
	{ "cache_creation_input_token_cost_above_1hr", "cache_write_1h" },
	{ "cache_creation_input_token_cost", "cache_write" },
	{ "cache_read_input_token_cost", "cache_read" },
	{ "output_cost_per_reasoning_token", "reasoning" },
	{ "cache_read_input_audio_token_cost", "audio_cache_read" },
	{ "cache_read_input_image_token_cost", "image_cache_read" },
	{ "cache_read_input_token_cost_per_audio_token", "audio_cache_read" },
	{ "input_cost_per_audio_token", "audio_input" },
	{ "output_cost_per_audio_token", "audio_output" },
	{ "input_cost_per_image_token", "image_input" },
	{ "output_cost_per_image_token", "image_output" },
	{ "input_cost_per_token", "input" },
	{ "output_cost_per_token", "output" },
	{ "input_cost_per_request", "request" },
};

/* What is not billed by tokens, for entries of some mode, or of any (NULL);
 * of two that mean the same rate the first counts. */
static const struct {
	const char *field;
	const char *rate;
	const char *mode;
} litellm_pieces[] = {
	{ "output_cost_per_image", "image", NULL },
	{ "input_cost_per_image", "image", "image_generation" },
	{ "ocr_cost_per_page", "page", NULL },
	{ "input_cost_per_page", "page", "ocr" },
	{ "output_cost_per_second", "second", "video_generation" },
	{ "output_cost_per_second", "second", "audio_speech" },
	{ "input_cost_per_second", "second", "audio_transcription" },
	{ "input_cost_per_character", "character", "audio_speech" },
	{ "input_cost_per_query", "request", "search" },
	{ "input_cost_per_query", "request", "rerank" },
};

/* What stands behind the name of a field: a tier, a mode, in any order. */
struct suffix {
	const char *mode;	/* NULL: standard */
	json_int_t  above;	/* 0: no tier */
};

static bool read_suffix(const char *at, struct suffix *suffix)
{
	static const struct { const char *word, *mode; } modes[] = {
		{ "_flex", "flex" }, { "_priority", "priority" },
		{ "_batches", "batch" },
	};

	while (*at != '\0') {
		const char *before = at;
		char *end;

		for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
			const size_t size = strlen(modes[i].word);

			if (strncmp(at, modes[i].word, size) == 0) {
				suffix->mode = modes[i].mode;
				at += size;
			}
		}
		if (strncmp(at, "_above_", 7) == 0) {
			const long thousands = strtol(at + 7, &end, 10);

			if (thousands <= 0 || thousands > 1000000 ||
			    strncmp(end, "k_tokens", 8) != 0) {
				return false;
			}
			suffix->above = thousands * 1000;
			at = end + 8;
		}
		if (at == before) {
			return false;
		}
	}
	return true;
}

/* Thresholds of xAI count already when they are reached. */
static const char *tier_rule(const char *provider)
{
	return strcmp(provider, "xai") == 0 ? "from" : "above";
}

static void litellm_rate(struct import *import, json_t *price,
                         const char *provider, const char *name,
                         json_t *value)
{
	for (size_t i = 0; i < sizeof(litellm_fields) /
	     sizeof(litellm_fields[0]); i++) {
		const size_t size = strlen(litellm_fields[i].field);
		struct suffix suffix = { NULL, 0 };
		json_t *place = price;

		if (strncmp(name, litellm_fields[i].field, size) != 0 ||
		    !read_suffix(name + size, &suffix)) {
			continue;
		}
		if (!is_amount(value)) {
			break;
		}
		if (suffix.mode != NULL) {
			place = object_in(object_in(place, "modes"),
			                  suffix.mode);
		}
		if (suffix.above > 0) {
			place = tier_in(place, tier_rule(provider),
			                suffix.above);
		}
		set(place, litellm_fields[i].rate, value);
		return;
	}
	import->counts->ignored += strstr(name, "cost") != NULL &&
		is_amount(value);
}

/* Ranges of prompts, each with all its rates: a cache without one of its own
 * costs as the input of its range. */
static void litellm_ranges(struct import *import, json_t *price,
                           const char *provider, const json_t *ranges)
{
	const json_t *range;
	size_t i;

	json_array_foreach(ranges, i, range) {
		const json_t *from = json_array_get(json_object_get(
			range, "range"), 0);
		const json_int_t tokens = (json_int_t)json_number_value(from);
		json_t *place = tokens > 0
			? tier_in(price, tier_rule(provider), tokens) : price;
		const char *name;
		json_t *value;

		json_object_foreach((json_t *)range, name, value) {
			litellm_rate(import, place, provider, name, value);
		}
		json_t *input = json_object_get(place, "input");
		if (tokens > 0 && input != NULL) {
			static const char *const caches[] = {
				"cache_read", "cache_write", "cache_write_1h",
			};

			for (int c = 0; c < 3; c++) {
				if (json_object_get(place, caches[c]) == NULL) {
					set(place, caches[c], input);
				}
			}
		}
	}
}

/* Their names of providers say also by which interface. */
static const char *litellm_provider(const json_t *entry)
{
	static const struct { const char *begins, *name; } names[] = {
		{ "vertex_ai", "vertex_ai" }, { "bedrock", "bedrock" },
		{ "text-completion-openai", "openai" },
		{ "cohere", "cohere" },
	};
	const char *provider = json_string_value(
		json_object_get(entry, "litellm_provider"));

	for (size_t i = 0; provider != NULL &&
	     i < sizeof(names) / sizeof(names[0]); i++) {
		if (strncmp(provider, names[i].begins,
		            strlen(names[i].begins)) == 0) {
			return names[i].name;
		}
	}
	return provider;
}

/* For a middling context where it says more than one. */
static json_t *litellm_search(const json_t *entry)
{
	json_t *of = json_object_get(entry, "search_context_cost_per_query");
	json_t *value = json_object_get(of, "search_context_size_medium");

	return value != NULL ? value
		: json_object_get(of, "search_context_size_low");
}

/* Whether it says of images that are billed by tokens how many tokens come to
 * one, as a price: they are not billed twice. */
static bool is_by_tokens(const json_t *price, const char *rate)
{
	return strcmp(rate, "image") == 0 &&
	       json_object_get(price, "image_output") != NULL;
}

static void litellm_fees(struct import *import, json_t *price,
                         const json_t *entry)
{
	const char *mode = json_string_value(json_object_get(entry, "mode"));
	const char *unit = json_string_value(json_object_get(
		entry, "web_search_billing_unit"));
	const char *provider = litellm_provider(entry);
	json_t *search = litellm_search(entry);

	for (size_t i = 0; i < sizeof(litellm_pieces) /
	     sizeof(litellm_pieces[0]); i++) {
		json_t *value = json_object_get(entry, litellm_pieces[i].field);
		const char *only = litellm_pieces[i].mode;

		if (is_amount(value) && (only == NULL || (mode != NULL &&
		    strcmp(mode, only) == 0)) && json_object_get(
		    price, litellm_pieces[i].rate) == NULL &&
		    !is_by_tokens(price, litellm_pieces[i].rate)) {
			set(price, litellm_pieces[i].rate, value);
			import->counts->ignored--;
		}
	}
	if (is_amount(search)) {
		const bool per_prompt = unit != NULL
			? strcmp(unit, "per_prompt") == 0
			: strcmp(provider, "gemini") == 0 ||
			  strcmp(provider, "vertex_ai") == 0;

		set(price, per_prompt ? "web_search_call" : "web_search",
		    search);
	}
}

/* The rates of tokens of an object times `times`. */
static void multiply(json_t *rates, const json_t *of, double times)
{
	for (size_t i = 0; i < sizeof(litellm_fields) /
	     sizeof(litellm_fields[0]); i++) {
		const char *rate = litellm_fields[i].rate;
		const json_t *value = json_object_get(of, rate);

		if (value != NULL && strcmp(rate, "request") != 0) {
			json_object_set_new(rates, rate, json_real(
				amount_of(value) * times));
		}
	}
}

/* A mode that costs so many times what the standard one does, long prompts
 * too. */
static void litellm_times(struct import *import, json_t *price,
                          const char *mode, const json_t *factor)
{
	const double times = amount_of(factor);
	const json_t *tier;
	int64_t amount;
	size_t i;

	if (!price_make_amount(factor, 0, &amount) || times <= 0) {
		import->counts->ignored++;
		return;
	}
	json_t *rates = object_in(object_in(price, "modes"), mode);
	multiply(rates, price, times);
	json_array_foreach(json_object_get(price, "tiers"), i, tier) {
		const char *rule = json_object_get(tier, "from") != NULL
			? "from" : "above";

		multiply(tier_in(rates, rule, json_integer_value(
			json_object_get(tier, rule))), tier, times);
	}
}

/* By how much regions raise what tokens cost; those who are not named: any. */
static void litellm_regions(struct import *import, json_t *price,
                            const json_t *entry)
{
	static const struct { const char *field, *region; } regions[] = {
		{ "regional_processing_uplift_multiplier_eu", "eu" },
		{ "regional_processing_uplift_multiplier_us", "us" },
		{ "regional_endpoint_uplift_multiplier", "*" },
	};
	const json_t *specific = json_object_get(entry,
	                                         "provider_specific_entry");
	const json_t *us = json_object_get(specific, "us");
	const json_t *fast = json_object_get(specific, "fast");

	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		json_t *factor = json_object_get(entry, regions[i].field);

		if (is_amount(factor)) {
			set(object_in(price, "regions"), regions[i].region,
			    factor);
		}
	}
	if (is_amount(us)) {
		set(object_in(price, "regions"), "us", (json_t *)us);
	}
	if (is_amount(fast)) {
		litellm_times(import, price, "fast", fast);
	}
}

/* Days of the week, as numbers from Monday or in any of their spellings; NULL:
 * none of them is one. */
static json_t *litellm_days(const json_t *weekdays)
{
	static const char days[][4] = {
		"mon", "tue", "wed", "thu", "fri", "sat", "sun",
	};
	json_t *list = json_array();
	const json_t *day;
	size_t i;

	json_array_foreach(weekdays, i, day) {
		const json_int_t number = json_integer_value(day);
		const char *name = json_string_value(day);

		for (json_int_t n = 1; n <= 7; n++) {
			if (number == n || (name != NULL && strncasecmp(
			    name, days[n - 1], 3) == 0)) {
				json_array_append_new(list, json_string(
					days[n - 1]));
			}
		}
	}
	if (json_array_size(list) == 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* The hours that `rule` has, with the rates of `off`. */
static void litellm_window(struct import *import, json_t *price,
                           const char *provider, const json_t *rule,
                           const json_t *off)
{
	json_t *hours = json_object_get(rule, "hours_utc");
	const json_t *weekdays = json_object_get(rule, "weekdays");
	json_t *days = litellm_days(weekdays);
	const char *name;
	json_t *value;

	if (hours == NULL || (weekdays != NULL && days == NULL)) {
		import->counts->ignored++;
		json_decref(days);
		return;
	}
	json_t *window = json_pack("{ss sO}", "name", "off-peak", "hours",
	                           hours);
	json_t *zone = json_object_get(off, "weekday_timezone");
	if (days != NULL) {
		json_object_set_new(window, "days", days);
	}
	if (days != NULL && zone != NULL) {
		json_object_set(window, "days-zone", zone);
	}
	json_object_foreach((json_t *)off, name, value) {
		litellm_rate(import, window, provider, name, value);
	}
	json_array_append_new(list_in(price, "windows"), window);
}

/* Hours that hold every day, and more of them by the days of the week. */
static void litellm_off_peak(struct import *import, json_t *price,
                             const char *provider, const json_t *off)
{
	const json_t *rule;
	size_t i;

	if (json_object_get(off, "hours_utc") != NULL) {
		litellm_window(import, price, provider, off, off);
	}
	json_array_foreach(json_object_get(off, "windows"), i, rule) {
		litellm_window(import, price, provider, rule, off);
	}
}

static void litellm_entry(struct import *import, const char *key,
                          const json_t *entry)
{
	const char *provider = litellm_provider(entry);
	const char *name;
	json_t *value;

	if (provider == NULL || provider[0] == '\0' ||
	    strchr(provider, '/') != NULL) {
		import->counts->left_out++;
		return;
	}
	json_t *price = json_object();
	json_object_foreach((json_t *)entry, name, value) {
		litellm_rate(import, price, provider, name, value);
	}
	litellm_ranges(import, price, provider,
	               json_object_get(entry, "tiered_pricing"));
	litellm_fees(import, price, entry);
	litellm_regions(import, price, entry);
	litellm_off_peak(import, price, provider,
	                 json_object_get(entry, "off_peak_pricing"));

	const size_t size = strlen(provider);
	if (strncmp(key, provider, size) == 0 && key[size] == '/') {
		key += size + 1;
	}
	add_model(import, provider, key, price,
	          json_object_get(entry, "aliases"));
}

static void import_litellm(struct import *import, const json_t *from)
{
	const char *key;
	json_t *entry;

	json_object_foreach((json_t *)from, key, entry) {
		if (strcmp(key, "sample_spec") != 0) {
			litellm_entry(import, key, entry);
		}
	}
}

/* --- models.dev ---------------------------------------------------------- */

static void modelsdev_rates(json_t *price, const json_t *cost, bool anthropic)
{
	static const struct { const char *field, *rate; } rates[] = {
		{ "input", "input" }, { "output", "output" },
		{ "reasoning", "reasoning" }, { "cache_read", "cache_read" },
		{ "cache_write", "cache_write" },
		{ "input_audio", "audio_input" },
		{ "output_audio", "audio_output" },
	};
	const json_t *input = json_object_get(cost, "input");

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		json_t *value = json_object_get(cost, rates[i].field);

		if (is_amount(value)) {
			set(price, rates[i].rate, value);
		}
	}
	if (anthropic && is_amount(input) &&
	    json_object_get(cost, "cache_write") != NULL) {
		json_object_set_new(price, "cache_write_1h",
		                    json_real(2 * amount_of(input)));
	}
}

static void modelsdev_cost(json_t *price, const json_t *cost, bool anthropic)
{
	const json_t *over = json_object_get(cost, "context_over_200k");
	const json_t *tier;
	size_t i;

	modelsdev_rates(price, cost, anthropic);
	if (json_is_object(over)) {
		modelsdev_rates(tier_in(price, "above", 200000), over,
		                anthropic);
	}
	json_array_foreach(json_object_get(cost, "tiers"), i, tier) {
		const json_t *what = json_object_get(tier, "tier");
		const char *type = json_string_value(
			json_object_get(what, "type"));
		const json_int_t size = json_integer_value(
			json_object_get(what, "size"));

		if (type != NULL && strcmp(type, "context") == 0 && size > 0) {
			modelsdev_rates(tier_in(price, "above", size), tier,
			                anthropic);
		}
	}
}

static void modelsdev_model(struct import *import, const char *provider,
                            const char *name, const json_t *model)
{
	const bool anthropic = strcmp(provider, "anthropic") == 0;
	const json_t *modes = json_object_get(
		json_object_get(model, "experimental"), "modes");
	json_t *price = json_object();
	const char *mode;
	json_t *value;

	modelsdev_cost(price, json_object_get(model, "cost"), anthropic);
	json_object_foreach((json_t *)modes, mode, value) {
		const json_t *body = json_object_get(
			json_object_get(value, "provider"), "body");
		const char *tier = json_string_value(
			json_object_get(body, "service_tier"));
		const json_t *cost = json_object_get(value, "cost");
		json_t *rates = !json_is_object(cost) ? NULL :
			mode_in(import, price, tier != NULL ? tier : mode);

		if (rates != NULL) {
			modelsdev_cost(rates, cost, anthropic);
		}
	}
	add_model(import, provider, name, price, NULL);
}

static void import_modelsdev(struct import *import, const json_t *from)
{
	const char *provider, *name;
	json_t *of, *model;

	json_object_foreach((json_t *)from, provider, of) {
		const json_t *models = json_object_get(of, "models");

		if (strchr(provider, '/') != NULL) {
			import->counts->left_out += json_object_size(models);
			continue;
		}
		json_object_foreach((json_t *)models, name, model) {
			modelsdev_model(import, provider, name, model);
		}
	}
}

/* --- cost tracker -------------------------------------------------------- */

/* The rate that a field is of, and the size of the mode before it. */
static const char *tracker_rate(const char *field, size_t *mode)
{
	static const struct { const char *field, *rate; } fields[] = {
		{ "cache_read_input", "cache_read" },
		{ "cache_write_input", "cache_write" },
		{ "input", "input" }, { "output", "output" },
	};
	const size_t size = strlen(field);

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const size_t less = strlen(fields[i].field);

		if (size == less && strcmp(field, fields[i].field) == 0) {
			*mode = 0;
			return fields[i].rate;
		}
		if (size > less + 1 && field[size - less - 1] == '_' &&
		    strcmp(field + size - less, fields[i].field) == 0) {
			*mode = size - less - 1;
			return fields[i].rate;
		}
	}
	return NULL;
}

static json_t *tracker_price(struct import *import, const json_t *entry)
{
	json_t *price = json_object();
	const char *field;
	json_t *value;

	json_object_foreach((json_t *)entry, field, value) {
		size_t size;
		const char *rate = tracker_rate(field, &size);
		char mode[NAME_SIZE];

		if (rate == NULL || size >= sizeof(mode)) {
			import->counts->ignored += field[0] != '_';
			continue;
		}
		memcpy(mode, field, size);
		mode[size] = '\0';

		json_t *rates = size == 0 ? price : mode_in(import, price,
		                                            mode);
		if (rates != NULL) {
			set(rates, rate, value);
		}
	}
	return price;
}

static void import_tracker(struct import *import, const json_t *from)
{
	const json_t *models = json_object_get(from, "models");
	const char *key;
	json_t *entry;

	json_object_foreach((json_t *)(models != NULL ? models : from), key,
	                    entry) {
		const char *slash = strchr(key, '/');
		const char *name = key;
		char provider[NAME_SIZE] = "";

		if (slash != NULL && (size_t)(slash - key) < sizeof(provider)) {
			memcpy(provider, key, (size_t)(slash - key));
			name = slash + 1;
		}
		add_model(import, provider, name,
		          tracker_price(import, entry), NULL);
	}
}

/* --- all of it ----------------------------------------------------------- */

/* Models of nobody stand apart. */
static void move_providerless(json_t *book, json_t *providers)
{
	json_t *models = json_object_get(json_object_get(providers, ""),
	                                 "models");

	if (models != NULL) {
		json_object_set(book, "models", models);
		json_object_del(providers, "");
	}
}

static const char *version_of(const char *format, const json_t *from,
                              const char *version)
{
	const char *said = json_string_value(json_object_get(
		json_object_get(from, "metadata"), "updated_at"));

	return version != NULL ? version : said != NULL ? said : format;
}

json_t *price_import(const char *format, const json_t *from,
                     const char *version, struct price_imported *imported,
                     struct bursar_error *err)
{
	static void (*const importers[])(struct import *, const json_t *) = {
		import_litellm, import_modelsdev, import_tracker,
	};
	struct import import = { json_object(), imported };
	size_t n = 0;

	memset(imported, 0, sizeof(*imported));
	while (price_import_formats[n] != NULL &&
	       strcmp(price_import_formats[n], format) != 0) {
		n++;
	}
	if (price_import_formats[n] == NULL) {
		json_decref(import.providers);
		bursar_fail(err, EINVAL, "'%.40s' is no format of prices; there"
		            " are litellm, models.dev and cost-tracker",
		            format);
		return NULL;
	}
	if (!json_is_object(from)) {
		json_decref(import.providers);
		bursar_fail(err, EILSEQ, "it is no object of models");
		return NULL;
	}
	importers[n](&import, from);

	json_t *book = json_pack("{si ss ss ss so}", "schema", 1, "version",
	                         version_of(format, from, version), "currency",
	                         "USD", "unit", n == 0 ? "token" : "1M tokens",
	                         "providers", import.providers);
	move_providerless(book, import.providers);
	return book;
}
