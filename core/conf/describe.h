/* SPDX-License-Identifier: Apache-2.0 */

/*
 * describe.h - an option's table entry in words
 *
 * For `bursar plugins NAME`, for the manual and for messages, so that all say
 * the same.
 */
#ifndef CORE_CONF_DESCRIBE_H
#define CORE_CONF_DESCRIBE_H

#include <bursar/plugin.h>

/* "text", "path", "choice", "number", "size", "duration", "flag", "list",
 * "secret". */
extern const char *const describe_types[];

/*
 * Type, bounds and default: "duration, 1s to 1h, default 5s" or "path,
 * required".  Returns out.
 */
const char *describe_terms(const struct bursar_option *option, char *out,
                           size_t size);

#endif
