/* SPDX-License-Identifier: Apache-2.0 */

/* A module with nothing wrong. */
#include "sink.h"

BURSAR_PLUGIN_DEFINE(sink_sound,
	.kind     = BURSAR_SINK,
	.name     = "sound",
	.summary  = "takes everything",
	.options  = sound_options,
	.manual   = "It takes what it is given.\n\nNothing stays.\n\n"
	            "\tsinks:\n\t  one: {plugin: sound}",
	.ops.sink = &sound_ops);
