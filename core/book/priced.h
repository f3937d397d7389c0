/* SPDX-License-Identifier: Apache-2.0 */

/*
 * priced.h - stored facts as questions for the price books
 */
#ifndef CORE_BOOK_PRICED_H
#define CORE_BOOK_PRICED_H

#include "book/book.h"
#include "book/window.h"
#include "common/rollup.h"
#include "price/prices.h"

#define PRICED_DIMENSIONS 16	/* as many as there are, and more */

struct priced_cost {
	int64_t nano;
	bool    known;
};

/* One stored fact; texts are lent for the call, data NULL where it is NULL. */
struct priced {
	int64_t            id;		/* of the row */
	struct bursar_span message_id;
	struct bursar_span source;
	struct price_question question;	/* "" where it is NULL */
	struct priced_cost cost, reported, computed;
	struct bursar_span book;
	struct bursar_span rule;
	/* The value of each of rollup_dimensions; "" where it is NULL. */
	struct bursar_span values[PRICED_DIMENSIONS];
};

/* Not 0: stop. */
typedef int priced_fn(void *context, const struct priced *fact);

/* What is looked for; the window is by recorded_at. */
struct priced_filter {
	struct window window;
	const char   *message_id;	/* NULL: any */
	int64_t       after_id;		/* rows behind it only */
	int64_t       limit;		/* 0: all */
};

/* Hands over facts in order of their rows.  -1 with *err filled. */
int priced_each(struct book *book, const struct priced_filter *filter,
                priced_fn *each, void *context, struct bursar_error *err);

/*
 * Hands over the fact filter->message_id of any time; no other, and none where
 * there is none.  Facts have no index by id; their key says whether there is
 * one, and on which day it was stored or last came again.  It is looked for
 * among those recorded on that day; among those before it that were stored on
 * it, by a look into each quarter hour; and then, as it may have come again, or
 * another daemon have stored it, from there backwards, ever further.  -1 with
 * *err filled.
 */
int priced_find(struct book *book, const struct priced_filter *filter,
                priced_fn *each, void *context, struct bursar_error *err);

#endif
