/* SPDX-License-Identifier: Apache-2.0 */

/*
 * mkman FOLDER [KIND_NAME] - writes the manual pages that follow from tables
 *
 * One page for the daemon, one for the command, one for each of its commands,
 * one for the configuration, one for those who write plugins and one for each
 * plugin that can be found: names, bounds, defaults and help come from where
 * the programs have them.  With KIND_NAME, the page of that plugin alone: so
 * plugins from outside get theirs.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/invocation.h"
#include "cmd/commands.h"
#include "conf/describe.h"
#include "conf/setup.h"
#include "pages.h"
#include "plugin/module.h"
#include "roff.h"

#define MAX_PLUGINS 256

/* The plugins there are, in order of kind and name. */
struct plugins {
	const struct bursar_plugin *items[MAX_PLUGINS];
	size_t count;
	int    status;
};

static const char *folder;

/* Opens FOLDER/NAME.SECTION; the process ends where that fails. */
static FILE *page_open(const char *name, const char *section,
                       const char *summary)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s.%s", folder, name, section);
	FILE *out = fopen(path, "w");
	if (out == NULL) {
		fprintf(stderr, "mkman: %s: %s\n", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	fprintf(out, ".\\\" Made from the tables of bursar; do not edit.\n");
	roff_page(out, name, section, summary);
	return out;
}

static void page_close(FILE *out)
{
	if (fclose(out) != 0) {
		fprintf(stderr, "mkman: cannot write: %s\n", strerror(errno));
		exit(EXIT_FAILURE);
	}
}

/* The manual, or at least the summary as a sentence. */
static void print_description(FILE *out, const char *manual,
                              const char *summary)
{
	char sentence[256];

	roff_section(out, "DESCRIPTION");
	snprintf(sentence, sizeof(sentence), "%c%s.", toupper(summary[0]),
	         summary + 1);
	roff_prose(out, manual != NULL && *manual != '\0' ? manual :
	                sentence);
}

/* --- tables of options --------------------------------------------------- */

static void print_option(FILE *out, const struct bursar_option *option)
{
	char terms[600];
	char tag[128];

	if (option->type == BURSAR_TYPE_SECRET) {
		snprintf(tag, sizeof(tag), "%s, %s-file", option->name,
		         option->name);
	} else {
		snprintf(tag, sizeof(tag), "%s", option->name);
	}
	roff_tag(out, tag, "");
	roff_text(out, option->help, strlen(option->help));
	fputs("(", out);
	describe_terms(option, terms, sizeof(terms));
	roff_plain(out, terms, strlen(terms));
	fputs(")\n", out);
}

static void print_options(FILE *out, const struct bursar_option *table)
{
	for (; table->name != NULL; table++) {
		print_option(out, table);
	}
}

static void print_figures(FILE *out, const struct bursar_plugin_figure *figure)
{
	char tag[128];

	if (figure == NULL || figure->name == NULL) {
		return;
	}
	roff_section(out, "FIGURES");
	for (; figure->name != NULL; figure++) {
		snprintf(tag, sizeof(tag), "bursar_plugin_%s", figure->name);
		roff_tag(out, tag, "");
		roff_text(out, figure->help, strlen(figure->help));
	}
}

static void print_cli_option(FILE *out, const struct cli_option *option)
{
	char tag[64];
	char after[64];

	if (option->letter != 0) {
		snprintf(tag, sizeof(tag), "-%c, --%s", option->letter,
		         option->name);
	} else {
		snprintf(tag, sizeof(tag), "--%s", option->name);
	}
	snprintf(after, sizeof(after), "%s%s",
	         option->argument != NULL ? " " : "",
	         option->argument != NULL ? option->argument : "");
	roff_tag(out, tag, after);
	roff_text(out, option->help, strlen(option->help));
}

static void print_cli_options(FILE *out, const struct cli_option *table)
{
	for (; table->name != NULL; table++) {
		print_cli_option(out, table);
	}
}

/* --- commands ------------------------------------------------------------ */

/* What each exit status means, in order from 0; ended by NULL. */
static void print_statuses(FILE *out, const char *const *words)
{
	roff_section(out, "EXIT STATUS");
	for (int i = 0; words[i] != NULL; i++) {
		char number[16];

		snprintf(number, sizeof(number), "%d", i);
		roff_tag(out, number, "");
		roff_text(out, words[i], strlen(words[i]));
	}
}

static const char *const command_statuses[] = {
	"Done.", "Something outside did not work.",
	"Wrong usage, or a mistake in the configuration.",
	"A check that says no: a budget that is exceeded, a ledger that does "
	"not add up.",
	NULL
};

static void print_usage(FILE *out, const struct command *command)
{
	const char *usage = command->usage;

	roff_section(out, "SYNOPSIS");
	do {
		const size_t size = strcspn(usage, "\n");

		fputs("\\fBbursar\\fR [\\fB\\-c\\fR \\fIFILE\\fR] \\fB", out);
		roff_plain(out, command->name, strlen(command->name));
		fputs("\\fR ", out);
		roff_plain(out, usage, size);
		usage += size + (usage[size] == '\n');
		fputs(*usage != '\0' ? "\n.br\n" : "\n", out);
	} while (*usage != '\0');
}

static void page_of_command(const struct command *command)
{
	char name[64];

	snprintf(name, sizeof(name), "bursar-%s", command->name);
	FILE *out = page_open(name, "1", command->summary);
	print_usage(out, command);
	print_description(out, command->manual, command->summary);
	roff_section(out, "OPTIONS");
	print_cli_options(out, command->options);
	print_cli_options(out, cli_common_options);
	print_statuses(out, command_statuses);
	roff_section(out, "SEE ALSO");
	roff_see(out, "bursar", "1", ",");
	roff_see(out, "bursar.yaml", "5", ",");
	roff_see(out, "bursard", "8", "");
	page_close(out);
}

static void page_of_bursar(void)
{
	FILE *out = page_open("bursar", "1", "ask a ledger of LLM usage, and "
	                      "look after it");

	roff_section(out, "SYNOPSIS");
	fputs("\\fBbursar\\fR [\\fB\\-c\\fR \\fIFILE\\fR] \\fICOMMAND\\fR ...\n"
	      ".br\n\\fBbursar help\\fR [\\fICOMMAND\\fR]\n", out);
	roff_section(out, "DESCRIPTION");
	roff_prose(out, pages_bursar);
	roff_section(out, "COMMANDS");
	for (size_t i = 0; commands[i] != NULL; i++) {
		roff_tag(out, commands[i]->name, "");
		roff_text(out, commands[i]->summary,
		          strlen(commands[i]->summary));
	}
	roff_section(out, "OPTIONS");
	print_cli_options(out, cli_common_options);
	print_statuses(out, command_statuses);
	roff_section(out, "ENVIRONMENT");
	roff_prose(out, pages_environment);
	roff_section(out, "SEE ALSO");
	for (size_t i = 0; commands[i] != NULL; i++) {
		char name[64];

		snprintf(name, sizeof(name), "bursar-%s", commands[i]->name);
		roff_see(out, name, "1", ",");
	}
	roff_see(out, "bursar.yaml", "5", ",");
	roff_see(out, "bursard", "8", "");
	page_close(out);
}

/* --- the daemon ---------------------------------------------------------- */

static void page_of_bursard(void)
{
	static const char *const statuses[] = {
		"Stopped as asked; with `--once` everything is durable, "
		"duplicates and dead letters included.",
		"Something outside did not work; with `--once` also when a "
		"sink stayed closed for `once-timeout`, or when a file could "
		"not be read to its end: the others were.",
		"Wrong usage, or a mistake in the configuration.",
		NULL
	};
	FILE *out = page_open("bursard", "8", "keep the books on LLM usage");

	roff_section(out, "SYNOPSIS");
	fputs("\\fBbursard\\fR [\\fB\\-c\\fR \\fIFILE\\fR] "
	      "[\\fB\\-\\-once\\fR | \\fB\\-\\-check\\fR]\n", out);
	roff_section(out, "DESCRIPTION");
	roff_prose(out, pages_bursard);
	roff_section(out, "OPTIONS");
	print_cli_options(out, invocation_options);
	roff_section(out, "SIGNALS");
	roff_prose(out, pages_signals);
	roff_section(out, "SERVICE MANAGER");
	roff_prose(out, pages_manager);
	print_statuses(out, statuses);
	roff_section(out, "LOG");
	roff_prose(out, pages_log);
	roff_section(out, "ENVIRONMENT");
	roff_prose(out, pages_daemon_environment);
	roff_section(out, "SEE ALSO");
	roff_see(out, "bursar", "1", ",");
	roff_see(out, "bursar-check", "1", ",");
	roff_see(out, "bursar.yaml", "5", "");
	page_close(out);
}

/* --- the configuration --------------------------------------------------- */

static void page_name(const struct bursar_plugin *plugin, char *name,
                      size_t size)
{
	snprintf(name, size, "bursar-%s-%s", module_kind_names[plugin->kind],
	         plugin->name);
}

static void see_plugins(FILE *out, const struct plugins *plugins)
{
	for (size_t i = 0; i < plugins->count; i++) {
		char name[128];

		page_name(plugins->items[i], name, sizeof(name));
		roff_see(out, name, "5", ",");
	}
}

static void page_of_configuration(const struct plugins *plugins)
{
	static const struct {
		const char *title;
		const char *prose;
		const struct bursar_option *options;
	} sections[] = {
		{ "sources", pages_sources, setup_source_options },
		{ "crypto", pages_crypto, setup_item_options },
		{ "formats", pages_formats, setup_item_options },
		{ "sinks", pages_sinks, setup_sink_options },
		{ "services", pages_services, setup_service_options },
		{ "routes", pages_routes, setup_route_options },
		{ "budgets", pages_budgets, setup_budget_options },
		{ "retention", pages_retention, setup_retention_options },
		{ "jobs", pages_jobs, setup_job_options },
		{ "dead-letters", pages_dead_letters,
		  setup_dead_letter_options },
		{ "prices", pages_prices, setup_prices_options },
		{ "tags", pages_tags, setup_tag_options },
	};
	FILE *out = page_open("bursar.yaml", "5",
	                      "the configuration of bursar");

	roff_section(out, "DESCRIPTION");
	roff_prose(out, pages_configuration);
	roff_section(out, "TOP LEVEL");
	print_options(out, setup_top_options);
	roff_section(out, "SECTIONS");
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		roff_subsection(out, sections[i].title);
		roff_prose(out, sections[i].prose);
		print_options(out, sections[i].options);
	}
	roff_section(out, "EXAMPLE");
	roff_example(out, pages_example);
	roff_section(out, "FILES");
	roff_tag(out, setup_default_file(NULL), "");
	roff_text(out, "Read unless another one is named.", 33);
	roff_section(out, "SEE ALSO");
	see_plugins(out, plugins);
	roff_see(out, "bursar", "1", ",");
	roff_see(out, "bursard", "8", "");
	page_close(out);
}

/* --- plugins ------------------------------------------------------------- */

static void page_of_plugin(const struct bursar_plugin *plugin)
{
	const struct bursar_option *common = setup_common_options(plugin->kind);
	const char *kind = module_kind_names[plugin->kind];
	char name[128];
	char title[64];

	page_name(plugin, name, sizeof(name));
	FILE *out = page_open(name, "5", plugin->summary);
	roff_section(out, "SYNOPSIS");
	fprintf(out, ".nf\n%s:\n  \\fINAME\\fR: {plugin: ",
	        module_kind_plurals[plugin->kind]);
	roff_plain(out, plugin->name, strlen(plugin->name));
	fputs(", ...}\n.fi\n", out);
	print_description(out, plugin->manual, plugin->summary);
	roff_section(out, "OPTIONS");
	if (plugin->options[0].name == NULL) {
		roff_text(out, "It has none of its own.", 23);
	}
	print_options(out, plugin->options);
	snprintf(title, sizeof(title), "Options of every %s", kind);
	roff_subsection(out, title);
	print_options(out, common);
	print_figures(out, plugin->figures);
	roff_section(out, "SEE ALSO");
	roff_see(out, "bursar-plugins", "1", ",");
	roff_see(out, "bursar.yaml", "5", ",");
	roff_see(out, "bursard", "8", "");
	page_close(out);
}

/* --- those who write them ------------------------------------------------ */

static void print_kinds(FILE *out)
{
	static const char *const words[] = {
		[BURSAR_SOURCE] = "Brings messages, and is told what became of "
			"each.",
		[BURSAR_CRYPTO] = "Opens messages that are encrypted; may seal "
			"and make keys.",
		[BURSAR_FORMAT] = "Makes records of a message.",
		[BURSAR_SINK] = "Stores records whole and durably, and says "
			"which it knew; may answer questions in SQL.",
		[BURSAR_SERVICE] = "Shows what the daemon knows.",
	};

	for (int i = 0; i < BURSAR_PLUGIN_KINDS; i++) {
		char after[64];

		snprintf(after, sizeof(after), ", bursar/%s.h",
		         module_kind_names[i]);
		roff_tag(out, module_kind_names[i], after);
		roff_text(out, words[i], strlen(words[i]));
	}
}

static void print_types(FILE *out)
{
	static const char *const words[] = {
		[BURSAR_TYPE_TEXT] = "Any text.",
		[BURSAR_TYPE_PATH] = "A file or folder; a relative one starts "
			"from the folder of the configuration, or from the "
			"current one where that comes through a pipe.",
		[BURSAR_TYPE_CHOICE] = "One of the words in `choices`.",
		[BURSAR_TYPE_NUMBER] = "A whole number within bounds.",
		[BURSAR_TYPE_SIZE] = "Bytes, with or without a unit: `64K`.",
		[BURSAR_TYPE_DURATION] = "A number with a unit: `250ms`; the "
			"plugin gets milliseconds.",
		[BURSAR_TYPE_FLAG] = "`true` or `false`.",
		[BURSAR_TYPE_LIST] = "One text or a list of them.",
		[BURSAR_TYPE_SECRET] = "Given as a file or by the environment, "
			"kept in locked memory, never logged.",
		[BURSAR_TYPE_INPUT] = "A path that is read as input; that two "
			"read it is worth a warning.",
		[BURSAR_TYPE_OUTPUT] = "A path that is written, by one "
			"instance alone.",
		[BURSAR_TYPE_LISTEN] = "`ADDRESS:PORT`, or another word, where "
			"one instance alone listens.",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		roff_tag(out, describe_types[i], "");
		roff_text(out, words[i], strlen(words[i]));
	}
}

static void page_for_authors(const struct plugins *plugins)
{
	FILE *out = page_open("bursar-plugin", "3", "plugins of bursar: the "
	                      "contract");

	roff_section(out, "SYNOPSIS");
	fprintf(out, ".nf\n#include <bursar/sink.h>\n\n"
	        "BURSAR_PLUGIN_DEFINE(sink_mine, .kind = BURSAR_SINK, "
	        ".name = \"mine\",\n"
	        "    .summary = \"...\", .options = options, "
	        ".ops.sink = &ops);\n.fi\n");
	roff_section(out, "DESCRIPTION");
	roff_prose(out, pages_plugin);
	fprintf(out, ".PP\nThis is ABI %d: a module that was built for "
	        "another one is refused.\n", BURSAR_PLUGIN_ABI);
	roff_section(out, "KINDS");
	print_kinds(out);
	roff_section(out, "OPTIONS OF A PLUGIN");
	roff_prose(out, pages_plugin_options);
	print_types(out);
	roff_section(out, "BUILDING");
	roff_prose(out, pages_plugin_build);
	roff_section(out, "SEE ALSO");
	roff_see(out, "bursar-conformance", "1", ",");
	roff_see(out, "bursar-plugins", "1", ",");
	see_plugins(out, plugins);
	roff_see(out, "bursar.yaml", "5", "");
	page_close(out);
}

/* A plugin that cannot be described fails the build. */
static void collect(void *context, enum bursar_plugin_kind kind,
                    const char *name, const char *file,
                    const struct bursar_plugin *plugin,
                    const struct bursar_error *err)
{
	struct plugins *plugins = context;

	(void)kind, (void)name, (void)file;
	if (plugin == NULL) {
		fprintf(stderr, "mkman: %s\n", err->text);
		plugins->status = EXIT_FAILURE;
		return;
	}
	if (plugins->count < MAX_PLUGINS) {
		plugins->items[plugins->count++] = plugin;
	}
}

/* Only the page of KIND_NAME. */
static int one_page(const struct plugins *plugins, const char *wanted)
{
	for (size_t i = 0; i < plugins->count; i++) {
		const struct bursar_plugin *plugin = plugins->items[i];
		char name[128];

		snprintf(name, sizeof(name), "%s_%s",
		         module_kind_names[plugin->kind], plugin->name);
		if (strcmp(name, wanted) == 0) {
			page_of_plugin(plugin);
			return EXIT_SUCCESS;
		}
	}
	fprintf(stderr, "mkman: no plugin %s; BURSAR_PLUGIN_PATH names the "
	        "folders to look in\n", wanted);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct plugins plugins = { .status = EXIT_SUCCESS };

	if (argc != 2 && argc != 3) {
		fputs("usage: mkman FOLDER [KIND_NAME]\n", stderr);
		return CLI_USAGE;
	}
	folder = argv[1];
	module_each(collect, &plugins);
	if (argc == 3) {
		return one_page(&plugins, argv[2]);
	}
	page_of_bursard();
	page_of_bursar();
	for (size_t i = 0; commands[i] != NULL; i++) {
		page_of_command(commands[i]);
	}
	page_of_configuration(&plugins);
	page_for_authors(&plugins);
	for (size_t i = 0; i < plugins.count; i++) {
		page_of_plugin(plugins.items[i]);
	}
	return plugins.status;
}
