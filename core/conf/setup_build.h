/* SPDX-License-Identifier: Apache-2.0 */

/*
 * setup_build.h - what the files that make a setup share
 */
#ifndef CORE_CONF_SETUP_BUILD_H
#define CORE_CONF_SETUP_BUILD_H

#include "conf/setup.h"

/* A setup in the making.  Entries that are at fault keep their place, without
 * plugin or options, so that others can still name them. */
struct build {
	struct setup      *setup;
	const struct conf *root;
	char              *dir;		/* of the file; absolute */
	struct findings   *findings;
	struct findings   *warnings;
	bool               book_only;	/* see setup_load_book() */
};

/*
 * Checks those members of a map that stand in `table` and leaves the others to
 * somebody else.  Returns the options, to be given to options_destroy(); NULL:
 * out of memory.
 */
struct options *build_some(const struct build *build, const struct conf *map,
                           const struct bursar_option *table,
                           const char *what);

/* A finding of its own; returns false. */
bool build_no_memory(const struct build *build);

/* The kind of that name; NULL with a finding.  `what` uses it, in `line`. */
const struct bursar_kind *build_kind(const struct build *build,
                                     const char *name, const char *what,
                                     unsigned line);

/*
 * All entries: their plugins, their options, and what sources name of formats
 * and crypto.  false: out of memory.
 */
bool build_items(const struct build *build);
void setup_item_finish(struct setup_item *item);

/* That no two entries write one file or listen at one place, and a warning
 * where they read one; once all entries are there.  false: out of memory. */
bool build_apart(const struct build *build);

/*
 * Routes, the book, and what only shows when all entries are known; `top` are
 * the options of the file itself.
 */
void build_routes(struct build *build, const struct options *top);

/* The books of section `prices`; false: out of memory. */
bool build_prices(const struct build *build);
/* The section `tags`, and the tags of sources; false: out of memory. */
bool build_tags(const struct build *build);
void setup_tags_finish(struct setup *setup);
/* The section `budgets`; false: out of memory. */
bool build_budgets(const struct build *build);
void setup_budgets_finish(struct setup *setup);

#endif
