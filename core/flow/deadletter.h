/* SPDX-License-Identifier: Apache-2.0 */

/*
 * deadletter.h - messages that can never be stored, kept as delivered
 *
 * One JSON line a letter in <state-dir>/dead-letters/YYYY-MM-DD.jsonl (0600,
 * the folder 0700).  A letter is an envelope (what was delivered, never
 * decrypted) with more members around it:
 *
 *	id	32 hex digits, of source and all that was delivered: the same
 *		message has the same id, however often it is refused.  One
 *		that brings neither an id nor a lasting place is a letter of
 *		its own, as equal calls are separate calls
 *	time, expires	RFC 3339; expires is absent for never
 *	source, place, origin, offset, line	where it came from
 *	reason	one of DEAD_*; text: a sentence; sink: who refused it
 *	redelivered	true where the source had delivered it before
 *	full_size, sha256	of a message that was cut
 *	fixed	what the source fixed, by field
 *	kinds	what its sender may send; absent for every kind
 *
 * What is not UTF-8 stands in base64: place_base64, origin_base64 and
 * routing_key_base64 in place of those without; properties_base64, an object;
 * headers_base64, a list of pairs of name and value, also for headers that an
 * object cannot hold (a second one of a name, a NUL or 256 bytes in a name).
 * A timestamp that RFC 3339 cannot say stands in timestamp_us.
 *
 * Letters are at least once: a crash can make two of one message, with one id.
 * Those in `replayed` beside them have been stored since.  A line that a crash
 * cut was not durable yet, so its message comes again: it is taken away at the
 * next start, and nobody counts it.
 *
 * At max_bytes room is made by replays, and by removing files.
 *
 * Disk space for `reserve` bytes is held back, and given up when the disk is
 * full, so that a full disk does not stop the way that a full disk needs most.
 *
 * Any thread.
 */
#ifndef CORE_FLOW_DEADLETTER_H
#define CORE_FLOW_DEADLETTER_H

#include <bursar/message.h>
#include <bursar/schema.h>

/* Why; these words stand in the files and in `bursar replay --reason`. */
#define DEAD_MALFORMED    "malformed"
#define DEAD_ENVELOPE     "bad-envelope"
#define DEAD_NO_KIND      "no-kind"
#define DEAD_OVERSIZE     "too-large"
#define DEAD_UNDECRYPTABLE "undecryptable"
#define DEAD_NO_KEY       "no-key"
#define DEAD_NOT_ENCRYPTED "not-encrypted"
#define DEAD_ID_CONFLICT  "id-conflict"
#define DEAD_REFUSED      "refused"

/* All of them, NULL behind the last. */
#define DEAD_REASONS 9
extern const char *const dead_reasons[DEAD_REASONS + 1];

#define DEAD_NEVER INT64_MAX

/* Of the body of an oversize message no more than this is kept. */
#define DEAD_OVERSIZE_KEPT (64u << 10)

/* How long lines stay that nobody can read, from the day of their file on. */
#define DEAD_UNREADABLE_DAYS 30

struct dead_letter {
	const struct bursar_message *message;	/* as delivered */
	const struct bursar_kind    *kind;	/* NULL: not known */
	const char *source;
	const char *reason;	/* DEAD_* */
	const char *text;	/* a sentence without content of a body */
	const char *sink;	/* NULL: none refused it */
	int64_t     expires;	/* us; DEAD_NEVER */
};

struct deadletters;

/*
 * Opens the folder for writing, making it where it is missing; the caller
 * holds the lock of the state folder.
 *
 * Returns NULL with *err filled.
 */
struct deadletters *deadletters_open(const char *state_dir, size_t max_bytes,
                                     size_t reserve, struct bursar_error *err);

/*
 * Appends a letter; durable after the next deadletters_sync().
 *
 * Returns 0, or -1 with *err filled, and nothing was added:
 *	EDQUOT	the folder has reached max_bytes
 *	ENOSPC	the disk is full, and the reserve as well
 *	others	of open(2), write(2)
 */
int deadletters_add(struct deadletters *letters,
                    const struct dead_letter *letter, struct bursar_error *err);

/* Makes all letters durable; NULL has none.  Returns 0, or -1 with *err: try
 * again, what was added is not durable before it says 0. */
int deadletters_sync(struct deadletters *letters, struct bursar_error *err);

/*
 * Takes out the letters that have expired or were replayed, lines that nobody
 * can read after DEAD_UNREADABLE_DAYS, and forgets which were replayed as far
 * as no letter is left of them.  Adding goes on meanwhile.  Returns how many
 * lines went, or -1 with *err filled.
 */
int64_t deadletters_purge(struct deadletters *letters, int64_t now,
                          struct bursar_error *err);

/* Changes max_bytes, from the next letter on. */
void deadletters_set_limit(struct deadletters *letters, size_t max_bytes);

/* Bytes that stand in the folder, the reserve not counted; NULL has none. */
size_t deadletters_bytes(struct deadletters *letters);

void deadletters_close(struct deadletters *letters);

/* What could not be read. */
struct deadletter_broken {
	size_t count;		/* of lines */
	char   file[32];	/* which has the first of them; "" for none */
};

/*
 * Reading, by any process, also while the daemon writes.  Calls each() for
 * every letter that was not replayed, oldest first, each id once, with the
 * parsed line; whole lines that cannot be read are counted in *broken.  each()
 * returns non-zero to stop.
 *
 * Returns 0, or -1 with *err filled; no folder means no letters.
 */
struct json_t;
typedef int deadletter_fn(void *context, struct json_t *letter);
int deadletters_read(const char *state_dir, deadletter_fn *each, void *context,
                     struct deadletter_broken *broken,
                     struct bursar_error *err);

/*
 * The message of a letter as it was delivered, token and lane 0.  It points
 * into the letter and to memory of the arena; its body is followed by 64
 * readable bytes.  An oversize message has its first bytes only.
 *
 * Returns 0, or -1 with *err filled: EINVAL what cannot be read of it, ENOMEM.
 */
int deadletter_message(const struct json_t *letter, struct bursar_arena *arena,
                       struct bursar_message *message,
                       struct bursar_error *err);

/* Notes durably that letters were stored; any process.  Returns 0, or -1 with
 * *err filled. */
int deadletters_replayed(const char *state_dir, const char *const *ids,
                         size_t count, struct bursar_error *err);

#endif
