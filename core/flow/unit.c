/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bursar/crypto.h>
#include <bursar/format.h>
#include <bursar/service.h>
#include <bursar/sink.h>
#include <bursar/source.h>

#include "flow/unit.h"

/* Whether two sections of configurations mean the same. */
static bool are_same(const struct setup_item *a, const struct setup_item *b)
{
	return a->plugin == b->plugin && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->text, b->text) == 0;
}

struct unit *unit_take(struct unit **pool, const struct setup *owner,
                       const struct setup_item *item, struct bursar_error *err)
{
	for (struct unit **at = pool; *at != NULL; at = &(*at)->next) {
		if (are_same((*at)->item, item)) {
			struct unit *unit = *at;

			*at = unit->next;
			unit->next = NULL;
			return unit;
		}
	}

	struct unit *unit = calloc(1, sizeof(*unit));
	if (unit == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	unit->owner = owner;
	unit->item = item;
	unit->instance = instance_create(item, owner->state_dir, INSTANCE_RUN,
	                                 err);
	if (unit->instance == NULL) {
		free(unit);
		return NULL;
	}
	return unit;
}

void unit_put(struct unit **pool, struct unit *unit)
{
	if (unit != NULL) {
		unit->next = *pool;
		*pool = unit;
	}
}

static void close_handle(struct unit *unit)
{
	const struct bursar_plugin *plugin = unit->item->plugin;

	switch (plugin->kind) {
	case BURSAR_SOURCE:
		plugin->ops.source->close(unit->handle);
		break;
	case BURSAR_CRYPTO:
		plugin->ops.crypto->close(unit->handle);
		break;
	case BURSAR_FORMAT:
		plugin->ops.format->close(unit->handle);
		break;
	case BURSAR_SINK:
		plugin->ops.sink->close(unit->handle);
		break;
	case BURSAR_SERVICE:
		plugin->ops.service->close(unit->handle);
		break;
	case BURSAR_PLUGIN_KINDS:
		break;
	}
}

static void close_unit(struct unit *unit)
{
	close_handle(unit);
	instance_destroy(unit->instance);
	free(unit);
}

/* Whether a setup has a section that says the same as this one. */
static bool has(const struct setup *setup, const struct setup_item *item)
{
	for (size_t i = 0; i < setup->source_count; i++) {
		if (are_same(&setup->sources[i].item, item) ||
		    are_same(setup->sources[i].format, item)) {
			return true;
		}
	}
	for (size_t i = 0; i < setup->sink_count; i++) {
		if (are_same(&setup->sinks[i].item, item)) {
			return true;
		}
	}
	for (size_t i = 0; i < setup->crypto_count; i++) {
		if (are_same(&setup->crypto[i], item)) {
			return true;
		}
	}
	return false;
}

void units_close(struct unit **pool, const struct setup *but)
{
	struct unit **at = pool;

	while (*at != NULL) {
		struct unit *unit = *at;

		if (but != NULL && has(but, unit->item)) {
			at = &unit->next;
			continue;
		}
		*at = unit->next;
		close_unit(unit);
	}
}
