/* SPDX-License-Identifier: Apache-2.0 */

/*
 * named.h - tags that are dimensions of a ledger's rollups
 *
 * The configuration names them, the ledger keeps them: a note in bursar_meta
 * says for each since which cell all that write feed it.  Where there are facts
 * already, that is half an hour after the newest of them and from now, so that
 * who writes at this moment will have seen the note.
 */
#ifndef CORE_BOOK_NAMED_H
#define CORE_BOOK_NAMED_H

#include "book/book.h"

/* Notes those that are not noted yet, by a sink that is open to write.  Other
 * than DONE: *err is filled, and none, some or all are. */
enum bursar_verdict named_note(const struct bursar_sink_ops *ops,
                               struct bursar_sink *sink, char *const *keys,
                               size_t count, int64_t now_us,
                               struct bursar_error *err);

/* Reads those of the book, once; later ones answer from what was read.  -1 with
 * *err filled. */
int named_read(struct book *book, struct bursar_error *err);

/* The dimension "tag:KEY" of what was read, or NULL. */
const struct rollup_tag *named_find(const struct book *book, const char *name);

#endif
