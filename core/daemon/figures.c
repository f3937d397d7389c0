/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What sources and sinks are doing is looked at once, so that all figures of
 * one walk are of the same moment.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/figures.h"
#include "plugin/module.h"

struct view {
	const struct setup   *setup;
	struct intake_status *sources;
	struct writer_status *sinks;
	int64_t               now;
	bursar_figure_fn     *each;
	void                 *context;
};

static void tell(const struct view *v, const struct bursar_figure *figure)
{
	v->each(v->context, figure);
}

/* --- sources ------------------------------------------------------------- */

typedef int64_t source_value(const struct view *v,
                             const struct intake_status *s);

static int64_t messages(const struct view *v, const struct intake_status *s)
{
	(void)v;
	return (int64_t)s->messages;
}

static int64_t bytes(const struct view *v, const struct intake_status *s)
{
	(void)v;
	return (int64_t)s->bytes;
}

static int64_t oldest(const struct view *v, const struct intake_status *s)
{
	return s->oldest != 0 ? v->now - s->oldest : 0;
}

static void tell_sources(const struct view *v, const char *name,
                         const char *help, unsigned decimals,
                         source_value *value)
{
	for (size_t i = 0; i < v->setup->source_count; i++) {
		tell(v, &(struct bursar_figure){
			.name = name, .help = help, .decimals = decimals,
			.labels = {
				{ "source", v->setup->sources[i].item.name },
			},
			.value = value(v, &v->sources[i]),
		});
	}
}

/* --- states -------------------------------------------------------------- */

/* 1 for the state that is, 0 for every other. */
static void tell_states(const struct view *v, const char *name,
                        const char *help, const char *label,
                        const char *item, const char *const *states,
                        size_t count, const char *state)
{
	for (size_t i = 0; i < count; i++) {
		tell(v, &(struct bursar_figure){
			.name = name, .help = help,
			.labels = { { label, item }, { "state", states[i] } },
			.value = strcmp(states[i], state) == 0,
		});
	}
}

static void tell_source_states(const struct view *v)
{
	for (size_t i = 0; i < v->setup->source_count; i++) {
		tell_states(v, "bursar_source_state",
		            "Whether a source is in that state.", "source",
		            v->setup->sources[i].item.name,
		            intake_state_names, INTAKE_ENDED + 1,
		            intake_state_names[v->sources[i].state]);
	}
}

static void tell_sink_states(const struct view *v)
{
	for (size_t i = 0; i < v->setup->sink_count; i++) {
		tell_states(v, "bursar_sink_state",
		            "Whether a sink is in that state.", "sink",
		            v->setup->sinks[i].item.name, writer_state_names,
		            WRITER_BLOCKED + 1,
		            writer_state_names[v->sinks[i].state]);
	}
}

static void tell_route_states(const struct view *v,
                              const struct pipeline *pipeline)
{
	for (size_t kind = 0; kind < schema.kind_count; kind++) {
		enum writer_state state;
		char why[300];

		if (pipeline_get_route(pipeline, kind, &state, why)) {
			tell_states(v, "bursar_route_state",
			            "Whether the sinks that a kind must have "
			            "are in that state.", "kind",
			            schema.kinds[kind].name,
			            writer_state_names, WRITER_BLOCKED + 1,
			            writer_state_names[state]);
		}
	}
}

static void tell_service_states(const struct view *v,
                                struct services *services)
{
	const char *name, *state;

	for (size_t i = 0; services_get(services, i, &name, &state); i++) {
		tell_states(v, "bursar_service_state",
		            "Whether a service is in that state.", "service",
		            name, service_state_names, SERVICE_STATES, state);
	}
}

/* --- threads ------------------------------------------------------------- */

static void tell_thread(const struct view *v, const char *kind,
                        const char *name, int64_t busy_since)
{
	char full[100];

	snprintf(full, sizeof(full), "%s%s%s", kind, name[0] ? " " : "", name);
	tell(v, &(struct bursar_figure){
		.name = "bursar_thread_busy_seconds",
		.help = "Time that a thread has been at one thing.",
		.decimals = 6, .labels = { { "thread", full } },
		.value = busy_since != 0 ? v->now - busy_since : 0,
	});
}

static void tell_threads(const struct view *v, int64_t busy_since)
{
	tell_thread(v, "main", "", busy_since);
	for (size_t i = 0; i < v->setup->source_count; i++) {
		tell_thread(v, "source", v->setup->sources[i].item.name,
		            v->sources[i].busy_since);
	}
	for (size_t i = 0; i < v->setup->sink_count; i++) {
		tell_thread(v, "sink", v->setup->sinks[i].item.name,
		            v->sinks[i].busy_since);
	}
}

/* --- secrets ------------------------------------------------------------- */

static void tell_secrets(const struct view *v, const struct setup_item *item)
{
	const char *name;
	int64_t modified;

	for (size_t i = 0; options_secret_file(item->options, i, &name,
	                                       &modified); i++) {
		tell(v, &(struct bursar_figure){
			.name = "bursar_secret_modified_timestamp_seconds",
			.help = "When the file of a secret in use was "
			        "changed, in seconds since 1970.",
			.decimals = 6,
			.labels = {
				{ module_kind_names[item->plugin->kind],
				  item->name },
				{ "option", name },
			},
			.value = modified,
		});
	}
}

static void tell_all_secrets(const struct view *v)
{
	const struct setup *s = v->setup;

	for (size_t i = 0; i < s->source_count; i++) {
		tell_secrets(v, &s->sources[i].item);
	}
	for (size_t i = 0; i < s->crypto_count; i++) {
		tell_secrets(v, &s->crypto[i]);
	}
	for (size_t i = 0; i < s->sink_count; i++) {
		tell_secrets(v, &s->sinks[i].item);
	}
	for (size_t i = 0; i < s->service_count; i++) {
		tell_secrets(v, &s->services[i]);
	}
}

/* --- all of it ----------------------------------------------------------- */

static void tell_one(const struct view *v, const char *name, const char *help,
                     int64_t value)
{
	tell(v, &(struct bursar_figure){
		.name = name, .help = help, .value = value,
	});
}

static void tell_queues(const struct view *v)
{
	for (size_t i = 0; i < v->setup->sink_count; i++) {
		tell(v, &(struct bursar_figure){
			.name = "bursar_queue_records",
			.help = "Records that wait for a sink, those of the "
			        "batch at hand included.",
			.labels = {
				{ "sink", v->setup->sinks[i].item.name },
			},
			.value = (int64_t)v->sinks[i].queued,
		});
	}
}

static void tell_all(const struct view *v, const struct pipeline *pipeline,
                     struct services *services, int64_t busy_since)
{
	tell_one(v, "bursar_ready", "Whether every required sink takes "
	         "records.", pipeline_is_ready(pipeline));
	tell_sources(v, "bursar_in_flight_messages",
	             "Messages read and not settled.", 0, messages);
	tell_sources(v, "bursar_in_flight_bytes",
	             "Memory of what is read and not done with.", 0, bytes);
	tell_sources(v, "bursar_oldest_unsettled_seconds",
	             "Age of the oldest message that is not settled; 0 where "
	             "there is none.", 6, oldest);
	tell_queues(v);
	tell_route_states(v, pipeline);
	tell_source_states(v);
	tell_sink_states(v);
	tell_service_states(v, services);
	tell_one(v, "bursar_dead_letters_bytes",
	         "Bytes of the dead letters in the state folder.",
	         (int64_t)pipeline_letter_bytes(pipeline));
	tell_one(v, "bursar_dead_letters_limit_bytes",
	         "Bytes of dead letters at which sources are paused.",
	         (int64_t)v->setup->dead_letter_bytes);
	tell_all_secrets(v);
	tell_threads(v, busy_since);
}

void figures_each(const struct pipeline *pipeline, struct services *services,
                  int64_t busy_since, bursar_figure_fn *each, void *context)
{
	const struct setup *setup = pipeline_setup(pipeline);
	struct view v = {
		.setup = setup, .each = each, .context = context,
		.sources = calloc(setup->source_count + 1, sizeof(*v.sources)),
		.sinks = calloc(setup->sink_count + 1, sizeof(*v.sinks)),
	};

	if (v.sources != NULL && v.sinks != NULL) {
		for (size_t i = 0; i < setup->source_count; i++) {
			pipeline_get_source(pipeline, i, &v.sources[i]);
		}
		for (size_t i = 0; i < setup->sink_count; i++) {
			pipeline_get_sink(pipeline, i, &v.sinks[i]);
		}
		v.now = clock_mono_us();
		tell_all(&v, pipeline, services, busy_since);
	}
	free(v.sources);
	free(v.sinks);
}
