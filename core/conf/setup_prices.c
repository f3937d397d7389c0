/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Section `prices`: which books there are.  They are read here, so that a
 * configuration whose book is wrong is refused as a whole and, at a reload,
 * the one before it stays in use with its books.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/regular.h"
#include "conf/setup_build.h"
#include "price/prices.h"

#define DIGITS 15		/* of a number that is surely one */

/* --- overrides ----------------------------------------------------------- */

static json_t *tree_of(const struct conf *conf);

static json_t *text_of(const struct conf *conf)
{
	const size_t size = strlen(conf->text);

	if (size > 0 && size <= DIGITS &&
	    strspn(conf->text, "0123456789") == size) {
		return json_integer((json_int_t)strtoll(conf->text, NULL, 10));
	}
	return json_string(conf->text);
}

static json_t *children_of(const struct conf *conf)
{
	json_t *tree = conf->type == CONF_MAP ? json_object() : json_array();

	for (const struct conf *c = conf->first; c != NULL; c = c->next) {
		if (conf->type == CONF_MAP
		    ? json_object_set_new(tree, c->key, tree_of(c)) != 0
		    : json_array_append_new(tree, tree_of(c)) != 0) {
			json_decref(tree);
			return NULL;
		}
	}
	return tree;
}

/* A section as JSON; NULL: out of memory. */
static json_t *tree_of(const struct conf *conf)
{
	return conf->type == CONF_TEXT ? text_of(conf) : children_of(conf);
}

static struct price_book *read_overrides(const struct build *build,
                                         const struct conf *overrides)
{
	assert(overrides != NULL);

	const struct price_findings to = {
		.findings = build->findings, .before = "prices.overrides: ",
		.line = overrides->line, .lines = overrides,
	};

	if (overrides->type != CONF_MAP) {
		findings_add(build->findings, overrides->line,
		             "prices: 'overrides' is a map: {PROVIDER/MODEL: "
		             "{input: PRICE, output: PRICE}}");
		return NULL;
	}
	json_t *models = tree_of(overrides);
	json_t *tree = models == NULL ? NULL :
		json_pack("{si so}", "schema", 1, "models", models);
	if (tree == NULL) {
		findings_add(build->findings, 0, "out of memory");
		return NULL;
	}
	struct price_book *book = price_book_make(tree, "override", &to);
	json_decref(tree);
	return book;
}

/* --- the file ------------------------------------------------------------ */

static struct price_book *read_book(const struct build *build,
                                    const struct options *options)
{
	struct price_findings to = { .findings = build->findings };
	const char *path = options_text(options, "book");
	char *before;

	options_given(options, "book", &to.line);
	if (asprintf(&before, "%s: ", path) < 0) {
		findings_add(build->findings, 0, "out of memory");
		return NULL;
	}
	to.before = before;
	/* A start, or HUP, waits for nobody who writes to a pipe. */
	struct price_book *book = NULL;
	if (regular_check(path) != 0) {
		findings_add(build->findings, to.line, "%sit cannot be read: "
		             "%s", before, regular_why(errno));
	} else {
		book = price_book_load(path, "book", &to);
	}
	free(before);
	return book;
}

/* --- the section --------------------------------------------------------- */

static enum prices_unknown unknown_of(const char *word)
{
	return strcmp(word, "ignore") == 0 ? PRICES_IGNORE :
	       strcmp(word, "raise") == 0 ? PRICES_RAISE : PRICES_WARN;
}

/* All but `overrides`, whose members no table knows. */
static struct options *read_options(const struct build *build,
                                    const struct conf *section)
{
	struct conf *copies = calloc(CONF_MAX_MEMBERS, sizeof(*copies));
	struct conf some = *section;
	struct conf **end = &some.first;
	size_t count = 0;

	if (copies == NULL) {
		return NULL;
	}
	some.first = NULL;
	for (const struct conf *c = section->first; c != NULL; c = c->next) {
		if (c->key == NULL || strcmp(c->key, "overrides") != 0) {
			copies[count] = *c;
			copies[count].next = NULL;
			*end = &copies[count];
			end = &copies[count++].next;
		}
	}
	struct options *options = options_create(&some, NULL,
	                                         setup_prices_options, "prices",
	                                         build->dir, build->findings);
	free(copies);
	return options;
}

static void add(struct prices *prices, struct price_book *book)
{
	if (book != NULL) {
		prices->books[prices->book_count++] = book;
	}
}

bool build_prices(const struct build *build)
{
	const struct conf *section = conf_get(build->root, "prices");
	const struct conf *overrides = section == NULL ||
		section->type != CONF_MAP ? NULL :
		conf_get(section, "overrides");

	if (section == NULL) {
		return true;
	}
	struct prices *prices = calloc(1, sizeof(*prices));
	struct options *options = read_options(build, section);
	if (prices == NULL || options == NULL) {
		free(prices);
		options_destroy(options);
		return false;
	}
	build->setup->prices = prices;
	prices->unknown = unknown_of(options_text(options, "unknown"));
	if (!conf_is_empty(overrides)) {
		add(prices, read_overrides(build, overrides));
	}
	if (options_text(options, "book")[0] != '\0') {
		add(prices, read_book(build, options));
	}
	if (options_number(options, "built-in") != 0) {
		add(prices, price_book_builtin());
		prices->has_builtin = true;
	}
	options_destroy(options);
	return true;
}
