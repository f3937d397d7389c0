/* SPDX-License-Identifier: Apache-2.0 */

/* What bursar/plugin.h asks of every plugin, whatever its kind. */
#include "config.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kit.h"
#include "records.h"

#include "core/conf/setup.h"
#include "core/plugin/module.h"

/* --- the file ------------------------------------------------------------ */

static void loads_alone(struct kit *kit)
{
	const pid_t child = fork();

	if (child == 0) {
		execl("/proc/self/exe", "bursar-conformance", "--load",
		      kit->file, (char *)NULL);
		_exit(127);
	}
	int status;
	if (child < 0 || waitpid(child, &status, 0) < 0) {
		kit_broken("fork");
	}
	expect(WIFEXITED(status) && WEXITSTATUS(status) == 0,
	       "it does not load with RTLD_NOW: a symbol that is not there?");
}

/* What linkers and sanitizers add of their own. */
static bool is_usual(const char *name)
{
	static const char *const usual[] = {
		"_init", "_fini", "_edata", "_end", "__bss_start",
	};

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		if (strcmp(name, usual[i]) == 0) {
			return true;
		}
	}
	return strncmp(name, "__odr_asan", 10) == 0;
}

struct exports {
	const char *own;
	bool found;
};

static void look_at_export(void *context, const char *name)
{
	struct exports *exports = context;

	if (strcmp(name, exports->own) == 0) {
		exports->found = true;
	} else if (!is_usual(name)) {
		kit_breach("it also exports '%s'", name);
	}
}

static void exports_its_description_alone(struct kit *kit)
{
	struct exports exports = { 0 };
	char own[200];

	snprintf(own, sizeof(own), "%s_%s_LTX_bursar_plugin",
	         module_kind_names[kit->kind], kit->plugin->name);
	exports.own = own;
	expect(elf_exports(kit->file, look_at_export, &exports),
	       "%s: no table of dynamic symbols", kit->file);
	expect(exports.found, "it does not export '%s'", own);
}

/* --- the description ----------------------------------------------------- */

static void describes_itself(struct kit *kit)
{
	const struct bursar_plugin *p = kit->plugin;
	const size_t size = strlen(p->summary);

	expect(size > 0, "the summary is empty");
	expect(size <= 72, "the summary is longer than 72 characters");
	expect(strchr(p->summary, '\n') == NULL, "the summary has two lines");
	expect(!isupper((unsigned char)p->summary[0]),
	       "the summary begins with a capital: \"%s\"", p->summary);
	expect(p->summary[size - 1] != '.',
	       "the summary ends in a full stop: \"%s\"", p->summary);
	expect(p->manual == NULL || p->manual[0] == '\0' ||
	       p->manual[0] != '\n', "the manual begins with an empty line");
}

static bool is_option_name(const char *name)
{
	const size_t size = strlen(name);

	return size > 0 && islower((unsigned char)name[0]) &&
	       name[size - 1] != '-' &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")] ==
	       '\0' && strstr(name, "--") == NULL;
}

static bool is_core_option(enum bursar_plugin_kind kind, const char *name)
{
	const struct bursar_option *common = setup_common_options(kind);

	for (; common->name != NULL; common++) {
		if (strcmp(common->name, name) == 0) {
			return true;
		}
	}
	return strcmp(name, "plugin") == 0;
}

static void names_its_options_well(struct kit *kit)
{
	const struct bursar_option *options = kit->plugin->options;

	for (size_t i = 0; options[i].name != NULL; i++) {
		const struct bursar_option *o = &options[i];
		const size_t size = strlen(o->help);

		expect(is_option_name(o->name),
		       "'%s' is not lower-case words joined by '-'", o->name);
		expect(!is_core_option(kit->kind, o->name),
		       "'%s' is an option of the core", o->name);
		expect(size > 1 && o->help[size - 1] == '.' &&
		       strchr(o->help, '\n') == NULL,
		       "the help of '%s' is not one sentence that ends in a "
		       "full stop", o->name);
		expect(o->min <= o->max || o->max == 0,
		       "the bounds of '%s' hold nothing", o->name);
		for (size_t k = 0; k < i; k++) {
			expect(strcmp(options[k].name, o->name) != 0,
			       "two options are called '%s'", o->name);
		}
	}
}

/* An option as a user would write its default. */
static void try_default(struct kit *kit, const struct bursar_option *option)
{
	const struct bursar_option table[] = { *option, { NULL } };
	struct findings findings = { 0 };
	char text[2000];

	const int size = snprintf(text, sizeof(text), "%s: %s\n", option->name,
	                          option->fallback);
	struct conf *conf = conf_parse(text, (size_t)size, &findings);
	struct options *options = options_create(conf, NULL, table, NULL,
	                                         kit->dir, &findings);
	expect(findings.count == 0, "the default of '%s' is '%s': %s",
	       option->name, option->fallback, findings.items[0].text);
	options_destroy(options);
	conf_destroy(conf);
}

static void accepts_its_own_defaults(struct kit *kit)
{
	const struct bursar_option *o = kit->plugin->options;

	for (; o->name != NULL; o++) {
		if (o->fallback != NULL && o->fallback[0] != '\0') {
			expect(o->type != BURSAR_TYPE_SECRET,
			       "the secret '%s' has a default", o->name);
			try_default(kit, o);
		}
	}
}

/* --- life ---------------------------------------------------------------- */

static void opens_with_the_options_given(struct kit *kit)
{
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict;
	struct stand stand;

	stand_init(&stand, kit, INSTANCE_RUN);
	void *handle = stand_open(&stand, &verdict, &err);
	expect(handle != NULL, "open() failed: %s", err.text);
	expect(err.code == 0, "open() succeeded, and *err says: %s", err.text);
	stand_close(&stand, handle);
	stand_finish(&stand);
}

static void closes_nothing(struct kit *kit)
{
	kit_close(kit->plugin, NULL);
}

static void open_and_close(void *context)
{
	struct kit *kit = context;
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict;
	struct stand stand;

	stand_init(&stand, kit, INSTANCE_RUN);
	void *handle = stand_open(&stand, &verdict, &err);
	expect(handle != NULL, "open() failed: %s", err.text);
	stand_close(&stand, handle);
	stand_finish(&stand);
}

static void leaves_nothing_behind(struct kit *kit)
{
	footprint_expect_flat(open_and_close, kit, 50);
}

static void two_instances_do_not_meet(struct kit *kit)
{
	struct bursar_error err = { 0 };
	enum bursar_verdict verdict;
	struct stand stands[2];
	void *handles[2];

	for (size_t i = 0; i < 2; i++) {
		stand_init(&stands[i], kit, INSTANCE_RUN);
		handles[i] = stand_open(&stands[i], &verdict, &err);
	}
	expect(handles[0] != NULL, "open() failed: %s", err.text);
	/* A port, or a lock, may be taken; that has to be said. */
	if (handles[1] == NULL) {
		kit_expect_error(&err, "the second open()");
	}
	for (size_t i = 0; i < 2; i++) {
		stand_close(&stands[i], handles[i]);
		stand_finish(&stands[i]);
	}
}

/* --- failing ------------------------------------------------------------- */

static const char *const hostile_texts[] = {
	"", "/nowhere/at/all", "/dev/null/below", "@DIR@", "/proc/self/mem",
	"[", "%s%n%s%n", "\xff\xfe", "a\nb", "\xe2\x82\xac",
};

/* Opens with options that the table lets pass: it works, or says why not. */
static void try_hostile(struct kit *kit, const char *what)
{
	enum bursar_verdict verdict;
	struct bursar_error err = { 0 };
	struct stand stand;

	if (!stand_try(&stand, kit, INSTANCE_RUN)) {
		return;		/* the core keeps it off */
	}
	void *handle = stand_open(&stand, &verdict, &err);
	if (handle == NULL) {
		kit_expect_error(&err, what);
		expect(kit->kind != BURSAR_SINK || verdict == BURSAR_RETRY ||
		       verdict == BURSAR_DOWN || verdict == BURSAR_CONFIG,
		       "%s: open() failed with the verdict %s", what,
		       verdict_name(verdict));
	}
	stand_close(&stand, handle);
	stand_finish(&stand);
}

static bool takes_text(const struct bursar_option *option)
{
	return option->type == BURSAR_TYPE_TEXT ||
	       option->type == BURSAR_TYPE_PATH ||
	       option->type >= BURSAR_TYPE_INPUT ||
	       option->type == BURSAR_TYPE_LIST;
}

static void says_why_it_cannot_open(struct kit *kit)
{
	const struct bursar_option *o = kit->plugin->options;
	char what[200];

	for (; o->name != NULL; o++) {
		for (size_t i = 0; takes_text(o) &&
		     i < sizeof(hostile_texts) / sizeof(hostile_texts[0]);
		     i++) {
			struct kit other = *kit;

			kit_give_only(&other, o->name, hostile_texts[i]);
			snprintf(what, sizeof(what), "open() with %s = '%s'",
			         o->name, hostile_texts[i]);
			try_hostile(&other, what);
		}
	}
}

static char *write_secret(const struct kit *kit, const void *bytes,
                          size_t size)
{
	char *path = kit_expand(kit, "@DIR@/bad-secret");
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	                    0600);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) {
		kit_broken(path);
	}
	close(fd);
	return path;
}

static void keeps_a_bad_secret_to_itself(struct kit *kit)
{
	static const char *const secrets[] = {
		"\n", "x", "conformance-secret-one\n",
		"secret one conformance-secret-one\n",
		"0123456789abcdef conformance-secret-one 0123456789abcdef\n",
		"# conformance-secret-one\nconformance-secret-one\n\n\n",
		"conformance-secret-one\xff\xfe\n",
	};
	char word[] = "conformance-secret-one";
	const struct bursar_option *o = kit->plugin->options;
	bool any = false;

	secret_add(word, strlen(word));
	for (; o->name != NULL; o++) {
		for (size_t i = 0; o->type == BURSAR_TYPE_SECRET &&
		     i < sizeof(secrets) / sizeof(secrets[0]); i++) {
			struct kit other = *kit;
			char name[100];

			any = true;
			snprintf(name, sizeof(name), "%s-file", o->name);
			kit_give_only(&other, name,
			              write_secret(kit, secrets[i],
			                           strlen(secrets[i])));
			try_hostile(&other, "open() with a bad secret");
		}
	}
	if (!any) {
		kit_skip("it has no secret");
	}
}

const struct kit_check plugin_checks[] = {
	{ "loads with nothing but itself",
	  "A plugin imports nothing from the daemon.", loads_alone },
	{ "exports its description and nothing else",
	  "A plugin is one shared object that exports one constant: its "
	  "description, written with BURSAR_PLUGIN_DEFINE.",
	  exports_its_description_alone },
	{ "describes itself in one line",
	  "summary: one line, no capital, no full stop.", describes_itself },
	{ "names and explains its options",
	  "An option has a name of lower-case words joined by '-', help of one "
	  "sentence ending in a full stop, and is none of the core's.",
	  names_its_options_well },
	{ "accepts its own defaults",
	  "fallback: as a user would write it; \"\" for optional without "
	  "default; NULL for required.", accepts_its_own_defaults },
	{ "opens with the options given",
	  "open() returns an instance, to be given to close(), and leaves "
	  "*err alone.", opens_with_the_options_given },
	{ "closes what was never opened",
	  "close() cannot fail.  It may be given NULL.", closes_nothing },
	{ "leaves nothing behind when it is closed",
	  "close() releases the instance: no descriptor, no thread, no memory "
	  "stays after 200 times open and close.", leaves_nothing_behind, 60 },
	{ "can be opened twice at a time",
	  "There may be many instances of one module, so a plugin keeps its "
	  "state in the instance and not in static variables.",
	  two_instances_do_not_meet },
	{ "says why it cannot be opened",
	  "open() returns NULL with *err filled: a code that is not 0 and one "
	  "line for a person; of a sink *verdict is RETRY, DOWN or CONFIG.",
	  says_why_it_cannot_open, 60 },
	{ "keeps a secret that it cannot use to itself",
	  "Never a secret in a log or an error.", keeps_a_bad_secret_to_itself,
	},
	{ NULL }
};
