/* SPDX-License-Identifier: Apache-2.0 */

/*
 * describe.h - an option's table entry in words
 *
 * For `bursar plugins NAME`, for the manual and for messages, so that all say
 * the same.
 */
#ifndef CORE_DESCRIBE_H
#define CORE_DESCRIBE_H

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

/*
 * A bound of the option as a user would write it: 64K, 250ms, 12.  Returns out.
 */
const char *describe_bound(const struct bursar_option *option, int64_t bound,
                           char *out, size_t size);

#endif
