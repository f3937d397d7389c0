/* SPDX-License-Identifier: Apache-2.0 */

/* An option that says nothing of itself. */
#include "sink.h"

static const struct bursar_option options[] = {
	{ "depth", BURSAR_TYPE_NUMBER, "3", NULL },
	{ NULL }
};

BURSAR_PLUGIN_DEFINE(sink_no_help,
	.kind     = BURSAR_SINK,
	.name     = "no_help",
	.summary  = "keeps silent",
	.options  = options,
	.ops.sink = &sound_ops);
