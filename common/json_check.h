/* SPDX-License-Identifier: Apache-2.0 */

/*
 * json_check.h - the two ways of reading JSON, one by one
 *
 * Private to the reader and its tests.  Both ways take the same documents and
 * make the same nodes; the fast one only says no, the checker says why.
 */
#ifndef COMMON_JSON_CHECK_H
#define COMMON_JSON_CHECK_H

#include "common/json.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Nodes that grow; all zero at first, list is freed by who holds them. */
struct json_nodes {
	struct json_node *list;
	size_t            count;
	size_t            room;
};

/*
 * Reads by the grammar, byte by byte, and needs no readable bytes behind the
 * text.  Returns as json_read() does; size is below 4 GB.
 */
int json_check(struct json_nodes *nodes, const char *text, size_t size,
               struct bursar_error *err);

/*
 * Reads by simdjson's index of the text.  Returns 0, ENOMEM, or EILSEQ for
 * all that it does not take, which includes every text whose root is neither
 * object nor array.
 */
int json_read_fast(struct json_reader *reader, const char *text, size_t size,
                   struct json_doc *doc);

/* Bytes of memory that the reader holds at present. */
size_t json_reader_memory(const struct json_reader *reader);

/*
 * What json_minify() does, byte by byte: the quotes that open and close
 * strings are those behind an even number of backslashes.
 */
size_t json_minify_plain(const char *text, size_t size, char *out);

#ifdef __cplusplus
}
#endif

#endif
