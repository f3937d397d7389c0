/* SPDX-License-Identifier: Apache-2.0 */

/* A sink whose write() does not come back while a file is there. */
#include <unistd.h>

#include <bursar/sink.h>

struct bursar_sink {
	const char *path;
};

static const struct bursar_option stuck_options[] = {
	{ "path", BURSAR_TYPE_PATH, NULL, "The file that it waits for to go." },
	{ NULL }
};

static struct bursar_sink stuck;

static struct bursar_sink *stuck_open(const struct bursar_host *host,
                                      enum bursar_mode mode,
                                      enum bursar_verdict *verdict,
                                      struct bursar_error *err)
{
	(void)mode, (void)verdict, (void)err;
	stuck.path = host->text(host, "path");
	return &stuck;
}

static enum bursar_verdict
stuck_write(struct bursar_sink *sink, struct bursar_record *const *records,
            size_t count, enum bursar_outcome *outcomes, size_t *culprit,
            struct bursar_error *err)
{
	(void)records, (void)culprit, (void)err;
	while (access(sink->path, F_OK) == 0) {
		usleep(10000);
	}
	for (size_t i = 0; i < count; i++) {
		outcomes[i] = BURSAR_STORED;
	}
	return BURSAR_DONE;
}

static void stuck_close(struct bursar_sink *sink)
{
	(void)sink;
}

static const struct bursar_sink_ops stuck_ops = {
	.open  = stuck_open,
	.write = stuck_write,
	.close = stuck_close,
};

BURSAR_PLUGIN_DEFINE(sink_stuck,
	.kind     = BURSAR_SINK,
	.name     = "stuck",
	.summary  = "does not come back",
	.options  = stuck_options,
	.ops.sink = &stuck_ops);
