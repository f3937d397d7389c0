/* SPDX-License-Identifier: Apache-2.0 */

/*
 * verify.h - whether a ledger agrees with itself
 *
 * Six checks:
 *
 *	time	   a fact stands in the quarter hour that it was recorded in
 *	cell	   every column of every cell of the rollups is the sum over
 *		   the facts, in both directions, after the purge mark
 *	day	   the sums of days that are closed are those of their cells
 *	dimension  the rollups have the dimensions that there are and no other
 *	key	   every record's key is there, so that it cannot come twice
 *	row	   the hash of a prompt or tool record is that of its columns
 *
 * Reads in short statements and holds nothing up; a cell that seems to differ
 * is looked at again, with its facts, as of one moment, so that what a running
 * daemon writes meanwhile is no difference.  Memory is bounded by the cells of
 * one quarter hour, or some ten thousand facts.
 */
#ifndef CORE_BOOK_VERIFY_H
#define CORE_BOOK_VERIFY_H

#include "book/book.h"

/* The search ends with so many places that differ. */
#define VERIFY_MAX_PLACES 1000

enum verify_check {
	VERIFY_TIME, VERIFY_CELL, VERIFY_DIMENSION, VERIFY_KEY, VERIFY_ROW,
	VERIFY_DAY,
};

/* A place that differs; lent for the call. */
struct verify_place {
	enum verify_check check;
	const struct bursar_kind *kind;

	int64_t            id;		/* TIME, KEY, ROW: of the row */
	struct bursar_span message_id;

	const char        *dimension;	/* CELL, DAY: with its first cell */
	struct bursar_span value;	/* DIMENSION: its name */
	int64_t            cell;
	struct bursar_span provider;
	struct bursar_span model_id;
	const char        *column;

	int64_t stored;			/* TIME: cells; CELL, DAY: sums; */
	int64_t computed;		/* ROW: hashes; KEY: none */
};

/* What was looked at. */
struct verify_counts {
	uint64_t facts;
	uint64_t bodies;	/* records with bodies: hashes */
	uint64_t keys;		/* that were looked for */
	uint64_t cells;		/* compared */
	uint64_t days;		/* compared with their cells, all or none */
	uint64_t closed;	/* cells before the purge mark, not compared */
	int64_t  closed_us;	/* the purge mark; INT64_MIN: none */
	int64_t  stored_keys;	/* in all */
	int64_t  stored_records;
	uint64_t places;	/* that differ */
	bool     stopped;	/* at VERIFY_MAX_PLACES: there may be more */
};

struct verify_report {
	void (*place)(void *context, const struct verify_place *place);
	/* Now and then; may be NULL. */
	void (*progress)(void *context, const struct verify_counts *counts);
	void  *context;
};

/*
 * Looks at all of it.  Returns 0 with *counts filled, whatever was found; -1
 * with *err filled where it could not look.
 */
int verify_run(struct book *book, const struct verify_report *report,
               struct verify_counts *counts, struct bursar_error *err);

#endif
