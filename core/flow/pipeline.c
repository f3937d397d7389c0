/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Puts units, keyrings, writers and intakes together and takes them apart.
 * Threads belong to intakes and writers; what is here happens before they
 * start, after they ended, or asks for their status.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "flow/pipeline.h"
#include "flow/teams.h"

struct pipeline {
	struct pipeline_options o;
	const struct setup *setup;
	struct retention    retention;
	struct letterbox    box;
	_Atomic int         decoding;	/* see writer.h */
	struct teams       *teams;	/* NULL: there is no book */
	uint32_t            required;	/* bits of required sinks */
	bool                running;

	/* One for each of the setup's, in its order; NULL: not there yet. */
	struct unit    **crypto;
	struct keyring  *keyrings;
	struct keyring  *seals[SCHEMA_KINDS][SETUP_MAX_SINKS];
	struct unit    **sinks;
	struct writer  **writers;
	struct unit    **formats;	/* one for each source: two sources */
	struct unit    **sources;	/* decode at the same time */
	struct intake  **intakes;
};

/* --- opening ------------------------------------------------------------- */

static int open_crypto(struct pipeline *p, size_t i, struct unit **pool,
                       struct bursar_error *err)
{
	const struct setup_item *item = &p->setup->crypto[i];
	const struct bursar_crypto_ops *ops = item->plugin->ops.crypto;

	p->crypto[i] = unit_take(pool, p->setup, item, err);
	if (p->crypto[i] == NULL) {
		return -1;
	}
	if (p->crypto[i]->handle == NULL) {
		p->crypto[i]->handle =
			ops->open(&p->crypto[i]->instance->host, err);
	}
	keyring_init(&p->keyrings[i], item->name, ops,
	             p->crypto[i]->handle);
	return p->crypto[i]->handle != NULL ? 0 : -1;
}

static int open_sink(struct pipeline *p, size_t i, struct unit **pool,
                     struct bursar_error *err)
{
	const struct setup_sink *sink = &p->setup->sinks[i];

	p->sinks[i] = unit_take(pool, p->setup, &sink->item, err);
	if (p->sinks[i] == NULL) {
		return -1;
	}
	const struct writer_options options = {
		.instance = p->sinks[i]->instance,
		.sink = p->sinks[i]->handle,
		.number = (unsigned)i,
		.required = sink->required,
		.batch_records = p->setup->batch_records,
		.linger_us = p->setup->linger_ms * 1000,
		.look_us = p->setup->look_ms * 1000,
		.box = &p->box,
		.decoding = &p->decoding,
		.changed = p->o.changed,
		.tags = p->setup->tag_names,
		.tag_count = p->setup->tag_name_count,
	};
	p->writers[i] = writer_create(&options, err);
	if (p->writers[i] == NULL) {
		return -1;
	}
	p->sinks[i]->handle = NULL;
	return 0;
}

static int open_format(struct pipeline *p, size_t i, struct unit **pool,
                       struct bursar_error *err)
{
	const struct setup_item *item = p->setup->sources[i].format;

	p->formats[i] = unit_take(pool, p->setup, item, err);
	if (p->formats[i] == NULL) {
		return -1;
	}
	if (p->formats[i]->handle == NULL) {
		p->formats[i]->handle = item->plugin->ops.format->open(
			&p->formats[i]->instance->host, err);
	}
	return p->formats[i]->handle != NULL ? 0 : -1;
}

static struct keyring *keyring_of(struct pipeline *p, size_t i)
{
	const struct setup_item *crypto = p->setup->sources[i].crypto;

	return crypto != NULL ? &p->keyrings[crypto - p->setup->crypto] : NULL;
}

static int open_source(struct pipeline *p, size_t i, struct unit **pool,
                       struct bursar_error *err)
{
	const struct setup_source *source = &p->setup->sources[i];

	p->sources[i] = unit_take(pool, p->setup, &source->item, err);
	if (p->sources[i] == NULL) {
		return -1;
	}
	const struct intake_options options = {
		.source = source,
		.instance = p->sources[i]->instance,
		.open = p->sources[i]->handle,
		.format = p->formats[i]->handle,
		.format_ops = source->format->plugin->ops.format,
		.keyring = keyring_of(p, i),
		.box = &p->box,
		.prices = p->setup->prices,
		.teams = p->teams,
		.routes = p->setup->routes,
		.required = p->required,
		.seals = (struct keyring *const (*)[SETUP_MAX_SINKS])p->seals,
		.writers = p->writers,
		.writer_count = p->setup->sink_count,
		.max_message = p->setup->max_message,
		.look_us = p->setup->look_ms * 1000,
		.once = p->o.once,
		.decoding = &p->decoding,
		.changed = p->o.changed,
	};
	p->intakes[i] = intake_create(&options, err);
	if (p->intakes[i] == NULL) {
		return -1;
	}
	p->sources[i]->handle = NULL;
	return 0;
}

/* The keyrings behind the setup's `seals`. */
static void set_seals(struct pipeline *p)
{
	for (size_t k = 0; k < SCHEMA_KINDS; k++) {
		for (size_t i = 0; i < p->setup->sink_count; i++) {
			const struct setup_item *seal = p->setup->seals[k][i];

			p->seals[k][i] = seal == NULL ? NULL
				: &p->keyrings[seal - p->setup->crypto];
		}
	}
}

typedef int open_fn(struct pipeline *p, size_t i, struct unit **pool,
                    struct bursar_error *err);

static int open_each(struct pipeline *p, size_t count, open_fn *open,
                     struct unit **pool, struct bursar_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (open(p, i, pool, err) != 0) {
			return -1;
		}
	}
	return 0;
}

static bool make_lists(struct pipeline *p)
{
	const struct setup *s = p->setup;

	/* One more each, so that an empty list is not NULL. */
	p->crypto = calloc(s->crypto_count + 1, sizeof(*p->crypto));
	p->keyrings = calloc(s->crypto_count + 1, sizeof(*p->keyrings));
	p->sinks = calloc(s->sink_count + 1, sizeof(*p->sinks));
	p->writers = calloc(s->sink_count + 1, sizeof(*p->writers));
	p->formats = calloc(s->source_count + 1, sizeof(*p->formats));
	p->sources = calloc(s->source_count + 1, sizeof(*p->sources));
	p->intakes = calloc(s->source_count + 1, sizeof(*p->intakes));
	return p->crypto != NULL && p->keyrings != NULL && p->sinks != NULL &&
	       p->writers != NULL && p->formats != NULL &&
	       p->sources != NULL && p->intakes != NULL;
}

static void free_lists(struct pipeline *p)
{
	free(p->crypto);
	free(p->keyrings);
	free(p->sinks);
	free(p->writers);
	free(p->formats);
	free(p->sources);
	free(p->intakes);
}

/* What follows from the setup alone; false: out of memory. */
static bool take_setup(struct pipeline *p, const struct setup *setup)
{
	p->setup = setup;
	p->retention = (struct retention){
		.default_days = setup->default_days,
		.phi_ttl_days = setup->phi_ttl_days,
		.session_only_ms = setup->session_only_ms,
	};
	p->box = (struct letterbox){ p->o.letters, &p->retention };
	for (size_t i = 0; i < setup->sink_count; i++) {
		p->required |= (uint32_t)setup->sinks[i].required << i;
	}
	return make_lists(p);
}

struct pipeline *pipeline_create(const struct setup *setup,
                                 const struct pipeline_options *options,
                                 struct unit **pool, struct bursar_error *err)
{
	units_close(pool, setup);
	struct pipeline *p = calloc(1, sizeof(*p));
	if (p == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	p->o = *options;
	if (!take_setup(p, setup)) {
		free_lists(p);
		free(p);
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	set_seals(p);
	struct bursar_error why = { 0 };
	p->teams = teams_create(setup, &why);
	if (why.code != 0) {
		bursar_fail(err, why.code, "%s", why.text);
		goto fail;
	}
	if (open_each(p, setup->crypto_count, open_crypto, pool, err) != 0 ||
	    open_each(p, setup->sink_count, open_sink, pool, err) != 0 ||
	    open_each(p, setup->source_count, open_format, pool, err) != 0 ||
	    open_each(p, setup->source_count, open_source, pool, err) != 0) {
		goto fail;
	}
	return p;

fail:
	pipeline_release(p, pool);
	return NULL;
}

/* --- running ------------------------------------------------------------- */

int pipeline_start(struct pipeline *p, struct bursar_error *err)
{
	p->running = true;
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		if (writer_start(p->writers[i], err) != 0) {
			return -1;
		}
	}
	for (size_t i = 0; i < p->setup->source_count; i++) {
		if (intake_start(p->intakes[i], err) != 0) {
			return -1;
		}
	}
	return 0;
}

bool pipeline_is_done(const struct pipeline *p)
{
	for (size_t i = 0; i < p->setup->source_count; i++) {
		if (!intake_is_done(p->intakes[i])) {
			return false;
		}
	}
	return true;
}

/* Waits until everything is settled, the time is up, or `hurry`. */
static bool wait_until_done(struct pipeline *p, int64_t timeout_ms, int hurry)
{
	const int64_t until = clock_mono_us() + timeout_ms * 1000;
	struct pollfd fds[] = {
		{ .fd = p->o.changed, .events = POLLIN },
		{ .fd = hurry, .events = POLLIN },
	};

	while (!pipeline_is_done(p)) {
		const int64_t left = until - clock_mono_us();
		uint64_t rings;

		if (left <= 0 ||
		    poll(fds, 2, (int)(left / 1000 + 1)) < 0 ||
		    fds[1].revents != 0) {
			return pipeline_is_done(p);
		}
		if (read(p->o.changed, &rings, sizeof(rings)) < 0) {
			continue;
		}
	}
	return true;
}

bool pipeline_stop(struct pipeline *p, int64_t timeout_ms, int hurry)
{
	if (!p->running) {
		return true;
	}
	for (size_t i = 0; i < p->setup->source_count; i++) {
		intake_drain(p->intakes[i]);
	}
	const bool done = wait_until_done(p, timeout_ms, hurry);
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		writer_stop(p->writers[i]);
	}
	for (size_t i = 0; i < p->setup->source_count; i++) {
		intake_stop(p->intakes[i]);
	}
	p->running = false;
	return done;
}

void pipeline_release(struct pipeline *p, struct unit **pool)
{
	if (p == NULL) {
		return;
	}
	pipeline_stop(p, 0, -1);
	for (size_t i = 0; i < p->setup->source_count; i++) {
		if (p->intakes[i] != NULL) {
			p->sources[i]->handle =
				intake_take_source(p->intakes[i]);
			intake_destroy(p->intakes[i]);
		}
		unit_put(pool, p->sources[i]);
		unit_put(pool, p->formats[i]);
	}
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		if (p->writers[i] != NULL) {
			p->sinks[i]->handle = writer_take_sink(p->writers[i]);
			writer_destroy(p->writers[i]);
		}
		unit_put(pool, p->sinks[i]);
	}
	for (size_t i = 0; i < p->setup->crypto_count; i++) {
		if (p->crypto[i] != NULL) {
			keyring_finish(&p->keyrings[i]);
			unit_put(pool, p->crypto[i]);
		}
	}
	teams_destroy(p->teams);
	free_lists(p);
	free(p);
}

static bool list_uses(struct unit *const *units, size_t count,
                      const struct setup *setup)
{
	for (size_t i = 0; i < count; i++) {
		if (units[i]->owner == setup) {
			return true;
		}
	}
	return false;
}

bool pipeline_uses(const struct pipeline *p, const struct setup *setup)
{
	return p->setup == setup ||
	       list_uses(p->crypto, p->setup->crypto_count, setup) ||
	       list_uses(p->sinks, p->setup->sink_count, setup) ||
	       list_uses(p->formats, p->setup->source_count, setup) ||
	       list_uses(p->sources, p->setup->source_count, setup);
}

/* --- status -------------------------------------------------------------- */

/* Whether a source is in that state and says why. */
static bool has_source(const struct pipeline *p, enum intake_state state,
                       char why[400])
{
	for (size_t i = 0; i < p->setup->source_count; i++) {
		struct intake_status status;

		intake_get_status(p->intakes[i], &status);
		if (status.state == state && status.why[0] != '\0') {
			snprintf(why, 400, "source '%s': %s",
			         p->setup->sources[i].item.name, status.why);
			return true;
		}
	}
	return false;
}

bool pipeline_has_left(const struct pipeline *p, char why[400])
{
	return has_source(p, INTAKE_ENDED, why);
}

bool pipeline_is_blocked(const struct pipeline *p, char why[400])
{
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		struct writer_status status;

		writer_get_status(p->writers[i], &status);
		if (p->setup->sinks[i].required &&
		    status.state == WRITER_BLOCKED) {
			snprintf(why, 400, "sink '%s': %s",
			         p->setup->sinks[i].item.name, status.why);
			return true;
		}
	}
	return has_source(p, INTAKE_BLOCKED, why);
}

bool pipeline_is_ready(const struct pipeline *p)
{
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		struct writer_status status;

		writer_get_status(p->writers[i], &status);
		if (p->setup->sinks[i].required &&
		    status.state != WRITER_OPEN) {
			return false;
		}
	}
	return true;
}

const struct setup *pipeline_setup(const struct pipeline *p)
{
	return p->setup;
}

size_t pipeline_letter_bytes(const struct pipeline *p)
{
	return deadletters_bytes(p->o.letters);
}

void pipeline_get_source(const struct pipeline *p, size_t i,
                         struct intake_status *status)
{
	intake_get_status(p->intakes[i], status);
}

void pipeline_get_sink(const struct pipeline *p, size_t i,
                       struct writer_status *status)
{
	writer_get_status(p->writers[i], status);
}

bool pipeline_get_route(const struct pipeline *p, size_t kind,
                        enum writer_state *state, char why[300])
{
	static const int badness[] = {
		[WRITER_OPEN] = 0, [WRITER_OPENING] = 1, [WRITER_HELD] = 2,
		[WRITER_BLOCKED] = 3,
	};
	const uint32_t needed = p->setup->routes[kind] & p->required;

	*state = WRITER_OPEN;
	why[0] = '\0';
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		struct writer_status s;

		if ((needed >> i & 1) == 0) {
			continue;
		}
		writer_get_status(p->writers[i], &s);
		if (badness[s.state] > badness[*state]) {
			*state = s.state;
			snprintf(why, 300, "sink '%s': %s",
			         p->setup->sinks[i].item.name, s.why);
		}
	}
	return needed != 0;
}

/* Milliseconds since then; 0 for never. */
static json_int_t age_ms(int64_t then)
{
	return then == 0 ? 0 : (json_int_t)((clock_mono_us() - then) / 1000);
}

/* What somebody else said need not be UTF-8, or was cut within a character. */
static json_t *text_json(const char *text)
{
	json_t *json = json_string(text);

	if (json == NULL) {
		char *visible = text_visible(text, strlen(text));

		json = json_string(visible);
		free(visible);
	}
	return json;
}

static json_t *source_state(const struct pipeline *p, size_t i)
{
	const struct setup_source *source = &p->setup->sources[i];
	struct intake_status s;

	intake_get_status(p->intakes[i], &s);
	return json_pack(
		"{ss ss ss so sI sI sI sI sI sI sI sI sI sI sI}",
		"name", source->item.name,
		"plugin", source->item.plugin->name,
		"state", intake_state_names[s.state], "why", text_json(s.why),
		"since_ms", age_ms(s.since),
		"in_flight_messages", (json_int_t)s.messages,
		"in_flight_bytes", (json_int_t)s.bytes,
		"oldest_unsettled_ms", age_ms(s.oldest),
		"read", (json_int_t)s.read, "stored", (json_int_t)s.stored,
		"duplicates", (json_int_t)s.duplicates,
		"conflicts", (json_int_t)s.conflicts,
		"refused", (json_int_t)s.refused,
		"returned", (json_int_t)s.returned,
		"discarded", (json_int_t)s.discarded);
}

static json_t *sink_state(const struct pipeline *p, size_t i)
{
	const struct setup_sink *sink = &p->setup->sinks[i];
	struct writer_status s;

	writer_get_status(p->writers[i], &s);
	return json_pack(
		"{ss ss sb ss so sI sI sI sI sI sI sI sI sI}",
		"name", sink->item.name, "plugin", sink->item.plugin->name,
		"required", (int)sink->required,
		"state", writer_state_names[s.state], "why", text_json(s.why),
		"since_ms", age_ms(s.since),
		"queued_records", (json_int_t)s.queued,
		"stored", (json_int_t)s.stored,
		"duplicates", (json_int_t)s.duplicates,
		"conflicts", (json_int_t)s.conflicts,
		"refused", (json_int_t)s.refused,
		"dropped", (json_int_t)s.dropped,
		"transactions", (json_int_t)s.transactions,
		"write_ms", (json_int_t)(s.write_us / 1000));
}

static json_t *route_state(const struct pipeline *p, size_t kind)
{
	enum writer_state state;
	char why[300];

	if (!pipeline_get_route(p, kind, &state, why)) {
		return NULL;
	}
	json_t *sinks = json_array();
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		if (p->setup->routes[kind] >> i & 1) {
			json_array_append_new(sinks, json_string(
				p->setup->sinks[i].item.name));
		}
	}
	return json_pack("{ss so ss so}", "name", schema.kinds[kind].name,
	                 "sinks", sinks, "state", writer_state_names[state],
	                 "why", text_json(why));
}

static json_t *routes_state(const struct pipeline *p)
{
	json_t *routes = json_array();

	for (size_t kind = 0; kind < schema.kind_count; kind++) {
		json_t *route = route_state(p, kind);

		if (route != NULL) {
			json_array_append_new(routes, route);
		}
	}
	return routes;
}

static void add_thread(json_t *threads, const char *kind, const char *name,
                       int64_t busy_since)
{
	char full[100];

	snprintf(full, sizeof(full), "%s %s", kind, name);
	json_array_append_new(threads, json_pack(
		"{ss sI}", "name", full, "busy_ms", age_ms(busy_since)));
}

static json_t *threads_state(const struct pipeline *p)
{
	json_t *threads = json_array();

	for (size_t i = 0; i < p->setup->source_count; i++) {
		struct intake_status s;

		intake_get_status(p->intakes[i], &s);
		add_thread(threads, "source", p->setup->sources[i].item.name,
		           s.busy_since);
	}
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		struct writer_status s;

		writer_get_status(p->writers[i], &s);
		add_thread(threads, "sink", p->setup->sinks[i].item.name,
		           s.busy_since);
	}
	return threads;
}

json_t *pipeline_state(const struct pipeline *p)
{
	json_t *sources = json_array();
	json_t *sinks = json_array();

	for (size_t i = 0; i < p->setup->source_count; i++) {
		json_array_append_new(sources, source_state(p, i));
	}
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		json_array_append_new(sinks, sink_state(p, i));
	}
	return json_pack("{sb so sI so so so so}",
	                 "ready", (int)pipeline_is_ready(p),
	                 "config", text_json(p->setup->file),
	                 "dead_letter_bytes",
	                 (json_int_t)pipeline_letter_bytes(p),
	                 "routes", routes_state(p), "sources", sources,
	                 "sinks", sinks, "threads", threads_state(p));
}

void pipeline_log_state(const struct pipeline *p)
{
	for (size_t i = 0; i < p->setup->source_count; i++) {
		struct intake_status s;

		intake_get_status(p->intakes[i], &s);
		log_event(BURSAR_INFO, p->setup->sources[i].item.name,
		          "source-state",
		          "state=%s in_flight=%zu bytes=%zu oldest_ms=%lld"
		          " read=%lld stored=%lld duplicates=%lld"
		          " conflicts=%lld refused=%lld why=%s",
		          intake_state_names[s.state], s.messages, s.bytes,
		          (long long)age_ms(s.oldest), (long long)s.read,
		          (long long)s.stored, (long long)s.duplicates,
		          (long long)s.conflicts, (long long)s.refused, s.why);
	}
	for (size_t i = 0; i < p->setup->sink_count; i++) {
		struct writer_status s;

		writer_get_status(p->writers[i], &s);
		log_event(BURSAR_INFO, p->setup->sinks[i].item.name,
		          "sink-state",
		          "state=%s queued=%zu stored=%lld duplicates=%lld"
		          " conflicts=%lld refused=%lld transactions=%lld"
		          " why=%s", writer_state_names[s.state], s.queued,
		          (long long)s.stored, (long long)s.duplicates,
		          (long long)s.conflicts, (long long)s.refused,
		          (long long)s.transactions, s.why);
	}
}
