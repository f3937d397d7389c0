/* SPDX-License-Identifier: Apache-2.0 */

/* http_files.h - small files that are read again when they change */
#ifndef COMMON_HTTP_FILES_H
#define COMMON_HTTP_FILES_H

#include <bursar/plugin.h>

/* What a file looked like; equal while it stays as it is. */
struct http_look {
	uint64_t device, inode, size;
	int64_t  changed_ns, modified_ns;
};

/* False: it is not there. */
bool http_look_at(const char *path, struct http_look *look);
bool http_look_same(const struct http_look *a, const struct http_look *b);

/* The whole of a small text file, to be freed; NULL with *err filled.  secret:
 * nobody but its owner may reach it. */
char *http_file_load(const char *path, bool secret, struct bursar_error *err);

#endif
