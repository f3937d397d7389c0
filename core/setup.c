/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From the tree of a configuration file to a setup.
 *
 * Nothing stops at the first mistake but a file that is no tree and a lack of
 * memory.  What cannot be checked because of an earlier mistake is left out
 * rather than reported as one more.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bursar/format.h>
#include <bursar/source.h>

#include "module.h"
#include "price/prices.h"
#include "setup_build.h"

#define WHAT_SIZE  80
/* A sender that waits for its answer waits for seconds, not for minutes. */
#define ANSWERS_GIVE_BACK_US INT64_C(10000000)
#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
                   "0123456789-_"

static const char *const section_names[] = {
	"sources", "crypto", "formats", "sinks", "services", "routes",
	"budgets", "retention", "jobs", "dead-letters", "prices",
};

#define SECTIONS (sizeof(section_names) / sizeof(section_names[0]))

static bool is_section(const char *name)
{
	for (size_t i = 0; i < SECTIONS; i++) {
		if (strcmp(name, section_names[i]) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_in(const struct bursar_option *table, const char *name)
{
	for (; table->name != NULL; table++) {
		if (strcmp(table->name, name) == 0) {
			return true;
		}
	}
	return false;
}

/*
 * Checks those members of a map that stand in `table` and leaves the others to
 * somebody else.
 */
static struct options *check_some(const struct build *build,
                                  const struct conf *map,
                                  const struct bursar_option *table,
                                  const char *what)
{
	struct conf *copies = calloc(CONF_MAX_MEMBERS, sizeof(*copies));
	struct conf some = { .type = CONF_MAP, .line = map->line };
	struct conf **end = &some.first;
	size_t count = 0;

	if (copies == NULL) {
		return NULL;
	}
	for (const struct conf *c = map->first; c != NULL; c = c->next) {
		if (is_in(table, c->key)) {
			copies[count] = *c;
			copies[count].next = NULL;
			*end = &copies[count];
			end = &copies[count++].next;
		}
	}
	struct options *options = options_create(&some, NULL, table, what,
	                                         build->dir, build->findings);
	free(copies);
	return options;
}

static bool no_memory(const struct build *build)
{
	findings_add(build->findings, 0, "out of memory");
	return false;
}

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

/* The plugin that the entry names, or NULL with a finding where it is one. */
static const struct bursar_plugin *find_plugin(const struct build *build,
                                               enum bursar_plugin_kind kind,
                                               const struct conf *entry,
                                               const char *what)
{
	const struct conf *name = conf_get(entry, "plugin");
	struct bursar_error err = { 0 };

	if (conf_is_empty(name) || name->type != CONF_TEXT || name->broken) {
		return NULL;
	}

	const struct bursar_plugin *plugin =
		module_load(kind, name->text, &err);
	if (plugin == NULL) {
		findings_add(build->findings, name->line, "%s: %s", what,
		             err.text);
	}
	return plugin;
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

static bool load_item(const struct build *build, enum bursar_plugin_kind kind,
                      const struct conf *entry, struct setup_item *item)
{
	const struct bursar_option *common = setup_common_options(kind);
	char what[WHAT_SIZE];

	snprintf(what, sizeof(what), "%s '%.60s'", module_kind_names[kind],
	         entry->key);
	check_name(build, what, entry->key, entry->line);
	item->line = entry->line;
	item->name = strdup(entry->key);
	item->plugin = find_plugin(build, kind, entry, what);
	if (item->plugin == NULL && entry->type == CONF_MAP) {
		item->options = check_some(build, entry, common, what);
	} else {
		item->options = options_create(entry, common,
			item->plugin != NULL ? item->plugin->options : NULL,
			what, build->dir, build->findings);
	}
	if (item->options != NULL) {
		item->text = item_text(entry, item->options);
	}
	return (item->name != NULL && item->text != NULL) || no_memory(build);
}

static size_t count_of(const struct conf *map)
{
	size_t count = 0;

	for (const struct conf *c = map->first; c != NULL; c = c->next) {
		count++;
	}
	return count;
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
		return no_memory(build);
	}
	*(void **)array = items;
	for (const struct conf *c = first; c != NULL; c = c->next) {
		if (!load_item(build, kind, c,
		               (void *)(items + (*count)++ * each))) {
			return false;
		}
	}
	return true;
}

const struct bursar_kind *build_kind(const struct build *build,
                                     const char *name, const char *what,
                                     unsigned line)
{
	const struct bursar_kind *kind =
		bursar_kind_find(&schema, name, strlen(name));
	const char *names[SCHEMA_KINDS + 1] = { NULL };
	char all[WHAT_SIZE] = "";

	if (kind != NULL) {
		return kind;
	}
	for (size_t i = 0; i < SCHEMA_KINDS; i++) {
		const size_t used = strlen(all);

		names[i] = schema.kinds[i].name;
		snprintf(all + used, sizeof(all) - used, "%s%s",
		         i > 0 ? ", " : "", names[i]);
	}
	const char *nearest = options_nearest(name, names);
	if (nearest != NULL) {
		findings_add(build->findings, line, "%s: '%.40s' is not a kind "
		             "of records; did you mean '%s'?", what, name,
		             nearest);
	} else {
		findings_add(build->findings, line, "%s: '%.40s' is not a kind "
		             "of records; there are %s", what, name, all);
	}
	return NULL;
}

static struct setup_item *find_item(struct setup_item *items, size_t count,
                                    const char *name)
{
	for (size_t i = 0; i < count; i++) {
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
		no_memory(build);
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

	const bool names_crypto = options_given(options, "crypto", NULL);

	source->require_encryption =
		options_number(options, "require-encryption") != 0;
	if (source->require_encryption && !names_crypto) {
		options_given(options, "require-encryption", &line);
		findings_add(build->findings, line, "%s: 'require-encryption' "
		             "without 'crypto' would refuse every message",
		             what);
	}
	source->cost_computed = strcmp(options_text(options, "cost-from"),
	                               "computed") == 0;
	if (source->cost_computed &&
	    conf_get(build->root, "prices") == NULL) {
		options_given(options, "cost-from", &line);
		findings_add(build->findings, line, "%s: 'cost-from: computed' "
		             "without a section 'prices' computes nothing",
		             what);
	}
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

/* Sources come last: they name formats and crypto. */
static bool load_all_items(const struct build *build)
{
	struct setup *setup = build->setup;

	if (!load_items(build, BURSAR_CRYPTO, &setup->crypto,
	                sizeof(*setup->crypto), SETUP_MAX_ITEMS,
	                &setup->crypto_count) ||
	    !load_items(build, BURSAR_FORMAT, &setup->formats,
	                sizeof(*setup->formats), SETUP_MAX_ITEMS,
	                &setup->format_count) ||
	    !load_items(build, BURSAR_SINK, &setup->sinks,
	                sizeof(*setup->sinks), 0, &setup->sink_count) ||
	    !load_items(build, BURSAR_SERVICE, &setup->services,
	                sizeof(*setup->services), 0, &setup->service_count) ||
	    !load_items(build, BURSAR_SOURCE, &setup->sources,
	                sizeof(*setup->sources), 0, &setup->source_count)) {
		return false;
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		setup->sinks[i].required = options_number(
			setup->sinks[i].item.options, "required") != 0;
	}
	for (size_t i = 0; i < setup->source_count; i++) {
		finish_source(build, &setup->sources[i]);
	}
	return true;
}

static void report_unknown(const struct build *build, const struct conf *member)
{
	const size_t room = SECTIONS + 32;
	const char *names[SECTIONS + 32] = { NULL };
	size_t count = 0;

	for (; count < SECTIONS; count++) {
		names[count] = section_names[count];
	}
	for (const struct bursar_option *o = setup_top_options;
	     o->name != NULL; o++) {
		assert(count + 1 < room);
		names[count++] = o->name;
	}
	const char *nearest = options_nearest(member->key, names);
	findings_add(build->findings, member->line,
	             "unknown section or option '%.64s'%s%s%s", member->key,
	             nearest != NULL ? "; did you mean '" : "",
	             nearest != NULL ? nearest : "",
	             nearest != NULL ? "'?" : "");
}

static enum bursar_level level_of(const char *name)
{
	static const char *const names[] = {
		[BURSAR_ERROR] = "error", [BURSAR_WARNING] = "warning",
		[BURSAR_INFO] = "info", [BURSAR_DEBUG] = "debug",
	};
	size_t level = BURSAR_DEBUG;

	while (level > 0 && strcmp(names[level], name) != 0) {
		level--;
	}
	return (enum bursar_level)level;
}

static struct options *load_top(const struct build *build)
{
	struct setup *setup = build->setup;

	for (const struct conf *c = build->root->first; c != NULL;
	     c = c->next) {
		if (!is_section(c->key) && !is_in(setup_top_options, c->key)) {
			report_unknown(build, c);
		}
	}

	struct options *top =
		check_some(build, build->root, setup_top_options, NULL);
	if (top == NULL) {
		no_memory(build);
		return NULL;
	}
	setup->state_dir = strdup(options_text(top, "state-dir"));
	setup->batch_records = (size_t)options_number(top, "batch-records");
	setup->linger_ms = options_number(top, "linger");
	setup->max_message = (size_t)options_number(top, "max-message");
	setup->drain_timeout_ms = options_number(top, "drain-timeout");
	setup->once_timeout_ms = options_number(top, "once-timeout");
	setup->look_ms = options_number(top, "blocked-retry");
	setup->log_level = level_of(options_text(top, "log-level"));
	if (setup->state_dir == NULL) {
		no_memory(build);
	}
	return top;
}

static bool load_retention(const struct build *build)
{
	struct setup *setup = build->setup;
	struct options *options = options_create(
		conf_get(build->root, "retention"), NULL,
		setup_retention_options, "retention", build->dir,
		build->findings);

	if (options == NULL) {
		return no_memory(build);
	}
	setup->default_days = options_number(options, "default-days");
	setup->phi_ttl_days = options_number(options, "phi-ttl-days");
	setup->session_only_ms = options_number(options, "session-only-grace");
	setup->facts_days = options_number(options, "facts-days");
	setup->dedup_days = options_number(options, "dedup-days");
	options_destroy(options);
	return true;
}

static bool load_jobs(const struct build *build)
{
	struct setup *setup = build->setup;
	struct options *options = options_create(
		conf_get(build->root, "jobs"), NULL, setup_job_options, "jobs",
		build->dir, build->findings);

	if (options == NULL) {
		return no_memory(build);
	}
	setup->purge_ms = options_number(options, "purge");
	setup->facts_ms = options_number(options, "facts");
	setup->reconcile_ms = options_number(options, "reconcile");
	setup->lease_ms = options_number(options, "lease");
	options_destroy(options);
	return true;
}

static bool load_dead_letters(const struct build *build)
{
	struct setup *setup = build->setup;
	struct options *options = options_create(
		conf_get(build->root, "dead-letters"), NULL,
		setup_dead_letter_options, "dead-letters", build->dir,
		build->findings);
	unsigned line;

	if (options == NULL) {
		return no_memory(build);
	}
	setup->dead_letter_bytes = (size_t)options_number(options, "max-size");
	setup->dead_letter_reserve =
		(size_t)options_number(options, "reserve");
	if (setup->dead_letter_bytes != 0 &&
	    setup->dead_letter_reserve > setup->dead_letter_bytes) {
		options_given(options, "reserve", &line);
		findings_add(build->findings, line, "dead-letters: 'reserve' "
		             "is a part of 'max-size' and cannot be larger");
	}
	options_destroy(options);
	return true;
}

static void load_root(struct build *build)
{
	struct options *top = load_top(build);

	if (top == NULL || !load_retention(build) ||
	    !load_jobs(build) || !load_dead_letters(build) ||
	    !load_all_items(build) || !build_prices(build)) {
		goto done;
	}
	build_routes(build, top);
	if (!build_budgets(build)) {
		goto done;
	}
	if (conf_is_empty(conf_get(build->root, "sources"))) {
		findings_add(build->findings, 0, "no source is configured: "
		             "sources: {NAME: {plugin: PLUGIN}}");
	}
	if (conf_is_empty(conf_get(build->root, "sinks"))) {
		findings_add(build->findings, 0, "no sink is configured: "
		             "sinks: {NAME: {plugin: PLUGIN}}");
	}
done:
	options_destroy(top);
}

/* Without resolving links: paths are relative to where the file was named. */
static char *absolute(const char *path)
{
	char *cwd;
	char *whole;

	if (path[0] == '/') {
		return strdup(path);
	}
	cwd = getcwd(NULL, 0);
	if (cwd == NULL || asprintf(&whole, "%s/%s", cwd, path) < 0) {
		whole = NULL;
	}
	free(cwd);
	return whole;
}

static char *folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');

	return slash == file ? strdup("/") :
		strndup(file, (size_t)(slash - file));
}

struct setup *setup_load(const char *file, struct findings *findings,
                         struct findings *warnings)
{
	assert(file != NULL && findings != NULL);

	struct findings unheard = { 0 };
	struct build build = {
		.setup = calloc(1, sizeof(*build.setup)),
		.findings = findings,
		.warnings = warnings != NULL ? warnings : &unheard,
	};
	const size_t before = findings->count + findings->left_out;
	struct conf *root = conf_load(file, findings);

	if (root == NULL) {
		goto done;
	}
	build.warnings->file = file;
	build.root = root;
	if (build.setup != NULL) {
		build.setup->file = absolute(file);
	}
	if (build.setup != NULL && build.setup->file != NULL) {
		build.dir = folder_of(build.setup->file);
	}
	if (build.dir == NULL) {
		no_memory(&build);
		goto done;
	}
	load_root(&build);

done:
	findings_finish(&unheard);
	conf_destroy(root);
	free(build.dir);
	if (findings->count + findings->left_out > before) {
		setup_destroy(build.setup);
		return NULL;
	}
	return build.setup;
}

static void item_finish(struct setup_item *item)
{
	free(item->name);
	free(item->text);
	options_destroy(item->options);
}

void setup_destroy(struct setup *setup)
{
	if (setup == NULL) {
		return;
	}
	for (size_t i = 0; i < setup->source_count; i++) {
		item_finish(&setup->sources[i].item);
	}
	for (size_t i = 0; i < setup->crypto_count; i++) {
		item_finish(&setup->crypto[i]);
	}
	for (size_t i = 0; i < setup->format_count; i++) {
		item_finish(&setup->formats[i]);
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		item_finish(&setup->sinks[i].item);
	}
	for (size_t i = 0; i < setup->service_count; i++) {
		item_finish(&setup->services[i]);
	}
	setup_budgets_finish(setup);
	free(setup->sources);
	free(setup->crypto);
	free(setup->formats);
	free(setup->sinks);
	free(setup->services);
	prices_destroy(setup->prices);
	free(setup->state_dir);
	free(setup->file);
	free(setup);
}

const char *setup_default_file(const char *given)
{
	const char *named = getenv("BURSAR_CONFIG");

	if (given != NULL) {
		return given;
	}
	return named != NULL && named[0] != '\0' ? named :
		SYSCONF_DIR "/bursar/bursar.yaml";
}
