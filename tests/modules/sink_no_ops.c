/* SPDX-License-Identifier: Apache-2.0 */

/* No operations at all. */
#include "sink.h"

BURSAR_PLUGIN_DEFINE(sink_no_ops,
	.kind     = BURSAR_SINK,
	.name     = "no_ops",
	.summary  = "can do nothing",
	.options  = sound_options);
