/* SPDX-License-Identifier: Apache-2.0 */

/*
 * web_health.c - what the daemon's state means to who asks whether it is well
 *
 * Live: a restart would help nothing.  A thread that has been at one thing for
 * long hangs, and a restart is what helps.  A sink or source that is away is no
 * reason: the daemon waits, as it should.
 *
 * Ready: every required sink takes records.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "web.h"

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

unsigned web_is_live(const char *state, int64_t stalled_ms,
                     struct web_text *text)
{
	json_t *root = state != NULL ? json_loads(state, 0, NULL) : NULL;
	json_t *threads = json_object_get(root, "threads");
	const json_t *thread;
	unsigned code = 200;
	size_t i;

	if (root == NULL) {
		web_text_add(text, "the daemon does not tell its state\n");
		return 503;
	}
	json_array_foreach(threads, i, thread) {
		const json_int_t busy =
			json_integer_value(json_object_get(thread, "busy_ms"));

		if (busy > stalled_ms) {
			code = 503;
			web_text_add(text, "stalled: %s has been at one thing "
			             "for %lld seconds\n",
			             text_of(thread, "name"), busy / 1000);
		}
	}
	if (code == 200) {
		web_text_add(text, "live\n");
	}
	json_decref(root);
	return code;
}

/* Name, state and why of each item. */
static json_t *states_of(const json_t *root, const char *list)
{
	json_t *items = json_object_get(root, list);
	json_t *states = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item) {
		json_array_append_new(states, json_pack(
			"{ss ss ss}", "name", text_of(item, "name"),
			"state", text_of(item, "state"),
			"why", text_of(item, "why")));
	}
	return states;
}

unsigned web_is_ready(const char *state, bool all, struct web_text *text)
{
	json_t *root = state != NULL ? json_loads(state, 0, NULL) : NULL;
	const bool ready = json_is_true(json_object_get(root, "ready"));
	json_t *answer = json_pack("{sb}", "ready", (int)ready);

	if (all) {
		json_object_set_new(answer, "routes",
		                    states_of(root, "routes"));
		json_object_set_new(answer, "sinks", states_of(root, "sinks"));
		json_object_set_new(answer, "sources",
		                    states_of(root, "sources"));
	}
	char *line = json_dumps(answer, JSON_COMPACT);
	web_text_add(text, "%s\n", line != NULL ? line : "{\"ready\":false}");
	free(line);
	json_decref(answer);
	json_decref(root);
	return ready ? 200 : 503;
}
