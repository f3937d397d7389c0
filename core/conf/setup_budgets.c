/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Section `budgets`: what may be spent, by whom, in which time.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "book/query.h"
#include "book/window.h"
#include "cli/table.h"
#include "conf/setup_build.h"

#define WHAT_SIZE 120

static unsigned line_of(const struct options *options, const char *name,
                        unsigned otherwise)
{
	unsigned line;

	return options_given(options, name, &line) ? line : otherwise;
}

static void check_limit(const struct build *build, const struct options *options,
                        const char *what, struct setup_budget *budget)
{
	const char *text = options_text(options, "limit");

	if (*text != '\0' &&
	    (!table_money_parse(text, &budget->limit_nano) ||
	     budget->limit_nano < 0)) {
		findings_add(build->findings,
		             line_of(options, "limit", budget->line),
		             "%s: 'limit' is an amount in dollars, such as 100 "
		             "or 49.90, not '%.40s'", what, text);
	}
}

static void check_zone(const struct build *build, const struct options *options,
                       const char *what, const struct setup_budget *budget)
{
	struct bursar_error err = { 0 };

	if (window_zone_check(options_text(options, "tz"), &err) != 0) {
		findings_add(build->findings,
		             line_of(options, "tz", budget->line), "%s: %s",
		             what, err.text);
	}
}

/* Splits "team=research"; without it the budget is about its own id. */
static bool take_where(const struct build *build, const struct options *options,
                       const char *what, struct setup_budget *budget)
{
	const char *text = options_text(options, "where");
	struct bursar_error err = { 0 };
	const char *equals = strchr(text, '=');

	budget->field = "budget_id";
	if (*text == '\0') {
		budget->value = strdup(budget->id);
		return budget->value != NULL;
	}
	char *word = strndup(text, strcspn(text, "="));
	budget->value = strdup(equals != NULL ? equals + 1 : "");
	if (word == NULL || budget->value == NULL) {
		free(word);
		return false;
	}
	const char *field = query_field(word, &err);
	if (equals == NULL || field == NULL) {
		findings_add(build->findings,
		             line_of(options, "where", budget->line),
		             equals == NULL ? "%s: 'where' is FIELD=VALUE, such "
		             "as team=research%s" : "%s: where: %s", what,
		             equals == NULL ? "" : err.text);
	} else if (field == word) {
		budget->field = budget->tag = word;
		return true;
	} else {
		budget->field = field;
	}
	free(word);
	return true;
}

static bool take_budget(const struct build *build, const struct conf *conf,
                        struct setup_budget *budget)
{
	char what[WHAT_SIZE];

	snprintf(what, sizeof(what), "budget '%.60s'", conf->key);
	budget->line = conf->line;
	budget->id = strdup(conf->key);
	if (conf->type != CONF_MAP) {
		findings_add(build->findings, conf->line, "%s: write {limit: "
		             "DOLLARS, period: month}", what);
		return true;	/* nobody gets to see it */
	}
	struct options *options = options_create(conf, NULL,
	                                         setup_budget_options, what,
	                                         build->dir, build->findings);
	if (options == NULL || budget->id == NULL) {
		options_destroy(options);
		return false;
	}
	budget->period = strdup(options_text(options, "period"));
	budget->tz = strdup(options_text(options, "tz"));
	budget->threshold = (int)options_number(options, "threshold");
	budget->when_reached =
		strcmp(options_text(options, "exceeded"), "reached") == 0;
	check_limit(build, options, what, budget);
	check_zone(build, options, what, budget);
	const bool done = take_where(build, options, what, budget) &&
		budget->period != NULL && budget->tz != NULL;
	options_destroy(options);
	return done;
}

static size_t count_of(const struct conf *section)
{
	size_t count = 0;

	for (const struct conf *c = section->first; c != NULL; c = c->next) {
		count++;
	}
	return count;
}

bool build_budgets(const struct build *build)
{
	const struct conf *section = conf_get(build->root, "budgets");
	struct setup *setup = build->setup;

	if (conf_is_empty(section)) {
		return true;
	}
	if (section->type != CONF_MAP) {
		findings_add(build->findings, section->line, "'budgets' is a "
		             "map: {BUDGET: {limit: DOLLARS}}");
		return true;
	}
	setup->budgets = calloc(count_of(section) + 1, sizeof(*setup->budgets));
	if (setup->budgets == NULL) {
		return build_no_memory(build);
	}
	for (const struct conf *c = section->first; c != NULL; c = c->next) {
		if (!take_budget(build, c,
		                 &setup->budgets[setup->budget_count++])) {
			return build_no_memory(build);
		}
	}
	return true;
}

void setup_budgets_finish(struct setup *setup)
{
	for (size_t i = 0; i < setup->budget_count; i++) {
		free(setup->budgets[i].id);
		free(setup->budgets[i].value);
		free(setup->budgets[i].tag);
		free(setup->budgets[i].period);
		free(setup->budgets[i].tz);
	}
	free(setup->budgets);
}
