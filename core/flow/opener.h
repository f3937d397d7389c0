/* SPDX-License-Identifier: Apache-2.0 */

/*
 * opener.h - bodies that lie sealed in a ledger, opened by who holds the key
 *
 * Has the crypto of a configuration, each opened when a row first needs it.  A
 * row names the crypto that sealed it; where that one is not configured any
 * more, or does not open it, others that know its encoding are tried.
 *
 * One thread.
 */
#ifndef CORE_FLOW_OPENER_H
#define CORE_FLOW_OPENER_H

#include "flow/bodies.h"

struct opener;

/* With the crypto of the setup, which must outlive it; NULL: out of memory. */
struct opener *opener_create(const struct setup *setup);
void opener_destroy(struct opener *opener);

/*
 * The keyring of a crypto of the setup, the opener's.  NULL with *err filled,
 * a sentence that names it, where it cannot be opened.
 */
struct keyring *opener_keyring(struct opener *opener,
                               const struct setup_item *crypto,
                               struct bursar_error *err);

enum opened {
	OPENED,
	OPENED_NO_KEY,		/* its key is not here, or not now */
	OPENED_BROKEN,		/* no key here opens it: another key, or it was
				 * changed, or comes from another place */
};

/* One column of a row. */
struct opener_body {
	const struct bursar_field *field;	/* in */
	struct bursar_span text;		/* in: as it stands; out, where
						 * OPENED: in clear */
	enum opened result;			/* out */
};

struct opener_row {
	const struct bursar_kind *kind;
	struct bursar_span id;			/* message_id */
	int64_t            dq_flags;
	struct bursar_span sealed_by;
};

/*
 * Opens the bodies of one row, count <= BODIES_MAX.  Returns 0 with a result
 * for each, where *why (may be NULL) says in a sentence why a key is not here;
 * -1 with *err filled where memory is short.
 */
int opener_open(struct opener *opener, const struct opener_row *row,
                struct opener_body *bodies, size_t count, struct arena *arena,
                struct bursar_error *why, struct bursar_error *err);

#endif
