/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A book, and the hash tables by which it is searched.
 *
 * What is looked for comes from senders, what is stored from whoever keeps the
 * book: nobody can make a chain long from outside.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "price/price_make.h"
#include "price/price_match.h"

#define KEY_SIZE     (2 * PRICE_MAX_NAME + 2)
#define VERSION_SIZE (PRICE_MAX_VERSION + 10)

/* Several models have that text. */
static const struct price_model ambiguous;

struct entry {
	char    *text;
	uint32_t size;
	uint32_t hash;
	const struct price_model *model;
};

struct table {
	struct entry *entries;	/* room for a power of two */
	size_t        room;
	size_t        count;
};

struct provider_name {
	char  *name;
	size_t provider;
};

struct price_book {
	char  *name;
	char   version[VERSION_SIZE];
	struct price_model **models;
	size_t model_count, model_room;
	struct table tables[PRICE_INDEXES];
	struct price_provider *providers;
	size_t provider_count, provider_room;
	struct provider_name *provider_names;	/* the others */
	size_t name_count, name_room;
	struct zone *zones[PRICE_MAX_ZONES];
	size_t zone_count;
};

/* --- tables -------------------------------------------------------------- */

static uint32_t hash_of(const char *text, size_t size)
{
	uint64_t hash = size * UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < size; i++) {
		hash = (hash ^ (unsigned char)text[i]) *
			UINT64_C(0x100000001b3);
	}
	return (uint32_t)(hash ^ hash >> 32);
}

static struct entry *place_of(const struct table *table, const char *text,
                              size_t size, uint32_t hash)
{
	size_t at = hash & (table->room - 1);

	for (;; at = (at + 1) & (table->room - 1)) {
		struct entry *e = &table->entries[at];

		if (e->text == NULL || (e->hash == hash && e->size == size &&
		                        memcmp(e->text, text, size) == 0)) {
			return e;
		}
	}
}

static bool grow(struct table *table)
{
	struct table more = { .room = table->room ? table->room * 2 : 64 };

	more.entries = calloc(more.room, sizeof(*more.entries));
	if (more.entries == NULL) {
		return false;
	}
	for (size_t i = 0; i < table->room; i++) {
		const struct entry *e = &table->entries[i];

		if (e->text != NULL) {
			*place_of(&more, e->text, e->size, e->hash) = *e;
		}
	}
	more.count = table->count;
	free(table->entries);
	*table = more;
	return true;
}

/* The entry of that text, new ones without a model; NULL: out of memory. */
static struct entry *put(struct table *table, const char *text, size_t size)
{
	const uint32_t hash = hash_of(text, size);

	if (table->count * 2 >= table->room && !grow(table)) {
		return NULL;
	}
	struct entry *e = place_of(table, text, size, hash);
	if (e->text == NULL) {
		e->text = strndup(text, size);
		if (e->text == NULL) {
			return NULL;
		}
		e->size = (uint32_t)size;
		e->hash = hash;
		table->count++;
	}
	return e;
}

static void table_finish(struct table *table)
{
	for (size_t i = 0; i < table->room; i++) {
		free(table->entries[i].text);
	}
	free(table->entries);
}

/* Makes room for one more in an array that grows by doubling. */
static bool make_room(void *array, size_t each, size_t count, size_t *room)
{
	void **at = array;

	if (count < *room) {
		return true;
	}
	const size_t more = *room ? *room * 2 : 16;
	void *grown = realloc(*at, more * each);
	if (grown == NULL) {
		return false;
	}
	*at = grown;
	*room = more;
	return true;
}

/* --- making -------------------------------------------------------------- */

void price_maker_say(struct price_maker *maker, const char *fmt, ...)
{
	const struct price_findings *to = maker->to;
	const struct conf *line = maker->model == NULL ? NULL :
		conf_get(to->lines, maker->model);
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	findings_add(to->findings, line != NULL ? line->line : to->line,
	             "%s%.200s%s%s", to->before,
	             maker->model != NULL ? maker->model : "",
	             maker->model != NULL ? ": " : "", text);
}

static bool index_model(struct price_maker *maker, enum price_index index,
                        const char *text, size_t size,
                        const struct price_model *model)
{
	struct entry *e = put(&maker->book->tables[index], text, size);

	if (e == NULL) {
		maker->no_memory = true;
		return false;
	}
	if (e->model != NULL && e->model != model) {
		e->model = &ambiguous;
		return false;
	}
	e->model = model;
	return true;
}

static void index_spellings(struct price_maker *maker,
                            const struct price_model *model, const char *key)
{
	const char *slash = strrchr(key, '/');
	const char *segment = slash != NULL ? slash + 1 : key;
	const size_t before = model->provider_size > 0
		? model->provider_size + 1 : 0;
	char canon[KEY_SIZE];

	if (strcmp(segment, "*") == 0) {
		return;
	}
	if (key == model->key) {
		index_model(maker, PRICE_BY_SEGMENT, segment, strlen(segment),
		            model);
	}
	memcpy(canon, key, before);
	const size_t size = price_canonical(key + before,
	                                    strlen(key + before),
	                                    canon + before);
	index_model(maker, PRICE_BY_CANON, canon, before + size, model);
}

struct price_model *price_book_add(struct price_maker *maker,
                                   const char *provider, const char *name)
{
	struct price_book *book = maker->book;

	if (book->model_count >= PRICE_MAX_MODELS ||
	    !make_room(&book->models, sizeof(*book->models),
	               book->model_count, &book->model_room)) {
		price_maker_say(maker, "more than %d models, or out of memory",
		                PRICE_MAX_MODELS);
		return NULL;
	}
	struct price_model *model = calloc(1, sizeof(*model));
	if (model == NULL ||
	    asprintf(&model->key, "%s%s%s", provider,
	             provider[0] != '\0' ? "/" : "", name) < 0) {
		free(model);
		maker->no_memory = true;
		return NULL;
	}
	model->provider_size = strlen(provider);
	book->models[book->model_count++] = model;
	if (!index_model(maker, PRICE_BY_KEY, model->key, strlen(model->key),
	                 model)) {
		price_maker_say(maker, "it stands twice in the book");
	}
	index_spellings(maker, model, model->key);
	return model;
}

void price_book_add_alias(struct price_maker *maker,
                          const struct price_model *model, const char *name)
{
	char key[KEY_SIZE];

	snprintf(key, sizeof(key), "%.*s%s%s", (int)model->provider_size,
	         model->key, model->provider_size > 0 ? "/" : "", name);
	if (!index_model(maker, PRICE_BY_ALIAS, key, strlen(key), model)) {
		price_maker_say(maker, "alias '%s' is one of another model, "
		                "too", name);
	}
	index_spellings(maker, model, key);
}

static bool copy_list(const json_t *list, char ***out, size_t *count)
{
	const json_t *item;
	size_t i;

	*out = calloc(json_array_size(list) + 1, sizeof(**out));
	if (*out == NULL) {
		return false;
	}
	json_array_foreach(list, i, item) {
		(*out)[*count] = strdup(json_string_value(item));
		if ((*out)[(*count)++] == NULL) {
			return false;
		}
	}
	return true;
}

static bool add_name(struct price_book *book, const char *name)
{
	if (!make_room(&book->provider_names, sizeof(*book->provider_names),
	               book->name_count, &book->name_room)) {
		return false;
	}
	book->provider_names[book->name_count] = (struct provider_name){
		strdup(name), book->provider_count - 1,
	};
	return book->provider_names[book->name_count++].name != NULL;
}

void price_book_add_provider(struct price_maker *maker, const char *name,
                             const json_t *aliases, const json_t *prices_of)
{
	struct price_book *book = maker->book;
	const json_t *alias;
	size_t i;

	if (book->provider_count >= PRICE_MAX_PROVIDERS) {
		price_maker_say(maker, "more than %d providers",
		                PRICE_MAX_PROVIDERS);
		return;
	}
	if (!make_room(&book->providers, sizeof(*book->providers),
	               book->provider_count, &book->provider_room)) {
		maker->no_memory = true;
		return;
	}
	struct price_provider *p = &book->providers[book->provider_count++];

	*p = (struct price_provider){ .name = strdup(name) };
	if (p->name == NULL ||
	    !copy_list(prices_of, &p->prices_of, &p->prices_of_count)) {
		maker->no_memory = true;
		return;
	}
	json_array_foreach(aliases, i, alias) {
		if (!add_name(book, json_string_value(alias))) {
			maker->no_memory = true;
			return;
		}
	}
}

static void check_names(struct price_maker *maker)
{
	const struct price_book *book = maker->book;

	for (size_t i = 0; i < book->name_count; i++) {
		const char *name = book->provider_names[i].name;
		const struct price_provider *own =
			&book->providers[book->provider_names[i].provider];
		const struct price_provider *found =
			price_book_provider(book, name, strlen(name));

		if (found != own) {
			price_maker_say(maker, "provider '%s': its alias '%s' "
			                "is a name of '%s', too", own->name,
			                name, found->name);
		}
	}
}

void price_book_check_providers(struct price_maker *maker)
{
	const struct price_book *book = maker->book;

	check_names(maker);
	for (size_t i = 0; i < book->provider_count; i++) {
		const struct price_provider *p = &book->providers[i];

		for (size_t n = 0; n < p->prices_of_count; n++) {
			const char *of = p->prices_of[n];

			if (price_book_provider(book, of, strlen(of)) == NULL) {
				price_maker_say(maker, "provider '%s': "
					"'prices-of' names '%s', whom the "
					"book does not have", p->name, of);
			}
		}
	}
}

struct zone *price_book_zone(struct price_book *book, const char *name,
                             struct bursar_error *err)
{
	for (size_t i = 0; i < book->zone_count; i++) {
		if (strcmp(zone_name(book->zones[i]), name) == 0) {
			return book->zones[i];
		}
	}
	if (book->zone_count >= PRICE_MAX_ZONES) {
		bursar_fail(err, E2BIG, "windows of more than %d time zones",
		            PRICE_MAX_ZONES);
		return NULL;
	}
	struct zone *zone = zone_create(name, err);
	if (zone != NULL) {
		book->zones[book->zone_count++] = zone;
	}
	return zone;
}

/* --- asking -------------------------------------------------------------- */

const struct price_model *price_book_find(const struct price_book *book,
                                          enum price_index index,
                                          const char *text, size_t size)
{
	const struct table *table = &book->tables[index];

	if (table->count == 0) {
		return NULL;
	}
	const struct price_model *model =
		place_of(table, text, size, hash_of(text, size))->model;
	return model != &ambiguous ? model : NULL;
}

const struct price_provider *
price_book_provider(const struct price_book *book, const char *name,
                    size_t size)
{
	for (size_t i = 0; i < book->provider_count; i++) {
		if (strlen(book->providers[i].name) == size &&
		    memcmp(book->providers[i].name, name, size) == 0) {
			return &book->providers[i];
		}
	}
	for (size_t i = 0; i < book->name_count; i++) {
		const struct provider_name *other = &book->provider_names[i];

		if (strlen(other->name) == size &&
		    memcmp(other->name, name, size) == 0) {
			return &book->providers[other->provider];
		}
	}
	return NULL;
}

const struct price_period *price_model_at(const struct price_model *model,
                                          int64_t us)
{
	for (size_t i = model->period_count; i > 0; i--) {
		const struct price_period *p = &model->periods[i - 1];

		if (p->from_us <= us && us < p->until_us) {
			return p;
		}
	}
	return NULL;
}

const char *price_book_name(const struct price_book *book)
{
	return book->name;
}

const char *price_book_version(const struct price_book *book)
{
	return book->version;
}

size_t price_book_count(const struct price_book *book)
{
	return book->model_count;
}

const struct price_model *price_book_model(const struct price_book *book,
                                           size_t i)
{
	assert(i < book->model_count);

	return book->models[i];
}

/* --- life ---------------------------------------------------------------- */

static int compare_models(const void *a, const void *b)
{
	return strcmp((*(struct price_model *const *)a)->key,
	              (*(struct price_model *const *)b)->key);
}

struct price_book *price_book_new(const char *name)
{
	struct price_book *book = calloc(1, sizeof(*book));

	if (book != NULL && (book->name = strdup(name)) == NULL) {
		free(book);
		book = NULL;
	}
	return book;
}

void price_book_done(struct price_book *book, const char *version)
{
	snprintf(book->version, sizeof(book->version), "%s", version);
	if (book->model_count > 0) {
		qsort(book->models, book->model_count, sizeof(*book->models),
		      compare_models);
	}
}

void price_book_destroy(struct price_book *book)
{
	if (book == NULL) {
		return;
	}
	for (size_t i = 0; i < book->model_count; i++) {
		price_periods_finish(book->models[i]);
		free(book->models[i]->key);
		free(book->models[i]);
	}
	for (size_t i = 0; i < PRICE_INDEXES; i++) {
		table_finish(&book->tables[i]);
	}
	for (size_t i = 0; i < book->provider_count; i++) {
		for (size_t n = 0; n < book->providers[i].prices_of_count;
		     n++) {
			free(book->providers[i].prices_of[n]);
		}
		free(book->providers[i].prices_of);
		free(book->providers[i].name);
	}
	for (size_t i = 0; i < book->name_count; i++) {
		free(book->provider_names[i].name);
	}
	for (size_t i = 0; i < book->zone_count; i++) {
		zone_destroy(book->zones[i]);
	}
	free(book->models);
	free(book->providers);
	free(book->provider_names);
	free(book->name);
	free(book);
}
