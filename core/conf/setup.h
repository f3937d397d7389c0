/* SPDX-License-Identifier: Apache-2.0 */

/*
 * setup.h - the whole configuration, checked
 *
 * From the file to something that can be opened: every section is checked
 * against its table, every name resolved, all mistakes found at once.  Loads
 * the modules that the configuration names; opens nothing.
 *
 * Main thread only.  A setup does not change once it is loaded.
 */
#ifndef CORE_CONF_SETUP_H
#define CORE_CONF_SETUP_H

#include "conf/options.h"
#include "plugin/schema.h"

#define SETUP_MAX_SINKS 32		/* bits of a route */
#define SETUP_MAX_ITEMS 100		/* of any other section */
#define SETUP_MAX_NAME  40

/* One instance to be. */
struct setup_item {
	char     *name;		/* as the configuration calls it: letters,
				 * digits, '-' and '_' */
	const struct bursar_plugin *plugin;
	struct options *options;	/* the common ones and the plugin's */
	char     *text;		/* conf_canonical() and options_digest(): as
				 * long as it is equal, so is the instance */
	unsigned  line;		/* where its section stands; 0: implied */
};

struct setup_source {
	struct setup_item  item;
	struct setup_item *format;	/* never NULL */
	struct setup_item *crypto;	/* NULL: none */
	const struct bursar_kind *kind;	/* NULL: by envelope or routing key */
	bool   require_encryption;
	bool   cost_computed;		/* a computed cost comes before one that
					 * was reported */
	bool   strangers;		/* senders are told what became of each
					 * message: they may learn nothing of
					 * what does not open */
	size_t window_messages;		/* in flight at most */
	size_t window_bytes;
	int64_t give_back_us;		/* age at which what is in flight goes
					 * back to a source that can park */
	/* Tags of its facts that do not say otherwise: its own, then those of
	 * the whole configuration. */
	struct bursar_header *tags;	size_t tag_count;
};

struct setup_sink {
	struct setup_item item;
	bool required;
};

/* What may be spent.  See core/book/budget.h for what it means. */
struct setup_budget {
	char       *id;
	const char *field;	/* of facts: those whose field ... */
	char       *tag;	/* which is this, where it is a tag */
	char       *value;	/* ... is this */
	int64_t     limit_nano;
	char       *period;	/* a word of core/book/window.h */
	char       *tz;
	int         threshold;	/* of a hundred */
	bool        when_reached;	/* exceeded at the limit, not above */
	unsigned    line;
};

struct setup {
	char  *file;			/* absolute */
	char  *state_dir;		/* absolute */
	size_t batch_records;
	int64_t linger_ms;
	size_t max_message;
	int64_t drain_timeout_ms;
	int64_t once_timeout_ms;
	int64_t look_ms;		/* between looks at what is blocked */
	enum bursar_level log_level;

	int64_t default_days;		/* retention */
	int64_t phi_ttl_days;
	int64_t session_only_ms;	/* grace for label session_only */
	int64_t facts_days;		/* 0: for ever */
	int64_t dedup_days;		/* 0: for ever */

	int64_t purge_ms;		/* jobs: intervals; 0: off */
	int64_t facts_ms;
	int64_t reconcile_ms;
	int64_t rollup_ms;
	int64_t lease_ms;

	size_t dead_letter_bytes;	/* at most */
	size_t dead_letter_reserve;	/* held back on the disk */

	struct setup_source *sources;	size_t source_count;
	struct setup_item   *crypto;	size_t crypto_count;
	struct setup_item   *formats;	size_t format_count;
	struct setup_sink   *sinks;	size_t sink_count;
	struct setup_item   *services;	size_t service_count;

	char **tag_names;		size_t tag_name_count;	/* that are
					 * dimensions of the rollups */

	struct prices *prices;		/* price/prices.h; NULL: nothing is
					 * priced */
	struct setup_budget *budgets;	size_t budget_count;

	/* Bit n: the kind goes to sinks[n]. */
	uint32_t routes[SCHEMA_KINDS];
	/* What seals bodies of the kind on their way to sinks[n]; NULL: they
	 * are stored in clear.  One of crypto, and it can seal. */
	struct setup_item *seals[SCHEMA_KINDS][SETUP_MAX_SINKS];
	/* The kind need not be stored; it has no required sink then, and
	 * without any it is dropped. */
	bool     discard[SCHEMA_KINDS];
	struct setup_sink *book;	/* NULL: none fit to be it */
};

/*
 * The tables of the core's own options, for manuals and `bursar plugins`.  The
 * common options of an entry come before those of its plugin.
 */
extern const struct bursar_option setup_top_options[];	/* whole file */
extern const struct bursar_option setup_retention_options[];
extern const struct bursar_option setup_job_options[];
extern const struct bursar_option setup_tag_options[];
extern const struct bursar_option setup_dead_letter_options[];
/* Without `overrides`, whose members are models. */
extern const struct bursar_option setup_prices_options[];
extern const struct bursar_option setup_route_options[];	/* every route */
extern const struct bursar_option setup_budget_options[];	/* every budget */
extern const struct bursar_option setup_source_options[];	/* every source */
extern const struct bursar_option setup_sink_options[];		/* every sink */
extern const struct bursar_option setup_service_options[];	/* every service */
/* Every entry of crypto and formats. */
extern const struct bursar_option setup_item_options[];

/*
 * The common options of the entries of a kind of plugin: one of the four
 * tables above.
 */
const struct bursar_option *setup_common_options(enum bursar_plugin_kind kind);

/*
 * Loads and checks `file`, which lives as long as the findings do.  Returns the
 * setup, to be given to setup_destroy(), or NULL with findings.  `warnings`
 * gets what is legal but deserves a word (a source that feeds two routes, an
 * entry that nothing uses, one that is left out); may be NULL.
 */
struct setup *setup_load(const char *file, struct findings *findings,
                         struct findings *warnings);

/*
 * The same for who only asks ledgers: sources, crypto, formats, services, seals
 * and prices are neither loaded nor checked, and are not there.  Plugins that
 * open connections to the world bring libraries that take longer to load than a
 * report to make, and whoever reads reports may not have them.
 */
struct setup *setup_load_book(const char *file, struct findings *findings);
void setup_destroy(struct setup *setup);

/* The file to read: `given`, else BURSAR_CONFIG, else the installed default. */
const char *setup_default_file(const char *given);

#endif
