/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A section of the configuration against tables of options.  What a single
 * value means is in options_value.c and options_secret.c.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "conf/options.h"
#include "conf/options_value.h"

#define NAME_SIZE  80
#define SHOWN_SIZE 64
#define KNOWN_SIZE 600		/* all that one may say of a source over HTTP */

/* One option of the tables with its value. */
struct value {
	const struct bursar_option *option;
	bool     is_given;
	bool     is_taken;		/* given, and without fault */
	unsigned line;
	int64_t  number;
	char    *text;			/* may be NULL: "" */
	char   **items;			/* LIST */
	size_t   item_count;
	struct bursar_span secret;	/* in locked memory */
	int64_t  modified;		/* us; 0: not of a file */
};

struct options {
	struct value *values;		/* common before the plugin's own */
	size_t        count;
	unsigned      line;
};

/* What a check needs to know of where it is. */
struct check {
	struct options  *options;
	const char      *what;
	const char      *dir;
	struct findings *findings;
};

static size_t table_size(const struct bursar_option *table)
{
	size_t size = 0;

	while (table != NULL && table[size].name != NULL) {
		size++;
	}
	return size;
}

/* "source 'backlog': ", as two parts for printf. */
static const char *where(const struct check *check)
{
	return check->what != NULL ? check->what : "";
}

static const char *colon(const struct check *check)
{
	return check->what != NULL ? ": " : "";
}

static void report(const struct check *check, unsigned line,
                   const struct value *value, const char *text)
{
	findings_add(check->findings, line, "%s%soption '%s': %s",
	             where(check), colon(check), value->option->name, text);
}

/* The value of an option as one may show it: in quotes, cut where it is long;
 * a phrase in place of what came from the environment. */
static const char *show(const struct conf *value, char shown[SHOWN_SIZE])
{
	if (value->interpolated) {
		return "what the environment gives";
	}
	if (value->type != CONF_TEXT) {
		return value->type == CONF_MAP ? "a map" : "a list";
	}

	const int size = snprintf(shown, SHOWN_SIZE, "'%s'",
	                          value->text);
	if (size >= SHOWN_SIZE) {
		size_t end = SHOWN_SIZE - 5;

		while (((unsigned char)shown[end] & 0xc0) == 0x80) {
			end--;		/* no half characters */
		}
		memcpy(shown + end, "...'", 5);
	}
	return shown;
}

/* The one of that name, or NULL.  *is_file: it was asked for as NAME-file. */
static struct value *find(const struct options *options, const char *name,
                          bool *is_file)
{
	for (size_t i = 0; i < options->count; i++) {
		struct value *value = &options->values[i];
		const char *own = value->option->name;
		const size_t size = strlen(own);

		*is_file = value->option->type == BURSAR_TYPE_SECRET &&
		           strncmp(name, own, size) == 0 &&
		           strcmp(name + size, "-file") == 0;
		if (*is_file || strcmp(name, own) == 0) {
			return value;
		}
	}
	return NULL;
}

/* All names that may be written; the caller frees the list, not the names. */
static const char **all_names(const struct options *options,
                              char (*files)[NAME_SIZE])
{
	const char **names = calloc(2 * options->count + 1, sizeof(*names));
	size_t count = 0;

	for (size_t i = 0; names != NULL && i < options->count; i++) {
		const struct bursar_option *option = options->values[i].option;

		names[count++] = option->name;
		if (option->type == BURSAR_TYPE_SECRET) {
			snprintf(files[i], NAME_SIZE, "%s-file", option->name);
			names[count++] = files[i];
		}
	}
	return names;
}

static void report_unknown(const struct check *check, const struct conf *member)
{
	const struct options *options = check->options;
	char (*files)[NAME_SIZE] = calloc(options->count + 1, sizeof(*files));
	const char **names = files != NULL ? all_names(options, files) : NULL;
	const char *nearest =
		names != NULL ? options_nearest(member->key, names) : NULL;

	if (nearest != NULL) {
		findings_add(check->findings, member->line, "%s%sunknown "
		             "option '%.64s'; did you mean '%s'?", where(check),
		             colon(check), member->key, nearest);
	} else {
		char known[KNOWN_SIZE] = "";

		if (names != NULL) {
			options_words(names, known, sizeof(known));
		}
		findings_add(check->findings, member->line, "%s%sunknown "
		             "option '%.64s'; there is: %s", where(check),
		             colon(check), member->key, known);
	}
	free(names);
	free(files);
}

/* A copy of `text`; what memory is short for is a finding. */
static char *copy(const struct check *check, const char *text, unsigned line)
{
	char *copied = text != NULL ? strdup(text) : NULL;

	if (copied == NULL) {
		findings_add(check->findings, line, "out of memory");
	}
	return copied;
}

/*
 * Gives the value a text, from the file or its default; for all types but LIST
 * and SECRET.
 */
static int take_text(const struct check *check, struct value *value,
                     const char *text, const char *shown, unsigned line,
                     struct bursar_error *err)
{
	char *path;

	switch (value->option->type) {
	case BURSAR_TYPE_CHOICE:
		if (value_choice(value->option, text, shown, err) != 0) {
			return -1;
		}
		break;
	case BURSAR_TYPE_TEXT:
	case BURSAR_TYPE_LISTEN:
		break;
	case BURSAR_TYPE_PATH:
	case BURSAR_TYPE_INPUT:
	case BURSAR_TYPE_OUTPUT:
		/* A shell's word for a folder, or YAML's for nothing. */
		if (text[0] == '~' && (text[1] == '/' || text[1] == '\0')) {
			return bursar_fail(err, EINVAL, "%s: here '~' is no "
			                   "folder; write the whole path",
			                   shown);
		}
		path = value_path(text, check->dir);
		value->text = copy(check, path, line);
		free(path);
		return 0;
	default:
		return value_number(value->option, text, shown, &value->number,
		                    err);
	}
	value->text = copy(check, text, line);
	return 0;
}

static bool add_item(const struct check *check, struct value *value,
                     const char *text, unsigned line)
{
	char **more = realloc(value->items,
	                      (value->item_count + 1) * sizeof(*more));

	if (more == NULL) {
		findings_add(check->findings, line, "out of memory");
		return false;
	}
	value->items = more;
	more[value->item_count] = copy(check, text, line);
	value->item_count += more[value->item_count] != NULL;
	return true;
}

static void take_list(const struct check *check, struct value *value,
                      const struct conf *given)
{
	if (given->type == CONF_TEXT) {
		add_item(check, value, given->text, given->line);
		return;
	}
	for (const struct conf *c = given->first; c != NULL; c = c->next) {
		if (c->broken) {
			continue;
		}
		if (c->type != CONF_TEXT || c->text[0] == '\0') {
			report(check, c->line, value, "a list of texts is "
			       "wanted, and here stands none");
			return;
		}
		if (!add_item(check, value, c->text, c->line)) {
			return;
		}
	}
}

static void take_secret(const struct check *check, struct value *value,
                        const struct conf *given, bool is_file)
{
	struct bursar_error err = { 0 };

	if (value->secret.data != NULL) {
		findings_add(check->findings, given->line, "%s%soptions '%s' "
		             "and '%s-file' exclude each other; take one",
		             where(check), colon(check), value->option->name,
		             value->option->name);
		return;
	}
	if (is_file) {
		value_secret_file(given->text, check->dir, &value->secret,
		                  &value->modified, &err);
	} else if (given->from_environment) {
		value_secret_text(given->text, &value->secret, &err);
	} else {
		findings_add(check->findings, given->line, "%s%soption '%s': "
		             "write %s-file: PATH or %s: \"${VARIABLE}\"; a "
		             "secret does not belong in the configuration file",
		             where(check), colon(check), value->option->name,
		             value->option->name, value->option->name);
	}
	if (err.code != 0) {
		findings_add(check->findings, given->line, "%s%soption "
		             "'%s%s': %s", where(check), colon(check),
		             value->option->name, is_file ? "-file" : "",
		             err.text);
	}
}

static bool is_required(const struct bursar_option *option)
{
	return option->fallback == NULL;
}

/*
 * A name with nothing behind it counts as not given, where it may be so.  Who
 * names a variable for a secret wants one, though.
 */
static bool is_left_out(const struct conf *given, const struct value *value)
{
	return conf_is_empty(given) && given->type == CONF_TEXT &&
	       !is_required(value->option) &&
	       value->option->fallback[0] == '\0' &&
	       (value->option->type != BURSAR_TYPE_SECRET ||
	        !given->interpolated);
}

/* Whether it holds a value, or values where the option takes several; if not,
 * says so. */
static bool holds_value(const struct check *check, const struct value *value,
                        const struct conf *given)
{
	char shown[SHOWN_SIZE];

	if (given->type == CONF_MAP ||
	    (given->type == CONF_LIST &&
	     value->option->type != BURSAR_TYPE_LIST)) {
		findings_add(check->findings, given->line, "%s%soption '%s': "
		             "one value is wanted, not %s", where(check),
		             colon(check), given->key,
		             show(given, shown));
		return false;
	}
	if (conf_is_empty(given)) {
		report(check, given->line, value, given->interpolated ?
		       "the variable is empty" : "nothing is written there");
		return false;
	}
	return true;
}

static void take_given(const struct check *check, const struct conf *given)
{
	bool is_file;
	struct value *value = find(check->options, given->key, &is_file);
	struct bursar_error err = { 0 };
	char shown[SHOWN_SIZE];

	if (value == NULL) {
		report_unknown(check, given);
		return;
	}

	const enum bursar_type type = value->option->type;

	value->is_given = true;
	value->line = given->line;
	if (given->broken || is_left_out(given, value) ||
	    !holds_value(check, value, given)) {
		return;
	}
	if (type == BURSAR_TYPE_LIST) {
		take_list(check, value, given);
	} else if (type == BURSAR_TYPE_SECRET) {
		take_secret(check, value, given, is_file);
	} else if (take_text(check, value, given->text,
	                     show(given, shown), given->line,
	                     &err) != 0) {
		report(check, given->line, value, err.text);
		return;
	}
	value->is_taken = true;
}

/* "one" or "[one, two]", as a user would write it. */
static void take_fallback_list(const struct check *check, struct value *value,
                               const char *text)
{
	char item[NAME_SIZE];

	for (text += strspn(text, "[ "); *text != '\0';
	     text += strspn(text, ",] ")) {
		const size_t size = strcspn(text, ",] ");

		snprintf(item, sizeof(item), "%.*s", (int)size, text);
		add_item(check, value, item, 0);
		text += size;
	}
}

static void take_fallback(const struct check *check, struct value *value)
{
	const struct bursar_option *option = value->option;
	struct bursar_error err = { 0 };

	if (is_required(option)) {
		findings_add(check->findings, check->options->line,
		             "%s%soption '%s%s' is missing: %s", where(check),
		             colon(check), option->name,
		             option->type == BURSAR_TYPE_SECRET ? "-file" : "",
		             option->help);
	} else if (option->fallback[0] == '\0') {
		return;
	} else if (option->type == BURSAR_TYPE_LIST) {
		take_fallback_list(check, value, option->fallback);
	} else if (option->type == BURSAR_TYPE_SECRET) {
		report(check, 0, value, "a secret cannot have a default: a "
		       "mistake in the plugin");
	} else if (take_text(check, value, option->fallback, "its default", 0,
	                     &err) != 0) {
		report(check, 0, value, err.text);
	}
}

static void add_table(struct options *options,
                      const struct bursar_option *table)
{
	for (; table != NULL && table->name != NULL; table++) {
		options->values[options->count++].option = table;
	}
}

/* All options of both tables, none with a value yet. */
static struct options *declare(const struct bursar_option *common,
                               const struct bursar_option *table)
{
	const size_t count = table_size(common) + table_size(table);
	struct options *options = calloc(1, sizeof(*options));

	if (options == NULL) {
		return NULL;
	}
	options->values = calloc(count + 1, sizeof(*options->values));
	if (options->values == NULL) {
		free(options);
		return NULL;
	}
	add_table(options, common);
	add_table(options, table);
	return options;
}

struct options *options_create(const struct conf *section,
                               const struct bursar_option *common,
                               const struct bursar_option *table,
                               const char *what, const char *dir,
                               struct findings *findings)
{
	assert(dir != NULL && dir[0] == '/' && findings != NULL);

	struct options *options = declare(common, table);
	const struct check check = { options, what, dir, findings };
	const struct conf *member = NULL;
	bool is_map = true;

	if (options == NULL) {
		return NULL;
	}
	if (section != NULL) {
		options->line = section->line;
		member = section->first;
		is_map = section->type == CONF_MAP || conf_is_empty(section);
	}
	if (!is_map && !section->broken) {
		findings_add(findings, section->line, "%s%sa map of options is "
		             "wanted: {NAME: VALUE}", where(&check),
		             colon(&check));
	}
	for (; is_map && member != NULL; member = member->next) {
		take_given(&check, member);
	}
	for (size_t i = 0; i < options->count; i++) {
		struct value *value = &options->values[i];

		if (is_required(value->option) ? is_map && !value->is_given :
		    !value->is_taken) {
			take_fallback(&check, value);
		}
	}
	return options;
}

/* It may be a text with a password from the environment inside. */
static void free_text(char *text)
{
	if (text != NULL) {
		sodium_memzero(text, strlen(text));
		free(text);
	}
}

void options_destroy(struct options *options)
{
	if (options == NULL) {
		return;
	}
	for (size_t i = 0; i < options->count; i++) {
		struct value *value = &options->values[i];

		for (size_t j = 0; j < value->item_count; j++) {
			free_text(value->items[j]);
		}
		free(value->items);
		free_text(value->text);
		sodium_free((void *)value->secret.data);
	}
	free(options->values);
	free(options);
}

/* The option of that name, which must be of one of the types in the mask. */
static const struct value *need(const struct options *options,
                                const char *name, unsigned types)
{
	assert(options != NULL && name != NULL);

	for (size_t i = 0; i < options->count; i++) {
		const struct value *value = &options->values[i];

		if (strcmp(value->option->name, name) == 0 &&
		    (types & 1u << value->option->type) != 0) {
			return value;
		}
	}
	fprintf(stderr, "bursar: option '%s' was asked for, but is not "
	        "declared with such a type\n", name);
	abort();
}

const char *options_text(const struct options *options, const char *name)
{
	const struct value *value = need(options, name,
		1u << BURSAR_TYPE_TEXT | 1u << BURSAR_TYPE_PATH |
		1u << BURSAR_TYPE_INPUT | 1u << BURSAR_TYPE_OUTPUT |
		1u << BURSAR_TYPE_LISTEN | 1u << BURSAR_TYPE_CHOICE);

	return value->text != NULL ? value->text : "";
}

int64_t options_number(const struct options *options, const char *name)
{
	return need(options, name,
		1u << BURSAR_TYPE_NUMBER | 1u << BURSAR_TYPE_SIZE |
		1u << BURSAR_TYPE_DURATION | 1u << BURSAR_TYPE_FLAG)->number;
}

size_t options_list(const struct options *options, const char *name,
                    const char *const **items)
{
	const struct value *value = need(options, name,
	                                 1u << BURSAR_TYPE_LIST);

	*items = (const char *const *)value->items;
	return value->item_count;
}

struct bursar_span options_secret(const struct options *options,
                                  const char *name)
{
	return need(options, name, 1u << BURSAR_TYPE_SECRET)->secret;
}

bool options_given(const struct options *options, const char *name,
                   unsigned *line)
{
	const struct value *value = need(options, name, ~0u);

	if (line != NULL) {
		*line = value->is_given ? value->line : options->line;
	}
	return value->is_given;
}

bool options_secret_file(const struct options *options, size_t n,
                         const char **name, int64_t *modified)
{
	for (size_t i = 0; options != NULL && i < options->count; i++) {
		const struct value *value = &options->values[i];

		if (value->secret.data != NULL && value->modified != 0 &&
		    n-- == 0) {
			*name = value->option->name;
			*modified = value->modified;
			return true;
		}
	}
	return false;
}

void options_digest(const struct options *options,
                    char digest[CONF_DIGEST_SIZE])
{
	char *all = calloc(options->count + 1, CONF_DIGEST_SIZE);

	if (all == NULL) {
		abort();
	}
	for (size_t i = 0; i < options->count; i++) {
		const struct bursar_span secret = options->values[i].secret;

		if (secret.data != NULL) {
			conf_digest(secret.data, secret.size,
			            all + i * CONF_DIGEST_SIZE);
		}
	}
	conf_digest(all, options->count * CONF_DIGEST_SIZE, digest);
	free(all);
}
