/* SPDX-License-Identifier: Apache-2.0 */

/*
 * intake.h - a source that is open, and the messages that it delivered
 */
#ifndef CONFORMANCE_INTAKE_H
#define CONFORMANCE_INTAKE_H

#include <bursar/source.h>

#include "kit.h"

struct delivered {
	struct bursar_message message;	/* a copy of all but fixed */
	uint64_t name;		/* equal for one message whenever it comes:
				 * by origin and offset, else by its body */
	bool     settled;
};

/* What a test gives read() and what it got. */
struct intake {
	struct bursar_batch batch;	/* first: add() relies on it */
	struct kit  *kit;
	struct stand stand;
	const struct bursar_source_ops *ops;
	struct bursar_source *source;
	int          wake;		/* eventfd */
	size_t       room;		/* of the next read() */
	size_t       max_message;
	size_t       refuse_after;	/* add() says no after so many */
	size_t       added;		/* in this read() */
	bool         ended;
	struct delivered *items;
	size_t       count;
	size_t       items_room;
};

#define INTAKE_MAX_MESSAGE ((size_t)8 << 20)

/* Opens the source in the folder of the check. */
void intake_open(struct intake *in, struct kit *kit);
/* Closes it; what was delivered stays. */
void intake_close(struct intake *in);

/* One read() with a deadline in so many ms; returns how many came.  A verdict
 * other than DONE ends the check, but RETRY, which is tried again. */
size_t intake_read(struct intake *in, int64_t ms);

/* The same, and any verdict comes back, with *err filled where it is not DONE.
 * in->added: how many came. */
enum bursar_verdict intake_ask(struct intake *in, int64_t ms,
                               struct bursar_error *err);

/* Reads until the source has ended, or nothing came for a while and as many as
 * were to come are there; at most `limit` messages. */
void intake_read_all(struct intake *in, size_t limit);

/* Reads all that -n promised; another number ends the check. */
void intake_expect_all(struct intake *in);

/* Settles items [from, to). */
void intake_settle(struct intake *in, size_t from, size_t to,
                   enum bursar_outcome outcome);

/* The same, and any verdict comes back; settled are those where it is DONE. */
enum bursar_verdict intake_tell(struct intake *in, size_t from, size_t to,
                                enum bursar_outcome outcome,
                                struct bursar_error *err);

/* Forgets what was delivered. */
void intake_forget(struct intake *in);

/* How often that message is among items [from, count). */
size_t intake_times(const struct intake *in, uint64_t name, size_t from);

/* Ends the check unless items [from, count) are those of `names`, in their
 * order within each lane, each once. */
void intake_expect_names(const struct intake *in, size_t from,
                         const struct delivered *wanted, size_t count,
                         const char *when);

#endif
