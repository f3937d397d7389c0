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

/*
 * Takes a name back, in the name of `who`: the journal says so
 * (`tag-forgotten`), nobody feeds it any more, and its sums go, some at a time;
 * the records and their tags stay.  *known: it was named; *sums: how many went.
 * -1 with *err filled: to be done once more.  Takes two seconds, in which those
 * who write come to know of it.
 */
int named_forget(struct book *book, const char *key, const char *who,
                 int64_t now_us, bool *known, uint64_t *sums,
                 struct bursar_error *err);

/* Reads those of the book, and since when it has no facts any more, once; later
 * ones answer from what was read.  -1 with *err filled. */
int named_read(struct book *book, struct bursar_error *err);
/* The same, and which of the days [first, last) are closed: days_look(). */
int named_look(struct book *book, int64_t first, int64_t last,
               struct bursar_error *err);

/* The dimension "tag:KEY" of what was read, or NULL. */
const struct rollup_tag *named_find(const struct book *book, const char *name);

#endif
