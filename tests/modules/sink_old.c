/* SPDX-License-Identifier: Apache-2.0 */

/* Made for another interface, where nothing else has its place. */
#include "sink.h"

__attribute__((visibility("default")))
extern const uint32_t sink_old_LTX_bursar_plugin;
const uint32_t sink_old_LTX_bursar_plugin = BURSAR_PLUGIN_ABI + 1;
