/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a configuration file: a tree or a finding, the same twice, and
 * options that can all be asked for, whatever was found.
 */
#include "config.h"

#include <string.h>

#include "core/conf/conf.h"
#include "core/conf/options.h"
#include "tests/fuzz.h"

static const struct bursar_option common[] = {
	{ "plugin", BURSAR_TYPE_TEXT, NULL, "The plugin." },
	{ NULL }
};

static const struct bursar_option table[] = {
	{ "path", BURSAR_TYPE_PATH, "a", "A path." },
	{ "mode", BURSAR_TYPE_CHOICE, "one", "A choice.",
	  .choices = "one|two|three" },
	{ "count", BURSAR_TYPE_NUMBER, "1", "A number.", .min = -3, .max = 9 },
	{ "size", BURSAR_TYPE_SIZE, "1K", "A size." },
	{ "linger", BURSAR_TYPE_DURATION, "", "A duration." },
	{ "follow", BURSAR_TYPE_FLAG, "no", "A flag." },
	{ "names", BURSAR_TYPE_LIST, "[a, b]", "Some texts." },
	{ "token", BURSAR_TYPE_SECRET, "", "A secret." },
	{ NULL }
};

static void require_good_findings(const struct findings *findings)
{
	FUZZ_REQUIRE(findings->count <= FINDINGS_MAX);
	for (size_t i = 0; i < findings->count; i++) {
		const char *text = findings->items[i].text;

		FUZZ_REQUIRE(text[0] != '\0' && strlen(text) < 1024);
		FUZZ_REQUIRE(strpbrk(text, "\n\r\t\x1b\x7f") == NULL);
	}
}

static void require_good_tree(const struct conf *conf, unsigned depth)
{
	FUZZ_REQUIRE(depth <= CONF_MAX_DEPTH);
	FUZZ_REQUIRE(conf->line > 0);
	FUZZ_REQUIRE((conf->type == CONF_TEXT) == (conf->text != NULL));
	FUZZ_REQUIRE(conf->type != CONF_TEXT || conf->first == NULL);
	FUZZ_REQUIRE(!conf->from_environment || conf->interpolated);
	for (const struct conf *c = conf->first; c != NULL; c = c->next) {
		FUZZ_REQUIRE((c->key != NULL) == (conf->type == CONF_MAP));
		if (c->key != NULL) {
			FUZZ_REQUIRE(conf_get(conf, c->key) == c);
		}
		require_good_tree(c, depth + 1);
	}
}

/* Files of this machine are left alone. */
static bool names_a_file(const struct conf *section)
{
	return conf_get(section, "token-file") != NULL;
}

static void require_good_options(const struct conf *section,
                                 struct findings *findings)
{
	char digest[CONF_DIGEST_SIZE];
	const char *const *names;
	const size_t before = findings->count + findings->left_out;

	if (names_a_file(section)) {
		return;
	}
	struct options *options = options_create(section, common, table,
	                                         "source 'x'", "/", findings);

	FUZZ_REQUIRE(options != NULL);
	FUZZ_REQUIRE(options_text(options, "path")[0] == '/');
	FUZZ_REQUIRE(strlen(options_text(options, "mode")) >= 3);
	FUZZ_REQUIRE(options_number(options, "count") >= -3);
	FUZZ_REQUIRE(options_number(options, "count") <= 9);
	FUZZ_REQUIRE(options_number(options, "size") >= 0);
	FUZZ_REQUIRE(options_number(options, "linger") >= 0);
	FUZZ_REQUIRE(options_number(options, "follow") >> 1 == 0);
	for (size_t i = options_list(options, "names", &names); i > 0; i--) {
		FUZZ_REQUIRE(names[i - 1] != NULL);
	}
	FUZZ_REQUIRE(options_text(options, "plugin")[0] != '\0' ||
	             section->broken || options_given(options, "plugin", NULL)
	             || findings->count + findings->left_out > before);
	options_secret(options, "token");
	options_digest(options, digest);
	options_destroy(options);
}

static void require_same_again(const struct conf *conf, const char *data,
                               size_t size)
{
	struct findings findings = { 0 };
	struct conf *again = conf_parse(data, size, &findings);
	FUZZ_REQUIRE(again != NULL);
	char *one = conf_canonical(conf);
	char *two = conf_canonical(again);

	FUZZ_REQUIRE(one != NULL && two != NULL && strcmp(one, two) == 0);
	FUZZ_REQUIRE(strchr(one, '\n') == NULL);
	free(one);
	free(two);
	conf_destroy(again);
	findings_finish(&findings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct findings findings = { 0 };

	setenv("A", "some value", 1);
	struct conf *conf = conf_parse((const char *)data, size, &findings);

	FUZZ_REQUIRE(conf != NULL || findings.count > 0);
	if (conf != NULL) {
		FUZZ_REQUIRE(conf->type == CONF_MAP);
		require_good_tree(conf, 0);
		require_same_again(conf, (const char *)data, size);
		require_good_options(conf, &findings);
		for (const struct conf *c = conf->first; c != NULL;
		     c = c->next) {
			require_good_options(c, &findings);
		}
	}
	require_good_findings(&findings);
	findings_finish(&findings);
	conf_destroy(conf);
	return 0;
}
