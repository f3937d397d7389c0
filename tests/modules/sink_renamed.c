/* SPDX-License-Identifier: Apache-2.0 */

/* Its file was renamed. */
#include "sink.h"

BURSAR_PLUGIN_DEFINE(sink_renamed,
	.kind     = BURSAR_SINK,
	.name     = "first_name",
	.summary  = "has two names",
	.options  = sound_options,
	.ops.sink = &sound_ops);
