/* SPDX-License-Identifier: Apache-2.0 */

/* A source without messages; its one option is required. */
#include <stdlib.h>

#include <bursar/source.h>

struct bursar_source {
	char nothing;
};

static const struct bursar_option source_options[] = {
	{ "place", BURSAR_TYPE_TEXT, NULL, "Where it looks, in vain." },
	{ NULL }
};

static struct bursar_source *source_open(const struct bursar_host *host,
                                         struct bursar_error *err)
{
	(void)host, (void)err;
	return calloc(1, sizeof(struct bursar_source));
}

static enum bursar_verdict source_read(struct bursar_source *source,
                                       struct bursar_batch *batch, int wake,
                                       int64_t deadline,
                                       struct bursar_error *err)
{
	(void)source, (void)wake, (void)deadline, (void)err;
	batch->ended = true;
	return BURSAR_DONE;
}

static enum bursar_verdict source_settle(struct bursar_source *source,
                                         const struct bursar_settled *settled,
                                         size_t count,
                                         struct bursar_error *err)
{
	(void)source, (void)settled, (void)count, (void)err;
	return BURSAR_DONE;
}

static void source_close(struct bursar_source *source)
{
	free(source);
}

static const struct bursar_source_ops source_ops = {
	.open   = source_open,
	.read   = source_read,
	.settle = source_settle,
	.close  = source_close,
};

BURSAR_PLUGIN_DEFINE(source_sound,
	.kind       = BURSAR_SOURCE,
	.name       = "sound",
	.summary    = "has nothing to say",
	.options    = source_options,
	.ops.source = &source_ops);
