/* SPDX-License-Identifier: Apache-2.0 */

/*
 * schema.h - the table of fields of every kind, written once
 */
#ifndef CORE_PLUGIN_SCHEMA_H
#define CORE_PLUGIN_SCHEMA_H

#include <bursar/schema.h>

extern const struct bursar_schema schema;

#define SCHEMA_KINDS 3

#endif
