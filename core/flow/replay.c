/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A pipeline whose sources are lists of letters.  Their source answers, so
 * that what is refused again is told here and not written a second time.
 * Letters are opened before any thread runs, and only read then.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "flow/deadletter.h"
#include "flow/pipeline.h"
#include "flow/replay.h"

struct letter {
	const json_t         *json;
	const char           *source;
	struct bursar_message message;
	bool                  hopeless;		/* not worth a try: see why */
	bool                  settled;
	enum bursar_outcome   outcome;
	char                  why[250];
};

/* The one replay of this process: open() of a plugin is not told of it. */
static struct letter *all;
static size_t all_count;
static _Atomic size_t settled_count;

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

static enum bursar_verdict letters_read(struct bursar_source *source,
                                        struct bursar_batch *batch, int wake,
                                        int64_t deadline,
                                        struct bursar_error *err)
{
	(void)err;
	for (; batch->room > 0 && source->next < all_count; source->next++) {
		const struct letter *letter = &all[source->next];

		if (!letter->hopeless &&
		    strcmp(letter->source, source->name) == 0 &&
		    !batch->add(batch, &letter->message)) {
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

static const char *why_not(const struct bursar_settled *settled)
{
	if (settled->outcome == BURSAR_RETURNED) {
		return "it was given back: no key is at hand, or there was no"
		       " time left";
	}
	return settled->reason != NULL ? settled->reason : "";
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
		         why_not(&settled[i]));
	}
	atomic_fetch_add(&settled_count, count);
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
		if (!all[i].hopeless && strcmp(all[i].source, source) == 0) {
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
			/* Who replays has the key. */
			sources[count].strangers = false;
			count++;
		}
	}
	return count;
}

/* Until all is settled, or nothing moves any more. */
static int wait_for(struct pipeline *pipeline, const struct setup *setup,
                    int changed, struct bursar_error *err)
{
	const int64_t patience = setup->once_timeout_ms * 1000;
	int64_t until = clock_mono_us() + patience;
	size_t before = 0;
	char why[400];

	while (!pipeline_is_done(pipeline)) {
		struct pollfd fd = { .fd = changed, .events = POLLIN };
		const size_t now = atomic_load(&settled_count);
		uint64_t rings;

		if (now != before) {
			before = now;
			until = clock_mono_us() + patience;
		}

		poll(&fd, 1, 200);
		if (fd.revents != 0 && read(changed, &rings, sizeof(rings)) < 0) {
			continue;
		}
		if (pipeline_is_blocked(pipeline, why)) {
			return bursar_fail(err, EPERM, "%s", why);
		}
		if (clock_mono_us() > until) {
			return bursar_fail(err, ETIMEDOUT, "nothing moved for"
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
	struct pipeline *pipeline = NULL;
	int result = -1;

	if (options.changed < 0) {
		return bursar_fail(err, errno, "eventfd: %s", strerror(errno));
	}
	pipeline = pipeline_create(setup, &options, &pool, err);
	if (pipeline != NULL && pipeline_start(pipeline, err) == 0) {
		result = wait_for(pipeline, setup, options.changed, err);
	}
	pipeline_release(pipeline, &pool);
	units_close(&pool, NULL);
	close(options.changed);
	return result;
}

static const char *text_of(const struct letter *letter, const char *name)
{
	return json_string_value(json_object_get(letter->json, name));
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
			ids[count++] = text_of(&all[i], "id");
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
		.id = text_of(letter, "id"),
		.source = letter->source,
		.reason = text_of(letter, "reason"),
		.stored = is_stored(letter),
		.duplicate = letter->outcome == BURSAR_DUPLICATE,
	};

	snprintf(out.why, sizeof(out.why), "%s",
	         letter->hopeless || letter->settled ? letter->why :
	         !configured ? "its source is not configured any more" :
	         "it could not be stored in time");
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

/*
 * Two letters may hold equal calls, and one letter may be replayed twice, where
 * the first time was killed: of a message without an id and without a place the
 * letter is the place.
 */
static bool give_place(struct letter *letter, struct arena *arena)
{
	struct bursar_message *message = &letter->message;
	static const char prefix[] = "letter:";
	const char *id = text_of(letter, "id");

	if (message->origin.data != NULL ||
	    message->flags & BURSAR_MESSAGE_REDELIVERED) {
		return true;
	}
	const size_t size = strlen(prefix) + strlen(id);
	char *text = arena_alloc(arena, size + 1);
	if (text == NULL) {
		return false;
	}
	snprintf(text, size + 1, "%s%s", prefix, id);
	message->origin = (struct bursar_span){ text, size };
	return true;
}

/*
 * Which sinks had a message that one of them refused, nobody wrote down: those
 * that had it shall know it again, also where it has no id.
 */
static void open_letter(struct letter *letter, const json_t *json,
                        struct arena *arena)
{
	struct bursar_error why = { 0 };

	letter->json = json;
	letter->source = text_of(letter, "source");
	letter->source = letter->source != NULL ? letter->source : "";
	if (deadletter_message(json, &arena->base, &letter->message, &why) != 0) {
		letter->hopeless = true;
		snprintf(letter->why, sizeof(letter->why),
		         "the letter cannot be read: %.200s", why.text);
	} else if (letter->message.flags & BURSAR_MESSAGE_OVERSIZE) {
		letter->hopeless = true;
		snprintf(letter->why, sizeof(letter->why), "it was longer than"
		         " max-message, and only its first bytes are kept");
	}
	if (text_of(letter, "sink") != NULL) {
		letter->message.flags |= BURSAR_MESSAGE_REDELIVERED;
	}
	if (!letter->hopeless && !give_place(letter, arena)) {
		letter->hopeless = true;
		snprintf(letter->why, sizeof(letter->why), "out of memory");
	}
	letter->message.token = letter->message.lane =
		(uint64_t)(letter - all);
}

static void open_all(const json_t *letters, struct arena *arena)
{
	all_count = json_array_size(letters);
	for (size_t i = 0; i < all_count; i++) {
		open_letter(&all[i], json_array_get(letters, i), arena);
	}
	atomic_store(&settled_count, 0);
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
	struct arena arena;
	int result = -1;

	arena_init(&arena);
	findings_finish(&findings);
	all = calloc(json_array_size(letters) + 1, sizeof(*all));
	copy.sources = calloc(setup->source_count + 1, sizeof(*copy.sources));
	if (options == NULL || all == NULL || copy.sources == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		goto out;
	}
	open_all(letters, &arena);
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
	arena_clear(&arena);
	arena_pool_drain();
	free(copy.sources);
	free(all);
	all = NULL;
	all_count = 0;
	options_destroy(options);
	return result;
}
