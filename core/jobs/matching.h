/* SPDX-License-Identifier: Apache-2.0 */

/*
 * matching.h - the nearest in time of those that bear the same reference
 *
 * Of some rows that each name up to MATCHING_REFS references, and of a stream
 * of others that do, the nearest of the others for each reference of each row.
 * What is kept is that of the rows; the others are seen once, in order of time.
 * The cost is that of sorting the rows, and of a look for each of the others.
 */
#ifndef CORE_JOBS_MATCHING_H
#define CORE_JOBS_MATCHING_H

#include <bursar/plugin.h>

#define MATCHING_REFS 4

struct match {
	int64_t us;
	struct bursar_span refs[MATCHING_REFS];	/* size 0: none */

	/* Filled by matching_end(): */
	int64_t found[MATCHING_REFS];	/* the id of the nearest */
	int64_t apart[MATCHING_REFS];	/* us; -1: there is none */
};

struct matching;

/* For `count` rows in order of time, lent until the end.  NULL: out of
 * memory. */
struct matching *matching_create(struct match *rows, size_t count);

/* One of the others; each is as late as the one before, or later.  Of two that
 * are as near the first counts. */
void matching_offer(struct matching *matching, int64_t id, int64_t us,
                    const struct bursar_span refs[MATCHING_REFS]);

/* Fills the rows, and frees what was kept.  NULL is allowed. */
void matching_end(struct matching *matching);

#endif
