/* SPDX-License-Identifier: Apache-2.0 */

/* An operation that is required is not there. */
#include "sink.h"

static const struct bursar_sink_ops ops = {
	.open  = sink_open,
	.close = sink_close,
};

BURSAR_PLUGIN_DEFINE(sink_no_write,
	.kind     = BURSAR_SINK,
	.name     = "no_write",
	.summary  = "cannot write",
	.options  = sound_options,
	.ops.sink = &ops);
