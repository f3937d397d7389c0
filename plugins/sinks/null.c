/* SPDX-License-Identifier: Apache-2.0 */

/*
 * null - takes every record and keeps none
 *
 * For trying out a configuration, and for measuring what everything before a
 * database costs.  Each record counts as stored, also one that came before.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include <bursar/sink.h>

struct bursar_sink {
	const struct bursar_host *host;
};

static const struct bursar_option null_options[] = {
	{ NULL }
};

static struct bursar_sink *null_open(const struct bursar_host *host,
                                     enum bursar_mode mode,
                                     enum bursar_verdict *verdict,
                                     struct bursar_error *err)
{
	struct bursar_sink *sink = calloc(1, sizeof(*sink));

	(void)mode;
	*verdict = BURSAR_DONE;
	if (sink == NULL) {
		bursar_fail(err, ENOMEM, "out of memory");
		*verdict = BURSAR_RETRY;
		return NULL;
	}
	sink->host = host;
	return sink;
}

static enum bursar_verdict null_write(struct bursar_sink *sink,
                                      struct bursar_record *const *records,
                                      size_t count,
                                      enum bursar_outcome *outcomes,
                                      size_t *culprit,
                                      struct bursar_error *err)
{
	(void)records;
	(void)culprit;
	(void)err;
	for (size_t i = 0; i < count; i++) {
		outcomes[i] = BURSAR_STORED;
	}
	sink->host->count(sink->host, "discarded_records_total",
	                  (int64_t)count);
	return BURSAR_DONE;
}

static void null_close(struct bursar_sink *sink)
{
	free(sink);
}

static const struct bursar_sink_ops null_ops = {
	.open  = null_open,
	.write = null_write,
	.close = null_close,
};

static const struct bursar_plugin_figure null_figures[] = {
	{ "discarded_records_total", "Records taken and not kept." },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(sink_null,
	.kind     = BURSAR_SINK,
	.name     = "null",
	.summary  = "takes every record and keeps none",
	.options  = null_options,
	.figures  = null_figures,
	.manual   =
	"Takes every record of its routes and keeps none: for trying out a "
	"configuration, and for measuring what everything before a database "
	"costs.  It counts each record as stored, knows no duplicates, and "
	"cannot be the book.",
	.ops.sink = &null_ops);
