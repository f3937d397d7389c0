/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The entries of a configuration: what each names is loaded and its options
 * checked, and sources find their formats and crypto.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bursar/format.h>
#include <bursar/source.h>

#include "conf/setup_build.h"
#include "plugin/module.h"

#define WHAT_SIZE  80
/* A sender that waits for its answer waits for seconds, not for minutes. */
#define ANSWERS_GIVE_BACK_US INT64_C(10000000)
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
                   "0123456789-_"

static void check_name(const struct build *build, const char *what,
                       const char *name, unsigned line)
{
	const size_t size = strlen(name);

	if (size > SETUP_MAX_NAME) {
		findings_add(build->findings, line, "%s: a name has at most %d "
		             "characters", what, SETUP_MAX_NAME);
	}
	if (strspn(name, NAME_CHARS) != size) {
		findings_add(build->findings, line, "%s: a name is made of "
		             "letters, digits, '-' and '_'", what);
	}
}

/* The plugin that the entry names, or NULL, with *err where it names one. */
static const struct bursar_plugin *find_plugin(enum bursar_plugin_kind kind,
                                               const struct conf *entry,
                                               struct bursar_error *err)
{
	const struct conf *name = conf_get(entry, "plugin");

	if (conf_is_empty(name) || name->type != CONF_TEXT || name->broken) {
		return NULL;
	}
	return module_load(kind, name->text, err);
}

/* Whether an entry without a plugin is no mistake.  Nothing else names entries
 * of these two kinds, so that they can be missing. */
static bool may_be_left_out(const struct setup_item *item,
                            enum bursar_plugin_kind kind)
{
	return (kind == BURSAR_SOURCE || kind == BURSAR_SERVICE) &&
	       item->options != NULL &&
	       options_number(item->options, "if-installed") != 0;
}

static void report_plugin(const struct build *build,
                          enum bursar_plugin_kind kind,
                          const struct conf *entry,
                          const struct setup_item *item, const char *what,
                          const struct bursar_error *err)
{
	const unsigned line = conf_get(entry, "plugin")->line;

	if (err->code == ENOENT && may_be_left_out(item, kind)) {
		findings_add(build->warnings, line, "%s is left out: %s", what,
		             err->text);
	} else {
		findings_add(build->findings, line, "%s: %s", what, err->text);
	}
}

/* Equal as long as neither the section nor a secret in a file changes. */
static char *item_text(const struct conf *entry, const struct options *options)
{
	char digest[CONF_DIGEST_SIZE];
	char *canonical = conf_canonical(entry);
	char *text;

	if (canonical == NULL) {
		return NULL;
	}
	options_digest(options, digest);
	if (asprintf(&text, "%s %s", canonical, digest) < 0) {
		text = NULL;
	}
	free(canonical);
	return text;
}

void setup_item_finish(struct setup_item *item)
{
	free(item->name);
	free(item->text);
	options_destroy(item->options);
}

static bool load_item(const struct build *build, enum bursar_plugin_kind kind,
                      const struct conf *entry, struct setup_item *item)
{
	const struct bursar_option *common = setup_common_options(kind);
	struct bursar_error err = { 0 };
	char what[WHAT_SIZE];

	snprintf(what, sizeof(what), "%s '%.60s'", module_kind_names[kind],
	         entry->key);
	check_name(build, what, entry->key, entry->line);
	item->line = entry->line;
	item->name = strdup(entry->key);
	item->plugin = find_plugin(kind, entry, &err);
	if (item->plugin == NULL && entry->type == CONF_MAP) {
		item->options = build_some(build, entry, common, what);
	} else {
		item->options = options_create(entry, common,
			item->plugin != NULL ? item->plugin->options : NULL,
			what, build->dir, build->findings);
	}
	if (err.code != 0) {
		report_plugin(build, kind, entry, item, what, &err);
	}
	if (item->options != NULL) {
		item->text = item_text(entry, item->options);
	}
	return (item->name != NULL && item->text != NULL) || build_no_memory(build);
}

static size_t count_of(const struct conf *map)
{
	size_t count = 0;

	for (const struct conf *c = map->first; c != NULL; c = c->next) {
		count++;
	}
	return count;
}

/* Entries from `first` on, `each` bytes for one, into `items`. */
static bool load_each(const struct build *build, enum bursar_plugin_kind kind,
                      const struct conf *first, char *items, size_t each,
                      size_t *count)
{
	bool left_out = false;

	for (const struct conf *c = first; c != NULL; c = c->next) {
		struct setup_item *item = (void *)(items + *count * each);
		const bool able = load_item(build, kind, c, item);

		if (able && item->plugin == NULL &&
		    may_be_left_out(item, kind)) {
			setup_item_finish(item);
			memset(item, 0, each);
			left_out = true;
			continue;
		}
		++*count;
		if (!able) {
			return false;
		}
	}
	if (left_out && kind == BURSAR_SOURCE && *count == 0) {
		findings_add(build->findings, first->line, "no source is left: "
		             "none of their plugins is installed");
	}
	return true;
}

/*
 * Loads a section's entries into an array of things that begin with an item,
 * `each` bytes long, with room for `spare` more of them.
 */
static bool load_items(const struct build *build, enum bursar_plugin_kind kind,
                       void *array, size_t each, size_t spare, size_t *count)
{
	const struct conf *section =
		conf_get(build->root, module_kind_plurals[kind]);
	const size_t limit =
		kind == BURSAR_SINK ? SETUP_MAX_SINKS : SETUP_MAX_ITEMS;
	const struct conf *first = NULL;
	size_t room = spare;

	if (!conf_is_empty(section) && section->type != CONF_MAP) {
		if (!section->broken) {
			findings_add(build->findings, section->line,
			             "section '%s' is a map of entries: {NAME: "
			             "{plugin: PLUGIN}}", section->key);
		}
	} else if (!conf_is_empty(section)) {
		first = section->first;
		room += count_of(section);
	}
	if (room - spare > limit) {
		findings_add(build->findings, section->line,
		             "section '%s' has more than %zu entries",
		             section->key, limit);
		first = NULL;
	}

	char *items = calloc(room + 1, each);
	if (items == NULL) {
		return build_no_memory(build);
	}
	*(void **)array = items;
	return load_each(build, kind, first, items, each, count);
}

static struct setup_item *find_item(struct setup_item *items, size_t count,
                                    const char *name)
{
	for (size_t i = 0; i < count; i++) {
		assert(items[i].name != NULL);
		if (strcmp(items[i].name, name) == 0) {
			return &items[i];
		}
	}
	return NULL;
}

/* The entry of `items` that is most like `name`, or NULL. */
static const char *nearest_item(const struct setup_item *items, size_t count,
                                const char *name)
{
	const char *names[SETUP_MAX_ITEMS * 2 + 1];
	size_t i;

	assert(count < sizeof(names) / sizeof(names[0]));

	for (i = 0; i < count; i++) {
		names[i] = items[i].name;
	}
	names[i] = NULL;
	return options_nearest(name, names);
}

/*
 * Adds the plugin `name` with default options to `items`, which has room.
 * Returns it, or NULL with a finding.
 */
static struct setup_item *imply_item(const struct build *build,
                                     enum bursar_plugin_kind kind,
                                     struct setup_item *items, size_t *count,
                                     const char *name, const char *user,
                                     unsigned line)
{
	const struct conf nothing = { .type = CONF_MAP, .line = line };
	const char *nearest = nearest_item(items, *count, name);
	struct bursar_error err = { 0 };
	char what[2 * WHAT_SIZE];

	const struct bursar_plugin *plugin = module_load(kind, name, &err);
	if (plugin == NULL) {
		findings_add(build->findings, line, "%s: '%.40s' is neither an "
		             "entry of '%s'%s%s%s nor a plugin (%s)", user,
		             name, module_kind_plurals[kind],
		             nearest != NULL ? " (did you mean '" : "",
		             nearest != NULL ? nearest : "",
		             nearest != NULL ? "'?)" : "", err.text);
		return NULL;
	}

	struct setup_item *item = &items[(*count)++];

	snprintf(what, sizeof(what), "%s: %s '%.40s' without an entry of its "
	         "own", user, module_kind_names[kind], name);
	item->plugin = plugin;
	item->name = strdup(name);
	item->options = options_create(&nothing, NULL, plugin->options, what,
	                               build->dir, build->findings);
	item->text = strdup("{}");
	if (item->name == NULL || item->options == NULL || item->text == NULL) {
		build_no_memory(build);
		--*count;
		free(item->name);
		options_destroy(item->options);
		free(item->text);
		*item = (struct setup_item){ 0 };
		return NULL;
	}
	return item;
}

/* The entry of that name, or else the plugin of that name as it comes. */
static struct setup_item *resolve(const struct build *build,
                                  enum bursar_plugin_kind kind,
                                  struct setup_item *items, size_t *count,
                                  const struct setup_item *source,
                                  const char *option)
{
	const char *name = options_text(source->options, option);
	struct setup_item *item = find_item(items, *count, name);
	char user[WHAT_SIZE];
	unsigned line;

	if (item != NULL || name[0] == '\0') {
		return item;
	}
	options_given(source->options, option, &line);
	snprintf(user, sizeof(user), "source '%.60s'", source->name);
	return imply_item(build, kind, items, count, name, user, line);
}

/* What an option asks for that something else makes senseless. */
static void check_sense(const struct build *build,
                        const struct setup_source *source, const char *what)
{
	const struct options *options = source->item.options;
	unsigned line;

	if (source->require_encryption &&
	    !options_given(options, "crypto", NULL)) {
		options_given(options, "require-encryption", &line);
		findings_add(build->findings, line, "%s: 'require-encryption' "
		             "without 'crypto' would refuse every message",
		             what);
	}
	if (source->cost_computed &&
	    conf_get(build->root, "prices") == NULL) {
		options_given(options, "cost-from", &line);
		findings_add(build->findings, line, "%s: 'cost-from: computed' "
		             "without a section 'prices' computes nothing",
		             what);
	}
}

static void finish_source(const struct build *build,
                          struct setup_source *source)
{
	struct setup *setup = build->setup;
	const struct options *options = source->item.options;
	const char *kind = options_text(options, "kind");
	char what[WHAT_SIZE];
	unsigned line;

	snprintf(what, sizeof(what), "source '%.60s'", source->item.name);
	source->format = resolve(build, BURSAR_FORMAT, setup->formats,
	                         &setup->format_count, &source->item, "format");
	source->crypto = resolve(build, BURSAR_CRYPTO, setup->crypto,
	                         &setup->crypto_count, &source->item, "crypto");
	if (kind[0] != '\0') {
		options_given(options, "kind", &line);
		source->kind = build_kind(build, kind, what, line);
	}
	source->require_encryption =
		options_number(options, "require-encryption") != 0;
	source->cost_computed = strcmp(options_text(options, "cost-from"),
	                               "computed") == 0;
	check_sense(build, source, what);
	source->window_messages =
		(size_t)options_number(options, "window-messages");
	source->window_bytes = (size_t)options_number(options, "window-bytes");
	source->give_back_us = options_number(options, "give-back-after") * 1000;
	source->strangers = source->item.plugin != NULL &&
		source->item.plugin->ops.source->answers;
	if (source->strangers &&
	    !options_given(options, "give-back-after", NULL)) {
		source->give_back_us = ANSWERS_GIVE_BACK_US;
	}
}

static bool load_sinks(const struct build *build)
{
	struct setup *setup = build->setup;

	if (!load_items(build, BURSAR_SINK, &setup->sinks,
	                sizeof(*setup->sinks), 0, &setup->sink_count)) {
		return false;
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		setup->sinks[i].required = options_number(
			setup->sinks[i].item.options, "required") != 0;
	}
	return true;
}

/* Sources come last: they name formats and crypto. */
bool build_items(const struct build *build)
{
	struct setup *setup = build->setup;

	if (build->book_only) {
		return load_sinks(build);
	}
	if (!load_items(build, BURSAR_CRYPTO, &setup->crypto,
	                sizeof(*setup->crypto), SETUP_MAX_ITEMS,
	                &setup->crypto_count) ||
	    !load_items(build, BURSAR_FORMAT, &setup->formats,
	                sizeof(*setup->formats), SETUP_MAX_ITEMS,
	                &setup->format_count) ||
	    !load_sinks(build) ||
	    !load_items(build, BURSAR_SERVICE, &setup->services,
	                sizeof(*setup->services), 0, &setup->service_count) ||
	    !load_items(build, BURSAR_SOURCE, &setup->sources,
	                sizeof(*setup->sources), 0, &setup->source_count)) {
		return false;
	}
	for (size_t i = 0; i < setup->source_count; i++) {
		finish_source(build, &setup->sources[i]);
	}
	return true;
}
