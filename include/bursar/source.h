/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar/source.h - the contract between the daemon and a source
 *
 *	        .--------------------.
 *	        v                    |
 *	open --> read --> (core) --> settle --> close
 *	           |         ^
 *	           '- nothing '   read with no room: heartbeats, settlement
 *
 * A source is asked for messages and told what became of each.  It holds no
 * queue for the core, starts no thread of its own for it and never decides
 * when to try again.  The core bounds what is in flight: it gives room, and
 * when there is none it calls read() with none, at least once a second, so
 * that a connection stays alive.
 *
 * A message is settled after it is durable in every sink that must have it,
 * or among the dead letters.  Until then the source must be able to deliver it
 * again after a crash: a position, an offset or an acknowledgement moves in
 * settle() and nowhere else.
 */
#ifndef BURSAR_SOURCE_H
#define BURSAR_SOURCE_H

#include <bursar/message.h>
#include <bursar/schema.h>

/* Declared here, completed by each plugin in its own source file. */
struct bursar_source;

/* What read() fills; made by the core. */
struct bursar_batch {
	/*
	 * Takes a copy of *message and of all it points to.
	 *
	 * Returns false when there is no room: the message was not taken, and
	 * read() returns DONE with what it has.  One message always has room
	 * in an empty batch whose room is not 0.
	 */
	bool (*add)(struct bursar_batch *batch,
	            const struct bursar_message *message);

	size_t room;		/* how many more messages are wanted; add()
				 * counts it down */
	size_t max_message;	/* longest body, in bytes; see OVERSIZE */
	bool   drain;		/* no more will be asked for: take what is
				 * whole, and what stands unfinished too */
	bool   ended;		/* set by read(), each time: nothing more will
				 * ever come, but what is RETURNED */
};

enum bursar_outcome {
	BURSAR_STORED,		/* durable in every sink that must have it */
	BURSAR_DUPLICATE,	/* was there already, with the same content */
	BURSAR_CONFLICT,	/* the id was there with other content */
	BURSAR_REFUSED,		/* can never be stored; kept as a dead letter,
				 * unless ops->answers is set and no sink has
				 * any of it */
	BURSAR_RETURNED,	/* given back: deliver it again, later or to
				 * somebody else */
};

struct bursar_settled {
	uint64_t token;
	enum bursar_outcome outcome;
	const char *reason;	/* REFUSED, CONFLICT: a sentence; else NULL */
	/* As it was added, but for a body that was cut; lent for the call.
	 * NULL for STORED and DUPLICATE, which leave nothing to be done. */
	const struct bursar_message *message;
};

struct bursar_source_ops {
	/* Required.  True: settle() tells the sender what was refused and why,
	 * so that a refused message need not be kept as well.  Where the
	 * sender turns out to be gone, the message can be added once more, as
	 * UNANSWERED. */
	bool answers;

	/*
	 * Prepares a source from the options of `host`.  Checks all that can
	 * be checked without taking a message, so that mistakes show early.
	 * What may be missing now and come later (a file, a peer) is no
	 * failure of open() but a verdict of read().
	 *
	 * Returns a source, to be given to close(), or NULL with *err filled.
	 */
	struct bursar_source *(*open)(const struct bursar_host *host,
	                              struct bursar_error *err);

	/*
	 * Adds what is there to the batch, waiting for the first message until
	 * `deadline` (us, monotonic) or until descriptor `wake` is readable
	 * (poll it; do not read from it), and not waiting at all for more.
	 * With batch->room == 0 it does only what keeps a connection alive, and
	 * does not wait.
	 *
	 * Returns DONE (with any number of messages, also none); RETRY, DOWN
	 * or CONFIG with *err filled: what was added before counts all the
	 * same, unless the verdict is DOWN, which makes every token void.
	 * A single place that cannot be read (one file of many) is logged, and
	 * the others go on; once they have ended, the verdict is CONFIG with
	 * batch->ended set, and *err says what was left: `bursard --once` ends
	 * with a failure then.
	 */
	enum bursar_verdict (*read)(struct bursar_source *source,
	                            struct bursar_batch *batch, int wake,
	                            int64_t deadline, struct bursar_error *err);

	/*
	 * Tells what became of messages; each token once, in the order of
	 * read() within each lane.  When a message of a lane is RETURNED, so
	 * are all later ones of that lane.  Does not wait for a peer longer
	 * than a second.
	 *
	 * Returns DONE; RETRY when this could not be made durable: the same
	 * call is made again; DOWN: every token is void, the messages will be
	 * delivered again and the sinks will know them.
	 */
	enum bursar_verdict (*settle)(struct bursar_source *source,
	                              const struct bursar_settled *settled,
	                              size_t count, struct bursar_error *err);

	/*
	 * The core will not read for a while (on) or goes on (off); what was
	 * in flight has been RETURNED before.  A source that holds messages
	 * for itself lets others have them.  NULL: nothing to do.
	 */
	void (*park)(struct bursar_source *source, bool on);

	/* Releases the source; what is not settled is delivered again by the
	 * next open().  Cannot fail.  `source` may be NULL. */
	void (*close)(struct bursar_source *source);
};

#endif
