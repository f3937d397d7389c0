/* SPDX-License-Identifier: Apache-2.0 */

/* A source in the file of a sink. */
#include "sink.h"

BURSAR_PLUGIN_DEFINE(sink_other_kind,
	.kind     = BURSAR_SOURCE,
	.name     = "other_kind",
	.summary  = "is in the wrong place",
	.options  = sound_options,
	.ops.sink = &sound_ops);
