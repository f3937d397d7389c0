/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A pipeline whose sources are lists of letters.  Their source answers, so
 * that what is refused again is told here and not written a second time.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sodium.h>

#include "common/rfc3339.h"
#include "pipeline.h"
#include "replay.h"

#define MAX_HEADERS 256

struct letter {
	const json_t        *json;
	const char          *source;
	enum bursar_outcome  outcome;
	bool                 settled;
	char                 why[250];
};

/* The one replay of this process: open() of a plugin is not told of it. */
static struct letter *all;
static size_t all_count;

struct bursar_source {
	const char *name;
	size_t      next;	/* place in all */
};

static struct bursar_source *letters_open(const struct bursar_host *host,
                                          struct bursar_error *err)
{
	struct bursar_source *source = calloc(1, sizeof(*source));

	if (source == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		return NULL;
	}
	source->name = host->name;
	return source;
}

static struct bursar_span span_of(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return (struct bursar_span){ json_string_value(value),
	                             json_string_length(value) };
}

static int64_t time_of(const json_t *object, const char *name)
{
	const struct bursar_span text = span_of(object, name);
	int64_t us;

	return text.data != NULL && rfc3339_parse(text.data, text.size, &us)
	       ? us : 0;
}

static size_t headers_of(const json_t *json, struct bursar_header *headers)
{
	size_t count = 0;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)json, name, value) {
		if (count == MAX_HEADERS) {
			break;
		}
		headers[count++] = (struct bursar_header){
			{ name, strlen(name) },
			{ json_string_value(value), json_string_length(value) },
		};
	}
	return count;
}

/* Fills a message that points into the letter and to `body`. */
static void message_of(const struct letter *letter, struct bursar_message *m,
                       struct bursar_header *headers, struct bursar_span body)
{
	const json_t *json = letter->json;
	const json_t *properties = json_object_get(json, "properties");

	*m = (struct bursar_message){
		.token = (uint64_t)(letter - all),
		.lane = (uint64_t)(letter - all),
		.body = body,
		.message_id = span_of(properties, "message_id"),
		.correlation_id = span_of(properties, "correlation_id"),
		.content_type = span_of(properties, "content_type"),
		.content_encoding = span_of(properties, "content_encoding"),
		.app_id = span_of(properties, "app_id"),
		.timestamp_us = time_of(properties, "timestamp"),
		.routing_key = span_of(json, "routing_key"),
		.place = span_of(json, "place"),
		.origin = span_of(json, "origin"),
		.offset = (uint64_t)json_integer_value(
			json_object_get(json, "offset")),
		.line = (uint64_t)json_integer_value(
			json_object_get(json, "line")),
		.headers = headers,
		.header_count = headers_of(json_object_get(json, "headers"),
		                           headers),
	};
	if (json_object_get(json, "full_size") != NULL) {
		m->flags |= BURSAR_MESSAGE_OVERSIZE;
	}
}

/* The body as it was delivered; *text is the caller's to free. */
static bool body_of(const json_t *letter, char **text, size_t *size)
{
	const struct bursar_span base64 = span_of(letter, "body_base64");

	*text = malloc(base64.size + 1);
	return *text != NULL && base64.data != NULL &&
	       sodium_base642bin((uint8_t *)*text, base64.size + 1,
	                         base64.data, base64.size, NULL, size, NULL,
	                         sodium_base64_VARIANT_ORIGINAL) == 0;
}

static bool add_letter(struct bursar_batch *batch, struct letter *letter)
{
	struct bursar_header headers[MAX_HEADERS];
	struct bursar_message message;
	char *text;
	size_t size = 0;

	if (!body_of(letter->json, &text, &size)) {
		snprintf(letter->why, sizeof(letter->why),
		         "the letter has no readable body");
		letter->settled = true;
		letter->outcome = BURSAR_REFUSED;
		free(text);
		return true;
	}
	message_of(letter, &message, headers, (struct bursar_span){ text, size });
	const bool added = batch->add(batch, &message);
	free(text);
	return added;
}

static enum bursar_verdict letters_read(struct bursar_source *source,
                                        struct bursar_batch *batch, int wake,
                                        int64_t deadline,
                                        struct bursar_error *err)
{
	(void)err;
	for (; batch->room > 0 && source->next < all_count; source->next++) {
		if (strcmp(all[source->next].source, source->name) == 0 &&
		    !add_letter(batch, &all[source->next])) {
			return BURSAR_DONE;
		}
	}
	if (source->next == all_count) {
		batch->ended = true;
	}
	if (batch->room == 0 || batch->ended) {
		struct pollfd fd = { .fd = wake, .events = POLLIN };
		const int64_t wait = (deadline - clock_mono_us()) / 1000;

		poll(&fd, 1, wait > 0 ? (int)wait : 0);
	}
	return BURSAR_DONE;
}

static enum bursar_verdict letters_settle(struct bursar_source *source,
                                          const struct bursar_settled *settled,
                                          size_t count,
                                          struct bursar_error *err)
{
	(void)source, (void)err;
	for (size_t i = 0; i < count; i++) {
		struct letter *letter = &all[settled[i].token];

		letter->settled = true;
		letter->outcome = settled[i].outcome;
		snprintf(letter->why, sizeof(letter->why), "%s",
		         settled[i].reason != NULL ? settled[i].reason : "");
	}
	return BURSAR_DONE;
}

static void letters_close(struct bursar_source *source)
{
	free(source);
}

static const struct bursar_option no_options[] = { { NULL } };

static const struct bursar_source_ops letters_ops = {
	.answers = true,
	.open = letters_open,
	.read = letters_read,
	.settle = letters_settle,
	.close = letters_close,
};

static const struct bursar_plugin letters_plugin = {
	.abi = BURSAR_PLUGIN_ABI,
	.kind = BURSAR_SOURCE,
	.name = "dead-letters",
	.summary = "dead letters that are replayed",
	.options = no_options,
	.ops.source = &letters_ops,
};

/* --- running ------------------------------------------------------------- */

static bool wanted(const char *source)
{
	for (size_t i = 0; i < all_count; i++) {
		if (strcmp(all[i].source, source) == 0) {
			return true;
		}
	}
	return false;
}

/* The sources that have letters, each with the letters in its place. */
static size_t replace_sources(const struct setup *setup,
                              struct setup_source *sources,
                              struct options *options)
{
	size_t count = 0;

	for (size_t i = 0; i < setup->source_count; i++) {
		if (wanted(setup->sources[i].item.name)) {
			sources[count] = setup->sources[i];
			sources[count].item.plugin = &letters_plugin;
			sources[count].item.options = options;
			count++;
		}
	}
	return count;
}

/* Until all is settled, or nothing moves any more. */
static int wait_for(struct pipeline *pipeline, const struct setup *setup,
                    int changed, struct bursar_error *err)
{
	const int64_t until = clock_mono_us() + setup->once_timeout_ms * 1000;
	char why[400];

	while (!pipeline_is_done(pipeline)) {
		struct pollfd fd = { .fd = changed, .events = POLLIN };
		uint64_t rings;

		poll(&fd, 1, 200);
		if (fd.revents != 0 && read(changed, &rings, sizeof(rings)) < 0) {
			continue;
		}
		if (pipeline_is_blocked(pipeline, why)) {
			return bursar_fail(err, EPERM, "%s", why);
		}
		if (clock_mono_us() > until) {
			return bursar_fail(err, ETIMEDOUT, "not all letters"
			                   " could be stored within"
			                   " once-timeout; is a sink closed?");
		}
	}
	return 0;
}

static int run(struct setup *setup, struct bursar_error *err)
{
	struct unit *pool = NULL;
	const struct pipeline_options options = {
		.changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .once = true,
	};
	struct pipeline *pipeline = pipeline_create(setup, &options, &pool, err);
	int result = -1;

	if (pipeline != NULL && pipeline_start(pipeline, err) == 0) {
		result = wait_for(pipeline, setup, options.changed, err);
	}
	pipeline_release(pipeline, &pool);
	units_close(&pool, NULL);
	arena_pool_drain();
	close(options.changed);
	return result;
}

static bool is_stored(const struct letter *letter)
{
	return letter->settled && (letter->outcome == BURSAR_STORED ||
	                           letter->outcome == BURSAR_DUPLICATE);
}

static int note_stored(const struct setup *setup, struct bursar_error *err)
{
	const char **ids = calloc(all_count, sizeof(*ids));
	size_t count = 0;

	if (ids == NULL) {
		return bursar_fail(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < all_count; i++) {
		if (is_stored(&all[i])) {
			ids[count++] = span_of(all[i].json, "id").data;
		}
	}
	const int result = count == 0 ? 0 :
		deadletters_replayed(setup->state_dir, ids, count, err);
	free(ids);
	return result;
}

static void tell(const struct letter *letter, bool configured,
                 void (*each)(void *context, const struct replayed *replayed),
                 void *context)
{
	struct replayed out = {
		.id = span_of(letter->json, "id").data,
		.source = letter->source,
		.reason = span_of(letter->json, "reason").data,
		.stored = is_stored(letter),
		.duplicate = letter->outcome == BURSAR_DUPLICATE,
	};

	snprintf(out.why, sizeof(out.why), "%s",
	         !configured ? "its source is not configured any more" :
	         !letter->settled ? "it could not be stored in time" :
	         letter->why);
	each(context, &out);
}

static bool is_configured(const struct setup *setup, const char *source)
{
	for (size_t i = 0; i < setup->source_count; i++) {
		if (strcmp(setup->sources[i].item.name, source) == 0) {
			return true;
		}
	}
	return false;
}

static size_t list_letters(const json_t *letters)
{
	size_t i;
	json_t *json;

	json_array_foreach((json_t *)letters, i, json) {
		const char *source = span_of(json, "source").data;

		all[i] = (struct letter){
			.json = json, .source = source != NULL ? source : "",
		};
	}
	return json_array_size(letters);
}

int replay_letters(const struct setup *setup, const json_t *letters,
                   void (*each)(void *context, const struct replayed *replayed),
                   void *context, struct bursar_error *err)
{
	struct findings findings = { .file = setup->file };
	struct setup copy = *setup;
	struct options *options = options_create(NULL, NULL, no_options,
	                                         "dead letters", "/",
	                                         &findings);
	int result = -1;

	findings_finish(&findings);
	all = calloc(json_array_size(letters) + 1, sizeof(*all));
	copy.sources = calloc(setup->source_count + 1, sizeof(*copy.sources));
	if (options == NULL || all == NULL || copy.sources == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto out;
	}
	all_count = list_letters(letters);
	copy.source_count = replace_sources(setup, copy.sources, options);
	result = copy.source_count == 0 ? 0 : run(&copy, err);
	/* What was stored before a failure is noted all the same. */
	if (note_stored(setup, err) != 0) {
		result = -1;
	}
	for (size_t i = 0; i < all_count; i++) {
		tell(&all[i], is_configured(setup, all[i].source), each,
		     context);
	}

out:
	free(copy.sources);
	free(all);
	all = NULL;
	all_count = 0;
	options_destroy(options);
	return result;
}
