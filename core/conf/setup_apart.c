/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What two instances cannot share: a file that is written, a place to listen
 * at; and what they should not: a file that is read.  Types of options say
 * which is which, whatever the plugin.
 */
#include "config.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/setup_build.h"
#include "plugin/module.h"

/* An option of an instance, and what it says. */
struct claim {
	const struct setup_item    *item;
	const struct bursar_option *option;
	const char                 *text;
};

/* --- places to listen at -------------------------------------------------- */

/* ADDRESS:PORT; other words are compared as they are. */
static bool split(const char *text, const char **port, size_t *address)
{
	const char *colon = strrchr(text, ':');

	if (colon == NULL || colon[1] == '\0' ||
	    strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
		return false;
	}
	*port = colon + 1;
	*address = (size_t)(colon - text);
	return true;
}

/* Whether who listens at a takes what comes to b, too. */
static bool covers(const char *a, size_t size, const char *b)
{
	static const char all[] = "[::]", of_v4[] = "0.0.0.0";

	return (size == strlen(all) && memcmp(a, all, size) == 0) ||
	       (size == strlen(of_v4) && memcmp(a, of_v4, size) == 0 &&
	        b[0] != '[');
}

static bool same_place(const char *a, const char *b)
{
	const char *port_a, *port_b;
	size_t size_a, size_b;

	if (!split(a, &port_a, &size_a) || !split(b, &port_b, &size_b)) {
		return strcmp(a, b) == 0;
	}
	/* Of port 0 each gets another one. */
	if (strtoul(port_a, NULL, 10) != strtoul(port_b, NULL, 10) ||
	    strtoul(port_a, NULL, 10) == 0) {
		return false;
	}
	return covers(a, size_a, b) || covers(b, size_b, a) ||
	       (size_a == size_b && memcmp(a, b, size_a) == 0);
}

/* --- files ---------------------------------------------------------------- */

/* The path without links in its folder, for one that is not there; to be freed,
 * NULL: its folder is not there either. */
static char *resolve(const char *path)
{
	char folder[PATH_MAX], name[PATH_MAX];
	char *whole = NULL;

	snprintf(folder, sizeof(folder), "%s", path);
	snprintf(name, sizeof(name), "%s", path);
	char *real = realpath(dirname(folder), NULL);
	if (real != NULL &&
	    asprintf(&whole, "%s/%s", real, basename(name)) < 0) {
		whole = NULL;
	}
	free(real);
	return whole;
}

static bool same_file(const char *a, const char *b)
{
	struct stat st_a, st_b;

	if (strcmp(a, b) == 0) {
		return true;
	}
	const bool is_a = stat(a, &st_a) == 0, is_b = stat(b, &st_b) == 0;
	if (is_a || is_b) {
		return is_a && is_b && st_a.st_dev == st_b.st_dev &&
		       st_a.st_ino == st_b.st_ino;
	}
	char *real_a = resolve(a), *real_b = resolve(b);
	const bool same = real_a != NULL && real_b != NULL &&
		strcmp(real_a, real_b) == 0;
	free(real_a);
	free(real_b);
	return same;
}

/* --- all of them ---------------------------------------------------------- */

static bool collide(const struct claim *a, const struct claim *b)
{
	if (a->option->type != b->option->type) {
		return false;
	}
	return a->option->type == BURSAR_TYPE_LISTEN
	       ? same_place(a->text, b->text) : same_file(a->text, b->text);
}

static void tell(const struct build *build, const struct claim *claim,
                 const struct claim *first)
{
	const bool reads = claim->option->type == BURSAR_TYPE_INPUT;
	unsigned line, first_line;

	options_given(claim->item->options, claim->option->name, &line);
	options_given(first->item->options, first->option->name, &first_line);
	findings_add(reads ? build->warnings : build->findings, line,
	             "%s '%s': '%s' is what %s '%s' %s (line %u): %s",
	             module_kind_names[claim->item->plugin->kind],
	             claim->item->name, claim->option->name,
	             module_kind_names[first->item->plugin->kind],
	             first->item->name,
	             reads ? "reads" :
	             claim->option->type == BURSAR_TYPE_LISTEN ? "listens at"
	                                                       : "writes",
	             first_line,
	             reads ? "each record comes twice; take one of them out"
	                   : "give each its own");
}

struct claims {
	const struct build *build;
	struct claim       *all;
	size_t              count;
};

/* Told once of each, against the first that has it. */
static bool add(struct claims *claims, const struct claim *claim)
{
	struct claim *more = reallocarray(claims->all, claims->count + 1,
	                                  sizeof(*more));

	if (more == NULL) {
		return build_no_memory(claims->build);
	}
	claims->all = more;
	more[claims->count++] = *claim;
	for (size_t i = 0; i + 1 < claims->count; i++) {
		if (collide(&more[i], claim)) {
			tell(claims->build, claim, &more[i]);
			break;
		}
	}
	return true;
}

static bool add_item(struct claims *claims, const struct setup_item *item)
{
	const struct bursar_option *option = item->plugin == NULL ||
		item->options == NULL ? NULL : item->plugin->options;

	for (; option != NULL && option->name != NULL; option++) {
		if (option->type != BURSAR_TYPE_INPUT &&
		    option->type != BURSAR_TYPE_OUTPUT &&
		    option->type != BURSAR_TYPE_LISTEN) {
			continue;
		}
		const struct claim claim = {
			item, option, options_text(item->options, option->name),
		};
		if (claim.text[0] != '\0' && !add(claims, &claim)) {
			return false;
		}
	}
	return true;
}

bool build_apart(const struct build *build)
{
	const struct setup *setup = build->setup;
	struct claims claims = { .build = build };
	bool had_room = true;

	for (size_t i = 0; had_room && i < setup->source_count; i++) {
		had_room = add_item(&claims, &setup->sources[i].item);
	}
	for (size_t i = 0; had_room && i < setup->sink_count; i++) {
		had_room = add_item(&claims, &setup->sinks[i].item);
	}
	for (size_t i = 0; had_room && i < setup->service_count; i++) {
		had_room = add_item(&claims, &setup->services[i]);
	}
	free(claims.all);
	return had_room;
}
