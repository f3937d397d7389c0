/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One function for each format turns an entry into a price; what they share
 * stands first.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "price/price_import.h"

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

/* The tier of a price above (or from) so many tokens. */
static json_t *tier_in(json_t *price, const char *rule, json_int_t tokens)
{
	json_t *list = json_object_get(price, "tiers");
	json_t *tier;
	size_t i;

	if (list == NULL) {
		list = json_array();
		json_object_set_new(price, "tiers", list);
	}
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

/* Adds a model, whose reference is taken; without any price it is left out. */
static void add_model(struct import *import, const char *provider,
                      const char *name, json_t *price, const json_t *aliases)
{
	const json_t *input = json_object_get(price, "input");
	const json_t *output = json_object_get(price, "output");
	json_t *models = object_in(object_in(import->providers, provider),
	                           "models");

	if ((input == NULL && output == NULL) || name[0] == '\0' ||
	    strlen(name) > NAME_SIZE ||
	    json_object_get(models, name) != NULL) {
		import->counts->left_out++;
		json_decref(price);
		return;
	}
	import->counts->models++;
	import->counts->free += amount_of(input) == 0 &&
		amount_of(output) == 0;
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
	{ "input_cost_per_token", "input" },
	{ "output_cost_per_token", "output" },
	{ "input_cost_per_request", "request" },
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

static void modelsdev_rates(struct import *import, json_t *price,
                            const json_t *cost, bool anthropic)
{
	static const char *const rates[] = {
		"input", "output", "reasoning", "cache_read", "cache_write",
	};
	const json_t *input = json_object_get(cost, "input");

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		json_t *value = json_object_get(cost, rates[i]);

		if (is_amount(value)) {
			set(price, rates[i], value);
		}
	}
	if (anthropic && is_amount(input) &&
	    json_object_get(cost, "cache_write") != NULL) {
		json_object_set_new(price, "cache_write_1h",
		                    json_real(2 * amount_of(input)));
	}
	import->counts->ignored +=
		is_amount(json_object_get(cost, "input_audio")) +
		is_amount(json_object_get(cost, "output_audio"));
}

static void modelsdev_cost(struct import *import, json_t *price,
                           const json_t *cost, bool anthropic)
{
	const json_t *over = json_object_get(cost, "context_over_200k");
	const json_t *tier;
	size_t i;

	modelsdev_rates(import, price, cost, anthropic);
	if (json_is_object(over)) {
		modelsdev_rates(import, tier_in(price, "above", 200000), over,
		                anthropic);
	}
	json_array_foreach(json_object_get(cost, "tiers"), i, tier) {
		const json_t *what = json_object_get(tier, "tier");
		const char *type = json_string_value(
			json_object_get(what, "type"));
		const json_int_t size = json_integer_value(
			json_object_get(what, "size"));

		if (type != NULL && strcmp(type, "context") == 0 && size > 0) {
			modelsdev_rates(import, tier_in(price, "above", size),
			                tier, anthropic);
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

	modelsdev_cost(import, price, json_object_get(model, "cost"),
	               anthropic);
	json_object_foreach((json_t *)modes, mode, value) {
		const json_t *body = json_object_get(
			json_object_get(value, "provider"), "body");
		const char *tier = json_string_value(
			json_object_get(body, "service_tier"));

		if (json_is_object(json_object_get(value, "cost"))) {
			modelsdev_cost(import, object_in(
				object_in(price, "modes"),
				tier != NULL ? tier : mode),
				json_object_get(value, "cost"), anthropic);
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
		set(size == 0 ? price : object_in(object_in(price, "modes"),
		                                  mode), rate, value);
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
