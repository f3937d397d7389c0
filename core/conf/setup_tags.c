/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Section `tags`, and the tags that sources give to all their facts.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <bursar/message.h>

#include "common/rollup.h"
#include "conf/setup_build.h"

#define WHAT_SIZE 80

/* --- names --------------------------------------------------------------- */

static void refuse_key(const struct build *build, unsigned line,
                       const char *what, const char *key, size_t size)
{
	findings_add(build->findings, line, "%s: '%.*s' is no key of a tag: it "
	             "has 1 to %d letters, digits, '_', '.' or '-'", what,
	             size < 60 ? (int)size : 60, key, TAGS_ASKED_MAX);
}

static bool is_named(const struct setup *setup, const char *key)
{
	for (size_t i = 0; i < setup->tag_name_count; i++) {
		if (strcmp(setup->tag_names[i], key) == 0) {
			return true;
		}
	}
	return false;
}

static bool take_names(const struct build *build, const struct options *options)
{
	struct setup *setup = build->setup;
	const char *const *names;
	const size_t count = options_list(options, "report", &names);
	unsigned line = 0;

	options_given(options, "report", &line);
	if (count > ROLLUP_MAX_TAGS) {
		findings_add(build->findings, line, "tags: 'report' names more "
		             "than %d tags: each costs a little with every "
		             "record", ROLLUP_MAX_TAGS);
		return true;
	}
	setup->tag_names = calloc(count + 1, sizeof(*setup->tag_names));
	if (setup->tag_names == NULL) {
		return false;
	}
	setup->tag_name_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (!tags_key_is_good(names[i], strlen(names[i]))) {
			refuse_key(build, line, "tags: report", names[i],
			           strlen(names[i]));
		} else if (!is_named(setup, names[i])) {
			char *name = strdup(names[i]);

			if (name == NULL) {
				return false;
			}
			setup->tag_names[setup->tag_name_count++] = name;
		}
	}
	return true;
}

/* --- tags of a source ---------------------------------------------------- */

static bool has_tag(const struct setup_source *source, const char *key,
                    size_t size)
{
	for (size_t i = 0; i < source->tag_count; i++) {
		const struct bursar_span *name = &source->tags[i].name;

		if (name->size == size && memcmp(name->data, key, size) == 0) {
			return true;
		}
	}
	return false;
}

/* "KEY=VALUE", unless it has that key. */
static bool add_tag(struct setup_source *source, const char *word)
{
	const size_t size = strcspn(word, "=");

	if (word[size] == '\0' || has_tag(source, word, size)) {
		return true;
	}
	struct bursar_header *tags = reallocarray(
		source->tags, source->tag_count + 1, sizeof(*tags));
	if (tags == NULL) {
		return false;
	}
	source->tags = tags;
	char *text = strdup(word);
	if (text == NULL) {
		return false;
	}
	tags[source->tag_count++] = (struct bursar_header){
		.name = { text, size },
		.value = { text + size + 1, strlen(text + size + 1) },
	};
	return true;
}

static bool add_tags(struct setup_source *source, const struct options *options,
                     const char *option)
{
	const char *const *words;
	const size_t count = options_list(options, option, &words);

	for (size_t i = 0; i < count; i++) {
		if (!add_tag(source, words[i])) {
			return false;
		}
	}
	return true;
}

static void check_tags(const struct build *build, const struct options *options,
                       const char *option, const char *what)
{
	const char *const *words;
	const size_t count = options_list(options, option, &words);
	unsigned line = 0;

	options_given(options, option, &line);
	for (size_t i = 0; i < count; i++) {
		const size_t size = strcspn(words[i], "=");

		if (words[i][size] == '\0') {
			findings_add(build->findings, line, "%s: a tag is "
			             "KEY=VALUE, not '%.60s'", what, words[i]);
		} else if (!tags_key_is_good(words[i], size)) {
			refuse_key(build, line, what, words[i], size);
		}
	}
	if (count > TAGS_MAX) {
		findings_add(build->findings, line, "%s: more than %d tags",
		             what, TAGS_MAX);
	}
}

bool build_tags(const struct build *build)
{
	struct setup *setup = build->setup;
	struct options *options = options_create(
		conf_get(build->root, "tags"), NULL, setup_tag_options, "tags",
		build->dir, build->findings);
	bool good = options != NULL && take_names(build, options);

	if (good) {
		check_tags(build, options, "default", "tags: default");
	}
	for (size_t i = 0; i < setup->source_count && good; i++) {
		struct setup_source *source = &setup->sources[i];
		char what[WHAT_SIZE];

		snprintf(what, sizeof(what), "source '%.60s': tags",
		         source->item.name);
		check_tags(build, source->item.options, "tags", what);
		good = add_tags(source, source->item.options, "tags") &&
		       add_tags(source, options, "default");
	}
	options_destroy(options);
	return good;
}

void setup_tags_finish(struct setup *setup)
{
	for (size_t i = 0; i < setup->tag_name_count; i++) {
		free(setup->tag_names[i]);
	}
	free(setup->tag_names);
	for (size_t i = 0; i < setup->source_count; i++) {
		struct setup_source *source = &setup->sources[i];

		for (size_t j = 0; j < source->tag_count; j++) {
			free((char *)source->tags[j].name.data);
		}
		free(source->tags);
	}
}
