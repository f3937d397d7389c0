/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The plugin's surroundings: options checked against its table and a host as
 * the daemon makes them, with an ear at what it logs and counts.
 */
#include "config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bursar/crypto.h>
#include <bursar/format.h>
#include <bursar/service.h>
#include <bursar/sink.h>
#include <bursar/source.h>

#include "kit.h"

/* --- ports --------------------------------------------------------------- */

unsigned kit_listen(int *fd)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(address);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0 ||
	    bind(*fd, (const struct sockaddr *)&address, size) != 0 ||
	    listen(*fd, 64) != 0 ||
	    getsockname(*fd, (struct sockaddr *)&address, &size) != 0) {
		kit_broken("a socket that listens");
	}
	return ntohs(address.sin_port);
}

unsigned kit_free_port(void)
{
	int fd;
	const unsigned port = kit_listen(&fd);

	close(fd);
	return port;
}

/* --- options ------------------------------------------------------------- */

bool kit_has_given(const struct kit *kit, const char *name)
{
	for (size_t i = 0; i < kit->given_count; i++) {
		if (strcmp(kit->given[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

void kit_give(struct kit *kit, const char *name, const char *value)
{
	if (kit->given_count == KIT_OPTIONS) {
		fprintf(stderr, "too many options\n");
		exit(2);
	}
	kit->given[kit->given_count].name = name;
	kit->given[kit->given_count].value = value;
	kit->given_count++;
}

void kit_give_only(struct kit *kit, const char *name, const char *value)
{
	size_t kept = 0;

	for (size_t i = 0; i < kit->given_count; i++) {
		if (strcmp(kit->given[i].name, name) != 0) {
			kit->given[kept++] = kit->given[i];
		}
	}
	kit->given_count = kept;
	kit_give(kit, name, value);
}

char *kit_replace(const char *text, const struct kit_word words[2])
{
	char *out = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&out, &size);

	if (stream == NULL) {
		kit_broken("open_memstream");
	}
	while (*text != '\0') {
		const struct kit_word *word = words;

		while (word < words + 2 &&
		       strncmp(text, word->name, strlen(word->name)) != 0) {
			word++;
		}
		if (word < words + 2) {
			fputs(word->value, stream);
			text += strlen(word->name);
		} else {
			fputc(*text++, stream);
		}
	}
	fclose(stream);
	return out;
}

char *kit_expand(const struct kit *kit, const char *text)
{
	char port[16];
	const struct kit_word words[] = { { "@DIR@", kit->dir },
	                                  { "@FREE@", port } };

	snprintf(port, sizeof(port), "%u", kit->port);
	return kit_replace(text, words);
}

/* A value as YAML, in double quotes. */
static void print_quoted(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text != '\0'; text++) {
		const unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			fprintf(out, "\\%c", c);
		} else if (c < ' ' || c == 0x7f) {
			fprintf(out, "\\x%02x", c);
		} else {
			fputc(c, out);
		}
	}
	fputc('"', out);
}

static bool is_first(const struct kit *kit, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (strcmp(kit->given[k].name, kit->given[i].name) == 0) {
			return false;
		}
	}
	return true;
}

static void print_option(FILE *out, const struct kit *kit, size_t first)
{
	const char *name = kit->given[first].name;
	size_t count = 0;

	for (size_t i = first; i < kit->given_count; i++) {
		count += strcmp(kit->given[i].name, name) == 0;
	}
	fprintf(out, "%s: %s", name, count > 1 ? "[" : "");
	for (size_t i = first; i < kit->given_count; i++) {
		if (strcmp(kit->given[i].name, name) == 0) {
			char *value = kit_expand(kit, kit->given[i].value);

			fputs(i > first ? ", " : "", out);
			print_quoted(out, value);
			free(value);
		}
	}
	fputs(count > 1 ? "]\n" : "\n", out);
}

/* The section of the configuration that the options would stand in. */
static char *write_section(const struct kit *kit, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	if (out == NULL) {
		kit_broken("open_memstream");
	}
	fputs("plugin: x\n", out);
	for (size_t i = 0; i < kit->given_count; i++) {
		if (is_first(kit, i)) {
			print_option(out, kit, i);
		}
	}
	fclose(out);
	return text;
}

/* --- the ear ------------------------------------------------------------- */

/* What the core made of a host: functions that are the same for all. */
static struct bursar_host core;

static bool is_worded(const char *name, char joint)
{
	if (name == NULL || !islower((unsigned char)name[0])) {
		return false;
	}
	for (; *name != '\0'; name++) {
		if (!islower((unsigned char)*name) &&
		    !isdigit((unsigned char)*name) && *name != joint) {
			return false;
		}
	}
	return true;
}

__attribute__((format(printf, 4, 5)))
static void hear_log(const struct bursar_host *host, enum bursar_level level,
                     const char *event, const char *fmt, ...)
{
	char text[4096] = "";
	va_list ap;

	(void)host;
	if (level < BURSAR_ERROR || level > BURSAR_DEBUG ||
	    !is_worded(event, '-') || fmt == NULL) {
		kit_breach("log(): event '%s' of level %d, or no format",
		           event != NULL ? event : "(none)", (int)level);
	}
	if (fmt != NULL) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
	}
	if (secret_is_in(text, strlen(text))) {
		kit_breach("the log of event '%s' holds a secret", event);
	}
	fprintf(stderr, "log %s %s\n", event, text);
}

/* Whether the core asked the plugin for what it does now. */
static void expect_inside(const char *function)
{
	if (!relay_is_inside()) {
		kit_breach("%s is called from a thread of the plugin's own, "
		           "which may call log() and nothing else", function);
	}
}

static const char *hear_text(const struct bursar_host *host, const char *name)
{
	expect_inside("text()");
	return core.text(host, name);
}

static int64_t hear_number(const struct bursar_host *host, const char *name)
{
	expect_inside("number()");
	return core.number(host, name);
}

static size_t hear_list(const struct bursar_host *host, const char *name,
                        const char *const **items)
{
	expect_inside("list()");
	return core.list(host, name, items);
}

static struct bursar_span hear_secret(const struct bursar_host *host,
                                      const char *name)
{
	expect_inside("secret()");
	return core.secret(host, name);
}

/* Whether the plugin's description tells of it. */
static void expect_declared(const struct bursar_host *host, const char *name)
{
	const struct instance *instance =
		(const struct instance *)(const void *)host;
	const struct bursar_plugin_figure *figure = instance->plugin->figures;

	while (figure != NULL && figure->name != NULL) {
		if (strcmp(figure->name, name) == 0) {
			return;
		}
		figure++;
	}
	kit_breach("'%s' is none of the plugin's figures", name);
}

static void hear_count(const struct bursar_host *host, const char *name,
                       int64_t more)
{
	const size_t size = name != NULL ? strlen(name) : 0;

	expect_inside("count()");
	if (!is_worded(name, '_') || size < 6 ||
	    strcmp(name + size - 6, "_total") != 0 || more < 0) {
		kit_breach("count(): '%s' by %lld is no counter",
		           name != NULL ? name : "(none)", (long long)more);
	} else {
		expect_declared(host, name);
	}
	core.count(host, name, more);
}

static void hear_gauge(const struct bursar_host *host, const char *name,
                       int64_t value)
{
	expect_inside("gauge()");
	if (!is_worded(name, '_')) {
		kit_breach("gauge(): '%s' is no name of a figure",
		           name != NULL ? name : "(none)");
	} else {
		expect_declared(host, name);
	}
	core.gauge(host, name, value);
}

/* --- the stand ----------------------------------------------------------- */

bool stand_try(struct stand *stand, const struct kit *kit,
               enum instance_use use)
{
	/* What the core would take out of the section before. */
	static const struct bursar_option common[] = {
		{ "plugin", BURSAR_TYPE_TEXT, "", "The plugin." },
		{ NULL }
	};
	struct bursar_error err = { 0 };
	char state[PATH_MAX + 10];
	size_t size;

	memset(stand, 0, sizeof(*stand));
	char *text = write_section(kit, &size);
	stand->conf = conf_parse(text, size, &stand->findings);
	explicit_bzero(text, size);
	free(text);
	stand->item = (struct setup_item){
		.name = (char *)(uintptr_t)"conform", .plugin = kit->plugin,
		.options = options_create(stand->conf, common,
		                          kit->plugin->options, "the options",
		                          kit->dir, &stand->findings),
	};
	if (stand->findings.count > 0) {
		return false;
	}
	snprintf(state, sizeof(state), "%s/state", kit->dir);
	stand->instance = instance_create(&stand->item, state, use, &err);
	expect(stand->instance != NULL, "no instance: %s", err.text);
	struct bursar_host *host = &stand->instance->host;
	/* Before there is a second thread that could do so. */
	if (core.log == NULL) {
		core = *host;
	}
	host->log = hear_log;
	host->text = hear_text;
	host->number = hear_number;
	host->list = hear_list;
	host->secret = hear_secret;
	host->count = hear_count;
	host->gauge = hear_gauge;
	stand->host = host;
	return true;
}

void stand_init(struct stand *stand, const struct kit *kit,
                enum instance_use use)
{
	expect(stand_try(stand, kit, use), "the options are not accepted: %s",
	       stand->findings.items[0].text);
}

void stand_finish(struct stand *stand)
{
	instance_destroy(stand->instance);
	options_destroy(stand->item.options);
	conf_destroy(stand->conf);
	findings_finish(&stand->findings);
}

void *stand_open(struct stand *stand, enum bursar_verdict *verdict,
                 struct bursar_error *err)
{
	const struct bursar_plugin *plugin = stand->item.plugin;

	*verdict = BURSAR_DONE;
	switch (plugin->kind) {
	case BURSAR_SOURCE:
		return plugin->ops.source->open(stand->host, err);
	case BURSAR_CRYPTO:
		return plugin->ops.crypto->open(stand->host, err);
	case BURSAR_FORMAT:
		return plugin->ops.format->open(stand->host, err);
	case BURSAR_SINK:
		return plugin->ops.sink->open(stand->host, BURSAR_WRITE,
		                              verdict, err);
	case BURSAR_SERVICE:
		return plugin->ops.service->open(stand->host, &kit_house, err);
	case BURSAR_PLUGIN_KINDS:
		break;
	}
	return NULL;
}

void kit_close(const struct bursar_plugin *plugin, void *handle)
{
	switch (plugin->kind) {
	case BURSAR_SOURCE:
		plugin->ops.source->close(handle);
		break;
	case BURSAR_CRYPTO:
		plugin->ops.crypto->close(handle);
		break;
	case BURSAR_FORMAT:
		plugin->ops.format->close(handle);
		break;
	case BURSAR_SINK:
		plugin->ops.sink->close(handle);
		break;
	case BURSAR_SERVICE:
		plugin->ops.service->close(handle);
		break;
	case BURSAR_PLUGIN_KINDS:
		break;
	}
}

void stand_close(struct stand *stand, void *handle)
{
	kit_close(stand->item.plugin, handle);
}

void kit_expect_error(const struct bursar_error *err, const char *what)
{
	const size_t size = strnlen(err->text, sizeof(err->text));

	expect(err->code != 0, "%s: *err has no code", what);
	expect(size > 0 && size < sizeof(err->text),
	       "%s: *err has no text, or one without end", what);
	expect(!secret_is_in(err->text, size),
	       "%s: the text of *err holds a secret", what);
	for (size_t i = 0; i < size; i++) {
		expect((unsigned char)err->text[i] >= ' ' &&
		       err->text[i] != 0x7f,
		       "%s: the text of *err is not one line: \"%s\"", what,
		       err->text);
	}
}
