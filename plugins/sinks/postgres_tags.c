/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Which tags are dimensions of the rollups.
 *
 * Others may name one at any time; it is fed from half an hour later on, so
 * that it is enough to look now and then, outside of the transaction.
 */
#include "config.h"

#include <stdlib.h>

#include "postgres.h"

#define SECOND_US 1000000

static void take(struct dimensions *d, const PGresult *result)
{
	d->count = 0;
	for (int i = 0; i < PQntuples(result) && d->count < ROLLUP_MAX_TAGS;
	     i++) {
		const struct bursar_span name = {
			PQgetvalue(result, i, 0),
			(size_t)PQgetlength(result, i, 0) };

		d->count += rollup_tag_make(
			&d->tags[d->count], name,
			strtoll(PQgetvalue(result, i, 1), NULL, 10));
	}
}

enum bursar_verdict dimensions_read(struct dimensions *d, struct db *db,
                                    struct bursar_error *err)
{
	const int64_t now = db->host->now(db->host);
	PGresult *result = NULL;

	if (d->read_us != 0 && now >= d->read_us &&
	    now - d->read_us < SECOND_US) {
		return BURSAR_DONE;
	}
	const enum bursar_verdict verdict = db_query(db, ROLLUP_READ_TAGS, NULL,
	                                             false, &result, err);
	if (verdict == BURSAR_DONE) {
		take(d, result);
		d->read_us = now;
	}
	PQclear(result);
	return verdict;
}
