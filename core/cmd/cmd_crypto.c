/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar crypto - new keys, and messages sealed and opened by hand
 *
 * What a key looks like and which types there are is the plugin's to know.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bursar/crypto.h>

#include "cmd/commands.h"
#include "cmd/sealing.h"
#include "common/regular.h"
#include "conf/options.h"
#include "plugin/instance.h"
#include "plugin/module.h"

#define MAX_MAKERS 64

enum { PLUGIN, TYPE, ID, CRYPTO, KIND, MESSAGE_ID, LINES };

static const struct cli_option options[] = {
	[PLUGIN] = { "plugin", 0, "NAME",
	             "Plugin that makes the key; needed where several can." },
	[TYPE] = { "type", 0, "TYPE",
	           "Type of key, one of those that the plugin has." },
	[ID] = { "id", 0, "ID", "Name of the new key; the date of today "
	         "without it." },
	[CRYPTO] = { "crypto", 0, "NAME", "Crypto of the configuration that "
	             "seals or opens; needed where there are several." },
	[KIND] = { "kind", 0, "KIND",
	           "Kind of record that the envelope names." },
	[MESSAGE_ID] = { "message-id", 0, "ID",
	                 "Message id that the envelope carries." },
	[LINES] = { "lines", 0, NULL, "Seal each line as a message." },
	{ NULL }
};

/*
 * --- keygen
 */

/* The plugins that can make keys; the names are in loaded modules. */
struct makers {
	const struct bursar_plugin *plugins[MAX_MAKERS];
	size_t count;
};

static void add_maker(void *context, enum bursar_plugin_kind kind,
                      const char *name, const char *file,
                      const struct bursar_plugin *plugin,
                      const struct bursar_error *err)
{
	struct makers *makers = context;

	(void)name, (void)file, (void)err;
	if (kind != BURSAR_CRYPTO || plugin == NULL ||
	    plugin->ops.crypto->keygen == NULL || makers->count == MAX_MAKERS) {
		return;
	}
	for (size_t i = 0; i < makers->count; i++) {
		if (makers->plugins[i] == plugin) {
			return;
		}
	}
	makers->plugins[makers->count++] = plugin;
}

static const struct bursar_plugin *choose_maker(struct cli *cli)
{
	struct makers makers = { .count = 0 };
	char names[256] = "";

	module_each(add_maker, &makers);
	if (makers.count == 1) {
		return makers.plugins[0];
	}
	for (size_t i = 0; i < makers.count; i++) {
		const size_t used = strlen(names);

		snprintf(names + used, sizeof(names) - used, "%s%s",
		         i > 0 ? ", " : "", makers.plugins[i]->name);
	}
	if (makers.count == 0) {
		cli->status = cli_fail(cli, "no plugin is installed that makes "
		                       "keys");
	} else {
		cli->status = cli_usage_error(cli, "several plugins make keys; "
		                              "name one with --plugin: %s",
		                              names);
	}
	return NULL;
}

static const struct bursar_plugin *find_maker(struct cli *cli, const char *name)
{
	struct bursar_error err = { 0 };

	if (name == NULL) {
		return choose_maker(cli);
	}
	const struct bursar_plugin *plugin = module_load(BURSAR_CRYPTO, name,
	                                                 &err);
	if (plugin == NULL) {
		cli->status = cli_usage_error(cli, "%s", err.text);
		return NULL;
	}
	if (plugin->ops.crypto->keygen == NULL) {
		cli->status = cli_usage_error(cli, "%s makes no keys", name);
		return NULL;
	}
	return plugin;
}

static const char *today(char *text, size_t size)
{
	const time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm) == NULL ||
	    strftime(text, size, "%Y-%m-%d", &tm) == 0) {
		return NULL;
	}
	return text;
}

/* A key file that others can read is refused later; better said now. */
static void warn_of_readers(struct cli *cli)
{
	struct stat st;
	const bool is_file = fstat(fileno(cli->out), &st) == 0 &&
	                     S_ISREG(st.st_mode);

	if (is_file && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		fputs("bursar: others can read the file with this key: make it "
		      "chmod 600, or it will be refused\n", cli->err);
	} else {
		fputs("bursar: this is a secret: keep it in a file that only "
		      "its reader can read\n", cli->err);
	}
}

static int keygen(struct cli *cli, const char *value[])
{
	char date[32];
	struct bursar_error err = { 0 };
	const char *id = value[ID] ? value[ID] : today(date, sizeof(date));
	const struct bursar_plugin *plugin = find_maker(cli, value[PLUGIN]);

	if (plugin == NULL) {
		return cli->status;
	}
	if (plugin->ops.crypto->keygen(cli->out, value[TYPE], id, &err) != 0) {
		return cli_usage_error(cli, "%s", err.text);
	}
	warn_of_readers(cli);
	return CLI_OK;
}

/*
 * --- seal and open
 */

static const struct setup_item *only_item(struct cli *cli,
                                          const struct setup *setup)
{
	if (setup->crypto_count == 1) {
		return &setup->crypto[0];
	}
	cli_usage_error(cli, setup->crypto_count == 0
	                ? "the configuration has no crypto"
	                : "the configuration has several crypto; name one "
	                  "with --crypto");
	return NULL;
}

static const struct setup_item *find_item(struct cli *cli,
                                          const struct setup *setup,
                                          const char *name)
{
	for (size_t i = 0; name != NULL && i < setup->crypto_count; i++) {
		if (strcmp(setup->crypto[i].name, name) == 0) {
			return &setup->crypto[i];
		}
	}
	if (name == NULL) {
		return only_item(cli, setup);
	}
	cli_usage_error(cli, "the configuration has no crypto '%s'", name);
	return NULL;
}

/* The one operand of `open`; stdin without any. */
static FILE *open_input(struct cli *cli, const char *path)
{
	FILE *in = path == NULL || strcmp(path, "-") == 0 ? stdin
	         : input_open(path);

	if (in == NULL) {
		cli_fail(cli, "%s: %s", path, regular_why(errno));
	}
	return in;
}

static void close_input(FILE *in)
{
	if (in != NULL && in != stdin) {
		fclose(in);
	}
}

static int use(const struct sealing *sealing, bool seals, const char *path,
               const char *value[])
{
	const struct sealing_words words = {
		.kind = value[KIND], .message_id = value[MESSAGE_ID],
	};
	FILE *in = open_input(sealing->cli, path);

	if (in == NULL) {
		return CLI_FAILED;
	}
	const int status = seals
	                 ? sealing_seal(sealing, in, value[LINES] != NULL,
	                                &words)
	                 : sealing_open(sealing, in);
	close_input(in);
	return status;
}

static int with_crypto(struct cli *cli, bool seals, const char *path,
                       const char *value[])
{
	struct bursar_error err = { 0 };
	const struct setup *setup = cli_setup(cli);
	const struct setup_item *item =
		setup ? find_item(cli, setup, value[CRYPTO]) : NULL;

	if (item == NULL) {
		return CLI_USAGE;
	}
	const struct bursar_crypto_ops *ops = item->plugin->ops.crypto;
	if (seals && ops->seal == NULL) {
		return cli_usage_error(cli, "'%s' cannot seal", item->name);
	}
	struct instance *instance = instance_create(item, setup->state_dir,
	                                            INSTANCE_READ, &err);
	struct bursar_crypto *crypto =
		instance ? ops->open(&instance->host, &err) : NULL;
	int status;
	if (crypto == NULL) {
		status = cli_fail(cli, "crypto '%s': %s", item->name, err.text);
	} else {
		const struct sealing sealing = {
			cli, ops, crypto, setup->max_message,
		};

		status = use(&sealing, seals, path, value);
	}
	if (crypto != NULL && ops->close != NULL) {
		ops->close(crypto);
	}
	instance_destroy(instance);
	return status;
}

/*
 * --- the command
 */

/* Options that were given and mean nothing to this form; false: said so. */
static bool only_takes(struct cli *cli, const char *verb, const char *value[],
                       unsigned allowed)
{
	for (unsigned i = 0; options[i].name != NULL; i++) {
		if (value[i] != NULL && (allowed & 1u << i) == 0) {
			cli->status = cli_usage_error(cli,
				"%s takes no --%s", verb, options[i].name);
			return false;
		}
	}
	return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
	static const char *const verbs[] = { "keygen", "seal", "open", NULL };
	static const unsigned allowed[] = {
		1u << PLUGIN | 1u << TYPE | 1u << ID,
		1u << CRYPTO | 1u << KIND | 1u << MESSAGE_ID | 1u << LINES,
		1u << CRYPTO,
	};
	const char *value[CLI_MAX_OPTIONS];
	size_t verb = 0;

	if (!cli_parse(cli, &argc, &argv, value)) {
		return cli->status;
	}
	if (argc == 0) {
		return cli_usage_error(cli, "keygen, seal or open?");
	}
	while (verbs[verb] != NULL && strcmp(verbs[verb], argv[0]) != 0) {
		verb++;
	}
	if (verbs[verb] == NULL) {
		return cli_usage_error(cli, "keygen, seal or open, not '%s'",
		                       argv[0]);
	}
	if (argc > (verb == 0 ? 1 : 2)) {
		return cli_usage_error(cli, "too many words after %s",
		                       argv[0]);
	}
	if (!only_takes(cli, argv[0], value, allowed[verb])) {
		return cli->status;
	}
	if (value[LINES] != NULL && value[MESSAGE_ID] != NULL) {
		return cli_usage_error(cli, "--message-id is for one message, "
		                       "--lines for many");
	}
	return verb == 0 ? keygen(cli, value)
	                 : with_crypto(cli, verb == 1, argv[1], value);
}

const struct command command_crypto = {
	.name = "crypto",
	.summary = "make keys, seal and open messages",
	.usage = "keygen [--plugin NAME] [--type TYPE] [--id ID]\n"
	         "seal [--crypto NAME] [--kind KIND] [--message-id ID | "
	         "--lines] [FILE]\n"
	         "open [--crypto NAME] [FILE]",
	.options = options,
	.manual =
"keygen prints a new key in the form in which the plugin's key file takes it. "
"A key file must be readable by its owner alone.  The crypto sodium seals under "
"the first secret line of its file, so a new key goes on top.\n"
"\n"
"	umask 077; bursar crypto keygen --plugin sodium >>/etc/bursar/keys\n"
"\n"
"seal reads a message from FILE, or from standard input, and prints it sealed "
"as an envelope, one line of JSON that a source can read.  The newline at its "
"end is not part of the message.\n"
"\n"
"	bursar crypto seal --crypto own --kind prompt <body.json >>in.jsonl\n"
"\n"
"open reads envelopes, one a line, and prints the clear bodies, one a line. "
"Dead letters are envelopes, so their files can be read as well.  Lines that "
"do not open are named on standard error, and the exit status is 1.\n"
"\n"
"	bursar crypto open --crypto own in.jsonl\n"
"\n"
"What lies sealed in a ledger, by the option seal of a route, is no envelope: "
"`bursar export --bodies` opens it, and `bursar reseal` brings it under a new "
"key.\n",
	.run = run,
};
