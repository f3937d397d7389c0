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
#include <sys/stat.h>
#include <unistd.h>

#include "conf/setup_build.h"
#include "price/prices.h"

#define WHAT_SIZE  80

static const char *const section_names[] = {
	"sources", "crypto", "formats", "sinks", "services", "routes",
	"budgets", "retention", "jobs", "dead-letters", "prices", "tags",
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

struct options *build_some(const struct build *build, const struct conf *map,
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

bool build_no_memory(const struct build *build)
{
	findings_add(build->findings, 0, "out of memory");
	return false;
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
		build_some(build, build->root, setup_top_options, NULL);
	if (top == NULL) {
		build_no_memory(build);
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
		build_no_memory(build);
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
		return build_no_memory(build);
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
		return build_no_memory(build);
	}
	setup->purge_ms = options_number(options, "purge");
	setup->facts_ms = options_number(options, "facts");
	setup->reconcile_ms = options_number(options, "reconcile");
	setup->rollup_ms = options_number(options, "rollup");
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
		return build_no_memory(build);
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
	    !build_items(build) ||
	    (!build->book_only &&
	     (!build_apart(build) || !build_prices(build))) ||
	    !build_tags(build)) {
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

/* What comes through a pipe lies nowhere: its paths start from where who wrote
 * `-c <(command)` is. */
static char *folder_of(const char *file)
{
	const char *slash = strrchr(file, '/');
	struct stat st;

	if (stat(file, &st) == 0 && !S_ISREG(st.st_mode)) {
		return getcwd(NULL, 0);
	}
	return slash == file ? strdup("/") :
		strndup(file, (size_t)(slash - file));
}

static struct setup *load(const char *file, bool book_only,
                          struct findings *findings, struct findings *warnings)
{
	assert(file != NULL && findings != NULL);

	struct findings unheard = { 0 };
	struct build build = {
		.setup = calloc(1, sizeof(*build.setup)),
		.findings = findings,
		.warnings = warnings != NULL ? warnings : &unheard,
		.book_only = book_only,
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
		build_no_memory(&build);
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

struct setup *setup_load(const char *file, struct findings *findings,
                         struct findings *warnings)
{
	return load(file, false, findings, warnings);
}

struct setup *setup_load_book(const char *file, struct findings *findings)
{
	return load(file, true, findings, NULL);
}

void setup_destroy(struct setup *setup)
{
	if (setup == NULL) {
		return;
	}
	for (size_t i = 0; i < setup->source_count; i++) {
		setup_item_finish(&setup->sources[i].item);
	}
	for (size_t i = 0; i < setup->crypto_count; i++) {
		setup_item_finish(&setup->crypto[i]);
	}
	for (size_t i = 0; i < setup->format_count; i++) {
		setup_item_finish(&setup->formats[i]);
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		setup_item_finish(&setup->sinks[i].item);
	}
	for (size_t i = 0; i < setup->service_count; i++) {
		setup_item_finish(&setup->services[i]);
	}
	setup_budgets_finish(setup);
	setup_tags_finish(setup);
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
