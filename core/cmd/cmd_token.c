/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar token - who may send records
 *
 * The file is written anew beside the old one and put in its place, so that
 * whoever reads it meanwhile reads one or the other; lines that say nothing
 * here are kept.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <sodium.h>

#include "base/logfmt.h"
#include "cmd/commands.h"
#include "common/regular.h"
#include "common/tokens.h"
#include "plugin/schema.h"

#define TOKEN_BYTES 32
#define TOKEN_TEXT  sodium_base64_ENCODED_LEN(TOKEN_BYTES, \
	sodium_base64_VARIANT_URLSAFE_NO_PADDING)

enum { FILE_OPTION, KINDS, SET };

static const struct cli_option options[] = {
	[FILE_OPTION] = { "file", 0, "FILE", "The file of tokens, made where "
	                  "it is not there." },
	[KINDS] = { "kinds", 0, "KIND,...", "Kinds of records that it may "
	            "send; every kind without it." },
	[SET] = { "set", 0, "FIELD=VALUE", "A field that its records have, "
	          "whatever they say; may be given several times." },
	{ NULL }
};

static struct bursar_span span_of(const char *text)
{
	return (struct bursar_span){ text, strlen(text) };
}

/* --- the file ------------------------------------------------------------- */

/* The tokens of the file, NULL after it was said what is wrong; *missing where
 * there is no file. */
static struct tokens *load(struct cli *cli, const char *path, bool *missing)
{
	struct bursar_error err = { 0 };
	struct tokens *tokens = tokens_load(path, &schema, &err);

	*missing = tokens == NULL && err.code == ENOENT;
	if (tokens == NULL && !*missing) {
		cli_fail(cli, "%s", err.text);
	}
	return tokens;
}

static bool has(const struct tokens *tokens, const char *name)
{
	for (size_t i = 0; tokens != NULL && i < tokens_count(tokens); i++) {
		if (strcmp(tokens_get(tokens, i)->name, name) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_of(const char *line, const char *name)
{
	json_t *tree = json_loads(line, 0, NULL);
	const char *own = json_string_value(json_object_get(tree, "name"));
	const bool same = own != NULL && strcmp(own, name) == 0;

	json_decref(tree);
	return same;
}

/* Copies the lines of the old file but that of token `without`. */
static int copy_lines(const char *path, FILE *out, const char *without)
{
	FILE *in = regular_read(AT_FDCWD, path);
	char *line = NULL;
	size_t room = 0;
	ssize_t size;

	if (in == NULL) {
		return errno == ENOENT ? 0 : -1;
	}
	while ((size = getline(&line, &room, in)) > 0) {
		if (without != NULL && is_of(line, without)) {
			continue;
		}
		fputs(line, out);
		if (line[size - 1] != '\n') {
			fputc('\n', out);
		}
	}
	free(line);
	fclose(in);
	return 0;
}

/* The owner stays who it was: the daemon's user, above all. */
static void keep_owner(const char *path, int fd)
{
	struct stat st;

	if (stat(path, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) != 0) {
		return;		/* who may not do that owns it already */
	}
}

static int write_file(struct cli *cli, const char *path, const char *without,
                      const char *more)
{
	char *made = NULL;
	FILE *out = NULL;
	int fd = -1, status = CLI_FAILED;

	if (asprintf(&made, "%s.new", path) < 0) {
		return cli_fail(cli, "out of memory");
	}
	fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (out == NULL) {
		cli_fail(cli, "%s: %s%s", made, strerror(errno),
		         errno == EEXIST ? "; another one is at work, or was "
		         "killed: remove it when none is" : "");
		if (fd >= 0) {
			close(fd);
		}
		goto out;
	}
	keep_owner(path, fd);
	if (copy_lines(path, out, without) == 0 &&
	    (more == NULL || fprintf(out, "%s\n", more) > 0) &&
	    fflush(out) == 0 && !ferror(out) && fsync(fd) == 0 &&
	    rename(made, path) == 0) {
		status = CLI_OK;
	} else {
		cli_fail(cli, "%s: %s", path, regular_why(errno));
		unlink(made);
	}
	fclose(out);
out:
	free(made);
	return status;
}

/* --- add ------------------------------------------------------------------ */

/* NULL after it was said what is wrong. */
static json_t *kinds_of(struct cli *cli, const char *text)
{
	json_t *kinds = json_array();

	while (text != NULL && *text != '\0') {
		const size_t size = strcspn(text, ",");

		if (bursar_kind_find(&schema, text, size) == NULL) {
			cli_usage_error(cli, "--kinds: '%.*s' is no kind; kinds "
			                "are metering, prompt and tool",
			                (int)size, text);
			json_decref(kinds);
			return NULL;
		}
		json_array_append_new(kinds, json_stringn(text, size));
		text += size + (text[size] == ',');
	}
	return kinds;
}

static json_t *fields_of(struct cli *cli)
{
	json_t *set = json_object();

	for (size_t i = 0; i < cli->given_count; i++) {
		const char *text = cli->given[i].value;
		const char *equals = strchr(text, '=');
		json_t *value;

		if (cli->given[i].option != SET) {
			continue;
		}
		const struct bursar_span name = {
			text, equals != NULL ? (size_t)(equals - text) : 0,
		};
		if (equals == NULL || !token_field_is_good(&schema, name)) {
			cli_usage_error(cli, "--set %s: takes FIELD=VALUE, "
			                "FIELD being a text of some kind of "
			                "record, such as team or budget_id",
			                text);
			goto fail;
		}
		value = json_string(equals + 1);
		if (value == NULL) {
			cli_usage_error(cli, "--set %.*s: its value is not "
			                "UTF-8", (int)name.size, text);
			goto fail;
		}
		char field[80];

		snprintf(field, sizeof(field), "%.*s", (int)name.size, text);
		json_object_set_new(set, field, value);
	}
	return set;

fail:
	json_decref(set);
	return NULL;
}

/* The line of a new token, to be freed, and its text. */
static char *make_line(struct cli *cli, const char *name, const char *kinds,
                       char text[TOKEN_TEXT])
{
	uint8_t random[TOKEN_BYTES], hash[TOKEN_HASH];
	char hex[2 * TOKEN_HASH + 1];
	json_t *list = kinds_of(cli, kinds);
	json_t *set = list != NULL ? fields_of(cli) : NULL;
	char *line = NULL;

	if (set != NULL) {
		randombytes_buf(random, sizeof(random));
		sodium_bin2base64(text, TOKEN_TEXT, random, sizeof(random),
		                  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
		token_hash(span_of(text), hash);
		sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
		sodium_memzero(random, sizeof(random));
		json_t *tree = json_pack("{s:s, s:s, s:O, s:O}", "name", name,
		                         "sha256", hex, "kinds", list, "set",
		                         set);
		line = tree != NULL ? json_dumps(tree, JSON_COMPACT) : NULL;
		json_decref(tree);
		if (line == NULL) {
			cli_fail(cli, "out of memory");
		}
	}
	json_decref(list);
	json_decref(set);
	return line;
}

/* One that nobody has seen would be of no use, and in the way of the next of
 * that name. */
static int show(struct cli *cli, const char *path, const char *name,
                const char *text)
{
	if (fprintf(cli->out, "%s\n", text) < 0 || fflush(cli->out) != 0) {
		cli_fail(cli, "the token cannot be shown, and is taken back: "
		         "%s", strerror(errno));
		write_file(cli, path, name, NULL);
		return CLI_FAILED;
	}
	fputs("bursar: this token is shown once and stands nowhere; "
	      "give it to its sender\n", cli->err);
	return CLI_OK;
}

static int add(struct cli *cli, const char *path, const char *name,
               const char *value[])
{
	char text[TOKEN_TEXT];
	bool missing;

	if (name == NULL || !token_name_is_good(span_of(name))) {
		return cli_usage_error(cli, "name the token: up to %d letters, "
		                       "digits, '.', '_' and '-'",
		                       TOKEN_MAX_NAME);
	}
	struct tokens *tokens = load(cli, path, &missing);
	if (tokens == NULL && !missing) {
		return CLI_FAILED;
	}
	const bool taken = has(tokens, name);
	tokens_destroy(tokens);
	if (taken) {
		return cli_fail(cli, "%s has a token '%s'; remove it first",
		                path, name);
	}
	char *line = make_line(cli, name, value[KINDS], text);
	if (line == NULL) {
		return CLI_USAGE;
	}
	int status = write_file(cli, path, NULL, line);
	free(line);
	if (status == CLI_OK) {
		status = show(cli, path, name, text);
	}
	sodium_memzero(text, sizeof(text));
	return status;
}

/* --- list and remove ------------------------------------------------------ */

/* A value may hold anything: it is told as the log tells values. */
__attribute__((format(printf, 2, 3)))
static void list_member(struct cli *cli, const char *fmt, ...)
{
	struct logfmt line;
	va_list ap;

	logfmt_init(&line, "");
	va_start(ap, fmt);
	logfmt_add_v(&line, fmt, ap);
	va_end(ap);
	fprintf(cli->out, "  %.*s", (int)line.size, line.text);
}

static void list_one(struct cli *cli, const struct token *token)
{
	char kinds[200] = "";
	size_t size = 0;

	for (size_t k = 0; k < schema.kind_count; k++) {
		const struct bursar_kind *kind = &schema.kinds[k];

		if (token->kinds & UINT64_C(1) << kind->number &&
		    size < sizeof(kinds)) {
			size += (size_t)snprintf(kinds + size,
			                         sizeof(kinds) - size, "%s%s",
			                         size > 0 ? "," : "",
			                         kind->name);
		}
	}
	fprintf(cli->out, "%s", token->name);
	if (size > 0) {
		list_member(cli, "kinds=%s", kinds);
	}
	for (size_t i = 0; i < token->fixed_count; i++) {
		const struct bursar_header *field = &token->fixed[i];

		list_member(cli, "%.*s=%.*s", (int)field->name.size,
		            field->name.data, (int)field->value.size,
		            field->value.data);
	}
	fputc('\n', cli->out);
}

static int list(struct cli *cli, const char *path)
{
	bool missing;
	struct tokens *tokens = load(cli, path, &missing);

	if (tokens == NULL) {
		return missing ? cli_fail(cli, "%s is not there", path)
		               : CLI_FAILED;
	}
	for (size_t i = 0; i < tokens_count(tokens); i++) {
		list_one(cli, tokens_get(tokens, i));
	}
	tokens_destroy(tokens);
	return CLI_OK;
}

static int remove_one(struct cli *cli, const char *path, const char *name)
{
	bool missing;

	if (name == NULL) {
		return cli_usage_error(cli, "name the token to remove");
	}
	struct tokens *tokens = load(cli, path, &missing);
	if (tokens == NULL) {
		return missing ? cli_fail(cli, "%s is not there", path)
		               : CLI_FAILED;
	}
	const bool there = has(tokens, name);
	tokens_destroy(tokens);
	return there ? write_file(cli, path, name, NULL) :
	       cli_fail(cli, "%s has no token '%s'", path, name);
}

/* --- the command ---------------------------------------------------------- */

static int run(struct cli *cli, int argc, char **argv)
{
	const char *value[CLI_MAX_OPTIONS];

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	const char *verb = argc > 0 ? argv[0] : "";
	const char *name = argc > 1 ? argv[1] : NULL;
	const bool adds = strcmp(verb, "add") == 0;
	const bool lists = strcmp(verb, "list") == 0;
	if (!adds && !lists && strcmp(verb, "remove") != 0) {
		return cli_usage_error(cli, "add, list or remove?");
	}
	if (argc > (lists ? 1 : 2)) {
		return cli_usage_error(cli, "too many words after %s", verb);
	}
	if (value[FILE_OPTION] == NULL) {
		return cli_usage_error(cli, "name the file with --file");
	}
	if (!adds && (value[KINDS] != NULL || value[SET] != NULL)) {
		return cli_usage_error(cli, "%s takes no --kinds and no --set",
		                       verb);
	}
	if (sodium_init() < 0) {
		return cli_fail(cli, "no random numbers can be had");
	}
	return adds ? add(cli, value[FILE_OPTION], name, value) :
	       lists ? list(cli, value[FILE_OPTION]) :
	       remove_one(cli, value[FILE_OPTION], name);
}

const struct command command_token = {
	.name = "token",
	.summary = "say who may send records over a network",
	.usage = "add NAME [--kinds KIND,...] [--set FIELD=VALUE]... "
	         "--file FILE\n"
	         "list --file FILE\n"
	         "remove NAME --file FILE",
	.options = options,
	.manual =
"add makes a token, 32 random bytes, prints it once and writes to FILE what it "
"may do: a line of JSON with its SHA-256, but not the token.  A source that "
"has FILE as its token-file knows it a second later.\n"
"\n"
"	bursar token add gateway --kinds metering --set team=support \\\n"
"		--file /etc/bursar/tokens\n"
"\n"
"FILE has to be its owner's alone (mode 0600), and its owner the user that "
"the daemon runs as: as another, give it to that user (chown) once; it stays "
"so.\n"
"\n"
"list prints names, kinds and fields; a value that is not one plain word "
"stands in quotes, with escapes for what a terminal would obey.  remove takes "
"a token away: what its sender sends from then on is refused.\n",
	.run = run,
};
