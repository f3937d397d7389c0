/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What each SQLSTATE means for the batch at hand.  The longest entry that a
 * code begins with decides; a code that is not here is tried again.
 *
 * Codes: PostgreSQL's manual, appendix A.
 */
#include "config.h"

#include <errno.h>

#include "postgres.h"

struct meaning {
	const char         *code;	/* all of it, or the class */
	enum bursar_verdict ours;
	enum bursar_verdict theirs;	/* in a statement from outside */
	int                 error;
	const char         *advice;
};

#define GRANTS "let the schema's owner be the role that writes, and give one " \
	"that reads USAGE on the schema and SELECT on its tables"

static const struct meaning meanings[] = {
	/* no connection, or soon none */
	{ "08", BURSAR_DOWN, BURSAR_DOWN, ENOTCONN, NULL },
	{ "08P01", BURSAR_DOWN, BURSAR_REJECT, EPROTO, NULL },
	{ "57P01", BURSAR_DOWN, BURSAR_DOWN, ENOTCONN, NULL },
	{ "57P02", BURSAR_DOWN, BURSAR_DOWN, ENOTCONN, NULL },
	{ "57P03", BURSAR_DOWN, BURSAR_DOWN, ENOTCONN, NULL },
	{ "57P05", BURSAR_DOWN, BURSAR_DOWN, ENOTCONN, NULL },
	{ "25P03", BURSAR_DOWN, BURSAR_DOWN, ENOTCONN, NULL },
	/* The server became a standby: another one is the primary. */
	{ "25006", BURSAR_DOWN, BURSAR_REJECT, EROFS,
	  "it takes no writes now" },

	/* not now */
	{ "40", BURSAR_RETRY, BURSAR_RETRY, EAGAIN, NULL },
	{ "55P03", BURSAR_RETRY, BURSAR_RETRY, EBUSY,
	  "another session holds it locked" },
	{ "55006", BURSAR_RETRY, BURSAR_RETRY, EBUSY, NULL },
	{ "57014", BURSAR_RETRY, BURSAR_RETRY, ETIMEDOUT, NULL },
	{ "53", BURSAR_RETRY, BURSAR_RETRY, ENOSPC,
	  "the server is short of something: make room" },
	{ "53200", BURSAR_RETRY, BURSAR_RETRY, ENOMEM,
	  "the server is short of memory or locks" },
	{ "53300", BURSAR_RETRY, BURSAR_RETRY, EUSERS,
	  "the server takes no more connections" },
	{ "58", BURSAR_RETRY, BURSAR_RETRY, EIO, NULL },

	/* the record's fault */
	{ "22", BURSAR_REJECT, BURSAR_REJECT, EINVAL, NULL },
	{ "23", BURSAR_REJECT, BURSAR_REJECT, EINVAL, NULL },
	{ "44", BURSAR_REJECT, BURSAR_REJECT, EINVAL, NULL },
	{ "54", BURSAR_REJECT, BURSAR_REJECT, E2BIG, NULL },
	{ "P0001", BURSAR_REJECT, BURSAR_REJECT, EINVAL, NULL },
	/* Numbers for ids have run out. */
	{ "2200H", BURSAR_CONFIG, BURSAR_REJECT, EINVAL, NULL },

	/* for a person */
	{ "28", BURSAR_CONFIG, BURSAR_CONFIG, EACCES,
	  "the server does not let the role in" },
	{ "3D000", BURSAR_CONFIG, BURSAR_CONFIG, ENOENT, NULL },
	{ "3F000", BURSAR_CONFIG, BURSAR_REJECT, ENOENT, NULL },
	{ "57P04", BURSAR_CONFIG, BURSAR_CONFIG, ENOENT, NULL },
	{ "42", BURSAR_CONFIG, BURSAR_REJECT, EINVAL, NULL },
	{ "42501", BURSAR_CONFIG, BURSAR_CONFIG, EACCES, GRANTS },
	{ "42P07", BURSAR_CONFIG, BURSAR_REJECT, EEXIST,
	  "the schema has tables of another program: give the ledger a schema "
	  "of its own" },
	{ "0A", BURSAR_CONFIG, BURSAR_REJECT, ENOTSUP, NULL },
	{ "0L", BURSAR_CONFIG, BURSAR_REJECT, EACCES, NULL },
	{ "2B", BURSAR_CONFIG, BURSAR_REJECT, EINVAL, NULL },
	{ "F0", BURSAR_CONFIG, BURSAR_CONFIG, EINVAL, NULL },
	{ "XX001", BURSAR_CONFIG, BURSAR_CONFIG, EIO,
	  "the database is damaged: check the disk" },
	{ "XX002", BURSAR_CONFIG, BURSAR_CONFIG, EIO,
	  "an index is damaged: check the disk, then REINDEX" },
};

static const struct meaning *find(const char state[6])
{
	static const struct meaning unknown = {
		"", BURSAR_RETRY, BURSAR_RETRY, EIO, NULL };
	static const struct meaning gone = {
		"", BURSAR_DOWN, BURSAR_DOWN, ENOTCONN, NULL };
	const struct meaning *best = state[0] == '\0' ? &gone : &unknown;

	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		const struct meaning *meaning = &meanings[i];
		const size_t size = strlen(meaning->code);

		if (strncmp(state, meaning->code, size) == 0 &&
		    size > strlen(best->code)) {
			best = meaning;
		}
	}
	return best;
}

enum bursar_verdict states_verdict(const char state[6], enum db_work work)
{
	const struct meaning *meaning = find(state);

	return work == DB_THEIRS ? meaning->theirs : meaning->ours;
}

const char *states_advice(const char state[6])
{
	return find(state)->advice;
}

int states_errno(const char state[6])
{
	return find(state)->error;
}
