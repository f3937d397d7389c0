/* SPDX-License-Identifier: Apache-2.0 */

/* No table of options, not even an empty one. */
#include "sink.h"

BURSAR_PLUGIN_DEFINE(sink_no_options,
	.kind     = BURSAR_SINK,
	.name     = "no_options",
	.summary  = "has no table",
	.ops.sink = &sound_ops);
