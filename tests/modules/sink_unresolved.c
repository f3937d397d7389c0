/* SPDX-License-Identifier: Apache-2.0 */

/* Calls a function that nobody has. */
#include "sink.h"

void nobody_has_this(void);

static void close_elsewhere(struct bursar_sink *sink)
{
	nobody_has_this();
	free(sink);
}

static const struct bursar_sink_ops ops = {
	.open  = sink_open,
	.write = sink_write,
	.close = close_elsewhere,
};

BURSAR_PLUGIN_DEFINE(sink_unresolved,
	.kind     = BURSAR_SINK,
	.name     = "unresolved",
	.summary  = "would break at its first call",
	.options  = sound_options,
	.ops.sink = &ops);
