/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The host as a plugin sees it: each of its functions finds the instance
 * behind the host, which is its first member.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "flow/identity.h"
#include "plugin/instance.h"
#include "plugin/module.h"

#define MAX_FIGURES 32		/* names that one instance may count under */

struct instance_private {
	char *state_dir;
	enum instance_use use;

	/* Figures that were used before; names[i] is set before known. */
	pthread_mutex_t lock;
	struct metric  *figures[MAX_FIGURES];
	char           *names[MAX_FIGURES];
	bool            is_gauge[MAX_FIGURES];
	size_t          known;
	bool            full;	/* it was said that there are too many */
};

static const struct instance *instance_of(const struct bursar_host *host)
{
	return (const struct instance *)(const void *)host;
}

/* --- the functions of the host ------------------------------------------- */

__attribute__((format(printf, 4, 5)))
static void host_log(const struct bursar_host *host, enum bursar_level level,
                     const char *event, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_event_v(level, host->name,
	            module_kind_names[instance_of(host)->kind], event, fmt, ap);
	va_end(ap);
}

static const char *host_text(const struct bursar_host *host, const char *name)
{
	return options_text(instance_of(host)->options, name);
}

static int64_t host_number(const struct bursar_host *host, const char *name)
{
	return options_number(instance_of(host)->options, name);
}

static size_t host_list(const struct bursar_host *host, const char *name,
                        const char *const **items)
{
	return options_list(instance_of(host)->options, name, items);
}

static struct bursar_span host_secret(const struct bursar_host *host,
                                      const char *name)
{
	return options_secret(instance_of(host)->options, name);
}

static int64_t host_now(const struct bursar_host *host)
{
	(void)host;
	return clock_wall_us();
}

static const char *help_of(const struct bursar_plugin *plugin, const char *name)
{
	const struct bursar_plugin_figure *figure = plugin->figures;

	for (; figure != NULL && figure->name != NULL; figure++) {
		if (strcmp(figure->name, name) == 0) {
			return figure->help;
		}
	}
	return "As the plugin counts it.";
}

/* The figure `bursar_plugin_NAME` of this instance. */
static struct metric *figure_create(const struct instance *instance,
                                    const char *name, bool counter)
{
	char full[128];

	snprintf(full, sizeof(full), "bursar_plugin_%s", name);
	return metrics_get(full, help_of(instance->plugin, name), counter,
	                   module_kind_names[instance->kind],
	                   instance->host.name, "plugin",
	                   instance->plugin->name, NULL);
}

/* NULL: too many names. */
static struct metric *figure(const struct instance *instance, const char *name,
                             bool counter)
{
	struct instance_private *p = instance->private;

	for (size_t i = 0; i < p->known; i++) {
		if (strcmp(p->names[i], name) == 0) {
			return p->figures[i];
		}
	}
	char *copy = p->known < MAX_FIGURES ? strdup(name) : NULL;
	if (copy == NULL) {
		if (!p->full) {
			log_event(BURSAR_WARNING, instance->host.name,
			          "too-many-figures", "kind=%s limit=%d",
			          module_kind_names[instance->kind],
			          MAX_FIGURES);
			p->full = true;
		}
		return NULL;
	}
	p->names[p->known] = copy;
	p->is_gauge[p->known] = !counter;
	p->figures[p->known] = figure_create(instance, name, counter);
	return p->figures[p->known++];
}

static void host_count(const struct bursar_host *host, const char *name,
                       int64_t more)
{
	const struct instance *instance = instance_of(host);

	pthread_mutex_lock(&instance->private->lock);
	struct metric *metric = figure(instance, name, true);
	if (metric != NULL) {
		metric_add(metric, more);
	}
	pthread_mutex_unlock(&instance->private->lock);
}

static void host_gauge(const struct bursar_host *host, const char *name,
                       int64_t value)
{
	const struct instance *instance = instance_of(host);

	pthread_mutex_lock(&instance->private->lock);
	struct metric *metric = figure(instance, name, false);
	if (metric != NULL) {
		metric_set(metric, value);
	}
	pthread_mutex_unlock(&instance->private->lock);
}

/* --- life ---------------------------------------------------------------- */

/* Only our own folder will do: what stands in it is believed. */
static int make_state_dir(const char *path, struct bursar_error *err)
{
	struct stat st;

	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		return bursar_fail(err, errno, "%s: %s", path, strerror(errno));
	}
	if (lstat(path, &st) != 0) {
		return bursar_fail(err, errno, "%s: %s", path, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode)) {
		return bursar_fail(err, ENOTDIR, "%s: not a folder", path);
	}
	if (st.st_uid != geteuid()) {
		return bursar_fail(err, EPERM, "%s: belongs to user %u, this "
		                   "runs as user %u: run it as that one, or "
		                   "chown the folder", path,
		                   (unsigned)st.st_uid, (unsigned)geteuid());
	}
	if ((st.st_mode & 022) != 0) {
		return bursar_fail(err, EPERM, "%s: others can write it; "
		                   "chmod go-w it", path);
	}
	return 0;
}

static int prepare_state_dir(struct instance *instance, const char *state_dir,
                             struct bursar_error *err)
{
	if (strchr(instance->host.name, '/') != NULL) {
		return bursar_fail(err, EINVAL, "'%s': a name has no '/'",
		                   instance->host.name);
	}
	if (asprintf(&instance->private->state_dir, "%s/%s-%s", state_dir,
	             module_kind_names[instance->kind],
	             instance->host.name) < 0) {
		instance->private->state_dir = NULL;
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	instance->host.state_dir = instance->private->state_dir;
	return make_state_dir(instance->private->state_dir, err);
}

struct instance *instance_create(const struct setup_item *item,
                                 const char *state_dir,
                                 enum instance_use use,
                                 struct bursar_error *err)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	struct instance_private *private = calloc(1, sizeof(*private));

	assert(item->plugin != NULL && item->name != NULL);

	if (instance == NULL || private == NULL) {
		free(instance);
		free(private);
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&private->lock, NULL);
	private->use = use;
	*instance = (struct instance){
		.host = {
			.name = item->name, .schema = &schema,
			.log = host_log, .text = host_text,
			.number = host_number, .list = host_list,
			.secret = host_secret, .now = host_now,
			.count = host_count, .gauge = host_gauge,
			.key = identity_key,
		},
		.plugin = item->plugin,
		.options = item->options,
		.kind = item->plugin->kind,
		.private = private,
	};
	if (use == INSTANCE_RUN &&
	    prepare_state_dir(instance, state_dir, err) != 0) {
		instance_destroy(instance);
		return NULL;
	}
	return instance;
}

void instance_destroy(struct instance *instance)
{
	if (instance == NULL) {
		return;
	}
	struct instance_private *private = instance->private;
	for (size_t i = 0; i < private->known; i++) {
		/* What was counted stays so; what was is no more. */
		if (private->is_gauge[i] && private->use == INSTANCE_RUN) {
			metric_hide(private->figures[i]);
		}
		free(private->names[i]);
	}
	pthread_mutex_destroy(&private->lock);
	free(private->state_dir);
	free(private);
	free(instance);
}
