/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which kinds go to which sinks, and what only shows when that is known: a kind
 * that nobody keeps, the book, entries that nothing uses.
 */
#include "config.h"

#include <string.h>

#include <bursar/crypto.h>
#include <bursar/format.h>
#include <bursar/sink.h>

#include "conf/setup_build.h"

#define WHAT_SIZE 40
#define ALL_KINDS ((1u << SCHEMA_KINDS) - 1)

static const struct setup_item *item_of(const struct setup *setup, size_t sink)
{
	return &setup->sinks[sink].item;
}

static void report_sink(const struct build *build, const char *name,
                        const char *what, unsigned line)
{
	const struct setup *setup = build->setup;
	const char *names[SETUP_MAX_SINKS + 1] = { NULL };

	for (size_t i = 0; i < setup->sink_count; i++) {
		names[i] = item_of(setup, i)->name;
	}
	const char *nearest = options_nearest(name, names);
	findings_add(build->findings, line, "%s: no sink is called '%.40s'"
	             "%s%s%s", what, name,
	             nearest != NULL ? "; did you mean '" : "",
	             nearest != NULL ? nearest : "",
	             nearest != NULL ? "'?" : "");
}

/* The place of the sink of that name; sink_count with a finding. */
static size_t find_sink(const struct build *build, const char *name,
                        const char *what, unsigned line)
{
	const struct setup *setup = build->setup;
	size_t i;

	for (i = 0; i < setup->sink_count; i++) {
		if (strcmp(item_of(setup, i)->name, name) == 0) {
			return i;
		}
	}
	report_sink(build, name, what, line);
	return i;
}

static uint32_t required_mask(const struct setup *setup)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < setup->sink_count; i++) {
		mask |= (uint32_t)setup->sinks[i].required << i;
	}
	return mask;
}

static void load_discard(const struct build *build, const struct options *top)
{
	const char *const *names;
	const size_t count = options_list(top, "discard", &names);
	unsigned line;

	options_given(top, "discard", &line);
	for (size_t i = 0; i < count; i++) {
		const struct bursar_kind *kind =
			build_kind(build, names[i], "discard", line);

		if (kind != NULL) {
			build->setup->discard[kind->number] = true;
		}
	}
}

/* The entry of crypto that a route names; NULL with a finding. */
static struct setup_item *find_crypto(const struct build *build,
                                      const char *name, const char *what,
                                      unsigned line)
{
	struct setup *setup = build->setup;
	const char *names[SETUP_MAX_ITEMS * 2 + 1] = { NULL };

	for (size_t i = 0; i < setup->crypto_count; i++) {
		if (strcmp(setup->crypto[i].name, name) == 0) {
			return &setup->crypto[i];
		}
		names[i] = setup->crypto[i].name;
	}
	const char *nearest = options_nearest(name, names);
	findings_add(build->findings, line, "%s: 'seal' names '%.40s', which is "
	             "no entry of 'crypto'%s%s%s", what, name,
	             nearest != NULL ? "; did you mean '" : "",
	             nearest != NULL ? nearest : "",
	             nearest != NULL ? "'?" : "");
	return NULL;
}

/* What seals on a route; NULL where nothing does, or with a finding. */
static struct setup_item *find_seal(const struct build *build,
                                    const struct options *route,
                                    const char *what)
{
	const char *name = options_text(route, "seal");
	unsigned line;

	if (name[0] == '\0' || build->book_only) {
		return NULL;
	}
	options_given(route, "seal", &line);
	struct setup_item *seal = find_crypto(build, name, what, line);
	if (seal != NULL && seal->plugin != NULL &&
	    seal->plugin->ops.crypto->seal == NULL) {
		findings_add(build->findings, line, "%s: 'seal' names '%s', "
		             "which cannot seal: its plugin '%s' only opens",
		             what, seal->name, seal->plugin->name);
		return NULL;
	}
	return seal;
}

static const char *name_of(const struct setup_item *item)
{
	return item != NULL ? item->name : "nothing";
}

/* Bodies of a kind lie in one sink in one way. */
static void set_seal(const struct build *build, const struct bursar_kind *kind,
                     uint32_t sinks, struct setup_item *seal, const char *what,
                     unsigned line)
{
	struct setup *setup = build->setup;
	const uint32_t taken = setup->routes[kind->number] & sinks;

	for (size_t i = 0; i < setup->sink_count && !kind->fact; i++) {
		struct setup_item **place = &setup->seals[kind->number][i];

		if ((sinks & UINT32_C(1) << i) == 0) {
			continue;
		}
		if ((taken & UINT32_C(1) << i) != 0 && *place != seal) {
			findings_add(build->findings, line, "%s: '%s' goes to "
			             "sink '%s' by another route that seals it "
			             "with %s, this one with %s", what,
			             kind->name, item_of(setup, i)->name,
			             name_of(*place), name_of(seal));
		}
		*place = seal;
	}
}

static void add_route(const struct build *build, const struct options *route,
                      const char *what)
{
	struct setup_item *seal = find_seal(build, route, what);
	const char *const *names;
	bool has_bodies = false;
	uint32_t sinks = 0;
	unsigned line;

	const size_t sink_count = options_list(route, "sinks", &names);
	options_given(route, "sinks", &line);
	for (size_t i = 0; i < sink_count; i++) {
		const size_t sink = find_sink(build, names[i], what, line);

		if (sink < build->setup->sink_count) {
			sinks |= UINT32_C(1) << sink;
		}
	}

	const size_t kind_count = options_list(route, "kinds", &names);
	options_given(route, "kinds", &line);
	for (size_t i = 0; i < kind_count; i++) {
		const struct bursar_kind *kind =
			build_kind(build, names[i], what, line);

		if (kind != NULL) {
			set_seal(build, kind, sinks, seal, what, line);
			build->setup->routes[kind->number] |= sinks;
			has_bodies |= !kind->fact;
		}
	}
	if (seal != NULL && !has_bodies) {
		options_given(route, "seal", &line);
		findings_add(build->findings, line, "%s: 'seal' seals what "
		             "people wrote and models answered, and none of "
		             "its kinds has that", what);
	}
}

static void load_routes(const struct build *build, const struct conf *routes)
{
	size_t number = 0;
	char what[WHAT_SIZE];

	if (routes->type != CONF_LIST) {
		if (!routes->broken) {
			findings_add(build->findings, routes->line, "routes: a "
			             "list is wanted: - {kinds: [KIND], "
			             "sinks: [NAME]}");
		}
		return;
	}
	for (const struct conf *c = routes->first; c != NULL; c = c->next) {
		snprintf(what, sizeof(what), "route %zu", ++number);
		struct options *route = options_create(c, NULL,
			setup_route_options, what, build->dir,
			build->findings);

		if (route == NULL) {
			findings_add(build->findings, 0, "out of memory");
			return;
		}
		add_route(build, route, what);
		options_destroy(route);
	}
}

/* Every kind to every sink, but for those that are discarded. */
static void imply_routes(struct setup *setup)
{
	const uint64_t all = (UINT64_C(1) << setup->sink_count) - 1;

	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		setup->routes[k] = setup->discard[k] ? 0 : (uint32_t)all;
	}
}

/* The kinds that may come from a source, as a mask. */
static uint32_t kinds_of(const struct setup_source *source)
{
	const struct setup_item *format = source->format;

	if (source->kind == NULL) {
		const bool at_fault =
			options_text(source->item.options, "kind")[0] != '\0';

		return at_fault ? 0 : ALL_KINDS;
	}
	if (format != NULL && format->plugin != NULL &&
	    !format->plugin->ops.format->needs_kind) {
		return ALL_KINDS;	/* it may make others than it is told */
	}
	return 1u << source->kind->number;
}

static uint32_t fed_kinds(const struct setup *setup)
{
	uint32_t mask = 0;

	for (size_t i = 0; i < setup->source_count; i++) {
		mask |= kinds_of(&setup->sources[i]);
	}
	return mask;
}

static void check_kinds(const struct build *build, unsigned line)
{
	const struct setup *setup = build->setup;
	const uint32_t required = required_mask(setup);
	const uint32_t fed = fed_kinds(setup);

	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		const bool is_kept = (setup->routes[k] & required) != 0;
		const char *name = schema.kinds[k].name;

		if (setup->discard[k] && is_kept) {
			findings_add(build->findings, line, "kind '%s' is "
			             "listed under 'discard', and yet a route "
			             "takes it to a required sink", name);
		} else if (!setup->discard[k] && !is_kept &&
		           (fed & 1u << k) != 0) {
			findings_add(build->findings, line, "kind '%s' goes to "
			             "no required sink: give it a route to "
			             "one, or list it under 'discard'", name);
		}
	}
}

static bool gets_facts(const struct setup *setup, size_t sink)
{
	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		if (schema.kinds[k].fact &&
		    (setup->routes[k] & UINT32_C(1) << sink) != 0) {
			return true;
		}
	}
	return false;
}

static bool can_be_asked(const struct setup *setup, size_t sink)
{
	const struct bursar_plugin *plugin = item_of(setup, sink)->plugin;

	return plugin != NULL && plugin->ops.sink->sql != NULL;
}

/* The first that is fit to be the book; one that must have all, if there is. */
static struct setup_sink *default_book(const struct setup *setup)
{
	struct setup_sink *book = NULL;

	for (size_t i = 0; i < setup->sink_count; i++) {
		struct setup_sink *sink = &setup->sinks[i];

		if (can_be_asked(setup, i) && gets_facts(setup, i) &&
		    (book == NULL || (sink->required && !book->required))) {
			book = sink;
		}
	}
	return book;
}

static void choose_book(const struct build *build, const struct options *top)
{
	struct setup *setup = build->setup;
	const char *name = options_text(top, "book");
	unsigned line;

	if (name[0] == '\0') {
		setup->book = default_book(setup);
		return;
	}
	options_given(top, "book", &line);
	const size_t sink = find_sink(build, name, "book", line);
	if (sink == setup->sink_count) {
		return;
	}
	setup->book = &setup->sinks[sink];
	if (item_of(setup, sink)->plugin == NULL) {
		return;
	}
	if (!can_be_asked(setup, sink)) {
		findings_add(build->findings, line, "book: sink '%s' cannot be "
		             "asked: its plugin '%s' stores and does not read",
		             name, item_of(setup, sink)->plugin->name);
	}
	if (!gets_facts(setup, sink)) {
		findings_add(build->findings, line, "book: sink '%s' does not "
		             "get metering: give it a route", name);
	}
}

static void warn_of_book(const struct build *build)
{
	const struct setup *setup = build->setup;
	const uint32_t fed = fed_kinds(setup);
	bool facts_come = false;

	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		facts_come |= schema.kinds[k].fact && (fed & 1u << k) != 0;
	}
	if (setup->book == NULL && facts_come) {
		findings_add(build->warnings, 0, "no sink is fit to be the "
		             "book: reports and budgets have nothing to read");
	} else if (setup->book != NULL && !setup->book->required) {
		findings_add(build->warnings, setup->book->item.line,
		             "sink '%s' is the book and is not required: "
		             "reports may miss records",
		             setup->book->item.name);
	}
}

static bool is_sealed(const struct setup *setup, size_t kind, uint32_t sinks)
{
	for (size_t i = 0; i < setup->sink_count; i++) {
		if ((sinks & UINT32_C(1) << i) != 0 &&
		    setup->seals[kind][i] != NULL) {
			return true;
		}
	}
	return false;
}

static void warn_of_mixed_source(const struct build *build,
                                 const struct setup_source *source,
                                 uint32_t required)
{
	const struct setup *setup = build->setup;
	const uint32_t kinds = kinds_of(source);
	uint32_t first = 0;
	bool differs = false, sealed = false, clear = false;

	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		const uint32_t sinks = setup->routes[k] & required;

		if ((kinds & 1u << k) != 0 && sinks != 0) {
			first = first != 0 ? first : sinks;
			differs |= sinks != first;
			sealed |= is_sealed(setup, k, sinks);
			clear |= !is_sealed(setup, k, sinks);
		}
	}
	if (sealed && clear && !differs) {
		findings_add(build->warnings, source->item.line,
		             "source '%s' feeds kinds that are sealed and "
		             "kinds that are not: without the key none of "
		             "them is taken; give it a 'kind'",
		             source->item.name);
	}
	if (differs) {
		findings_add(build->warnings, source->item.line,
		             "source '%s' feeds kinds that go to different "
		             "sinks: when one stands still, so do the others; "
		             "give it a 'kind', or each kind a source of its "
		             "own", source->item.name);
	}
}

/* One sink that stands still stops all that comes from a source. */
static void warn_of_mixed_sources(const struct build *build)
{
	const struct setup *setup = build->setup;
	const uint32_t required = required_mask(setup);

	for (size_t i = 0; i < setup->source_count; i++) {
		warn_of_mixed_source(build, &setup->sources[i], required);
	}
}

static bool seals(const struct setup *setup, const struct setup_item *item)
{
	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		for (size_t i = 0; i < setup->sink_count; i++) {
			if (setup->seals[k][i] == item) {
				return true;
			}
		}
	}
	return false;
}

static bool is_used(const struct setup *setup, const struct setup_item *item)
{
	for (size_t i = 0; i < setup->source_count; i++) {
		if (setup->sources[i].format == item ||
		    setup->sources[i].crypto == item) {
			return true;
		}
	}
	return seals(setup, item);
}

static void warn_of_unused_items(const struct build *build,
                                 const struct setup_item *items, size_t count,
                                 const char *what)
{
	for (size_t i = 0; i < count; i++) {
		if (!is_used(build->setup, &items[i])) {
			findings_add(build->warnings, items[i].line,
			             "%s '%s': no source uses it", what,
			             items[i].name);
		}
	}
}

static void warn_of_unused_sinks(const struct build *build)
{
	const struct setup *setup = build->setup;
	uint32_t used = 0;

	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		used |= setup->routes[k];
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		if ((used & UINT32_C(1) << i) == 0) {
			findings_add(build->warnings, item_of(setup, i)->line,
			             "sink '%s': no route leads there",
			             item_of(setup, i)->name);
		}
	}
}

void build_routes(struct build *build, const struct options *top)
{
	struct setup *setup = build->setup;
	const struct conf *routes = conf_get(build->root, "routes");
	const struct conf *sinks = conf_get(build->root, "sinks");
	const size_t before =
		build->findings->count + build->findings->left_out;

	load_discard(build, top);
	if (conf_is_empty(routes)) {
		imply_routes(setup);
	} else {
		load_routes(build, routes);
	}
	/* Names that are wrong would show again as what they left out. */
	if (setup->sink_count == 0 ||
	    build->findings->count + build->findings->left_out > before) {
		return;
	}
	check_kinds(build, conf_is_empty(routes) ? sinks->line : routes->line);
	choose_book(build, top);
	warn_of_book(build);
	warn_of_mixed_sources(build);
	warn_of_unused_items(build, setup->crypto, setup->crypto_count,
	                     "crypto");
	warn_of_unused_items(build, setup->formats, setup->format_count,
	                     "format");
	warn_of_unused_sinks(build);
}
