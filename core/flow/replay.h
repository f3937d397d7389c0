/* SPDX-License-Identifier: Apache-2.0 */

/*
 * replay.h - dead letters on the way of a message once more
 *
 * Letters go through the crypto, the format and the sinks that their source
 * has now, as if the source delivered them again: with the same ids, so that
 * what was stored meanwhile is a duplicate.  Main thread only.
 */
#ifndef CORE_FLOW_REPLAY_H
#define CORE_FLOW_REPLAY_H

#include <jansson.h>

#include "conf/setup.h"

/* What became of one letter. */
struct replayed {
	const char *id, *source, *reason;	/* of the letter; lent */
	bool        stored;	/* it is in the ledger now */
	bool        duplicate;	/* ... and was before */
	char        why[250];	/* why not */
};

/*
 * Replays letters, a JSON array of them, and calls each() for every one.
 * Those of sources that are not configured, and those of which only a part was
 * kept, stay as they are.  Durable when it returns: what is stored counts as
 * replayed.
 *
 * Returns 0, or -1 with *err filled: a plugin cannot be opened, nothing moved
 * for once-timeout, or it cannot be noted what was stored.
 */
int replay_letters(const struct setup *setup, const json_t *letters,
                   void (*each)(void *context, const struct replayed *replayed),
                   void *context, struct bursar_error *err);

#endif
