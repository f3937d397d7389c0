/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar plugins - what is installed, and the options of one
 */
#include "config.h"

#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "cli/table.h"
#include "cmd/commands.h"
#include "conf/describe.h"
#include "plugin/module.h"

#define WIDTH 79

enum { FORMAT };

static const struct cli_option options[] = {
	[FORMAT] = CLI_OPTION_FORMAT,
	{ NULL }
};

/* --- all of them --------------------------------------------------------- */

static const struct table_column columns[] = {
	{ "kind", NULL, TABLE_TEXT },
	{ "name", NULL, TABLE_TEXT },
	{ "summary", NULL, TABLE_TEXT },
	{ "path", NULL, TABLE_TEXT },
	{ "problem", NULL, TABLE_TEXT },
};

struct listing {
	struct cli   *cli;
	struct table *table;
	bool          has_broken;
};

/* Broken ones have a column of their own for programs; a person gets them
 * below the table, where a reason has room. */
static void list_one(void *context, enum bursar_plugin_kind kind,
                     const char *name, const char *file,
                     const struct bursar_plugin *plugin,
                     const struct bursar_error *err)
{
	struct listing *listing = context;
	struct table *table = listing->table;
	const bool for_person = listing->cli->format == CLI_TABLE;

	if (plugin == NULL && for_person) {
		listing->has_broken = true;
		return;
	}
	table_add_text(table, module_kind_names[kind]);
	table_add_text(table, name);
	table_add_text(table, plugin != NULL ? plugin->summary : NULL);
	table_add_text(table, file);
	if (!for_person) {
		table_add_text(table, plugin != NULL ? NULL : err->text);
	}
}

static void print_broken(void *context, enum bursar_plugin_kind kind,
                         const char *name, const char *file,
                         const struct bursar_plugin *plugin,
                         const struct bursar_error *err)
{
	const struct cli *cli = context;

	(void)file;
	if (plugin == NULL) {
		fprintf(cli->out, "  %s %s: %s\n", module_kind_names[kind], name,
		        err->text);
	}
}

static int list(struct cli *cli)
{
	const size_t count = sizeof(columns) / sizeof(columns[0]);
	struct listing listing = {
		.cli = cli,
		.table = table_create(columns, cli->format == CLI_TABLE ?
		                               count - 1 : count),
	};
	json_t *head = json_pack("{s:s}", "report", "plugins");

	module_each(list_one, &listing);
	const int status = table_print(listing.table, cli, head);
	if (listing.has_broken) {
		fputs("\nCannot be loaded:\n", cli->out);
		module_each(print_broken, cli);
	}
	json_decref(head);
	table_destroy(listing.table);
	return status;
}

/* --- one of them --------------------------------------------------------- */

/* Those of that name; a name may belong to several kinds. */
struct search {
	struct cli *cli;
	const char *name;	/* alone, or with its kind: "sink_NAME" */
	size_t      found;
	json_t     *rows;
};

static bool is_meant(const struct search *search, enum bursar_plugin_kind kind,
                     const char *name)
{
	const size_t size = strlen(module_kind_names[kind]);

	return strcmp(search->name, name) == 0 ||
	       (strncmp(search->name, module_kind_names[kind], size) == 0 &&
	        search->name[size] == '_' &&
	        strcmp(search->name + size + 1, name) == 0);
}

static void print_options(FILE *out, const char *title,
                          const struct bursar_option *table)
{
	char terms[512];

	if (table->name == NULL) {
		return;
	}
	fprintf(out, "\n%s\n", title);
	for (; table->name != NULL; table++) {
		fprintf(out, "  %s%s\n", table->name,
		        table->type == BURSAR_TYPE_SECRET ? ", also as -file:" :
		        "");
		text_wrap(out, describe_terms(table, terms, sizeof(terms)), 0,
		          6, WIDTH);
		text_wrap(out, table->help, 0, 6, WIDTH);
	}
}

/* Lines that begin with a tab are examples, and stay as they are. */
static void print_paragraph(FILE *out, const char *text, size_t size)
{
	char paragraph[4096];

	snprintf(paragraph, sizeof(paragraph), "%.*s", (int)size, text);
	fputc('\n', out);
	if (*paragraph != '\t') {
		text_wrap(out, paragraph, 0, 0, WIDTH);
		return;
	}
	for (const char *at = paragraph; *at != '\0';) {
		const size_t line = strcspn(at, "\n");

		fprintf(out, "    %.*s\n", (int)line - (*at == '\t'),
		        at + (*at == '\t'));
		at += line + (at[line] == '\n');
	}
}

static void print_manual(FILE *out, const char *manual)
{
	while (manual != NULL && *manual != '\0') {
		const char *end = strstr(manual, "\n\n");
		const size_t size = end != NULL ? (size_t)(end - manual) :
		                    strlen(manual);

		print_paragraph(out, manual, size);
		manual += size;
		manual += strspn(manual, "\n");
	}
}

static void print_figures(FILE *out, const struct bursar_plugin_figure *figure)
{
	if (figure == NULL || figure->name == NULL) {
		return;
	}
	fputs("\nFigures:\n", out);
	for (; figure->name != NULL; figure++) {
		fprintf(out, "  bursar_plugin_%s\n", figure->name);
		text_wrap(out, figure->help, 0, 6, WIDTH);
	}
}

static void describe(FILE *out, const struct bursar_plugin *plugin)
{
	const char *kind = module_kind_names[plugin->kind];
	char title[64];

	fprintf(out, "%s %s - %s\n", kind, plugin->name, plugin->summary);
	print_manual(out, plugin->manual);
	print_options(out, "Options:", plugin->options);
	snprintf(title, sizeof(title), "Options of every %s:", kind);
	print_options(out, title, setup_common_options(plugin->kind));
	print_figures(out, plugin->figures);
}

static json_t *option_json(const struct bursar_option *option)
{
	json_t *object = json_pack("{s:s, s:s, s:s*, s:b, s:s, s:s*}",
	                           "name", option->name,
	                           "type", describe_types[option->type],
	                           "default", option->fallback,
	                           "required", option->fallback == NULL,
	                           "help", option->help,
	                           "choices", option->choices);

	if (object != NULL && (option->min != 0 || option->max != 0)) {
		json_object_set_new(object, "min", json_integer(option->min));
		json_object_set_new(object, "max", json_integer(option->max));
	}
	return object;
}

static json_t *options_json(const struct bursar_option *table)
{
	json_t *array = json_array();

	for (; table->name != NULL; table++) {
		json_array_append_new(array, option_json(table));
	}
	return array;
}

static json_t *figures_json(const struct bursar_plugin_figure *figure)
{
	json_t *array = json_array();

	for (; figure != NULL && figure->name != NULL; figure++) {
		json_array_append_new(array, json_pack(
			"{s:s+, s:s}", "name", "bursar_plugin_", figure->name,
			"help", figure->help));
	}
	return array;
}

static json_t *plugin_json(const struct bursar_plugin *plugin, const char *file)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}",
	                 "kind", module_kind_names[plugin->kind],
	                 "name", plugin->name, "summary", plugin->summary,
	                 "path", file,
	                 "options", options_json(plugin->options),
	                 "common_options",
	                 options_json(setup_common_options(plugin->kind)),
	                 "figures", figures_json(plugin->figures));
}

static void show_one(void *context, enum bursar_plugin_kind kind,
                     const char *name, const char *file,
                     const struct bursar_plugin *plugin,
                     const struct bursar_error *err)
{
	struct search *search = context;
	struct cli *cli = search->cli;

	if (!is_meant(search, kind, name)) {
		return;
	}
	if (plugin == NULL) {
		cli_fail(cli, "%s", err->text);
		return;
	}
	search->found++;
	if (cli->format == CLI_JSON) {
		json_array_append_new(search->rows, plugin_json(plugin, file));
		return;
	}
	if (search->found > 1) {
		fputs("\n\n", cli->out);
	}
	describe(cli->out, plugin);
}

/* A name that is nowhere, in the words of module_load(). */
static int say_missing(struct cli *cli, const char *name)
{
	struct bursar_error err = { 0 };

	for (int kind = 0; kind < BURSAR_PLUGIN_KINDS; kind++) {
		struct bursar_error why = { 0 };

		module_load(kind, name, &why);
		if (err.code == 0 || strstr(why.text, "meant?") != NULL) {
			err = why;
		}
	}
	return cli_fail(cli, "%s", err.text);
}

static int show(struct cli *cli, const char *name)
{
	struct search search = {
		.cli = cli, .name = name, .rows = json_array(),
	};
	int status = CLI_OK;

	module_each(show_one, &search);
	if (search.found == 0) {
		status = say_missing(cli, name);
	} else if (cli->format == CLI_JSON) {
		json_t *all = json_pack("{s:s, s:O}", "report", "plugins",
		                        "rows", search.rows);
		json_dumpf(all, cli->out, JSON_INDENT(2));
		fputc('\n', cli->out);
		json_decref(all);
	}
	json_decref(search.rows);
	return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc > 1) {
		return cli_usage_error(cli, "name one plugin, or none for all");
	}
	if (argc == 1 && cli->format == CLI_CSV) {
		return cli_usage_error(cli, "one plugin is shown as table or "
		                       "json");
	}
	return argc == 0 ? list(cli) : show(cli, argv[0]);
}

const struct command command_plugins = {
	.name = "plugins",
	.summary = "list the plugins that are installed, or the options of one",
	.usage = "[NAME]",
	.options = options,
	.run = run,
	.manual =
	"Without NAME all plugins that can be found are listed, with the "
	"file that each came from; those that cannot be loaded follow with "
	"the reason.  With NAME its options are described: their types, "
	"bounds and defaults.  A name that several kinds share describes "
	"each; KIND_NAME, as in sink_sqlite, describes one.\n"
	"\n"
	"Plugins are looked for in the folders of BURSAR_PLUGIN_PATH, divided "
	"by colons, and in the folder of their kind below each of them, then "
	"where they are installed.  A folder or file is refused that belongs "
	"neither to root nor to the user of the process, or that others can "
	"write.",
};
