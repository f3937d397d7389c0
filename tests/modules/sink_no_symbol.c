/* SPDX-License-Identifier: Apache-2.0 */

/* A shared object that is no plugin. */
#include "sink.h"

extern int sink_no_symbol_LTX_bursar_plugin_not;
int sink_no_symbol_LTX_bursar_plugin_not = 1;
