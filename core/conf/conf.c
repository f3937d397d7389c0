/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From the events of libyaml to a tree.
 *
 * What YAML allows and we do not (anchors, tags, equal names ...) is a finding,
 * and reading goes on, so that a person sees all of it at once.  Only what
 * leaves no tree ends it: no YAML, or a limit.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>
#include <yaml.h>

#include "common/regular.h"
#include "conf/conf.h"

#define MAX_VARIABLE 128		/* bytes in the name of one */

struct reader {
	yaml_parser_t    parser;
	struct findings *findings;
	const char      *text;
	size_t           size;
	size_t           nodes;
	size_t           expanded;	/* bytes that variables brought */
};

static unsigned line_of(const yaml_event_t *event)
{
	return (unsigned)event->start_mark.line + 1;
}

static unsigned line_at(const struct reader *reader, size_t offset)
{
	unsigned line = 1;

	for (size_t i = 0; i < offset && i < reader->size; i++) {
		line += reader->text[i] == '\n';
	}
	return line;
}

/* What is often meant where that line is no YAML. */
static const char *advice(const struct reader *reader, size_t line)
{
	const char *at = reader->text;
	const char *end = at + reader->size;

	for (; line > 0 && at < end; at++) {
		line -= *at == '\n';
	}
	const char *stop = memchr(at, '\n', (size_t)(end - at));
	const size_t size = (size_t)((stop != NULL ? stop : end) - at);

	if (memmem(at, size, "${", 2) != NULL) {
		return "; inside { } or [ ] write \"${NAME}\" in quotes";
	}
	if (memchr(at, '\t', size) != NULL) {
		return "; indent with spaces, not with tabs";
	}
	return "";
}

static void report_syntax(const struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	const size_t line = parser->problem_mark.line;
	const char *problem =
		parser->problem != NULL ? parser->problem : "unknown problem";

	if (parser->error == YAML_MEMORY_ERROR) {
		findings_add(reader->findings, 0, "out of memory");
	} else if (parser->error == YAML_READER_ERROR) {
		findings_add(reader->findings,
		             line_at(reader, parser->problem_offset),
		             "not YAML in UTF-8: %s", problem);
	} else if (parser->context != NULL) {
		findings_add(reader->findings, (unsigned)line + 1,
		             "not YAML: %s, %s that began in line %zu%s",
		             problem, parser->context,
		             parser->context_mark.line + 1,
		             advice(reader, line));
	} else {
		findings_add(reader->findings, (unsigned)line + 1,
		             "not YAML: %s%s", problem, advice(reader, line));
	}
}

static bool next_event(struct reader *reader, yaml_event_t *event)
{
	if (yaml_parser_parse(&reader->parser, event)) {
		return true;
	}
	report_syntax(reader);
	return false;
}

struct text {
	char  *bytes;
	size_t size;
	size_t room;
};

static bool text_add(struct text *text, const char *bytes, size_t size)
{
	if (text->room - text->size <= size) {
		const size_t room = 2 * text->room + size + 64;
		char *more = malloc(room);

		if (more == NULL) {
			return false;
		}
		if (text->bytes != NULL) {
			memcpy(more, text->bytes, text->size);
			sodium_memzero(text->bytes, text->size);
			free(text->bytes);
		}
		text->bytes = more;
		text->room = room;
	}
	memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
	text->bytes[text->size] = '\0';
	return true;
}

static size_t variable_size(const char *name)
{
	static const char first[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

	if (*name == '\0' || strchr(first, *name) == NULL) {
		return 0;
	}
	return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv"
	                    "wxyz_0123456789");
}

/*
 * Adds the value of the variable whose ${ stands at `at`.  Returns how much of
 * the input that was, or 0 with a finding.
 */
static size_t add_variable(struct reader *reader, struct text *text,
                           const char *at, unsigned line)
{
	struct findings *findings = reader->findings;
	char name[MAX_VARIABLE + 1];
	const size_t size = variable_size(at + 2);

	if (size == 0 || size > MAX_VARIABLE || at[2 + size] != '}') {
		findings_add(findings, line, "after '${' comes the name of a "
		             "variable and '}'; write '$${' for a literal "
		             "'${'");
		return 0;
	}
	memcpy(name, at + 2, size);
	name[size] = '\0';

	const char *value = getenv(name);
	if (value == NULL) {
		findings_add(findings, line,
		             "variable '%s' is not set in the environment",
		             name);
		return 0;
	}
	reader->expanded += strlen(value);
	if (reader->expanded > CONF_MAX_BYTES ||
	    !text_add(text, value, strlen(value))) {
		findings_add(findings, line,
		             "too long with the value of variable '%s'", name);
		return 0;
	}
	return size + 3;
}

/* Fills node->text from `in`, which a NUL ends. */
static void interpolate(struct reader *reader, struct conf *node,
                        const char *in)
{
	struct text text = { 0 };
	size_t variables = 0;
	const char *at = in;

	while (*at != '\0' && !node->broken) {
		const size_t plain = strcspn(at, "$");
		size_t used = plain;

		if (plain > 0) {
			node->broken = !text_add(&text, at, plain);
		} else if (strncmp(at, "$${", 3) == 0) {
			node->broken = !text_add(&text, "${", 2);
			used = 3;
		} else if (strncmp(at, "${", 2) == 0) {
			used = add_variable(reader, &text, at, node->line);
			node->broken = used == 0;
			node->from_environment = at == in && at[used] == '\0';
			variables++;
		} else {
			node->broken = !text_add(&text, at, 1);
			used = 1;
		}
		at += used;
	}
	node->interpolated = variables > 0;
	node->from_environment = node->from_environment && !node->broken;
	node->text = text.bytes != NULL ? text.bytes : strdup("");
}

static struct conf *node_create(struct reader *reader, enum conf_type type,
                                unsigned line)
{
	if (++reader->nodes > CONF_MAX_NODES) {
		findings_add(reader->findings, line,
		             "more than %d values in one file", CONF_MAX_NODES);
		return NULL;
	}

	struct conf *node = calloc(1, sizeof(*node));
	if (node == NULL) {
		findings_add(reader->findings, line, "out of memory");
		return NULL;
	}
	node->type = type;
	node->line = line;
	return node;
}

static void refuse_extras(struct reader *reader, unsigned line,
                          const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor != NULL) {
		findings_add(reader->findings, line, "anchors (&%s) and "
		             "aliases are not understood here; write the value out",
		             (const char *)anchor);
	}
	if (tag != NULL) {
		findings_add(reader->findings, line,
		             "tags (%s) are not understood here; leave it out",
		             (const char *)tag);
	}
}

static struct conf *read_alias(struct reader *reader, const yaml_event_t *event)
{
	struct conf *node = node_create(reader, CONF_TEXT, line_of(event));

	if (node == NULL) {
		return NULL;
	}
	findings_add(reader->findings, node->line,
	             "aliases (*%s) are not understood here; write the value "
	             "out", (const char *)event->data.alias.anchor);
	node->broken = true;
	node->text = strdup("");
	return node;
}

static struct conf *read_text(struct reader *reader, const yaml_event_t *event)
{
	const char *value = (const char *)event->data.scalar.value;
	struct conf *node = node_create(reader, CONF_TEXT, line_of(event));

	if (node == NULL) {
		return NULL;
	}
	refuse_extras(reader, node->line, event->data.scalar.anchor,
	              event->data.scalar.tag);
	if (strlen(value) != event->data.scalar.length) {
		findings_add(reader->findings, node->line,
		             "a NUL character is not allowed here");
		node->broken = true;
	}
	interpolate(reader, node, value);
	return node;
}

static struct conf *read_node(struct reader *reader, yaml_event_t *event,
                              unsigned depth);

static bool may_grow(struct reader *reader, size_t members, unsigned line)
{
	if (members <= CONF_MAX_MEMBERS) {
		return true;
	}
	findings_add(reader->findings, line, "more than %d members",
	             CONF_MAX_MEMBERS);
	return false;
}

static struct conf *read_list(struct reader *reader, const yaml_event_t *start,
                              unsigned depth)
{
	struct conf *list = node_create(reader, CONF_LIST, line_of(start));

	if (list == NULL) {
		return NULL;
	}
	refuse_extras(reader, list->line, start->data.sequence_start.anchor,
	              start->data.sequence_start.tag);

	struct conf **end = &list->first;
	size_t members = 0;
	yaml_event_t event;

	while (next_event(reader, &event)) {
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			return list;
		}
		*end = read_node(reader, &event, depth + 1);
		if (*end == NULL || !may_grow(reader, ++members, list->line)) {
			break;
		}
		end = &(*end)->next;
	}
	conf_destroy(list);
	return NULL;
}

/*
 * Takes the event that starts a name.  *name is NULL where it is none that we
 * take; returns false where reading ends.
 */
static bool read_name(struct reader *reader, yaml_event_t *event, char **name)
{
	const unsigned line = line_of(event);

	*name = NULL;
	if (event->type != YAML_SCALAR_EVENT) {
		struct conf *node =
			read_node(reader, event, CONF_MAX_DEPTH - 1);

		if (node != NULL) {
			findings_add(reader->findings, line,
			             "the name of a member is a text");
		}
		conf_destroy(node);
		return node != NULL;
	}

	const char *text = (const char *)event->data.scalar.value;

	refuse_extras(reader, line, event->data.scalar.anchor,
	              event->data.scalar.tag);
	if (*text == '\0' || strlen(text) != event->data.scalar.length) {
		findings_add(reader->findings, line,
		             "a name is empty or holds a NUL character");
		yaml_event_delete(event);
		return true;
	}
	*name = strdup(text);
	yaml_event_delete(event);
	if (*name == NULL) {
		findings_add(reader->findings, line, "out of memory");
	}
	return *name != NULL;
}

/* Links the member; one whose name is no good is dropped, with its finding. */
static struct conf **add_member(struct reader *reader, struct conf *map,
                                struct conf **end, char *name,
                                struct conf *value)
{
	const struct conf *first =
		name != NULL ? conf_get(map, name) : NULL;

	if (first != NULL) {
		findings_add(reader->findings, value->line,
		             "'%s' stands here a second time; the first is in "
		             "line %u", name, first->line);
	}
	if (name == NULL || first != NULL) {
		free(name);
		conf_destroy(value);
		return end;
	}
	value->key = name;
	*end = value;
	return &value->next;
}

static struct conf *read_map(struct reader *reader, const yaml_event_t *start,
                             unsigned depth)
{
	struct conf *map = node_create(reader, CONF_MAP, line_of(start));

	if (map == NULL) {
		return NULL;
	}
	refuse_extras(reader, map->line, start->data.mapping_start.anchor,
	              start->data.mapping_start.tag);

	struct conf **end = &map->first;
	size_t members = 0;
	yaml_event_t event;

	while (next_event(reader, &event)) {
		char *name;

		if (event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			return map;
		}
		const unsigned line = line_of(&event);
		if (!read_name(reader, &event, &name)) {
			break;
		}
		struct conf *value = NULL;
		if (next_event(reader, &event)) {
			value = read_node(reader, &event, depth + 1);
		}
		if (value == NULL) {
			free(name);
			break;
		}
		/* What is said of a member is said where its name stands. */
		value->line = line;
		end = add_member(reader, map, end, name, value);
		if (!may_grow(reader, ++members, map->line)) {
			break;
		}
	}
	conf_destroy(map);
	return NULL;
}

/* Takes `event`, which starts a node; NULL where reading ends. */
static struct conf *read_node(struct reader *reader, yaml_event_t *event,
                              unsigned depth)
{
	struct conf *node = NULL;

	if (depth >= CONF_MAX_DEPTH && event->type != YAML_SCALAR_EVENT &&
	    event->type != YAML_ALIAS_EVENT) {
		findings_add(reader->findings, line_of(event),
		             "nested deeper than %d levels", CONF_MAX_DEPTH);
	} else if (event->type == YAML_ALIAS_EVENT) {
		node = read_alias(reader, event);
	} else if (event->type == YAML_SCALAR_EVENT) {
		node = read_text(reader, event);
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		node = read_list(reader, event, depth);
	} else {
		assert(event->type == YAML_MAPPING_START_EVENT);
		node = read_map(reader, event, depth);
	}
	yaml_event_delete(event);

	if (node != NULL && node->type == CONF_TEXT && node->text == NULL) {
		findings_add(reader->findings, node->line, "out of memory");
		conf_destroy(node);
		return NULL;
	}
	return node;
}

/* Skips to the next event that says something; false where reading ends. */
static bool next_document(struct reader *reader, yaml_event_t *event)
{
	while (next_event(reader, event)) {
		switch (event->type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			yaml_event_delete(event);
			break;
		default:
			return true;
		}
	}
	return false;
}

static struct conf *read_root(struct reader *reader)
{
	yaml_event_t event;
	struct conf *root = NULL;

	if (!next_document(reader, &event)) {
		return NULL;
	}
	if (event.type == YAML_DOCUMENT_START_EVENT) {
		yaml_event_delete(&event);
		if (!next_event(reader, &event)) {
			return NULL;
		}
		root = read_node(reader, &event, 0);
		if (root == NULL) {
			return NULL;
		}
		if (!next_document(reader, &event)) {
			conf_destroy(root);
			return NULL;
		}
	}
	if (event.type == YAML_DOCUMENT_START_EVENT) {
		findings_add(reader->findings, line_of(&event),
		             "a second document begins here; one file is one "
		             "document");
	}
	yaml_event_delete(&event);
	return root;
}

/* `silent`: it has been said already what is wrong. */
static struct conf *check_root(struct conf *root, bool silent,
                               struct findings *findings)
{
	if (!conf_is_empty(root) && root->type == CONF_MAP) {
		return root;
	}
	if (!silent && conf_is_empty(root)) {
		findings_add(findings, 0, "nothing is configured; the least is "
		             "sources: {NAME: {plugin: PLUGIN}} and "
		             "sinks: {NAME: {plugin: PLUGIN}}, each with the "
		             "options that 'bursar plugins PLUGIN' shows");
	} else if (!silent) {
		findings_add(findings, root->line, "a configuration is a map: "
		             "'sources:', 'sinks:' ... with their members");
	}
	conf_destroy(root);
	return NULL;
}

struct conf *conf_parse(const char *text, size_t size,
                        struct findings *findings)
{
	assert(text != NULL && findings != NULL);

	/* Some editors write a byte order mark; libyaml, which is told that it
	 * is UTF-8, would take it for the first letter of a name. */
	if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
		text += 3;
		size -= 3;
	}

	if (size > CONF_MAX_BYTES) {
		findings_add(findings, 0, "longer than %u bytes",
		             CONF_MAX_BYTES);
		return NULL;
	}

	struct reader reader = {
		.findings = findings, .text = text, .size = size,
	};
	const size_t before = findings->count + findings->left_out;

	if (!yaml_parser_initialize(&reader.parser)) {
		findings_add(findings, 0, "out of memory");
		return NULL;
	}
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser,
	                             (const unsigned char *)text, size);

	struct conf *root = read_root(&reader);

	yaml_parser_delete(&reader.parser);
	return check_root(root,
	                  findings->count + findings->left_out > before,
	                  findings);
}

/* Who can write it says what is run and where secrets go.  A group that is
 * ours, or root's, is not "others"; a pipe has no writers later. */
static void check_writers(int fd, struct findings *findings)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    ((st.st_mode & S_IWOTH) != 0 ||
	     ((st.st_mode & S_IWGRP) != 0 && st.st_gid != 0 &&
	      st.st_gid != getegid()))) {
		findings_add(findings, 0, "others can write it (mode %04o); "
		             "run: chmod go-w %s",
		             (unsigned)(st.st_mode & 07777), findings->file);
	}
}

struct conf *conf_load(const char *path, struct findings *findings)
{
	assert(path != NULL && findings != NULL);

	struct conf *root = NULL;

	findings->file = path;
	FILE *file = input_open(path);
	if (file == NULL) {
		findings_add(findings, 0, "%s%s", regular_why(errno),
		             errno == ENOENT ? "; another one is named by "
		             "-c FILE or BURSAR_CONFIG" : "");
		return NULL;
	}
	check_writers(fileno(file), findings);
	char *bytes = malloc(CONF_MAX_BYTES + 1);
	if (bytes == NULL) {
		findings_add(findings, 0, "out of memory");
		goto close_file;
	}
	const size_t size = fread(bytes, 1, CONF_MAX_BYTES + 1, file);
	if (ferror(file)) {
		findings_add(findings, 0, "%s", strerror(errno));
	} else {
		root = conf_parse(bytes, size, findings);
	}
	free(bytes);
close_file:
	fclose(file);
	return root;
}

void conf_destroy(struct conf *conf)
{
	while (conf != NULL) {
		struct conf *next = conf->next;

		conf_destroy(conf->first);
		if (conf->interpolated && conf->text != NULL) {
			sodium_memzero(conf->text, strlen(conf->text));
		}
		free(conf->text);
		free(conf->key);
		free(conf);
		conf = next;
	}
}

const struct conf *conf_get(const struct conf *map, const char *name)
{
	assert(name != NULL);

	if (map == NULL || map->type != CONF_MAP) {
		return NULL;
	}
	for (const struct conf *c = map->first; c != NULL; c = c->next) {
		if (strcmp(c->key, name) == 0) {
			return c;
		}
	}
	return NULL;
}

bool conf_is_empty(const struct conf *conf)
{
	return conf == NULL ||
	       (conf->type == CONF_TEXT && conf->text[0] == '\0' &&
	        !conf->broken) ||
	       (conf->type == CONF_MAP && conf->first == NULL);
}

void conf_digest(const void *bytes, size_t size, char digest[CONF_DIGEST_SIZE])
{
	static uint8_t key[crypto_generichash_KEYBYTES];
	static bool has_key;
	uint8_t hash[16];

	if (!has_key) {
		if (sodium_init() < 0) {
			abort();
		}
		randombytes_buf(key, sizeof(key));
		has_key = true;
	}
	crypto_generichash(hash, sizeof(hash), bytes, size, key, sizeof(key));
	sodium_bin2hex(digest, CONF_DIGEST_SIZE, hash, sizeof(hash));
}

static int by_key(const void *a, const void *b)
{
	const struct conf *const *left = a;
	const struct conf *const *right = b;

	return strcmp((*left)->key, (*right)->key);
}

/* The members in an order of their own; the caller frees it. */
static const struct conf **members_of(const struct conf *conf, size_t *count)
{
	*count = 0;
	for (const struct conf *c = conf->first; c != NULL; c = c->next) {
		++*count;
	}

	const struct conf **members = calloc(*count + 1, sizeof(*members));
	if (members == NULL) {
		return NULL;
	}

	size_t i = 0;
	for (const struct conf *c = conf->first; c != NULL; c = c->next) {
		members[i++] = c;
	}
	if (conf->type == CONF_MAP) {
		qsort(members, *count, sizeof(*members), by_key);
	}
	return members;
}

/* Quotes and backslashes are escaped, so that no text looks like structure. */
static void write_text(const char *text, FILE *out)
{
	putc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '\n') {
			fputs("\\n", out);
			continue;
		}
		if (*text == '"' || *text == '\\') {
			putc('\\', out);
		}
		putc(*text, out);
	}
	putc('"', out);
}

static bool write_canonical(const struct conf *conf, FILE *out)
{
	if (conf->type == CONF_TEXT && conf->interpolated) {
		char digest[CONF_DIGEST_SIZE];

		conf_digest(conf->text, strlen(conf->text), digest);
		fprintf(out, "$%s", digest);
		return true;
	}
	if (conf->type == CONF_TEXT) {
		write_text(conf->text, out);
		return true;
	}

	size_t count;
	bool done = true;
	const struct conf **members = members_of(conf, &count);

	if (members == NULL) {
		return false;
	}
	putc(conf->type == CONF_MAP ? '{' : '[', out);
	for (size_t i = 0; i < count && done; i++) {
		if (i > 0) {
			putc(',', out);
		}
		if (conf->type == CONF_MAP) {
			write_text(members[i]->key, out);
			putc(':', out);
		}
		done = write_canonical(members[i], out);
	}
	putc(conf->type == CONF_MAP ? '}' : ']', out);
	free(members);
	return done;
}

char *conf_canonical(const struct conf *conf)
{
	char *text = NULL;
	size_t size;

	assert(conf != NULL);

	FILE *out = open_memstream(&text, &size);
	if (out == NULL) {
		return NULL;
	}
	const bool done = write_canonical(conf, out) && !ferror(out);
	if (fclose(out) != 0 || !done) {
		free(text);
		return NULL;
	}
	return text;
}
