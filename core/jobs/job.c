/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The jobs that there are, and for whom.
 */
#include "config.h"

#include "jobs/job.h"

const char *const job_result_names[JOB_RESULTS] = {
	[JOB_OK] = "ok", [JOB_WAITS] = "waits", [JOB_STOPPED] = "stopped",
	[JOB_LOST] = "lost", [JOB_FAILED] = "failed",
};

static int64_t purge_ms(const struct setup *setup)
{
	return setup->purge_ms;
}

static int64_t facts_ms(const struct setup *setup)
{
	return setup->facts_ms;
}

static int64_t reconcile_ms(const struct setup *setup)
{
	return setup->reconcile_ms;
}

static int64_t rollup_ms(const struct setup *setup)
{
	return setup->rollup_ms;
}

/* Of every sink: what is routed elsewhere today may have been stored here. */
static bool has_bodies(const struct setup *setup, size_t sink)
{
	return setup->sinks[sink].item.plugin->ops.sink->purge != NULL;
}

static bool has_old_facts(const struct setup *setup, size_t sink)
{
	return has_bodies(setup, sink) &&
	       (setup->facts_days > 0 || setup->dedup_days > 0);
}

static bool takes(const struct setup *setup, size_t sink, const char *name)
{
	const struct bursar_kind *kind =
		bursar_kind_find(&schema, name, strlen(name));

	return (setup->routes[kind->number] & UINT32_C(1) << sink) != 0;
}

static bool has_tools(const struct setup *setup, size_t sink)
{
	return takes(setup, sink, "prompt") && takes(setup, sink, "tool");
}

static bool has_facts(const struct setup *setup, size_t sink)
{
	return takes(setup, sink, "metering");
}

const struct job jobs_all[] = {
	{ "purge", "takes prompts and tool calls that have expired", purge_ms,
	  has_bodies, job_purge },
	{ "facts", "takes facts and keys that are old", facts_ms,
	  has_old_facts, job_facts },
	{ "reconcile", "ties tool calls to their prompts", reconcile_ms,
	  has_tools, job_reconcile },
	{ "rollup", "sums up the days that are over", rollup_ms, has_facts,
	  job_rollup },
	{ .name = NULL }
};

const struct job *jobs_find(const char *name, const char **nearest)
{
	const char *names[sizeof(jobs_all) / sizeof(jobs_all[0])] = { NULL };

	for (size_t i = 0; jobs_all[i].name != NULL; i++) {
		if (strcmp(jobs_all[i].name, name) == 0) {
			return &jobs_all[i];
		}
		names[i] = jobs_all[i].name;
	}
	if (nearest != NULL) {
		*nearest = options_nearest(name, names);
	}
	return NULL;
}

bool jobs_is_on(const struct job *job, const struct setup *setup, size_t sink)
{
	return setup->sinks[sink].item.plugin->ops.sink->sql != NULL &&
	       job->interval_ms(setup) > 0 && job->applies(setup, sink);
}
