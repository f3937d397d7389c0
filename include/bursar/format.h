/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bursar/format.h - the contract between the daemon and a format
 *
 *	open --> decode* --> close
 *
 * A format turns one message, in clear and out of its envelope, into records.
 * It knows no time and no place: the core gives ids, times of ingest, prices
 * and expiry.  What it cannot place it keeps (extra_json) and flags (dq_flags)
 * and only refuses what makes no sense as a whole.
 */
#ifndef BURSAR_FORMAT_H
#define BURSAR_FORMAT_H

#include <bursar/message.h>
#include <bursar/schema.h>

/* Declared here, completed by each plugin in its own source file. */
struct bursar_format;

/* What decode() fills; made by the core. */
struct bursar_records {
	/*
	 * Adds a record of that kind, with no field set, and returns it; NULL
	 * when memory is short (return RETRY then).  Ids are id#0, id#1 ...
	 * where a message makes more than one.
	 */
	struct bursar_record *(*add)(struct bursar_records *records,
	                             const struct bursar_kind *kind);

	/* For text that is not a span of the message; lives as long as the
	 * records do. */
	struct bursar_arena *arena;
};

struct bursar_format_ops {
	/* True: decode() is not called without message->kind. */
	bool needs_kind;

	/* Returns a format, to be given to close(), or NULL with *err filled. */
	struct bursar_format *(*open)(const struct bursar_host *host,
	                              struct bursar_error *err);

	/*
	 * Decodes one message; message->body is followed by at least 64
	 * readable bytes, which are no part of it.  Texts of records are UTF-8
	 * without NUL: spans of the message, made in the arena, or constants.
	 * If the format finds an id of its own in the body it sets
	 * BURSAR_MESSAGE_ID; recorded_at only where it was given and readable.
	 *
	 * Returns DONE with 0 or more records added; REJECT with *err filled:
	 * the message is no JSON, no object or without sense (the text names
	 * field, type, offset and length, never content); RETRY when memory
	 * is short.
	 */
	enum bursar_verdict (*decode)(struct bursar_format *format,
	                              const struct bursar_message *message,
	                              struct bursar_records *records,
	                              struct bursar_error *err);

	/* Releases the format.  Cannot fail.  May be NULL. */
	void (*close)(struct bursar_format *format);
};

#endif
