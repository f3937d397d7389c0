/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From JSON to a book.  Nothing stops at the first mistake but a file that is
 * no JSON and a lack of memory.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "common/regular.h"
#include "price/price_make.h"

/* Members of the book itself. */
static const char *const members[] = {
	"schema", "version", "currency", "unit", "sources", "notes",
	"providers", "models", NULL,
};

static bool is_member(const char *name)
{
	for (const char *const *m = members; *m != NULL; m++) {
		if (strcmp(*m, name) == 0) {
			return true;
		}
	}
	return false;
}

bool price_is_name(const char *text, size_t most)
{
	for (const char *at = text; at != NULL && *at != '\0'; at++) {
		if ((unsigned char)*at < ' ' || *at == '\x7f') {
			return false;
		}
	}
	return text != NULL && text[0] != '\0' && strlen(text) <= most;
}

static bool is_name(const char *text)
{
	return price_is_name(text, PRICE_MAX_NAME);
}

/* A list of names, or nothing; otherwise a finding, and NULL. */
static const json_t *names_of(struct price_maker *maker, const json_t *object,
                              const char *member)
{
	const json_t *list = json_object_get(object, member);
	const json_t *item;
	size_t i;
	bool good = json_is_array(list) &&
		json_array_size(list) <= PRICE_MAX_ALIASES;

	if (list == NULL) {
		return NULL;
	}
	json_array_foreach(list, i, item) {
		good = good && is_name(json_string_value(item));
	}
	if (!good) {
		price_maker_say(maker, "'%s' is a list of at most %d names",
		                member, PRICE_MAX_ALIASES);
		return NULL;
	}
	return list;
}

static void check_members(struct price_maker *maker, const json_t *object,
                          const char *const *known)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		bool found = false;

		for (const char *const *k = known; *k != NULL; k++) {
			found |= strcmp(*k, name) == 0;
		}
		if (!found) {
			price_maker_say(maker, "'%.40s' is not known", name);
		}
	}
}

/* --- models -------------------------------------------------------------- */

/* A model says its prices alone, or with what else there is about it. */
static void read_model(struct price_maker *maker, const char *provider,
                       const char *name, const json_t *value)
{
	static const char *const known[] = {
		"aliases", "prices", "notes", "source", NULL,
	};
	const json_t *prices = json_object_get(value, "prices");
	const json_t *alias;
	size_t i;
	char key[2 * PRICE_MAX_NAME + 2];

	snprintf(key, sizeof(key), "%.200s%s%.200s", provider,
	         provider[0] != '\0' ? "/" : "", name);
	maker->model = key;
	if (!is_name(name)) {
		price_maker_say(maker, "a name has 1 to %d bytes, and no "
		                "control characters", PRICE_MAX_NAME);
		goto done;
	}
	if (provider[0] == '\0' && strcmp(name, "*") == 0) {
		price_maker_say(maker, "'*' is any model of a provider: name "
		                "it as in maker/*");
	}
	struct price_model *model = price_book_add(maker, provider, name);
	if (model == NULL) {
		goto done;
	}
	price_make_periods(maker, model, prices != NULL ? prices : value);
	if (prices != NULL) {
		check_members(maker, value, known);
		json_array_foreach(names_of(maker, value, "aliases"), i,
		                   alias) {
			price_book_add_alias(maker, model,
			                     json_string_value(alias));
		}
	}
done:
	maker->model = NULL;
}

static void read_provider(struct price_maker *maker, const char *name,
                          const json_t *value)
{
	static const char *const known[] = {
		"aliases", "prices-of", "models", "notes", "source", NULL,
	};
	const json_t *models = json_object_get(value, "models");
	const char *model;
	json_t *of;

	maker->model = name;
	if (!is_name(name) || strchr(name, '/') != NULL ||
	    !json_is_object(value) ||
	    (models != NULL && !json_is_object(models))) {
		price_maker_say(maker, "a provider has a name without '/' and "
		                "an object with 'models'");
		maker->model = NULL;
		return;
	}
	check_members(maker, value, known);
	price_book_add_provider(maker, name, names_of(maker, value, "aliases"),
	                        names_of(maker, value, "prices-of"));
	json_object_foreach((json_t *)models, model, of) {
		read_model(maker, name, model, of);
	}
	maker->model = NULL;
}

/* "openai/gpt-4o" is a model of openai, "gpt-4o" one of nobody. */
static void read_flat(struct price_maker *maker, const char *key,
                      const json_t *value)
{
	const char *slash = strchr(key, '/');
	char provider[PRICE_MAX_NAME + 1] = "";

	if (slash == NULL || slash == key ||
	    (size_t)(slash - key) > PRICE_MAX_NAME) {
		read_model(maker, "", key, value);
		return;
	}
	memcpy(provider, key, (size_t)(slash - key));
	provider[slash - key] = '\0';
	const struct price_provider *known = price_book_provider(
		maker->book, provider, strlen(provider));
	if (known == NULL) {
		price_book_add_provider(maker, provider, NULL, NULL);
	}
	read_model(maker, known != NULL ? known->name : provider, slash + 1,
	           value);
}

/* --- the book ------------------------------------------------------------ */

static void read_unit(struct price_maker *maker, const json_t *tree)
{
	static const struct {
		const char *name;
		int         shift;
	} units[] = { { "1M tokens", 9 }, { "1K tokens", 12 }, { "token", 15 } };
	const json_t *unit = json_object_get(tree, "unit");
	const char *text = json_string_value(unit);

	maker->shift = units[0].shift;
	if (unit == NULL) {
		return;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (text != NULL && strcmp(text, units[i].name) == 0) {
			maker->shift = units[i].shift;
			return;
		}
	}
	price_maker_say(maker, "'unit' is '1M tokens', '1K tokens' or 'token'"
	                ", not '%.40s'", text != NULL ? text : "");
}

static void read_head(struct price_maker *maker, const json_t *tree)
{
	const json_t *schema = json_object_get(tree, "schema");
	const json_t *currency = json_object_get(tree, "currency");
	const json_t *version = json_object_get(tree, "version");
	const char *of = json_string_value(currency);
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)tree, name, value) {
		if (!is_member(name)) {
			price_maker_say(maker, "'%.40s' is not known; a book "
			                "has schema, version, currency, unit, "
			                "sources, notes, providers and models",
			                name);
		}
	}
	if (!json_is_integer(schema) || json_integer_value(schema) != 1) {
		price_maker_say(maker, "'schema' has to be 1: it is no book of "
		                "prices, or one of a newer version");
	}
	if (currency != NULL && (of == NULL || strcmp(of, "USD") != 0)) {
		price_maker_say(maker, "'currency' can only be 'USD'");
	}
	if (version != NULL && !price_is_name(json_string_value(version),
	                                      PRICE_MAX_VERSION)) {
		price_maker_say(maker, "'version' is a text of 1 to %d bytes "
		                "without control characters",
		                PRICE_MAX_VERSION);
	}
	read_unit(maker, tree);
}

static const json_t *section(struct price_maker *maker, const json_t *tree,
                             const char *name)
{
	const json_t *value = json_object_get(tree, name);

	if (value != NULL && !json_is_object(value)) {
		price_maker_say(maker, "'%s' is an object", name);
		return NULL;
	}
	return value;
}

/* What it says and a hash of all it holds: two books of one version that
 * differ are told apart. */
static bool write_version(const json_t *tree, const char *name,
                          char out[PRICE_MAX_VERSION + 10])
{
	const char *said = json_string_value(json_object_get(tree, "version"));
	char *text = json_dumps(tree, JSON_COMPACT | JSON_SORT_KEYS);
	uint8_t hash[16];

	if (text == NULL) {
		return false;
	}
	crypto_generichash(hash, sizeof(hash), (const uint8_t *)text,
	                   strlen(text), NULL, 0);
	free(text);
	snprintf(out, PRICE_MAX_VERSION + 10, "%.*s.%02x%02x%02x%02x",
	         PRICE_MAX_VERSION, said != NULL && said[0] != '\0' ? said
	                                                            : name,
	         hash[0], hash[1], hash[2], hash[3]);
	return true;
}

static void read_tree(struct price_maker *maker, const json_t *tree)
{
	const char *key;
	json_t *value;

	read_head(maker, tree);
	json_object_foreach((json_t *)section(maker, tree, "providers"), key,
	                    value) {
		read_provider(maker, key, value);
	}
	json_object_foreach((json_t *)section(maker, tree, "models"), key,
	                    value) {
		read_flat(maker, key, value);
	}
	price_book_check_providers(maker);
}

struct price_book *price_book_make(const json_t *tree, const char *name,
                                   const struct price_findings *to)
{
	const size_t before = to->findings->count + to->findings->left_out;
	struct price_maker maker = { .book = price_book_new(name), .to = to };
	char version[PRICE_MAX_VERSION + 10];

	if (maker.book == NULL) {
		maker.no_memory = true;
	} else if (!json_is_object(tree)) {
		price_maker_say(&maker, "a book of prices is an object");
	} else {
		read_tree(&maker, tree);
		maker.no_memory |= !write_version(tree, name, version);
	}
	if (maker.no_memory) {
		maker.model = NULL;
		price_maker_say(&maker, "out of memory");
	}
	if (to->findings->count + to->findings->left_out > before) {
		price_book_destroy(maker.book);
		return NULL;
	}
	price_book_done(maker.book, version);
	return maker.book;
}

struct price_book *price_book_parse(const char *text, size_t size,
                                    const char *name,
                                    const struct price_findings *to)
{
	json_error_t why;
	json_t *tree = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);

	if (tree == NULL) {
		findings_add(to->findings, to->line, "%sno JSON at line %d: %s",
		             to->before, why.line, why.text);
		return NULL;
	}
	struct price_book *book = price_book_make(tree, name, to);
	json_decref(tree);
	return book;
}

struct price_book *price_book_load(const char *path, const char *name,
                                   const struct price_findings *to)
{
	struct bursar_error err = { 0 };
	size_t size;
	char *text = input_text(path, PRICE_MAX_BYTES, &size, &err);

	if (text == NULL) {
		findings_add(to->findings, to->line, "%sit cannot be read: %s",
		             to->before, err.text);
		return NULL;
	}
	struct price_book *book = price_book_parse(text, size, name, to);
	free(text);
	return book;
}
