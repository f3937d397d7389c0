/* SPDX-License-Identifier: Apache-2.0 */

/*
 * export.h - all columns of records, as a stream
 *
 * Page by page in order of id, each page a short statement, so that a large
 * export holds nothing up and takes the memory of one page.  A record that
 * comes in meanwhile is in it or not; none is in it twice.
 */
#ifndef CORE_BOOK_EXPORT_H
#define CORE_BOOK_EXPORT_H

#include "book/book.h"
#include "book/window.h"

struct export {
	const struct bursar_kind *kind;
	struct window window;	/* of recorded_at */
	bool    bodies;		/* columns with BURSAR_FIELD_BODY too */
	int64_t now;		/* what has expired by then is left
				 * out, but for what is held */
};

/* What is known of a record besides its columns; lent for the call. */
struct export_row {
	uint8_t key[16];
	int64_t content_check;
	bool    has_check;	/* false: its key is not in the ledger */
	const struct bursar_cell *cells;	/* as export_fields() */
};

/* Called for each record.  Not 0: stop. */
typedef int export_row_fn(void *context, const struct export_row *row);

/* The fields that are exported, in order; returns their number. */
size_t export_fields(const struct export *export,
                     const struct bursar_field **fields, size_t room);

#define EXPORT_MAX_FIELDS 128

/* Returns 0, also when row() stopped it; -1 with *err filled. */
int export_run(struct book *book, const struct export *export,
               export_row_fn *row, void *context, struct bursar_error *err);

#endif
