/* SPDX-License-Identifier: Apache-2.0 */

/*
 * corrections.h - other costs for facts that are stored
 *
 * The statements of the operation correct() of a sink, in the common subset of
 * SQLite 3.35 and PostgreSQL.  The sink begins a transaction, has them run, and
 * commits; so the journal, the rows and the sums change together or not at all.
 *
 * The journal is the table bursar_corrections, made when it is first needed:
 * for each batch and row what was and what is, when and why.  The note
 * corrected_us of bursar_meta says that it is there, and makes those who
 * correct at the same time wait for each other.
 */
#ifndef COMMON_CORRECTIONS_H
#define COMMON_CORRECTIONS_H

#include <bursar/sink.h>

#define CORRECTIONS_NOTE "corrected_us"

struct corrections_db {
	/* Runs one statement within the transaction, as sql() of a sink. */
	enum bursar_verdict (*run)(void *context, const char *statement,
	                           const struct bursar_cell *parameters,
	                           size_t count, bursar_row_fn *row,
	                           void *row_context,
	                           struct bursar_error *err);
	void *context;
	/* Whether dollars are also written as such, in columns x_usd. */
	bool  readable;
};

/* Returns as correct(); not DONE: roll back. */
enum bursar_verdict corrections_run(const struct corrections_db *db,
                                    const struct bursar_correct *what,
                                    int64_t now, size_t *corrected,
                                    struct bursar_error *err);

#endif
