/* SPDX-License-Identifier: Apache-2.0 */

/* Options, help and errors of commands, from their tables. */
#include "config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/cli.h"
#include "conf/options.h"

#define COMMON     3		/* --help, --version, --config */
#define LONG_VALUE 256		/* val of long options: this and the place */
#define HELP_COLUMN 26
#define NOTE_INDENT 2
#define HELP_WIDTH  79
#define USAGE_COLUMN 13		/* of what follows "Usage: bursar" */

const struct cli_option cli_common_options[COMMON + 1] = {
	{ "config", 'c', "FILE", "Configuration to read." },
	{ "help", 'h', NULL, "Print this help and exit." },
	{ "version", 'V', NULL, "Print the version and exit." },
	{ NULL }
};

/* The table in the form of getopt_long(). */
struct parser {
	struct option longs[CLI_MAX_OPTIONS + COMMON + 1];
	char          shorts[2 * (CLI_MAX_OPTIONS + COMMON) + 2];
	size_t        own;	/* options of the command; then the common */
};

static int width_of(FILE *out)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (columns != NULL) {
		const long width = strtol(columns, NULL, 10);
		if (width >= 20 && width <= 1000) {
			return (int)width;
		}
	}
	if (!isatty(fileno(out))) {
		return 0;
	}
	if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) {
		return size.ws_col;
	}
	return 80;
}

static bool wants_color(FILE *out)
{
	const char *no = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(fileno(out)) && (no == NULL || *no == '\0') &&
	       term != NULL && strcmp(term, "dumb") != 0;
}

void cli_init(struct cli *cli, const char *config, FILE *out, FILE *err)
{
	*cli = (struct cli){
		.config = setup_default_file(config),
		.color = wants_color(out),
		.width = width_of(out),
		.out = out,
		.err = err,
	};
}

void cli_finish(struct cli *cli)
{
	setup_destroy(cli->setup);
	cli->setup = NULL;
}

static size_t count(const struct cli_option *options)
{
	size_t n = 0;

	while (options[n].name != NULL) {
		n++;
	}
	return n;
}

static void parser_init(struct parser *parser, const struct command *command)
{
	char *shorts = parser->shorts;

	memset(parser, 0, sizeof(*parser));
	parser->own = count(command->options);
	assert(parser->own <= CLI_MAX_OPTIONS);

	*shorts++ = ':';
	for (size_t i = 0; i < parser->own + COMMON; i++) {
		const struct cli_option *option = i < parser->own ?
			&command->options[i] : &cli_common_options[i - parser->own];

		parser->longs[i] = (struct option){
			.name = option->name,
			.has_arg = option->argument != NULL ?
			           required_argument : no_argument,
			.val = LONG_VALUE + (int)i,
		};
		if (option->letter != 0) {
			*shorts++ = option->letter;
			if (option->argument != NULL) {
				*shorts++ = ':';
			}
		}
	}
}

/* The place of what getopt_long() returned; the first with that letter. */
static size_t place_of(const struct parser *parser, const struct command *command,
                       int value)
{
	if (value >= LONG_VALUE) {
		return (size_t)(value - LONG_VALUE);
	}
	for (size_t i = 0; i < parser->own; i++) {
		if (command->options[i].letter == value) {
			return i;
		}
	}
	for (size_t i = 0; i < COMMON; i++) {
		if (cli_common_options[i].letter == value) {
			return parser->own + i;
		}
	}
	assert(!"an option of the table");
	return 0;
}

static int unknown_option(struct cli *cli, const struct parser *parser,
                          const char *text)
{
	const char *names[CLI_MAX_OPTIONS + COMMON + 1] = { NULL };
	char name[64];

	if (optopt != 0 && optopt < LONG_VALUE) {
		return cli_usage_error(cli, "unknown option -%c", optopt);
	}
	if (optopt >= LONG_VALUE) {
		return cli_usage_error(cli, "--%s takes no value",
		                       parser->longs[optopt - LONG_VALUE].name);
	}
	for (size_t i = 0; i < parser->own + COMMON; i++) {
		names[i] = parser->longs[i].name;
	}
	text += strspn(text, "-");
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, "="), text);
	const char *near = options_nearest(name, names);
	if (near != NULL) {
		return cli_usage_error(cli, "unknown or ambiguous option --%s; "
		                       "did you mean --%s?", name, near);
	}
	return cli_usage_error(cli, "unknown or ambiguous option --%s", name);
}

static bool take_format(struct cli *cli, const char *text)
{
	static const char *const names[] = { "table", "json", "csv", NULL };

	for (int i = 0; names[i] != NULL; i++) {
		if (strcmp(text, names[i]) == 0) {
			cli->format = (enum cli_format)i;
			return true;
		}
	}
	cli->status = cli_usage_error(cli, "--format is table, json or csv, "
	                              "not '%s'", text);
	return false;
}

/* One of the options that all commands share; false: leave. */
static bool take_common(struct cli *cli, char letter, const char *text)
{
	switch (letter) {
	case 'c':
		cli->config = text;
		return true;
	case 'V':
		fprintf(cli->out, "%s\n", PACKAGE_STRING);
		break;
	default:
		cli_help(cli->out, cli->command);
		break;
	}
	cli->status = CLI_OK;
	return false;
}

/* Files what getopt_long() returned; false: leave. */
static bool take(struct cli *cli, const struct parser *parser, int got,
                 char **argv, const char *value[])
{
	const struct cli_option *options = cli->command->options;

	if (got == '?') {
		cli->status = unknown_option(cli, parser, argv[optind - 1]);
		return false;
	}
	if (got == ':') {
		cli->status = cli_usage_error(cli, "%s needs a value",
		                              argv[optind - 1]);
		return false;
	}
	const size_t i = place_of(parser, cli->command, got);
	if (i >= parser->own) {
		return take_common(cli,
		                   cli_common_options[i - parser->own].letter,
		                   optarg);
	}
	if (cli->given_count == CLI_MAX_GIVEN) {
		cli->status = cli_usage_error(cli, "too many options");
		return false;
	}
	value[i] = optarg != NULL ? optarg : "";
	cli->given[cli->given_count].option = i;
	cli->given[cli->given_count++].value = value[i];
	return options[i].argument == NULL ||
	       strcmp(options[i].argument, CLI_FORMATS) != 0 ||
	       take_format(cli, value[i]);
}

bool cli_parse(struct cli *cli, int *argc, char ***argv,
               const char *value[CLI_MAX_OPTIONS])
{
	struct parser parser;
	int got;

	assert(cli->command != NULL);

	for (size_t i = 0; i < CLI_MAX_OPTIONS; i++) {
		value[i] = NULL;
	}
	parser_init(&parser, cli->command);
	opterr = 0;
	optind = 0;	/* getopt of glibc and musl: begin anew */
	while ((got = getopt_long(*argc, *argv, parser.shorts, parser.longs,
	                          NULL)) != -1) {
		if (!take(cli, &parser, got, *argv, value)) {
			return false;
		}
	}
	*argc -= optind;
	*argv += optind;
	return true;
}

bool cli_number(struct cli *cli, const char *name, const char *text,
                int64_t min, int64_t max, int64_t *number)
{
	char *end;

	if (text == NULL) {
		return true;
	}
	errno = 0;
	const long long got = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || got < min ||
	    got > max) {
		cli->status = cli_usage_error(
			cli, "--%s is a whole number from %lld to %lld, not "
			"'%s'", name, (long long)min, (long long)max, text);
		return false;
	}
	*number = got;
	return true;
}

const struct setup *cli_setup(struct cli *cli)
{
	struct findings findings = { .file = cli->config };

	if (cli->setup == NULL) {
		cli->setup = cli->command != NULL && cli->command->book_only
			? setup_load_book(cli->config, &findings)
			: setup_load(cli->config, &findings, NULL);
		findings_print(&findings, cli->err);
	}
	findings_finish(&findings);
	return cli->setup;
}

int cli_usage_error(struct cli *cli, const char *fmt, ...)
{
	const char *name = cli->command != NULL ? cli->command->name : NULL;
	va_list ap;

	fprintf(cli->err, "bursar%s%s: ", name != NULL ? " " : "",
	        name != NULL ? name : "");
	va_start(ap, fmt);
	vfprintf(cli->err, fmt, ap);
	va_end(ap);
	fprintf(cli->err, "\nSee `bursar help%s%s`.\n", name != NULL ? " " : "",
	        name != NULL ? name : "");
	return CLI_USAGE;
}

int cli_fail(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	fputs("bursar: ", cli->err);
	va_start(ap, fmt);
	vfprintf(cli->err, fmt, ap);
	va_end(ap);
	fputc('\n', cli->err);
	return CLI_FAILED;
}

void cli_note(const struct cli *cli, FILE *out, const char *fmt, ...)
{
	char *line = NULL;
	va_list ap;

	va_start(ap, fmt);
	const int size = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (size < 0) {
		return;
	}
	char *text = text_visible(line, (size_t)size);

	text_wrap(out, text, 0, NOTE_INDENT,
	          cli->width > 0 ? (size_t)cli->width : SIZE_MAX);
	free(text);
	free(line);
}

static void print_option(FILE *out, const struct cli_option *option)
{
	char left[128];
	const int size = snprintf(
		left, sizeof(left), option->letter != 0 ? "  -%c, --%s%s%s" :
		"  %c   --%s%s%s", option->letter != 0 ? option->letter : ' ',
		option->name, option->argument != NULL ? " " : "",
		option->argument != NULL ? option->argument : "");

	fputs(left, out);
	size_t at = (size_t)size;
	if (at + 2 > HELP_COLUMN) {
		fputc('\n', out);
		at = 0;
	}
	text_wrap(out, option->help, at, HELP_COLUMN, HELP_WIDTH);
}

void cli_print_options(FILE *out, const struct cli_option *table)
{
	for (; table->name != NULL; table++) {
		print_option(out, table);
	}
}

/* Bytes of `usage` to where a line may end: before an option, or what may be
 * left out, that stands in no brackets. */
static size_t usage_part(const char *usage)
{
	size_t size = 0;
	int depth = 0;

	for (; usage[size] != '\0' && usage[size] != '\n'; size++) {
		depth += usage[size] == '[';
		depth -= usage[size] == ']';
		if (depth == 0 && usage[size] == ' ' &&
		    (usage[size + 1] == '[' || usage[size + 1] == '-')) {
			break;
		}
	}
	return size;
}

/* One line of `usage`, in as many as it takes.  Returns what comes behind. */
static const char *print_usage(FILE *out, const char *head, const char *name,
                               const char *usage)
{
	size_t column = (size_t)fprintf(out, "%-6s bursar [-c FILE] %s", head,
	                                name);

	while (*usage != '\0' && *usage != '\n') {
		const size_t size = usage_part(usage);

		if (column + 1 + size > HELP_WIDTH) {
			column = (size_t)fprintf(out, "\n%*s", USAGE_COLUMN,
			                         "") - 1;
		}
		column += (size_t)fprintf(out, " %.*s", (int)size, usage);
		usage += size;
		usage += strspn(usage, " ");
	}
	fputc('\n', out);
	return usage + (*usage == '\n');
}

void cli_help(FILE *out, const struct command *command)
{
	const char *usage = command->usage;
	const char *head = "Usage:";

	do {
		usage = print_usage(out, head, command->name, usage);
		head = "";
	} while (*usage != '\0');
	fprintf(out, "\n%c%s.\n\nOptions:\n", toupper(command->summary[0]),
	        command->summary + 1);
	cli_print_options(out, command->options);
	cli_print_options(out, cli_common_options);
}
